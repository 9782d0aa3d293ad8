/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A secret's text from a file or a terminal: never from the command line, where ps shows it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "clusterd/cli/cli.h"

#define SECRET_LINE_MAX 4096 /* more than clusterd takes, so that it says what is too long */

/* Reads a line without showing it. */
static char *ask(char *buf, size_t size)
{
	struct termios before, quiet;
	char *line;

	if (tcgetattr(STDIN_FILENO, &before))
		return NULL;
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	fprintf(stderr, "secret: ");
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet))
		return NULL;
	line = fgets(buf, (int)size, stdin);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	fputc('\n', stderr);
	return line;
}

int cli_set_secret(json_t *args, const char *name, const char *path)
{
	bool is_stdin = !strcmp(path, "-");
	FILE *f = is_stdin ? stdin : fopen(path, "re");
	char text[SECRET_LINE_MAX];
	size_t n = 0;

	if (!f) {
		fprintf(stderr, "clusterctl: %s: %s\n", path, strerror(errno));
		return CLI_USAGE;
	}
	if (is_stdin && isatty(STDIN_FILENO))
		n = ask(text, sizeof(text)) ? strlen(text) : 0;
	else
		n = fread(text, 1, sizeof(text) - 1, f);
	if (!is_stdin)
		fclose(f);
	if (n && text[n - 1] == '\n')
		n--;
	if (!n)
		fprintf(stderr, "clusterctl: %s: nothing in it\n", path);
	else
		json_object_set_new(args, name, json_stringn(text, n));
	explicit_bzero(text, sizeof(text));
	if (n && !json_object_get(args, name)) {
		fprintf(stderr, "clusterctl: %s: not UTF-8\n", path);
		return CLI_USAGE;
	}
	return n ? CLI_OK : CLI_USAGE;
}
