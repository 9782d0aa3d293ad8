/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/clock.h"

#include <time.h>

#include "lib/must.h"

static uint64_t read_ms(clockid_t clock)
{
	struct timespec t;

	must(!clock_gettime(clock, &t));
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t csv_now_ms(void)
{
	return read_ms(CLOCK_BOOTTIME);
}

uint64_t csv_monotonic_ms(void)
{
	return read_ms(CLOCK_MONOTONIC);
}

void csv_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	must(!pthread_condattr_init(&attr));
	must(!pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must(!pthread_cond_init(cond, &attr));
	pthread_condattr_destroy(&attr);
}

struct timespec csv_after_ms(uint64_t ms)
{
	struct timespec t;

	must(!clock_gettime(CLOCK_MONOTONIC, &t));
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

int csv_cond_wait_ms(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ms)
{
	const struct timespec until = csv_after_ms(ms);

	return pthread_cond_timedwait(cond, lock, &until);
}
