/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lund --store FILE --log FILE --control FD [--data FILE] [--reads] [--sync] PATH...: mounts a
 * file for node 1, 2, ... on each PATH (an empty file), prints "ready", serves until it is killed.
 *
 * FD is a listening socket. A line on a connection to it, and the answer (`ok`, or `error TEXT`):
 *
 *   on N                     node N may do I/O; its faults are gone
 *   cut N                    all that comes is refused from now on; has ended what was accepted
 *   off N                    notes in the log that it is proven off
 *   ok N                     its faults are gone; what was held goes on
 *   hold N                   nothing ends
 *   fail N OPS [FROM TO]     read,write,flush,discard end with EIO; only what touches these bytes
 *   delay N MS OPS           they take so much longer
 *   tear N AFTER BYTES       after so many whole writes one is cut to BYTES and ends with EIO, as
 *                            does all that follows but flushes
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/must.h"
#include "tests/lab/lund.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* ---- commands */

static uint32_t parse_ops(char *text)
{
	static const struct {
		const char *name;
		uint32_t ops;
	} table[] = {{"read", LUND_READ},
		     {"write", LUND_WRITE},
		     {"flush", LUND_FLUSH},
		     {"discard", LUND_DISCARD | LUND_ZERO},
		     {"all", LUND_ALL}};
	uint32_t ops = 0;
	char *save;

	for (char *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		uint32_t before = ops;

		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
			if (!strcmp(word, table[i].name))
				ops |= table[i].ops;
		}
		if (ops == before)
			return 0;
	}
	return ops;
}

static void note(struct lund_node *n, enum lund_op op)
{
	struct lund_record r = {.serial = lund_serial(n->lund),
				.begin_ns = lund_now_ns(),
				.op = (uint16_t)op,
				.node = (uint8_t)n->number};

	lund_log(n->lund, &r, NULL);
}

static void heal(struct lund_node *n)
{
	n->is_held = n->is_tearing = false;
	n->failing = n->delayed = 0;
	n->delay_ms = 0;
}

/* With the node's lock held. NULL, or what is wrong. */
static const char *act(struct lund_node *n, const char *what, char **word, int words)
{
	unsigned long number = words > 0 ? strtoul(word[0], NULL, 10) : 0;

	if (!strcmp(what, "on") && !words) {
		n->is_cut = false;
		heal(n);
		note(n, LUND_ON);
	} else if (!strcmp(what, "cut") && !words) {
		n->is_cut = true;
		pthread_cond_broadcast(&n->changed);
		while (n->under_way)
			pthread_cond_wait(&n->changed, &n->lock);
		note(n, LUND_CUT);
	} else if (!strcmp(what, "off") && !words) {
		if (!n->is_cut)
			return "it is not cut off";
		note(n, LUND_OFF);
	} else if (!strcmp(what, "ok") && !words) {
		heal(n);
	} else if (!strcmp(what, "hold") && !words) {
		n->is_held = true;
	} else if (!strcmp(what, "fail") && (words == 1 || words == 3)) {
		n->failing_from = words == 3 ? strtoull(word[1], NULL, 10) : 0;
		n->failing_to = words == 3 ? strtoull(word[2], NULL, 10) : UINT64_MAX;
		n->failing = parse_ops(word[0]);
		return n->failing ? NULL : "unknown operation";
	} else if (!strcmp(what, "delay") && words == 2) {
		n->delay_ms = (unsigned)number;
		n->delayed = parse_ops(word[1]);
		return n->delayed ? NULL : "unknown operation";
	} else if (!strcmp(what, "tear") && words == 2) {
		n->is_tearing = true;
		n->tear_after = (unsigned)number;
		n->tear_bytes = strtoul(word[1], NULL, 10);
	} else {
		return "unknown command, or wrong words after it";
	}
	return NULL;
}

void lund_command(struct lund *l, char *line, char *answer, size_t size)
{
	char *word[5] = {NULL}, *save;
	const char *wrong = "COMMAND N [WORD...]";
	int words = 0;

	for (char *w = strtok_r(line, " \n", &save); w && words < 5;
	     w = strtok_r(NULL, " \n", &save))
		word[words++] = w;
	if (words >= 2) {
		unsigned long number = strtoul(word[1], NULL, 10);
		struct lund_node *n = number && number <= LUND_NODES ? &l->node[number - 1] : NULL;

		wrong = "no such node";
		if (n && n->lund) {
			pthread_mutex_lock(&n->lock);
			wrong = act(n, word[0], word + 2, words - 2);
			pthread_cond_broadcast(&n->changed);
			pthread_mutex_unlock(&n->lock);
		}
	}
	snprintf(answer, size, wrong ? "error %s\n" : "ok\n", wrong);
}

/* ---- life */

static int die(const char *what)
{
	fprintf(stderr, "lund: %s: %s\n", what, strerror(errno));
	return 1;
}

static void answer_one(struct lund *l, int fd)
{
	char line[256] = "", answer[256];
	size_t at = 0;

	while (at < sizeof(line) - 1 && !strchr(line, '\n')) {
		ssize_t n = read(fd, line + at, sizeof(line) - 1 - at);

		if (n <= 0)
			return;
		at += (size_t)n;
	}
	lund_command(l, line, answer, sizeof(answer));
	if (write(fd, answer, strlen(answer)) < 0)
		return;
}

static int open_files(struct lund *l, const char *store, const char *log, const char *data)
{
	struct stat st;

	l->store = store ? open(store, O_RDWR | O_CLOEXEC) : -1;
	l->log = log ? open(log, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	l->data = data ? open(data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	if (l->store < 0 || l->log < 0 || (data && l->data < 0) || fstat(l->store, &st))
		return -1;
	l->size = (uint64_t)st.st_size;
	return 0;
}

static int add_nodes(struct lund *l, char **path, int count)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	for (int i = 0; i < count; i++) {
		struct lund_node *n = &l->node[i];
		int r;

		*n = (struct lund_node){.lund = l, .number = (unsigned)i + 1, .path = path[i]};
		pthread_mutex_init(&n->lock, NULL);
		pthread_cond_init(&n->changed, &attr);
		r = lund_export(n);
		if (r) {
			errno = -r;
			return die(path[i]);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"store", required_argument, NULL, 's'},
		{"log", required_argument, NULL, 'l'},
		{"data", required_argument, NULL, 'd'},
		{"control", required_argument, NULL, 'c'},
		{"reads", no_argument, NULL, 'r'},
		{"sync", no_argument, NULL, 'S'},
		{NULL, 0, NULL, 0},
	};
	static struct lund l;
	const char *value[128] = {NULL};
	int option, listener, fd;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			return 2;
		value[option] = optarg ? optarg : "";
	}
	if (!value['c'] || optind == argc || argc - optind > LUND_NODES)
		return fputs("usage: see the top of lund.c\n", stderr), 2;
	signal(SIGPIPE, SIG_IGN);
	/* It stands under file systems: its memory must not wait for them. */
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		fprintf(stderr, "lund: no PR_SET_IO_FLUSHER: %s\n", strerror(errno));
	pthread_mutex_init(&l.lock, NULL);
	l.logs_reads = value['r'];
	l.is_synchronous = value['S'];
	if (open_files(&l, value['s'], value['l'], value['d']))
		return die("store or log");
	listener = (int)strtol(value['c'], NULL, 10);
	if (add_nodes(&l, argv + optind, argc - optind))
		return 1;
	puts("ready");
	fflush(stdout);
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		answer_one(&l, fd);
		close(fd);
	}
	return die("accept");
}
