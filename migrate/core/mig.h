/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vm-host's decisions: when the virtual CPUs of its one QEMU may run, and its part in a live
 * migration. It decides; the edge talks to QEMU, to clusterd and to the vm-host of the other side.
 *
 *   C4  the vCPUs run only while the lock is ours and the lease lasts. They are begun on the word
 *       of a fresh STATE, go on until any STATE contradicts it, and are stopped when the lease is
 *       over; that they stand still is read back from QEMU, or is its event STOP: it answers
 *       nothing while its disks are silent, as they are when all links are down. If that cannot
 *       be proven within halt_ms of the end of the lease, QEMU is killed: whoever fences by
 *       waiting waits that long
 *   R1  a source that has told clusterd HANDLE does not run until a fresh STATE says that the lock
 *       is its own and that the migration is cancelled, over, or the other side dead
 *   R2  a source whose lock was transferred does not run again, unless a fresh STATE gives the lock
 *       back and says that the other side is dead
 *   R3  a destination runs only after it has read from its own QEMU that all is loaded, has told
 *       it, and a fresh STATE says that the lock is its own
 *
 * What the cluster owes in return: STATEs of one process never go back in time while they are
 * fresh; the transfer is refused once the migration is cancelled, over, or one side marked dead;
 * the lock is given back to a source only if the destination never ran.
 *
 * QEMU's words are not believed: `completed` counts only with `postmigrate` read back here and
 * LOADED heard from there. A migration that fails may set the vCPUs going by itself, so that they
 * count as proven still only when QEMU's migration is at an end. QEMU is started with -S
 * -no-shutdown, without S3 (a sleeping guest is woken by QEMU itself).
 *
 * Pure: mig_step() is a function of (state, event). Time is CLOCK_BOOTTIME in milliseconds and
 * comes with each event. The edge steps with TICK at mig_next_deadline_ms(). One thread at a time.
 */
#ifndef MIGRATE_CORE_MIG_H
#define MIGRATE_CORE_MIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/vm_link.h"
#include "migrate/core/mig_proto.h"

#define MIG_NEVER UINT64_MAX
#define MIG_TEXT  VM_LINK_TEXT

/* Planted bugs. Only the simulator's build (MIGRATE_MUTANTS) knows them. */
#define MIG_MUTANTS(X)                                                                             \
	X(NONE)                                                                                    \
	X(TIMER_RESUME)	   /* a source that asked long ago resumes on a timer */                   \
	X(CUT_RESUME)	   /* a source that asked resumes when the control channel breaks */       \
	X(ABORT_RESUME)	   /* a source that asked resumes on the destination's ABORT */            \
	X(OWN_RESUME)	   /* a source that asked resumes because the lock is still its own */     \
	X(STALE_RESUME)	   /* a source that asked believes a STATE that is not fresh */            \
	X(DEAD_RESUME)	   /* a source without the lock resumes because the other side is dead */  \
	X(TRUST_COMPLETED) /* `completed` is enough to ask for the lock */                         \
	X(TRUST_ARRIVED)   /* the destination says LOADED when QEMU says `completed` there */      \
	X(RUN_ON_LOADED)   /* the destination runs when the source is still, without the lock */   \
	X(RUN_STALE)	   /* vCPUs are begun on a STATE that is not fresh */                      \
	X(IGNORE_LEASE)	   /* runs on when the lease is over */                                    \
	X(IGNORE_LOSS)	   /* runs on when a STATE takes the lock away */                          \
	X(STOP_ONCE)	   /* `stop` was answered, so they stand still */                          \
	X(SELF_RESUME)	   /* what a failing migration sets going is not looked at */              \
	X(NO_KILL)	   /* a QEMU that does not halt is left */                                 \
	X(CANCEL_LATE)	   /* a destination that has the lock obeys a cancel */                    \
	X(NO_ROLLBACK)	   /* a failed migration leaves the source where QEMU left it */           \
	X(NO_DEADLINE)	  /* neither silence nor a stall nor a step's deadline ends a migration */ \
	X(QUIT_EARLY)	  /* the source's QEMU quits as soon as it has asked */                    \
	X(GIVE_UP_LOADED) /* a destination that said LOADED quits when the channel breaks */

enum mig_mutant {
#define MIG_MUTANT_ENUM(NAME) MIG_MUTANT_##NAME,
	MIG_MUTANTS(MIG_MUTANT_ENUM)
#undef MIG_MUTANT_ENUM
		MIG_MUTANT_MAX
};
const char *mig_mutant_name(enum mig_mutant mutant);

#ifdef MIGRATE_MUTANTS
#define MIG_MUTANT(s, name) ((s)->mutant == MIG_MUTANT_##name)
#else
#define MIG_MUTANT(s, name) false
#endif

/* ---- QEMU's words. X(NAME, word of QMP) */

#define MIG_RUNSTATES(X)                                                                           \
	X(UNKNOWN, "")                                                                             \
	X(PRELAUNCH, "prelaunch")                                                                  \
	X(RUNNING, "running")                                                                      \
	X(PAUSED, "paused")                                                                        \
	X(INMIGRATE, "inmigrate")                                                                  \
	X(FINISH_MIGRATE, "finish-migrate")                                                        \
	X(POSTMIGRATE, "postmigrate")                                                              \
	X(IO_ERROR, "io-error")                                                                    \
	X(SHUTDOWN, "shutdown")                                                                    \
	X(PANICKED, "guest-panicked")                                                              \
	X(INTERNAL_ERROR, "internal-error")                                                        \
	X(WATCHDOG, "watchdog")                                                                    \
	X(DEBUG, "debug")                                                                          \
	X(SUSPENDED, "suspended")                                                                  \
	X(SAVE_VM, "save-vm")                                                                      \
	X(RESTORE_VM, "restore-vm")                                                                \
	X(COLO, "colo")

enum mig_runstate {
#define MIG_RUNSTATE_ENUM(NAME, word) MIG_RUNSTATE_##NAME,
	MIG_RUNSTATES(MIG_RUNSTATE_ENUM)
#undef MIG_RUNSTATE_ENUM
		MIG_RUNSTATE_MAX
};

/* MigrationStatus of `query-migrate`. QEMU 7.2 gives none at all before the first: that is NONE. */
#define MIG_STREAMS(X)                                                                             \
	X(UNKNOWN, "")                                                                             \
	X(NONE, "none")                                                                            \
	X(SETUP, "setup")                                                                          \
	X(ACTIVE, "active")                                                                        \
	X(WAIT_UNPLUG, "wait-unplug")                                                              \
	X(PRE_SWITCHOVER, "pre-switchover")                                                        \
	X(DEVICE, "device")                                                                        \
	X(COMPLETED, "completed")                                                                  \
	X(FAILED, "failed")                                                                        \
	X(CANCELLING, "cancelling")                                                                \
	X(CANCELLED, "cancelled")

enum mig_stream {
#define MIG_STREAM_ENUM(NAME, word) MIG_STREAM_##NAME,
	MIG_STREAMS(MIG_STREAM_ENUM)
#undef MIG_STREAM_ENUM
		MIG_STREAM_MAX
};

/* Words that are not in the lists are UNKNOWN. */
enum mig_runstate mig_runstate_read(const char *word);
enum mig_stream mig_stream_read(const char *word);
const char *mig_runstate_word(enum mig_runstate run);
const char *mig_stream_word(enum mig_stream stream);

/* Of `query-migrate`. */
struct mig_numbers {
	enum mig_stream stream;
	uint64_t total_bytes;
	uint64_t remaining_bytes;
	uint64_t sent_bytes;
	uint32_t passes;	    /* ram.dirty-sync-count */
	uint64_t dirty_bytes_per_s; /* ram.dirty-pages-rate times the page size */
	uint64_t sent_bytes_per_s;
	uint32_t downtime_ms;
	char error[MIG_REASON_TEXT]; /* error-desc */
};

/* ---- what the edge is to do and to answer: commands */

/* X(NAME, word): those with a word are commands of QMP, to be given in the order of their actions
 */
#define MIG_COMMANDS(X)                                                                            \
	X(CONT, "cont")                                                                            \
	X(STOP, "stop")                                                                            \
	X(QUERY_STATUS, "query-status") /* answer: run */                                          \
	X(POWERDOWN, "system_powerdown")                                                           \
	X(QUIT, "quit")                                                                            \
	X(QUERY_MIGRATE, "query-migrate")	/* numbers */                                      \
	X(SETTINGS, "migrate-set-parameters")	/* and capabilities, of this role: see below */    \
	X(MIGRATE, "migrate")			/* address, port, key */                           \
	X(MIGRATE_INCOMING, "migrate-incoming") /* address; answer: port, key */                   \
	X(MIGRATE_CANCEL, "migrate_cancel")                                                        \
	X(ANNOUNCE, "announce-self")                                                               \
	X(CHECK, "")	      /* is this node fit for hello.ram_bytes …? answer: failed */       \
	X(RETURN_STORAGE, "") /* make csvfs give up what it holds of the VM's disks */

enum mig_command_kind {
#define MIG_COMMAND_ENUM(NAME, word) MIG_COMMAND_##NAME,
	MIG_COMMANDS(MIG_COMMAND_ENUM)
#undef MIG_COMMAND_ENUM
		MIG_COMMAND_MAX
};

/*
 * SETTINGS: capabilities events, late-block-activate (both sides), auto-converge (source); never
 * postcopy-ram, pause-before-switchover; parameters from the fields below, tls-creds of the key.
 */
struct mig_command {
	enum mig_command_kind kind;
	uint32_t seq;	      /* the answer carries it; one that was given up is not answered for */
	uint64_t deadline_ms; /* past it the core has given it up by itself */
	char address[VM_LINK_ADDRESS];
	uint16_t port;
	struct mig_hash key;
	uint64_t bandwidth_bytes_per_s; /* 0: no limit */
	uint32_t downtime_limit_ms;
	uint8_t throttle_initial_pct;
	uint8_t throttle_increment_pct;
	uint64_t ram_bytes;	  /* CHECK: of the VM, as the source says */
	char qemu[MIG_QEMU_TEXT]; /* CHECK: the source's */
};

struct mig_answer {
	enum mig_command_kind kind;
	uint32_t seq;
	bool is_ok;
	char text[MIG_REASON_TEXT]; /* of the error */
	enum mig_runstate run;
	struct mig_numbers numbers;
	uint16_t port;
	struct mig_hash key;
	uint32_t failed; /* 1 << enum mig_check */
};

/* ---- events: X(NAME), with the fields of struct mig_event that count */
#define MIG_EVENTS(X)                                                                              \
	X(STATE)	     /* state */                                                           \
	X(QEMU_STARTED)	     /* pid: QMP is ready */                                               \
	X(QEMU_ENDED)	     /* text: the process is gone, or could not be started */              \
	X(QEMU_EVENT)	     /* qemu_event: something may have changed: it is read back */         \
	X(ANSWER)	     /* answer */                                                          \
	X(CHANNEL_LISTENING) /* channel, port */                                                   \
	X(CHANNEL_OPEN)	     /* channel, text: address of the peer; authenticated */               \
	X(CHANNEL_LOST)	     /* channel, text: broken, or could not be opened */                   \
	X(PEER)		     /* channel, message */                                                \
	X(TICK)

enum mig_event_type {
#define MIG_EVENT_ENUM(NAME) MIG_EV_##NAME,
	MIG_EVENTS(MIG_EVENT_ENUM)
#undef MIG_EVENT_ENUM
		MIG_EV_MAX
};

/* Events of QMP. Others need not be told. */
enum mig_qemu_event {
	MIG_QEMU_STATUS,   /* BLOCK_IO_ERROR, GUEST_PANICKED, SUSPEND, WAKEUP … */
	MIG_QEMU_STOP,	   /* STOP: the vCPUs stand still; then it waits for I/O under way */
	MIG_QEMU_RESUME,   /* RESUME: the vCPUs run */
	MIG_QEMU_SHUTDOWN, /* SHUTDOWN: by the guest, or by our system_powerdown */
	MIG_QEMU_MIGRATION /* MIGRATION, MIGRATION_PASS */
};

struct mig_event {
	enum mig_event_type type;
	uint64_t now_ms; /* never less than in the event before */
	union {
		struct vm_link_state state;
		int32_t pid;
		enum mig_qemu_event qemu_event;
		struct mig_answer answer;
		struct {
			uint32_t channel;
			uint16_t port;
			struct mig_message message;
		};
	};
	char text[MIG_REASON_TEXT];
};

/* ---- actions, to be carried out in order */
#define MIG_ACTIONS(X)                                                                             \
	X(COMMAND) /* command */                                                                   \
	X(SEND)	   /* channel, message */                                                          \
	X(LISTEN)  /* channel, address: for one connection; CHANNEL_LISTENING, then _OPEN */       \
	X(CONNECT) /* channel, address, port */                                                    \
	X(CLOSE)   /* channel: after what was sent on it; nothing more is heard of it */           \
	X(TELL)	   /* status: to clusterd, again whenever it attaches anew */                      \
	X(KILL)	   /* QEMU, at once; QEMU_ENDED when its process is gone */                        \
	X(END)	   /* the process ends: after what was told */

enum mig_action_kind {
#define MIG_ACTION_ENUM(NAME) MIG_DO_##NAME,
	MIG_ACTIONS(MIG_ACTION_ENUM)
#undef MIG_ACTION_ENUM
		MIG_DO_MAX
};

struct mig_action {
	enum mig_action_kind kind;
	union {
		struct mig_command command;
		struct vm_link_status status;
		struct {
			uint32_t channel;
			uint16_t port;
			char address[VM_LINK_ADDRESS];
			struct mig_message message;
		};
	};
};

/* One of each command, and a few of the rest. */
#define MIG_MAX_ACTIONS (MIG_COMMAND_MAX + 16)

struct mig_actions {
	size_t count;
	struct mig_action item[MIG_MAX_ACTIONS];
};

/* ---- configuration: X(type, name, default), units in the names */
#define MIG_CONFIG(X)                                                                              \
	X(uint32_t, command_ms, 5000)  /* for QEMU to answer */                                    \
	X(uint32_t, halt_ms, 5000)     /* from the end of the lease: proven still, or killed */    \
	X(uint32_t, poll_ms, 250)      /* reads of a migration under way */                        \
	X(uint32_t, retry_ms, 1000)    /* of what QEMU refused, of a connection */                 \
	X(uint32_t, io_retry_ms, 3000) /* `cont` after a failed disk */                            \
	X(uint32_t, quit_ms, 10000)    /* for `quit`; then QEMU is killed */                       \
	X(uint32_t, heartbeat_ms, 500)                                                             \
	X(uint32_t, silence_ms, 4000) /* without a word of the other side */                       \
	X(uint32_t, check_ms, 60000)                                                               \
	X(uint32_t, setup_ms, 30000)                                                               \
	X(uint32_t, memory_ms, 0)    /* 0: as long as it gets on */                                \
	X(uint32_t, stall_ms, 15000) /* without a byte */                                          \
	X(uint32_t, state_ms, 20000) /* vCPUs stopped until all is loaded: downtime */             \
	X(uint32_t, stuck_passes, 8) /* passes in a row that do not shrink: given up */            \
	X(uint8_t, shrink_pct, 5)    /* less than the best before: it shrinks */                   \
	X(uint32_t, downtime_limit_ms, 300)                                                        \
	X(uint8_t, throttle_initial_pct, 20)                                                       \
	X(uint8_t, throttle_increment_pct, 10)

struct mig_config {
#define MIG_CONFIG_FIELD(type, name, value) type name;
	MIG_CONFIG(MIG_CONFIG_FIELD)
#undef MIG_CONFIG_FIELD
};

#define MIG_CONFIG_VALUE(type, name, value) .name = (value),
#define MIG_CONFIG_INIT                                                                            \
	{                                                                                          \
		MIG_CONFIG(MIG_CONFIG_VALUE)                                                       \
	}

/* What both sides must agree on. */
struct mig_identity {
	struct mig_uuid vm;
	struct mig_hash definition;
	char qemu[MIG_QEMU_TEXT];
	uint64_t ram_bytes;
};

/* ---- state */

enum mig_life {
	MIG_LIFE_STARTING,
	MIG_LIFE_LIVE,
	MIG_LIFE_POWERDOWN, /* the guest is asked to switch itself off */
	MIG_LIFE_QUITTING,  /* `quit`, past its deadline killed */
	MIG_LIFE_KILLED,    /* until its process is gone */
	MIG_LIFE_GONE,	    /* QEMU has ended; we wait to be told to end */
	MIG_LIFE_ENDED,
	MIG_LIFE_MAX
};

/* Steps of a session. Those of one side only have its name. */
enum mig_step_name {
	MIG_STEP_NONE,
	MIG_STEP_CHECK,	      /* source: connect, HELLO; destination: listen, look */
	MIG_STEP_SETUP,	      /* source: SETTINGS, START; destination: READY was said */
	MIG_STEP_MEMORY,      /* source: `migrate` was given; destination: START was heard */
	MIG_STEP_STATE,	      /* source: its vCPUs are stopped by QEMU */
	MIG_STEP_LOADED,      /* destination: LOADED was said, waits for the lock */
	MIG_STEP_ASKED,	      /* source: HANDLE was told: in doubt until the lock answers */
	MIG_STEP_TRANSFERRED, /* source: the lock is the other's; keeps its copy until RUNNING */
	MIG_STEP_ONLINE,      /* destination: has the lock */
	MIG_STEP_ROLLBACK,    /* source: until QEMU's migration is at an end */
	MIG_STEP_DONE,
	MIG_STEP_FAILED, /* or cancelled, by the reason */
	MIG_STEP_MAX
};

enum mig_channel_state { MIG_CHANNEL_NONE, MIG_CHANNEL_OPENING, MIG_CHANNEL_OPEN };

struct mig_channel {
	enum mig_channel_state state;
	uint32_t number;   /* of the present one, or of the last one */
	uint16_t port;	   /* where it listens */
	uint64_t retry_ms; /* when to connect again */
	uint64_t heard_ms;
	uint64_t heartbeat_ms; /* when to send the next */
	char address[VM_LINK_ADDRESS];
};

struct mig_session {
	uint64_t id;
	enum mig_step_name step;
	enum vm_link_role role;
	enum mig_reason reason;
	char text[MIG_TEXT];
	uint64_t deadline_ms; /* of the step; MIG_NEVER */
	struct mig_channel channel;
	struct mig_numbers numbers; /* last read */
	bool is_settled;	    /* SETTINGS are in force */
	bool is_checked;	    /* CHECK was answered */
	uint32_t failed;	    /* 1 << enum mig_check */
	bool is_hello;		    /* destination: HELLO was heard */
	struct mig_msg_hello hello;
	bool is_listening; /* destination: QEMU takes the stream at ready.port */
	bool is_ready;	   /* source: READY was heard */
	struct mig_msg_ready ready;
	bool is_migrate_given;	/* source: QEMU may be migrating, until read to be at an end */
	uint32_t completed_seq; /* source: `completed` was read; 0: it was not */
	uint32_t cancel_seq;	/* ROLLBACK: reads after it count; 0: to be given */
	uint64_t cancel_ms;	/* when to give it again */
	bool is_loaded;		/* LOADED was said or heard */
	bool is_inactive;	/* destination: INACTIVE was heard */
	bool is_returned;	/* RETURN_STORAGE was answered */
	bool is_peer_running;	/* source: RUNNING was heard: this copy is old */
	uint64_t progress_ms;	/* when sent_bytes last grew */
	uint64_t best_bytes;	/* the smallest `remaining` at the begin of a pass */
	uint32_t stuck;		/* passes in a row that did not shrink */
	uint64_t still_ms;	/* when the vCPUs were seen still, for the downtime */
};

struct mig_pending {
	uint32_t seq; /* 0: none under way */
	uint64_t deadline_ms;
};

struct mig_state {
	struct mig_config config;
	struct mig_identity identity;
	bool is_incoming;
#ifdef MIGRATE_MUTANTS
	enum mig_mutant mutant;
#endif
	uint64_t now_ms;
	/* what clusterd says */
	struct vm_link_state state; /* the last */
	bool is_held;	   /* a fresh STATE gave us the lock, and none has contradicted it since */
	uint64_t lease_ms; /* when the lease ends, or ended */
	/* QEMU */
	enum mig_life life;
	bool is_ending;		  /* we want it gone; the process ends with it */
	uint64_t life_ms;	  /* deadline of POWERDOWN, QUITTING, KILLED */
	enum vm_link_run end_run; /* GONE, ENDED: what to tell */
	int32_t pid;
	enum mig_runstate run;	 /* last read */
	bool may_run;		 /* not proven that the vCPUs stand still */
	bool has_run;		 /* ever, as this VM: here, or before it came here */
	uint64_t halt_ms;	 /* deadline of the proof; 0: none is due */
	uint64_t stop_ms;	 /* `stop` not again before */
	uint64_t cont_ms;	 /* `cont` not again before */
	uint64_t poll_ms;	 /* when to read again */
	uint32_t proof_seq;	 /* only answers to commands after it prove anything */
	uint32_t read_seq;	 /* of the query-status that was last believed */
	bool is_status_due;	 /* query-status is to be given */
	bool is_stream_due;	 /* query-migrate is to be given */
	bool is_powerdown_given; /* since the last `cont` */
	bool is_quit_given;
	bool is_silent; /* a command was not answered in time, and none since */
	uint32_t seq;	/* of the last command */
	struct mig_pending pending[MIG_COMMAND_MAX];
	char text[MIG_REASON_TEXT];
	struct mig_session session;
	bool is_told;
	struct vm_link_status told; /* the last */
};

/* Borrows nothing. */
void mig_init(struct mig_state *s, const struct mig_config *config,
	      const struct mig_identity *identity, bool is_incoming);
/* 0; -EPROTO: the peer broke the protocol, its channel is closed. */
int mig_step(struct mig_state *s, const struct mig_event *e, struct mig_actions *ret);
/* When to step with TICK; MIG_NEVER. */
uint64_t mig_next_deadline_ms(const struct mig_state *s);
/* NULL if all invariants hold, else which does not. */
const char *mig_check(const struct mig_state *s);
/* May the vCPUs run, by the lock and the lease, at s->now_ms? */
bool mig_may_hold(const struct mig_state *s);
const char *mig_step_text(enum mig_step_name step);
const char *mig_event_name(enum mig_event_type type);
const char *mig_action_name(enum mig_action_kind kind);
const char *mig_command_word(enum mig_command_kind kind);

#endif
