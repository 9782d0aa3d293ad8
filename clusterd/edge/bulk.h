/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Histories on the move: a node that lacks entries fetches them, or a snapshot and what follows
 * it, from a node that has them. Over TLS on the cluster network, not through the multicast.
 *
 * A donor serves only the view that it is in itself: an asker of another view is refused, so that
 * it never installs what a later view has overtaken.
 */
#ifndef CLUSTERD_EDGE_BULK_H
#define CLUSTERD_EDGE_BULK_H

#include <qb/qbloop.h>

#include "clusterd/core/secret.h"
#include "clusterd/edge/store.h"
#include "lib/tls.h"

struct bulk;

struct bulk_result {
	int r; /* 0 or -errno; the rest is empty on error */
	struct cl_uuid cluster;
	struct cl_table table; /* at the snapshot */
	struct store_snapshot snapshot;
	struct store_log log;
};

/* A history as bytes (owned by the caller), and back: 0 or -EBADMSG. */
int bulk_encode(const struct bulk_result *a, uint8_t **ret, size_t *ret_len);
int bulk_decode(const uint8_t *buf, size_t len, struct bulk_result *ret);
void bulk_result_clear(struct bulk_result *a);

/* Comes on the loop, once for each bulk_pull(). The callee takes what it wants out of the result.
 */
typedef void (*bulk_done)(void *arg, struct bulk_result *result);

/* Serves `store_path` and the files of `secrets_dir` on address:port, and can pull. Starts one
 * thread. */
int bulk_open(qb_loop_t *loop, const char *store_path, const char *secrets_dir, const char *address,
	      uint16_t port, const struct tls_key *key, bulk_done done, void *arg,
	      struct bulk **ret);
void bulk_close(struct bulk *b);
/* The view that this node is in; NULL: none, serve nobody. */
void bulk_set_view(struct bulk *b, const struct cl_view_id *view);
/* One at a time. */
void bulk_pull(struct bulk *b, const char *address, const struct cl_view_id *view, uint64_t after,
	       const struct cl_epoch *epoch);
/*
 * The text in a file of another node's secrets (edge/secret_file.h): 0, -ENOENT, -ESTALE: it is in
 * another view, or what the connection says. Blocks, with deadlines: for a thread of its own.
 */
int bulk_ask_secret(const char *address, uint16_t port, const struct tls_key *key,
		    const struct cl_view_id *view, const char *file, char value[SECRET_VALUE_MAX]);
/* The running pull ends soon, with -ECANCELED. */
void bulk_cancel(struct bulk *b);

#endif
