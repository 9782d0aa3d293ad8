/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replays inputs through a fuzz target without libFuzzer, so that every compiler and `make check`
 * can do it. Linked with one target:
 *
 *   fuzz_msg [FILE...]    without files: all of $srcdir/tests/fuzz/corpus/<name of the program>/
 *
 * An empty or missing corpus is a failure. A finding aborts; the file's name was printed before.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (1024 * 1024)

static int replay(const char *path)
{
	_cleanup_free_ uint8_t *data = NULL;
	_cleanup_free_ uint8_t *exact = NULL;
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	size_t len;

	data = malloc(INPUT_MAX);
	if (!file || !data) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	len = fread(data, 1, INPUT_MAX, file);
	if (ferror(file) || !feof(file)) {
		fprintf(stderr, "%s: cannot read, or too long\n", path);
		return -1;
	}
	exact = malloc(len ? len : 1); /* so that the sanitizer sees a read past the end */
	if (!exact)
		return -1;
	memcpy(exact, data, len);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(exact, len);
	return 0;
}

static int no_dots(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int replay_folder(const char *folder)
{
	struct dirent **list = NULL;
	int n = scandir(folder, &list, no_dots, alphasort);
	int r = n > 0 ? 0 : -1;

	if (n <= 0)
		fprintf(stderr, "%s: %s\n", folder, n ? strerror(errno) : "no inputs");
	for (int i = 0; i < n; i++) {
		char path[1024];

		snprintf(path, sizeof(path), "%s/%s", folder, list[i]->d_name);
		if (replay(path))
			r = -1;
		free(list[i]);
	}
	free(list);
	return r;
}

int main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir");
	const char *name = strrchr(argv[0], '/');
	char folder[512];
	int r = 0;

	for (int i = 1; i < argc; i++) {
		if (replay(argv[i]))
			r = -1;
	}
	if (argc == 1) {
		snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".",
			 name ? name + 1 : argv[0]);
		r = replay_folder(folder);
	}
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
