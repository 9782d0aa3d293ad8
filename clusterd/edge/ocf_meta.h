/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What OCF says, without doing any of it: agent names, exit codes, meta-data, and the validation of
 * a resource's parameters against meta-data. No I/O, clock or process here; ocf.h runs the agents.
 *
 * Meta-data is hostile input: bounded in bytes and in everything that is counted, no entity, no DTD
 * and no file is ever read for it, and a document that declares an entity is refused before it is
 * expanded. All text in the structures is printable enough to show: valid UTF-8, no control
 * characters but newline.
 *
 * Sources: OCF Resource Agent API 1.1 (ClusterLabs/OCF-spec, ra/1.1/resource-agent-api.md and
 * ra-api.rng), Pacemaker 2.1 for codes 8, 9, 190 and 191, and the 151 agents of Debian 12.
 */
#ifndef CLUSTERD_EDGE_OCF_META_H
#define CLUSTERD_EDGE_OCF_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A class, provider, type, or parameter name; an instance name is a file name for many agents. */
#define OCF_NAME_MAX	 64
#define OCF_INSTANCE_MAX 128
#define OCF_VALUE_MAX	 (32u * 1024)

/* The largest of Debian 12 are 13 kB, 32 parameters, 14 actions, 12 options. */
#define OCF_META_BYTES_MAX   (1024u * 1024)
#define OCF_META_PARAMS_MAX  512
#define OCF_META_ACTIONS_MAX 64
#define OCF_META_OPTIONS_MAX 128
#define OCF_META_TEXT_MAX    (16u * 1024) /* a description; cut there */

#define OCF_ERROR_MAX	 512
#define OCF_FINDINGS_MAX 16

/* Exit codes of an agent. */
enum ocf_rc {
	OCF_SUCCESS = 0,
	OCF_ERR_GENERIC = 1,
	OCF_ERR_ARGS = 2,
	OCF_ERR_UNIMPLEMENTED = 3,
	OCF_ERR_PERM = 4,
	OCF_ERR_INSTALLED = 5,
	OCF_ERR_CONFIGURED = 6,
	OCF_NOT_RUNNING = 7,
	OCF_RUNNING_PROMOTED = 8,
	OCF_FAILED_PROMOTED = 9,
	OCF_DEGRADED = 190,
	OCF_DEGRADED_PROMOTED = 191,
};

/* "OCF_NOT_RUNNING", or "unknown exit code" for a number that OCF does not know. Static. */
const char *ocf_rc_name(int rc);
/* "not running (cleanly stopped)": what it means, for people. Static. */
const char *ocf_rc_text(int rc);

struct ocf_name {
	char provider[OCF_NAME_MAX + 1];
	char type[OCF_NAME_MAX + 1];
};

/* A parameter of a resource, or any other name with a value. Borrowed. */
struct ocf_value {
	const char *name;
	const char *value;
};

struct ocf_error {
	char text[OCF_ERROR_MAX]; /* what, where, what to do; printable UTF-8 */
};

enum ocf_type {
	OCF_TYPE_STRING,
	OCF_TYPE_INTEGER,
	OCF_TYPE_BOOLEAN,
	OCF_TYPE_TIME, /* a number with an optional unit: 20, 20s, 1min, 500ms */
	OCF_TYPE_SELECT,
	OCF_TYPE_MAX
};

struct ocf_param {
	char *name;
	enum ocf_type type;  /* what values are held to, see ocf_meta_parse() */
	char *type_declared; /* what the agent says; NULL: nothing */
	char *default_value; /* NULL: none */
	char *shortdesc;     /* "" if there is none, like longdesc */
	char *longdesc;
	char *unique_group; /* NULL: not unique; "unique" of OCF 1.0 is a group of its own name */
	bool is_required;
	bool is_unique;
	bool is_reloadable;
	bool is_deprecated;
	char **options; /* of a select */
	size_t n_options;
};

/* Advice of the agent's author. 0 where nothing, or nothing sensible, is said. */
struct ocf_action {
	char *name;
	char *role; /* NULL: any; "Promoted", "Unpromoted", "Started" (the old names are translated)
		     */
	uint32_t timeout_ms;
	uint32_t interval_ms;
	uint32_t start_delay_ms;
	uint32_t depth;
};

struct ocf_meta {
	char *name;
	char *version;	   /* of the agent; "" if not given */
	char *api_version; /* of OCF, e.g. "1.1"; "" if not given */
	char *shortdesc;
	char *longdesc;
	struct ocf_param *params; /* in the agent's order */
	size_t n_params;
	struct ocf_action *actions;
	size_t n_actions;
};

/*
 * "ocf:provider:type" -> name. Letters, digits, '_', '-', '.' and '+', not beginning with '.' or
 * '-': neither can leave its folder nor look like an option. -EINVAL with the reason in *error
 * (which may be NULL).
 */
int ocf_name_parse(const char *text, struct ocf_name *ret, struct ocf_error *error);
bool ocf_name_is_valid(const struct ocf_name *name);
/* The name of a resource: as above, ':' too, at most OCF_INSTANCE_MAX bytes. */
bool ocf_instance_is_valid(const char *instance);
/* The name of a parameter: letters, digits, '_', '-', '.'; not CRM_meta_..., which is reserved. */
bool ocf_param_name_is_valid(const char *name);

/*
 * "20", "20s", "500ms", "2min", "1h" -> milliseconds; a bare number is seconds. Units as
 * Pacemaker's pcmk__parse_interval_spec(): us usec ms msec s sec m min h hr. -EINVAL, -ERANGE above
 * 49 days.
 */
int ocf_time_parse(const char *text, uint32_t *ret_ms);

/*
 * Parses meta-data. -EMSGSIZE: larger than one of the bounds; -EBADMSG: not well-formed, not UTF-8,
 * declares entities, or not OCF meta-data; -EPROTONOSUPPORT: written for another major version of
 * OCF; -ENOMEM. *error (may be NULL) says which, and where.
 *
 * Agents lie about types: a parameter declared integer or boolean whose own default is none (pgsql,
 * ping, rabbitmq) is held to time, if its default is one, or to string. A parameter declared twice
 * counts once, the first time. Returns owned. Not to be called from two threads at once.
 */
int ocf_meta_parse(const void *xml, size_t len, struct ocf_meta **ret, struct ocf_error *error);
struct ocf_meta *ocf_meta_free(struct ocf_meta *meta);

/* NULL if there is none. Borrowed from meta. */
const struct ocf_param *ocf_meta_param(const struct ocf_meta *meta, const char *name);
/* The action with that name (and that depth, if depth > 0). NULL: the agent does not offer it. */
const struct ocf_action *ocf_meta_action(const struct ocf_meta *meta, const char *name,
					 uint32_t depth);

enum ocf_finding_kind {
	OCF_FINDING_UNKNOWN,	/* no such parameter */
	OCF_FINDING_MISSING,	/* required, not given */
	OCF_FINDING_TYPE,	/* not an integer, boolean, time or one of the options */
	OCF_FINDING_BYTES,	/* no UTF-8, or too long */
	OCF_FINDING_TWICE,	/* given twice */
	OCF_FINDING_NAME,	/* cannot be the name of a parameter */
	OCF_FINDING_DEPRECATED, /* only a warning */
	OCF_FINDING_MAX
};

struct ocf_finding {
	enum ocf_finding_kind kind;
	bool is_warning;
	char param[OCF_NAME_MAX + 1]; /* printable, cut */
	char text[OCF_ERROR_MAX];     /* what, where, what to do */
};

struct ocf_findings {
	struct ocf_finding item[OCF_FINDINGS_MAX];
	size_t n;	 /* in item[] */
	size_t n_errors; /* all, also those that had no room */
	size_t n_warnings;
};

/*
 * Holds a resource's parameters to the meta-data of its agent. 0: the agent may be asked
 * (validate-all); -EINVAL: there are errors. *ret is written in both cases. The default of a
 * parameter is always valid, and so are trace_ra, trace_dir and trace_file, which ocf-shellfuncs
 * knows for every agent.
 */
int ocf_meta_validate(const struct ocf_meta *meta, const struct ocf_value *params, size_t n_params,
		      struct ocf_findings *ret);

const char *ocf_type_name(enum ocf_type type);

#endif
