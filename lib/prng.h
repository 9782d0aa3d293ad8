/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Seeded pseudo-random numbers for simulations and property tests: SplitMix64 (Steele, Lea, Flood,
 * "Fast splittable pseudorandom number generators", OOPSLA 2014). The same seed gives the same
 * sequence on every machine. Not for keys or nonces: those come from getrandom(2).
 */
#ifndef LIB_PRNG_H
#define LIB_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
	uint64_t state;
};

static inline void prng_init(struct prng *p, uint64_t seed)
{
	p->state = seed;
}

static inline uint64_t prng_next(struct prng *p)
{
	uint64_t z = (p->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 .. n-1; 0 when n is 0. The bias of the modulo is of no concern to a simulation. */
static inline uint64_t prng_below(struct prng *p, uint64_t n)
{
	return n ? prng_next(p) % n : 0;
}

/* lo .. hi, both included. */
static inline uint64_t prng_range(struct prng *p, uint64_t lo, uint64_t hi)
{
	return lo + prng_below(p, hi - lo + 1);
}

/* True `num` times in `den`. */
static inline bool prng_chance(struct prng *p, uint64_t num, uint64_t den)
{
	return prng_below(p, den) < num;
}

#endif
