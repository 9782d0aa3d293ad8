/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/claim.h"

#include <stddef.h>

#include "lib/must.h"

void claim_init(struct claim_state *c, uint8_t self, uint64_t d_ms)
{
	*c = (struct claim_state){.self = self, .d_ms = d_ms};
}

static bool same_record(const struct claim_record *a, const struct claim_record *b)
{
	return a->owner == b->owner && cl_view_equal(&a->view, &b->view) &&
	       a->generation == b->generation && a->nonce == b->nonce;
}

/* Of this claim, whatever its generation: a write that was called void may be there all the same.
 */
static bool is_own(const struct claim_state *c, const struct claim_record *r)
{
	return r->owner == c->own.owner && cl_view_equal(&r->view, &c->own.view) &&
	       r->nonce == c->own.nonce;
}

static enum claim_action start_read(struct claim_state *c, uint64_t now_ms, enum claim_phase phase)
{
	c->phase = phase;
	c->look_ms = now_ms;
	c->io_runs = true;
	return CLAIM_DO_READ;
}

static enum claim_action start_write(struct claim_state *c, enum claim_phase phase)
{
	c->phase = phase;
	c->io_runs = true;
	return CLAIM_DO_WRITE;
}

/* From step 1 on. What is known of the record stays known: it is compared with the next read. */
static enum claim_action start_over(struct claim_state *c, uint64_t now_ms)
{
	c->phase = CLAIM_WATCH;
	c->until_ms = 0;
	c->due_ms = now_ms;
	return CLAIM_DO_NOTHING;
}

static void see(struct claim_state *c, const struct claim_record *r, uint64_t now_ms)
{
	if (c->was_seen && same_record(&c->seen, r))
		return;
	c->was_seen = true;
	c->seen = *r;
	c->quiet_ms = now_ms;
}

/* It was so at some moment before quiet_ms, and at some moment after look_ms. */
static bool may_take(const struct claim_state *c)
{
	if (c->seen.owner == CL_NODE_NONE || CLAIM_MUTANT(c, NO_QUIET))
		return true;
	if (c->seen.owner < CL_MAX_NODES && (c->members & cl_bit(c->seen.owner)))
		return true;
	return c->look_ms >= c->quiet_ms && c->look_ms - c->quiet_ms >= 4 * c->d_ms;
}

static enum claim_action renewal_read(struct claim_state *c, uint64_t now_ms)
{
	if (now_ms >= c->until_ms && !CLAIM_MUTANT(c, REVIVE))
		return start_over(c, now_ms);
	c->own.generation++;
	return start_write(c, CLAIM_RENEW_WRITE);
}

static enum claim_action on_read(struct claim_state *c, const struct claim_event *e)
{
	const struct claim_record *r = &e->io.record;
	uint64_t now = e->now_ms;

	if (!e->io.is_ok) {
		if (c->phase == CLAIM_CHECK)
			return start_over(c, now);
		c->phase = c->phase == CLAIM_RENEW_READ ? CLAIM_OWNED : CLAIM_WATCH;
		c->due_ms = now + c->d_ms / 4;
		return CLAIM_DO_NOTHING;
	}
	see(c, r, now);
	if (c->phase == CLAIM_WATCH) {
		if (!may_take(c)) {
			c->due_ms = now + c->d_ms / 2;
			return CLAIM_DO_NOTHING;
		}
		c->own = (struct claim_record){.owner = c->self,
					       .view = c->view,
					       .generation = r->generation + 1,
					       .nonce = e->entropy};
		return start_write(c, CLAIM_WRITE);
	}
	if (!is_own(c, r) && !CLAIM_MUTANT(c, KEEPS_FOREIGN))
		return start_over(c, now);
	if (c->phase == CLAIM_RENEW_READ)
		return renewal_read(c, now);
	must(c->phase == CLAIM_CHECK);
	c->phase = CLAIM_OWNED;
	c->until_ms = c->look_ms + 2 * c->d_ms;
	c->due_ms = c->look_ms + c->d_ms;
	return CLAIM_DO_NOTHING;
}

static enum claim_action on_written(struct claim_state *c, const struct claim_event *e)
{
	uint64_t now = e->now_ms;
	bool is_void = !e->io.is_ok || now - c->look_ms > c->d_ms;

	if (c->phase == CLAIM_WRITE) {
		if (is_void)
			return start_over(c, now);
		c->phase = CLAIM_WAIT;
		c->due_ms = CLAIM_MUTANT(c, NO_WAIT) ? now : now + 2 * c->d_ms;
		if (CLAIM_MUTANT(c, NO_CHECK)) {
			c->phase = CLAIM_OWNED;
			c->until_ms = now + 2 * c->d_ms;
		}
		return CLAIM_DO_NOTHING;
	}
	must(c->phase == CLAIM_RENEW_WRITE);
	if (now >= c->until_ms && !CLAIM_MUTANT(c, REVIVE))
		return start_over(c, now);
	c->phase = CLAIM_OWNED;
	c->due_ms = now;
	if (is_void)
		return CLAIM_DO_NOTHING;
	c->until_ms = c->look_ms + 2 * c->d_ms;
	c->due_ms = c->look_ms + c->d_ms;
	return CLAIM_DO_NOTHING;
}

static enum claim_action on_tick(struct claim_state *c, uint64_t now_ms)
{
	if (c->until_ms && now_ms >= c->until_ms && c->phase == CLAIM_OWNED &&
	    !CLAIM_MUTANT(c, REVIVE))
		start_over(c, now_ms);
	if (c->io_runs || now_ms < c->due_ms)
		return CLAIM_DO_NOTHING;
	switch (c->phase) {
	case CLAIM_WATCH:
		return start_read(c, now_ms, CLAIM_WATCH);
	case CLAIM_WAIT:
		return start_read(c, now_ms, CLAIM_CHECK);
	case CLAIM_OWNED:
		return start_read(c, now_ms, CLAIM_RENEW_READ);
	case CLAIM_IDLE:
	case CLAIM_WRITE:
	case CLAIM_CHECK:
	case CLAIM_RENEW_READ:
	case CLAIM_RENEW_WRITE:
	case CLAIM_PHASE_MAX:
		break;
	}
	return CLAIM_DO_NOTHING;
}

/* An I/O that runs belongs to what was before: its end is waited for, its result is nothing. */
static void leave_phase(struct claim_state *c)
{
	c->io_is_stale = c->io_runs;
	c->until_ms = 0;
}

enum claim_action claim_step(struct claim_state *c, const struct claim_event *event)
{
	bool is_stale = c->io_is_stale;

	switch (event->type) {
	case CLAIM_EV_BEGIN:
		leave_phase(c);
		c->view = event->begin.view;
		c->members = event->begin.members;
		c->was_seen = false;
		return start_over(c, event->now_ms);
	case CLAIM_EV_END:
		leave_phase(c);
		c->phase = CLAIM_IDLE;
		return CLAIM_DO_NOTHING;
	case CLAIM_EV_READ:
	case CLAIM_EV_WRITTEN:
		must(c->io_runs);
		c->io_runs = c->io_is_stale = false;
		if (is_stale)
			return CLAIM_DO_NOTHING;
		return event->type == CLAIM_EV_READ ? on_read(c, event) : on_written(c, event);
	case CLAIM_EV_TICK:
		return on_tick(c, event->now_ms);
	}
	return CLAIM_DO_NOTHING;
}

bool claim_is_owned(const struct claim_state *c, uint64_t now_ms)
{
	return now_ms < c->until_ms;
}

const char *claim_check(const struct claim_state *c)
{
	bool owns = c->phase == CLAIM_OWNED || c->phase == CLAIM_RENEW_READ ||
		    c->phase == CLAIM_RENEW_WRITE;
	bool needs_io = c->phase == CLAIM_WRITE || c->phase == CLAIM_CHECK ||
			c->phase == CLAIM_RENEW_READ || c->phase == CLAIM_RENEW_WRITE;

	if (c->until_ms && !owns)
		return "the witness is owned in a phase that does not own it";
	if (needs_io && (!c->io_runs || c->io_is_stale))
		return "a phase waits for an I/O that does not run";
	if (c->io_is_stale && !c->io_runs)
		return "an I/O that is over is stale";
	if (owns && c->was_seen && !is_own(c, &c->seen))
		return "a foreign record has been seen, and the witness is owned";
	if (owns && (c->own.owner != c->self || !cl_view_equal(&c->own.view, &c->view)))
		return "the record owned is not of this node and view";
	return NULL;
}

const char *claim_phase_name(enum claim_phase phase)
{
	static const char *const name[CLAIM_PHASE_MAX] = {
		[CLAIM_IDLE] = "idle",
		[CLAIM_WATCH] = "watch",
		[CLAIM_WRITE] = "write",
		[CLAIM_WAIT] = "wait",
		[CLAIM_CHECK] = "check",
		[CLAIM_OWNED] = "owned",
		[CLAIM_RENEW_READ] = "renew-read",
		[CLAIM_RENEW_WRITE] = "renew-write",
	};

	return phase < CLAIM_PHASE_MAX ? name[phase] : "?";
}

const char *claim_mutant_name(enum claim_mutant mutant)
{
	static const char *const name[CLAIM_MUTANT_MAX] = {
		[CLAIM_MUTANT_NONE] = "none",
		[CLAIM_MUTANT_NO_QUIET] = "take-over-without-watching",
		[CLAIM_MUTANT_NO_WAIT] = "read-back-at-once",
		[CLAIM_MUTANT_NO_CHECK] = "do-not-read-back",
		[CLAIM_MUTANT_KEEPS_FOREIGN] = "foreign-record-is-passed-over",
		[CLAIM_MUTANT_REVIVE] = "late-renewal-revives",
	};

	return mutant < CLAIM_MUTANT_MAX ? name[mutant] : "?";
}
