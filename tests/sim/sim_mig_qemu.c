/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU 7.2 as it was seen: `completed` and not done, a cancel that is answered and comes too late,
 * a cut network that nobody notices, a migration that fails and sets the vCPUs going by itself, a
 * monitor that hangs while the vCPUs run on, `stop` answered and without effect for a while.
 */
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_mig_world.h"

#define STREAM_BYTES 1000
#define CHUNK_BYTES  150

static void tell(struct world *w, int h, enum mig_qemu_event event)
{
	sim_push(w, h, LINE_QMP, w->now_ms, MIG_EV_QEMU_EVENT)->qemu_event = event;
}

static void set_run(struct world *w, int h, enum mig_runstate run)
{
	struct qemu *q = &w->host[h].qemu;
	enum mig_qemu_event event;

	if (q->run == run)
		return;
	TRACE(w, "h%d: QEMU is %s", h, mig_runstate_word(run));
	event = run == MIG_RUNSTATE_RUNNING	 ? MIG_QEMU_RESUME
		: q->run == MIG_RUNSTATE_RUNNING ? MIG_QEMU_STOP
						 : MIG_QEMU_STATUS;
	q->run = run;
	if (run == MIG_RUNSTATE_RUNNING) {
		sim_oracle_run(w, h);
		q->has_run = true;
		q->is_disk_active = true;
	}
	tell(w, h, event);
}

static void set_stream(struct world *w, int h, enum mig_stream stream)
{
	TRACE(w, "h%d: QEMU's migration is %s", h, mig_stream_word(stream));
	w->host[h].qemu.stream = stream;
	tell(w, h, MIG_QEMU_MIGRATION);
}

void sim_qemu_start(struct world *w, int h, bool is_incoming)
{
	struct qemu *q = &w->host[h].qemu;

	*q = (struct qemu){.life = QEMU_STARTING, .is_incoming = is_incoming, .peer = -1};
	q->next_ms = sim_in(w, 50, 800);
	q->run = is_incoming ? MIG_RUNSTATE_INMIGRATE : MIG_RUNSTATE_PRELAUNCH;
	q->stream = MIG_STREAM_NONE;
	q->cancel_ms = MIG_NEVER;
}

void sim_qemu_die(struct world *w, int h, const char *why)
{
	struct qemu *q = &w->host[h].qemu;
	struct mig_event *ev;

	if (q->life == QEMU_DEAD || q->life == QEMU_NONE)
		return;
	TRACE(w, "h%d: QEMU dies: %s", h, why);
	q->life = QEMU_DEAD;
	q->run = MIG_RUNSTATE_UNKNOWN;
	q->is_disk_active = false;
	q->count = 0;
	if (!w->host[h].is_alive)
		return;
	ev = sim_push(w, h, LINE_QMP, w->now_ms, MIG_EV_QEMU_ENDED);
	memcpy(ev->text, "it ended", sizeof("it ended"));
}

/* ---- commands */

static void cont(struct world *w, int h, struct mig_answer *a)
{
	struct qemu *q = &w->host[h].qemu;

	switch (q->run) {
	case MIG_RUNSTATE_INMIGRATE:
		q->is_autostart = true;
		break;
	case MIG_RUNSTATE_PRELAUNCH:
	case MIG_RUNSTATE_PAUSED:
	case MIG_RUNSTATE_POSTMIGRATE:
	case MIG_RUNSTATE_IO_ERROR:
		if (w->now_ms < q->disk_ms) {
			a->is_ok = q->run == MIG_RUNSTATE_IO_ERROR;
			break;
		}
		set_run(w, h, MIG_RUNSTATE_RUNNING);
		break;
	case MIG_RUNSTATE_RUNNING:
		break;
	default:
		a->is_ok = false;
		break;
	}
}

static void stop(struct world *w, int h)
{
	struct qemu *q = &w->host[h].qemu;

	if (q->run != MIG_RUNSTATE_RUNNING)
		return;
	if (!w->is_healed && q->lies < 3 && sim_chance(w, w->rate_lie)) {
		q->lies++;
		TRACE(w, "h%d: QEMU says stopped and runs on", h);
		return;
	}
	q->lies = 0;
	set_run(w, h, MIG_RUNSTATE_PAUSED);
	/* Now it waits for I/O under way, and answers nothing, for as long as its disks are silent.
	 */
	if (!w->is_healed && q->stream == MIG_STREAM_NONE && sim_chance(w, w->rate_lie))
		q->hang_ms = sim_in(w, 100, 20000);
}

static void migrate(struct world *w, int h, const struct mig_command *c, struct mig_answer *a)
{
	struct qemu *q = &w->host[h].qemu;

	q->peer = (int)c->port - 1000;
	if (!w->is_healed && sim_chance(w, 3)) {
		a->is_ok = false;
		return;
	}
	must(q->peer >= 0 && q->peer < HOSTS);
	q->remaining = STREAM_BYTES;
	q->sent = 0;
	q->passes = 1;
	q->is_cut = q->is_lie = q->is_doomed = false;
	q->cancel_ms = MIG_NEVER;
	q->next_ms = w->now_ms + 100;
	set_stream(w, h, MIG_STREAM_SETUP);
}

static void cancel(struct world *w, int h)
{
	struct qemu *q = &w->host[h].qemu;

	if (q->stream == MIG_STREAM_SETUP || q->stream == MIG_STREAM_ACTIVE) {
		set_stream(w, h, MIG_STREAM_CANCELLING);
		q->cancel_ms = sim_in(w, 1, 300);
	} else if (q->stream == MIG_STREAM_DEVICE && sim_chance(w, q->is_cut ? 100 : 40)) {
		set_stream(w, h, MIG_STREAM_CANCELLING);
		q->cancel_ms = sim_in(w, 1, 300);
	}
	/* Else it answers {} and completes. */
}

static void numbers(const struct qemu *q, struct mig_numbers *n)
{
	n->stream = q->is_lie ? MIG_STREAM_COMPLETED : q->stream;
	n->total_bytes = STREAM_BYTES;
	n->remaining_bytes = q->remaining;
	n->sent_bytes = q->sent;
	n->passes = q->passes;
}

static void execute(struct world *w, int h, const struct mig_command *c)
{
	struct qemu *q = &w->host[h].qemu;
	struct mig_answer a = {.kind = c->kind, .seq = c->seq, .is_ok = true};

	switch (c->kind) {
	case MIG_COMMAND_CONT:
		cont(w, h, &a);
		break;
	case MIG_COMMAND_STOP:
		stop(w, h);
		break;
	case MIG_COMMAND_QUERY_STATUS:
		a.run = q->run;
		break;
	case MIG_COMMAND_QUERY_MIGRATE:
		numbers(q, &a.numbers);
		break;
	case MIG_COMMAND_QUIT:
		w->host[h].kill_ms = sim_in(w, 1, 100);
		break;
	case MIG_COMMAND_POWERDOWN:
		q->guest_off_ms = sim_in(w, 100, 3000);
		break;
	case MIG_COMMAND_MIGRATE:
		migrate(w, h, c, &a);
		break;
	case MIG_COMMAND_MIGRATE_INCOMING:
		a.port = (uint16_t)(1000 + h);
		a.is_ok = w->is_healed || !sim_chance(w, 3);
		break;
	case MIG_COMMAND_MIGRATE_CANCEL:
		cancel(w, h);
		break;
	default:
		break;
	}
	if (w->host[h].is_alive)
		sim_push(w, h, LINE_QMP, q->hang_ms > w->now_ms ? q->hang_ms : w->now_ms,
			 MIG_EV_ANSWER)
			->answer = a;
}

void sim_qemu_command(struct world *w, int h, const struct mig_command *c)
{
	struct qemu *q = &w->host[h].qemu;
	struct mig_answer a = {.kind = c->kind, .seq = c->seq, .is_ok = true};

	if (c->kind == MIG_COMMAND_CHECK || c->kind == MIG_COMMAND_RETURN_STORAGE) {
		if (!w->is_healed && sim_chance(w, 2))
			a.is_ok = c->kind == MIG_COMMAND_CHECK;
		if (!w->is_healed && c->kind == MIG_COMMAND_CHECK && sim_chance(w, 3))
			a.failed = 1u << MIG_CHECK_MEMORY;
		if (!w->is_healed && sim_chance(w, 1))
			return;
		sim_push(w, h, LINE_OTHER, sim_in(w, 1, 200), MIG_EV_ANSWER)->answer = a;
		return;
	}
	if (q->life != QEMU_UP)
		return;
	must(q->count < COMMANDS);
	q->queue[q->count++] = *c;
}

/* ---- what it does by itself */

/* It says so first, and does it a moment later. */
static void give_up_stream(struct world *w, int h, enum mig_stream stream)
{
	struct qemu *q = &w->host[h].qemu;

	q->is_lie = false;
	set_stream(w, h, stream);
	q->next_ms = sim_in(w, 0, w->is_healed ? 10 : 300);
}

static void back_to_guest(struct world *w, int h)
{
	struct qemu *q = &w->host[h].qemu;

	q->next_ms = MIG_NEVER;
	if (q->run == MIG_RUNSTATE_FINISH_MIGRATE)
		set_run(w, h, q->was_running ? MIG_RUNSTATE_RUNNING : MIG_RUNSTATE_PAUSED);
}

static void complete(struct world *w, int h)
{
	struct qemu *q = &w->host[h].qemu;
	struct qemu *to = &w->host[q->peer].qemu;

	if (!q->is_doomed && to->life == QEMU_UP && to->run == MIG_RUNSTATE_INMIGRATE &&
	    to->peer == h) {
		to->whole_image = q->image;
		to->next_ms = sim_in(w, 10, 400);
		to->is_lie = sim_chance(w, w->rate_lie);
		if (to->is_lie)
			tell(w, q->peer, MIG_QEMU_MIGRATION);
	}
	q->is_lie = false;
	q->is_disk_active = false;
	set_run(w, h, MIG_RUNSTATE_POSTMIGRATE);
	set_stream(w, h, MIG_STREAM_COMPLETED);
}

static void step_active(struct world *w, int h)
{
	struct qemu *q = &w->host[h].qemu;
	struct qemu *to = &w->host[q->peer].qemu;
	bool is_stubborn = w->is_stubborn && !w->is_healed;

	if (q->stream == MIG_STREAM_SETUP) {
		set_stream(w, h, MIG_STREAM_ACTIVE);
		to->stream = MIG_STREAM_ACTIVE;
		to->peer = h;
		return;
	}
	q->sent += CHUNK_BYTES;
	if (q->remaining > CHUNK_BYTES) {
		q->remaining -= CHUNK_BYTES;
		return;
	}
	if (is_stubborn || q->passes < 2) {
		q->passes++;
		q->remaining = is_stubborn ? STREAM_BYTES / 2 : STREAM_BYTES / 4;
		return;
	}
	q->remaining = 0;
	q->was_running = q->run == MIG_RUNSTATE_RUNNING;
	q->is_lie = sim_chance(w, w->rate_lie);
	q->is_doomed = !w->is_healed && sim_chance(w, w->rate_lie);
	set_run(w, h, MIG_RUNSTATE_FINISH_MIGRATE);
	set_stream(w, h, MIG_STREAM_DEVICE);
	q->next_ms = sim_in(w, 10, 600);
}

static void step_device(struct world *w, int h)
{
	if (!w->is_healed && sim_chance(w, w->rate_lie / 2)) {
		give_up_stream(w, h, MIG_STREAM_FAILED);
		return;
	}
	complete(w, h);
}

static bool is_peer_gone(const struct world *w, const struct qemu *q)
{
	const struct qemu *to = &w->host[q->peer].qemu;

	return to->life != QEMU_UP || !to->is_incoming || to->run != MIG_RUNSTATE_INMIGRATE;
}

static void step_source(struct world *w, int h)
{
	struct qemu *q = &w->host[h].qemu;

	q->next_ms = w->now_ms + 100;
	if (!sim_net_is_up(w) && sim_chance(w, 30))
		q->is_cut = true;
	if (q->is_cut)
		return; /* and it does not notice */
	if (!sim_net_is_up(w)) {
		/* A full socket takes the last of it; it never arrives. */
		if (q->stream != MIG_STREAM_DEVICE || !sim_chance(w, 30))
			return;
		q->is_doomed = true;
	}
	if (is_peer_gone(w, q) && sim_chance(w, 50)) {
		give_up_stream(w, h, MIG_STREAM_FAILED);
	} else if (q->stream == MIG_STREAM_DEVICE) {
		step_device(w, h);
	} else if (!is_peer_gone(w, q)) {
		step_active(w, h);
	}
}

static void arrive(struct world *w, int h)
{
	struct qemu *q = &w->host[h].qemu;

	q->next_ms = MIG_NEVER;
	if (!w->is_healed && sim_chance(w, 3)) {
		sim_qemu_die(w, h, "cannot load the device state");
		return;
	}
	q->image = q->whole_image;
	q->is_lie = false;
	q->is_incoming = false;
	set_stream(w, h, MIG_STREAM_COMPLETED);
	set_run(w, h, q->is_autostart ? MIG_RUNSTATE_RUNNING : MIG_RUNSTATE_PAUSED);
}

static void run_stream(struct world *w, int h)
{
	struct qemu *q = &w->host[h].qemu;
	bool is_sending = q->stream == MIG_STREAM_SETUP || q->stream == MIG_STREAM_ACTIVE ||
			  q->stream == MIG_STREAM_DEVICE;

	if (w->now_ms >= q->cancel_ms) {
		q->cancel_ms = MIG_NEVER;
		give_up_stream(w, h, MIG_STREAM_CANCELLED);
	}
	if (w->now_ms < q->next_ms)
		return;
	if (q->is_incoming)
		arrive(w, h);
	else if (is_sending)
		step_source(w, h);
	else
		back_to_guest(w, h);
}

void sim_qemu_io_error(struct world *w, int h)
{
	struct qemu *q = &w->host[h].qemu;

	q->disk_ms = sim_in(w, 500, 4000);
	if (q->life == QEMU_UP && q->run == MIG_RUNSTATE_RUNNING)
		set_run(w, h, MIG_RUNSTATE_IO_ERROR);
}

static void start(struct world *w, int h)
{
	struct qemu *q = &w->host[h].qemu;

	q->life = QEMU_UP;
	q->next_ms = MIG_NEVER;
	sim_push(w, h, LINE_QMP, w->now_ms, MIG_EV_QEMU_STARTED)->pid = 100 + h;
}

void sim_qemu_run(struct world *w, int h)
{
	struct qemu *q = &w->host[h].qemu;
	int done = 0;

	if (w->now_ms >= w->host[h].kill_ms) {
		w->host[h].kill_ms = MIG_NEVER;
		sim_qemu_die(w, h, "killed, or told to quit");
	}
	if (q->life == QEMU_STARTING && w->now_ms >= q->next_ms)
		start(w, h);
	if (q->life != QEMU_UP)
		return;
	if (q->guest_off_ms && w->now_ms >= q->guest_off_ms) {
		q->guest_off_ms = 0;
		if (q->run == MIG_RUNSTATE_RUNNING)
			set_run(w, h, MIG_RUNSTATE_SHUTDOWN);
	}
	if (w->now_ms < q->hang_ms)
		return;
	run_stream(w, h);
	while (done < q->count && q->life == QEMU_UP && w->now_ms >= q->hang_ms)
		execute(w, h, &q->queue[done++]);
	q->count = q->life == QEMU_UP ? q->count - done : 0;
	memmove(q->queue, q->queue + done, (size_t)q->count * sizeof(q->queue[0]));
}

uint64_t sim_qemu_next_ms(const struct world *w, int h)
{
	const struct qemu *q = &w->host[h].qemu;
	uint64_t next = w->host[h].kill_ms, soft = MIG_NEVER;

	if (q->life == QEMU_STARTING)
		return q->next_ms < next ? q->next_ms : next;
	if (q->life != QEMU_UP)
		return next;
	if (q->guest_off_ms && q->guest_off_ms < next)
		next = q->guest_off_ms;
	soft = q->next_ms < q->cancel_ms ? q->next_ms : q->cancel_ms;
	if (q->count)
		soft = w->now_ms;
	if (soft < q->hang_ms)
		soft = q->hang_ms;
	return soft < next ? soft : next;
}
