/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/secrets.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusterd/edge/log.h"
#include "clusterd/edge/secret_file.h"
#include "lib/must.h"

#define CACHE_MAX     (3 * SECRET_MAX) /* a new and an old version of each, and one staged */
#define RETRY_NS      (2ull * 1000 * 1000 * 1000)
#define REQUEST_MS    10000
#define CANDIDATE_MAX CL_MAX_NODES

enum job_type { JOB_NONE, JOB_STAGE, JOB_FETCH, JOB_DROP };

/* What the thread works on; the loop leaves it alone meanwhile. */
struct job {
	enum job_type type;
	struct secret_file file;
	char address[CANDIDATE_MAX][64]; /* FETCH: whom to ask, one after the other */
	size_t addresses;
	struct cl_view_id view;
	int r;
};

/* Parted so that secret_next() sees an array of files, and the texts lie together. */
struct cache {
	size_t count;
	struct secret_file file[CACHE_MAX];
	char value[CACHE_MAX][SECRET_VALUE_MAX];
	char job_value[SECRET_VALUE_MAX]; /* of the job */
};

struct secrets {
	struct engine *engine;
	char *dir;
	struct cache *cache;
	int event_fd;
	pthread_t thread;
	struct job job;
	bool report_runs;
	qb_loop_timer_handle timer;
	bool timer_runs;
	/* secrets_set() */
	struct db_command head, set;
	secrets_done done;
	void *arg;
};

static void look(struct secrets *s);

/* ---- the cache */

static size_t cache_find(const struct cache *c, const char *name, uint64_t version)
{
	size_t i = 0;

	while (i < c->count &&
	       (c->file[i].version != version || strcmp(c->file[i].name, name) != 0))
		i++;
	return i;
}

static bool cache_put(struct cache *c, const struct secret_file *file, const char *value)
{
	size_t i = cache_find(c, file->name, file->version);

	if (i == CACHE_MAX)
		return false;
	c->count += i == c->count;
	c->file[i] = *file;
	memcpy(c->value[i], value, strlen(value) + 1);
	return true;
}

static void cache_drop(struct cache *c, const struct secret_file *file)
{
	size_t i = cache_find(c, file->name, file->version);

	if (i == c->count)
		return;
	c->count--;
	c->file[i] = c->file[c->count];
	memcpy(c->value[i], c->value[c->count], SECRET_VALUE_MAX);
	explicit_bzero(c->value[c->count], SECRET_VALUE_MAX);
}

static struct cache *cache_new(void)
{
	struct cache *c =
		mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(c != MAP_FAILED);
	if (madvise(c, sizeof(*c), MADV_DONTDUMP) || mlock(c, sizeof(*c)))
		log_info("secrets: their memory cannot be locked: %s", strerror(errno));
	return c;
}

const char *secrets_resolve(const struct secrets *s, const char *value)
{
	const char *name = secret_reference(value);
	const struct db_secret *row;
	size_t i;

	if (!name)
		return value;
	row = s ? db_find(&s->engine->db, DB_KIND_SECRET, name) : NULL;
	if (!row)
		return NULL;
	i = cache_find(s->cache, name, row->version);
	return i < s->cache->count ? s->cache->value[i] : NULL;
}

void secrets_redact(const struct secrets *s, char *text)
{
	for (size_t i = 0; s && i < s->cache->count; i++) {
		size_t len = strlen(s->cache->value[i]);

		for (char *at = text; (at = strstr(at, s->cache->value[i])); at += len)
			memset(at, '*', len);
	}
}

/* ---- the thread */

static int fetch(struct secrets *s, const char *file)
{
	struct job *j = &s->job;
	int r = -ENOENT;

	for (size_t i = 0; i < j->addresses; i++) {
		r = bulk_ask_secret(j->address[i], s->engine->options.bulk_port, &s->engine->key,
				    &j->view, file, s->cache->job_value);
		if (!r)
			break;
	}
	if (!r && !secret_value_is_valid(s->cache->job_value))
		r = -EBADMSG;
	return r ? r : secret_file_write(s->dir, file, s->cache->job_value);
}

static void *work(void *arg)
{
	struct secrets *s = arg;
	struct job *j = &s->job;
	char file[SECRET_FILE_MAX];
	uint64_t one = 1;

	secret_file_name(j->file.name, j->file.version, file);
	if (j->type == JOB_STAGE)
		j->r = secret_file_write(s->dir, file, s->cache->job_value);
	else if (j->type == JOB_FETCH)
		j->r = fetch(s, file);
	else
		j->r = secret_file_remove(s->dir, file);
	must(write(s->event_fd, &one, sizeof(one)) == sizeof(one));
	return NULL;
}

static void job_start(struct secrets *s, enum job_type type)
{
	s->job.type = type;
	must(!pthread_create(&s->thread, NULL, work, s));
}

/* ---- setting one */

static void set_end(struct secrets *s, int r, const struct db_result *result)
{
	secrets_done done = s->done;
	size_t i = cache_find(s->cache, s->set.secret_set.name, s->set.secret_set.version);

	s->done = NULL;
	if (i < s->cache->count)
		s->cache->file[i].is_staged = false; /* a row has it, or it goes */
	done(s->arg, r, result);
}

static void was_set(void *arg, int r, const struct db_result *result)
{
	struct secrets *s = arg;

	set_end(s, r, result);
	if (r != -ECANCELED) /* the engine ends */
		look(s);
}

static void staged(struct secrets *s, int r)
{
	uint8_t buf[2 * DB_COMMAND_MAX];
	size_t len = 0;

	if (!r)
		r = db_change_encode(&s->head, &s->set, 1, buf, sizeof(buf), &len);
	if (!r)
		r = engine_change(s->engine, buf, len, REQUEST_MS, was_set, s);
	if (r)
		set_end(s, r, NULL);
}

int secrets_set(struct secrets *s, const struct db_command *head, const struct db_command *cmd,
		const char *value, secrets_done done, void *arg)
{
	if (s->done || s->job.type != JOB_NONE)
		return -EBUSY;
	s->head = *head;
	s->set = *cmd;
	s->done = done;
	s->arg = arg;
	s->job = (struct job){.file = {.version = cmd->secret_set.version, .is_staged = true}};
	memcpy(s->job.file.name, cmd->secret_set.name, sizeof(s->job.file.name));
	memcpy(s->cache->job_value, value, strlen(value) + 1);
	job_start(s, JOB_STAGE);
	return 0;
}

/* ---- duties */

static void on_timer(void *arg)
{
	struct secrets *s = arg;

	s->timer_runs = false;
	look(s);
}

/* What failed is tried again, for as long as it is wanted. */
static void later(struct secrets *s)
{
	if (s->timer_runs)
		return;
	s->timer_runs = true;
	qb_loop_timer_add(s->engine->loop, QB_LOOP_LOW, RETRY_NS, s, on_timer, &s->timer);
}

static void reported(void *arg, int r, const struct db_result *result)
{
	struct secrets *s = arg;

	(void)result;
	s->report_runs = false;
	if (r)
		later(s);
}

static void report(struct secrets *s, const struct secret_duty *d)
{
	struct db_command cmd = engine_command(s->engine, DB_CMD_SECRET_HELD);

	if (s->report_runs)
		return;
	memcpy(cmd.secret_held.name, d->name, sizeof(d->name));
	cmd.secret_held.version = d->version;
	cmd.secret_held.slot = s->engine->repl.self_slot;
	cmd.secret_held.is_held = d->is_held;
	s->report_runs = !engine_request(s->engine, &cmd, REQUEST_MS, reported, s);
	if (!s->report_runs)
		later(s);
}

static void fetch_from(struct secrets *s, const struct secret_duty *d)
{
	const struct cl_table *t = &s->engine->applied_table;
	struct job *j = &s->job;

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		if ((d->from & cl_bit(slot)) &&
		    !cpg_node_address(t->member[slot].nodeid, j->address[j->addresses],
				      sizeof(j->address[0])))
			j->addresses++;
	}
	j->view = s->engine->repl.view;
	if (j->addresses)
		job_start(s, JOB_FETCH);
	else
		later(s);
}

static void do_duty(struct secrets *s, const struct secret_duty *d)
{
	if (d->type == SECRET_REPORT) {
		report(s, d);
		return;
	}
	s->job = (struct job){.file = {.version = d->version}};
	memcpy(s->job.file.name, d->name, sizeof(d->name));
	if (d->type == SECRET_FETCH)
		fetch_from(s, d);
	else
		job_start(s, JOB_DROP);
}

static void look(struct secrets *s)
{
	struct secret_facts f = {.db = &s->engine->db,
				 .self = s->engine->repl.self_slot,
				 .present = s->engine->repl.present,
				 .file = s->cache->file,
				 .count = s->cache->count};
	size_t at = 0;

	if (s->engine->repl.phase != REPL_OPEN || s->timer_runs)
		return;
	for (;;) {
		struct secret_duty d = secret_next(&f, &at);

		if (d.type == SECRET_NOTHING)
			return;
		if (d.type == SECRET_REPORT || s->job.type == JOB_NONE)
			do_duty(s, &d);
	}
}

static void job_done(struct secrets *s)
{
	static const char *const what[] = {"", "written", "fetched", "removed"};
	struct job *j = &s->job;
	enum job_type type = j->type;
	int r = j->r;

	pthread_join(s->thread, NULL);
	if (!r && type != JOB_DROP && !cache_put(s->cache, &j->file, s->cache->job_value))
		r = -ENOSPC;
	if (!r && type == JOB_DROP)
		cache_drop(s->cache, &j->file);
	explicit_bzero(s->cache->job_value, SECRET_VALUE_MAX);
	j->type = JOB_NONE;
	if (r)
		log_warning("secret %s: cannot be %s: %s -> tried again while it is wanted",
			    j->file.name, what[type], strerror(-r));
	if (type == JOB_STAGE)
		staged(s, r);
	else if (r)
		later(s);
	look(s);
}

static int on_event(int32_t fd, int32_t revents, void *arg)
{
	uint64_t count;

	(void)revents;
	if (read(fd, &count, sizeof(count)) == sizeof(count))
		job_done(arg);
	return 0;
}

void secrets_changed(struct secrets *s)
{
	look(s);
}

/* ---- start and end */

static int load(struct secrets *s, char *text, size_t size)
{
	DIR *d = opendir(s->dir);
	struct dirent *entry;

	if (!d) {
		snprintf(text, size, "%s: %s", s->dir, strerror(errno));
		return -errno;
	}
	while ((entry = readdir(d))) {
		struct secret_file file;
		int r;

		if (strstr(entry->d_name, SECRET_FILE_NEW))
			unlinkat(dirfd(d), entry->d_name, 0); /* of a process that was killed */
		if (!secret_file_parse(entry->d_name, &file))
			continue;
		r = secret_file_read(s->dir, entry->d_name, s->cache->job_value);
		if (r || !cache_put(s->cache, &file, s->cache->job_value))
			log_warning("%s/%s: %s -> fetched anew if it is wanted", s->dir,
				    entry->d_name, r ? strerror(-r) : "too many files");
	}
	explicit_bzero(s->cache->job_value, SECRET_VALUE_MAX);
	closedir(d);
	return 0;
}

int secrets_open(struct engine *e, const char *dir, struct secrets **ret, char *text, size_t size)
{
	struct secrets *s;
	int r;

	if (mkdir(dir, 0700) && errno != EEXIST) {
		snprintf(text, size, "cannot make %s: %s", dir, strerror(errno));
		return -errno;
	}
	s = calloc(1, sizeof(*s));
	must(s);
	*s = (struct secrets){.engine = e, .dir = strdup(dir), .cache = cache_new()};
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(s->dir && s->event_fd >= 0);
	must(!qb_loop_poll_add(e->loop, QB_LOOP_LOW, s->event_fd, POLLIN, s, on_event));
	r = load(s, text, size);
	if (r)
		secrets_close(s);
	else
		*ret = s;
	return r;
}

void secrets_close(struct secrets *s)
{
	if (!s)
		return;
	if (s->job.type != JOB_NONE)
		pthread_join(s->thread, NULL);
	if (s->timer_runs)
		qb_loop_timer_del(s->engine->loop, s->timer);
	qb_loop_poll_del(s->engine->loop, s->event_fd);
	close(s->event_fd);
	explicit_bzero(s->cache, sizeof(*s->cache));
	munmap(s->cache, sizeof(*s->cache));
	free(s->dir);
	free(s);
}
