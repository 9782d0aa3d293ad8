/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migrate/edge/definition and command_line: what is refused and how, and QEMU's argv against
 * tests/golden/vm.
 *
 *   test_definition --golden-update    writes those files; the difference is for a reviewer to read
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "migrate/edge/command_line.h"
#include "migrate/edge/definition.h"

#define TEXT_MAX 65536

static struct definition def;
static char error[DEFINITION_ERROR];

static int parse(const char *text)
{
	memset(&def, 0x55, sizeof(def));
	return definition_parse(text, strlen(text), &def, error, sizeof(error));
}

/* A good document with `more` in its object. */
static int parse_with(const char *more)
{
	char text[8192];

	snprintf(text, sizeof(text),
		 "{\"schema\": 1, \"name\": \"a\", \"uuid\": "
		 "\"6f2b1c8e-0d3a-4b5c-8d9e-0f1a2b3c4d5e\", \"vcpus\": 1, \"memory\": 128%s}",
		 more);
	return parse(text);
}

static void refused(const char *more, const char *text)
{
	assert_int_equal(parse_with(more), -EINVAL);
	assert_string_equal(error, text);
	assert_int_equal(def.vcpus, 0x55555555); /* untouched */
}

/* ---- parsing ---- */

static void what_is_left_out_has_its_default(void **state)
{
	(void)state;
	assert_int_equal(parse_with(""), 0);
	assert_string_equal(def.machine, "q35");
	assert_true(def.is_q35);
	assert_string_equal(def.cpu, "qemu64");
	assert_int_equal(def.accelerator, DEFINITION_AUTO);
	assert_int_equal(def.n_disks, 0);
	assert_int_equal(def.serial, DEFINITION_NO_SERIAL);
	assert_int_equal(parse_with(", \"disks\": [{\"path\": \"/a\", \"format\": \"raw\"}]"), 0);
	assert_int_equal(def.disk[0].boot, 1);
	assert_false(def.disk[0].is_readonly);
	assert_int_equal(parse_with(", \"disks\": [{\"path\": \"/a\", \"format\": \"raw\"}], "
				    "\"boot\": []"),
			 0);
	assert_int_equal(def.disk[0].boot, 0);
}

static void unknown_keys_are_refused_at_every_level(void **state)
{
	(void)state;
	refused(", \"cpus\": 2",
		"/cpus: unknown key; allowed: \"schema\", \"name\", \"uuid\", \"vcpus\", "
		"\"memory\", \"machine\", \"cpu\", \"accelerator\", \"disks\", \"nics\", "
		"\"kernel\", \"initrd\", \"append\", \"serial\", \"boot\"");
	refused(", \"disks\": [{\"path\": \"/a\", \"format\": \"raw\", \"size\": 1}]",
		"/disks/0/size: unknown key; allowed: \"path\", \"format\", \"bus\", \"cache\", "
		"\"readonly\"");
	refused(", \"nics\": [{\"bridge\": \"none\", \"mac\": \"52:54:00:00:00:01\", \"x\": {}}]",
		"/nics/0/x: unknown key; allowed: \"bridge\", \"mac\", \"model\"");
	refused(", \"serial\": {\"pty\": \"/a\"}",
		"/serial/pty: unknown key; allowed: \"log\", \"socket\"");
}

static void missing_keys_are_named(void **state)
{
	(void)state;
	assert_int_equal(parse("{}"), -EINVAL);
	assert_string_equal(error, "/schema: missing; allowed: an integer from 1 to 1");
	assert_int_equal(parse("{\"schema\": 1}"), -EINVAL);
	assert_string_equal(error, "/name: missing; allowed: at most 63 letters, digits, dots, "
				   "dashes and underscores");
	refused(", \"disks\": [{\"path\": \"/a\"}]",
		"/disks/0/format: missing; allowed: \"raw\", \"qcow2\"");
	refused(", \"nics\": [{\"bridge\": \"none\"}]",
		"/nics/0/mac: missing; allowed: a unicast address like \"52:54:00:12:34:56\"");
}

static void wrong_values_are_shown_with_what_is_allowed(void **state)
{
	(void)state;
	refused(", \"machine\": \"virt\"",
		"/machine: found \"virt\"; allowed: \"q35\", \"pc\", or one with its version like "
		"\"pc-q35-7.2\"");
	refused(", \"accelerator\": \"hax\"",
		"/accelerator: found \"hax\"; allowed: \"auto\", \"kvm\", \"tcg\"");
	refused(", \"disks\": {}",
		"/disks: found an object; allowed: an array of at most 16 disks");
	refused(", \"disks\": [\"/a\"]", "/disks/0: found \"/a\"; allowed: an object");
	refused(", \"disks\": [{\"path\": \"/a\", \"format\": \"raw\", \"cache\": \"writeback\"}]",
		"/disks/0/cache: found \"writeback\"; allowed: \"none\"");
	refused(", \"disks\": [{\"path\": \"/a\", \"format\": \"raw\", \"readonly\": 1}]",
		"/disks/0/readonly: found 1; allowed: true, false");
	refused(", \"boot\": [\"disk0\"]",
		"/boot/0: found \"disk0\"; allowed: \"disk0\", \"disk1\" ... \"nic0\" ... of this "
		"definition, each once");
	refused(", \"serial\": \"/a\"",
		"/serial: found \"/a\"; allowed: {\"log\": PATH}, {\"socket\": PATH}");
	refused(", \"append\": \"quiet\"",
		"/append: found without a kernel; allowed: together with \"kernel\"");
	refused(", \"disks\": [{\"path\": \"/a\", \"format\": \"raw\"}, {\"path\": \"/a\", "
		"\"format\": \"raw\"}]",
		"/disks/1/path: found the path of another disk; allowed: each path once");
}

static void cpu_models_that_cannot_migrate_are_refused(void **state)
{
	static const char *const bad[] = {"host", "max", "host,+aes", "max,-vmx",  "",
					  "a,b",  "a,",	 "a,+",	      "a,enforce", "a b"};
	char more[128];

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(bad); i++) {
		snprintf(more, sizeof(more), ", \"cpu\": \"%s\"", bad[i]);
		assert_int_equal(parse_with(more), -EINVAL);
		assert_memory_equal(error, "/cpu: found \"", 13);
	}
	assert_int_equal(parse_with(", \"cpu\": \"Skylake-Server-v2,+aes,-vmx\""), 0);
}

static void paths_are_absolute_and_plain(void **state)
{
	static const char *const bad[] = {"a",	  "",	   "/",	    "//a",  "/a//b", "/a/",
					  "/./a", "/a/..", "/../a", "/a/.", "/a\\n", "/\\u007f"};
	char more[256];

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(bad); i++) {
		snprintf(more, sizeof(more),
			 ", \"disks\": [{\"format\": \"raw\", \"path\": \"%s\"}]", bad[i]);
		assert_int_equal(parse_with(more), -EINVAL);
		assert_memory_equal(error, "/disks/0/path: found \"", 22);
	}
	assert_int_equal(
		parse_with(", \"disks\": [{\"format\": \"raw\", \"path\": \"/a/...b,c/.d\"}]"), 0);
}

static void numbers_and_addresses_have_bounds(void **state)
{
	static const char *const bad[] = {
		"\"disks\": 1",
		"\"nics\": [{\"bridge\": \"none\", \"mac\": \"53:54:00:00:00:01\"}]",
		"\"nics\": [{\"bridge\": \"none\", \"mac\": \"52:54:00:00:00\"}]",
		"\"nics\": [{\"bridge\": \"none\", \"mac\": \"00:00:00:00:00:00\"}]",
		"\"nics\": [{\"bridge\": \"0123456789abcdef\", \"mac\": \"52:54:00:00:00:01\"}]",
		"\"nics\": [{\"bridge\": \"a/b\", \"mac\": \"52:54:00:00:00:01\"}]",
		"\"kernel\": \"a\"",
		"\"kernel\": \"/a\", \"append\": \"a\\u0001\"",
		"\"machine\": \"pc-q35-\"",
		"\"machine\": \"pc-q35-7,2\"",
		"\"machine\": null",
	};
	char more[256];

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(bad); i++) {
		snprintf(more, sizeof(more), ", %s", bad[i]);
		assert_int_equal(parse_with(more), -EINVAL);
	}
	assert_int_equal(parse("{\"schema\": 1, \"name\": \"a\", \"uuid\": "
			       "\"6f2b1c8e-0d3a-4b5c-8d9e-0f1a2b3c4d5e\", \"vcpus\": 0, "
			       "\"memory\": 128}"),
			 -EINVAL);
	assert_string_equal(error, "/vcpus: found 0; allowed: an integer from 1 to 255");
	assert_int_equal(parse("{\"schema\": 2}"), -EINVAL);
}

static void what_is_no_json_is_refused_with_its_place(void **state)
{
	char *big = calloc(1, TEXT_MAX + 2);

	(void)state;
	assert_int_equal(parse("{\n\"schema\" 1}"), -EINVAL);
	assert_memory_equal(error, ": line 2, column 10: ", 21);
	assert_int_equal(parse("[]"), -EINVAL);
	assert_int_equal(parse("{\"schema\": 1, \"schema\": 1}"), -EINVAL);
	assert_non_null(big);
	memset(big, ' ', TEXT_MAX + 1);
	assert_int_equal(parse(big), -EINVAL);
	free(big);
	assert_int_equal(definition_load("/nonexistent/x", &def, error, sizeof(error)), -ENOENT);
	assert_string_equal(error, "/nonexistent/x: No such file or directory");
}

/* ---- QEMU's argv ---- */

static void golden_path(char *path, size_t cap, const char *name)
{
	const char *srcdir = getenv("srcdir");

	snprintf(path, cap, "%s/tests/golden/vm/%s", srcdir ? srcdir : ".", name);
}

static struct command_line_facts facts_of(const char *name)
{
	struct command_line_facts f = {
		.program = "/usr/bin/qemu-system-x86_64", .machine = "pc-q35-7.2", .qmp_fd = 3};

	if (strcmp(name, "full") == 0) {
		f.machine = "pc-i440fx-7.2";
		f.is_kvm = f.is_incoming = f.is_block_device[1] = true;
		f.tap_fd[0] = 4;
	}
	return f;
}

/* One argument a line. */
static void make_text(const char *name, char *text, size_t cap)
{
	struct command_line_facts f = facts_of(name);
	char path[4096], file[64];
	char **argv;
	size_t at = 0;

	snprintf(file, sizeof(file), "%s.json", name);
	golden_path(path, sizeof(path), file);
	if (definition_load(path, &def, error, sizeof(error)))
		fail_msg("%s", error);
	argv = command_line_make(&def, &f);
	assert_non_null(argv);
	for (size_t i = 0; argv[i]; i++)
		at += (size_t)snprintf(text + at, cap - at, "%s\n", argv[i]);
	assert_null(command_line_free(argv));
}

static void assert_golden(const char *name)
{
	static char want[TEXT_MAX], have[TEXT_MAX];
	char path[4096], file[64];
	_cleanup_fclose_ FILE *f = NULL;

	snprintf(file, sizeof(file), "%s.argv", name);
	golden_path(path, sizeof(path), file);
	f = fopen(path, "re");
	assert_non_null(f);
	want[fread(want, 1, sizeof(want) - 1, f)] = '\0';
	make_text(name, have, sizeof(have));
	assert_string_equal(have, want);
}

static void argv_is_the_golden_one(void **state)
{
	(void)state;
	assert_golden("small");
	assert_golden("full");
}

static void emulated_guests_get_the_8_kib_that_save_their_pages(void **state)
{
	(void)state;
	assert_int_equal(parse_with(""), 0);
	assert_int_equal(command_line_memory_kib(&def, "pc-q35-7.2", false), 131080);
	assert_int_equal(command_line_memory_kib(&def, "pc-i440fx-8.2", false), 131080);
	assert_int_equal(command_line_memory_kib(&def, "pc-q35-9.0", false), 131072);
	assert_int_equal(command_line_memory_kib(&def, "pc-q35-10.0.1", false), 131072);
	assert_int_equal(command_line_memory_kib(&def, "pc-q35-7.2", true), 131072);
}

static char *identity_with(const char *more, bool is_incoming)
{
	struct command_line_facts f = {.program = is_incoming ? "/opt/qemu" : "/usr/bin/qemu",
				       .machine = "pc-q35-7.2",
				       .is_incoming = is_incoming,
				       .is_block_device = {is_incoming}};
	char *text;

	assert_int_equal(parse_with(more), 0);
	text = command_line_identity(&def, &f);
	assert_non_null(text);
	return text;
}

/* What differs between hosts does not count, what the guest sees does. */
static void identity_is_what_the_guest_sees(void **state)
{
	static const char *const same[][2] = {
		{", \"serial\": {\"log\": \"/a\"}", ", \"serial\": {\"log\": \"/b\"}"},
		{", \"machine\": \"q35\"", ", \"machine\": \"pc-q35-7.2\""},
		{", \"nics\": [{\"bridge\": \"br0\", \"mac\": \"52:54:00:00:00:01\"}]",
		 ", \"nics\": [{\"bridge\": \"br1\", \"mac\": \"52:54:00:00:00:01\"}]"},
	};
	static const char *const other[][2] = {
		{"", ", \"serial\": {\"log\": \"/b\"}"},
		{"", ", \"cpu\": \"Nehalem\""},
		{", \"disks\": [{\"format\": \"raw\", \"path\": \"/a\"}]",
		 ", \"disks\": [{\"format\": \"raw\", \"path\": \"/b\"}]"},
		{", \"nics\": [{\"bridge\": \"br0\", \"mac\": \"52:54:00:00:00:01\"}]",
		 ", \"nics\": [{\"bridge\": \"br0\", \"mac\": \"52:54:00:00:00:02\"}]"},
	};

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(same); i++) {
		_cleanup_free_ char *a = identity_with(same[i][0], false);
		_cleanup_free_ char *b = identity_with(same[i][1], true);

		assert_string_equal(a, b);
	}
	for (size_t i = 0; i < MUST_ARRAY_SIZE(other); i++) {
		_cleanup_free_ char *a = identity_with(other[i][0], false);
		_cleanup_free_ char *b = identity_with(other[i][1], false);

		assert_string_not_equal(a, b);
	}
}

static int golden_update(void)
{
	static const char *const names[] = {"small", "full"};
	static char text[TEXT_MAX];

	for (size_t i = 0; i < MUST_ARRAY_SIZE(names); i++) {
		char path[4096], file[64];
		FILE *f;

		make_text(names[i], text, sizeof(text));
		snprintf(file, sizeof(file), "%s.argv", names[i]);
		golden_path(path, sizeof(path), file);
		f = fopen(path, "we");
		if (!f || fputs(text, f) < 0 || fclose(f)) {
			perror(path);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(unknown_keys_are_refused_at_every_level),
		cmocka_unit_test(missing_keys_are_named),
		cmocka_unit_test(wrong_values_are_shown_with_what_is_allowed),
		cmocka_unit_test(cpu_models_that_cannot_migrate_are_refused),
		cmocka_unit_test(paths_are_absolute_and_plain),
		cmocka_unit_test(numbers_and_addresses_have_bounds),
		cmocka_unit_test(what_is_no_json_is_refused_with_its_place),
		cmocka_unit_test(argv_is_the_golden_one),
		cmocka_unit_test(emulated_guests_get_the_8_kib_that_save_their_pages),
		cmocka_unit_test(identity_is_what_the_guest_sees),
	};

	if (argc == 2 && strcmp(argv[1], "--golden-update") == 0)
		return golden_update();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
