/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the ladder is made of: validation, invariants, hash, snapshot, names. Snapshot version 1 is
 * u32 magic, u16 version, then the fields in the order of walk_state(), little-endian; only levels
 * and devices that exist are there. No checksum: it is a section of what the caller stores.
 */
#include <errno.h>
#include <string.h>

#include "fence/core/ladder.h"
#include "fence/core/ladder_impl.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/wire.h"

#define MAGIC			0x4444414cU /* "LADD" */
#define LADDER_SNAPSHOT_VERSION 1

/* ---- validation ---- */

static uint8_t device_problem(const struct ladder_level *l, uint8_t i)
{
	const struct ladder_device *d = &l->device[i];
	bool proves = d->scope != LADDER_SCOPE_NONE;

	if (d->scope >= LADDER_SCOPE_MAX || d->method >= LADDER_METHOD_MAX)
		return LADDER_PROBLEM_VALUE;
	if (d->retries > LADDER_MAX_RETRIES)
		return LADDER_PROBLEM_RETRIES;
	if (proves && !d->needs_verify)
		return LADDER_PROBLEM_UNVERIFIED;
	if (!proves && d->needs_verify)
		return LADDER_PROBLEM_IDLE_LOOK;
	if (d->method == LADDER_METHOD_REBOOT && d->scope != LADDER_SCOPE_NODE)
		return LADDER_PROBLEM_REBOOT;
	if (proves != (l->device[0].scope != LADDER_SCOPE_NONE))
		return LADDER_PROBLEM_MIXED;
	for (uint8_t j = 0; j < i; j++) {
		if (l->device[j].device == d->device)
			return LADDER_PROBLEM_TWICE;
	}
	return LADDER_PROBLEM_NONE;
}

static struct ladder_problem level_problem(const struct ladder_level *l, uint8_t level)
{
	struct ladder_problem p = {.level = level};

	if (l->device_count == 0 || l->device_count > LADDER_MAX_DEVICES)
		p.kind = LADDER_PROBLEM_DEVICES;
	else if (l->deadline_ms == 0 || l->deadline_ms > LADDER_MS_MAX)
		p.kind = LADDER_PROBLEM_DEADLINE;
	for (uint8_t i = 0; !p.kind && i < l->device_count; i++) {
		p.kind = device_problem(l, i);
		p.device = i;
	}
	return p;
}

static uint8_t config_problem(const struct ladder_config *c)
{
	if (c->level_count > LADDER_MAX_LEVELS)
		return LADDER_PROBLEM_LEVELS;
	if (c->backoff_base_ms == 0 || c->backoff_base_ms > c->backoff_cap_ms ||
	    c->backoff_cap_ms > LADDER_MS_MAX)
		return LADDER_PROBLEM_BACKOFF;
	if ((c->time_only && c->wait_ms == 0) || c->wait_ms > LADDER_MS_MAX ||
	    c->look_ms > LADDER_MS_MAX)
		return LADDER_PROBLEM_WAIT;
	return LADDER_PROBLEM_NONE;
}

/* One level whose devices all prove node. */
static bool reaches_node(const struct ladder_config *c)
{
	for (uint8_t l = 0; l < c->level_count; l++) {
		bool is_node = true;

		for (uint8_t i = 0; i < c->level[l].device_count; i++)
			is_node = is_node && c->level[l].device[i].scope == LADDER_SCOPE_NODE;
		if (is_node)
			return true;
	}
	return c->time_only;
}

int ladder_validate(const struct ladder_config *config, struct ladder_problem *ret_problem)
{
	struct ladder_problem p = {.kind = config_problem(config), .level = LADDER_LEVEL_NONE};

	for (uint8_t l = 0; !p.kind && l < config->level_count; l++) {
		p = level_problem(&config->level[l], l);
		if (!p.kind)
			p.level = LADDER_LEVEL_NONE;
	}
	if (!p.kind && !reaches_node(config))
		p.kind = LADDER_PROBLEM_NO_NODE;
	if (!p.kind)
		return 0;
	if (ret_problem)
		*ret_problem = p;
	return -EINVAL;
}

/* ---- invariants ---- */

static const char *check_slots(const struct ladder_state *st)
{
	bool may_fly = st->phase == LADDER_LEVEL || st->phase == LADDER_RESTORE;

	for (uint8_t i = 0; i < LADDER_MAX_DEVICES; i++) {
		const struct ladder_slot *slot = &st->slot[i];
		bool is_flying = slot->state == LADDER_SLOT_RUN ||
				 (slot->state == LADDER_SLOT_VERIFY && st->phase == LADDER_LEVEL);

		if (slot->state >= LADDER_SLOT_MAX)
			return "slot state out of range";
		if (!slot->attempt) {
			if (st->phase == LADDER_LEVEL && is_flying)
				return "a slot at work without an attempt";
			continue;
		}
		if (!may_fly || !is_flying || i >= st->config.level[st->level].device_count)
			return "an attempt in flight where none may be";
		if (slot->attempt < st->attempt_base || slot->attempt >= st->attempt_next)
			return "an attempt that was never given";
		for (uint8_t j = 0; j < i; j++) {
			if (st->slot[j].attempt == slot->attempt)
				return "two slots with one attempt";
		}
	}
	return NULL;
}

static const char *check_ranges(const struct ladder_state *st)
{
	if (ladder_validate(&st->config, NULL))
		return "configuration is not valid";
	if (st->phase >= LADDER_PHASE_MAX || st->scope >= LADDER_SCOPE_MAX ||
	    st->how >= LADDER_HOW_MAX || st->blocked >= LADDER_BLOCKED_MAX ||
	    st->reason >= LADDER_REASON_MAX || st->failure.result >= LADDER_RESULT_MAX)
		return "an enumeration out of range";
	if (st->victim >= LADDER_MAX_NODES || st->asker >= LADDER_MAX_NODES)
		return "a node out of range";
	if (st->level >= LADDER_MAX_LEVELS || (st->level && st->level >= st->config.level_count))
		return "a level that is not configured";
	if (!memchr(st->who, '\0', sizeof(st->who)))
		return "a name without an end";
	if (st->now_ms > LADDER_TIME_MAX || st->attempt_next < st->attempt_base ||
	    (st->count_ms != LADDER_NEVER && st->count_ms > st->now_ms))
		return "a number out of range";
	return NULL;
}

const char *ladder_check(const struct ladder_state *st)
{
	const char *broken = check_ranges(st);
	bool is_proven = st->phase == LADDER_RESTORE || st->phase == LADDER_DONE;

	if (broken)
		return broken;
	if ((st->phase == LADDER_LEVEL || st->phase == LADDER_RESTORE) && !st->config.level_count)
		return "at a level where there is none";
	if (is_proven != (st->scope == LADDER_SCOPE_NODE))
		return "over without proof, or proven and not over";
	if ((st->scope == LADDER_SCOPE_NONE) != (st->how == LADDER_HOW_NONE))
		return "proven, but not how";
	if ((st->how == LADDER_HOW_ADMIN) != (st->who[0] != '\0'))
		return "a word without a person";
	if (st->phase != LADDER_IDLE && st->attempt_base == 0)
		return "started without an attempt base";
	if (st->phase == LADDER_CANCELLED && st->is_sent)
		return "cancelled after a device was sent for";
	if ((st->is_permitted || st->is_delayed) && !st->is_asked)
		return "a permit that was not asked for";
	if (st->is_asked && st->phase != LADDER_HELD && st->phase != LADDER_LEVEL)
		return "a permit that is not used";
	if (st->phase == LADDER_LEVEL && !st->is_permitted)
		return "at work without a permit";
	if (st->count_ms != LADDER_NEVER && (!st->is_quorate || st->has_victim))
		return "time-only counts where it may not";
	return check_slots(st);
}

/* ---- snapshot ---- */

/* One walk for both directions: what is written and what is read cannot differ. */
struct io {
	struct wire_writer *w; /* or NULL: reading */
	struct wire_reader *r;
};

static void io_u8(struct io *io, uint8_t *v)
{
	if (io->w)
		wire_put_u8(io->w, *v);
	else
		*v = wire_get_u8(io->r);
}

static void io_bool(struct io *io, bool *v)
{
	if (io->w)
		wire_put_u8(io->w, *v);
	else
		*v = wire_get_bool(io->r);
}

static void io_u16(struct io *io, uint16_t *v)
{
	if (io->w)
		wire_put_u16(io->w, *v);
	else
		*v = wire_get_u16(io->r);
}

static void io_u32(struct io *io, uint32_t *v)
{
	if (io->w)
		wire_put_u32(io->w, *v);
	else
		*v = wire_get_u32(io->r);
}

static void io_u64(struct io *io, uint64_t *v)
{
	if (io->w)
		wire_put_u64(io->w, *v);
	else
		*v = wire_get_u64(io->r);
}

/* A number of elements; one above the bound fails the reader and is 0. */
static void io_count(struct io *io, uint8_t *v, uint8_t max)
{
	io_u8(io, v);
	if (*v <= max)
		return;
	must(!io->w);
	wire_reader_fail(io->r);
	*v = 0;
}

static void walk_device(struct io *io, struct ladder_device *d)
{
	io_u16(io, &d->device);
	io_u8(io, &d->scope);
	io_u8(io, &d->method);
	io_u8(io, &d->retries);
	io_bool(io, &d->needs_verify);
}

static void walk_config(struct io *io, struct ladder_config *c)
{
	io_count(io, &c->level_count, LADDER_MAX_LEVELS);
	for (uint8_t l = 0; l < c->level_count; l++) {
		io_u32(io, &c->level[l].deadline_ms);
		io_count(io, &c->level[l].device_count, LADDER_MAX_DEVICES);
		for (uint8_t i = 0; i < c->level[l].device_count; i++)
			walk_device(io, &c->level[l].device[i]);
	}
	io_u32(io, &c->backoff_base_ms);
	io_u32(io, &c->backoff_cap_ms);
	io_bool(io, &c->time_only);
	io_u32(io, &c->wait_ms);
	io_u32(io, &c->look_ms);
}

static void walk_slots(struct io *io, struct ladder_slot *slots)
{
	for (int i = 0; i < LADDER_MAX_DEVICES; i++) {
		io_u8(io, &slots[i].state);
		io_u8(io, &slots[i].tries);
		io_u64(io, &slots[i].attempt);
		io_u64(io, &slots[i].started_ms);
		io_u64(io, &slots[i].due_ms);
	}
}

static void walk_failure(struct io *io, struct ladder_failure *f)
{
	uint32_t rc = (uint32_t)f->rc;

	io_u8(io, &f->level);
	io_u8(io, &f->result);
	io_u16(io, &f->device);
	io_u32(io, &rc);
	f->rc = (int32_t)rc;
}

static void walk_state(struct io *io, struct ladder_state *st)
{
	bool *flags[] = {&st->is_quorate, &st->has_victim,   &st->is_sent,
			 &st->is_asked,	  &st->is_permitted, &st->is_delayed,
			 &st->is_armed,	  &st->is_rebooted,  &st->was_alive};

	walk_config(io, &st->config);
	io_u8(io, &st->phase);
	io_u8(io, &st->victim);
	io_u8(io, &st->reason);
	io_u8(io, &st->asker);
	io_u64(io, &st->incarnation);
	io_u64(io, &st->now_ms);
	io_u64(io, &st->start_ms);
	io_u64(io, &st->attempt_base);
	io_u64(io, &st->attempt_next);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(flags); i++)
		io_bool(io, flags[i]);
	io_u64(io, &st->broken_ms);
	io_u64(io, &st->count_ms);
	io_u32(io, &st->round);
	io_u64(io, &st->pause_ms);
	io_u8(io, &st->level);
	io_u64(io, &st->level_end_ms);
	io_u64(io, &st->sent_ms);
	walk_slots(io, st->slot);
	io_u8(io, &st->scope);
	io_u8(io, &st->how);
	io_u64(io, &st->confirmed_ms);
	if (io->w)
		wire_put_str(io->w, st->who);
	else
		wire_get_str(io->r, st->who, sizeof(st->who));
	walk_failure(io, &st->failure);
	io_u8(io, &st->blocked);
}

int ladder_encode(const struct ladder_state *st, void *buf, size_t cap, size_t *ret_len)
{
	struct ladder_state copy = *st;
	struct wire_writer w;
	struct io io = {.w = &w};

	wire_writer_init(&w, buf, cap);
	wire_put_u32(&w, MAGIC);
	wire_put_u16(&w, LADDER_SNAPSHOT_VERSION);
	walk_state(&io, &copy);
	return wire_writer_end(&w, ret_len);
}

int ladder_decode(const void *buf, size_t len, struct ladder_state *ret_st)
{
	struct ladder_state st = {.phase = LADDER_IDLE};
	struct wire_reader r;
	struct io io = {.r = &r};

	wire_reader_init(&r, buf, len);
	if (wire_get_u32(&r) != MAGIC || wire_get_u16(&r) != LADDER_SNAPSHOT_VERSION)
		return -EBADMSG;
	walk_state(&io, &st);
	if (wire_reader_end(&r) || ladder_check(&st))
		return -EBADMSG;
	*ret_st = st;
	return 0;
}

uint64_t ladder_hash(const struct ladder_state *st)
{
	uint8_t buf[LADDER_ENCODED_MAX];
	size_t len = 0;

	must(!ladder_encode(st, buf, sizeof(buf), &len));
	return hash_bytes(HASH_INIT, buf, len);
}

int ladder_init(struct ladder_state *st, const struct ladder_config *config)
{
	struct ladder_state fresh = {.count_ms = LADDER_NEVER};
	int r = ladder_validate(config, NULL);

	if (r)
		return r;
	fresh.config = *config;
	*st = fresh;
	return 0;
}

/* ---- names ---- */

static const char *name_of(const char *const *names, size_t count, uint8_t value)
{
	return value < count ? names[value] : "?";
}

const char *ladder_problem_text(uint8_t kind)
{
	static const char *const text[LADDER_PROBLEM_MAX] = {
		[LADDER_PROBLEM_NONE] = "no problem",
		[LADDER_PROBLEM_LEVELS] = "too many levels",
		[LADDER_PROBLEM_DEVICES] = "a level has 1 to 4 devices",
		[LADDER_PROBLEM_TWICE] = "the same device twice in one level",
		[LADDER_PROBLEM_VALUE] = "unknown scope or method",
		[LADDER_PROBLEM_RETRIES] = "too many retries",
		[LADDER_PROBLEM_DEADLINE] = "the deadline of a level is 1 ms to 24 h",
		[LADDER_PROBLEM_BACKOFF] = "back-off: 0 < base <= cap <= 24 h",
		[LADDER_PROBLEM_WAIT] = "the time-only wait is 1 ms to 24 h",
		[LADDER_PROBLEM_UNVERIFIED] = "a device that cannot be asked back proves nothing",
		[LADDER_PROBLEM_IDLE_LOOK] = "verifying a device that proves nothing is useless",
		[LADDER_PROBLEM_MIXED] =
			"a device that proves nothing spoils its level: give it one of its own",
		[LADDER_PROBLEM_REBOOT] = "only a device that stops the node can reboot it",
		[LADDER_PROBLEM_NO_NODE] =
			"no level proves node, and time-only needs a hardware watchdog",
	};

	return name_of(text, LADDER_PROBLEM_MAX, kind);
}

const char *ladder_phase_name(uint8_t phase)
{
	static const char *const name[LADDER_PHASE_MAX] = {
		[LADDER_IDLE] = "idle",		  [LADDER_HELD] = "held",
		[LADDER_LEVEL] = "level",	  [LADDER_PAUSE] = "pause",
		[LADDER_RESTORE] = "restore",	  [LADDER_DONE] = "done",
		[LADDER_CANCELLED] = "cancelled",
	};

	return name_of(name, LADDER_PHASE_MAX, phase);
}

const char *ladder_result_name(uint8_t result)
{
	static const char *const name[LADDER_RESULT_MAX] = {
		[LADDER_RESULT_NONE] = "none",
		[LADDER_RESULT_OK] = "ok",
		[LADDER_RESULT_FAILED] = "failed",
		[LADDER_RESULT_OFF] = "off",
		[LADDER_RESULT_ON] = "on",
		[LADDER_RESULT_UNKNOWN] = "unknown",
		[LADDER_RESULT_DEADLINE] = "deadline",
		[LADDER_RESULT_ABORTED] = "aborted",
		[LADDER_RESULT_LATE] = "late",
		[LADDER_RESULT_CONTRADICTED] = "contradicted",
	};

	return name_of(name, LADDER_RESULT_MAX, result);
}

const char *ladder_how_name(uint8_t how)
{
	static const char *const name[LADDER_HOW_MAX] = {
		[LADDER_HOW_NONE] = "none",	  [LADDER_HOW_DEVICES] = "devices",
		[LADDER_HOW_BOOT] = "later boot", [LADDER_HOW_TIME] = "time",
		[LADDER_HOW_ADMIN] = "admin",
	};

	return name_of(name, LADDER_HOW_MAX, how);
}

const char *ladder_mutant_name(uint8_t mutant)
{
	static const char *const name[LADDER_MUTANT_MAX] = {
		[LADDER_MUTANT_NONE] = "none",
		[LADDER_MUTANT_LATE_COUNTS] = "late-answer-counts",
		[LADDER_MUTANT_NO_LOOK] = "no-second-look",
		[LADDER_MUTANT_STORAGE_IS_NODE] = "storage-confirms-node",
		[LADDER_MUTANT_STRONGEST] = "strongest-scope-of-level",
		[LADDER_MUTANT_TIME_NO_RESTART] = "time-counts-through-views-with-victim",
		[LADDER_MUTANT_TIME_NO_QUORUM] = "time-counts-without-quorum",
		[LADDER_MUTANT_TIME_DEAF] = "heartbeat-after-end-ignored",
		[LADDER_MUTANT_NO_QUORUM] = "acts-without-quorum",
		[LADDER_MUTANT_KEEPS_LOOK] = "keeps-look-over-quorum-loss",
		[LADDER_MUTANT_ONE_OF_LEVEL] = "one-device-of-level-is-enough",
		[LADDER_MUTANT_LOOK_EARLY] = "look-before-all-are-sent",
		[LADDER_MUTANT_UNKNOWN_IS_OFF] = "unknown-is-off",
		[LADDER_MUTANT_GIVES_UP] = "gives-up-after-one-round",
		[LADDER_MUTANT_NO_DEADLINE] = "no-deadline-of-level",
		[LADDER_MUTANT_STORAGE_ENDS] = "ends-with-storage",
		[LADDER_MUTANT_TIME_CAPPED] = "time-waits-for-permit",
		[LADDER_MUTANT_LATE_CANCEL] = "cancels-what-was-sent",
		[LADDER_MUTANT_RESUME_TRUSTS] = "resume-trusts-old-look",
		[LADDER_MUTANT_CAP_COUNTS_ACTIVE] = "cap-forgets-window",
		[LADDER_MUTANT_CAP_HOLDS] = "cap-never-frees",
	};

	return name_of(name, LADDER_MUTANT_MAX, mutant);
}
