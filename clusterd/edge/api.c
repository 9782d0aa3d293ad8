/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/api.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusterd/edge/log.h"
#include "clusterd/edge/verbs.h"
#include "lib/cleanup.h"
#include "lib/listen.h"
#include "lib/must.h"

#define API_OUT_MAX	 (16 * 1024 * 1024) /* not read by the client: then it is cut off */
#define API_GROUPS_MAX	 256
#define API_LISTEN_QUEUE 32
#define API_GROUP_ADMIN	 "clusteradm"
#define API_GROUP_VIEW	 "clusterview"

struct api_ticket {
	struct api_client *client;
	struct api_ticket *next;
};

struct api_client {
	struct api *api;
	struct api_client *next;
	int fd;
	struct api_asker asker;
	char *in;
	size_t in_len, in_cap;
	char *out;
	size_t out_len, out_cap;
	bool is_busy;  /* a request is under way: the next line waits */
	bool is_gone;  /* freed when the loop is back in on_client */
	api_look wait; /* NULL: it does not wait */
	char wait_name[CL_NAME_MAX];
	uint64_t wait_until_ms;
	bool is_watching;
	uint64_t watch_after;
	struct api_ticket *tickets;
};

struct api {
	struct engine *engine;
	qb_loop_t *loop;
	int fd;
	char path[LISTEN_PATH_MAX + 1];
	size_t count;
	struct api_client *clients;
	qb_loop_timer_handle timer;
};

/* ---- who may */

static bool in_group(const char *user, gid_t gid, const char *group)
{
	gid_t groups[API_GROUPS_MAX];
	int n = API_GROUPS_MAX;
	const struct group *g = getgrnam(group);
	gid_t wanted;

	if (!g)
		return false;
	wanted = g->gr_gid;
	if (getgrouplist(user, gid, groups, &n) < 0)
		return gid == wanted;
	for (int i = 0; i < n; i++) {
		if (groups[i] == wanted)
			return true;
	}
	return false;
}

/* What the process calls itself; "" if it has gone already. */
static void read_program(pid_t pid, char *to, size_t size)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	to[0] = 0;
	if (!f)
		return;
	if (!fgets(to, (int)size, f))
		to[0] = 0;
	to[strcspn(to, "\n")] = 0;
	fclose(f);
}

/* False: may not even look. */
static bool authorize(struct api_client *c)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	const struct passwd *pw;
	struct api_asker *a = &c->asker;

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	pw = getpwuid(cred.uid);
	a->uid = cred.uid;
	a->pid = (uint32_t)cred.pid;
	read_program(cred.pid, a->program, sizeof(a->program));
	if (pw)
		snprintf(a->user, sizeof(a->user), "%s", pw->pw_name);
	else
		snprintf(a->user, sizeof(a->user), "uid %u", cred.uid);
	if (cred.uid == 0) {
		a->may_change = true;
		return true;
	}
	a->may_change = in_group(a->user, cred.gid, API_GROUP_ADMIN);
	return a->may_change || in_group(a->user, cred.gid, API_GROUP_VIEW);
}

/* ---- tickets: for answers that come later */

struct api_ticket *api_ticket_new(struct api_client *c)
{
	struct api_ticket *t = calloc(1, sizeof(*t));

	must(t);
	t->client = c;
	t->next = c->tickets;
	c->tickets = t;
	return t;
}

struct api_client *api_ticket_take(struct api_ticket *t)
{
	struct api_client *c = t->client;

	for (struct api_ticket **link = c ? &c->tickets : NULL; link && *link;
	     link = &(*link)->next) {
		if (*link == t) {
			*link = t->next;
			break;
		}
	}
	free(t);
	return c;
}

/* ---- connection */

static int on_client(int32_t fd, int32_t revents, void *arg);

static void client_free(struct api_client *c)
{
	struct api *a = c->api;

	for (struct api_client **link = &a->clients; *link; link = &(*link)->next) {
		if (*link == c) {
			*link = c->next;
			break;
		}
	}
	for (struct api_ticket *t = c->tickets; t; t = t->next)
		t->client = NULL;
	qb_loop_poll_del(a->loop, c->fd);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
	a->count--;
}

static void client_flush(struct api_client *c)
{
	size_t at = 0;

	while (at < c->out_len) {
		ssize_t n = send(c->fd, c->out + at, c->out_len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			c->is_gone = true;
			at = c->out_len;
			break;
		}
		at += (size_t)n;
	}
	memmove(c->out, c->out + at, c->out_len - at);
	c->out_len -= at;
	if (!c->is_gone)
		qb_loop_poll_mod(c->api->loop, QB_LOOP_MED, c->fd,
				 c->out_len ? POLLIN | POLLOUT : POLLIN, c, on_client);
}

static void client_send(struct api_client *c, json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
	size_t len;

	must(text);
	len = strlen(text);
	if (c->out_len + len + 1 > API_OUT_MAX) {
		log_warning("api: %s does not read its replies -> disconnected", c->asker.user);
		c->is_gone = true;
		free(text);
		return;
	}
	if (c->out_len + len + 1 > c->out_cap) {
		c->out_cap = c->out_len + len + 1;
		c->out = realloc(c->out, c->out_cap);
		must(c->out);
	}
	memcpy(c->out + c->out_len, text, len);
	c->out[c->out_len + len] = '\n';
	c->out_len += len + 1;
	free(text);
	client_flush(c);
}

/* A text that was cut within a character goes without it. */
static json_t *text_json(char *text)
{
	json_t *v;

	for (size_t n = strlen(text); !(v = json_string(text)) && n > 0;)
		text[--n] = 0;
	return v;
}

void api_reply(struct api_client *c, enum api_code code, json_t *data, const char *format, ...)
{
	json_t *o = json_object();
	char text[API_TEXT_MAX];
	va_list ap;

	must(o);
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	json_object_set_new(o, "schema", json_integer(API_SCHEMA));
	json_object_set_new(o, "code", json_integer(code));
	json_object_set_new(o, "text", text_json(text));
	if (data)
		json_object_set_new(o, "data", data);
	c->is_busy = false;
	c->wait = NULL;
	client_send(c, o);
	json_decref(o);
}

struct engine *api_engine(struct api_client *c)
{
	return c->api->engine;
}

const struct api_asker *api_asker(const struct api_client *c)
{
	return &c->asker;
}

/* ---- requests */

/* What every verb that changes takes; false with a reply. */
static bool take_common(struct api_client *c, const struct verb *verb, const json_t *args)
{
	const json_t *reason = json_object_get(args, "reason");
	const json_t *version = json_object_get(args, "if_version");
	const json_t *dry = json_object_get(args, "dry_run");
	struct api_asker *a = &c->asker;

	a->reason[0] = 0;
	a->if_version = DB_ANY_VERSION;
	a->is_dry = false;
	if (!verb->changes && (reason || version || dry)) {
		api_reply(c, API_USAGE, NULL,
			  "%s changes nothing: it takes no reason, if_version or dry_run",
			  verb->name);
		return false;
	}
	if (reason && (!json_is_string(reason) || json_string_length(reason) >= DB_REASON_MAX)) {
		api_reply(c, API_USAGE, NULL, "reason: a text of at most %d bytes",
			  DB_REASON_MAX - 1);
		return false;
	}
	if (version && (!json_is_integer(version) || json_integer_value(version) < 0)) {
		api_reply(c, API_USAGE, NULL,
			  "if_version: the number that config_version of the object has");
		return false;
	}
	if (dry && !json_is_boolean(dry)) {
		api_reply(c, API_USAGE, NULL, "dry_run: true or false");
		return false;
	}
	if (reason)
		snprintf(a->reason, sizeof(a->reason), "%s", json_string_value(reason));
	if (version)
		a->if_version = (uint64_t)json_integer_value(version);
	a->is_dry = json_is_true(dry);
	return true;
}

static void run_line(struct api_client *c, const char *line, size_t len)
{
	json_error_t error;
	_cleanup_(json_decrefp) json_t *request =
		json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	const char *name = json_string_value(json_object_get(request, "verb"));
	const struct verb *verb = name ? verb_find(name) : NULL;
	json_t *args = json_object_get(request, "args");

	c->is_busy = true;
	if (!request) {
		api_reply(c, API_USAGE, NULL, "request is not JSON: %s (column %d)", error.text,
			  error.column);
	} else if (!verb) {
		api_reply(c, API_USAGE, NULL, "no such verb: %.64s", name ? name : "(none)");
	} else if (args && !json_is_object(args)) {
		api_reply(c, API_USAGE, NULL, "args: not an object");
	} else if (verb->changes && !c->asker.may_change) {
		api_reply(c, API_NOT_PERMITTED, NULL,
			  "%s: %s may look only; root and group %s may change", verb->name,
			  c->asker.user, API_GROUP_ADMIN);
	} else if (take_common(c, verb, args)) {
		if (verb->changes)
			log_info("api: %s%s by %s", verb->name, c->asker.is_dry ? " (dry run)" : "",
				 c->asker.user);
		verb->run(c, args);
	}
}

/* Takes one line at a time out of the buffer before it runs: a verb may look at the buffer again.
 */
static void run_lines(struct api_client *c)
{
	while (!c->is_busy && !c->is_gone && !c->is_watching) {
		char *end = c->in_len ? memchr(c->in, '\n', c->in_len) : NULL;
		_cleanup_free_ char *line = NULL;
		size_t len;

		if (!end) {
			if (c->in_len >= API_LINE_MAX) {
				api_reply(c, API_USAGE, NULL, "request longer than %d bytes",
					  API_LINE_MAX);
				c->is_gone = true;
			}
			return;
		}
		len = (size_t)(end - c->in);
		line = malloc(len + 1);
		must(line);
		memcpy(line, c->in, len);
		memmove(c->in, end + 1, c->in_len - len - 1);
		c->in_len -= len + 1;
		run_line(c, line, len);
	}
}

static void client_read(struct api_client *c)
{
	ssize_t n;

	if (c->in_cap - c->in_len < 4096 && c->in_cap < API_LINE_MAX + 4096) {
		c->in_cap = c->in_cap ? c->in_cap * 2 : 8192;
		c->in = realloc(c->in, c->in_cap);
		must(c->in);
	}
	if (c->in_len == c->in_cap)
		return; /* a full buffer behind a request under way */
	n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		c->is_gone = true;
		return;
	}
	if (n > 0)
		c->in_len += (size_t)n;
	run_lines(c);
}

static int on_client(int32_t fd, int32_t revents, void *arg)
{
	struct api_client *c = arg;

	(void)fd;
	if (revents & (POLLERR | POLLNVAL))
		c->is_gone = true;
	if (!c->is_gone && (revents & POLLOUT))
		client_flush(c);
	if (!c->is_gone && (revents & (POLLIN | POLLHUP)))
		client_read(c);
	if (c->is_gone)
		client_free(c);
	return 0;
}

static int on_accept(int32_t fd, int32_t revents, void *arg)
{
	struct api *a = arg;
	struct api_client *c;
	int client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)revents;
	if (client_fd < 0)
		return 0;
	if (a->count >= API_CLIENTS_MAX) {
		log_warning("api: more than %d clients -> one refused", API_CLIENTS_MAX);
		close(client_fd);
		return 0;
	}
	c = calloc(1, sizeof(*c));
	must(c);
	c->api = a;
	c->fd = client_fd;
	c->next = a->clients;
	a->clients = c;
	a->count++;
	must(!qb_loop_poll_add(a->loop, QB_LOOP_MED, client_fd, POLLIN, c, on_client));
	if (!authorize(c)) {
		api_reply(c, API_NOT_PERMITTED, NULL, "%s is neither root nor in group %s or %s",
			  c->asker.user, API_GROUP_ADMIN, API_GROUP_VIEW);
		client_free(c);
	}
	return 0;
}

/* ---- what waits */

static bool task_look(struct api_client *c, const char *name, bool is_late)
{
	struct db *db = &c->api->engine->db;
	uint64_t id = strtoull(name, NULL, 10);
	const struct db_task *t = db_find_id(db, DB_KIND_TASK, id);

	if (t && t->state == DB_TASK_STATE_RUNNING && !is_late)
		return false;
	if (!t)
		api_reply(c, API_NO_SUCH, NULL, "no task %s", name);
	else if (t->state != DB_TASK_STATE_RUNNING)
		api_reply(c, t->state == DB_TASK_STATE_DONE ? API_OK : API_FAILED,
			  verb_row_json(db, DB_KIND_TASK, t), "%s", t->reason);
	else
		api_reply(c, API_TIMED_OUT, verb_row_json(db, DB_KIND_TASK, t),
			  "task %s still runs (%s)", name, t->phase);
	return true;
}

static void send_events(struct api_client *c)
{
	struct db *db = &c->api->engine->db;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_EVENT) && !c->is_gone; i++) {
		const struct db_event *e = db_at(db, DB_KIND_EVENT, i);
		json_t *o;

		if (e->id <= c->watch_after)
			continue;
		c->watch_after = e->id;
		o = verb_row_json(db, DB_KIND_EVENT, e);
		client_send(c, o);
		json_decref(o);
	}
}

void api_changed(struct api *a)
{
	for (struct api_client *c = a->clients, *next; c; c = next) {
		next = c->next;
		if (c->wait)
			c->wait(c, c->wait_name, engine_now_ms() >= c->wait_until_ms);
		if (c->is_watching)
			send_events(c);
		run_lines(c);
		if (c->is_gone)
			client_free(c);
	}
}

static void on_timer(void *arg)
{
	struct api *a = arg;

	qb_loop_timer_add(a->loop, QB_LOOP_LOW, 250 * 1000 * 1000ull, a, on_timer, &a->timer);
	api_changed(a);
}

void api_wait(struct api_client *c, api_look look, const char *name, uint64_t timeout_ms)
{
	c->is_busy = true;
	c->wait = look;
	snprintf(c->wait_name, sizeof(c->wait_name), "%s", name);
	c->wait_until_ms = engine_now_ms() + timeout_ms;
	look(c, c->wait_name, !timeout_ms);
}

void api_wait_task(struct api_client *c, uint64_t id, uint64_t timeout_ms)
{
	char name[24];

	snprintf(name, sizeof(name), "%" PRIu64, id);
	api_wait(c, task_look, name, timeout_ms);
}

void api_watch_events(struct api_client *c, uint64_t after)
{
	c->is_watching = true;
	c->watch_after = after;
	send_events(c);
}

/* ---- start and end */

int api_open(struct engine *e, const char *path, struct api **ret, char *text, size_t size)
{
	bool has_groups = getgrnam(API_GROUP_ADMIN) || getgrnam(API_GROUP_VIEW);
	/* Who may do what is decided at accept; the mode only keeps strangers out early. */
	_cleanup_close_ int fd =
		listen_unix(path, SOCK_STREAM, has_groups ? 0666 : 0600, API_LISTEN_QUEUE);
	struct api *a;

	if (fd < 0) {
		snprintf(text, size, "cannot listen on %s: %s", path, strerror(-fd));
		return fd;
	}
	a = calloc(1, sizeof(*a));
	must(a);
	a->engine = e;
	a->loop = e->loop;
	a->fd = steal_fd(&fd);
	memcpy(a->path, path, strlen(path) + 1);
	must(!qb_loop_poll_add(a->loop, QB_LOOP_MED, a->fd, POLLIN, a, on_accept));
	qb_loop_timer_add(a->loop, QB_LOOP_LOW, 250 * 1000 * 1000ull, a, on_timer, &a->timer);
	*ret = a;
	return 0;
}

void api_close(struct api *a)
{
	if (!a)
		return;
	verb_whatif_close(a->engine);
	verb_replay_close(a->engine);
	while (a->clients)
		client_free(a->clients);
	qb_loop_timer_del(a->loop, a->timer);
	qb_loop_poll_del(a->loop, a->fd);
	close(a->fd);
	unlink(a->path);
	free(a);
}
