/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is corosync's ring encrypted? Whoever can send into one that is not can be any node. Asked before
 * clusterd joins, and again each time that corosync has read its configuration.
 *
 * Loop thread only. Wrapper of libcmap (cmap_keys(8)).
 */
#ifndef CLUSTERD_EDGE_CRYPTO_H
#define CLUSTERD_EDGE_CRYPTO_H

#include <qb/qbloop.h>

#define CRYPTO_TEXT_MAX 200

struct crypto_watch;

/* 0; -EPERM with what to change; -ENOTCONN: corosync does not answer. */
int crypto_check(char text[static CRYPTO_TEXT_MAX]);
/* `unsafe` is called after each reload that leaves the ring unencrypted. 0 or -ENOTCONN. */
int crypto_watch_open(qb_loop_t *loop, void (*unsafe)(void *arg, const char *text), void *arg,
		      struct crypto_watch **ret);
/* Takes NULL. */
void crypto_watch_close(struct crypto_watch *w);

#endif
