/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clusterd and the daemons of its node tell each other (lib/csv_link.h, lib/vm_link.h): every
 * message with random values there and back, damaged in every place, and at its longest.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/csv_link.h"
#include "lib/must.h"
#include "lib/prng.h"
#include "lib/vm_link.h"

#define ROUNDS	200
#define TYPE_AT 2
#define BODY_AT 3

/* How a value is chosen. */
enum how { HOW_RANDOM, HOW_LONGEST };

static const int types[] = {1, 2, 3};

/* ---- values */

static bool random_bool(struct prng *p)
{
	return prng_chance(p, 1, 2);
}

static void fill_raw(struct prng *p, uint8_t *raw, size_t n)
{
	for (size_t i = 0; i < n; i++)
		raw[i] = (uint8_t)prng_next(p);
}

/* Any characters but NUL, and rubbish behind the end. */
static void fill_text(struct prng *p, enum how how, char *text, size_t cap)
{
	for (size_t i = 0; i < cap; i++)
		text[i] = (char)prng_range(p, 1, UINT8_MAX);
	text[how == HOW_LONGEST ? cap - 1 : prng_below(p, cap)] = 0;
}

static uint8_t some(struct prng *p, enum how how, uint8_t max)
{
	return how == HOW_LONGEST ? max : (uint8_t)prng_range(p, 0, max);
}

/* ---- csv_link */

static void fill_csv_status(struct prng *p, enum how how, struct csv_link_status *m)
{
	m->phase = (enum csv_link_phase)some(p, how, CSV_LINK_PHASE_MAX - 1);
	m->port = (uint16_t)prng_next(p);
	m->is_serving = random_bool(p);
	m->is_quiet = random_bool(p);
	m->pending = (uint32_t)prng_next(p);
	m->oldest_ms = (uint32_t)prng_next(p);
	fill_text(p, how, m->text, sizeof(m->text));
	m->dropped_count = some(p, how, CSV_LINK_MOUNTS);
	for (size_t i = 0; i < m->dropped_count; i++)
		m->dropped[i] = prng_next(p);
	m->grown = prng_next(p);
	m->has_grown = random_bool(p);
	m->grown_bytes = prng_next(p);
	fill_text(p, how, m->grown_text, sizeof(m->grown_text));
	m->beat = prng_next(p);
	m->silent_count = some(p, how, CSV_LINK_MOUNTS);
	for (size_t i = 0; i < m->silent_count; i++)
		m->silent[i] = (struct csv_link_silent){
			.id = prng_next(p), .ino = prng_next(p), .for_ms = (uint32_t)prng_next(p)};
}

static void fill_csv_state(struct prng *p, enum how how, struct csv_link_state *m)
{
	m->term = prng_next(p);
	m->node = (uint8_t)prng_next(p);
	m->is_online = random_bool(p);
	m->port = (uint16_t)prng_next(p);
	fill_text(p, how, m->address, sizeof(m->address));
	fill_text(p, how, m->why, sizeof(m->why));
	m->is_stop = random_bool(p);
	m->lease_until_ms = prng_next(p);
	m->mount_count = some(p, how, CSV_LINK_MOUNTS);
	for (size_t i = 0; i < m->mount_count; i++) {
		m->mount[i].node = (uint8_t)prng_next(p);
		m->mount[i].is_gone = random_bool(p);
		m->mount[i].id = prng_next(p);
	}
	m->beat = prng_next(p);
	m->grow = prng_next(p);
	m->is_aside = random_bool(p);
}

static void fill_csv(struct prng *p, enum how how, int type, struct csv_link_message *m)
{
	memset(m, 0, sizeof(*m));
	m->type = (enum csv_link_type)type;
	if (m->type == CSV_LINK_ATTACH) {
		m->attach.role = (enum csv_link_role)some(p, how, CSV_LINK_ROLE_MAX - 1);
		fill_raw(p, m->attach.volume, sizeof(m->attach.volume));
		m->attach.id = prng_next(p);
	} else if (m->type == CSV_LINK_STATUS) {
		fill_csv_status(p, how, &m->status);
	} else {
		fill_csv_state(p, how, &m->state);
	}
}

static void same_csv_attach(const struct csv_link_attach *a, const struct csv_link_attach *b)
{
	assert_int_equal(a->role, b->role);
	assert_memory_equal(a->volume, b->volume, sizeof(a->volume));
	assert_int_equal(a->id, b->id);
}

static void same_csv_status(const struct csv_link_status *a, const struct csv_link_status *b)
{
	assert_int_equal(a->phase, b->phase);
	assert_int_equal(a->port, b->port);
	assert_int_equal(a->is_serving, b->is_serving);
	assert_int_equal(a->is_quiet, b->is_quiet);
	assert_int_equal(a->pending, b->pending);
	assert_int_equal(a->oldest_ms, b->oldest_ms);
	assert_string_equal(a->text, b->text);
	assert_int_equal(a->dropped_count, b->dropped_count);
	for (size_t i = 0; i < a->dropped_count; i++)
		assert_int_equal(a->dropped[i], b->dropped[i]);
	assert_int_equal(a->grown, b->grown);
	assert_int_equal(a->has_grown, b->has_grown);
	assert_int_equal(a->grown_bytes, b->grown_bytes);
	assert_string_equal(a->grown_text, b->grown_text);
	assert_int_equal(a->beat, b->beat);
	assert_int_equal(a->silent_count, b->silent_count);
	for (size_t i = 0; i < a->silent_count; i++) {
		assert_int_equal(a->silent[i].id, b->silent[i].id);
		assert_int_equal(a->silent[i].ino, b->silent[i].ino);
		assert_int_equal(a->silent[i].for_ms, b->silent[i].for_ms);
	}
}

static void same_csv_state(const struct csv_link_state *a, const struct csv_link_state *b)
{
	assert_int_equal(a->term, b->term);
	assert_int_equal(a->node, b->node);
	assert_int_equal(a->is_online, b->is_online);
	assert_int_equal(a->port, b->port);
	assert_string_equal(a->address, b->address);
	assert_string_equal(a->why, b->why);
	assert_int_equal(a->is_stop, b->is_stop);
	assert_int_equal(a->lease_until_ms, b->lease_until_ms);
	assert_int_equal(a->mount_count, b->mount_count);
	for (size_t i = 0; i < a->mount_count; i++) {
		assert_int_equal(a->mount[i].node, b->mount[i].node);
		assert_int_equal(a->mount[i].is_gone, b->mount[i].is_gone);
		assert_int_equal(a->mount[i].id, b->mount[i].id);
	}
	assert_int_equal(a->beat, b->beat);
	assert_int_equal(a->grow, b->grow);
	assert_int_equal(a->is_aside, b->is_aside);
}

static void same_csv(const struct csv_link_message *a, const struct csv_link_message *b)
{
	assert_int_equal(a->type, b->type);
	if (a->type == CSV_LINK_ATTACH)
		same_csv_attach(&a->attach, &b->attach);
	else if (a->type == CSV_LINK_STATUS)
		same_csv_status(&a->status, &b->status);
	else
		same_csv_state(&a->state, &b->state);
}

/* ---- vm_link */

static void fill_progress(struct prng *p, enum how how, struct vm_link_progress *m)
{
	m->id = prng_next(p);
	m->phase = (enum vm_link_phase)some(p, how, VM_LINK_MIG_MAX - 1);
	m->port = (uint16_t)prng_next(p);
	m->total = prng_next(p);
	m->remaining = prng_next(p);
	m->sent = prng_next(p);
	m->passes = (uint32_t)prng_next(p);
	m->dirty_rate = prng_next(p);
	m->rate = prng_next(p);
	m->downtime_ms = (uint32_t)prng_next(p);
	fill_text(p, how, m->address, sizeof(m->address));
	fill_text(p, how, m->text, sizeof(m->text));
}

static void fill_vm_state(struct prng *p, enum how how, struct vm_link_state *m)
{
	m->has_lock = random_bool(p);
	m->lease_until_ms = prng_next(p);
	m->is_fresh = random_bool(p);
	m->is_stop = random_bool(p);
	m->stop_ms = (uint32_t)prng_next(p);
	m->is_paused = random_bool(p);
	m->migration.id = prng_next(p);
	m->migration.role = (enum vm_link_role)some(p, how, VM_LINK_ROLE_MAX - 1);
	m->migration.is_cancelled = random_bool(p);
	m->migration.is_peer_dead = random_bool(p);
	fill_text(p, how, m->migration.listen, sizeof(m->migration.listen));
	fill_text(p, how, m->migration.peer, sizeof(m->migration.peer));
	m->migration.peer_port = (uint16_t)prng_next(p);
	m->migration.bandwidth = prng_next(p);
}

static void fill_vm(struct prng *p, enum how how, int type, struct vm_link_message *m)
{
	memset(m, 0, sizeof(*m));
	m->type = (enum vm_link_type)type;
	if (m->type == VM_LINK_ATTACH) {
		fill_raw(p, m->attach.vm, sizeof(m->attach.vm));
		m->attach.instance = prng_next(p);
		m->attach.is_incoming = random_bool(p);
	} else if (m->type == VM_LINK_STATUS) {
		m->status.run = (enum vm_link_run)some(p, how, VM_LINK_RUN_MAX - 1);
		m->status.qemu_pid = (int32_t)prng_next(p);
		fill_text(p, how, m->status.text, sizeof(m->status.text));
		fill_progress(p, how, &m->status.migration);
	} else {
		fill_vm_state(p, how, &m->state);
	}
}

static void same_vm_attach(const struct vm_link_attach *a, const struct vm_link_attach *b)
{
	assert_memory_equal(a->vm, b->vm, sizeof(a->vm));
	assert_int_equal(a->instance, b->instance);
	assert_int_equal(a->is_incoming, b->is_incoming);
}

static void same_vm_status(const struct vm_link_status *a, const struct vm_link_status *b)
{
	const struct vm_link_progress *x = &a->migration, *y = &b->migration;

	assert_int_equal(a->run, b->run);
	assert_int_equal(a->qemu_pid, b->qemu_pid);
	assert_string_equal(a->text, b->text);
	assert_int_equal(x->id, y->id);
	assert_int_equal(x->phase, y->phase);
	assert_int_equal(x->port, y->port);
	assert_int_equal(x->total, y->total);
	assert_int_equal(x->remaining, y->remaining);
	assert_int_equal(x->sent, y->sent);
	assert_int_equal(x->passes, y->passes);
	assert_int_equal(x->dirty_rate, y->dirty_rate);
	assert_int_equal(x->rate, y->rate);
	assert_int_equal(x->downtime_ms, y->downtime_ms);
	assert_string_equal(x->address, y->address);
	assert_string_equal(x->text, y->text);
}

static void same_vm_state(const struct vm_link_state *a, const struct vm_link_state *b)
{
	const struct vm_link_migration *x = &a->migration, *y = &b->migration;

	assert_int_equal(a->has_lock, b->has_lock);
	assert_int_equal(a->lease_until_ms, b->lease_until_ms);
	assert_int_equal(a->is_fresh, b->is_fresh);
	assert_int_equal(a->is_stop, b->is_stop);
	assert_int_equal(a->stop_ms, b->stop_ms);
	assert_int_equal(a->is_paused, b->is_paused);
	assert_int_equal(x->id, y->id);
	assert_int_equal(x->role, y->role);
	assert_int_equal(x->is_cancelled, y->is_cancelled);
	assert_int_equal(x->is_peer_dead, y->is_peer_dead);
	assert_string_equal(x->listen, y->listen);
	assert_string_equal(x->peer, y->peer);
	assert_int_equal(x->peer_port, y->peer_port);
	assert_int_equal(x->bandwidth, y->bandwidth);
}

static void same_vm(const struct vm_link_message *a, const struct vm_link_message *b)
{
	assert_int_equal(a->type, b->type);
	if (a->type == VM_LINK_ATTACH)
		same_vm_attach(&a->attach, &b->attach);
	else if (a->type == VM_LINK_STATUS)
		same_vm_status(&a->status, &b->status);
	else
		same_vm_state(&a->state, &b->state);
}

/* ---- both links, as the tests see them */

union message {
	struct csv_link_message csv;
	struct vm_link_message vm;
};

struct link {
	const char *name;
	uint16_t version;
	size_t max;
	void (*fill)(struct prng *p, enum how how, int type, union message *m);
	void (*same)(const union message *a, const union message *b);
	int (*encode)(const union message *m, void *buf, size_t cap, size_t *ret_len);
	int (*decode)(const void *buf, size_t len, union message *ret);
};

#define LINK(prefix)                                                                               \
	static void prefix##_fill(struct prng *p, enum how how, int type, union message *m)        \
	{                                                                                          \
		fill_##prefix(p, how, type, &m->prefix);                                           \
	}                                                                                          \
	static void prefix##_same(const union message *a, const union message *b)                  \
	{                                                                                          \
		same_##prefix(&a->prefix, &b->prefix);                                             \
	}                                                                                          \
	static int prefix##_encode(const union message *m, void *buf, size_t cap, size_t *ret_len) \
	{                                                                                          \
		return prefix##_link_encode(&m->prefix, buf, cap, ret_len);                        \
	}                                                                                          \
	static int prefix##_decode(const void *buf, size_t len, union message *ret)                \
	{                                                                                          \
		return prefix##_link_decode(buf, len, &ret->prefix);                               \
	}
LINK(csv)
LINK(vm)
#undef LINK

static const struct link links[] = {
	{"csv", CSV_LINK_VERSION, CSV_LINK_MAX, csv_fill, csv_same, csv_encode, csv_decode},
	{"vm", VM_LINK_VERSION, VM_LINK_MAX, vm_fill, vm_same, vm_encode, vm_decode},
};

/* Calls a test with each message of each link. */
static void each(void (*test)(const struct link *link, int type))
{
	for (size_t i = 0; i < MUST_ARRAY_SIZE(links); i++) {
		for (size_t t = 0; t < MUST_ARRAY_SIZE(types); t++)
			test(&links[i], types[t]);
	}
}

static size_t encode(const struct link *link, const union message *m, uint8_t *buf)
{
	size_t len = 0;

	assert_int_equal(link->encode(m, buf, link->max, &len), 0);
	assert_in_range(len, BODY_AT, link->max);
	return len;
}

/* From a copy of the right size, so that a sanitizer sees each read beyond it. */
static int decode_exact(const struct link *link, const uint8_t *buf, size_t len, union message *ret)
{
	_cleanup_free_ uint8_t *exact = malloc(len ? len : 1);

	assert_non_null(exact);
	memcpy(exact, buf, len);
	return link->decode(exact, len, ret);
}

static void assert_refused(const struct link *link, const uint8_t *buf, size_t len, int error)
{
	union message ret, before;

	memset(&ret, 0x5a, sizeof(ret));
	memcpy(&before, &ret, sizeof(ret));
	assert_int_equal(decode_exact(link, buf, len, &ret), error);
	assert_memory_equal(&ret, &before, sizeof(ret));
}

/* ---- there and back */

static void survives(const struct link *link, int type)
{
	uint8_t buf[CSV_LINK_MAX], again[CSV_LINK_MAX];
	union message m, back;
	struct prng p;

	prng_init(&p, (uint64_t)type);
	for (int round = 0; round < ROUNDS; round++) {
		size_t len;

		link->fill(&p, HOW_RANDOM, type, &m);
		len = encode(link, &m, buf);
		assert_int_equal(buf[0] | buf[1] << 8, link->version);
		assert_int_equal(buf[TYPE_AT], type);
		assert_int_equal(decode_exact(link, buf, len, &back), 0);
		link->same(&m, &back);
		assert_int_equal(encode(link, &back, again), len);
		assert_memory_equal(again, buf, len);
	}
}

static void every_message_survives_the_wire(void **state)
{
	(void)state;
	each(survives);
}

static void fits(const struct link *link, int type)
{
	uint8_t buf[CSV_LINK_MAX];
	union message m, back;
	struct prng p;
	size_t len, none = 77;

	prng_init(&p, 5);
	link->fill(&p, HOW_LONGEST, type, &m);
	len = encode(link, &m, buf);
	assert_int_equal(decode_exact(link, buf, len, &back), 0);
	link->same(&m, &back);
	for (size_t cap = 0; cap < len; cap++)
		assert_int_equal(link->encode(&m, buf, cap, &none), -ENOBUFS);
	assert_int_equal(none, 77);
	assert_int_equal(link->encode(&m, buf, len, &none), 0);
	assert_int_equal(none, len);
}

static void the_longest_message_fits_and_a_buffer_too_short_is_refused(void **state)
{
	(void)state;
	each(fits);
}

/* ---- refusals */

static void is_refused_when_cut_or_longer(const struct link *link, int type)
{
	uint8_t buf[CSV_LINK_MAX + 1];
	union message m;
	struct prng p;

	prng_init(&p, 6);
	for (int round = 0; round < 8; round++) {
		size_t len;

		link->fill(&p, round ? HOW_RANDOM : HOW_LONGEST, type, &m);
		len = encode(link, &m, buf);
		for (size_t n = 0; n < len; n++)
			assert_refused(link, buf, n, -EBADMSG);
		buf[len] = 0;
		assert_refused(link, buf, len + 1, -EBADMSG);
	}
}

static void a_cut_or_longer_message_is_refused(void **state)
{
	(void)state;
	each(is_refused_when_cut_or_longer);
}

static void tells_another_version(const struct link *link, int type)
{
	uint8_t buf[CSV_LINK_MAX];
	union message m;
	struct prng p;
	size_t len;

	prng_init(&p, 7);
	link->fill(&p, HOW_RANDOM, type, &m);
	len = encode(link, &m, buf);
	for (unsigned int version = 0; version <= UINT16_MAX; version += 255) {
		buf[0] = (uint8_t)version;
		buf[1] = (uint8_t)(version >> 8);
		if (version == link->version)
			continue;
		assert_refused(link, buf, len, -EPROTO);
		assert_refused(link, buf, BODY_AT, -EPROTO); /* whatever follows */
	}
	buf[0] = (uint8_t)(link->version + 1);
	buf[1] = 0;
	assert_refused(link, buf, len, -EPROTO);
}

static void another_version_is_told_from_damage(void **state)
{
	(void)state;
	each(tells_another_version);
}

static void knows_no_other_type(const struct link *link, int type)
{
	uint8_t buf[CSV_LINK_MAX];
	union message m;
	struct prng p;
	size_t len;

	prng_init(&p, 8);
	link->fill(&p, HOW_RANDOM, type, &m);
	len = encode(link, &m, buf);
	for (unsigned int other = 0; other <= UINT8_MAX; other++) {
		buf[TYPE_AT] = (uint8_t)other;
		if (other < 1 || other > MUST_ARRAY_SIZE(types))
			assert_refused(link, buf, len, -EBADMSG);
	}
}

static void an_unknown_type_is_refused(void **state)
{
	(void)state;
	each(knows_no_other_type);
}

/* Either nothing, or an object that has these very bytes. */
static void is_refused_or_identical(const struct link *link, int type)
{
	uint8_t buf[CSV_LINK_MAX], again[CSV_LINK_MAX];
	union message m, back;
	struct prng p;
	size_t len;

	prng_init(&p, 9);
	link->fill(&p, HOW_RANDOM, type, &m);
	len = encode(link, &m, buf);
	for (size_t at = 0; at < len; at++) {
		uint8_t right = buf[at];

		for (unsigned int value = 0; value <= UINT8_MAX; value++) {
			buf[at] = (uint8_t)value;
			if (link->decode(buf, len, &back))
				continue;
			assert_int_equal(encode(link, &back, again), len);
			assert_memory_equal(again, buf, len);
		}
		buf[at] = right;
	}
}

static void every_changed_byte_is_refused_or_means_just_that(void **state)
{
	(void)state;
	each(is_refused_or_identical);
}

/* Of an empty message of its type: which values the byte `at` may have, from 0. */
static void assert_values(const struct link *link, int type, size_t at, unsigned int count)
{
	uint8_t buf[CSV_LINK_MAX];
	union message m = {0}, back;
	size_t len;

	if (link->decode == csv_decode)
		m.csv.type = (enum csv_link_type)type;
	else
		m.vm.type = (enum vm_link_type)type;
	len = encode(link, &m, buf);
	assert_true(at < len);
	for (unsigned int value = 0; value <= UINT8_MAX; value++) {
		buf[at] = (uint8_t)value;
		if (value < count)
			assert_int_equal(link->decode(buf, len, &back), 0);
		else
			assert_refused(link, buf, len, -EBADMSG);
	}
}

static void an_enumeration_or_flag_out_of_range_is_refused(void **state)
{
	const struct link *csv = &links[0], *vm = &links[1];

	(void)state;
	assert_values(csv, CSV_LINK_ATTACH, BODY_AT, CSV_LINK_ROLE_MAX);
	assert_values(csv, CSV_LINK_STATUS, BODY_AT, CSV_LINK_PHASE_MAX);
	assert_values(csv, CSV_LINK_STATUS, BODY_AT + 3, 2); /* is_serving */
	assert_values(csv, CSV_LINK_STATUS, BODY_AT + 4, 2); /* is_quiet */
	assert_values(csv, CSV_LINK_STATE, BODY_AT + 9, 2);  /* is_online */
	assert_values(csv, CSV_LINK_STATE, BODY_AT + 16, 2); /* is_stop */
	assert_values(vm, VM_LINK_ATTACH, BODY_AT + 24, 2);  /* is_incoming */
	assert_values(vm, VM_LINK_STATUS, BODY_AT, VM_LINK_RUN_MAX);
	assert_values(vm, VM_LINK_STATUS, BODY_AT + 15, VM_LINK_MIG_MAX);
	assert_values(vm, VM_LINK_STATE, BODY_AT, 2);	   /* has_lock */
	assert_values(vm, VM_LINK_STATE, BODY_AT + 9, 2);  /* is_fresh */
	assert_values(vm, VM_LINK_STATE, BODY_AT + 10, 2); /* is_stop */
	assert_values(vm, VM_LINK_STATE, BODY_AT + 15, 2); /* is_paused */
	assert_values(vm, VM_LINK_STATE, BODY_AT + 24, VM_LINK_ROLE_MAX);
	assert_values(vm, VM_LINK_STATE, BODY_AT + 25, 2); /* is_cancelled */
	assert_values(vm, VM_LINK_STATE, BODY_AT + 26, 2); /* is_peer_dead */
}

/* All rows that the count promises are there, so that nothing but the count is wrong. */
static void a_count_out_of_range_is_refused(void **state)
{
	static const struct {
		enum csv_link_type type;
		size_t row_bytes;
		size_t from_end; /* of an empty message; all that follows is 0 */
	} counted[] = {
		{CSV_LINK_STATUS, 8, 29}, {CSV_LINK_STATUS, 20, 1}, {CSV_LINK_STATE, 10, 18}};
	struct csv_link_message m = {.type = CSV_LINK_STATUS};
	uint8_t buf[CSV_LINK_MAX] = {0};
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(counted); i++) {
		m = (struct csv_link_message){.type = counted[i].type};
		assert_int_equal(csv_link_encode(&m, buf, sizeof(buf), &len), 0);
		memset(buf + len, 0, sizeof(buf) - len);
		for (size_t n = 0; n <= UINT8_MAX; n++) {
			int r;

			buf[len - counted[i].from_end] = (uint8_t)n;
			r = csv_link_decode(buf, len + n * counted[i].row_bytes, &m);
			assert_int_equal(r, n <= CSV_LINK_MOUNTS ? 0 : -EBADMSG);
		}
	}
}

/* Of texts behind each other in an empty message: one that is too long, one with a NUL inside. */
static void a_text_too_long_or_with_a_nul_is_refused(void **state)
{
	static const struct {
		int link, type;
		size_t at, cap;
	} texts[] = {
		{0, CSV_LINK_STATUS, BODY_AT + 13, CSV_LINK_TEXT},
		{0, CSV_LINK_STATE, BODY_AT + 12, CSV_LINK_ADDRESS},
		{0, CSV_LINK_STATE, BODY_AT + 14, CSV_LINK_TEXT},
		{1, VM_LINK_STATUS, BODY_AT + 5, VM_LINK_TEXT},
		{1, VM_LINK_STATUS, BODY_AT + 66, VM_LINK_ADDRESS},
		{1, VM_LINK_STATUS, BODY_AT + 68, VM_LINK_TEXT},
		{1, VM_LINK_STATE, BODY_AT + 27, VM_LINK_ADDRESS},
		{1, VM_LINK_STATE, BODY_AT + 29, VM_LINK_ADDRESS},
	};

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(texts); i++) {
		const struct link *link = &links[texts[i].link];
		size_t at = texts[i].at, cap = texts[i].cap, len;
		uint8_t buf[CSV_LINK_MAX];
		union message m = {0}, back;

		m.csv.type = (enum csv_link_type)texts[i].type; /* the same place in both */
		len = encode(link, &m, buf);
		memmove(buf + at + 2 + cap, buf + at + 2, len - at - 2);
		memset(buf + at + 2, 'a', cap);
		buf[at] = (uint8_t)cap;
		assert_refused(link, buf, len + cap, -EBADMSG);
		buf[at]--;
		memmove(buf + at + 1 + cap, buf + at + 2 + cap, len - at - 2);
		assert_int_equal(link->decode(buf, len + cap - 1, &back), 0);
		buf[at + 2] = 0;
		assert_refused(link, buf, len + cap - 1, -EBADMSG);
	}
}

static void every_run_and_phase_has_its_word(void **state)
{
	(void)state;
#define RUN(NAME, word) assert_string_equal(vm_link_run_word(VM_LINK_##NAME), word);
	VM_LINK_RUNS(RUN)
#undef RUN
#define PHASE(NAME, word) assert_string_equal(vm_link_phase_word(VM_LINK_MIG_##NAME), word);
	VM_LINK_PHASES(PHASE)
#undef PHASE
	assert_string_equal(vm_link_run_word(VM_LINK_RUN_MAX), "?");
	assert_string_equal(vm_link_phase_word(VM_LINK_MIG_MAX), "?");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_survives_the_wire),
		cmocka_unit_test(the_longest_message_fits_and_a_buffer_too_short_is_refused),
		cmocka_unit_test(a_cut_or_longer_message_is_refused),
		cmocka_unit_test(another_version_is_told_from_damage),
		cmocka_unit_test(an_unknown_type_is_refused),
		cmocka_unit_test(every_changed_byte_is_refused_or_means_just_that),
		cmocka_unit_test(an_enumeration_or_flag_out_of_range_is_refused),
		cmocka_unit_test(a_count_out_of_range_is_refused),
		cmocka_unit_test(a_text_too_long_or_with_a_nul_is_refused),
		cmocka_unit_test(every_run_and_phase_has_its_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
