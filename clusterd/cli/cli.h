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
		CLI_WOULD_CHANGE = 10, /* a dry run, with --detailed-exit */
		CLI_UNREACHABLE = 69,
		CLI_INTERRUPTED = 130,
};

struct command {
	const char *noun, *verb, *api, *positionals, *options, *columns, *help;
};

extern const struct command commands[];
extern const size_t command_count;

/* A word that stands for a noun and its verb. */
struct cli_alias {
	const char *word, *noun, *verb;
};

extern const struct cli_alias cli_aliases[];
extern const size_t cli_alias_count;
/* The options that every command has, as --help shows them: a line for each. */
extern const char cli_global_help[];

/* One of a command's options, with its name, type, and whether it is needed. */
struct cli_option {
	char name[32];
	char type[16];
	bool is_needed;
};

/* The first option in the table's text, and the text behind it; NULL: there is none. */
const char *cli_next_option(const char *text, struct cli_option *ret);

struct cli {
	const struct command *command;
	json_t *args;
	bool json, no_headers, wait, no_wait, detailed_exit;
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

/* Completion for that shell (bash, fish or zsh), on stdout. */
void completion_print(const char *shell);

void print_data(const struct cli *cli, const json_t *data);
void print_row(const struct cli *cli, const json_t *row);

/* ---- secret.c */

/* Reads a secret into that argument; CLI_USAGE after a word why not. '-' is standard input. */
int cli_set_secret(json_t *args, const char *name, const char *path);

#endif
