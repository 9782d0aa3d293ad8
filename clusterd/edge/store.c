/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clusterd/edge/store_impl.h"
#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/wire.h"

#define GENESIS_MAX 4096
#define AGAIN_MS    1000  /* from one try of what the disk did not take to the next */
#define WAITING_MAX 65536 /* writes; with more behind a disk that takes none we give up */

struct store {
	qb_loop_t *loop;
	struct store_calls calls;
	void *arg;
	sqlite3 *db; /* of the thread, after the start */
	char saved_dir[DB_DEVICE_MAX];
	int event_fd;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	/* under the mutex */
	struct store_write *queue, **queue_end;
	struct store_write *done, **done_end;
	uint64_t commit;
	bool is_closing;
	bool has_failed;
	char failure[256];
	size_t waiting;	     /* writes in the queue */
	bool is_stalled;     /* the disk did not take the last one tried */
	uint64_t since_ms;   /* when the disk was given what it has not answered yet; 0: nothing */
	bool is_stall_known; /* of the loop: told to the caller */
	/* of the thread */
	uint64_t commit_written;
	struct store_mark mark;
	int mark_fd; /* -1: cannot be written, the file stands for itself */
};

/* ---- logs in memory */

void store_log_push(struct store_log *log, const struct repl_entry *e)
{
	struct store_entry *to;

	if (log->count == log->cap) {
		log->cap = log->cap ? log->cap * 2 : 32;
		log->entry = reallocarray(log->entry, log->cap, sizeof(*log->entry));
		must(log->entry);
	}
	to = &log->entry[log->count++];
	*to = (struct store_entry){.epoch = e->epoch,
				   .index = e->index,
				   .kind = e->kind,
				   .origin = e->origin,
				   .instance = e->instance,
				   .request = e->request,
				   .payload_len = e->payload.len};
	if (!e->payload.len)
		return;
	to->payload = malloc(e->payload.len);
	must(to->payload);
	memcpy(to->payload, e->payload.data, e->payload.len);
}

void store_log_push_copy(struct store_log *log, const struct store_entry *e)
{
	store_log_push(log, &(struct repl_entry){.epoch = e->epoch,
						 .index = e->index,
						 .kind = e->kind,
						 .origin = e->origin,
						 .instance = e->instance,
						 .request = e->request,
						 .payload = {e->payload, e->payload_len}});
}

void store_log_clear(struct store_log *log)
{
	for (size_t i = 0; i < log->count; i++)
		free(log->entry[i].payload);
	free(log->entry);
	*log = (struct store_log){0};
}

int store_genesis_encode(const struct cl_uuid *cluster, const struct cl_table *table, void *buf,
			 size_t cap, size_t *ret_len)
{
	struct wire_writer w;

	wire_writer_init(&w, buf, cap);
	wire_put_raw(&w, cluster->byte, sizeof(cluster->byte));
	cl_table_put(&w, table);
	return wire_writer_end(&w, ret_len);
}

int store_genesis_decode(const void *buf, size_t len, struct cl_uuid *ret_cluster,
			 struct cl_table *ret_table)
{
	struct wire_reader r;
	struct cl_uuid cluster;
	struct cl_table table;

	wire_reader_init(&r, buf, len);
	wire_get_raw(&r, cluster.byte, sizeof(cluster.byte));
	cl_table_get(&r, &table);
	if (wire_reader_end(&r))
		return -EBADMSG;
	*ret_cluster = cluster;
	*ret_table = table;
	return 0;
}

int store_log_table(const struct store_log *log, struct cl_table *table)
{
	for (size_t i = 0; i < log->count; i++) {
		const struct store_entry *e = &log->entry[i];
		struct cl_uuid cluster;
		struct cl_member row;
		uint8_t slot;

		if (e->kind == CL_ENTRY_GENESIS) {
			if (store_genesis_decode(e->payload, e->payload_len, &cluster, table))
				return -EBADMSG;
			table->changed_at = e->index;
		}
		if (e->kind == CL_ENTRY_FORCED) {
			struct force_record forced;

			if (force_record_decode((struct cl_blob){e->payload, e->payload_len},
						&forced))
				return -EBADMSG;
			*table = forced.table;
		}
		if (e->kind != CL_ENTRY_TABLE)
			continue;
		if (cl_row_decode((struct cl_blob){e->payload, e->payload_len}, &slot, &row))
			return -EBADMSG;
		*cl_table_row(table, slot) = row;
		table->changed_at = e->index;
	}
	return 0;
}

/* ---- the thread */

static void write_free(struct store_write *w)
{
	free(w->entry.payload);
	free(w->snapshot.bytes);
	store_log_clear(&w->log);
	free(w);
}

static void list_free(struct store_write *list)
{
	for (struct store_write *w = list, *next; w; w = next) {
		next = w->next;
		write_free(w);
	}
}

static int do_install(struct store *s, struct store_write *w)
{
	sqlite3 *db = s->db;
	int r = 0;

	if (w->saving.is_wanted)
		r = store_saved_write(db, s->saved_dir, w, s->failure, sizeof(s->failure));
	if (!r)
		r = store_sql_set(db, "cluster", w->cluster.byte, sizeof(w->cluster.byte));
	if (!r)
		r = store_sql_exec(db, "DELETE FROM log WHERE idx>?",
				   w->snapshot.bytes ? 0 : w->number);
	/* Also when none comes: one of ours would say what the cluster does not. */
	if (!r && (w->snapshot.bytes || !w->number)) {
		r = store_sql_exec(db, "DELETE FROM snapshot", 0);
		if (!r && w->snapshot.bytes)
			r = store_sql_put_snapshot(db, &w->snapshot, &w->table);
		if (!r)
			r = store_sql_set_u64(db, "commit", w->snapshot.index);
		s->commit_written = w->snapshot.index;
	}
	for (size_t i = 0; i < w->log.count && !r; i++)
		r = store_sql_put_entry(db, &w->log.entry[i]);
	return r;
}

static int do_checkpoint(sqlite3 *db, const struct store_write *w)
{
	int r = store_sql_put_snapshot(db, &w->snapshot, &w->table);

	return r ? r : store_past_thin(db);
}

static int do_write(struct store *s, struct store_write *w)
{
	sqlite3 *db = s->db;

	switch (w->type) {
	case STORE_APPEND:
		if (w->entry.kind == CL_ENTRY_GENESIS) {
			int r = store_sql_set(db, "cluster", w->cluster.byte,
					      sizeof(w->cluster.byte));
			if (r)
				return r;
		}
		return store_sql_put_entry(db, &w->entry);
	case STORE_PROMISE:
		return store_sql_set_u64(db, "promised", w->number);
	case STORE_CHECKPOINT:
		return do_checkpoint(db, w);
	case STORE_INSTALL:
		return do_install(s, w);
	case STORE_TOLD:
		return store_sql_set(db, "saved", "", 0);
	}
	return SQLITE_MISUSE;
}

/* All of the list in one transaction. */
static int write_batch(struct store *s, struct store_write *list, uint64_t commit)
{
	int r = store_sql_exec(s->db, "BEGIN IMMEDIATE", 0);

	for (struct store_write *w = list; w && !r; w = w->next)
		r = do_write(s, w);
	if (!r && commit > s->commit_written)
		r = store_sql_set_u64(s->db, "commit", commit);
	if (!r)
		r = store_sql_exec(s->db, "COMMIT", 0);
	if (!r)
		s->commit_written = commit > s->commit_written ? commit : s->commit_written;
	return r;
}

/* ---- the mark */

/* Where the history ends after that write, as far as it says it. */
static void mark_end(struct store *s, const struct store_write *w)
{
	struct cl_pos last = {0};

	if (w->type == STORE_APPEND) {
		last = (struct cl_pos){w->entry.epoch, w->entry.index};
		if (w->entry.kind == CL_ENTRY_GENESIS)
			s->mark.cluster = w->cluster;
	} else {
		s->mark.cluster = w->cluster;
		if (w->log.count) {
			const struct store_entry *e = &w->log.entry[w->log.count - 1];

			last = (struct cl_pos){e->epoch, e->index};
		} else if (!w->snapshot.bytes &&
			   !store_sql_epoch_at(s->db, w->number, &last.epoch)) {
			last.index = w->number;
		}
	}
	s->mark.last = last;
	s->mark.is_restored = false;
}

static void mark_batch(struct store *s, const struct store_write *list)
{
	for (const struct store_write *w = list; w; w = w->next) {
		if (w->type == STORE_APPEND || w->type == STORE_INSTALL)
			mark_end(s, w);
		if (w->type == STORE_PROMISE && w->number > s->mark.promised)
			s->mark.promised = w->number;
	}
	s->mark.is_set = true;
	if (s->mark_fd < 0 || !store_mark_write(s->mark_fd, &s->mark))
		return;
	close(s->mark_fd); /* an old one says less than the file: harmless */
	s->mark_fd = -1;
}

static uint64_t monotonic_ms(void)
{
	struct timespec ts;

	must(!clock_gettime(CLOCK_MONOTONIC, &ts));
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* What passes by itself, or when somebody makes room: the write is tried again. */
static bool may_pass(int r)
{
	switch (r & 0xff) {
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_BUSY:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
		return true;
	default:
		return false;
	}
}

static void wake(struct store *s)
{
	uint64_t one = 1;

	if (write(s->event_fd, &one, sizeof(one)) != sizeof(one))
		must(errno == EAGAIN); /* the counter is full: the loop is awake */
}

/* Holds the mutex at begin and end. Returns false when there is no sense in going on. */
static bool wait_to_try_again(struct store *s, int r)
{
	struct timespec until;

	if (!s->failure[0])
		snprintf(s->failure, sizeof(s->failure), "%s", sqlite3_errmsg(s->db));
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	if (!may_pass(r) || s->is_closing || s->waiting > WAITING_MAX)
		return false;
	if (!s->is_stalled) {
		s->is_stalled = true;
		wake(s);
	}
	must(!clock_gettime(CLOCK_REALTIME, &until));
	until.tv_sec += AGAIN_MS / 1000;
	while (!s->is_closing && !pthread_cond_timedwait(&s->cond, &s->mutex, &until))
		continue;
	return true;
}

/* Writes the batch, however often it takes; holds the mutex at begin and end. */
static int write_until_taken(struct store *s, struct store_write *list, uint64_t commit)
{
	int r;

	do {
		s->failure[0] = 0;
		pthread_mutex_unlock(&s->mutex);
		r = write_batch(s, list, commit);
		if (!r)
			mark_batch(s, list);
		pthread_mutex_lock(&s->mutex);
	} while (r && wait_to_try_again(s, r));
	if (!r)
		s->is_stalled = false;
	return r;
}

static void *store_thread(void *arg)
{
	struct store *s = arg;

	pthread_mutex_lock(&s->mutex);
	for (;;) {
		struct store_write *list, **list_end;
		uint64_t commit;
		int r;

		s->since_ms = 0;
		while (!s->queue && !s->is_closing)
			pthread_cond_wait(&s->cond, &s->mutex);
		if (!s->queue)
			break;
		s->since_ms = monotonic_ms();
		s->waiting = 0;
		list = s->queue;
		list_end = s->queue_end;
		s->queue = NULL;
		s->queue_end = &s->queue;
		commit = s->commit;
		r = write_until_taken(s, list, commit);
		if (r) {
			s->has_failed = true;
			list_free(list);
			wake(s);
			break;
		}
		*s->done_end = list;
		s->done_end = list_end;
		wake(s);
	}
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

/* ---- back on the loop */

static void answer(struct store *s, const struct store_write *w)
{
	switch (w->type) {
	case STORE_APPEND:
		s->calls.durable(s->arg, w->entry.index);
		break;
	case STORE_PROMISE:
		s->calls.promised(s->arg, w->number);
		break;
	case STORE_INSTALL:
		s->calls.installed(s->arg,
				   w->log.count
					   ? w->log.entry[w->log.count - 1].index
					   : (w->snapshot.bytes ? w->snapshot.index : w->number),
				   w->saved.is_set ? &w->saved : NULL);
		break;
	case STORE_CHECKPOINT:
	case STORE_TOLD:
		break;
	}
}

static int on_event(int32_t fd, int32_t revents, void *arg)
{
	struct store *s = arg;
	struct store_write *list;
	char stall[sizeof(s->failure)];
	uint64_t count;
	bool has_failed, is_stalled;

	(void)revents;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -1;
	pthread_mutex_lock(&s->mutex);
	list = s->done;
	s->done = NULL;
	s->done_end = &s->done;
	has_failed = s->has_failed;
	is_stalled = s->is_stalled;
	memcpy(stall, s->failure, sizeof(stall));
	pthread_mutex_unlock(&s->mutex);
	if (is_stalled != s->is_stall_known) {
		s->is_stall_known = is_stalled;
		s->calls.stalled(s->arg, is_stalled ? stall : NULL);
	}
	for (struct store_write *w = list, *next; w; w = next) {
		/* Of appends in a row the last one says it all. */
		bool is_covered =
			w->type == STORE_APPEND && w->next && w->next->type == STORE_APPEND;

		next = w->next;
		if (!is_covered)
			answer(s, w);
		write_free(w);
	}
	if (has_failed)
		s->calls.failed(s->arg, s->failure);
	return 0;
}

static struct store_write *write_new(enum store_write_type type)
{
	struct store_write *w = calloc(1, sizeof(*w));

	must(w);
	w->type = type;
	return w;
}

static void submit(struct store *s, struct store_write *w)
{
	pthread_mutex_lock(&s->mutex);
	if (s->has_failed) {
		pthread_mutex_unlock(&s->mutex);
		write_free(w);
		return;
	}
	*s->queue_end = w;
	s->queue_end = &w->next;
	s->waiting++;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->mutex);
}

void store_append(struct store *s, const struct repl_entry *e)
{
	struct store_write *w = write_new(STORE_APPEND);
	struct store_log one = {0};

	store_log_push(&one, e);
	w->entry = one.entry[0];
	free(one.entry);
	if (e->kind == CL_ENTRY_GENESIS)
		must(!store_genesis_decode(e->payload.data, e->payload.len, &w->cluster,
					   &w->table));
	submit(s, w);
}

void store_promise(struct store *s, uint64_t number)
{
	struct store_write *w = write_new(STORE_PROMISE);

	w->number = number;
	submit(s, w);
}

void store_commit(struct store *s, uint64_t index)
{
	pthread_mutex_lock(&s->mutex);
	if (index > s->commit)
		s->commit = index;
	pthread_mutex_unlock(&s->mutex);
}

void store_checkpoint(struct store *s, uint64_t index, uint8_t *bytes, size_t len,
		      const struct cl_table *table)
{
	struct store_write *w = write_new(STORE_CHECKPOINT);

	w->snapshot = (struct store_snapshot){.index = index, .bytes = bytes, .len = len};
	w->table = *table;
	submit(s, w);
}

void store_install(struct store *s, const struct cl_uuid *cluster, uint64_t keep,
		   struct store_snapshot *snapshot, struct store_log *log,
		   const struct cl_table *table, const struct store_saving *saving)
{
	struct store_write *w = write_new(STORE_INSTALL);

	if (saving)
		w->saving = *saving;
	if (snapshot->bytes || !keep) {
		pthread_mutex_lock(&s->mutex);
		s->commit = snapshot->index; /* of what is replaced it says nothing */
		pthread_mutex_unlock(&s->mutex);
	}

	w->cluster = *cluster;
	w->number = keep;
	w->snapshot = *snapshot;
	w->log = *log;
	w->table = *table;
	*snapshot = (struct store_snapshot){0};
	*log = (struct store_log){0};
	submit(s, w);
}

void store_saved_told(struct store *s)
{
	submit(s, write_new(STORE_TOLD));
}

/* ---- open, close, read */

int store_load(sqlite3 *db, struct store_content *c, const char **ret_what)
{
	size_t len;
	int r = store_sql_get(db, "cluster", c->cluster.byte, sizeof(c->cluster.byte), &len);

	c->is_blank = len == 0;
	if (!c->is_blank && len != sizeof(c->cluster.byte))
		return SQLITE_CORRUPT;
	if (!r)
		r = store_sql_get_u64(db, "promised", &c->promised);
	if (!r)
		r = store_sql_get_u64(db, "commit", &c->commit);
	if (!r)
		r = store_saved_get(db, &c->saved);
	if (!r)
		r = store_sql_read_snapshot(db, UINT64_MAX, &c->snapshot, &c->table);
	if (!r) {
		*ret_what = "the log has a gap, or an entry whose checksum does not hold";
		r = store_sql_read_log(db, c->snapshot.index, UINT64_MAX, &c->log);
	}
	if (r)
		return r;
	c->snapshot_table = c->table;
	*ret_what = "an entry of the log does not decode";
	if (store_log_table(&c->log, &c->table))
		return SQLITE_CORRUPT;
	if (c->log.count) {
		const struct store_entry *e = &c->log.entry[c->log.count - 1];

		c->last = (struct cl_pos){.epoch = e->epoch, .index = e->index};
	}
	*ret_what = "no snapshot whose checksum holds, and no log";
	if (!c->is_blank && !c->last.index && !c->snapshot.bytes)
		return SQLITE_CORRUPT;
	return SQLITE_OK;
}

static int check_version(sqlite3 *db, char *text, size_t size, const char *path)
{
	uint64_t version;
	int r = store_sql_get_u64(db, "schema", &version);

	if (!r && !version)
		return store_sql_set_u64(db, "schema", STORE_SCHEMA_VERSION);
	if (!r && version == 1) {
		r = store_sql_exec(db, "ALTER TABLE log ADD COLUMN crc INT", 0);
		return r ? r : store_sql_set_u64(db, "schema", STORE_SCHEMA_VERSION);
	}
	if (!r && version != STORE_SCHEMA_VERSION) {
		snprintf(text, size,
			 "%s has schema version %llu, this program knows %d: install "
			 "the version of clusterd that wrote it",
			 path, (unsigned long long)version, STORE_SCHEMA_VERSION);
		return -EPROTO;
	}
	return r;
}

static int open_file(const char *path, sqlite3 **ret, struct store_content *content, char *text,
		     size_t size)
{
	char pages[200] = "";
	const char *what = pages;
	mode_t mask = umask(077);
	int r = store_sql_open(path, true, ret);

	umask(mask);
	if (!r)
		r = store_check_pages(*ret, pages, sizeof(pages));
	if (!r)
		r = store_sql_init(*ret);
	if (!r)
		r = check_version(*ret, text, size, path);
	if (r < 0)
		return r;
	if (!r)
		r = store_load(*ret, content, &what);
	if (!r)
		return 0;
	snprintf(text, size, "%s: %s%s%s", path, sqlite3_errstr(r), what[0] ? ": " : "", what);
	/* A page that the disk does not give any more is damage as well. */
	return (r & 0xff) == SQLITE_CORRUPT || r == SQLITE_NOTADB || r == SQLITE_IOERR_READ ||
			       r == SQLITE_IOERR_SHORT_READ
		       ? -EBADMSG
		       : -EIO;
}

int store_open(const char *path, qb_loop_t *loop, const struct store_calls *calls, void *arg,
	       struct store **ret, struct store_content *ret_content, char *text, size_t text_size)
{
	struct store *s = calloc(1, sizeof(*s));
	struct store_content content = {0};
	int r;

	must(s);
	s->loop = loop;
	s->calls = *calls;
	s->arg = arg;
	s->queue_end = &s->queue;
	s->done_end = &s->done;
	s->mark_fd = -1;
	store_saved_dir(path, s->saved_dir, sizeof(s->saved_dir));
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(s->event_fd >= 0);
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->cond, NULL);
	r = open_file(path, &s->db, &content, text, text_size);
	if (r)
		goto fail;
	store_mark_read(path, &content.mark);
	s->mark = content.mark;
	if (s->mark.promised < content.promised)
		s->mark.promised = content.promised;
	s->mark_fd = store_mark_open(path);
	s->commit = s->commit_written = content.commit;
	r = qb_loop_poll_add(loop, QB_LOOP_HIGH, s->event_fd, POLLIN, s, on_event);
	if (!r)
		r = -pthread_create(&s->thread, NULL, store_thread, s);
	if (r) {
		snprintf(text, text_size, "cannot start the database thread: %s", strerror(-r));
		goto fail;
	}
	*ret = s;
	*ret_content = content;
	return 0;
fail:
	store_log_clear(&content.log);
	free(content.snapshot.bytes);
	sqlite3_close(s->db);
	if (s->mark_fd >= 0)
		close(s->mark_fd);
	close(s->event_fd);
	free(s);
	return r;
}

uint64_t store_unanswered_ms(struct store *s)
{
	uint64_t since_ms;

	pthread_mutex_lock(&s->mutex);
	since_ms = s->since_ms;
	pthread_mutex_unlock(&s->mutex);
	return since_ms ? monotonic_ms() - since_ms : 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->mutex);
	s->is_closing = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->mutex);
	pthread_join(s->thread, NULL);
	qb_loop_poll_del(s->loop, s->event_fd);
	list_free(s->done);
	list_free(s->queue); /* behind a write that failed */
	sqlite3_close(s->db);
	if (s->mark_fd >= 0)
		close(s->mark_fd);
	close(s->event_fd);
	pthread_mutex_destroy(&s->mutex);
	pthread_cond_destroy(&s->cond);
	free(s);
}

/* The table in force at `after`, which is not older than the snapshot below it. */
static int read_from(sqlite3 *db, uint64_t after, const struct cl_epoch *epoch,
		     struct cl_table *table, struct store_snapshot *snapshot, struct store_log *log)
{
	struct cl_epoch there;
	bool reaches = after && !store_sql_epoch_at(db, after, &there) &&
		       !cl_epoch_compare(&there, epoch) &&
		       store_sql_epoch_at(db, after + STORE_TAIL_MAX + 1, &there) == -ENOENT;

	if (reaches)
		return store_sql_read_log(db, after, UINT64_MAX, log) ? -EIO : 0;
	if (store_sql_read_snapshot(db, UINT64_MAX, snapshot, table))
		return -EIO;
	return store_sql_read_log(db, snapshot->index, UINT64_MAX, log) ? -EIO : 0;
}

int store_read(const char *path, uint64_t after, const struct cl_epoch *epoch,
	       struct cl_uuid *ret_cluster, struct cl_table *ret_table,
	       struct store_snapshot *ret_snapshot, struct store_log *ret_log)
{
	_cleanup_sqlite_ sqlite3 *db = NULL;
	size_t len;
	int r;

	*ret_snapshot = (struct store_snapshot){0};
	*ret_log = (struct store_log){0};
	*ret_table = (struct cl_table){0};
	if (store_sql_open_reader(path, &db))
		return -EIO;
	if (store_sql_get(db, "cluster", ret_cluster->byte, sizeof(ret_cluster->byte), &len) ||
	    len != sizeof(ret_cluster->byte))
		return -ENODATA;
	r = read_from(db, after, epoch, ret_table, ret_snapshot, ret_log);
	if (r) {
		store_log_clear(ret_log);
		free(ret_snapshot->bytes);
		*ret_snapshot = (struct store_snapshot){0};
	}
	return r;
}
