/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cases that every driver of lib/lockspace.h passes (tests/conform), with the kernel's DLM, in
 * a guest:
 *
 *   dlm_conform LOCKSPACE                       all parties on this node
 *   dlm_conform LOCKSPACE LRL 10.77.0.2:7000    party B on the node of that server
 *   dlm_conform --serve LOCKSPACE PORT          that server
 *   dlm_conform --hold LOCKSPACE NAME MODE      holds that lock, writes its value, until it is
 * killed dlm_conform --ask LOCKSPACE NAME MODE       waits for that lock; says mode and value, and
 * ends
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/lockspace_dlm.h"
#include "lib/must.h"
#include "tests/conform/conform.h"
#include "tests/conform/remote.h"

#define FILL 0x5a

struct dlm_world {
	struct conform_world base;
	const char *lockspace, *places, *server;
};

static int world_open(struct conform_world *w, int party, struct lockspace_params *params,
		      struct lockspace **ret)
{
	struct dlm_world *d = (struct dlm_world *)w;
	bool is_remote = d->places[party] == 'R';

	params->session = (uint64_t)party + 1;
	params->name = is_remote ? d->server : d->lockspace;
	return (is_remote ? &remote_ops : &lockspace_dlm_ops)->open(params, ret);
}

static int world_release(struct conform_world *w, int party)
{
	struct dlm_world *d = (struct dlm_world *)w;

	return d->places[party] == 'R' ? remote_release(d->server)
				       : lockspace_dlm_release_orphans(d->lockspace);
}

/* ---- a session that keeps the lockspace joined, and the single locks */

struct single {
	qb_loop_t *loop;
	struct lockspace *ls;
	const char *name;
	enum lk_mode mode;
	bool is_asking, is_written;
};

static void keeper_event(void *arg, const struct lockspace_event *ev)
{
	struct single *s = arg;

	must(ev->kind == LOCKSPACE_RESUMED);
	qb_loop_stop(s->loop);
}

static void single_event(void *arg, const struct lockspace_event *ev)
{
	struct single *s = arg;
	struct lockspace_request req = {.cookie = 1, .mode = (uint8_t)s->mode};

	if (ev->kind == LOCKSPACE_RESUMED) {
		req.name_len = (uint8_t)strlen(s->name);
		memcpy(req.name, s->name, req.name_len);
		req.flags = LK_VALBLK;
		must(lockspace_lock(s->ls, &req) == 0);
	} else if (ev->kind == LOCKSPACE_GRANTED && s->is_asking) {
		printf("granted %s value %02x %s\n", lk_mode_name(ev->mode), ev->lvb[0],
		       ev->lvb_valid ? "valid" : "invalid");
		qb_loop_stop(s->loop);
	} else if (ev->kind == LOCKSPACE_GRANTED) {
		printf("holding %s\n", lk_mode_name(ev->mode));
		fflush(stdout);
		if (s->mode == LK_EX && !s->is_written) {
			s->is_written = true;
			memset(req.lvb, FILL, sizeof(req.lvb)); /* EX to EX writes */
			req.flags = LK_VALBLK;
			must(lockspace_convert(s->ls, &req) == 0);
		}
	}
}

static enum lk_mode mode_of(const char *text)
{
	unsigned int m = 0;

	while (m < LK_MODE_MAX && strcmp(lk_mode_name(m), text) != 0)
		m++;
	must(m < LK_MODE_MAX);
	return (enum lk_mode)m;
}

static struct lockspace *session_open(struct single *s, const char *lockspace,
				      void (*on_event)(void *, const struct lockspace_event *))
{
	const struct lockspace_params params = {
		.name = lockspace, .session = 100, .loop = s->loop, .on_event = on_event, .arg = s};
	int r = lockspace_dlm_ops.open(&params, &s->ls);

	if (r) {
		fprintf(stderr, "dlm_conform: %s: %s\n", lockspace, strerror(-r));
		exit(1);
	}
	qb_loop_run(s->loop);
	return s->ls;
}

static int single(int argc, char **argv)
{
	struct single s = {.loop = qb_loop_create()};

	if (argc != 5)
		return 2;
	s.is_asking = strcmp(argv[1], "--ask") == 0;
	s.name = argv[3];
	s.mode = mode_of(argv[4]);
	session_open(&s, argv[2], single_event);
	return 0;
}

int main(int argc, char **argv)
{
	struct single keeper = {0};
	struct dlm_world w = {.base = {.name = "lockspace over the kernel's DLM",
				       .open = world_open,
				       .release = world_release,
				       .has_valid_after_release = true}};
	int r;

	if (argc > 1 && (!strcmp(argv[1], "--hold") || !strcmp(argv[1], "--ask")))
		return single(argc, argv);
	if (argc == 4 && strcmp(argv[1], "--serve") == 0)
		return remote_serve(&lockspace_dlm_ops, argv[2], (uint16_t)atoi(argv[3]),
				    lockspace_dlm_release_orphans)
			       ? 1
			       : 0;
	if (argc != 2 && argc != 4) {
		fprintf(stderr, "usage: dlm_conform LOCKSPACE [PLACES SERVER]\n");
		return 2;
	}
	w.base.loop = keeper.loop = qb_loop_create();
	w.lockspace = argv[1];
	w.places = argc == 4 ? argv[2] : "LLL";
	w.server = argc == 4 ? argv[3] : NULL;
	session_open(&keeper, w.lockspace, keeper_event);
	r = conform_run(&w.base);
	lockspace_close(keeper.ls);
	return r;
}
