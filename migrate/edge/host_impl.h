/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of a vm-host's process. Context: the loop. */
#ifndef MIGRATE_EDGE_HOST_IMPL_H
#define MIGRATE_EDGE_HOST_IMPL_H

#include <jansson.h>
#include <qb/qbloop.h>

#include "migrate/core/mig.h"
#include "migrate/edge/cgroup.h"
#include "migrate/edge/channel.h"
#include "migrate/edge/command_line.h"
#include "migrate/edge/commands.h"
#include "migrate/edge/control.h"
#include "migrate/edge/due.h"
#include "migrate/edge/host.h"
#include "migrate/edge/link.h"
#include "migrate/edge/probe.h"
#include "migrate/edge/qemu.h"
#include "migrate/edge/qmp.h"

#define HOST_EVENTS_MAX 16   /* that actions of one step bring about at once */
#define HOST_END_MS	2000 /* for the last words to clusterd and the other side */
#define HOST_MONITOR_MS 1000 /* from the end of the monitor to that of QEMU */

struct host {
	struct host_options options;
	qb_loop_t *loop;
	struct mig_state mig;
	struct mig_actions actions;
	bool is_begun; /* mig is in use */
	bool is_stepping, is_ending;
	size_t n_events;
	struct mig_event events[HOST_EVENTS_MAX];
	struct due *tick, *end_due, *monitor_due;
	struct probe *probe;
	struct probe_result probed;
	struct command_line_facts facts;
	char cgroup[CGROUP_PATH]; /* "": none */
	char cgroup_text[64];	  /* why there is none */
	struct qemu *qemu;
	struct qmp *qmp;
	struct commands *commands;
	struct link *link; /* NULL: standalone */
	struct control *control;
	struct channel *channel; /* of the core's number channel_number */
	uint32_t channel_number;
	unsigned int n_closing; /* channels that write their last */
	struct vm_link_status told;
	struct vm_link_progress last; /* the last migration with an end */
	struct vm_link_state state;   /* the last that clusterd said, or made here, standalone */
	unsigned int signals;	      /* SIGTERM and SIGINT so far */
	struct {
		uint64_t number;       /* of the newest; 0: there was none */
		const json_t *request; /* that waits until the vCPUs stand; compared only */
		uint64_t until_ms;     /* 0: they are not kept still */
		struct due *due;
	} hold;
	bool is_stop_asked; /* over the control socket: by the agent that has started us */
	uint32_t stop_asked_ms;
};

/* Gives the core an event, after those that are waiting. now_ms is filled in. */
void host_event(struct host *h, struct mig_event *e);
/* The present STATE to the core, with what signals add to it. */
void host_state(struct host *h);

/* ---- host_qemu.c: QEMU, from the probe on */

int host_qemu_begin(struct host *h);
void host_qemu_kill(struct host *h);
void host_qemu_end(struct host *h);

/* ---- host_standalone.c: what clusterd would say */

void host_standalone_begin(struct host *h);
/* After the core has told its status. */
void host_standalone_told(struct host *h);
/* After the core has heard a message. */
void host_standalone_heard(struct host *h, const struct mig_message *message);
/* Sends the VM to another node. NULL, or why not. */
const char *host_standalone_migrate(struct host *h, const char *peer, uint16_t port,
				    uint64_t bandwidth);

/* ---- host_hold.c: the vCPUs are kept still for a while, so that the disks can be copied */

/* Requests "hold" and "release": as a control_fn. */
json_t *host_hold(struct host *h, const json_t *request, bool is_late, uint64_t *ret_wait_ms);
json_t *host_release(struct host *h, const json_t *request);
/* Its time is over: a callback of a due. */
void host_hold_over(void *arg);

/* ---- host_request.c: the control socket; a control_fn */

json_t *host_answer(const struct host *h, bool is_ok, const char *text);
/* A number of milliseconds in the request, 0 if there is none. */
uint64_t host_request_ms(const json_t *request, const char *key);

json_t *host_request(void *arg, const json_t *request, bool is_late, uint64_t *ret_wait_ms);

#endif
