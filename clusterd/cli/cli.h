/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clusterctl: one table of commands, a thin client of the API socket, and tables for people. */
#ifndef CLUSTERD_CLI_CLI_H
#define CLUSTERD_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum cli_exit { /* clusterd-exit-codes(7) */
		CLI_OK = 0,
		CLI_FAILED = 1,
		CLI_USAGE = 2,
		CLI_TIMED_OUT = 7,
		CLI_UNREACHABLE = 69,
		CLI_INTERRUPTED = 130,
};

struct command {
	const char *noun, *verb, *api, *positionals, *options, *columns, *help;
};

extern const struct command commands[];
extern const size_t command_count;

struct cli {
	const struct command *command;
	json_t *args;
	bool json, no_headers, wait, no_wait;
	const char *fields;
	double timeout_s, wait_s;
	char socket[108];
};

/* Fills in cli from the command line; CLI_OK, or the exit code after a message. -1: help given. */
int cli_parse(int argc, char **argv, struct cli *cli);
void cli_usage(const char *noun);

/* Connects; a descriptor, or -errno. */
int client_connect(const char *path);
int client_send(int fd, const char *verb, const json_t *args);
/* One line as JSON (owned); NULL with errno: ETIMEDOUT, ECONNRESET, EBADMSG, EINTR. */
json_t *client_receive(int fd, double timeout_s);

void print_data(const struct cli *cli, const json_t *data);
void print_row(const struct cli *cli, const json_t *row);

#endif
