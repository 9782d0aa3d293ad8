/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/fencer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/core/duty.h"
#include "clusterd/core/fence_window.h"
#include "clusterd/core/setting.h"
#include "clusterd/core/stuck.h"
#include "clusterd/edge/duty.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/secrets.h"
#include "fence/core/fence_cap.h"
#include "fence/core/ladder.h"
#include "lib/fence_agent.h"
#include "lib/must.h"

#define FENCER_TIMER_NS	   (100 * 1000 * 1000ull)
#define FENCER_BACKOFF_MS  2000
#define FENCER_BACKOFF_CAP 60000
#define FENCER_RETRIES	   1
#define FENCER_RUNS_MAX	   (LADDER_MAX_DEVICES * 2) /* of one victim, late ones included */
#define FENCER_REQUEST_MS  10000

struct fence_run {
	struct fence_victim *victim;
	struct agent_run *run;
	uint64_t attempt;
	uint16_t device;
	bool is_verify;
	bool is_used;
};

struct fence_victim {
	struct fencer *fencer;
	bool is_used;
	bool is_begun; /* NODE_FENCING is applied and the ladder has started */
	bool begin_runs, confirm_runs;
	bool is_waiting; /* and has said so */
	bool is_confirmed;
	char how[DB_REASON_MAX];
	uint64_t incarnation;
	struct ladder_state ladder;
	struct fence_run run[FENCER_RUNS_MAX];
	char device[LADDER_MAX_LEVELS * LADDER_MAX_DEVICES][CL_NAME_MAX];
	uint64_t since_ms; /* of the quorate view without it */
};

struct fencer {
	struct engine *engine;
	qb_loop_t *loop;
	qb_loop_timer_handle timer;
	struct fence_cap_state cap;
	struct fence_victim victim[CL_MAX_NODES];
};

static void ladder_event(struct fence_victim *v, struct ladder_event *ev);
static void tell_view(struct fence_victim *v);

/* ---- commands */

static void note(struct fencer *f, uint8_t slot, const char *kind, const char *text)
{
	struct db_command cmd = engine_command(f->engine, DB_CMD_FENCE_NOTE);

	snprintf(cmd.fence_note.name, sizeof(cmd.fence_note.name), "%s",
		 db_node_name(&f->engine->db, slot));
	snprintf(cmd.fence_note.kind, sizeof(cmd.fence_note.kind), "%s", kind);
	snprintf(cmd.fence_note.text, sizeof(cmd.fence_note.text), "%s", text);
	log_notice("fence %s: %s", cmd.fence_note.name, text);
	engine_request(f->engine, &cmd, FENCER_REQUEST_MS, NULL, NULL);
}

static void begun(void *arg, int r, const struct db_result *result)
{
	struct fence_victim *v = arg;

	(void)r;
	(void)result;
	v->begin_runs = false; /* the row says whether it was taken */
}

static void confirmed(void *arg, int r, const struct db_result *result)
{
	struct fence_victim *v = arg;

	(void)r;
	(void)result;
	v->confirm_runs = false;
}

static uint8_t slot_of(const struct fence_victim *v)
{
	return (uint8_t)(v - v->fencer->victim);
}

/* A duty: in a new view the victim may be back, and is admitted before this is said again. */
static void say_fencing(struct fence_victim *v, const struct db_node *n)
{
	struct db_command cmd = engine_command(v->fencer->engine, DB_CMD_NODE_FENCING);
	uint8_t buf[DB_COMMAND_MAX];
	size_t len;

	if (v->begin_runs)
		return;
	memcpy(cmd.node_fencing.name, n->name, sizeof(n->name));
	cmd.node_fencing.incarnation = n->incarnation;
	must(!db_command_encode(&cmd, buf, sizeof(buf), &len));
	v->begin_runs = !engine_submit(v->fencer->engine, CL_ENTRY_COMMAND, buf, len,
				       FENCER_REQUEST_MS, true, begun, v);
}

static void say_waiting(struct fence_victim *v, const struct db_node *n)
{
	const struct db *db = &v->fencer->engine->db;
	char text[DB_REASON_MAX];

	if (v->is_waiting)
		return;
	v->is_waiting = true;
	snprintf(text, sizeof(text),
		 "waits %" PRIu64 " ms: %" PRIu64 " fences have begun within %" PRIu64
		 " ms, which is all; until then it may come back",
		 fence_window_wait_ms(db, engine_wall_ms()),
		 setting_get(db, SETTING_FENCE_MAX, NULL),
		 setting_get(db, SETTING_FENCE_WINDOW_MS, NULL));
	note(v->fencer, n->slot, "fence-waits", text);
}

static void say_fenced(struct fence_victim *v, const struct db_node *n)
{
	struct db_command cmd = engine_command(v->fencer->engine, DB_CMD_NODE_FENCED);

	if (v->confirm_runs)
		return;
	memcpy(cmd.node_fenced.name, n->name, sizeof(n->name));
	cmd.node_fenced.incarnation = n->incarnation;
	memcpy(cmd.node_fenced.how, v->how, sizeof(v->how));
	v->confirm_runs = !engine_request(v->fencer->engine, &cmd, FENCER_REQUEST_MS, confirmed, v);
}

/* ---- the ladder's configuration, from the database */

static int by_level(const void *a, const void *b)
{
	const struct db_fence *x = *(const struct db_fence *const *)a;
	const struct db_fence *y = *(const struct db_fence *const *)b;

	return x->level < y->level ? -1 : x->level > y->level;
}

/* Devices that can fence that slot, by level. False if there is none. */
static bool make_config(const struct db *db, uint8_t slot, struct ladder_config *c,
			char (*name)[CL_NAME_MAX])
{
	const struct db_fence *found[LADDER_MAX_LEVELS * LADDER_MAX_DEVICES];
	uint16_t n = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_FENCE); i++) {
		const struct db_fence *f = db_at(db, DB_KIND_FENCE, i);

		if ((f->nodes & cl_bit(slot)) && n < MUST_ARRAY_SIZE(found))
			found[n++] = f;
	}
	qsort(found, n, sizeof(found[0]), by_level);
	*c = (struct ladder_config){.backoff_base_ms = FENCER_BACKOFF_MS,
				    .backoff_cap_ms = FENCER_BACKOFF_CAP};
	for (uint16_t i = 0; i < n; i++) {
		bool is_new = !i || found[i]->level != found[i - 1]->level;
		struct ladder_level *l;

		if (is_new && c->level_count == LADDER_MAX_LEVELS)
			break;
		if (is_new)
			c->level_count++;
		l = &c->level[c->level_count - 1];
		if (l->device_count == LADDER_MAX_DEVICES)
			continue;
		memcpy(name[i], found[i]->name, sizeof(name[i]));
		l->deadline_ms += 2 * found[i]->timeout_ms;
		l->device[l->device_count++] = (struct ladder_device){
			.device = i,
			.scope = LADDER_SCOPE_NODE,
			.method = LADDER_METHOD_REBOOT,
			.retries = FENCER_RETRIES,
			.needs_verify = true,
		};
	}
	return c->level_count > 0;
}

/* ---- running a device */

static void run_done(void *data, const struct agent_result *result)
{
	struct fence_run *run = data;
	struct fence_victim *v = run->victim;
	struct ladder_event ev = {.type = run->is_verify ? LADDER_EV_VERIFY_DONE
							 : LADDER_EV_DEVICE_DONE};

	char text[AGENT_TEXT_MAX];

	run->run = NULL;
	run->is_used = false;
	ev.done.attempt = run->attempt;
	ev.done.device = run->device;
	ev.done.is_ok = result->outcome == AGENT_OK;
	ev.done.power = (uint8_t)result->power;
	ev.done.rc = result->rc;
	if (result->outcome != AGENT_OK) {
		snprintf(text, sizeof(text), "%s", result->text);
		secrets_redact(v->fencer->engine->secrets, text);
		log_warning("fence %s: device %s: %s (%d): %s",
			    db_node_name(&v->fencer->engine->db, slot_of(v)),
			    v->device[run->device], agent_outcome_name(result->outcome), result->rc,
			    text);
	}
	if (v->is_used)
		ladder_event(v, &ev);
}

/* -ENOKEY: a secret that it refers to is not on this node. */
static int take_params(const struct engine *e, const char *device, const char *plug,
		       struct agent_params *params)
{
	const struct db *db = &e->db;
	char prefix[CL_NAME_MAX + 16];
	size_t len = (size_t)snprintf(prefix, sizeof(prefix), "fence.%.50s/", device);

	memset(params, 0, sizeof(*params));
	for (uint32_t i = 0; i < db_count(db, DB_KIND_PARAM); i++) {
		const struct db_param *p = db_at(db, DB_KIND_PARAM, i);

		const char *value;

		if (strncmp(p->key, prefix, len) != 0)
			continue;
		value = secrets_resolve(e->secrets, p->value);
		if (!value) {
			log_error("fence device %s: %s: the node does not have it", device,
				  p->value);
			return -ENOKEY;
		}
		agent_params_set(params, p->key + len, value);
	}
	if (!agent_params_get(params, "plug") && !agent_params_get(params, "port"))
		agent_params_set(params, "plug", plug);
	return 0;
}

static int start_device(struct fence_victim *v, struct fence_run *run, const struct ladder_run *r)
{
	static const enum agent_action action[LADDER_VERB_MAX] = {
		[LADDER_VERB_OFF] = AGENT_OFF,
		[LADDER_VERB_ON] = AGENT_ON,
		[LADDER_VERB_STATUS] = AGENT_STATUS,
	};
	const struct db *db = &v->fencer->engine->db;
	const struct db_fence *d = db_find(db, DB_KIND_FENCE, v->device[r->device]);
	static struct agent_params params;
	struct agent_request request = {.action = action[r->verb], .params = &params};
	int e;

	if (!d)
		return -ENOENT;
	e = take_params(v->fencer->engine, d->name, db_node_name(db, slot_of(v)), &params);
	request.path = d->agent;
	request.timeout_ms = d->timeout_ms;
	if (!e)
		e = agent_run_start(v->fencer->loop, &request, run_done, run, &run->run);
	agent_params_wipe(&params);
	return e;
}

static void run_device(struct fence_victim *v, const struct ladder_run *r, bool is_verify)
{
	struct ladder_event ev = {.type = is_verify ? LADDER_EV_VERIFY_DONE
						    : LADDER_EV_DEVICE_DONE};
	struct fence_run *run = NULL;
	int e = -EBUSY;

	for (size_t i = 0; i < FENCER_RUNS_MAX && !run; i++) {
		if (!v->run[i].is_used)
			run = &v->run[i];
	}
	if (run) {
		*run = (struct fence_run){.victim = v,
					  .attempt = r->attempt,
					  .device = r->device,
					  .is_verify = is_verify,
					  .is_used = true};
		e = start_device(v, run, r);
		run->is_used = !e;
	}
	if (!e)
		return;
	ev.done.attempt = r->attempt;
	ev.done.device = r->device;
	ev.done.rc = e;
	ladder_event(v, &ev);
}

static void abort_device(struct fence_victim *v, uint64_t attempt)
{
	for (size_t i = 0; i < FENCER_RUNS_MAX; i++) {
		if (v->run[i].is_used && v->run[i].attempt == attempt && v->run[i].run)
			agent_run_cancel(v->run[i].run);
	}
}

/* ---- the ladder's actions */

static void permit(struct fencer *f, struct fence_cap_event *ev)
{
	struct fence_cap_actions out;

	ev->now_ms = engine_now_ms();
	if (fence_cap_step(&f->cap, ev, &out))
		return;
	for (uint8_t i = 0; i < out.count; i++) {
		struct fence_victim *v = &f->victim[out.permit[i]];

		if (v->is_used && v->is_begun)
			ladder_event(v, &(struct ladder_event){.type = LADDER_EV_PERMIT});
	}
}

static void ask(struct fence_victim *v, enum fence_cap_event_type type)
{
	permit(v->fencer, &(struct fence_cap_event){.type = type,
						    .victim = slot_of(v),
						    .incarnation = v->incarnation});
}

static void history(struct fence_victim *v, const struct ladder_note *n)
{
	static const char *const verb[LADDER_VERB_MAX] = {"off", "on", "status"};
	static const char *const result[LADDER_RESULT_MAX] = {
		"nothing",	  "ok",	      "failed",	 "reads off", "still on",
		"cannot be read", "deadline", "aborted", "late",      "contradicted"};
	char text[DB_REASON_MAX];

	snprintf(text, sizeof(text), "%.60s: %s: %s (%d) after %" PRIu64 " ms",
		 v->device[n->device], verb[n->verb], result[n->result], n->rc,
		 n->ended_ms - n->started_ms);
	note(v->fencer, slot_of(v), "fence-attempt", text);
}

static void blocked(struct fence_victim *v, const struct ladder_block *b)
{
	char text[DB_REASON_MAX];

	if (b->reason == LADDER_BLOCKED_DEVICES || b->reason == LADDER_BLOCKED_TIME) {
		snprintf(text, sizeof(text),
			 "blocked: no fence device could prove it off; it is tried again");
		note(v->fencer, slot_of(v), "fence-blocked", text);
	}
}

static void proven(struct fence_victim *v, const struct ladder_confirmed *c)
{
	if (c->scope != LADDER_SCOPE_NODE)
		return;
	v->is_confirmed = true;
	if (c->how == LADDER_HOW_DEVICES)
		snprintf(v->how, sizeof(v->how), "powered off by level %u and read back off",
			 c->level + 1u);
	else
		snprintf(v->how, sizeof(v->how), "%s",
			 c->how == LADDER_HOW_BOOT ? "a later boot was seen" : "confirmed");
}

static void ladder_event(struct fence_victim *v, struct ladder_event *ev)
{
	struct ladder_actions out;

	/* Since it was told last, the lease may have run out, or the victim have come back. */
	if (ev->type != LADDER_EV_QUORUM && ev->type != LADDER_EV_VICTIM_SEEN)
		tell_view(v);
	ev->now_ms = engine_now_ms();
	if (ladder_step(&v->ladder, ev, &out))
		return;
	must(!ladder_check(&v->ladder));
	for (uint8_t i = 0; i < out.count; i++) {
		const struct ladder_action *a = &out.item[i];

		switch (a->kind) {
		case LADDER_ACT_ASK:
			ask(v, FENCE_CAP_EV_ASK);
			break;
		case LADDER_ACT_RELEASE:
			ask(v, FENCE_CAP_EV_DONE);
			break;
		case LADDER_ACT_RUN:
		case LADDER_ACT_VERIFY:
			run_device(v, &a->run, a->kind == LADDER_ACT_VERIFY);
			break;
		case LADDER_ACT_ABORT:
			abort_device(v, a->run.attempt);
			break;
		case LADDER_ACT_CONFIRMED:
			proven(v, &a->confirmed);
			break;
		case LADDER_ACT_BLOCKED:
			blocked(v, &a->blocked);
			break;
		case LADDER_ACT_NOTE:
			history(v, &a->note);
			break;
		case LADDER_ACT_MAX:
			break;
		}
	}
}

/* ---- whom to fence */

static void drop(struct fence_victim *v)
{
	if (!v->is_used)
		return;
	v->is_used = v->is_begun = v->is_confirmed = false;
	for (size_t i = 0; i < FENCER_RUNS_MAX; i++) {
		if (v->run[i].is_used && v->run[i].run)
			agent_run_cancel(v->run[i].run);
	}
	ask(v, FENCE_CAP_EV_DONE);
}

static void tell_view(struct fence_victim *v)
{
	const struct repl_state *s = &v->fencer->engine->repl;
	struct ladder_event ev = {.type = LADDER_EV_QUORUM};
	struct ladder_event seen = {.type = LADDER_EV_VICTIM_SEEN};

	ev.quorum.is_quorate = engine_may_act(v->fencer->engine);
	ev.quorum.has_victim = s->present & cl_bit(slot_of(v));
	ev.quorum.since_ms = v->since_ms;
	ladder_event(v, &ev);
	seen.seen.is_later_boot = true;
	if (duty_is_rebooted(s, slot_of(v), v->incarnation, &seen.seen.incarnation))
		ladder_event(v, &seen);
}

static void begin(struct fence_victim *v, const struct db_node *n)
{
	struct ladder_config config;
	struct ladder_event ev = {.type = LADDER_EV_START};
	char why[DB_REASON_MAX];

	if (!make_config(&v->fencer->engine->db, n->slot, &config, v->device) ||
	    ladder_init(&v->ladder, &config))
		return;
	v->is_begun = true;
	v->since_ms = engine_now_ms();
	tell_view(v);
	ev.start.victim = n->slot;
	ev.start.incarnation = n->incarnation;
	ev.start.reason = stuck_asks(&v->fencer->engine->db, n, why, sizeof(why))
				  ? LADDER_REASON_STOP
				  : LADDER_REASON_LOST;
	ev.start.asker = v->fencer->engine->repl.self_slot;
	ev.start.attempt_base = (engine_now_ms() << 10) + 1;
	log_notice("fence %s: begins", n->name);
	ladder_event(v, &ev);
}

static bool has_device(const struct db *db, const struct db_node *n)
{
	struct ladder_config config;
	static char names[LADDER_MAX_LEVELS * LADDER_MAX_DEVICES][CL_NAME_MAX];

	return make_config(db, n->slot, &config, names);
}

/* A later boot of it has joined: nothing has to be sent, and what is at work may end. */
static void boot_seen(struct fence_victim *v, const struct db_node *n)
{
	if (v->is_begun)
		tell_view(v);
	else
		snprintf(v->how, sizeof(v->how), "a later boot was seen");
	v->is_confirmed = true;
	say_fenced(v, n);
}

/* After the confirmation the ladder may still switch the node on again: it is kept for that. */
static bool is_restoring(const struct fence_victim *v)
{
	return v->is_used && v->is_begun && v->ladder.phase == LADDER_RESTORE;
}

static void look_at(struct fencer *f, const struct db_node *n)
{
	struct fence_victim *v = &f->victim[n->slot];
	uint64_t boot = 0;
	enum duty_fence what =
		duty_fence(&f->engine->repl, &f->engine->db, n, engine_wall_ms(), &boot);

	if (v->is_used && v->incarnation != n->incarnation)
		drop(v);
	if (what == DUTY_FENCE_NONE || !has_device(&f->engine->db, n)) {
		if (!is_restoring(v))
			drop(v);
		return;
	}
	if (!v->is_used) {
		for (size_t i = 0; i < FENCER_RUNS_MAX; i++) {
			if (v->run[i].is_used || v->begin_runs || v->confirm_runs)
				return; /* what is left of an earlier fence ends first */
		}
		memset(v, 0, sizeof(*v));
		v->fencer = f;
		v->is_used = true;
		v->incarnation = n->incarnation;
	}
	if (what == DUTY_FENCE_WAIT)
		say_waiting(v, n);
	else if (what == DUTY_FENCE_OVER)
		boot_seen(v, n);
	else if (what == DUTY_FENCE_SAY)
		say_fencing(v, n);
	else if (!v->is_begun)
		begin(v, n);
	else if (v->is_confirmed)
		say_fenced(v, n);
}

/* Our own incarnation is to be fenced: be gone, so that nobody counts on us meanwhile. */
static void check_self(struct fencer *f)
{
	const struct repl_state *s = &f->engine->repl;
	const struct db_node *n =
		s->self_slot == CL_NODE_NONE ? NULL : db_node_by_slot(&f->engine->db, s->self_slot);

	if (!n || n->incarnation != s->self.incarnation ||
	    (n->membership != DB_MEMBERSHIP_FENCING && n->membership != DB_MEMBERSHIP_FENCED))
		return;
	log_error("this incarnation is being fenced -> ending at once; reboot this node");
	_exit(EXIT_FAILURE);
}

void fencer_changed(struct fencer *f)
{
	const struct db *db = &f->engine->db;
	bool is_ours = repl_is_sequencer(&f->engine->repl) && engine_may_act(f->engine);
	/* Between epochs nobody is: a ladder that is under way stands still, and may go on. */
	bool is_of_another =
		f->engine->repl.phase == REPL_OPEN && !repl_is_sequencer(&f->engine->repl);

	check_self(f);
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (is_ours)
			look_at(f, n);
		else if (is_of_another)
			drop(&f->victim[n->slot]);
	}
}

static void on_timer(void *arg)
{
	struct fencer *f = arg;

	qb_loop_timer_add(f->loop, QB_LOOP_MED, FENCER_TIMER_NS, f, on_timer, &f->timer);
	fencer_changed(f);
	permit(f, &(struct fence_cap_event){.type = FENCE_CAP_EV_TICK});
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		struct fence_victim *v = &f->victim[i];

		if (!v->is_used || !v->is_begun)
			continue;
		tell_view(v);
		ladder_event(v, &(struct ladder_event){.type = LADDER_EV_TICK});
	}
}

int fencer_open(struct engine *e, struct fencer **ret)
{
	static const struct fence_cap_config cap = FENCE_CAP_CONFIG_INIT;
	struct fencer *f = calloc(1, sizeof(*f));

	must(f && !fence_cap_init(&f->cap, &cap));
	f->engine = e;
	f->loop = e->loop;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++)
		f->victim[i].fencer = f;
	qb_loop_timer_add(f->loop, QB_LOOP_MED, FENCER_TIMER_NS, f, on_timer, &f->timer);
	*ret = f;
	return 0;
}

void fencer_close(struct fencer *f)
{
	if (!f)
		return;
	qb_loop_timer_del(f->loop, f->timer);
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		for (size_t k = 0; k < FENCER_RUNS_MAX; k++) {
			if (f->victim[i].run[k].is_used)
				agent_run_free(f->victim[i].run[k].run);
		}
	}
	free(f);
}
