/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/psk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"

#define PATH_BYTES 640

/*
 * The group ffdhe2048 of RFC 7919. Without a file QEMU makes a group of its own, which takes
 * seconds during which its monitor is deaf; TLS 1.3 uses neither.
 */
static const char dh_params[] = "-----BEGIN DH PARAMETERS-----\n"
				"MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz\n"
				"+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a\n"
				"87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7\n"
				"YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi\n"
				"7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD\n"
				"ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==\n"
				"-----END DH PARAMETERS-----\n";

static const char *const files[] = {"keys.psk", "dh-params.pem"};

static int write_file(const char *dir, const char *name, const char *text, size_t n)
{
	char path[PATH_BYTES];
	_cleanup_close_ int fd = -1;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errno = EIO; /* of a short write */
	return write(fd, text, n) == (ssize_t)n ? 0 : -errno;
}

int psk_write(const char *dir, const struct mig_hash *key)
{
	char line[sizeof(PSK_USER) + 2 * MIG_KEY + 4];
	size_t n = sizeof(PSK_USER);
	int r;

	psk_remove(dir);
	if (mkdir(dir, 0700) < 0)
		return -errno;
	snprintf(line, sizeof(line), "%s:", PSK_USER);
	for (size_t i = 0; i < MIG_KEY; i++)
		snprintf(line + n + 2 * i, 3, "%02x", key->byte[i]);
	n += (size_t)2 * MIG_KEY;
	line[n++] = '\n';
	r = write_file(dir, files[0], line, n);
	explicit_bzero(line, sizeof(line));
	r = r ? r : write_file(dir, files[1], dh_params, sizeof(dh_params) - 1);
	if (r)
		psk_remove(dir);
	return r;
}

void psk_remove(const char *dir)
{
	char path[PATH_BYTES];

	for (size_t i = 0; i < MUST_ARRAY_SIZE(files); i++) {
		if (snprintf(path, sizeof(path), "%s/%s", dir, files[i]) < (int)sizeof(path))
			(void)unlink(path);
	}
	(void)rmdir(dir);
}
