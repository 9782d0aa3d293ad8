/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a mount keeps in memory: csvfs/core/cache.h with a lock, which is the innermost, and a
 * clock. All take NULL: nothing is kept. Any thread.
 */
#ifndef CSVFS_EDGE_MOUNT_CACHE_H
#define CSVFS_EDGE_MOUNT_CACHE_H

#include "csvfs/core/cache.h"

struct mount_cache;

/* All its memory is taken here. NULL: there is none. */
struct mount_cache *mount_cache_new(void);
void mount_cache_free(struct mount_cache *c);

/* For the client: as cache_ask() and so on. Without a cache no child is named. */
void mount_cache_ask(struct mount_cache *c, struct csv_request *q, struct cache_note *note);
void mount_cache_answered(struct mount_cache *c, struct cache_note *note);
void mount_cache_keep(struct mount_cache *c, const struct csv_request *q, const struct csv_reply *p,
		      const struct cache_note *note);
void mount_cache_forget(struct mount_cache *c);

/* For the line of recalls. */
void mount_cache_break(struct mount_cache *c, const struct csv_handle *h);
/* What goes into RENEW, and comes back, is csv_now_ms(). */
void mount_cache_renewed(struct mount_cache *c, uint64_t sent_ms);

/* For the kernel's requests: true if it can be answered. */
bool mount_cache_attr(struct mount_cache *c, const struct csv_handle *h, struct csv_attr *ret);
bool mount_cache_lookup(struct mount_cache *c, const struct csv_handle *dir, const char *name,
			struct csv_handle *ret_child, struct csv_attr *ret_attr);
bool mount_cache_lacks(struct mount_cache *c, const struct csv_handle *h, const char *name);
bool mount_cache_read(struct mount_cache *c, const struct csv_handle *h, uint64_t offset,
		      size_t size, void *buf, size_t *ret_len);
/* Answered so far. */
uint64_t mount_cache_hits(struct mount_cache *c);

#endif
