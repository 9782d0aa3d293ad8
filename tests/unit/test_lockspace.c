/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cases that every driver of lib/lockspace.h passes (tests/conform), with the lock core. */
#include <stddef.h>
#include <stdlib.h>

#include "tests/conform/conform.h"
#include "tests/conform/core_driver.h"

static uint64_t sessions[CONFORM_PARTIES];
static uint64_t last;

static int world_open(struct conform_world *w, int party, struct lockspace_params *params,
		      struct lockspace **ret)
{
	(void)w;
	params->name = "conform";
	params->session = sessions[party] = ++last;
	return core_driver_ops.open(params, ret);
}

static int world_release(struct conform_world *w, int party)
{
	(void)w;
	return core_driver_release(sessions[party]);
}

int main(void)
{
	struct conform_world world = {.name = "lockspace over the lock core",
				      .loop = qb_loop_create(),
				      .open = world_open,
				      .release = world_release,
				      .has_transfer = true};
	int r = conform_run(&world);

	core_driver_done();
	qb_loop_destroy(world.loop);
	return r;
}
