/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does a csvfsd still work? It answers beats (lib/csv_link.h), each time it has been through its
 * main loop and every lock of those who do the work; and a mount answers its coordinator's recalls.
 * One that does not is killed here, on its own node, and its end proven as any other's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/volume.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/volumes_impl.h"

const char *volumes_last_words(const struct volumes_process *p, const char *otherwise)
{
	if (p->killed[0])
		return p->killed;
	return p->text[0] ? p->text : otherwise;
}

static const char *role_word(const struct volumes_process *p)
{
	return p->role == CSV_LINK_MOUNT ? "mount" : "coordinator";
}

/* ---- beats */

void volumes_look_alive(struct volumes_local *l, struct volumes_process *p)
{
	const struct volumes_client *c = volumes_client_find(l->volumes, l->uuid, p->role);
	uint64_t now = engine_now_ms();

	/* A new line, or one that does not work yet or no more: its other deadlines hold. One that
	 * has not been told cannot answer, one that was killed need not. */
	if (p->killed_ms || !c || c->status.phase != CSV_LINK_READY || !c->has_told ||
	    c->told.beat != p->beat) {
		p->deaf_looks = 0;
		return;
	}
	if (c->status.beat == p->beat) {
		p->deaf_looks = 0;
		if (!p->beat_ms)
			p->beat_ms = now;
		if (now - p->beat_ms >= VOLUMES_BEAT_MS) {
			p->beat++;
			p->beat_ms = 0;
		}
		return;
	}
	if (++p->deaf_looks < VOLUMES_DEAF_LOOKS)
		return;
	p->deaf_looks = 0;
	snprintf(p->killed, sizeof(p->killed),
		 "csvfsd (%s) has shown no sign of life for 30 s: killed", role_word(p));
	log_error("volume %s: %s", l->name, p->killed);
	volumes_process_kill(l, p);
	p->killed_ms = now;
}

/* ---- silent mounts */

void volumes_look_condemned(struct volumes_local *l, const struct db_volume *row,
			    const struct db_mount *m)
{
	struct volumes_process *p = &l->mount;
	uint64_t now = engine_now_ms();

	if (!volume_mount_is_condemned(&l->volumes->engine->db, row, m) || p->killed_ms)
		return;
	snprintf(p->killed, sizeof(p->killed),
		 "killed, for it does not answer its coordinator: %.120s", m->silence);
	log_error("volume %s: mount %016" PRIx64 " does not answer its coordinator: %s -> killed",
		  l->name, m->id, m->silence);
	volumes_process_kill(l, p);
	p->killed_ms = now;
}

static struct db_command voice_of(const struct volumes_local *l, const struct db_mount *m,
				  enum db_mount_voice voice)
{
	struct db_command cmd = engine_command(l->volumes->engine, DB_CMD_MOUNT_VOICE);

	memcpy(cmd.mount_voice.volume, l->name, sizeof(l->name));
	cmd.mount_voice.slot = m->slot;
	cmd.mount_voice.id = m->id;
	cmd.mount_voice.voice = (uint8_t)voice;
	return cmd;
}

bool volumes_find_stuck(struct volumes_local *l, const struct db_mount *m, struct db_command *ret)
{
	const struct volumes_process *p = &l->mount;

	if (!p->killed_ms || m->voice == DB_MOUNT_VOICE_STUCK ||
	    engine_now_ms() - p->killed_ms < VOLUMES_END_MS / 2)
		return false;
	*ret = voice_of(l, m, DB_MOUNT_VOICE_STUCK);
	snprintf(ret->mount_voice.reason, sizeof(ret->mount_voice.reason),
		 "killed %d s ago and still there, in I/O that does not return",
		 VOLUMES_END_MS / 2000);
	return true;
}

static const struct csv_link_silent *silent_of(const struct csv_link_status *status, uint64_t id)
{
	for (size_t i = 0; i < status->silent_count; i++) {
		if (status->silent[i].id == id)
			return &status->silent[i];
	}
	return NULL;
}

/* Of one mount; false: the cluster knows it already, or there is nothing to know. */
static bool find_one(struct volumes_local *l, const struct db_volume *row, const struct db_mount *m,
		     const struct csv_link_status *status, struct db_command *ret)
{
	const struct db_node *n = db_node_by_slot(&l->volumes->engine->db, m->slot);
	const struct csv_link_silent *s = silent_of(status, m->id);
	bool is_of_now = m->voice == DB_MOUNT_VOICE_SILENT && m->silent_term == row->term;
	bool is_calm = engine_now_ms() - l->coordinator.ready_ms > VOLUMES_CALM_MS;

	/* Of a node that is lost the fence takes care. */
	if (m->state == DB_MOUNT_STATE_GONE || m->voice == DB_MOUNT_VOICE_STUCK || !n ||
	    n->incarnation != m->incarnation || n->membership != DB_MEMBERSHIP_ADMITTED)
		return false;
	if (s && !is_of_now) {
		*ret = voice_of(l, m, DB_MOUNT_VOICE_SILENT);
		ret->mount_voice.company = status->silent_count;
		snprintf(ret->mount_voice.reason, sizeof(ret->mount_voice.reason),
			 "it has not answered for inode %" PRIu64
			 " for %u s, and others wait for it",
			 s->ino, s->for_ms / 1000);
	} else if (!s && (is_of_now || (m->voice == DB_MOUNT_VOICE_SILENT && is_calm))) {
		*ret = voice_of(l, m, DB_MOUNT_VOICE_ANSWERS);
		snprintf(ret->mount_voice.reason, sizeof(ret->mount_voice.reason),
			 "nobody waits for it any more");
	} else {
		return false;
	}
	ret->mount_voice.term = row->term;
	return true;
}

bool volumes_find_voice(struct volumes_local *l, const struct db_volume *row,
			const struct csv_link_status *status, struct db_command *ret)
{
	const struct db *db = &l->volumes->engine->db;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_MOUNT); i++) {
		const struct db_mount *m = db_at(db, DB_KIND_MOUNT, i);

		if (!strcmp(m->volume, l->name) && find_one(l, row, m, status, ret))
			return true;
	}
	return false;
}
