/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"

void secret_file_name(const char *name, uint64_t version, char ret[SECRET_FILE_MAX])
{
	snprintf(ret, SECRET_FILE_MAX, "%.63s@%016" PRIx64, name, version);
}

bool secret_file_parse(const char *file, struct secret_file *ret)
{
	const char *at = strrchr(file, '@');
	char again[SECRET_FILE_MAX];

	*ret = (struct secret_file){0};
	if (!at || (size_t)(at - file) >= sizeof(ret->name))
		return false;
	memcpy(ret->name, file, (size_t)(at - file));
	if (!secret_name_is_valid(ret->name) || sscanf(at, "@%16" SCNx64, &ret->version) != 1)
		return false;
	secret_file_name(ret->name, ret->version, again);
	return !strcmp(file, again);
}

static int open_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int secret_file_read(const char *dir, const char *file, char value[SECRET_VALUE_MAX])
{
	_cleanup_close_ int in = open_dir(dir);
	_cleanup_close_ int fd = -1;
	struct secret_file parsed;
	struct stat st;
	ssize_t n;

	if (in < 0)
		return in;
	if (!secret_file_parse(file, &parsed))
		return -EBADMSG;
	fd = openat(in, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
		return -EPERM;
	n = read(fd, value, SECRET_VALUE_MAX);
	if (n < 0)
		return -errno;
	if (n == SECRET_VALUE_MAX || memchr(value, 0, (size_t)n))
		return -EBADMSG;
	value[n] = 0;
	return secret_value_is_valid(value) ? 0 : -EBADMSG;
}

static int write_whole(int in, const char *file, const char *value)
{
	_cleanup_close_ int fd = openat(in, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t len = strlen(value);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, value, len);
	if (n < 0 || fsync(fd))
		return -errno;
	return (size_t)n == len ? 0 : -ENOSPC;
}

int secret_file_write(const char *dir, const char *file, const char *value)
{
	_cleanup_close_ int in = open_dir(dir);
	char temporary[SECRET_FILE_MAX + 4];
	int r;

	if (in < 0)
		return in;
	snprintf(temporary, sizeof(temporary), "%s" SECRET_FILE_NEW, file);
	unlinkat(in, temporary, 0);
	r = write_whole(in, temporary, value);
	if (!r && (renameat(in, temporary, in, file) || fsync(in)))
		r = -errno;
	if (r)
		unlinkat(in, temporary, 0);
	return r;
}

int secret_file_remove(const char *dir, const char *file)
{
	static const char zeros[SECRET_VALUE_MAX];
	_cleanup_close_ int in = open_dir(dir);
	_cleanup_close_ int fd = -1;

	if (in < 0)
		return in;
	fd = openat(in, file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (write(fd, zeros, sizeof(zeros)) < 0 || fsync(fd)))
		return -errno;
	return unlinkat(in, file, 0) && errno != ENOENT ? -errno : 0;
}
