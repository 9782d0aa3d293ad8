/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fence agents with real programs: good ones, and those of tests/fence-agents, which hang, lie,
 * flood, crash and tell secrets. fence_dummy of Debian's fence-agents is used where it is
 * installed.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>
#include <glob.h>
#include <qb/qbloop.h>

#include "lib/cleanup.h"
#include "lib/fence_agent.h"

#define DEBIAN_DUMMY "/usr/sbin/fence_dummy"

struct fixture {
	qb_loop_t *loop;
	struct agent_params params;
	struct agent_result result;
	char *out;
	int calls;
	char dir[64];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_fence_agent.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->loop = qb_loop_create();
	assert_non_null(f->loop);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char pattern[80];
	glob_t g;

	(void)snprintf(pattern, sizeof(pattern), "%s/*", f->dir);
	if (!glob(pattern, 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			unlink(g.gl_pathv[i]);
	}
	globfree(&g);
	rmdir(f->dir);
	qb_loop_destroy(f->loop);
	free(f->out);
	free(f);
	return 0;
}

static void on_done(void *data, const struct agent_result *result)
{
	struct fixture *f = data;

	f->calls++;
	f->result = *result;
	free(f->out);
	f->out = calloc(1, result->out_len + 1);
	assert_non_null(f->out);
	memcpy(f->out, result->out, result->out_len);
	qb_loop_stop(f->loop);
}

static const char *path_of(const char *agent)
{
	static char path[PATH_MAX + 64];
	const char *srcdir = getenv("srcdir");
	char dir[PATH_MAX]; /* or a build with _FORTIFY_SOURCE ends here: realpath(3) */

	if (agent[0] == '/')
		return agent;
	assert_non_null(realpath(srcdir ? srcdir : ".", dir));
	(void)snprintf(path, sizeof(path), "%s/tests/fence-agents/%s", dir, agent);
	return path;
}

static void run_for(struct fixture *f, const char *agent, enum agent_action action,
		    uint32_t timeout_ms)
{
	struct agent_request request = {.path = path_of(agent),
					.action = action,
					.params = &f->params,
					.timeout_ms = timeout_ms};

	f->calls = 0;
	assert_int_equal(agent_run_start(f->loop, &request, on_done, f, NULL), 0);
	qb_loop_run(f->loop);
	assert_int_equal(f->calls, 1);
	assert_int_equal(f->result.action, action);
}

static void run(struct fixture *f, const char *agent, enum agent_action action)
{
	run_for(f, agent, action, 30000);
}

static void set(struct fixture *f, const char *name, const char *value)
{
	assert_int_equal(agent_params_set(&f->params, name, value), 0);
}

static struct agent_meta *plain_meta(struct fixture *f)
{
	struct agent_meta *meta = NULL;

	run(f, "fence_plain", AGENT_METADATA);
	assert_int_equal(
		agent_meta_parse(f->result.out_len ? f->out : "", f->result.out_len, &meta), 0);
	return meta;
}

/* ---- runs ---- */

static void off_is_done_and_a_second_look_says_off(void **state)
{
	struct fixture *f = *state;

	set(f, "plug", "n2");
	set(f, "state_dir", f->dir);
	run(f, "fence_plain", AGENT_ON);
	assert_int_equal(f->result.outcome, AGENT_OK);
	run(f, "fence_plain", AGENT_STATUS);
	assert_int_equal(f->result.power, AGENT_POWER_ON);
	run(f, "fence_plain", AGENT_OFF);
	assert_int_equal(f->result.outcome, AGENT_OK);
	assert_int_equal(f->result.power, AGENT_POWER_UNKNOWN);
	run(f, "fence_plain", AGENT_STATUS);
	assert_int_equal(f->result.outcome, AGENT_OK);
	assert_int_equal(f->result.rc, 2);
	assert_int_equal(f->result.power, AGENT_POWER_OFF);
}

static void a_plug_that_does_not_exist_is_unknown_not_off(void **state)
{
	struct fixture *f = *state;

	set(f, "plug", "nobody");
	set(f, "state_dir", f->dir);
	run(f, "fence_plain", AGENT_STATUS);
	assert_int_equal(f->result.outcome, AGENT_FAILED);
	assert_int_equal(f->result.power, AGENT_POWER_UNKNOWN);
	assert_non_null(strstr(f->result.text, "nobody"));
}

static void an_exit_with_0_and_no_effect_is_a_lie(void **state)
{
	struct fixture *f = *state;
	enum agent_outcome off;

	run(f, "fence_lie", AGENT_OFF);
	off = f->result.outcome;
	assert_int_equal(off, AGENT_OK);
	run(f, "fence_lie", AGENT_STATUS);
	assert_int_equal(f->result.power, AGENT_POWER_ON);
	assert_int_equal(agent_outcome_verified(AGENT_OFF, off, f->result.power), AGENT_LIED);
	assert_int_equal(agent_outcome_verified(AGENT_OFF, off, AGENT_POWER_UNKNOWN), AGENT_FAILED);
	assert_int_equal(agent_outcome_verified(AGENT_OFF, off, AGENT_POWER_OFF), AGENT_OK);
	assert_int_equal(agent_outcome_verified(AGENT_ON, off, AGENT_POWER_OFF), AGENT_LIED);
	assert_int_equal(agent_outcome_verified(AGENT_OFF, AGENT_TIMED_OUT, AGENT_POWER_OFF),
			 AGENT_TIMED_OUT);
	assert_int_equal(agent_outcome_verified(AGENT_REBOOT, off, AGENT_POWER_ON), AGENT_OK);
}

static void exit_status_2_of_wrong_usage_is_not_off(void **state)
{
	struct fixture *f = *state;

	run(f, "fence_usage", AGENT_STATUS);
	assert_int_equal(f->result.rc, 2);
	assert_int_equal(f->result.outcome, AGENT_FAILED);
	assert_int_equal(f->result.power, AGENT_POWER_UNKNOWN);
}

static void a_hanging_agent_is_ended_at_its_deadline(void **state)
{
	struct fixture *f = *state;

	run_for(f, "fence_hang", AGENT_OFF, 300);
	assert_int_equal(f->result.outcome, AGENT_TIMED_OUT);
	assert_false(f->result.is_left_running);
	assert_true(f->result.ended_ms - f->result.started_ms >= 300);
	assert_true(f->result.ended_ms - f->result.started_ms < 20000);
	assert_string_equal(f->result.text, "connecting");
}

static void cancel_now(void *data)
{
	agent_run_cancel(*(struct agent_run **)data);
}

static void a_cancelled_run_says_so(void **state)
{
	struct fixture *f = *state;
	struct agent_run *run = NULL;
	struct agent_request request = {
		.path = path_of("fence_hang"), .action = AGENT_OFF, .timeout_ms = 60000};
	qb_loop_timer_handle timer;

	assert_int_equal(agent_run_start(f->loop, &request, on_done, f, &run), 0);
	assert_int_equal(qb_loop_timer_add(f->loop, QB_LOOP_MED, 200 * UINT64_C(1000000), &run,
					   cancel_now, &timer),
			 0);
	qb_loop_run(f->loop);
	assert_int_equal(f->result.outcome, AGENT_CANCELLED);
}

static void a_run_can_be_thrown_away_on_the_way_out(void **state)
{
	struct fixture *f = *state;
	struct agent_run *run = NULL;
	struct agent_request request = {
		.path = path_of("fence_hang"), .action = AGENT_OFF, .timeout_ms = 60000};

	assert_int_equal(agent_run_start(f->loop, &request, on_done, f, &run), 0);
	assert_null(agent_run_free(run));
	assert_null(agent_run_free(NULL));
	assert_int_equal(f->calls, 0);
}

static void an_end_by_a_signal_is_a_failure(void **state)
{
	struct fixture *f = *state;

	run(f, "fence_signal", AGENT_STATUS);
	assert_int_equal(f->result.outcome, AGENT_SIGNALLED);
	assert_int_equal(f->result.rc, 11);
	assert_int_equal(f->result.power, AGENT_POWER_UNKNOWN);
	assert_string_equal(f->result.text, "about to crash");
}

static void a_program_that_is_not_there_is_not_started(void **state)
{
	struct fixture *f = *state;

	run(f, "fence_nowhere", AGENT_OFF);
	assert_int_equal(f->result.outcome, AGENT_NOT_STARTED);
	assert_int_equal(f->result.rc, ENOENT);
	assert_non_null(strstr(f->result.text, "No such file"));
}

static void a_flood_is_bounded_and_its_last_lines_are_kept(void **state)
{
	struct fixture *f = *state;

	run(f, "fence_flood", AGENT_LIST);
	assert_int_equal(f->result.outcome, AGENT_FAILED);
	assert_int_equal(f->result.rc, 3);
	assert_true(f->result.is_cut);
	assert_true(f->result.out_len <= AGENT_OUT_MAX);
	assert_non_null(strstr(f->result.text, "line 19999 of the flood | the last line"));
	assert_null(strstr(f->result.text, "line 19995"));
}

static void the_history_gets_valid_text_that_moves_no_cursor(void **state)
{
	struct fixture *f = *state;

	run(f, "fence_bytes", AGENT_OFF);
	assert_int_equal(f->result.outcome, AGENT_FAILED);
	assert_string_equal(f->result.text, "valid \303\274 \342\202\254, broken ?? ?? ??? end | "
					    "nul   escape  [2J ]0;title  back   turn  olleh");
}

static void secrets_are_on_stdin_only(void **state)
{
	struct fixture *f = *state;
	char shown[128], text[4096];
	_cleanup_fclose_ FILE *file = NULL;
	size_t n;

	(void)snprintf(shown, sizeof(shown), "%s/shown", f->dir);
	set(f, "plug", "n1");
	set(f, "state_dir", f->dir);
	set(f, "password", "open sesame");
	set(f, "shown", shown);
	setenv("LD_LIBRARY_PATH_X", "of the parent", 1);
	run(f, "fence_plain", AGENT_MONITOR);
	assert_int_equal(f->result.outcome, AGENT_OK);
	file = fopen(shown, "re");
	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	assert_non_null(strstr(text, "args=0\n"));
	assert_non_null(strstr(text, "LC_ALL=C.UTF-8\n"));
	assert_null(strstr(text, "sesame"));
	assert_null(strstr(text, "LD_LIBRARY_PATH_X"));
	assert_null(strstr(text, "HOME="));
}

static void an_agent_that_tells_its_secrets_is_redacted(void **state)
{
	struct fixture *f = *state;

	set(f, "password", "open & \"sesame\" 1");
	set(f, "username", "root");
	run(f, "fence_babble", AGENT_OFF);
	assert_null(strstr(f->result.text, "sesame"));
	assert_string_equal(f->result.text,
			    "read: action=off | read: password=[redacted] | read: username=root | "
			    "GET https://bmc/login?p=[redacted] | sent: [redacted]");
}

static void half_a_line_is_left_out_for_it_may_be_half_a_secret(void **state)
{
	struct agent_params p = {.count = 0};
	char text[64];

	(void)state;
	assert_int_equal(agent_params_set(&p, "snmp_priv_passwd", "sesame"), 0);
	agent_text("same\nnext sesame\n", 17, true, &p, text, sizeof(text));
	assert_string_equal(text, "next [redacted]");
	agent_text("same", 4, true, &p, text, sizeof(text));
	assert_string_equal(text, "");
	agent_text(NULL, 0, true, NULL, text, sizeof(text));
	assert_string_equal(text, "");
	/* No room: cut, ended, and no half of a character. */
	agent_text("\342\202\254\342\202\254", 6, false, NULL, text, 6);
	assert_string_equal(text, "\342\202\254");
}

static void a_list_is_searched_by_its_first_field(void **state)
{
	struct fixture *f = *state;

	run(f, "fence_plain", AGENT_LIST);
	assert_true(agent_list_has(f->out, f->result.out_len, "n1"));
	assert_true(agent_list_has(f->out, f->result.out_len, "n2"));
	assert_false(agent_list_has(f->out, f->result.out_len, "n"));
	assert_false(agent_list_has(f->out, f->result.out_len, "first"));
	assert_false(agent_list_has(f->out, f->result.out_len, ""));
}

static void a_bad_request_is_refused_before_anything_is_started(void **state)
{
	struct fixture *f = *state;
	struct agent_request request = {
		.path = path_of("fence_plain"), .action = AGENT_ACTION_MAX, .timeout_ms = 1000};

	assert_int_equal(agent_run_start(f->loop, &request, on_done, f, NULL), -EINVAL);
	request.action = AGENT_OFF;
	request.timeout_ms = 0;
	assert_int_equal(agent_run_start(f->loop, &request, on_done, f, NULL), -EINVAL);
	request.timeout_ms = 1000;
	request.params = &f->params;
	memset(f->params.item[0].value, 'x', AGENT_VALUE_MAX - 1);
	for (uint32_t i = 0; i < AGENT_GIVEN_MAX; i++) {
		f->params.item[i] = f->params.item[0];
		memset(f->params.item[i].name, 'n', AGENT_NAME_MAX - 1);
	}
	f->params.count = AGENT_GIVEN_MAX;
	assert_int_equal(agent_run_start(f->loop, &request, on_done, f, NULL), -E2BIG);
}

/* ---- metadata ---- */

static void metadata_tells_parameters_and_actions(void **state)
{
	struct agent_meta *meta = plain_meta(*state);
	const struct agent_param *plug = agent_meta_param(meta, "plug");
	const struct agent_param *method = agent_meta_param(meta, "method");

	assert_string_equal(meta->name, "fence_plain");
	assert_string_equal(meta->longdesc, "It is on when the file says so.\nNothing else.");
	assert_true(meta->actions & (1u << AGENT_OFF));
	assert_true(meta->actions & (1u << AGENT_VALIDATE));
	assert_false(meta->actions & (1u << AGENT_REBOOT));
	assert_true(plug->is_required);
	assert_string_equal(plug->obsoletes, "port");
	assert_string_equal(plug->desc, "Name of the plug");
	assert_true(agent_meta_param(meta, "port")->is_deprecated);
	assert_int_equal(agent_meta_param(meta, "power-timeout")->type, AGENT_TYPE_SECOND);
	assert_int_equal(method->choice_count, 2);
	assert_string_equal(method->preset, "onoff");
	assert_null(agent_meta_param(meta, "nothing"));
	agent_meta_free(meta);
}

static void metadata_that_declares_entities_is_refused(void **state)
{
	struct fixture *f = *state;
	struct agent_meta *meta = NULL;

	run(f, "fence_bomb", AGENT_METADATA);
	assert_int_equal(f->result.outcome, AGENT_OK);
	assert_int_equal(agent_meta_parse(f->out, f->result.out_len, &meta), -EBADMSG);
	assert_null(meta);
}

static void parse_refused(const char *xml, int expected)
{
	struct agent_meta *meta = NULL;

	assert_int_equal(agent_meta_parse(xml, strlen(xml), &meta), expected);
	assert_null(meta);
}

static void metadata_that_is_none_is_refused(void **state)
{
	const char *doctype = "<!DOCTYPE resource-agent SYSTEM \"ra-api-1.dtd\">"
			      "<resource-agent name=\"x\"/>";
	char *big = calloc(1, AGENT_OUT_MAX + 2);
	struct agent_meta *meta = NULL;

	(void)state;
	assert_non_null(big);
	parse_refused("", -EBADMSG);
	parse_refused("Success", -EBADMSG);
	parse_refused("<resource-agent name=\"x\">", -EBADMSG);
	parse_refused("<other name=\"x\"/>", -EBADMSG);
	parse_refused("<resource-agent/>", -EBADMSG);
	parse_refused("<resource-agent name=\"a b\"/>", -EBADMSG);
	parse_refused("<resource-agent name=\"x\"><parameters><parameter/></parameters>"
		      "</resource-agent>",
		      -EBADMSG);
	parse_refused("<resource-agent name=\"x\"><parameters><parameter name=\"p\"/>"
		      "<parameter name=\"p\"/></parameters></resource-agent>",
		      -EBADMSG);
	parse_refused("<!DOCTYPE resource-agent [<!ENTITY % p SYSTEM \"file:///etc/passwd\"> %p;]>"
		      "<resource-agent name=\"x\"/>",
		      -EBADMSG);
	memset(big, 'x', AGENT_OUT_MAX + 1);
	parse_refused(big, -E2BIG);
	free(big);
	/* A DOCTYPE alone is what OCF agents have; it is not fetched. */
	assert_int_equal(agent_meta_parse(doctype, strlen(doctype), &meta), 0);
	assert_int_equal(meta->param_count, 0);
	agent_meta_free(meta);
}

static void too_many_parameters_are_refused(void **state)
{
	char *xml = NULL;
	size_t len = 0;
	FILE *file = open_memstream(&xml, &len);

	(void)state;
	assert_non_null(file);
	fprintf(file, "<resource-agent name=\"x\"><parameters>");
	for (int i = 0; i <= AGENT_PARAMS_MAX; i++)
		fprintf(file, "<parameter name=\"p%d\"/>", i);
	fprintf(file, "</parameters></resource-agent>");
	fclose(file);
	parse_refused(xml, -E2BIG);
	free(xml);
}

/* ---- parameters ---- */

static void a_value_that_cannot_be_one_line_is_refused(void **state)
{
	struct agent_params p = {.count = 0};
	char big[AGENT_VALUE_MAX + 1];

	(void)state;
	assert_int_equal(agent_params_set(&p, "password", "x\naction=on"), -EINVAL);
	assert_int_equal(agent_params_set(&p, "password", " x"), -EINVAL);
	assert_int_equal(agent_params_set(&p, "password", "\"x\""), -EINVAL);
	assert_int_equal(agent_params_set(&p, "pass word", "x"), -EINVAL);
	assert_int_equal(agent_params_set(&p, "", "x"), -EINVAL);
	assert_int_equal(agent_params_set(&p, "action", "on"), -EINVAL);
	memset(big, 'x', sizeof(big));
	big[AGENT_VALUE_MAX] = '\0';
	assert_int_equal(agent_params_set(&p, "password", big), -E2BIG);
	assert_int_equal(p.count, 0);
	assert_int_equal(agent_params_set(&p, "power-timeout", "1"), 0);
	assert_int_equal(agent_params_set(&p, "power_timeout", "2"), 0);
	assert_int_equal(p.count, 1);
	assert_string_equal(agent_params_get(&p, "power_timeout"), "2");
	for (int i = 1; i < AGENT_GIVEN_MAX; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(agent_params_set(&p, name, ""), 0);
	}
	assert_int_equal(agent_params_set(&p, "more", ""), -ENOSPC);
	agent_params_wipe(&p);
	assert_null(agent_params_get(&p, "p1"));
}

static void expect_problem(const struct agent_meta *meta, const struct agent_params *p,
			   enum agent_action action, enum agent_problem_kind kind, const char *name,
			   const char *hint)
{
	struct agent_problem problem = {.kind = AGENT_PROBLEM_NONE};

	assert_int_equal(agent_params_check(meta, p, action, &problem), -EINVAL);
	assert_int_equal(problem.kind, kind);
	assert_string_equal(problem.name, name);
	assert_string_equal(problem.hint, hint);
	assert_int_equal(agent_params_check(meta, p, action, NULL), -EINVAL);
}

static void a_wrong_parameter_is_named_with_what_was_perhaps_meant(void **state)
{
	struct fixture *f = *state;
	struct agent_meta *meta = plain_meta(f);

	set(f, "plug", "n1");
	set(f, "state_dir", f->dir);
	assert_int_equal(agent_params_check(meta, &f->params, AGENT_OFF, NULL), 0);
	expect_problem(meta, &f->params, AGENT_REBOOT, AGENT_PROBLEM_ACTION, "reboot", "");
	set(f, "pasword", "x");
	expect_problem(meta, &f->params, AGENT_OFF, AGENT_PROBLEM_UNKNOWN, "pasword", "password");
	memcpy(f->params.item[2].name, "zzz_zzz", 8);
	expect_problem(meta, &f->params, AGENT_OFF, AGENT_PROBLEM_UNKNOWN, "zzz_zzz", "");
	f->params.count = 2;
	set(f, "power_timeout", "soon");
	expect_problem(meta, &f->params, AGENT_OFF, AGENT_PROBLEM_VALUE, "power_timeout",
		       "a number of seconds");
	set(f, "power_timeout", "5");
	set(f, "use_sudo", "perhaps");
	expect_problem(meta, &f->params, AGENT_OFF, AGENT_PROBLEM_VALUE, "use_sudo", "yes or no");
	set(f, "use_sudo", "Yes");
	set(f, "method", "kick");
	expect_problem(meta, &f->params, AGENT_OFF, AGENT_PROBLEM_VALUE, "method",
		       "one of onoff cycle");
	set(f, "method", "cycle");
	assert_int_equal(agent_params_check(meta, &f->params, AGENT_OFF, NULL), 0);
	agent_meta_free(meta);
}

static void a_plug_is_given_once_by_either_name(void **state)
{
	struct fixture *f = *state;
	struct agent_meta *meta = plain_meta(f);

	set(f, "state_dir", f->dir);
	expect_problem(meta, &f->params, AGENT_OFF, AGENT_PROBLEM_MISSING, "plug",
		       "Name of the plug");
	assert_int_equal(agent_params_check(meta, &f->params, AGENT_MONITOR, NULL), 0);
	set(f, "port", "n1");
	assert_int_equal(agent_params_check(meta, &f->params, AGENT_OFF, NULL), 0);
	set(f, "plug", "n1");
	assert_int_equal(agent_params_check(meta, &f->params, AGENT_OFF, NULL), 0);
	set(f, "plug", "n2");
	expect_problem(meta, &f->params, AGENT_OFF, AGENT_PROBLEM_TWICE, "plug", "port");
	agent_meta_free(meta);
}

static void secrets_are_known_by_their_names(void **state)
{
	static const char *const secret[] = {
		"passwd",    "password", "passwd_script", "password_script", "snmp_priv_passwd",
		"community", "apikey",	 "secret_key",	  "hexadecimal_kg",  "token",
		"key"};
	static const char *const open[] = {"plug",   "ip",	     "username", "power_timeout",
					   "method", "ssl_insecure", "login",	 "identity_file"};

	(void)state;
	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		assert_true(agent_param_is_secret(secret[i]));
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		assert_false(agent_param_is_secret(open[i]));
}

/* ---- programs of others ---- */

static void the_dummy_of_debian_works_as_it_is(void **state)
{
	struct fixture *f = *state;
	struct agent_meta *meta = NULL;
	char file[96];

	if (access(DEBIAN_DUMMY, X_OK) != 0)
		skip();
	run(f, DEBIAN_DUMMY, AGENT_METADATA);
	assert_int_equal(agent_meta_parse(f->out, f->result.out_len, &meta), 0);
	(void)snprintf(file, sizeof(file), "%s/status", f->dir);
	set(f, "status_file", file);
	assert_int_equal(agent_params_check(meta, &f->params, AGENT_REBOOT, NULL), 0);
	run(f, DEBIAN_DUMMY, AGENT_ON);
	assert_int_equal(f->result.outcome, AGENT_OK);
	run(f, DEBIAN_DUMMY, AGENT_STATUS);
	assert_int_equal(f->result.power, AGENT_POWER_ON);
	run(f, DEBIAN_DUMMY, AGENT_OFF);
	assert_int_equal(f->result.outcome, AGENT_OK);
	run(f, DEBIAN_DUMMY, AGENT_STATUS);
	assert_int_equal(f->result.power, AGENT_POWER_OFF);
	run(f, DEBIAN_DUMMY, AGENT_MONITOR);
	assert_int_equal(f->result.outcome, AGENT_OK);
	agent_meta_free(meta);
}

static void the_agent_of_the_lab_is_one_of_the_api(void **state)
{
	struct fixture *f = *state;
	struct agent_meta *meta = NULL;
	char lab[4096];

	(void)snprintf(lab, sizeof(lab), "%s", path_of("../lab/fence_lab"));
	if (access(lab, X_OK) != 0)
		skip();
	run(f, lab, AGENT_METADATA);
	assert_int_equal(agent_meta_parse(f->out, f->result.out_len, &meta), 0);
	set(f, "port", "n2");
	set(f, "bmc_socket", "/nonexistent/bmc.sock");
	assert_int_equal(agent_params_check(meta, &f->params, AGENT_OFF, NULL), 0);
	run(f, lab, AGENT_STATUS);
	assert_int_equal(f->result.outcome, AGENT_FAILED);
	assert_int_equal(f->result.power, AGENT_POWER_UNKNOWN);
	agent_meta_free(meta);
}

/* Slow where many are installed: CLUSTERD_ALL_AGENTS=1 asks for it. */
static void the_metadata_of_every_installed_agent_is_read(void **state)
{
	struct fixture *f = *state;
	size_t read = 0;
	glob_t g;

	if (!getenv("CLUSTERD_ALL_AGENTS") || glob("/usr/sbin/fence_*", 0, NULL, &g))
		skip();
	for (size_t i = 0; i < g.gl_pathc; i++) {
		struct agent_meta *meta = NULL;
		int r;

		if (strstr(g.gl_pathv[i], "fence_ack_manual")) /* talks to fenced of old */
			continue;
		run(f, g.gl_pathv[i], AGENT_METADATA);
		r = agent_meta_parse(f->out, f->result.out_len, &meta);
		if (r)
			print_message("%s: %d %s\n", g.gl_pathv[i], r, f->result.text);
		assert_int_equal(r, 0);
		assert_true(meta->actions & (1u << AGENT_OFF) ||
			    meta->actions & (1u << AGENT_MONITOR));
		agent_meta_free(meta);
		read++;
	}
	globfree(&g);
	assert_true(read > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(off_is_done_and_a_second_look_says_off),
		TEST(a_plug_that_does_not_exist_is_unknown_not_off),
		TEST(an_exit_with_0_and_no_effect_is_a_lie),
		TEST(exit_status_2_of_wrong_usage_is_not_off),
		TEST(a_hanging_agent_is_ended_at_its_deadline),
		TEST(a_cancelled_run_says_so),
		TEST(a_run_can_be_thrown_away_on_the_way_out),
		TEST(an_end_by_a_signal_is_a_failure),
		TEST(a_program_that_is_not_there_is_not_started),
		TEST(a_flood_is_bounded_and_its_last_lines_are_kept),
		TEST(the_history_gets_valid_text_that_moves_no_cursor),
		TEST(secrets_are_on_stdin_only),
		TEST(an_agent_that_tells_its_secrets_is_redacted),
		TEST(half_a_line_is_left_out_for_it_may_be_half_a_secret),
		TEST(a_list_is_searched_by_its_first_field),
		TEST(a_bad_request_is_refused_before_anything_is_started),
		TEST(metadata_tells_parameters_and_actions),
		TEST(metadata_that_declares_entities_is_refused),
		TEST(metadata_that_is_none_is_refused),
		TEST(too_many_parameters_are_refused),
		TEST(a_value_that_cannot_be_one_line_is_refused),
		TEST(a_wrong_parameter_is_named_with_what_was_perhaps_meant),
		TEST(a_plug_is_given_once_by_either_name),
		TEST(secrets_are_known_by_their_names),
		TEST(the_dummy_of_debian_works_as_it_is),
		TEST(the_agent_of_the_lab_is_one_of_the_api),
		TEST(the_metadata_of_every_installed_agent_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
