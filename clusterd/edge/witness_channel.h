/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that does I/O on a witness disk, and the socket to it: one request at a time. Started
 * when there is something to ask; one that dies is an answer -EPIPE. Loop thread only.
 */
#ifndef CLUSTERD_EDGE_WITNESS_CHANNEL_H
#define CLUSTERD_EDGE_WITNESS_CHANNEL_H

#include <qb/qbloop.h>

#include "clusterd/edge/witness_link.h"

/* The answer is borrowed. The channel may be asked or closed from within. */
typedef void (*witness_answered)(void *arg, enum witness_op op, const struct witness_answer *a);

struct witness_channel {
	qb_loop_t *loop;
	char device[256], db_path[256], file[264];
	uint8_t slot;
	witness_answered answered;
	void *arg;
	int fd; /* -1: no process */
	int pid;
	bool is_busy;
	enum witness_op op;
	uint64_t since_ms; /* of the request */
};

void witness_channel_init(struct witness_channel *c, qb_loop_t *loop, const char *device,
			  const char *db_path, uint8_t slot, witness_answered answered, void *arg);
/* 0: the answer follows, from the loop. -EBUSY: one is under way; others: no process. */
int witness_channel_ask(struct witness_channel *c, const struct witness_request *q,
			uint64_t now_ms);
/* No answer comes any more. */
void witness_channel_close(struct witness_channel *c);
/* Waits for processes that have ended since they were left; never blocks. */
void witness_channels_reap(void);

#endif
