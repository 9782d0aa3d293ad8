/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/witness/stamp.h"

#include <string.h>

#include "tests/guests/witness/console.h"
#include "tests/guests/witness/disk.h"
#include "tests/guests/witness/machine.h"
#include "tests/guests/witness/memory.h"

#define WAIT_SAY_MS 5000
#define RETRY_MS    250
#define LOOK_BACK   2 /* stamps; a power of two */

static struct {
	struct stamp_options options;
	uint32_t slots;
	uint32_t faults;
	uint32_t errors;
	uint64_t after;
	uint32_t known; /* of how many of the last stamps the bytes are known */
	uint8_t known_bytes[LOOK_BACK][RECORD_BYTES]; /* by sequence modulo LOOK_BACK */
} ring;

static uint8_t buffer[DISK_BLOCKS_MAX * DISK_BLOCK] __attribute__((aligned(DISK_BLOCK)));

static const char *const op_names[] = {
	[DISK_READ] = "read",
	[DISK_WRITE] = "write",
	[DISK_FLUSH] = "flush",
};

static uint8_t request(enum disk_op op, uint32_t slot, void *data, uint32_t blocks)
{
	uint64_t say = machine_now_ms() + WAIT_SAY_MS;
	uint8_t status;

	disk_start(op, slot, data, blocks);
	while (!disk_is_done(&status)) {
		ring.options.work();
		if (machine_now_ms() < say)
			continue;
		console_line("WITNESS WAIT %s of slot %u not done", op_names[op], slot);
		say += WAIT_SAY_MS;
	}
	return status;
}

/* Goes on until it succeeds; says so each time that it did not. */
static void io(enum disk_op op, uint32_t slot, void *data, uint32_t blocks)
{
	uint8_t status;

	while ((status = request(op, slot, data, blocks)) != 0) {
		uint64_t again = machine_now_ms() + RETRY_MS;

		ring.errors++;
		if (status == DISK_NO_STATUS)
			memory_damage("of the disk's queue");
		console_line("WITNESS ERROR %s of slot %u failed with %u", op_names[op], slot,
			     status);
		while (machine_now_ms() < again)
			ring.options.work();
	}
}

static uint32_t slot_of(uint64_t sequence)
{
	/* Without libgcc there is no 64-bit modulo: 32 rounds of shift and subtract. */
	uint64_t rest = sequence;

	for (int shift = 32; shift >= 0; shift--)
		if (rest >= (uint64_t)ring.slots << shift)
			rest -= (uint64_t)ring.slots << shift;
	return (uint32_t)rest;
}

void stamp_scan(const struct stamp_options *options, struct record *ret)
{
	uint64_t blocks = disk_blocks();
	struct record newest = {0};

	ring.options = *options;
	ring.slots = blocks < options->ring ? (uint32_t)blocks : options->ring;
	for (uint32_t slot = 0; slot < ring.slots; slot += DISK_BLOCKS_MAX) {
		uint32_t left = ring.slots - slot;
		uint32_t n = left < DISK_BLOCKS_MAX ? left : DISK_BLOCKS_MAX;

		io(DISK_READ, slot, buffer, n);
		for (uint32_t i = 0; i < n; i++) {
			struct record r;

			if (record_decode(buffer + i * DISK_BLOCK, &r) != RECORD_WHOLE ||
			    r.sequence <= newest.sequence)
				continue;
			newest = r;
			memcpy(ring.known_bytes[r.sequence % LOOK_BACK], buffer + i * DISK_BLOCK,
			       RECORD_BYTES);
			ring.known = 1;
		}
	}
	if (ring.known && newest.ring != ring.slots) {
		ring.faults++;
		console_line("WITNESS FAULT ring of %u slots expected found %u", ring.slots,
			     newest.ring);
	}
	if (ring.known && memcmp(newest.vm, options->vm, strlen(options->vm) + 1) != 0) {
		ring.faults++;
		console_line("WITNESS FAULT ring of vm %s expected found %s", options->vm,
			     newest.vm);
	}
	ring.after = newest.sequence;
	*ret = newest;
}

static void fault(uint64_t sequence, const char *what, const uint8_t *block)
{
	struct record r;
	enum record_kind kind = record_decode(block, &r);

	ring.faults++;
	if (kind == RECORD_WHOLE)
		console_line("WITNESS FAULT stamp %llu %s found %llu of %016llx",
			     (unsigned long long)sequence, what, (unsigned long long)r.sequence,
			     (unsigned long long)r.incarnation);
	else
		console_line("WITNESS FAULT stamp %llu %s found %s", (unsigned long long)sequence,
			     what, kind == RECORD_EMPTY ? "nothing" : "a torn record");
}

/* The slots of the last stamps and of the next one, mostly in one request. */
static void read_around(uint64_t next)
{
	uint32_t slot = slot_of(next);

	if (slot >= LOOK_BACK) {
		io(DISK_READ, slot - LOOK_BACK, buffer, LOOK_BACK + 1);
		return;
	}
	for (uint32_t i = 0; i <= LOOK_BACK; i++)
		io(DISK_READ, (slot + ring.slots - LOOK_BACK + i) % ring.slots,
		   buffer + i * DISK_BLOCK, 1);
}

/*
 * The slot of the next stamp has the one of a turn ago, or never had one. Only the first stamp of
 * an incarnation may find it torn: it is the one whose write an earlier one did not see the end of.
 */
static void check_next(uint64_t next, const uint8_t *block)
{
	struct record r = {0};
	enum record_kind kind = record_decode(block, &r);

	if (kind == RECORD_WHOLE && r.sequence >= next)
		fault(next, "expected older", block);
	else if (next > ring.slots && r.sequence + ring.slots != next &&
		 !(kind == RECORD_BROKEN && next == ring.after + 1))
		fault(next - ring.slots, "expected as written", block);
}

static void look_before(uint64_t next)
{
	read_around(next);
	for (uint32_t back = ring.known; back > 0; back--) {
		const uint8_t *block = buffer + (LOOK_BACK - back) * DISK_BLOCK;

		if (memcmp(block, ring.known_bytes[(next - back) % LOOK_BACK], RECORD_BYTES) != 0)
			fault(next - back, "expected as written", block);
	}
	check_next(next, buffer + LOOK_BACK * DISK_BLOCK);
}

void stamp_write(struct record *r)
{
	uint64_t next = r->sequence + 1;
	uint8_t *block = ring.known_bytes[next % LOOK_BACK];

	look_before(next);
	r->sequence = next;
	r->ring = ring.slots;
	r->faults = ring.faults;
	r->errors = ring.errors;
	record_encode(r, block);
	if (ring.known < LOOK_BACK)
		ring.known++;
	io(DISK_WRITE, slot_of(next), block, 1);
	if (ring.options.is_flushed)
		io(DISK_FLUSH, slot_of(next), NULL, 0);
}
