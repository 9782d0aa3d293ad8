/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/core/capacity.h"
#include "clusterd/edge/log.h"
#include "lib/must.h"

#define REQUEST_MS 10000
#define AGAIN_NS   (5ull * 1000 * 1000 * 1000)
#define MIB	   (1024 * 1024)

struct machine {
	struct engine *engine;
	uint32_t memory_mib, cores;
	bool request_runs;
	qb_loop_timer_handle timer; /* 0: none runs */
};

/* Of the whole machine; a container's limits are for `node set`. */
static void look(struct machine *m)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t mib = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / MIB : 0;

	m->memory_mib = mib > CAPACITY_MEMORY_MAX ? CAPACITY_MEMORY_MAX : (uint32_t)mib;
	m->cores = cores > 0 ? (uint32_t)cores : 0;
	if (!m->memory_mib || !m->cores)
		log_warning("the kernel does not say what memory and cores there are -> what is "
			    "placed here is bounded by 'clusterctl node set' only");
}

int machine_open(struct engine *e, struct machine **ret)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->engine = e;
	look(m);
	*ret = m;
	return 0;
}

void machine_close(struct machine *m)
{
	if (!m)
		return;
	if (m->timer)
		qb_loop_timer_del(m->engine->loop, m->timer);
	free(m);
}

static void again(void *arg)
{
	struct machine *m = arg;

	m->timer = 0;
	machine_changed(m);
}

static void told(void *arg, int r, const struct db_result *result)
{
	struct machine *m = arg;

	m->request_runs = false;
	if (r == -ECANCELED || (!r && !result->code))
		return;
	must(!qb_loop_timer_add(m->engine->loop, QB_LOOP_LOW, AGAIN_NS, m, again, &m->timer));
}

/* This node's row, once it is admitted with this incarnation. */
static const struct db_node *self(const struct machine *m)
{
	const struct repl_state *s = &m->engine->repl;
	const struct db_node *n;

	if (s->phase != REPL_OPEN || s->self_slot >= CL_MAX_NODES)
		return NULL;
	n = db_node_by_slot(&m->engine->db, s->self_slot);
	return n && n->incarnation == s->self.incarnation && n->membership == DB_MEMBERSHIP_ADMITTED
		       ? n
		       : NULL;
}

void machine_changed(struct machine *m)
{
	struct db_command cmd = engine_command(m->engine, DB_CMD_NODE_CAPACITY);
	const struct db_node *n = self(m);

	if (!n || m->request_runs || m->timer ||
	    (n->memory_mib == m->memory_mib && n->cores == m->cores))
		return;
	memcpy(cmd.node_capacity.name, n->name, sizeof(n->name));
	cmd.node_capacity.incarnation = n->incarnation;
	cmd.node_capacity.memory_mib = m->memory_mib;
	cmd.node_capacity.cores = m->cores;
	m->request_runs = !engine_request(m->engine, &cmd, REQUEST_MS, told, m);
}
