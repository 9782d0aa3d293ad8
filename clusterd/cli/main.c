/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clusterctl(8): ask, print, and wait for the task if there is one. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/cli/cli.h"

#define LOOK_S 5.0 /* so often a long wait looks how far it is */

static volatile sig_atomic_t was_interrupted;

static void on_interrupt(int signal)
{
	(void)signal;
	was_interrupted = 1;
}

static int lost(const struct cli *cli, int error)
{
	if (was_interrupted)
		return CLI_INTERRUPTED;
	if (error == ETIMEDOUT) {
		fprintf(stderr, "clusterctl: clusterd did not answer within %g s (--timeout)\n",
			cli->timeout_s);
		return CLI_TIMED_OUT;
	}
	fprintf(stderr, "clusterctl: connection to clusterd lost: %s\n", strerror(error));
	return CLI_UNREACHABLE;
}

/* What is wrong, or what else there is to know. */
static void tell(const struct cli *cli, const json_t *reply)
{
	const char *text = json_string_value(json_object_get(reply, "text"));

	if (text && text[0])
		fprintf(stderr, "%s %s: %s\n", cli->command->noun, cli->command->verb, text);
}

static int code_of(const json_t *reply)
{
	const json_t *code = json_object_get(reply, "code");

	return json_is_integer(code) ? (int)json_integer_value(code) : CLI_FAILED;
}

/* The reply to a wait of so long; NULL with errno. */
static json_t *ask_wait(const struct cli *cli, int fd, json_int_t id, double wait_s)
{
	json_t *args = json_pack("{s:I, s:I}", "id", id, "timeout_ms", (json_int_t)(wait_s * 1000));
	int r = client_send(fd, "task.wait", args);

	json_decref(args);
	if (!r)
		return client_receive(fd, wait_s + cli->timeout_s);
	errno = -r;
	return NULL;
}

/* The wait for a node to be empty is long: each new phase of the task is a line. */
static json_t *wait_and_tell(const struct cli *cli, int fd, json_int_t id)
{
	char phase[64] = "";
	double left_s = cli->wait_s;

	for (;;) {
		double slice_s = left_s < LOOK_S ? left_s : LOOK_S;
		json_t *reply = ask_wait(cli, fd, id, slice_s);
		const char *now =
			json_string_value(json_object_get(json_object_get(reply, "data"), "phase"));

		left_s -= slice_s;
		if (!reply || code_of(reply) != CLI_TIMED_OUT || left_s <= 0)
			return reply;
		if (now && strcmp(now, phase) != 0) {
			snprintf(phase, sizeof(phase), "%s", now);
			fprintf(stderr, "%s %s: %s\n", cli->command->noun, cli->command->verb,
				phase);
		}
		json_decref(reply);
	}
}

/* Waits for the task that the command made; Ctrl-C leaves it running and says so. */
static int wait_task(const struct cli *cli, int fd, json_int_t id)
{
	json_t *reply = strcmp(cli->command->api, "node.leave") ? ask_wait(cli, fd, id, cli->wait_s)
								: wait_and_tell(cli, fd, id);
	int r;

	if (!reply) {
		int error = errno;

		if (was_interrupted)
			fprintf(stderr,
				"task %" JSON_INTEGER_FORMAT " goes on; see 'clusterctl "
				"task show %" JSON_INTEGER_FORMAT "'\n",
				id, id);
		return lost(cli, error);
	}
	r = code_of(reply);
	if (cli->json)
		print_data(cli, json_object_get(reply, "data"));
	if (r || !strcmp(cli->command->api, "node.leave"))
		tell(cli, reply);
	json_decref(reply);
	return r;
}

static int watch(const struct cli *cli, int fd)
{
	for (;;) {
		json_t *row = client_receive(fd, 1e9);

		if (!row)
			return lost(cli, errno);
		if (json_object_get(row, "code")) {
			int r = code_of(row);

			tell(cli, row);
			json_decref(row);
			return r;
		}
		if (cli->json) {
			json_dumpf(row, stdout, JSON_COMPACT);
			printf("\n");
			fflush(stdout);
		} else {
			print_row(cli, row);
		}
		json_decref(row);
	}
}

static double task_wait_s(const struct cli *cli)
{
	const json_t *ms = json_object_get(cli->args, "timeout_ms");

	return ms ? (double)json_integer_value(ms) / 1000 : 60;
}

static int answer(const struct cli *cli, int fd)
{
	/* task wait: the daemon keeps the request for as long as it was asked to (60 s by default).
	 */
	double waits_s = !strcmp(cli->command->api, "task.wait") ? task_wait_s(cli) : 0;
	json_t *reply = client_receive(fd, cli->timeout_s + waits_s), *task;
	int r;

	if (!reply)
		return lost(cli, errno);
	r = code_of(reply);
	task = json_object_get(json_object_get(reply, "data"), "task");
	tell(cli, reply);
	if (r) {
		/* Of can-lose, "no" is an answer like "yes". */
		if (r == CLI_FAILED && !strcmp(cli->command->api, "cluster.can_lose"))
			print_data(cli, json_object_get(reply, "data"));
		else if (cli->json)
			print_data(cli, reply);
	} else if (!json_is_integer(task) || !strcmp(cli->command->noun, "task")) {
		print_data(cli, json_object_get(reply, "data"));
	} else if (cli->wait || (!cli->no_wait && isatty(STDOUT_FILENO))) {
		if (!cli->json && json_object_get(json_object_get(reply, "data"), "commands"))
			print_data(cli, json_object_get(reply, "data"));
		r = wait_task(cli, fd, json_integer_value(task));
	} else {
		print_data(cli, json_object_get(reply, "data"));
	}
	if (!r && cli->detailed_exit &&
	    json_is_true(json_object_get(json_object_get(reply, "data"), "would_change")))
		r = CLI_WOULD_CHANGE;
	json_decref(reply);
	return r;
}

static int run(const struct cli *cli)
{
	int fd, r;

	if (!strcmp(cli->command->noun, "completion")) { /* of clusterctl itself */
		completion_print(cli->command->verb);
		return CLI_OK;
	}
	fd = client_connect(cli->socket);
	if (fd < 0) {
		fprintf(stderr,
			"clusterctl: cannot reach clusterd at %s: %s; does it run on this "
			"node?\n",
			cli->socket, strerror(-fd));
		return CLI_UNREACHABLE;
	}
	r = client_send(fd, cli->command->api, cli->args);
	if (r)
		r = lost(cli, -r);
	else if (!strcmp(cli->command->verb, "watch"))
		r = watch(cli, fd);
	else
		r = answer(cli, fd);
	close(fd);
	return r;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_interrupt};
	struct cli cli;
	int r = cli_parse(argc, argv, &cli);

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (!r)
		r = run(&cli);
	json_decref(cli.args);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "clusterctl: cannot write: %s\n", strerror(errno));
		return CLI_FAILED;
	}
	return r < 0 ? CLI_OK : r;
}
