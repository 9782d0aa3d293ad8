/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vm-host: when the vCPUs may run, and both sides of a live migration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include <errno.h>

#include "lib/prng.h"
#include "migrate/core/mig.h"

#define LEASE_MS 5000

static const struct mig_config config = MIG_CONFIG_INIT;

/* One vm-host, what clusterd last said, and what the last step did. */
struct fixture {
	struct mig_state s;
	struct vm_link_state state;
	struct mig_actions out;
	uint64_t now_ms;
};

static int step(struct fixture *f, struct mig_event *ev)
{
	int r;

	ev->now_ms = f->now_ms;
	r = mig_step(&f->s, ev, &f->out);
	assert_null(mig_check(&f->s));
	/* What is due was done: the edge never turns in circles. */
	assert_true(mig_next_deadline_ms(&f->s) > f->now_ms);
	return r;
}

static const struct mig_action *action(const struct fixture *f, enum mig_action_kind kind)
{
	for (size_t i = 0; i < f->out.count; i++) {
		if (f->out.item[i].kind == kind)
			return &f->out.item[i];
	}
	return NULL;
}

static const struct mig_command *command(const struct fixture *f, enum mig_command_kind kind)
{
	for (size_t i = 0; i < f->out.count; i++) {
		if (f->out.item[i].kind == MIG_DO_COMMAND && f->out.item[i].command.kind == kind)
			return &f->out.item[i].command;
	}
	return NULL;
}

static bool says(const struct fixture *f, enum mig_message_type type)
{
	for (size_t i = 0; i < f->out.count; i++) {
		if (f->out.item[i].kind == MIG_DO_SEND && f->out.item[i].message.type == type)
			return true;
	}
	return false;
}

static void tell_state(struct fixture *f)
{
	struct mig_event ev = {.type = MIG_EV_STATE, .state = f->state};

	step(f, &ev);
}

/* Fresh, with the lock and a lease from now on. */
static void grant(struct fixture *f)
{
	f->state.has_lock = f->state.is_fresh = true;
	f->state.lease_until_ms = f->now_ms + LEASE_MS;
	tell_state(f);
}

static void tick(struct fixture *f, uint64_t after_ms)
{
	struct mig_event ev = {.type = MIG_EV_TICK};

	f->now_ms += after_ms;
	step(f, &ev);
}

/* Renews the lease all the while. */
static void pass(struct fixture *f, uint64_t ms)
{
	for (; ms > 1000; ms -= 1000) {
		f->now_ms += 1000;
		f->state.lease_until_ms = f->now_ms + LEASE_MS;
		tell_state(f);
	}
	f->now_ms += ms;
	f->state.lease_until_ms = f->now_ms + LEASE_MS;
	tell_state(f);
}

static struct mig_event answer_of(const struct fixture *f, enum mig_command_kind kind)
{
	struct mig_event ev = {.type = MIG_EV_ANSWER};

	assert_true(f->s.pending[kind].seq);
	ev.answer.kind = kind;
	ev.answer.seq = f->s.pending[kind].seq;
	ev.answer.is_ok = true;
	return ev;
}

static void answer(struct fixture *f, enum mig_command_kind kind)
{
	struct mig_event ev = answer_of(f, kind);

	step(f, &ev);
}

static void refuse(struct fixture *f, enum mig_command_kind kind)
{
	struct mig_event ev = answer_of(f, kind);

	ev.answer.is_ok = false;
	snprintf(ev.answer.text, sizeof(ev.answer.text), "no");
	step(f, &ev);
}

/* Answers query-status, which is asked for if it is not under way. */
static void read_status(struct fixture *f, enum mig_runstate run)
{
	struct mig_event ev = {.type = MIG_EV_QEMU_EVENT, .qemu_event = MIG_QEMU_STATUS};

	if (!f->s.pending[MIG_COMMAND_QUERY_STATUS].seq)
		step(f, &ev);
	for (bool is_stale = true; is_stale;) {
		ev = answer_of(f, MIG_COMMAND_QUERY_STATUS);
		is_stale = ev.answer.seq <= f->s.proof_seq;
		ev.answer.run = run;
		step(f, &ev);
	}
}

static void read_stream(struct fixture *f, const struct mig_numbers *numbers)
{
	struct mig_event ev = {.type = MIG_EV_QEMU_EVENT, .qemu_event = MIG_QEMU_MIGRATION};

	if (!f->s.pending[MIG_COMMAND_QUERY_MIGRATE].seq)
		step(f, &ev);
	ev = answer_of(f, MIG_COMMAND_QUERY_MIGRATE);
	ev.answer.numbers = *numbers;
	step(f, &ev);
}

static void stream_is(struct fixture *f, enum mig_stream stream)
{
	struct mig_numbers n = {.stream = stream};

	read_stream(f, &n);
}

static void qemu_event(struct fixture *f, enum mig_qemu_event event)
{
	struct mig_event ev = {.type = MIG_EV_QEMU_EVENT, .qemu_event = event};

	step(f, &ev);
}

static void qemu_ends(struct fixture *f)
{
	struct mig_event ev = {.type = MIG_EV_QEMU_ENDED, .text = "signal 9"};

	step(f, &ev);
}

static int hear_message(struct fixture *f, const struct mig_message *m)
{
	struct mig_event ev = {.type = MIG_EV_PEER};

	ev.channel = f->s.session.channel.number;
	ev.message = *m;
	return step(f, &ev);
}

static int hear(struct fixture *f, enum mig_message_type type)
{
	struct mig_message m = {.type = type};

	return hear_message(f, &m);
}

static void channel_event(struct fixture *f, enum mig_event_type type, uint16_t port)
{
	struct mig_event ev = {.type = type, .text = "10.0.0.2"};

	ev.channel = f->s.session.channel.number;
	ev.port = port;
	step(f, &ev);
}

static enum vm_link_run told(const struct fixture *f)
{
	return f->s.told.run;
}

static enum vm_link_phase phase(const struct fixture *f)
{
	return f->s.told.migration.phase;
}

static struct mig_identity identity(void)
{
	return (struct mig_identity){.ram_bytes = 1 << 20, .qemu = "7.2.0"};
}

static struct fixture fresh(bool is_incoming)
{
	struct mig_identity id = identity();
	struct mig_event ev = {.type = MIG_EV_QEMU_STARTED, .pid = 42};
	struct fixture f = {.now_ms = 1000};

	mig_init(&f.s, &config, &id, is_incoming);
	step(&f, &ev);
	read_status(&f, is_incoming ? MIG_RUNSTATE_INMIGRATE : MIG_RUNSTATE_PRELAUNCH);
	return f;
}

static struct fixture running(void)
{
	struct fixture f = fresh(false);

	grant(&f);
	answer(&f, MIG_COMMAND_CONT);
	read_status(&f, MIG_RUNSTATE_RUNNING);
	return f;
}

/* ---- when the vCPUs run */

static void a_vm_waits_for_its_lock_before_it_runs(void **state)
{
	struct fixture f = fresh(false);

	(void)state;
	assert_int_equal(told(&f), VM_LINK_READY);
	assert_null(command(&f, MIG_COMMAND_CONT));
	grant(&f);
	assert_non_null(command(&f, MIG_COMMAND_CONT));
	answer(&f, MIG_COMMAND_CONT);
	read_status(&f, MIG_RUNSTATE_RUNNING);
	assert_int_equal(told(&f), VM_LINK_RUNNING);
}

static void a_state_that_is_not_fresh_begins_nothing(void **state)
{
	struct fixture f = fresh(false);

	(void)state;
	f.state.has_lock = true;
	f.state.lease_until_ms = f.now_ms + LEASE_MS;
	tell_state(&f);
	assert_null(command(&f, MIG_COMMAND_CONT));
}

static void a_state_that_is_not_fresh_ends_nothing_that_it_does_not_contradict(void **state)
{
	struct fixture f = running();

	(void)state;
	f.state.is_fresh = false;
	tell_state(&f);
	assert_null(command(&f, MIG_COMMAND_STOP));
	f.state.has_lock = false;
	tell_state(&f);
	assert_non_null(command(&f, MIG_COMMAND_STOP));
}

static void a_lease_that_is_over_begins_nothing(void **state)
{
	struct fixture f = fresh(false);

	(void)state;
	f.state.has_lock = f.state.is_fresh = true;
	f.state.lease_until_ms = f.now_ms;
	tell_state(&f);
	assert_null(command(&f, MIG_COMMAND_CONT));
}

static void the_end_of_the_lease_is_a_deadline_and_stops_the_vcpus(void **state)
{
	struct fixture f = running();

	(void)state;
	assert_int_equal(mig_next_deadline_ms(&f.s), f.state.lease_until_ms);
	tick(&f, LEASE_MS);
	assert_non_null(command(&f, MIG_COMMAND_STOP));
	assert_int_equal(told(&f), VM_LINK_RUNNING);
}

static void halted_is_told_when_it_was_read_back_and_not_before(void **state)
{
	struct fixture f = running();

	(void)state;
	tick(&f, LEASE_MS);
	answer(&f, MIG_COMMAND_STOP);
	assert_int_equal(told(&f), VM_LINK_RUNNING);
	read_status(&f, MIG_RUNSTATE_PAUSED);
	assert_int_equal(told(&f), VM_LINK_HALTED);
}

static void a_stop_without_effect_is_repeated(void **state)
{
	struct fixture f = running();

	(void)state;
	tick(&f, LEASE_MS);
	answer(&f, MIG_COMMAND_STOP);
	read_status(&f, MIG_RUNSTATE_RUNNING);
	tick(&f, config.poll_ms);
	assert_non_null(command(&f, MIG_COMMAND_STOP));
}

static void an_answer_from_before_the_last_cont_proves_nothing(void **state)
{
	struct fixture f = running();
	struct mig_event ev;

	(void)state;
	tick(&f, 10);
	qemu_event(&f, MIG_QEMU_STATUS);
	ev = answer_of(&f, MIG_COMMAND_QUERY_STATUS);
	qemu_event(&f, MIG_QEMU_RESUME);
	tick(&f, LEASE_MS - 10);
	ev.answer.run = MIG_RUNSTATE_PAUSED;
	step(&f, &ev);
	assert_int_equal(told(&f), VM_LINK_RUNNING);
	assert_non_null(command(&f, MIG_COMMAND_QUERY_STATUS));
}

static void a_qemu_that_does_not_halt_is_killed_in_time(void **state)
{
	struct fixture f = running();

	(void)state;
	tick(&f, LEASE_MS);
	assert_null(action(&f, MIG_DO_KILL));
	tick(&f, config.halt_ms - 1);
	assert_null(action(&f, MIG_DO_KILL));
	tick(&f, 1);
	assert_non_null(action(&f, MIG_DO_KILL));
	qemu_ends(&f);
	assert_int_equal(told(&f), VM_LINK_CRASHED);
	assert_null(action(&f, MIG_DO_END));
}

static void a_stop_that_is_heard_of_is_proof_while_qemu_waits_for_its_disks(void **state)
{
	struct fixture f = running();

	(void)state;
	tick(&f, LEASE_MS);
	assert_non_null(command(&f, MIG_COMMAND_STOP));
	qemu_event(&f, MIG_QEMU_STOP);
	assert_int_equal(told(&f), VM_LINK_HALTED);
	tick(&f, config.halt_ms);
	assert_null(action(&f, MIG_DO_KILL));
	tick(&f, 60000);
	assert_null(action(&f, MIG_DO_KILL));
	/* The lease is back before the disks are: it goes on when it is read that it stands still.
	 */
	grant(&f);
	assert_null(command(&f, MIG_COMMAND_CONT));
	read_status(&f, MIG_RUNSTATE_PAUSED);
	assert_non_null(command(&f, MIG_COMMAND_CONT));
}

static void a_stop_before_the_last_cont_was_carried_out_proves_nothing(void **state)
{
	struct fixture f = fresh(false);

	(void)state;
	grant(&f);
	assert_non_null(command(&f, MIG_COMMAND_CONT));
	tick(&f, LEASE_MS);
	qemu_event(&f, MIG_QEMU_STOP);
	assert_int_equal(told(&f), VM_LINK_RUNNING);
	tick(&f, config.halt_ms);
	assert_non_null(action(&f, MIG_DO_KILL));
}

static void a_process_that_slept_past_the_end_kills_at_once(void **state)
{
	struct fixture f = running();

	(void)state;
	tick(&f, LEASE_MS + config.halt_ms);
	assert_non_null(action(&f, MIG_DO_KILL));
}

static void a_lease_that_is_taken_back_counts_from_now(void **state)
{
	struct fixture f = running();

	(void)state;
	f.now_ms += 100;
	f.state.lease_until_ms = 0;
	tell_state(&f);
	assert_non_null(command(&f, MIG_COMMAND_STOP));
	assert_null(action(&f, MIG_DO_KILL));
	assert_int_equal(f.s.halt_ms, f.now_ms + config.halt_ms);
}

static void it_goes_on_when_the_lease_is_back_and_a_fresh_state_says_so(void **state)
{
	struct fixture f = running();

	(void)state;
	tick(&f, LEASE_MS);
	answer(&f, MIG_COMMAND_STOP);
	read_status(&f, MIG_RUNSTATE_PAUSED);
	f.state.is_fresh = false;
	f.state.lease_until_ms = f.now_ms + LEASE_MS;
	tell_state(&f);
	assert_null(command(&f, MIG_COMMAND_CONT));
	grant(&f);
	assert_non_null(command(&f, MIG_COMMAND_CONT));
}

static void a_lost_lock_halts_for_good(void **state)
{
	struct fixture f = running();

	(void)state;
	f.state.has_lock = false;
	tell_state(&f);
	answer(&f, MIG_COMMAND_STOP);
	read_status(&f, MIG_RUNSTATE_PAUSED);
	assert_int_equal(told(&f), VM_LINK_HALTED);
	f.state.lease_until_ms = f.now_ms + LEASE_MS;
	tell_state(&f);
	assert_null(command(&f, MIG_COMMAND_CONT));
}

/* ---- plain life */

static void an_administrator_pauses_and_goes_on(void **state)
{
	struct fixture f = running();

	(void)state;
	f.state.is_paused = true;
	tell_state(&f);
	answer(&f, MIG_COMMAND_STOP);
	read_status(&f, MIG_RUNSTATE_PAUSED);
	assert_int_equal(told(&f), VM_LINK_PAUSED);
	f.state.is_paused = false;
	tell_state(&f);
	assert_non_null(command(&f, MIG_COMMAND_CONT));
}

static void a_failed_disk_is_tried_again_until_it_is_back(void **state)
{
	struct fixture f = running();

	(void)state;
	read_status(&f, MIG_RUNSTATE_IO_ERROR);
	assert_int_equal(told(&f), VM_LINK_IO_ERROR);
	pass(&f, config.io_retry_ms);
	answer(&f, MIG_COMMAND_CONT);
	read_status(&f, MIG_RUNSTATE_IO_ERROR);
	assert_null(command(&f, MIG_COMMAND_CONT));
	pass(&f, config.io_retry_ms);
	answer(&f, MIG_COMMAND_CONT);
	read_status(&f, MIG_RUNSTATE_RUNNING);
	assert_int_equal(told(&f), VM_LINK_RUNNING);
}

static void a_failed_disk_without_a_lease_is_halted_and_not_tried(void **state)
{
	struct fixture f = running();

	(void)state;
	read_status(&f, MIG_RUNSTATE_IO_ERROR);
	tick(&f, LEASE_MS + config.io_retry_ms);
	assert_null(command(&f, MIG_COMMAND_CONT));
	assert_int_equal(told(&f), VM_LINK_HALTED);
}

static void a_stop_asks_the_guest_then_qemu_then_kills(void **state)
{
	struct fixture f = running();

	(void)state;
	f.state.is_stop = true;
	f.state.stop_ms = 3000;
	tell_state(&f);
	assert_non_null(command(&f, MIG_COMMAND_POWERDOWN));
	assert_int_equal(told(&f), VM_LINK_STOPPING);
	pass(&f, 3000);
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
	pass(&f, config.quit_ms);
	assert_non_null(action(&f, MIG_DO_KILL));
	pass(&f, config.quit_ms);
	assert_non_null(action(&f, MIG_DO_KILL));
	qemu_ends(&f);
	assert_int_equal(told(&f), VM_LINK_STOPPED);
	assert_non_null(action(&f, MIG_DO_END));
}

static void a_guest_that_obeys_a_stop_is_over_at_once(void **state)
{
	struct fixture f = running();

	(void)state;
	f.state.is_stop = true;
	f.state.stop_ms = 60000;
	tell_state(&f);
	read_status(&f, MIG_RUNSTATE_SHUTDOWN);
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
}

static void a_vm_that_never_ran_or_lost_its_lock_is_not_asked(void **state)
{
	struct fixture f = fresh(false);

	(void)state;
	f.state.is_stop = true;
	f.state.stop_ms = 60000;
	tell_state(&f);
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
	assert_null(command(&f, MIG_COMMAND_POWERDOWN));
}

static void a_stop_while_qemu_starts_kills_it(void **state)
{
	struct mig_identity id = identity();
	struct fixture f = {.now_ms = 1000};

	(void)state;
	mig_init(&f.s, &config, &id, false);
	f.state.is_stop = true;
	tell_state(&f);
	assert_non_null(action(&f, MIG_DO_KILL));
	qemu_ends(&f);
	assert_non_null(action(&f, MIG_DO_END));
}

static void a_guest_that_shuts_down_is_told_and_left_until_the_stop(void **state)
{
	struct fixture f = running();

	(void)state;
	qemu_event(&f, MIG_QEMU_SHUTDOWN);
	read_status(&f, MIG_RUNSTATE_SHUTDOWN);
	assert_int_equal(told(&f), VM_LINK_SHUTDOWN);
	assert_null(command(&f, MIG_COMMAND_CONT));
	f.state.is_stop = true;
	tell_state(&f);
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
}

static void a_qemu_that_ends_or_cannot_start_is_told(void **state)
{
	struct mig_identity id = identity();
	struct fixture f = running();

	(void)state;
	qemu_ends(&f);
	assert_int_equal(told(&f), VM_LINK_CRASHED);
	assert_string_equal(f.s.told.text, "signal 9");
	mig_init(&f.s, &config, &id, false);
	qemu_ends(&f);
	assert_int_equal(told(&f), VM_LINK_FAILED);
	f.state.is_stop = true;
	tell_state(&f);
	assert_non_null(action(&f, MIG_DO_END));
}

static void a_guest_that_panicked_is_told_and_not_resumed(void **state)
{
	struct fixture f = running();

	(void)state;
	read_status(&f, MIG_RUNSTATE_PANICKED);
	assert_int_equal(told(&f), VM_LINK_CRASHED);
	pass(&f, 10000);
	assert_null(command(&f, MIG_COMMAND_CONT));
}

static void a_qemu_that_does_not_answer_is_told_and_goes_on(void **state)
{
	struct fixture f = running();

	(void)state;
	qemu_event(&f, MIG_QEMU_STATUS);
	pass(&f, config.command_ms);
	assert_string_equal(f.s.told.text, "QEMU does not answer");
	assert_int_equal(told(&f), VM_LINK_RUNNING);
	read_status(&f, MIG_RUNSTATE_RUNNING);
	assert_string_equal(f.s.told.text, "");
}

static void a_cont_that_is_refused_is_repeated_later(void **state)
{
	struct fixture f = fresh(false);

	(void)state;
	grant(&f);
	refuse(&f, MIG_COMMAND_CONT);
	read_status(&f, MIG_RUNSTATE_PAUSED);
	assert_null(command(&f, MIG_COMMAND_CONT));
	pass(&f, config.retry_ms);
	assert_non_null(command(&f, MIG_COMMAND_CONT));
}

/* ---- source */

static void begin(struct fixture *f, enum vm_link_role role)
{
	struct vm_link_migration *m = &f->state.migration;

	*m = (struct vm_link_migration){.id = 7, .role = role};
	snprintf(m->peer, sizeof(m->peer), "10.0.0.2");
	snprintf(m->listen, sizeof(m->listen), "10.0.0.1");
	m->peer_port = role == VM_LINK_SOURCE ? 5000 : 0;
	if (role == VM_LINK_SOURCE)
		grant(f);
	else
		f->state.is_fresh = true;
	tell_state(f);
}

/* READY was heard, QEMU is to migrate. */
static struct fixture source_in_memory(void)
{
	struct fixture f = running();
	struct mig_message ready = {.type = MIG_MESSAGE_READY, .ready.port = 6000};

	begin(&f, VM_LINK_SOURCE);
	channel_event(&f, MIG_EV_CHANNEL_OPEN, 0);
	assert_true(says(&f, MIG_MESSAGE_HELLO));
	answer(&f, MIG_COMMAND_CHECK);
	hear_message(&f, &ready);
	answer(&f, MIG_COMMAND_SETTINGS);
	assert_true(says(&f, MIG_MESSAGE_START));
	assert_int_equal(command(&f, MIG_COMMAND_MIGRATE)->port, 6000);
	answer(&f, MIG_COMMAND_MIGRATE);
	read_status(&f, MIG_RUNSTATE_RUNNING);
	stream_is(&f, MIG_STREAM_ACTIVE);
	assert_int_equal(phase(&f), VM_LINK_MIG_MEMORY);
	return f;
}

/* QEMU says completed, and is in postmigrate. */
static struct fixture source_still(void)
{
	struct fixture f = source_in_memory();

	stream_is(&f, MIG_STREAM_COMPLETED);
	assert_int_equal(phase(&f), VM_LINK_MIG_STATE);
	read_status(&f, MIG_RUNSTATE_POSTMIGRATE);
	if (f.s.may_run)
		read_status(&f, MIG_RUNSTATE_POSTMIGRATE);
	return f;
}

static struct fixture source_asked(void)
{
	struct fixture f = source_still();

	answer(&f, MIG_COMMAND_RETURN_STORAGE);
	hear(&f, MIG_MESSAGE_LOADED);
	assert_int_equal(phase(&f), VM_LINK_MIG_HANDLE);
	return f;
}

/* Answers what a rollback wants to know. */
static void roll_back(struct fixture *f, enum mig_stream stream, enum mig_runstate run)
{
	answer(f, MIG_COMMAND_MIGRATE_CANCEL);
	stream_is(f, stream);
	read_status(f, run);
	if (f->s.pending[MIG_COMMAND_QUERY_STATUS].seq)
		read_status(f, run);
}

static void a_source_asks_when_all_is_proven(void **state)
{
	struct fixture f = source_still();

	(void)state;
	assert_int_equal(phase(&f), VM_LINK_MIG_STATE);
	answer(&f, MIG_COMMAND_RETURN_STORAGE);
	assert_int_equal(phase(&f), VM_LINK_MIG_STATE);
	hear(&f, MIG_MESSAGE_LOADED);
	assert_int_equal(phase(&f), VM_LINK_MIG_HANDLE);
	assert_true(says(&f, MIG_MESSAGE_INACTIVE));
	assert_int_equal(told(&f), VM_LINK_HALTED);
}

static void completed_without_postmigrate_is_not_believed(void **state)
{
	struct fixture f = source_in_memory();

	(void)state;
	hear(&f, MIG_MESSAGE_LOADED);
	stream_is(&f, MIG_STREAM_COMPLETED);
	read_status(&f, MIG_RUNSTATE_FINISH_MIGRATE);
	read_status(&f, MIG_RUNSTATE_FINISH_MIGRATE);
	assert_null(command(&f, MIG_COMMAND_RETURN_STORAGE));
	assert_int_equal(phase(&f), VM_LINK_MIG_STATE);
}

static void storage_that_is_not_returned_ends_the_migration(void **state)
{
	struct fixture f = source_still();

	(void)state;
	refuse(&f, MIG_COMMAND_RETURN_STORAGE);
	assert_true(says(&f, MIG_MESSAGE_ABORT));
	assert_int_equal(phase(&f), VM_LINK_MIG_FAILED);
	read_status(&f, MIG_RUNSTATE_POSTMIGRATE);
	assert_non_null(command(&f, MIG_COMMAND_CONT));
}

static void a_cancel_in_memory_ends_with_the_source_running(void **state)
{
	struct fixture f = source_in_memory();

	(void)state;
	f.state.migration.is_cancelled = true;
	tell_state(&f);
	assert_true(says(&f, MIG_MESSAGE_ABORT));
	roll_back(&f, MIG_STREAM_CANCELLED, MIG_RUNSTATE_RUNNING);
	assert_int_equal(phase(&f), VM_LINK_MIG_CANCELLED);
	assert_int_equal(told(&f), VM_LINK_RUNNING);
}

static void a_cancel_that_comes_too_late_for_qemu_resumes_from_postmigrate(void **state)
{
	struct fixture f = source_in_memory();

	(void)state;
	f.state.migration.is_cancelled = true;
	tell_state(&f);
	roll_back(&f, MIG_STREAM_COMPLETED, MIG_RUNSTATE_POSTMIGRATE);
	assert_int_equal(phase(&f), VM_LINK_MIG_CANCELLED);
	assert_int_equal(f.s.pending[MIG_COMMAND_CONT].seq, f.s.seq);
}

static void a_cancel_is_repeated_until_qemu_is_at_an_end(void **state)
{
	struct fixture f = source_in_memory();

	(void)state;
	f.state.migration.is_cancelled = true;
	tell_state(&f);
	answer(&f, MIG_COMMAND_MIGRATE_CANCEL);
	stream_is(&f, MIG_STREAM_ACTIVE);
	pass(&f, config.retry_ms);
	assert_non_null(command(&f, MIG_COMMAND_MIGRATE_CANCEL));
	assert_int_equal(phase(&f), VM_LINK_MIG_STATE);
}

static void a_cancel_before_anything_was_given_is_over_at_once(void **state)
{
	struct fixture f = running();

	(void)state;
	begin(&f, VM_LINK_SOURCE);
	f.state.migration.is_cancelled = true;
	tell_state(&f);
	assert_int_equal(phase(&f), VM_LINK_MIG_CANCELLED);
	assert_null(command(&f, MIG_COMMAND_MIGRATE_CANCEL));
}

static void all_failed_checks_of_both_sides_are_named(void **state)
{
	struct fixture f = running();
	struct mig_message ready = {.type = MIG_MESSAGE_READY,
				    .ready.failed = 1u << MIG_CHECK_CPU | 1u << MIG_CHECK_NODE};
	struct mig_event ev;

	(void)state;
	begin(&f, VM_LINK_SOURCE);
	channel_event(&f, MIG_EV_CHANNEL_OPEN, 0);
	hear_message(&f, &ready);
	ev = answer_of(&f, MIG_COMMAND_CHECK);
	ev.answer.failed = 1u << MIG_CHECK_VOLUME;
	step(&f, &ev);
	assert_int_equal(phase(&f), VM_LINK_MIG_FAILED);
	assert_non_null(strstr(f.s.told.migration.text, mig_check_text(MIG_CHECK_CPU)));
	assert_non_null(strstr(f.s.told.migration.text, "source: a volume"));
	assert_int_equal(told(&f), VM_LINK_RUNNING);
}

static void a_connection_is_tried_until_the_phase_is_over(void **state)
{
	struct fixture f = running();

	(void)state;
	begin(&f, VM_LINK_SOURCE);
	channel_event(&f, MIG_EV_CHANNEL_LOST, 0);
	pass(&f, config.retry_ms);
	assert_non_null(action(&f, MIG_DO_CONNECT));
	channel_event(&f, MIG_EV_CHANNEL_LOST, 0);
	pass(&f, config.check_ms);
	assert_int_equal(phase(&f), VM_LINK_MIG_FAILED);
	assert_non_null(strstr(f.s.told.migration.text, "phase check"));
}

static void each_trouble_before_the_request_has_its_name(void **state)
{
	struct fixture f = source_in_memory();

	(void)state;
	channel_event(&f, MIG_EV_CHANNEL_LOST, 0);
	assert_int_equal(f.s.session.reason, MIG_REASON_CHANNEL_LOST);
	f = source_in_memory();
	hear(&f, MIG_MESSAGE_ABORT);
	assert_int_equal(f.s.session.reason, MIG_REASON_PEER_ABORT);
	f = source_in_memory();
	stream_is(&f, MIG_STREAM_FAILED);
	assert_int_equal(f.s.session.reason, MIG_REASON_QEMU_FAILED);
	f = source_in_memory();
	pass(&f, config.silence_ms);
	assert_int_equal(f.s.session.reason, MIG_REASON_PEER_SILENT);
	f = source_in_memory();
	tick(&f, LEASE_MS - 1500);
	hear(&f, MIG_MESSAGE_HEARTBEAT);
	tick(&f, 1500);
	assert_int_equal(f.s.session.reason, MIG_REASON_NO_LEASE);
	f = source_in_memory();
	f.state.migration.is_peer_dead = true;
	tell_state(&f);
	assert_int_equal(f.s.session.reason, MIG_REASON_PEER_DEAD);
	f = source_in_memory();
	f.state.migration.id = 0;
	tell_state(&f);
	assert_int_equal(f.s.session.reason, MIG_REASON_OVER);
	f = source_in_memory();
	qemu_ends(&f);
	assert_int_equal(f.s.session.reason, MIG_REASON_QEMU_ENDED);
	assert_int_equal(phase(&f), VM_LINK_MIG_FAILED);
	f = source_in_memory();
	read_status(&f, MIG_RUNSTATE_SHUTDOWN);
	assert_int_equal(f.s.session.reason, MIG_REASON_GUEST);
	f = source_in_memory();
	f.state.is_stop = true;
	tell_state(&f);
	assert_int_equal(f.s.session.reason, MIG_REASON_STOPPING);
	f = source_in_memory();
	assert_int_equal(hear(&f, MIG_MESSAGE_INACTIVE), -EPROTO);
	assert_int_equal(f.s.session.reason, MIG_REASON_PROTOCOL);
}

static void a_stream_without_a_byte_is_given_up(void **state)
{
	struct fixture f = source_in_memory();

	(void)state;
	for (uint64_t ms = 0; ms <= config.stall_ms; ms += 1000) {
		hear(&f, MIG_MESSAGE_HEARTBEAT);
		pass(&f, 1000);
		if (f.s.session.step == MIG_STEP_ROLLBACK)
			break;
		stream_is(&f, MIG_STREAM_ACTIVE);
	}
	assert_int_equal(f.s.session.reason, MIG_REASON_STALLED);
}

static void memory_that_does_not_shrink_is_given_up_after_n_passes(void **state)
{
	struct fixture f = source_in_memory();
	struct mig_numbers n = {.stream = MIG_STREAM_ACTIVE, .remaining_bytes = 1000};

	(void)state;
	for (n.passes = 1; n.passes < 2 + config.stuck_passes; n.passes++) {
		n.sent_bytes += 1000;
		read_stream(&f, &n);
		assert_int_equal(f.s.session.reason, MIG_REASON_NONE);
	}
	read_stream(&f, &n);
	assert_int_equal(f.s.session.reason, MIG_REASON_NO_CONVERGENCE);
}

static void memory_that_shrinks_is_given_all_the_passes_it_needs(void **state)
{
	struct fixture f = source_in_memory();
	struct mig_numbers n = {.stream = MIG_STREAM_ACTIVE, .remaining_bytes = 1000000};

	(void)state;
	for (n.passes = 1; n.passes < 10 * config.stuck_passes; n.passes++) {
		if (n.passes % config.stuck_passes == 0)
			n.remaining_bytes = n.remaining_bytes * 9 / 10;
		read_stream(&f, &n);
		assert_int_equal(f.s.session.reason, MIG_REASON_NONE);
	}
}

static void a_state_that_lasts_too_long_is_rolled_back(void **state)
{
	struct fixture f = source_still();

	(void)state;
	for (uint64_t ms = 0; ms < config.state_ms; ms += 1000) {
		assert_int_equal(f.s.session.step, MIG_STEP_STATE);
		hear(&f, MIG_MESSAGE_HEARTBEAT);
		pass(&f, 1000);
	}
	assert_int_equal(f.s.session.reason, MIG_REASON_STATE_DEADLINE);
	assert_int_equal(phase(&f), VM_LINK_MIG_FAILED);
}

static void a_failing_migration_does_not_count_as_halted(void **state)
{
	struct fixture f = source_in_memory();

	(void)state;
	stream_is(&f, MIG_STREAM_DEVICE);
	tick(&f, config.silence_ms - 1000);
	hear(&f, MIG_MESSAGE_HEARTBEAT);
	tick(&f, LEASE_MS);
	answer(&f, MIG_COMMAND_STOP);
	read_status(&f, MIG_RUNSTATE_FINISH_MIGRATE);
	assert_true(f.s.may_run);
	assert_int_not_equal(told(&f), VM_LINK_HALTED);
	roll_back(&f, MIG_STREAM_CANCELLED, MIG_RUNSTATE_RUNNING);
	tick(&f, config.poll_ms);
	assert_non_null(command(&f, MIG_COMMAND_STOP));
}

static void a_source_that_has_asked_resumes_for_no_other_reason(void **state)
{
	struct fixture f = source_asked();

	(void)state;
	hear(&f, MIG_MESSAGE_ABORT);
	channel_event(&f, MIG_EV_CHANNEL_LOST, 0);
	pass(&f, 10 * (uint64_t)config.state_ms);
	read_status(&f, MIG_RUNSTATE_POSTMIGRATE);
	assert_null(command(&f, MIG_COMMAND_CONT));
	assert_int_equal(phase(&f), VM_LINK_MIG_HANDLE);
	/* What is not fresh may be from before the migration. */
	f.state.is_fresh = false;
	f.state.migration.id = 0;
	tell_state(&f);
	assert_int_equal(phase(&f), VM_LINK_MIG_HANDLE);
}

static void a_source_that_has_asked_resumes_when_cancelled_and_the_lock_is_its_own(void **state)
{
	struct fixture f = source_asked();

	(void)state;
	f.state.migration.is_cancelled = true;
	tell_state(&f);
	assert_int_equal(phase(&f), VM_LINK_MIG_CANCELLED);
	assert_true(says(&f, MIG_MESSAGE_ABORT));
	read_status(&f, MIG_RUNSTATE_POSTMIGRATE);
	assert_non_null(command(&f, MIG_COMMAND_CONT));
}

static void a_source_that_has_asked_resumes_when_it_is_over_or_the_other_dead(void **state)
{
	struct fixture f = source_asked();

	(void)state;
	f.state.migration.id = 0;
	tell_state(&f);
	assert_int_equal(f.s.session.step, MIG_STEP_NONE);
	read_status(&f, MIG_RUNSTATE_POSTMIGRATE);
	assert_non_null(command(&f, MIG_COMMAND_CONT));
	f = source_asked();
	f.state.migration.is_peer_dead = true;
	tell_state(&f);
	assert_int_equal(phase(&f), VM_LINK_MIG_FAILED);
}

static void a_qemu_that_resumes_by_itself_after_the_request_is_halted(void **state)
{
	struct fixture f = source_asked();

	(void)state;
	qemu_event(&f, MIG_QEMU_RESUME);
	assert_non_null(command(&f, MIG_COMMAND_STOP));
	pass(&f, config.halt_ms);
	assert_non_null(action(&f, MIG_DO_KILL));
}

static void a_source_without_the_lock_keeps_its_copy_until_the_other_runs(void **state)
{
	struct fixture f = source_asked();

	(void)state;
	f.state.has_lock = false;
	tell_state(&f);
	assert_int_equal(phase(&f), VM_LINK_MIG_ONLINE);
	f.state.migration.is_cancelled = true; /* too late */
	tell_state(&f);
	assert_int_equal(phase(&f), VM_LINK_MIG_ONLINE);
	f.now_ms += 40;
	hear(&f, MIG_MESSAGE_RUNNING);
	assert_int_equal(phase(&f), VM_LINK_MIG_DONE);
	assert_true(f.s.told.migration.downtime_ms >= 40);
	assert_true(says(&f, MIG_MESSAGE_BYE));
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
	qemu_ends(&f);
	assert_int_equal(told(&f), VM_LINK_STOPPED);
	assert_non_null(action(&f, MIG_DO_END));
}

static void a_source_quits_when_the_migration_is_over_and_the_lock_is_not_its_own(void **state)
{
	struct fixture f = source_asked();

	(void)state;
	f.state.has_lock = false;
	f.state.migration.id = 0;
	tell_state(&f);
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
}

static void after_the_transfer_only_a_dead_destination_and_the_lock_bring_it_back(void **state)
{
	struct fixture f = source_asked();

	(void)state;
	f.state.has_lock = false;
	tell_state(&f);
	f.state.migration.is_peer_dead = true;
	tell_state(&f);
	assert_int_equal(phase(&f), VM_LINK_MIG_ONLINE);
	f.state.migration.is_peer_dead = false;
	grant(&f);
	assert_int_equal(phase(&f), VM_LINK_MIG_ONLINE);
	f.state.migration.is_peer_dead = true;
	tell_state(&f);
	assert_int_equal(phase(&f), VM_LINK_MIG_FAILED);
	read_status(&f, MIG_RUNSTATE_POSTMIGRATE);
	assert_non_null(command(&f, MIG_COMMAND_CONT));
}

static void a_copy_whose_destination_ran_never_comes_back(void **state)
{
	struct fixture f = source_asked();

	(void)state;
	hear(&f, MIG_MESSAGE_RUNNING);
	f.state.migration.is_peer_dead = true;
	tell_state(&f);
	read_status(&f, MIG_RUNSTATE_POSTMIGRATE);
	assert_null(command(&f, MIG_COMMAND_CONT));
	assert_int_equal(phase(&f), VM_LINK_MIG_HANDLE);
}

static void a_stop_in_doubt_waits_its_time_and_then_quits(void **state)
{
	struct fixture f = source_asked();

	(void)state;
	f.state.is_stop = true;
	f.state.stop_ms = 3000;
	tell_state(&f);
	assert_null(command(&f, MIG_COMMAND_QUIT));
	pass(&f, 3000);
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
}

static void a_vm_that_does_not_run_is_not_migrated(void **state)
{
	struct fixture f = fresh(false);

	(void)state;
	f.state.is_paused = true;
	begin(&f, VM_LINK_SOURCE);
	assert_int_equal(phase(&f), VM_LINK_MIG_FAILED);
	assert_int_equal(f.s.session.reason, MIG_REASON_GUEST);
}

static void the_next_migration_begins_when_the_last_is_over(void **state)
{
	struct fixture f = source_in_memory();

	(void)state;
	hear(&f, MIG_MESSAGE_ABORT);
	f.state.migration.id = 8;
	tell_state(&f);
	assert_int_equal(f.s.session.id, 7);
	roll_back(&f, MIG_STREAM_CANCELLED, MIG_RUNSTATE_RUNNING);
	assert_int_equal(f.s.session.id, 8);
	assert_int_equal(phase(&f), VM_LINK_MIG_CHECK);
}

static void a_part_that_is_not_ours_is_refused(void **state)
{
	struct fixture f = running();

	(void)state;
	begin(&f, VM_LINK_DESTINATION);
	assert_int_equal(phase(&f), VM_LINK_MIG_FAILED);
	assert_int_equal(told(&f), VM_LINK_RUNNING);
}

static void nothing_is_heard_of_a_channel_that_was_closed(void **state)
{
	struct fixture f = source_in_memory();
	uint32_t old = f.s.session.channel.number;
	struct mig_event ev = {.type = MIG_EV_CHANNEL_LOST};

	(void)state;
	hear(&f, MIG_MESSAGE_ABORT);
	roll_back(&f, MIG_STREAM_CANCELLED, MIG_RUNSTATE_RUNNING);
	f.state.migration.id = 8;
	tell_state(&f);
	ev.channel = old;
	step(&f, &ev);
	assert_int_equal(f.s.session.channel.state, MIG_CHANNEL_OPENING);
}

/* ---- destination */

static struct mig_message hello(void)
{
	struct mig_message m = {.type = MIG_MESSAGE_HELLO};

	m.hello = (struct mig_msg_hello){.protocol = MIG_PROTOCOL, .migration = 7};
	m.hello.ram_bytes = 1 << 20;
	return m;
}

static struct fixture destination_listens(void)
{
	struct fixture f = fresh(true);

	begin(&f, VM_LINK_DESTINATION);
	channel_event(&f, MIG_EV_CHANNEL_LISTENING, 5000);
	assert_int_equal(f.s.told.migration.port, 5000);
	channel_event(&f, MIG_EV_CHANNEL_OPEN, 0);
	return f;
}

static struct fixture destination_in_memory(void)
{
	struct fixture f = destination_listens();
	struct mig_message m = hello();
	struct mig_event ev;

	hear_message(&f, &m);
	answer(&f, MIG_COMMAND_CHECK);
	answer(&f, MIG_COMMAND_SETTINGS);
	ev = answer_of(&f, MIG_COMMAND_MIGRATE_INCOMING);
	ev.answer.port = 6000;
	step(&f, &ev);
	assert_true(says(&f, MIG_MESSAGE_READY));
	hear(&f, MIG_MESSAGE_START);
	assert_int_equal(phase(&f), VM_LINK_MIG_MEMORY);
	return f;
}

static struct fixture destination_loaded(void)
{
	struct fixture f = destination_in_memory();

	stream_is(&f, MIG_STREAM_COMPLETED);
	read_status(&f, MIG_RUNSTATE_PAUSED);
	assert_true(says(&f, MIG_MESSAGE_LOADED));
	return f;
}

static void loaded_is_said_when_qemu_is_paused_after_completed(void **state)
{
	struct fixture f = destination_in_memory();

	(void)state;
	stream_is(&f, MIG_STREAM_COMPLETED);
	read_status(&f, MIG_RUNSTATE_INMIGRATE);
	assert_false(says(&f, MIG_MESSAGE_LOADED));
	read_status(&f, MIG_RUNSTATE_PAUSED);
	assert_true(says(&f, MIG_MESSAGE_LOADED));
	assert_int_equal(told(&f), VM_LINK_INCOMING);
}

static void a_destination_runs_when_the_lock_is_its_own(void **state)
{
	struct fixture f = destination_loaded();

	(void)state;
	hear(&f, MIG_MESSAGE_INACTIVE);
	assert_null(command(&f, MIG_COMMAND_CONT));
	grant(&f);
	assert_non_null(command(&f, MIG_COMMAND_CONT)); /* at once: it is downtime */
	assert_false(says(&f, MIG_MESSAGE_RUNNING));
	answer(&f, MIG_COMMAND_CONT);
	read_status(&f, MIG_RUNSTATE_RUNNING);
	assert_true(says(&f, MIG_MESSAGE_RUNNING));
	assert_non_null(command(&f, MIG_COMMAND_ANNOUNCE));
	assert_int_equal(phase(&f), VM_LINK_MIG_DONE);
	assert_int_equal(told(&f), VM_LINK_RUNNING);
}

static void a_destination_that_is_not_loaded_does_not_run_with_the_lock(void **state)
{
	struct fixture f = destination_in_memory();

	(void)state;
	grant(&f);
	read_status(&f, MIG_RUNSTATE_PAUSED);
	assert_null(command(&f, MIG_COMMAND_CONT));
	assert_int_equal(told(&f), VM_LINK_INCOMING);
}

static void a_lock_that_is_not_fresh_or_without_lease_runs_nothing(void **state)
{
	struct fixture f = destination_loaded();

	(void)state;
	f.state.has_lock = true;
	f.state.is_fresh = false;
	f.state.lease_until_ms = f.now_ms + LEASE_MS;
	tell_state(&f);
	assert_int_equal(told(&f), VM_LINK_INCOMING);
	f.state.is_fresh = true;
	f.state.lease_until_ms = f.now_ms;
	tell_state(&f);
	read_status(&f, MIG_RUNSTATE_PAUSED);
	assert_null(command(&f, MIG_COMMAND_CONT));
	assert_int_equal(told(&f), VM_LINK_HALTED);
}

static void a_paused_vm_arrives_paused(void **state)
{
	struct fixture f = destination_loaded();

	(void)state;
	f.state.is_paused = true;
	grant(&f);
	assert_null(command(&f, MIG_COMMAND_CONT));
	assert_true(says(&f, MIG_MESSAGE_RUNNING));
	assert_int_equal(told(&f), VM_LINK_PAUSED);
}

static void a_destination_in_doubt_waits_for_the_lock(void **state)
{
	struct fixture f = destination_loaded();

	(void)state;
	channel_event(&f, MIG_EV_CHANNEL_LOST, 0);
	for (int i = 0; i < 100; i++)
		tick(&f, 10000);
	assert_int_equal(f.s.session.step, MIG_STEP_LOADED);
	assert_string_equal(f.s.told.migration.text, "waits for the lock");
	grant(&f);
	assert_int_equal(phase(&f), VM_LINK_MIG_ONLINE);
}

static void a_loaded_destination_quits_on_cancel_end_death_or_abort(void **state)
{
	struct fixture f = destination_loaded();

	(void)state;
	f.state.migration.is_cancelled = true;
	tell_state(&f);
	assert_int_equal(phase(&f), VM_LINK_MIG_CANCELLED);
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
	qemu_ends(&f);
	assert_non_null(action(&f, MIG_DO_END));
	f = destination_loaded();
	f.state.migration.id = 0;
	tell_state(&f);
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
	f = destination_loaded();
	f.state.migration.is_peer_dead = true;
	tell_state(&f);
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
	f = destination_loaded();
	hear(&f, MIG_MESSAGE_ABORT);
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
}

static void a_cancel_after_the_transfer_is_ignored(void **state)
{
	struct fixture f = destination_loaded();

	(void)state;
	f.state.migration.is_cancelled = true;
	grant(&f);
	hear(&f, MIG_MESSAGE_ABORT);
	assert_null(command(&f, MIG_COMMAND_QUIT));
	answer(&f, MIG_COMMAND_CONT);
	read_status(&f, MIG_RUNSTATE_RUNNING);
	assert_int_equal(phase(&f), VM_LINK_MIG_DONE);
}

static void a_destination_gives_up_before_all_is_loaded_for_any_reason(void **state)
{
	struct fixture f = destination_in_memory();

	(void)state;
	channel_event(&f, MIG_EV_CHANNEL_LOST, 0);
	assert_int_equal(phase(&f), VM_LINK_MIG_FAILED);
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
	f = destination_in_memory();
	tick(&f, config.silence_ms);
	assert_int_equal(f.s.session.reason, MIG_REASON_PEER_SILENT);
	f = destination_in_memory();
	stream_is(&f, MIG_STREAM_FAILED);
	assert_int_equal(f.s.session.reason, MIG_REASON_QEMU_FAILED);
	f = destination_in_memory();
	qemu_ends(&f);
	assert_int_equal(f.s.session.reason, MIG_REASON_QEMU_ENDED);
	assert_true(says(&f, MIG_MESSAGE_ABORT));
	assert_non_null(action(&f, MIG_DO_END));
	f = destination_listens();
	tick(&f, config.silence_ms - 1);
	hear(&f, MIG_MESSAGE_HEARTBEAT);
	assert_int_equal(phase(&f), VM_LINK_MIG_CHECK);
}

static void a_destination_that_dies_loaded_says_so(void **state)
{
	struct fixture f = destination_loaded();

	(void)state;
	qemu_ends(&f);
	assert_true(says(&f, MIG_MESSAGE_ABORT));
	assert_int_equal(phase(&f), VM_LINK_MIG_FAILED);
	assert_non_null(action(&f, MIG_DO_END));
}

static void a_destination_lists_what_does_not_fit(void **state)
{
	struct fixture f = destination_listens();
	struct mig_message m = hello();
	struct mig_event ev;

	(void)state;
	m.hello.definition.byte[3] = m.hello.vm.byte[5] = 1;
	hear_message(&f, &m);
	ev = answer_of(&f, MIG_COMMAND_CHECK);
	ev.answer.failed = 1u << MIG_CHECK_MEMORY;
	step(&f, &ev);
	assert_int_equal(f.s.session.ready.failed,
			 1u << MIG_CHECK_MEMORY | 1u << MIG_CHECK_DEFINITION | 1u << MIG_CHECK_VM);
	assert_true(says(&f, MIG_MESSAGE_READY));
	assert_non_null(command(&f, MIG_COMMAND_QUIT));
}

static void another_version_or_another_migration_is_refused(void **state)
{
	struct fixture f = destination_listens();
	struct mig_message m = hello();

	(void)state;
	m.hello.protocol = MIG_PROTOCOL + 1;
	hear_message(&f, &m);
	assert_int_equal(f.s.session.reason, MIG_REASON_VERSION);
	f = destination_listens();
	m = hello();
	m.hello.migration = 6;
	assert_int_equal(hear_message(&f, &m), -EPROTO);
}

static void what_has_arrived_is_a_vm_like_any_other(void **state)
{
	struct fixture f = destination_loaded();

	(void)state;
	grant(&f);
	answer(&f, MIG_COMMAND_CONT);
	read_status(&f, MIG_RUNSTATE_RUNNING);
	hear(&f, MIG_MESSAGE_BYE);
	f.state.migration = (struct vm_link_migration){.id = 9, .role = VM_LINK_SOURCE};
	pass(&f, 10);
	assert_int_equal(phase(&f), VM_LINK_MIG_CHECK);
	qemu_ends(&f);
	assert_int_equal(told(&f), VM_LINK_CRASHED);
	assert_null(action(&f, MIG_DO_END));
}

static void what_arrives_and_runs_by_itself_is_halted(void **state)
{
	struct fixture f = destination_in_memory();

	(void)state;
	qemu_event(&f, MIG_QEMU_RESUME);
	assert_non_null(command(&f, MIG_COMMAND_STOP));
}

static void a_migration_and_a_cont_that_time_out_have_an_end(void **state)
{
	struct fixture f = fresh(false);

	(void)state;
	grant(&f);
	pass(&f, config.command_ms);
	read_status(&f, MIG_RUNSTATE_PAUSED);
	pass(&f, config.retry_ms);
	answer(&f, MIG_COMMAND_CONT);
	read_status(&f, MIG_RUNSTATE_RUNNING);
	begin(&f, VM_LINK_SOURCE);
	pass(&f, config.check_ms);
	assert_int_equal(f.s.session.reason, MIG_REASON_CHECK_DEADLINE);
	assert_non_null(strstr(f.s.told.migration.text, "check"));
}

static void an_answer_that_comes_too_late_is_not_heard(void **state)
{
	struct fixture f = fresh(false);
	struct mig_event ev;

	(void)state;
	grant(&f);
	ev = answer_of(&f, MIG_COMMAND_CONT);
	pass(&f, config.command_ms);
	step(&f, &ev);
	assert_string_equal(f.s.told.text, "QEMU does not answer");
}

static void a_powerdown_that_is_refused_is_given_again(void **state)
{
	struct fixture f = running();

	(void)state;
	f.state.is_stop = true;
	f.state.stop_ms = 60000;
	tell_state(&f);
	refuse(&f, MIG_COMMAND_POWERDOWN);
	assert_non_null(command(&f, MIG_COMMAND_POWERDOWN));
}

static void messages_out_of_turn_break_the_channel(void **state)
{
	static const enum mig_message_type to_source[] = {MIG_MESSAGE_HELLO, MIG_MESSAGE_READY,
							  MIG_MESSAGE_START, MIG_MESSAGE_RUNNING,
							  MIG_MESSAGE_BYE};
	static const enum mig_message_type to_destination[] = {
		MIG_MESSAGE_START, MIG_MESSAGE_LOADED, MIG_MESSAGE_INACTIVE, MIG_MESSAGE_RUNNING,
		MIG_MESSAGE_READY};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < sizeof(to_source) / sizeof(to_source[0]); i++) {
		f = source_in_memory();
		assert_int_equal(hear(&f, to_source[i]), -EPROTO);
		assert_non_null(action(&f, MIG_DO_CLOSE));
		assert_int_equal(hear(&f, MIG_MESSAGE_HEARTBEAT), 0);
	}
	for (size_t i = 0; i < sizeof(to_destination) / sizeof(to_destination[0]); i++) {
		f = destination_listens();
		assert_int_equal(hear(&f, to_destination[i]), -EPROTO);
		assert_int_equal(f.s.session.reason, MIG_REASON_PROTOCOL);
	}
	f = running();
	begin(&f, VM_LINK_SOURCE);
	channel_event(&f, MIG_EV_CHANNEL_OPEN, 0);
	assert_int_equal(hear(&f, MIG_MESSAGE_LOADED), -EPROTO);
}

static void nothing_happens_after_the_end(void **state)
{
	struct fixture f = fresh(true);

	(void)state;
	qemu_ends(&f);
	assert_int_equal(told(&f), VM_LINK_FAILED);
	assert_non_null(action(&f, MIG_DO_END));
	grant(&f);
	assert_int_equal(f.out.count, 0);
}

/* Each state that is spoilt is named. */
static void broken_invariants_are_named(void **state)
{
	struct fixture f = source_asked();
	struct mig_state good = f.s;

	(void)state;
#define BROKEN(change)                                                                             \
	do {                                                                                       \
		f.s = good;                                                                        \
		change;                                                                            \
		assert_non_null(mig_check(&f.s));                                                  \
	} while (0)
	BROKEN(f.s.session.step = MIG_STEP_MAX);
	BROKEN(f.s.session.id = 0);
	BROKEN(f.s.session.role = VM_LINK_NO_ROLE);
	BROKEN(f.s.session.role = VM_LINK_DESTINATION);
	BROKEN(f.s.session.step = MIG_STEP_ONLINE);
	BROKEN(f.s.session.is_loaded = false);
	BROKEN(f.s.session.is_returned = false);
	BROKEN(f.s.pending[MIG_COMMAND_CONT].seq = 1);
	BROKEN(f.s.pending[MIG_COMMAND_QUERY_STATUS].seq = f.s.seq + 1);
	BROKEN(f.s.life = MIG_LIFE_MAX);
	BROKEN(f.s.may_run = true);
	BROKEN(f.s.halt_ms = 5);
	BROKEN(f.s.life = MIG_LIFE_GONE);
	BROKEN(f.s.state.is_stop = true);
	good = destination_loaded().s;
	BROKEN(f.s.session.step = MIG_STEP_ONLINE);
	BROKEN(f.s.pending[MIG_COMMAND_CONT].seq = 1);
	BROKEN(f.s.session = (struct mig_session){.channel.state = MIG_CHANNEL_OPEN});
#undef BROKEN
}

/* ---- words and bytes */

static void qemus_words_are_read_and_others_are_unknown(void **state)
{
	(void)state;
	assert_int_equal(mig_runstate_read("finish-migrate"), MIG_RUNSTATE_FINISH_MIGRATE);
	assert_int_equal(mig_runstate_read("dancing"), MIG_RUNSTATE_UNKNOWN);
	assert_int_equal(mig_stream_read("wait-unplug"), MIG_STREAM_WAIT_UNPLUG);
	assert_int_equal(mig_stream_read("colo"), MIG_STREAM_UNKNOWN);
	assert_string_equal(mig_runstate_word(MIG_RUNSTATE_IO_ERROR), "io-error");
	assert_string_equal(mig_stream_word(MIG_STREAM_DEVICE), "device");
	assert_string_equal(mig_command_word(MIG_COMMAND_MIGRATE_CANCEL), "migrate_cancel");
	assert_string_equal(mig_command_word(MIG_COMMAND_RETURN_STORAGE), "return-storage");
	assert_string_equal(mig_event_name(MIG_EV_PEER), "PEER");
	assert_string_equal(mig_action_name(MIG_DO_TELL), "TELL");
	for (int i = 0; i < MIG_STEP_MAX; i++)
		assert_string_not_equal(mig_step_text((enum mig_step_name)i), "?");
	for (int i = 1; i < MIG_REASON_MAX; i++)
		assert_true(strlen(mig_reason_text((enum mig_reason)i)) > 2);
}

/* Each byte of a message counts, and what decodes encodes to the same bytes. */
static void messages_survive_their_bytes(void **state)
{
	uint8_t buf[MIG_FRAME_MAX], again[MIG_FRAME_MAX];
	struct mig_message m, back;
	struct prng rng;
	size_t len, len2;

	(void)state;
	prng_init(&rng, 1);
	for (int type = 1; type < MIG_MESSAGE_MAX; type++) {
		memset(&m, 0, sizeof(m));
		m.type = (enum mig_message_type)type;
		if (type == MIG_MESSAGE_HELLO) {
			m = hello();
			m.hello.vm.byte[0] = (uint8_t)prng_next(&rng);
			snprintf(m.hello.qemu, sizeof(m.hello.qemu), "7.2.19");
		} else if (type == MIG_MESSAGE_READY) {
			m.ready = (struct mig_msg_ready){.failed = 5, .port = 77};
		} else if (type == MIG_MESSAGE_ABORT) {
			m.abort.reason = MIG_REASON_STALLED;
			snprintf(m.abort.text, sizeof(m.abort.text), "why");
		}
		assert_int_equal(mig_message_encode(&m, buf, sizeof(buf), &len), 0);
		assert_int_equal(
			mig_message_decode(buf + MIG_FRAME_PREFIX, len - MIG_FRAME_PREFIX, &back),
			0);
		assert_int_equal(mig_message_encode(&back, again, sizeof(again), &len2), 0);
		assert_int_equal(len, len2);
		assert_memory_equal(buf, again, len);
		for (size_t cut = 0; cut < len - MIG_FRAME_PREFIX; cut++)
			assert_int_equal(mig_message_decode(buf + MIG_FRAME_PREFIX, cut, &back),
					 -EBADMSG);
		assert_int_equal(mig_message_encode(&m, buf, len - 1, &len2), -ENOBUFS);
	}
}

static void bad_messages_are_refused(void **state)
{
	uint8_t reason[] = {7, 0, MIG_REASON_MAX, 0, 0};
	uint8_t checks[2 + 4 + 2 + MIG_KEY] = {2, 0, 0, 0, 0, 0x80};
	uint8_t none[] = {0, 0}, retired[] = {MIG_MESSAGE_MAX, 0}, longer[] = {3, 0, 1};
	struct mig_message m;

	(void)state;
	assert_int_equal(mig_message_decode(reason, sizeof(reason), &m), -EBADMSG);
	assert_int_equal(mig_message_decode(checks, sizeof(checks), &m), -EBADMSG);
	assert_int_equal(mig_message_decode(none, sizeof(none), &m), -EBADMSG);
	assert_int_equal(mig_message_decode(retired, sizeof(retired), &m), -EBADMSG);
	assert_int_equal(mig_message_decode(longer, sizeof(longer), &m), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vm_waits_for_its_lock_before_it_runs),
		cmocka_unit_test(a_state_that_is_not_fresh_begins_nothing),
		cmocka_unit_test(
			a_state_that_is_not_fresh_ends_nothing_that_it_does_not_contradict),
		cmocka_unit_test(a_lease_that_is_over_begins_nothing),
		cmocka_unit_test(the_end_of_the_lease_is_a_deadline_and_stops_the_vcpus),
		cmocka_unit_test(halted_is_told_when_it_was_read_back_and_not_before),
		cmocka_unit_test(a_stop_without_effect_is_repeated),
		cmocka_unit_test(an_answer_from_before_the_last_cont_proves_nothing),
		cmocka_unit_test(a_qemu_that_does_not_halt_is_killed_in_time),
		cmocka_unit_test(a_stop_that_is_heard_of_is_proof_while_qemu_waits_for_its_disks),
		cmocka_unit_test(a_stop_before_the_last_cont_was_carried_out_proves_nothing),
		cmocka_unit_test(a_process_that_slept_past_the_end_kills_at_once),
		cmocka_unit_test(a_lease_that_is_taken_back_counts_from_now),
		cmocka_unit_test(it_goes_on_when_the_lease_is_back_and_a_fresh_state_says_so),
		cmocka_unit_test(a_lost_lock_halts_for_good),
		cmocka_unit_test(an_administrator_pauses_and_goes_on),
		cmocka_unit_test(a_failed_disk_is_tried_again_until_it_is_back),
		cmocka_unit_test(a_failed_disk_without_a_lease_is_halted_and_not_tried),
		cmocka_unit_test(a_stop_asks_the_guest_then_qemu_then_kills),
		cmocka_unit_test(a_guest_that_obeys_a_stop_is_over_at_once),
		cmocka_unit_test(a_vm_that_never_ran_or_lost_its_lock_is_not_asked),
		cmocka_unit_test(a_stop_while_qemu_starts_kills_it),
		cmocka_unit_test(a_guest_that_shuts_down_is_told_and_left_until_the_stop),
		cmocka_unit_test(a_qemu_that_ends_or_cannot_start_is_told),
		cmocka_unit_test(a_guest_that_panicked_is_told_and_not_resumed),
		cmocka_unit_test(a_qemu_that_does_not_answer_is_told_and_goes_on),
		cmocka_unit_test(a_cont_that_is_refused_is_repeated_later),
		cmocka_unit_test(a_source_asks_when_all_is_proven),
		cmocka_unit_test(completed_without_postmigrate_is_not_believed),
		cmocka_unit_test(storage_that_is_not_returned_ends_the_migration),
		cmocka_unit_test(a_cancel_in_memory_ends_with_the_source_running),
		cmocka_unit_test(a_cancel_that_comes_too_late_for_qemu_resumes_from_postmigrate),
		cmocka_unit_test(a_cancel_is_repeated_until_qemu_is_at_an_end),
		cmocka_unit_test(a_cancel_before_anything_was_given_is_over_at_once),
		cmocka_unit_test(all_failed_checks_of_both_sides_are_named),
		cmocka_unit_test(a_connection_is_tried_until_the_phase_is_over),
		cmocka_unit_test(each_trouble_before_the_request_has_its_name),
		cmocka_unit_test(a_stream_without_a_byte_is_given_up),
		cmocka_unit_test(memory_that_does_not_shrink_is_given_up_after_n_passes),
		cmocka_unit_test(memory_that_shrinks_is_given_all_the_passes_it_needs),
		cmocka_unit_test(a_state_that_lasts_too_long_is_rolled_back),
		cmocka_unit_test(a_failing_migration_does_not_count_as_halted),
		cmocka_unit_test(a_source_that_has_asked_resumes_for_no_other_reason),
		cmocka_unit_test(
			a_source_that_has_asked_resumes_when_cancelled_and_the_lock_is_its_own),
		cmocka_unit_test(a_source_that_has_asked_resumes_when_it_is_over_or_the_other_dead),
		cmocka_unit_test(a_qemu_that_resumes_by_itself_after_the_request_is_halted),
		cmocka_unit_test(a_source_without_the_lock_keeps_its_copy_until_the_other_runs),
		cmocka_unit_test(
			a_source_quits_when_the_migration_is_over_and_the_lock_is_not_its_own),
		cmocka_unit_test(
			after_the_transfer_only_a_dead_destination_and_the_lock_bring_it_back),
		cmocka_unit_test(a_copy_whose_destination_ran_never_comes_back),
		cmocka_unit_test(a_stop_in_doubt_waits_its_time_and_then_quits),
		cmocka_unit_test(a_vm_that_does_not_run_is_not_migrated),
		cmocka_unit_test(the_next_migration_begins_when_the_last_is_over),
		cmocka_unit_test(a_part_that_is_not_ours_is_refused),
		cmocka_unit_test(nothing_is_heard_of_a_channel_that_was_closed),
		cmocka_unit_test(loaded_is_said_when_qemu_is_paused_after_completed),
		cmocka_unit_test(a_destination_runs_when_the_lock_is_its_own),
		cmocka_unit_test(a_destination_that_is_not_loaded_does_not_run_with_the_lock),
		cmocka_unit_test(a_lock_that_is_not_fresh_or_without_lease_runs_nothing),
		cmocka_unit_test(a_paused_vm_arrives_paused),
		cmocka_unit_test(a_destination_in_doubt_waits_for_the_lock),
		cmocka_unit_test(a_loaded_destination_quits_on_cancel_end_death_or_abort),
		cmocka_unit_test(a_cancel_after_the_transfer_is_ignored),
		cmocka_unit_test(a_destination_gives_up_before_all_is_loaded_for_any_reason),
		cmocka_unit_test(a_destination_that_dies_loaded_says_so),
		cmocka_unit_test(a_destination_lists_what_does_not_fit),
		cmocka_unit_test(another_version_or_another_migration_is_refused),
		cmocka_unit_test(what_has_arrived_is_a_vm_like_any_other),
		cmocka_unit_test(what_arrives_and_runs_by_itself_is_halted),
		cmocka_unit_test(a_migration_and_a_cont_that_time_out_have_an_end),
		cmocka_unit_test(an_answer_that_comes_too_late_is_not_heard),
		cmocka_unit_test(a_powerdown_that_is_refused_is_given_again),
		cmocka_unit_test(messages_out_of_turn_break_the_channel),
		cmocka_unit_test(nothing_happens_after_the_end),
		cmocka_unit_test(broken_invariants_are_named),
		cmocka_unit_test(qemus_words_are_read_and_others_are_unknown),
		cmocka_unit_test(messages_survive_their_bytes),
		cmocka_unit_test(bad_messages_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
