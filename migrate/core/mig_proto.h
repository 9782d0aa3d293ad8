/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the vm-hosts of a source and of a destination say to each other, over the control channel of
 * one migration: TLS, ordered, may break at any time and is then not opened again. The source
 * connects and speaks first.
 *
 *   source       HELLO           START         INACTIVE            BYE
 *   destination         READY           LOADED          RUNNING
 *   both         HEARTBEAT all the time; ABORT instead of anything
 *
 * One list per message gives the struct, the encoder, the decoder and the round-trip test. On the
 * wire: u32 length of what follows, u16 type, body; lib/wire.h. A decoder yields a valid object or
 * nothing, and what it yields encodes to the same bytes again. Numbers are never used again. Pure;
 * any thread on objects of its own.
 */
#ifndef MIGRATE_CORE_MIG_PROTO_H
#define MIGRATE_CORE_MIG_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIG_PROTOCOL	 1
#define MIG_UUID	 16
#define MIG_HASH	 32 /* of the VM's definition as both sides have it */
#define MIG_KEY		 32 /* of QEMU's stream: TLS-PSK, made for this session */
#define MIG_QEMU_TEXT	 64 /* QEMU's version, and with it what it can read */
#define MIG_REASON_TEXT	 160
#define MIG_FRAME_MAX	 512
#define MIG_FRAME_PREFIX 4 /* the length in front of a frame */

/* What a destination looks at before the VM is touched: bits of READY.failed. X(NAME, text) */
#define MIG_CHECKS(X)                                                                              \
	X(VM, "another VM")                                                                        \
	X(DEFINITION, "the definition differs")                                                    \
	X(QEMU, "QEMU's version cannot take the VM")                                               \
	X(CPU, "the CPU lacks features of the VM's model")                                         \
	X(MEMORY, "not enough free memory")                                                        \
	X(HUGEPAGES, "not enough free huge pages")                                                 \
	X(VOLUME, "a volume of the VM is not mounted or not healthy")                              \
	X(NETWORK, "the migration network is down or differs")                                     \
	X(NODE, "the node takes no VMs")

enum mig_check {
#define MIG_CHECK_ENUM(NAME, text) MIG_CHECK_##NAME,
	MIG_CHECKS(MIG_CHECK_ENUM)
#undef MIG_CHECK_ENUM
		MIG_CHECK_MAX
};

/* Why a migration ended without the VM at the destination. X(number, NAME, text) */
#define MIG_REASONS(X)                                                                             \
	X(0, NONE, "")                                                                             \
	X(1, CANCELLED, "cancelled")                                                               \
	X(2, OVER, "the cluster has ended it")                                                     \
	X(3, CHECKS, "a check failed")                                                             \
	X(4, VERSION, "the other vm-host speaks another version")                                  \
	X(5, PROTOCOL, "the other vm-host broke the protocol")                                     \
	X(6, CHANNEL_LOST, "the control channel broke")                                            \
	X(7, PEER_SILENT, "the other vm-host is silent")                                           \
	X(8, PEER_ABORT, "the other vm-host gave up")                                              \
	X(9, PEER_DEAD, "the other side is dead")                                                  \
	X(10, CHECK_DEADLINE, "phase check lasts too long")                                        \
	X(11, SETUP_DEADLINE, "phase setup lasts too long")                                        \
	X(12, MEMORY_DEADLINE, "phase memory lasts too long")                                      \
	X(13, STATE_DEADLINE, "phase state lasts too long")                                        \
	X(14, STALLED, "no memory is transferred")                                                 \
	X(15, NO_CONVERGENCE, "the guest changes its memory faster than it can be sent")           \
	X(16, QEMU_FAILED, "QEMU's migration failed")                                              \
	X(17, QEMU_REFUSED, "QEMU refused a command")                                              \
	X(18, QEMU_SILENT, "QEMU does not answer")                                                 \
	X(19, QEMU_ENDED, "QEMU has ended")                                                        \
	X(20, STORAGE, "the storage handle was not returned")                                      \
	X(21, NO_LEASE, "the VM may not run here now: no lock or no lease")                        \
	X(22, STOPPING, "the VM is being stopped")                                                 \
	X(23, GUEST, "the guest does not run: shut down, crashed or its disk failed")              \
	X(24, ROLE, "this process cannot take that part")

enum mig_reason {
#define MIG_REASON_ENUM(number, NAME, text) MIG_REASON_##NAME = (number),
	MIG_REASONS(MIG_REASON_ENUM)
#undef MIG_REASON_ENUM
		MIG_REASON_MAX
};

/* Messages: X(number, NAME, name) */
#define MIG_MESSAGES(X)                                                                            \
	X(1, HELLO, hello)	   /* source: who I am, what I want to send */                     \
	X(2, READY, ready)	   /* destination: failed is 0 and QEMU listens, or why not */     \
	X(3, START, start)	   /* source: QEMU's stream comes now */                           \
	X(4, HEARTBEAT, heartbeat) /* both */                                                      \
	X(5, LOADED, loaded)	   /* destination: all is loaded, nothing runs */                  \
	X(6, INACTIVE, inactive)   /* source: proven still, disks given up; asks for the lock */   \
	X(7, ABORT, abort)     /* both: over; a source says it only while the lock is its own */   \
	X(8, RUNNING, running) /* destination: it has the lock, the VM is its own */               \
	X(9, BYE, bye)	       /* source: its copy is gone */

enum mig_message_type {
#define MIG_MESSAGE_ENUM(number, NAME, name) MIG_MESSAGE_##NAME = (number),
	MIG_MESSAGES(MIG_MESSAGE_ENUM)
#undef MIG_MESSAGE_ENUM
		MIG_MESSAGE_MAX
};

/* Fields: F(codec, name) */
#define MIG_FIELDS_HELLO(F)                                                                        \
	F(u16, protocol)                                                                           \
	F(u64, migration)                                                                          \
	F(uuid, vm)                                                                                \
	F(hash, definition)                                                                        \
	F(qemu, qemu)                                                                              \
	F(u64, ram_bytes)
#define MIG_FIELDS_READY(F)                                                                        \
	F(checks, failed) /* 1 << enum mig_check */                                                \
	F(u16, port)	  /* of QEMU's stream, on the address of the control channel */            \
	F(hash, key)
#define MIG_FIELDS_START(F)
#define MIG_FIELDS_HEARTBEAT(F)
#define MIG_FIELDS_LOADED(F)
#define MIG_FIELDS_INACTIVE(F)
#define MIG_FIELDS_ABORT(F)                                                                        \
	F(reason, reason)                                                                          \
	F(text, text)
#define MIG_FIELDS_RUNNING(F)
#define MIG_FIELDS_BYE(F)

struct mig_uuid {
	uint8_t byte[MIG_UUID];
};

struct mig_hash {
	uint8_t byte[MIG_HASH];
};

struct mig_msg_hello {
	uint16_t protocol;
	uint64_t migration;
	struct mig_uuid vm;
	struct mig_hash definition;
	char qemu[MIG_QEMU_TEXT];
	uint64_t ram_bytes;
};

struct mig_msg_ready {
	uint32_t failed;
	uint16_t port;
	struct mig_hash key;
};

struct mig_msg_abort {
	uint8_t reason; /* enum mig_reason */
	char text[MIG_REASON_TEXT];
};

struct mig_message {
	enum mig_message_type type;
	union {
		struct mig_msg_hello hello;
		struct mig_msg_ready ready;
		struct mig_msg_abort abort;
	};
};

/* A whole frame, with its length in front. 0 and the length, or -ENOBUFS. */
int mig_message_encode(const struct mig_message *m, void *buf, size_t cap, size_t *ret_len);
/* A frame without the length in front. 0 or -EBADMSG; *ret untouched on failure. */
int mig_message_decode(const void *buf, size_t len, struct mig_message *ret);
const char *mig_message_name(enum mig_message_type type);
const char *mig_reason_text(enum mig_reason reason);
const char *mig_check_text(enum mig_check check);

#endif
