/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions about volumes and their mounts that commands, planner and executor ask alike. They are
 * answered from the applied database alone.
 */
#ifndef CLUSTERD_CORE_VOLUME_H
#define CLUSTERD_CORE_VOLUME_H

#include "clusterd/core/db.h"

/* A node's mount of the volume in any state, or NULL. */
struct db_mount *volume_mount(const struct db *db, const char *volume, uint8_t slot);
void volume_mount_key(const char *volume, uint8_t slot, char ret[DB_KEY_MAX]);
/* In any state. */
bool volume_has_mounts(const struct db *db, const char *volume);
/* Nodes with a mount of the volume in that state. */
uint16_t volume_mounts(const struct db *db, const char *volume, enum db_mount_state state);
/* Nodes that may become its coordinator now. */
uint16_t volume_candidates(const struct db *db, const struct db_volume *volume);
/* A group that needs the volume is, or may be, on the node, or is migrated from or to it. */
bool volume_is_used(const struct db *db, const char *volume, uint8_t slot);
/*
 * The node shall have the volume mounted; if not, and it has, it shall unmount. On a node that
 * leaves, a mount stays until no group there uses it; db_apply() begins no new one there.
 */
bool volume_mount_wanted(const struct db *db, const struct db_volume *volume,
			 const struct db_node *node);

/*
 * Mounts that owe the coordinator an answer for too long. One of them is killed by its own node,
 * which proves that it is over. Are there several, the coordinator is what they have in common, and
 * moves first, if it can; those that do not answer the next one either are killed.
 */
enum volume_silence { VOLUME_SILENCE_NONE, VOLUME_SILENCE_MOVE, VOLUME_SILENCE_KILL };
enum volume_silence volume_silence(const struct db *db, const struct db_volume *volume);
/* Is this mount to be killed by its node? */
bool volume_mount_is_condemned(const struct db *db, const struct db_volume *volume,
			       const struct db_mount *mount);
/*
 * Nodes whose mount is silent, and from which a coordinator was moved for several that are: others
 * are better for the next one.
 */
uint16_t volume_shunned_nodes(const struct db *db, const struct db_volume *volume);

/* The next of several names with commas or spaces between; false at the end. */
bool volume_name_next(const char **list, char ret[CL_NAME_MAX]);
bool volume_is_named(const char *list, const char *name);
/*
 * True, and its name, if a volume keeps the group from starting anywhere: no coordinator serves it,
 * or a mount of it is not recovered.
 */
bool volume_group_waits(const struct db *db, const struct db_group *group, char ret[CL_NAME_MAX]);
/* The first volume that the group needs and that is suspended, or NULL. */
const struct db_volume *volume_suspended(const struct db *db, const struct db_group *group);
/* Nodes on which all that the group needs is mounted. */
uint16_t volume_group_nodes(const struct db *db, const struct db_group *group);

#endif
