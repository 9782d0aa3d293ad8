/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/look.h"

#include <stdio.h>
#include <string.h>

#include "csvfs/edge/lun.h"
#include "lib/uuid.h"

/* NULL: said what was wrong. */
static const char *device_of(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--device"))
		return argv[2];
	fprintf(stderr, "usage: csvfsd %s --device LUN\n", argv[0]);
	return NULL;
}

int csv_free_main(int argc, char **argv)
{
	const char *device = device_of(argc, argv);
	char text[CSV_LUN_TEXT_MAX];
	int r;

	if (!device)
		return 2;
	r = csv_lun_device_in_use(device, text, sizeof(text));
	if (r)
		fprintf(stderr, "%s\n", text);
	return r ? 1 : 0;
}

int csv_identify_main(int argc, char **argv)
{
	const char *device = device_of(argc, argv);
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
