/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/sim_main.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
	uint64_t seeds;
	uint64_t first;
	const char *mutant;
	bool is_verbose;
};

static int usage(const struct sim_program *p)
{
	fprintf(stderr,
		"usage: %s [--seeds N] [--first SEED] [--seed SEED] [--mutant NAME|all] "
		"[--verbose]\n",
		p->name);
	return 2;
}

static int options_read(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"seeds", required_argument, NULL, 's'}, {"first", required_argument, NULL, 'f'},
		{"seed", required_argument, NULL, 'o'},	 {"mutant", required_argument, NULL, 'm'},
		{"verbose", no_argument, NULL, 'v'},	 {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			o->seeds = strtoull(optarg, NULL, 10);
		else if (c == 'f' || c == 'o')
			o->first = strtoull(optarg, NULL, 10);
		else if (c == 'm')
			o->mutant = optarg;
		else if (c == 'v')
			o->is_verbose = true;
		else
			return -EINVAL;
		if (c == 'o')
			o->seeds = 1;
	}
	return optind < argc ? -EINVAL : 0;
}

static bool mutant_found(const struct sim_program *p, const struct options *o, size_t mutant)
{
	for (uint64_t i = 0; i < o->seeds; i++) {
		const char *broken = p->run_seed(o->first + i, mutant, o->is_verbose);

		if (broken) {
			printf("mutant %s found by seed %" PRIu64 ": %s\n", p->mutant_name(mutant),
			       o->first + i, broken);
			return true;
		}
	}
	printf("mutant %s NOT found in %" PRIu64 " seeds\n", p->mutant_name(mutant), o->seeds);
	return false;
}

int sim_main(int argc, char **argv, const struct sim_program *p)
{
	struct options o = {.seeds = 1000, .first = 1};
	uint64_t passed = 0, failed = 0;
	bool is_known = false;

	if (options_read(argc, argv, &o))
		return usage(p);
	for (size_t m = 1; o.mutant && m < p->mutants; m++) {
		bool is_found;

		if (strcmp(o.mutant, "all") != 0 && strcmp(o.mutant, p->mutant_name(m)) != 0)
			continue;
		is_known = true;
		is_found = mutant_found(p, &o, m);
		passed += is_found;
		failed += !is_found;
	}
	if (o.mutant && !is_known)
		return usage(p);
	for (uint64_t i = 0; !o.mutant && i < o.seeds; i++) {
		const char *broken = p->run_seed(o.first + i, 0, o.is_verbose);

		if (broken)
			printf("seed %" PRIu64 ": %s (%s --seed %" PRIu64 " --verbose)\n",
			       o.first + i, broken, p->name, o.first + i);
		passed += !broken;
		failed += broken != NULL;
	}
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
	return failed ? 1 : 0;
}
