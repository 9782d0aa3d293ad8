/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpg_rtt SECONDS: how long corosync takes to give the ring an agreed place for one message.
 *
 * Sends 64 bytes to a group of its own, waits until they are delivered to itself, and sends again.
 * Prints each round trip in microseconds, one a line.
 */
#include <corosync/cpg.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_BYTES 64
#define SAMPLES_MAX   1000000
#define WAIT_MS	      10000 /* a ring that does not deliver for so long is broken */

struct rtt {
	bool is_member;
	uint64_t delivered;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static struct rtt *context(cpg_handle_t handle)
{
	void *p = NULL;

	cpg_context_get(handle, &p);
	return p;
}

static void on_deliver(cpg_handle_t handle, const struct cpg_name *group, uint32_t nodeid,
		       uint32_t pid, void *msg, size_t len)
{
	(void)group, (void)nodeid, (void)msg;
	if (pid == (uint32_t)getpid() && len == MESSAGE_BYTES)
		context(handle)->delivered++;
}

static void on_change(cpg_handle_t handle, const struct cpg_name *group,
		      const struct cpg_address *members, size_t member_count,
		      const struct cpg_address *left, size_t left_count,
		      const struct cpg_address *joined, size_t joined_count)
{
	(void)group, (void)members, (void)member_count, (void)left, (void)left_count, (void)joined,
		(void)joined_count;
	context(handle)->is_member = true;
}

static int fail(const char *what, cs_error_t error)
{
	fprintf(stderr, "cpg_rtt: %s: corosync error %d\n", what, (int)error);
	return 1;
}

/* Dispatches what is there, after it is there. */
static int take(cpg_handle_t handle, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	cs_error_t error;

	if (poll(&p, 1, WAIT_MS) <= 0) {
		fprintf(stderr, "cpg_rtt: nothing is delivered\n");
		return 1;
	}
	error = cpg_dispatch(handle, CS_DISPATCH_ALL);
	return error == CS_OK ? 0 : fail("cpg_dispatch", error);
}

static int round_trip(cpg_handle_t handle, int fd, struct rtt *s)
{
	char message[MESSAGE_BYTES] = "";
	struct iovec v = {message, sizeof(message)};
	uint64_t wanted = s->delivered + 1;
	cs_error_t error;

	while ((error = cpg_mcast_joined(handle, CPG_TYPE_AGREED, &v, 1)) == CS_ERR_TRY_AGAIN)
		usleep(1000);
	if (error != CS_OK)
		return fail("cpg_mcast_joined", error);
	while (s->delivered < wanted)
		if (take(handle, fd))
			return 1;
	return 0;
}

static int measure(cpg_handle_t handle, int fd, struct rtt *s, uint64_t ns)
{
	double *us = calloc(SAMPLES_MAX, sizeof(*us));
	uint64_t until = now_ns() + ns, begin;
	size_t count = 0;

	if (!us)
		return 1;
	while (count < SAMPLES_MAX && (begin = now_ns()) < until) {
		if (round_trip(handle, fd, s))
			return 1;
		us[count++] = (double)(now_ns() - begin) / 1000;
	}
	for (size_t i = 0; i < count; i++)
		printf("%.1f\n", us[i]);
	free(us);
	return 0;
}

int main(int argc, char **argv)
{
	cpg_model_v1_data_t model = {.cpg_deliver_fn = on_deliver, .cpg_confchg_fn = on_change};
	struct cpg_name group = {0};
	struct rtt s = {0};
	double seconds = argc == 2 ? atof(argv[1]) : 0;
	cpg_handle_t handle;
	cs_error_t error;
	int fd;

	if (seconds <= 0) {
		fprintf(stderr, "usage: cpg_rtt SECONDS\n");
		return 2;
	}
	group.length = (uint32_t)snprintf(group.value, sizeof(group.value), "bench-cpg-rtt");
	error = cpg_model_initialize(&handle, CPG_MODEL_V1, (cpg_model_data_t *)&model, &s);
	if (error != CS_OK)
		return fail("cpg_model_initialize", error);
	error = cpg_fd_get(handle, &fd);
	if (error == CS_OK)
		error = cpg_join(handle, &group);
	if (error != CS_OK)
		return fail("cpg_join", error);
	while (!s.is_member)
		if (take(handle, fd))
			return 1;
	return measure(handle, fd, &s, (uint64_t)(seconds * 1e9));
}
