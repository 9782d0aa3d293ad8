/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands about secrets do to the applied state. */
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/secret.h"

/* The parameter that refers to it, or NULL. */
static const struct db_param *user_of(const struct db *db, const char *name)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_PARAM); i++) {
		const struct db_param *p = db_at(db, DB_KIND_PARAM, i);
		const char *reference = secret_reference(p->value);

		if (reference && !strcmp(reference, name))
			return p;
	}
	return NULL;
}

void do_secret_set(struct apply *a, const struct db_cmd_secret_set *c)
{
	struct db_secret *row = db_find(a->db, DB_KIND_SECRET, c->name);
	bool is_new = !row;

	if (!secret_name_is_valid(c->name) || c->slot >= CL_MAX_NODES) {
		apply_answer(a, DB_INVALID, "a secret's name has letters, digits, '-', '_', '.'");
		return;
	}
	if (is_new)
		row = db_insert(a->db, DB_KIND_SECRET, c->name);
	if (!row) {
		apply_answer(a, DB_REFUSED, "no room for another secret: there are %d", SECRET_MAX);
		return;
	}
	row->version = c->version;
	row->holders = cl_bit(c->slot);
	row->since_ms = a->cmd->at_ms;
	COPY(row->actor, a->cmd->actor);
	apply_event(a, "secret-set", c->name, "%s by %s; the others fetch it from %s",
		    is_new ? "made" : "changed", a->cmd->actor, db_node_name(a->db, c->slot));
}

void do_secret_delete(struct apply *a, const struct db_cmd_secret_delete *c)
{
	struct db_secret *row = db_find(a->db, DB_KIND_SECRET, c->name);
	const struct db_param *user = user_of(a->db, c->name);

	if (!row) {
		apply_answer(a, DB_NO_SUCH, "no secret %s", c->name);
		return;
	}
	if (user) {
		apply_answer(a, DB_REFUSED, "secret %s is used by parameter %s", c->name,
			     user->key);
		return;
	}
	db_remove(a->db, DB_KIND_SECRET, row);
	apply_event(a, "secret-deleted", c->name, "by %s", a->cmd->actor);
}

void do_secret_held(struct apply *a, const struct db_cmd_secret_held *c)
{
	struct db_secret *row = db_find(a->db, DB_KIND_SECRET, c->name);
	uint16_t bit = c->slot < CL_MAX_NODES ? cl_bit(c->slot) : 0;

	if (!row || row->version != c->version || !bit)
		return; /* of an earlier version */
	if (!(row->holders & bit) == !c->is_held)
		return;
	row->holders = (uint16_t)(c->is_held ? row->holders | bit : row->holders & ~bit);
	if (!c->is_held)
		apply_event(a, "secret-lost", c->name, "its file on %s is missing%s",
			    db_node_name(a->db, c->slot),
			    row->holders ? "; it is fetched again" : "; no node has it: set it");
}

bool secrets_exist(struct apply *a, const char *lines)
{
	char name[CL_NAME_MAX];

	if (!secret_unknown(a->db, lines, name))
		return true;
	apply_answer(a, DB_NO_SUCH, "no secret %s; make it with 'clusterctl secret set'", name);
	return false;
}

void secrets_slot_free(struct db *db, uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_SECRET); i++) {
		struct db_secret *row = db_at(db, DB_KIND_SECRET, i);

		row->holders = (uint16_t)(row->holders & ~cl_bit(slot));
	}
}
