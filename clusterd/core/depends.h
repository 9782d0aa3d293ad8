/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a resource depends on, as an administrator writes it: `ip1 and (disk1 or disk2)`. Names of
 * resources, `and`, `or` and brackets; `and` beside `or` without brackets is refused, since people
 * read it in two ways. A text comes from outside and is bounded; an error says where in it, and
 * what was wrong. tree.h says what follows from it.
 */
#ifndef CLUSTERD_CORE_DEPENDS_H
#define CLUSTERD_CORE_DEPENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEPENDS_TOKENS_MAX 128
#define DEPENDS_DEPTH_MAX  16 /* of brackets */
#define DEPENDS_AND	   (-1)
#define DEPENDS_OR	   (-2)

/* In postfix order: DEPENDS_AND and DEPENDS_OR take the two before them; else a resource. */
struct depends {
	uint16_t count; /* 0: it depends on nothing */
	int16_t token[DEPENDS_TOKENS_MAX];
};

/* The number of the resource with that name, or -1: then *why says what is wrong with it. */
typedef int (*depends_find_fn)(void *arg, const char *name, const char **why);

/*
 * An empty text is no dependency. -EINVAL: why says what is wrong, with the place in the text, and
 * *ret is untouched.
 */
int depends_parse(const char *text, depends_find_fn find, void *arg, struct depends *ret, char *why,
		  size_t size);
/* With these resources online, by number. */
bool depends_is_true(const struct depends *d, const bool *is_online);
bool depends_names(const struct depends *d, int resource);

#endif
