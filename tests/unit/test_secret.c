/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Secrets: references, what a node has to do about its files, and their files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/secret.h"
#include "clusterd/edge/secret_file.h"
#include "tests/unit/db_fixture.h"

static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_NODE] = 4,
			[DB_KIND_EVENT] = 8,
			[DB_KIND_FENCE] = 2,
			[DB_KIND_PARAM] = 8,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
			[DB_KIND_SECRET] = 2,
		},
	.locks = {.max_sessions = 4, .max_resources = 2, .max_locks = 2, .max_queued = 2},
};

static int setup(void **state)
{
	struct fixture *f;

	fixture_setup(state, &limits);
	f = *state;
	for (uint8_t i = 0; i < 3; i++) {
		char name[] = {'n', (char)('1' + i), 0};
		struct db_node *n = db_insert(&f->db, DB_KIND_NODE, name);

		n->slot = i;
		n->membership = i < 2 ? DB_MEMBERSHIP_ADMITTED : DB_MEMBERSHIP_LOST;
	}
	return 0;
}

static enum db_code set(struct fixture *f, const char *name, uint64_t version, uint8_t slot)
{
	struct db_command cmd = {.type = DB_CMD_SECRET_SET};

	snprintf(cmd.secret_set.name, sizeof(cmd.secret_set.name), "%s", name);
	cmd.secret_set.version = version;
	cmd.secret_set.slot = slot;
	return fixture_apply_checked(f, &cmd);
}

static enum db_code held(struct fixture *f, const char *name, uint64_t version, uint8_t slot,
			 bool is_held)
{
	struct db_command cmd = {.type = DB_CMD_SECRET_HELD};

	snprintf(cmd.secret_held.name, sizeof(cmd.secret_held.name), "%s", name);
	cmd.secret_held.version = version;
	cmd.secret_held.slot = slot;
	cmd.secret_held.is_held = is_held;
	return fixture_apply_checked(f, &cmd);
}

static enum db_code delete (struct fixture *f, const char *name) {
	struct db_command cmd = {.type = DB_CMD_SECRET_DELETE};

	snprintf(cmd.secret_delete.name, sizeof(cmd.secret_delete.name), "%s", name);
	return fixture_apply_checked(f, &cmd);
}

static enum db_code device(struct fixture *f, const char *name, const char *params)
{
	struct db_command cmd = {.type = DB_CMD_FENCE_CREATE};

	snprintf(cmd.fence_create.name, sizeof(cmd.fence_create.name), "%s", name);
	snprintf(cmd.fence_create.params, sizeof(cmd.fence_create.params), "%s", params);
	return fixture_apply_checked(f, &cmd);
}

static void values_refer_by_a_prefix(void **state)
{
	(void)state;
	assert_string_equal(secret_reference("secret:bmc"), "bmc");
	assert_null(secret_reference("secret"));
	assert_null(secret_reference(" secret:bmc"));
	assert_true(secret_name_is_valid("bmc-1.rack_2"));
	assert_false(secret_name_is_valid(""));
	assert_false(secret_name_is_valid("."));
	assert_false(secret_name_is_valid("../bmc"));
	assert_false(secret_name_is_valid("a/b"));
	assert_false(secret_name_is_valid("a@b"));
	assert_true(secret_value_is_valid("\xc3\xa4 b=c"));
	assert_false(secret_value_is_valid(""));
	assert_false(secret_value_is_valid("a\nb"));
	assert_false(secret_value_is_valid("\x7f"));
}

static void names_of_parameters_that_say_what_nobody_may_read(void **state)
{
	static const char *const due[] = {"passwd",	"password", "snmp_priv_passwd", "secret",
					  "secret_key", "token",    "passphrase"};
	static const char *const plain[] = {"passwd_script",
					    "password_script",
					    "token_file",
					    "ssl_secure",
					    "plug",
					    "ip",
					    "check_passwd_use_empty"};

	(void)state;
	for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++)
		assert_true(secret_is_due(due[i]));
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		assert_false(secret_is_due(plain[i]));
}

static void rows_say_who_holds_the_version_in_force(void **state)
{
	struct fixture *f = *state;
	const struct db_secret *row;

	assert_int_equal(set(f, "bad/name", 1, 0), DB_INVALID);
	assert_int_equal(set(f, "bmc", 10, 0), DB_OK);
	row = db_find(&f->db, DB_KIND_SECRET, "bmc");
	assert_int_equal(row->holders, 1);
	assert_int_equal(secret_missing(&f->db, row), 2); /* n3 is lost: nobody waits for it */
	assert_int_equal(held(f, "bmc", 9, 1, true), DB_OK);
	assert_int_equal(row->holders, 1); /* of another version */
	assert_int_equal(held(f, "bmc", 10, 1, true), DB_OK);
	assert_int_equal(row->holders, 3);
	assert_int_equal(secret_missing(&f->db, row), 0);
	assert_int_equal(held(f, "bmc", 10, 0, false), DB_OK);
	assert_int_equal(row->holders, 2);
	assert_int_equal(set(f, "bmc", 11, 1), DB_OK);
	assert_int_equal(row->holders, 2);
	assert_int_equal(row->version, 11);
	assert_int_equal(set(f, "two", 1, 0), DB_OK);
	assert_int_equal(set(f, "three", 1, 0), DB_REFUSED);
}

static void what_is_referred_to_exists_and_stays(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(device(f, "d", "ip=1.2.3.4\npassword=secret:bmc\n"), DB_NO_SUCH);
	assert_non_null(strstr(f->result.text, "no secret bmc"));
	assert_null(db_find(&f->db, DB_KIND_FENCE, "d"));
	assert_int_equal(set(f, "bmc", 10, 0), DB_OK);
	assert_int_equal(device(f, "d", "ip=1.2.3.4\npassword=secret:bmc\n"), DB_OK);
	assert_int_equal(delete (f, "bmc"), DB_REFUSED);
	assert_non_null(strstr(f->result.text, "fence.d/password"));
	assert_int_equal(delete (f, "none"), DB_NO_SUCH);
	assert_int_equal(set(f, "other", 1, 0), DB_OK);
	assert_int_equal(delete (f, "other"), DB_OK);
	assert_null(db_find(&f->db, DB_KIND_SECRET, "other"));
}

static void a_slot_that_is_free_holds_nothing(void **state)
{
	struct fixture *f = *state;
	const struct db_secret *row;

	assert_int_equal(set(f, "bmc", 10, 0), DB_OK);
	assert_int_equal(held(f, "bmc", 10, 2, true), DB_OK);
	secrets_slot_free(&f->db, 2);
	row = db_find(&f->db, DB_KIND_SECRET, "bmc");
	assert_int_equal(row->holders, 1);
}

static struct secret_duty next(const struct fixture *f, const struct secret_file *file,
			       size_t count, uint8_t self, uint16_t present)
{
	struct secret_facts facts = {
		.db = &f->db, .self = self, .present = present, .file = file, .count = count};
	size_t at = 0;

	return secret_next(&facts, &at);
}

static void a_node_says_what_it_has_fetches_what_it_lacks_and_drops_the_rest(void **state)
{
	struct fixture *f = *state;
	struct secret_file bmc = {.name = "bmc", .version = 10};
	struct secret_file old[] = {{.name = "bmc", .version = 9}, bmc};
	struct secret_duty d;

	assert_int_equal(set(f, "bmc", 10, 0), DB_OK);
	assert_int_equal(next(f, &bmc, 1, 0, 7).type, SECRET_NOTHING);
	d = next(f, NULL, 0, 1, 7);
	assert_int_equal(d.type, SECRET_FETCH);
	assert_int_equal(d.from, 1);
	assert_string_equal(d.name, "bmc");
	assert_int_equal(d.version, 10);
	/* The holder is not here: nothing can be done now. */
	assert_int_equal(next(f, NULL, 0, 1, 6).type, SECRET_NOTHING);
	d = next(f, &bmc, 1, 1, 7);
	assert_int_equal(d.type, SECRET_REPORT);
	assert_true(d.is_held);
	d = next(f, NULL, 0, 0, 7);
	assert_int_equal(d.type, SECRET_REPORT);
	assert_false(d.is_held);
	d = next(f, old, 2, 0, 7);
	assert_int_equal(d.type, SECRET_DROP);
	assert_int_equal(d.version, 9);
	old[0].is_staged = true; /* its command is under way */
	assert_int_equal(next(f, old, 2, 0, 7).type, SECRET_NOTHING);
}

static void files_are_whole_and_for_root_alone(void **state)
{
	char dir[] = "/tmp/test_secret.XXXXXX", value[SECRET_VALUE_MAX], file[SECRET_FILE_MAX];
	char path[sizeof(dir) + SECRET_FILE_MAX + 1];
	struct secret_file parsed;

	(void)state;
	assert_non_null(mkdtemp(dir));
	secret_file_name("bmc", 0xabc, file);
	assert_string_equal(file, "bmc@0000000000000abc");
	assert_true(secret_file_parse(file, &parsed));
	assert_string_equal(parsed.name, "bmc");
	assert_int_equal(parsed.version, 0xabc);
	assert_false(secret_file_parse("bmc@0000000000000abc.new", &parsed));
	assert_false(secret_file_parse("bmc@abc", &parsed));
	assert_false(secret_file_parse("../bmc@0000000000000abc", &parsed));
	assert_false(secret_file_parse("bmc", &parsed));
	assert_int_equal(secret_file_read(dir, file, value), -ENOENT);
	assert_int_equal(secret_file_write(dir, file, "open sesame"), 0);
	assert_int_equal(secret_file_read(dir, file, value), 0);
	assert_string_equal(value, "open sesame");
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(secret_file_read(dir, file, value), -EPERM);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(truncate(path, SECRET_VALUE_MAX), 0);
	assert_int_equal(secret_file_read(dir, file, value), -EBADMSG);
	assert_int_equal(secret_file_read(dir, "../../etc/passwd", value), -EBADMSG);
	assert_int_equal(secret_file_remove(dir, file), 0);
	assert_int_equal(secret_file_remove(dir, file), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(secret_file_write(dir, file, "x"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_refer_by_a_prefix),
		cmocka_unit_test(names_of_parameters_that_say_what_nobody_may_read),
		cmocka_unit_test_setup_teardown(rows_say_who_holds_the_version_in_force, setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(what_is_referred_to_exists_and_stays, setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(a_slot_that_is_free_holds_nothing, setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(
			a_node_says_what_it_has_fetches_what_it_lacks_and_drops_the_rest, setup,
			fixture_teardown),
		cmocka_unit_test(files_are_whole_and_for_root_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
