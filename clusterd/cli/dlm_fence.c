/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clusterd-dlm-fence: what dlm_controld runs to have a lost node fenced (`fence_all` in dlm.conf).
 * It fences nobody. clusterd decides that for itself; this waits until clusterd has the proof that
 * the node is off, dated at or after its failure, and ends 0; or says by name why there is none,
 * and ends
 * 1. dlm_controld holds the kernel's recovery of the node's locks back until then.
 *
 * Options as dlm_controld gives them, key=value lines on standard input: node (corosync's number),
 * fail_time (seconds of the wall clock; none: now), and of ours timeout (seconds) and socket.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "clusterd/cli/cli.h"
#include "clusterd/cli/dlm_verdict.h"

#define TIMEOUT_S 300
#define ANSWER_S  5.0
#define LOOK_S	  1

struct options {
	struct dlm_victim victim;
	long timeout_s;
	char socket[108];
};

static json_t *ask(int fd, const char *verb)
{
	json_t *args = json_object(), *reply = NULL, *data;

	if (client_send(fd, verb, args) == 0)
		reply = client_receive(fd, ANSWER_S);
	json_decref(args);
	data = json_incref(json_object_get(reply, "data"));
	json_decref(reply);
	return data;
}

/* One look at the clusterd of this node. True: it is fenced. Else why is set. */
static bool look(struct options *o, char *why, size_t size)
{
	int fd = client_connect(o->socket);
	json_t *nodes, *history;
	bool is_fenced = false;

	if (fd < 0) {
		snprintf(why, size, "node %u: clusterd does not answer here: %s", o->victim.nodeid,
			 strerror(-fd));
		return false;
	}
	nodes = ask(fd, "node.list");
	history = nodes ? ask(fd, "fence.history") : NULL;
	close(fd);
	if (!history)
		snprintf(why, size, "node %u: clusterd does not answer here", o->victim.nodeid);
	else
		is_fenced = dlm_is_fenced(&o->victim, nodes, history, why, size);
	json_decref(nodes);
	json_decref(history);
	return is_fenced;
}

static bool parse(struct options *o)
{
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		char *value = strchr(line, '=');

		if (!value)
			continue;
		*value++ = 0;
		value[strcspn(value, "\n")] = 0;
		if (strcmp(line, "node") == 0)
			o->victim.nodeid = (uint32_t)strtoul(value, NULL, 10);
		else if (strcmp(line, "fail_time") == 0)
			o->victim.fail_s = strtoll(value, NULL, 10);
		else if (strcmp(line, "timeout") == 0)
			o->timeout_s = strtol(value, NULL, 10);
		else if (strcmp(line, "socket") == 0)
			snprintf(o->socket, sizeof(o->socket), "%s", value);
	}
	return o->victim.nodeid && o->timeout_s > 0;
}

static time_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

int main(void)
{
	struct options o = {.victim = {.fail_s = time(NULL)},
			    .timeout_s = TIMEOUT_S,
			    .socket = "/run/clusterd/api.sock"};
	char why[DLM_WHY_MAX] = "";
	time_t until;

	if (!parse(&o)) {
		fprintf(stderr,
			"clusterd-dlm-fence: needs node=NUMBER on standard input; it is for "
			"'fence_all' in dlm.conf, see clusterd-dlm-fence(8)\n");
		return CLI_USAGE;
	}
	until = now_s() + o.timeout_s;
	while (!look(&o, why, sizeof(why))) {
		if (now_s() >= until) {
			/* dlm_controld shows neither: the log is where an administrator looks. */
			fprintf(stderr, "clusterd-dlm-fence: %s\n", why);
			syslog(LOG_DAEMON | LOG_ERR, "%s; its locks stay", why);
			return CLI_FAILED;
		}
		sleep(LOOK_S);
	}
	printf("%s\n", why);
	return CLI_OK;
}
