/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csvfs/edge/lun.h for live tests: lun_tool COMMAND LUN [ARGUMENT...]. Prints the result on stdout;
 * on failure `ERRNO-NAME text`, and ends with 1.
 *
 *   term-read LUN                               term slot node incarnation generation
 *   term-write LUN TERM SLOT NODE INCARNATION
 *   in-use LUN
 *   watch LUN             opens, prints "open"; then for each line on stdin: is it in use?
 *   hold LUN              attaches, prints the device, waits for a line on stdin, detaches
 *   pin LUN               attaches, prints how the disk is known, ends without detaching
 *   leak LUN              attaches, prints the device, ends without detaching
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csvfs/edge/lun.h"

static char text[CSV_LUN_TEXT_MAX];

static int term_read(struct csv_lun *lun)
{
	struct csv_term t;
	int r = csv_lun_term_read(lun, &t);

	if (!r)
		printf("%" PRIu64 " %u %s %" PRIu64 " %" PRIu64 "\n", t.term, t.slot, t.node.text,
		       t.incarnation, t.generation);
	return r;
}

static int term_write(struct csv_lun *lun, char **arg)
{
	struct csv_term t = {.term = strtoull(arg[0], NULL, 10),
			     .slot = (uint8_t)strtoul(arg[1], NULL, 10),
			     .incarnation = strtoull(arg[3], NULL, 10)};

	snprintf(t.node.text, sizeof(t.node.text), "%s", arg[2]);
	return csv_lun_term_write(lun, &t, text, sizeof(text));
}

static int attach(struct csv_lun *lun, bool is_hold)
{
	char dev[CSV_LUN_DEV_MAX], line[16];
	int r = csv_lun_attach(lun, dev, sizeof(dev), text, sizeof(text));

	if (r)
		return r;
	printf("%s\n", dev);
	fflush(stdout);
	if (!is_hold)
		return 0;
	if (!fgets(line, sizeof(line), stdin))
		line[0] = 0;
	return csv_lun_detach(lun, text, sizeof(text));
}

static int pin(struct csv_lun *lun)
{
	char dev[CSV_LUN_DEV_MAX], line[256];
	int r = csv_lun_attach(lun, dev, sizeof(dev), text, sizeof(text));

	r = r ? r : csv_lun_pin(lun, dev, line, sizeof(line));
	if (!r)
		printf("%s\n", line);
	return r;
}

static int watch(const struct csv_lun *lun)
{
	char line[16];

	for (printf("open\n"), fflush(stdout); fgets(line, sizeof(line), stdin); fflush(stdout)) {
		int r = csv_lun_in_use(lun, text, sizeof(text));

		printf("%s %s\n", r ? strerrorname_np(-r) : "unused", r ? text : "");
	}
	return 0;
}

static int run(struct csv_lun *lun, int argc, char **argv)
{
	if (!strcmp(argv[1], "term-read"))
		return term_read(lun);
	if (!strcmp(argv[1], "term-write") && argc == 7)
		return term_write(lun, argv + 3);
	if (!strcmp(argv[1], "in-use"))
		return csv_lun_in_use(lun, text, sizeof(text));
	if (!strcmp(argv[1], "watch"))
		return watch(lun);
	if (!strcmp(argv[1], "hold"))
		return attach(lun, true);
	if (!strcmp(argv[1], "pin"))
		return pin(lun);
	if (!strcmp(argv[1], "leak"))
		return attach(lun, false);
	return -EINVAL;
}

int main(int argc, char **argv)
{
	struct csv_lun *lun = NULL;
	int r;

	if (argc < 3)
		return 2;
	r = csv_lun_open(argv[2], true, &lun, text, sizeof(text));
	if (!r)
		r = run(lun, argc, argv);
	csv_lun_close(lun);
	if (r)
		printf("%s %s\n", strerrorname_np(-r), text);
	return r ? 1 : 0;
}
