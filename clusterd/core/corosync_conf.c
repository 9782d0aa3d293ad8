/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/corosync_conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/must.h"

#define DEPTH_MAX 8
#define WORD_MAX  128

enum line_kind { LINE_OTHER, LINE_BEGIN, LINE_END, LINE_VALUE };

struct line {
	enum line_kind kind;
	const char *text; /* all of it, with its newline */
	size_t len;
	char key[WORD_MAX]; /* of a section, or of a value */
	char value[WORD_MAX];
};

/* Where in the text we are. */
struct cursor {
	const char *text;
	size_t len, at;
	uint32_t number;
	uint8_t depth;
	char section[DEPTH_MAX][WORD_MAX]; /* from the outermost */
	struct corosync_problem *problem;
};

static int __attribute__((format(printf, 2, 3))) wrong(struct cursor *c, const char *format, ...)
{
	va_list ap;

	c->problem->line = c->number;
	va_start(ap, format);
	(void)vsnprintf(c->problem->text, sizeof(c->problem->text), format, ap);
	va_end(ap);
	return -EINVAL;
}

/* ---- lines */

static bool is_blank(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

/* Trimmed; false if it does not fit. */
static bool take_word(const char *p, size_t n, char word[WORD_MAX])
{
	while (n && is_blank(p[0])) {
		p++;
		n--;
	}
	while (n && is_blank(p[n - 1]))
		n--;
	if (n >= WORD_MAX)
		return false;
	memcpy(word, p, n);
	word[n] = 0;
	return true;
}

static int classify(struct cursor *c, struct line *l)
{
	const char *brace = memchr(l->text, '{', l->len);
	const char *colon = memchr(l->text, ':', l->len);
	size_t at = 0;

	while (at < l->len && is_blank(l->text[at]))
		at++;
	l->kind = LINE_OTHER;
	if (at == l->len || l->text[at] == '#')
		return 0;
	if (brace) { /* in this order, as corosync looks for them */
		l->kind = LINE_BEGIN;
		if (!take_word(l->text, (size_t)(brace - l->text), l->key) || !l->key[0])
			return wrong(c, "a section without a name, or with too long a one");
	} else if (colon) {
		l->kind = LINE_VALUE;
		if (!take_word(l->text, (size_t)(colon - l->text), l->key))
			return wrong(c, "too long a key");
		/* What does not fit is nothing that we look at: it is kept as it stands. */
		if (!take_word(colon + 1, l->len - (size_t)(colon + 1 - l->text), l->value))
			l->value[0] = 0;
	} else if (memchr(l->text, '}', l->len)) {
		l->kind = LINE_END;
	} else {
		return wrong(c, "neither a section nor `key: value`");
	}
	return 0;
}

/* 1: a line; 0: the end; -EINVAL. Sections are entered and left after it was looked at. */
static int next_line(struct cursor *c, struct line *l)
{
	const char *end;

	if (c->at == c->len)
		return c->depth ? wrong(c, "section %s is not closed", c->section[c->depth - 1])
				: 0;
	*l = (struct line){.text = c->text + c->at};
	end = memchr(l->text, '\n', c->len - c->at);
	l->len = end ? (size_t)(end - l->text) + 1 : c->len - c->at;
	c->at += l->len;
	c->number++;
	return classify(c, l) ?: 1;
}

static int enter_or_leave(struct cursor *c, const struct line *l)
{
	if (l->kind == LINE_BEGIN) {
		if (c->depth == DEPTH_MAX)
			return wrong(c, "sections are nested too deep");
		memcpy(c->section[c->depth++], l->key, sizeof(l->key));
	} else if (l->kind == LINE_END) {
		if (!c->depth)
			return wrong(c, "a brace that closes nothing");
		c->depth--;
	}
	return 0;
}

/* Inside these sections, and in none further in. */
static bool is_in(const struct cursor *c, const char *outer, const char *inner)
{
	return c->depth == (inner ? 2 : 1) && !strcmp(c->section[0], outer) &&
	       (!inner || !strcmp(c->section[1], inner));
}

/* ---- safety */

struct safety {
	bool has_cipher, has_hash;
};

static int look_for_unsafe(struct cursor *c, const struct line *l, struct safety *s)
{
	static const char *const own_quorum[] = {"two_node", "wait_for_all", "last_man_standing",
						 "auto_tie_breaker"};

	if (l->kind == LINE_BEGIN && is_in(c, "quorum", NULL) && !strcmp(l->key, "device"))
		return wrong(c, "quorum.device: clusterd alone decides about quorum -> remove it");
	if (l->kind != LINE_VALUE)
		return 0;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(own_quorum) && is_in(c, "quorum", NULL); i++) {
		if (!strcmp(l->key, own_quorum[i]) && strcmp(l->value, "0") != 0)
			return wrong(c,
				     "quorum.%s: clusterd alone decides about quorum -> remove it",
				     l->key);
	}
	if (!is_in(c, "totem", NULL))
		return 0;
	if (!strcmp(l->key, "transport") && strcmp(l->value, "knet") != 0)
		return wrong(c, "totem.transport is %.20s -> only knet can encrypt", l->value);
	if (!strcmp(l->key, "crypto_cipher"))
		s->has_cipher = strcmp(l->value, "none") != 0;
	if (!strcmp(l->key, "crypto_hash"))
		s->has_hash = strcmp(l->value, "none") != 0;
	return 0;
}

static int end_of_text(struct cursor *c, const struct safety *s)
{
	c->number = 0;
	if (!s->has_cipher || !s->has_hash)
		return wrong(c, "the ring is not encrypted -> set totem.crypto_cipher: aes256 and "
				"totem.crypto_hash: sha256");
	return 0;
}

/* ---- reading */

static bool take_number(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || v > (max - (uint64_t)(*s - '0')) / 10)
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	*ret = v;
	return true;
}

static int take_address(struct cursor *c, const struct line *l, struct corosync_node *n)
{
	uint64_t link;
	char digits[WORD_MAX];
	size_t len = strlen(l->key);

	if (len < 10 || memcmp(l->key, "ring", 4) != 0 || strcmp(l->key + len - 5, "_addr") != 0)
		return 0;
	memcpy(digits, l->key + 4, len - 9);
	digits[len - 9] = 0;
	if (!take_number(digits, UINT32_MAX, &link))
		return 0;
	if (link >= COROSYNC_LINKS)
		return wrong(c, "%s: a node has %d links at most", l->key, COROSYNC_LINKS);
	if (!l->value[0] || strlen(l->value) >= sizeof(n->address[0]))
		return wrong(c, "%s: an address of 1 to %zu characters", l->key,
			     sizeof(n->address[0]) - 1);
	memcpy(n->address[link], l->value, strlen(l->value) + 1);
	return 0;
}

static int take_node_value(struct cursor *c, const struct line *l, struct corosync_node *n)
{
	uint64_t v;

	if (!strcmp(l->key, "nodeid")) {
		if (!take_number(l->value, UINT32_MAX, &v) || !v)
			return wrong(c, "nodeid: a number from 1 to %" PRIu32, UINT32_MAX);
		n->nodeid = (uint32_t)v;
	} else if (!strcmp(l->key, "name")) {
		if (strlen(l->value) >= sizeof(n->name))
			return wrong(c, "name: longer than %zu characters", sizeof(n->name) - 1);
		memcpy(n->name, l->value, strlen(l->value) + 1);
	} else {
		return take_address(c, l, n);
	}
	return 0;
}

const char *corosync_time_key(enum corosync_time time)
{
	static const char *const key[COROSYNC_TIME_MAX] = {
#define COROSYNC_TIME_KEY(NAME, word) [COROSYNC_##NAME] = word,
		COROSYNC_TIMES(COROSYNC_TIME_KEY)
#undef COROSYNC_TIME_KEY
	};

	return key[time];
}

/* The time that a line of section totem sets; COROSYNC_TIME_MAX: none. */
static enum corosync_time time_of(const struct cursor *c, const struct line *l)
{
	enum corosync_time t = 0;

	if (l->kind != LINE_VALUE || !is_in(c, "totem", NULL))
		return COROSYNC_TIME_MAX;
	while (t < COROSYNC_TIME_MAX && strcmp(l->key, corosync_time_key(t)) != 0)
		t++;
	return t;
}

static int take_time(struct cursor *c, const struct line *l, struct corosync_times *ret)
{
	enum corosync_time t = time_of(c, l);
	uint64_t ms;

	if (t == COROSYNC_TIME_MAX)
		return 0;
	if (!take_number(l->value, UINT32_MAX / 64, &ms))
		return wrong(c, "totem.%s: a number of milliseconds", l->key);
	ret->ms[t] = (uint32_t)ms;
	ret->given = (uint8_t)(ret->given | 1u << t);
	return 0;
}

static int take_line(struct cursor *c, const struct line *l, struct corosync_nodes *ret)
{
	if (l->kind == LINE_BEGIN && is_in(c, "nodelist", NULL) && !strcmp(l->key, "node")) {
		if (ret->count == CL_MAX_NODES)
			return wrong(c, "more than %d nodes", CL_MAX_NODES);
		ret->node[ret->count++] = (struct corosync_node){0};
	}
	if (l->kind == LINE_VALUE && is_in(c, "nodelist", "node"))
		return take_node_value(c, l, &ret->node[ret->count - 1]);
	if (l->kind == LINE_VALUE && is_in(c, "totem", NULL) && !strcmp(l->key, "config_version") &&
	    !take_number(l->value, UINT64_MAX, &ret->version))
		return wrong(c, "totem.config_version: a number");
	return take_time(c, l, &ret->times);
}

int corosync_conf_read(const char *text, size_t len, struct corosync_nodes *ret,
		       struct corosync_problem *problem)
{
	struct cursor c = {.text = text, .len = len, .problem = problem};
	struct safety safety = {0};
	struct line l;
	int r;

	*ret = (struct corosync_nodes){0};
	*problem = (struct corosync_problem){0};
	while ((r = next_line(&c, &l)) > 0) {
		r = look_for_unsafe(&c, &l, &safety) ?: take_line(&c, &l, ret);
		r = r ?: enter_or_leave(&c, &l);
		if (r)
			return r;
	}
	return r ?: end_of_text(&c, &safety);
}

/* ---- writing */

struct writer {
	char *at;
	size_t room;
	bool is_full;
};

static void put(struct writer *w, const char *p, size_t n)
{
	if (w->is_full || n > w->room) {
		w->is_full = true;
		return;
	}
	memcpy(w->at, p, n);
	w->at += n;
	w->room -= n;
}

static void __attribute__((format(printf, 2, 3))) putf(struct writer *w, const char *format, ...)
{
	char text[WORD_MAX + COROSYNC_ADDRESS_MAX];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	must(n >= 0 && (size_t)n < sizeof(text));
	put(w, text, (size_t)n);
}

static void put_nodes(struct writer *w, const struct corosync_nodes *nodes)
{
	putf(w, "nodelist {\n");
	for (uint8_t i = 0; i < nodes->count; i++) {
		const struct corosync_node *n = &nodes->node[i];

		putf(w, "\tnode {\n\t\tnodeid: %" PRIu32 "\n\t\tname: %s\n", n->nodeid, n->name);
		for (int link = 0; link < COROSYNC_LINKS; link++) {
			if (n->address[link][0])
				putf(w, "\t\tring%d_addr: %s\n", link, n->address[link]);
		}
		putf(w, "\t}\n");
	}
	putf(w, "}\n");
}

static void put_times(struct writer *w, const struct corosync_times *times)
{
	for (enum corosync_time t = 0; t < COROSYNC_TIME_MAX; t++) {
		if (times->given & (1u << t))
			putf(w, "\t%s: %" PRIu32 "\n", corosync_time_key(t), times->ms[t]);
	}
}

/* Version and times go to the top of the first section totem, nodes where the first list was. */
struct edit {
	struct writer w;
	const struct corosync_nodes *nodes;
	bool has_version, has_nodes;
};

static void edit_line(struct edit *e, const struct cursor *c, const struct line *l)
{
	bool is_list = c->depth && !strcmp(c->section[0], "nodelist");
	const struct corosync_times *times = &e->nodes->times;
	enum corosync_time time;

	if (is_list || (!c->depth && l->kind == LINE_BEGIN && !strcmp(l->key, "nodelist"))) {
		if (!e->has_nodes)
			put_nodes(&e->w, e->nodes);
		e->has_nodes = true;
		return;
	}
	if (is_in(c, "totem", NULL) && l->kind == LINE_VALUE && !strcmp(l->key, "config_version"))
		return;
	time = time_of(c, l);
	if (time < COROSYNC_TIME_MAX && (times->given & (1u << time)))
		return;
	put(&e->w, l->text, l->len);
	if (l->text[l->len - 1] != '\n')
		put(&e->w, "\n", 1);
	if (!c->depth && l->kind == LINE_BEGIN && !strcmp(l->key, "totem") && !e->has_version) {
		putf(&e->w, "\tconfig_version: %" PRIu64 "\n", e->nodes->version);
		put_times(&e->w, times);
		e->has_version = true;
	}
}

int corosync_conf_edit(const char *old, size_t len, const struct corosync_nodes *nodes, char *out,
		       size_t cap, size_t *ret_len, struct corosync_problem *problem)
{
	struct cursor c = {.text = old, .len = len, .problem = problem};
	struct edit e = {.w = {.at = out, .room = cap}, .nodes = nodes};
	struct safety safety = {0};
	struct line l;
	int r;

	*problem = (struct corosync_problem){0};
	while ((r = next_line(&c, &l)) > 0) {
		r = look_for_unsafe(&c, &l, &safety);
		if (!r)
			edit_line(&e, &c, &l);
		r = r ?: enter_or_leave(&c, &l);
		if (r)
			return r;
	}
	r = r ?: end_of_text(&c, &safety);
	if (r)
		return r;
	must(e.has_version); /* a text without totem is not encrypted */
	if (!e.has_nodes)
		put_nodes(&e.w, nodes);
	if (e.w.is_full)
		return -ENOSPC;
	*ret_len = (size_t)(e.w.at - out);
	return 0;
}
