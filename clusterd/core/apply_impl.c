/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every command needs: answers, events, tasks, parameters, locks. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "lib/must.h"

void apply_copy(char *to, size_t size, const char *from)
{
	size_t n = strnlen(from, size - 1);

	memcpy(to, from, n);
	to[n] = 0;
}

void apply_answer(struct apply *a, enum db_code code, const char *format, ...)
{
	va_list ap;

	a->result->code = code;
	va_start(ap, format);
	vsnprintf(a->result->text, sizeof(a->result->text), format, ap);
	va_end(ap);
}

void apply_event(struct apply *a, const char *kind, const char *object, const char *format, ...)
{
	struct db *db = a->db;
	struct db_event *e;
	va_list ap;

	if (db_count(db, DB_KIND_EVENT) == db->limits.capacity[DB_KIND_EVENT])
		db_remove(db, DB_KIND_EVENT, db_at(db, DB_KIND_EVENT, 0));
	e = db_insert_id(db, DB_KIND_EVENT, db->next_event++);
	must(e);
	e->at_ms = a->cmd->at_ms;
	e->index = a->entry->index;
	COPY(e->kind, kind);
	COPY(e->object, object);
	va_start(ap, format);
	vsnprintf(e->text, sizeof(e->text), format, ap);
	va_end(ap);
}

bool apply_is_uuid(const char *text)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(text) != sizeof(form) - 1)
		return false;
	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		if (form[i] == '-' ? text[i] != '-' : !strchr("0123456789abcdef", text[i]))
			return false;
	}
	return true;
}

/* ---- tasks */

/* Room for a task: the oldest that has ended goes. False when all are running. */
static bool make_task_room(struct db *db)
{
	if (db_count(db, DB_KIND_TASK) < db->limits.capacity[DB_KIND_TASK])
		return true;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_TASK); i++) {
		struct db_task *t = db_at(db, DB_KIND_TASK, i);

		if (t->state != DB_TASK_STATE_RUNNING) {
			db_remove(db, DB_KIND_TASK, t);
			return true;
		}
	}
	return false;
}

uint64_t apply_task_new(struct apply *a, const char *verb, const char *object)
{
	struct db_task *t;

	if (!make_task_room(a->db))
		return 0;
	t = db_insert_id(a->db, DB_KIND_TASK, a->db->next_task++);
	must(t);
	COPY(t->verb, verb);
	COPY(t->object, object);
	COPY(t->actor, a->cmd->actor);
	t->state = DB_TASK_STATE_RUNNING;
	COPY(t->phase, "queued");
	t->created_ms = a->cmd->at_ms;
	a->result->task = t->id;
	return t->id;
}

void apply_task_phase(struct apply *a, uint64_t id, const char *phase)
{
	struct db_task *t = id ? db_find_id(a->db, DB_KIND_TASK, id) : NULL;

	if (t && t->state == DB_TASK_STATE_RUNNING)
		COPY(t->phase, phase);
}

void apply_task_end(struct apply *a, uint64_t id, enum db_task_state state, const char *reason)
{
	struct db_task *t = id ? db_find_id(a->db, DB_KIND_TASK, id) : NULL;

	if (!t || t->state != DB_TASK_STATE_RUNNING)
		return;
	t->state = (uint8_t)state;
	t->ended_ms = a->cmd->at_ms;
	COPY(t->phase, "ended");
	COPY(t->reason, reason);
}

/* ---- parameters */

bool apply_param_set(struct db *db, const char *key, const char *value)
{
	struct db_param *p = db_find(db, DB_KIND_PARAM, key);

	if (!p)
		p = db_insert(db, DB_KIND_PARAM, key);
	if (p)
		COPY(p->value, value);
	return p != NULL;
}

/* Takes one line NAME=VALUE apart; returns what follows it, NULL for a bad line. */
static const char *param_line(const char *line, const char *object, char *key, char *value)
{
	size_t len = strcspn(line, "\n"), name_len = strcspn(line, "=");

	if (!name_len || name_len >= len || name_len >= CL_NAME_MAX ||
	    len - name_len > DB_VALUE_MAX)
		return NULL;
	snprintf(key, DB_KEY_MAX, "%.63s/%.*s", object, (int)(name_len & (CL_NAME_MAX - 1)), line);
	memcpy(value, line + name_len + 1, len - name_len - 1);
	value[len - name_len - 1] = 0;
	return line + len + (line[len] == '\n');
}

bool apply_params_fit(const struct db *db, const char *lines)
{
	char key[DB_KEY_MAX], value[DB_VALUE_MAX];
	uint32_t count = 0;

	while (lines && *lines) {
		lines = param_line(lines, "", key, value);
		count++;
	}
	return lines && count <= db->limits.capacity[DB_KIND_PARAM] - db_count(db, DB_KIND_PARAM);
}

void apply_params_set(struct db *db, const char *object, const char *lines)
{
	char key[DB_KEY_MAX], value[DB_VALUE_MAX];

	while (*lines) {
		lines = param_line(lines, object, key, value);
		must(lines && apply_param_set(db, key, value));
	}
}

void apply_params_remove(struct db *db, const char *object)
{
	size_t n = strlen(object);

	for (uint32_t i = db_count(db, DB_KIND_PARAM); i-- > 0;) {
		struct db_param *p = db_at(db, DB_KIND_PARAM, i);

		if (!strncmp(p->key, object, n) && p->key[n] == '/')
			db_remove(db, DB_KIND_PARAM, p);
	}
}

/* ---- locks */

int apply_lock_step(struct db *db, const struct lk_event *e)
{
	return lk_step(&db->locks, e, &db->lock_actions);
}

static void lock_name(struct lk_event *e, const char *prefix, const char *name)
{
	size_t p = strlen(prefix), n = strlen(name);

	must(p + n <= sizeof(e->name)); /* names are checked when their rows are made */
	memcpy(e->name, prefix, p);
	memcpy(e->name + p, name, n);
	e->name_len = (uint8_t)(p + n);
}

uint64_t apply_lock_take(struct db *db, const char *prefix, const char *name, enum lk_mode mode,
			 uint64_t session)
{
	struct lk_event e = {
		.type = LK_EV_LOCK, .flags = LK_NOQUEUE, .session = session, .mode = (uint8_t)mode};

	lock_name(&e, prefix, name);
	if (apply_lock_step(db, &e) || !db->lock_actions.count ||
	    db->lock_actions.items[0].kind != LK_DO_GRANTED)
		return 0;
	return db->lock_actions.items[0].lock_id;
}

/* An orphaned session asks for nothing any more: its lock ends by name. */
void apply_lock_drop(struct db *db, uint64_t lock)
{
	struct lk_event e = {.type = LK_EV_UNLOCK, .lock_id = lock};
	struct lk_lock_info info;

	if (!lock)
		return;
	must(!lk_lock_get(&db->locks, lock, &info));
	e.session = info.session.id;
	if (info.session.state == LK_SESSION_ORPHANED) {
		e = (struct lk_event){.type = LK_EV_RELEASE_MATCHING,
				      .flags = LK_EXACT,
				      .node = info.session.node,
				      .incarnation = info.session.incarnation,
				      .name_len = info.name_len};
		memcpy(e.name, info.name, info.name_len);
	}
	must(!apply_lock_step(db, &e));
}

void apply_lock_release(struct db *db, uint8_t slot, uint64_t incarnation, const char *prefix)
{
	struct lk_event e = {
		.type = LK_EV_RELEASE_MATCHING, .node = slot, .incarnation = incarnation};

	lock_name(&e, prefix, "");
	must(!apply_lock_step(db, &e));
}

void apply_lock_transfer(struct db *db, const char *prefix, const char *name, uint64_t from,
			 uint64_t to)
{
	struct lk_event e = {.type = LK_EV_TRANSFER, .session = from, .peer = to};

	lock_name(&e, prefix, name);
	must(!apply_lock_step(db, &e));
}
