/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dependencies of resources: what is read from a text, and what is started and stopped next. The
 * last tests play random trees against definitions that are written down once more, plainly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/tree.h"
#include "lib/must.h"
#include "lib/prng.h"

#define TREES 400

/* ---- texts */

static int find_letter(void *arg, const char *name, const char **why)
{
	(void)arg;
	if (strlen(name) == 1 && name[0] >= 'a' && name[0] <= 'h')
		return name[0] - 'a';
	*why = "nobody knows it";
	return -1;
}

static char why[200];

static int parse(const char *text, struct depends *d)
{
	why[0] = 0;
	return depends_parse(text, find_letter, NULL, d, why, sizeof(why));
}

/* With the letters of `up` online. */
static bool is_true(const char *text, const char *up)
{
	bool online[8] = {false};
	struct depends d;

	assert_int_equal(parse(text, &d), 0);
	for (; *up; up++)
		online[*up - 'a'] = true;
	return depends_is_true(&d, online);
}

static void and_needs_all_and_or_needs_one(void **state)
{
	(void)state;
	assert_true(is_true("", ""));
	assert_true(is_true("a", "a"));
	assert_false(is_true("a", "b"));
	assert_false(is_true("a and b", "a"));
	assert_true(is_true("a AND b", "ab"));
	assert_true(is_true("a or b", "b"));
	assert_false(is_true("a or b", ""));
	assert_true(is_true("a and (b or c)", "ac"));
	assert_false(is_true("a and (b or c)", "bc"));
	assert_true(is_true("((a and b) or(c and d))and e", "cde"));
	assert_false(is_true("((a and b) or (c and d)) and e", "ade"));
}

static void refused(const char *text, const char *what)
{
	struct depends d = {.count = 77};

	assert_int_not_equal(parse(text, &d), 0);
	assert_int_equal(d.count, 77);
	if (!strstr(why, what))
		fail_msg("'%s': '%s' does not say '%s'", text, why, what);
}

static void what_cannot_be_read_is_refused_with_its_place(void **state)
{
	(void)state;
	refused("a and b or c", "character 9, at 'or c': 'and' beside 'or'");
	refused("a b", "character 3, at 'b': 'and' or 'or' is missing");
	refused("a and", "at the end of 'a and': the name of a resource is missing");
	refused("and a", "character 1, at 'and a': the name of a resource is missing");
	refused("(a or b", "character 1, at '(a or b': this bracket is not closed");
	refused("a or ()", "character 7, at ')': the name of a resource is missing");
	refused("a) or b", "character 2, at ') or b': this bracket was never opened");
	refused("a or z", "character 6, at 'z': nobody knows it");
	refused("((((((((((((((((((a))))))))))))))))))", "brackets too deep");
	refused("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"too long for the name");
}

static void a_text_of_any_length_ends_in_an_answer(void **state)
{
	static char text[4096];
	struct depends d;

	(void)state;
	for (size_t n = 0; n + 6 < sizeof(text); n += 5)
		memcpy(text + n, "a or ", 6);
	assert_int_not_equal(parse(text, &d), 0);
	assert_non_null(strstr(why, "too long"));
}

static void add_word(char *text, size_t size, const char *word)
{
	size_t at = strlen(text);

	snprintf(text + at, size - at, "%s", word);
}

/* What is taken can be evaluated, and all of it online makes it true; what is not says why. */
static void random_texts_are_read_or_refused(void **state)
{
	static const char *const words[] = {"a",    "(b)", "(a or b)", " h", " (", " and ",
					    " or ", " or", ") ",       "z",  "\t"};
	const bool all[8] = {true, true, true, true, true, true, true, true}, none[8] = {false};
	struct prng p;
	size_t taken = 0;

	(void)state;
	prng_init(&p, 1);
	for (int i = 0; i < 50000; i++) {
		char text[200] = "";
		struct depends d;
		size_t n = prng_below(&p, 12);

		for (size_t k = 0; k < n; k++)
			/* Mostly in turn: names and operators. */
			add_word(text, sizeof(text),
				 words[prng_below(&p, 8) ? (k % 2) * 5 + prng_below(&p, 3)
							 : prng_below(&p, 11)]);
		if (parse(text, &d)) {
			assert_string_not_equal(why, "");
			continue;
		}
		assert_true(depends_is_true(&d, all));
		assert_true(depends_is_true(&d, none) == !d.count);
		taken += d.count > 1;
	}
	assert_true(taken > 100);
}

/* ---- trees by hand: no rows are needed for what is next */

static struct tree make(size_t count, const char *const *texts)
{
	struct tree t = {.count = count};

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(parse(texts[i], &t.node[i].depends), 0);
		t.order[i] = (uint16_t)i;
	}
	return t;
}

/* Letters of what is to be started, or stopped. */
static const char *acts(const struct tree *t, const struct tree_situation *s,
			enum tree_action action)
{
	static char text[TREE_MAX + 1];
	struct tree_step step;
	size_t n = 0;

	tree_step(t, s, &step);
	for (size_t i = 0; i < t->count; i++) {
		if (step.action[i] == action)
			text[n++] = (char)('a' + i);
	}
	text[n] = 0;
	return text;
}

static enum tree_verdict verdict(const struct tree *t, const struct tree_situation *s)
{
	struct tree_step step;

	tree_step(t, s, &step);
	return step.verdict;
}

static void set(struct tree_situation *s, const char *letters, enum tree_state state)
{
	for (; *letters; letters++)
		s->resource[*letters - 'a'].state = state;
}

/* An address, two disks, one of which is enough, and what runs on them. */
static const char *const disks[] = {"", "", "", "a and (b or c)"};

static void branches_start_together_and_stop_in_reverse(void **state)
{
	struct tree t = make(4, disks);
	struct tree_situation s = {.is_wanted = true};

	(void)state;
	assert_string_equal(acts(&t, &s, TREE_START), "abc");
	set(&s, "abc", TREE_STARTING);
	assert_string_equal(acts(&t, &s, TREE_START), "");
	set(&s, "ac", TREE_UP);
	assert_string_equal(acts(&t, &s, TREE_START), "d"); /* one disk is enough */
	set(&s, "abcd", TREE_UP);
	assert_int_equal(verdict(&t, &s), TREE_IS_UP);
	s.is_wanted = false;
	assert_string_equal(acts(&t, &s, TREE_STOP), "d");
	set(&s, "d", TREE_STOPPING);
	assert_string_equal(acts(&t, &s, TREE_STOP), "");
	set(&s, "d", TREE_DOWN);
	assert_string_equal(acts(&t, &s, TREE_STOP), "abc");
	set(&s, "abc", TREE_DOWN);
	assert_int_equal(verdict(&t, &s), TREE_IS_DOWN);
}

static void a_failed_alternative_is_lived_with(void **state)
{
	struct tree t = make(4, disks);
	struct tree_situation s = {.is_wanted = true};

	(void)state;
	set(&s, "abcd", TREE_UP);
	s.resource[2].is_failed = true;
	assert_string_equal(acts(&t, &s, TREE_STOP), "c"); /* and nothing that needs it */
	s.resource[2].state = TREE_DOWN;
	assert_int_equal(verdict(&t, &s), TREE_IS_UP);
	s.resource[1].is_failed = true;
	assert_int_equal(verdict(&t, &s), TREE_IS_LOST);
}

static void what_nothing_stands_in_for_is_missed(void **state)
{
	struct tree t = make(4, disks);
	struct tree_situation s = {.is_wanted = true};

	(void)state;
	set(&s, "abcd", TREE_UP);
	s.resource[0].is_failed = true;
	assert_int_equal(verdict(&t, &s), TREE_IS_LOST);
	s.resource[0].is_failed = false;
	s.resource[3].is_failed = true; /* nothing needs it, and it is what all are for */
	assert_int_equal(verdict(&t, &s), TREE_IS_LOST);
}

static void an_alternative_takes_what_it_stands_on_with_it(void **state)
{
	static const char *const texts[] = {"", "", "b", "a or c"};
	struct tree t = make(4, texts);
	struct tree_situation s = {.is_wanted = true};

	(void)state;
	set(&s, "abcd", TREE_UP);
	s.resource[1].is_failed = true;
	assert_string_equal(acts(&t, &s, TREE_STOP), "c");
	set(&s, "c", TREE_DOWN);
	assert_string_equal(acts(&t, &s, TREE_STOP), "b");
	set(&s, "b", TREE_DOWN);
	assert_int_equal(verdict(&t, &s), TREE_IS_UP);
}

static void a_restart_takes_along_only_what_cannot_do_without(void **state)
{
	static const char *const texts[] = {"", "a", "", "b"};
	struct tree t = make(4, texts);
	struct tree_situation s = {.is_wanted = true};

	(void)state;
	set(&s, "abcd", TREE_UP);
	s.resource[1].must_stop = true;
	assert_string_equal(acts(&t, &s, TREE_STOP), "d");
	set(&s, "d", TREE_DOWN);
	assert_string_equal(acts(&t, &s, TREE_STOP), "b");
	set(&s, "b", TREE_DOWN);
	s.resource[1].must_stop = false;
	assert_string_equal(acts(&t, &s, TREE_START), "b");
}

static void what_is_stopped_by_an_administrator_is_no_failure(void **state)
{
	struct tree t = make(4, disks);
	struct tree_situation s = {.is_wanted = true};

	(void)state;
	set(&s, "abcd", TREE_UP);
	s.resource[0].is_off = true;
	assert_string_equal(acts(&t, &s, TREE_STOP), "d");
	set(&s, "d", TREE_DOWN);
	assert_string_equal(acts(&t, &s, TREE_STOP), "a");
	set(&s, "a", TREE_DOWN);
	assert_int_equal(verdict(&t, &s), TREE_IS_UP);
	s.resource[0].is_off = false;
	s.resource[1].is_off = true; /* with one disk stopped the other one counts */
	s.resource[2].is_failed = true;
	assert_int_equal(verdict(&t, &s), TREE_IS_LOST);
}

static void an_unmanaged_resource_is_not_touched_and_keeps_its_group(void **state)
{
	struct tree t = make(4, disks);
	struct tree_situation s = {.is_wanted = true};
	struct tree_step step;

	(void)state;
	s.resource[0].is_unmanaged = true;
	assert_string_equal(acts(&t, &s, TREE_START), "bc");
	set(&s, "bcd", TREE_UP);
	s.resource[3].is_failed = true;
	tree_step(&t, &s, &step);
	assert_true(step.is_held);
	assert_int_equal(step.verdict, TREE_WORKS);
	assert_int_equal(step.action[3], TREE_STOP);
	set(&s, "d", TREE_DOWN);
	assert_int_equal(verdict(&t, &s), TREE_IS_UP);
}

/* ---- random trees */

/* Of up to eight: each names some of those before it, in a random form. */
static struct tree random_tree(struct prng *p)
{
	struct tree t = {.count = 1 + prng_below(p, 8)};

	for (size_t i = 0; i < t.count; i++) {
		char text[100] = "";
		size_t at = 0, names = i ? prng_below(p, 4) : 0;
		const char *op = prng_below(p, 2) ? "and" : "or";

		for (size_t k = 0; k < names; k++) {
			char x = (char)('a' + prng_below(p, i));
			char y = (char)('a' + prng_below(p, i));
			const char *inner = prng_below(p, 2) ? "and" : "or";

			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s (%c %s %c)",
					       k ? op : "", x, inner, y);
			if (k + 1 < names)
				at += (size_t)snprintf(text + at, sizeof(text) - at, " ");
		}
		assert_int_equal(parse(text, &t.node[i].depends), 0);
		t.order[i] = (uint16_t)i;
	}
	return t;
}

static bool holds_now(const struct tree *t, const struct tree_situation *s, size_t i)
{
	bool up[TREE_MAX];

	for (size_t k = 0; k < t->count; k++)
		up[k] = s->resource[k].state == TREE_UP;
	return depends_is_true(&t->node[i].depends, up);
}

/* Plainly: what could run if these were out. */
static void could_run(const struct tree *t, const bool *out, bool *ret)
{
	for (size_t i = 0; i < t->count; i++)
		ret[i] = !out[i] && depends_is_true(&t->node[i].depends, ret);
}

/* Plainly: it has failed or cannot run, and that takes nothing away but an alternative. */
static bool is_spared(const struct tree *t, const bool *now, const bool *healthy, size_t i)
{
	bool has_user = false;

	if (now[i])
		return true;
	for (size_t k = i + 1; k < t->count; k++) {
		if (!healthy[k] || !depends_names(&t->node[k].depends, (int)i))
			continue;
		has_user = true;
		if (!is_spared(t, now, healthy, k))
			return false;
	}
	return has_user;
}

static bool should_be_lost(const struct tree *t, const struct tree_situation *s)
{
	bool off[TREE_MAX], out[TREE_MAX], healthy[TREE_MAX], now[TREE_MAX];

	for (size_t i = 0; i < t->count; i++) {
		off[i] = s->resource[i].is_off;
		out[i] = off[i] || s->resource[i].is_failed;
	}
	could_run(t, off, healthy);
	could_run(t, out, now);
	for (size_t i = 0; i < t->count; i++) {
		if (healthy[i] && !is_spared(t, now, healthy, i))
			return true;
	}
	return false;
}

/* Carries out one action, or ends one that runs; false if there is nothing to do. */
static bool play(const struct tree *t, struct tree_situation *s, struct prng *p)
{
	struct tree_step step;
	uint64_t choices = 0, choice;

	tree_step(t, s, &step);
	for (size_t i = 0; i < t->count; i++) {
		struct tree_resource *r = &s->resource[i];

		if (step.action[i] == TREE_START) {
			assert_true(holds_now(t, s, i));
			assert_int_equal(r->state, TREE_DOWN);
			assert_false(r->is_failed || r->is_off);
		}
		for (size_t k = 0; step.action[i] == TREE_STOP && k < t->count; k++) {
			/* Whoever is not down and may stay does not need it. */
			if (s->resource[k].state == TREE_UP && holds_now(t, s, k) && k != i) {
				enum tree_state was = r->state;

				r->state = TREE_DOWN;
				assert_true(holds_now(t, s, k) ||
					    !depends_names(&t->node[k].depends, (int)i));
				r->state = was;
			}
		}
		choices += step.action[i] != TREE_NOTHING || r->state == TREE_STARTING ||
			   r->state == TREE_STOPPING;
	}
	if (!choices)
		return false;
	choice = prng_below(p, choices);
	for (size_t i = 0; i < t->count; i++) {
		struct tree_resource *r = &s->resource[i];

		if (step.action[i] == TREE_NOTHING && r->state != TREE_STARTING &&
		    r->state != TREE_STOPPING)
			continue;
		if (choice--)
			continue;
		if (step.action[i] != TREE_NOTHING) {
			r->state = step.action[i] == TREE_START ? TREE_STARTING : TREE_STOPPING;
		} else if (r->state == TREE_STARTING) {
			r->state = TREE_UP;
			r->is_failed = !prng_below(p, 12) && s->is_wanted;
		} else {
			r->state = TREE_DOWN;
			r->must_stop = false;
		}
		break;
	}
	return true;
}

static void settle(const struct tree *t, struct tree_situation *s, struct prng *p)
{
	int rounds = 0;

	while (play(t, s, p))
		assert_true(++rounds < 1000);
}

static void random_trees_come_up_as_far_as_they_can_and_go_down(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= TREES; seed++) {
		struct prng p;
		struct tree t;
		struct tree_situation s = {.is_wanted = true};
		enum tree_verdict v;

		prng_init(&p, seed);
		t = random_tree(&p);
		for (size_t i = 0; i < t.count; i++)
			s.resource[i].is_off = !prng_below(&p, 10);
		settle(&t, &s, &p);
		for (size_t i = 0; i < t.count && !prng_below(&p, 3); i++)
			s.resource[i].must_stop =
				s.resource[i].state == TREE_UP && !prng_below(&p, 3);
		settle(&t, &s, &p);
		v = verdict(&t, &s);
		if ((v == TREE_IS_LOST) != should_be_lost(&t, &s))
			fail_msg("seed %llu: lost %d", (unsigned long long)seed, v == TREE_IS_LOST);
		for (size_t i = 0; i < t.count && v == TREE_IS_UP; i++) {
			bool shall = !s.resource[i].is_off && !s.resource[i].is_failed &&
				     holds_now(&t, &s, i);

			assert_int_equal(s.resource[i].state, shall ? TREE_UP : TREE_DOWN);
		}
		s.is_wanted = false;
		settle(&t, &s, &p);
		assert_int_equal(verdict(&t, &s), TREE_IS_DOWN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(and_needs_all_and_or_needs_one),
		cmocka_unit_test(what_cannot_be_read_is_refused_with_its_place),
		cmocka_unit_test(a_text_of_any_length_ends_in_an_answer),
		cmocka_unit_test(random_texts_are_read_or_refused),
		cmocka_unit_test(branches_start_together_and_stop_in_reverse),
		cmocka_unit_test(a_failed_alternative_is_lived_with),
		cmocka_unit_test(what_nothing_stands_in_for_is_missed),
		cmocka_unit_test(an_alternative_takes_what_it_stands_on_with_it),
		cmocka_unit_test(a_restart_takes_along_only_what_cannot_do_without),
		cmocka_unit_test(what_is_stopped_by_an_administrator_is_no_failure),
		cmocka_unit_test(an_unmanaged_resource_is_not_touched_and_keeps_its_group),
		cmocka_unit_test(random_trees_come_up_as_far_as_they_can_and_go_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
