/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/run.h"
#include "migrate/edge/due.h"
#include "migrate/edge/log.h"
#include "migrate/edge/psk.h"
#include "migrate/edge/record.h"
#include "migrate/edge/stream.h"

#define QUEUE_MAX	(2 * MIG_COMMAND_MAX)
#define TLS_PRIORITY	"NORMAL:-VERS-ALL:+VERS-TLS1.3"
#define NO_LIMIT	(INT64_C(1) << 40)   /* bytes per second */
#define MEMORY_SPARE	(UINT64_C(64) << 20) /* bytes, for QEMU itself */
#define SYNC_PROGRAM	"/usr/bin/sync"
#define RETURN_GRACE_MS 1000
#define UNHEARD_MS	1000 /* a cancel is not held up by a QEMU that is silent for so long */

struct commands {
	qb_loop_t *loop;
	struct commands_options options;
	struct qmp *qmp;
	pid_t pid;
	char stream_address[VM_LINK_ADDRESS]; /* of the last MIGRATE; port 0: there was none */
	uint16_t stream_port;
	size_t n;
	struct mig_command queue[QUEUE_MAX]; /* [0]: under way, if is_busy */
	bool is_busy;
	/* Begun from the loop. Not by its jobs: those may wait 50 ms for a descriptor (loop.c). */
	struct due *begin_due, *storage_due;
	uint64_t begun_ms;     /* queue[0] */
	unsigned int step;     /* of queue[0] */
	unsigned int tls_made; /* number of the last tls-creds object */
	bool has_tls;	       /* QEMU has it */
	char psk_dir[RECORD_PATH];
	/* RETURN_STORAGE goes beside the queue: a disk that hangs must not hold `stop`. */
	struct mig_command storage, storage_given; /* under way; and given, to be begun */
	struct run *run;
};

static void next(struct commands *c);

/* ---- answers ---- */

static void give_answer(struct commands *c, const struct mig_command *done,
			struct mig_answer *answer)
{
	answer->kind = done->kind;
	answer->seq = done->seq;
	if (due_now_ms() < done->deadline_ms)
		c->options.on_answer(c->options.arg, answer);
	else
		log_debug("%s: answered too late", mig_command_word(done->kind));
}

/*
 * What QEMU sends and waits for ends now. It knows that it is to end, or it does not answer: its
 * main thread shakes hands over TLS by blocking calls, and the whole machine stands still with it
 * for as long as the other side says nothing.
 */
static void end_stream(const struct commands *c)
{
	int n = c->stream_port ? stream_shut(c->pid, c->stream_address, c->stream_port) : 0;

	if (n < 0)
		log_warning("QEMU's stream to %s port %u cannot be shut: %s -> it ends when the "
			    "kernel gives it up",
			    c->stream_address, c->stream_port, strerror(-n));
	else if (n)
		log_info("QEMU's stream to %s port %u is shut", c->stream_address, c->stream_port);
}

static void remove_at(struct commands *c, size_t i)
{
	c->n--;
	memmove(c->queue + i, c->queue + i + 1, (c->n - i) * sizeof(c->queue[0]));
}

static void finish(struct commands *c, struct mig_answer *answer)
{
	struct mig_command done = c->queue[0];

	c->is_busy = false;
	remove_at(c, 0);
	give_answer(c, &done, answer);
	next(c);
}

static void refuse(struct commands *c, const char *text)
{
	struct mig_answer answer = {0};

	if (c->queue[0].kind == MIG_COMMAND_MIGRATE_CANCEL && c->qmp)
		end_stream(c);
	snprintf(answer.text, sizeof(answer.text), "%s", text);
	finish(c, &answer);
}

static uint64_t number(const json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));

	return n > 0 ? (uint64_t)n : 0;
}

static uint32_t number32(const json_t *o, const char *key)
{
	uint64_t n = number(o, key);

	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static void read_numbers(const json_t *o, struct mig_numbers *ret)
{
	const json_t *ram = json_object_get(o, "ram");
	const char *status = json_string_value(json_object_get(o, "status"));
	const char *error = json_string_value(json_object_get(o, "error-desc"));
	double mbps = json_number_value(json_object_get(ram, "mbps"));

	*ret = (struct mig_numbers){
		.stream = status ? mig_stream_read(status) : MIG_STREAM_NONE,
		.total_bytes = number(ram, "total"),
		.remaining_bytes = number(ram, "remaining"),
		.sent_bytes = number(ram, "transferred"),
		.passes = number32(ram, "dirty-sync-count"),
		.dirty_bytes_per_s = number(ram, "dirty-pages-rate") * number(ram, "page-size"),
		.sent_bytes_per_s = mbps > 0 && mbps < 1e9 ? (uint64_t)(mbps * 125000) : 0,
		.downtime_ms = number32(o, "downtime"),
	};
	snprintf(ret->error, sizeof(ret->error), "%s", error ? error : "");
}

/* Where QEMU listens for the stream. 0: not said. */
static uint16_t read_port(const json_t *o)
{
	const json_t *at = json_array_get(json_object_get(o, "socket-address"), 0);
	const char *port = json_string_value(json_object_get(at, "port"));
	unsigned long n = port ? strtoul(port, NULL, 10) : 0;

	return n <= UINT16_MAX ? (uint16_t)n : 0;
}

static void finish_by_qmp(struct commands *c, const json_t *value)
{
	const struct mig_command *m = &c->queue[0];
	struct mig_answer answer = {.is_ok = true};
	const char *status = json_string_value(json_object_get(value, "status"));

	if (m->kind == MIG_COMMAND_QUERY_STATUS)
		answer.run = mig_runstate_read(status ? status : "");
	if (m->kind == MIG_COMMAND_QUERY_MIGRATE)
		read_numbers(value, &answer.numbers);
	if (m->kind == MIG_COMMAND_MIGRATE_CANCEL)
		end_stream(c);
	if (m->kind == MIG_COMMAND_MIGRATE_INCOMING) {
		answer.port = read_port(value);
		answer.key = m->key;
		if (!answer.port) {
			refuse(c, "QEMU does not say where it listens");
			return;
		}
	}
	finish(c, &answer);
}

/* ---- the key of QEMU's stream ---- */

static void tls_forget(struct commands *c)
{
	if (c->psk_dir[0])
		psk_remove(c->psk_dir);
}

void commands_stream_began(struct commands *c)
{
	tls_forget(c);
}

/* ---- steps: each gives one QMP command, or NULL after the last ---- */

struct call {
	const char *name; /* NULL: there is no such step */
	json_t *arguments;
	const char *failed; /* it could not even be given */
};

static struct call step_tls(struct commands *c, unsigned int step)
{
	struct mig_command *m = &c->queue[0];
	bool is_client = m->kind == MIG_COMMAND_MIGRATE;
	json_t *o;
	char id[32];

	snprintf(id, sizeof(id), "tls%u", step == 0 ? c->tls_made + 1 : c->tls_made);
	if (step == 1)
		return (struct call){"migrate-set-parameters",
				     json_pack("{s:s, s:s}", "tls-creds", id, "tls-hostname", ""),
				     NULL};
	if (!is_client && getrandom(m->key.byte, sizeof(m->key.byte), 0) != sizeof(m->key.byte))
		return (struct call){"", NULL, "no random numbers for the stream's key"};
	c->tls_made++;
	if (psk_write(c->psk_dir, &m->key))
		return (struct call){"", NULL, "the stream's key cannot be written to the run dir"};
	o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "qom-type", "tls-creds-psk", "id", id,
		      "endpoint", is_client ? "client" : "server", "dir", c->psk_dir, "priority",
		      TLS_PRIORITY);
	if (is_client)
		json_object_set_new(o, "username", json_string(PSK_USER));
	return (struct call){"object-add", o, NULL};
}

static struct call uri_call(const char *name, const char *address, uint16_t port)
{
	char uri[VM_LINK_ADDRESS + 32];

	if (strchr(address, ':'))
		snprintf(uri, sizeof(uri), "tcp:[%s]:%u", address, port);
	else
		snprintf(uri, sizeof(uri), "tcp:%s:%u", address, port);
	return (struct call){name, json_pack("{s:s}", "uri", uri), NULL};
}

static struct call step_settings(const struct commands *c, unsigned int step)
{
	const struct mig_command *m = &c->queue[0];
	int64_t bandwidth = m->bandwidth_bytes_per_s && m->bandwidth_bytes_per_s < NO_LIMIT
				    ? (int64_t)m->bandwidth_bytes_per_s
				    : NO_LIMIT;
	char id[32];

	if (step == 0) {
		snprintf(id, sizeof(id), "tls%u", c->tls_made);
		return (struct call){"object-del", json_pack("{s:s}", "id", id), NULL};
	}
	if (step == 1)
		return (struct call){
			"migrate-set-capabilities",
			json_pack("{s:[{s:s,s:b},{s:s,s:b},{s:s,s:b},{s:s,s:b},{s:s,s:b}]}",
				  "capabilities", "capability", "events", "state", 1, "capability",
				  "late-block-activate", "state", 1, "capability", "auto-converge",
				  "state", !*c->options.is_incoming, "capability", "postcopy-ram",
				  "state", 0, "capability", "pause-before-switchover", "state", 0),
			NULL};
	if (step > 2 || *c->options.is_incoming)
		return (struct call){0};
	return (struct call){"migrate-set-parameters",
			     json_pack("{s:I, s:I, s:i, s:i}", "max-bandwidth",
				       (json_int_t)bandwidth, "downtime-limit",
				       (json_int_t)m->downtime_limit_ms, "cpu-throttle-initial",
				       (int)m->throttle_initial_pct, "cpu-throttle-increment",
				       (int)m->throttle_increment_pct),
			     NULL};
}

static struct call step_migrate(struct commands *c, unsigned int step)
{
	const struct mig_command *m = &c->queue[0];
	bool is_incoming = m->kind == MIG_COMMAND_MIGRATE_INCOMING;

	if (step < 2)
		return step_tls(c, step);
	if (step == 2 && !is_incoming) {
		snprintf(c->stream_address, sizeof(c->stream_address), "%s", m->address);
		c->stream_port = m->port;
	}
	if (step == 2)
		return uri_call(is_incoming ? "migrate-incoming" : "migrate", m->address,
				is_incoming ? 0 : m->port);
	if (step == 3 && is_incoming)
		return (struct call){"query-migrate", NULL, NULL};
	return (struct call){0};
}

static struct call step_of(struct commands *c)
{
	const struct mig_command *m = &c->queue[0];

	switch (m->kind) {
	case MIG_COMMAND_SETTINGS:
		if (c->step == 0 && !c->has_tls)
			c->step++; /* no key of an earlier migration to be forgotten */
		return step_settings(c, c->step);
	case MIG_COMMAND_MIGRATE:
	case MIG_COMMAND_MIGRATE_INCOMING:
		return step_migrate(c, c->step);
	case MIG_COMMAND_ANNOUNCE: /* QEMU's own times, ms */
		if (c->step == 0)
			return (struct call){"announce-self",
					     json_pack("{s:i, s:i, s:i, s:i}", "initial", 50, "max",
						       550, "rounds", 5, "step", 100),
					     NULL};
		return (struct call){0};
	default:
		return (struct call){c->step == 0 ? mig_command_word(m->kind) : NULL, NULL, NULL};
	}
}

/* ---- by QMP ---- */

static void on_reply(void *data, const struct qmp_reply *reply);

/* False: no step is left. */
static bool give_step(struct commands *c)
{
	struct call call = step_of(c);
	uint64_t now_ms = due_now_ms(), until_ms = c->queue[0].deadline_ms;
	int r;

	if (!call.name)
		return false;
	if (call.failed) {
		tls_forget(c);
		refuse(c, call.failed);
		return true;
	}
	if (!c->qmp) {
		json_decref(call.arguments);
		refuse(c, "QEMU is not there");
		return true;
	}
	r = qmp_command(c->qmp, call.name, call.arguments,
			until_ms > now_ms ? (uint32_t)(until_ms - now_ms) : 0, on_reply, c);
	if (r)
		refuse(c, r == -ENOTCONN ? "QEMU is not there" : "QEMU does not read its monitor");
	return true;
}

static bool is_tls_step(const struct commands *c)
{
	return c->step == 0 && (c->queue[0].kind == MIG_COMMAND_MIGRATE ||
				c->queue[0].kind == MIG_COMMAND_MIGRATE_INCOMING);
}

static void on_reply(void *data, const struct qmp_reply *reply)
{
	struct commands *c = data;

	if (is_tls_step(c) && (reply->r || c->queue[0].kind == MIG_COMMAND_MIGRATE))
		tls_forget(c);
	if (reply->r) {
		refuse(c, reply->text);
		return;
	}
	if (is_tls_step(c))
		c->has_tls = true;
	else if (c->step == 0 && c->queue[0].kind == MIG_COMMAND_SETTINGS)
		c->has_tls = false;
	c->step++;
	if (!give_step(c))
		finish_by_qmp(c, reply->value);
}

/* ---- by looking at this machine ---- */

static uint64_t available_bytes(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	unsigned long long kib;

	while (f && getline(&line, &size, f) > 0) {
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			return kib * 1024;
	}
	return 0;
}

/* "7.2.22": a guest goes to the same or a newer QEMU. */
static bool is_newer_or_same(const char *ours, const char *theirs)
{
	unsigned int a[2] = {0}, b[2] = {0};

	return sscanf(ours, "%u.%u", &a[0], &a[1]) == 2 &&
	       sscanf(theirs, "%u.%u", &b[0], &b[1]) == 2 &&
	       (a[0] > b[0] || (a[0] == b[0] && a[1] >= b[1]));
}

/*
 * What QEMU has proven by being there is not looked at again: the CPU has every feature of the
 * model
 * (",enforce"), and the disks could be opened.
 */
static void check(struct commands *c)
{
	const struct mig_command *m = &c->queue[0];
	struct mig_answer answer = {.is_ok = true};

	if (!*c->options.is_incoming) {
		finish(c, &answer); /* the source has the VM */
		return;
	}
	if (available_bytes() < m->ram_bytes + MEMORY_SPARE)
		answer.failed |= 1u << MIG_CHECK_MEMORY;
	if (!is_newer_or_same(c->options.qemu, m->qemu))
		answer.failed |= 1u << MIG_CHECK_QEMU;
	finish(c, &answer);
}

/* ---- by a child ---- */

static void on_synced(void *data, const struct run_result *result)
{
	struct commands *c = data;
	struct mig_answer answer = {.is_ok = result->kind == RUN_EXITED && result->code == 0};

	c->run = NULL;
	if (!answer.is_ok && !run_output_text(&result->err, 1, answer.text, sizeof(answer.text)))
		snprintf(answer.text, sizeof(answer.text), "sync of the disks: %s",
			 run_kind_name(result->kind));
	give_answer(c, &c->storage, &answer);
}

/* -ENOENT: there is no disk to be written. */
static int start_sync(struct commands *c)
{
	const char *argv[DEFINITION_DISKS + 3] = {SYNC_PROGRAM, "--"};
	const struct definition *d = c->options.definition;
	uint64_t now_ms = due_now_ms(), until_ms = c->storage.deadline_ms;
	struct run_options o = RUN_OPTIONS_INIT;
	size_t n = 2;

	for (unsigned int i = 0; i < d->n_disks; i++) {
		if (!d->disk[i].is_readonly)
			argv[n++] = d->disk[i].path;
	}
	if (n == 2)
		return -ENOENT;
	o.path = SYNC_PROGRAM;
	o.argv = argv;
	o.timeout_ms = until_ms > now_ms ? (uint32_t)(until_ms - now_ms) : 1;
	o.grace_ms = RETURN_GRACE_MS;
	return run_start(c->loop, &o, on_synced, c, &c->run);
}

/*
 * QEMU has flushed and inactivated its disks; fsync(2) on top makes the file system write what it
 * holds itself, and csvfs give its grants back. A child, because a disk may hang.
 */
static void return_storage(void *data)
{
	struct commands *c = data;
	struct mig_answer answer = {0};
	int r;

	if (c->run) { /* what it proves is not what is asked now */
		snprintf(answer.text, sizeof(answer.text), "an earlier sync of the disks hangs");
		give_answer(c, &c->storage_given, &answer);
		return;
	}
	c->storage = c->storage_given;
	r = start_sync(c);
	if (!r)
		return;
	answer.is_ok = r == -ENOENT; /* there is no disk */
	if (!answer.is_ok)
		snprintf(answer.text, sizeof(answer.text), "sync of the disks: %s", strerror(-r));
	give_answer(c, &c->storage, &answer);
}

/* ---- the queue ---- */

static void begin(void *data)
{
	struct commands *c = data;

	if (c->is_busy || !c->n)
		return;
	c->is_busy = true;
	c->begun_ms = due_now_ms();
	c->step = 0;
	if (due_now_ms() >= c->queue[0].deadline_ms)
		refuse(c, "too late");
	else if (c->queue[0].kind == MIG_COMMAND_CHECK)
		check(c);
	else
		must(give_step(c));
}

static void next(struct commands *c)
{
	if (!c->is_busy && c->n)
		due_at(c->begin_due, 0);
}

/* What waits behind one that QEMU does not answer, and was given up. */
static void drop_late(struct commands *c)
{
	uint64_t now_ms = due_now_ms();

	for (size_t i = c->n; i-- > 1;) {
		if (c->queue[i].deadline_ms > now_ms)
			continue;
		if (c->queue[i].kind == MIG_COMMAND_MIGRATE_CANCEL && c->qmp)
			end_stream(c);
		remove_at(c, i);
	}
}

void commands_give(struct commands *c, const struct mig_command *command)
{
	if (command->kind == MIG_COMMAND_RETURN_STORAGE) {
		c->storage_given = *command;
		due_at(c->storage_due, 0);
		return;
	}
	drop_late(c);
	if (command->kind == MIG_COMMAND_MIGRATE_CANCEL && c->is_busy &&
	    due_now_ms() - c->begun_ms >= UNHEARD_MS)
		end_stream(c);
	must(c->n < QUEUE_MAX); /* one of each kind is under way at most */
	c->queue[c->n++] = *command;
	next(c);
}

void commands_set_qmp(struct commands *c, struct qmp *qmp, pid_t pid)
{
	c->qmp = qmp;
	c->pid = pid;
}

int commands_open(qb_loop_t *loop, const struct commands_options *options, struct commands **ret)
{
	struct commands *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	*c = (struct commands){.loop = loop, .options = *options};
	r = record_path(options->run_dir, options->definition->uuid, "psk", c->psk_dir);
	if (!r)
		r = due_open(loop, begin, c, &c->begin_due);
	if (!r)
		r = due_open(loop, return_storage, c, &c->storage_due);
	if (r) {
		due_close(c->begin_due);
		free(c);
		return r;
	}
	tls_forget(c); /* what one that was killed has left */
	*ret = c;
	return 0;
}

struct commands *commands_close(struct commands *c)
{
	if (!c)
		return NULL;
	due_close(c->begin_due);
	due_close(c->storage_due);
	run_free(c->run);
	tls_forget(c);
	explicit_bzero(c->queue, sizeof(c->queue));
	free(c);
	return NULL;
}
