/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entry by multiboot (version 1): 32 bits, flat, no paging. Segments, stack, traps of its own. */

#define MULTIBOOT_MAGIC	0x1badb002
#define MULTIBOOT_FLAGS	3	/* modules on pages, memory map wanted */
#define STACK_BYTES	16384
#define PIC_COMMAND	0x20
#define PIC_END		0x20

	.section .multiboot, "a"
	.align 4
	.long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

	.text
	.globl start
start:
	cli
	cld
	mov $bss_start, %edi
	mov $bss_end, %ecx
	sub %edi, %ecx
	xor %eax, %eax
	rep stosb
	mov $stack_end, %esp
	lgdt gdt_pointer
	ljmp $8, $1f
1:	mov $16, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %fs
	mov %ax, %gs
	mov %ax, %ss
	push $0
	popf
	push %ebx
	call witness_main
2:	cli
	hlt
	jmp 2b

/* Each trap pushes what the processor did not, its number, and all registers. */
	.macro trap number, has_error
trap_\number:
	.if !\has_error
	push $0
	.endif
	push $\number
	jmp trap_any
	.endm

	.altmacro
	.macro trap_plain number
	trap \number, 0
	.endm
	.set n, 0
	.rept 32
	.if (n == 8) | ((n >= 10) & (n <= 14)) | (n == 17) | (n == 21) | (n == 29) | (n == 30)
	trap %n, 1
	.else
	trap_plain %n
	.endif
	.set n, n + 1
	.endr

trap_any:
	pusha
	push %esp
	call machine_trap
3:	cli
	hlt
	jmp 3b

/* The timer only ends a hlt. */
	.globl irq_timer
irq_timer:
	push %eax
	mov $PIC_END, %al
	out %al, $PIC_COMMAND
	pop %eax
	.globl irq_spurious
irq_spurious:
	iret

	.section .rodata
	.align 4
	.macro trap_entry number
	.long trap_\number
	.endm
	.globl trap_table
trap_table:
	.set n, 0
	.rept 32
	trap_entry %n
	.set n, n + 1
	.endr

	.align 8
gdt:	.quad 0
	.quad 0x00cf9a000000ffff	/* code, 4 GiB */
	.quad 0x00cf92000000ffff	/* data, 4 GiB */
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt

	.bss
	.align 16
	.skip STACK_BYTES
stack_end:

	.section .note.GNU-stack, "", @progbits
