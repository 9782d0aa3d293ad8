/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket of one vm-host: a unix stream socket, mode 0600, one request and one answer a
 * connection, each a JSON object on one line. For resource agents and people; clusterd has a line
 * of its own (link.h).
 */
#ifndef MIGRATE_EDGE_CONTROL_H
#define MIGRATE_EDGE_CONTROL_H

#include <jansson.h>
#include <qb/qbloop.h>
#include <stdbool.h>

#define CONTROL_LINE_MAX   4096u
#define CONTROL_CLIENTS	   8
#define CONTROL_REQUEST_MS 5000 /* for the request to come */

struct control;

/*
 * A request; borrows it. The answer, owned by the caller; NULL: not yet: it is asked again at each
 * control_changed(), and for the last time with `is_late` at the end of wait_ms, which the first
 * call sets.
 */
typedef json_t *(*control_fn)(void *arg, const json_t *request, bool is_late,
			      uint64_t *ret_wait_ms);

/* Takes fd, also on failure. */
int control_open(qb_loop_t *loop, int fd, control_fn fn, void *arg, struct control **ret);
/* Something that a request waits for may have come. */
void control_changed(struct control *c);
/* Takes NULL, returns NULL. */
struct control *control_close(struct control *c);

#endif
