/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clusterd/core/quorum.h"
#include "clusterd/edge/rescue.h"
#include "clusterd/edge/store_impl.h"
#include "lib/cleanup.h"
#include "lib/must.h"

#define STEP_PAGES 256
#define BUSY_MAX   100 /* times that a writer may be in the way, 100 ms each */

static void closep(sqlite3 **db)
{
	sqlite3_close(*db);
}

/* ---- copies */

static int copy_pages(sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int r, busy = 0;

	if (!b)
		return sqlite3_errcode(to);
	do {
		r = sqlite3_backup_step(b, STEP_PAGES);
		if (r == SQLITE_BUSY || r == SQLITE_LOCKED) {
			if (busy++ == BUSY_MAX)
				break;
			sqlite3_sleep(100);
			r = SQLITE_OK;
		}
	} while (r == SQLITE_OK);
	sqlite3_backup_finish(b);
	return r == SQLITE_DONE ? SQLITE_OK : r ? r : SQLITE_BUSY;
}

static int sync_path(const char *path, int flags)
{
	_cleanup_close_ int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_both(const char *path)
{
	char folder[STORE_PATH_MAX + 16];
	int r = sync_path(path, O_RDONLY);

	snprintf(folder, sizeof(folder), "%s", path);
	return r ? r : sync_path(dirname(folder), O_RDONLY | O_DIRECTORY);
}

/* Copies into a new file that has no name but `to`; removes it again on an error. */
static int copy(const char *from, const char *to, char *text, size_t size)
{
	_cleanup_(closep) sqlite3 *a = NULL, *b = NULL;
	int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0) {
		snprintf(text, size, "%s: %s", to, strerror(errno));
		return -errno;
	}
	close(fd);
	r = store_sql_open(from, false, &a);
	if (r) {
		snprintf(text, size, "%s: %s", from, sqlite3_errstr(r));
		goto fail;
	}
	r = sqlite3_open_v2(to, &b, SQLITE_OPEN_READWRITE, NULL);
	if (!r)
		r = copy_pages(a, b);
	if (r) {
		snprintf(text, size, "%s cannot be copied to %s: %s", from, to, sqlite3_errstr(r));
		goto fail;
	}
	sqlite3_close(b);
	b = NULL;
	r = sync_both(to);
	if (!r)
		return 0;
	snprintf(text, size, "%s: %s", to, strerror(-r));
fail:
	unlink(to);
	return -EIO;
}

/* ---- what is in a file */

struct inside {
	struct cl_uuid cluster;
	struct cl_table table;
	struct cl_pos last; /* epoch 0 if the log has been trimmed to the snapshot */
	uint64_t promised;
};

static int look_inside(const char *path, struct inside *ret, char *text, size_t size)
{
	_cleanup_(closep) sqlite3 *db = NULL;
	struct store_content c = {0};
	char pages[200] = "";
	const char *what = pages;
	int r = store_sql_open(path, false, &db);

	if (!r)
		r = store_check_pages(db, pages, sizeof(pages));
	if (!r)
		r = store_load(db, &c, &what);
	*ret = (struct inside){c.cluster, c.table, c.last, c.promised};
	if (!r && !c.last.index)
		ret->last.index = c.snapshot.index;
	store_log_clear(&c.log);
	free(c.snapshot.bytes);
	if (!r && !c.is_blank)
		return 0;
	snprintf(text, size, "%s: %s%s%s", path, r ? sqlite3_errstr(r) : "holds no cluster",
		 r && what[0] ? ": " : "", r ? what : "");
	return r ? -EBADMSG : -ENODATA;
}

static void say(const struct inside *in, const char *what, char *text, size_t size)
{
	size_t n = (size_t)snprintf(
		text, size, "%s: entries up to %llu of epoch %llu; members:", what,
		(unsigned long long)in->last.index, (unsigned long long)in->last.epoch.number);

	for (uint8_t i = 0; i < CL_MAX_NODES && n < size; i++) {
		const struct cl_member *m = &in->table.member[i];

		if (m->nodeid)
			n += (size_t)snprintf(text + n, size - n, " %s%s", m->name,
					      m->vote ? "" : " (no vote)");
	}
}

int saved_make(const char *db_path, const char *file, char *text, size_t size)
{
	struct inside in;
	int r = copy(db_path, file, text, size);

	if (r)
		return r;
	r = look_inside(file, &in, text, size);
	if (r)
		unlink(file);
	else
		say(&in, file, text, size);
	return r;
}

/* ---- putting one back */

static bool is_running(const char *socket_path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t len = strlen(socket_path);

	if (fd < 0 || len >= sizeof(a.sun_path))
		return false;
	memcpy(a.sun_path, socket_path, len + 1);
	return !connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static bool has_only_vote(const struct cl_table *table, const char *self)
{
	uint8_t slot = quorum_find_name(table, self);

	return slot != CL_NODE_NONE && quorum_voters(table) == cl_bit(slot);
}

/* Who has the only vote goes on from the copy; another one fetches first what the others have. */
static int mark(const char *db_path, const struct inside *in, bool is_only_voter)
{
	const struct store_mark m = {.is_set = true,
				     .is_restored = true,
				     .cluster = in->cluster,
				     .promised = in->promised,
				     .last = in->last};
	char path[STORE_PATH_MAX + 16];
	int fd, r;

	store_mark_path(db_path, path, sizeof(path));
	if (is_only_voter)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	fd = store_mark_open(db_path);
	if (fd < 0)
		return fd;
	r = store_mark_write(fd, &m);
	if (!r && fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* The copy is there, whole and synced, as `new_path`. */
static int replace(const char *db_path, const char *new_path, char *text, size_t size)
{
	char kept[STORE_PATH_MAX] = "";
	int r = access(db_path, F_OK) ? 0 : rescue_aside(db_path, "replaced", kept, sizeof(kept));

	if (!r && rename(new_path, db_path) < 0)
		r = -errno;
	if (!r)
		r = sync_both(db_path);
	if (r)
		snprintf(text, size, "%s cannot be replaced: %s%s%s", db_path, strerror(-r),
			 kept[0] ? "; it is " : "", kept);
	else if (kept[0])
		snprintf(text, size, "\nwhat was there is kept as %s", kept);
	return r;
}

int saved_restore(const char *db_path, const char *file, const char *self, const char *socket_path,
		  char *text, size_t size)
{
	char new_path[STORE_PATH_MAX + 16], more[STORE_PATH_MAX + 64] = "";
	struct inside in;
	size_t len;
	int r;

	if (is_running(socket_path)) {
		snprintf(text, size, "clusterd runs on this node: stop it first");
		return -EBUSY;
	}
	snprintf(new_path, sizeof(new_path), "%s.restoring", db_path);
	unlink(new_path);
	r = copy(file, new_path, text, size);
	if (!r)
		r = look_inside(new_path, &in, text, size);
	if (!r && quorum_find_name(&in.table, self) == CL_NODE_NONE) {
		snprintf(text, size, "%s: this node (%s) is no member of that cluster", file, self);
		r = -EINVAL;
	}
	/* First the mark: if the power is lost in between, the old file has no vote, no more. */
	if (!r) {
		r = mark(db_path, &in, has_only_vote(&in.table, self));
		if (r)
			snprintf(text, size, "%s.mark: %s", db_path, strerror(-r));
	}
	if (!r)
		r = replace(db_path, new_path, text, size);
	if (r) {
		unlink(new_path);
		return r;
	}
	snprintf(more, sizeof(more), "%s", text);
	say(&in, db_path, text, size);
	len = strlen(text);
	snprintf(text + len, size - len, "%s\n%s", strchr(more, '\n') ? more : "",
		 has_only_vote(&in.table, self)
			 ? "this node has the only vote: the cluster goes on from here"
			 : "this node has no vote until it has fetched what the others have since");
	return 0;
}
