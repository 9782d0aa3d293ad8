/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lives of sim_witness that are made for one moment: most of a share, and one of a force. */
#include <string.h>

#include "tests/sim/sim_witness_life.h"

#define LATE_MS 6000 /* longer than the other half needs to have it */

/* ---- a share, and a node that lost its disk */

/* Without time, and with nothing durable on node 0, which holds all that counts. */
static void run_without_disk_0(struct life *f, int rounds)
{
	struct sim_world *w = &f->world;

	for (int k = 0; k < rounds && !w->failure; k++) {
		for (uint8_t i = 0; i < w->nodes; i++) {
			sim_deliver(w, i);
			sim_sequence(w, i);
		}
		sim_pull_run(w, 1);
		sim_disk_complete(w, 1);
		sim_check(w);
	}
}

void life_blank(struct life *f)
{
	struct sim_world *w = &f->world;
	struct sim_node *n = &w->node[0];

	f->absent_ms = LIFE_ABSENT_LONG;
	life_demand_whole(f);
	sim_machine_crash(w, 1);
	life_demand_service(f, 1);
	sim_disk_wipe(w, 1);
	f->no_pull = 2;
	life_start(f, 1);
	for (int t = 0; t < LIFE_TURNS_CLAIM && !w->failure; t++) {
		life_turn(f);
		if (n->repl.phase == REPL_OPEN && n->repl.present == 3)
			break;
	}
	f->no_pull = 0;
	if (prng_chance(&f->prng, 1, 2)) {
		/* Now node 1 gets the history, and alone has what comes after that on a disk. */
		run_without_disk_0(f, 50);
		sim_propose(w, 0, CL_ENTRY_COMMAND, ++n->next_request,
			    (struct cl_blob){(const uint8_t *)"blank", 5});
		run_without_disk_0(f, 50);
		sim_machine_crash(w, 0);
		sim_machine_crash(w, 1);
		life_start(f, 0);
		life_demand_service(f, 1);
	}
	life_heal(f);
	life_demand_whole(f);
	sim_machine_crash(w, 0); /* the one that was blank is as good as any */
	life_demand_service(f, 2);
	life_heal(f);
	life_demand_whole(f);
}

/* ---- a share, and a set that goes from hand to hand */

void life_hand(struct life *f)
{
	static const uint8_t first[] = {0, 0, 1, 1}, second[] = {0, 1, 1, 3},
			     third[] = {0, 1, 2, 2};
	struct sim_world *w = &f->world;

	f->absent_ms = f->witness_ms = LIFE_ABSENT_LONG;
	life_demand_whole(f);
	memcpy(w->component, first, sizeof(first));
	w->witness.cut = 0xc;
	sim_rings_form(w);
	life_demand_service(f, 3);
	/* Of the next two one has all that was answered; the other gets nothing. */
	f->no_pull = 4;
	w->witness.cut = 0x9;
	memcpy(w->component, second, sizeof(second));
	sim_rings_form(w);
	life_turns(f, prng_range(&f->prng, 1000, 3000));
	f->no_pull = 0;
	sim_machine_crash(w, 1);
	w->witness.cut = 0x1;
	memcpy(w->component, third, sizeof(third));
	sim_rings_form(w);
	life_turns(f, w->config.lease_ms);
	life_demand_silence(f, 0xc, LIFE_TURNS_CLAIM);
	life_heal(f);
	life_demand_whole(f);
}

/* ---- a share, and a set that lands when another half has it */

void life_late(struct life *f)
{
	static const uint8_t halves[] = {0, 0, 2, 2};
	struct sim_world *w = &f->world;
	struct sim_witness_io *io = &w->node[0].area_io;

	f->absent_ms = f->witness_ms = LIFE_ABSENT_LONG;
	life_demand_whole(f);
	memcpy(w->component, halves, sizeof(halves));
	w->witness.cut = 0xc;
	sim_rings_form(w);
	for (int t = 0; t < LIFE_TURNS_CLAIM && !w->failure; t++) {
		life_turn(f);
		if (io->runs && io->job.job == WITNESS_JOB_RECORD && !io->has_landed)
			break;
	}
	if (!io->runs || io->has_landed) { /* it was faster than a turn */
		life_heal(f);
		life_demand_whole(f);
		return;
	}
	io->land_ms = io->end_ms = w->now_ms + LATE_MS;
	w->node[0].is_frozen = w->node[1].is_frozen = true;
	w->witness.cut = 0;
	life_demand_service(f, 0xc);
	life_turns(f, LATE_MS);
	sim_machine_crash(w, 2);
	sim_machine_crash(w, 3);
	w->node[0].is_frozen = w->node[1].is_frozen = false;
	life_demand_silence(f, 0x3, LIFE_TURNS_CLAIM);
	life_heal(f);
	life_demand_whole(f);
}

/* ---- forced quorum, and a witness of the history that was left behind */

void life_force(struct life *f)
{
	static const uint8_t halves[] = {0, 0, 2, 2};
	struct sim_world *w = &f->world;
	uint8_t by = (uint8_t)prng_range(&f->prng, 2, 3);

	f->absent_ms = f->witness_ms = LIFE_ABSENT_LONG;
	life_demand_whole(f);
	memcpy(w->component, halves, sizeof(halves));
	w->witness.cut = 0xc;
	sim_rings_form(w);
	/* So the witness has, or knows, what the others have not, of an epoch far ahead of theirs.
	 */
	for (int k = 0; k < 3; k++) {
		life_demand_service(f, 3);
		sim_rings_form(w);
	}
	sim_machine_crash(w, 0);
	sim_machine_crash(w, 1);
	w->witness.cut = 0xf;
	life_turns(f, 2 * w->config.lease_ms);
	life_demand_silence(f, 0xc, 50);
	if (!w->failure && sim_force(w, by, 0x3))
		sim_fail(w, by, "a force that names all who are absent was refused");
	life_demand_service(f, 0xc);
	w->witness.cut = 0;
	life_turns(f, prng_range(&f->prng, 0, 3000));
	if (prng_chance(&f->prng, 1, 2)) { /* it has its vote back, or not: who forced goes on */
		sim_machine_crash(w, by);
		life_turns(f, 2 * w->config.lease_ms);
	}
	life_start(f, 0); /* and one who was left behind comes when it likes */
	life_turns(f, prng_range(&f->prng, 0, 2000));
	life_heal(f);
	life_demand_whole(f);
	if (!w->failure && sim_line_of(w, 0)->down != 0x3)
		sim_fail(w, 0, "healed after a force, and not of its history");
}
