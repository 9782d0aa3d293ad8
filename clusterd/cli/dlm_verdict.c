/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/cli/dlm_verdict.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "?";
}

static const json_t *node_of(const json_t *nodes, uint32_t nodeid)
{
	const json_t *row;
	size_t i;

	json_array_foreach(nodes, i, row)
	{
		if (json_integer_value(json_object_get(row, "nodeid")) == (json_int_t)nodeid)
			return row;
	}
	return NULL;
}

/* Seconds of an RFC 3339 time in UTC; -1: it is none. */
static int64_t seconds_of(const char *text)
{
	struct tm tm = {0};

	if (sscanf(text, "%d-%d-%dT%d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
		   &tm.tm_min, &tm.tm_sec) != 6)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return timegm(&tm);
}

bool dlm_is_fenced(const struct dlm_victim *v, const json_t *nodes, const json_t *history,
		   char *why, size_t size)
{
	const json_t *node = node_of(nodes, v->nodeid), *row;
	const char *name = text_of(node, "name");
	size_t i;

	if (!node) {
		snprintf(why, size, "node %u is no member of the cluster: nobody fences it",
			 v->nodeid);
		return false;
	}
	json_array_foreach(history, i, row)
	{
		if (strcmp(text_of(row, "kind"), "node-fenced") == 0 &&
		    strcmp(text_of(row, "object"), name) == 0 &&
		    seconds_of(text_of(row, "at")) >= v->fail_s) {
			snprintf(why, size, "%s (node %u) was fenced at %s", name, v->nodeid,
				 text_of(row, "at"));
			return true;
		}
	}
	snprintf(why, size, "%s (node %u) is %s and not fenced since it was lost: %s", name,
		 v->nodeid, text_of(node, "state"), text_of(node, "reason"));
	return false;
}
