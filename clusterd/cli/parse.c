/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/cli/cli.h"
#include "lib/must.h"

const struct command commands[] = {
#define COMMAND(noun, verb, api, positionals, options, columns, help)                              \
	{noun, verb, api, positionals, options, columns, help},
#include "clusterd/cli/commands.def"
#undef COMMAND
};
const size_t command_count = MUST_ARRAY_SIZE(commands);

const struct cli_alias cli_aliases[] = {
	{"status", "cluster", "status"},
	{"standby", "node", "drain"},
	{"unstandby", "node", "resume"},
};
const size_t cli_alias_count = MUST_ARRAY_SIZE(cli_aliases);

const char cli_global_help[] =
	"Options of every command:\n"
	"  --json           the reply's data as JSON\n"
	"  --fields A,B     only these columns, in this order\n"
	"  --no-headers     tables without their first line\n"
	"  --wait[=SECONDS] wait until the task ends (default on a terminal)\n"
	"  --no-wait        print the task's number and return\n"
	"  --timeout SECONDS  for the daemon's answer (default 15)\n"
	"  --reason TEXT    why, for 'config history'; of what changes something\n"
	"  --if-version N   only if config_version of the object is that still\n"
	"  --dry-run        say what would follow, and change nothing\n"
	"  --detailed-exit  with --dry-run: 10 if something would change\n"
	"  --root DIR       prefix of /run/clusterd/api.sock\n"
	"  --help, --version\n";

const char *cli_next_option(const char *text, struct cli_option *ret)
{
	size_t len, name_len;

	text += strspn(text, " ");
	if (!*text)
		return NULL;
	ret->is_needed = *text == '!';
	text += ret->is_needed;
	len = strcspn(text, " ");
	name_len = strcspn(text, ":");
	must(name_len < len && name_len < sizeof(ret->name) && len - name_len < sizeof(ret->type));
	memcpy(ret->name, text, name_len);
	ret->name[name_len] = 0;
	memcpy(ret->type, text + name_len + 1, len - name_len - 1);
	ret->type[len - name_len - 1] = 0;
	return text + len;
}

static const char *placeholder(const char *type)
{
	if (!strcmp(type, "list"))
		return "A,B,...";
	if (!strcmp(type, "number"))
		return "N";
	if (!strcmp(type, "document") || !strcmp(type, "secret"))
		return "FILE";
	if (!strcmp(type, "flag"))
		return "";
	return strcmp(type, "pairs") ? "TEXT" : "NAME=VALUE";
}

static void print_synopsis(FILE *f, const struct command *c)
{
	struct cli_option o;
	const char *at = c->options, *p = c->positionals;

	fprintf(f, "clusterctl %s %s", c->noun, c->verb);
	while (*p) {
		size_t len = strcspn(p, " ");

		fputc(' ', f);
		for (size_t i = 0; i < len; i++)
			fputc(p[i] >= 'a' && p[i] <= 'z' ? p[i] - 'a' + 'A' : p[i], f);
		p += len + strspn(p + len, " ");
	}
	while ((at = cli_next_option(at, &o))) {
		const char *value = placeholder(o.type);

		fprintf(f, o.is_needed ? " --%s%s%s" : " [--%s%s%s]", o.name, *value ? " " : "",
			value);
	}
	fputc('\n', f);
}

void cli_usage(const char *noun)
{
	printf("usage: clusterctl NOUN VERB [NAME...] [--option value]\n\n");
	for (size_t i = 0; i < command_count; i++) {
		if (noun && strcmp(noun, commands[i].noun) != 0)
			continue;
		print_synopsis(stdout, &commands[i]);
		printf("    %s\n", commands[i].help);
	}
	printf("\n%s", cli_global_help);
}

static const struct command *find(const char *noun, const char *verb)
{
	for (size_t i = 0; i < command_count; i++) {
		if (!strcmp(commands[i].noun, noun) && !strcmp(commands[i].verb, verb))
			return &commands[i];
	}
	return NULL;
}

static int unknown(const char *noun, const char *verb)
{
	bool has_noun = false;

	for (size_t i = 0; i < command_count; i++)
		has_noun = has_noun || !strcmp(commands[i].noun, noun);
	if (!has_noun)
		fprintf(stderr, "clusterctl: no such noun: %s; see clusterctl --help\n", noun);
	else
		fprintf(stderr, "clusterctl: %s: no such verb: %s; see clusterctl %s --help\n",
			noun, verb ? verb : "(none)", noun);
	return CLI_USAGE;
}

/* ---- values */

static bool parse_number(const char *text, double *ret)
{
	char *end;

	errno = 0;
	*ret = strtod(text, &end);
	return !errno && end != text && !*end && *ret >= 0 && *ret < 1e15;
}

static json_t *list_value(const char *text)
{
	json_t *a = json_array();

	while (*text) {
		size_t len = strcspn(text, ",");

		json_array_append_new(a, json_stringn(text, len));
		text += len + (text[len] == ',');
	}
	return a;
}

/* The API's names use underscores; a file is sent as what is in it. */
static void api_name(const struct cli_option *o, char *ret, size_t size)
{
	bool is_document = !strcmp(o->type, "document"), is_secret = !strcmp(o->type, "secret");

	snprintf(ret, size, "%s", is_document ? "definition" : is_secret ? "text" : o->name);
	for (char *p = ret; *p; p++) {
		if (*p == '-')
			*p = '_';
	}
}

/* One pair after the other becomes an object; that of --param is called params. */
static int set_pair(json_t *args, const char *option, const char *text)
{
	const char *key = strcmp(option, "param") ? option : "params";
	const char *eq = strchr(text, '=');
	json_t *params = json_object_get(args, key);
	char name[64];

	if (!eq || eq == text || (size_t)(eq - text) >= sizeof(name)) {
		fprintf(stderr, "clusterctl: --%s %s: expected NAME=VALUE\n", option, text);
		return CLI_USAGE;
	}
	if (!params) {
		params = json_object();
		json_object_set_new(args, key, params);
	}
	memcpy(name, text, (size_t)(eq - text));
	name[eq - text] = 0;
	json_object_set_new(params, name, json_string(eq + 1));
	return CLI_OK;
}

static int set_document(json_t *args, const char *name, const char *path)
{
	json_error_t e;
	json_t *v = json_load_file(path, JSON_REJECT_DUPLICATES, &e);

	if (json_is_object(v)) {
		json_object_set_new(args, name, v);
		return CLI_OK;
	}
	if (v)
		fprintf(stderr, "clusterctl: %s: not a JSON object\n", path);
	else if (e.line > 0)
		fprintf(stderr, "clusterctl: %s:%d: %s\n", path, e.line, e.text);
	else
		fprintf(stderr, "clusterctl: %s\n", e.text);
	json_decref(v);
	return CLI_USAGE;
}

static int set_option(struct cli *cli, const struct cli_option *o, const char *value)
{
	char name[40];
	double number;

	api_name(o, name, sizeof(name));
	if (!strcmp(o->type, "document"))
		return set_document(cli->args, name, value);
	if (!strcmp(o->type, "secret"))
		return cli_set_secret(cli->args, name, value);
	if (!strcmp(o->type, "pairs"))
		return set_pair(cli->args, name, value);
	if (!strcmp(o->type, "list")) {
		json_object_set_new(cli->args, name, list_value(value));
	} else if (!strcmp(o->type, "number")) {
		if (!parse_number(value, &number)) {
			fprintf(stderr, "clusterctl: --%s %s: not a number\n", o->name, value);
			return CLI_USAGE;
		}
		json_object_set_new(cli->args, name, json_integer((json_int_t)number));
	} else {
		json_object_set_new(cli->args, name, json_string(value));
	}
	return CLI_OK;
}

static int set_flag(struct cli *cli, const struct cli_option *o, const char *value)
{
	char name[40];

	if (value) {
		fprintf(stderr, "clusterctl: --%s: takes no value\n", o->name);
		return CLI_USAGE;
	}
	api_name(o, name, sizeof(name));
	json_object_set_new(cli->args, name, json_true());
	return CLI_OK;
}

/* ---- the command line */

struct words {
	int argc;
	char **argv;
	int at;
};

static int bad_value(const char *name)
{
	fprintf(stderr, "clusterctl: --%s: needs a value\n", name);
	return CLI_USAGE;
}

/* Splits --name=value; the value may also be the next word. */
static const char *take_value(struct words *w, const char *inline_value)
{
	if (inline_value)
		return inline_value;
	return w->at < w->argc ? w->argv[w->at++] : NULL;
}

static int set_socket(struct cli *cli, const char *root)
{
	int n = snprintf(cli->socket, sizeof(cli->socket), "%s/run/clusterd/api.sock", root);

	if (n > 0 && (size_t)n < sizeof(cli->socket))
		return CLI_OK;
	fprintf(stderr, "clusterctl: --root %s: too long\n", root);
	return CLI_USAGE;
}

/* Those of what changes something; as global_option(). */
static int change_option(struct cli *cli, struct words *w, const char *name, const char *value)
{
	double number;

	if (!strcmp(name, "dry-run")) {
		json_object_set_new(cli->args, "dry_run", json_true());
	} else if (!strcmp(name, "detailed-exit")) {
		cli->detailed_exit = true;
	} else if (!strcmp(name, "reason")) {
		value = take_value(w, value);
		if (!value)
			return bad_value(name);
		json_object_set_new(cli->args, "reason", json_string(value));
	} else if (!strcmp(name, "if-version")) {
		value = take_value(w, value);
		if (!value || !parse_number(value, &number))
			return bad_value(name);
		json_object_set_new(cli->args, "if_version", json_integer((json_int_t)number));
	} else {
		return -1;
	}
	return CLI_OK;
}

/* CLI_OK if it was one, -1 if it is none of the global options, else the exit code. */
static int global_option(struct cli *cli, struct words *w, const char *name, const char *value)
{
	if (!strcmp(name, "json"))
		cli->json = true;
	else if (!strcmp(name, "no-headers"))
		cli->no_headers = true;
	else if (!strcmp(name, "no-wait"))
		cli->no_wait = true;
	else if (!strcmp(name, "wait")) {
		cli->wait = true;
		if (value && !parse_number(value, &cli->wait_s))
			return bad_value(name);
	} else if (!strcmp(name, "fields")) {
		cli->fields = take_value(w, value);
		return cli->fields ? CLI_OK : bad_value(name);
	} else if (!strcmp(name, "timeout")) {
		value = take_value(w, value);
		return value && parse_number(value, &cli->timeout_s) ? CLI_OK : bad_value(name);
	} else if (!strcmp(name, "root")) {
		value = take_value(w, value);
		return value ? set_socket(cli, value) : bad_value(name);
	} else {
		return change_option(cli, w, name, value);
	}
	return CLI_OK;
}

static int parse_option(struct cli *cli, struct words *w, const char *word)
{
	char name[64];
	size_t len = strcspn(word, "=");
	const char *value = word[len] ? word + len + 1 : NULL, *at = cli->command->options;
	struct cli_option o;
	int r;

	snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1),
		 word);
	r = global_option(cli, w, name, value);
	if (r >= 0)
		return r;
	while ((at = cli_next_option(at, &o))) {
		if (strcmp(o.name, name) != 0)
			continue;
		if (!strcmp(o.type, "flag"))
			return set_flag(cli, &o, value);
		value = take_value(w, value);
		return value ? set_option(cli, &o, value) : bad_value(name);
	}
	fprintf(stderr, "clusterctl: %s %s has no option --%s; usage:\n  ", cli->command->noun,
		cli->command->verb, name);
	print_synopsis(stderr, cli->command);
	return CLI_USAGE;
}

static int set_positional(struct cli *cli, const char **names, const char *word)
{
	size_t len = strcspn(*names, " ");
	char name[32];
	double number;

	if (!len) {
		fprintf(stderr, "clusterctl: what is '%s'? usage:\n  ", word);
		print_synopsis(stderr, cli->command);
		return CLI_USAGE;
	}
	snprintf(name, sizeof(name), "%.*s", (int)len, *names);
	*names += len + strspn(*names + len, " ");
	if (!strcmp(name, "nodes")) {
		json_object_set_new(cli->args, name, list_value(word));
		return CLI_OK;
	}
	if (strcmp(name, "id") != 0) {
		json_object_set_new(cli->args, name, json_string(word));
		return CLI_OK;
	}
	if (!parse_number(word, &number)) {
		fprintf(stderr, "clusterctl: %s: not a number\n", word);
		return CLI_USAGE;
	}
	json_object_set_new(cli->args, name, json_integer((json_int_t)number));
	return CLI_OK;
}

static int check_complete(const struct cli *cli, const char *names)
{
	const char *at = cli->command->options;
	struct cli_option o;
	char name[40];

	if (*names) {
		fprintf(stderr, "clusterctl: %s: missing; usage:\n  ", names);
		print_synopsis(stderr, cli->command);
		return CLI_USAGE;
	}
	while ((at = cli_next_option(at, &o))) {
		api_name(&o, name, sizeof(name));
		if (o.is_needed && !json_object_get(cli->args, name)) {
			fprintf(stderr, "clusterctl: --%s: missing; usage:\n  ", o.name);
			print_synopsis(stderr, cli->command);
			return CLI_USAGE;
		}
	}
	return CLI_OK;
}

static int parse_rest(struct cli *cli, struct words *w)
{
	const char *names = cli->command->positionals;

	while (w->at < w->argc) {
		const char *word = w->argv[w->at++];
		int r = strncmp(word, "--", 2) ? set_positional(cli, &names, word)
					       : parse_option(cli, w, word + 2);

		if (r)
			return r;
	}
	if (cli->detailed_exit && !json_object_get(cli->args, "dry_run")) {
		fprintf(stderr, "clusterctl: --detailed-exit: only with --dry-run\n");
		return CLI_USAGE;
	}
	return check_complete(cli, names);
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	}
	return argc < 2;
}

int cli_parse(int argc, char **argv, struct cli *cli)
{
	struct words w = {argc, argv, 1};
	const char *noun, *verb;

	*cli = (struct cli){.timeout_s = 15, .wait_s = 300};
	set_socket(cli, "");
	if (wants_help(argc, argv)) {
		cli_usage(argc > 1 && argv[1][0] != '-' ? argv[1] : NULL);
		return argc < 2 ? CLI_USAGE : -1;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("clusterctl %s\n", CLUSTERD_VERSION);
		return -1;
	}
	noun = argv[w.at++];
	for (size_t i = 0; i < cli_alias_count; i++) {
		if (strcmp(cli_aliases[i].word, noun) != 0)
			continue;
		fprintf(stderr, "hint: this is 'clusterctl %s %s'\n", cli_aliases[i].noun,
			cli_aliases[i].verb);
		cli->command = find(cli_aliases[i].noun, cli_aliases[i].verb);
	}
	if (!cli->command) {
		verb = w.at < argc ? argv[w.at++] : NULL;
		cli->command = verb ? find(noun, verb) : NULL;
		if (!cli->command)
			return unknown(noun, verb);
	}
	cli->args = json_object();
	return parse_rest(cli, &w);
}
