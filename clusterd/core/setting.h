/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Settings of the cluster: the one list of their keys, values and defaults. A setting is a row of
 * the database only while somebody has set it; without a row its default holds. A setting of an
 * object has the object's name behind its key and a slash.
 *
 * Flags are written on and off, numbers in decimal digits.
 */
#ifndef CLUSTERD_CORE_SETTING_H
#define CLUSTERD_CORE_SETTING_H

#include "clusterd/core/db.h"

#define ADMISSION_SURVIVE_MAX 3 /* adr/0028 */

/* SETTING(NAME, key, type, default, min, max): type flag, number, or of_object (a number) */
#define SETTINGS(X)                                                                                \
	X(CLUSTER_STOPPING, "cluster.stopping", flag, 0, 0, 1)                                     \
	X(FENCE_MAX, "fence.max", number, 3, 1, 3)                                                 \
	X(FENCE_WINDOW_MS, "fence.window_ms", number, 60000, 1000, 3600000)                        \
	X(QUORUM_DYNAMIC, "quorum.dynamic", flag, 1, 0, 1)                                         \
	X(QUORUM_ABSENT_MS, "quorum.absent_ms", number, 30000, 1000, 3600000)                      \
	X(QUORUM_QUARANTINE_MAX, "quorum.quarantine_max", number, 3, 0, 1000)                      \
	X(QUORUM_QUARANTINE_MS, "quorum.quarantine_ms", number, 3600000, 1000, 86400000)           \
	X(TOTEM_TOKEN_MS, "totem.token_ms", number, 1750, 500, 30000) /* totem.h */                \
	X(QUORUM_PRIORITY, "quorum.priority", of_object, 100, 0, 255)                              \
	X(PLACEMENT_STARTS, "placement.starts_per_node", number, 8, 1, 4096)                       \
	X(PLACEMENT_WAVE_MS, "placement.wave_ms", number, 120000, 1000, 3600000)                   \
	X(PLACEMENT_LEAVE_MS, "placement.leave_ms", number, 600000, 1000, 1200000)                 \
	X(PLACEMENT_RESERVE_MIB, "placement.reserve_mib", number, 1024, 0, 1048576)                \
	X(PLACEMENT_CPU_OVERCOMMIT, "placement.cpu_overcommit_pct", number, 100, 10, 10000)        \
	X(PLACEMENT_VM_OVERHEAD_MIB, "placement.vm_overhead_mib", number, 128, 0, 65536)           \
	X(PLACEMENT_SURVIVE, "placement.survive", number, 0, 0, ADMISSION_SURVIVE_MAX)

enum setting {
#define SETTING_ENUM(NAME, key, type, def, min, max) SETTING_##NAME,
	SETTINGS(SETTING_ENUM)
#undef SETTING_ENUM
		SETTING_MAX,
};

enum setting_type { SETTING_TYPE_flag, SETTING_TYPE_number, SETTING_TYPE_of_object };

struct setting_shape {
	const char *key;
	enum setting_type type;
	uint64_t def, min, max;
};

const struct setting_shape *setting_shape(enum setting setting);
/* The setting that a row's key names, or SETTING_MAX. */
enum setting setting_find(const char *key);
/* False: not a value of that setting. */
bool setting_parse(enum setting setting, const char *text, uint64_t *ret);
/* The value in force; `object` is NULL for a setting of the cluster. */
uint64_t setting_get(const struct db *db, enum setting setting, const char *object);
/* The key of a row; false: the object's name does not fit. */
bool setting_key(enum setting setting, const char *object, char *ret, size_t size);

#endif
