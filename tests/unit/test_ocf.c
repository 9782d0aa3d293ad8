/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OCF: names, meta-data and validation from texts; then real agents of resource-agents and
 * pacemaker-resource-agents, and the odd ones of tests/agents, run for real.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
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
#include <libxml/parser.h>
#include <qb/qbloop.h>

#include "clusterd/edge/ocf.h"
#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/prng.h"

#define GUARD_MS 120000

static char odd_root[4096];
static char tmp_dir[] = "/tmp/test_ocf.XXXXXX";

/* ---- names, codes, times ---- */

static void name_has_class_provider_and_type(void **state)
{
	struct ocf_name name;

	(void)state;
	assert_int_equal(ocf_name_parse("ocf:pacemaker:Dummy", &name, NULL), 0);
	assert_string_equal(name.provider, "pacemaker");
	assert_string_equal(name.type, "Dummy");
	assert_int_equal(ocf_name_parse("ocf:a.b-c+d:aws-vpc_1", &name, NULL), 0);
}

static void name_that_could_lead_astray_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"Dummy",
		"ocf:Dummy",
		"ocf::Dummy",
		"ocf:heartbeat:",
		"lsb:heartbeat:Dummy",
		"ocf:..:Dummy",
		"ocf:heartbeat:../../../bin/sh",
		"ocf:heartbeat:.ocf-shellfuncs",
		"ocf:heartbeat:-rf",
		"ocf:heartbeat:a b",
		"ocf:heart:beat:Dummy",
		"ocf:heartbeat:caf\351",
		"ocf:heartbeat:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"ocf:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:Dummy",
	};

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(bad); i++) {
		struct ocf_name name = {.provider = "untouched"};
		struct ocf_error error;

		assert_int_equal(ocf_name_parse(bad[i], &name, &error), -EINVAL);
		assert_string_equal(name.provider, "untouched");
		assert_true(strlen(error.text) > 20);
		assert_true(xmlCheckUTF8((const unsigned char *)error.text));
	}
}

static void instance_is_a_file_name(void **state)
{
	(void)state;
	assert_true(ocf_instance_is_valid("vm-web_1.prod:0"));
	assert_false(ocf_instance_is_valid(""));
	assert_false(ocf_instance_is_valid("a/b"));
	assert_false(ocf_instance_is_valid("../x"));
	assert_false(ocf_instance_is_valid("a b"));
}

static void exit_codes_have_names(void **state)
{
	(void)state;
	assert_string_equal(ocf_rc_name(0), "OCF_SUCCESS");
	assert_string_equal(ocf_rc_name(7), "OCF_NOT_RUNNING");
	assert_string_equal(ocf_rc_name(191), "OCF_DEGRADED_PROMOTED");
	assert_string_equal(ocf_rc_name(99), "unknown exit code");
	for (int rc = -1; rc < 257; rc++)
		assert_true(strlen(ocf_rc_text(rc)) > 1);
}

static void times_have_units(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint32_t ms;
	} cases[] = {
		{"20", 0, 20000},
		{"20s", 0, 20000},
		{"500ms", 0, 500},
		{"2min", 0, 120000},
		{"1h", 0, 3600000},
		{" 3 sec ", -EINVAL, 0},
		{" 3 sec", 0, 3000},
		{"0", 0, 0},
		{"1500us", 0, 1},
		{"", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"1.5s", -EINVAL, 0},
		{"5 apples", -EINVAL, 0},
		{"99999999", -ERANGE, 0},
		{"4294967", 0, 4294967000},
		{"99999999999999999999999h", -ERANGE, 0},
	};

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(cases); i++) {
		uint32_t ms = 77;

		assert_int_equal(ocf_time_parse(cases[i].text, &ms), cases[i].r);
		assert_int_equal(ms, cases[i].r == 0 ? cases[i].ms : 77);
	}
}

/* ---- meta-data ---- */

#define META_HEAD "<?xml version=\"1.0\"?>\n<!DOCTYPE resource-agent SYSTEM \"ra-api-1.dtd\">\n"

static const char sample[] = META_HEAD
	"<resource-agent name=\"Sample\" version=\"2.0\"><version>1.1</version>\n"
	"<longdesc lang=\"en\">\n Long &amp; <![CDATA[<wide>]]>.\n</longdesc>"
	"<shortdesc lang=\"en\">Short</shortdesc><shortdesc lang=\"de\">Kurz</shortdesc>\n"
	"<parameters>\n"
	"<parameter name=\"ip\" unique=\"1\" required=\"1\"><longdesc>L</longdesc>"
	"<shortdesc>Address</shortdesc><content type=\"string\" default=\"\"/></parameter>\n"
	"<parameter name=\"count\" required=\"0\" reloadable=\"1\"><content type=\"integer\" "
	"default=\"3\"/></parameter>\n"
	"<parameter name=\"force\"><content type=\"boolean\" default=\"no\"/></parameter>\n"
	"<parameter name=\"wait\"><content type=\"integer\" default=\"5s\"/></parameter>\n"
	"<parameter name=\"home\"><content type=\"boolean\" default=\"/var/lib\"/></parameter>\n"
	"<parameter name=\"unit\" unique-group=\"u\"><content type=\"select\" default=\"G\">"
	"<option value=\"K\"/><option value=\"M\"/><option value=\"G\"/></content></parameter>\n"
	"<parameter name=\"old\" deprecated=\"1\"><content/></parameter>\n"
	"<parameter name=\"older\"><deprecated><replaced-with name=\"ip\"/></deprecated>"
	"<content type=\"colour\"/></parameter>\n"
	"<parameter name=\"given\" required=\"1\"><content type=\"string\" "
	"default=\"x\"/></parameter>\n"
	"<parameter name=\"count\"><content type=\"string\"/></parameter>\n"
	"</parameters>\n"
	"<actions><action name=\"start\" timeout=\"20s\"/>"
	"<action name=\"monitor\" timeout=\"30\" interval=\"10s\" depth=\"0\"/>"
	"<action name=\"monitor\" timeout=\"1min\" interval=\"60s\" start-delay=\"5s\" "
	"depth=\"10\" "
	"role=\"Master\"/>"
	"<action name=\"stop\" timeout=\"whenever\" depth=\"-3\"/></actions></resource-agent>\n";

static struct ocf_meta *parse(const char *xml, size_t len)
{
	struct ocf_error error = {.text = "?"};
	struct ocf_meta *meta = NULL;
	int r = ocf_meta_parse(xml, len, &meta, &error);

	if (r < 0)
		fail_msg("%s", error.text);
	assert_string_equal(error.text, "");
	return meta;
}

static void assert_refused(const char *xml, size_t len, int r, const char *why)
{
	struct ocf_error error = {.text = ""};
	struct ocf_meta *meta = (struct ocf_meta *)&error;

	assert_int_equal(ocf_meta_parse(xml, len, &meta, &error), r);
	assert_ptr_equal(meta, &error);
	if (!strstr(error.text, why))
		fail_msg("\"%s\" does not say \"%s\"", error.text, why);
	assert_true(xmlCheckUTF8((const unsigned char *)error.text));
	assert_int_equal(ocf_meta_parse(xml, len, &meta, NULL), r);
}

#define ASSERT_REFUSED(xml, r, why) assert_refused(xml, sizeof(xml) - 1, r, why)

static void meta_data_becomes_a_structure(void **state)
{
	struct ocf_meta *meta = parse(sample, sizeof(sample) - 1);
	const struct ocf_param *p;

	(void)state;
	assert_string_equal(meta->name, "Sample");
	assert_string_equal(meta->version, "2.0");
	assert_string_equal(meta->api_version, "1.1");
	assert_string_equal(meta->longdesc, "Long & <wide>.");
	assert_string_equal(meta->shortdesc, "Short");
	assert_int_equal(meta->n_params, 9);
	p = ocf_meta_param(meta, "ip");
	assert_true(p->is_required && p->is_unique && !p->is_reloadable);
	assert_string_equal(p->unique_group, "ip");
	assert_string_equal(p->shortdesc, "Address");
	assert_string_equal(p->default_value, "");
	p = ocf_meta_param(meta, "count");
	assert_true(p->is_reloadable && !p->is_required && !p->is_unique);
	assert_int_equal(p->type, OCF_TYPE_INTEGER);
	assert_null(p->unique_group);
	assert_string_equal(ocf_meta_param(meta, "unit")->unique_group, "u");
	assert_int_equal(ocf_meta_param(meta, "unit")->n_options, 3);
	assert_true(ocf_meta_param(meta, "old")->is_deprecated);
	assert_null(ocf_meta_param(meta, "old")->type_declared);
	assert_true(ocf_meta_param(meta, "older")->is_deprecated);
	assert_null(ocf_meta_param(meta, "none"));
	ocf_meta_free(meta);
	assert_null(ocf_meta_free(NULL));
}

static void type_gives_way_to_a_default_that_is_none(void **state)
{
	struct ocf_meta *meta = parse(sample, sizeof(sample) - 1);

	(void)state;
	assert_int_equal(ocf_meta_param(meta, "wait")->type, OCF_TYPE_TIME);
	assert_string_equal(ocf_meta_param(meta, "wait")->type_declared, "integer");
	assert_int_equal(ocf_meta_param(meta, "home")->type, OCF_TYPE_STRING);
	assert_int_equal(ocf_meta_param(meta, "older")->type, OCF_TYPE_STRING);
	ocf_meta_free(meta);
}

static void actions_are_found_by_name_and_depth(void **state)
{
	struct ocf_meta *meta = parse(sample, sizeof(sample) - 1);
	const struct ocf_action *a;

	(void)state;
	assert_int_equal(meta->n_actions, 4);
	a = ocf_meta_action(meta, "monitor", 0);
	assert_true(a->timeout_ms == 30000 && a->interval_ms == 10000 && !a->role);
	a = ocf_meta_action(meta, "monitor", 10);
	assert_true(a->timeout_ms == 60000 && a->start_delay_ms == 5000 && a->depth == 10);
	assert_string_equal(a->role, "Promoted");
	a = ocf_meta_action(meta, "stop", 0);
	assert_true(a->timeout_ms == 0 && a->depth == 0);
	assert_null(ocf_meta_action(meta, "reload", 0));
	assert_null(ocf_meta_action(meta, "monitor", 20));
	ocf_meta_free(meta);
}

static void text_of_meta_data_is_made_harmless(void **state)
{
	static const char xml[] =
		"\357\273\277\n\n <resource-agent name=\"a\302\233b\342\200\256c\">"
		"<longdesc>tab\there&#13; and \357\273\277 gr\303\274n</longdesc></resource-agent>";
	struct ocf_meta *meta = parse(xml, sizeof(xml) - 1);

	(void)state;
	assert_string_equal(meta->name, "a??b???c");
	assert_string_equal(meta->longdesc, "tab here  and ??? gr\303\274n");
	assert_string_equal(meta->api_version, "");
	ocf_meta_free(meta);
}

static void what_is_no_meta_data_is_refused_with_the_reason(void **state)
{
	(void)state;
	ASSERT_REFUSED("", -EBADMSG, "printed nothing");
	ASSERT_REFUSED(" \n\t", -EBADMSG, "printed nothing");
	ASSERT_REFUSED("no xml", -EBADMSG, "begin with '<'");
	ASSERT_REFUSED("\376\377\0<\0a\0/\0>", -EBADMSG, "begin with '<'");
	ASSERT_REFUSED("<\0a\0/\0>\0", -EBADMSG, "a NUL");
	ASSERT_REFUSED("<a/>", -EBADMSG, "<resource-agent>");
	ASSERT_REFUSED("<resource-agent/>", -EBADMSG, "no name");
	ASSERT_REFUSED("<resource-agent name=\"\"/>", -EBADMSG, "no name");
	ASSERT_REFUSED("<resource-agent name=\"x\">\n\n<parameters>", -EBADMSG, "line 3");
	ASSERT_REFUSED("<resource-agent name=\"x\"/>junk", -EBADMSG, "line 1");
	ASSERT_REFUSED("<resource-agent name=\"caf\351\"/>", -EBADMSG, "line 1");
	ASSERT_REFUSED("<resource-agent name=\"x\0y\"/>", -EBADMSG, "a NUL");
	ASSERT_REFUSED("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><resource-agent "
		       "name=\"caf\351\"/>",
		       -EBADMSG, "line 1");
	ASSERT_REFUSED("<resource-agent name=\"x\"><version>2.0</version></resource-agent>",
		       -EPROTONOSUPPORT, "version 2.0");
	ASSERT_REFUSED("<resource-agent name=\"x\"><parameters>\n<parameter name=\"a b\"/>"
		       "</parameters></resource-agent>",
		       -EBADMSG, "line 2: \"a b\"");
	ASSERT_REFUSED("<resource-agent name=\"x\"><parameters><parameter/></parameters>"
		       "</resource-agent>",
		       -EBADMSG, "name of a parameter");
	ASSERT_REFUSED("<resource-agent name=\"x\"><actions><action timeout=\"1\"/></actions>"
		       "</resource-agent>",
		       -EBADMSG, "an action without");
}

static void every_cut_of_meta_data_is_refused(void **state)
{
	(void)state;
	/* From behind the first element to before its end. */
	for (size_t len = 0; len < sizeof(sample) - 3; len++) {
		struct ocf_meta *meta = NULL;

		assert_int_equal(ocf_meta_parse(sample, len, &meta, NULL), -EBADMSG);
	}
}

static void declarations_are_refused_before_they_do_anything(void **state)
{
	(void)state;
	ASSERT_REFUSED("<!DOCTYPE r [<!ENTITY a \"x\">]><resource-agent name=\"&a;\"/>", -EBADMSG,
		       "declares entities");
	ASSERT_REFUSED("<!DOCTYPE r [<!ENTITY % a SYSTEM \"file:///etc/passwd\"> %a;]>"
		       "<resource-agent name=\"x\"/>",
		       -EBADMSG, "declares entities");
	ASSERT_REFUSED("<!DOCTYPE r [<!NOTATION n SYSTEM \"n\"><!ENTITY a SYSTEM \"u\" NDATA n>]>"
		       "<resource-agent name=\"x\"/>",
		       -EBADMSG, "declares entities");
	ASSERT_REFUSED("<!DOCTYPE r [<!ATTLIST r a (b|c) \"b\">]><resource-agent name=\"x\"/>",
		       -EBADMSG, "declares entities or attributes");
}

static void external_dtd_is_not_read(void **state)
{
	static const char xml[] =
		"<!DOCTYPE resource-agent SYSTEM \"file:///proc/self/mem\">"
		"<resource-agent name=\"x\"><longdesc>&unknown;</longdesc></resource-agent>";
	struct ocf_meta *meta = parse(xml, sizeof(xml) - 1);

	(void)state;
	assert_string_equal(meta->longdesc, "");
	ocf_meta_free(meta);
}

static void deep_nesting_is_refused(void **state)
{
	const size_t depth = 100000;
	char *xml = malloc(3 * depth + 1);

	(void)state;
	assert_non_null(xml);
	for (size_t i = 0; i < depth; i++)
		memcpy(xml + 3 * i, "<a>", 4);
	assert_refused(xml, 3 * depth, -EBADMSG, "line 1");
	free(xml);
}

/* No outcome is wanted but that sanitizers stay silent, and that errors can be shown. */
static void random_changes_do_no_harm(void **state)
{
	struct prng rng;
	char xml[sizeof(sample)];
	int parsed = 0;

	(void)state;
	prng_init(&rng, 20240607);
	for (int round = 0; round < 20000; round++) {
		struct ocf_error error = {.text = ""};
		struct ocf_meta *meta = NULL;

		memcpy(xml, sample, sizeof(xml));
		for (int i = 0; i < 1 + round % 4; i++)
			xml[prng_below(&rng, sizeof(xml) - 1)] = (char)prng_below(&rng, 256);
		if (ocf_meta_parse(xml, sizeof(xml) - 1, &meta, &error) == 0)
			parsed++;
		else
			assert_true(error.text[0] && xmlCheckUTF8((unsigned char *)error.text));
		ocf_meta_free(meta);
	}
	assert_in_range(parsed, 100, 19900);
}

/* ---- validation ---- */

static const struct ocf_finding *find(const struct ocf_findings *f, const char *param)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->item[i].param, param) == 0)
			return &f->item[i];
	return NULL;
}

static void assert_finding(const struct ocf_value *v, enum ocf_finding_kind kind, const char *text)
{
	struct ocf_meta *meta = parse(sample, sizeof(sample) - 1);
	struct ocf_value params[] = {{"ip", "10.0.0.1"}, *v};
	struct ocf_findings f;

	assert_int_equal(ocf_meta_validate(meta, params, 2, &f), -EINVAL);
	assert_int_equal(f.n, 1);
	assert_int_equal(f.item[0].kind, kind);
	assert_string_equal(f.item[0].text, text);
	assert_true(xmlCheckUTF8((const unsigned char *)f.item[0].text));
	ocf_meta_free(meta);
}

#define ASSERT_FINDING(name, value, kind, text)                                                    \
	assert_finding(&(struct ocf_value){name, value}, kind, text)

static void good_parameters_have_no_findings(void **state)
{
	struct ocf_meta *meta = parse(sample, sizeof(sample) - 1);
	const struct ocf_value params[] = {
		{"ip", "10.0.0.1"}, {"count", "-3"}, {"force", "Yes"},	{"wait", "10s"},
		{"home", "/srv"},   {"unit", "K"},   {"trace_ra", "1"}, {"given", ""},
	};
	struct ocf_findings f;

	(void)state;
	assert_int_equal(ocf_meta_validate(meta, params, MUST_ARRAY_SIZE(params), &f), 0);
	assert_int_equal(f.n, 0);
	ocf_meta_free(meta);
}

static void unknown_parameter_names_the_nearest(void **state)
{
	(void)state;
	ASSERT_FINDING("cuont", "1", OCF_FINDING_UNKNOWN,
		       "Sample has no parameter \"cuont\"; did you mean \"count\"?");
	ASSERT_FINDING("IP", "1", OCF_FINDING_UNKNOWN,
		       "Sample has no parameter \"IP\"; did you mean \"ip\"?");
	ASSERT_FINDING("forced", "1", OCF_FINDING_UNKNOWN,
		       "Sample has no parameter \"forced\"; did you mean \"force\"?");
	ASSERT_FINDING("netmask", "24", OCF_FINDING_UNKNOWN,
		       "Sample has no parameter \"netmask\"; leave it out, or take one of: ip, "
		       "count, force, wait, home, unit, old, older, given");
}

static void wrong_type_says_what_would_be_right(void **state)
{
	(void)state;
	ASSERT_FINDING("count", "3x", OCF_FINDING_TYPE,
		       "parameter count of Sample: \"3x\" is not an integer; give a whole number, "
		       "like 20, or leave the parameter out");
	ASSERT_FINDING("count", "", OCF_FINDING_TYPE,
		       "parameter count of Sample: \"\" is not an integer; give a whole number, "
		       "like 20, or leave the parameter out");
	ASSERT_FINDING(
		"count", "99999999999999999999", OCF_FINDING_TYPE,
		"parameter count of Sample: \"99999999999999999999\" is not an integer; give "
		"a whole number, like 20, or leave the parameter out");
	ASSERT_FINDING(
		"force", "maybe\n", OCF_FINDING_TYPE,
		"parameter force of Sample: \"maybe \" is not a boolean; give true or false, "
		"or leave the parameter out");
	ASSERT_FINDING(
		"wait", "soon", OCF_FINDING_TYPE,
		"parameter wait of Sample: \"soon\" is not a time; give a number with ms, s, "
		"min or h, like 20s, or leave the parameter out");
	ASSERT_FINDING(
		"unit", "k", OCF_FINDING_TYPE,
		"parameter unit of Sample: \"k\" is not among its values; give one of: K, M, "
		"G");
}

static void bytes_and_names_that_cannot_be_are_refused(void **state)
{
	(void)state;
	ASSERT_FINDING("home", "caf\351", OCF_FINDING_BYTES,
		       "parameter home: the value is not UTF-8; write it in UTF-8");
	ASSERT_FINDING("a=\033b", "x", OCF_FINDING_NAME,
		       "\"a=?b\" cannot be the name of a parameter; names have 1 to 64 letters, "
		       "digits, '_', '-' or '.', and CRM_meta_ is reserved");
	ASSERT_FINDING("CRM_meta_timeout", "x", OCF_FINDING_NAME,
		       "\"CRM_meta_timeout\" cannot be the name of a parameter; names have 1 to 64 "
		       "letters, digits, '_', '-' or '.', and CRM_meta_ is reserved");
	ASSERT_FINDING("ip", "10.0.0.2", OCF_FINDING_TWICE,
		       "parameter ip is given twice; keep one of its two values");
}

static void missing_parameter_is_found(void **state)
{
	struct ocf_meta *meta = parse(sample, sizeof(sample) - 1);
	const struct ocf_value empty = {"ip", ""};
	struct ocf_findings f;

	(void)state;
	assert_int_equal(ocf_meta_validate(meta, NULL, 0, &f), -EINVAL);
	assert_int_equal(f.n, 1); /* "given" has a default */
	assert_int_equal(f.item[0].kind, OCF_FINDING_MISSING);
	assert_string_equal(f.item[0].text, "Sample needs parameter ip (Address); give ip=VALUE");
	assert_int_equal(ocf_meta_validate(meta, &empty, 1, &f), -EINVAL);
	assert_non_null(find(&f, "ip"));
	ocf_meta_free(meta);
}

static void deprecated_parameter_is_a_warning(void **state)
{
	struct ocf_meta *meta = parse(sample, sizeof(sample) - 1);
	const struct ocf_value params[] = {{"ip", "x"}, {"old", "y"}};
	struct ocf_findings f;

	(void)state;
	assert_int_equal(ocf_meta_validate(meta, params, 2, &f), 0);
	assert_true(f.n == 1 && f.n_warnings == 1 && f.n_errors == 0 && f.item[0].is_warning);
	ocf_meta_free(meta);
}

static void findings_are_bounded_and_counted(void **state)
{
	struct ocf_meta *meta = parse(sample, sizeof(sample) - 1);
	struct ocf_value params[100];
	char names[100][8];
	struct ocf_findings f;

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		snprintf(names[i], sizeof(names[i]), "zz%zu", i);
		params[i] = (struct ocf_value){names[i], ""};
	}
	assert_int_equal(ocf_meta_validate(meta, params, 100, &f), -EINVAL);
	assert_int_equal(f.n, OCF_FINDINGS_MAX);
	assert_int_equal(f.n_errors, 101);
	ocf_meta_free(meta);
}

/* ---- finding agents ---- */

static bool is_in(const struct ocf_list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->name[i], name) == 0)
			return true;
	return false;
}

static void agents_are_listed(void **state)
{
	char folder[OCF_PATH_MAX];
	struct ocf_list list;

	(void)state;
	assert_int_equal(ocf_list_providers(odd_root, &list), 0);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.name[0], "odd");
	ocf_list_done(&list);
	assert_int_equal(ocf_list_types(odd_root, "odd", &list), 0);
	assert_true(is_in(&list, "deaf") && is_in(&list, "no-shebang"));
	assert_false(is_in(&list, "not-executable"));
	for (size_t i = 1; i < list.n; i++)
		assert_true(strcmp(list.name[i - 1], list.name[i]) < 0);
	ocf_list_done(&list);
	snprintf(folder, sizeof(folder), "%s/resource.d/odd", odd_root);
	assert_int_equal(ocf_list_programs(folder, "no-", &list), 0);
	assert_int_equal(list.n, 3);
	assert_string_equal(list.name[0], "no-interpreter");
	ocf_list_done(&list);
	assert_int_equal(ocf_list_programs("/nonexistent", "", &list), -ENOENT);
	assert_int_equal(ocf_list_types(odd_root, "none", &list), -ENOENT);
	assert_int_equal(ocf_list_types(odd_root, "..", &list), -EINVAL);
	assert_int_equal(ocf_list_types(NULL, "heartbeat", &list), 0);
	assert_true(is_in(&list, "Dummy"));
	assert_false(is_in(&list, ".ocf-shellfuncs"));
	ocf_list_done(&list);
}

static void agent_has_a_path_or_a_reason(void **state)
{
	struct ocf_name name = {"odd", "deaf"};
	struct ocf_call call = {.timeout_ms = 1};
	char path[OCF_PATH_MAX];

	(void)state;
	assert_int_equal(ocf_agent_path(odd_root, &name, path, sizeof(path)), 0);
	assert_int_equal(access(path, X_OK), 0);
	assert_int_equal(ocf_agent_path(odd_root, &name, path, 10), -ENAMETOOLONG);
	assert_int_equal(ocf_agent_path("tests", &name, path, sizeof(path)), -EINVAL);
	snprintf(name.type, sizeof(name.type), "none");
	assert_int_equal(ocf_agent_path(odd_root, &name, path, sizeof(path)), -ENOENT);
	snprintf(name.type, sizeof(name.type), "not-executable");
	assert_int_equal(ocf_agent_path(odd_root, &name, path, sizeof(path)), -EACCES);
	snprintf(name.type, sizeof(name.type), "..");
	assert_int_equal(ocf_agent_path(odd_root, &name, path, sizeof(path)), -EINVAL);
	assert_int_equal(
		ocf_agent_path(NULL, &(struct ocf_name){"pacemaker", "Dummy"}, path, sizeof(path)),
		0);
	assert_string_equal(path, "/usr/lib/ocf/resource.d/pacemaker/Dummy");
	call.agent = (struct ocf_name){"clusterd", "vm"};
	assert_int_equal(ocf_call_path(&call, path, sizeof(path)), 0);
	assert_string_equal(path, "/usr/lib/ocf/resource.d/clusterd/vm");
	call.own_agents = "/own";
	assert_int_equal(ocf_call_path(&call, path, sizeof(path)), 0);
	assert_string_equal(path, "/own/vm");
	assert_int_equal(ocf_call_path(&call, path, 7), -ENAMETOOLONG);
}

/* ---- running ---- */

struct fixture {
	qb_loop_t *loop;
	int calls;
	struct ocf_result result;
	char *out;
	int r; /* of meta-data */
	struct ocf_meta *meta;
	struct ocf_error error;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->loop = qb_loop_create();
	assert_non_null(f->loop);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	qb_loop_destroy(f->loop);
	free(f->out);
	ocf_meta_free(f->meta);
	free(f);
	return 0;
}

static void on_done(void *data, const struct ocf_result *result)
{
	struct fixture *f = data;

	f->calls++;
	f->result = *result;
	free(f->out);
	f->out = strndup(result->out.data, result->out.len);
	qb_loop_stop(f->loop);
}

static void on_meta(void *data, int r, struct ocf_meta *meta, const struct ocf_error *error)
{
	struct fixture *f = data;

	f->calls++;
	f->r = r;
	ocf_meta_free(f->meta);
	f->meta = meta;
	f->error = *error;
	qb_loop_stop(f->loop);
}

static void on_guard(void *data)
{
	(void)data;
	fail_msg("no answer within %d ms", GUARD_MS);
}

static void spin(struct fixture *f)
{
	qb_loop_timer_handle guard;

	assert_int_equal(qb_loop_timer_add(f->loop, QB_LOOP_HIGH, GUARD_MS * 1000000ULL, NULL,
					   on_guard, &guard),
			 0);
	qb_loop_run(f->loop);
	qb_loop_timer_del(f->loop, guard);
}

static int act(struct fixture *f, struct ocf_call *call, const char *action)
{
	char line[1024];

	f->calls = 0;
	call->action = action;
	assert_int_equal(ocf_start(f->loop, call, on_done, f, NULL), 0);
	assert_int_equal(f->calls, 0);
	spin(f);
	assert_int_equal(f->calls, 1);
	ocf_result_describe(call, &f->result, line, sizeof(line));
	assert_true(xmlCheckUTF8((const unsigned char *)line) && !strchr(line, '\n'));
	if (f->result.kind != RUN_EXITED || f->result.rc > OCF_NOT_RUNNING)
		print_message("  %s\n", line);
	return f->result.rc;
}

static struct ocf_call call_of(const char *agent, const char *instance)
{
	struct ocf_call call = {
		.instance = instance,
		.timeout_ms = 30000,
		.grace_ms = 2000,
		.node = "n1",
		.state_dir = tmp_dir,
		.run_dir = tmp_dir,
	};

	assert_int_equal(ocf_name_parse(agent, &call.agent, NULL), 0);
	if (strcmp(call.agent.provider, "odd") == 0)
		call.root = odd_root;
	return call;
}

static void agent_gets_the_environment_of_pacemaker_and_no_more(void **state)
{
	struct fixture *f = *state;
	const struct ocf_value params[] = {{"state", "/x y"}, {"passwd", "a=b\"$(c)"}};
	const struct ocf_value meta[] = {{"globally-unique", "false"}};
	struct ocf_call call = call_of("ocf:odd:env", "r1:0");
	char want[8192];

	call.params = params;
	call.n_params = 2;
	call.meta = meta;
	call.n_meta = 1;
	call.interval_ms = 10000;
	call.migrate_source = "n2";
	assert_int_equal(act(f, &call, "monitor"), 0);
	snprintf(want, sizeof(want),
		 "args=monitor\ncwd=/\nfds=0 1 2 3\n"
		 "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\n"
		 "OCF_ROOT=%s\nOCF_RA_VERSION_MAJOR=1\nOCF_RA_VERSION_MINOR=1\n"
		 "OCF_RESOURCE_PROVIDER=odd\nOCF_RESOURCE_TYPE=env\nOCF_RESOURCE_INSTANCE=r1:0\n"
		 "OCF_EXIT_REASON_PREFIX=ocf-exit-reason:\nOCF_OUTPUT_FORMAT=text\n"
		 "OCF_CHECK_LEVEL=0\nHA_LOGFACILITY=none\nHA_debug=0\nHA_RSCTMP=%s\nHA_VARRUN=%s\n"
		 "OCF_RESKEY_crm_feature_set=3.16.2\nOCF_RESKEY_CRM_meta_name=monitor\n"
		 "OCF_RESKEY_CRM_meta_timeout=30000\nOCF_RESKEY_CRM_meta_interval=10000\n"
		 "OCF_RESKEY_CRM_meta_on_node=n1\nOCF_RESKEY_CRM_meta_migrate_source=n2\n"
		 "OCF_RESKEY_CRM_meta_globally_unique=false\n"
		 "OCF_RESKEY_state=/x y\nOCF_RESKEY_passwd=a=b\"$(c)\n",
		 odd_root, tmp_dir, tmp_dir);
	assert_string_equal(f->out, want);
}

static void calls_that_are_not_well_formed_are_refused(void **state)
{
	struct fixture *f = *state;
	const struct ocf_call good = call_of("ocf:odd:env", "r1");
	const struct ocf_value bad_param = {"a b", "x"}, no_value = {"a", NULL};
	struct ocf_value many[OCF_ENV_VARS_MAX];
	struct ocf_call bad[12];

	for (size_t i = 0; i < MUST_ARRAY_SIZE(bad); i++) {
		bad[i] = good;
		bad[i].action = "start";
	}
	bad[0].action = NULL;
	bad[1].action = "a b";
	bad[2].instance = NULL;
	bad[3].instance = "../x";
	bad[4].timeout_ms = 0;
	bad[5].root = "relative";
	bad[6].state_dir = "/tmp/a b";
	bad[7].agent.type[0] = '.';
	bad[8].params = &bad_param;
	bad[8].n_params = 1;
	bad[9].params = &no_value;
	bad[9].n_params = 1;
	bad[10].meta = &bad_param;
	bad[10].n_meta = 1;
	bad[11].agent.provider[0] = '\0';
	for (size_t i = 0; i < MUST_ARRAY_SIZE(bad); i++)
		assert_int_equal(ocf_start(f->loop, &bad[i], on_done, f, NULL), -EINVAL);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(many); i++)
		many[i] = (struct ocf_value){"p", "x"};
	bad[0] = good;
	bad[0].action = "start";
	bad[0].params = many;
	bad[0].n_params = MUST_ARRAY_SIZE(many);
	assert_int_equal(ocf_start(f->loop, &bad[0], on_done, f, NULL), -E2BIG);
	assert_int_equal(f->calls, 0);
}

/* start, monitor = 0, stop, monitor = 7, and all of it twice: OCF wants actions idempotent. */
static void assert_life_cycle(struct fixture *f, struct ocf_call *call)
{
	assert_int_equal(act(f, call, "validate-all"), OCF_SUCCESS);
	assert_int_equal(act(f, call, "monitor"), OCF_NOT_RUNNING);
	for (int i = 0; i < 2; i++)
		assert_int_equal(act(f, call, "start"), OCF_SUCCESS);
	assert_int_equal(act(f, call, "monitor"), OCF_SUCCESS);
	call->interval_ms = 10000;
	assert_int_equal(act(f, call, "monitor"), OCF_SUCCESS);
	call->interval_ms = 0;
	for (int i = 0; i < 2; i++)
		assert_int_equal(act(f, call, "stop"), OCF_SUCCESS);
	assert_int_equal(act(f, call, "monitor"), OCF_NOT_RUNNING);
}

static void heartbeat_dummy_lives_and_dies(void **state)
{
	struct ocf_call call = call_of("ocf:heartbeat:Dummy", "hb-dummy");
	struct fixture *f = *state;

	assert_life_cycle(f, &call);
	assert_int_equal(act(f, &call, "start"), OCF_SUCCESS);
	call.migrate_target = "n2";
	assert_int_equal(act(f, &call, "migrate_to"), OCF_SUCCESS);
	assert_int_equal(act(f, &call, "monitor"), OCF_NOT_RUNNING);
	call.migrate_source = "n2";
	call.migrate_target = "n1";
	assert_int_equal(act(f, &call, "migrate_from"), OCF_SUCCESS);
	assert_int_equal(act(f, &call, "reload"), OCF_SUCCESS);
	assert_int_equal(act(f, &call, "stop"), OCF_SUCCESS);
	assert_int_equal(act(f, &call, "no-such-action"), OCF_ERR_UNIMPLEMENTED);
}

static void heartbeat_delay_lives_and_dies(void **state)
{
	const struct ocf_value params[] = {
		{"startdelay", "0.2"}, {"stopdelay", "0"}, {"mondelay", "0"}};
	struct ocf_call call = call_of("ocf:heartbeat:Delay", "hb-delay");
	struct fixture *f = *state;

	call.params = params;
	call.n_params = MUST_ARRAY_SIZE(params);
	assert_life_cycle(f, &call);
	assert_int_equal(act(f, &call, "start"), OCF_SUCCESS);
	assert_in_range(f->result.duration_ms, 200, 5000);
	assert_int_equal(act(f, &call, "status"), OCF_SUCCESS);
	assert_int_equal(act(f, &call, "stop"), OCF_SUCCESS);
}

static void pacemaker_dummy_offers_all_actions(void **state)
{
	char path[128];
	const struct ocf_value params[] = {{"state", path}, {"op_sleep", "0"}};
	struct ocf_call call = call_of("ocf:pacemaker:Dummy", "pcmk-dummy");
	struct fixture *f = *state;

	snprintf(path, sizeof(path), "%s/pcmk.state", tmp_dir);
	call.params = params;
	call.n_params = 2;
	assert_life_cycle(f, &call);
	assert_int_equal(act(f, &call, "start"), OCF_SUCCESS);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(act(f, &call, "reload"), OCF_SUCCESS);
	assert_int_equal(act(f, &call, "reload-agent"), OCF_SUCCESS);
	call.migrate_target = "n2";
	assert_int_equal(act(f, &call, "migrate_to"), OCF_SUCCESS);
	assert_int_equal(access(path, F_OK), -1);
	call.migrate_source = "n2";
	assert_int_equal(act(f, &call, "migrate_from"), OCF_SUCCESS);
	assert_int_equal(act(f, &call, "stop"), OCF_SUCCESS);
	assert_int_equal(act(f, &call, "meta-data"), OCF_SUCCESS);
	assert_non_null(strstr(f->out, "<resource-agent name=\"Dummy\""));
	call.check_level = 10;
	assert_int_equal(act(f, &call, "validate-all"), OCF_SUCCESS);
}

static void check_level_and_exit_reason_go_through(void **state)
{
	char path[128], line[512];
	const struct ocf_value params[] = {{"state", path}};
	struct ocf_call call = call_of("ocf:pacemaker:Dummy", "pcmk-level");
	struct fixture *f = *state;

	snprintf(path, sizeof(path), "%s/level.state", tmp_dir);
	call.params = params;
	call.n_params = 1;
	assert_int_equal(act(f, &call, "start"), OCF_SUCCESS);
	call.check_level = 30;
	assert_int_equal(act(f, &call, "monitor"), OCF_ERR_GENERIC);
	assert_string_equal(f->result.reason, "hyperdrive quota reached");
	assert_non_null(strstr(f->result.text, "hyperdrive quota reached"));
	f->result.duration_ms = 31;
	assert_string_equal(ocf_result_describe(&call, &f->result, line, sizeof(line)),
			    "monitor of pcmk-level (ocf:pacemaker:Dummy): OCF_ERR_GENERIC (1), "
			    "error, after 31 ms: hyperdrive quota reached");
	call.check_level = 0;
	assert_int_equal(act(f, &call, "stop"), OCF_SUCCESS);
}

/* This Dummy says of itself: "don't exit on TERM". */
static void agent_that_is_too_slow_is_stopped(void **state)
{
	char path[128], serialized[160];
	const struct ocf_value params[] = {{"state", path}, {"op_sleep", "30"}};
	struct ocf_call call = call_of("ocf:pacemaker:Dummy", "pcmk-slow");
	struct fixture *f = *state;

	snprintf(path, sizeof(path), "%s/slow.state", tmp_dir);
	snprintf(serialized, sizeof(serialized), "%s.serialized", path);
	call.params = params;
	call.n_params = 2;
	call.timeout_ms = 1000;
	assert_int_equal(act(f, &call, "monitor"), OCF_ERR_GENERIC);
	assert_int_equal(f->result.kind, RUN_TIMED_OUT);
	assert_in_range(f->result.duration_ms, 1000, 6000);
	unlink(serialized);
}

static void cancelled_action_is_told_as_such(void **state)
{
	const struct ocf_value params[] = {
		{"startdelay", "30"}, {"stopdelay", "0"}, {"mondelay", "30"}};
	struct ocf_call call = call_of("ocf:heartbeat:Delay", "hb-cancel");
	struct fixture *f = *state;
	struct ocf_run *run;

	call.params = params;
	call.n_params = MUST_ARRAY_SIZE(params);
	call.action = "monitor";
	assert_int_equal(ocf_start(f->loop, &call, on_done, f, &run), 0);
	ocf_cancel(run, 1000);
	spin(f);
	assert_int_equal(f->result.kind, RUN_CANCELLED);
	assert_int_equal(ocf_start(f->loop, &call, on_done, f, &run), 0);
	assert_null(ocf_free(run));
	assert_null(ocf_free(NULL));
}

/* ---- odd agents ---- */

static bool is_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

static void odd_agents_are_survived(void **state)
{
	static const struct {
		const char *agent;
		enum run_kind kind;
		int rc;
		const char *text;
	} cases[] = {
		{"ocf:odd:liar", RUN_EXITED, OCF_SUCCESS, ""},
		{"ocf:odd:suicide", RUN_SIGNALLED, OCF_ERR_GENERIC, "about to go"},
		{"ocf:odd:odd-rc", RUN_EXITED, 99, ""},
		{"ocf:odd:bytes", RUN_EXITED, OCF_ERR_GENERIC,
		 "caf? ? ?[31mred?[0m ?evil ?? gr\303\274n"},
		{"ocf:odd:flood", RUN_EXITED, OCF_ERR_GENERIC, "the last word"},
		{"ocf:odd:none", RUN_FAILED_TO_START, OCF_ERR_INSTALLED, ""},
		{"ocf:odd:no-shebang", RUN_FAILED_TO_START, OCF_ERR_INSTALLED, ""},
		{"ocf:odd:no-interpreter", RUN_FAILED_TO_START, OCF_ERR_INSTALLED, ""},
		{"ocf:odd:not-executable", RUN_FAILED_TO_START, OCF_ERR_PERM, ""},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < MUST_ARRAY_SIZE(cases); i++) {
		struct ocf_call call = call_of(cases[i].agent, "odd");

		/* valgrind's vfork() is a fork(): a failed exec is not seen there. */
		if (cases[i].kind == RUN_FAILED_TO_START && is_valgrind())
			continue;
		assert_int_equal(act(f, &call, "start"), cases[i].rc);
		assert_int_equal(f->result.kind, cases[i].kind);
		assert_true(xmlCheckUTF8((const unsigned char *)f->result.text));
		if (cases[i].text[0] && !strstr(f->result.text, cases[i].text))
			fail_msg("%s: \"%s\"", cases[i].agent, f->result.text);
	}
}

static pid_t read_pid(const char *name)
{
	char path[256];
	_cleanup_fclose_ FILE *file = NULL;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/%s", tmp_dir, name);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &pid), 1);
	unlink(path);
	return pid;
}

static void deaf_agent_is_killed_after_its_grace(void **state)
{
	struct ocf_call call = call_of("ocf:odd:deaf", "odd");
	struct fixture *f = *state;

	call.timeout_ms = 500;
	call.grace_ms = 300;
	assert_int_equal(act(f, &call, "stop"), OCF_ERR_GENERIC);
	assert_int_equal(f->result.kind, RUN_TIMED_OUT);
	assert_string_equal(f->result.text, "not listening");
	assert_int_equal(kill(read_pid("deaf.pid"), 0), -1);
}

static void daemon_of_an_agent_outlives_its_start(void **state)
{
	struct ocf_call call = call_of("ocf:odd:daemon", "odd");
	struct fixture *f = *state;
	pid_t pid;

	assert_int_equal(act(f, &call, "start"), OCF_SUCCESS);
	pid = read_pid("daemon.pid");
	assert_int_equal(kill(pid, SIGKILL), 0); /* it was there */
}

static void odd_meta_data_is_refused_with_the_reason(void **state)
{
	static const struct {
		const char *agent;
		int r;
		const char *text;
	} cases[] = {
		{"ocf:odd:bomb", -EBADMSG, "declares entities"},
		{"ocf:odd:leak-meta", -EBADMSG, "declares entities"},
		{"ocf:odd:huge-meta", -EMSGSIZE, "more than 1048576 bytes"},
		{"ocf:odd:many-meta", -EMSGSIZE, "more than 512 parameters"},
		{"ocf:odd:no-meta", -EBADMSG, "begin with '<'"},
		{"ocf:odd:fail-meta", -EIO, "exited (5): cannot build meta-data: xmlstarlet"},
		{"ocf:odd:liar", -EBADMSG, "printed nothing"},
		{"ocf:odd:bytes", -EIO, "exited (1): caf?"},
		{"ocf:odd:suicide", -EIO, "signalled (11): about to go"},
		{"ocf:odd:none", -ENOENT, "failed to start"},
		{"ocf:odd:not-executable", -EACCES, "failed to start"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < MUST_ARRAY_SIZE(cases); i++) {
		struct ocf_call call = call_of(cases[i].agent, NULL);

		if (strstr(cases[i].text, "failed to start") && is_valgrind())
			continue;
		assert_int_equal(ocf_meta_start(f->loop, &call, on_meta, f, NULL), 0);
		spin(f);
		if (f->r != cases[i].r || f->meta || !strstr(f->error.text, cases[i].text))
			fail_msg("%s: %d, %s", cases[i].agent, f->r, f->error.text);
		assert_true(xmlCheckUTF8((const unsigned char *)f->error.text));
	}
}

/* ---- the installed agents ---- */

struct census {
	int good;
	int params;
	int demoted;
};

static void count_agent(struct fixture *f, const char *provider, const char *type,
			struct census *census)
{
	struct ocf_call call = {.timeout_ms = 30000, .grace_ms = 1000};

	snprintf(call.agent.provider, sizeof(call.agent.provider), "%s", provider);
	snprintf(call.agent.type, sizeof(call.agent.type), "%s", type);
	assert_int_equal(ocf_meta_start(f->loop, &call, on_meta, f, NULL), 0);
	spin(f);
	if (f->r < 0) {
		print_message("  ocf:%s:%s: %s\n", provider, type, f->error.text);
		return;
	}
	census->good++;
	assert_true(ocf_meta_action(f->meta, "start", 0) && ocf_meta_action(f->meta, "stop", 0) &&
		    ocf_meta_action(f->meta, "monitor", 0));
	for (size_t i = 0; i < f->meta->n_params; i++) {
		const struct ocf_param *p = &f->meta->params[i];

		census->params++;
		if (p->type_declared && strcmp(p->type_declared, ocf_type_name(p->type)) != 0) {
			census->demoted++;
			print_message(
				"  ocf:%s:%s: %s is declared %s, default \"%s\": taken as %s\n",
				provider, type, p->name, p->type_declared,
				p->default_value ? p->default_value : "", ocf_type_name(p->type));
		}
	}
}

static void meta_data_of_all_installed_agents_is_understood(void **state)
{
	struct fixture *f = *state;
	struct census census = {.good = 0};
	struct ocf_list providers, types;
	int all = 0;

	assert_int_equal(ocf_list_providers(NULL, &providers), 0);
	for (size_t i = 0; i < providers.n; i++) {
		assert_int_equal(ocf_list_types(NULL, providers.name[i], &types), 0);
		for (size_t j = 0; j < types.n; j++, all++)
			count_agent(f, providers.name[i], types.name[j], &census);
		ocf_list_done(&types);
	}
	ocf_list_done(&providers);
	print_message("%d agents, %d understood, %d parameters, %d of them with a false type\n",
		      all, census.good, census.params, census.demoted);
	/* An agent may lack a tool here; most must not. */
	assert_in_range(census.good, all * 9 / 10, all);
}

static void installed_meta_data_validates_a_resource(void **state)
{
	struct fixture *f = *state;
	struct ocf_call call = call_of("ocf:heartbeat:IPaddr2", NULL);
	const struct ocf_value params[] = {{"ip", "10.0.0.1"}, {"cidr_netmsak", "24"}};
	struct ocf_findings findings;

	assert_int_equal(ocf_meta_start(f->loop, &call, on_meta, f, NULL), 0);
	spin(f);
	assert_int_equal(f->r, 0);
	assert_int_equal(ocf_meta_validate(f->meta, params, 1, &findings), 0);
	assert_int_equal(ocf_meta_validate(f->meta, params, 2, &findings), -EINVAL);
	assert_string_equal(findings.item[0].text, "IPaddr2 has no parameter \"cidr_netmsak\"; did "
						   "you mean \"cidr_netmask\"?");
}

static int prepare(void **state)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];

	(void)state;
	snprintf(path, sizeof(path), "%s/tests/agents", srcdir ? srcdir : ".");
	if (!realpath(path, odd_root) || !mkdtemp(tmp_dir)) {
		print_error("%s: %s\n", path, strerror(errno));
		return -1;
	}
	return 0;
}

static int clean(void **state)
{
	(void)state;
	xmlCleanupParser();
	if (rmdir(tmp_dir) < 0)
		print_error("%s: %s\n", tmp_dir, strerror(errno));
	return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_has_class_provider_and_type),
		cmocka_unit_test(name_that_could_lead_astray_is_refused),
		cmocka_unit_test(instance_is_a_file_name),
		cmocka_unit_test(exit_codes_have_names),
		cmocka_unit_test(times_have_units),
		cmocka_unit_test(meta_data_becomes_a_structure),
		cmocka_unit_test(type_gives_way_to_a_default_that_is_none),
		cmocka_unit_test(actions_are_found_by_name_and_depth),
		cmocka_unit_test(text_of_meta_data_is_made_harmless),
		cmocka_unit_test(what_is_no_meta_data_is_refused_with_the_reason),
		cmocka_unit_test(every_cut_of_meta_data_is_refused),
		cmocka_unit_test(declarations_are_refused_before_they_do_anything),
		cmocka_unit_test(external_dtd_is_not_read),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(random_changes_do_no_harm),
		cmocka_unit_test(good_parameters_have_no_findings),
		cmocka_unit_test(unknown_parameter_names_the_nearest),
		cmocka_unit_test(wrong_type_says_what_would_be_right),
		cmocka_unit_test(bytes_and_names_that_cannot_be_are_refused),
		cmocka_unit_test(missing_parameter_is_found),
		cmocka_unit_test(deprecated_parameter_is_a_warning),
		cmocka_unit_test(findings_are_bounded_and_counted),
		cmocka_unit_test(agents_are_listed),
		cmocka_unit_test(agent_has_a_path_or_a_reason),
		T(agent_gets_the_environment_of_pacemaker_and_no_more),
		T(calls_that_are_not_well_formed_are_refused),
		T(heartbeat_dummy_lives_and_dies),
		T(heartbeat_delay_lives_and_dies),
		T(pacemaker_dummy_offers_all_actions),
		T(check_level_and_exit_reason_go_through),
		T(agent_that_is_too_slow_is_stopped),
		T(cancelled_action_is_told_as_such),
		T(odd_agents_are_survived),
		T(deaf_agent_is_killed_after_its_grace),
		T(daemon_of_an_agent_outlives_its_start),
		T(odd_meta_data_is_refused_with_the_reason),
		T(meta_data_of_all_installed_agents_is_understood),
		T(installed_meta_data_validates_a_resource),
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
