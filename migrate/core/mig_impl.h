/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of the core of a vm-host. Each works on the state and adds actions. */
#ifndef MIGRATE_CORE_MIG_IMPL_H
#define MIGRATE_CORE_MIG_IMPL_H

#include "migrate/core/mig.h"

struct mig_action *mig_emit(struct mig_actions *out, enum mig_action_kind kind);

/* ---- mig_qemu.c: commands, and what QEMU is known to do */

/* Gives it; the caller fills in its arguments. None of that kind may be under way. */
struct mig_command *mig_give(struct mig_state *s, struct mig_actions *out,
			     enum mig_command_kind kind);
bool mig_is_pending(const struct mig_state *s, enum mig_command_kind kind);
void mig_qemu_on_started(struct mig_state *s, int32_t pid);
void mig_qemu_on_ended(struct mig_state *s, const char *text);
void mig_qemu_on_event(struct mig_state *s, enum mig_qemu_event event);
void mig_qemu_on_answer(struct mig_state *s, const struct mig_answer *a);
void mig_qemu_timeouts(struct mig_state *s);
/* The reads that are due. */
void mig_qemu_poll(struct mig_state *s, struct mig_actions *out);
uint64_t mig_qemu_deadline_ms(const struct mig_state *s);
bool mig_qemu_is_up(const struct mig_state *s);
/* QEMU's migration of the source has ended, as read from it. */
void mig_qemu_stream_ended(struct mig_state *s);

/* ---- mig_vcpu.c: when they run; the life of QEMU */

void mig_vcpu_settle(struct mig_state *s, struct mig_actions *out);
void mig_life_settle(struct mig_state *s, struct mig_actions *out);
/* QEMU is to go, at once if it never mattered; the process ends with it. */
void mig_life_end(struct mig_state *s);
uint64_t mig_vcpu_deadline_ms(const struct mig_state *s);
uint64_t mig_life_deadline_ms(const struct mig_state *s);

/* ---- mig_session.c: what both sides of a migration share */

void mig_session_settle(struct mig_state *s, struct mig_actions *out);
void mig_session_on_channel(struct mig_state *s, const struct mig_event *e,
			    struct mig_actions *out);
/* 0 or -EPROTO. */
int mig_session_on_peer(struct mig_state *s, const struct mig_event *e, struct mig_actions *out);
void mig_session_on_answer(struct mig_state *s, const struct mig_answer *a,
			   struct mig_actions *out);
/* A command that only a session gives was not answered in time. */
void mig_session_on_silence(struct mig_state *s, enum mig_command_kind kind);
bool mig_session_is_active(const struct mig_state *s);
/* May `cont` be given, as far as migrations go? */
bool mig_session_allows_cont(const struct mig_state *s);
/* A source in doubt, or whose lock is the other's. */
bool mig_session_has_asked(const struct mig_state *s);
uint64_t mig_session_deadline_ms(const struct mig_state *s);
void mig_session_move(struct mig_state *s, enum mig_step_name step, uint32_t lasts_ms);
/* The first reason counts; no effect where there is no way back. */
void mig_session_fail(struct mig_state *s, struct mig_actions *out, enum mig_reason reason,
		      const char *text);
void mig_session_send(struct mig_state *s, struct mig_actions *out, enum mig_message_type type);
void mig_session_close(struct mig_state *s, struct mig_actions *out);
void mig_session_settings(struct mig_state *s, struct mig_actions *out);

/* ---- mig_source.c, mig_destination.c */

void mig_source_settle(struct mig_state *s, struct mig_actions *out);
int mig_source_on_peer(struct mig_state *s, const struct mig_message *m, struct mig_actions *out);
void mig_source_on_numbers(struct mig_state *s, const struct mig_answer *a,
			   struct mig_actions *out);
/* Back to where it ran: what QEMU migrates is ended first. */
void mig_source_roll_back(struct mig_state *s, struct mig_actions *out, enum mig_reason reason,
			  const char *text);
void mig_destination_on_numbers(struct mig_state *s, const struct mig_answer *a,
				struct mig_actions *out);
/* It never was this VM, and will not be: QEMU quits. */
void mig_destination_give_up(struct mig_state *s, struct mig_actions *out, enum mig_reason reason,
			     const char *text);
void mig_destination_settle(struct mig_state *s, struct mig_actions *out);
int mig_destination_on_peer(struct mig_state *s, const struct mig_message *m,
			    struct mig_actions *out);

/* ---- mig_tell.c */

void mig_tell(struct mig_state *s, struct mig_actions *out);

/* The sooner of two moments. */
static inline uint64_t mig_sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Copies a text, cut to what fits. */
void mig_text_set(char *dst, size_t cap, const char *text);

#endif
