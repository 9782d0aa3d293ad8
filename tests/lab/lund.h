/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The attributed LUN: a file for every node, all of them onto one store. What comes through a
 * node's file is that node's, is logged as such, and can be delayed, held, failed, torn, or refused
 * because the node is fenced. Under each node's loop device in the lab (`lab up --lun attributed`).
 */
#ifndef TESTS_LAB_LUND_H
#define TESTS_LAB_LUND_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUND_NODES   16
#define LUND_THREADS 4 /* of each node, so that what is held of one holds up no other */
#define LUND_IO_MAX  (1U << 20)

/* Bits, as `fail` and `delay` take them; and the numbers of records. */
enum lund_op {
	LUND_READ = 1,
	LUND_WRITE = 2,
	LUND_FLUSH = 4,
	LUND_DISCARD = 8, /* reads as zeros from now on */
	LUND_ZERO = 16,	  /* written as zeros */
	/* what the lab has said of the node */
	LUND_ON = 32,	/* it may do I/O */
	LUND_CUT = 64,	/* from now on everything is refused; what was accepted before has ended */
	LUND_OFF = 128, /* it is proven off: nothing may come from now on */
};
#define LUND_ALL (LUND_READ | LUND_WRITE | LUND_FLUSH | LUND_DISCARD | LUND_ZERO)

#define LUND_IS_CUT  1 /* it was refused, because the node was cut off */
#define LUND_IS_TORN 2

/*
 * A record of the log, 64 bytes, in the order in which requests ended; written before the answer
 * goes out. tests/lab/lunlog.py reads it.
 */
struct lund_record {
	uint64_t serial;	   /* in the order in which they came, of all nodes */
	uint64_t begin_ns, end_ns; /* CLOCK_BOOTTIME */
	uint64_t offset, length;
	uint64_t done; /* bytes that have reached the store */
	uint64_t data; /* 1 + where they are in the data file; 0: they were not kept */
	int32_t error; /* 0 or an errno */
	uint16_t op;
	uint8_t node; /* from 1 */
	uint8_t flags;
};

struct lund;

struct lund_node {
	struct lund *lund;
	unsigned number; /* from 1 */
	const char *path;
	struct fuse_session *session;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	bool is_cut, is_held, is_tearing;
	uint32_t failing; /* operations that fail with EIO, if they touch these bytes */
	uint64_t failing_from, failing_to;
	uint32_t delayed; /* operations that wait for delay_ms first */
	unsigned delay_ms;
	unsigned tear_after; /* writes that still pass whole */
	size_t tear_bytes;   /* of the next one; after it all fail */
	unsigned under_way;
};

struct lund {
	int store, log, data; /* data < 0: not kept */
	uint64_t size;
	bool logs_reads, is_synchronous;
	pthread_mutex_t lock; /* of log, data and what follows */
	uint64_t serial, data_end;
	struct lund_node node[LUND_NODES];
};

uint64_t lund_now_ns(void);
uint64_t lund_serial(struct lund *l);
/* Ends the process if the log cannot be written: a hole in it would hide what it is for. */
void lund_log(struct lund *l, struct lund_record *r, const void *data);
/*
 * One request of a node: waits, fails and tears as the node's faults say, else does it. `buf` is
 * read into or written from. 0 or an errno.
 */
int lund_perform(struct lund_node *n, enum lund_op op, uint64_t offset, uint64_t length, void *buf);
/* Answers one line of the control socket; `ok` or `error TEXT`. */
void lund_command(struct lund *l, char *line, char *answer, size_t size);
/* Mounts the node's file and starts its threads. 0 or -errno. */
int lund_export(struct lund_node *n);

#endif
