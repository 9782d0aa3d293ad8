/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "clusterd/core/upgrade.h"
#include "clusterd/edge/duty.h"
#include "clusterd/edge/engine_impl.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/parting.h"
#include "clusterd/edge/rescue.h"
#include "clusterd/edge/voting.h"
#include "clusterd/edge/witness.h"
#include "lib/cleanup.h"
#include "lib/hash.h"
#include "lib/must.h"

#define TICK_NS	     (50 * 1000 * 1000ull)
#define GENESIS_MAX  4096
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec ts;

	must(!clock_gettime(clock, &ts));
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t engine_now_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

uint64_t engine_wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

static uint64_t random_u64(void)
{
	uint64_t v;

	must(getrandom(&v, sizeof(v), 0) == sizeof(v));
	return v;
}

bool engine_may_act(const struct engine *e)
{
	return repl_may_act(&e->repl, engine_now_ms()) && health_may_act(e);
}

/* ---- applying */

static void request_end(struct engine *e, struct engine_request **link, int r,
			const struct db_result *result)
{
	struct engine_request *q = *link;

	*link = q->next;
	if (!*link)
		e->requests_end = link;
	e->request_count--;
	if (q->is_duty)
		e->duties--;
	if (q->done)
		q->done(q->arg, r, result);
	free(q);
}

static void answer_request(struct engine *e, const struct store_entry *entry,
			   const struct db_result *result)
{
	if (entry->instance != e->repl.self.instance)
		return;
	for (struct engine_request **link = &e->requests; *link; link = &(*link)->next) {
		if ((*link)->request == entry->request) {
			request_end(e, link, 0, result);
			return;
		}
	}
}

static void apply_entry(struct engine *e, const struct store_entry *entry)
{
	struct db_entry de = {.index = entry->index,
			      .epoch = entry->epoch,
			      .kind = entry->kind,
			      .origin = entry->origin,
			      .instance = entry->instance,
			      .request = entry->request,
			      .payload = entry->payload,
			      .payload_len = entry->payload_len};
	struct store_log one = {.entry = (struct store_entry *)entry, .count = 1};
	struct db_result result;

	must(!store_log_table(&one, &e->applied_table));
	db_apply(&e->db, &de, &result);
	health_applied(e, entry);
	if (!result.is_repeat)
		answer_request(e, entry, &result);
}

static void tail_drop(struct engine *e, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(e->tail.entry[i].payload);
	e->tail.count -= count;
	if (e->tail.count)
		memmove(e->tail.entry, e->tail.entry + count,
			e->tail.count * sizeof(*e->tail.entry));
}

static void checkpoint(struct engine *e)
{
	size_t cap = db_encoded_max(&e->db), len;
	uint8_t *bytes;

	/* With a new version at once: whoever reads the file then need not know the one before. */
	if (e->db.index - e->checkpoint_index < e->options.checkpoint_entries &&
	    e->db.version == e->checkpoint_version)
		return;
	bytes = malloc(cap);
	must(bytes && !db_encode(&e->db, bytes, cap, &len));
	store_checkpoint(e->store, e->db.index, bytes, len, &e->applied_table);
	e->checkpoint_index = e->db.index;
	e->checkpoint_version = e->db.version;
}

void engine_apply_until(struct engine *e, uint64_t index)
{
	size_t n = 0;

	while (n < e->tail.count && e->tail.entry[n].index <= index) {
		must(e->tail.entry[n].index == e->db.index + 1);
		apply_entry(e, &e->tail.entry[n]);
		n++;
	}
	tail_drop(e, n);
	if (!n)
		return;
	store_commit(e->store, e->db.index);
	checkpoint(e);
	e->duty_wanted = true;
	e->view_changed = true;
}

/* ---- actions */

void engine_send(struct engine *e, const struct cl_msg *msg)
{
	uint8_t *buf = malloc(CL_MSG_MAX);
	size_t len;

	must(buf && !cl_msg_encode(msg, buf, CL_MSG_MAX, &len));
	if (cpg_send(e->cpg, buf, len) == -ENOBUFS)
		log_warning("corosync takes no messages: %s dropped", cl_msg_name(msg->type));
	free(buf);
}

static void append(struct engine *e, const struct repl_entry *entry)
{
	struct repl_entry copy = *entry;
	uint8_t genesis[GENESIS_MAX];

	if (entry->kind == CL_ENTRY_GENESIS) {
		must(!store_genesis_encode(&e->repl.cluster, &e->repl.table, genesis,
					   sizeof(genesis), &copy.payload.len));
		copy.payload.data = genesis;
	}
	store_log_push(&e->tail, &copy);
	store_append(e->store, &copy);
}

static void show_view(const struct engine *e)
{
	const struct repl_state *s = &e->repl;

	log_notice("view %u/%llu: %u processes, admitted %04x, votes %u/%u %s -> %s", s->ring.rep,
		   (unsigned long long)s->ring.seq, s->peer_count, s->present,
		   s->quorum.votes_present, s->quorum.votes_total,
		   quorum_reason_name(s->quorum.reason), s->quorum.is_quorate ? "sync" : "wait");
}

static void do_action(struct engine *e, const struct repl_action *a)
{
	switch (a->type) {
	case REPL_DO_SEND:
		engine_send(e, &a->msg);
		break;
	case REPL_DO_APPEND:
		append(e, &a->entry);
		break;
	case REPL_DO_HOLD:
		store_log_push(&e->held, &a->entry);
		break;
	case REPL_DO_PROMISE:
		store_promise(e->store, a->index);
		break;
	case REPL_DO_PULL:
		engine_pull_start(e, a);
		break;
	case REPL_DO_CANCEL_PULL:
		e->pull_cancelled = true;
		store_log_clear(&e->held);
		if (!e->install_runs && !e->ends_first)
			bulk_cancel(e->bulk);
		break;
	case REPL_DO_COMMIT:
		engine_apply_until(e, a->index);
		break;
	case REPL_DO_OPENED:
		log_notice("epoch %llu open, sequencer slot %u",
			   (unsigned long long)e->repl.epoch.number, e->repl.starter);
		e->resend_wanted = e->duty_wanted = true;
		e->view_changed = true;
		break;
	case REPL_DO_CLOSED:
		log_notice("epoch %llu closed -> nothing is decided until the next one opens",
			   (unsigned long long)e->repl.epoch.number);
		e->view_changed = true;
		break;
	case REPL_DO_VIEW:
		show_view(e);
		e->view_changed = true;
		break;
	case REPL_DO_DROP_SUFFIX:
	case REPL_DO_MAX:
		must(!"an action of a mutant");
	}
}

int engine_run(struct engine *e, struct repl_event *event)
{
	struct repl_actions *out = e->actions;
	const char *broken;
	int r;

	must(!e->is_stepping);
	e->is_stepping = true;
	event->now_ms = engine_now_ms();
	event->entropy = random_u64();
	r = repl_step(&e->repl, event, out);
	broken = repl_check(&e->repl);
	if (broken) {
		log_error("broken invariant: %s -> abort", broken);
		abort();
	}
	for (size_t i = 0; i < out->count; i++)
		do_action(e, &out->item[i]);
	e->is_stepping = false;
	return r;
}

static void propose(struct engine *e, struct engine_request *q)
{
	struct repl_event event = {.type = REPL_EV_PROPOSE};

	event.propose.kind = q->kind;
	event.propose.request = q->request;
	event.propose.payload = (struct cl_blob){q->payload, q->len};
	if (!engine_run(e, &event))
		q->was_sent = true;
}

static void resend(struct engine *e)
{
	struct engine_request **link = &e->requests;

	/* What the sequencer wanted for itself belongs to the state it saw: it is decided anew. */
	while (*link) {
		if ((*link)->is_duty)
			request_end(e, link, -ECANCELED, NULL);
		else
			link = &(*link)->next;
	}
	for (struct engine_request *q = e->requests; q; q = q->next)
		propose(e, q);
}

/* What a step made necessary, done when the core is at rest. */
static void settle_requests(struct engine *e)
{
	while (e->resend_wanted || e->duty_wanted || e->left_wanted) {
		if (e->left_wanted) {
			struct repl_event event = {.type = REPL_EV_LEFT};

			e->left_wanted = false;
			engine_run(e, &event);
		}
		if (e->resend_wanted) {
			e->resend_wanted = false;
			resend(e);
		}
		if (e->duty_wanted) {
			e->duty_wanted = false;
			duty_run(e);
		}
	}
}

void engine_settle(struct engine *e)
{
	if (e->is_settling) /* by whom the witness was asked: it goes on there */
		return;
	e->is_settling = true;
	do
		settle_requests(e);
	while (e->witness && witness_run(e->witness));
	e->is_settling = false;
	health_settle(e);
	if (!e->view_changed)
		return;
	e->view_changed = false;
	bulk_set_view(e->bulk, e->repl.view_complete && e->repl.phase != REPL_EXCHANGE
				       ? &e->repl.view
				       : NULL);
	if (e->changed)
		e->changed(e->changed_arg);
}

void engine_step(struct engine *e, struct repl_event *event)
{
	engine_run(e, event);
	engine_settle(e);
}

/* ---- what the edges tell */

static void on_durable(void *arg, uint64_t index)
{
	engine_step(arg, &(struct repl_event){.type = REPL_EV_DURABLE, .index = index});
}

static void on_promised(void *arg, uint64_t number)
{
	engine_step(arg, &(struct repl_event){.type = REPL_EV_PROMISED, .index = number});
}

static void on_store_failed(void *arg, const char *what)
{
	struct engine *e = arg;

	log_error("database %s cannot be written: %s -> this node stops", e->options.db_path, what);
	e->has_failed = true;
	qb_loop_stop(e->loop);
}

static void on_stalled(void *arg, const char *what)
{
	struct engine *e = arg;

	if (health_stalled(e, what))
		engine_step(e, &(struct repl_event){.type = REPL_EV_STALLED,
						    .is_stalled = what != NULL});
}

static void on_joined(void *arg, uint32_t nodeid)
{
	struct engine *e = arg;

	e->repl.self.nodeid = nodeid;
	e->repl.self.pid = (uint32_t)getpid();
	if (cpg_node_name(nodeid, e->repl.self.name.text, sizeof(e->repl.self.name.text)))
		snprintf(e->repl.self.name.text, sizeof(e->repl.self.name.text), "node%u", nodeid);
	cpg_totem_times(&e->token_ms, &e->consensus_ms);
	log_notice("joined the group as %s (nodeid %u)", e->repl.self.name.text, nodeid);
}

static void on_left(void *arg, const char *why)
{
	struct engine *e = arg;

	log_error("corosync: %s -> this node is out until it is back", why);
	e->left_wanted = true;
	if (!e->is_stepping)
		engine_settle(e);
}

static void on_unsafe(void *arg, const char *what)
{
	struct engine *e = arg;

	log_error("%s -> this node does not join, and stops", what);
	e->has_failed = true;
	qb_loop_stop(e->loop);
}

static void on_ring(void *arg, const uint32_t *nodeid, size_t count)
{
	struct engine *e = arg;

	e->ring_count = count < MUST_ARRAY_SIZE(e->ring) ? count : MUST_ARRAY_SIZE(e->ring);
	if (e->ring_count)
		memcpy(e->ring, nodeid, e->ring_count * sizeof(*nodeid));
}

static void on_confchg(void *arg, const struct cl_ring *ring, const struct repl_address *member,
		       uint8_t count)
{
	struct repl_event event = {.type = REPL_EV_CONFCHG};

	event.confchg.ring = *ring;
	event.confchg.count = count;
	memcpy(event.confchg.member, member, count * sizeof(*member));
	engine_step(arg, &event);
}

static void on_message(void *arg, const struct repl_address *from, const void *data, size_t len)
{
	struct engine *e = arg;
	struct cl_msg msg;
	struct repl_event event = {.type = REPL_EV_MESSAGE};
	int r = cl_msg_decode(data, len, &msg);

	if (r) {
		log_warning("message of node %u ignored: %s", from->nodeid,
			    r == -EPROTO ? "other protocol version" : "not decodable");
		return;
	}
	event.message.from = *from;
	event.message.msg = &msg;
	if (msg.type == CL_MSG_HASH && health_heard(e, from, &msg.hash))
		event.type = REPL_EV_WRONG;
	engine_step(e, &event);
}

static void expire_requests(struct engine *e)
{
	uint64_t now = engine_now_ms();
	struct engine_request **link = &e->requests;

	while (*link) {
		if ((*link)->deadline_ms && now >= (*link)->deadline_ms)
			request_end(e, link, (*link)->was_sent ? -ETIMEDOUT : -ETIME, NULL);
		else
			link = &(*link)->next;
	}
}

static void on_tick(void *arg)
{
	struct engine *e = arg;

	qb_loop_timer_add(e->loop, QB_LOOP_HIGH, TICK_NS, e, on_tick, &e->timer);
	expire_requests(e);
	engine_end_first(e);
	parting_tell(e);
	voting_see(e);
	if (health_tick(e))
		engine_step(e, &(struct repl_event){.type = REPL_EV_STALLED,
						    .is_stalled = e->health.is_stalled});
	e->duty_wanted = true;
	engine_step(e, &(struct repl_event){.type = REPL_EV_TICK});
}

/* ---- requests */

int engine_submit(struct engine *e, uint8_t kind, const void *payload, size_t len,
		  uint64_t timeout_ms, bool is_duty, engine_done done, void *arg)
{
	struct engine_request *q;

	if (e->request_count >= ENGINE_REQUESTS_MAX)
		return -EBUSY;
	q = calloc(1, sizeof(*q) + len);
	must(q);
	q->kind = kind;
	q->is_duty = is_duty;
	q->request = e->next_request++;
	q->deadline_ms = timeout_ms ? engine_now_ms() + timeout_ms : 0;
	q->done = done;
	q->arg = arg;
	q->len = len;
	memcpy(q->payload, payload, len);
	*e->requests_end = q;
	e->requests_end = &q->next;
	e->request_count++;
	e->duties += is_duty;
	propose(e, q);
	return 0;
}

struct db_command engine_command(const struct engine *e, enum db_cmd_type type)
{
	struct db_command cmd;

	memset(&cmd, 0, sizeof(cmd));
	cmd.type = type;
	cmd.version = (uint8_t)e->db.version;
	cmd.at_ms = engine_wall_ms();
	snprintf(cmd.actor, sizeof(cmd.actor), "clusterd@%.48s", e->repl.self.name.text);
	return cmd;
}

int engine_request(struct engine *e, const struct db_command *cmd, uint64_t timeout_ms,
		   engine_done done, void *arg)
{
	uint8_t buf[DB_COMMAND_MAX];
	size_t len;

	must(!db_command_encode(cmd, buf, sizeof(buf), &len));
	return engine_submit(e, CL_ENTRY_COMMAND, buf, len, timeout_ms, false, done, arg);
}

int engine_change(struct engine *e, const void *payload, size_t len, uint64_t timeout_ms,
		  engine_done done, void *arg)
{
	return engine_submit(e, CL_ENTRY_COMMAND, payload, len, timeout_ms, false, done, arg);
}

int engine_create(struct engine *e, const struct cl_uuid *cluster, const struct cl_table *table)
{
	struct repl_event event = {.type = REPL_EV_CREATE};

	event.create.cluster = *cluster;
	event.create.table = *table;
	return engine_run(e, &event); /* what it makes necessary is done at the next tick */
}

int engine_force(struct engine *e, uint16_t down, const char *actor)
{
	struct repl_event event = {.type = REPL_EV_FORCE};

	event.force.down = down;
	event.force.at_ms = engine_wall_ms();
	snprintf(event.force.actor.text, sizeof(event.force.actor.text), "%s", actor);
	return engine_run(e, &event);
}

/* ---- start and end */

static int read_boot_id(struct cl_uuid *ret, uint64_t *ret_incarnation)
{
	_cleanup_close_ int fd = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);
	char text[64];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	size_t nibble = 0;

	if (n < 36)
		return -EIO;
	*ret = (struct cl_uuid){0};
	for (ssize_t i = 0; i < 36 && nibble < 2 * CL_UUID_BYTES; i++) {
		int c = text[i], v;

		if (c == '-')
			continue;
		v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
		if (v < 0)
			return -EIO;
		ret->byte[nibble / 2] = (uint8_t)(ret->byte[nibble / 2] << 4 | v);
		nibble++;
	}
	*ret_incarnation = hash_bytes(HASH_INIT, ret->byte, sizeof(ret->byte));
	return 0;
}

/* Builds the applied state from the snapshot and the entries known to be committed. */
static int load(struct engine *e, struct store_content *c, struct repl_history *history)
{
	must(!db_init(&e->db, e->db_mem, db_size(&db_limits_full), &db_limits_full));
	if (c->snapshot.bytes && db_decode(&e->db, c->snapshot.bytes, c->snapshot.len))
		return -EBADMSG;
	if (c->snapshot.bytes && e->db.index != c->snapshot.index)
		return -EBADMSG;
	e->applied_table = c->snapshot_table;
	e->checkpoint_index = e->db.index;
	e->checkpoint_version = e->db.version;
	e->tail = c->log;
	c->log = (struct store_log){0};
	*history = (struct repl_history){
		.is_blank = c->is_blank,
		.cluster = c->cluster,
		.last = c->last,
		.promised = c->promised,
		.table = c->table,
	};
	if (!c->last.index)
		history->last = (struct cl_pos){.epoch = e->db.epoch, .index = e->db.index};
	free(c->snapshot.bytes);
	return 0;
}

static int open_bulk(struct engine *e, char *text, size_t size)
{
	char address[64] = "0.0.0.0";
	uint32_t nodeid = cpg_local_nodeid();
	int r;

	if (nodeid && cpg_node_address(nodeid, address, sizeof(address)))
		snprintf(address, sizeof(address), "0.0.0.0");
	r = bulk_open(e->loop, e->options.db_path, e->options.secrets_dir, address,
		      e->options.bulk_port, &e->key, engine_pulled, e, &e->bulk);
	if (r)
		snprintf(text, size, "cannot listen on %s port %u: %s", address,
			 e->options.bulk_port, strerror(-r));
	return r;
}

/* There is no way back for this boot: the others need not see it come and go again. */
static bool is_being_fenced(const struct engine *e)
{
	for (uint32_t i = 0; i < db_count(&e->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(&e->db, DB_KIND_NODE, i);

		if (n->incarnation == e->repl.self.incarnation &&
		    (n->membership == DB_MEMBERSHIP_FENCING ||
		     n->membership == DB_MEMBERSHIP_FENCED))
			return true;
	}
	return false;
}

int engine_open(struct engine *e, qb_loop_t *loop, const struct engine_options *options, char *text,
		size_t size)
{
	static const struct store_calls store_calls = {on_durable, on_promised, engine_installed,
						       on_store_failed, on_stalled};
	static const struct cpg_calls cpg_calls = {on_joined,  on_confchg, on_ring,
						   on_message, on_left,	   on_unsafe};
	uint64_t commit;
	struct repl_identity self = {.instance = random_u64(),
				     .versions = upgrade_versions,
				     .build = {CLUSTERD_VERSION}};
	struct repl_history history;
	int r;

	*e = (struct engine){.loop = loop, .options = *options, .next_request = 1};
	e->requests_end = &e->requests;
	r = read_boot_id(&self.boot, &self.incarnation);
	if (r) {
		snprintf(text, size, "cannot read %s", BOOT_ID_PATH);
		return r;
	}
	r = tls_key_load(options->key_path, "clusterd bulk 1", &e->key);
	if (r) {
		snprintf(text, size,
			 "%s: %s; the cluster runs with corosync's crypto only: make "
			 "the key with corosync-keygen, mode 0400, same on every node",
			 options->key_path, strerror(-r));
		return r;
	}
	e->db_mem = malloc(db_size(&db_limits_full));
	e->actions = malloc(sizeof(*e->actions));
	must(e->db_mem && e->actions);
	r = rescue_open(e, &store_calls, load, &history, &commit, text, size);
	if (r)
		return r;
	repl_init(&e->repl, &options->repl, &self, &history);
	r = open_bulk(e, text, size);
	if (r)
		return r;
	engine_apply_until(e, commit);
	e->duty_wanted = e->view_changed = false;
	if (is_being_fenced(e)) {
		snprintf(text, size, "this boot of the node is being fenced, or was: reboot it");
		return -EPERM;
	}
	r = cpg_open(loop, options->group, &cpg_calls, e, &e->cpg);
	must(!r);
	qb_loop_timer_add(loop, QB_LOOP_HIGH, TICK_NS, e, on_tick, &e->timer);
	return 0;
}

void engine_close(struct engine *e)
{
	cpg_close(e->cpg);
	bulk_close(e->bulk);
	store_close(e->store);
	while (e->requests)
		request_end(e, &e->requests, -ECANCELED, NULL);
	store_log_clear(&e->tail);
	store_log_clear(&e->held);
	store_log_clear(&e->installed.log);
	free(e->installed.snapshot.bytes);
	free(e->actions);
	free(e->db_mem);
}
