/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/witness/memory.h"

#include <stddef.h>
#include <string.h>

#include "lib/crc32c.h"
#include "tests/guests/witness/console.h"

#define PAGE_BYTES	4096
#define PAGE_WORDS	(PAGE_BYTES / 4)
#define PAGE_KIB	4
#define PAGES_PER_MIB	256
#define WORD_STEP	0x9e3779b9
#define BURST_MS	100 /* work that was not done for longer is not made up for */
#define CREDIT_PER_PAGE (PAGE_KIB * 1000)

extern const uint8_t code_start[], code_end[];

/* Page p of the region is of generation[p]; 1024 generations fill a page, and have a sum. */
static struct {
	uint32_t *region;
	uint32_t *generation;
	uint32_t *sum;
	uint32_t pages;
	uint32_t filled;
	uint32_t swept;
	uint32_t random;
	uint32_t dirty_kib_s;
	uint32_t sweep_ms;
	uint64_t dirty_credit; /* KiB * ms / s */
	uint64_t sweep_credit; /* pages * ms */
	uint64_t last_ms;
	uint32_t code_crc;
	struct memory_counts counts;
} memory;

static uint32_t mix(uint32_t page, uint32_t generation)
{
	uint32_t x = page * 0x85ebca6b + generation * 0xc2b2ae35 + WORD_STEP;

	x = (x ^ (x >> 16)) * 0x7feb352d;
	x = (x ^ (x >> 15)) * 0x846ca68b;
	return x ^ (x >> 16);
}

static uint32_t *words_of(uint32_t page)
{
	return memory.region + (size_t)page * PAGE_WORDS;
}

/* Word 0 is the generation, so that what is found can be told; all others are mixed from it. */
static void write_page(uint32_t page)
{
	uint32_t *words = words_of(page);
	uint32_t old = memory.generation[page];
	uint32_t new = old + 1;
	uint32_t word = mix(page, new);

	words[0] = new;
	for (size_t i = 1; i < PAGE_WORDS; i++)
		words[i] = word += WORD_STEP;
	memory.generation[page] = new;
	memory.sum[page / PAGE_WORDS] += mix(page, new) - mix(page, old);
	memory.counts.written++;
}

/* Index of the first word that does not fit the page and generation; PAGE_WORDS if all do. */
static size_t first_difference(uint32_t page, uint32_t generation)
{
	const uint32_t *words = words_of(page);
	uint32_t word = mix(page, generation);

	if (words[0] != generation)
		return 0;
	for (size_t i = 1; i < PAGE_WORDS; i++)
		if (words[i] != (word += WORD_STEP))
			return i;
	return PAGE_WORDS;
}

static void damage_page(uint32_t page, size_t word)
{
	uint32_t expected = memory.generation[page];
	uint32_t found = words_of(page)[0];

	memory.counts.damage++;
	if (first_difference(page, found) == PAGE_WORDS)
		console_line("WITNESS DAMAGE page %u at %08x expected generation %u found "
			     "generation %u",
			     page, (uint32_t)(uintptr_t)words_of(page), expected, found);
	else
		console_line("WITNESS DAMAGE page %u at %08x expected %08x found %08x of "
			     "generation %u",
			     page, (uint32_t)(uintptr_t)(words_of(page) + word),
			     word ? mix(page, expected) + (uint32_t)word * WORD_STEP : expected,
			     words_of(page)[word], expected);
}

static void verify_page(uint32_t page)
{
	size_t word = first_difference(page, memory.generation[page]);

	if (word == PAGE_WORDS)
		return;
	damage_page(page, word);
	write_page(page);
}

static uint32_t sum_of_block(uint32_t block)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < PAGE_WORDS; i++) {
		uint32_t page = block * PAGE_WORDS + i;

		if (page < memory.pages)
			sum += mix(page, memory.generation[page]);
	}
	return sum;
}

void memory_damage(const char *what)
{
	memory.counts.damage++;
	console_line("WITNESS DAMAGE %s", what);
}

static void verify_rest(void)
{
	for (uint32_t block = 0; block * PAGE_WORDS < memory.pages; block++) {
		uint32_t sum = sum_of_block(block);

		if (sum == memory.sum[block])
			continue;
		memory.counts.damage++;
		console_line("WITNESS DAMAGE generations of pages from %u expected sum %08x found "
			     "%08x",
			     block * PAGE_WORDS, memory.sum[block], sum);
		memory.sum[block] = sum;
	}
	if (crc32c(0, code_start, (size_t)(code_end - code_start)) != memory.code_crc)
		memory_damage("of code");
}

static uintptr_t page_up(uintptr_t at)
{
	return (at + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1);
}

void memory_init(uintptr_t start, uintptr_t limit, uint32_t mib, uint32_t dirty_kib_s,
		 uint32_t sweep_ms)
{
	uint32_t room = (uint32_t)((limit - start) / (PAGE_BYTES + 8)) - 4;
	uint32_t pages = mib * PAGES_PER_MIB;

	memory.pages = pages < room ? pages : room;
	memory.generation = (uint32_t *)page_up(start);
	memory.sum = (uint32_t *)page_up((uintptr_t)(memory.generation + memory.pages));
	memory.region =
		(uint32_t *)page_up((uintptr_t)(memory.sum + memory.pages / PAGE_WORDS + 1));
	memset(memory.generation, 0, (uintptr_t)memory.region - (uintptr_t)memory.generation);
	for (uint32_t block = 0; block * PAGE_WORDS < memory.pages; block++)
		memory.sum[block] = sum_of_block(block);
	memory.dirty_kib_s = dirty_kib_s;
	memory.sweep_ms = sweep_ms ? sweep_ms : 1;
	memory.random = 2463534242;
	memory.code_crc = crc32c(0, code_start, (size_t)(code_end - code_start));
}

static void earn(uint64_t now_ms)
{
	uint64_t ms = now_ms - memory.last_ms;

	memory.last_ms = now_ms;
	if (ms > BURST_MS)
		ms = BURST_MS;
	memory.dirty_credit += ms * memory.dirty_kib_s;
	memory.sweep_credit += ms * memory.pages;
	if (memory.dirty_credit > (uint64_t)BURST_MS * memory.dirty_kib_s + CREDIT_PER_PAGE)
		memory.dirty_credit = (uint64_t)BURST_MS * memory.dirty_kib_s + CREDIT_PER_PAGE;
	if (memory.sweep_credit > (uint64_t)BURST_MS * memory.pages + memory.sweep_ms)
		memory.sweep_credit = (uint64_t)BURST_MS * memory.pages + memory.sweep_ms;
}

static void walk(void)
{
	uint32_t page;

	memory.random ^= memory.random << 13;
	memory.random ^= memory.random >> 17;
	memory.random ^= memory.random << 5;
	page = (uint32_t)((uint64_t)memory.random * memory.pages >> 32);
	verify_page(page);
	write_page(page);
}

static void sweep(void)
{
	verify_page(memory.swept);
	if (++memory.swept < memory.pages)
		return;
	verify_rest();
	memory.swept = 0;
	memory.counts.sweeps++;
}

bool memory_step(uint64_t now_ms)
{
	bool is_busy;

	earn(now_ms);
	if (memory.filled < memory.pages) {
		write_page(memory.filled++);
		return true;
	}
	is_busy = memory.sweep_credit >= memory.sweep_ms;
	if (is_busy) {
		memory.sweep_credit -= memory.sweep_ms;
		sweep();
	}
	if (memory.dirty_kib_s && memory.dirty_credit < CREDIT_PER_PAGE)
		return is_busy;
	if (memory.dirty_kib_s)
		memory.dirty_credit -= CREDIT_PER_PAGE;
	walk();
	return true;
}

struct memory_counts memory_counts(void)
{
	return memory.counts;
}

uint32_t memory_pages(void)
{
	return memory.pages;
}

uint32_t memory_base(void)
{
	return (uint32_t)(uintptr_t)memory.region;
}
