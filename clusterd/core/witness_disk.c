/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/witness_disk.h"

#include <errno.h>
#include <string.h>

#include "lib/crc32c.h"
#include "lib/must.h"
#include "lib/wire.h"

#define RECORD_MAGIC   UINT32_C(0x53545743) /* "CWTS" */
#define RECORD_VERSION 1
#define HEAD_BYTES     16 /* magic, version, type, length, checksum */
#define CHECKSUM_AT    12

enum record_type {
	RECORD_HEADER = 1,
	RECORD_CLAIM = 2,
	RECORD_AREA = 3,
	RECORD_SHARE = 4, /* header of a share */
	RECORD_FILE = 5,  /* of a node, on a share */
};

uint64_t witness_area_bytes(uint64_t disk_bytes)
{
	return (disk_bytes - WITNESS_AREAS_AT) / CL_MAX_NODES & ~UINT64_C(0xffff);
}

uint64_t witness_half_bytes(uint64_t disk_bytes)
{
	return (witness_area_bytes(disk_bytes) - WITNESS_HALF_AT) / 2 &
	       ~(uint64_t)(WITNESS_BLOCK - 1);
}

static uint64_t area_at(uint64_t disk_bytes, uint8_t slot)
{
	return WITNESS_AREAS_AT + slot * witness_area_bytes(disk_bytes);
}

uint64_t witness_head_at(uint64_t disk_bytes, uint8_t slot, uint8_t copy)
{
	return area_at(disk_bytes, slot) + copy * (WITNESS_HALF_AT / 2);
}

uint64_t witness_half_at(uint64_t disk_bytes, uint8_t slot, uint8_t half)
{
	return area_at(disk_bytes, slot) + WITNESS_HALF_AT + half * witness_half_bytes(disk_bytes);
}

/* ---- what all records share */

static uint32_t checksum(const uint8_t *block)
{
	uint32_t crc = crc32c(0, block, CHECKSUM_AT);

	return crc32c(crc, block + HEAD_BYTES, WITNESS_BLOCK - HEAD_BYTES);
}

static void begin(struct wire_writer *w, uint8_t *block, enum record_type type)
{
	memset(block, 0, WITNESS_BLOCK);
	wire_writer_init(w, block, WITNESS_BLOCK);
	wire_put_u32(w, RECORD_MAGIC);
	wire_put_u16(w, RECORD_VERSION);
	wire_put_u16(w, (uint16_t)type);
	wire_put_u32(w, 0);
	wire_put_u32(w, 0);
}

static void end(struct wire_writer *w)
{
	size_t len;

	must(!wire_writer_end(w, &len));
	wire_patch_u32(w, 8, (uint32_t)(len - HEAD_BYTES));
	wire_patch_u32(w, CHECKSUM_AT, checksum(w->data));
}

static bool is_blank(const uint8_t *block)
{
	for (size_t i = 0; i < WITNESS_BLOCK; i++) {
		if (block[i])
			return false;
	}
	return true;
}

/* Opens the body for reading. */
static int enter(struct wire_reader *r, const uint8_t *block, enum record_type type)
{
	struct wire_reader head;
	uint32_t magic, len, sum;
	uint16_t version, found;

	if (is_blank(block))
		return -ENODATA;
	wire_reader_init(&head, block, HEAD_BYTES);
	magic = wire_get_u32(&head);
	version = wire_get_u16(&head);
	found = wire_get_u16(&head);
	len = wire_get_u32(&head);
	sum = wire_get_u32(&head);
	if (magic != RECORD_MAGIC || sum != checksum(block) || len > WITNESS_BLOCK - HEAD_BYTES)
		return -EBADMSG;
	if (version != RECORD_VERSION)
		return -EPROTO;
	if (found != type)
		return -EBADMSG;
	wire_reader_init(r, block + HEAD_BYTES, len);
	return 0;
}

static int enter_of(struct wire_reader *r, const uint8_t *block, enum record_type type,
		    const struct cl_uuid *id)
{
	struct cl_uuid found;
	int e = enter(r, block, type);

	if (e)
		return e;
	wire_get_raw(r, found.byte, sizeof(found.byte));
	return memcmp(found.byte, id->byte, sizeof(found.byte)) != 0 ? -ESTALE : 0;
}

/* ---- each of them */

void witness_header_encode(const struct witness_header *h, uint8_t *block)
{
	struct wire_writer w;

	begin(&w, block, h->bytes ? RECORD_HEADER : RECORD_SHARE);
	wire_put_raw(&w, h->id.byte, sizeof(h->id.byte));
	wire_put_raw(&w, h->cluster.byte, sizeof(h->cluster.byte));
	wire_put_u32(&w, h->d_ms);
	wire_put_u64(&w, h->bytes);
	wire_put_u64(&w, h->created_wall_ms);
	end(&w);
}

static int header_decode(const uint8_t *block, enum record_type type, struct witness_header *ret)
{
	struct witness_header h;
	struct wire_reader r;
	int e = enter(&r, block, type);

	if (e)
		return e;
	wire_get_raw(&r, h.id.byte, sizeof(h.id.byte));
	wire_get_raw(&r, h.cluster.byte, sizeof(h.cluster.byte));
	h.d_ms = wire_get_u32(&r);
	h.bytes = wire_get_u64(&r);
	h.created_wall_ms = wire_get_u64(&r);
	if (h.d_ms < WITNESS_D_MIN_MS || h.d_ms > WITNESS_D_MAX_MS)
		wire_reader_fail(&r);
	if (type == RECORD_SHARE ? h.bytes != 0 : h.bytes < WITNESS_BYTES_MIN)
		wire_reader_fail(&r);
	e = wire_reader_end(&r);
	if (!e)
		*ret = h;
	return e;
}

int witness_header_decode(const uint8_t *block, struct witness_header *ret)
{
	return header_decode(block, RECORD_HEADER, ret);
}

int witness_share_header_decode(const uint8_t *block, struct witness_header *ret)
{
	return header_decode(block, RECORD_SHARE, ret);
}

void witness_claim_encode(const struct claim_record *c, const struct cl_uuid *id, uint8_t *block)
{
	struct wire_writer w;

	begin(&w, block, RECORD_CLAIM);
	wire_put_raw(&w, id->byte, sizeof(id->byte));
	wire_put_u8(&w, c->owner);
	wire_put_u32(&w, c->view.ring.rep);
	wire_put_u64(&w, c->view.ring.seq);
	wire_put_u64(&w, c->view.nonce);
	wire_put_u64(&w, c->generation);
	wire_put_u64(&w, c->nonce);
	end(&w);
}

int witness_claim_decode(const uint8_t *block, const struct cl_uuid *id, struct claim_record *ret)
{
	struct claim_record c = {0};
	struct wire_reader r;
	int e = enter_of(&r, block, RECORD_CLAIM, id);

	if (e)
		return e;
	c.owner = wire_get_enum(&r, CL_MAX_NODES);
	c.view.ring.rep = wire_get_u32(&r);
	c.view.ring.seq = wire_get_u64(&r);
	c.view.nonce = wire_get_u64(&r);
	c.generation = wire_get_u64(&r);
	c.nonce = wire_get_u64(&r);
	e = wire_reader_end(&r);
	if (!e)
		*ret = c;
	return e;
}

void witness_head_encode(const struct witness_head *h, const struct cl_uuid *id, uint8_t *block)
{
	struct wire_writer w;

	begin(&w, block, RECORD_AREA);
	wire_put_raw(&w, id->byte, sizeof(id->byte));
	wire_put_u64(&w, h->generation);
	wire_put_u64(&w, h->promised);
	wire_put_u32(&w, h->end.epoch.generation);
	wire_put_u64(&w, h->end.epoch.number);
	wire_put_u8(&w, h->end.epoch.starter);
	wire_put_u64(&w, h->end.index);
	wire_put_u8(&w, h->half);
	wire_put_u64(&w, h->bytes);
	wire_put_u32(&w, h->checksum);
	end(&w);
}

int witness_head_decode(const uint8_t *block, const struct cl_uuid *id, struct witness_head *ret)
{
	struct witness_head h;
	struct wire_reader r;
	int e = enter_of(&r, block, RECORD_AREA, id);

	if (e)
		return e;
	h.generation = wire_get_u64(&r);
	h.promised = wire_get_u64(&r);
	h.end.epoch.generation = wire_get_u32(&r);
	h.end.epoch.number = wire_get_u64(&r);
	h.end.epoch.starter = wire_get_enum(&r, CL_MAX_NODES);
	h.end.index = wire_get_u64(&r);
	h.half = wire_get_enum(&r, 2);
	h.bytes = wire_get_u64(&r);
	h.checksum = wire_get_u32(&r);
	if (!h.generation)
		wire_reader_fail(&r);
	e = wire_reader_end(&r);
	if (!e)
		*ret = h;
	return e;
}

void witness_share_encode(const struct witness_share_file *f, const struct cl_uuid *id,
			  uint8_t *block)
{
	struct wire_writer w;

	begin(&w, block, RECORD_FILE);
	wire_put_raw(&w, id->byte, sizeof(id->byte));
	wire_put_u64(&w, f->promised);
	wire_put_u32(&w, f->set.generation);
	wire_put_u64(&w, f->set.number);
	wire_put_u16(&w, f->set.members);
	end(&w);
}

int witness_share_decode(const uint8_t *block, const struct cl_uuid *id,
			 struct witness_share_file *ret)
{
	struct witness_share_file f;
	struct wire_reader r;
	int e = enter_of(&r, block, RECORD_FILE, id);

	if (e)
		return e;
	f.promised = wire_get_u64(&r);
	f.set.generation = wire_get_u32(&r);
	f.set.number = wire_get_u64(&r);
	f.set.members = wire_get_u16(&r);
	if (f.set.number ? !f.set.members : f.set.members || f.set.generation)
		wire_reader_fail(&r);
	e = wire_reader_end(&r);
	if (!e)
		*ret = f;
	return e;
}
