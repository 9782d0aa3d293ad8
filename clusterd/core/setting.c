/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/setting.h"

#include <string.h>

#include "lib/must.h"

static const struct setting_shape shapes[SETTING_MAX] = {
#define SETTING_SHAPE(NAME, key, type, def, min, max)                                              \
	[SETTING_##NAME] = {key, SETTING_TYPE_##type, def, min, max},
	SETTINGS(SETTING_SHAPE)
#undef SETTING_SHAPE
};

const struct setting_shape *setting_shape(enum setting setting)
{
	must(setting < SETTING_MAX);
	return &shapes[setting];
}

enum setting setting_find(const char *key)
{
	size_t len = strcspn(key, "/");
	bool has_object = key[len] && key[len + 1];

	for (int i = 0; i < SETTING_MAX; i++) {
		if (strlen(shapes[i].key) == len && !strncmp(shapes[i].key, key, len) &&
		    has_object == (shapes[i].type == SETTING_TYPE_of_object) &&
		    (has_object || !key[len]))
			return (enum setting)i;
	}
	return SETTING_MAX;
}

static bool parse_number(const char *text, uint64_t *ret)
{
	uint64_t v = 0;

	if (!text[0] || strlen(text) > 18)
		return false;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	*ret = v;
	return true;
}

bool setting_parse(enum setting setting, const char *text, uint64_t *ret)
{
	const struct setting_shape *s = setting_shape(setting);
	uint64_t v;

	if (s->type == SETTING_TYPE_flag) {
		if (strcmp(text, "on") && strcmp(text, "off"))
			return false;
		*ret = !strcmp(text, "on");
		return true;
	}
	if (!parse_number(text, &v) || v < s->min || v > s->max)
		return false;
	*ret = v;
	return true;
}

bool setting_key(enum setting setting, const char *object, char *ret, size_t size)
{
	const struct setting_shape *s = setting_shape(setting);
	size_t n = strlen(s->key), m = object ? strlen(object) : 0;

	must((object != NULL) == (s->type == SETTING_TYPE_of_object));
	if (n + (object ? 1 + m : 0) >= size)
		return false;
	memcpy(ret, s->key, n + 1);
	if (object) {
		ret[n] = '/';
		memcpy(ret + n + 1, object, m + 1);
	}
	return true;
}

uint64_t setting_get(const struct db *db, enum setting setting, const char *object)
{
	uint64_t v = setting_shape(setting)->def;
	const struct db_setting *row;
	char key[DB_KEY_MAX];

	if (!setting_key(setting, object, key, sizeof(key)))
		return v;
	row = db_find(db, DB_KIND_SETTING, key);
	if (row)
		(void)setting_parse(setting, row->value, &v); /* apply let no other value in */
	return v;
}
