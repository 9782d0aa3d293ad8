/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness: a guest that proves from inside whether its VM ran twice, lost memory or lost its
 * disk. It rewrites and verifies memory, stamps its disk and speaks on its serial line, for ever.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/guests/record.h"
#include "tests/guests/witness/console.h"
#include "tests/guests/witness/disk.h"
#include "tests/guests/witness/machine.h"
#include "tests/guests/witness/memory.h"
#include "tests/guests/witness/stamp.h"

#define BOOT_HAS_MEMORY	 1
#define BOOT_HAS_COMMAND 4
#define FAULTY_RAM_KIB	 256 /* RAM of such a multiple loses pages in QEMU before 9.0 under TCG */

/* As multiboot hands it over. */
struct boot_info {
	uint32_t flags;
	uint32_t memory_lower_kib;
	uint32_t memory_upper_kib; /* from 1 MiB */
	uint32_t device;
	uint32_t command; /* address of the command line */
};

extern uint8_t end[];
void witness_main(const struct boot_info *boot);

static char vm_name[RECORD_VM] = "witness";

static struct {
	uint32_t mem;	   /* MiB */
	uint32_t dirty;	   /* KiB/s; 0: as much as it can */
	uint32_t interval; /* ms from stamp to stamp */
	uint32_t beat;	   /* stamps from line to line */
	uint32_t sweep;	   /* ms in which all memory is verified */
	uint32_t ring;	   /* slots */
	uint32_t flush;
} options = {64, 1024, 50, 1, 2000, RECORD_RING_SLOTS, 1};

static const struct {
	const char *name;
	uint32_t *value;
	uint32_t min;
} numbers[] = {
	{"mem=", &options.mem, 1},	     {"dirty=", &options.dirty, 0},
	{"interval=", &options.interval, 0}, {"beat=", &options.beat, 1},
	{"sweep=", &options.sweep, 1},	     {"ring=", &options.ring, 4},
	{"flush=", &options.flush, 0},
};

/* ---- command line */

static bool parse_number(const char *s, size_t len, uint32_t *ret)
{
	uint32_t v = 0;

	if (len == 0 || len > 9)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(s[i] - '0');
	}
	*ret = v;
	return true;
}

static bool take_option(const char *word, size_t len)
{
	if (len > 3 && memcmp(word, "vm=", 3) == 0) {
		size_t n = len - 3 < sizeof(vm_name) - 1 ? len - 3 : sizeof(vm_name) - 1;

		memset(vm_name, 0, sizeof(vm_name));
		memcpy(vm_name, word + 3, n);
		return true;
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		size_t name_len = strlen(numbers[i].name);
		uint32_t v;

		if (len <= name_len || memcmp(word, numbers[i].name, name_len) != 0)
			continue;
		if (!parse_number(word + name_len, len - name_len, &v) || v < numbers[i].min)
			return false;
		*numbers[i].value = v;
		return true;
	}
	return false;
}

/* The first word is the file that was booted. */
static void take_command(const char *s)
{
	bool is_first = true;

	while (*s) {
		size_t len = 0;

		while (s[len] && s[len] != ' ')
			len++;
		if (len && !is_first && !take_option(s, len))
			console_line("WITNESS NOTE an option that is not understood: %s", s);
		if (len)
			is_first = false;
		s += len;
		while (*s == ' ')
			s++;
	}
}

/* ---- work */

/* Called again and again, also while the disk is busy. */
static void work(void)
{
	if (machine_is_button_pressed()) {
		console_line("WITNESS OFF");
		machine_power_off();
	}
	if (!memory_step(machine_now_ms()))
		machine_halt();
}

static void stop(const char *why)
{
	console_line("WITNESS STOP %s", why);
	machine_stop();
}

static void start_memory(const struct boot_info *boot)
{
	uint32_t ram_kib = machine_ram_kib();
	uintptr_t limit = (uintptr_t)1 << 20;

	if (boot->flags & BOOT_HAS_MEMORY)
		limit += (uintptr_t)boot->memory_upper_kib * 1024;
	memory_init((uintptr_t)end, limit, options.mem, options.dirty, options.sweep);
	console_line("WITNESS MEMORY %u pages at %08x of %u KiB", memory_pages(), memory_base(),
		     ram_kib);
	if (ram_kib && ram_kib % FAULTY_RAM_KIB == 0)
		console_line("WITNESS NOTE RAM is a multiple of %u KiB: QEMU before 9.0 loses "
			     "pages of it in a migration under TCG",
			     FAULTY_RAM_KIB);
}

static void start_ring(struct record *r)
{
	struct stamp_options how = {options.ring, options.flush, vm_name, work};
	struct record newest;

	stamp_scan(&how, &newest);
	r->sequence = newest.sequence;
	r->after = newest.sequence;
	r->damage_before = newest.damage_before + newest.damage;
	r->faults_before = newest.faults_before + newest.faults;
	console_line("WITNESS BOOT incarnation %016llx after %llu vm %s",
		     (unsigned long long)r->incarnation, (unsigned long long)r->after, r->vm);
}

static void run(struct record *r)
{
	uint64_t next_ms = machine_now_ms();

	for (uint32_t beat = 1;; beat++) {
		struct memory_counts counts;

		while (machine_now_ms() < next_ms)
			work();
		counts = memory_counts();
		r->uptime_ms = machine_now_ms();
		next_ms = r->uptime_ms + options.interval;
		r->sweeps = counts.sweeps;
		r->damage = counts.damage;
		stamp_write(r);
		if (beat < options.beat)
			continue;
		console_line("W %016llx %llu %llu %u %u", (unsigned long long)r->incarnation,
			     (unsigned long long)r->sequence, (unsigned long long)r->sweeps,
			     r->damage, r->faults);
		beat = 0;
	}
}

void witness_main(const struct boot_info *boot)
{
	struct record r = {0};
	const char *why;

	console_init();
	machine_init_interrupts();
	if (!machine_init_acpi())
		stop("there is no ACPI");
	r.incarnation = machine_random();
	console_incarnation(r.incarnation);
	if (boot->flags & BOOT_HAS_COMMAND)
		take_command((const char *)(uintptr_t)boot->command);
	record_name(&r, vm_name);
	start_memory(boot);
	why = disk_init();
	if (why)
		stop(why);
	start_ring(&r);
	run(&r);
}
