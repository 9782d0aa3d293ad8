/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/look.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "csvfs/edge/lun.h"
#include "lib/cleanup.h"
#include "lib/uuid.h"

/* NULL: said what was wrong. The last two, `--lock FILE`, may be missing. */
static const char *device_of(int argc, char **argv, const char **ret_lock)
{
	if ((argc == 3 || (ret_lock && argc == 5 && !strcmp(argv[3], "--lock"))) &&
	    !strcmp(argv[1], "--device")) {
		if (argc == 5)
			*ret_lock = argv[4];
		return argv[2];
	}
	fprintf(stderr, "usage: csvfsd %s --device LUN%s\n", argv[0],
		ret_lock ? " [--lock FILE]" : "");
	return NULL;
}

/* The coordinator whose lock file that is has left no mount: it would not be empty. */
static bool is_unmarked(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !st.st_size;
}

/* What the coordinator has noted of its disk; "" if nothing. */
static void read_mark(const char *path, char *ret, size_t size)
{
	_cleanup_fclose_ FILE *f = path ? fopen(path, "re") : NULL;

	if (!f || !fgets(ret, (int)size, f))
		ret[0] = 0;
}

int csv_free_main(int argc, char **argv)
{
	const char *lock = NULL, *device = device_of(argc, argv, &lock);
	char text[CSV_LUN_TEXT_MAX], mark[256];
	int r;

	if (!device)
		return 2;
	read_mark(lock, mark, sizeof(mark));
	r = csv_lun_pinned_in_use(mark, text, sizeof(text));
	if (r == -EINVAL)
		r = csv_lun_device_in_use(device, text, sizeof(text));
	/* A node that does not have the LUN has nothing to look at; the lock file speaks for it. */
	if (r == -ENOENT && lock && is_unmarked(lock))
		return 0;
	if (r)
		fprintf(stderr, "%s\n", text);
	return r ? 1 : 0;
}

int csv_identify_main(int argc, char **argv)
{
	const char *device = device_of(argc, argv, NULL);
	char text[CSV_LUN_TEXT_MAX], volume[UUID_TEXT], cluster[UUID_TEXT];
	struct csv_lun *lun;

	if (!device)
		return 2;
	if (csv_lun_open(device, false, &lun, text, sizeof(text))) {
		fprintf(stderr, "%s\n", text);
		return 1;
	}
	uuid_text(csv_lun_volume(lun)->byte, volume);
	uuid_text(csv_lun_cluster(lun)->byte, cluster);
	/* A name is a label: letters, digits, '.', '_', '-'. */
	printf("{\"name\": \"%s\", \"uuid\": \"%s\", \"cluster\": \"%s\"}\n", csv_lun_name(lun),
	       volume, cluster);
	csv_lun_close(lun);
	return 0;
}
