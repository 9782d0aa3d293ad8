/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests on the control socket:
 *   {"command": "status"}                              what is going on
 *   {"command": "wait", "runs": [...], "wait_ms": N}   the same, once it is one of these
 *   {"command": "stop", "stop_ms": N, "wait_ms": N}    by the agent
 *   {"command": "hold", "hold_ms": N, "wait_ms": N}    vCPUs stand still, for so long at most
 *   {"command": "release", "number": N}                ok if they did until now; these: standalone
 *   {"command": "pause"}  {"command": "resume"}  {"command": "cancel"}
 *   {"command": "migrate", "peer": ADDRESS, "port": N, "bandwidth": BYTES_PER_S}
 * Answers: {"ok": BOOL, "text": WHY, "status": {...}}
 */
#include <string.h>

#include "migrate/edge/host_impl.h"

#define WAIT_MAX_MS (7 * 24 * 3600 * 1000)

static json_t *migration(const struct vm_link_progress *p)
{
	return json_pack("{s:I, s:s, s:I, s:I, s:I, s:i, s:I, s:I, s:i, s:s, s:s, s:i}", "id",
			 (json_int_t)p->id, "phase", vm_link_phase_word(p->phase), "total_bytes",
			 (json_int_t)p->total, "remaining_bytes", (json_int_t)p->remaining,
			 "sent_bytes", (json_int_t)p->sent, "passes", (int)p->passes,
			 "dirty_bytes_per_s", (json_int_t)p->dirty_rate, "bytes_per_s",
			 (json_int_t)p->rate, "downtime_ms", (int)p->downtime_ms, "address",
			 p->address, "text", p->text, "port", (int)p->port);
}

/* Text of QEMU may be cut in the midst of a character. */
static json_t *text_of(const char *text)
{
	json_t *t = json_string(text);

	return t ? t : json_string("(not UTF-8)");
}

static json_t *status(const struct host *h)
{
	const struct definition *d = h->options.definition;
	const struct vm_link_progress *m = h->told.migration.id ? &h->told.migration : &h->last;
	uint64_t now_ms = due_now_ms(), until_ms = h->state.lease_until_ms;
	char uuid[UUID_TEXT], said[QEMU_TEXT] = "";

	uuid_text(d->uuid, uuid);
	if (h->qemu)
		qemu_stderr(h->qemu, said, sizeof(said));
	return json_pack(
		"{s:s, s:s, s:s, s:o, s:i, s:s, s:s, s:s, s:s, s:s, s:o, s:b, s:b, s:b, s:I, s:o}",
		"uuid", uuid, "name", d->name, "run", vm_link_run_word(h->told.run), "text",
		text_of(h->told.text), "qemu_pid", (int)h->told.qemu_pid, "qemu", h->probed.version,
		"machine", h->probed.machine, "accelerator", h->probed.is_kvm ? "kvm" : "tcg",
		"cgroup", h->cgroup, "no_cgroup", h->cgroup_text, "qemu_stderr", text_of(said),
		"is_standalone", h->options.is_standalone, "is_connected",
		h->link && link_is_connected(h->link), "has_lock", h->state.has_lock,
		"lease_left_ms", (json_int_t)(until_ms > now_ms ? until_ms - now_ms : 0),
		"migration", migration(m));
}

json_t *host_answer(const struct host *h, bool is_ok, const char *text)
{
	return json_pack("{s:b, s:s, s:o}", "ok", is_ok, "text", text, "status", status(h));
}

uint64_t host_request_ms(const json_t *request, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(request, key));

	return n < 0 ? 0 : n > WAIT_MAX_MS ? WAIT_MAX_MS : (uint64_t)n;
}

static json_t *wait_for(const struct host *h, const json_t *request, bool is_late,
			uint64_t *ret_wait_ms)
{
	const json_t *runs = json_object_get(request, "runs");

	for (size_t i = 0; i < json_array_size(runs); i++) {
		const char *word = json_string_value(json_array_get(runs, i));

		if (word && strcmp(word, vm_link_run_word(h->told.run)) == 0)
			return host_answer(h, true, "");
	}
	if (is_late)
		return host_answer(h, false, "not in time");
	*ret_wait_ms = host_request_ms(request, "wait_ms");
	return NULL;
}

static json_t *stop(struct host *h, const json_t *request, bool is_late, uint64_t *ret_wait_ms)
{
	if (h->is_ending || h->told.run == VM_LINK_STOPPED)
		return host_answer(h, true, "");
	if (is_late)
		return host_answer(h, false, "not in time");
	if (!h->is_begun)
		h->signals += 2; /* before there is a VM: at once */
	*ret_wait_ms = host_request_ms(request, "wait_ms");
	if (!h->is_begun || h->is_stop_asked)
		return NULL;
	h->is_stop_asked = true;
	h->stop_asked_ms = (uint32_t)host_request_ms(request, "stop_ms");
	host_state(h);
	return NULL;
}

static json_t *migrate(struct host *h, const json_t *request)
{
	const char *peer = json_string_value(json_object_get(request, "peer")), *why;
	json_int_t port = json_integer_value(json_object_get(request, "port"));
	json_int_t bandwidth = json_integer_value(json_object_get(request, "bandwidth"));

	if (!peer || port < 1 || port > UINT16_MAX || bandwidth < 0)
		return host_answer(h, false, "migrate needs peer and port");
	why = host_standalone_migrate(h, peer, (uint16_t)port, (uint64_t)bandwidth);
	return host_answer(h, !why, why ? why : "");
}

static json_t *change(struct host *h, const char *command)
{
	if (strcmp(command, "cancel") == 0)
		h->state.migration.is_cancelled = h->state.migration.id != 0;
	else if (strcmp(command, "pause") == 0)
		h->state.is_paused = true;
	else if (strcmp(command, "resume") == 0)
		h->state.is_paused = false;
	else
		return host_answer(h, false, "no such command");
	host_state(h);
	return host_answer(h, true, "");
}

json_t *host_request(void *arg, const json_t *request, bool is_late, uint64_t *ret_wait_ms)
{
	struct host *h = arg;
	const char *command = json_string_value(json_object_get(request, "command"));

	if (!command)
		return host_answer(h, false, "no command");
	if (strcmp(command, "status") == 0)
		return host_answer(h, true, "");
	if (strcmp(command, "wait") == 0)
		return wait_for(h, request, is_late, ret_wait_ms);
	if (strcmp(command, "stop") == 0)
		return stop(h, request, is_late, ret_wait_ms);
	if (strcmp(command, "hold") == 0)
		return host_hold(h, request, is_late, ret_wait_ms);
	if (strcmp(command, "release") == 0)
		return host_release(h, request);
	if (!h->options.is_standalone)
		return host_answer(h, false, "clusterd decides on this VM: use clusterctl");
	if (!h->is_begun)
		return host_answer(h, false, "the VM is not set up yet");
	if (strcmp(command, "migrate") == 0)
		return migrate(h, request);
	return change(h, command);
}
