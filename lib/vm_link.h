/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clusterd and a vm-host of the same node tell each other, on a local SOCK_SEQPACKET socket:
 * one message a packet. Both sides tell their whole state each time it changes, so a packet that
 * was never sent is made good by the next one, and clusterd may be started anew.
 *
 *   vm-host   ATTACH once per connection, then STATUS
 *   clusterd  STATE
 *
 * The virtual CPUs may run only while STATE says that this process holds vm:<uuid>, and before
 * lease_until_ms. Pure codec; any thread on objects of its own.
 */
#ifndef LIB_VM_LINK_H
#define LIB_VM_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VM_LINK_VERSION 1
#define VM_LINK_MAX	2048
#define VM_LINK_UUID	16
#define VM_LINK_NAME	64
#define VM_LINK_ADDRESS 64 /* IPv4 or IPv6 as text, with the NUL */
#define VM_LINK_TEXT	200

/* Who I am. `instance`: random, of this process; the database names who may run by it. */
struct vm_link_attach {
	uint8_t vm[VM_LINK_UUID];
	uint64_t instance;
	bool is_incoming; /* started as the destination of a migration */
};

/* X(NAME, word) */
#define VM_LINK_RUNS(X)                                                                            \
	X(STARTING, "starting") /* QEMU is being set up */                                         \
	X(READY, "ready")	/* set up, vCPUs never ran: waits for the lock */                  \
	X(RUNNING, "running")                                                                      \
	X(PAUSED, "paused")	/* by an administrator */                                          \
	X(HALTED, "halted")	/* by us, proven: no lock, or no lease */                          \
	X(IO_ERROR, "io-error") /* its disk failed; goes on by itself when it is back */           \
	X(INCOMING, "incoming") /* memory arrives */                                               \
	X(SHUTDOWN, "shutdown") /* the guest has switched itself off */                            \
	X(CRASHED, "crashed")	/* QEMU has ended, or the guest panicked */                        \
	X(STOPPING, "stopping")                                                                    \
	X(STOPPED, "stopped") /* QEMU has ended, as asked; the process ends */                     \
	X(FAILED, "failed")   /* could not be started, see text */

enum vm_link_run {
#define VM_LINK_RUN_ENUM(NAME, word) VM_LINK_##NAME,
	VM_LINK_RUNS(VM_LINK_RUN_ENUM)
#undef VM_LINK_RUN_ENUM
		VM_LINK_RUN_MAX
};

/* Phases of a live migration. X(NAME, word) */
#define VM_LINK_PHASES(X)                                                                          \
	X(NONE, "none")                                                                            \
	X(CHECK, "check")                                                                          \
	X(SETUP, "setup")                                                                          \
	X(MEMORY, "memory")                                                                        \
	X(STATE, "state")                                                                          \
	X(HANDLE,                                                                                  \
	  "storage-handle") /* wants the transfer; the source's vCPUs and disks are still */       \
	X(ONLINE, "online")                                                                        \
	X(DONE, "done")	    /* it runs at the destination */                                       \
	X(FAILED, "failed") /* it runs, or may run again, at the source */                         \
	X(CANCELLED, "cancelled")

enum vm_link_phase {
#define VM_LINK_PHASE_ENUM(NAME, word) VM_LINK_MIG_##NAME,
	VM_LINK_PHASES(VM_LINK_PHASE_ENUM)
#undef VM_LINK_PHASE_ENUM
		VM_LINK_MIG_MAX
};

/* How a migration gets on, as its process sees it. */
struct vm_link_progress {
	uint64_t id; /* of the migration; 0: none */
	enum vm_link_phase phase;
	uint16_t port;	    /* destination: where its control channel listens; 0: not yet */
	uint64_t total;	    /* bytes of guest memory */
	uint64_t remaining; /* bytes */
	uint64_t sent;	    /* bytes */
	uint32_t passes;
	uint64_t dirty_rate; /* bytes per second */
	uint64_t rate;	     /* bytes per second */
	uint32_t downtime_ms;
	char address[VM_LINK_ADDRESS]; /* of the peer, really used */
	char text[VM_LINK_TEXT];       /* why it failed, or what it waits for */
};

struct vm_link_status {
	enum vm_link_run run;
	int32_t qemu_pid; /* 0: none */
	char text[VM_LINK_TEXT];
	struct vm_link_progress migration;
};

enum vm_link_role { VM_LINK_NO_ROLE, VM_LINK_SOURCE, VM_LINK_DESTINATION, VM_LINK_ROLE_MAX };

/* A migration that this process takes part in. */
struct vm_link_migration {
	uint64_t id; /* 0: none */
	enum vm_link_role role;
	bool is_cancelled;	      /* by an administrator, or because the other side is gone */
	bool is_peer_dead;	      /* proven: its QEMU can run no more */
	char listen[VM_LINK_ADDRESS]; /* ours on the migration network */
	char peer[VM_LINK_ADDRESS];
	uint16_t
		peer_port; /* source: where the destination's control channel listens; 0: not yet */
	uint64_t bandwidth; /* bytes per second; 0: no limit */
};

struct vm_link_state {
	bool has_lock;		 /* vm:<uuid> EX is this instance's, by the applied database */
	uint64_t lease_until_ms; /* CLOCK_BOOTTIME */
	bool is_fresh;		 /* this node's database is up to date: has_lock can be believed */
	bool is_stop;		 /* shut the guest down, then end */
	uint32_t stop_ms;	 /* for the guest to switch itself off; then it is switched off */
	bool is_paused;		 /* an administrator wants it so */
	struct vm_link_migration migration;
};

enum vm_link_type { VM_LINK_ATTACH = 1, VM_LINK_STATUS = 2, VM_LINK_STATE = 3 };

struct vm_link_message {
	enum vm_link_type type;
	union {
		struct vm_link_attach attach;
		struct vm_link_status status;
		struct vm_link_state state;
	};
};

/* Returns 0 and the length (at most VM_LINK_MAX), or -ENOBUFS. */
int vm_link_encode(const struct vm_link_message *m, void *buf, size_t cap, size_t *ret_len);
/* 0; -EPROTO: another version; -EBADMSG: anything else that is wrong. *ret untouched on failure. */
int vm_link_decode(const void *buf, size_t len, struct vm_link_message *ret);
const char *vm_link_run_word(enum vm_link_run run);
const char *vm_link_phase_word(enum vm_link_phase phase);

#endif
