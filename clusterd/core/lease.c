/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/lease.h"

#include <string.h>

#include "clusterd/core/quorum.h"

void lease_view_begin(struct lease_state *l, uint8_t self, uint64_t now_ms)
{
	uint64_t deadline_ms = l->deadline_ms;

	*l = (struct lease_state){.self = self, .next_ms = now_ms, .deadline_ms = deadline_ms};
	for (uint8_t i = 0; i < CL_MAX_NODES; i++)
		l->heard_ms[i] = now_ms;
}

bool lease_beat_is_due(const struct lease_state *l, uint64_t now_ms)
{
	return now_ms >= l->next_ms;
}

void lease_beat_send(struct lease_state *l, uint64_t now_ms, uint64_t interval_ms,
		     struct cl_msg_beat *ret)
{
	l->beat++;
	l->sent_ms[l->beat % LEASE_BEATS_KEPT] = now_ms;
	l->next_ms = now_ms + interval_ms;
	ret->beat = l->beat;
	memcpy(ret->seen.of, l->seen, sizeof(ret->seen.of));
}

void lease_beat_heard(struct lease_state *l, uint8_t from, const struct cl_msg_beat *beat,
		      uint64_t now_ms)
{
	uint64_t ack = beat->seen.of[l->self];

	if (beat->beat > l->seen[from]) {
		l->seen[from] = beat->beat;
		l->heard_ms[from] = now_ms;
	}
	if (ack <= l->beat && ack > l->acked[from])
		l->acked[from] = ack;
}

void lease_witness_heard(struct lease_state *l, uint64_t beat, uint64_t valid_ms)
{
	uint64_t until;

	/* None of this view, or so old that its time is not known any more. */
	if (!beat || beat > l->beat || l->beat - beat >= LEASE_BEATS_KEPT)
		return;
	until = l->sent_ms[beat % LEASE_BEATS_KEPT] + valid_ms;
	if (until > l->witness_ms)
		l->witness_ms = until;
}

void lease_extend(struct lease_state *l, const struct cl_table *table, uint32_t countable,
		  uint64_t duration_ms)
{
	uint32_t nodes = countable & UINT16_MAX;
	uint64_t oldest = l->beat < LEASE_BEATS_KEPT ? 1 : l->beat - LEASE_BEATS_KEPT + 1;

	for (uint64_t n = l->beat; n >= oldest && n > 0; n--) {
		uint16_t set = cl_bit(l->self);
		uint64_t until = l->sent_ms[n % LEASE_BEATS_KEPT] + duration_ms;

		if (until <= l->deadline_ms)
			return;
		for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
			if (l->acked[i] >= n)
				set = (uint16_t)(set | cl_bit(i));
		}
		if (quorum_is_majority(table, set & nodes)) {
			l->deadline_ms = until;
			return;
		}
		if (!quorum_is_majority(table, (set & nodes) | (countable & CL_WITNESS_BIT)))
			continue;
		until = until < l->witness_ms ? until : l->witness_ms;
		if (until > l->deadline_ms)
			l->deadline_ms = until;
	}
}

uint16_t lease_silent(const struct lease_state *l, uint16_t set, uint64_t now_ms,
		      uint64_t silence_ms)
{
	uint16_t silent = 0;

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (i != l->self && (set & cl_bit(i)) && now_ms - l->heard_ms[i] > silence_ms)
			silent = (uint16_t)(silent | cl_bit(i));
	}
	return silent;
}
