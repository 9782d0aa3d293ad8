/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clusterd and the process that does its I/O on the witness say to each other, over a
 * SOCK_SEQPACKET pair: one request, one answer. Pure codec; both are of one build.
 */
#ifndef CLUSTERD_EDGE_WITNESS_LINK_H
#define CLUSTERD_EDGE_WITNESS_LINK_H

#include <stddef.h>

#include "clusterd/core/witness.h"
#include "clusterd/core/witness_disk.h"

#define WITNESS_LINK_MAX  1024
#define WITNESS_LINK_TEXT 256

enum witness_op {
	WITNESS_OP_LOOK,   /* read the header */
	WITNESS_OP_FORMAT, /* make a blank disk, or one that is a witness of this cluster, one */
	WITNESS_OP_READ,   /* the record */
	WITNESS_OP_WRITE,
	WITNESS_OP_SCAN,
	WITNESS_OP_FETCH, /* area `slot` into the file */
	WITNESS_OP_COPY,
	WITNESS_OP_APPEND,
	WITNESS_OP_PROMISE, /* of a share */
	WITNESS_OP_RECORD,
	WITNESS_OP_MAX,
};

struct witness_request {
	enum witness_op op;
	bool is_share;		      /* a folder, not a disk */
	struct claim_record record;   /* WRITE */
	uint8_t slot;		      /* FETCH */
	uint64_t number;	      /* COPY, PROMISE, RECORD: promised */
	struct witness_set set;	      /* RECORD */
	struct cl_pos end;	      /* COPY: of our history */
	uint64_t after, until;	      /* APPEND */
	struct witness_header header; /* FORMAT: what it is to be; its size is found out */
};

struct witness_answer {
	int r;			      /* 0 or -errno */
	char text[WITNESS_LINK_TEXT]; /* what was wrong, if r */
	struct witness_header header; /* LOOK, FORMAT */
	struct claim_record record;   /* READ */
	struct cl_pos best;	      /* SCAN */
	uint8_t best_slot;
	uint64_t floor;
	uint64_t copied;	/* COPY, APPEND */
	struct witness_set set; /* SCAN, PROMISE, RECORD of a share: in force */
};

size_t witness_request_encode(const struct witness_request *q, uint8_t buf[WITNESS_LINK_MAX]);
int witness_request_decode(const uint8_t *buf, size_t len, struct witness_request *ret);
size_t witness_answer_encode(const struct witness_answer *a, uint8_t buf[WITNESS_LINK_MAX]);
int witness_answer_decode(const uint8_t *buf, size_t len, struct witness_answer *ret);
const char *witness_op_name(enum witness_op op);

/* The process: `argv` is {DEVICE, DATABASE, SLOT, FILE}. The socket is its standard input. */
int witness_io_main(int argc, char **argv);

#endif
