/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Metadata and parameters of fence agents. The only file that knows libxml2. */
#include <ctype.h>
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/cleanup.h"
#include "lib/fence_agent.h"
#include "lib/must.h"
#include "lib/run.h"

#define PARSE_OPTIONS                                                                              \
	(XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA)

static const char *const action_names[AGENT_ACTION_MAX] = {
#define X(name, text) [AGENT_##name] = (text),
	AGENT_ACTIONS(X)
#undef X
};

static const char *const type_names[AGENT_TYPE_MAX] = {
	[AGENT_TYPE_STRING] = "string", [AGENT_TYPE_INTEGER] = "integer",
	[AGENT_TYPE_SECOND] = "second", [AGENT_TYPE_BOOLEAN] = "boolean",
	[AGENT_TYPE_SELECT] = "select",
};

const char *agent_action_name(enum agent_action action)
{
	return (unsigned int)action < AGENT_ACTION_MAX ? action_names[action] : "?";
}

const char *agent_type_name(enum agent_type type)
{
	return (unsigned int)type < AGENT_TYPE_MAX ? type_names[type] : "?";
}

/* ---- XML ---- */

/* A document that declares entities is none of a fence agent's: stop before anything expands. */
static void on_entity(void *ctx, const xmlChar *name, int type, const xmlChar *public_id,
		      const xmlChar *system_id, xmlChar *content)
{
	xmlParserCtxtPtr parser = ctx;

	(void)name;
	(void)type;
	(void)public_id;
	(void)system_id;
	(void)content;
	parser->_private = parser;
	xmlStopParser(parser);
}

static xmlDocPtr document_read(const void *xml, int len)
{
	xmlParserCtxtPtr parser = xmlNewParserCtxt();
	xmlDocPtr doc;

	if (!parser)
		return NULL;
	parser->sax->entityDecl = on_entity;
	doc = xmlCtxtReadMemory(parser, xml, len, NULL, NULL, PARSE_OPTIONS);
	if (doc && (parser->_private || !parser->wellFormed)) {
		xmlFreeDoc(doc);
		doc = NULL;
	}
	xmlFreeParserCtxt(parser);
	return doc;
}

static bool is_element(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

static const xmlNode *child_of(const xmlNode *node, const char *name)
{
	for (const xmlNode *c = node->children; c; c = c->next) {
		if (is_element(c, name))
			return c;
	}
	return NULL;
}

static bool is_name(const char *s)
{
	size_t n = strnlen(s, AGENT_NAME_MAX);

	if (n == 0 || n >= AGENT_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)s[i]) && !strchr("_-.", s[i]))
			return false;
	}
	return true;
}

/* Copies text as one line of printable characters, cut at a character's boundary. */
static void text_copy(const char *src, char *dst, size_t cap)
{
	agent_text(src, strnlen(src, 8 * cap), false, NULL, dst, cap);
}

/* False: there is no such attribute, and dst is "". */
static bool attribute(const xmlNode *node, const char *name, char *dst, size_t cap)
{
	xmlChar *value = xmlGetNoNsProp((xmlNodePtr)(uintptr_t)node, (const xmlChar *)name);

	dst[0] = '\0';
	if (!value)
		return false;
	text_copy((const char *)value, dst, cap);
	xmlFree(value);
	return true;
}

/* An attribute that has to be a name as it is: no cutting, no cleaning. */
static int attribute_name(const xmlNode *node, const char *name, char dst[AGENT_NAME_MAX])
{
	xmlChar *value = xmlGetNoNsProp((xmlNodePtr)(uintptr_t)node, (const xmlChar *)name);
	int r = -EBADMSG;

	if (!value)
		return -ENOENT;
	if (is_name((const char *)value)) {
		memcpy(dst, value, strlen((const char *)value) + 1);
		r = 0;
	}
	xmlFree(value);
	return r;
}

static bool attribute_is_set(const xmlNode *node, const char *name)
{
	char value[8];

	return attribute(node, name, value, sizeof(value)) &&
	       (!strcmp(value, "1") || !strcasecmp(value, "true"));
}

static void content_read(const xmlNode *content, struct agent_param *p)
{
	char type[AGENT_NAME_MAX];

	attribute(content, "type", type, sizeof(type));
	p->type = AGENT_TYPE_STRING;
	for (int i = 0; i < AGENT_TYPE_MAX; i++) {
		if (!strcmp(type, type_names[i]))
			p->type = (enum agent_type)i;
	}
	p->has_preset = attribute(content, "default", p->preset, sizeof(p->preset));
	for (const xmlNode *c = content->children; c; c = c->next) {
		if (!is_element(c, "option"))
			continue;
		/* More than we can hold: then any value is taken. */
		if (p->choice_count == AGENT_CHOICES_MAX) {
			p->type = AGENT_TYPE_STRING;
			return;
		}
		if (attribute(c, "value", p->choice[p->choice_count], AGENT_NAME_MAX))
			p->choice_count++;
	}
}

static int param_read(const xmlNode *node, struct agent_param *p)
{
	const xmlNode *desc = child_of(node, "shortdesc");
	const xmlNode *content = child_of(node, "content");
	int r = attribute_name(node, "name", p->name);

	if (r)
		return -EBADMSG;
	r = attribute_name(node, "obsoletes", p->obsoletes);
	if (r && r != -ENOENT)
		return r;
	p->is_required = attribute_is_set(node, "required");
	p->is_deprecated = attribute_is_set(node, "deprecated");
	if (content)
		content_read(content, p);
	if (desc) {
		xmlChar *text = xmlNodeGetContent(desc);

		if (text)
			text_copy((const char *)text, p->desc, sizeof(p->desc));
		xmlFree(text);
	}
	return 0;
}

/* The beginning of a text with its line breaks. */
static void long_read(const xmlNode *node, char *dst, size_t cap)
{
	xmlChar *text = node ? xmlNodeGetContent(node) : NULL;
	struct run_output all = {.data = text ? (const char *)text : ""};

	if (text) {
		all.len = strnlen((const char *)text, cap);
		if (all.len == cap) { /* not within a character */
			do
				all.len--;
			while (all.len > 0 && (text[all.len] & 0xc0) == 0x80);
		}
	}
	run_output_text(&all, UINT_MAX, dst, cap);
	xmlFree(text);
}

static uint32_t actions_read(const xmlNode *root)
{
	const xmlNode *list = child_of(root, "actions");
	uint32_t actions = 0;

	for (const xmlNode *c = list ? list->children : NULL; c; c = c->next) {
		char name[AGENT_NAME_MAX];

		if (!is_element(c, "action") || attribute_name(c, "name", name))
			continue;
		for (int i = 0; i < AGENT_ACTION_MAX; i++) {
			if (!strcmp(name, action_names[i]))
				actions |= 1u << i;
		}
	}
	return actions;
}

static int params_read(const xmlNode *list, struct agent_meta *meta)
{
	for (const xmlNode *c = list ? list->children : NULL; c; c = c->next) {
		struct agent_param *p = &meta->param[meta->param_count];
		int r;

		if (!is_element(c, "parameter"))
			continue;
		r = param_read(c, p);
		if (r)
			return r;
		for (uint32_t i = 0; i < meta->param_count; i++) {
			if (!strcmp(meta->param[i].name, p->name))
				return -EBADMSG;
		}
		meta->param_count++;
	}
	return 0;
}

static int meta_read(const xmlNode *root, struct agent_meta **ret_meta)
{
	const xmlNode *list = child_of(root, "parameters");
	_cleanup_free_ struct agent_meta *meta = NULL;
	size_t count = 0;
	int r;

	for (const xmlNode *c = list ? list->children : NULL; c; c = c->next)
		count += is_element(c, "parameter");
	if (count > AGENT_PARAMS_MAX)
		return -E2BIG;
	/* One more than needed: params_read() looks at the place behind the last. */
	meta = calloc(1, sizeof(*meta) + (count + 1) * sizeof(meta->param[0]));
	if (!meta)
		return -ENOMEM;
	if (attribute_name(root, "name", meta->name))
		return -EBADMSG;
	attribute(root, "shortdesc", meta->desc, sizeof(meta->desc));
	long_read(child_of(root, "longdesc"), meta->longdesc, sizeof(meta->longdesc));
	r = params_read(list, meta);
	if (r)
		return r;
	meta->actions = actions_read(root);
	*ret_meta = steal_ptr(meta);
	return 0;
}

int agent_meta_parse(const void *xml, size_t len, struct agent_meta **ret_meta)
{
	const xmlNode *root;
	xmlDocPtr doc;
	int r = -EBADMSG;

	if (len > AGENT_OUT_MAX)
		return -E2BIG;
	if (len == 0)
		return -EBADMSG;
	doc = document_read(xml, (int)len);
	if (!doc)
		return -EBADMSG;
	root = xmlDocGetRootElement(doc);
	if (root && is_element(root, "resource-agent"))
		r = meta_read(root, ret_meta);
	xmlFreeDoc(doc);
	return r;
}

struct agent_meta *agent_meta_free(struct agent_meta *meta)
{
	free(meta);
	return NULL;
}

/* ---- parameters ---- */

static bool same_name(const char *a, const char *b)
{
	for (; *a || *b; a++, b++) {
		char x = *a == '-' ? '_' : *a, y = *b == '-' ? '_' : *b;

		if (x != y)
			return false;
	}
	return true;
}

const struct agent_param *agent_meta_param(const struct agent_meta *meta, const char *name)
{
	for (uint32_t i = 0; i < meta->param_count; i++) {
		if (!strcmp(meta->param[i].name, name))
			return &meta->param[i];
	}
	for (uint32_t i = 0; i < meta->param_count; i++) {
		if (same_name(meta->param[i].name, name))
			return &meta->param[i];
	}
	return NULL;
}

bool agent_param_is_secret(const char *name)
{
	static const char *const parts[] = {"passw", "secret", "token",	 "community", "key",
					    "_kg",   "script", "cookie", "credential"};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(parts); i++) {
		if (strcasestr(name, parts[i]))
			return true;
	}
	return false;
}

/* What the agent will read from the line is what was meant. */
static bool is_value(const char *value, size_t len)
{
	if (len == 0)
		return true;
	if (isspace((unsigned char)value[0]) || isspace((unsigned char)value[len - 1]) ||
	    (len >= 2 && value[0] == '"' && value[len - 1] == '"'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)value[i] < ' ' || value[i] == 0x7f)
			return false;
	}
	return true;
}

int agent_params_set(struct agent_params *params, const char *name, const char *value)
{
	struct agent_given *item = NULL;
	size_t len = strnlen(value, AGENT_VALUE_MAX);

	if (!is_name(name) || same_name(name, "action"))
		return -EINVAL;
	if (len >= AGENT_VALUE_MAX)
		return -E2BIG;
	if (!is_value(value, len))
		return -EINVAL;
	for (uint32_t i = 0; i < params->count && !item; i++) {
		if (same_name(params->item[i].name, name))
			item = &params->item[i];
	}
	if (!item) {
		if (params->count == AGENT_GIVEN_MAX)
			return -ENOSPC;
		item = &params->item[params->count++];
	}
	explicit_bzero(item, sizeof(*item));
	memcpy(item->name, name, strlen(name));
	memcpy(item->value, value, len);
	return 0;
}

const char *agent_params_get(const struct agent_params *params, const char *name)
{
	for (uint32_t i = 0; i < params->count; i++) {
		if (same_name(params->item[i].name, name))
			return params->item[i].value;
	}
	return NULL;
}

void agent_params_wipe(struct agent_params *params)
{
	explicit_bzero(params, sizeof(*params));
}

/* ---- checking ---- */

/* Levenshtein distance of two names. */
static size_t distance(const char *a, const char *b)
{
	size_t row[AGENT_NAME_MAX], n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			size_t change = diagonal + (a[i] != b[j]);
			size_t less = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;

			diagonal = row[j + 1];
			row[j + 1] = change < less ? change : less;
		}
	}
	return row[n];
}

static int problem(struct agent_problem *ret, enum agent_problem_kind kind, const char *name,
		   const char *hint)
{
	if (!ret)
		return -EINVAL;
	*ret = (struct agent_problem){.kind = kind};
	text_copy(name, ret->name, sizeof(ret->name));
	text_copy(hint, ret->hint, sizeof(ret->hint));
	return -EINVAL;
}

/* The nearest name that is not deprecated, if it is near enough to have been meant. */
static const char *did_you_mean(const struct agent_meta *meta, const char *name)
{
	size_t best = strlen(name) / 3 + 2; /* not as far as that */
	const char *found = "";

	for (uint32_t i = 0; i < meta->param_count; i++) {
		size_t d = distance(name, meta->param[i].name);

		if (d < best && !meta->param[i].is_deprecated) {
			best = d;
			found = meta->param[i].name;
		}
	}
	return found;
}

static const char *type_problem(const struct agent_param *p, const char *value, char *buf,
				size_t cap)
{
	static const char *const words[] = {"1", "0", "yes", "no", "on", "off", "true", "false"};
	size_t used = 0;

	if (p->type == AGENT_TYPE_INTEGER || p->type == AGENT_TYPE_SECOND) {
		const char *digits = value[0] == '-' ? value + 1 : value;

		if (*digits && !digits[strspn(digits, "0123456789")])
			return NULL;
		return p->type == AGENT_TYPE_SECOND ? "a number of seconds" : "a number";
	}
	if (p->type == AGENT_TYPE_BOOLEAN) {
		for (size_t i = 0; i < MUST_ARRAY_SIZE(words); i++) {
			if (!strcasecmp(value, words[i]))
				return NULL;
		}
		return "yes or no";
	}
	if (p->type != AGENT_TYPE_SELECT || p->choice_count == 0)
		return NULL;
	for (uint8_t i = 0; i < p->choice_count; i++) {
		if (!strcmp(value, p->choice[i]))
			return NULL;
	}
	used = (size_t)snprintf(buf, cap, "one of");
	for (uint8_t i = 0; i < p->choice_count && used < cap; i++)
		used += (size_t)snprintf(buf + used, cap - used, " %s", p->choice[i]);
	return buf;
}

/* Two names of one parameter: each obsoletes the other, or they differ in '-' and '_' only. */
static bool is_synonym(const struct agent_param *a, const struct agent_param *b)
{
	return same_name(a->name, b->name) || same_name(a->obsoletes, b->name) ||
	       same_name(b->obsoletes, a->name);
}

static int given_check(const struct agent_meta *meta, const struct agent_params *params,
		       const struct agent_given *item, struct agent_problem *ret)
{
	const struct agent_param *p = agent_meta_param(meta, item->name);
	char buf[AGENT_DESC_MAX];
	const char *wanted;

	if (!p)
		return problem(ret, AGENT_PROBLEM_UNKNOWN, item->name,
			       did_you_mean(meta, item->name));
	wanted = type_problem(p, item->value, buf, sizeof(buf));
	if (wanted)
		return problem(ret, AGENT_PROBLEM_VALUE, item->name, wanted);
	for (const struct agent_given *o = params->item; o < item; o++) {
		const struct agent_param *q = agent_meta_param(meta, o->name);

		if (q && is_synonym(p, q) && strcmp(o->value, item->value) != 0)
			return problem(ret, AGENT_PROBLEM_TWICE, item->name, o->name);
	}
	return 0;
}

/* Is it, or a synonym, given or preset? */
static bool is_served(const struct agent_meta *meta, const struct agent_params *params,
		      const struct agent_param *p)
{
	for (uint32_t i = 0; i < meta->param_count; i++) {
		const struct agent_param *q = &meta->param[i];
		const char *value = agent_params_get(params, q->name);

		if (is_synonym(p, q) && ((value && *value) || q->has_preset))
			return true;
	}
	return false;
}

static bool needs_plug(enum agent_action action)
{
	return action == AGENT_OFF || action == AGENT_ON || action == AGENT_REBOOT ||
	       action == AGENT_STATUS;
}

int agent_params_check(const struct agent_meta *meta, const struct agent_params *params,
		       enum agent_action action, struct agent_problem *ret_problem)
{
	int r = 0;

	if ((unsigned int)action >= AGENT_ACTION_MAX || !(meta->actions & (1u << action)))
		return problem(ret_problem, AGENT_PROBLEM_ACTION, agent_action_name(action), "");
	for (uint32_t i = 0; i < params->count && !r; i++)
		r = given_check(meta, params, &params->item[i], ret_problem);
	for (uint32_t i = 0; i < meta->param_count && !r; i++) {
		const struct agent_param *p = &meta->param[i];
		bool is_plug = !strcmp(p->name, "plug") || !strcmp(p->name, "port");

		if (!p->is_required || p->is_deprecated || !strcmp(p->name, "action") ||
		    action == AGENT_METADATA || (is_plug && !needs_plug(action)))
			continue;
		if (!is_served(meta, params, p))
			r = problem(ret_problem, AGENT_PROBLEM_MISSING, p->name, p->desc);
	}
	return r;
}
