/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a database file can be believed: the pages by SQLite's own check, each entry of the log
 * by its checksum, and the file as a whole by the mark beside it.
 *
 * The mark says how far this node has come. It is written after each transaction and not synced:
 * after a loss of power it may say less than the file, and then it says nothing; what it never says
 * is more. So a file that holds less than its mark has been replaced by an older one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clusterd/edge/store_impl.h"
#include "lib/cleanup.h"
#include "lib/crc32c.h"
#include "lib/must.h"
#include "lib/wire.h"

#define MARK_MAGIC   UINT32_C(0x4b524d43) /* "CMRK" */
#define MARK_BYTES   61
#define CHECK_MAX_MS 5000
#define CHECK_STEPS  10000 /* of SQLite's machine between two looks at the clock */

/* ---- entries */

uint32_t store_entry_crc(const struct store_entry *e)
{
	uint8_t head[64];
	struct wire_writer w;
	size_t len;

	wire_writer_init(&w, head, sizeof(head));
	wire_put_u64(&w, e->index);
	wire_put_u32(&w, e->epoch.generation);
	wire_put_u64(&w, e->epoch.number);
	wire_put_u8(&w, e->epoch.starter);
	wire_put_u8(&w, e->kind);
	wire_put_u8(&w, e->origin);
	wire_put_u64(&w, e->instance);
	wire_put_u64(&w, e->request);
	must(!wire_writer_end(&w, &len));
	return crc32c(crc32c(0, head, len), e->payload, e->payload_len);
}

/* ---- pages */

static uint64_t now_ms(void)
{
	struct timespec ts;

	must(!clock_gettime(CLOCK_MONOTONIC, &ts));
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int is_late(void *arg)
{
	return now_ms() >= *(const uint64_t *)arg;
}

int store_check_pages(sqlite3 *db, char *text, size_t size)
{
	uint64_t until_ms = now_ms() + CHECK_MAX_MS;
	sqlite3_stmt *s = NULL;
	int r;

	sqlite3_progress_handler(db, CHECK_STEPS, is_late, &until_ms);
	r = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &s, NULL);
	if (!r)
		r = sqlite3_step(s);
	if (r == SQLITE_ROW) {
		const char *said = (const char *)sqlite3_column_text(s, 0);

		r = said && !strcmp(said, "ok") ? SQLITE_OK : SQLITE_CORRUPT;
		if (r)
			snprintf(text, size, "%s", said ? said : "no memory");
	}
	sqlite3_finalize(s);
	sqlite3_progress_handler(db, 0, NULL, NULL);
	/* What is read of a larger file is checked when it is read. */
	return r == SQLITE_INTERRUPT ? SQLITE_OK : r;
}

/* ---- the mark */

void store_mark_path(const char *db_path, char *to, size_t size)
{
	snprintf(to, size, "%s.mark", db_path);
}

static int mark_decode(const uint8_t *buf, struct store_mark *ret)
{
	struct store_mark m = {.is_set = true};
	struct wire_reader r;

	wire_reader_init(&r, buf, MARK_BYTES);
	if (wire_get_u32(&r) != MARK_MAGIC)
		return -EBADMSG;
	wire_get_raw(&r, m.cluster.byte, sizeof(m.cluster.byte));
	m.promised = wire_get_u64(&r);
	m.last.epoch.generation = wire_get_u32(&r);
	m.last.epoch.number = wire_get_u64(&r);
	m.last.epoch.starter = wire_get_enum(&r, CL_MAX_NODES);
	m.last.index = wire_get_u64(&r);
	m.is_restored = wire_get_u64(&r) != 0;
	if (wire_get_u32(&r) != crc32c(0, buf, MARK_BYTES - 4) || wire_reader_end(&r))
		return -EBADMSG;
	*ret = m;
	return 0;
}

static void mark_encode(const struct store_mark *m, uint8_t *buf)
{
	struct wire_writer w;
	size_t len;

	wire_writer_init(&w, buf, MARK_BYTES);
	wire_put_u32(&w, MARK_MAGIC);
	wire_put_raw(&w, m->cluster.byte, sizeof(m->cluster.byte));
	wire_put_u64(&w, m->promised);
	wire_put_u32(&w, m->last.epoch.generation);
	wire_put_u64(&w, m->last.epoch.number);
	wire_put_u8(&w, m->last.epoch.starter);
	wire_put_u64(&w, m->last.index);
	wire_put_u64(&w, m->is_restored);
	wire_put_u32(&w, crc32c(0, buf, MARK_BYTES - 4));
	must(!wire_writer_end(&w, &len) && len == MARK_BYTES);
}

void store_mark_read(const char *db_path, struct store_mark *ret)
{
	_cleanup_close_ int fd = -1;
	uint8_t buf[MARK_BYTES];
	char path[STORE_PATH_MAX];

	*ret = (struct store_mark){0};
	store_mark_path(db_path, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	/* Without it, or with a torn one, nothing is known but what the file says itself. */
	if (fd >= 0 && read(fd, buf, sizeof(buf)) == MARK_BYTES)
		(void)mark_decode(buf, ret);
}

int store_mark_open(const char *db_path)
{
	char path[STORE_PATH_MAX];
	int fd;

	store_mark_path(db_path, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

int store_mark_write(int fd, const struct store_mark *m)
{
	uint8_t buf[MARK_BYTES];

	mark_encode(m, buf);
	return pwrite(fd, buf, sizeof(buf), 0) == MARK_BYTES ? 0 : -EIO;
}
