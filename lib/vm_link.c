/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/vm_link.h"

#include <errno.h>

#include "lib/wire.h"

static void put_attach(struct wire_writer *w, const struct vm_link_attach *m)
{
	wire_put_raw(w, m->vm, sizeof(m->vm));
	wire_put_u64(w, m->instance);
	wire_put_u8(w, m->is_incoming);
}

static void get_attach(struct wire_reader *r, struct vm_link_attach *m)
{
	wire_get_raw(r, m->vm, sizeof(m->vm));
	m->instance = wire_get_u64(r);
	m->is_incoming = wire_get_bool(r);
}

static void put_progress(struct wire_writer *w, const struct vm_link_progress *m)
{
	wire_put_u64(w, m->id);
	wire_put_u8(w, (uint8_t)m->phase);
	wire_put_u16(w, m->port);
	wire_put_u64(w, m->total);
	wire_put_u64(w, m->remaining);
	wire_put_u64(w, m->sent);
	wire_put_u32(w, m->passes);
	wire_put_u64(w, m->dirty_rate);
	wire_put_u64(w, m->rate);
	wire_put_u32(w, m->downtime_ms);
	wire_put_str(w, m->address);
	wire_put_str(w, m->text);
}

static void get_progress(struct wire_reader *r, struct vm_link_progress *m)
{
	m->id = wire_get_u64(r);
	m->phase = (enum vm_link_phase)wire_get_enum(r, VM_LINK_MIG_MAX);
	m->port = wire_get_u16(r);
	m->total = wire_get_u64(r);
	m->remaining = wire_get_u64(r);
	m->sent = wire_get_u64(r);
	m->passes = wire_get_u32(r);
	m->dirty_rate = wire_get_u64(r);
	m->rate = wire_get_u64(r);
	m->downtime_ms = wire_get_u32(r);
	wire_get_str(r, m->address, sizeof(m->address));
	wire_get_str(r, m->text, sizeof(m->text));
}

static void put_status(struct wire_writer *w, const struct vm_link_status *m)
{
	wire_put_u8(w, (uint8_t)m->run);
	wire_put_u32(w, (uint32_t)m->qemu_pid);
	wire_put_str(w, m->text);
	put_progress(w, &m->migration);
}

static void get_status(struct wire_reader *r, struct vm_link_status *m)
{
	m->run = (enum vm_link_run)wire_get_enum(r, VM_LINK_RUN_MAX);
	m->qemu_pid = (int32_t)wire_get_u32(r);
	wire_get_str(r, m->text, sizeof(m->text));
	get_progress(r, &m->migration);
}

static void put_migration(struct wire_writer *w, const struct vm_link_migration *m)
{
	wire_put_u64(w, m->id);
	wire_put_u8(w, (uint8_t)m->role);
	wire_put_u8(w, m->is_cancelled);
	wire_put_u8(w, m->is_peer_dead);
	wire_put_str(w, m->listen);
	wire_put_str(w, m->peer);
	wire_put_u16(w, m->peer_port);
	wire_put_u64(w, m->bandwidth);
}

static void get_migration(struct wire_reader *r, struct vm_link_migration *m)
{
	m->id = wire_get_u64(r);
	m->role = (enum vm_link_role)wire_get_enum(r, VM_LINK_ROLE_MAX);
	m->is_cancelled = wire_get_bool(r);
	m->is_peer_dead = wire_get_bool(r);
	wire_get_str(r, m->listen, sizeof(m->listen));
	wire_get_str(r, m->peer, sizeof(m->peer));
	m->peer_port = wire_get_u16(r);
	m->bandwidth = wire_get_u64(r);
}

static void put_state(struct wire_writer *w, const struct vm_link_state *m)
{
	wire_put_u8(w, m->has_lock);
	wire_put_u64(w, m->lease_until_ms);
	wire_put_u8(w, m->is_fresh);
	wire_put_u8(w, m->is_stop);
	wire_put_u32(w, m->stop_ms);
	wire_put_u8(w, m->is_paused);
	put_migration(w, &m->migration);
}

static void get_state(struct wire_reader *r, struct vm_link_state *m)
{
	m->has_lock = wire_get_bool(r);
	m->lease_until_ms = wire_get_u64(r);
	m->is_fresh = wire_get_bool(r);
	m->is_stop = wire_get_bool(r);
	m->stop_ms = wire_get_u32(r);
	m->is_paused = wire_get_bool(r);
	get_migration(r, &m->migration);
}

int vm_link_encode(const struct vm_link_message *m, void *buf, size_t cap, size_t *ret_len)
{
	struct wire_writer w;

	wire_writer_init(&w, buf, cap);
	wire_put_u16(&w, VM_LINK_VERSION);
	wire_put_u8(&w, (uint8_t)m->type);
	switch (m->type) {
	case VM_LINK_ATTACH:
		put_attach(&w, &m->attach);
		break;
	case VM_LINK_STATUS:
		put_status(&w, &m->status);
		break;
	case VM_LINK_STATE:
		put_state(&w, &m->state);
		break;
	}
	return wire_writer_end(&w, ret_len);
}

int vm_link_decode(const void *buf, size_t len, struct vm_link_message *ret)
{
	struct vm_link_message m = {0};
	struct wire_reader r;
	uint16_t version;
	uint8_t type;

	wire_reader_init(&r, buf, len);
	version = wire_get_u16(&r);
	type = wire_get_u8(&r);
	if (r.error)
		return -EBADMSG;
	if (version != VM_LINK_VERSION)
		return -EPROTO;
	switch (type) {
	case VM_LINK_ATTACH:
		get_attach(&r, &m.attach);
		break;
	case VM_LINK_STATUS:
		get_status(&r, &m.status);
		break;
	case VM_LINK_STATE:
		get_state(&r, &m.state);
		break;
	default:
		return -EBADMSG;
	}
	if (wire_reader_end(&r))
		return -EBADMSG;
	m.type = (enum vm_link_type)type;
	*ret = m;
	return 0;
}

const char *vm_link_run_word(enum vm_link_run run)
{
	static const char *const word[VM_LINK_RUN_MAX] = {
#define WORD(NAME, text) [VM_LINK_##NAME] = (text),
		VM_LINK_RUNS(WORD)
#undef WORD
	};

	return run < VM_LINK_RUN_MAX ? word[run] : "?";
}

const char *vm_link_phase_word(enum vm_link_phase phase)
{
	static const char *const word[VM_LINK_MIG_MAX] = {
#define WORD(NAME, text) [VM_LINK_MIG_##NAME] = (text),
		VM_LINK_PHASES(WORD)
#undef WORD
	};

	return phase < VM_LINK_MIG_MAX ? word[phase] : "?";
}
