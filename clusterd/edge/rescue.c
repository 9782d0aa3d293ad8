/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/rescue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clusterd/core/corosync_conf.h"
#include "clusterd/core/upgrade.h"
#include "clusterd/edge/log.h"
#include "lib/cleanup.h"
#include "lib/must.h"

/* ---- files put aside */

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* The oldest file of that folder whose name begins so; returns how many there are. */
static size_t find_oldest(const char *folder, const char *prefix, char *ret, size_t size)
{
	_cleanup_(closedirp) DIR *d = opendir(folder);
	size_t count = 0;
	struct dirent *e;

	ret[0] = 0;
	while (d && (e = readdir(d))) {
		size_t len = strlen(e->d_name);

		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0 ||
		    (len > 4 && !strcmp(e->d_name + len - 4, "-wal")))
			continue;
		count++;
		if (!ret[0] || strcmp(e->d_name, ret) < 0) /* their time is in their names */
			snprintf(ret, size, "%s", e->d_name);
	}
	return count;
}

static void remove_oldest(const char *folder, const char *prefix)
{
	char name[256], path[STORE_PATH_MAX * 2];

	while (find_oldest(folder, prefix, name, sizeof(name)) > RESCUE_KEPT) {
		snprintf(path, sizeof(path), "%s/%s", folder, name);
		log_notice("%s: removed, %d newer ones are kept", path, RESCUE_KEPT);
		if (unlink(path) < 0)
			return;
		snprintf(path, sizeof(path), "%s/%s-wal", folder, name);
		unlink(path);
	}
}

static int sync_folder(const char *folder)
{
	_cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int rescue_aside(const char *db_path, const char *why, char *ret_kept, size_t size)
{
	char folder[STORE_PATH_MAX], name[STORE_PATH_MAX], prefix[STORE_PATH_MAX + 32];
	char from[STORE_PATH_MAX + 8], to[STORE_PATH_MAX * 2], when[32];
	time_t now = time(NULL);
	struct tm tm;

	snprintf(folder, sizeof(folder), "%s", db_path);
	snprintf(name, sizeof(name), "%s", db_path);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	snprintf(prefix, sizeof(prefix), "%s.%s-", basename(name), why);
	snprintf(ret_kept, size, "%s.%s-%s", db_path, why, when);
	for (int n = 1; !access(ret_kept, F_OK) && n < 100; n++)
		snprintf(ret_kept, size, "%s.%s-%s.%02d", db_path, why, when, n);
	if (rename(db_path, ret_kept) < 0)
		return -errno;
	snprintf(from, sizeof(from), "%s-wal", db_path);
	snprintf(to, sizeof(to), "%s-wal", ret_kept);
	if (rename(from, to) < 0 && errno != ENOENT)
		return -errno;
	snprintf(from, sizeof(from), "%s-shm", db_path);
	unlink(from);
	remove_oldest(dirname(folder), prefix);
	return sync_folder(folder);
}

/* ---- who else may have it */

/* True if the nodelist has one node; a file that cannot be read says nothing. */
static bool is_alone(const char *conf_path)
{
	_cleanup_free_ char *text = malloc(COROSYNC_CONF_MAX);
	_cleanup_free_ struct corosync_nodes *nodes = malloc(sizeof(*nodes));
	_cleanup_close_ int fd = conf_path ? open(conf_path, O_RDONLY | O_CLOEXEC) : -1;
	struct corosync_problem problem;
	ssize_t len;

	must(text && nodes);
	len = fd < 0 ? -1 : read(fd, text, COROSYNC_CONF_MAX);
	return len > 0 && !corosync_conf_read(text, (size_t)len, nodes, &problem) &&
	       nodes->count == 1;
}

static bool is_only_voter(const struct engine *e, const struct cl_table *table)
{
	uint32_t nodeid = cpg_local_nodeid();
	uint16_t voters = quorum_voters(table);

	(void)e;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (table->member[i].nodeid == nodeid)
			return voters == cl_bit(i);
	}
	return false;
}

/* ---- opening */

/* A file of another version is whole: it is left as it is, and nothing else is done either. */
static int look_at_version(const struct engine *e, const struct store_content *c, char *text,
			   size_t size)
{
	char range[32], what[2 * DB_REASON_MAX];

	if (!upgrade_history_bar(&c->table, c->snapshot.bytes, c->snapshot.len, what, sizeof(what)))
		return 0;
	upgrade_range_text(&upgrade_versions, range, sizeof(range));
	snprintf(text, size,
		 "%s: %s, this clusterd (%s) speaks %s: install one that speaks it. Nothing was "
		 "changed (see doc/upgrade.md)",
		 e->options.db_path, what, CLUSTERD_VERSION, range);
	return -EPROTO;
}

static int try_open(struct engine *e, const struct store_calls *calls, rescue_load load,
		    struct store_content *c, struct repl_history *history, char *text, size_t size)
{
	int r = store_open(e->options.db_path, e->loop, calls, e, &e->store, c, text, size);

	if (r)
		return r;
	r = look_at_version(e, c, text, size);
	if (!r) {
		r = load(e, c, history);
		if (!r)
			return 0;
		snprintf(text, size, "%s: its snapshot does not decode", e->options.db_path);
	}
	store_log_clear(&c->log);
	free(c->snapshot.bytes);
	store_close(e->store);
	e->store = NULL;
	return r;
}

static void add(char *text, size_t size, const char *more)
{
	size_t len = strlen(text);

	snprintf(text + len, size - len, "%s", more);
}

#define NOBODY_ELSE                                                                                \
	"; corosync.conf has no other node to fetch it from. Nothing was changed. Restore a "      \
	"saved copy with clusterd --restore FILE (see clusterd(8), doc/recovery.md)"

/* The file is damaged: what it said is in `text`. */
static int put_aside(struct engine *e, char *text, size_t size)
{
	char kept[STORE_PATH_MAX];
	int r;

	if (is_alone(e->options.conf_path)) {
		add(text, size, NOBODY_ELSE);
		return -EBADMSG;
	}
	r = rescue_aside(e->options.db_path, "damaged", kept, sizeof(kept));
	if (r) {
		add(text, size, "; it cannot be put aside: ");
		add(text, size, strerror(-r));
		return r;
	}
	log_error("%s -> kept as %s; this node fetches the database from the others", text, kept);
	health_note(&e->health, DB_NOTE_DAMAGED, "%.300s; kept as %.200s, fetched from the others",
		    text, kept);
	text[0] = 0;
	return 0;
}

/* No database here, and there was one. */
static int look_at_blank(struct engine *e, const struct store_mark *mark, char *text, size_t size)
{
	if (!mark->is_set || !mark->last.index || health_has(&e->health, DB_NOTE_DAMAGED))
		return 0;
	snprintf(text, size, "%s: empty or missing, though this node held entries up to %llu",
		 e->options.db_path, (unsigned long long)mark->last.index);
	if (is_alone(e->options.conf_path)) {
		add(text, size, NOBODY_ELSE);
		return -ENODATA;
	}
	log_error("%s -> this node fetches the database from the others", text);
	health_note(&e->health, DB_NOTE_DAMAGED, "%.300s; fetched from the others", text);
	text[0] = 0;
	return 0;
}

static bool is_older(const struct store_mark *mark, const struct store_content *c,
		     const struct repl_history *h)
{
	if (!mark->is_set)
		return false;
	return mark->is_restored || cl_pos_compare(&h->last, &mark->last) < 0 ||
	       c->promised < mark->promised ||
	       (mark->last.index &&
		memcmp(mark->cluster.byte, h->cluster.byte, sizeof(h->cluster.byte)) != 0);
}

/* The file may be older than what this node has said of it. */
static int look_at_age(struct engine *e, const struct store_content *c, struct repl_history *h,
		       char *text, size_t size)
{
	const struct store_mark *mark = &c->mark;

	if (!is_older(mark, c, h))
		return 0;
	snprintf(text, size,
		 "%s: %s: it ends at entry %llu (promise %llu), this node had come to entry %llu "
		 "(promise %llu)",
		 e->options.db_path, mark->is_restored ? "a restored copy" : "an older copy",
		 (unsigned long long)h->last.index, (unsigned long long)c->promised,
		 (unsigned long long)mark->last.index, (unsigned long long)mark->promised);
	if (is_only_voter(e, &h->table)) {
		add(text, size,
		    "; it has the only vote, so nobody has what is missing. If it is to go on from "
		    "here: clusterd --restore FILE, with this file or another copy");
		return -ESTALE;
	}
	log_error("%s -> no vote until this node has fetched what is missing", text);
	health_note(&e->health, DB_NOTE_OLDER, "%.400s; no vote until it has fetched the rest",
		    text);
	text[0] = 0;
	h->is_behind = true;
	if (h->promised < mark->promised)
		h->promised = mark->promised;
	return 0;
}

int rescue_open(struct engine *e, const struct store_calls *calls, rescue_load load,
		struct repl_history *history, uint64_t *ret_commit, char *text, size_t size)
{
	struct store_content c = {0};
	int r = try_open(e, calls, load, &c, history, text, size);

	if (r == -EBADMSG) {
		r = put_aside(e, text, size);
		if (!r)
			r = try_open(e, calls, load, &c, history, text, size);
	}
	if (r)
		return r;
	*ret_commit = c.commit;
	e->saved = c.saved;
	return c.is_blank ? look_at_blank(e, &c.mark, text, size)
			  : look_at_age(e, &c, history, text, size);
}
