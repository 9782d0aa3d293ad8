/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forced quorum: an administrator says of members that are absent that they are down, and those
 * who are here go on without them. What is decided here: whether that may be asked for, and what
 * the table is from then on. The entry that opens the forced epoch carries it all: who said so,
 * when, of whom, and the new table, in which exactly those vote who were here and hold a history.
 * It is the one change of more than one vote, and it raises the generation, so that its history
 * wins over every longer one of those who were left behind (doc/adr/0020).
 *
 * That the absent are down is a word of a person, and no proof: nothing of theirs is started
 * before each of them is fenced.
 */
#ifndef CLUSTERD_CORE_FORCE_H
#define CLUSTERD_CORE_FORCE_H

#include "clusterd/core/msg.h"

#define FORCE_RECORD_MAX 2048

struct repl_state;

enum force_refusal {
	FORCE_ALLOWED,
	FORCE_NO_VIEW,	    /* no view is complete: again in a moment */
	FORCE_NOT_ADMITTED, /* this node is no member here */
	FORCE_BLANK,	    /* this node holds no history */
	FORCE_QUORATE,	    /* there is quorum */
	FORCE_PRESENT,	    /* listed, and there: `nodes` */
	FORCE_UNLISTED,	    /* absent, and not listed: `nodes` */
	FORCE_REFUSAL_MAX,
};

struct force_answer {
	enum force_refusal refusal;
	uint16_t nodes; /* what the refusal is about, by slot */
};

/* May this node ask for it, with those members down? `nodes` says of whom the answer is. */
struct force_answer force_check(const struct repl_state *s, uint16_t down);

struct force_record {
	uint64_t at_ms; /* wall-clock time of the node that was asked */
	struct cl_name actor;
	uint16_t down;
	struct cl_table table; /* in force from this entry on */
};

/*
 * The generation of an epoch that the node `starter` opens by force, after `from`: a round more,
 * and the starter in it. So two halves that are forced apart have two generations, and which of
 * them is higher does not change, whatever becomes of either.
 */
uint32_t force_generation(uint32_t from, uint8_t starter);
/* The table of those who go on: the members stay, and exactly `voters` vote. */
struct cl_table force_table(const struct cl_table *from, uint16_t voters, uint64_t index);

/* 0 and the length, or -ENOBUFS. */
int force_record_encode(const struct force_record *r, void *buf, size_t cap, size_t *ret_len);
/* 0, or -EBADMSG; *ret is untouched then. */
int force_record_decode(struct cl_blob payload, struct force_record *ret);

const char *force_refusal_name(enum force_refusal refusal);

#endif
