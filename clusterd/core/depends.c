/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/depends.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/types.h"
#include "lib/must.h"

/* Between two brackets: all operators are the same one. */
struct level {
	int op; /* 0: none yet */
	int operands;
	size_t at; /* of its bracket */
};

struct parser {
	const char *text;
	size_t at; /* of the word in hand */
	char word[CL_NAME_MAX];
	struct depends out;
	struct level level[DEPENDS_DEPTH_MAX + 1];
	size_t depth;
	bool wants_operand;
	char *why;
	size_t size;
};

static int refuse(struct parser *p, size_t at, const char *what)
{
	if (p->text[at])
		snprintf(p->why, p->size, "character %zu, at '%.20s': %s", at + 1, p->text + at,
			 what);
	else
		snprintf(p->why, p->size, "at the end of '%.60s': %s", p->text, what);
	return -EINVAL;
}

static bool is_and(const char *word)
{
	return !strcmp(word, "and") || !strcmp(word, "AND");
}

static bool is_or(const char *word)
{
	return !strcmp(word, "or") || !strcmp(word, "OR");
}

/* 0: the end; else the length of the next word, which is a bracket or up to a blank or bracket. */
static size_t next_word(struct parser *p)
{
	size_t n;

	p->at += strspn(p->text + p->at, " \t");
	n = strcspn(p->text + p->at, " \t()");
	if (!n && p->text[p->at])
		n = 1;
	snprintf(p->word, sizeof(p->word), "%.*s", (int)(n < CL_NAME_MAX ? n : CL_NAME_MAX - 1),
		 p->text + p->at);
	return n;
}

static bool emit(struct parser *p, int token)
{
	if (p->out.count == DEPENDS_TOKENS_MAX)
		return false;
	p->out.token[p->out.count++] = (int16_t)token;
	return true;
}

/* One operand of this level is complete. */
static int operand_done(struct parser *p)
{
	struct level *l = &p->level[p->depth];

	p->wants_operand = false;
	if (++l->operands > 1 && !emit(p, l->op))
		return refuse(p, p->at, "too long: fewer resources");
	return 0;
}

static int take_operand(struct parser *p, depends_find_fn find, void *arg)
{
	const char *why = "there is no such resource";
	int n;

	if (!strcmp(p->word, "(")) {
		if (p->depth == DEPENDS_DEPTH_MAX)
			return refuse(p, p->at, "brackets too deep");
		p->level[++p->depth] = (struct level){.at = p->at};
		return 0;
	}
	if (!strcmp(p->word, ")") || is_and(p->word) || is_or(p->word))
		return refuse(p, p->at, "the name of a resource is missing before it");
	n = find(arg, p->word, &why);
	if (n < 0)
		return refuse(p, p->at, why);
	if (!emit(p, n))
		return refuse(p, p->at, "too long: fewer resources");
	return operand_done(p);
}

static int take_operator(struct parser *p)
{
	struct level *l = &p->level[p->depth];
	int op = is_and(p->word) ? DEPENDS_AND : is_or(p->word) ? DEPENDS_OR : 0;

	if (!strcmp(p->word, ")")) {
		if (!p->depth)
			return refuse(p, p->at, "this bracket was never opened");
		p->depth--;
		return operand_done(p);
	}
	if (!op)
		return refuse(p, p->at, "'and' or 'or' is missing before it");
	if (l->op && l->op != op)
		return refuse(p, p->at,
			      "'and' beside 'or' can be read in two ways: put brackets around one");
	l->op = op;
	p->wants_operand = true;
	return 0;
}

int depends_parse(const char *text, depends_find_fn find, void *arg, struct depends *ret, char *why,
		  size_t size)
{
	struct parser p = {.text = text, .why = why, .size = size, .wants_operand = true};
	size_t n;
	int r;

	while ((n = next_word(&p)) > 0) {
		if (n >= CL_NAME_MAX)
			return refuse(&p, p.at, "too long for the name of a resource");
		r = p.wants_operand ? take_operand(&p, find, arg) : take_operator(&p);
		if (r)
			return r;
		p.at += n;
	}
	if (p.depth)
		return refuse(&p, p.level[p.depth].at, "this bracket is not closed");
	if (p.wants_operand && p.level[0].op)
		return refuse(&p, p.at, "the name of a resource is missing");
	*ret = p.out;
	return 0;
}

bool depends_is_true(const struct depends *d, const bool *is_online)
{
	bool stack[DEPENDS_TOKENS_MAX];
	size_t n = 0;

	for (uint16_t i = 0; i < d->count; i++) {
		int t = d->token[i];

		if (t >= 0) {
			stack[n++] = is_online[t];
			continue;
		}
		must(n >= 2); /* depends_parse() has made it */
		n--;
		stack[n - 1] =
			t == DEPENDS_AND ? stack[n - 1] && stack[n] : stack[n - 1] || stack[n];
	}
	must(n == (d->count > 0));
	return !n || stack[0];
}

bool depends_names(const struct depends *d, int resource)
{
	for (uint16_t i = 0; i < d->count; i++) {
		if (d->token[i] == resource)
			return true;
	}
	return false;
}
