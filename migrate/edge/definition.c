/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/definition.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"

#define POINTER_MAX 128
#define FOUND_MAX   80
#define LIST_MAX    256 /* characters of a list of words in an error */

/* Where we are. After the first error everything else is a no-op. */
struct reader {
	char *error;
	size_t cap;
	bool is_failed;
};

struct place {
	struct reader *r;
	const json_t *object;
	char pointer[POINTER_MAX]; /* of the object; "" for the document */
};

/* A key of an object. NULL `fallback`: must be there. */
struct text_rule {
	const char *key, *fallback;
	bool (*is_good)(const char *text);
	const char *allowed;
};

__attribute__((format(printf, 4, 5))) static void fail(struct reader *r, const char *pointer,
						       const char *key, const char *format, ...)
{
	va_list ap;
	int n;

	if (r->is_failed)
		return;
	r->is_failed = true;
	n = snprintf(r->error, r->cap, "%s%s%s: ", pointer, key ? "/" : "", key ? key : "");
	if (n < 0 || (size_t)n >= r->cap)
		return;
	va_start(ap, format);
	vsnprintf(r->error + n, r->cap - (size_t)n, format, ap);
	va_end(ap);
}

static void fail_at(struct place *p, const char *key, const char *found, const char *allowed)
{
	fail(p->r, p->pointer, key, "%s; allowed: %s", found, allowed);
}

/* A value for people: its beginning, on one line. */
static const char *found(const json_t *value, char *buf, size_t cap)
{
	_cleanup_free_ char *text = NULL;

	if (json_is_object(value) || json_is_array(value)) {
		snprintf(buf, cap, "found %s", json_is_object(value) ? "an object" : "an array");
		return buf;
	}
	text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	snprintf(buf, cap, "found %.60s%s", text ? text : "?",
		 text && strlen(text) > 60 ? "..." : "");
	return buf;
}

static void fail_value(struct place *p, const char *key, const json_t *value, const char *allowed)
{
	char buf[FOUND_MAX];

	fail_at(p, key, found(value, buf, sizeof(buf)), allowed);
}

/* "a", "b", "c" */
static const char *list(const char *const *words, char *buf, size_t cap)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; words[i] && at < cap; i++) {
		int n = snprintf(buf + at, cap - at, "%s\"%s\"", i ? ", " : "", words[i]);

		at += n > 0 ? (size_t)n : 0;
	}
	return buf;
}

/* ---- values ---- */

static void check_keys(struct place *p, const char *const *known)
{
	char buf[LIST_MAX];
	const char *key;
	json_t *value;

	/* Iterating does not change it; jansson's iterator has no const variant. */
	json_object_foreach((json_t *)(uintptr_t)p->object, key, value)
	{
		size_t i = 0;

		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (!known[i])
			fail_at(p, key, "unknown key", list(known, buf, sizeof(buf)));
	}
}

static void get_text(struct place *p, const struct text_rule *rule, char *dst, size_t cap)
{
	const json_t *value = json_object_get(p->object, rule->key);
	const char *text = json_string_value(value);

	if (!value && rule->fallback)
		text = rule->fallback;
	else if (!value)
		fail_at(p, rule->key, "missing", rule->allowed);
	else if (!text || strlen(text) != json_string_length(value) || strlen(text) >= cap ||
		 !rule->is_good(text))
		fail_value(p, rule->key, value, rule->allowed);
	if (!p->r->is_failed)
		memcpy(dst, text, strlen(text) + 1);
}

/* Index of the word; `fallback` below 0: the key must be there. */
static unsigned int get_choice(struct place *p, const char *key, const char *const *words,
			       int fallback)
{
	const json_t *value = json_object_get(p->object, key);
	const char *text = json_string_value(value);
	char buf[LIST_MAX];

	if (!value && fallback >= 0)
		return (unsigned int)fallback;
	for (unsigned int i = 0; text && words[i]; i++) {
		if (strcmp(words[i], text) == 0)
			return i;
	}
	if (value)
		fail_value(p, key, value, list(words, buf, sizeof(buf)));
	else
		fail_at(p, key, "missing", list(words, buf, sizeof(buf)));
	return 0;
}

static unsigned int get_number(struct place *p, const char *key, unsigned int min, unsigned int max)
{
	const json_t *value = json_object_get(p->object, key);
	json_int_t n = json_integer_value(value);
	char buf[LIST_MAX];

	snprintf(buf, sizeof(buf), "an integer from %u to %u", min, max);
	if (!value)
		fail_at(p, key, "missing", buf);
	else if (!json_is_integer(value) || n < (json_int_t)min || n > (json_int_t)max)
		fail_value(p, key, value, buf);
	return p->r->is_failed ? min : (unsigned int)n;
}

static bool get_bool(struct place *p, const char *key, bool fallback)
{
	const json_t *value = json_object_get(p->object, key);

	if (!value)
		return fallback;
	if (!json_is_boolean(value))
		fail_value(p, key, value, "true, false");
	return json_is_true(value);
}

static bool is_in(const char *text, const char *extra)
{
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr(extra, *text))
			return false;
	}
	return true;
}

static bool is_name(const char *text)
{
	return isalnum((unsigned char)text[0]) && is_in(text, "._-");
}

static bool is_uuid(const char *text)
{
	uint8_t uuid[UUID_BYTES];

	return uuid_parse(text, uuid);
}

static bool is_path(const char *text)
{
	if (text[0] != '/' || !text[1])
		return false;
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
		if (*p != '/')
			continue;
		if (!p[1] || p[1] == '/' || strcmp(p, "/.") == 0 || strcmp(p, "/..") == 0 ||
		    strncmp(p, "/./", 3) == 0 || strncmp(p, "/../", 4) == 0)
			return false;
	}
	return true;
}

static bool is_cpu(const char *text)
{
	if (strcmp(text, "host") == 0 || strcmp(text, "max") == 0 ||
	    strncmp(text, "host,", 5) == 0 || strncmp(text, "max,", 4) == 0)
		return false;
	if (!isalnum((unsigned char)text[0]) || !is_in(text, "._-+,"))
		return false;
	for (const char *p = strchr(text, ','); p; p = strchr(p + 1, ',')) {
		if ((p[1] != '+' && p[1] != '-') || !isalnum((unsigned char)p[2]))
			return false;
	}
	return true;
}

static bool is_machine(const char *text)
{
	bool is_q35;

	return definition_machine_is_q35(text, &is_q35);
}

static bool is_command_line(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	}
	return true;
}

static bool is_mac(const char *text)
{
	if (strlen(text) != DEFINITION_MAC - 1)
		return false;
	for (size_t i = 0; text[i]; i++) {
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
	}
	/* The lowest bit of the first byte: multicast. */
	return strchr("02468aceACE", text[1]) && strcmp(text, "00:00:00:00:00:00") != 0;
}

static bool is_bridge(const char *text)
{
	return text[0] && is_in(text, "._-");
}

bool definition_machine_is_q35(const char *machine, bool *ret_is_q35)
{
	static const struct {
		const char *prefix;
		bool is_q35;
	} families[] = {{"pc-q35-", true}, {"pc-i440fx-", false}};

	if (strcmp(machine, "q35") == 0 || strcmp(machine, "pc") == 0) {
		*ret_is_q35 = machine[0] == 'q';
		return true;
	}
	for (size_t i = 0; i < MUST_ARRAY_SIZE(families); i++) {
		size_t n = strlen(families[i].prefix);

		if (strncmp(machine, families[i].prefix, n) != 0)
			continue;
		if (!isdigit((unsigned char)machine[n]) || strlen(machine) >= DEFINITION_WORD ||
		    strspn(machine + n, "0123456789.") != strlen(machine + n))
			return false;
		*ret_is_q35 = families[i].is_q35;
		return true;
	}
	return false;
}

/* ---- the document ---- */

#define PATH_ALLOWED "an absolute path of at most 1023 bytes, without empty, . and .. parts"

static void parse_disk(struct place *p, struct definition_disk *d)
{
	static const char *const keys[] = {"path", "format", "bus", "cache", "readonly", NULL};
	static const char *const formats[] = {"raw", "qcow2", NULL};
	static const char *const buses[] = {"virtio", NULL};
	static const char *const caches[] = {"none", NULL};
	static const struct text_rule path = {"path", NULL, is_path, PATH_ALLOWED};

	check_keys(p, keys);
	get_text(p, &path, d->path, sizeof(d->path));
	d->format = (enum definition_format)get_choice(p, "format", formats, -1);
	(void)get_choice(p, "bus", buses, 0);
	(void)get_choice(p, "cache", caches, 0);
	d->is_readonly = get_bool(p, "readonly", false);
}

static void parse_nic(struct place *p, struct definition_nic *n)
{
	static const char *const keys[] = {"bridge", "mac", "model", NULL};
	static const char *const models[] = {"virtio", "e1000", "e1000e", NULL};
	static const struct text_rule bridge = {
		"bridge", NULL, is_bridge,
		"\"user\", \"none\", or a bridge of at most 15 characters"};
	static const struct text_rule mac = {"mac", NULL, is_mac,
					     "a unicast address like \"52:54:00:12:34:56\""};

	check_keys(p, keys);
	get_text(p, &bridge, n->bridge, sizeof(n->bridge));
	get_text(p, &mac, n->mac, sizeof(n->mac));
	n->model = (enum definition_model)get_choice(p, "model", models, 0);
	if (strcmp(n->bridge, "user") == 0)
		n->network = DEFINITION_ON_USER;
	else if (strcmp(n->bridge, "none") == 0)
		n->network = DEFINITION_ON_NONE;
	for (char *c = n->mac; *c; c++)
		*c = (char)tolower((unsigned char)*c);
}

/* The array at `key`, NULL if there is none; a wrong one is an error. */
static const json_t *get_array(struct place *p, const char *key, size_t max, const char *of)
{
	const json_t *value = json_object_get(p->object, key);
	char buf[LIST_MAX];

	if (!value)
		return NULL;
	snprintf(buf, sizeof(buf), "an array of at most %zu %s", max, of);
	if (!json_is_array(value)) {
		fail_value(p, key, value, buf);
	} else if (json_array_size(value) > max) {
		char many[FOUND_MAX];

		snprintf(many, sizeof(many), "found %zu", json_array_size(value));
		fail_at(p, key, many, buf);
	}
	return p->r->is_failed ? NULL : value;
}

/* The element's place. False: it is no object. */
static bool enter(struct place *p, const char *key, const json_t *element, size_t i,
		  struct place *ret)
{
	char name[32];

	snprintf(name, sizeof(name), "%s/%zu", key, i);
	if (!json_is_object(element)) {
		fail_value(p, name, element, "an object");
		return false;
	}
	*ret = (struct place){.r = p->r, .object = element};
	snprintf(ret->pointer, sizeof(ret->pointer), "%s/%s", p->pointer, name);
	return true;
}

static void parse_devices(struct place *p, struct definition *d)
{
	const json_t *disks = get_array(p, "disks", DEFINITION_DISKS, "disks");
	const json_t *nics = get_array(p, "nics", DEFINITION_NICS, "network cards");
	struct place at;

	for (size_t i = 0; i < json_array_size(disks); i++) {
		if (enter(p, "disks", json_array_get(disks, i), i, &at))
			parse_disk(&at, &d->disk[i]);
	}
	for (size_t i = 0; i < json_array_size(nics); i++) {
		if (enter(p, "nics", json_array_get(nics, i), i, &at))
			parse_nic(&at, &d->nic[i]);
	}
	d->n_disks = (unsigned int)json_array_size(disks);
	d->n_nics = (unsigned int)json_array_size(nics);
	for (size_t i = 0; i < d->n_disks; i++) {
		for (size_t j = 0; j < i; j++) {
			char key[32];

			if (strcmp(d->disk[i].path, d->disk[j].path) != 0)
				continue;
			snprintf(key, sizeof(key), "disks/%zu/path", i);
			fail_at(p, key, "found the path of another disk", "each path once");
		}
	}
}

static unsigned int *boot_of(struct definition *d, const char *device)
{
	char name[16];

	for (unsigned int i = 0; i < d->n_disks; i++) {
		snprintf(name, sizeof(name), "disk%u", i);
		if (strcmp(name, device) == 0)
			return &d->disk[i].boot;
	}
	for (unsigned int i = 0; i < d->n_nics; i++) {
		snprintf(name, sizeof(name), "nic%u", i);
		if (strcmp(name, device) == 0)
			return &d->nic[i].boot;
	}
	return NULL;
}

/* ["disk1", "nic0"]; without it the first disk. */
static void parse_boot(struct place *p, struct definition *d)
{
	const json_t *boot = get_array(p, "boot", DEFINITION_DISKS + DEFINITION_NICS, "devices");

	for (size_t i = 0; i < json_array_size(boot); i++) {
		const json_t *element = json_array_get(boot, i);
		const char *device = json_string_value(element);
		unsigned int *at = device ? boot_of(d, device) : NULL;
		char key[32];

		if (at && !*at) {
			*at = (unsigned int)i + 1;
			continue;
		}
		snprintf(key, sizeof(key), "boot/%zu", i);
		fail_value(p, key, element,
			   "\"disk0\", \"disk1\" ... \"nic0\" ... of this definition, each once");
	}
	if (!json_object_get(p->object, "boot") && d->n_disks)
		d->disk[0].boot = 1;
}

static void parse_serial(struct place *p, struct definition *d)
{
	static const char *const keys[] = {"log", "socket", NULL};
	static const struct text_rule log = {"log", NULL, is_path, PATH_ALLOWED};
	static const struct text_rule sock = {"socket", NULL, is_path, PATH_ALLOWED};
	const json_t *value = json_object_get(p->object, "serial");
	struct place at = {.r = p->r, .object = value};

	if (!value)
		return;
	if (!json_is_object(value) || json_object_size(value) != 1) {
		fail_value(p, "serial", value, "{\"log\": PATH}, {\"socket\": PATH}");
		return;
	}
	snprintf(at.pointer, sizeof(at.pointer), "%s/serial", p->pointer);
	check_keys(&at, keys);
	d->serial =
		json_object_get(value, "log") ? DEFINITION_SERIAL_LOG : DEFINITION_SERIAL_SOCKET;
	get_text(&at, d->serial == DEFINITION_SERIAL_LOG ? &log : &sock, d->serial_path,
		 sizeof(d->serial_path));
}

static void parse_direct_boot(struct place *p, struct definition *d)
{
	static const struct text_rule kernel = {"kernel", "", is_path, PATH_ALLOWED};
	static const struct text_rule initrd = {"initrd", "", is_path, PATH_ALLOWED};
	static const struct text_rule append = {"append", "", is_command_line,
						"at most 2047 bytes without control characters"};

	get_text(p, &kernel, d->kernel, sizeof(d->kernel));
	get_text(p, &initrd, d->initrd, sizeof(d->initrd));
	get_text(p, &append, d->append, sizeof(d->append));
	if (!d->kernel[0] && d->initrd[0])
		fail_at(p, "initrd", "found without a kernel", "together with \"kernel\"");
	if (!d->kernel[0] && d->append[0])
		fail_at(p, "append", "found without a kernel", "together with \"kernel\"");
}

static void parse_machine(struct place *p, struct definition *d)
{
	static const char *const accelerators[] = {"auto", "kvm", "tcg", NULL};
	static const struct text_rule name = {
		"name", NULL, is_name, "at most 63 letters, digits, dots, dashes and underscores"};
	static const struct text_rule uuid_rule = {"uuid", NULL, is_uuid, "a UUID"};
	static const struct text_rule machine = {
		"machine", "q35", is_machine,
		"\"q35\", \"pc\", or one with its version like \"pc-q35-7.2\""};
	static const struct text_rule cpu = {
		"cpu", "qemu64", is_cpu,
		"a model like \"qemu64\", with \",+feature\" or \",-feature\"; not \"host\" or "
		"\"max\", which cannot be migrated"};
	char uuid[UUID_TEXT];

	get_text(p, &name, d->name, sizeof(d->name));
	get_text(p, &uuid_rule, uuid, sizeof(uuid));
	d->vcpus = get_number(p, "vcpus", 1, DEFINITION_VCPUS);
	d->memory_mib = get_number(p, "memory", 1, DEFINITION_MEMORY);
	get_text(p, &machine, d->machine, sizeof(d->machine));
	get_text(p, &cpu, d->cpu, sizeof(d->cpu));
	d->accelerator = (enum definition_accelerator)get_choice(p, "accelerator", accelerators, 0);
	if (p->r->is_failed)
		return;
	must(uuid_parse(uuid, d->uuid));
	must(definition_machine_is_q35(d->machine, &d->is_q35));
}

int definition_parse(const char *text, size_t len, struct definition *ret, char *ret_error,
		     size_t cap)
{
	static const char *const keys[] = {
		"schema", "name", "uuid",   "vcpus",  "memory", "machine", "cpu",  "accelerator",
		"disks",  "nics", "kernel", "initrd", "append", "serial",  "boot", NULL};
	struct reader r = {.error = ret_error, .cap = cap};
	json_error_t e;
	_cleanup_(json_decrefp) json_t *o = NULL;
	_cleanup_free_ struct definition *d = calloc(1, sizeof(*d));
	struct place p = {.r = &r};

	must(cap);
	ret_error[0] = '\0';
	if (!d)
		return -ENOMEM;
	if (len > DEFINITION_BYTES_MAX) {
		fail(&r, "", NULL, "found %zu bytes; allowed: %u", len, DEFINITION_BYTES_MAX);
		return -EINVAL;
	}
	o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(o)) {
		if (o)
			fail(&r, "", NULL, "found no object; allowed: an object");
		else
			fail(&r, "", NULL, "line %d, column %d: %s; allowed: a JSON object", e.line,
			     e.column, e.text);
		return -EINVAL;
	}
	p.object = o;
	(void)get_number(&p, "schema", DEFINITION_SCHEMA, DEFINITION_SCHEMA);
	check_keys(&p, keys);
	parse_machine(&p, d);
	parse_devices(&p, d);
	parse_boot(&p, d);
	parse_direct_boot(&p, d);
	parse_serial(&p, d);
	if (r.is_failed)
		return -EINVAL;
	*ret = *d;
	return 0;
}

int definition_load(const char *path, struct definition *ret, char *ret_error, size_t cap)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *text = malloc(DEFINITION_BYTES_MAX + 1);
	size_t len = 0;

	if (!text)
		return -ENOMEM;
	while (fd >= 0 && len <= DEFINITION_BYTES_MAX) {
		ssize_t n = read(fd, text + len, DEFINITION_BYTES_MAX + 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			return definition_parse(text, len, ret, ret_error, cap);
		if (n < 0)
			break;
		len += (size_t)n;
	}
	if (len > DEFINITION_BYTES_MAX)
		return definition_parse(text, len, ret, ret_error, cap);
	snprintf(ret_error, cap, "%s: %s", path, strerror(errno));
	return -errno;
}
