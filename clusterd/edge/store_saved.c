/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a node held and the cluster does not have, kept before an install replaces it: JSON lines in
 * a file beside the database (doc/format-database.md). The file is on the disk, under its name,
 * before the first row goes. Its name says what it has: written once more, it is the same file.
 *
 * Runs in the store's thread.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusterd/core/schema.h"
#include "clusterd/edge/store_impl.h"
#include "clusterd/edge/text.h"
#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/wire.h"

#define SAVED_FILES_MAX 32 /* the oldest goes when there is one more */
#define SAVED_BYTES_MAX (64u * 1024 * 1024)
#define SAVED_PREFIX	"history-"
#define SAVED_SUFFIX	".jsonl"
#define META_MAX	512

void store_saved_dir(const char *db_path, char *to, size_t size)
{
	const char *slash = strrchr(db_path, '/');

	snprintf(to, size, "%.*s/saved", slash ? (int)(slash - db_path) : 1, slash ? db_path : ".");
}

/* ---- JSON of an entry */

/* Bytes that are no text become hexadecimal digits. */
static json_t *hex_json(const uint8_t *p, size_t len)
{
	char *text = malloc(2 * len + 1);
	json_t *v;

	must(text);
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", p[i]);
	v = json_stringn(text, 2 * len);
	free(text);
	return v;
}

static json_t *text_json(const char *s)
{
	json_t *v = json_string(s);

	return v ? v : hex_json((const uint8_t *)s, strlen(s));
}

static json_t *mark_json(uint64_t v)
{
	char text[20];

	snprintf(text, sizeof(text), "%016" PRIx64, v);
	return json_string(text);
}

static json_t *number_json(const struct db_field *f, const void *p)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	if (f->size == sizeof(v64)) {
		memcpy(&v64, p, sizeof(v64));
		return json_integer((json_int_t)v64);
	}
	if (f->size == sizeof(v32)) {
		memcpy(&v32, p, sizeof(v32));
		return json_integer(v32);
	}
	if (f->size == sizeof(v16)) {
		memcpy(&v16, p, sizeof(v16));
		return json_integer(v16);
	}
	return json_integer(*(const uint8_t *)p);
}

static json_t *field_json(const struct db_field *f, const void *p)
{
	uint8_t v8 = *(const uint8_t *)p;
	uint64_t v64 = 0;

	switch (f->type) {
	case DB_TYPE_str:
		return text_json(p);
	case DB_TYPE_choice:
		return json_string(v8 < f->word_count ? f->words[v8] : "?");
	case DB_TYPE_flag:
		return json_boolean(v8);
	case DB_TYPE_mark:
		memcpy(&v64, p, sizeof(v64));
		return mark_json(v64);
	default:
		return number_json(f, p);
	}
}

static void add_fields(json_t *o, const struct db_command *cmd)
{
	const struct db_shape *shape = db_command_shape((uint16_t)cmd->type);
	json_t *fields = json_object();

	for (uint8_t i = 0; i < shape->field_count; i++) {
		const struct db_field *f = &shape->field[i];

		/* All members of the union begin where the first does. */
		json_object_set_new(fields, f->name,
				    field_json(f, (const char *)&cmd->cluster_init + f->offset));
	}
	json_object_set_new(o, "command", json_string(shape->name));
	json_object_set_new(o, "fields", fields);
}

/* The commands that stand in a change; `head` is its own. False: it does not decode. */
static bool add_change(json_t *o, const struct store_entry *e, struct db_command *head)
{
	struct wire_reader r;
	struct db_command cmd;
	uint32_t count;
	json_t *list;

	if (db_change_open(e->payload, e->payload_len, head, &r, &count))
		return false;
	list = json_array();
	for (uint32_t i = 0; i < count; i++) {
		json_t *one = json_object();

		db_change_next(&r, head, &cmd);
		add_fields(one, &cmd);
		json_array_append_new(list, one);
	}
	json_object_set_new(o, "commands", list);
	return true;
}

static void add_command(json_t *o, const struct store_entry *e)
{
	struct db_command cmd;
	bool is_known = db_change_is(e->payload, e->payload_len)
				? add_change(o, e, &cmd)
				: !db_command_decode(e->payload, e->payload_len, &cmd);
	char at[40];

	if (!is_known) {
		json_object_set_new(o, "payload", hex_json(e->payload, e->payload_len));
		return;
	}
	text_time(cmd.at_ms, at, sizeof(at));
	add_fields(o, &cmd);
	json_object_set_new(o, "at", json_string(at));
	json_object_set_new(o, "actor", text_json(cmd.actor));
}

static json_t *epoch_json(const struct cl_epoch *e)
{
	return json_pack("{s:I, s:I, s:i}", "generation", (json_int_t)e->generation, "number",
			 (json_int_t)e->number, "starter", e->starter);
}

static json_t *entry_json(const struct store_entry *e)
{
	json_t *o = json_object();

	json_object_set_new(o, "index", json_integer((json_int_t)e->index));
	json_object_set_new(o, "epoch", epoch_json(&e->epoch));
	json_object_set_new(o, "kind",
			    json_string(cl_entry_kind_name((enum cl_entry_kind)e->kind)));
	json_object_set_new(o, "origin", json_integer(e->origin));
	json_object_set_new(o, "instance", mark_json(e->instance));
	json_object_set_new(o, "request", json_integer((json_int_t)e->request));
	if (e->kind == CL_ENTRY_COMMAND)
		add_command(o, e);
	else if (e->payload_len)
		json_object_set_new(o, "payload", hex_json(e->payload, e->payload_len));
	return o;
}

/* ---- the file */

/* Takes o. 0 or -errno. */
static int put_line(FILE *f, json_t *o)
{
	int r = json_dumpf(o, f, JSON_COMPACT) ? -EIO : 0;

	json_decref(o);
	if (!r && fputc('\n', f) == EOF)
		r = -EIO;
	return r;
}

static json_t *head_json(const struct store_write *w, const struct store_log *log)
{
	const struct store_saving *s = &w->saving;
	char cluster[DB_UUID_TEXT];
	uint64_t first = log->entry[0].index;

	text_uuid(w->cluster.byte, cluster);
	return json_pack("{s:s, s:i, s:s, s:s, s:I, s:b, s:I, s:I, s:I, s:{s:o, s:I}}", "schema",
			 "saved-history", "version", 1, "node", s->node, "cluster", cluster,
			 "common", (json_int_t)s->part.common, "is_known", s->part.is_known,
			 "first", (json_int_t)first, "last",
			 (json_int_t)log->entry[log->count - 1].index,
			 "missing", /* older ones, of which only a snapshot was left */
			 (json_int_t)(first - s->part.common - 1), "replaced_by", "epoch",
			 epoch_json(&s->won.epoch), "index", (json_int_t)s->won.index);
}

static int put_entries(FILE *f, const struct store_log *log)
{
	int r = 0;

	for (size_t i = 0; i < log->count && !r; i++) {
		if ((uint64_t)ftell(f) > SAVED_BYTES_MAX)
			return put_line(
				f, json_pack("{s:I}", "omitted", (json_int_t)(log->count - i)));
		r = put_line(f, entry_json(&log->entry[i]));
	}
	return r;
}

static int write_file(const char *path, const struct store_write *w, const struct store_log *log)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int r;

	if (!f) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	r = put_line(f, head_json(w, log));
	if (!r)
		r = put_entries(f, log);
	if (!r && (fflush(f) == EOF || fsync(fd) < 0))
		r = -errno;
	if (fclose(f) == EOF && !r)
		r = -errno;
	return r;
}

static int sync_dir(const char *dir)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static bool is_ours(const char *name)
{
	size_t len = strlen(name), end = strlen(SAVED_SUFFIX);

	return !strncmp(name, SAVED_PREFIX, strlen(SAVED_PREFIX)) && len > end &&
	       !strcmp(name + len - end, SAVED_SUFFIX);
}

/* The oldest of those beyond the number that is kept. False: there is none. */
static bool find_oldest(const char *dir, char *path, size_t size)
{
	DIR *d = opendir(dir);
	struct timespec oldest = {0};
	size_t count = 0;
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		struct stat st;

		if (!is_ours(e->d_name) || fstatat(dirfd(d), e->d_name, &st, 0))
			continue;
		if (count++ &&
		    (st.st_mtim.tv_sec > oldest.tv_sec ||
		     (st.st_mtim.tv_sec == oldest.tv_sec && st.st_mtim.tv_nsec >= oldest.tv_nsec)))
			continue;
		oldest = st.st_mtim;
		snprintf(path, size, "%s/%s", dir, e->d_name);
	}
	if (d)
		closedir(d);
	return count > SAVED_FILES_MAX;
}

static void drop_oldest(const char *dir)
{
	char path[2 * DB_DEVICE_MAX];

	while (find_oldest(dir, path, sizeof(path))) {
		if (unlink(path))
			return;
	}
}

static int save(const char *dir, struct store_write *w, const struct store_log *log)
{
	const struct store_entry *first = &log->entry[0], *last = &log->entry[log->count - 1];
	char tmp[DB_DEVICE_MAX + 16];
	int r;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	snprintf(w->saved.file, sizeof(w->saved.file),
		 "%.180s/" SAVED_PREFIX "%u.%" PRIu64 "-%" PRIu64 "-%" PRIu64 SAVED_SUFFIX, dir,
		 last->epoch.generation, last->epoch.number, first->index, last->index);
	snprintf(tmp, sizeof(tmp), "%s.new", w->saved.file);
	r = write_file(tmp, w, log);
	if (!r && rename(tmp, w->saved.file) < 0)
		r = -errno;
	if (!r)
		r = sync_dir(dir);
	if (r)
		return r;
	w->saved.is_set = true;
	w->saved.after = w->saving.part.common;
	w->saved.entries = log->count;
	drop_oldest(dir);
	return 0;
}

/* ---- until the cluster has been told of it */

static int meta_set(sqlite3 *db, const struct store_saved *s)
{
	uint8_t buf[META_MAX];
	struct wire_writer w;
	size_t len;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u64(&w, s->after);
	wire_put_u64(&w, s->entries);
	wire_put_str(&w, s->file);
	must(!wire_writer_end(&w, &len));
	return store_sql_set(db, "saved", buf, len);
}

int store_saved_get(sqlite3 *db, struct store_saved *ret)
{
	uint8_t buf[META_MAX];
	struct wire_reader rd;
	size_t len;
	int r = store_sql_get(db, "saved", buf, sizeof(buf), &len);

	*ret = (struct store_saved){0};
	if (r || !len)
		return r;
	wire_reader_init(&rd, buf, len);
	ret->after = wire_get_u64(&rd);
	ret->entries = wire_get_u64(&rd);
	wire_get_str(&rd, ret->file, sizeof(ret->file));
	ret->is_set = true;
	return wire_reader_end(&rd) ? SQLITE_CORRUPT : SQLITE_OK;
}

int store_saved_write(sqlite3 *db, const char *dir, struct store_write *w, char *failure,
		      size_t size)
{
	struct store_log log = {0};
	uint64_t first, after = w->saving.part.common;
	int r = store_sql_first(db, &first), e;

	if (!r && first > after + 1)
		after = first - 1;
	if (!r)
		r = store_sql_read_log(db, after, UINT64_MAX, &log);
	if (!r && log.count) {
		e = save(dir, w, &log);
		if (e) {
			snprintf(failure, size, "what it held cannot be kept in %s: %s", dir,
				 strerror(-e));
			r = e == -ENOSPC || e == -EDQUOT || e == -EIO ? SQLITE_FULL : SQLITE_PERM;
		} else {
			r = meta_set(db, &w->saved);
		}
	}
	store_log_clear(&log);
	return r;
}
