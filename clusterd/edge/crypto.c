/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/crypto.h"

#include <corosync/cmap.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"

#define RELOAD_KEY "config.totemconfig_reload_in_progress"

struct crypto_watch {
	qb_loop_t *loop;
	cmap_handle_t cmap;
	int fd;
	void (*unsafe)(void *arg, const char *text);
	void *arg;
};

/* corosync's default is none. */
static bool is_set(cmap_handle_t h, const char *key)
{
	char *value = NULL;
	bool is = cmap_get_string(h, key, &value) == CS_OK && strcmp(value, "none") != 0;

	free(value);
	return is;
}

static int check(cmap_handle_t h, char text[static CRYPTO_TEXT_MAX])
{
	if (is_set(h, "totem.crypto_cipher") && is_set(h, "totem.crypto_hash"))
		return 0;
	snprintf(text, CRYPTO_TEXT_MAX,
		 "corosync's ring is not encrypted: set crypto_cipher: aes256 and crypto_hash: "
		 "sha256 "
		 "in section totem of corosync.conf, on every node, and make a key with "
		 "corosync-keygen");
	return -EPERM;
}

int crypto_check(char text[static CRYPTO_TEXT_MAX])
{
	cmap_handle_t h;
	int r;

	if (cmap_initialize(&h) != CS_OK)
		return -ENOTCONN;
	r = check(h, text);
	cmap_finalize(h);
	return r;
}

static void on_reload(cmap_handle_t h, cmap_track_handle_t track, int32_t event, const char *key,
		      struct cmap_notify_value now, struct cmap_notify_value before, void *arg)
{
	struct crypto_watch *w = arg;
	char text[CRYPTO_TEXT_MAX];

	(void)track;
	(void)event;
	(void)key;
	(void)before;
	if (now.type == CMAP_VALUETYPE_UINT8 && now.data && *(const uint8_t *)now.data)
		return; /* it begins */
	if (check(h, text) == -EPERM)
		w->unsafe(w->arg, text);
}

static int on_readable(int32_t fd, int32_t revents, void *arg)
{
	struct crypto_watch *w = arg;

	(void)fd;
	if (cmap_dispatch(w->cmap, CS_DISPATCH_ALL) == CS_OK && !(revents & (POLLHUP | POLLERR)))
		return 0;
	qb_loop_poll_del(w->loop, w->fd); /* corosync has ended, and cpg.c says so */
	w->fd = -1;
	return 0;
}

int crypto_watch_open(qb_loop_t *loop, void (*unsafe)(void *arg, const char *text), void *arg,
		      struct crypto_watch **ret)
{
	struct crypto_watch *w = calloc(1, sizeof(*w));
	cmap_track_handle_t track;

	must(w);
	*w = (struct crypto_watch){.loop = loop, .unsafe = unsafe, .arg = arg, .fd = -1};
	if (cmap_initialize(&w->cmap) != CS_OK) {
		free(w);
		return -ENOTCONN;
	}
	if (cmap_fd_get(w->cmap, &w->fd) != CS_OK ||
	    cmap_track_add(w->cmap, RELOAD_KEY, CMAP_TRACK_ADD | CMAP_TRACK_MODIFY, on_reload, w,
			   &track) != CS_OK ||
	    qb_loop_poll_add(loop, QB_LOOP_LOW, w->fd, POLLIN | POLLHUP | POLLERR, w,
			     on_readable)) {
		cmap_finalize(w->cmap);
		free(w);
		return -ENOTCONN;
	}
	*ret = w;
	return 0;
}

void crypto_watch_close(struct crypto_watch *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		qb_loop_poll_del(w->loop, w->fd);
	cmap_finalize(w->cmap);
	free(w);
}
