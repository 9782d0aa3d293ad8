/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/client.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "migrate/edge/due.h"
#include "migrate/edge/record.h"

#define ANSWER_MAX (64 * 1024)
#define SPARE_MS   10000 /* beyond what the other side waits for */
#define EXIT_S	   10	 /* for a process that has said that it ends */

static int dial(const struct client_options *o)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char path[RECORD_PATH];
	int r = record_path(o->run_dir, o->uuid, "sock", path);

	if (r || strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* One line, or -ETIMEDOUT, -EPIPE: an end without an answer. */
static int read_line(int fd, uint64_t end_ms, char *buf, size_t cap)
{
	size_t len = 0;

	while (len < cap) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now_ms = due_now_ms();
		ssize_t n;

		if (now_ms >= end_ms || poll(&p, 1, (int)(end_ms - now_ms)) == 0)
			return -ETIMEDOUT;
		n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		len += (size_t)n;
		if (buf[len - 1] == '\n') {
			buf[len - 1] = '\0';
			return 0;
		}
	}
	return -EMSGSIZE;
}

/* Takes request. 0 and the answer, owned; -ECONNREFUSED or -ENOENT: there is nobody. */
static int ask(const struct client_options *o, json_t *request, uint64_t timeout_ms, json_t **ret)
{
	_cleanup_(json_decrefp) json_t *r = request;
	_cleanup_free_ char *text = json_dumps(r, JSON_COMPACT), *line = malloc(ANSWER_MAX);
	_cleanup_close_ int fd = dial(o);
	int e;

	if (fd < 0)
		return fd;
	if (!text || !line)
		return -ENOMEM;
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 || send(fd, "\n", 1, MSG_NOSIGNAL) < 0)
		return -errno;
	e = read_line(fd, due_now_ms() + timeout_ms, line, ANSWER_MAX);
	if (e)
		return e;
	*ret = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	return *ret ? 0 : -EBADMSG;
}

static const char *get(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

static void print_status(const json_t *s)
{
	const json_t *m = json_object_get(s, "migration");
	const char *text = get(s, "text"), *phase = get(m, "phase"), *why = get(m, "text");

	printf("%s (%s): %s%s%s\n", get(s, "name"), get(s, "uuid"), get(s, "run"),
	       text[0] ? ": " : "", text);
	printf("QEMU %s, process %lld, machine %s, %s\n", get(s, "qemu"),
	       (long long)json_integer_value(json_object_get(s, "qemu_pid")), get(s, "machine"),
	       get(s, "accelerator"));
	if (strcmp(phase, "none") != 0)
		printf("migration: %s%s%s\n", phase, why[0] ? ": " : "", why);
}

/* There is no vm-host. Its QEMU may have been left. */
static int status_of_nobody(const struct client_options *o)
{
	bool is_alive = record_is_alive(o->run_dir, o->uuid);
	const char *run = is_alive ? "out-of-control" : "stopped";

	if (o->is_json)
		printf("{\"run\": \"%s\"}\n", run);
	else
		printf("%s\n", is_alive ? "its vm-host is gone, its QEMU lives" : run);
	return is_alive ? CLIENT_FAILED : CLIENT_NOT_RUNNING;
}

static int code_of(const char *run)
{
	if (strcmp(run, "stopped") == 0 || strcmp(run, "shutdown") == 0)
		return CLIENT_NOT_RUNNING;
	return strcmp(run, "crashed") == 0 || strcmp(run, "failed") == 0 ? CLIENT_FAILED
									 : CLIENT_OK;
}

static json_t *status_request(const struct client_options *o)
{
	json_t *runs = json_array();
	const char *at = o->wait;

	if (!at) {
		json_decref(runs);
		return json_pack("{s:s}", "command", "status");
	}
	while (*at) {
		size_t n = strcspn(at, ",");

		json_array_append_new(runs, json_stringn(at, n));
		at += n + (at[n] == ',');
	}
	return json_pack("{s:s, s:o, s:I}", "command", "wait", "runs", runs, "wait_ms",
			 (json_int_t)o->timeout_ms);
}

static bool is_nobody(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

static int status(const struct client_options *o)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	const json_t *s;
	int r = ask(o, status_request(o), o->timeout_ms + SPARE_MS, &answer);

	/* A process that ends while it is waited for has answered as well. */
	if (is_nobody(r) || r == -EPIPE)
		return status_of_nobody(o);
	if (r) {
		fprintf(stderr, "vm-host: no answer: %s\n", strerror(-r));
		return CLIENT_FAILED;
	}
	s = json_object_get(answer, "status");
	if (o->is_json) {
		json_dumpf(s, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
		printf("\n");
	} else {
		print_status(s);
	}
	if (!json_is_true(json_object_get(answer, "ok"))) {
		fprintf(stderr, "vm-host: %s\n", get(answer, "text"));
		return CLIENT_FAILED;
	}
	return code_of(get(s, "run"));
}

static int plain(const struct client_options *o, json_t *request, uint64_t timeout_ms)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	int r = ask(o, request, timeout_ms, &answer);

	if (is_nobody(r)) {
		fprintf(stderr, "vm-host: not running\n");
		return CLIENT_NOT_RUNNING;
	}
	if (r || !json_is_true(json_object_get(answer, "ok"))) {
		fprintf(stderr, "vm-host: %s\n", r ? strerror(-r) : get(answer, "text"));
		return CLIENT_FAILED;
	}
	return CLIENT_OK;
}

static void on_alarm(int sig)
{
	(void)sig; /* only interrupts */
}

/* Waits until no vm-host lives, and clears up after one that was killed. */
static int see_it_gone(const struct client_options *o)
{
	struct sigaction interrupt = {.sa_handler = on_alarm};
	_cleanup_close_ int fd = -1;
	int r;

	sigaction(SIGALRM, &interrupt, NULL);
	alarm(EXIT_S);
	fd = record_lock_wait(o->run_dir, o->uuid);
	alarm(0);
	if (fd == -ENOENT)
		return CLIENT_OK; /* no run dir: there never was one */
	r = fd < 0 ? fd : record_kill(o->run_dir, o->uuid);
	if (r) {
		fprintf(stderr, "vm-host: %s\n",
			r == -EINTR ? "it has said that it ends, and does not" : strerror(-r));
		return CLIENT_FAILED;
	}
	return CLIENT_OK;
}

static int stop(const struct client_options *o)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	uint64_t wait_ms = o->deadline_ms + o->timeout_ms;
	int r = ask(o,
		    json_pack("{s:s, s:I, s:I}", "command", "stop", "stop_ms",
			      (json_int_t)o->deadline_ms, "wait_ms", (json_int_t)wait_ms),
		    wait_ms + SPARE_MS, &answer);

	/* Nobody, or a process that ended before it could answer. */
	if (is_nobody(r) || r == -EPIPE || r == -ECONNRESET ||
	    (!r && json_is_true(json_object_get(answer, "ok"))))
		return see_it_gone(o);
	fprintf(stderr, "vm-host: %s\n", r ? strerror(-r) : get(answer, "text"));
	return CLIENT_FAILED;
}

/* ---- quiesce */

static pid_t quiesced; /* the program */

static void on_signal(int sig)
{
	if (quiesced > 0)
		kill(quiesced, sig);
}

/* Signals are for the program: the virtual CPUs are released when that has ended. */
static int run_program(char *const *argv)
{
	struct sigaction forward = {.sa_handler = on_signal};
	int status;

	sigaction(SIGTERM, &forward, NULL);
	sigaction(SIGINT, &forward, NULL);
	quiesced = fork();
	if (!quiesced) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		execv(argv[0], argv);
		fprintf(stderr, "vm-host: %s: %s\n", argv[0], strerror(errno));
		_exit(CLIENT_FAILED);
	}
	if (quiesced < 0)
		return CLIENT_FAILED;
	while (waitpid(quiesced, &status, 0) < 0) {
		if (errno != EINTR)
			return CLIENT_FAILED;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : CLIENT_FAILED;
}

int client_quiesce(const struct client_options *o, char *const *argv)
{
	_cleanup_(json_decrefp) json_t *held = NULL, *released = NULL;
	int code, r = ask(o,
			  json_pack("{s:s, s:I, s:I}", "command", "hold", "hold_ms",
				    (json_int_t)o->hold_ms, "wait_ms", (json_int_t)o->timeout_ms),
			  o->timeout_ms + SPARE_MS, &held);

	if (is_nobody(r)) {
		fprintf(stderr, "vm-host: not running\n");
		return CLIENT_NOT_RUNNING;
	}
	if (r || !json_is_true(json_object_get(held, "ok"))) {
		fprintf(stderr, "vm-host: it cannot be kept still: %s\n",
			r ? strerror(-r) : get(held, "text"));
		return CLIENT_FAILED;
	}
	code = run_program(argv);
	r = ask(o,
		json_pack("{s:s, s:O}", "command", "release", "number",
			  json_object_get(held, "number")),
		SPARE_MS, &released);
	if (code)
		return code;
	if (r || !json_is_true(json_object_get(released, "ok"))) {
		fprintf(stderr, "vm-host: it was not kept still to the end: %s\n",
			r ? strerror(-r) : get(released, "text"));
		return CLIENT_FAILED;
	}
	return CLIENT_OK;
}

int client_run(const char *command, const struct client_options *o)
{
	if (strcmp(command, "status") == 0)
		return status(o);
	if (strcmp(command, "stop") == 0)
		return stop(o);
	if (strcmp(command, "migrate") == 0)
		return plain(o,
			     json_pack("{s:s, s:s, s:i, s:I}", "command", command, "peer", o->peer,
				       "port", (int)o->port, "bandwidth", (json_int_t)o->bandwidth),
			     SPARE_MS);
	return plain(o, json_pack("{s:s}", "command", command), SPARE_MS);
}
