/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/job.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "csvfs/edge/clone.h"
#include "csvfs/edge/prealloc.h"
#include "csvfs/edge/progress.h"

#define STEPS_MAX      64
#define LINE_MAX_BYTES (2 * PATH_MAX + 64)
#define ID_MAX	       32
#define FOLDER	       ".snapshots" /* of a disk: made when it is needed, and gone when it is empty */

enum step_kind { STEP_MAKE, STEP_CLONE, STEP_REPLACE, STEP_REMOVE };

struct step {
	enum step_kind kind;
	char from[PATH_MAX], to[PATH_MAX];
	char tmp[PATH_MAX]; /* `to`, until it is whole */
	uint64_t size;
	bool is_sparse;
};

struct job {
	const char *id;
	struct step *step;
	size_t count;
	uint64_t done, whole; /* bytes to be written */
	char *text;
	size_t text_size;
};

__attribute__((format(printf, 3, 4))) static int fail(struct job *j, int r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(j->text, j->text_size, format, ap);
	va_end(ap);
	return r;
}

/* ---- the lines */

static bool take_path(const char *field, char to[PATH_MAX])
{
	size_t n = field ? strlen(field) : 0;

	if (!n || n >= PATH_MAX || field[0] != '/' || field[n - 1] == '/')
		return false;
	memcpy(to, field, n + 1);
	return true;
}

/* .NAME.job-ID beside `to`. */
static bool make_temporary(const struct job *j, struct step *s)
{
	const char *name = strrchr(s->to, '/') + 1;
	int n = snprintf(s->tmp, sizeof(s->tmp), "%.*s.%s.job-%s", (int)(name - s->to), s->to, name,
			 j->id);

	return n > 0 && (size_t)n < sizeof(s->tmp);
}

static bool take_step(struct job *j, char *line, struct step *s)
{
	static const char *const words[] = {"make", "clone", "replace", "remove"};
	char *at = NULL, *field[4] = {NULL}, *end;
	size_t n = 0;

	for (char *p = strtok_r(line, "\t", &at); p && n < 4; p = strtok_r(NULL, "\t", &at))
		field[n++] = p;
	for (size_t i = 0; n && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(field[0], words[i]) != 0)
			continue;
		s->kind = (enum step_kind)i;
		if (s->kind == STEP_REMOVE)
			return n == 2 && take_path(field[1], s->to) && make_temporary(j, s);
		if (s->kind != STEP_MAKE)
			return n == 3 && take_path(field[1], s->from) &&
			       take_path(field[2], s->to) && make_temporary(j, s);
		if (n != 4 || !take_path(field[1], s->to) || !make_temporary(j, s))
			return false;
		errno = 0;
		s->size = strtoull(field[2], &end, 10);
		s->is_sparse = !strcmp(field[3], "sparse");
		return !errno && end != field[2] && !*end &&
		       (s->is_sparse || !strcmp(field[3], "full"));
	}
	return false;
}

static int take_lines(struct job *j, FILE *lines)
{
	char line[LINE_MAX_BYTES];

	while (fgets(line, sizeof(line), lines)) {
		size_t n = strcspn(line, "\n");

		if (line[n] != '\n' || j->count == STEPS_MAX)
			return fail(j, -EINVAL, "line %zu: too long, or one too many",
				    j->count + 1);
		line[n] = 0;
		if (!take_step(j, line, &j->step[j->count]))
			return fail(j, -EINVAL, "line %zu: is no work on files", j->count + 1);
		if (j->step[j->count].kind == STEP_MAKE && !j->step[j->count].is_sparse)
			j->whole += j->step[j->count].size;
		j->count++;
	}
	return j->count ? 0 : fail(j, -EINVAL, "there is nothing to be done");
}

/* ---- what is taken away */

static int drop(struct job *j, const char *path)
{
	if (!unlink(path) || errno == ENOENT)
		return 0;
	return fail(j, -errno, "%s: %s", path, strerror(errno));
}

/* The folder of a disk's snapshots, if `path` lies in one. */
static bool folder_of(const char *path, char folder[PATH_MAX])
{
	size_t n = (size_t)(strrchr(path, '/') - path), len = strlen(FOLDER);

	if (n <= len || memcmp(path + n - len, FOLDER, len) != 0)
		return false;
	memcpy(folder, path, n);
	folder[n] = 0;
	return true;
}

/* It stays while there are others in it. */
static void drop_folder(const char *path)
{
	char folder[PATH_MAX];

	if (folder_of(path, folder))
		rmdir(folder);
}

static bool is_ours(const struct job *j, const char *path)
{
	char mark[ID_MAX];
	ssize_t n = lgetxattr(path, CLONE_MARK, mark, sizeof(mark));

	return n == (ssize_t)strlen(j->id) && !memcmp(mark, j->id, (size_t)n);
}

static int undo_step(struct job *j, const struct step *s)
{
	int r = 0;

	if (s->kind == STEP_MAKE || s->kind == STEP_CLONE) {
		r = drop(j, s->tmp);
		if (!r && is_ours(j, s->to))
			r = drop(j, s->to);
		drop_folder(s->to);
	}
	return r;
}

static int undo(struct job *j)
{
	int r = 0;

	for (size_t i = 0; i < j->count && !r; i++)
		r = undo_step(j, &j->step[i]);
	return r;
}

/* ---- what is made */

static int mark_and_name(struct job *j, const struct step *s)
{
	int r = setxattr(s->tmp, CLONE_MARK, j->id, strlen(j->id), 0) ? -errno : 0;

	r = r || !renameat2(AT_FDCWD, s->tmp, AT_FDCWD, s->to, RENAME_NOREPLACE) ? r : -errno;
	return r ? fail(j, r, "%s: %s", s->to, strerror(-r)) : 0;
}

/* What was begun goes on. */
static int do_make(struct job *j, const struct step *s)
{
	char why[PATH_MAX + 256];
	struct stat st;
	int r;

	if (is_ours(j, s->to))
		return 0;
	if (!lstat(s->to, &st))
		return fail(j, -EEXIST, "%s: is there already", s->to);
	if (s->is_sparse) {
		r = drop(j, s->tmp);
		if (r)
			return r;
		r = prealloc_sparse(s->tmp, s->size, why, sizeof(why));
	} else {
		r = prealloc(s->tmp, s->size, true, why, sizeof(why));
	}
	if (r)
		return fail(j, r, "%s: %s", s->to,
			    r == -EINVAL ? "a size that is no multiple of 4096, or below 1 MiB"
					 : strerror(-r));
	return mark_and_name(j, s);
}

static int do_clone(struct job *j, const struct step *s)
{
	const struct clone_options o = {.is_forced = s->kind == STEP_REPLACE,
					.temporary = s->tmp,
					.mark = s->kind == STEP_REPLACE ? NULL : j->id};
	struct clone_result result;
	char folder[PATH_MAX];
	int r = drop(j, s->tmp);

	if (!r && folder_of(s->to, folder) && mkdir(folder, 0700) && errno != EEXIST)
		r = fail(j, -errno, "%s: %s", folder, strerror(errno));
	return r ? r : clone_file(s->from, s->to, &o, &result, j->text, j->text_size);
}

static int do_step(struct job *j, const struct step *s)
{
	int r;

	if (progress_is_interrupted())
		return fail(j, -EINTR, "interrupted");
	progress_part(j->done, j->whole ? j->whole : 1);
	switch (s->kind) {
	case STEP_MAKE:
		r = do_make(j, s);
		j->done += s->is_sparse ? 0 : s->size;
		return r;
	case STEP_REMOVE:
		r = drop(j, s->to);
		drop_folder(s->to);
		return r;
	default:
		return do_clone(j, s);
	}
}

/*
 * Copies belong to one moment: those of an earlier try go first. All sources of a `replace` have to
 * be there before the first file is replaced.
 */
static int prepare(struct job *j)
{
	struct stat st;
	int r = 0;

	for (size_t i = 0; i < j->count && !r; i++) {
		const struct step *s = &j->step[i];

		if (s->kind == STEP_CLONE)
			r = undo_step(j, s);
		else if (s->kind == STEP_REPLACE && stat(s->from, &st))
			r = fail(j, -errno, "%s: %s", s->from, strerror(errno));
	}
	return r;
}

static int work(struct job *j, bool is_undo)
{
	int r = is_undo ? undo(j) : prepare(j);

	for (size_t i = 0; i < j->count && !r && !is_undo; i++)
		r = do_step(j, &j->step[i]);
	return r;
}

int job_run(const char *file, const char *id, bool is_undo, FILE *lines, char *text,
	    size_t text_size)
{
	struct job j = {.id = id, .text = text, .text_size = text_size};
	int fd, r;

	if (strlen(id) >= ID_MAX || strspn(id, "0123456789abcdef") != strlen(id))
		return fail(&j, -EINVAL, "--id %s: a number in hexadecimal", id);
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(&j, -errno, "%s: %s", file, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return fail(&j, -EALREADY, "%s: another process is at it", file);
	}
	progress_begin(fd, true);
	j.step = calloc(STEPS_MAX, sizeof(*j.step));
	r = j.step ? take_lines(&j, lines) : fail(&j, -ENOMEM, "%s", strerror(ENOMEM));
	r = r ? r : work(&j, is_undo);
	free(j.step);
	close(fd);
	return r;
}
