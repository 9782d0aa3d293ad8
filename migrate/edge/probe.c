/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/probe.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/run.h"
#include "migrate/edge/log.h"

struct probe {
	qb_loop_t *loop;
	const char *program;
	const struct definition *definition;
	void (*done)(void *arg, const struct probe_result *result);
	void *arg;
	struct run *run;
	struct probe_result result;
};

static void end(struct probe *p)
{
	p->done(p->arg, &p->result);
	free(p);
}

/* "QEMU emulator version 7.2.22 (Debian ...)" */
static bool read_version(const struct run_output *out, char *ret, size_t cap)
{
	static const char before[] = "QEMU emulator version ";
	const char *at = strstr(out->data, before);
	size_t n;

	if (!at)
		return false;
	at += sizeof(before) - 1;
	n = strspn(at, "0123456789.");
	if (!isdigit((unsigned char)*at) || n >= cap)
		return false;
	snprintf(ret, cap, "%.*s", (int)n, at);
	return true;
}

/*
 * The line of the type: "q35   Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-7.2)" or, for one
 * with its version, "pc-q35-7.2   Standard PC (Q35 + ICH9, 2009)".
 */
static bool read_machine(const struct run_output *out, const char *type, char *ret, size_t cap)
{
	static const char alias[] = "(alias of ";
	size_t len = strlen(type);

	for (const char *line = out->data; line; line = strchr(line, '\n')) {
		const char *end_of_line, *at;

		line += *line == '\n';
		if (strncmp(line, type, len) != 0 || line[len] != ' ')
			continue;
		end_of_line = line + strcspn(line, "\n");
		at = strstr(line, alias);
		if (at && at < end_of_line) {
			at += sizeof(alias) - 1;
			snprintf(ret, cap, "%.*s", (int)strcspn(at, ")\n"), at);
		} else {
			snprintf(ret, cap, "%s", type);
		}
		return true;
	}
	return false;
}

static bool has_failed(struct probe *p, const struct run_result *r)
{
	char said[80];

	if (r->kind == RUN_EXITED && r->code == 0)
		return false;
	run_output_text(&r->err, 1, said, sizeof(said));
	snprintf(p->result.text, sizeof(p->result.text), "%.60s: %s: %s", p->program,
		 run_kind_name(r->kind), r->kind == RUN_FAILED_TO_START ? strerror(r->code) : said);
	return true;
}

/* Runs QEMU; `input` may be NULL. */
static int ask(struct probe *p, const char *const *argv, const char *input, run_done_fn done)
{
	struct run_options o = RUN_OPTIONS_INIT;

	o.path = p->program;
	o.argv = argv;
	o.timeout_ms = PROBE_MS;
	o.input = input;
	o.input_len = input ? strlen(input) : 0;
	return run_start(p->loop, &o, done, p, &p->run);
}

/* A KVM without every feature of the VM's CPU model is of no use to it. */
static void on_model(void *data, const struct run_result *r)
{
	struct probe *p = data;
	char said[PROBE_TEXT];

	p->result.is_kvm = r->kind == RUN_EXITED && r->code == 0;
	if (!p->result.is_kvm) {
		run_output_text(&r->err, 1, said, sizeof(said));
		log_notice("KVM cannot be what the VM's CPU model is: %s -> tcg", said);
	}
	end(p);
}

/* QEMU makes the machine with ",enforce", and quits. False: it is not tried. */
static bool try_model(struct probe *p)
{
	static const char input[] = "{\"execute\": \"qmp_capabilities\"}\n"
				    "{\"execute\": \"quit\"}\n";
	char machine[DEFINITION_WORD + 16], cpu[DEFINITION_CPU + 16];
	const char *const argv[] = {p->program, "-machine", machine,	   "-cpu", cpu,	    "-S",
				    "-display", "none",	    "-nodefaults", "-qmp", "stdio", NULL};

	snprintf(machine, sizeof(machine), "%s,accel=kvm", p->result.machine);
	snprintf(cpu, sizeof(cpu), "%s,enforce", p->definition->cpu);
	return ask(p, argv, input, on_model) == 0;
}

static void on_machines(void *data, const struct run_result *r)
{
	struct probe *p = data;
	bool is_q35;

	if (has_failed(p, r)) {
		end(p);
		return;
	}
	p->result.is_ok = read_machine(&r->out, p->definition->machine, p->result.machine,
				       sizeof(p->result.machine)) &&
			  definition_machine_is_q35(p->result.machine, &is_q35);
	if (!p->result.is_ok)
		snprintf(p->result.text, sizeof(p->result.text),
			 "QEMU %.16s has no machine type %.60s", p->result.version,
			 p->definition->machine);
	if (p->result.is_ok && p->result.is_kvm && p->definition->accelerator == DEFINITION_AUTO &&
	    try_model(p))
		return;
	end(p);
}

static void on_version(void *data, const struct run_result *r)
{
	struct probe *p = data;
	const char *const argv[] = {p->program, "-machine", "help", NULL};

	if (has_failed(p, r)) {
		end(p);
		return;
	}
	if (!read_version(&r->out, p->result.version, sizeof(p->result.version))) {
		snprintf(p->result.text, sizeof(p->result.text), "%.100s is no QEMU", p->program);
		end(p);
		return;
	}
	if (ask(p, argv, NULL, on_machines)) {
		snprintf(p->result.text, sizeof(p->result.text), "%.100s: out of memory",
			 p->program);
		end(p);
	}
}

int probe_start(qb_loop_t *loop, const char *program, const struct definition *d,
		void (*done)(void *arg, const struct probe_result *result), void *arg,
		struct probe **ret)
{
	const char *const argv[] = {program, "--version", NULL};
	struct probe *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	*p = (struct probe){
		.loop = loop, .program = program, .definition = d, .done = done, .arg = arg};
	p->result.is_kvm = d->accelerator == DEFINITION_KVM ||
			   (d->accelerator == DEFINITION_AUTO && probe_kvm());
	r = ask(p, argv, NULL, on_version);
	if (r) {
		free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void probe_cancel(struct probe *p)
{
	if (!p)
		return;
	run_free(p->run);
	free(p);
}
