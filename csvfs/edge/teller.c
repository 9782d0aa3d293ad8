/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/teller.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define LOOK_MS 100 /* *ends is looked at so often */

/* If the kernel does not know it any more, all the better. */
static void tell_kernel(int device, struct teller_order *o)
{
	struct fuse_notify_inval_entry_out body = {.parent = o->parent,
						   .namelen = (uint32_t)strlen(o->name)};
	struct fuse_out_header head = {.error = FUSE_NOTIFY_INVAL_ENTRY};
	struct iovec iov[] = {
		{&head, sizeof(head)}, {&body, sizeof(body)}, {o->name, body.namelen + 1}};

	head.len = (uint32_t)(sizeof(head) + sizeof(body) + body.namelen + 1);
	if (writev(device, iov, 3) < 0)
		return;
}

void teller_run(int device, int socket)
{
	struct teller_order o;
	ssize_t n;

	while ((n = recv(socket, &o, sizeof(o), 0)) > 0 || (n < 0 && errno == EINTR)) {
		if (n != sizeof(o))
			continue;
		o.name[sizeof(o.name) - 1] = '\0';
		tell_kernel(device, &o);
		if (send(socket, &o.number, sizeof(o.number), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			continue; /* nobody reads any more: the next one does not wait for this */
	}
}

bool teller_tell(int socket, const struct teller_order *order, const bool *ends)
{
	uint64_t number = 0;

	if (send(socket, order, sizeof(*order), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return false;
	/* Answers to one before this may come first. */
	while (number != order->number && !__atomic_load_n(ends, __ATOMIC_RELAXED)) {
		struct pollfd p = {.fd = socket, .events = POLLIN};

		if (poll(&p, 1, LOOK_MS) > 0 &&
		    recv(socket, &number, sizeof(number), MSG_DONTWAIT) != sizeof(number))
			number = 0;
	}
	return number == order->number;
}
