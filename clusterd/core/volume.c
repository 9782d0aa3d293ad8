/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/volume.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/core/job.h"
#include "clusterd/core/vm.h"

#define SEPARATORS ", "

void volume_mount_key(const char *volume, uint8_t slot, char ret[DB_KEY_MAX])
{
	snprintf(ret, DB_KEY_MAX, "%.63s/%02u", volume, slot);
}

struct db_mount *volume_mount(const struct db *db, const char *volume, uint8_t slot)
{
	char key[DB_KEY_MAX];

	volume_mount_key(volume, slot, key);
	return db_find(db, DB_KIND_MOUNT, key);
}

bool volume_has_mounts(const struct db *db, const char *volume)
{
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		if (volume_mount(db, volume, slot))
			return true;
	}
	return false;
}

uint16_t volume_mounts(const struct db *db, const char *volume, enum db_mount_state state)
{
	uint16_t set = 0;

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_mount *m = volume_mount(db, volume, slot);

		if (m && m->state == state)
			set = (uint16_t)(set | cl_bit(slot));
	}
	return set;
}

uint16_t volume_candidates(const struct db *db, const struct db_volume *volume)
{
	uint16_t set = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (!db_node_bar(n) && !n->is_paused &&
		    !((volume->refused | volume->crashed) & cl_bit(n->slot)))
			set = (uint16_t)(set | cl_bit(n->slot));
	}
	return set;
}

/* A side of a migration has its disks open, or is about to. */
static bool is_migrated(const struct db *db, const char *volume, uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION); i++) {
		const struct db_migration *m = db_at(db, DB_KIND_MIGRATION, i);
		const struct db_group *g;

		if (!vm_is_session(m) || (m->source != slot && m->destination != slot))
			continue;
		g = db_find(db, DB_KIND_GROUP, m->vm);
		if (g && volume_is_named(g->volumes, volume))
			return true;
	}
	return false;
}

bool volume_is_used(const struct db *db, const char *volume, uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->lock && g->node == slot && volume_is_named(g->volumes, volume))
			return true;
	}
	return is_migrated(db, volume, slot) || job_uses_volume(db, volume, slot);
}

bool volume_mount_wanted(const struct db *db, const struct db_volume *volume,
			 const struct db_node *node)
{
	if (node->membership != DB_MEMBERSHIP_ADMITTED || volume->is_deleting)
		return false;
	/* Who is to leave it stays until nothing there uses it. */
	return (!db_node_departs(node) && !volume->is_suspended) ||
	       volume_is_used(db, volume->name, node->slot);
}

static bool is_silent(const struct db_volume *v, const struct db_mount *m)
{
	return m && m->state != DB_MOUNT_STATE_GONE && m->voice == DB_MOUNT_VOICE_SILENT &&
	       m->silent_term == v->term;
}

uint16_t volume_shunned_nodes(const struct db *db, const struct db_volume *volume)
{
	uint16_t set = 0;

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_mount *m = volume_mount(db, volume->name, slot);

		if (!m || m->state == DB_MOUNT_STATE_GONE || m->voice == DB_MOUNT_VOICE_ANSWERS)
			continue;
		set = (uint16_t)(set | cl_bit(slot));
		if (m->silent_node < CL_MAX_NODES && m->silent_company > 1)
			set = (uint16_t)(set | cl_bit(m->silent_node));
	}
	return set;
}

enum volume_silence volume_silence(const struct db *db, const struct db_volume *volume)
{
	uint8_t count = 0, company = 0;
	bool was_before = false;
	int others;

	if (volume->work != DB_WORK_ONLINE)
		return VOLUME_SILENCE_NONE;
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_mount *m = volume_mount(db, volume->name, slot);

		if (!is_silent(volume, m))
			continue;
		count++;
		company = m->silent_company > company ? m->silent_company : company;
		was_before = was_before || (m->silent_terms > 1 && !DB_MUTANT(db, MOVES_FOR_EVER));
	}
	if (!count)
		return VOLUME_SILENCE_NONE;
	if (count < 2 && company < 2)
		return VOLUME_SILENCE_KILL;
	/* It has moved for them already, or there is nowhere to go. */
	others = volume_candidates(db, volume) & ~volume_shunned_nodes(db, volume);
	if (was_before || !(others & ~cl_bit(volume->node)))
		return VOLUME_SILENCE_KILL;
	return VOLUME_SILENCE_MOVE;
}

bool volume_mount_is_condemned(const struct db *db, const struct db_volume *volume,
			       const struct db_mount *mount)
{
	if (mount->state == DB_MOUNT_STATE_GONE)
		return false;
	return mount->voice == DB_MOUNT_VOICE_STUCK ||
	       (is_silent(volume, mount) && !DB_MUTANT(db, SILENT_STAYS) &&
		volume_silence(db, volume) == VOLUME_SILENCE_KILL);
}

bool volume_name_next(const char **list, char ret[CL_NAME_MAX])
{
	const char *at = *list + strspn(*list, SEPARATORS);
	size_t len = strcspn(at, SEPARATORS);

	*list = at + len;
	ret[0] = 0; /* what is too long names nothing */
	if (len < CL_NAME_MAX) {
		memcpy(ret, at, len);
		ret[len] = 0;
	}
	return len > 0;
}

bool volume_is_named(const char *list, const char *name)
{
	char one[CL_NAME_MAX];

	while (volume_name_next(&list, one)) {
		if (!strcmp(one, name))
			return true;
	}
	return false;
}

bool volume_group_waits(const struct db *db, const struct db_group *group, char ret[CL_NAME_MAX])
{
	const char *list = group->volumes;
	char name[CL_NAME_MAX];

	while (volume_name_next(&list, name)) {
		const struct db_volume *v = db_find(db, DB_KIND_VOLUME, name);

		if (v && v->work == DB_WORK_ONLINE && !v->is_suspended &&
		    (!volume_mounts(db, name, DB_MOUNT_STATE_GONE) ||
		     DB_MUTANT(db, GROUP_BEFORE_RECOVERY)))
			continue;
		memcpy(ret, name, sizeof(name));
		return true;
	}
	return false;
}

const struct db_volume *volume_suspended(const struct db *db, const struct db_group *group)
{
	const char *list = group->volumes;
	char name[CL_NAME_MAX];

	while (volume_name_next(&list, name)) {
		const struct db_volume *v = db_find(db, DB_KIND_VOLUME, name);

		if (v && v->is_suspended)
			return v;
	}
	return NULL;
}

uint16_t volume_group_nodes(const struct db *db, const struct db_group *group)
{
	const char *list = group->volumes;
	char name[CL_NAME_MAX];
	uint16_t set = UINT16_MAX;

	while (volume_name_next(&list, name))
		set = (uint16_t)(set & volume_mounts(db, name, DB_MOUNT_STATE_MOUNTED));
	return set;
}
