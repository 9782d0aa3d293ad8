/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusterd/core/job.h"
#include "clusterd/core/vm.h"
#include "clusterd/edge/log.h"
#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/run.h"

#define JOBS_TIMER_NS	(500 * 1000 * 1000ull)
#define JOBS_REQUEST_MS 10000
#define JOBS_REPORT_MS	2000
#define JOBS_AGAIN_MS	2000  /* after a try that failed or was not taken, twice that, and so on */
#define JOBS_AGAIN_MAX	5     /* so often */
#define JOBS_WAIT_MS	60000 /* for a virtual machine that neither runs nor is off */
#define JOBS_COPY_MS	(10 * 60 * 1000) /* for all but new disks, which are written in full */
#define JOBS_GRACE_MS	30000 /* from SIGTERM to SIGKILL: what it was at may be one long request */
#define JOBS_HOLD_MS	"20000" /* a guest stands still for its copies, at most */
#define JOBS_STILL_MS	"10000" /* until it does */
#define JOBS_PATH_MAX	512
#define JOBS_LINE_MAX	64

/* A job of this node, from its order until the database has its end. */
struct job_local {
	struct job_local *next;
	struct jobs *jobs;
	uint64_t id, order; /* that is carried out */
	char path[JOBS_PATH_MAX];
	struct run *run;
	bool is_cancelled, was_running;
	bool has_ended, is_success; /* the cluster is to be told */
	char reason[DB_REASON_MAX];
	bool request_runs;
	uint8_t tries;
	uint64_t again_ms, since_ms, report_ms;
	uint64_t done, total, told_done;
};

struct jobs {
	struct engine *engine;
	struct jobs_options options;
	qb_loop_timer_handle timer;
	struct job_local *locals;
};

static void put_off(struct job_local *l)
{
	l->again_ms = engine_now_ms() + ((uint64_t)JOBS_AGAIN_MS << l->tries);
	l->tries = (uint8_t)(l->tries + (l->tries < JOBS_AGAIN_MAX));
}

/* ---- telling the cluster */

static void told(void *arg, int r, const struct db_result *result)
{
	struct job_local *l = arg;

	l->request_runs = false;
	if (!l->has_ended)
		return;
	if (!r && !result->code) {
		l->has_ended = false; /* what follows is another order, or the same once more */
		return;
	}
	if (!r)
		log_info("job %" PRIu64 ": not taken: %s", l->id, result->text);
	put_off(l);
}

static void submit(struct job_local *l, const struct db_command *cmd)
{
	if (!l->request_runs)
		l->request_runs = !engine_request(l->jobs->engine, cmd, JOBS_REQUEST_MS, told, l);
}

static void tell_end(struct job_local *l)
{
	struct db_command cmd = engine_command(l->jobs->engine, DB_CMD_JOB_END);

	cmd.job_end.id = l->id;
	cmd.job_end.order = l->order;
	cmd.job_end.is_success = l->is_success;
	cmd.job_end.was_running = l->was_running;
	snprintf(cmd.job_end.reason, sizeof(cmd.job_end.reason), "%s", l->reason);
	submit(l, &cmd);
}

/* One line on a local disk, which the process writes. */
static bool read_progress(struct job_local *l)
{
	_cleanup_close_ int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char line[JOBS_LINE_MAX], *end;
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

	if (n <= 0)
		return false;
	line[n] = 0;
	l->done = strtoull(line, &end, 10);
	l->total = strtoull(end, NULL, 10);
	if (l->done > l->total)
		l->done = l->total;
	return l->total && l->done != l->told_done;
}

static void report(struct job_local *l)
{
	struct db_command cmd = engine_command(l->jobs->engine, DB_CMD_JOB_REPORT);

	if (engine_now_ms() - l->report_ms < JOBS_REPORT_MS || l->request_runs)
		return;
	l->report_ms = engine_now_ms();
	if (!read_progress(l))
		return;
	l->told_done = l->done;
	cmd.job_report.id = l->id;
	cmd.job_report.order = l->order;
	cmd.job_report.done_bytes = l->done;
	cmd.job_report.total_bytes = l->total;
	submit(l, &cmd);
}

/* ---- the process */

static void ended(struct job_local *l, bool is_success, const char *reason)
{
	l->has_ended = true;
	l->is_success = is_success;
	snprintf(l->reason, sizeof(l->reason), "%s", reason);
	log_notice("job %" PRIu64 ": %s", l->id, l->reason);
}

static void done(void *data, const struct run_result *result)
{
	struct job_local *l = data;
	char text[DB_REASON_MAX];
	const char *said = text;

	l->run = NULL;
	if (l->is_cancelled)
		return;
	if (result->kind == RUN_EXITED && result->code == 0) {
		snprintf(text, sizeof(text), "done in %" PRIu64 " ms",
			 result->ended_ms - result->started_ms);
		ended(l, true, text);
		return;
	}
	if (result->kind == RUN_EXITED && result->code == 75) { /* EX_TEMPFAIL */
		put_off(l);
		return;
	}
	run_output_text(&result->err, 1, text, sizeof(text));
	if (strstr(text, ": ")) /* after the name of the program */
		said = strstr(text, ": ") + 2;
	ended(l, false, text[0] ? said : run_kind_name(result->kind));
	put_off(l);
}

static void start(struct job_local *l, const struct db_job *j, const struct db_vm *held)
{
	const struct jobs_options *o = &l->jobs->options;
	char id[32];
	const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	const char *const argv[] = {o->vm_host,
				    "quiesce",
				    "--uuid",
				    held ? held->uuid : "",
				    "--run-dir",
				    o->vm_run_dir,
				    "--hold",
				    JOBS_HOLD_MS,
				    "--timeout",
				    JOBS_STILL_MS,
				    "--",
				    o->csvadm,
				    "job",
				    l->path,
				    "--id",
				    id,
				    j->is_undo ? "--undo" : NULL,
				    NULL};
	size_t skip = held ? 0 : 11; /* from o->csvadm on */
	struct run_options r = RUN_OPTIONS_INIT;

	snprintf(id, sizeof(id), "%" PRIx64 "%012" PRIx64, l->id, j->asked_ms);
	r.path = argv[skip];
	r.argv = argv + skip;
	r.envp = env;
	r.input = j->work;
	r.input_len = strlen(j->work);
	r.timeout_ms = j->kind == DB_JOB_KIND_MAKE && !j->is_undo ? RUN_TIMEOUT_MAX : JOBS_COPY_MS;
	r.grace_ms = JOBS_GRACE_MS;
	l->is_cancelled = false;
	l->was_running = held;
	l->done = l->total = l->told_done = 0;
	if (run_start(l->jobs->engine->loop, &r, done, l, &l->run)) {
		put_off(l);
		return;
	}
	log_notice("job %" PRIu64 " of vm %s: %s%s begins%s", l->id, j->vm,
		   j->is_undo ? "undo " : "", job_word(j), held ? ", the guest is kept still" : "");
}

static void begin(struct job_local *l, const struct db_job *j)
{
	const struct db *db = &l->jobs->engine->db;
	bool runs;

	if (!l->since_ms)
		l->since_ms = engine_now_ms();
	if (job_may_begin(db, j, &runs))
		start(l, j,
		      runs ? db_find(db, DB_KIND_VM, j->source[0] ? j->source : j->vm) : NULL);
	else if (engine_now_ms() - l->since_ms > JOBS_WAIT_MS)
		ended(l, false, "the virtual machine neither runs here nor is off");
}

/* ---- what is to be done */

static struct job_local *local_of(struct jobs *s, const struct db_job *j)
{
	struct job_local *l = s->locals;

	while (l && l->id != j->id)
		l = l->next;
	if (l)
		return l;
	l = calloc(1, sizeof(*l));
	must(l);
	l->jobs = s;
	l->id = j->id;
	l->order = j->order;
	snprintf(l->path, sizeof(l->path), "%s/job-%" PRIu64, s->options.run_dir, j->id);
	l->next = s->locals;
	s->locals = l;
	return l;
}

static bool is_ours(const struct jobs *s, const struct db_job *j)
{
	const struct repl_state *r = &s->engine->repl;

	return j->order && j->node == r->self_slot && j->incarnation == r->self.incarnation &&
	       j->instance == r->self.instance;
}

static void cancel(struct job_local *l)
{
	if (!l->is_cancelled)
		run_cancel(l->run, JOBS_GRACE_MS);
	l->is_cancelled = true;
}

static void look_at(struct job_local *l, const struct db_job *j)
{
	if (l->run && l->order != j->order) {
		cancel(l);
	} else if (l->run) {
		report(l);
	} else if (l->order != j->order) {
		if (l->request_runs)
			return;
		l->order = j->order;
		l->has_ended = false;
		l->tries = 0;
		l->again_ms = l->since_ms = 0;
	} else if (engine_now_ms() < l->again_ms || l->request_runs) {
		return;
	} else if (l->has_ended) {
		tell_end(l);
	} else if (engine_may_act(l->jobs->engine)) {
		begin(l, j);
	}
}

/* The database has nothing of it for us any more. */
static void drop_old(struct jobs *s)
{
	struct job_local **at = &s->locals, *l;

	while ((l = *at)) {
		const struct db_job *j = db_find_id(&s->engine->db, DB_KIND_JOB, l->id);

		if (j && is_ours(s, j)) {
			at = &l->next;
			continue;
		}
		if (l->run)
			cancel(l);
		if (l->run || l->request_runs) {
			at = &l->next;
			continue;
		}
		unlink(l->path);
		*at = l->next;
		free(l);
	}
}

void jobs_changed(struct jobs *s)
{
	const struct db *db = &s->engine->db;

	if (s->engine->repl.phase != REPL_OPEN)
		return;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_JOB); i++) {
		const struct db_job *j = db_at(db, DB_KIND_JOB, i);

		if (is_ours(s, j))
			look_at(local_of(s, j), j);
	}
	drop_old(s);
}

static void on_timer(void *arg)
{
	struct jobs *s = arg;

	qb_loop_timer_add(s->engine->loop, QB_LOOP_MED, JOBS_TIMER_NS, s, on_timer, &s->timer);
	jobs_changed(s);
}

int jobs_open(struct engine *e, const struct jobs_options *options, struct jobs **ret, char *text,
	      size_t text_size)
{
	struct jobs *s = calloc(1, sizeof(*s));

	must(s);
	s->engine = e;
	s->options = *options;
	if (mkdir(options->run_dir, 0700) < 0 && errno != EEXIST) {
		int r = -errno;

		snprintf(text, text_size, "cannot make %s: %s", options->run_dir, strerror(-r));
		free(s);
		return r;
	}
	qb_loop_timer_add(e->loop, QB_LOOP_MED, JOBS_TIMER_NS, s, on_timer, &s->timer);
	*ret = s;
	return 0;
}

void jobs_close(struct jobs *s)
{
	if (!s)
		return;
	qb_loop_timer_del(s->engine->loop, s->timer);
	for (struct job_local *l = s->locals, *next; l; l = next) {
		next = l->next;
		if (l->run)
			run_free(l->run);
		free(l);
	}
	free(s);
}
