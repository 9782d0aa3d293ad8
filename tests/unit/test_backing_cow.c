/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Granted files that have shared blocks with another one: where they lie, while nodes know where
 * they lie. The mounts are played by the test; they give back what is recalled.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "csvfs/edge/grants.h"
#include "lib/must.h"
#include "tests/unit/backing_fixture.h"

#define TERM   9
#define READER 1
#define WRITER 2
#define BLOCK  4096
#define MIB    (UINT64_C(1) << 20)
#define SIZE   (2 * MIB)

#define FILES  2
#define SEEDS  (getenv("SEEDS") ? strtoul(getenv("SEEDS"), NULL, 10) : 5)
#define BLOCKS (SIZE / BLOCK)

static struct grants *grants;
static atomic_int recalls;

/* Where the blocks of a file lie, for one mount; is_held: it may use that. */
struct map {
	struct csv_handle handle;
	atomic_bool is_held;
	uint64_t at[BLOCKS];
};

static struct map held[WRITER + 1][FILES];

static void drop(uint64_t mount, const struct csv_handle *h)
{
	for (size_t f = 0; f < FILES; f++) {
		if (csv_handle_equal(&held[mount][f].handle, h))
			held[mount][f].is_held = false;
	}
}

static void on_send(void *arg, uint64_t conn, const struct csv_frame *f)
{
	(void)arg;
	must(f->type == CSV_FRAME_RECALL);
	recalls++;
	drop(conn / 10, &f->recall.handle);
	must(!grants_event(grants, &(struct grant_event){.type = GRANT_EV_DONE,
							 .mount = conn / 10,
							 .handle = f->recall.handle,
							 .id = f->recall.id}));
}

static void ignore_conn(void *arg, uint64_t conn)
{
	(void)arg;
	(void)conn;
}

static void ignore_handle(void *arg, const struct csv_handle *h)
{
	(void)arg;
	(void)h;
}

static void overflow(void *arg)
{
	(void)arg;
	must(false);
}

static int setup(void **state)
{
	struct grants_options o = {.term = TERM,
				   .send = on_send,
				   .close = ignore_conn,
				   .settled = ignore_handle,
				   .overflow = overflow};
	struct volume *v;

	must(!volume_setup(state));
	v = *state;
	recalls = 0;
	must(!grants_open(&o, &grants));
	backing_set_grants(v->b, grants, 0);
	must(!grants_event(grants, &(struct grant_event){.type = GRANT_EV_OPEN}));
	for (uint64_t m = READER; m <= WRITER; m++)
		must(!grants_event(grants, &(struct grant_event){.type = GRANT_EV_CHANNEL,
								 .mount = m,
								 .conn = m * 10}));
	return 0;
}

static int teardown(void **state)
{
	struct volume *v = *state;

	grants_stop(grants);
	volume_close(v);
	grants_close(grants);
	return volume_teardown(state);
}

static void write_at(struct volume *v, struct csv_handle h, uint64_t offset, size_t len, char c)
{
	static char data[MIB];

	memset(data, c, len);
	ok(v, ask_write(h, offset, 0, data, len));
}

/* A file whose blocks another one had, too, of which a part was written since, by 64 KiB. */
static struct csv_handle once_shared(struct volume *v)
{
	struct csv_handle h = file_with(v, v->root, "f", ""),
			  other = file_with(v, v->root, "o", "");

	write_at(v, h, 0, MIB, 'a');
	write_at(v, h, MIB, MIB, 'b');
	assert_int_equal(ok(v, ask_copy_range(h, 0, other, 0, SIZE)).count.count, SIZE);
	write_at(v, h, 0, MIB / 16, 'c');
	ok(v, ask_setattr(other, CSV_SET_SIZE)); /* to 0: at once, as unlinking is not */
	return h;
}

static enum csv_grant_mode mode; /* of the last grant */

/* Where the part at `offset` lies, as the mount is told. */
static uint64_t granted_at(struct volume *v, uint64_t mount, struct csv_handle h, bool is_write,
			   uint64_t offset)
{
	struct csv_request q = {.op = CSV_OP_GRANT, .grant = {.handle = h, .is_write = is_write}};
	struct csv_extent e = {0};
	struct csv_reply p;

	assert_int_equal(volume_do(v, mount, 0, q, &p), 0);
	assert_int_equal(p.grant.why, CSV_UNGRANTED_NOTHING);
	mode = (enum csv_grant_mode)p.grant.mode;
	for (size_t i = 0; csv_extent_get(&p.grant.extents, i, &e); i++) {
		if (e.offset <= offset && offset < e.offset + e.length)
			return e.address + (offset - e.offset);
	}
	fail();
	return 0;
}

/* A write of the coordinator would move the blocks behind the part that was written. */
static void blocks_do_not_move_under_one_who_reads_them(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = once_shared(v);

	granted_at(v, READER, h, false, MIB / 16);
	write_at(v, h, MIB / 16, BLOCK, 'd');
	assert_int_equal(recalls, 1);
	granted_at(v, READER, h, false, MIB / 16);
}

static void blocks_of_a_file_that_is_granted_for_writing_stay_where_they_are(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = once_shared(v);
	uint64_t at = granted_at(v, WRITER, h, true, MIB / 16);

	assert_int_equal(granted_at(v, READER, h, false, MIB / 16), at);
	recalls = 0; /* the writer is not alone any more */
	write_at(v, h, MIB / 16, BLOCK, 'd');
	assert_int_equal(recalls, 0);
	assert_int_equal(granted_at(v, READER, h, false, MIB / 16), at);
}

/* It moves them a last time when the first one asks who writes. */
static void who_reads_gives_back_before_the_first_one_writes(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = once_shared(v);
	uint64_t at;

	granted_at(v, READER, h, false, MIB / 16);
	granted_at(v, WRITER, h, false, MIB / 16);
	at = granted_at(v, WRITER, h, true, MIB / 16);
	assert_int_equal(recalls, 2);
	assert_int_equal(mode, CSV_GRANT_SOLE);
	assert_int_equal(granted_at(v, READER, h, false, MIB / 16), at);
	/* The second one takes it only from who writes alone. */
	recalls = 0;
	assert_int_equal(granted_at(v, READER, h, true, MIB / 16), at);
	assert_int_equal(mode, CSV_GRANT_WRITE);
	assert_int_equal(recalls, 2);
}

/* ---- by chance */

static uint64_t seed, counts[CSV_GRANT_MODES];

static uint64_t chance(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (seed >> 33) % below;
}

static void ask_for(struct volume *v, uint64_t mount, struct map *m)
{
	struct csv_request q = {.op = CSV_OP_GRANT,
				.grant = {.handle = m->handle, .is_write = chance(2) != 0}};
	struct csv_extent e;
	struct csv_reply p;

	assert_int_equal(volume_do(v, mount, 0, q, &p), 0);
	if (p.grant.mode == CSV_GRANT_NONE)
		return;
	for (size_t i = 0; csv_extent_get(&p.grant.extents, i, &e); i++) {
		for (uint64_t at = 0; at < e.length && e.offset + at < SIZE; at += BLOCK)
			m->at[(e.offset + at) / BLOCK] = e.address + at;
	}
	m->is_held = true;
	counts[p.grant.mode]++;
}

static void change_some(struct volume *v, const struct csv_handle h[FILES])
{
	uint64_t mount = READER + chance(WRITER), f = chance(FILES),
		 at = chance(BLOCKS - 32) * BLOCK;
	size_t len = (1 + chance(32)) * BLOCK;

	switch (chance(96)) {
	case 0:
		ok(v, ask_copy_range(h[f], at, h[1 - f], chance(BLOCKS - 32) * BLOCK, len));
		break;
	case 1: /* not in whole blocks */
		write_at(v, h[f], at + chance(BLOCK), len - BLOCK + 1 + chance(BLOCK - 1), 'x');
		break;
	case 2 ... 40:
		write_at(v, h[f], at, len, 'y');
		break;
	default:
		ask_for(v, mount, &held[mount][f]);
		break;
	}
}

static void check_held(struct volume *v, size_t f, const char *name, uint64_t first, size_t step)
{
	struct {
		struct fiemap head;
		struct fiemap_extent extent[BLOCKS];
	} now = {.head = {.fm_length = SIZE, .fm_extent_count = BLOCKS}};
	int fd = volume_peek(v, name, O_RDONLY);

	assert_int_equal(ioctl(fd, FS_IOC_FIEMAP, &now), 0);
	close(fd);
	for (uint64_t m = READER; m <= WRITER; m++) {
		for (size_t i = 0; held[m][f].is_held && i < now.head.fm_mapped_extents; i++) {
			const struct fiemap_extent *e = &now.extent[i];
			uint64_t b = e->fe_logical / BLOCK;

			if (held[m][f].at[b] == e->fe_physical)
				continue;
			print_message(
				"seed %lu, step %zu: mount %lu knows block %lu of %s elsewhere\n",
				(unsigned long)first, step, (unsigned long)m, (unsigned long)b,
				name);
			fail();
		}
	}
}

static void whatever_happens_nodes_know_where_blocks_lie(void **state)
{
	static const char *const name[FILES] = {"a", "b"};
	struct volume *v = *state;
	struct csv_handle h[FILES];

	for (size_t f = 0; f < FILES; f++) {
		h[f] = file_with(v, v->root, name[f], "");
		write_at(v, h[f], 0, MIB, 'a');
		write_at(v, h[f], MIB, MIB, 'b');
		held[READER][f] = (struct map){.handle = h[f]};
		held[WRITER][f] = (struct map){.handle = h[f]};
	}
	for (uint64_t first = 1; first <= SEEDS; first++) {
		seed = first;
		for (size_t step = 0; step < 300; step++) {
			change_some(v, h);
			for (size_t f = 0; f < FILES; f++)
				check_held(v, f, name[f], first, step);
		}
	}
	print_message("granted: %lu for reading, %lu for writing, %lu of these alone\n",
		      (unsigned long)counts[CSV_GRANT_READ], (unsigned long)counts[CSV_GRANT_WRITE],
		      (unsigned long)counts[CSV_GRANT_SOLE]);
	assert_true(counts[CSV_GRANT_READ] && counts[CSV_GRANT_WRITE] && counts[CSV_GRANT_SOLE]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(blocks_do_not_move_under_one_who_reads_them),
		TEST(blocks_of_a_file_that_is_granted_for_writing_stay_where_they_are),
		TEST(who_reads_gives_back_before_the_first_one_writes),
		TEST(whatever_happens_nodes_know_where_blocks_lie),
	};
	const char *why = volume_begin();

	if (why) {
		print_message("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
