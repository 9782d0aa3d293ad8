/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages that clusterds exchange by ordered multicast. One list per message gives the
 * struct, the encoder, the decoder and the round-trip test; doc/format-cpg.md describes the bytes.
 *
 * Who sent a message, and in which order, comes from the transport and never from the payload. A
 * decoder yields a valid object or nothing, and what it yields re-encodes to the same bytes.
 * Numbers are never used again; retired ones stay listed.
 */
#ifndef CLUSTERD_CORE_MSG_H
#define CLUSTERD_CORE_MSG_H

#include <stddef.h>
#include <stdint.h>

#include "clusterd/core/types.h"

#define CL_MSG_MAGIC	    UINT32_C(0x4d534c43) /* "CLSM" */
#define CL_MSG_HEADER_BYTES 16
#define CL_MSG_PAYLOAD_MAX  (256 * 1024)
/* Upper bound of any encoded message: a full payload and the largest fixed part. */
#define CL_MSG_MAX (CL_MSG_PAYLOAD_MAX + 4096)

/* Kinds of log entries. */
enum cl_entry_kind {
	CL_ENTRY_NONE,	  /* never written */
	CL_ENTRY_EPOCH,	  /* opens an epoch; no payload */
	CL_ENTRY_TABLE,	  /* changes one row of the member table: cl_row_encode() */
	CL_ENTRY_COMMAND, /* a command of the database (clusterd/core/command.h) */
	CL_ENTRY_GENESIS, /* index 1: the first member table: cl_table_put() */
	CL_ENTRY_FORCED,  /* opens the epoch of a forced quorum: force_record_encode() */
	CL_ENTRY_MAX,
};

/* Bytes that the message does not own: they live as long as the buffer it was decoded from. */
struct cl_blob {
	const uint8_t *data;
	size_t len;
};

struct cl_uuid {
	uint8_t byte[CL_UUID_BYTES];
};

struct cl_name {
	char text[CL_NAME_MAX];
};

struct cl_counts {
	uint64_t of[CL_MAX_NODES];
};

/*
 * Fields: F(codec, C type, name).
 *
 * STATE: what the sender is and how far its durable history reaches, for exactly this ring and
 * this set of processes (`members_hash`). Sending it means having left the previous view.
 */
#define CL_MSG_STATE_FIELDS(F)                                                                     \
	F(u64, uint64_t, nonce)                                                                    \
	F(ring, struct cl_ring, ring)                                                              \
	F(u64, uint64_t, members_hash)                                                             \
	F(u16, uint16_t, protocol_min)                                                             \
	F(u16, uint16_t, protocol_max)                                                             \
	F(uuid, struct cl_uuid, cluster)                                                           \
	F(name, struct cl_name, name)                                                              \
	F(uuid, struct cl_uuid, boot)                                                              \
	F(u64, uint64_t, incarnation)                                                              \
	F(u64, uint64_t, instance)                                                                 \
	F(flag, bool, is_blank)                                                                    \
	F(pos, struct cl_pos, last)                                                                \
	F(u64, uint64_t, promised)                                                                 \
	F(table, struct cl_table, table)                                                           \
	F(flag, bool, is_behind)                                                                   \
	F(flag, bool, reaches) /* the witness */                                                   \
	F(u16, uint16_t, version_min)                                                              \
	F(u16, uint16_t, version_max)                                                              \
	F(name, struct cl_name, build)

/* CLOSE: who has not sent its STATE by now is not in the view (its process does not run). */
#define CL_MSG_CLOSE_FIELDS(F)                                                                     \
	F(u64, uint64_t, nonce)                                                                    \
	F(ring, struct cl_ring, ring)                                                              \
	F(u64, uint64_t, members_hash)

/* SYNCED: the sender durably holds the winning history and the promise of epoch `promised`. */
#define CL_MSG_SYNCED_FIELDS(F)                                                                    \
	F(view, struct cl_view_id, view)                                                           \
	F(u64, uint64_t, promised)

/* PROPOSE: asks the sequencer to give this request its place in the log. */
#define CL_MSG_PROPOSE_FIELDS(F)                                                                   \
	F(view, struct cl_view_id, view)                                                           \
	F(u64, uint64_t, instance)                                                                 \
	F(u64, uint64_t, request)                                                                  \
	F(blob, struct cl_blob, payload)

/* ENTRY: the sequencer of the epoch gives an entry its index. */
#define CL_MSG_ENTRY_FIELDS(F)                                                                     \
	F(view, struct cl_view_id, view)                                                           \
	F(epoch, struct cl_epoch, epoch)                                                           \
	F(u64, uint64_t, index)                                                                    \
	F(kind, uint8_t, kind)                                                                     \
	F(u8, uint8_t, origin)                                                                     \
	F(u64, uint64_t, instance)                                                                 \
	F(u64, uint64_t, request)                                                                  \
	F(blob, struct cl_blob, payload)

/* PERSISTED: the sender's log is durable up to `index` of this view's epoch. */
#define CL_MSG_PERSISTED_FIELDS(F)                                                                 \
	F(view, struct cl_view_id, view)                                                           \
	F(u64, uint64_t, index)

/* BEAT: the sender runs; `seen` has the newest beat that it saw of each node in this view. */
#define CL_MSG_BEAT_FIELDS(F)                                                                      \
	F(view, struct cl_view_id, view)                                                           \
	F(u64, uint64_t, beat)                                                                     \
	F(counts, struct cl_counts, seen)                                                          \
	F(flag, bool, reaches) /* the witness */

/* HASH: the hash of the sender's applied database at `index`. */
#define CL_MSG_HASH_FIELDS(F)                                                                      \
	F(view, struct cl_view_id, view)                                                           \
	F(u64, uint64_t, index)                                                                    \
	F(u64, uint64_t, hash)

/* FORCE: an administrator says that `down` are down, and those who are here shall go on. */
#define CL_MSG_FORCE_FIELDS(F)                                                                     \
	F(view, struct cl_view_id, view)                                                           \
	F(u16, uint16_t, down)                                                                     \
	F(name, struct cl_name, actor)                                                             \
	F(u64, uint64_t, at_ms)

/*
 * CLAIMED: the sender owns the witness for this view (or does not any more), and what the witness
 * has. `seen`: the newest beats that it had seen when the renewal began that made it so: nobody
 * counts the vote later than `valid_ms` after the sending of its beat there.
 */
#define CL_MSG_CLAIMED_FIELDS(F)                                                                   \
	F(view, struct cl_view_id, view)                                                           \
	F(flag, bool, is_held)                                                                     \
	F(u64, uint64_t, valid_ms)                                                                 \
	F(counts, struct cl_counts, seen)                                                          \
	F(u64, uint64_t, floor)	    /* the highest epoch number promised on it before */           \
	F(u64, uint64_t, promised)  /* by it for this view; 0: not yet */                          \
	F(u64, uint64_t, persisted) /* its copy is whole up to this index of this epoch; 0 */

#define CL_MESSAGES(X)                                                                             \
	X(1, STATE, state)                                                                         \
	X(2, CLOSE, close)                                                                         \
	X(3, SYNCED, synced)                                                                       \
	X(4, PROPOSE, propose)                                                                     \
	X(5, ENTRY, entry)                                                                         \
	X(6, PERSISTED, persisted)                                                                 \
	X(7, BEAT, beat)                                                                           \
	X(8, HASH, hash)                                                                           \
	X(9, FORCE, force)                                                                         \
	X(10, CLAIMED, claimed)

enum cl_msg_type {
#define CL_MSG_ENUM(number, NAME, name) CL_MSG_##NAME = (number),
	CL_MESSAGES(CL_MSG_ENUM)
#undef CL_MSG_ENUM
};

#define CL_MSG_FIELD(codec, ctype, name) ctype name;
#define CL_MSG_STRUCT(number, NAME, name)                                                          \
	struct cl_msg_##name {                                                                     \
		CL_MSG_##NAME##_FIELDS(CL_MSG_FIELD)                                               \
	};
CL_MESSAGES(CL_MSG_STRUCT)
#undef CL_MSG_STRUCT
#undef CL_MSG_FIELD

struct cl_msg {
	enum cl_msg_type type;
	union {
#define CL_MSG_MEMBER(number, NAME, name) struct cl_msg_##name name;
		CL_MESSAGES(CL_MSG_MEMBER)
#undef CL_MSG_MEMBER
	};
};

struct wire_reader;
struct wire_writer;

/* Returns 0 and the length, or -ENOBUFS. Blobs are copied into buf. */
int cl_msg_encode(const struct cl_msg *msg, void *buf, size_t cap, size_t *ret_len);
/*
 * Returns 0 and the message, or -EBADMSG (magic, length, checksum, a value out of range, trailing
 * bytes), or -EPROTO when the version is not ours; *ret is untouched then. Blobs borrow from buf.
 */
int cl_msg_decode(const void *buf, size_t len, struct cl_msg *ret);
const char *cl_msg_name(enum cl_msg_type type);

/* The member table, and one row of it, as they stand in payloads. */
void cl_table_put(struct wire_writer *w, const struct cl_table *table);
void cl_table_get(struct wire_reader *r, struct cl_table *table);
#define CL_ROW_MAX (CL_NAME_MAX + 16)
int cl_row_encode(uint8_t slot, const struct cl_member *row, void *buf, size_t cap,
		  size_t *ret_len);
int cl_row_decode(struct cl_blob payload, uint8_t *ret_slot, struct cl_member *ret_row);
const char *cl_entry_kind_name(enum cl_entry_kind kind);

#endif
