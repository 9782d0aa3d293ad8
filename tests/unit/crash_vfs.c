/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/crash_vfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/prng.h"

#define SECTOR	  512
#define FILES_MAX 8
#define PATH_MAX_ 256

enum op_type { OP_WRITE, OP_TRUNCATE, OP_DELETE };

struct op {
	enum op_type type;
	struct op *next;
	size_t offset, len; /* TRUNCATE: to offset */
	uint8_t data[];
};

struct image {
	bool exists;
	uint8_t *bytes;
	size_t len, cap;
};

struct disk_file {
	char path[PATH_MAX_];
	struct image synced;
	struct op *pending, **pending_end;
};

struct crash_file {
	sqlite3_file base; /* first: SQLite knows no more of it */
	struct disk_file *disk;
	sqlite3_file *real; /* behind this struct */
};

static struct {
	pthread_mutex_t mutex;
	sqlite3_vfs vfs, *real;
	uint64_t step, crash_at;
	bool is_on, has_crashed;
	int failure;
	struct disk_file file[FILES_MAX];
	size_t files;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- what the disk holds */

static void image_apply(struct image *im, const struct op *op, size_t from, size_t to)
{
	size_t end = op->offset + to;

	if (op->type == OP_DELETE) {
		im->exists = false;
		im->len = 0;
		return;
	}
	im->exists = true;
	if (op->type == OP_TRUNCATE)
		end = op->offset;
	if (end > im->cap) {
		im->cap = 2 * end;
		im->bytes = realloc(im->bytes, im->cap);
		must(im->bytes);
	}
	if (end > im->len || op->type == OP_TRUNCATE) {
		if (end > im->len)
			memset(im->bytes + im->len, 0, end - im->len);
		im->len = end;
	}
	if (op->type == OP_WRITE && to > from)
		memcpy(im->bytes + op->offset + from, op->data + from, to - from);
}

static void sync_until(struct disk_file *f, const struct op *end)
{
	while (f->pending != end) {
		struct op *op = f->pending;

		image_apply(&f->synced, op, 0, op->len);
		f->pending = op->next;
		free(op);
	}
	if (!f->pending)
		f->pending_end = &f->pending;
}

/* The first sync of a new file syncs its folder (os_unix.c): what was deleted stays so. */
static void sync_folder(void)
{
	for (size_t i = 0; i < disk.files; i++) {
		const struct op *end = disk.file[i].pending;

		for (const struct op *op = end; op; op = op->next) {
			if (op->type == OP_DELETE)
				end = op->next;
		}
		sync_until(&disk.file[i], end);
	}
}

static void sync_file(struct disk_file *f)
{
	if (!f->synced.exists)
		sync_folder();
	sync_until(f, NULL);
}

static struct disk_file *find_file(const char *path)
{
	struct disk_file *f;

	for (size_t i = 0; i < disk.files; i++) {
		if (!strcmp(disk.file[i].path, path))
			return &disk.file[i];
	}
	must(disk.files < FILES_MAX && strlen(path) < PATH_MAX_);
	f = &disk.file[disk.files++];
	*f = (struct disk_file){.pending_end = &f->pending};
	memcpy(f->path, path, strlen(path) + 1);
	return f;
}

static void push_op(struct disk_file *f, enum op_type type, size_t offset, const void *data,
		    size_t len)
{
	struct op *op = malloc(sizeof(*op) + len);

	must(op);
	*op = (struct op){.type = type, .offset = offset, .len = len};
	if (len)
		memcpy(op->data, data, len);
	*f->pending_end = op;
	f->pending_end = &op->next;
}

/* One step: what SQLite is told, 0 if it may be done. */
static int take_step(bool is_write)
{
	disk.step++;
	if (disk.crash_at && disk.step >= disk.crash_at)
		disk.has_crashed = true;
	if (disk.has_crashed)
		return SQLITE_IOERR;
	return is_write ? disk.failure : SQLITE_OK;
}

static int change(struct disk_file *f, enum op_type type, size_t offset, const void *data,
		  size_t len)
{
	int r;

	pthread_mutex_lock(&disk.mutex);
	r = take_step(type == OP_WRITE);
	if (!r)
		push_op(f, type, offset, data, len);
	pthread_mutex_unlock(&disk.mutex);
	return r;
}

/* Part of an op, in whole sectors of the disk: any of them may be missing. */
static void apply_torn(struct image *im, const struct op *op, struct prng *p)
{
	if (op->type != OP_WRITE) {
		if (prng_chance(p, 1, 2))
			image_apply(im, op, 0, op->len);
		return;
	}
	for (size_t from = 0; from < op->len;) {
		size_t to = SECTOR - (op->offset + from) % SECTOR + from;

		to = to < op->len ? to : op->len;
		if (prng_chance(p, 1, 2))
			image_apply(im, op, from, to);
		from = to;
	}
}

static void apply_pending(struct image *im, const struct disk_file *f, enum crash_kept kept,
			  struct prng *p)
{
	size_t count = 0, n = 0, whole;

	for (const struct op *op = f->pending; op; op = op->next)
		count++;
	whole = kept == CRASH_KEPT_ALL	    ? count
		: kept == CRASH_KEPT_PREFIX ? prng_below(p, count + 1)
					    : 0;
	for (const struct op *op = f->pending; op; op = op->next, n++) {
		bool is_kept = n < whole || (kept == CRASH_KEPT_RANDOM && prng_chance(p, 1, 3));
		bool is_torn = (kept == CRASH_KEPT_PREFIX && n == whole) ||
			       (kept == CRASH_KEPT_RANDOM && !is_kept && prng_chance(p, 1, 2));

		if (is_kept)
			image_apply(im, op, 0, op->len);
		else if (is_torn)
			apply_torn(im, op, p);
	}
}

void crash_vfs_leave(const char *folder, enum crash_kept kept, uint64_t seed)
{
	struct prng p;

	prng_init(&p, seed);
	for (size_t i = 0; i < disk.files; i++) {
		const struct disk_file *f = &disk.file[i];
		const char *slash = strrchr(f->path, '/');
		struct image im = {.exists = f->synced.exists, .len = f->synced.len};
		char path[2 * PATH_MAX_];
		int fd;

		im.cap = im.len + 1;
		im.bytes = malloc(im.cap);
		must(im.bytes && slash);
		if (im.len)
			memcpy(im.bytes, f->synced.bytes, im.len);
		apply_pending(&im, f, kept, &p);
		snprintf(path, sizeof(path), "%s%s", folder, slash);
		unlink(path);
		if (im.exists) {
			fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
			must(fd >= 0 && write(fd, im.bytes, im.len) == (ssize_t)im.len);
			close(fd);
		}
		free(im.bytes);
	}
}

/* ---- files */

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct crash_file *)file)->real;
}

static int x_close(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int x_read(sqlite3_file *file, void *buf, int len, sqlite3_int64 offset)
{
	return real_of(file)->pMethods->xRead(real_of(file), buf, len, offset);
}

static int x_write(sqlite3_file *file, const void *buf, int len, sqlite3_int64 offset)
{
	struct crash_file *f = (struct crash_file *)file;
	int r = change(f->disk, OP_WRITE, (size_t)offset, buf, (size_t)len);

	return r ? r : f->real->pMethods->xWrite(f->real, buf, len, offset);
}

static int x_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct crash_file *f = (struct crash_file *)file;
	int r = change(f->disk, OP_TRUNCATE, (size_t)size, NULL, 0);

	return r ? r : f->real->pMethods->xTruncate(f->real, size);
}

static int x_sync(sqlite3_file *file, int flags)
{
	struct crash_file *f = (struct crash_file *)file;
	int r;

	(void)flags;
	pthread_mutex_lock(&disk.mutex);
	r = take_step(true);
	if (!r)
		sync_file(f->disk);
	pthread_mutex_unlock(&disk.mutex);
	return r;
}

static int x_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), ret);
}

static int x_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int x_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int x_reserved(sqlite3_file *file, int *ret)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret);
}

static int x_control(sqlite3_file *file, int op, void *arg)
{
	/* A hint of the size would grow the real file past the disk's account of it. */
	if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE)
		return SQLITE_NOTFOUND;
	return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int x_sector(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int x_traits(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int x_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
	return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, ret);
}

static int x_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void x_shm_barrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int x_shm_unmap(sqlite3_file *file, int is_delete)
{
	return real_of(file)->pMethods->xShmUnmap(real_of(file), is_delete);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, /* no memory-mapped reads */
	.xClose = x_close,
	.xRead = x_read,
	.xWrite = x_write,
	.xTruncate = x_truncate,
	.xSync = x_sync,
	.xFileSize = x_size,
	.xLock = x_lock,
	.xUnlock = x_unlock,
	.xCheckReservedLock = x_reserved,
	.xFileControl = x_control,
	.xSectorSize = x_sector,
	.xDeviceCharacteristics = x_traits,
	.xShmMap = x_shm_map,
	.xShmLock = x_shm_lock,
	.xShmBarrier = x_shm_barrier,
	.xShmUnmap = x_shm_unmap,
};

static int v_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret)
{
	struct crash_file *f = (struct crash_file *)file;
	int r;

	(void)vfs;
	*f = (struct crash_file){.real = (sqlite3_file *)(f + 1)};
	r = disk.real->xOpen(disk.real, path, f->real, flags, ret);
	if (r)
		return r;
	pthread_mutex_lock(&disk.mutex);
	f->disk = find_file(path ? path : "/temporary");
	if (!disk.has_crashed) /* to make a file is a change as any other */
		push_op(f->disk, OP_WRITE, 0, NULL, 0);
	pthread_mutex_unlock(&disk.mutex);
	f->base.pMethods = &methods;
	return SQLITE_OK;
}

static int v_delete(sqlite3_vfs *vfs, const char *path, int syncs_folder)
{
	struct disk_file *f;
	int r;

	(void)vfs;
	pthread_mutex_lock(&disk.mutex);
	f = find_file(path);
	r = take_step(false);
	if (!r)
		push_op(f, OP_DELETE, 0, NULL, 0);
	if (!r && syncs_folder)
		sync_folder();
	pthread_mutex_unlock(&disk.mutex);
	return r ? r : disk.real->xDelete(disk.real, path, syncs_folder);
}

void crash_vfs_init(uint64_t crash_at)
{
	if (disk.is_on) /* left so by a test that failed */
		crash_vfs_done();
	disk.is_on = true;
	disk.real = sqlite3_vfs_find(NULL);
	must(disk.real);
	disk.vfs = *disk.real;
	disk.vfs.zName = "crash";
	disk.vfs.szOsFile = (int)sizeof(struct crash_file) + disk.real->szOsFile;
	disk.vfs.xOpen = v_open;
	disk.vfs.xDelete = v_delete;
	disk.step = 0;
	disk.crash_at = crash_at;
	disk.has_crashed = false;
	disk.failure = 0;
	must(!sqlite3_vfs_register(&disk.vfs, 1));
}

void crash_vfs_done(void)
{
	must(!sqlite3_vfs_unregister(&disk.vfs));
	disk.is_on = false;
	for (size_t i = 0; i < disk.files; i++) {
		sync_until(&disk.file[i], NULL);
		free(disk.file[i].synced.bytes);
	}
	disk.files = 0;
}

uint64_t crash_vfs_steps(void)
{
	uint64_t n;

	pthread_mutex_lock(&disk.mutex);
	n = disk.step;
	pthread_mutex_unlock(&disk.mutex);
	return n;
}

bool crash_vfs_has_crashed(void)
{
	bool has;

	pthread_mutex_lock(&disk.mutex);
	has = disk.has_crashed;
	pthread_mutex_unlock(&disk.mutex);
	return has;
}

void crash_vfs_fail(int code)
{
	pthread_mutex_lock(&disk.mutex);
	disk.failure = code;
	pthread_mutex_unlock(&disk.mutex);
}
