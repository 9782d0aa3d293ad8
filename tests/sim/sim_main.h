/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of a simulator, and the walk over its seeds and its planted bugs:
 *
 *   sim_X [--seeds N] [--first SEED] [--seed SEED] [--mutant NAME|all] [--verbose]
 */
#ifndef TESTS_SIM_SIM_MAIN_H
#define TESTS_SIM_SIM_MAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_program {
	const char *name;
	size_t mutants; /* and "none", which is the first */
	const char *(*mutant_name)(size_t mutant);
	/* NULL, or what was broken. The same seed does the same. */
	const char *(*run_seed)(uint64_t seed, size_t mutant, bool is_verbose);
};

/* For main(): 0, 1 if a seed is broken or a planted bug not found, 2 for a wrong command line. */
int sim_main(int argc, char **argv, const struct sim_program *p);

#endif
