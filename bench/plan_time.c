/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plan_time NODES MACHINES RUNS: what one run of the planner takes on a database of that size, in
 * the moments that matter. The database is made by db_apply(), with the limits of a product build.
 *
 * One line of JSON for each moment: {"moment": ..., "orders": of the first run, "ms": [of each]}.
 * "boot" has besides what it takes until everything is ordered, db_apply() of the orders included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clusterd/core/msg.h"
#include "clusterd/core/plan.h"
#include "lib/must.h"

#define INCARNATION 0x100u
#define MOUNT_ID    0xd00000u

struct bench {
	struct db db;
	uint64_t request;
	unsigned int nodes, machines, runs;
	struct plan_orders orders;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void apply(struct bench *b, const struct db_command *cmd)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_result result;
	struct db_entry e = {.index = b->db.index + 1,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = 1,
			     .request = ++b->request,
			     .payload = buf};

	must(!db_command_encode(cmd, buf, sizeof(buf), &e.payload_len));
	db_apply(&b->db, &e, &result);
	if (result.code) {
		fprintf(stderr, "plan_time: %s\n", result.text);
		exit(1);
	}
}

/* ---- the database */

static void make_nodes(struct bench *b)
{
	for (unsigned int i = 0; i < b->nodes; i++) {
		struct db_command c = {.type = DB_CMD_NODE_ADMIT,
				       .node_admit = {.slot = (uint8_t)i,
						      .nodeid = i + 1,
						      .incarnation = INCARNATION + i,
						      .instance = 1}};

		snprintf(c.node_admit.name, sizeof(c.node_admit.name), "n%u", i + 1);
		snprintf(c.node_admit.boot, sizeof(c.node_admit.boot), "boot-%u", i);
		apply(b, &c);
	}
}

static void make_volume(struct bench *b)
{
	struct db_command c = {.type = DB_CMD_VOLUME_CREATE,
			       .volume_create = {.name = "v",
						 .uuid = "11111111-2222-3333-4444-555555555555",
						 .device = "/dev/lun"}};
	const struct db_volume *v;

	apply(b, &c);
	plan_run(&b->db, &b->orders);
	apply(b, &(struct db_command){.type = DB_CMD_VOLUME_ORDER,
				      .volume_order = b->orders.volume[0]});
	v = db_find(&b->db, DB_KIND_VOLUME, "v");
	apply(b, &(struct db_command){.type = DB_CMD_VOLUME_REPORT,
				      .volume_report = {.name = "v",
							.order = v->order,
							.work = DB_WORK_ONLINE,
							.port = 7001}});
	for (unsigned int i = 0; i < b->nodes; i++) {
		apply(b, &(struct db_command){.type = DB_CMD_MOUNT_SET,
					      .mount_set = {.volume = "v",
							    .slot = (uint8_t)i,
							    .incarnation = INCARNATION + i,
							    .id = MOUNT_ID + i}});
		apply(b, &(struct db_command){.type = DB_CMD_MOUNT_REPORT,
					      .mount_report = {.volume = "v",
							       .slot = (uint8_t)i,
							       .id = MOUNT_ID + i}});
	}
}

static void make_machines(struct bench *b)
{
	for (unsigned int i = 0; i < b->machines; i++) {
		struct db_command c = {
			.type = DB_CMD_VM_CREATE,
			.vm_create = {.definition = "{}", .volumes = "v", .priority = 100}};
		struct db_command start = {
			.type = DB_CMD_GROUP_INTENT,
			.group_intent = {.intent = DB_INTENT_ONLINE, .wish = CL_NODE_NONE}};

		snprintf(c.vm_create.name, sizeof(c.vm_create.name), "vm%04u", i);
		snprintf(c.vm_create.uuid, sizeof(c.vm_create.uuid),
			 "aaaaaaaa-0000-0000-0000-%012x", i);
		apply(b, &c);
		memcpy(start.group_intent.name, c.vm_create.name, sizeof(start.group_intent.name));
		apply(b, &start);
	}
}

/* ---- moments */

/* Prints a moment up to its times; the caller may add, and ends the line. */
static void measure(struct bench *b, const char *moment)
{
	double begin;

	for (unsigned int i = 0; i < b->runs; i++) {
		begin = now_ms();
		plan_run(&b->db, &b->orders);
		if (!i)
			printf("{\"moment\": \"%s\", \"orders\": %zu, \"ms\": [", moment,
			       b->orders.count + b->orders.migration_count +
				       b->orders.volume_count);
		printf("%s%.4f", i ? ", " : "", now_ms() - begin);
	}
	printf("]");
}

static void start_reported(struct bench *b, const char *name)
{
	const struct db_group *g = db_find(&b->db, DB_KIND_GROUP, name);
	struct db_command c = {.type = DB_CMD_GROUP_REPORT,
			       .group_report = {.order = g->order, .work = DB_WORK_ONLINE}};

	memcpy(c.group_report.name, g->name, sizeof(g->name));
	apply(b, &c);
}

/* Gives orders until there are none, each carried out with success at once. */
static void boot(struct bench *b)
{
	double begin = now_ms();
	unsigned int plans = 0;

	for (plan_run(&b->db, &b->orders); b->orders.count; plan_run(&b->db, &b->orders)) {
		for (size_t i = 0; i < b->orders.count; i++) {
			apply(b, &(struct db_command){.type = DB_CMD_GROUP_ORDER,
						      .group_order = b->orders.item[i]});
			start_reported(b, b->orders.item[i].name);
		}
		plans++;
	}
	printf(", \"all_ms\": %.3f, \"plans\": %u}\n", now_ms() - begin, plans);
}

static void node_command(struct bench *b, enum db_cmd_type type)
{
	struct db_command c = {.type = type};

	/* The last node: it has no coordinator. */
	if (type == DB_CMD_NODE_PAUSE) {
		c.node_pause.pause = c.node_pause.drain = true;
		snprintf(c.node_pause.name, sizeof(c.node_pause.name), "n%u", b->nodes);
	} else {
		c.node_lost.incarnation = INCARNATION + b->nodes - 1;
		snprintf(c.node_lost.name, sizeof(c.node_lost.name), "n%u", b->nodes);
	}
	apply(b, &c);
}

static void recover(struct bench *b)
{
	const struct db_volume *v = db_find(&b->db, DB_KIND_VOLUME, "v");
	unsigned int last = b->nodes - 1;

	apply(b, &(struct db_command){.type = DB_CMD_VOLUME_RECOVERED,
				      .volume_recovered = {.volume = "v",
							   .term = v->term,
							   .slot = (uint8_t)last,
							   .incarnation = INCARNATION + last,
							   .id = MOUNT_ID + last}});
}

static struct bench *bench_new(char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));
	void *mem = malloc(db_size(&db_limits_full));

	must(b && mem);
	b->nodes = (unsigned int)strtoul(argv[1], NULL, 10);
	b->machines = (unsigned int)strtoul(argv[2], NULL, 10);
	b->runs = (unsigned int)strtoul(argv[3], NULL, 10);
	must(!db_init(&b->db, mem, db_size(&db_limits_full), &db_limits_full));
	return b;
}

int main(int argc, char **argv)
{
	struct bench *b = argc == 4 ? bench_new(argv) : NULL;

	if (!b || b->nodes < 2 || b->nodes > CL_MAX_NODES || !b->machines || !b->runs ||
	    b->machines > db_limits_full.capacity[DB_KIND_GROUP]) {
		fprintf(stderr, "usage: plan_time NODES MACHINES RUNS\n");
		return 2;
	}
	make_nodes(b);
	make_volume(b);
	make_machines(b);
	measure(b, "boot");
	boot(b);
	measure(b, "rest");
	printf("}\n");
	node_command(b, DB_CMD_NODE_PAUSE);
	measure(b, "drain");
	printf("}\n");
	node_command(b, DB_CMD_NODE_LOST);
	node_command(b, DB_CMD_NODE_FENCED);
	recover(b);
	measure(b, "fence");
	printf("}\n");
	return 0;
}
