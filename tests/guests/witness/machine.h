/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC below the witness: ports, time, halting, the power button. Time is that of the ACPI PM
 * timer, which stands still while the VM does and goes on where it was after a migration.
 */
#ifndef TESTS_GUESTS_WITNESS_MACHINE_H
#define TESTS_GUESTS_WITNESS_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

static inline void out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void out16(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void out32(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint16_t in16(uint16_t port)
{
	uint16_t v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

/* Traps and the timer interrupt. Nothing is heard of a trap before. */
void machine_init_interrupts(void);
/* Finds timer, button and power switch in the ACPI tables; false if there are none. */
bool machine_init_acpi(void);
/* Milliseconds since machine_init_acpi(). Must be called at least every 4 s of guest time. */
uint64_t machine_now_ms(void);
/* Until the next interrupt: 1 ms at most. */
void machine_halt(void);
bool machine_is_button_pressed(void);
/* Does not return. */
void machine_power_off(void);
/* Does not return: nothing goes on but that the power button is answered. */
void machine_stop(void);
/* Differs from boot to boot, also of two machines that boot in the same second. */
uint64_t machine_random(void);
/* Size of RAM as QEMU was told; 0 if this is not QEMU. */
uint32_t machine_ram_kib(void);

#endif
