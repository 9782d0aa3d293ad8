/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Beginning and end of csvfs/edge/client.h, where it connects to, and what it says of itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "csvfs/edge/client_impl.h"
#include "lib/must.h"

/* ---- the end of the mount */

static bool is_idle(const struct client *c)
{
	for (size_t n = 0; n < CSV_SLOTS; n++) {
		if (c->slot[n].state != SLOT_FREE)
			return false;
	}
	return !c->is_writing;
}

static int wait_idle(struct client *c, struct client_interrupt *end)
{
	while (!is_idle(c)) {
		if (c->phase != CLIENT_READY)
			return -ENOTCONN;
		if (client_is_over(end))
			return -ETIMEDOUT;
		client_wait(c, &c->slot_freed, end);
	}
	return c->phase == CLIENT_READY ? 0 : -ENOTCONN;
}

static int release_left(struct client *c, struct client_interrupt *end)
{
	struct csv_request q = {.op = CSV_OP_RELEASE};
	struct csv_reply p;
	int r = 0;

	while (c->opens.count && !r) {
		struct opens_cursor cursor = {0};

		q.release.handle = opens_next(&c->opens, &cursor)->handle;
		pthread_mutex_unlock(&c->lock);
		r = client_call(c, &q, &p, NULL, 0, end);
		pthread_mutex_lock(&c->lock);
	}
	return r == -EINTR ? -ETIMEDOUT : r;
}

int client_goodbye(struct client *c, unsigned int timeout_ms)
{
	struct client_interrupt end = {.until_ms = client_now_ms() + timeout_ms};
	const struct csv_frame f = {.type = CSV_FRAME_GOODBYE};
	uint8_t buf[64];
	size_t len;
	int r;

	must(!csv_frame_encode(&f, buf, sizeof(buf), &len));
	pthread_mutex_lock(&c->lock);
	r = wait_idle(c, &end);
	r = r ? r : release_left(c, &end);
	r = r ? r : wait_idle(c, &end);
	if (!r) {
		client_token_take(c);
		r = client_write(c, buf, len);
		client_token_return(c, r);
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* ---- life */

void client_status(struct client *c, struct client_status *ret)
{
	struct client_status s = {0};
	uint64_t now = client_now_ms();

	pthread_mutex_lock(&c->lock);
	s.is_serving = c->phase == CLIENT_READY;
	s.term = c->welcomed;
	s.pending = c->waiting;
	s.requests = c->order;
	for (size_t n = 0; n < CSV_SLOTS; n++) {
		uint64_t age = now - c->slot[n].since_ms;

		if (c->slot[n].state == SLOT_FREE)
			continue;
		s.pending++;
		if (age > s.oldest_ms)
			s.oldest_ms = age < UINT32_MAX ? (uint32_t)age : UINT32_MAX;
	}
	memcpy(s.text, c->why, sizeof(s.text));
	pthread_mutex_unlock(&c->lock);
	*ret = s;
}

void client_target(struct client *c, const struct csv_link_state *state)
{
	struct client_target t = {0};

	pthread_mutex_lock(&c->lock);
	if (state->is_online && state->term) {
		t.term = state->term;
		t.port = state->port;
		memcpy(t.address, state->address, sizeof(t.address));
	} else if (state->term && state->term == c->target.term) {
		t = c->target;
	}
	if (t.term != c->target.term || t.port != c->target.port ||
	    strcmp(t.address, c->target.address) != 0) {
		c->target = t;
		c->target_version++;
		client_drop(c);
		pthread_cond_signal(&c->reader_wake);
		if (t.term)
			client_waits_for(c, "connecting to the coordinator of term %llx at %s",
					 (unsigned long long)t.term, t.address);
	}
	if (!t.term)
		client_waits_for(c, "there is no coordinator%s%s", state->why[0] ? ": " : "",
				 state->why);
	pthread_mutex_unlock(&c->lock);
}

static void free_client(struct client *c)
{
	for (size_t n = 0; n < CSV_SLOTS; n++)
		pthread_cond_destroy(&c->slot[n].wake);
	pthread_cond_destroy(&c->root_found);
	pthread_cond_destroy(&c->slot_freed);
	pthread_cond_destroy(&c->writer_wake);
	pthread_cond_destroy(&c->reader_wake);
	pthread_mutex_destroy(&c->lock);
	opens_done(&c->opens);
	client_keep_done(c);
	free(c->in);
	free(c);
}

static struct client *new_client(const struct client_options *options, int *ret_error)
{
	struct client *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;

	*ret_error = -ENOMEM;
	if (!c)
		return NULL;
	c->options = *options;
	c->retry_ms = CLIENT_RETRY_MIN_MS;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->reader_wake, &attr);
	pthread_cond_init(&c->writer_wake, &attr);
	pthread_cond_init(&c->slot_freed, &attr);
	pthread_cond_init(&c->root_found, &attr);
	for (size_t n = 0; n < CSV_SLOTS; n++)
		pthread_cond_init(&c->slot[n].wake, &attr);
	pthread_condattr_destroy(&attr);
	c->in = malloc(CSV_FRAME_MAX);
	*ret_error = c->in ? client_keep_open(c) : -ENOMEM;
	if (*ret_error) {
		free_client(c);
		return NULL;
	}
	client_waits_for(c, "clusterd has not said yet where the coordinator is");
	return c;
}

static void end_threads(struct client *c, bool has_writer)
{
	pthread_mutex_lock(&c->lock);
	c->is_ending = true;
	client_drop(c);
	pthread_cond_signal(&c->reader_wake);
	pthread_cond_signal(&c->writer_wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->reader, NULL);
	if (has_writer)
		pthread_join(c->writer, NULL);
}

int client_open(const struct client_options *options, struct client **ret)
{
	int r;
	struct client *c = new_client(options, &r);

	if (!c)
		return r;
	r = -pthread_create(&c->reader, NULL, client_read_loop, c);
	if (r) {
		free_client(c);
		return r;
	}
	r = -pthread_create(&c->writer, NULL, client_write_loop, c);
	if (r) {
		end_threads(c, false);
		free_client(c);
		return r;
	}
	*ret = c;
	return 0;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	end_threads(c, true);
	free_client(c);
}
