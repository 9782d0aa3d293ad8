/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvfsd: one program, one role for each process. */
#include <stdio.h>
#include <string.h>

#include "csvfs/edge/coordinate.h"
#include "csvfs/edge/look.h"
#include "csvfs/edge/mount.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} roles[] = {
	{"mount", csv_mount_main, "mount a volume on this node"},
	{"coordinate", csv_coordinate_main, "coordinate a volume for all nodes"},
	{"identify", csv_identify_main, "say what volume a LUN carries"},
	{"free", csv_free_main, "prove that nothing here has a LUN's file system mounted"},
};

static int usage(FILE *to, int status)
{
	fprintf(to, "usage: csvfsd ROLE [OPTION...]\n"
		    "       csvfsd --help | --version\n"
		    "\n"
		    "Serves a shared volume; started by clusterd.\n"
		    "\n");
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		fprintf(to, "  %-10s %s: csvfsd %s --help\n", roles[i].name, roles[i].what,
			roles[i].name);
	return status;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr, 2);
	if (!strcmp(argv[1], "--help"))
		return usage(stdout, 0);
	if (!strcmp(argv[1], "--version")) {
		printf("csvfsd %s\n", CLUSTERD_VERSION);
		return 0;
	}
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (!strcmp(argv[1], roles[i].name))
			return roles[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "csvfsd: unknown role %s\n", argv[1]);
	return usage(stderr, 2);
}
