/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusterd/core/member.h"
#include "clusterd/core/totem.h"
#include "clusterd/edge/crypto.h"
#include "clusterd/edge/log.h"
#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/run.h"

#define CONF_TIMER_NS	(1000 * 1000 * 1000ull)
#define CONF_REQUEST_MS 10000
#define CONF_AGAIN_MS	30000 /* what failed is tried again */
#define CONF_RELOAD_MS	10000 /* from one reload to the next, and for one */
#define CONF_CFGTOOL	"/usr/sbin/corosync-cfgtool"
#define CONF_PATH_MAX	512

struct conf {
	struct engine *engine;
	const char *path;
	qb_loop_timer_handle timer;
	bool request_runs;
	uint64_t written; /* newest version that is on disk, as far as we know; 0: not known */
	uint64_t again_ms;
	uint32_t looked_ms; /* the token with which the file was looked at; 0: it was not */
	char replaced[DB_REASON_MAX]; /* what was different in it and is not told yet; "" */
	char reason[DB_REASON_MAX];   /* why the file cannot be written; "": it can */
	bool is_reason_told;
	struct run *reload;
	struct crypto_watch *watch; /* NULL: corosync is not there */
	uint64_t reload_ms;	    /* when the last one began */
	struct corosync_nodes local;
	char *text, *edited; /* CONF_MAX each */
};

/* ---- the file */

static int __attribute__((format(printf, 2, 3))) fail(struct conf *c, const char *format, ...)
{
	char before[sizeof(c->reason)];
	va_list ap;

	memcpy(before, c->reason, sizeof(before));
	va_start(ap, format);
	(void)vsnprintf(c->reason, sizeof(c->reason), format, ap);
	va_end(ap);
	if (strcmp(before, c->reason) != 0) {
		log_error("%s: %s -> tried again", c->path, c->reason);
		c->is_reason_told = false;
	}
	return -EIO;
}

static int read_text(struct conf *c, size_t *ret_len)
{
	_cleanup_close_ int fd = open(c->path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return fail(c, "cannot be read: %s", strerror(errno));
	for (;;) {
		ssize_t n = read(fd, c->text + len, COROSYNC_CONF_MAX - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(c, "cannot be read: %s", strerror(errno));
		len += (size_t)n;
		if (len == COROSYNC_CONF_MAX)
			return fail(c, "is larger than %u bytes", COROSYNC_CONF_MAX);
		if (!n)
			break;
	}
	*ret_len = len;
	return 0;
}

static int explain(struct conf *c, const struct corosync_problem *p)
{
	return p->line ? fail(c, "line %u: %s", p->line, p->text) : fail(c, "%s", p->text);
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static int sync_folder(const char *path)
{
	char folder[CONF_PATH_MAX];
	_cleanup_close_ int fd = -1;

	snprintf(folder, sizeof(folder), "%s", path);
	fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* The whole new text or the old one, also after a crash; mode and owner as they were. */
static int replace(const char *path, const char *text, size_t len)
{
	char temp[CONF_PATH_MAX + 8];
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return -errno;
	snprintf(temp, sizeof(temp), "%s.new", path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, len);
	if (!r && (fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 07777) < 0 ||
		   fsync(fd) < 0 || rename(temp, path) < 0))
		r = -errno;
	if (r) {
		(void)unlink(temp);
		return r;
	}
	return sync_folder(path);
}

/* In what its times are not those that are wanted; false: in nothing, or nobody can tell. */
static bool differs(const struct corosync_nodes *local, const struct corosync_nodes *wanted,
		    char text[static TOTEM_TEXT_MAX])
{
	struct corosync_times t;

	totem_in_force(&local->times, local->count, &t);
	return totem_differs(&t, &wanted->times, text);
}

static int write_conf(struct conf *c, const struct corosync_nodes *nodes)
{
	struct corosync_problem problem;
	char other[TOTEM_TEXT_MAX];
	size_t len, edited;
	int r = read_text(c, &len);

	if (r)
		return r;
	if (!corosync_conf_read(c->text, len, &c->local, &problem) &&
	    differs(&c->local, nodes, other))
		snprintf(c->replaced, sizeof(c->replaced), "%s", other);
	r = corosync_conf_edit(c->text, len, nodes, c->edited, COROSYNC_CONF_MAX, &edited,
			       &problem);
	if (r == -ENOSPC)
		return fail(c, "would be larger than %u bytes", COROSYNC_CONF_MAX);
	if (r)
		return explain(c, &problem);
	if (edited != len || memcmp(c->text, c->edited, len) != 0) {
		r = replace(c->path, c->edited, edited);
		if (r)
			return fail(c, "cannot be written: %s", strerror(-r));
		log_notice("%s: version %llu with %u nodes is written", c->path,
			   (unsigned long long)nodes->version, nodes->count);
	}
	c->written = nodes->version;
	c->reason[0] = 0;
	return 0;
}

const struct corosync_nodes *conf_local(struct conf *c)
{
	struct corosync_problem problem;
	size_t len;

	if (read_text(c, &len))
		return NULL;
	if (corosync_conf_read(c->text, len, &c->local, &problem)) {
		(void)explain(c, &problem);
		return NULL;
	}
	return &c->local;
}

/* ---- telling the cluster */

static const struct db_node *self(const struct conf *c)
{
	const struct repl_state *s = &c->engine->repl;
	const struct db_node *n;

	if (s->phase != REPL_OPEN || s->self_slot >= CL_MAX_NODES)
		return NULL;
	n = db_node_by_slot(&c->engine->db, s->self_slot);
	return n && n->incarnation == s->self.incarnation && n->membership == DB_MEMBERSHIP_ADMITTED
		       ? n
		       : NULL;
}

static void told(void *arg, int r, const struct db_result *result)
{
	struct conf *c = arg;

	c->request_runs = false;
	if (r || result->code) {
		c->again_ms = engine_now_ms() + CONF_AGAIN_MS;
		c->looked_ms = 0;
	}
}

/* Something is wrong with the file or the ring, and nobody knows it yet. */
static bool has_news(const struct conf *c)
{
	return c->reason[0] && !c->is_reason_told;
}

static void tell(struct conf *c, const struct db_node *n, uint64_t running)
{
	struct db_command cmd = engine_command(c->engine, DB_CMD_NODE_CONF);
	bool is_news = has_news(c);

	if (n->conf_written == c->written && n->conf_running == running && !is_news)
		return;
	memcpy(cmd.node_conf.replaced, c->replaced, sizeof(c->replaced));
	memcpy(cmd.node_conf.name, n->name, sizeof(n->name));
	cmd.node_conf.incarnation = n->incarnation;
	cmd.node_conf.written = c->written;
	cmd.node_conf.running = running;
	if (is_news)
		memcpy(cmd.node_conf.reason, c->reason, sizeof(c->reason));
	c->request_runs = !engine_request(c->engine, &cmd, CONF_REQUEST_MS, told, c);
	c->is_reason_told = c->is_reason_told || (is_news && c->request_runs);
	if (c->request_runs)
		c->replaced[0] = 0;
}

/* It is not ours yet, and may have to be: other times are in it than the cluster wants. */
static void adopt(struct conf *c, const struct db_node *n)
{
	struct db_command cmd = engine_command(c->engine, DB_CMD_CONF_ADOPT);
	const struct corosync_nodes *local;
	struct corosync_nodes want = {0};
	char other[TOTEM_TEXT_MAX];

	member_times(&c->engine->db, &want.times);
	if (c->looked_ms == want.times.ms[COROSYNC_TOKEN] ||
	    !member_can_adopt(&c->engine->db, &c->engine->applied_table))
		return;
	c->looked_ms = want.times.ms[COROSYNC_TOKEN];
	local = conf_local(c);
	if (!local || !differs(local, &want, other))
		return;
	memcpy(cmd.conf_adopt.name, n->name, sizeof(n->name));
	snprintf(cmd.conf_adopt.differs, sizeof(cmd.conf_adopt.differs), "%s", other);
	log_notice("%s: has %s -> it becomes the cluster's", c->path, other);
	c->request_runs = !engine_request(c->engine, &cmd, CONF_REQUEST_MS, told, c);
}

/* Looks only while something is to be done: each look asks corosync, which takes milliseconds. */
void conf_changed(struct conf *c)
{
	const struct db_node *n = self(c);
	struct corosync_nodes want;
	uint64_t running = 0;

	if (!n || c->request_runs || engine_now_ms() < c->again_ms)
		return;
	if (has_news(c)) {
		tell(c, n, n->conf_running);
		return;
	}
	if (!member_conf(&c->engine->db, &want)) {
		adopt(c, n);
		return;
	}
	if (n->conf_written == want.version && n->conf_running == want.version)
		return;
	if (c->written != want.version && write_conf(c, &want))
		c->again_ms = engine_now_ms() + CONF_AGAIN_MS;
	if (cpg_config_version(&running))
		return; /* without corosync there is nobody to tell */
	if (running == want.version)
		cpg_totem_times(&c->engine->token_ms, &c->engine->consensus_ms);
	tell(c, n, running);
}

/* ---- all corosyncs */

static void reloaded(void *data, const struct run_result *result)
{
	struct conf *c = data;
	char text[DB_REASON_MAX];

	c->reload = NULL;
	if (result->kind == RUN_EXITED && !result->code)
		return;
	run_output_text(&result->err, 2, text, sizeof(text));
	log_error("corosync-cfgtool -R: %s %d: %s -> tried again", run_kind_name(result->kind),
		  result->code, text);
}

void conf_reload(struct conf *c)
{
	static const char *const argv[] = {"corosync-cfgtool", "-R", NULL};
	struct run_options o = RUN_OPTIONS_INIT;
	uint64_t now = engine_now_ms();
	int r;

	if (c->reload || (c->reload_ms && now - c->reload_ms < CONF_RELOAD_MS))
		return;
	c->reload_ms = now;
	o.path = CONF_CFGTOOL;
	o.argv = argv;
	o.timeout_ms = CONF_RELOAD_MS;
	log_notice("every node has its corosync.conf -> all corosyncs read it");
	r = run_start(c->engine->loop, &o, reloaded, c, &c->reload);
	if (r)
		log_error("corosync-cfgtool -R: %s -> tried again", strerror(-r));
}

/* ---- encryption */

/* All nodes together would stand still if they left for it: it is told, and goes on. */
static void on_unsafe(void *arg, const char *text)
{
	(void)fail(arg, "%s", text);
}

/* corosync may have been away: whenever there is none, again. */
static void watch_crypto(struct conf *c)
{
	bool is_joined = c->engine->repl.phase != REPL_DOWN;

	if (!is_joined) {
		crypto_watch_close(c->watch);
		c->watch = NULL;
	} else if (!c->watch) {
		(void)crypto_watch_open(c->engine->loop, on_unsafe, c, &c->watch);
	}
}

/* ---- life */

static void on_timer(void *arg)
{
	struct conf *c = arg;

	qb_loop_timer_add(c->engine->loop, QB_LOOP_LOW, CONF_TIMER_NS, c, on_timer, &c->timer);
	watch_crypto(c);
	conf_changed(c);
}

int conf_open(struct engine *e, const char *path, struct conf **ret)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct conf){.engine = e, .path = path};
	c->text = malloc(COROSYNC_CONF_MAX);
	c->edited = malloc(COROSYNC_CONF_MAX);
	if (!c->text || !c->edited) {
		free(c->text);
		free(c->edited);
		free(c);
		return -ENOMEM;
	}
	qb_loop_timer_add(e->loop, QB_LOOP_LOW, CONF_TIMER_NS, c, on_timer, &c->timer);
	*ret = c;
	return 0;
}

void conf_close(struct conf *c)
{
	if (!c)
		return;
	qb_loop_timer_del(c->engine->loop, c->timer);
	crypto_watch_close(c->watch);
	run_free(c->reload);
	free(c->text);
	free(c->edited);
	free(c);
}
