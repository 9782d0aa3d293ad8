/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Golden scenarios of the planner: each folder of tests/golden/plan has README (what is the case,
 * what should happen and why), state, events, and expected: the decisions that followed. How to
 * read and write them is in doc/policy.md.
 *
 *   run_plan [--update] [NAME...]    all scenarios, or those; --update writes `expected`, and the
 *                                    difference is for a reviewer to read
 *
 * Each is played twice, the second time renamed, and both have to decide the same.
 * Exit codes: 0 all as expected, 1 not, 2 wrong usage.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "tests/plan/scenario.h"

#define TEXT_MAX      65536 /* of a file, and of what is decided */
#define LINES_MAX     1024
#define SCENARIOS_MAX 1024

/* ---- files */

/* Returns owned text, NULL if it cannot be read. */
static char *read_text(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char *text;
	size_t n;

	if (!f)
		return NULL;
	text = calloc(1, TEXT_MAX);
	must(text);
	n = fread(text, 1, TEXT_MAX - 1, f);
	text[n] = 0;
	return text;
}

static bool write_text(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *f = fopen(path, "we");

	return f && fputs(text, f) >= 0 && !fflush(f);
}

/* ---- difference of two texts, by lines */

struct lines {
	size_t count;
	const char *at[LINES_MAX];
	size_t len[LINES_MAX];
};

static void take_lines(const char *text, struct lines *ret)
{
	ret->count = 0;
	while (*text && ret->count < LINES_MAX) {
		size_t len = strcspn(text, "\n");

		ret->at[ret->count] = text;
		ret->len[ret->count++] = len;
		text += len + (text[len] == '\n');
	}
}

static bool is_same(const struct lines *a, size_t i, const struct lines *b, size_t k)
{
	return a->len[i] == b->len[k] && !memcmp(a->at[i], b->at[k], a->len[i]);
}

/* Length of the longest common subsequence of what is left from (i, k) on, for all i and k. */
static uint16_t *common(const struct lines *a, const struct lines *b)
{
	size_t width = b->count + 1;
	uint16_t *n = calloc((a->count + 1) * width, sizeof(*n));

	must(n);
	for (size_t i = a->count; i-- > 0;) {
		for (size_t k = b->count; k-- > 0;) {
			uint16_t down = n[(i + 1) * width + k], right = n[i * width + k + 1];

			n[i * width + k] = is_same(a, i, b, k)
						   ? (uint16_t)(n[(i + 1) * width + k + 1] + 1)
					   : down > right ? down
							  : right;
		}
	}
	return n;
}

static void print_difference(const char *expected, const char *got)
{
	static struct lines a, b;
	_cleanup_free_ uint16_t *n = NULL;
	size_t i = 0, k = 0, width;

	take_lines(expected, &a);
	take_lines(got, &b);
	n = common(&a, &b);
	width = b.count + 1;
	while (i < a.count || k < b.count) {
		if (i < a.count && k < b.count && is_same(&a, i, &b, k)) {
			printf("   %.*s\n", (int)a.len[i], a.at[i]);
			i++, k++;
		} else if (k == b.count ||
			   (i < a.count && n[(i + 1) * width + k] >= n[i * width + k + 1])) {
			printf("-  %.*s\n", (int)a.len[i], a.at[i]);
			i++;
		} else {
			printf("+  %.*s\n", (int)b.len[k], b.at[k]);
			k++;
		}
	}
}

/* ---- one scenario */

struct folder {
	char path[PATH_MAX];
	char *readme, *state, *events;
};

/* Nodes of the rows, and those that join in the events; one too many does no harm. */
static uint8_t count_nodes(const struct folder *f)
{
	const char *texts[] = {f->state, f->events};
	static const char *const starts[] = {"node ", "node_admit ", "node_add "};
	unsigned int n = 0;

	for (size_t k = 0; k < 3; k++) {
		for (const char *at = texts[k > 0]; at; at = strchr(at, '\n')) {
			at += *at == '\n';
			n += !strncmp(at, starts[k], strlen(starts[k]));
		}
	}
	return (uint8_t)(n > CL_MAX_NODES ? CL_MAX_NODES : n);
}

static void each_line(struct scenario *s, const struct folder *f, const char *name,
		      const char *text, void (*fn)(struct scenario *, const struct scenario_line *))
{
	static char file[PATH_MAX + 16];
	static struct scenario_line line;

	snprintf(file, sizeof(file), "%s/%s", f->path, name);
	s->file = file;
	s->line = 0;
	while (*text) {
		size_t len = strcspn(text, "\n");

		s->line++;
		if (scenario_split(s, text, &line)) {
			if (fn == scenario_event)
				fprintf(s->out, "> %.*s\n", (int)len, text);
			fn(s, &line);
		}
		text += len + (text[len] == '\n');
	}
}

/* Plays it; returns owned text of what was decided, NULL after a fault, which is printed. */
static char *play(const struct folder *f, bool is_renamed)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct scenario *volatile s = NULL;
	volatile bool is_broken = false;
	jmp_buf fault;

	must(out);
	s = scenario_new(is_renamed, count_nodes(f), out, &fault);
	s->keeps_slots = strstr(f->events, "node_add ") != NULL;
	if (!setjmp(fault)) {
		each_line(s, f, "state", f->state, scenario_row);
		scenario_ready(s);
		each_line(s, f, "events", f->events, scenario_event);
		scenario_end(s);
	} else {
		printf("%s%s\n", s->fault_text, is_renamed ? " (renamed)" : "");
		is_broken = true;
	}
	scenario_free(s);
	fclose(out);
	if (is_broken) {
		free(text);
		text = NULL;
	}
	return text;
}

static bool compare(const struct folder *f, const char *got, bool is_update)
{
	char path[PATH_MAX + 16];
	_cleanup_free_ char *expected = NULL;

	snprintf(path, sizeof(path), "%s/expected", f->path);
	expected = read_text(path);
	if (expected && !strcmp(expected, got))
		return true;
	printf("%s: decides otherwise than expected\n", f->path);
	print_difference(expected ? expected : "", got);
	if (!is_update)
		return false;
	if (!write_text(path, got)) {
		printf("%s: cannot be written: %s\n", path, strerror(errno));
		return false;
	}
	return true;
}

static bool run_folder(struct folder *f, bool is_update)
{
	_cleanup_free_ char *got = NULL;
	_cleanup_free_ char *renamed = NULL;

	if (!f->readme || !f->readme[0] || !f->state || !f->events) {
		printf("%s: needs README, state and events\n", f->path);
		return false;
	}
	got = play(f, false);
	renamed = got ? play(f, true) : NULL;
	if (!renamed)
		return false;
	if (strcmp(got, renamed) != 0) {
		printf("%s: with other names and slots it decides otherwise\n", f->path);
		print_difference(got, renamed);
		return false;
	}
	return compare(f, got, is_update);
}

static bool run_scenario(const char *folder, const char *name, bool is_update)
{
	static const char *const files[] = {"README", "state", "events"};
	struct folder f = {0};
	char *text[3], path[PATH_MAX + 16];
	bool is_good;

	snprintf(f.path, sizeof(f.path), "%s/%s", folder, name);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", f.path, files[i]);
		text[i] = read_text(path);
	}
	f.readme = text[0];
	f.state = text[1];
	f.events = text[2];
	is_good = run_folder(&f, is_update);
	for (size_t i = 0; i < 3; i++)
		free(text[i]);
	return is_good;
}

static int is_visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int run_all(const char *folder, bool is_update)
{
	struct dirent **entry = NULL;
	int n = scandir(folder, &entry, is_visible, alphasort), failed = 0;

	if (n <= 0) {
		printf("%s: no scenarios there\n", folder);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		failed += !run_scenario(folder, entry[i]->d_name, is_update);
		free(entry[i]);
	}
	free(entry);
	printf("%d passed, %d failed\n", n - failed, failed);
	return failed > 0;
}

int main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir");
	char folder[PATH_MAX];
	bool is_update = false;
	int at = 1, failed = 0;

	snprintf(folder, sizeof(folder), "%s/tests/golden/plan", srcdir ? srcdir : ".");
	if (at < argc && !strcmp(argv[at], "--update")) {
		is_update = true;
		at++;
	}
	if (at < argc && argv[at][0] == '-') {
		fprintf(stderr, "usage: run_plan [--update] [NAME...]\n");
		return 2;
	}
	if (at == argc)
		return run_all(folder, is_update);
	for (; at < argc; at++)
		failed += !run_scenario(folder, argv[at], is_update);
	return failed > 0;
}
