/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's grants: csvfs/core/grant.h with a lock, and a thread of its own through which
 * everything goes out, so that its functions can be called whatever else is locked. Those that
 * wait are called with nothing locked.
 */
#ifndef CSVFS_EDGE_GRANTS_H
#define CSVFS_EDGE_GRANTS_H

#include "csvfs/core/grant.h"

struct grants;

struct grants_options {
	uint64_t term;
	/* From the thread: */
	void (*send)(void *arg, uint64_t conn, const struct csv_frame *f);
	void (*close)(void *arg, uint64_t conn);
	void (*settled)(void *arg, const struct csv_handle *h);
	void (*overflow)(void *arg); /* more failures than it can keep: it cannot go on */
	void *arg;
};

/* 0 and owned, or -errno. */
int grants_open(const struct grants_options *options, struct grants **ret);
/* Nobody waits any more. Takes NULL. */
void grants_close(struct grants *g);
/* Who waits, or comes to wait, gets -ECANCELED. */
void grants_stop(struct grants *g);

/* What mounts have said, and what became of them. -ENOSPC: this coordinator cannot go on. */
int grants_event(struct grants *g, const struct grant_event *e);

bool grants_is_held(struct grants *g, const struct csv_handle *h);
bool grants_is_sole_elsewhere(struct grants *g, const struct csv_handle *h, uint64_t mount);
/* Some mount may be writing to it, or has written what the inode does not say yet. */
bool grants_is_written(struct grants *g, const struct csv_handle *h);
/* Held, and its blocks are those of another file, too. */
bool grants_is_shared(struct grants *g, const struct csv_handle *h);
/* From now on it is given to nobody; waits until nothing of it is out. Then grants_recall_end(). */
int grants_recall(struct grants *g, const struct csv_handle *h);
void grants_recall_end(struct grants *g, const struct csv_handle *h);
/* True: it is out still, is being recalled for good, and `settled` tells when it has come back. */
bool grants_unwanted(struct grants *g, const struct csv_handle *h);
/* Asks all that may write, waits for what they say, and until a failure that is known of is known
 * everywhere. 0 or -ECANCELED. */
int grants_ask(struct grants *g, const struct csv_handle *h, bool wants_flush);
/* Our own flush has failed: every mount is told. Waits until each has noted it: 0; -ECANCELED. */
int grants_failed(struct grants *g, const struct csv_handle *h, int error);
/* The same, without waiting. */
void grants_fail(struct grants *g, const struct csv_handle *h, int error);
/* True: it was written then, by what they have said; grants_touched() when the inode says so. */
bool grants_written(struct grants *g, const struct csv_handle *h, struct csv_time *ret);
void grants_touched(struct grants *g, const struct csv_handle *h, const struct csv_time *written);
/* As GRANT_EV_ISSUE. NOTHING: *ret_id, *ret_mode. */
enum csv_ungranted grants_issue(struct grants *g, const struct grant_event *e,
				struct csv_grant_id *ret_id, enum csv_grant_mode *ret_mode);
/* For whom somebody waits, and for which file; 0: for nobody. */
uint64_t grants_debtor(struct grants *g, struct csv_handle *ret);
/* As grant_silent(); since_ms as csv_now_ms(). */
size_t grants_silent(struct grants *g, struct grant_debt *ret, size_t cap);

#endif
