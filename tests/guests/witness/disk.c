/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/witness/disk.h"

#include "tests/guests/witness/machine.h"

#define PCI_ADDRESS	    0xcf8
#define PCI_DATA	    0xcfc
#define PCI_COMMAND	    4
#define PCI_HEADER_KIND	    12
#define PCI_BAR0	    16
#define PCI_COMMAND_ENABLE  5 /* ports, bus master */
#define PCI_DEVICES	    (256 * 32)
#define VIRTIO_BLK	    0x10011af4 /* device, vendor */
#define VIRTIO_BLK_NEW	    0x10421af4
#define VIRTIO_FEATURES	    0 /* ports of the legacy interface */
#define VIRTIO_ACCEPTED	    4
#define VIRTIO_QUEUE_PAGE   8
#define VIRTIO_QUEUE_SIZE   12
#define VIRTIO_QUEUE_SELECT 14
#define VIRTIO_NOTIFY	    16
#define VIRTIO_STATUS	    18
#define VIRTIO_CAPACITY	    20
#define STATUS_FOUND	    3 /* acknowledge, driver */
#define STATUS_READY	    7
#define FEATURE_FLUSH	    (1U << 9)
#define QUEUE_MAX	    1024
#define QUEUE_PAGE	    4096
#define DESC_NEXT	    1
#define DESC_WRITE	    2 /* by the device */
#define AVAIL_NO_INTERRUPT  1
#define SECTORS_PER_BLOCK   8

struct desc {
	uint64_t at;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

struct avail {
	uint16_t flags;
	uint16_t index;
	uint16_t ring[];
};

struct used {
	uint16_t flags;
	uint16_t index;
};

struct header {
	uint32_t type;
	uint32_t priority;
	uint64_t sector;
};

static uint8_t queue_memory[QUEUE_MAX * 16 + 2 * QUEUE_PAGE + QUEUE_MAX * 8 + QUEUE_PAGE]
	__attribute__((aligned(QUEUE_PAGE)));

static struct {
	uint16_t port;
	uint16_t queue_size;
	struct desc *desc;
	struct avail *avail;
	volatile struct used *used;
	uint16_t done; /* used->index before the request */
	bool can_flush;
	bool is_flush_skipped;
	struct header header;
	volatile uint8_t status;
} disk;

static uint32_t pci_read(uint32_t device, uint32_t at)
{
	out32(PCI_ADDRESS, 1U << 31 | device << 8 | at);
	return in32(PCI_DATA);
}

static void pci_write(uint32_t device, uint32_t at, uint32_t v)
{
	out32(PCI_ADDRESS, 1U << 31 | device << 8 | at);
	out32(PCI_DATA, v);
}

/* bus << 8 | slot << 3 | function of the first device with this id; -1 if there is none. */
static int32_t pci_find(uint32_t id)
{
	for (uint32_t slot = 0; slot < PCI_DEVICES; slot++) {
		uint32_t functions = 1;

		if ((uint16_t)pci_read(slot << 3, 0) == 0xffff)
			continue;
		if (pci_read(slot << 3, PCI_HEADER_KIND) & 1U << 23)
			functions = 8;
		for (uint32_t function = 0; function < functions; function++)
			if (pci_read(slot << 3 | function, 0) == id)
				return (int32_t)(slot << 3 | function);
	}
	return -1;
}

static const char *init_queue(void)
{
	uint32_t size, avail_bytes;

	out16((uint16_t)(disk.port + VIRTIO_QUEUE_SELECT), 0);
	size = in16((uint16_t)(disk.port + VIRTIO_QUEUE_SIZE));
	if (size < 4 || size > QUEUE_MAX)
		return "the disk's queue is too large";
	avail_bytes = sizeof(struct avail) + 2 * size + 2;
	disk.queue_size = (uint16_t)size;
	disk.desc = (struct desc *)queue_memory;
	disk.avail = (struct avail *)(queue_memory + size * sizeof(struct desc));
	disk.used = (volatile struct used *)(queue_memory + ((size * sizeof(struct desc) +
							      avail_bytes + QUEUE_PAGE - 1) &
							     ~(uint32_t)(QUEUE_PAGE - 1)));
	disk.avail->flags = AVAIL_NO_INTERRUPT;
	out32((uint16_t)(disk.port + VIRTIO_QUEUE_PAGE),
	      (uint32_t)(uintptr_t)queue_memory / QUEUE_PAGE);
	return NULL;
}

const char *disk_init(void)
{
	int32_t device = pci_find(VIRTIO_BLK);
	const char *why;

	if (device < 0)
		return pci_find(VIRTIO_BLK_NEW) < 0 ? "there is no virtio-blk disk"
						    : "the disk lacks disable-legacy=off";
	pci_write((uint32_t)device, PCI_COMMAND, PCI_COMMAND_ENABLE);
	disk.port = (uint16_t)(pci_read((uint32_t)device, PCI_BAR0) & 0xfffc);
	out8((uint16_t)(disk.port + VIRTIO_STATUS), 0);
	out8((uint16_t)(disk.port + VIRTIO_STATUS), STATUS_FOUND);
	disk.can_flush = in32((uint16_t)(disk.port + VIRTIO_FEATURES)) & FEATURE_FLUSH;
	out32((uint16_t)(disk.port + VIRTIO_ACCEPTED), disk.can_flush ? FEATURE_FLUSH : 0);
	why = init_queue();
	if (why)
		return why;
	out8((uint16_t)(disk.port + VIRTIO_STATUS), STATUS_READY);
	return NULL;
}

uint64_t disk_blocks(void)
{
	uint64_t low = in32((uint16_t)(disk.port + VIRTIO_CAPACITY));
	uint64_t high = in32((uint16_t)(disk.port + VIRTIO_CAPACITY + 4));

	return (high << 32 | low) / SECTORS_PER_BLOCK;
}

static void set_desc(uint16_t i, volatile void *at, uint32_t len, uint16_t flags)
{
	disk.desc[i] = (struct desc){(uintptr_t)at, len, flags, (uint16_t)(i + 1)};
}

void disk_start(enum disk_op op, uint64_t block, void *data, uint32_t blocks)
{
	static const uint32_t types[] = {[DISK_READ] = 0, [DISK_WRITE] = 1, [DISK_FLUSH] = 4};
	uint16_t n = 0;

	/* A disk without a cache has nothing to flush. */
	disk.is_flush_skipped = op == DISK_FLUSH && !disk.can_flush;
	if (disk.is_flush_skipped)
		return;
	disk.header = (struct header){.type = types[op], .sector = block * SECTORS_PER_BLOCK};
	disk.status = DISK_NO_STATUS;
	set_desc(n++, &disk.header, sizeof(disk.header), DESC_NEXT);
	if (blocks)
		set_desc(n++, data, blocks * DISK_BLOCK,
			 (uint16_t)(DESC_NEXT | (op == DISK_READ ? DESC_WRITE : 0)));
	set_desc(n, &disk.status, 1, DESC_WRITE);
	disk.done = disk.used->index;
	disk.avail->ring[disk.avail->index % disk.queue_size] = 0;
	__asm__ volatile("" : : : "memory");
	disk.avail->index++;
	__asm__ volatile("lock addl $0, (%%esp)" : : : "memory");
	out16((uint16_t)(disk.port + VIRTIO_NOTIFY), 0);
}

bool disk_is_done(uint8_t *ret_status)
{
	if (disk.is_flush_skipped) {
		*ret_status = 0;
		return true;
	}
	if (disk.used->index == disk.done)
		return false;
	__asm__ volatile("" : : : "memory");
	*ret_status = disk.status;
	return true;
}
