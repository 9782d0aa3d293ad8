/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/cpg.h"

#include <corosync/cmap.h>
#include <corosync/cpg.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "clusterd/edge/crypto.h"
#include "lib/must.h"

#define CPG_QUEUE_MAX  8192
#define CPG_RETRY_NS   (20 * 1000 * 1000ull)  /* after CS_ERR_TRY_AGAIN */
#define CPG_CONNECT_NS (500 * 1000 * 1000ull) /* between attempts to connect */

struct cpg_out {
	struct cpg_out *next;
	size_t len;
	char data[];
};

struct cpg {
	qb_loop_t *loop;
	struct cpg_calls calls;
	void *arg;
	struct cpg_name name;
	cpg_handle_t handle;
	int fd; /* -1: not connected */
	qb_loop_timer_handle timer;
	bool timer_is_set;
	struct cpg_out *out, **out_end;
	size_t out_count;
	/* group and ring as last told */
	struct cl_ring ring;
	bool has_ring;
	uint8_t member_count;
	struct repl_address member[REPL_MAX_PEERS];
	bool has_change; /* a change of the group that waits for its ring */
	bool is_unsafe;	 /* the ring is not encrypted */
};

static void on_timer(void *arg);

static void arm(struct cpg *c, uint64_t ns)
{
	if (c->timer_is_set)
		return;
	c->timer_is_set = !qb_loop_timer_add(c->loop, QB_LOOP_MED, ns, c, on_timer, &c->timer);
}

static void out_clear(struct cpg *c)
{
	while (c->out) {
		struct cpg_out *o = c->out;

		c->out = o->next;
		free(o);
	}
	c->out_end = &c->out;
	c->out_count = 0;
}

static void disconnect(struct cpg *c, const char *why)
{
	if (c->fd < 0)
		return;
	qb_loop_poll_del(c->loop, c->fd);
	cpg_finalize(c->handle);
	c->fd = -1;
	c->has_ring = c->has_change = false;
	c->member_count = 0;
	out_clear(c);
	c->calls.left(c->arg, why);
	arm(c, CPG_CONNECT_NS);
}

/* ---- what corosync tells */

static struct cpg *context(cpg_handle_t handle)
{
	void *p = NULL;

	cpg_context_get(handle, &p);
	return p;
}

static void tell_change(struct cpg *c)
{
	if (!c->has_ring || !c->has_change)
		return;
	c->has_change = false;
	c->calls.confchg(c->arg, &c->ring, c->member, c->member_count);
}

static int by_nodeid(const void *a, const void *b)
{
	const struct cpg_address *x = a, *y = b;

	return x->nodeid < y->nodeid ? -1 : x->nodeid > y->nodeid;
}

static void on_confchg(cpg_handle_t handle, const struct cpg_name *name,
		       const struct cpg_address *members, size_t count,
		       const struct cpg_address *left, size_t left_count,
		       const struct cpg_address *joined, size_t joined_count)
{
	struct cpg *c = context(handle);
	struct cpg_address sorted[CPG_MEMBERS_MAX];

	(void)name;
	(void)left;
	(void)left_count;
	(void)joined;
	(void)joined_count;
	if (count > CPG_MEMBERS_MAX)
		count = CPG_MEMBERS_MAX;
	if (count)
		memcpy(sorted, members, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_nodeid);
	c->member_count = 0;
	for (size_t i = 0; i < count && i < REPL_MAX_PEERS; i++)
		c->member[c->member_count++] =
			(struct repl_address){sorted[i].nodeid, sorted[i].pid};
	c->has_change = true;
	tell_change(c);
}

/* The ring is told after the changes of the group that it brought (corosync exec/cpg.c). */
static void on_totem_confchg(cpg_handle_t handle, struct cpg_ring_id ring, uint32_t count,
			     const uint32_t *members)
{
	struct cpg *c = context(handle);

	c->calls.ring(c->arg, members, count);
	c->ring = (struct cl_ring){.rep = ring.nodeid, .seq = ring.seq};
	c->has_ring = true;
	c->has_change = c->member_count > 0;
	tell_change(c);
}

static void on_deliver(cpg_handle_t handle, const struct cpg_name *name, uint32_t nodeid,
		       uint32_t pid, void *data, size_t len)
{
	struct cpg *c = context(handle);

	(void)name;
	c->calls.message(c->arg, &(struct repl_address){nodeid, pid}, data, len);
}

/* ---- connection and sending */

static void flush(struct cpg *c)
{
	while (c->out) {
		struct cpg_out *o = c->out;
		struct iovec iov = {o->data, o->len};
		cs_error_t e = cpg_mcast_joined(c->handle, CPG_TYPE_AGREED, &iov, 1);

		if (e == CS_ERR_TRY_AGAIN) {
			arm(c, CPG_RETRY_NS);
			return;
		}
		if (e != CS_OK) {
			disconnect(c, "corosync does not take messages any more");
			return;
		}
		c->out = o->next;
		if (!c->out)
			c->out_end = &c->out;
		c->out_count--;
		free(o);
	}
}

static int on_readable(int32_t fd, int32_t revents, void *arg)
{
	struct cpg *c = arg;
	cs_error_t e = cpg_dispatch(c->handle, CS_DISPATCH_ALL);

	(void)fd;
	if ((e != CS_OK && e != CS_ERR_TRY_AGAIN) || (revents & (POLLHUP | POLLERR)))
		disconnect(c, "corosync has ended");
	return 0;
}

/* Whatever comes of it later: nothing is joined that anybody can write into. */
static bool is_encrypted(struct cpg *c)
{
	char text[CRYPTO_TEXT_MAX];
	int r = crypto_check(text);

	if (r != -EPERM)
		return !r;
	c->is_unsafe = true;
	c->calls.unsafe(c->arg, text);
	return false;
}

static bool connect_group(struct cpg *c)
{
	cpg_model_v1_data_t model = {
		.model = CPG_MODEL_V1,
		.cpg_deliver_fn = on_deliver,
		.cpg_confchg_fn = on_confchg,
		.cpg_totem_confchg_fn = on_totem_confchg,
		.flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF,
	};
	unsigned int nodeid;

	if (!is_encrypted(c))
		return false;
	if (cpg_model_initialize(&c->handle, CPG_MODEL_V1, (cpg_model_data_t *)&model, c) != CS_OK)
		return false;
	if (cpg_local_get(c->handle, &nodeid) != CS_OK || cpg_fd_get(c->handle, &c->fd) != CS_OK ||
	    cpg_join(c->handle, &c->name) != CS_OK) {
		cpg_finalize(c->handle);
		c->fd = -1;
		return false;
	}
	qb_loop_poll_add(c->loop, QB_LOOP_MED, c->fd, POLLIN | POLLHUP | POLLERR, c, on_readable);
	c->calls.joined(c->arg, nodeid);
	return true;
}

static void on_timer(void *arg)
{
	struct cpg *c = arg;

	c->timer_is_set = false;
	if (c->fd >= 0)
		flush(c);
	else if (!connect_group(c) && !c->is_unsafe)
		arm(c, CPG_CONNECT_NS);
}

int cpg_open(qb_loop_t *loop, const char *group, const struct cpg_calls *calls, void *arg,
	     struct cpg **ret)
{
	struct cpg *c;
	size_t len = strlen(group);

	if (len >= CPG_MAX_NAME_LENGTH)
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	must(c);
	c->loop = loop;
	c->calls = *calls;
	c->arg = arg;
	c->fd = -1;
	c->out_end = &c->out;
	c->name.length = (uint32_t)len;
	memcpy(c->name.value, group, len);
	arm(c, 1);
	*ret = c;
	return 0;
}

void cpg_close(struct cpg *c)
{
	if (!c)
		return;
	if (c->timer_is_set)
		qb_loop_timer_del(c->loop, c->timer);
	if (c->fd >= 0) {
		qb_loop_poll_del(c->loop, c->fd);
		cpg_leave(c->handle, &c->name);
		cpg_finalize(c->handle);
	}
	out_clear(c);
	free(c);
}

int cpg_send(struct cpg *c, const void *data, size_t len)
{
	struct cpg_out *o;

	if (c->fd < 0)
		return -ENOTCONN;
	if (c->out_count >= CPG_QUEUE_MAX)
		return -ENOBUFS;
	o = malloc(sizeof(*o) + len);
	must(o);
	o->next = NULL;
	o->len = len;
	memcpy(o->data, data, len);
	*c->out_end = o;
	c->out_end = &o->next;
	c->out_count++;
	if (!c->timer_is_set && c->out == o)
		flush(c);
	return 0;
}

/* ---- corosync's nodelist */

/* Calls fn with the position of each node until it returns true. */
static int each_node(bool (*fn)(cmap_handle_t, int, void *), void *arg)
{
	cmap_handle_t h;
	int r = -ENOENT;

	if (cmap_initialize(&h) != CS_OK)
		return -ENOTCONN;
	for (int i = 0; i < 64; i++) {
		if (fn(h, i, arg)) {
			r = 0;
			break;
		}
	}
	cmap_finalize(h);
	return r;
}

struct node_query {
	uint32_t nodeid;
	const char *name;
	const char *key; /* to copy */
	char *value;
	size_t size;
};

static bool get_string(cmap_handle_t h, int position, const char *key, char *buf, size_t size)
{
	char path[64], *value = NULL;

	snprintf(path, sizeof(path), "nodelist.node.%d.%s", position, key);
	if (cmap_get_string(h, path, &value) != CS_OK)
		return false;
	snprintf(buf, size, "%s", value);
	free(value);
	return true;
}

static bool match_node(cmap_handle_t h, int position, void *arg)
{
	struct node_query *q = arg;
	char path[64], name[CL_NAME_MAX];
	uint32_t nodeid;

	snprintf(path, sizeof(path), "nodelist.node.%d.nodeid", position);
	if (cmap_get_uint32(h, path, &nodeid) != CS_OK)
		return false;
	if (q->name) {
		if (!get_string(h, position, "name", name, sizeof(name)) ||
		    strcmp(name, q->name) != 0)
			return false;
		q->nodeid = nodeid;
		return true;
	}
	return nodeid == q->nodeid && get_string(h, position, q->key, q->value, q->size);
}

int cpg_node_name(uint32_t nodeid, char *name, size_t size)
{
	return each_node(
		match_node,
		&(struct node_query){.nodeid = nodeid, .key = "name", .value = name, .size = size});
}

int cpg_node_address(uint32_t nodeid, char *address, size_t size)
{
	return each_node(match_node, &(struct node_query){.nodeid = nodeid,
							  .key = "ring0_addr",
							  .value = address,
							  .size = size});
}

int cpg_node_link_address(uint32_t nodeid, uint8_t link, char *address, size_t size)
{
	char key[16];
	int r;

	snprintf(key, sizeof(key), "ring%u_addr", link);
	r = each_node(
		match_node,
		&(struct node_query){.nodeid = nodeid, .key = key, .value = address, .size = size});

	return r ? cpg_node_address(nodeid, address, size) : 0;
}

const char *cpg_address(struct cpg_addresses *a, uint8_t slot, uint32_t nodeid, uint8_t link)
{
	if (slot >= CL_MAX_NODES || !nodeid)
		return "";
	if (a->nodeid[slot] != nodeid) {
		if (cpg_node_link_address(nodeid, link, a->text[slot], sizeof(a->text[slot])))
			return "";
		a->nodeid[slot] = nodeid;
	}
	return a->text[slot];
}

int cpg_node_find(const char *name, uint32_t *ret_nodeid)
{
	struct node_query q = {.name = name};
	int r = each_node(match_node, &q);

	if (!r)
		*ret_nodeid = q.nodeid;
	return r;
}

int cpg_config_version(uint64_t *ret)
{
	cmap_handle_t h;

	if (cmap_initialize(&h) != CS_OK)
		return -ENOTCONN;
	if (cmap_get_uint64(h, "totem.config_version", ret) != CS_OK)
		*ret = 0;
	cmap_finalize(h);
	return 0;
}

void cpg_totem_times(uint32_t *ret_token_ms, uint32_t *ret_consensus_ms)
{
	cmap_handle_t h;

	*ret_token_ms = *ret_consensus_ms = 0;
	if (cmap_initialize(&h) != CS_OK)
		return;
	if (cmap_get_uint32(h, "runtime.config.totem.token", ret_token_ms) != CS_OK)
		*ret_token_ms = 0;
	if (cmap_get_uint32(h, "runtime.config.totem.consensus", ret_consensus_ms) != CS_OK)
		*ret_consensus_ms = 0;
	cmap_finalize(h);
}

uint32_t cpg_local_nodeid(void)
{
	cpg_handle_t h;
	cpg_callbacks_t none = {0};
	unsigned int nodeid = 0;

	if (cpg_initialize(&h, &none) != CS_OK)
		return 0;
	if (cpg_local_get(h, &nodeid) != CS_OK)
		nodeid = 0;
	cpg_finalize(h);
	return nodeid;
}
