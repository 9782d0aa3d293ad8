/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of what daemons say to each other and of what csvfs keeps on disk, against the files of
 * tests/golden, so that a change of format is seen. (test_msg has those of clusterd's messages.)
 *
 *   test_golden --golden-update    writes the files; the difference is for a reviewer to read
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

#include "csvfs/core/proto.h"
#include "csvfs/core/record.h"
#include "lib/cleanup.h"
#include "lib/csv_link.h"
#include "lib/must.h"
#include "lib/vm_link.h"
#include "lib/wire.h"
#include "migrate/core/mig_proto.h"

#define BUF_BYTES 8192

/* Numbers that differ from field to field: a swap of two fields does not go unseen. */
static uint64_t pick(uint64_t *counter)
{
	return UINT64_C(0x0123456789abcd00) + ++*counter;
}

static void pick_raw(uint8_t *raw, size_t n, uint64_t *counter)
{
	for (size_t i = 0; i < n; i++)
		raw[i] = (uint8_t)pick(counter);
}

static void pick_text(char *text, size_t cap, uint64_t *counter)
{
	snprintf(text, cap, "text%u", (unsigned int)(uint8_t)pick(counter));
}

/* ---- csvfs: one value for each codec of the field lists */

#define NUMBER(codec, ctype, value)                                                                \
	static void fill_##codec(ctype *v, uint64_t *counter)                                      \
	{                                                                                          \
		uint64_t n = pick(counter);                                                        \
                                                                                                   \
		(void)n;                                                                           \
		*v = (ctype)(value);                                                               \
	}
NUMBER(u16, uint16_t, n)
NUMBER(u32, uint32_t, n)
NUMBER(u64, uint64_t, n)
NUMBER(flag, bool, true)
NUMBER(error, uint16_t, n | 1)
NUMBER(refusal, uint8_t, CSV_REFUSAL_TERM)
NUMBER(set_mask, uint32_t, CSV_SET_MODE | CSV_SET_SIZE | CSV_SET_KILL_SUID)
NUMBER(write_flags, uint32_t, CSV_WRITE_KILL_SUID)
NUMBER(grant_mode, uint8_t, CSV_GRANT_WRITE)
NUMBER(ungranted, uint8_t, CSV_UNGRANTED_SHARED)
NUMBER(lock_kind, uint8_t, CSV_LOCK_FLOCK)
NUMBER(lock_type, uint8_t, CSV_LOCK_WRITE)
NUMBER(io_size, uint32_t, 0x10000 + (uint8_t)n)
NUMBER(checks, uint32_t, 1u << MIG_CHECK_CPU | 1u << MIG_CHECK_NODE)
NUMBER(reason, uint8_t, MIG_REASON_NO_CONVERGENCE)
#undef NUMBER

static void fill_handle(struct csv_handle *v, uint64_t *counter)
{
	v->ino = pick(counter);
	v->gen = (uint32_t)pick(counter);
}

static void fill_grant_id(struct csv_grant_id *v, uint64_t *counter)
{
	v->term = pick(counter);
	v->serial = pick(counter);
}

static void fill_time(struct csv_time *v, uint64_t *counter)
{
	v->sec = -(int64_t)pick(counter);
	v->nsec = 999999000 + (uint8_t)pick(counter);
}

static void fill_attr(struct csv_attr *v, uint64_t *counter)
{
	v->ino = pick(counter);
	v->mode = (uint32_t)pick(counter);
	v->nlink = (uint32_t)pick(counter);
	v->uid = (uint32_t)pick(counter);
	v->gid = (uint32_t)pick(counter);
	v->rdev = pick(counter);
	v->size = pick(counter);
	v->blocks = pick(counter);
	v->blksize = (uint32_t)pick(counter);
	fill_time(&v->atime, counter);
	fill_time(&v->mtime, counter);
	fill_time(&v->ctime, counter);
}

static void fill_name(struct csv_name *v, uint64_t *counter)
{
	pick_text(v->text, sizeof(v->text), counter);
}

static void fill_bytes(struct csv_bytes *v, uint64_t *counter)
{
	static const uint8_t some[] = {0xfb, 0xfc, 0xfd, 0xfe, 0xff};

	(void)counter;
	*v = (struct csv_bytes){some, sizeof(some)};
}

static void fill_usage(struct csv_usage *v, uint64_t *counter)
{
	v->blocks = pick(counter);
	v->bfree = pick(counter);
	v->bavail = pick(counter);
	v->files = pick(counter);
	v->ffree = pick(counter);
	v->favail = pick(counter);
	v->bsize = (uint32_t)pick(counter);
	v->frsize = (uint32_t)pick(counter);
	v->namemax = (uint32_t)pick(counter);
}

static void fill_caller(struct csv_caller *v, uint64_t *counter)
{
	v->uid = (uint32_t)pick(counter);
	v->gid = (uint32_t)pick(counter);
	v->umask = 0027;
	v->group_count = 2;
	v->groups[0] = (uint32_t)pick(counter);
	v->groups[1] = (uint32_t)pick(counter);
}

/* Two codecs that both protocols have, of a type for each. */
#define fill_uuid(v, counter) pick_raw((v)->byte, sizeof((v)->byte), counter)
#define fill_hash(v, counter) pick_raw((v)->byte, sizeof((v)->byte), counter)
#define fill_qemu(v, counter) pick_text(*(v), sizeof(*(v)), counter)
/* A struct csv_text, which is nothing but its characters, and an array of them. */
#define fill_text(v, counter) pick_text((char *)(v), sizeof(*(v)), counter)

/* ---- messages: 0 and the bytes, prefix and all */

#define FILL(codec, ctype, field) fill_##codec(&m->field, &counter);

static int frame_make(int type, uint8_t *buf, size_t *ret_len)
{
	struct csv_frame f = {.type = (enum csv_frame_type)type};
	uint64_t counter = 0;

	(void)counter;
	switch (f.type) {
#define CASE(number, NAME, name)                                                                   \
	case CSV_FRAME_##NAME: {                                                                   \
		struct csv_frame_##name *m = &f.name;                                              \
                                                                                                   \
		(void)m;                                                                           \
		CSV_##NAME##_FIELDS(FILL) break;                                                   \
	}
		CSV_FRAMES(CASE)
#undef CASE
	}
	return csv_frame_encode(&f, buf, BUF_BYTES, ret_len);
}

static int request_make(int op, uint8_t *buf, size_t *ret_len)
{
	static struct csv_request q;
	uint64_t counter = 0;

	q = (struct csv_request){.op = (enum csv_op)op,
				 .slot = CSV_SLOTS - 1,
				 .seq = pick(&counter),
				 .is_resend = true};
	fill_caller(&q.caller, &counter);
	switch (q.op) {
#define CASE(number, NAME, name, kind, reply)                                                      \
	case CSV_OP_##NAME: {                                                                      \
		struct csv_op_##name *m = &q.name;                                                 \
                                                                                                   \
		CSV_##NAME##_FIELDS(FILL) break;                                                   \
	}
		CSV_OPS(CASE)
#undef CASE
	case CSV_OP_END:
		break;
	}
	return csv_request_encode(&q, buf, BUF_BYTES, ret_len);
}

static void reply_fill(int kind, struct csv_reply *p)
{
	uint64_t counter = 0;

	*p = (struct csv_reply){
		.kind = (enum csv_reply_kind)kind, .slot = CSV_SLOTS - 1, .seq = pick(&counter)};
	p->error = kind == CSV_REPLY_NONE ? 28 : 0; /* ENOSPC */
	switch (p->kind) {
#define CASE(NAME, name)                                                                           \
	case CSV_REPLY_##NAME: {                                                                   \
		struct csv_reply_##name *m = &p->name;                                             \
                                                                                                   \
		(void)m;                                                                           \
		CSV_REPLY_##NAME##_FIELDS(FILL) break;                                             \
	}
		CSV_REPLIES(CASE)
#undef CASE
	}
}

static int reply_make(int kind, uint8_t *buf, size_t *ret_len)
{
	static struct csv_reply p;

	reply_fill(kind, &p);
	return csv_reply_encode(&p, buf, BUF_BYTES, ret_len);
}

/* Two entries, one with and one without its attributes. */
static int dirent_make(int unused, uint8_t *buf, size_t *ret_len)
{
	struct csv_dirent d = {.type = 8, .name.text = "."};
	struct wire_writer w;
	uint64_t counter = 0;

	(void)unused;
	wire_writer_init(&w, buf, BUF_BYTES);
	d.next = pick(&counter);
	d.ino = pick(&counter);
	csv_dirent_put(&w, &d);
	d.next = pick(&counter);
	d.ino = pick(&counter);
	fill_name(&d.name, &counter);
	d.has_attr = true;
	fill_handle(&d.handle, &counter);
	fill_attr(&d.attr, &counter);
	csv_dirent_put(&w, &d);
	return wire_writer_end(&w, ret_len);
}

static int record_make(int is_done, uint8_t *buf, size_t *ret_len)
{
	struct record r = {.is_done = is_done, .op = CSV_OP_RENAME};
	uint64_t counter = 0;

	r.seq = pick(&counter);
	fill_handle(&r.a, &counter);
	fill_handle(&r.b, &counter);
	r.size = pick(&counter);
	if (is_done)
		reply_fill(CSV_REPLY_ENTRY, &r.reply);
	*ret_len = RECORD_BYTES;
	return record_encode(&r, buf);
}

#undef FILL

static int csv_link_make(int type, uint8_t *buf, size_t *ret_len)
{
	struct csv_link_message m = {.type = (enum csv_link_type)type};
	uint64_t c = 0;

	if (m.type == CSV_LINK_ATTACH) {
		m.attach.role = CSV_LINK_COORDINATOR;
		pick_raw(m.attach.volume, sizeof(m.attach.volume), &c);
		m.attach.id = pick(&c);
	} else if (m.type == CSV_LINK_STATUS) {
		m.status = (struct csv_link_status){.phase = CSV_LINK_STOPPING,
						    .port = (uint16_t)pick(&c),
						    .is_serving = true,
						    .pending = (uint32_t)pick(&c),
						    .oldest_ms = (uint32_t)pick(&c),
						    .text = "why",
						    .dropped_count = 2};
		m.status.dropped[0] = pick(&c);
		m.status.dropped[1] = pick(&c);
		m.status.beat = pick(&c);
		m.status.silent_count = 1;
		m.status.silent[0].id = pick(&c);
		m.status.silent[0].ino = pick(&c);
		m.status.silent[0].for_ms = (uint32_t)pick(&c);
	} else {
		m.state = (struct csv_link_state){.term = pick(&c),
						  .node = 7,
						  .is_online = true,
						  .port = (uint16_t)pick(&c),
						  .address = "192.0.2.1",
						  .why = "why",
						  .lease_until_ms = pick(&c),
						  .mount_count = 2};
		m.state.mount[0] = (struct csv_link_mount){.node = 3, .id = pick(&c)};
		m.state.mount[1] =
			(struct csv_link_mount){.node = 4, .is_gone = true, .id = pick(&c)};
		m.state.beat = pick(&c);
	}
	return csv_link_encode(&m, buf, BUF_BYTES, ret_len);
}

static void vm_status(struct vm_link_status *m, uint64_t *c)
{
	*m = (struct vm_link_status){
		.run = VM_LINK_IO_ERROR, .qemu_pid = 4711, .text = "why", .migration.id = pick(c)};
	m->migration.phase = VM_LINK_MIG_HANDLE;
	m->migration.port = (uint16_t)pick(c);
	m->migration.total = pick(c);
	m->migration.remaining = pick(c);
	m->migration.sent = pick(c);
	m->migration.passes = (uint32_t)pick(c);
	m->migration.dirty_rate = pick(c);
	m->migration.rate = pick(c);
	m->migration.downtime_ms = (uint32_t)pick(c);
	snprintf(m->migration.address, sizeof(m->migration.address), "192.0.2.1");
	snprintf(m->migration.text, sizeof(m->migration.text), "because");
}

static void vm_state(struct vm_link_state *m, uint64_t *c)
{
	*m = (struct vm_link_state){.has_lock = true,
				    .lease_until_ms = pick(c),
				    .is_stop = true,
				    .stop_ms = (uint32_t)pick(c),
				    .migration.id = pick(c)};
	m->migration.role = VM_LINK_DESTINATION;
	m->migration.is_peer_dead = true;
	snprintf(m->migration.listen, sizeof(m->migration.listen), "192.0.2.1");
	snprintf(m->migration.peer, sizeof(m->migration.peer), "2001:db8::1");
	m->migration.peer_port = (uint16_t)pick(c);
	m->migration.bandwidth = pick(c);
}

static int vm_link_make(int type, uint8_t *buf, size_t *ret_len)
{
	struct vm_link_message m = {.type = (enum vm_link_type)type};
	uint64_t c = 0;

	if (m.type == VM_LINK_ATTACH) {
		pick_raw(m.attach.vm, sizeof(m.attach.vm), &c);
		m.attach.instance = pick(&c);
		m.attach.is_incoming = true;
	} else if (m.type == VM_LINK_STATUS) {
		vm_status(&m.status, &c);
	} else {
		vm_state(&m.state, &c);
	}
	return vm_link_encode(&m, buf, BUF_BYTES, ret_len);
}

static int mig_make(int type, uint8_t *buf, size_t *ret_len)
{
	struct mig_message m = {.type = (enum mig_message_type)type};
	uint64_t counter = 0;

#define HELLO(codec, field) fill_##codec(&m.hello.field, &counter);
#define READY(codec, field) fill_##codec(&m.ready.field, &counter);
#define ABORT(codec, field) fill_##codec(&m.abort.field, &counter);
	if (m.type == MIG_MESSAGE_HELLO) {
		MIG_FIELDS_HELLO(HELLO)
	} else if (m.type == MIG_MESSAGE_READY) {
		MIG_FIELDS_READY(READY)
	} else if (m.type == MIG_MESSAGE_ABORT) {
		MIG_FIELDS_ABORT(ABORT)
	}
#undef HELLO
#undef READY
#undef ABORT
	return mig_message_encode(&m, buf, BUF_BYTES, ret_len);
}

/* ---- decodes and encodes again: what comes back is what was read */

#define FRAMED(prefix, object)                                                                     \
	static int prefix##_again(const uint8_t *buf, size_t len, uint8_t *again, size_t *ret_len) \
	{                                                                                          \
		static struct object m;                                                            \
                                                                                                   \
		if (object##_decode(buf + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX, &m))           \
			return -EBADMSG;                                                           \
		return object##_encode(&m, again, BUF_BYTES, ret_len);                             \
	}
FRAMED(frame, csv_frame)
FRAMED(request, csv_request)
FRAMED(reply, csv_reply)
FRAMED(mig, mig_message)
#undef FRAMED

#define WHOLE(object)                                                                              \
	static int object##_again(const uint8_t *buf, size_t len, uint8_t *again, size_t *ret_len) \
	{                                                                                          \
		struct object##_message m;                                                         \
		int r = object##_decode(buf, len, &m);                                             \
                                                                                                   \
		return r ? r : object##_encode(&m, again, BUF_BYTES, ret_len);                     \
	}
WHOLE(csv_link)
WHOLE(vm_link)
#undef WHOLE

static int dirent_again(const uint8_t *buf, size_t len, uint8_t *again, size_t *ret_len)
{
	struct wire_reader r;
	struct wire_writer w;
	struct csv_dirent d;

	wire_reader_init(&r, buf, len);
	wire_writer_init(&w, again, BUF_BYTES);
	while (wire_reader_left(&r)) {
		csv_dirent_get(&r, &d);
		csv_dirent_put(&w, &d);
	}
	return wire_reader_end(&r) ? -EBADMSG : wire_writer_end(&w, ret_len);
}

static int record_again(const uint8_t *buf, size_t len, uint8_t *again, size_t *ret_len)
{
	struct record d;
	int r = record_decode(buf, len, &d);

	*ret_len = RECORD_BYTES;
	return r ? r : record_encode(&d, again);
}

/* ---- files */

struct golden {
	const char *path;
	int version, number;
	int (*make)(int number, uint8_t *buf, size_t *ret_len);
	int (*again)(const uint8_t *buf, size_t len, uint8_t *again, size_t *ret_len);
};

static const struct golden all[] = {
#define FRAME(number, NAME, name)                                                                  \
	{"csv/frame-" #NAME, CSV_PROTOCOL, number, frame_make, frame_again},
	CSV_FRAMES(FRAME)
#undef FRAME
#define REQUEST(number, NAME, name, kind, reply)                                                   \
	{"csv/request-" #NAME, CSV_PROTOCOL, number, request_make, request_again},
		CSV_OPS(REQUEST)
#undef REQUEST
#define REPLY(NAME, name)                                                                          \
	{"csv/reply-" #NAME, CSV_PROTOCOL, CSV_REPLY_##NAME, reply_make, reply_again},
			CSV_REPLIES(REPLY)
#undef REPLY
				{"csv/dirents", CSV_PROTOCOL, 0, dirent_make, dirent_again},
	{"csv/record-intent", RECORD_VERSION, false, record_make, record_again},
	{"csv/record-done", RECORD_VERSION, true, record_make, record_again},
	{"links/csv-ATTACH", CSV_LINK_VERSION, CSV_LINK_ATTACH, csv_link_make, csv_link_again},
	{"links/csv-STATUS", CSV_LINK_VERSION, CSV_LINK_STATUS, csv_link_make, csv_link_again},
	{"links/csv-STATE", CSV_LINK_VERSION, CSV_LINK_STATE, csv_link_make, csv_link_again},
	{"links/vm-ATTACH", VM_LINK_VERSION, VM_LINK_ATTACH, vm_link_make, vm_link_again},
	{"links/vm-STATUS", VM_LINK_VERSION, VM_LINK_STATUS, vm_link_make, vm_link_again},
	{"links/vm-STATE", VM_LINK_VERSION, VM_LINK_STATE, vm_link_make, vm_link_again},
#define MESSAGE(number, NAME, name)                                                                \
	{"migrate/" #NAME, MIG_PROTOCOL, MIG_MESSAGE_##NAME, mig_make, mig_again},
	MIG_MESSAGES(MESSAGE)
#undef MESSAGE
};

static void golden_path(char *path, size_t cap, const struct golden *g)
{
	const char *srcdir = getenv("srcdir");

	snprintf(path, cap, "%s/tests/golden/%s.v%d.hex", srcdir ? srcdir : ".", g->path,
		 g->version);
}

/* Hexadecimal digits and white space; returns the number of bytes. */
static size_t golden_read(const struct golden *g, uint8_t *buf)
{
	_cleanup_fclose_ FILE *file = NULL;
	unsigned int byte;
	char path[512];
	size_t len = 0;

	golden_path(path, sizeof(path), g);
	file = fopen(path, "re");
	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	while (len < BUF_BYTES && fscanf(file, "%2x", &byte) == 1)
		buf[len++] = (uint8_t)byte;
	if (!feof(file))
		fail_msg("%s: not hexadecimal, or too long", path);
	return len;
}

static int golden_write(const struct golden *g, const uint8_t *buf, size_t len)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[512];

	golden_path(path, sizeof(path), g);
	file = fopen(path, "we");
	if (!file) {
		perror(path);
		return 1;
	}
	for (size_t i = 0; i < len; i++)
		fprintf(file, "%02x%s", buf[i], i % 16 == 15 || i == len - 1 ? "\n" : " ");
	return 0;
}

static int golden_update(void)
{
	static uint8_t buf[BUF_BYTES];

	for (size_t i = 0; i < MUST_ARRAY_SIZE(all); i++) {
		size_t len = 0;

		if (all[i].make(all[i].number, buf, &len) || golden_write(&all[i], buf, len))
			return 1;
	}
	return 0;
}

/* ---- tests */

static void every_message_has_the_golden_bytes(void **state)
{
	static uint8_t golden[BUF_BYTES], buf[BUF_BYTES];

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(all); i++) {
		size_t len = golden_read(&all[i], golden), made = 0;

		assert_int_equal(all[i].make(all[i].number, buf, &made), 0);
		if (made != len || memcmp(buf, golden, len) != 0)
			fail_msg("%s: other bytes than the file's", all[i].path);
	}
}

static void the_golden_bytes_decode_to_what_encodes_to_them(void **state)
{
	static uint8_t golden[BUF_BYTES], buf[BUF_BYTES];

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(all); i++) {
		size_t len = golden_read(&all[i], golden), made = 0;

		if (all[i].again(golden, len, buf, &made) || made != len ||
		    memcmp(buf, golden, len) != 0)
			fail_msg("%s: refused, or read as something else", all[i].path);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_has_the_golden_bytes),
		cmocka_unit_test(the_golden_bytes_decode_to_what_encodes_to_them),
	};

	if (argc == 2 && !strcmp(argv[1], "--golden-update"))
		return golden_update();
	if (argc != 1) {
		fprintf(stderr, "usage: %s [--golden-update]\n", argv[0]);
		return 2;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
