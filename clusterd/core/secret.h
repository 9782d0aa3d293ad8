/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secrets by reference: a parameter whose value is `secret:NAME` stands for a text that is in a
 * file of each node and nowhere in the database. A row says which version is in force and which
 * nodes hold it; it carries nothing that was made from the text, so that a dump helps nobody to
 * guess it.
 *
 * What a node has to do about its files is decided here, from the applied database and from what is
 * on its disk; how it is done is in edge/secrets.c.
 */
#ifndef CLUSTERD_CORE_SECRET_H
#define CLUSTERD_CORE_SECRET_H

#include "clusterd/core/db.h"

#define SECRET_MAX	 64  /* rows */
#define SECRET_VALUE_MAX 512 /* bytes of the text, with the NUL */
#define SECRET_PREFIX	 "secret:"

/* Versions on this node's disk. */
struct secret_file {
	char name[CL_NAME_MAX];
	uint64_t version;
	bool is_staged; /* its command is under way: no row has it yet, and it stays */
};

struct secret_facts {
	const struct db *db;
	uint8_t self;	  /* our slot */
	uint16_t present; /* admitted nodes of the view */
	const struct secret_file *file;
	size_t count;
};

enum secret_duty_type {
	SECRET_NOTHING,
	SECRET_REPORT, /* tell the cluster that this node holds it, or does not */
	SECRET_FETCH,  /* from one of `from` */
	SECRET_DROP,   /* a file that no row names */
};

struct secret_duty {
	enum secret_duty_type type;
	char name[CL_NAME_MAX];
	uint64_t version;
	bool is_held;  /* REPORT */
	uint16_t from; /* FETCH: nodes here that hold it */
};

/* The name that the value refers to; NULL if it is a value of its own. */
const char *secret_reference(const char *value);
/* Letters, digits, and - _ . inside; it is part of a file's name. */
bool secret_name_is_valid(const char *name);
/* A text without NUL, line break and other control characters, at least one character long. */
bool secret_value_is_valid(const char *value);
/* True if a parameter of that name has no business in the database in clear. */
bool secret_is_due(const char *parameter);
/*
 * The next duty about a row from number *at on; *at is moved past it. What cannot be done now is
 * passed over: the caller goes through all of them, again and again. SECRET_NOTHING: at the end.
 * To be asked only while the applied database is that of an open epoch.
 */
struct secret_duty secret_next(const struct secret_facts *f, size_t *at);
/* Nodes that are admitted and do not hold the version in force. */
uint16_t secret_missing(const struct db *db, const struct db_secret *row);
/* The first of lines NAME=VALUE that refers to no secret; NULL: there is none. */
const char *secret_unknown(const struct db *db, const char *lines, char name[CL_NAME_MAX]);

#endif
