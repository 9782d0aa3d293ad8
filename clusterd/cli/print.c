/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/cli/cli.h"
#include "lib/must.h"

#define COLUMNS_MAX 24
#define CELL_MAX    512
#define TEXT_WIDTH  79
#define DEFAULT_MAX 36 /* bytes of a default in the table of parameters */

/* One line, and no half of a character at the end. */
static void tidy(char *text, size_t size)
{
	size_t n = strlen(text);

	if (n + 1 == size) {
		while (n > 0 && ((unsigned char)text[n - 1] & 0xc0) == 0x80)
			n--;
		if (n > 0 && (unsigned char)text[n - 1] >= 0xc0)
			n--;
		text[n] = 0;
	}
	for (char *p = text; *p; p++) {
		if (*p == '\n')
			*p = ' ';
	}
}

/* Text of a value in one line; lists with commas. */
static void cell(const json_t *v, char *ret, size_t size)
{
	size_t at = 0, i;
	json_t *item;

	ret[0] = 0;
	if (!v || json_is_null(v))
		snprintf(ret, size, "-");
	else if (json_is_string(v))
		snprintf(ret, size, "%s", json_string_value(v)[0] ? json_string_value(v) : "-");
	else if (json_is_integer(v))
		snprintf(ret, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_boolean(v))
		snprintf(ret, size, json_is_true(v) ? "yes" : "no");
	else if (json_is_array(v)) {
		json_array_foreach(v, i, item)
		{
			char one[CELL_MAX];
			int n;

			cell(item, one, sizeof(one));
			n = snprintf(ret + at, size - at, "%s%s", i ? "," : "", one);
			if (n < 0 || (size_t)n >= size - at)
				return;
			at += (size_t)n;
		}
		if (!at)
			snprintf(ret, size, "-");
	} else {
		char *text = json_dumps(v, JSON_COMPACT);

		snprintf(ret, size, "%s", text ? text : "?");
		free(text);
	}
	tidy(ret, size);
}

struct columns {
	char name[COLUMNS_MAX][40];
	size_t width[COLUMNS_MAX];
	size_t count;
};

static void split_columns(const char *text, struct columns *c)
{
	c->count = 0;
	while (*text && c->count < COLUMNS_MAX) {
		size_t len = strcspn(text, ",");

		snprintf(c->name[c->count], sizeof(c->name[0]), "%.*s", (int)len, text);
		c->width[c->count] = strlen(c->name[c->count]);
		c->count++;
		text += len + (text[len] == ',');
	}
}

static void print_cells(const struct columns *c, const json_t *row)
{
	for (size_t k = 0; k < c->count; k++) {
		char text[CELL_MAX];

		cell(json_object_get(row, c->name[k]), text, sizeof(text));
		if (k + 1 == c->count)
			printf("%s\n", text);
		else
			printf("%-*s  ", (int)c->width[k], text);
	}
}

static void print_table(const struct cli *cli, const char *columns, const json_t *rows)
{
	struct columns c;
	size_t i;
	json_t *row;

	split_columns(cli->fields ? cli->fields : columns, &c);
	json_array_foreach(rows, i, row)
	{
		for (size_t k = 0; k < c.count; k++) {
			char text[CELL_MAX];

			cell(json_object_get(row, c.name[k]), text, sizeof(text));
			if (strlen(text) > c.width[k])
				c.width[k] = strlen(text);
		}
	}
	for (size_t k = 0; k < c.count && !cli->no_headers; k++) {
		char head[40];

		for (size_t n = 0; n < sizeof(head); n++) {
			char ch = c.name[k][n];

			head[n] = ch >= 'a' && ch <= 'z' ? (char)(ch - 'a' + 'A') : ch;
		}
		if (k + 1 == c.count)
			printf("%s\n", head);
		else
			printf("%-*s  ", (int)c.width[k], head);
	}
	json_array_foreach(rows, i, row) print_cells(&c, row);
}

void print_row(const struct cli *cli, const json_t *row)
{
	struct columns c;

	split_columns(cli->fields ? cli->fields : cli->command->columns, &c);
	print_cells(&c, row);
	fflush(stdout);
}

static void print_fields(const json_t *object)
{
	const char *name;
	size_t width = 0;
	json_t *v;

	json_object_foreach((json_t *)object, name, v)
	{
		if (strlen(name) > width)
			width = strlen(name);
	}
	json_object_foreach((json_t *)object, name, v)
	{
		char text[CELL_MAX];

		cell(v, text, sizeof(text));
		printf("%-*s  %s\n", (int)width, name, text);
	}
}

/* Until all are back whom the administrator said to be down. */
static void print_forced(const json_t *cluster)
{
	const json_t *down = json_object_get(cluster, "forced_down");
	char names[CELL_MAX];

	if (!json_array_size(down))
		return;
	cell(down, names, sizeof(names));
	printf("        FORCED at %s by %s; not back yet: %s\n",
	       json_string_value(json_object_get(cluster, "forced")),
	       json_string_value(json_object_get(cluster, "forced_by")), names);
}

/* Only if what is to be survived would not be. */
static void print_admission(const json_t *admission)
{
	if (!json_is_false(json_object_get(admission, "is_survived")))
		return;
	printf("WARNING %" JSON_INTEGER_FORMAT " lost would not be survived: %s\n",
	       json_integer_value(json_object_get(admission, "survive")),
	       json_string_value(json_object_get(admission, "text")));
}

static void print_votes(const json_t *q)
{
	printf("quorum  %s (%s): %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
	       " votes, %" JSON_INTEGER_FORMAT " needed\n",
	       json_is_true(json_object_get(q, "is_quorate")) ? "yes" : "NO",
	       json_string_value(json_object_get(q, "reason")),
	       json_integer_value(json_object_get(q, "votes_present")),
	       json_integer_value(json_object_get(q, "votes_total")),
	       json_integer_value(json_object_get(q, "votes_needed")));
}

static void print_status(const struct cli *cli, const json_t *data)
{
	const json_t *q = json_object_get(data, "quorum"), *db = json_object_get(data, "database");
	const char *cluster =
		json_string_value(json_object_get(json_object_get(data, "cluster"), "name"));
	const char *state = json_string_value(json_object_get(db, "state"));
	const char *text = json_string_value(json_object_get(db, "text"));
	const char *warning = json_string_value(json_object_get(q, "warning"));
	char missing[CELL_MAX], lose[CELL_MAX], stay[CELL_MAX];

	cell(json_object_get(q, "would_help"), missing, sizeof(missing));
	cell(json_object_get(q, "may_lose_next"), lose, sizeof(lose));
	cell(json_object_get(q, "must_stay"), stay, sizeof(stay));
	printf("cluster %s, seen from %s\n", cluster ? cluster : "(none)",
	       json_string_value(json_object_get(data, "node")));
	print_votes(q);
	if (json_is_true(json_object_get(q, "is_quorate")))
		printf("        may fail next, one of: %s; must stay: %s\n", lose, stay);
	else
		printf("        whose return would help: %s\n", missing);
	if (warning && warning[0])
		printf("        warning: %s\n", warning);
	if (state && text && text[0] && strcmp(state, "ok") != 0)
		printf("database %s: %s\n", state, text);
	print_forced(json_object_get(data, "cluster"));
	print_admission(json_object_get(data, "admission"));
	printf("\n");
	print_table(cli, "name,state,vote,since,memory,cpu,reason", json_object_get(data, "nodes"));
	if (json_array_size(json_object_get(data, "volumes"))) {
		printf("\n");
		print_table(cli, "name,work,node,device,reason", json_object_get(data, "volumes"));
	}
	if (json_array_size(json_object_get(data, "groups"))) {
		printf("\n");
		print_table(cli, "name,work,node,intent,reason", json_object_get(data, "groups"));
	}
}

/* The volume field by field, then a table of its mounts. */
static void print_volume(const struct cli *cli, const json_t *data)
{
	json_t *fields = json_copy((json_t *)data);

	json_object_del(fields, "mounts");
	print_fields(fields);
	json_decref(fields);
	printf("\n");
	print_table(cli, "node,state,since,id,reason", json_object_get(data, "mounts"));
}

/* Field by field, then a table of the votes, then the terms of the time to fail over. */
static void print_quorum(const struct cli *cli, const json_t *data)
{
	json_t *fields = json_copy((json_t *)data);
	const json_t *failover = json_object_get(data, "failover");
	const json_t *total = json_object_get(failover, "total_ms");

	json_object_del(fields, "votes");
	json_object_del(fields, "failover");
	print_fields(fields);
	json_decref(fields);
	printf("\n");
	print_table(cli, "node,vote,configured,is_present,priority,reason",
		    json_object_get(data, "votes"));
	printf("\n");
	print_table(cli, "term,ms,source", json_object_get(failover, "terms"));
	if (json_is_integer(total))
		printf("a failover takes %" JSON_INTEGER_FORMAT " ms at worst\n",
		       json_integer_value(total));
	else
		printf("a failover has no bound: a term is not known\n");
}

/* The virtual machine field by field, then its definition, then a table of its migrations. */
static void print_vm(const struct cli *cli, const json_t *data)
{
	json_t *fields = json_copy((json_t *)data);
	const json_t *migrations = json_object_get(data, "migrations");

	json_object_del(fields, "definition");
	json_object_del(fields, "migrations");
	json_object_del(fields, "migration");
	print_fields(fields);
	json_decref(fields);
	printf("\n");
	json_dumpf(json_object_get(data, "definition"), stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	printf("\n");
	if (!json_array_size(migrations))
		return;
	printf("\n");
	print_table(cli, "id,source,destination,phase,outcome,sent,passes,downtime_ms,since,reason",
		    migrations);
}

/* With its line breaks; lines that are too long are broken at blanks. */
static void print_text(const char *text, size_t indent)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (indent + n > TEXT_WIDTH) {
			n = TEXT_WIDTH - indent;
			while (n > 0 && text[n] != ' ')
				n--;
			if (!n)
				n = 1 + strcspn(text + 1, " \n");
		}
		printf("%*s%.*s\n", n ? (int)indent : 0, "", (int)n, text);
		text += n;
		text += *text == '\n' ? 1 : strspn(text, " ");
	}
}

/* A default that would make a table too wide is only in the text below it. */
static json_t *table_row(const json_t *row)
{
	json_t *copy = json_copy((json_t *)row);
	const char *value = json_string_value(json_object_get(row, "default"));
	const char *desc = json_string_value(json_object_get(row, "shortdesc"));
	char text[DEFAULT_MAX];

	if (value && strlen(value) >= sizeof(text)) {
		snprintf(text, sizeof(text) - 3, "%s", value);
		tidy(text, sizeof(text) - 3);
		snprintf(text + strlen(text), 4, "...");
		json_object_set_new(copy, "default", json_string(text));
	}
	if (json_is_true(json_object_get(row, "is_deprecated")))
		json_object_set_new(copy, "shortdesc",
				    json_sprintf("(deprecated) %s", desc ? desc : ""));
	return copy;
}

/* What the table of parameters has no room for. */
static void print_param(const json_t *row)
{
	const char *text = json_string_value(json_object_get(row, "longdesc"));
	const char *value = json_string_value(json_object_get(row, "default"));
	const json_t *options = json_object_get(row, "options");
	bool is_long = value && strlen(value) >= DEFAULT_MAX;
	char cells[CELL_MAX];

	if (!(text && text[0]) && !json_array_size(options) && !is_long)
		return;
	printf("\n  %s\n", json_string_value(json_object_get(row, "name")));
	if (text)
		print_text(text, 6);
	cell(options, cells, sizeof(cells));
	if (json_array_size(options))
		printf("      one of: %s\n", cells);
	if (is_long)
		printf("      default: %s\n", value);
}

/* The agent field by field, its description, its parameters, its actions, more on parameters. */
static void print_agent(const struct cli *cli, const json_t *data)
{
	static const char *const apart[] = {"longdesc", "parameters", "actions"};
	json_t *fields = json_copy((json_t *)data), *rows = json_array(), *row;
	const json_t *params = json_object_get(data, "parameters");
	const char *text = json_string_value(json_object_get(data, "longdesc"));
	size_t i;

	for (i = 0; i < MUST_ARRAY_SIZE(apart); i++)
		json_object_del(fields, apart[i]);
	print_fields(fields);
	json_decref(fields);
	printf("\n");
	if (text && text[0]) {
		print_text(text, 0);
		printf("\n");
	}
	json_array_foreach(params, i, row) json_array_append_new(rows, table_row(row));
	if (json_array_size(rows))
		print_table(cli, "name,type,default,is_required,is_unique,shortdesc", rows);
	else
		printf("it takes no parameters\n");
	json_decref(rows);
	printf("\n");
	print_table(cli, "name,role,timeout_ms,interval_ms,start_delay_ms,depth",
		    json_object_get(data, "actions"));
	json_array_foreach(params, i, row) print_param(row);
}

/* Of a decision that is made again. */
static void print_then_and_now(const json_t *data)
{
	static const char *const word[][2] = {{"decision", "then"}, {"replayed", "again"}};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(word); i++) {
		const json_t *d = json_object_get(data, word[i][0]);

		if (json_is_object(d))
			printf("%-7s %s\n", word[i][1],
			       json_string_value(json_object_get(d, "text")));
	}
}

/* What a simulation has found: in one sentence, the orders, what became of everything. */
static void print_whatif(const struct cli *cli, const json_t *data)
{
	const json_t *q = json_object_get(data, "quorum"), *v;
	size_t i;

	printf("%s\n", json_string_value(json_object_get(data, "summary")));
	print_then_and_now(data);
	if (q)
		print_votes(q);
	json_array_foreach(json_object_get(data, "notes"), i, v)
		printf("note    %s\n", json_string_value(v));
	printf("\n");
	print_table(cli, "round,action,kind,name,node,reason", json_object_get(data, "orders"));
	printf("\n");
	print_table(cli, "kind,name,change,was,was_node,work,node,why",
		    json_object_get(data, "outcome"));
}

/* Of a dry run: the rows, what the planner would order, what becomes of whom. */
static void print_dry_run(const struct cli *cli, const json_t *data)
{
	static const char *const tables[][2] = {
		{"commands", "command"},
		{"rows", "kind,name,change,fields"},
		{"orders", "round,action,kind,name,node,reason"},
		{"outcome", "kind,name,change,was,was_node,work,node,why"}};
	const json_t *v;
	size_t i;

	printf("%s\n", json_string_value(json_object_get(data, "summary")));
	json_array_foreach(json_object_get(data, "notes"), i, v)
		printf("note    %s\n", json_string_value(v));
	for (i = 0; i < MUST_ARRAY_SIZE(tables); i++) {
		const json_t *rows = json_object_get(data, tables[i][0]);

		if (!json_array_size(rows))
			continue;
		printf("\n");
		print_table(cli, tables[i][1], rows);
	}
}

static bool is_whatif(const struct cli *cli)
{
	return !strcmp(cli->command->noun, "simulate") ||
	       !strcmp(cli->command->api, "cluster.can_lose");
}

void print_data(const struct cli *cli, const json_t *data)
{
	if (!data || json_is_null(data))
		return;
	if (cli->json || !strcmp(cli->command->api, "config.show")) {
		json_dumpf(data, stdout, JSON_INDENT(2));
		printf("\n");
	} else if (!strcmp(cli->command->api, "cluster.status")) {
		print_status(cli, data);
	} else if (json_is_array(data)) {
		print_table(cli, cli->command->columns, data);
	} else if (cli->fields) {
		print_row(cli, data);
	} else if (json_is_true(json_object_get(data, "is_dry_run"))) {
		print_dry_run(cli, data);
	} else if (json_is_array(json_object_get(data, "commands"))) {
		print_table(cli, "command", json_object_get(data, "commands"));
	} else if (!strcmp(cli->command->api, "agent.show")) {
		print_agent(cli, data);
	} else if (is_whatif(cli)) {
		print_whatif(cli, data);
	} else if (!strcmp(cli->command->api, "volume.show")) {
		print_volume(cli, data);
	} else if (!strcmp(cli->command->api, "quorum.show")) {
		print_quorum(cli, data);
	} else if (!strcmp(cli->command->api, "vm.show")) {
		print_vm(cli, data);
	} else {
		print_fields(data);
	}
}
