/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of the database is configuration: what an administrator has set, and nothing of the state
 * that follows from it. One table says which fields of which rows that are (config.c); versions,
 * the document of `config show`, checkpoints, differences and `config apply` all go by it.
 *
 * A document is a list of items, each a value of a field of an object: section (the kind in the
 * plural), name, field, value as text. Field "" says that the object is there; a parameter is the
 * field params.NAME. As text it is one line an item, with tabs between, in one order.
 */
#ifndef CLUSTERD_CORE_CONFIG_H
#define CLUSTERD_CORE_CONFIG_H

#include "clusterd/core/db.h"

#define CONFIG_WHOLE	   "config" /* key of the version of everything */
#define CONFIG_PARAMS	   "params."
#define CONFIG_LINE_MAX	   (DB_PARAMS_MAX + DB_KEY_MAX + DB_FIELD_MAX + DB_VERB_MAX)
#define CONFIG_OBJECTS_MAX 4 /* of one command */

/* When a field may be changed. */
enum config_when {
	CONFIG_NEVER,	/* it is not configuration, or goes with the object only */
	CONFIG_OFFLINE, /* while the object runs nowhere */
	CONFIG_ALWAYS,
};

struct config_kind {
	enum db_kind kind;
	const char *section;
	/* Names of fields with blanks between; a number may have its limit: "level:8", or a span.
	 */
	const char *always, *offline, *fixed;
	const char *params; /* what stands before the object's name in keys of `param`, or NULL */
	enum config_when params_when;
};

/* In the order in which objects can be made: what is named by others first. */
#define CONFIG_KINDS 8
const struct config_kind *config_kind_at(size_t i);
/* By the name of the kind ("group") or of its section ("groups"); NULL: there is none. */
const struct config_kind *config_kind_find(const char *name);
/* The field, and when it may be changed; NULL if it is not configuration. */
const struct db_field *config_field(const struct config_kind *k, const char *name,
				    enum config_when *ret_when);
/* The i-th field that is configuration, in the order of the row; NULL past the last. */
const struct db_field *config_field_at(const struct config_kind *k, uint32_t i);
/* False for what is on its way out, and for what an action has set (cluster.stopping). */
bool config_is_there(const struct config_kind *k, const void *row);
/* Of a group: fields that fit together or not (placement.h), and are set by group_place. */
bool config_is_place(const struct config_kind *k, const char *field);
/* The command that makes the placement of `now` that of its group. */
void config_place_command(const struct db_group *now, struct db_cmd_group_place *ret);
/* A field that follows from something else here: of a virtual machine's group its volumes. */
bool config_follows(const struct db *db, const struct config_kind *k, const void *row,
		    const char *field);
/* NULL, or why what is set only OFFLINE cannot be set now. */
const char *config_bar(const struct db *db, const struct config_kind *k, const void *row);
/* The i-th parameter of the object, with its bare name; NULL past the last. */
const struct db_param *config_param_at(const struct db *db, const struct config_kind *k,
				       const char *object, uint32_t i, const char **ret_name);

/* The value as text. */
void config_text(const struct db *db, const struct db_field *f, const void *row, char *to,
		 size_t size);
/* Text into the field; false with a sentence that says what is expected. */
bool config_parse(const struct db *db, const struct config_kind *k, const struct db_field *f,
		  const char *text, void *row, char *why, size_t why_size);

/* Key KIND/NAME of a row; false: that kind is no configuration. */
bool config_key(enum db_kind kind, const void *row, char ret[DB_KEY_MAX]);
/*
 * The objects that a command is about, its own one first: keys KIND/NAME, also of kinds that are no
 * configuration. Returns how many.
 */
uint32_t config_objects(const struct db_command *cmd, char ret[CONFIG_OBJECTS_MAX][DB_KEY_MAX]);
/* Of all that is configuration of the object; 0: it is not there. */
uint64_t config_digest(const struct db *db, const char *key);
/* Whether things of that kind have versions. */
bool config_has_version(const char *key);
/* Index of its newest change; 0: as it was made by the cluster itself, or not there. */
uint64_t config_version(const struct db *db, const char *key);
/* What the command says, for people; values of parameters are not in it. */
void config_words(const struct db *db, const struct db_command *cmd, char *to, size_t size);

/* ---- documents */

struct config_item {
	const char *section, *name, *field;
	const char *value; /* NULL: not shown to who made the document; it stays as it is */
	uint32_t place;	   /* of the object in its section of the file */
};

/* Every item of the database, in the one order. What it points to lives as long as the call. */
void config_each(const struct db *db, void (*take)(void *arg, const struct config_item *item),
		 void *arg);
/* Takes a line without its end apart, in place; false: it is none. */
bool config_item_parse(char *line, struct config_item *ret);
/* Below, at or above 0: by section in the order of kinds, then name, then field. */
int config_item_compare(const struct config_item *a, const struct config_item *b);

/* What makes the configuration of a database that of a document. */
struct config_plan {
	struct db *db;			/* a copy, on which each command is done at once */
	const struct config_item *item; /* in their order */
	size_t count;
	bool prunes;	  /* what the document does not name is deleted */
	bool skips_nodes; /* that are no members any more */
	/* Takes a command that was done on the copy. */
	void (*take)(void *arg, const struct db_command *cmd);
	void *arg;
	uint64_t request;
	/* The first refusal, and the item that it is about; NULL: about no item. */
	enum db_code code;
	char text[DB_REASON_MAX];
	const struct config_item *bad;
};

/* DB_OK, or the code of the refusal. */
enum db_code config_plan_run(struct config_plan *p);

#endif
