/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/host.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/must.h"
#include "migrate/edge/host_impl.h"
#include "migrate/edge/log.h"
#include "migrate/edge/record.h"

/* ---- the core's actions */

static void on_listening(void *arg, uint32_t number, uint16_t port)
{
	struct mig_event e = {.type = MIG_EV_CHANNEL_LISTENING, .channel = number, .port = port};

	host_event(arg, &e);
}

static void on_open(void *arg, uint32_t number, const char *peer)
{
	struct mig_event e = {.type = MIG_EV_CHANNEL_OPEN, .channel = number};

	snprintf(e.text, sizeof(e.text), "%s", peer);
	host_event(arg, &e);
}

static void on_message(void *arg, uint32_t number, const struct mig_message *message)
{
	struct host *h = arg;
	struct mig_event e = {.type = MIG_EV_PEER, .channel = number, .message = *message};

	host_event(h, &e);
	if (!h->link)
		host_standalone_heard(h, message);
}

static void on_lost(void *arg, uint32_t number, const char *why)
{
	struct mig_event e = {.type = MIG_EV_CHANNEL_LOST, .channel = number};

	log_debug("control channel %u: %s", number, why);
	snprintf(e.text, sizeof(e.text), "%s", why);
	host_event(arg, &e);
}

static void look_at_end(struct host *h)
{
	bool is_said = !h->link || link_is_told(h->link);

	if (h->is_ending && is_said && !h->n_closing)
		qb_loop_stop(h->loop);
}

static void on_closed(void *arg)
{
	struct host *h = arg;

	h->n_closing--;
	look_at_end(h);
}

static void close_channel(struct host *h)
{
	if (!h->channel)
		return;
	h->n_closing++;
	channel_close(h->channel);
	h->channel = NULL;
}

static void open_channel(struct host *h, const struct mig_action *a)
{
	static const struct channel_callbacks callbacks = {on_listening, on_open, on_message,
							   on_lost, on_closed};
	bool is_listener = a->kind == MIG_DO_LISTEN;
	struct channel_options o = {.number = a->channel,
				    .address = a->address,
				    .port = a->port,
				    .key = &h->options.key,
				    .callbacks = &callbacks,
				    .arg = h};
	int r = -ENOKEY;

	close_channel(h);
	h->channel_number = a->channel;
	if (is_listener && !h->link)
		o.port = h->options.port;
	if (h->options.has_key && is_listener)
		r = channel_listen(h->loop, &o, &h->channel);
	else if (h->options.has_key)
		r = channel_connect(h->loop, &o, &h->channel);
	if (r) {
		char why[MIG_REASON_TEXT];

		snprintf(why, sizeof(why), "%s: %s", a->address,
			 r == -ENOKEY ? "no key was given" : strerror(-r));
		on_lost(h, a->channel, why);
	}
}

static void tell(struct host *h, const struct vm_link_status *status)
{
	const struct vm_link_progress *m = &status->migration;

	if (status->run != h->told.run || strcmp(status->text, h->told.text) != 0)
		log_notice("%s -> %s%s%s", vm_link_run_word(h->told.run),
			   vm_link_run_word(status->run), status->text[0] ? ": " : "",
			   status->text);
	if (m->phase != h->told.migration.phase || m->id != h->told.migration.id)
		log_notice("migration %llx: %s%s%s", (unsigned long long)m->id,
			   vm_link_phase_word(m->phase), m->text[0] ? ": " : "", m->text);
	h->told = *status;
	if (m->phase >= VM_LINK_MIG_DONE)
		h->last = *m;
	if (h->link)
		link_tell(h->link, status);
	else
		host_standalone_told(h);
}

static void begin_end(struct host *h)
{
	h->is_ending = true;
	due_at(h->end_due, due_now_ms() + HOST_END_MS);
}

static void carry_out(struct host *h, const struct mig_action *a)
{
	switch (a->kind) {
	case MIG_DO_COMMAND:
		log_debug("command %s", mig_command_word(a->command.kind));
		commands_give(h->commands, &a->command);
		break;
	case MIG_DO_SEND:
		if (h->channel && h->channel_number == a->channel)
			channel_send(h->channel, &a->message);
		break;
	case MIG_DO_LISTEN:
	case MIG_DO_CONNECT:
		open_channel(h, a);
		break;
	case MIG_DO_CLOSE:
		if (h->channel_number == a->channel)
			close_channel(h);
		break;
	case MIG_DO_TELL:
		tell(h, &a->status);
		break;
	case MIG_DO_KILL:
		host_qemu_kill(h);
		break;
	case MIG_DO_END:
		begin_end(h);
		break;
	case MIG_DO_MAX:
		must(false);
	}
}

/* ---- events */

static void step(struct host *h, struct mig_event *e)
{
	const char *broken;

	e->now_ms = due_now_ms();
	if (mig_step(&h->mig, e, &h->actions) == -EPROTO)
		log_warning("the other vm-host broke the protocol -> its channel is closed");
	broken = mig_check(&h->mig);
	if (broken)
		log_error("broken invariant: %s", broken);
	must(!broken);
	for (size_t i = 0; i < h->actions.count; i++)
		carry_out(h, &h->actions.item[i]);
}

void host_event(struct host *h, struct mig_event *e)
{
	if (!h->is_begun)
		return;
	must(h->n_events < HOST_EVENTS_MAX);
	h->events[h->n_events++] = *e;
	if (h->is_stepping)
		return; /* an action brought it about: after the others */
	h->is_stepping = true;
	while (h->n_events) {
		struct mig_event first = h->events[0];

		h->n_events--;
		memmove(h->events, h->events + 1, h->n_events * sizeof(h->events[0]));
		step(h, &first);
	}
	h->is_stepping = false;
	due_at(h->tick, mig_next_deadline_ms(&h->mig));
	control_changed(h->control);
	look_at_end(h);
}

void host_state(struct host *h)
{
	struct mig_event e = {.type = MIG_EV_STATE, .state = h->state};

	e.state.is_paused |= h->hold.until_ms != 0;
	if (h->is_stop_asked && !e.state.is_stop) {
		e.state.is_stop = true;
		e.state.stop_ms = h->stop_asked_ms;
	}
	if (h->signals) {
		e.state.is_stop = true;
		e.state.stop_ms = h->signals > 1 ? 0 : HOST_STOP_MS;
	}
	/* The guest has to hear the power button. */
	if (e.state.is_stop && h->hold.until_ms) {
		e.state.is_paused = h->state.is_paused;
		h->hold.until_ms = 0;
	}
	host_event(h, &e);
}

static void on_state(void *arg, const struct vm_link_state *state)
{
	struct host *h = arg;

	h->state = *state;
	host_state(h);
}

static void on_tick(void *arg)
{
	struct mig_event e = {.type = MIG_EV_TICK};

	host_event(arg, &e);
}

static void on_end_due(void *arg)
{
	struct host *h = arg;

	log_warning("the last words were not taken in time -> end");
	qb_loop_stop(h->loop);
}

static void on_answer(void *arg, const struct mig_answer *answer)
{
	struct mig_event e = {.type = MIG_EV_ANSWER, .answer = *answer};

	log_debug("answer to %s: %s %s", mig_command_word(answer->kind),
		  answer->is_ok ? "ok" : answer->text,
		  answer->kind == MIG_COMMAND_QUERY_STATUS ? mig_runstate_word(answer->run) : "");
	host_event(arg, &e);
}

static int32_t on_signal(int32_t signal, void *arg)
{
	struct host *h = arg;

	log_notice("signal %d -> the guest is %s", signal,
		   h->signals ? "switched off" : "asked to switch itself off");
	h->signals++;
	if (h->is_begun)
		host_state(h);
	return 0;
}

/* ---- life */

static void hash_identity(struct host *h, struct mig_identity *id)
{
	char *text = command_line_identity(h->options.definition, &h->facts);

	must(text);
	tls_hash(text, strlen(text), id->definition.byte);
	free(text);
}

static int begin(struct host *h)
{
	const struct definition *d = h->options.definition;
	struct mig_config config = MIG_CONFIG_INIT;
	struct mig_identity id = {.ram_bytes = 0};
	struct commands_options co = {.definition = d,
				      .run_dir = h->options.run_dir,
				      .qemu = h->probed.version,
				      .is_incoming = &h->mig.is_incoming,
				      .on_answer = on_answer,
				      .arg = h};
	struct link_options lo = {
		.socket = h->options.socket,
		.attach = {.instance = h->options.instance, .is_incoming = h->options.is_incoming},
		.on_state = on_state,
		.arg = h};
	int r = commands_open(h->loop, &co, &h->commands);

	if (r)
		return r;
	memcpy(id.vm.byte, d->uuid, sizeof(id.vm.byte));
	memcpy(lo.attach.vm, d->uuid, sizeof(lo.attach.vm));
	memcpy(id.qemu, h->probed.version, sizeof(id.qemu));
	if (h->probed.is_ok) {
		id.ram_bytes = 1024 * command_line_memory_kib(d, h->facts.machine, h->facts.is_kvm);
		hash_identity(h, &id);
	}
	mig_init(&h->mig, &config, &id, h->options.is_incoming);
	h->is_begun = true;
	if (!h->options.is_standalone)
		r = link_open(h->loop, &lo, &h->link);
	else
		host_standalone_begin(h);
	if (!r && h->signals)
		host_state(h);
	return r;
}

/* What is known of QEMU decides what the core is told first. */
static void on_probed(void *arg, const struct probe_result *result)
{
	struct host *h = arg;
	struct mig_event e = {.type = MIG_EV_QEMU_ENDED};
	int r;

	h->probe = NULL;
	h->probed = *result;
	h->facts.machine = h->probed.machine;
	h->facts.is_kvm = h->probed.is_kvm;
	r = begin(h);
	if (r) {
		log_error("cannot begin: %s -> end", strerror(-r));
		qb_loop_stop(h->loop);
		return;
	}
	if (result->is_ok && h->mig.life != MIG_LIFE_STARTING) {
		r = -ECANCELED; /* it was asked to stop meanwhile */
	} else if (result->is_ok) {
		log_info("QEMU %s, machine %s, %s", h->probed.version, h->probed.machine,
			 h->probed.is_kvm ? "kvm" : "tcg");
		r = host_qemu_begin(h);
	}
	if (result->is_ok && !r)
		return;
	snprintf(e.text, sizeof(e.text), "%s%s", r ? "QEMU cannot be started: " : result->text,
		 r ? strerror(-r) : "");
	host_event(h, &e);
}

static int open_all(struct host *h)
{
	int r = due_open(h->loop, on_tick, h, &h->tick);

	if (!r)
		r = due_open(h->loop, on_end_due, h, &h->end_due);
	if (!r)
		r = due_open(h->loop, host_hold_over, h, &h->hold.due);
	if (!r)
		r = control_open(h->loop, h->options.control_fd, host_request, h, &h->control);
	if (!r)
		r = qb_loop_signal_add(h->loop, QB_LOOP_HIGH, SIGTERM, h, on_signal, NULL);
	if (!r)
		r = qb_loop_signal_add(h->loop, QB_LOOP_HIGH, SIGINT, h, on_signal, NULL);
	if (!r)
		r = probe_start(h->loop, h->options.qemu, h->options.definition, on_probed, h,
				&h->probe);
	return r;
}

int host_run(const struct host_options *options)
{
	static struct host h; /* too large for a stack */
	bool is_ended;
	int r;

	h = (struct host){.options = *options, .loop = qb_loop_create()};
	must(h.loop);
	/* The core begins as STARTING; so does what is told. */
	h.told.run = VM_LINK_STARTING;
	r = open_all(&h);
	if (r)
		log_error("cannot begin: %s -> end", strerror(-r));
	else
		qb_loop_run(h.loop);
	is_ended = h.is_ending;
	probe_cancel(h.probe);
	host_qemu_end(&h);
	commands_close(h.commands);
	link_close(h.link);
	if (h.control)
		control_close(h.control);
	due_close(h.tick);
	due_close(h.end_due);
	due_close(h.hold.due);
	due_close(h.monitor_due);
	qb_loop_destroy(h.loop);
	return is_ended ? 0 : 1;
}
