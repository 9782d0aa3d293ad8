/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A LUN that is a plain file: table, header, terms, what is found before formatting. No root, no
 * loop device; what needs them is in tests/live/test_csvadm.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/edge/lun.h"
#include "csvfs/edge/lun_impl.h"

#define MIB (UINT64_C(1) << 20)

struct world {
	char path[64];
	char text[CSV_LUN_TEXT_MAX];
	bool has_direct_io;
};

static const struct csv_format_options options = {
	.volume.byte = {1, 2, 3}, .cluster.byte = {4, 5, 6}, .name = "v1"};

static struct lun_text text_of(struct world *w)
{
	w->text[0] = 0;
	return (struct lun_text){w->text, sizeof(w->text)};
}

static void set_bytes(struct world *w, uint64_t place, const void *p, size_t n)
{
	int fd = open(w->path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, p, n, (off_t)place), (ssize_t)n);
	assert_int_equal(close(fd), 0);
}

/* Garbage over a block of the control partition. */
static void damage(struct world *w, uint64_t place)
{
	uint8_t garbage[512];

	memset(garbage, 0xa5, sizeof(garbage));
	set_bytes(w, MIB + place, garbage, sizeof(garbage));
}

/* Everything of a volume but the XFS. */
static void make_volume(struct world *w)
{
	struct lun_text text = text_of(w);
	struct lun_table t;
	struct lun_disk d;

	assert_int_equal(lun_disk_open(w->path, true, &d, &text), 0);
	assert_int_equal(lun_gpt_plan(&d, &t), 0);
	assert_int_equal(lun_format_table(&d, &t, &text), 0);
	assert_int_equal(lun_format_header(&d, &t, &options, &text), 0);
	lun_disk_close(&d);
}

static struct csv_lun *open_lun(struct world *w, bool writable)
{
	struct csv_lun *lun = NULL;
	int r = csv_lun_open(w->path, writable, &lun, w->text, sizeof(w->text));

	if (r)
		fail_msg("%s", w->text);
	return lun;
}

static int open_fails(struct world *w)
{
	struct csv_lun *lun = NULL;
	int r = csv_lun_open(w->path, false, &lun, w->text, sizeof(w->text));

	assert_null(lun);
	assert_non_null(strstr(w->text, w->path));
	return r;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct lun_text text = {NULL, 0};
	struct lun_disk d;
	int fd;

	if (!w)
		return -1;
	snprintf(w->path, sizeof(w->path), "test_lun.XXXXXX");
	fd = mkstemp(w->path);
	if (fd < 0 || ftruncate(fd, (off_t)CSV_LUN_BYTES_MIN) < 0)
		return -1;
	close(fd);
	w->has_direct_io = !lun_disk_open(w->path, true, &d, &text);
	if (w->has_direct_io)
		lun_disk_close(&d);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	unlink(w->path);
	free(w);
	return 0;
}

static struct world *world(void **state)
{
	struct world *w = *state;

	if (!w->has_direct_io)
		skip(); /* the build directory is on a file system without O_DIRECT */
	return w;
}

/* ---- opening */

static void a_new_volume_says_what_it_was_made_as(void **state)
{
	struct world *w = world(state);
	struct csv_lun *lun;

	make_volume(w);
	lun = open_lun(w, false);
	assert_string_equal(csv_lun_name(lun), "v1");
	assert_true(csv_uuid_equal(csv_lun_volume(lun), &options.volume));
	assert_true(csv_uuid_equal(csv_lun_cluster(lun), &options.cluster));
	assert_int_equal(csv_lun_data_start(lun), 17 * MIB);
	assert_int_equal(csv_lun_data_bytes(lun), 300 * MIB);
	assert_int_equal(csv_lun_block_size(lun), 512);
	assert_int_equal(csv_lun_header(lun)->lun_bytes, CSV_LUN_BYTES_MIN);
	csv_lun_close(lun);
}

static void a_blank_file_is_no_volume(void **state)
{
	struct world *w = world(state);

	assert_int_equal(open_fails(w), -ENODATA);
	assert_non_null(strstr(w->text, "no volume"));
}

static void a_path_that_is_not_there_is_named(void **state)
{
	struct world *w = world(state);

	unlink(w->path);
	assert_int_equal(open_fails(w), -ENOENT);
}

static void a_directory_is_no_lun(void **state)
{
	struct csv_lun *lun = NULL;

	(void)world(state);
	assert_int_equal(csv_lun_open(".", false, &lun, NULL, 0), -ENOTBLK);
}

static void a_table_without_a_header_is_an_unfinished_volume(void **state)
{
	struct world *w = world(state);
	uint8_t zero[CSV_RECORD_BYTES] = {0};

	make_volume(w);
	set_bytes(w, MIB + CSV_HEADER_PLACE(0), zero, sizeof(zero));
	set_bytes(w, MIB + CSV_HEADER_PLACE(1), zero, sizeof(zero));
	assert_int_equal(open_fails(w), -ENODATA);
	assert_non_null(strstr(w->text, "never formatted to its end"));
}

static void a_header_that_disagrees_with_the_table_is_refused(void **state)
{
	struct world *w = world(state);
	struct lun_text text = text_of(w);
	struct lun_table t;
	struct lun_disk d;

	make_volume(w);
	assert_int_equal(lun_disk_open(w->path, true, &d, &text), 0);
	assert_int_equal(lun_gpt_plan(&d, &t), 0);
	t.data.bytes -= MIB;
	assert_int_equal(lun_gpt_write(&d, &t, &text), 0);
	lun_disk_close(&d);
	assert_int_equal(open_fails(w), -EBADMSG);
	assert_non_null(strstr(w->text, "disagree"));
}

static void a_lun_that_became_smaller_is_refused(void **state)
{
	struct world *w = world(state);

	make_volume(w);
	assert_int_equal(truncate(w->path, (off_t)(CSV_LUN_BYTES_MIN - 2 * MIB)), 0);
	assert_int_equal(open_fails(w), -EBADMSG);
	assert_non_null(strstr(w->text, "smaller"));
	assert_int_equal(truncate(w->path, (off_t)CSV_LUN_BYTES_MIN), 0);
	csv_lun_close(open_lun(w, false)); /* the first copy of the table is still there */
}

static void a_lun_that_became_larger_is_taken(void **state)
{
	struct world *w = world(state);
	struct csv_lun_report report;
	struct csv_lun *lun;

	make_volume(w);
	assert_int_equal(truncate(w->path, (off_t)(CSV_LUN_BYTES_MIN + 5 * MIB)), 0);
	lun = open_lun(w, true);
	assert_int_equal(csv_lun_examine(lun, &report), 0);
	assert_int_equal(report.gpt[1], CSV_LUN_COPY_DAMAGED); /* it is not at the end any more */
	assert_int_equal(csv_lun_restore(lun, w->text, sizeof(w->text)), 0);
	assert_int_equal(csv_lun_examine(lun, &report), 0);
	assert_true(report.is_sound);
	csv_lun_close(lun);
}

/* ---- damage */

static void a_torn_header_is_read_from_its_other_copy_and_restored(void **state)
{
	struct world *w = world(state);
	struct csv_lun_report report;
	struct csv_lun *lun;

	make_volume(w);
	for (unsigned int i = 0; i < 2; i++) {
		damage(w, CSV_HEADER_PLACE(i) + 512);
		lun = open_lun(w, true);
		assert_string_equal(csv_lun_name(lun), "v1");
		assert_int_equal(csv_lun_examine(lun, &report), 0);
		assert_int_equal(report.header[i], CSV_LUN_COPY_DAMAGED);
		assert_int_equal(report.header[1 - i], CSV_LUN_COPY_GOOD);
		assert_false(report.is_sound);
		assert_int_equal(csv_lun_restore(lun, w->text, sizeof(w->text)), 0);
		assert_int_equal(csv_lun_examine(lun, &report), 0);
		assert_int_equal(report.header[i], CSV_LUN_COPY_GOOD);
		assert_true(report.is_sound);
		csv_lun_close(lun);
	}
}

static void two_damaged_headers_are_refused(void **state)
{
	struct world *w = world(state);

	make_volume(w);
	damage(w, CSV_HEADER_PLACE(0));
	damage(w, CSV_HEADER_PLACE(1));
	assert_int_equal(open_fails(w), -EBADMSG);
	assert_non_null(strstr(w->text, "both copies"));
}

static void a_damaged_table_is_read_from_its_other_copy_and_restored(void **state)
{
	struct world *w = world(state);
	const uint64_t place[2] = {512, CSV_LUN_BYTES_MIN - 512};
	struct csv_lun_report report;
	uint8_t zero[512] = {0};
	struct csv_lun *lun;

	make_volume(w);
	for (unsigned int i = 0; i < 2; i++) {
		set_bytes(w, place[i], zero, sizeof(zero));
		lun = open_lun(w, true);
		assert_int_equal(csv_lun_examine(lun, &report), 0);
		assert_int_equal(report.gpt[i], CSV_LUN_COPY_DAMAGED);
		assert_int_equal(report.gpt[1 - i], CSV_LUN_COPY_GOOD);
		assert_int_equal(csv_lun_restore(lun, w->text, sizeof(w->text)), 0);
		assert_int_equal(csv_lun_examine(lun, &report), 0);
		assert_true(report.is_sound);
		csv_lun_close(lun);
	}
}

/* ---- terms */

static struct csv_term a_term(uint64_t term, uint8_t slot)
{
	struct csv_term t = {.term = term, .slot = slot, .incarnation = 77};

	snprintf(t.node.text, sizeof(t.node.text), "n%u", slot + 1u);
	return t;
}

static int write_term(struct world *w, struct csv_lun *lun, uint64_t term, uint8_t slot)
{
	struct csv_term t = a_term(term, slot);

	w->text[0] = 0;
	return csv_lun_term_write(lun, &t, w->text, sizeof(w->text));
}

static void terms_only_go_up(void **state)
{
	struct world *w = world(state);
	struct csv_lun *lun;
	struct csv_term t;

	make_volume(w);
	lun = open_lun(w, true);
	assert_int_equal(csv_lun_term_read(lun, &t), -ENODATA);
	assert_int_equal(write_term(w, lun, 5, 0), 0);
	assert_int_equal(write_term(w, lun, 4, 1), -ESTALE);
	assert_non_null(strstr(w->text, "n1"));
	assert_int_equal(write_term(w, lun, 5, 1), -ESTALE);
	assert_int_equal(write_term(w, lun, 5, 0), 0); /* the same node again */
	assert_int_equal(csv_lun_term_read(lun, &t), 0);
	assert_int_equal(t.term, 5);
	assert_int_equal(t.generation, 2);
	assert_int_equal(write_term(w, lun, 8, 1), 0);
	assert_int_equal(csv_lun_term_read(lun, &t), 0);
	assert_int_equal(t.term, 8);
	assert_string_equal(t.node.text, "n2");
	assert_int_equal(write_term(w, lun, 0, 1), -ESTALE);
	csv_lun_close(lun);
}

static void a_torn_term_leaves_the_one_before(void **state)
{
	struct world *w = world(state);
	struct csv_lun_report report;
	struct csv_lun *lun;
	struct csv_term t;

	make_volume(w);
	lun = open_lun(w, true);
	assert_int_equal(write_term(w, lun, 5, 0), 0);
	assert_int_equal(write_term(w, lun, 6, 1), 0);
	damage(w, CSV_TERM_PLACE(1)); /* the first went to 0, the second to 1 */
	assert_int_equal(csv_lun_term_read(lun, &t), 0);
	assert_int_equal(t.term, 5);
	assert_int_equal(write_term(w, lun, 7, 2), 0); /* over the damaged one */
	assert_int_equal(csv_lun_examine(lun, &report), 0);
	assert_int_equal(report.term[0], CSV_LUN_COPY_OLDER);
	assert_int_equal(report.term[1], CSV_LUN_COPY_GOOD);
	csv_lun_close(lun);
}

static void two_damaged_terms_stop_until_they_are_repaired(void **state)
{
	struct world *w = world(state);
	struct csv_lun *lun;
	struct csv_term t;

	make_volume(w);
	lun = open_lun(w, true);
	assert_int_equal(write_term(w, lun, 5, 0), 0);
	damage(w, CSV_TERM_PLACE(0));
	assert_int_equal(csv_lun_term_read(lun, &t), -EBADMSG);
	assert_int_equal(write_term(w, lun, 9, 0), -EBADMSG);
	assert_non_null(strstr(w->text, "csvadm repair"));
	assert_int_equal(csv_lun_restore(lun, w->text, sizeof(w->text)), 0);
	assert_int_equal(csv_lun_term_read(lun, &t), -ENODATA);
	assert_int_equal(write_term(w, lun, 9, 0), 0);
	csv_lun_close(lun);
}

static void a_lun_opened_for_reading_takes_no_term(void **state)
{
	struct world *w = world(state);
	struct csv_lun *lun;

	make_volume(w);
	lun = open_lun(w, false);
	assert_int_equal(write_term(w, lun, 5, 0), -EBADF);
	csv_lun_close(lun);
}

/* ---- what it carries */

static void put_swap(struct world *w, uint64_t place)
{
	uint8_t page[4096] = {0};

	page[1024] = 1;	  /* version */
	page[1028] = 100; /* last page */
	memcpy(page + 4086, "SWAPSPACE2", 10);
	set_bytes(w, place, page, sizeof(page));
}

static int probe(struct world *w, const char *overwrite)
{
	struct lun_text text = text_of(w);
	struct lun_carried c;
	struct lun_table t;
	struct lun_disk d;
	int r;

	assert_int_equal(lun_disk_open(w->path, true, &d, &text), 0);
	assert_int_equal(lun_gpt_plan(&d, &t), 0);
	assert_int_equal(lun_probe(&d, t.data, &c), 0);
	r = lun_probe_allows(&d, &c, overwrite, &text);
	lun_disk_close(&d);
	return r;
}

static void a_blank_lun_may_be_formatted(void **state)
{
	struct world *w = world(state);

	assert_int_equal(probe(w, NULL), 0);
	assert_int_equal(probe(w, "xfs"), -EEXIST);
	assert_non_null(strstr(w->text, "right LUN"));
}

static void what_is_found_has_to_be_named(void **state)
{
	struct world *w = world(state);

	put_swap(w, 0);
	assert_int_equal(probe(w, NULL), -EEXIST);
	assert_non_null(strstr(w->text, "--overwrite=swap"));
	assert_int_equal(probe(w, "ext4"), -EEXIST);
	assert_int_equal(probe(w, "swa"), -EEXIST);
	assert_int_equal(probe(w, "swap,ext4"), -EEXIST);
	assert_int_equal(probe(w, "swap"), 0);
}

static void leftovers_at_the_place_of_the_data_are_found(void **state)
{
	struct world *w = world(state);

	put_swap(w, 17 * MIB);
	assert_int_equal(probe(w, NULL), -EEXIST);
	assert_non_null(strstr(w->text, "at 17 MiB"));
}

static void a_volume_is_found_by_its_name(void **state)
{
	struct world *w = world(state);

	make_volume(w);
	put_swap(w, 17 * MIB);
	assert_int_equal(probe(w, "gpt"), -EEXIST);
	assert_non_null(strstr(w->text, "--overwrite=csv:v1"));
	assert_int_equal(probe(w, "csv:v1"), 0);
	damage(w, CSV_HEADER_PLACE(0));
	damage(w, CSV_HEADER_PLACE(1));
	assert_int_equal(probe(w, "csv:v1"), -EEXIST);
	assert_int_equal(probe(w, "csv"), 0);
}

static void formatting_leaves_no_signature(void **state)
{
	struct world *w = world(state);
	struct lun_text text = text_of(w);
	uint8_t zero[1024] = {0};
	struct lun_table t;
	struct lun_disk d;

	put_swap(w, 17 * MIB);
	assert_int_equal(lun_disk_open(w->path, true, &d, &text), 0);
	assert_int_equal(lun_gpt_plan(&d, &t), 0);
	assert_int_equal(lun_format_table(&d, &t, &text), 0);
	lun_disk_close(&d);
	/* Without its own table nothing is left. */
	set_bytes(w, 0, zero, sizeof(zero));
	set_bytes(w, CSV_LUN_BYTES_MIN - sizeof(zero), zero, sizeof(zero));
	assert_int_equal(probe(w, NULL), 0);
}

static void too_small_a_lun_is_refused_with_the_number(void **state)
{
	struct world *w = world(state);

	assert_int_equal(truncate(w->path, (off_t)(CSV_LUN_BYTES_MIN - 4096)), 0);
	assert_int_equal(csv_lun_format(w->path, &options, w->text, sizeof(w->text)), -ENOSPC);
	assert_non_null(strstr(w->text, "318 MiB"));
}

static void a_bad_name_is_refused(void **state)
{
	struct world *w = world(state);
	struct csv_format_options o = options;

	o.name = "../x";
	assert_int_equal(csv_lun_format(w->path, &o, w->text, sizeof(w->text)), -EINVAL);
	assert_non_null(strstr(w->text, "../x"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- growing */

static void a_lun_that_has_grown_is_taken_in_once(void **state)
{
	struct world *w = world(state);
	const uint64_t size = CSV_LUN_BYTES_MIN + 64 * MIB;
	char text[CSV_LUN_TEXT_MAX] = "";
	struct csv_lun_report report;
	struct csv_lun *lun;

	make_volume(w);
	assert_int_equal(csv_lun_open(w->path, true, &lun, text, sizeof(text)), 0);
	assert_int_equal(csv_lun_grow(lun, NULL, text, sizeof(text)), -EALREADY);
	assert_non_null(strstr(text, "has not grown"));
	csv_lun_close(lun);
	assert_int_equal(truncate(w->path, (off_t)size), 0);
	assert_int_equal(csv_lun_open(w->path, true, &lun, text, sizeof(text)), 0);
	if (csv_lun_grow(lun, NULL, text, sizeof(text)))
		fail_msg("%s", text);
	assert_int_equal(csv_lun_data_bytes(lun), size - 18 * MIB);
	csv_lun_close(lun);
	assert_int_equal(csv_lun_open(w->path, true, &lun, text, sizeof(text)), 0);
	assert_int_equal(csv_lun_data_bytes(lun), size - 18 * MIB);
	assert_int_equal(csv_lun_header(lun)->lun_bytes, size);
	assert_int_equal(csv_lun_header(lun)->generation, 2);
	assert_int_equal(csv_lun_examine(lun, &report), 0);
	assert_true(report.is_sound);
	assert_int_equal(csv_lun_grow(lun, NULL, text, sizeof(text)), -EALREADY);
	csv_lun_close(lun);
}

/* The table was written, and then the power failed: the volume is usable, and the rest is done. */
static void a_grow_that_was_not_finished_is(void **state)
{
	struct world *w = world(state);
	const uint64_t size = CSV_LUN_BYTES_MIN + 64 * MIB;
	struct lun_text none = {NULL, 0};
	struct lun_table t;
	struct lun_disk d;
	struct csv_lun *lun;

	make_volume(w);
	assert_int_equal(truncate(w->path, (off_t)size), 0);
	assert_int_equal(lun_disk_open(w->path, true, &d, &none), 0);
	assert_int_equal(lun_gpt_plan(&d, &t), 0);
	assert_int_equal(lun_gpt_write(&d, &t, &none), 0);
	lun_disk_close(&d);
	assert_int_equal(csv_lun_open(w->path, true, &lun, NULL, 0), 0);
	assert_int_equal(csv_lun_data_bytes(lun), size - 18 * MIB);
	assert_int_equal(csv_lun_header(lun)->lun_bytes, CSV_LUN_BYTES_MIN);
	assert_int_equal(csv_lun_grow(lun, NULL, NULL, 0), 0);
	assert_int_equal(csv_lun_header(lun)->data_bytes, size - 18 * MIB);
	csv_lun_close(lun);
	/* the other way round somebody has changed the table */
	assert_int_equal(truncate(w->path, (off_t)size + 64 * (off_t)MIB), 0);
	assert_int_equal(lun_disk_open(w->path, true, &d, &none), 0);
	assert_int_equal(lun_gpt_plan(&d, &t), 0);
	t.data.bytes -= 100 * MIB;
	assert_int_equal(lun_gpt_write(&d, &t, &none), 0);
	lun_disk_close(&d);
	assert_int_equal(csv_lun_open(w->path, true, &lun, NULL, 0), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_volume_says_what_it_was_made_as),
		TEST(a_blank_file_is_no_volume),
		TEST(a_path_that_is_not_there_is_named),
		TEST(a_directory_is_no_lun),
		TEST(a_table_without_a_header_is_an_unfinished_volume),
		TEST(a_header_that_disagrees_with_the_table_is_refused),
		TEST(a_lun_that_became_smaller_is_refused),
		TEST(a_lun_that_became_larger_is_taken),
		TEST(a_torn_header_is_read_from_its_other_copy_and_restored),
		TEST(two_damaged_headers_are_refused),
		TEST(a_damaged_table_is_read_from_its_other_copy_and_restored),
		TEST(terms_only_go_up),
		TEST(a_torn_term_leaves_the_one_before),
		TEST(two_damaged_terms_stop_until_they_are_repaired),
		TEST(a_lun_opened_for_reading_takes_no_term),
		TEST(a_blank_lun_may_be_formatted),
		TEST(what_is_found_has_to_be_named),
		TEST(leftovers_at_the_place_of_the_data_are_found),
		TEST(a_volume_is_found_by_its_name),
		TEST(formatting_leaves_no_signature),
		TEST(too_small_a_lun_is_refused_with_the_number),
		TEST(a_bad_name_is_refused),
		TEST(a_lun_that_has_grown_is_taken_in_once),
		TEST(a_grow_that_was_not_finished_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
