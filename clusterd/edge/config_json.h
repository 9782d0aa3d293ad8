/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration as a JSON document, and as the list of items that the core works with
 * (clusterd/core/config.h). One object a section; numbers, flags, lists of names and definitions of
 * virtual machines are JSON of their own kind.
 */
#ifndef CLUSTERD_EDGE_CONFIG_JSON_H
#define CLUSTERD_EDGE_CONFIG_JSON_H

#include <jansson.h>

#include "clusterd/core/config.h"

#define CONFIG_JSON_SCHEMA 1
#define CONFIG_JSON_WHY	   400

struct config_doc {
	struct config_item *item; /* owns what they point to, but sections */
	size_t count, cap;
};

void config_doc_done(struct config_doc *doc);
/* Everything that the database has. */
void config_doc_from_db(struct config_doc *doc, const struct db *db);
/* False: there is no such checkpoint, or it cannot be read. */
bool config_doc_from_checkpoint(struct config_doc *doc, const struct db *db, const char *name);
/*
 * From a file, in order. False with a sentence that begins with the place, such as
 * groups[2].priority.
 * `mount_dir` is where volumes are mounted: disks of virtual machines lie below it.
 */
bool config_doc_from_json(struct config_doc *doc, const json_t *json, const char *mount_dir,
			  char why[CONFIG_JSON_WHY]);
/* In the order that config_plan_run() wants. */
void config_doc_sort(struct config_doc *doc);
/* The sections; values of parameters are null for who may not see them. */
json_t *config_doc_json(const struct config_doc *doc, bool shows_params);
/* groups[2].priority, as the file has it. */
void config_item_path(const struct config_item *item, char *to, size_t size);
/* A value in clear that has no business in the database (secret.h). */
bool config_item_is_private(const struct config_item *item);

/*
 * The volumes that the disks lie on, each once, with commas. False with a sentence. With a
 * database, only volumes that it has.
 */
bool config_disk_volumes(const json_t *disks, const char *mount_dir, const struct db *db, char *to,
			 size_t size, char *why, size_t why_size);

#endif
