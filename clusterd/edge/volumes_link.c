/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the csvfsds of this node say, and what they are told. */
#include <stdlib.h>
#include <string.h>

#include "clusterd/edge/log.h"
#include "clusterd/edge/volumes_impl.h"
#include "lib/must.h"

struct volumes_client *volumes_client_find(const struct volumes *v, const uint8_t *uuid,
					   enum csv_link_role role)
{
	for (struct local_conn *l = v->local ? local_first(v->local) : NULL; l; l = l->next) {
		struct volumes_client *c = l->user;

		if (!l->is_gone && c && c->who.role == role &&
		    !memcmp(c->who.volume, uuid, CSV_LINK_UUID))
			return c;
	}
	return NULL;
}

static bool attach(struct volumes *v, struct local_conn *l, const struct csv_link_attach *who)
{
	struct volumes_client *other = volumes_client_find(v, who->volume, who->role), *c;

	if (l->user)
		return false;
	if (other)
		local_drop(other->conn); /* there is one process for each role: its new line */
	c = calloc(1, sizeof(*c));
	must(c);
	c->conn = l;
	c->who = *who;
	l->user = c;
	return true;
}

static bool on_packet(void *arg, struct local_conn *l, const void *data, size_t len)
{
	struct volumes_client *c = l->user;
	struct csv_link_message m;

	if (csv_link_decode(data, len, &m))
		return false;
	if (m.type == CSV_LINK_ATTACH)
		return attach(arg, l, &m.attach);
	if (m.type != CSV_LINK_STATUS || !c)
		return false;
	c->status = m.status;
	return true;
}

static void on_closed(void *arg, struct local_conn *l)
{
	if (l->user)
		volumes_client_gone(arg, l->user);
	free(l->user);
	l->user = NULL;
}

static void on_changed(void *arg)
{
	volumes_changed(arg);
}

static bool is_same(const struct csv_link_message *a, const struct csv_link_message *b)
{
	uint8_t x[CSV_LINK_MAX], y[CSV_LINK_MAX];
	size_t nx, ny;

	must(!csv_link_encode(a, x, sizeof(x), &nx) && !csv_link_encode(b, y, sizeof(y), &ny));
	return nx == ny && !memcmp(x, y, nx);
}

void volumes_client_tell(struct volumes_client *c, const struct csv_link_state *state)
{
	struct csv_link_message m = {.type = CSV_LINK_STATE, .state = *state};
	struct csv_link_message told = {.type = CSV_LINK_STATE, .state = c->told};
	struct local_conn *conn = c->conn;
	uint8_t buf[CSV_LINK_MAX];
	size_t len;

	if (c->has_told && is_same(&m, &told))
		return;
	must(!csv_link_encode(&m, buf, sizeof(buf), &len));
	if (!local_send(conn, buf, len))
		return; /* it is slow, and the next look tells it again; or it is gone, and c too */
	c->told = *state;
	c->has_told = true;
}

int volumes_listen(struct volumes *v, char *text, size_t size)
{
	const struct local_calls calls = {
		.packet = on_packet, .closed = on_closed, .changed = on_changed};

	return local_open(v->engine->loop, v->socket, &calls, v, &v->local, text, size);
}
