/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fencing ladder: how one incarnation of one node is made harmless, and when that counts as proven.
 * A pure state machine: events with the caller's clock in, actions out. It runs no agent, reads no
 * disk and decides for nobody whether to fence; fence_cap decides *when* a ladder may act.
 *
 * Rules:
 * - Levels in order. All devices of a level must report success, and then, in one common second
 *   look that begins after the last success, all must read off. A level proves the weakest scope of
 *   its devices. A device that cannot be asked back (poison pill) proves nothing, it only hastens.
 * - A look that reads on (the agent lied) or unknown costs a try of that device and voids the look.
 *   So does a sign of life of the victim after all devices of scope node had reported success.
 * - A device out of tries, or the deadline, ends the level, never the fence. After the last level
 *   comes a pause with back-off, then the first level again, for ever. A level that proves no more
 *   than is proven already is skipped.
 * - Only the answer to the attempt that is in flight counts (C5). Any other is a note.
 * - Without quorum nothing is started and nothing is confirmed (C1): programs at work are aborted,
 *   a success that arrives is kept as "sent", and every device is looked at again with quorum.
 * - A round through the levels needs a permit (ASK, PERMIT, RELEASE): the cap delays.
 * - Time-only, the implicit last level, where the configuration allows it for this incarnation:
 *   proven when a quorate view without the victim has lasted wait_ms, and no heartbeat of the
 *   incarnation was seen at or after that end until look_ms later. It is armed when the first round
 *   is over or when the permit is delayed; from then on it runs beside the devices. Its count
 *   starts again with a view that has the victim, a later view by the caller's since_ms, a loss of
 *   quorum, or a heartbeat at or after its end.
 * - A later boot id of the victim, and the administrator's word, confirm scope node.
 * - Method reboot is: off, proven off, confirmed, and only then on, once, as a courtesy.
 * - Cancelling is refused once a device was sent for.
 *
 * Invariants: ladder_check(). Times are milliseconds of one monotonic clock of the caller, which
 * may be another one only after LADDER_EV_RESUMED. Rules: doc/fencing.md; C1, C5, C7 and N1.
 */
#ifndef FENCE_CORE_LADDER_H
#define FENCE_CORE_LADDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LADDER_MAX_NODES   16
#define LADDER_MAX_LEVELS  8
#define LADDER_MAX_DEVICES 4  /* of one level */
#define LADDER_MAX_ACTIONS 32 /* of one step */
#define LADDER_MAX_RETRIES 10
#define LADDER_MS_MAX	   (24u * 3600 * 1000) /* upper bound of each duration */
#define LADDER_WHO_MAX	   64		       /* with the NUL */
#define LADDER_NEVER	   UINT64_MAX
#define LADDER_NODE_NONE   0xff
#define LADDER_LEVEL_NONE  0xff

/* How much is proven. Ordered: more includes less. */
enum ladder_scope {
	LADDER_SCOPE_NONE,
	LADDER_SCOPE_STORAGE, /* the incarnation can write no shared volume any more */
	LADDER_SCOPE_NODE,    /* its CPUs are stopped too */
	LADDER_SCOPE_MAX
};

enum ladder_method {
	LADDER_METHOD_OFF,
	LADDER_METHOD_REBOOT, /* off, and on again after the confirmation */
	LADDER_METHOD_MAX
};

/* ---- configuration ---- */

struct ladder_device {
	uint16_t device;   /* index into the caller's device table */
	uint8_t scope;	   /* what its status proves */
	uint8_t method;	   /* enum ladder_method */
	uint8_t retries;   /* further tries after the first, on each visit of the level */
	bool needs_verify; /* false: nobody can ask it back, and it proves nothing */
};

struct ladder_level {
	uint32_t deadline_ms;
	uint8_t device_count;
	struct ladder_device device[LADDER_MAX_DEVICES];
};

struct ladder_config {
	uint8_t level_count; /* may be 0 where time_only is allowed */
	struct ladder_level level[LADDER_MAX_LEVELS];
	uint32_t backoff_base_ms; /* doubles up to the cap: between tries, and between rounds */
	uint32_t backoff_cap_ms;
	bool time_only;	  /* this incarnation was admitted with a hardware watchdog */
	uint32_t wait_ms; /* quorum lease + stop limit + watchdog timeout + margin */
	uint32_t look_ms; /* until a heartbeat at the end of wait_ms would have been noticed */
};

enum ladder_problem_kind {
	LADDER_PROBLEM_NONE,
	LADDER_PROBLEM_LEVELS,	   /* more levels than LADDER_MAX_LEVELS */
	LADDER_PROBLEM_DEVICES,	   /* a level with none or too many devices */
	LADDER_PROBLEM_TWICE,	   /* the same device twice in one level */
	LADDER_PROBLEM_VALUE,	   /* scope or method out of range */
	LADDER_PROBLEM_RETRIES,	   /* more than LADDER_MAX_RETRIES */
	LADDER_PROBLEM_DEADLINE,   /* 0 or more than LADDER_MS_MAX */
	LADDER_PROBLEM_BACKOFF,	   /* base 0, or above the cap, or the cap above LADDER_MS_MAX */
	LADDER_PROBLEM_WAIT,	   /* time_only with wait_ms 0, or a time above LADDER_MS_MAX */
	LADDER_PROBLEM_UNVERIFIED, /* a device claims a scope that nobody can look at */
	LADDER_PROBLEM_IDLE_LOOK,  /* a device to be verified that proves nothing */
	LADDER_PROBLEM_MIXED,	/* one device of the level proves nothing: so nor does the level */
	LADDER_PROBLEM_REBOOT,	/* reboot with a device whose off is not the node's */
	LADDER_PROBLEM_NO_NODE, /* no level proves node, and time-only is not allowed */
	LADDER_PROBLEM_MAX
};

struct ladder_problem {
	uint8_t kind;	/* enum ladder_problem_kind */
	uint8_t level;	/* or LADDER_LEVEL_NONE */
	uint8_t device; /* place in the level */
};

/* 0, or -EINVAL with the first problem found in *ret_problem (may be NULL). */
int ladder_validate(const struct ladder_config *config, struct ladder_problem *ret_problem);
/* "no level proves node, and time-only needs a hardware watchdog"; for any value. */
const char *ladder_problem_text(uint8_t kind);

/* ---- events ---- */

/* The four facts for which alone a fence is asked. */
enum ladder_reason {
	LADDER_REASON_LOST,   /* lost from the quorate view */
	LADDER_REASON_STOP,   /* a failed stop that killing could not end */
	LADDER_REASON_SILENT, /* a silent holder of a lock or grant */
	LADDER_REASON_ADMIN,
	LADDER_REASON_MAX
};

enum ladder_power {
	LADDER_POWER_UNKNOWN,
	LADDER_POWER_OFF, /* in the device's scope: for a disk, "cannot write" */
	LADDER_POWER_ON,
	LADDER_POWER_MAX
};

enum ladder_event_type {
	LADDER_EV_START,       /* .start */
	LADDER_EV_PERMIT,      /* the answer to LADDER_ACT_ASK */
	LADDER_EV_DEVICE_DONE, /* .done: the end of a RUN, of an aborted one too */
	LADDER_EV_VERIFY_DONE, /* .done: the end of a VERIFY */
	LADDER_EV_QUORUM,      /* .quorum: at each change of view, also before START */
	LADDER_EV_VICTIM_SEEN, /* .seen */
	LADDER_EV_CONFIRM,     /* .who: the administrator's word */
	LADDER_EV_TICK,
	LADDER_EV_CANCEL,
	LADDER_EV_RESUMED, /* another process or node carries on: nothing is in flight any more */
	LADDER_EV_MAX
};

struct ladder_event {
	enum ladder_event_type type;
	uint64_t now_ms;
	struct {
		uint8_t victim;
		uint64_t incarnation;
		uint8_t reason;	       /* enum ladder_reason */
		uint8_t asker;	       /* node */
		uint64_t attempt_base; /* > 0, above every attempt of earlier fences */
	} start;
	struct {
		uint64_t attempt;
		uint16_t device;
		bool is_ok;    /* DEVICE_DONE */
		uint8_t power; /* VERIFY_DONE: enum ladder_power */
		int32_t rc;    /* for the history only */
	} done;
	struct {
		bool is_quorate;
		bool has_victim; /* in the view, or the same boot of it under another incarnation */
		uint64_t since_ms; /* since when the view without the victim has stood unbroken */
	} quorum;
	struct {
		uint64_t incarnation;
		bool is_later_boot; /* of a boot after that of the fenced incarnation: proven reboot
				     */
	} seen;
	char who[LADDER_WHO_MAX];
};

/* ---- actions ---- */

enum ladder_verb { LADDER_VERB_OFF, LADDER_VERB_ON, LADDER_VERB_STATUS, LADDER_VERB_MAX };

enum ladder_how {
	LADDER_HOW_NONE,
	LADDER_HOW_DEVICES, /* the devices of .level, verified */
	LADDER_HOW_BOOT,    /* a later boot id */
	LADDER_HOW_TIME,
	LADDER_HOW_ADMIN,
	LADDER_HOW_MAX
};

enum ladder_result {
	LADDER_RESULT_NONE,
	LADDER_RESULT_OK,	    /* a device reported success: not a proof */
	LADDER_RESULT_FAILED,	    /* a device reported failure */
	LADDER_RESULT_OFF,	    /* looked at: off */
	LADDER_RESULT_ON,	    /* looked at: on, so the success was none */
	LADDER_RESULT_UNKNOWN,	    /* could not be looked at */
	LADDER_RESULT_DEADLINE,	    /* the level's time was up */
	LADDER_RESULT_ABORTED,	    /* no longer needed, or not allowed without quorum */
	LADDER_RESULT_LATE,	    /* an answer after the end of its attempt: ignored */
	LADDER_RESULT_CONTRADICTED, /* the victim lives although it is off: a wrong plug? */
	LADDER_RESULT_MAX
};

enum ladder_blocked {
	LADDER_BLOCKED_NOT,
	LADDER_BLOCKED_QUORUM,	/* no quorum here */
	LADDER_BLOCKED_CAP,	/* waiting for the permit */
	LADDER_BLOCKED_DEVICES, /* no level worked yet; retried at until_ms, or confirm by hand */
	LADDER_BLOCKED_TIME,	/* as DEVICES, and proven at until_ms if nothing is heard */
	LADDER_BLOCKED_PRESENT, /* time-only cannot count: the victim is in the view */
	LADDER_BLOCKED_ALIVE,	/* as TIME, but its heartbeat went on after the end once before */
	LADDER_BLOCKED_MAX
};

enum ladder_action_kind {
	LADDER_ACT_ASK,	    /* for a permit: fence_cap */
	LADDER_ACT_RELEASE, /* the permit, or the question for it, is not needed now */
	LADDER_ACT_RUN,	    /* .run: end the program by deadline_ms, then DEVICE_DONE */
	LADDER_ACT_VERIFY,  /* .run: status; then VERIFY_DONE */
	LADDER_ACT_ABORT,   /* .run: end the program of that attempt */
	LADDER_ACT_CONFIRMED,
	LADDER_ACT_BLOCKED, /* .blocked changed; NOT: no longer blocked */
	LADDER_ACT_NOTE,    /* .note, for the history */
	LADDER_ACT_MAX
};

struct ladder_run {
	uint64_t attempt;
	uint64_t deadline_ms;
	uint16_t device;
	uint8_t level;
	uint8_t verb; /* enum ladder_verb */
};

struct ladder_confirmed {
	uint8_t scope; /* enum ladder_scope */
	uint8_t how;   /* enum ladder_how */
	uint8_t level; /* or LADDER_LEVEL_NONE */
};

/* What failed last, in words of the history; result NONE: nothing yet. */
struct ladder_failure {
	uint8_t level;
	uint8_t result; /* enum ladder_result */
	uint16_t device;
	int32_t rc;
};

struct ladder_block {
	uint8_t reason;	   /* enum ladder_blocked */
	uint64_t until_ms; /* next try or proof; LADDER_NEVER: not known */
	struct ladder_failure last;
};

/* One attempt that ended: each RUN and VERIFY has exactly one, and LATE ones besides. */
struct ladder_note {
	uint64_t attempt; /* 0: CONTRADICTED */
	uint64_t started_ms;
	uint64_t ended_ms;
	int32_t rc;
	uint16_t device;
	uint8_t level;
	uint8_t verb;
	uint8_t result; /* enum ladder_result */
};

struct ladder_action {
	enum ladder_action_kind kind;
	union {
		struct ladder_run run;
		struct ladder_confirmed confirmed;
		struct ladder_block blocked;
		struct ladder_note note;
	};
};

struct ladder_actions {
	uint8_t count;
	uint64_t next_ms; /* when the next TICK is wanted, or LADDER_NEVER */
	struct ladder_action item[LADDER_MAX_ACTIONS];
};

/* ---- state ---- */

enum ladder_phase {
	LADDER_IDLE,	  /* before START */
	LADDER_HELD,	  /* wants to begin a round: needs quorum and the permit */
	LADDER_LEVEL,	  /* devices of a level at work */
	LADDER_PAUSE,	  /* between rounds */
	LADDER_RESTORE,	  /* confirmed; switching on again */
	LADDER_DONE,	  /* confirmed in scope node */
	LADDER_CANCELLED, /* before anything was sent */
	LADDER_PHASE_MAX
};

enum ladder_slot_state {
	LADDER_SLOT_WAIT,   /* to be sent at due_ms */
	LADDER_SLOT_RUN,    /* in flight */
	LADDER_SLOT_SENT,   /* reported success; to be looked at, not before due_ms */
	LADDER_SLOT_VERIFY, /* look in flight */
	LADDER_SLOT_OK,	    /* read off in the current look */
	LADDER_SLOT_FAILED, /* out of tries */
	LADDER_SLOT_MAX
};

struct ladder_slot {
	uint8_t state;
	uint8_t tries;	  /* failed on this visit of the level */
	uint64_t attempt; /* in flight, or 0 */
	uint64_t started_ms;
	uint64_t due_ms;
};

/* Planted bugs. Only the simulator's build (CLUSTERD_MUTANTS) knows them. */
enum ladder_mutant {
	LADDER_MUTANT_NONE,
	LADDER_MUTANT_LATE_COUNTS,	 /* an answer to any attempt is one to the current */
	LADDER_MUTANT_NO_LOOK,		 /* success of the agents is enough */
	LADDER_MUTANT_STORAGE_IS_NODE,	 /* a storage device confirms the node */
	LADDER_MUTANT_STRONGEST,	 /* a level proves what its strongest device proves */
	LADDER_MUTANT_TIME_NO_RESTART,	 /* time-only counts on through views with the victim */
	LADDER_MUTANT_TIME_NO_QUORUM,	 /* time-only counts on without quorum */
	LADDER_MUTANT_TIME_DEAF,	 /* heartbeats after the end are ignored */
	LADDER_MUTANT_NO_QUORUM,	 /* acts without quorum */
	LADDER_MUTANT_KEEPS_LOOK,	 /* what was verified before a loss of quorum stays so */
	LADDER_MUTANT_ONE_OF_LEVEL,	 /* one device of a level is enough */
	LADDER_MUTANT_LOOK_EARLY,	 /* each device is looked at after its own success */
	LADDER_MUTANT_UNKNOWN_IS_OFF,	 /* a status that failed counts as off */
	LADDER_MUTANT_GIVES_UP,		 /* no second round */
	LADDER_MUTANT_NO_DEADLINE,	 /* a hanging agent holds the ladder */
	LADDER_MUTANT_STORAGE_ENDS,	 /* done once storage is confirmed */
	LADDER_MUTANT_TIME_CAPPED,	 /* time-only waits for the permit */
	LADDER_MUTANT_LATE_CANCEL,	 /* cancels what was sent */
	LADDER_MUTANT_RESUME_TRUSTS,	 /* keeps what another process had verified */
	LADDER_MUTANT_CAP_COUNTS_ACTIVE, /* the cap forgets its window */
	LADDER_MUTANT_CAP_HOLDS,	 /* a released permit is never given again */
	LADDER_MUTANT_MAX
};

struct ladder_state {
	enum ladder_mutant mutant; /* not part of snapshot and hash */
	struct ladder_config config;
	uint8_t phase;
	uint8_t victim;
	uint8_t reason;
	uint8_t asker;
	uint64_t incarnation;
	uint64_t now_ms; /* of the last event */
	uint64_t start_ms;
	uint64_t attempt_base;
	uint64_t attempt_next;
	bool is_quorate;
	bool has_victim;
	bool is_sent;	    /* a device was sent for: no way back */
	bool is_asked;	    /* for the permit of this round */
	bool is_permitted;  /* this round may act */
	bool is_delayed;    /* the permit did not come at once */
	bool is_armed;	    /* time-only */
	bool is_rebooted;   /* a later boot id was seen */
	bool was_alive;	    /* a heartbeat came after the end of the wait */
	uint64_t broken_ms; /* the last event that no count may reach back over */
	uint64_t count_ms;  /* time-only counts from here; LADDER_NEVER: not counting */
	uint32_t round;	    /* finished ones */
	uint64_t pause_ms;  /* end of the pause */
	uint8_t level;
	uint64_t level_end_ms;
	uint64_t sent_ms; /* when the last device of the level reported success */
	struct ladder_slot slot[LADDER_MAX_DEVICES];
	uint8_t scope; /* proven so far */
	uint8_t how;   /* of that */
	uint64_t confirmed_ms;
	char who[LADDER_WHO_MAX]; /* whose word, with LADDER_HOW_ADMIN */
	struct ladder_failure failure;
	uint8_t blocked; /* as last told */
};

/* An idle ladder; copies the configuration. -EINVAL if ladder_validate() refuses it. */
int ladder_init(struct ladder_state *st, const struct ladder_config *config);

/*
 * One event. Returns 0 with the actions in *out, in the order in which they are meant, or a refusal
 * that changed nothing and leaves *out empty: -EINVAL (malformed, or time went back), -ESRCH (no
 * fence was started), -EALREADY (START twice; CANCEL after a device was sent for or after the end),
 * -EAGAIN (CONFIRM without quorum), -EBUSY (CONFIRM of a node that is in the view), -ESTALE (a
 * sign of life of another incarnation that proves no reboot).
 */
int ladder_step(struct ladder_state *st, const struct ladder_event *ev, struct ladder_actions *out);

/* Why it does not get on, for status; reason NOT if it does or is over. */
void ladder_blocked(const struct ladder_state *st, struct ladder_block *ret_block);
/* NULL, or the invariant that does not hold. */
const char *ladder_check(const struct ladder_state *st);
uint64_t ladder_hash(const struct ladder_state *st);

#define LADDER_ENCODED_MAX 1024
/* Snapshot, version 1: 0 and its length, or -ENOBUFS. Layout: ladder_snapshot.c. */
int ladder_encode(const struct ladder_state *st, void *buf, size_t cap, size_t *ret_len);
/* 0, or -EBADMSG with *ret_st untouched. Another process then sends LADDER_EV_RESUMED first. */
int ladder_decode(const void *buf, size_t len, struct ladder_state *ret_st);

const char *ladder_phase_name(uint8_t phase);
const char *ladder_result_name(uint8_t result);
const char *ladder_how_name(uint8_t how);
const char *ladder_mutant_name(uint8_t mutant);

#endif
