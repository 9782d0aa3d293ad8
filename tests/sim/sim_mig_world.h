/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The world of sim_mig: one VM, three nodes. The truth of the replicated database and of who is
 * fenced (sim_mig_cluster.c), QEMU with all that it gets wrong (sim_mig_qemu.c), vm-hosts with the
 * core under test and the network between them (sim_mig_world.c). What happens, and when, is drawn
 * in sim_mig.c.
 */
#ifndef TESTS_SIM_MIG_WORLD_H
#define TESTS_SIM_MIG_WORLD_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/prng.h"
#include "migrate/core/mig.h"

#define NODES	    3
#define HOSTS	    12 /* vm-hosts that live, or are not forgotten yet */
#define INSTANCES   64
#define VERSIONS    1024
#define QUEUE	    512
#define COMMANDS    128
#define SAME_MOMENT 300 /* steps of one vm-host in one millisecond: it turns in circles */

#define HEAL_MS	  30000
#define BOUND_MS  120000
#define LINGER_MS 8000 /* faults that have begun last no longer */
#define STEPS_MAX 200000
#define LEASE_MS  3000
#define HALT_MS	  2000
#define KILL_MS	  300
#define MARGIN_MS 200
#define DETECT_MS 2500

/* What comes over one of them keeps its order. */
enum line { LINE_CLUSTERD, LINE_QMP, LINE_PEER, LINE_OTHER, LINES };

/* A version of the database. Instances are numbered from 1 and never again. */
struct db {
	uint64_t holder; /* of the lock; 0: nobody */
	uint64_t dead;	 /* bits: their QEMU can run no more */
	uint64_t stop;	 /* bits: they are to end */
	uint64_t migration;
	uint64_t source;
	uint64_t destination;
	uint16_t port;
	bool is_cancelled;
	bool is_transferred;
	bool is_paused;
};

struct node {
	bool is_up;
	bool is_connected;    /* to the others */
	uint64_t blind_ms;    /* until it notices that it is not */
	uint64_t clusterd_ms; /* clusterd is down until then */
	int applied;	      /* version of its database */
	int target;	      /* fresh from this version on */
	uint64_t apply_ms;
	uint64_t lease_ms; /* the last that was granted */
	uint64_t told_lease_ms;
	uint64_t renew_ms;
	uint64_t gone_ms;  /* since when the others miss it; 0: they do not */
	uint64_t fence_ms; /* when its fencing is over; 0: none */
	bool is_power;	   /* it is switched off, else waited for */
	bool is_fenced;
	uint64_t boot_ms; /* when it comes up again */
};

enum qemu_life { QEMU_NONE, QEMU_STARTING, QEMU_UP, QEMU_DEAD };

struct qemu {
	enum qemu_life life;
	enum mig_runstate run;
	uint64_t hang_ms; /* its monitor answers nothing until then */
	bool has_hung;
	int lies; /* `stop` answers, and the vCPUs go on */
	bool is_autostart;
	uint64_t image; /* of its memory; 0: none yet */
	bool is_disk_active;
	bool has_run;
	uint64_t disk_ms;      /* its disk fails until then */
	uint64_t guest_off_ms; /* when the guest has shut itself down; 0: it has not begun */
	/* a migration: of the source, or of the destination */
	bool is_incoming;
	enum mig_stream stream;
	bool is_cut; /* its connection is dead, and it has not noticed */
	bool was_running;
	bool is_lie;	  /* says completed and is not */
	bool is_doomed;	  /* the last part will not arrive whole */
	uint64_t next_ms; /* of the stream */
	uint64_t remaining;
	uint64_t sent;
	uint32_t passes;
	uint64_t cancel_ms;   /* when a cancel takes effect */
	uint64_t whole_image; /* destination: what has arrived as a whole */
	int peer;	      /* host */
	struct mig_command queue[COMMANDS];
	int count;
};

struct host {
	bool is_used;
	bool is_alive; /* the vm-host process */
	int node;
	uint64_t instance;
	struct mig_state mig;
	struct vm_link_status told;
	struct vm_link_status reported; /* as the cluster knows it */
	uint64_t tick_ms;
	uint64_t frozen_ms;
	bool has_frozen;
	bool is_lost;		  /* something that loses VMs has happened to it */
	uint64_t kill_ms;	  /* when its QEMU dies; MIG_NEVER */
	uint64_t order_ms[LINES]; /* of what was sent to it */
	uint64_t stepped_ms;
	int stepped;
	/* control channel */
	uint32_t channel; /* number; 0: none */
	bool is_listening;
	bool is_open;
	int peer;
	struct qemu qemu;
};

struct item {
	uint64_t at_ms;
	uint64_t order;
	int host;
	uint64_t instance;
	struct mig_event ev;
};

struct world {
	struct prng rng;
	uint64_t seed;
	uint64_t now_ms;
	enum mig_mutant mutant;
	bool is_trace;
	struct mig_config config;
	struct db db[VERSIONS];
	int versions;
	struct node node[NODES];
	struct host host[HOSTS];
	uint64_t instances;
	int node_of[INSTANCES];
	struct item item[QUEUE];
	int heap[QUEUE];
	int heap_count;
	int spare[QUEUE];
	int spare_count;
	uint64_t order;
	uint64_t cut_ms; /* the migration network is cut until then */
	uint64_t plan_ms;
	uint64_t env_ms;
	uint64_t migrations;
	uint64_t ended_ms; /* when the destination had it, or the source again */
	uint64_t lost_ms;  /* since when an unneeded instance lives */
	uint64_t image;	   /* the memory as it last ran */
	bool is_excused;   /* the VM was lost by something that loses VMs */
	bool is_started;
	bool is_stubborn; /* the guest dirties more than can be sent */
	bool is_healed;
	bool is_asked_again; /* the last migration, without faults */
	uint64_t last_holder;
	uint64_t rate_lie, rate_fault, rate_admin; /* percent */
	/* what was seen, for the summary */
	uint64_t arrived, returned, boots, halts, kills;
	const char *broken;
};

#define TRACE(w, ...)                                                                              \
	do {                                                                                       \
		if ((w)->is_trace) {                                                               \
			printf("%8" PRIu64 " ", (w)->now_ms);                                      \
			printf(__VA_ARGS__);                                                       \
			putchar('\n');                                                             \
		}                                                                                  \
	} while (0)

bool sim_chance(struct world *w, uint64_t pct);
/* Remembers the first thing that is wrong. */
void sim_broke(struct world *w, const char *what);
uint64_t sim_in(struct world *w, uint64_t lo_ms, uint64_t hi_ms);

/* ---- sim_mig_world.c: vm-hosts and the network */

/* Queues an event for a vm-host; the caller fills in the rest. */
struct mig_event *sim_push(struct world *w, int h, enum line line, uint64_t at_ms,
			   enum mig_event_type type);
uint64_t sim_queue_next_ms(const struct world *w);
void sim_queue_run(struct world *w);
void sim_host_step(struct world *w, int h, const struct mig_event *ev);
int sim_host_start(struct world *w, int node, uint64_t instance, bool is_incoming);
/* Its process is gone; clusterd ends its QEMU. */
void sim_host_kill(struct world *w, int h);
/* Something that loses VMs has happened to it. */
void sim_host_lost(struct world *w, int h);
void sim_host_forget(struct world *w, int h);
/* The host of an instance, or -1. */
int sim_host_of(const struct world *w, uint64_t instance);
void sim_channel_break(struct world *w, int h);
bool sim_net_is_up(const struct world *w);

/* ---- sim_mig_qemu.c */

void sim_qemu_start(struct world *w, int h, bool is_incoming);
void sim_qemu_die(struct world *w, int h, const char *why);
void sim_qemu_command(struct world *w, int h, const struct mig_command *c);
/* Lets it do what it does by itself until now. */
void sim_qemu_run(struct world *w, int h);
uint64_t sim_qemu_next_ms(const struct world *w, int h);
void sim_qemu_io_error(struct world *w, int h);

/* ---- sim_mig_cluster.c */

const struct db *sim_db(const struct world *w);
bool sim_is_quorate(const struct world *w);
void sim_cluster_init(struct world *w);
void sim_cluster_run(struct world *w);
uint64_t sim_cluster_next_ms(const struct world *w);
void sim_node_disconnect(struct world *w, int n);
void sim_node_connect(struct world *w, int n);
void sim_node_crash(struct world *w, int n);
void sim_node_boot(struct world *w, int n);
void sim_clusterd_restart(struct world *w, int n);
void sim_admin_migrate(struct world *w);
void sim_admin_cancel(struct world *w);
void sim_admin_pause(struct world *w, bool is_paused);
/* One VM, one host, running, no migration. */
bool sim_is_calm(const struct world *w);

/* Who has the lock may run, and nobody else; with which memory and which disks. */
void sim_oracle_run(struct world *w, int h);
void sim_oracle_commit(struct world *w);

#endif
