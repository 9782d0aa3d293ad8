/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node's clusterd, as clusterd/edge makes it of the cores. See sim_cluster.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/msg.h"
#include "lib/must.h"
#include "tests/sim/sim_cluster.h"

#define REQUESTS_MAX	64 /* beside duties */
#define EXEC_REQUESTS	6  /* an executor waits for answers, too */
#define REQUEST_MS	2000
#define STOP_AT_ONCE_MS 150 /* most of it is for the work itself */

const struct db_limits cluster_limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = CL_MAX_NODES,
			[DB_KIND_GROUP] = GROUPS + VMS,
			[DB_KIND_RESOURCE] = VMS,
			[DB_KIND_PARAM] = VMS,
			[DB_KIND_TASK] = 16,
			[DB_KIND_EVENT] = 4,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
			[DB_KIND_FENCE] = DEVICES,
			[DB_KIND_VOLUME] = VOLUMES,
			[DB_KIND_MOUNT] = VOLUMES * CL_MAX_NODES,
			[DB_KIND_VM] = VMS,
			[DB_KIND_MIGRATION] = VMS + 2,
			[DB_KIND_SETTING] = 4,
		},
	.locks = {.max_sessions = 96, .max_resources = 32, .max_locks = 96, .max_queued = 4},
};

bool cluster_runs(const struct cluster *c, uint8_t node)
{
	const struct sim_node *n = &c->w.node[node];

	return n->process_up && !n->is_frozen && !c->machine[node].is_frozen;
}

bool cluster_may_act(const struct cluster *c, uint8_t node)
{
	return cluster_runs(c, node) &&
	       repl_may_act(&c->w.node[node].repl, sim_local_ms(&c->w, node));
}

const struct db_node *cluster_self(const struct cluster *c, uint8_t node)
{
	const struct db_node *row = db_node_by_slot(&c->member[node].db, node);

	return row && row->incarnation == c->w.node[node].incarnation ? row : NULL;
}

/* ---- requests */

static void request_end(struct cluster *c, uint8_t node, struct request **link, int r,
			const struct db_result *result)
{
	struct member *m = &c->member[node];
	struct request *q = *link;

	*link = q->next;
	if (!*link)
		m->requests_end = link;
	m->request_count--;
	m->duties -= q->is_duty;
	if (q->done)
		q->done(c, node, q->arg, r, result);
	free(q);
}

/* The process ends: nobody is told. */
static void requests_drop(struct member *m)
{
	while (m->requests) {
		struct request *q = m->requests;

		m->requests = q->next;
		free(q);
	}
	m->requests_end = &m->requests;
	m->request_count = m->duties = 0;
}

static void propose(struct cluster *c, uint8_t node, const struct request *q)
{
	sim_propose(&c->w, node, q->kind, q->request, (struct cl_blob){q->payload, q->len});
}

static void submit(struct cluster *c, uint8_t node, const struct request *like, const void *payload)
{
	struct member *m = &c->member[node];
	struct request *q = malloc(sizeof(*q) + like->len);

	must(q);
	*q = *like;
	q->next = NULL;
	q->request = m->next_request++;
	q->deadline_ms = c->w.now_ms + REQUEST_MS;
	memcpy(q->payload, payload, like->len);
	*m->requests_end = q;
	m->requests_end = &q->next;
	m->request_count++;
	m->duties += q->is_duty;
	propose(c, node, q);
}

static void submit_command(struct cluster *c, uint8_t node, const struct db_command *cmd,
			   struct request *like)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_command full = *cmd;

	full.at_ms = c->w.now_ms;
	like->kind = CL_ENTRY_COMMAND;
	must(!db_command_encode(&full, buf, sizeof(buf), &like->len));
	submit(c, node, like, buf);
}

static bool request(struct cluster *c, uint8_t node, const struct db_command *cmd,
		    struct request *like)
{
	if (c->member[node].request_count >= REQUESTS_MAX)
		return false;
	submit_command(c, node, cmd, like);
	return true;
}

bool node_request(struct cluster *c, uint8_t node, const struct db_command *cmd, request_done done,
		  uint64_t arg)
{
	return request(c, node, cmd, &(struct request){.done = done, .arg = arg});
}

bool node_duty(struct cluster *c, uint8_t node, const struct db_command *cmd, request_done done,
	       uint64_t arg)
{
	return request(c, node, cmd, &(struct request){.is_duty = true, .done = done, .arg = arg});
}

/* What the sequencer wanted for itself belongs to the state that it saw: it is decided anew. */
static void resend(struct cluster *c, uint8_t node)
{
	struct member *m = &c->member[node];
	struct request **link = &m->requests;

	while (*link) {
		if ((*link)->is_duty)
			request_end(c, node, link, -ECANCELED, NULL);
		else
			link = &(*link)->next;
	}
	for (struct request *q = m->requests; q; q = q->next)
		propose(c, node, q);
}

/* Old ones end; of the others one may go once more, as if its answer had been lost. */
static void requests_turn(struct cluster *c, uint8_t node)
{
	struct member *m = &c->member[node];
	struct request **link = &m->requests;

	while (*link) {
		if (c->w.now_ms >= (*link)->deadline_ms)
			request_end(c, node, link, -ETIMEDOUT, NULL);
		else
			link = &(*link)->next;
	}
	if (m->requests && !m->requests->is_duty && cluster_chance(c, 4))
		propose(c, node, m->requests);
}

/* ---- what the world says */

static struct db_entry entry_of(const struct sim_entry *e)
{
	return (struct db_entry){.index = e->index,
				 .epoch = e->epoch,
				 .kind = e->kind,
				 .origin = e->origin,
				 .instance = e->instance,
				 .request = e->request,
				 .payload = e->payload->data,
				 .payload_len = e->payload->len};
}

static void db_renew(struct cluster *c, struct db *db, void *mem)
{
	must(!db_init(db, mem, db_size(&cluster_limits), &cluster_limits));
	db->mutant = c->mutant->db;
}

/* As a checkpoint would bring it back. */
static void through_snapshot(struct cluster *c, uint8_t node)
{
	struct member *m = &c->member[node];
	size_t cap = db_encoded_max(&m->db), len;
	void *buf = malloc(cap);
	uint64_t before = db_hash(&m->db);

	must(buf && !db_encode(&m->db, buf, cap, &len));
	db_renew(c, &m->db, m->db_mem);
	if (db_decode(&m->db, buf, len) || db_hash(&m->db) != before)
		sim_fail(&c->w, node, "C6: a snapshot is not the state");
	free(buf);
}

static void on_started(void *arg, uint8_t node)
{
	struct cluster *c = arg;
	struct member *m = &c->member[node];
	const struct sim_node *n = &c->w.node[node];
	struct db_result result;

	requests_drop(m);
	db_renew(c, &m->db, m->db_mem);
	for (uint64_t i = 0; i < n->applied; i++) {
		struct db_entry e = entry_of(&n->memory.entry[i]);

		db_apply(&m->db, &e, &result);
	}
	if (n->applied && cluster_chance(c, 25))
		through_snapshot(c, node);
	m->next_request = 1;
	m->resend_wanted = m->duty_wanted = m->is_leaving = m->leave_runs = false;
	m->duty = (struct duty_state){.mutant = c->mutant->duty};
	memset(m->over, 0, sizeof(m->over));
	memset(m->made, 0, sizeof(m->made));
	for (int v = 0; v < VOLUMES; v++)
		c->machine[node].volume[v].over = c->machine[node].volume[v].mine = 0;
	c->machine[node].over_ms = c->machine[node].stop_ms = 0;
	fencer_init(c, node);
}

static void on_ended(void *arg, uint8_t node)
{
	struct cluster *c = arg;

	requests_drop(&c->member[node]);
	c->machine[node].over_ms = c->machine[node].stop_ms = 0;
	if (!c->w.node[node].machine_up)
		c->machine[node] = (struct machine){0};
}

static void answer(struct cluster *c, uint8_t node, const struct sim_entry *e,
		   const struct db_result *result)
{
	struct request **link = &c->member[node].requests;

	if (e->instance != c->w.node[node].repl.self.instance || e->origin != node)
		return;
	for (; *link; link = &(*link)->next) {
		if ((*link)->request == e->request) {
			request_end(c, node, link, 0, result);
			return;
		}
	}
}

static void on_applied(void *arg, uint8_t node, const struct sim_entry *e)
{
	struct cluster *c = arg;
	struct db_entry entry = entry_of(e);
	struct db_result result;

	c->member[node].db.mutant_ms = sim_local_ms(&c->w, node);
	db_apply(&c->member[node].db, &entry, &result);
	if (e->index == c->db.index + 1)
		check_entry(c, node, e);
	check_applied(c, node, e, &result);
	if (!result.is_repeat)
		answer(c, node, e, &result);
	c->member[node].duty_wanted = true;
}

static void on_opened(void *arg, uint8_t node)
{
	struct cluster *c = arg;

	c->member[node].resend_wanted = c->member[node].duty_wanted = true;
}

void node_hooks(struct cluster *c)
{
	struct sim_hooks hooks = {.arg = c,
				  .started = on_started,
				  .ended = on_ended,
				  .applied = on_applied,
				  .opened = on_opened};

	c->db_mem = malloc(db_size(&cluster_limits));
	must(c->db_mem);
	db_renew(c, &c->db, c->db_mem);
	for (uint8_t i = 0; i < c->w.nodes; i++) {
		c->member[i].db_mem = malloc(db_size(&cluster_limits));
		must(c->member[i].db_mem);
		c->member[i].requests_end = &c->member[i].requests;
	}
	sim_world_hook(&c->w, &hooks);
}

void node_free(struct cluster *c, uint8_t node)
{
	requests_drop(&c->member[node]);
	free(c->member[node].db_mem);
}

/* ---- duties */

static void duties(struct cluster *c, uint8_t node)
{
	static struct duty_actions out;
	struct member *m = &c->member[node];
	uint32_t ring[CL_MAX_NODES];
	struct duty_facts facts = {.repl = &c->w.node[node].repl,
				   .db = &m->db,
				   .ring = ring,
				   .now_ms = sim_local_ms(&c->w, node),
				   .wall_ms = c->w.now_ms,
				   .under_way = m->duties};
	struct db_command cmd;

	for (uint8_t i = 0; i < c->w.nodes; i++) {
		if (c->w.ring[c->w.node[node].ring].machines & cl_bit(i))
			ring[facts.ring_count++] = i + 1u;
	}
	duty_see(&m->duty, facts.repl, facts.now_ms);
	duty_decide(&m->duty, &facts, &out);
	check_duties(c, node, &out);
	for (size_t i = 0; duty_command(&out, i, &cmd); i++)
		submit_command(c, node, &cmd, &(struct request){.is_duty = true});
	if (out.has_row) {
		struct request like = {.is_duty = true, .kind = CL_ENTRY_TABLE};
		uint8_t payload[CL_ROW_MAX];

		must(!cl_row_encode(out.slot, &out.row, payload, sizeof(payload), &like.len));
		submit(c, node, &like, payload);
	}
}

/* ---- executors */

static void exec_send(void *arg, uint8_t slot, const struct db_command *cmd)
{
	struct cluster *c = arg;

	/* Too much under way: this is said again at another look. */
	if (c->member[slot].request_count - c->member[slot].duties < EXEC_REQUESTS)
		node_request(c, slot, cmd, NULL, 0);
}

static void exec_say(void *arg, const char *text)
{
	struct cluster *c = arg;

	SAY(c, "  executor: %s", text);
}

static bool exec_hand_over(void *arg, uint8_t slot, uint64_t incarnation, int i, uint64_t instance)
{
	struct cluster *c = arg;
	struct machine *to = &c->machine[slot];

	if (!c->w.node[slot].machine_up || to->is_frozen ||
	    c->w.node[slot].incarnation != incarnation)
		return false;
	for (int k = 0; k < SIM_PROCESSES; k++) {
		if (to->process[i][k].instance == instance) {
			to->process[i][k].is_loaded = true;
			return true;
		}
	}
	return false;
}

struct sim_exec node_exec(struct cluster *c, uint8_t node)
{
	struct machine *o = &c->machine[node];
	struct member *m = &c->member[node];
	const struct db_node *row = db_node_by_slot(&m->db, node);

	return (struct sim_exec){
		.rng = &c->w.prng,
		.db = &m->db,
		.slot = node,
		.incarnation = c->mutant->cluster == CLUSTER_MUTANT_ANY_INCARNATION && row
				       ? row->incarnation
				       : c->w.node[node].incarnation,
		.is_healed = c->is_healed,
		.rate_fail = c->rate_fail,
		.rate_stuck = c->rate_stuck,
		.rate_crash = c->rate_crash,
		.volumes = VOLUMES,
		.groups = GROUPS,
		.vms = VMS,
		.volume = o->volume,
		.run = o->run,
		.over = m->over,
		.process = o->process,
		.made = m->made,
		.arg = c,
		.send = exec_send,
		.say = exec_say,
		.hand_over = exec_hand_over,
	};
}

static void look(struct cluster *c, const struct sim_exec *x)
{
	uint64_t what = prng_below(&c->w.prng, VOLUMES * 2 + GROUPS + VMS + 1);

	if (what < VOLUMES)
		sim_exec_coordinate(x, (int)what);
	else if (what < VOLUMES * 2)
		sim_exec_mount(x, (int)what - VOLUMES);
	else if (what < VOLUMES * 2 + GROUPS)
		sim_exec_group(x, (int)what - VOLUMES * 2);
	else if (what < VOLUMES * 2 + GROUPS + VMS)
		sim_exec_vm(x, (int)what - VOLUMES * 2 - GROUPS);
	else
		sim_exec_leave(x);
}

static bool may_look(const struct cluster *c, uint8_t node)
{
	const struct db_node *row = cluster_self(c, node);

	if (c->mutant->cluster == CLUSTER_MUTANT_ACTS_WITHOUT_LEASE)
		return row && row->membership == DB_MEMBERSHIP_ADMITTED;
	if (c->mutant->cluster == CLUSTER_MUTANT_ANY_INCARNATION)
		return cluster_may_act(c, node) && db_node_by_slot(&c->member[node].db, node);
	return cluster_may_act(c, node) && row && row->membership == DB_MEMBERSHIP_ADMITTED;
}

/* What cannot go on without quorum stands still, or ends. */
static void stop_all(struct cluster *c, uint8_t node)
{
	struct machine *o = &c->machine[node];

	SAY(c, "n%u stops what it runs: its lease is over", node);
	memset(o->run, 0, sizeof(o->run));
	for (int v = 0; v < VOLUMES; v++) {
		o->volume[v].is_process = false;
		o->volume[v].xfs = o->volume[v].fuse = 0;
	}
	for (int i = 0; i < VMS; i++) {
		for (int k = 0; k < SIM_PROCESSES; k++)
			o->process[i][k].is_running = false;
	}
}

static void watch_lease(struct cluster *c, uint8_t node)
{
	struct machine *o = &c->machine[node];

	if (sim_local_ms(&c->w, node) < c->w.node[node].repl.lease.deadline_ms) {
		o->over_ms = o->stop_ms = 0;
		return;
	}
	if (!o->over_ms) {
		o->over_ms = c->w.now_ms;
		o->stop_ms = c->w.now_ms + prng_below(&c->w.prng, STOP_AT_ONCE_MS);
	}
	if (!o->stop_ms || c->w.now_ms < o->stop_ms || c->mutant->cluster == CLUSTER_MUTANT_RUNS_ON)
		return;
	o->stop_ms = 0;
	stop_all(c, node);
}

static void executors(struct cluster *c, uint8_t node)
{
	struct sim_exec x = node_exec(c, node);

	for (uint64_t n = prng_below(&c->w.prng, 4); n && may_look(c, node); n--) {
		struct machine before = c->machine[node];

		look(c, &x);
		check_acts(c, node, &before);
	}
	watch_lease(c, node);
}

/* ---- leaving */

static void leave_said(struct cluster *c, uint8_t node, uint64_t arg, int r,
		       const struct db_result *result)
{
	(void)arg;
	(void)r;
	(void)result;
	c->member[node].leave_runs = false;
}

/* It asks to be emptied; that it is empty is said by its executor. */
static void leave(struct cluster *c, uint8_t node)
{
	const struct db_node *row = cluster_self(c, node);
	struct db_command cmd = {.type = DB_CMD_NODE_LEAVE};

	if (!row || row->membership != DB_MEMBERSHIP_ADMITTED || row->is_leaving ||
	    c->member[node].leave_runs)
		return;
	memcpy(cmd.node_leave.name, row->name, sizeof(row->name));
	cmd.node_leave.incarnation = row->incarnation;
	c->member[node].leave_runs = node_request(c, node, &cmd, leave_said, 0);
}

static bool is_being_fenced(const struct cluster *c, uint8_t node)
{
	const struct db_node *row = cluster_self(c, node);

	return row && (row->membership == DB_MEMBERSHIP_FENCING ||
		       row->membership == DB_MEMBERSHIP_FENCED);
}

bool node_wants_reboot(const struct cluster *c, uint8_t node)
{
	return !c->w.node[node].process_up && is_being_fenced(c, node);
}

/* True if what it has applied leaves the process nothing to do but to end. */
static bool has_to_end(const struct cluster *c, uint8_t node)
{
	const struct db_node *row = cluster_self(c, node);

	return is_being_fenced(c, node) || (row && row->membership == DB_MEMBERSHIP_LEFT &&
					    row->instance == c->w.node[node].repl.self.instance);
}

void node_start(struct cluster *c, uint8_t node)
{
	const struct sim_disk *d = &c->w.node[node].disk;
	struct db_result result;

	if (!is_being_fenced(c, node)) {
		sim_process_start(&c->w, node);
		return;
	}
	/* As far as its disk knows. */
	db_renew(c, &c->member[node].db, c->member[node].db_mem);
	for (uint64_t i = 0; i < d->applied; i++) {
		struct db_entry e = entry_of(&d->log.entry[i]);

		db_apply(&c->member[node].db, &e, &result);
	}
	if (!is_being_fenced(c, node))
		sim_process_start(&c->w, node);
}

void node_power(struct cluster *c, uint8_t node, bool is_on)
{
	if (is_on == c->w.node[node].machine_up)
		return;
	SAY(c, "n%u power %s", node, is_on ? "on" : "off");
	if (is_on)
		sim_machine_start(&c->w, node);
	else
		sim_machine_crash(&c->w, node);
}

void node_turn(struct cluster *c, uint8_t node)
{
	struct member *m = &c->member[node];

	if (!cluster_runs(c, node))
		return;
	if (has_to_end(c, node)) {
		SAY(c, "n%u clusterd ends: %s", node,
		    cluster_self(c, node)->membership == DB_MEMBERSHIP_LEFT
			    ? "it has left"
			    : "its incarnation is being fenced");
		sim_process_kill(&c->w, node);
		return;
	}
	if (m->resend_wanted) {
		m->resend_wanted = false;
		resend(c, node);
	}
	requests_turn(c, node);
	if (m->is_leaving)
		leave(c, node);
	if (m->duty_wanted || cluster_chance(c, 30)) {
		m->duty_wanted = false;
		duties(c, node);
	}
	fencer_turn(c, node);
	executors(c, node);
}
