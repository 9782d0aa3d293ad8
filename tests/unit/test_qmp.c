/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate/edge/qmp against a scripted peer on the same loop, and against a real QEMU. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/must.h"
#include "migrate/edge/due.h"
#include "migrate/edge/qmp.h"

#define GUARD_MS 60000 /* no test may take longer */
#define LATER_MS 50

#define GREETING                                                                                   \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "         \
	"\"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n"
#define AGREED "{\"return\": {}, \"id\": 1}\r\n"

struct fixture {
	qb_loop_t *loop;
	struct due *guard;
	struct qmp *q;
	int peer;
	char heard[4096]; /* by the peer */
	size_t n_heard;
	const char *script[16]; /* what the peer says to each line that it hears */
	size_t at;
	int ready, events, replies, ends;
	struct qmp_version version;
	char event[64], data[128], why[256];
	int r;
	char value[256], text[256], class[64];
	bool is_stopped_by_reply, is_stopped_by_event;
};

static void fire(void *arg)
{
	(void)arg;
	fail_msg("the test did not end in time");
}

static void on_ready(void *arg, const struct qmp_version *version)
{
	struct fixture *f = arg;

	f->ready++;
	f->version = *version;
	qb_loop_stop(f->loop);
}

static void on_event(void *arg, const char *name, const json_t *data)
{
	struct fixture *f = arg;
	char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;

	f->events++;
	snprintf(f->event, sizeof(f->event), "%s", name);
	snprintf(f->data, sizeof(f->data), "%s", text ? text : "");
	free(text);
	if (f->is_stopped_by_event)
		qb_loop_stop(f->loop);
}

static void on_end(void *arg, const char *why)
{
	struct fixture *f = arg;

	f->ends++;
	snprintf(f->why, sizeof(f->why), "%s", why);
	qb_loop_stop(f->loop);
}

static void on_reply(void *data, const struct qmp_reply *reply)
{
	struct fixture *f = data;
	char *value =
		reply->value ? json_dumps(reply->value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	f->replies++;
	f->r = reply->r;
	snprintf(f->value, sizeof(f->value), "%s", value ? value : "");
	snprintf(f->text, sizeof(f->text), "%s", reply->text);
	snprintf(f->class, sizeof(f->class), "%s", reply->error_class ? reply->error_class : "");
	free(value);
	if (f->is_stopped_by_reply)
		qb_loop_stop(f->loop);
}

static const struct qmp_callbacks callbacks = {on_ready, on_event, on_end};

/* ---- the peer ---- */

static void say(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->peer, text, strlen(text)), strlen(text));
}

static int32_t on_peer(int32_t fd, int32_t revents, void *data)
{
	struct fixture *f = data;
	ssize_t n = read(fd, f->heard + f->n_heard, sizeof(f->heard) - 1 - f->n_heard);

	(void)revents;
	if (n <= 0) {
		qb_loop_poll_del(f->loop, fd);
		return 0;
	}
	f->heard[f->n_heard + (size_t)n] = '\0';
	for (char *nl = f->heard + f->n_heard; (nl = strchr(nl, '\n')); nl++) {
		const char *answer = f->at < MUST_ARRAY_SIZE(f->script) ? f->script[f->at] : NULL;

		f->at++;
		if (answer)
			say(f, answer);
	}
	f->n_heard += (size_t)n;
	return 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int end[2];

	assert_non_null(f);
	f->loop = qb_loop_create();
	f->is_stopped_by_reply = true;
	assert_int_equal(due_open(f->loop, fire, f, &f->guard), 0);
	due_at(f->guard, due_now_ms() + GUARD_MS);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end), 0);
	f->peer = end[1];
	assert_int_equal(qb_loop_poll_add(f->loop, QB_LOOP_MED, end[1], POLLIN, f, on_peer), 0);
	assert_int_equal(qmp_open(f->loop, end[0], &callbacks, f, &f->q), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	qmp_free(f->q);
	due_close(f->guard);
	qb_loop_poll_del(f->loop, f->peer);
	close(f->peer);
	qb_loop_destroy(f->loop);
	free(f);
	return 0;
}

static void get_ready(struct fixture *f)
{
	f->script[0] = AGREED;
	say(f, GREETING);
	qb_loop_run(f->loop);
	assert_int_equal(f->ready, 1);
}

static void assert_end(struct fixture *f, const char *why)
{
	qb_loop_run(f->loop);
	assert_int_equal(f->ends, 1);
	assert_string_equal(f->why, why);
	assert_int_equal(qmp_command(f->q, "stop", NULL, 1000, NULL, NULL), -ENOTCONN);
}

/* ---- tests ---- */

static void greeting_is_answered_with_capabilities(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(qmp_command(f->q, "stop", NULL, 1000, NULL, NULL), -ENOTCONN);
	get_ready(f);
	assert_int_equal(f->version.major, 7);
	assert_int_equal(f->version.minor, 2);
	assert_int_equal(f->version.micro, 22);
	assert_string_equal(f->heard, "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
}

static void command_is_answered_once(void **state)
{
	struct fixture *f = *state;

	get_ready(f);
	f->script[1] = "{\"return\": {\"status\": \"running\"}, \"id\": 2}\r\n";
	assert_int_equal(
		qmp_command(f->q, "query-status", json_pack("{s:i}", "x", 1), 9000, on_reply, f),
		0);
	assert_int_equal(f->replies, 0);
	qb_loop_run(f->loop);
	assert_int_equal(f->replies, 1);
	assert_int_equal(f->r, 0);
	assert_string_equal(f->value, "{\"status\":\"running\"}");
	assert_non_null(strstr(f->heard,
			       "{\"execute\":\"query-status\",\"id\":2,\"arguments\":{\"x\":1}}"));
}

static void refusal_is_told_in_words(void **state)
{
	struct fixture *f = *state;

	get_ready(f);
	f->script[1] = "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no nonsense\"}, "
		       "\"id\": 2}\r\n";
	assert_int_equal(qmp_command(f->q, "nonsense", NULL, 9000, on_reply, f), 0);
	qb_loop_run(f->loop);
	assert_int_equal(f->r, -EREMOTEIO);
	assert_string_equal(f->class, "CommandNotFound");
	assert_string_equal(f->text, "no nonsense");
}

static void event_in_the_midst_of_an_answer_is_told(void **state)
{
	struct fixture *f = *state;

	get_ready(f);
	f->script[1] = "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}"
		       "\r\n{\"return\": {}, \"id\": 2}\r\n{\"event\": \"MIGRATION\", \"data\": "
		       "{\"status\": \"active\"}}\r\n";
	f->is_stopped_by_reply = false;
	assert_int_equal(qmp_command(f->q, "stop", NULL, 9000, on_reply, f), 0);
	while (f->events < 2) {
		f->is_stopped_by_event = true;
		qb_loop_run(f->loop);
	}
	assert_int_equal(f->replies, 1);
	assert_string_equal(f->event, "MIGRATION");
	assert_string_equal(f->data, "{\"status\":\"active\"}");
}

static void late_answer_is_not_taken_for_another(void **state)
{
	struct fixture *f = *state;

	get_ready(f);
	assert_int_equal(qmp_command(f->q, "slow", NULL, LATER_MS, on_reply, f), 0);
	qb_loop_run(f->loop);
	assert_int_equal(f->r, -ETIMEDOUT);
	f->script[2] = "{\"return\": \"late\", \"id\": 2}\r\n{\"return\": \"mine\", \"id\": 3}\r\n";
	assert_int_equal(qmp_command(f->q, "quick", NULL, 9000, on_reply, f), 0);
	qb_loop_run(f->loop);
	assert_int_equal(f->replies, 2);
	assert_string_equal(f->value, "\"mine\"");
}

static void deadlines_pass_in_their_own_order(void **state)
{
	struct fixture *f = *state;

	get_ready(f);
	assert_int_equal(qmp_command(f->q, "long", NULL, 9000, on_reply, f), 0);
	assert_int_equal(qmp_command(f->q, "short", NULL, LATER_MS, on_reply, f), 0);
	qb_loop_run(f->loop);
	assert_int_equal(f->replies, 1);
	assert_int_equal(f->r, -ETIMEDOUT);
	say(f, "{\"return\": 5, \"id\": 2}\r\n");
	qb_loop_run(f->loop);
	assert_int_equal(f->replies, 2);
	assert_string_equal(f->value, "5");
}

static void commands_without_answer_are_bounded(void **state)
{
	struct fixture *f = *state;

	get_ready(f);
	for (int i = 0; i < QMP_PENDING_MAX; i++)
		assert_int_equal(qmp_command(f->q, "x", NULL, 9000, on_reply, f), 0);
	assert_int_equal(qmp_command(f->q, "x", json_object(), 9000, on_reply, f), -ENOBUFS);
	f->is_stopped_by_reply = false;
	shutdown(f->peer, SHUT_WR);
	assert_end(f, "QEMU closed its monitor");
	assert_int_equal(f->replies, QMP_PENDING_MAX);
	assert_int_equal(f->r, -EPIPE);
}

static void output_that_nobody_reads_is_bounded(void **state)
{
	struct fixture *f = *state;
	char *big = malloc(60000);
	int r = 0, n = 0;

	assert_non_null(big);
	memset(big, 'x', 59999);
	big[59999] = '\0';
	get_ready(f);
	qb_loop_poll_del(f->loop, f->peer);
	for (; !r && n < QMP_PENDING_MAX; n++)
		r = qmp_command(f->q, "x", json_pack("{s:s}", "a", big), 9000, NULL, NULL);
	assert_int_equal(r, -ENOBUFS);
	free(big);
}

static void end_of_qemu_answers_what_is_open_first(void **state)
{
	struct fixture *f = *state;

	get_ready(f);
	f->is_stopped_by_reply = false;
	assert_int_equal(qmp_command(f->q, "quit", NULL, 9000, on_reply, f), 0);
	shutdown(f->peer, SHUT_WR);
	assert_end(f, "QEMU closed its monitor");
	assert_int_equal(f->replies, 1);
	assert_int_equal(f->r, -EPIPE);
}

static void garbage_ends_the_connection(void **state)
{
	static const struct {
		const char *said, *why;
	} cases[] = {
		{"\177ELF\n", "not QMP: a line that is no JSON object"},
		{"[]\n", "not QMP: a line that is no JSON object"},
		{"{\"event\": \"A\", \"event\": \"B\"}\n",
		 "not QMP: a line that is no JSON object"},
		{"{}\n", "not QMP: a line that is neither answer nor event"},
		{"{\"event\": 1}\n", "not QMP: a line that is neither answer nor event"},
		{"{\"return\": {}}\n", "not QMP: an answer without id"},
		{"{\"return\": {}, \"id\": 77}\n", "not QMP: an answer to nothing that was asked"},
		{"{\"return\": {}, \"id\": \"x\"}\n", "not QMP: an answer without id"},
		{"{\"error\": {\"class\": \"x\"}}\n", "not QMP: it did not understand a command"},
	};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;

		get_ready(f);
		say(f, cases[i].said);
		assert_end(f, cases[i].why);
		teardown(state);
		setup(state);
	}
}

static void wrong_greetings_end_the_connection(void **state)
{
	static const char *const cases[] = {
		"{\"return\": {}}\n",
		"{\"QMP\": {}}\n",
		"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": -1, \"minor\": 2, \"major\": "
		"7}}}}\n",
	};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;

		say(f, cases[i]);
		assert_end(f, "not QMP: it did not greet as QEMU does");
		teardown(state);
		setup(state);
	}
}

static void line_without_end_is_bounded(void **state)
{
	struct fixture *f = *state;
	char block[4096];

	get_ready(f);
	memset(block, ' ', sizeof(block));
	fcntl(f->peer, F_SETFL, O_NONBLOCK);
	for (int i = 0; !f->ends; i++) {
		assert_in_range(i, 0, 1000);
		while (write(f->peer, block, sizeof(block)) > 0)
			;
		f->is_stopped_by_reply = true;
		assert_int_equal(qmp_command(f->q, "x", NULL, 1, on_reply, f), 0);
		qb_loop_run(f->loop);
	}
	assert_string_equal(f->why, "not QMP: a line that does not end");
}

static void line_in_pieces_is_one_line(void **state)
{
	struct fixture *f = *state;

	get_ready(f);
	assert_int_equal(qmp_command(f->q, "x", NULL, LATER_MS, on_reply, f), 0);
	say(f, "{\"event\": \"SHUT");
	qb_loop_run(f->loop); /* until the deadline */
	assert_int_equal(f->events, 0);
	say(f, "DOWN\"}\n");
	f->is_stopped_by_event = true;
	qb_loop_run(f->loop);
	assert_string_equal(f->event, "SHUTDOWN");
}

/* ---- a real QEMU ---- */

static pid_t start_qemu(int fd)
{
	char *const argv[] = {"qemu-system-x86_64",
			      "-S",
			      "-machine",
			      "none",
			      "-nodefaults",
			      "-display",
			      "none",
			      "-chardev",
			      "socket,id=m,fd=3",
			      "-mon",
			      "chardev=m,mode=control",
			      NULL};
	char *const envp[] = {NULL};
	posix_spawn_file_actions_t fa;
	pid_t pid;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, fd, 3);
	assert_int_equal(posix_spawn(&pid, "/usr/bin/qemu-system-x86_64", &fa, NULL, argv, envp),
			 0);
	posix_spawn_file_actions_destroy(&fa);
	return pid;
}

static void real_qemu_is_understood(void **state)
{
	struct fixture *f = *state;
	int end[2], status;
	struct qmp *q;
	pid_t pid;

	if (access("/usr/bin/qemu-system-x86_64", X_OK) < 0) {
		print_message("no qemu-system-x86_64 here\n");
		skip();
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end), 0);
	assert_in_range(end[1], 4, 1000);
	pid = start_qemu(end[1]);
	close(end[1]);
	assert_int_equal(qmp_open(f->loop, end[0], &callbacks, f, &q), 0);
	qb_loop_run(f->loop);
	assert_int_equal(f->ready, 1);
	print_message("QEMU %u.%u.%u\n", f->version.major, f->version.minor, f->version.micro);
	assert_int_equal(qmp_command(q, "query-status", NULL, 9000, on_reply, f), 0);
	qb_loop_run(f->loop);
	assert_int_equal(f->r, 0);
	assert_non_null(strstr(f->value, "\"prelaunch\""));
	assert_int_equal(qmp_command(q, "no-such-command", NULL, 9000, on_reply, f), 0);
	qb_loop_run(f->loop);
	assert_string_equal(f->class, "CommandNotFound");
	assert_int_equal(qmp_command(q, "quit", NULL, 9000, NULL, NULL), 0);
	qb_loop_run(f->loop);
	assert_int_equal(f->ends, 1);
	assert_string_equal(f->event, "SHUTDOWN");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	qmp_free(q);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(greeting_is_answered_with_capabilities),
		T(command_is_answered_once),
		T(refusal_is_told_in_words),
		T(event_in_the_midst_of_an_answer_is_told),
		T(late_answer_is_not_taken_for_another),
		T(deadlines_pass_in_their_own_order),
		T(commands_without_answer_are_bounded),
		T(output_that_nobody_reads_is_bounded),
		T(end_of_qemu_answers_what_is_open_first),
		T(garbage_ends_the_connection),
		T(wrong_greetings_end_the_connection),
		T(line_without_end_is_bounded),
		T(line_in_pieces_is_one_line),
		T(real_qemu_is_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
