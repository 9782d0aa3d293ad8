/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/witness/machine.h"

#include <string.h>

#include "tests/guests/record.h"
#include "tests/guests/witness/console.h"

#define TRAPS		  32
#define IRQ_BASE	  32
#define PIC_MASTER	  0x20
#define PIC_SLAVE	  0xa0
#define PIT_RATE_HZ	  1000
#define PIT_DIVISOR	  (1193182 / PIT_RATE_HZ)
#define PM_TIMER_MASK	  0xffffff /* 24 bits on every machine of QEMU */
#define PM_TICKS_PER_MS	  3580	   /* 3.579545 MHz */
#define PM1_POWER_BUTTON  (1 << 8)
#define PM1_SLEEP_ENABLE  (1 << 13)
#define PM1_SLEEP_SHIFT	  10
#define FW_CFG_SELECT	  0x510
#define FW_CFG_DATA	  0x511
#define FW_CFG_RAM_SIZE	  3
#define CMOS_INDEX	  0x70
#define CMOS_DATA	  0x71
#define CMOS_CLOCK_BYTES  10
#define ENTROPY_ROUNDS	  64
#define BIOS_AREA	  0xe0000
#define BIOS_AREA_END	  0x100000
#define FADT_DSDT	  40
#define FADT_PM1A_EVENT	  56
#define FADT_PM1A_CONTROL 64
#define FADT_PM_TIMER	  76
#define FADT_PM1_LENGTH	  88

struct gate {
	uint16_t low;
	uint16_t segment;
	uint16_t kind;
	uint16_t high;
};

/* As start.S pushes it. */
struct trap_frame {
	uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
	uint32_t number, error, eip, cs, eflags;
};

extern const uint32_t trap_table[TRAPS];
void irq_timer(void);
void irq_spurious(void);
void machine_trap(const struct trap_frame *frame);

static struct gate gates[IRQ_BASE + 16];

static struct {
	uint16_t timer_port;
	uint16_t event_port;
	uint16_t enable_port;
	uint16_t control_port;
	uint8_t sleep_type;
	uint32_t last_ticks;
	uint32_t rest_ticks;
	uint64_t now_ms;
} pm;

static void set_gate(unsigned number, uintptr_t code)
{
	gates[number] = (struct gate){
		.low = (uint16_t)code,
		.segment = 8,
		.kind = 0x8e00, /* present, 32-bit interrupt gate */
		.high = (uint16_t)((uint32_t)code >> 16),
	};
}

static void load_gates(void)
{
	struct {
		uint16_t size;
		uint32_t at;
	} __attribute__((packed)) pointer = {sizeof(gates) - 1, (uint32_t)(uintptr_t)gates};

	__asm__ volatile("lidt %0" : : "m"(pointer) : "memory");
}

/* The interrupt controllers deliver the timer only. */
static void init_pic(void)
{
	out8(PIC_MASTER, 0x11);
	out8(PIC_SLAVE, 0x11);
	out8(PIC_MASTER + 1, IRQ_BASE);
	out8(PIC_SLAVE + 1, IRQ_BASE + 8);
	out8(PIC_MASTER + 1, 4);
	out8(PIC_SLAVE + 1, 2);
	out8(PIC_MASTER + 1, 1);
	out8(PIC_SLAVE + 1, 1);
	out8(PIC_MASTER + 1, 0xfe);
	out8(PIC_SLAVE + 1, 0xff);
}

void machine_init_interrupts(void)
{
	for (unsigned i = 0; i < TRAPS; i++)
		set_gate(i, trap_table[i]);
	for (unsigned i = 0; i < 16; i++)
		set_gate(IRQ_BASE + i, (uintptr_t)(i == 0 ? irq_timer : irq_spurious));
	load_gates();
	init_pic();
	out8(0x43, 0x34); /* channel 0, rate generator */
	out8(0x40, PIT_DIVISOR & 0xff);
	out8(0x40, PIT_DIVISOR >> 8);
}

void machine_trap(const struct trap_frame *frame)
{
	console_line("WITNESS DAMAGE trap %u error %08x at %08x", frame->number, frame->error,
		     frame->eip);
	machine_stop();
}

/* ---- ACPI */

static uint32_t load32(uintptr_t at)
{
	uint32_t v;

	memcpy(&v, (const void *)at, sizeof(v));
	return v;
}

static bool is_at(uintptr_t at, const char *text)
{
	return memcmp((const void *)at, text, strlen(text)) == 0;
}

static uintptr_t find_table(const char *signature)
{
	uintptr_t root = 0;

	for (uintptr_t at = BIOS_AREA; at < BIOS_AREA_END && !root; at += 16)
		if (is_at(at, "RSD PTR "))
			root = load32(at + 16);
	if (!root)
		return 0;
	for (uintptr_t at = root + 36; at < root + load32(root + 4); at += 4)
		if (is_at(load32(at), signature))
			return load32(at);
	return 0;
}

/* The first number of the package that the DSDT names _S5_ (NameOp Package length count value). */
static uint8_t find_sleep_type(uintptr_t dsdt)
{
	uintptr_t end = dsdt + load32(dsdt + 4);

	for (uintptr_t at = dsdt + 36; at + 12 < end; at++) {
		if (!is_at(at, "_S5_\x12"))
			continue;
		at += 5;
		at += 1 + (*(const uint8_t *)at >> 6); /* length, in one to four bytes */
		at += 1;			       /* count */
		return ((const uint8_t *)at)[*(const uint8_t *)at == 0x0a] & 7;
	}
	return 0;
}

bool machine_init_acpi(void)
{
	uintptr_t fadt = find_table("FACP");

	if (!fadt)
		return false;
	pm.timer_port = (uint16_t)load32(fadt + FADT_PM_TIMER);
	pm.event_port = (uint16_t)load32(fadt + FADT_PM1A_EVENT);
	pm.control_port = (uint16_t)load32(fadt + FADT_PM1A_CONTROL);
	pm.enable_port = (uint16_t)(pm.event_port + (load32(fadt + FADT_PM1_LENGTH) & 0xff) / 2);
	pm.sleep_type = find_sleep_type(load32(fadt + FADT_DSDT));
	if (!pm.timer_port || !pm.event_port || !pm.control_port)
		return false;
	pm.last_ticks = in32(pm.timer_port) & PM_TIMER_MASK;
	out16(pm.event_port, PM1_POWER_BUTTON);
	out16(pm.enable_port, PM1_POWER_BUTTON);
	return true;
}

uint64_t machine_now_ms(void)
{
	uint32_t ticks = in32(pm.timer_port) & PM_TIMER_MASK;

	pm.rest_ticks += (ticks - pm.last_ticks) & PM_TIMER_MASK;
	pm.last_ticks = ticks;
	pm.now_ms += pm.rest_ticks / PM_TICKS_PER_MS;
	pm.rest_ticks %= PM_TICKS_PER_MS;
	return pm.now_ms;
}

void machine_halt(void)
{
	__asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
}

bool machine_is_button_pressed(void)
{
	return in16(pm.event_port) & PM1_POWER_BUTTON;
}

static void power_off(void)
{
	out16(pm.event_port, PM1_POWER_BUTTON);
	out16(pm.control_port, (uint16_t)(pm.sleep_type << PM1_SLEEP_SHIFT | PM1_SLEEP_ENABLE));
}

void machine_stop(void)
{
	for (;;) {
		if (pm.control_port && machine_is_button_pressed())
			power_off();
		machine_halt();
	}
}

void machine_power_off(void)
{
	power_off();
	machine_stop();
}

/* ---- what differs between machines */

static uint64_t time_stamp(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* The host's own timing shows in how long a port takes to answer. */
uint64_t machine_random(void)
{
	uint64_t seed = 0;

	for (uint8_t i = 0; i < CMOS_CLOCK_BYTES; i++) {
		out8(CMOS_INDEX, i);
		seed = record_mix(seed, in8(CMOS_DATA));
	}
	for (unsigned i = 0; i < ENTROPY_ROUNDS; i++) {
		seed = record_mix(seed, in32(pm.timer_port));
		seed = record_mix(seed, time_stamp());
	}
	return seed ? seed : 1;
}

static void fw_cfg_read(uint16_t item, uint8_t *bytes, unsigned n)
{
	out16(FW_CFG_SELECT, item);
	for (unsigned i = 0; i < n; i++)
		bytes[i] = in8(FW_CFG_DATA);
}

uint32_t machine_ram_kib(void)
{
	uint8_t signature[4];
	uint64_t bytes;

	fw_cfg_read(0, signature, sizeof(signature));
	if (memcmp(signature, "QEMU", 4) != 0)
		return 0;
	fw_cfg_read(FW_CFG_RAM_SIZE, (uint8_t *)&bytes, sizeof(bytes));
	return (uint32_t)(bytes >> 10);
}
