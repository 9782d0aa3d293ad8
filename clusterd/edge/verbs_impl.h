/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of verbs share; nobody else includes this. */
#ifndef CLUSTERD_EDGE_VERBS_IMPL_H
#define CLUSTERD_EDGE_VERBS_IMPL_H

#include "clusterd/edge/verbs.h"

/* The text of an argument, "" if it is missing. */
const char *verb_arg_text(const json_t *args, const char *name);
/* Copies a name argument; replies and returns false if it is missing, too long or odd. */
bool verb_arg_name(struct api_client *c, const json_t *args, const char *name, char *to,
		   size_t size);
/* The node that the argument names; replies and returns NULL if there is none. */
const struct db_node *verb_arg_node(struct api_client *c, const json_t *args, const char *name);
/* The name a second time in `confirm`; replies with what would happen, and returns false. */
bool verb_is_confirmed(struct api_client *c, const json_t *args, const char *name,
		       const char *what);

struct db_command verb_command(struct api_client *c, enum db_cmd_type type);
/* Hands it to the cluster; the reply comes when it is applied. */
void verb_submit(struct api_client *c, const struct db_command *cmd);
json_t *verb_table_json(const struct db *db, enum db_kind kind);

/* ---- verbs_volume.c */

void verb_volume_clear(struct api_client *c, const json_t *args);
void verb_volume_create(struct api_client *c, const json_t *args);
void verb_volume_delete(struct api_client *c, const json_t *args);
void verb_volume_list(struct api_client *c, const json_t *args);
void verb_volume_move(struct api_client *c, const json_t *args);
void verb_volume_show(struct api_client *c, const json_t *args);

#endif
