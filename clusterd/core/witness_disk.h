/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records of a witness disk, as doc/format-witness.md has them: the header that says what the
 * disk is, the record of the claim, and the heads of the areas. A record fills a block; one that
 * does not decode is none. Pure.
 */
#ifndef CLUSTERD_CORE_WITNESS_DISK_H
#define CLUSTERD_CORE_WITNESS_DISK_H

#include "clusterd/core/claim.h"
#include "clusterd/core/msg.h"
#include "clusterd/core/types.h"
#include "clusterd/core/witness.h"

#define WITNESS_BLOCK	  4096
#define WITNESS_HEADER_AT UINT64_C(0)
#define WITNESS_CLAIM_AT  UINT64_C(0x10000)
#define WITNESS_AREAS_AT  UINT64_C(0x100000)
#define WITNESS_HALF_AT	  UINT64_C(0x20000) /* of an area: its first half */
#define WITNESS_BYTES_MIN (UINT64_C(64) << 20)
#define WITNESS_D_MIN_MS  500
#define WITNESS_D_MAX_MS  60000

struct witness_header {
	struct cl_uuid id;
	struct cl_uuid cluster;
	uint32_t d_ms;	/* the longest that an I/O on it may take */
	uint64_t bytes; /* of the disk, when it was made; 0: it is a share */
	uint64_t created_wall_ms;
};

/* One of two heads of an area, written in turn; the valid one of the higher generation counts. */
struct witness_head {
	uint64_t generation; /* 0: nothing was ever written here */
	uint64_t promised;
	struct cl_pos end; /* of the history in it */
	uint8_t half;	   /* where that is: 0 or 1 */
	uint64_t bytes;	   /* of it */
	uint32_t checksum; /* CRC-32C of these bytes */
};

/* Where the parts of a disk of that size are. */
uint64_t witness_area_bytes(uint64_t disk_bytes);
uint64_t witness_half_bytes(uint64_t disk_bytes);
uint64_t witness_head_at(uint64_t disk_bytes, uint8_t slot, uint8_t copy);
uint64_t witness_half_at(uint64_t disk_bytes, uint8_t slot, uint8_t half);

/* Of a share: what a node's file says. */
struct witness_share_file {
	uint64_t promised;
	struct witness_set set; /* the newest that the node wrote */
};

/* Each fills a block of WITNESS_BLOCK bytes. */
void witness_header_encode(const struct witness_header *h, uint8_t *block);
void witness_claim_encode(const struct claim_record *r, const struct cl_uuid *id, uint8_t *block);
void witness_head_encode(const struct witness_head *h, const struct cl_uuid *id, uint8_t *block);
void witness_share_encode(const struct witness_share_file *f, const struct cl_uuid *id,
			  uint8_t *block);
/*
 * 0, -ENODATA (a block of zeros), -EBADMSG (none of ours, or damaged), -EPROTO (of another
 * version), -ESTALE (of another witness, whose id it bears); *ret is untouched then.
 */
int witness_header_decode(const uint8_t *block, struct witness_header *ret);
int witness_share_header_decode(const uint8_t *block, struct witness_header *ret);
int witness_claim_decode(const uint8_t *block, const struct cl_uuid *id, struct claim_record *ret);
int witness_head_decode(const uint8_t *block, const struct cl_uuid *id, struct witness_head *ret);
int witness_share_decode(const uint8_t *block, const struct cl_uuid *id,
			 struct witness_share_file *ret);

#endif
