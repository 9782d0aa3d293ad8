/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/command_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"

#define TCG_EXTRA_KIB	8
#define MENDED_MACHINE	9
#define FIRST_DISK_SLOT 0x4 /* PCI; below it are the chipset's own */
#define FIRST_NIC_SLOT	(FIRST_DISK_SLOT + DEFINITION_DISKS)
#define PATH_ESCAPED	(2 * DEFINITION_PATH)

_Static_assert(FIRST_NIC_SLOT + DEFINITION_NICS < 0x1f, "0x1f is q35's own chipset");

struct args {
	char **argv; /* COMMAND_LINE_ARGS; NULL after a failed allocation */
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void add(struct args *a, const char *format, ...)
{
	char buf[COMMAND_LINE_ARG];
	va_list ap;
	int n;

	if (!a->argv)
		return;
	va_start(ap, format);
	n = vsnprintf(buf, sizeof(buf), format, ap);
	va_end(ap);
	/* The definition has bounded every part, and their number. */
	must(n >= 0 && (size_t)n < sizeof(buf) && a->n < COMMAND_LINE_ARGS - 1);
	a->argv[a->n] = strdup(buf);
	if (!a->argv[a->n++])
		a->argv = command_line_free(a->argv);
}

static void add2(struct args *a, const char *option, const char *value)
{
	add(a, "%s", option);
	add(a, "%s", value);
}

/* For QEMU's option syntax: a comma is written twice. */
static const char *escape_option(const char *text, char *buf, size_t cap)
{
	size_t at = 0;

	for (; *text; text++) {
		must(at + 3 <= cap);
		buf[at++] = *text;
		if (*text == ',')
			buf[at++] = ',';
	}
	buf[at] = '\0';
	return buf;
}

/* For JSON in quotes. There are no control characters in a definition's paths. */
static const char *escape_json(const char *text, char *buf, size_t cap)
{
	size_t at = 0;

	for (; *text; text++) {
		must(at + 3 <= cap);
		if (*text == '"' || *text == '\\')
			buf[at++] = '\\';
		buf[at++] = *text;
	}
	buf[at] = '\0';
	return buf;
}

uint64_t command_line_memory_kib(const struct definition *d, const char *machine, bool is_kvm)
{
	uint64_t kib = (uint64_t)d->memory_mib * 1024;
	const char *version = strrchr(machine, '-');

	if (is_kvm || !version || strtoul(version + 1, NULL, 10) >= MENDED_MACHINE)
		return kib;
	return kib + TCG_EXTRA_KIB;
}

static void add_machine(struct args *a, const struct definition *d,
			const struct command_line_facts *f)
{
	char uuid[UUID_TEXT];

	uuid_text(d->uuid, uuid);
	add(a, "-name");
	add(a, "guest=%s,debug-threads=on", d->name); /* is_name() lets no comma through */
	add2(a, "-uuid", uuid);
	add(a, "-machine");
	add(a, "%s,usb=off,accel=%s", f->machine, f->is_kvm ? "kvm" : "tcg");
	add(a, "-cpu");
	add(a, "%s,enforce", d->cpu); /* a model that this host has in part is another model */
	add(a, "-smp");
	add(a, "%u,sockets=1,cores=%u,threads=1", d->vcpus, d->vcpus);
	add(a, "-m");
	add(a, "size=%lluK", (unsigned long long)command_line_memory_kib(d, f->machine, f->is_kvm));
	add(a, "-global"); /* a sleeping guest would be woken by QEMU itself, behind our back */
	add(a, "%s.disable_s3=1", d->is_q35 ? "ICH9-LPC" : "PIIX4_PM");
	add(a, "-global");
	add(a, "%s.disable_s4=1", d->is_q35 ? "ICH9-LPC" : "PIIX4_PM");
	add2(a, "-nodefaults", "-no-user-config");
	add2(a, "-display", "none");
	add2(a, "-vga", "none");
	add2(a, "-boot", "strict=on");
	add2(a, "-rtc", "base=utc");
	/* The guest's own ends are told as events; QEMU stays until it is asked to quit. */
	add2(a, "-action", "reboot=reset,shutdown=pause,panic=pause,watchdog=reset");
	add2(a, "-sandbox",
	     "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add2(a, "-msg", "timestamp=on,guest-name=off");
}

static void add_disk(struct args *a, const struct definition *d, unsigned int i, bool is_block)
{
	const struct definition_disk *disk = &d->disk[i];
	const char *ro = disk->is_readonly ? "true" : "false";
	char path[PATH_ESCAPED], boot[32] = "";

	/*
	 * locking off: the lock vm:<uuid> guards the disks of a VM; locks of the file would make a
	 * hand-over wait for the coordinator of the volume.
	 * Threads: io_uring and Linux AIO are not in every sandbox, and FUSE serves neither better.
	 */
	add(a, "-blockdev");
	add(a,
	    "{\"driver\":\"%s\",\"node-name\":\"disk%u-file\",\"filename\":\"%s\","
	    "\"read-only\":%s,\"auto-read-only\":false,\"locking\":\"off\",\"aio\":\"threads\","
	    "\"cache\":{\"direct\":true,\"no-flush\":false},\"discard\":\"unmap\"}",
	    is_block ? "host_device" : "file", i, escape_json(disk->path, path, sizeof(path)), ro);
	add(a, "-blockdev");
	add(a,
	    "{\"driver\":\"%s\",\"node-name\":\"disk%u\",\"file\":\"disk%u-file\","
	    "\"read-only\":%s,\"auto-read-only\":false,"
	    "\"cache\":{\"direct\":true,\"no-flush\":false},\"discard\":\"unmap\"}",
	    disk->format == DEFINITION_RAW ? "raw" : "qcow2", i, i, ro);
	if (disk->boot)
		snprintf(boot, sizeof(boot), ",bootindex=%u", disk->boot);
	add(a, "-device");
	add(a,
	    "virtio-blk-pci,id=disk%u-device,drive=disk%u,bus=%s,addr=0x%x,write-cache=on,"
	    "werror=stop,rerror=stop%s",
	    i, i, d->is_q35 ? "pcie.0" : "pci.0", FIRST_DISK_SLOT + i, boot);
}

static void add_nic(struct args *a, const struct definition *d, unsigned int i, int tap_fd)
{
	static const char *const models[] = {[DEFINITION_VIRTIO] = "virtio-net-pci",
					     [DEFINITION_E1000] = "e1000",
					     [DEFINITION_E1000E] = "e1000e"};
	const struct definition_nic *nic = &d->nic[i];
	char boot[32] = ",romfile=";

	add(a, "-netdev");
	if (nic->network == DEFINITION_ON_BRIDGE)
		add(a, "tap,id=nic%u,fd=%d", i, tap_fd);
	else if (nic->network == DEFINITION_ON_USER)
		add(a, "user,id=nic%u", i);
	else
		add(a, "hubport,id=nic%u,hubid=%u", i, i); /* a hub where it is alone */
	if (nic->boot)
		snprintf(boot, sizeof(boot), ",bootindex=%u", nic->boot);
	add(a, "-device");
	add(a, "%s,id=nic%u-device,netdev=nic%u,mac=%s,bus=%s,addr=0x%x%s", models[nic->model], i,
	    i, nic->mac, d->is_q35 ? "pcie.0" : "pci.0", FIRST_NIC_SLOT + i, boot);
}

static void add_serial(struct args *a, const struct definition *d)
{
	char path[PATH_ESCAPED];

	if (d->serial == DEFINITION_NO_SERIAL)
		return;
	escape_option(d->serial_path, path, sizeof(path));
	add(a, "-chardev");
	if (d->serial == DEFINITION_SERIAL_LOG)
		add(a, "file,id=serial0,path=%s,append=on", path);
	else
		add(a, "socket,id=serial0,path=%s,server=on,wait=off", path);
	add2(a, "-serial", "chardev:serial0");
}

static void add_direct_boot(struct args *a, const struct definition *d)
{
	if (d->kernel[0])
		add2(a, "-kernel", d->kernel);
	if (d->initrd[0])
		add2(a, "-initrd", d->initrd);
	if (d->append[0])
		add2(a, "-append", d->append);
}

char **command_line_make(const struct definition *d, const struct command_line_facts *f)
{
	struct args a = {.argv = calloc(COMMAND_LINE_ARGS, sizeof(*a.argv))};

	add(&a, "%s", f->program);
	add_machine(&a, d, f);
	for (unsigned int i = 0; i < d->n_disks; i++)
		add_disk(&a, d, i, f->is_block_device[i]);
	for (unsigned int i = 0; i < d->n_nics; i++)
		add_nic(&a, d, i, f->tap_fd[i]);
	add_serial(&a, d);
	add_direct_boot(&a, d);
	add2(&a, "-device", "pvpanic,id=panic0");
	add(&a, "-chardev");
	add(&a, "socket,id=monitor0,fd=%d", f->qmp_fd);
	add2(&a, "-mon", "chardev=monitor0,mode=control");
	if (f->is_incoming)
		add2(&a, "-incoming", "defer");
	add(&a, "-S");
	return a.argv;
}

char *command_line_identity(const struct definition *d, const struct command_line_facts *facts)
{
	struct command_line_facts same = {.program = "qemu",
					  .machine = facts->machine,
					  .is_kvm = facts->is_kvm,
					  .qmp_fd = -1};
	struct definition plain = *d;
	char **argv, *text = NULL, *at;
	size_t n = 1;

	/* What only this host sees is left out. Paths of disks count: they are the same files. */
	plain.serial_path[0] = '\0';
	for (unsigned int i = 0; i < plain.n_nics; i++)
		plain.nic[i].network = DEFINITION_ON_NONE;
	argv = command_line_make(&plain, &same);
	for (size_t i = 0; argv && argv[i]; i++)
		n += strlen(argv[i]) + 1;
	at = text = argv ? calloc(1, n) : NULL;
	for (size_t i = 0; text && argv[i]; i++)
		at += snprintf(at, n - (size_t)(at - text), "%s\n", argv[i]);
	command_line_free(argv);
	return text;
}

char **command_line_free(char **argv)
{
	for (size_t i = 0; argv && argv[i]; i++)
		free(argv[i]);
	free(argv);
	return NULL;
}
