/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directories of mounts below .csv/sessions: a file for each slot, whose attribute is the record.
 *
 * Nothing here is forced by itself. The log is ordered: a record that is in it comes with the file
 * and the directory that were made before.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/cleanup.h"
#include "lib/must.h"

#define MOUNT_NAME_MAX 17 /* 16 hexadecimal digits */
#define SLOT_NAME_MAX  8

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

static void mount_name(uint64_t id, char ret_name[MOUNT_NAME_MAX])
{
	snprintf(ret_name, MOUNT_NAME_MAX, "%016" PRIx64, id);
}

static bool mount_parse(const char *name, uint64_t *ret_id)
{
	char again[MOUNT_NAME_MAX];
	uint64_t id = strtoull(name, NULL, 16);

	mount_name(id, again);
	if (strcmp(name, again) != 0)
		return false;
	*ret_id = id;
	return true;
}

static void slot_name(uint16_t slot, char ret_name[SLOT_NAME_MAX])
{
	snprintf(ret_name, SLOT_NAME_MAX, "%u", slot);
}

static void mount_free(struct backing_mount *m)
{
	for (size_t i = 0; i < CSV_SLOTS; i++) {
		if (m->slot_fd[i] >= 0)
			close(m->slot_fd[i]);
	}
	if (m->dir_fd >= 0)
		close(m->dir_fd);
	free(m);
}

void backing_mounts_free(struct backing *b)
{
	struct backing_mount *m;

	while ((m = b->mounts)) {
		b->mounts = m->next;
		mount_free(m);
	}
}

static struct backing_mount *mount_find(struct backing *b, uint64_t id)
{
	struct backing_mount *m = b->mounts;

	while (m && m->id != id)
		m = m->next;
	return m;
}

/* Takes up the mount's directory, and those slots that it has. Under mounts_lock. */
static int mount_add(struct backing *b, uint64_t id, struct backing_mount **ret)
{
	struct backing_mount *m = calloc(1, sizeof(*m));
	char name[MOUNT_NAME_MAX], slot[SLOT_NAME_MAX];
	int r;

	if (!m)
		return -ENOMEM;
	m->id = id;
	for (size_t i = 0; i < CSV_SLOTS; i++)
		m->slot_fd[i] = -1;
	mount_name(id, name);
	m->dir_fd = openat(b->sessions_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = m->dir_fd < 0 ? -errno : backing_row_pin(b, m->dir_fd, "");
	for (uint16_t i = 0; !r && i < CSV_SLOTS; i++) {
		slot_name(i, slot);
		r = backing_row_pin(b, m->dir_fd, slot);
		if (r == -ENOENT)
			r = 0;
	}
	if (r) {
		mount_free(m);
		return r;
	}
	m->next = b->mounts;
	b->mounts = m;
	*ret = m;
	return 0;
}

int backing_mounts_load(struct backing *b)
{
	int fd = openat(b->sessions_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct backing_mount *m;
	struct dirent *e;
	uint64_t id;
	int r;

	if (!d)
		return -errno;
	while ((errno = 0, e = readdir(d))) {
		if (!mount_parse(e->d_name, &id))
			continue;
		r = mount_add(b, id, &m);
		if (r)
			return r;
	}
	return -errno;
}

static int mount_make(struct backing *b, const char *name)
{
	if (!mkdirat(b->sessions_fd, name, 0700) || errno == EEXIST)
		return 0;
	return -errno;
}

/* The mount's row; makes its directory if this is its first change. */
static int mount_get(struct backing *b, uint64_t id, struct backing_mount **ret)
{
	char name[MOUNT_NAME_MAX];
	int r = 0;

	pthread_mutex_lock(&b->mounts_lock);
	*ret = mount_find(b, id);
	if (!*ret) {
		mount_name(id, name);
		r = mount_make(b, name);
		failpoint(FAIL_MOUNT_MADE, 0, id);
		r = r ? r : mount_add(b, id, ret);
	}
	pthread_mutex_unlock(&b->mounts_lock);
	return r;
}

static int slot_open(struct backing *b, struct backing_mount *m, uint16_t slot, int flags)
{
	char name[SLOT_NAME_MAX];
	int r;

	if (m->slot_fd[slot] >= 0)
		return m->slot_fd[slot];
	slot_name(slot, name);
	r = openat(m->dir_fd, name, flags | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (r < 0)
		return -errno;
	m->slot_fd[slot] = r;
	if (flags & O_CREAT)
		failpoint(FAIL_SLOT_MADE, 0, m->id);
	r = backing_row_pin(b, m->slot_fd[slot], "");
	return r ? r : m->slot_fd[slot];
}

int backing_slot(struct backing *b, uint64_t mount, uint16_t slot)
{
	struct backing_mount *m;
	int r = mount_get(b, mount, &m);

	r = r ? r : slot_open(b, m, slot, O_CREAT);
	return r;
}

int backing_record_store(int slot_fd, const struct record *r)
{
	uint8_t buf[RECORD_BYTES];

	must(!record_encode(r, buf));
	return fsetxattr(slot_fd, BACKING_XATTR, buf, sizeof(buf), 0) ? -errno : 0;
}

int backing_record_load(int slot_fd, struct record *ret)
{
	uint8_t buf[RECORD_BYTES];
	ssize_t n = fgetxattr(slot_fd, BACKING_XATTR, buf, sizeof(buf));

	return n < 0 ? -errno : record_decode(buf, (size_t)n, ret);
}

int backing_records(struct backing *b,
		    void (*found)(void *arg, uint64_t mount, uint16_t slot, uint64_t seq,
				  bool is_done),
		    void *arg)
{
	struct record record;
	int r;

	for (struct backing_mount *m = b->mounts; m; m = m->next) {
		for (uint16_t i = 0; i < CSV_SLOTS; i++) {
			r = slot_open(b, m, i, 0);
			r = r < 0 ? r : backing_record_load(r, &record);
			if (r == -ENOENT || r == -ENODATA)
				continue;
			if (r)
				return r;
			found(arg, m->id, i, record.seq, record.is_done);
		}
	}
	return 0;
}

int backing_mounts(struct backing *b, void (*found)(void *arg, uint64_t mount), void *arg)
{
	for (struct backing_mount *m = b->mounts, *next; m; m = next) {
		next = m->next; /* `found` may drop it */
		found(arg, m->id);
	}
	return 0;
}

static int mount_remove(struct backing *b, struct backing_mount *m)
{
	char name[MOUNT_NAME_MAX], slot[SLOT_NAME_MAX];

	for (uint16_t i = 0; i < CSV_SLOTS; i++) {
		slot_name(i, slot);
		backing_row_unpin(b, m->dir_fd, slot);
		if (unlinkat(m->dir_fd, slot, 0) && errno != ENOENT)
			return -errno;
	}
	backing_row_unpin(b, m->dir_fd, "");
	mount_name(m->id, name);
	return unlinkat(b->sessions_fd, name, AT_REMOVEDIR) ? -errno : 0;
}

int backing_drop(struct backing *b, uint64_t mount, bool is_serving)
{
	struct backing_mount **at, *m;
	int r = backing_opens_drop(b, mount, is_serving);

	failpoint(FAIL_DROP_CLOSED, 0, mount);
	pthread_mutex_lock(&b->mounts_lock);
	for (at = &b->mounts; *at && (*at)->id != mount;)
		at = &(*at)->next;
	m = *at;
	if (!r && m) {
		r = mount_remove(b, m);
		if (!r) {
			*at = m->next;
			mount_free(m);
		}
	}
	pthread_mutex_unlock(&b->mounts_lock);
	return r;
}
