/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/ocf_meta.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/tree.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/cleanup.h"
#include "lib/must.h"

/* ---- text ---- */

/*
 * Control characters, and those of C1, bidirectional formatting and byte order marks, become '?';
 * the rest of valid UTF-8 stays. In place; libxml2 has checked that it is UTF-8.
 */
static void ocf_text_clean(char *text)
{
	unsigned char *p = (unsigned char *)text;

	for (; *p; p++) {
		if ((*p < 0x20 && *p != '\n') || *p == 0x7f)
			*p = *p == '\t' || *p == '\r' ? ' ' : '?';
		else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			p[0] = p[1] = '?';
		else if (p[0] == 0xe2 && ((p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) ||
					  (p[1] == 0x81 && p[2] >= 0xa0)))
			p[0] = p[1] = p[2] = '?';
		else if (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf)
			p[0] = p[1] = p[2] = '?';
	}
}

/* Cuts a text of valid UTF-8 to max bytes, not within a character. */
static void ocf_text_cut(char *text, size_t max)
{
	if (strlen(text) <= max)
		return;
	while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	text[max] = '\0';
}

/* A copy that may be shown, whatever the bytes are: for quoting input in an error. */
static const char *ocf_quote(const char *bytes, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s", bytes);
	if (xmlCheckUTF8((const unsigned char *)bytes)) {
		size_t n = strlen(buf);

		/* snprintf() may have cut a character. */
		while (n > 0 && !xmlCheckUTF8((const unsigned char *)buf))
			buf[--n] = '\0';
	} else {
		for (char *p = buf; *p; p++)
			if ((unsigned char)*p >= 0x80)
				*p = '?';
	}
	ocf_text_clean(buf);
	for (char *p = buf; *p; p++)
		if (*p == '\n')
			*p = ' ';
	return buf;
}

__attribute__((format(printf, 2, 3))) static void ocf_error_set(struct ocf_error *error,
								const char *format, ...)
{
	va_list ap;

	if (!error)
		return;
	va_start(ap, format);
	vsnprintf(error->text, sizeof(error->text), format, ap);
	va_end(ap);
}

/* ---- exit codes ---- */

static const struct {
	int rc;
	const char *name;
	const char *text;
} ocf_rcs[] = {
	{OCF_SUCCESS, "OCF_SUCCESS", "ok"},
	{OCF_ERR_GENERIC, "OCF_ERR_GENERIC", "error"},
	{OCF_ERR_ARGS, "OCF_ERR_ARGS", "a parameter is not valid on this node"},
	{OCF_ERR_UNIMPLEMENTED, "OCF_ERR_UNIMPLEMENTED", "the agent does not offer this action"},
	{OCF_ERR_PERM, "OCF_ERR_PERM", "insufficient privileges"},
	{OCF_ERR_INSTALLED, "OCF_ERR_INSTALLED", "something that the agent needs is not installed"},
	{OCF_ERR_CONFIGURED, "OCF_ERR_CONFIGURED", "the parameters are wrong on every node"},
	{OCF_NOT_RUNNING, "OCF_NOT_RUNNING", "not running (cleanly stopped)"},
	{OCF_RUNNING_PROMOTED, "OCF_RUNNING_PROMOTED", "running, promoted"},
	{OCF_FAILED_PROMOTED, "OCF_FAILED_PROMOTED", "failed, promoted"},
	{OCF_DEGRADED, "OCF_DEGRADED", "running, but likely to fail soon"},
	{OCF_DEGRADED_PROMOTED, "OCF_DEGRADED_PROMOTED",
	 "running, promoted, but likely to fail soon"},
};

const char *ocf_rc_name(int rc)
{
	for (size_t i = 0; i < MUST_ARRAY_SIZE(ocf_rcs); i++)
		if (ocf_rcs[i].rc == rc)
			return ocf_rcs[i].name;
	return "unknown exit code";
}

const char *ocf_rc_text(int rc)
{
	for (size_t i = 0; i < MUST_ARRAY_SIZE(ocf_rcs); i++)
		if (ocf_rcs[i].rc == rc)
			return ocf_rcs[i].text;
	return "an exit code that OCF does not know";
}

/* ---- names ---- */

static bool ocf_word_is_valid(const char *word, size_t max, const char *others)
{
	size_t n = strlen(word);

	if (n == 0 || n > max || word[0] == '.' || word[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = word[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      strchr(others, c)))
			return false;
	}
	return true;
}

bool ocf_name_is_valid(const struct ocf_name *name)
{
	return ocf_word_is_valid(name->provider, OCF_NAME_MAX, "_-.+") &&
	       ocf_word_is_valid(name->type, OCF_NAME_MAX, "_-.+");
}

bool ocf_instance_is_valid(const char *instance)
{
	return ocf_word_is_valid(instance, OCF_INSTANCE_MAX, "_-.+:");
}

bool ocf_param_name_is_valid(const char *name)
{
	return ocf_word_is_valid(name, OCF_NAME_MAX, "_-.") && strncmp(name, "CRM_meta_", 9) != 0;
}

int ocf_name_parse(const char *text, struct ocf_name *ret, struct ocf_error *error)
{
	struct ocf_name name;
	const char *type;
	char quoted[100];
	int n;

	if (strncmp(text, "ocf:", 4) != 0 || !(type = strchr(text + 4, ':'))) {
		ocf_error_set(error,
			      "\"%s\" is not the name of an agent; write ocf:provider:type, for "
			      "example ocf:heartbeat:IPaddr2",
			      ocf_quote(text, quoted, sizeof(quoted)));
		return -EINVAL;
	}
	n = (int)(type - (text + 4) < OCF_NAME_MAX + 1 ? type - (text + 4) : OCF_NAME_MAX + 1);
	type++;
	if (n > OCF_NAME_MAX || strlen(type) > OCF_NAME_MAX)
		goto invalid;
	snprintf(name.provider, sizeof(name.provider), "%.*s", n, text + 4);
	snprintf(name.type, sizeof(name.type), "%s", type);
	if (!ocf_name_is_valid(&name))
		goto invalid;
	*ret = name;
	return 0;
invalid:
	ocf_error_set(
		error,
		"\"%s\" cannot name an agent; provider and type have 1 to %d letters, digits, "
		"'_', '-', '.' or '+', and do not begin with '.' or '-'",
		ocf_quote(text, quoted, sizeof(quoted)), OCF_NAME_MAX);
	return -EINVAL;
}

/* ---- values ---- */

int ocf_time_parse(const char *text, uint32_t *ret_ms)
{
	static const struct {
		const char *name;
		uint32_t us;
	} units[] = {
		{"", 1000000},	   {"s", 1000000},    {"sec", 1000000},	  {"ms", 1000},
		{"msec", 1000},	   {"us", 1},	      {"usec", 1},	  {"m", 60000000},
		{"min", 60000000}, {"h", 3600000000}, {"hr", 3600000000},
	};
	uint64_t n = 0;
	const char *p = text;

	while (*p == ' ')
		p++;
	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (uint64_t)(*p - '0');
		if (n > UINT32_MAX)
			return -ERANGE;
	}
	while (*p == ' ')
		p++;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(units); i++) {
		if (strcasecmp(p, units[i].name) != 0)
			continue;
		n = n * units[i].us / 1000; /* below 2^32 * 2^32 */
		if (n > UINT32_MAX)
			return -ERANGE;
		*ret_ms = (uint32_t)n;
		return 0;
	}
	return -EINVAL;
}

static bool ocf_is_integer(const char *value)
{
	char *end;

	if (!isdigit((unsigned char)value[value[0] == '-' || value[0] == '+']))
		return false;
	errno = 0;
	(void)strtoll(value, &end, 10);
	return errno == 0 && *end == '\0';
}

/* As ocf_is_true() of ocf-shellfuncs and crm_str_to_boolean() of Pacemaker, and their opposites. */
static bool ocf_is_boolean(const char *value)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on",
					    "off",  "1",     "0",   "y",  "n"};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(words); i++)
		if (strcasecmp(value, words[i]) == 0)
			return true;
	return false;
}

static bool ocf_is_true(const char *value)
{
	return strcasecmp(value, "1") == 0 || strcasecmp(value, "true") == 0 ||
	       strcasecmp(value, "yes") == 0 || strcasecmp(value, "on") == 0;
}

static bool ocf_is_time(const char *value)
{
	uint32_t ms;

	return ocf_time_parse(value, &ms) == 0;
}

static bool ocf_is_option(const struct ocf_param *param, const char *value)
{
	for (size_t i = 0; i < param->n_options; i++)
		if (strcmp(param->options[i], value) == 0)
			return true;
	return false;
}

static bool ocf_value_has_type(const struct ocf_param *param, const char *value)
{
	switch (param->type) {
	case OCF_TYPE_INTEGER:
		return ocf_is_integer(value);
	case OCF_TYPE_BOOLEAN:
		return ocf_is_boolean(value);
	case OCF_TYPE_TIME:
		return ocf_is_time(value);
	case OCF_TYPE_SELECT:
		return ocf_is_option(param, value);
	case OCF_TYPE_STRING:
	case OCF_TYPE_MAX:
		break;
	}
	return true;
}

const char *ocf_type_name(enum ocf_type type)
{
	static const char *const names[OCF_TYPE_MAX] = {
		[OCF_TYPE_STRING] = "string",	[OCF_TYPE_INTEGER] = "integer",
		[OCF_TYPE_BOOLEAN] = "boolean", [OCF_TYPE_TIME] = "time",
		[OCF_TYPE_SELECT] = "select",
	};

	return (unsigned int)type < OCF_TYPE_MAX ? names[type] : "?";
}

/* ---- reading the tree ---- */

struct ocf_parse {
	struct ocf_meta *meta;
	struct ocf_error *error;
};

static bool ocf_node_is(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

/* Takes the text; trims it, cleans it, cuts it. -ENOMEM for NULL. */
static int ocf_text_take(xmlChar *text, size_t max, char **ret)
{
	const char *begin = (const char *)text;
	size_t n;
	char *p;

	if (!text)
		return -ENOMEM;
	begin += strspn(begin, " \t\r\n");
	n = strlen(begin);
	while (n > 0 && strchr(" \t\r\n", begin[n - 1]))
		n--;
	p = strndup(begin, n);
	xmlFree(text);
	if (!p)
		return -ENOMEM;
	ocf_text_cut(p, max);
	ocf_text_clean(p);
	*ret = p;
	return 0;
}

/* *ret stays as it is if there is no such attribute. */
static int ocf_attribute(const xmlNode *node, const char *name, char **ret)
{
	if (!xmlHasProp(node, (const xmlChar *)name))
		return 0;
	return ocf_text_take(xmlGetProp(node, (const xmlChar *)name), OCF_META_TEXT_MAX, ret);
}

static int ocf_flag(const xmlNode *node, const char *name, bool *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = ocf_attribute(node, name, &text);

	if (r == 0 && text)
		*ret = ocf_is_true(text);
	return r;
}

/* What is no time is advice that nobody can follow: 0. */
static int ocf_milliseconds(const xmlNode *node, const char *name, uint32_t *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = ocf_attribute(node, name, &text);

	if (r == 0 && text)
		(void)ocf_time_parse(text, ret);
	return r;
}

/* The content of the element as text, the first time; the agent's own language comes first. */
static int ocf_content(const xmlNode *node, const char *name, char **ret)
{
	if (*ret || !ocf_node_is(node, name))
		return 0;
	return ocf_text_take(xmlNodeGetContent(node), OCF_META_TEXT_MAX, ret);
}

static int ocf_or_empty(char **text)
{
	if (!*text)
		*text = strdup("");
	return *text ? 0 : -ENOMEM;
}

/* One element more in a counted array. */
static int ocf_grow(void **array, size_t n, size_t size)
{
	void *p = reallocarray(*array, n + 1, size);

	if (!p)
		return -ENOMEM;
	memset((char *)p + n * size, 0, size);
	*array = p;
	return 0;
}

static int ocf_too_many(struct ocf_parse *parse, const char *what, int max)
{
	ocf_error_set(parse->error, "meta-data with more than %d %s is refused", max, what);
	return -EMSGSIZE;
}

static int ocf_options_read(struct ocf_parse *parse, const xmlNode *content,
			    struct ocf_param *param)
{
	for (const xmlNode *node = content->children; node; node = node->next) {
		int r;

		if (!ocf_node_is(node, "option"))
			continue;
		if (param->n_options == OCF_META_OPTIONS_MAX)
			return ocf_too_many(parse, "options of a parameter", OCF_META_OPTIONS_MAX);
		r = ocf_grow((void **)&param->options, param->n_options, sizeof(*param->options));
		if (r == 0)
			r = ocf_attribute(node, "value", &param->options[param->n_options]);
		if (r < 0)
			return r;
		if (param->options[param->n_options])
			param->n_options++;
	}
	return 0;
}

/* See ocf_meta_parse() on agents that lie. */
static enum ocf_type ocf_type_find(const struct ocf_param *param)
{
	static const struct {
		const char *name;
		enum ocf_type type;
	} known[] = {
		{"integer", OCF_TYPE_INTEGER}, {"int", OCF_TYPE_INTEGER},
		{"boolean", OCF_TYPE_BOOLEAN}, {"bool", OCF_TYPE_BOOLEAN},
		{"time", OCF_TYPE_TIME},       {"timeout", OCF_TYPE_TIME},
		{"duration", OCF_TYPE_TIME},   {"select", OCF_TYPE_SELECT},
	};
	const char *value = param->default_value;
	enum ocf_type type = OCF_TYPE_STRING;

	for (size_t i = 0; param->type_declared && i < MUST_ARRAY_SIZE(known); i++)
		if (strcasecmp(param->type_declared, known[i].name) == 0)
			type = known[i].type;
	if (type == OCF_TYPE_SELECT && param->n_options == 0)
		return OCF_TYPE_STRING;
	if (!value || value[0] == '\0' || type == OCF_TYPE_SELECT)
		return type;
	if (type == OCF_TYPE_INTEGER && !ocf_is_integer(value))
		return ocf_is_time(value) ? OCF_TYPE_TIME : OCF_TYPE_STRING;
	if ((type == OCF_TYPE_BOOLEAN && !ocf_is_boolean(value)) ||
	    (type == OCF_TYPE_TIME && !ocf_is_time(value)))
		return OCF_TYPE_STRING;
	return type;
}

static int ocf_param_children_read(struct ocf_parse *parse, const xmlNode *node,
				   struct ocf_param *param)
{
	int r = 0;

	for (const xmlNode *c = node->children; r == 0 && c; c = c->next) {
		r = ocf_content(c, "shortdesc", &param->shortdesc);
		if (r == 0)
			r = ocf_content(c, "longdesc", &param->longdesc);
		if (r == 0 && ocf_node_is(c, "deprecated"))
			param->is_deprecated = true;
		if (r < 0 || !ocf_node_is(c, "content") || param->type_declared)
			continue;
		r = ocf_attribute(c, "type", &param->type_declared);
		if (r == 0 && !param->default_value)
			r = ocf_attribute(c, "default", &param->default_value);
		if (r == 0)
			r = ocf_options_read(parse, c, param);
	}
	if (r == 0)
		r = ocf_or_empty(&param->shortdesc);
	if (r == 0)
		r = ocf_or_empty(&param->longdesc);
	param->type = ocf_type_find(param);
	return r;
}

static int ocf_param_read(struct ocf_parse *parse, const xmlNode *node, struct ocf_param *param)
{
	char quoted[100];
	int r = ocf_attribute(node, "name", &param->name);

	if (r < 0)
		return r;
	if (!param->name || !ocf_param_name_is_valid(param->name)) {
		ocf_error_set(parse->error,
			      "meta-data line %ld: \"%s\" cannot be the name of a parameter",
			      xmlGetLineNo(node),
			      ocf_quote(param->name ? param->name : "", quoted, sizeof(quoted)));
		return -EBADMSG;
	}
	r = ocf_flag(node, "required", &param->is_required);
	if (r == 0)
		r = ocf_flag(node, "unique", &param->is_unique);
	if (r == 0)
		r = ocf_flag(node, "reloadable", &param->is_reloadable);
	if (r == 0)
		r = ocf_flag(node, "deprecated", &param->is_deprecated);
	if (r == 0)
		r = ocf_attribute(node, "unique-group", &param->unique_group);
	if (r < 0)
		return r;
	if (param->unique_group) {
		param->is_unique = true;
	} else if (param->is_unique) {
		param->unique_group = strdup(param->name);
		if (!param->unique_group)
			return -ENOMEM;
	}
	return ocf_param_children_read(parse, node, param);
}

static void ocf_param_done(struct ocf_param *param)
{
	for (size_t i = 0; i < param->n_options; i++)
		free(param->options[i]);
	free(param->options);
	free(param->name);
	free(param->type_declared);
	free(param->default_value);
	free(param->shortdesc);
	free(param->longdesc);
	free(param->unique_group);
}

static int ocf_params_read(struct ocf_parse *parse, const xmlNode *list)
{
	struct ocf_meta *meta = parse->meta;

	for (const xmlNode *node = list->children; node; node = node->next) {
		struct ocf_param param = {.name = NULL};
		int r;

		if (!ocf_node_is(node, "parameter"))
			continue;
		if (meta->n_params == OCF_META_PARAMS_MAX)
			return ocf_too_many(parse, "parameters", OCF_META_PARAMS_MAX);
		r = ocf_param_read(parse, node, &param);
		if (r == 0 && ocf_meta_param(meta, param.name)) {
			ocf_param_done(&param); /* the first one counts */
			continue;
		}
		if (r == 0)
			r = ocf_grow((void **)&meta->params, meta->n_params, sizeof(param));
		if (r < 0) {
			ocf_param_done(&param);
			return r;
		}
		meta->params[meta->n_params++] = param;
	}
	return 0;
}

/* The names of roles before OCF 1.1. */
static int ocf_role_translate(char **role)
{
	const char *to;

	if (strcmp(*role, "Master") == 0)
		to = "Promoted";
	else if (strcmp(*role, "Slave") == 0)
		to = "Unpromoted";
	else
		return 0;
	free(*role);
	*role = strdup(to);
	return *role ? 0 : -ENOMEM;
}

static int ocf_action_read(struct ocf_parse *parse, const xmlNode *node, struct ocf_action *action)
{
	_cleanup_free_ char *depth = NULL;
	int r = ocf_attribute(node, "name", &action->name);

	if (r == 0)
		r = ocf_attribute(node, "role", &action->role);
	if (r == 0 && action->role)
		r = ocf_role_translate(&action->role);
	if (r == 0)
		r = ocf_milliseconds(node, "timeout", &action->timeout_ms);
	if (r == 0)
		r = ocf_milliseconds(node, "interval", &action->interval_ms);
	if (r == 0)
		r = ocf_milliseconds(node, "start-delay", &action->start_delay_ms);
	if (r == 0)
		r = ocf_attribute(node, "depth", &depth);
	if (r < 0)
		return r;
	if (!action->name || !ocf_word_is_valid(action->name, OCF_NAME_MAX, "_-")) {
		ocf_error_set(parse->error, "meta-data line %ld: an action without a valid name",
			      xmlGetLineNo(node));
		return -EBADMSG;
	}
	if (depth && ocf_is_integer(depth) && depth[0] != '-' && strlen(depth) < 9)
		action->depth = (uint32_t)strtoul(depth, NULL, 10);
	return 0;
}

static int ocf_actions_read(struct ocf_parse *parse, const xmlNode *list)
{
	struct ocf_meta *meta = parse->meta;

	for (const xmlNode *node = list->children; node; node = node->next) {
		int r;

		if (!ocf_node_is(node, "action"))
			continue;
		if (meta->n_actions == OCF_META_ACTIONS_MAX)
			return ocf_too_many(parse, "actions", OCF_META_ACTIONS_MAX);
		r = ocf_grow((void **)&meta->actions, meta->n_actions, sizeof(*meta->actions));
		if (r < 0)
			return r;
		r = ocf_action_read(parse, node, &meta->actions[meta->n_actions++]);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * The major number of OCF must be ours. Where only the agent's own version stands in <version>, as
 * agents from before OCF 1.1 had it, a number below 1 is let through.
 */
static int ocf_version_check(struct ocf_parse *parse)
{
	const char *v = parse->meta->api_version;
	char quoted[100];

	if (!isdigit((unsigned char)v[0]) || strtoul(v, NULL, 10) < 2)
		return 0;
	ocf_error_set(parse->error,
		      "the agent is written for version %s of the OCF API; clusterd speaks 1.1",
		      ocf_quote(v, quoted, sizeof(quoted)));
	return -EPROTONOSUPPORT;
}

static int ocf_root_read(struct ocf_parse *parse, const xmlNode *root)
{
	struct ocf_meta *meta = parse->meta;
	int r;

	if (!root || !ocf_node_is(root, "resource-agent")) {
		ocf_error_set(parse->error, "meta-data does not begin with <resource-agent>");
		return -EBADMSG;
	}
	r = ocf_attribute(root, "name", &meta->name);
	if (r == 0)
		r = ocf_attribute(root, "version", &meta->version);
	for (const xmlNode *node = root->children; r == 0 && node; node = node->next) {
		r = ocf_content(node, "version", &meta->api_version);
		if (r == 0)
			r = ocf_content(node, "shortdesc", &meta->shortdesc);
		if (r == 0)
			r = ocf_content(node, "longdesc", &meta->longdesc);
		if (r == 0 && ocf_node_is(node, "parameters"))
			r = ocf_params_read(parse, node);
		if (r == 0 && ocf_node_is(node, "actions"))
			r = ocf_actions_read(parse, node);
	}
	if (r < 0)
		return r;
	if (ocf_or_empty(&meta->version) < 0 || ocf_or_empty(&meta->api_version) < 0 ||
	    ocf_or_empty(&meta->shortdesc) < 0 || ocf_or_empty(&meta->longdesc) < 0)
		return -ENOMEM;
	if (!meta->name || meta->name[0] == '\0') {
		ocf_error_set(parse->error, "meta-data: <resource-agent> has no name");
		return -EBADMSG;
	}
	return ocf_version_check(parse);
}

/* ---- parsing bytes ---- */

/* A declaration inside of the document: it could define entities or attributes. Not with us. */
static void ocf_stop_at_declaration(void *ctx)
{
	xmlParserCtxt *ctxt = ctx;
	bool *has_declaration = ctxt->_private;

	*has_declaration = true;
	xmlStopParser(ctxt);
}

static void ocf_on_entity(void *ctx, const xmlChar *name, int type, const xmlChar *public_id,
			  const xmlChar *system_id, xmlChar *content)
{
	(void)name, (void)type, (void)public_id, (void)system_id, (void)content;
	ocf_stop_at_declaration(ctx);
}

static void ocf_on_unparsed_entity(void *ctx, const xmlChar *name, const xmlChar *public_id,
				   const xmlChar *system_id, const xmlChar *notation)
{
	(void)name, (void)public_id, (void)system_id, (void)notation;
	ocf_stop_at_declaration(ctx);
}

static void ocf_on_attribute(void *ctx, const xmlChar *element, const xmlChar *name, int type,
			     int def, const xmlChar *value, xmlEnumerationPtr tree)
{
	(void)element, (void)name, (void)type, (void)def, (void)value;
	xmlFreeEnumeration(tree);
	ocf_stop_at_declaration(ctx);
}

static xmlParserCtxt *ocf_parser_new(bool *has_declaration)
{
	xmlParserCtxt *ctxt;

	xmlInitParser();
	ctxt = xmlNewParserCtxt();
	if (!ctxt)
		return NULL;
	ctxt->_private = has_declaration;
	ctxt->sax->entityDecl = ocf_on_entity;
	ctxt->sax->unparsedEntityDecl = ocf_on_unparsed_entity;
	ctxt->sax->attributeDecl = ocf_on_attribute;
	ctxt->sax->externalSubset = NULL;
	ctxt->sax->resolveEntity = NULL;
	return ctxt;
}

/*
 * No XML_PARSE_NOENT, DTDLOAD, DTDATTR, DTDVALID, XINCLUDE or HUGE. Neither a declared encoding nor
 * the caller (who made sure of '<') lets libxml2 load a converter: UTF-8, or refused. libxml2 2.9
 * may crash when memory runs out within a conversion.
 */
static int ocf_tree_parse(const char *xml, size_t len, xmlDoc **ret, struct ocf_error *error)
{
	bool has_declaration = false;
	xmlParserCtxt *ctxt = ocf_parser_new(&has_declaration);
	xmlDoc *doc;
	int r = -EBADMSG;

	if (!ctxt)
		return -ENOMEM;
	doc = xmlCtxtReadMemory(ctxt, xml, (int)len, NULL, NULL,
				XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
					XML_PARSE_IGNORE_ENC);
	if (has_declaration) {
		ocf_error_set(error, "meta-data declares entities or attributes; that is refused");
	} else if (!doc && (ctxt->lastError.code == XML_ERR_NO_MEMORY ||
			    ctxt->lastError.code == XML_ERR_OK)) {
		r = -ENOMEM; /* no document and no error: not even the error had room */
	} else if (!doc) {
		const char *message = ctxt->lastError.message;
		char quoted[200];

		ocf_error_set(error, "meta-data is not well-formed XML, line %d: %s",
			      ctxt->lastError.line,
			      ocf_quote(message ? message : "?", quoted, sizeof(quoted)));
	} else {
		*ret = doc;
		doc = NULL;
		r = 0;
	}
	xmlFreeDoc(doc);
	xmlFreeParserCtxt(ctxt);
	return r;
}

int ocf_meta_parse(const void *xml, size_t len, struct ocf_meta **ret, struct ocf_error *error)
{
	struct ocf_parse parse = {.error = error};
	const char *text = xml;
	xmlDoc *doc = NULL;
	int r;

	if (len > OCF_META_BYTES_MAX) {
		ocf_error_set(error, "meta-data of more than %u bytes is refused",
			      OCF_META_BYTES_MAX);
		return -EMSGSIZE;
	}
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	while (len > 0 && memchr(" \t\r\n", *text, 4)) {
		text++;
		len--;
	}
	if (len == 0) {
		ocf_error_set(error, "there is no meta-data: the agent printed nothing");
		return -EBADMSG;
	}
	if (*text != '<' || memchr(text, '\0', len)) {
		ocf_error_set(error, "meta-data is not XML in UTF-8: it %s",
			      *text != '<' ? "does not begin with '<'" : "holds a NUL");
		return -EBADMSG;
	}
	ocf_error_set(error, "out of memory");
	r = ocf_tree_parse(text, len, &doc, error);
	if (r < 0)
		return r;
	parse.meta = calloc(1, sizeof(*parse.meta));
	r = parse.meta ? ocf_root_read(&parse, xmlDocGetRootElement(doc)) : -ENOMEM;
	xmlFreeDoc(doc);
	if (r < 0) {
		ocf_meta_free(parse.meta);
		return r;
	}
	ocf_error_set(error, "%s", "");
	*ret = parse.meta;
	return 0;
}

struct ocf_meta *ocf_meta_free(struct ocf_meta *meta)
{
	if (!meta)
		return NULL;
	for (size_t i = 0; i < meta->n_params; i++)
		ocf_param_done(&meta->params[i]);
	for (size_t i = 0; i < meta->n_actions; i++) {
		free(meta->actions[i].name);
		free(meta->actions[i].role);
	}
	free(meta->params);
	free(meta->actions);
	free(meta->name);
	free(meta->version);
	free(meta->api_version);
	free(meta->shortdesc);
	free(meta->longdesc);
	free(meta);
	return NULL;
}

const struct ocf_param *ocf_meta_param(const struct ocf_meta *meta, const char *name)
{
	for (size_t i = 0; i < meta->n_params; i++)
		if (strcmp(meta->params[i].name, name) == 0)
			return &meta->params[i];
	return NULL;
}

const struct ocf_action *ocf_meta_action(const struct ocf_meta *meta, const char *name,
					 uint32_t depth)
{
	for (size_t i = 0; i < meta->n_actions; i++)
		if (strcmp(meta->actions[i].name, name) == 0 &&
		    (depth == 0 || meta->actions[i].depth == depth))
			return &meta->actions[i];
	return NULL;
}

/* ---- validation ---- */

/* Changes, insertions, losses and swaps of neighbours between two names, upper and lower case
 * alike. */
static unsigned int ocf_distance(const char *a, const char *b)
{
	unsigned int row[3][OCF_NAME_MAX + 1];
	size_t n = strnlen(a, OCF_NAME_MAX), m = strnlen(b, OCF_NAME_MAX);

	for (size_t j = 0; j <= m; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned int *now = row[i % 3], *above = row[(i - 1) % 3], *two = row[(i + 1) % 3];

		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= m; j++) {
			int x = tolower((unsigned char)a[i - 1]),
			    y = tolower((unsigned char)b[j - 1]);
			unsigned int d = above[j - 1] + (x != y);

			d = above[j] + 1 < d ? above[j] + 1 : d;
			d = now[j - 1] + 1 < d ? now[j - 1] + 1 : d;
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
			    y == tolower((unsigned char)a[i - 2]) && two[j - 2] + 1 < d)
				d = two[j - 2] + 1;
			now[j] = d;
		}
	}
	return row[n % 3][m];
}

static const char *ocf_suggestion(const struct ocf_meta *meta, const char *name)
{
	unsigned int best = 1 + (unsigned int)strnlen(name, OCF_NAME_MAX) / 4 + 1;
	const char *found = NULL;

	for (size_t i = 0; i < meta->n_params; i++) {
		unsigned int d = ocf_distance(name, meta->params[i].name);

		if (d < best) {
			best = d;
			found = meta->params[i].name;
		}
	}
	return found;
}

__attribute__((format(printf, 4, 5))) static void ocf_find(struct ocf_findings *findings,
							   enum ocf_finding_kind kind,
							   const char *param, const char *format,
							   ...)
{
	struct ocf_finding *f;
	va_list ap;

	if (kind == OCF_FINDING_DEPRECATED)
		findings->n_warnings++;
	else
		findings->n_errors++;
	if (findings->n == OCF_FINDINGS_MAX)
		return;
	f = &findings->item[findings->n++];
	*f = (struct ocf_finding){.kind = kind, .is_warning = kind == OCF_FINDING_DEPRECATED};
	ocf_quote(param, f->param, sizeof(f->param));
	va_start(ap, format);
	vsnprintf(f->text, sizeof(f->text), format, ap);
	va_end(ap);
}

/* Writes the names of all parameters, as many as have room. */
static const char *ocf_known_names(const struct ocf_meta *meta, char *buf, size_t cap)
{
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < meta->n_params; i++) {
		const char *name = meta->params[i].name;

		if (cap - n < strlen(name) + sizeof(", ...")) {
			snprintf(buf + n, cap - n, ", ...");
			break;
		}
		n += (size_t)snprintf(buf + n, cap - n, "%s%s", i ? ", " : "", name);
	}
	return buf;
}

static void ocf_find_unknown(const struct ocf_meta *meta, const char *name,
			     struct ocf_findings *findings)
{
	const char *near = ocf_suggestion(meta, name);
	char quoted[OCF_NAME_MAX + 1], known[200], agent[OCF_NAME_MAX + 1];

	ocf_quote(name, quoted, sizeof(quoted));
	ocf_quote(meta->name, agent, sizeof(agent));
	if (near)
		ocf_find(findings, OCF_FINDING_UNKNOWN, name,
			 "%s has no parameter \"%s\"; did you mean \"%s\"?", agent, quoted, near);
	else if (meta->n_params == 0)
		ocf_find(findings, OCF_FINDING_UNKNOWN, name,
			 "%s has no parameter \"%s\"; it takes none: leave it out", agent, quoted);
	else
		ocf_find(findings, OCF_FINDING_UNKNOWN, name,
			 "%s has no parameter \"%s\"; leave it out, or take one of: %s", agent,
			 quoted, ocf_known_names(meta, known, sizeof(known)));
}

static void ocf_find_type(const struct ocf_meta *meta, const struct ocf_param *param,
			  const char *value, struct ocf_findings *findings)
{
	static const char *const advice[OCF_TYPE_MAX] = {
		[OCF_TYPE_INTEGER] = "is not an integer; give a whole number, like 20",
		[OCF_TYPE_BOOLEAN] = "is not a boolean; give true or false",
		[OCF_TYPE_TIME] = "is not a time; give a number with ms, s, min or h, like 20s",
	};
	char quoted[64], agent[OCF_NAME_MAX + 1], options[200];
	size_t n = 0;

	ocf_quote(value, quoted, sizeof(quoted));
	ocf_quote(meta->name, agent, sizeof(agent));
	if (param->type != OCF_TYPE_SELECT) {
		ocf_find(findings, OCF_FINDING_TYPE, param->name,
			 "parameter %s of %s: \"%s\" %s, or leave the parameter out", param->name,
			 agent, quoted, advice[param->type]);
		return;
	}
	options[0] = '\0';
	for (size_t i = 0; i < param->n_options && n < sizeof(options) - 1; i++) {
		snprintf(options + n, sizeof(options) - n, "%s%s", i ? ", " : "",
			 param->options[i]);
		n += strlen(options + n);
	}
	ocf_text_cut(options, sizeof(options) - 8);
	ocf_find(findings, OCF_FINDING_TYPE, param->name,
		 "parameter %s of %s: \"%s\" is not among its values; give one of: %s", param->name,
		 agent, quoted, options);
}

static bool ocf_is_trace(const char *name)
{
	return strcmp(name, "trace_ra") == 0 || strcmp(name, "trace_dir") == 0 ||
	       strcmp(name, "trace_file") == 0;
}

static void ocf_check_value(const struct ocf_meta *meta, const struct ocf_value *v,
			    struct ocf_findings *findings)
{
	const struct ocf_param *param = ocf_meta_param(meta, v->name);
	char quoted[OCF_NAME_MAX + 1];

	ocf_quote(v->name, quoted, sizeof(quoted));
	if (!ocf_param_name_is_valid(v->name))
		ocf_find(findings, OCF_FINDING_NAME, v->name,
			 "\"%s\" cannot be the name of a parameter; names have 1 to %d letters, "
			 "digits, '_', '-' or '.', and CRM_meta_ is reserved",
			 quoted, OCF_NAME_MAX);
	else if (!param && !ocf_is_trace(v->name))
		ocf_find_unknown(meta, v->name, findings);
	else if (strlen(v->value) > OCF_VALUE_MAX)
		ocf_find(findings, OCF_FINDING_BYTES, v->name,
			 "parameter %s: the value has %zu bytes; %u are the most, put it into a "
			 "file",
			 quoted, strlen(v->value), OCF_VALUE_MAX);
	else if (!xmlCheckUTF8((const unsigned char *)v->value))
		ocf_find(findings, OCF_FINDING_BYTES, v->name,
			 "parameter %s: the value is not UTF-8; write it in UTF-8", quoted);
	else if (param && !ocf_value_has_type(param, v->value) &&
		 !(param->default_value && strcmp(v->value, param->default_value) == 0))
		ocf_find_type(meta, param, v->value, findings);
	if (param && param->is_deprecated)
		ocf_find(findings, OCF_FINDING_DEPRECATED, v->name,
			 "parameter %s is deprecated; see its description for what replaces it",
			 quoted);
}

static const struct ocf_value *ocf_value_find(const struct ocf_value *params, size_t n,
					      const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(params[i].name, name) == 0)
			return &params[i];
	return NULL;
}

int ocf_meta_validate(const struct ocf_meta *meta, const struct ocf_value *params, size_t n_params,
		      struct ocf_findings *ret)
{
	char name[OCF_NAME_MAX + 1], desc[100];

	*ret = (struct ocf_findings){.n = 0};
	for (size_t i = 0; i < n_params; i++) {
		if (ocf_value_find(params, i, params[i].name))
			ocf_find(ret, OCF_FINDING_TWICE, params[i].name,
				 "parameter %s is given twice; keep one of its two values",
				 ocf_quote(params[i].name, name, sizeof(name)));
		else
			ocf_check_value(meta, &params[i], ret);
	}
	for (size_t i = 0; i < meta->n_params; i++) {
		const struct ocf_param *p = &meta->params[i];
		const struct ocf_value *v = ocf_value_find(params, n_params, p->name);

		if (!p->is_required || (v && v->value[0] != '\0') ||
		    (p->default_value && p->default_value[0] != '\0'))
			continue;
		ocf_find(ret, OCF_FINDING_MISSING, p->name,
			 "%s needs parameter %s (%s); give %s=VALUE",
			 ocf_quote(meta->name, name, sizeof(name)), p->name,
			 ocf_quote(p->shortdesc, desc, sizeof(desc)), p->name);
	}
	return ret->n_errors > 0 ? -EINVAL : 0;
}
