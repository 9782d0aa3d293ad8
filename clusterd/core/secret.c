/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/secret.h"

#include <string.h>

#include "lib/must.h"

const char *secret_reference(const char *value)
{
	return strncmp(value, SECRET_PREFIX, strlen(SECRET_PREFIX)) ? NULL
								    : value + strlen(SECRET_PREFIX);
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool secret_name_is_valid(const char *name)
{
	size_t len = strnlen(name, CL_NAME_MAX);

	if (!len || len == CL_NAME_MAX || !is_word(name[0]))
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!is_word(name[i]) && !strchr("-_.", name[i]))
			return false;
	}
	return true;
}

bool secret_value_is_valid(const char *value)
{
	size_t len = strnlen(value, SECRET_VALUE_MAX);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
			return false;
	}
	return len && len < SECRET_VALUE_MAX;
}

/* Names that fence-agents and resource-agents of Debian 12 give to what nobody may read. */
bool secret_is_due(const char *parameter)
{
	static const char *const word[] = {"passwd", "password", "passphrase", "secret", "token"};
	static const char *const is_not[] = {"_script",	 "_file", "_command",
					     "_timeout", "_path", "_use_empty"};
	size_t len = strlen(parameter);

	for (size_t i = 0; i < MUST_ARRAY_SIZE(is_not); i++) {
		size_t n = strlen(is_not[i]);

		if (len > n && !strcmp(parameter + len - n, is_not[i]))
			return false;
	}
	for (size_t i = 0; i < MUST_ARRAY_SIZE(word); i++) {
		if (strstr(parameter, word[i]))
			return true;
	}
	return false;
}

static const struct secret_file *file_find(const struct secret_facts *f, const char *name,
					   uint64_t version)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->file[i].version == version && !strcmp(f->file[i].name, name))
			return &f->file[i];
	}
	return NULL;
}

static struct secret_duty of_row(const struct secret_facts *f, const struct db_secret *row)
{
	struct secret_duty d = {.version = row->version};
	bool is_said = row->holders & cl_bit(f->self);

	memcpy(d.name, row->name, sizeof(d.name));
	d.is_held = file_find(f, row->name, row->version);
	d.from = (uint16_t)(row->holders & f->present & ~cl_bit(f->self));
	if (d.is_held != is_said)
		d.type = SECRET_REPORT;
	else if (!d.is_held && d.from)
		d.type = SECRET_FETCH;
	return d;
}

static struct secret_duty of_file(const struct secret_facts *f, const struct secret_file *file)
{
	const struct db_secret *row = db_find(f->db, DB_KIND_SECRET, file->name);
	struct secret_duty d = {.version = file->version};

	memcpy(d.name, file->name, sizeof(d.name));
	if (!file->is_staged && (!row || row->version != file->version))
		d.type = SECRET_DROP;
	return d;
}

struct secret_duty secret_next(const struct secret_facts *f, size_t *at)
{
	size_t rows = db_count(f->db, DB_KIND_SECRET);
	struct secret_duty d = {.type = SECRET_NOTHING};

	while (*at < rows + f->count && d.type == SECRET_NOTHING) {
		d = *at < rows ? of_row(f, db_at(f->db, DB_KIND_SECRET, (uint32_t)*at))
			       : of_file(f, &f->file[*at - rows]);
		++*at;
	}
	return d;
}

uint16_t secret_missing(const struct db *db, const struct db_secret *row)
{
	uint16_t set = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (n->membership == DB_MEMBERSHIP_ADMITTED)
			set = (uint16_t)(set | cl_bit(n->slot));
	}
	return (uint16_t)(set & ~row->holders);
}

const char *secret_unknown(const struct db *db, const char *lines, char name[CL_NAME_MAX])
{
	while (*lines) {
		size_t len = strcspn(lines, "\n");
		const char *equals = memchr(lines, '=', len);
		const char *reference = equals ? secret_reference(equals + 1) : NULL;

		if (reference && reference <= lines + len) {
			size_t n = (size_t)(lines + len - reference);

			n = n < CL_NAME_MAX ? n : CL_NAME_MAX - 1;
			memcpy(name, reference, n);
			name[n] = 0;
			if (!db_find(db, DB_KIND_SECRET, name))
				return name;
		}
		lines += len + (lines[len] != 0);
	}
	return NULL;
}
