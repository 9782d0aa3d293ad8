/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/csv_link.h"

#include <errno.h>

#include "lib/wire.h"

static void put_attach(struct wire_writer *w, const struct csv_link_attach *m)
{
	wire_put_u8(w, (uint8_t)m->role);
	wire_put_raw(w, m->volume, sizeof(m->volume));
	wire_put_u64(w, m->id);
}

static void get_attach(struct wire_reader *r, struct csv_link_attach *m)
{
	m->role = (enum csv_link_role)wire_get_enum(r, CSV_LINK_ROLE_MAX);
	wire_get_raw(r, m->volume, sizeof(m->volume));
	m->id = wire_get_u64(r);
}

static void put_io(struct wire_writer *w, const struct csv_link_io *m)
{
	wire_put_u8(w, (uint8_t)m->state);
	wire_put_u32(w, m->granted);
	wire_put_u64(w, m->since_ms);
	wire_put_u64(w, m->requests);
	wire_put_u64(w, m->reads);
	wire_put_u64(w, m->writes);
	wire_put_u64(w, m->bytes);
	wire_put_u64(w, m->redirected_bytes);
	wire_put_str(w, m->why);
}

static void get_io(struct wire_reader *r, struct csv_link_io *m)
{
	m->state = (enum csv_link_io_state)wire_get_enum(r, CSV_LINK_IO_MAX);
	m->granted = wire_get_u32(r);
	m->since_ms = wire_get_u64(r);
	m->requests = wire_get_u64(r);
	m->reads = wire_get_u64(r);
	m->writes = wire_get_u64(r);
	m->bytes = wire_get_u64(r);
	m->redirected_bytes = wire_get_u64(r);
	wire_get_str(r, m->why, sizeof(m->why));
}

static void put_status(struct wire_writer *w, const struct csv_link_status *m)
{
	wire_put_u8(w, (uint8_t)m->phase);
	wire_put_u16(w, m->port);
	wire_put_u8(w, m->is_serving);
	wire_put_u8(w, m->is_quiet);
	wire_put_u32(w, m->pending);
	wire_put_u32(w, m->oldest_ms);
	wire_put_str(w, m->text);
	put_io(w, &m->io);
	wire_put_u8(w, m->dropped_count);
	for (size_t i = 0; i < m->dropped_count && i < CSV_LINK_MOUNTS; i++)
		wire_put_u64(w, m->dropped[i]);
	wire_put_u64(w, m->grown);
	wire_put_u8(w, m->has_grown);
	wire_put_u64(w, m->grown_bytes);
	wire_put_str(w, m->grown_text);
	wire_put_u64(w, m->beat);
	wire_put_u8(w, m->silent_count);
	for (size_t i = 0; i < m->silent_count && i < CSV_LINK_MOUNTS; i++) {
		wire_put_u64(w, m->silent[i].id);
		wire_put_u64(w, m->silent[i].ino);
		wire_put_u32(w, m->silent[i].for_ms);
	}
}

static void get_status(struct wire_reader *r, struct csv_link_status *m)
{
	m->phase = (enum csv_link_phase)wire_get_enum(r, CSV_LINK_PHASE_MAX);
	m->port = wire_get_u16(r);
	m->is_serving = wire_get_bool(r);
	m->is_quiet = wire_get_bool(r);
	m->pending = wire_get_u32(r);
	m->oldest_ms = wire_get_u32(r);
	wire_get_str(r, m->text, sizeof(m->text));
	get_io(r, &m->io);
	m->dropped_count = wire_get_enum(r, CSV_LINK_MOUNTS + 1);
	for (size_t i = 0; i < m->dropped_count; i++)
		m->dropped[i] = wire_get_u64(r);
	m->grown = wire_get_u64(r);
	m->has_grown = wire_get_bool(r);
	m->grown_bytes = wire_get_u64(r);
	wire_get_str(r, m->grown_text, sizeof(m->grown_text));
	m->beat = wire_get_u64(r);
	m->silent_count = wire_get_enum(r, CSV_LINK_MOUNTS + 1);
	for (size_t i = 0; i < m->silent_count; i++) {
		m->silent[i].id = wire_get_u64(r);
		m->silent[i].ino = wire_get_u64(r);
		m->silent[i].for_ms = wire_get_u32(r);
	}
}

static void put_state(struct wire_writer *w, const struct csv_link_state *m)
{
	wire_put_u64(w, m->term);
	wire_put_u8(w, m->node);
	wire_put_u8(w, m->is_online);
	wire_put_u16(w, m->port);
	wire_put_str(w, m->address);
	wire_put_str(w, m->why);
	wire_put_u8(w, m->is_stop);
	wire_put_u64(w, m->lease_until_ms);
	wire_put_u8(w, m->mount_count);
	for (size_t i = 0; i < m->mount_count && i < CSV_LINK_MOUNTS; i++) {
		wire_put_u8(w, m->mount[i].node);
		wire_put_u8(w, m->mount[i].is_gone);
		wire_put_u64(w, m->mount[i].id);
	}
	wire_put_u64(w, m->beat);
	wire_put_u64(w, m->grow);
	wire_put_u8(w, m->is_aside);
}

static void get_state(struct wire_reader *r, struct csv_link_state *m)
{
	m->term = wire_get_u64(r);
	m->node = wire_get_u8(r);
	m->is_online = wire_get_bool(r);
	m->port = wire_get_u16(r);
	wire_get_str(r, m->address, sizeof(m->address));
	wire_get_str(r, m->why, sizeof(m->why));
	m->is_stop = wire_get_bool(r);
	m->lease_until_ms = wire_get_u64(r);
	m->mount_count = wire_get_enum(r, CSV_LINK_MOUNTS + 1);
	for (size_t i = 0; i < m->mount_count; i++) {
		m->mount[i].node = wire_get_u8(r);
		m->mount[i].is_gone = wire_get_bool(r);
		m->mount[i].id = wire_get_u64(r);
	}
	m->beat = wire_get_u64(r);
	m->grow = wire_get_u64(r);
	m->is_aside = wire_get_bool(r);
}

int csv_link_encode(const struct csv_link_message *m, void *buf, size_t cap, size_t *ret_len)
{
	struct wire_writer w;

	wire_writer_init(&w, buf, cap);
	wire_put_u16(&w, CSV_LINK_VERSION);
	wire_put_u8(&w, (uint8_t)m->type);
	switch (m->type) {
	case CSV_LINK_ATTACH:
		put_attach(&w, &m->attach);
		break;
	case CSV_LINK_STATUS:
		put_status(&w, &m->status);
		break;
	case CSV_LINK_STATE:
		put_state(&w, &m->state);
		break;
	}
	return wire_writer_end(&w, ret_len);
}

int csv_link_decode(const void *buf, size_t len, struct csv_link_message *ret)
{
	struct csv_link_message m = {0};
	struct wire_reader r;
	uint16_t version;
	uint8_t type;

	wire_reader_init(&r, buf, len);
	version = wire_get_u16(&r);
	type = wire_get_u8(&r);
	if (r.error)
		return -EBADMSG;
	if (version != CSV_LINK_VERSION)
		return -EPROTO;
	switch (type) {
	case CSV_LINK_ATTACH:
		get_attach(&r, &m.attach);
		break;
	case CSV_LINK_STATUS:
		get_status(&r, &m.status);
		break;
	case CSV_LINK_STATE:
		get_state(&r, &m.state);
		break;
	default:
		return -EBADMSG;
	}
	if (wire_reader_end(&r))
		return -EBADMSG;
	m.type = (enum csv_link_type)type;
	*ret = m;
	return 0;
}
