/* SPDX-License-Identifier: GPL-2.0-or-later */
/* corosync.conf: our nodes go in, what others wrote stays, what is unsafe is named. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/corosync_conf.h"
#include "lib/prng.h"

#define CRYPTO "\tcrypto_cipher: aes256\n\tcrypto_hash: sha256\n"

static const char plain[] =
	"# ours\n"
	"totem {\n"
	"\tversion: 2\n"
	"\ttransport: knet\n" CRYPTO "\tinterface {\n\t\tlinknumber: 0\n\t}\n"
	"}\n"
	"\n"
	"nodelist {\n"
	"\tnode {\n\t\tnodeid: 7\n\t\tname: old\n\t\tring0_addr: 10.0.0.7\n\t}\n"
	"}\n"
	"\n"
	"logging {\n\tto_syslog: yes\n}\n";

static const struct corosync_nodes two = {
	.version = 42,
	.count = 2,
	.node = {{1, "n1", {"10.0.0.1", "10.0.1.1"}}, {2, "n2", {"fd00::2", ""}}},
};

static char out[COROSYNC_CONF_MAX];
static size_t out_len;

static int edit(const char *old, const struct corosync_nodes *nodes,
		struct corosync_problem *problem)
{
	int r = corosync_conf_edit(old, strlen(old), nodes, out, sizeof(out) - 1, &out_len,
				   problem);

	out[r ? 0 : out_len] = 0;
	return r;
}

static void nodes_and_version_are_put_in_and_the_rest_stays(void **state)
{
	static const char wanted[] =
		"# ours\n"
		"totem {\n"
		"\tconfig_version: 42\n"
		"\tversion: 2\n"
		"\ttransport: knet\n" CRYPTO "\tinterface {\n\t\tlinknumber: 0\n\t}\n"
		"}\n"
		"\n"
		"nodelist {\n"
		"\tnode {\n\t\tnodeid: 1\n\t\tname: n1\n"
		"\t\tring0_addr: 10.0.0.1\n\t\tring1_addr: 10.0.1.1\n\t}\n"
		"\tnode {\n\t\tnodeid: 2\n\t\tname: n2\n\t\tring0_addr: fd00::2\n\t}\n"
		"}\n"
		"\n"
		"logging {\n\tto_syslog: yes\n}\n";
	struct corosync_problem problem;

	(void)state;
	assert_int_equal(edit(plain, &two, &problem), 0);
	assert_string_equal(out, wanted);
}

static void what_was_put_in_is_read_back(void **state)
{
	struct corosync_nodes back;
	struct corosync_problem problem;

	(void)state;
	assert_int_equal(edit(plain, &two, &problem), 0);
	assert_int_equal(corosync_conf_read(out, out_len, &back, &problem), 0);
	assert_memory_equal(&back, &two, sizeof(two));
}

static void times_replace_those_that_were_there_and_others_stay(void **state)
{
	static const char old[] = "totem {\n\ttoken: 3000\n\ttoken_coefficient: 650\n"
				  "\thold: 180\n" CRYPTO "\tinterface {\n\t\ttoken: 7\n\t}\n}\n";
	struct corosync_nodes timed = two, back;
	struct corosync_problem problem;

	(void)state;
	timed.times =
		(struct corosync_times){.given = 1u << COROSYNC_TOKEN | 1u << COROSYNC_JOIN,
					.ms = {[COROSYNC_TOKEN] = 2000, [COROSYNC_JOIN] = 50}};
	assert_int_equal(edit(old, &timed, &problem), 0);
	assert_non_null(strstr(out, "totem {\n\tconfig_version: 42\n\ttoken: 2000\n\tjoin: 50\n"
				    "\ttoken_coefficient: 650\n\thold: 180\n"));
	assert_non_null(strstr(out, "interface {\n\t\ttoken: 7\n"));
	assert_int_equal(corosync_conf_read(out, out_len, &back, &problem), 0);
	assert_int_equal(back.times.given, COROSYNC_TIMES_ALL & ~(1u << COROSYNC_CONSENSUS));
	assert_int_equal(back.times.ms[COROSYNC_TOKEN], 2000);
	assert_int_equal(back.times.ms[COROSYNC_TOKEN_COEFFICIENT], 650);
	assert_int_equal(
		corosync_conf_read("totem {\n" CRYPTO "\ttoken: soon\n}\n", 62, &back, &problem),
		-EINVAL);
	assert_non_null(strstr(problem.text, "totem.token: a number"));
}

static void an_edit_of_an_edit_changes_nothing(void **state)
{
	static char first[COROSYNC_CONF_MAX];
	struct corosync_problem problem;

	(void)state;
	assert_int_equal(edit(plain, &two, &problem), 0);
	memcpy(first, out, out_len + 1);
	assert_int_equal(edit(first, &two, &problem), 0);
	assert_string_equal(out, first);
}

static void a_text_without_nodes_gets_them_at_its_end(void **state)
{
	struct corosync_problem problem;

	(void)state;
	assert_int_equal(edit("totem {\n" CRYPTO "}", &two, &problem), 0);
	assert_non_null(strstr(out, "}\nnodelist {\n\tnode {\n\t\tnodeid: 1\n"));
}

static void of_several_lists_and_versions_one_is_left(void **state)
{
	static const char old[] = "nodelist {\n\tnode {\n\t\tnodeid: 1\n\t}\n}\n"
				  "totem {\n\tconfig_version: 1\n" CRYPTO "}\n"
				  "nodelist {\n\tnode {\n\t\tnodeid: 2\n\t}\n}\n"
				  "totem {\n\tconfig_version: 2\n\ttoken: 900\n}\n";
	struct corosync_nodes back;
	struct corosync_problem problem;

	(void)state;
	assert_int_equal(edit(old, &two, &problem), 0);
	assert_int_equal(corosync_conf_read(out, out_len, &back, &problem), 0);
	assert_int_equal(back.times.ms[COROSYNC_TOKEN], 900);
	back.times = (struct corosync_times){0};
	assert_memory_equal(&back, &two, sizeof(two));
	assert_non_null(strstr(out, "token: 900"));
	assert_null(strstr(strstr(out, "config_version") + 1, "config_version"));
}

struct refusal {
	const char *text;
	uint32_t line;
	const char *names;
};

static void what_is_unsafe_or_no_such_text_is_named_with_its_line(void **state)
{
	static const struct refusal refusals[] = {
		{"totem {\n\ttransport: knet\n}\n", 0, "crypto_cipher: aes256"},
		{"totem {\n\tcrypto_cipher: none\n\tcrypto_hash: sha256\n}\n", 0, "not encrypted"},
		{"totem {\n\ttransport: udpu\n" CRYPTO "}\n", 2, "transport is udpu"},
		{"totem {\n" CRYPTO "}\nquorum {\n\ttwo_node: 1\n}\n", 6, "quorum.two_node"},
		{"totem {\n" CRYPTO "}\nquorum {\n\tauto_tie_breaker: 1\n}\n", 6, "auto_tie"},
		{"totem {\n" CRYPTO "}\nquorum {\n\tdevice {\n\t}\n}\n", 6, "quorum.device"},
		{"totem {\n" CRYPTO, 3, "totem is not closed"},
		{"totem {\n" CRYPTO "}\n}\n", 5, "closes nothing"},
		{"totem {\n" CRYPTO "}\nhello\n", 5, "neither"},
		{" {\n}\n", 1, "without a name"},
		{"", 0, "not encrypted"},
	};
	struct corosync_nodes back;
	struct corosync_problem problem;

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *r = &refusals[i];

		assert_int_equal(edit(r->text, &two, &problem), -EINVAL);
		assert_int_equal(problem.line, r->line);
		assert_non_null(strstr(problem.text, r->names));
		assert_int_equal(corosync_conf_read(r->text, strlen(r->text), &back, &problem),
				 -EINVAL);
		assert_int_equal(problem.line, r->line);
	}
}

static void what_is_switched_off_is_not_unsafe(void **state)
{
	struct corosync_problem problem;

	(void)state;
	assert_int_equal(
		edit("totem {\n" CRYPTO "}\nquorum {\n\twait_for_all: 0\n}\n", &two, &problem), 0);
}

static void nodes_that_a_cluster_cannot_have_are_refused(void **state)
{
	static const struct refusal refusals[] = {
		{"nodeid: 0", 3, "nodeid"},
		{"nodeid: 4294967296", 3, "nodeid"},
		{"nodeid: x", 3, "nodeid"},
		{"ring2_addr: 10.0.0.1", 3, "2 links at most"},
		{"ring0_addr:", 3, "an address"},
		{"name: a-name-that-is-much-longer-than-any-name-of-a-node-may-be-in-a-cluster", 3,
		 "longer than"},
	};
	char text[512];
	struct corosync_nodes back;
	struct corosync_problem problem;

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		snprintf(text, sizeof(text), "nodelist {\n\tnode {\n\t\t%s\n\t}\n}\ntotem {\n%s}\n",
			 refusals[i].text, CRYPTO);
		assert_int_equal(corosync_conf_read(text, strlen(text), &back, &problem), -EINVAL);
		assert_int_equal(problem.line, refusals[i].line);
		assert_non_null(strstr(problem.text, refusals[i].names));
	}
}

static void a_seventeenth_node_is_refused(void **state)
{
	static char text[4096];
	size_t at = 0;
	struct corosync_nodes back;
	struct corosync_problem problem;

	(void)state;
	at += (size_t)snprintf(text, sizeof(text), "totem {\n%s}\nnodelist {\n", CRYPTO);
	for (int i = 1; i <= 17; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "node {\nnodeid: %d\n}\n", i);
	snprintf(text + at, sizeof(text) - at, "}\n");
	assert_int_equal(corosync_conf_read(text, strlen(text), &back, &problem), -EINVAL);
	assert_non_null(strstr(problem.text, "more than 16 nodes"));
}

static void without_room_nothing_is_claimed_to_be_written(void **state)
{
	struct corosync_problem problem;

	(void)state;
	assert_int_equal(edit(plain, &two, &problem), 0);
	for (size_t cap = 0, need = out_len; cap < need; cap++)
		assert_int_equal(corosync_conf_edit(plain, strlen(plain), &two, out, cap, &out_len,
						    &problem),
				 -ENOSPC);
}

/* Bytes that anybody may have written: read or refused, and what can be edited can be read. */
static void any_bytes_are_read_or_refused(void **state)
{
	static const char *const bits[] = {
		"totem {",	     "nodelist {", "node {", "}",  "nodeid: 3", "name: x",
		"ring0_addr: a",     CRYPTO,	   "\n",     "\n", "\n",	"# c",
		"config_version: 9", ":",	   "{",	     "\r", "\t",	"quorum {",
		"two_node: 1"};
	struct corosync_nodes back;
	struct corosync_problem problem;
	unsigned int edited = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 20000; seed++) {
		char text[1024] = "";
		struct prng p;
		size_t n, at = 0;

		prng_init(&p, seed);
		n = prng_below(&p, 20);
		if (prng_below(&p, 2))
			at = (size_t)snprintf(text, sizeof(text), "totem {\n%s}\n", CRYPTO);
		for (size_t i = 0; i < n; i++)
			at += (size_t)snprintf(
				text + at, sizeof(text) - at, "%s",
				bits[prng_below(&p, sizeof(bits) / sizeof(bits[0]))]);
		if (prng_below(&p, 4) == 0 && text[0])
			text[prng_below(&p, strlen(text))] = (char)prng_range(&p, 1, 255);
		if (edit(text, &two, &problem)) {
			assert_int_not_equal(problem.text[0], 0);
			continue;
		}
		edited++;
		assert_int_equal(corosync_conf_read(out, out_len, &back, &problem), 0);
		assert_memory_equal(&back, &two, sizeof(two));
	}
	assert_true(edited > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_and_version_are_put_in_and_the_rest_stays),
		cmocka_unit_test(what_was_put_in_is_read_back),
		cmocka_unit_test(times_replace_those_that_were_there_and_others_stay),
		cmocka_unit_test(an_edit_of_an_edit_changes_nothing),
		cmocka_unit_test(a_text_without_nodes_gets_them_at_its_end),
		cmocka_unit_test(of_several_lists_and_versions_one_is_left),
		cmocka_unit_test(what_is_unsafe_or_no_such_text_is_named_with_its_line),
		cmocka_unit_test(what_is_switched_off_is_not_unsafe),
		cmocka_unit_test(nodes_that_a_cluster_cannot_have_are_refused),
		cmocka_unit_test(a_seventeenth_node_is_refused),
		cmocka_unit_test(without_room_nothing_is_claimed_to_be_written),
		cmocka_unit_test(any_bytes_are_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
