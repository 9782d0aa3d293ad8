/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VM is: a JSON document with "schema": 1 (doc/vm.md lists its keys). Parsed strictly: what
 * is not known is not ignored, and nothing that a guest could influence (the format of a disk) is
 * guessed. Pure but for allocation inside jansson.
 */
#ifndef MIGRATE_EDGE_DEFINITION_H
#define MIGRATE_EDGE_DEFINITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/uuid.h"

#define DEFINITION_SCHEMA    1
#define DEFINITION_BYTES_MAX (64u * 1024)
#define DEFINITION_NAME	     64 /* with the NUL */
#define DEFINITION_PATH	     1024
#define DEFINITION_WORD	     64
#define DEFINITION_APPEND    2048
#define DEFINITION_CPU	     256
#define DEFINITION_MAC	     18
#define DEFINITION_BRIDGE    16 /* IFNAMSIZ */
#define DEFINITION_DISKS     16
#define DEFINITION_NICS	     8
#define DEFINITION_VCPUS     255
#define DEFINITION_MEMORY    (4u * 1024 * 1024) /* MiB */
#define DEFINITION_ERROR     512

enum definition_accelerator { DEFINITION_AUTO, DEFINITION_KVM, DEFINITION_TCG };
enum definition_format { DEFINITION_RAW, DEFINITION_QCOW2 };
enum definition_model { DEFINITION_VIRTIO, DEFINITION_E1000, DEFINITION_E1000E };
enum definition_network { DEFINITION_ON_BRIDGE, DEFINITION_ON_USER, DEFINITION_ON_NONE };
enum definition_serial { DEFINITION_NO_SERIAL, DEFINITION_SERIAL_LOG, DEFINITION_SERIAL_SOCKET };

struct definition_disk {
	char path[DEFINITION_PATH];
	enum definition_format format;
	bool is_readonly;
	unsigned int boot; /* 1: first to boot from; 0: never */
};

struct definition_nic {
	enum definition_network network;
	char bridge[DEFINITION_BRIDGE];
	char mac[DEFINITION_MAC]; /* lower case */
	enum definition_model model;
	unsigned int boot;
};

struct definition {
	char name[DEFINITION_NAME];
	uint8_t uuid[UUID_BYTES];
	unsigned int vcpus;
	unsigned int memory_mib;
	char machine[DEFINITION_WORD]; /* "q35", "pc", or one with its version: "pc-q35-7.2" */
	bool is_q35;		       /* its first bus is pcie.0, not pci.0 */
	char cpu[DEFINITION_CPU];
	enum definition_accelerator accelerator;
	unsigned int n_disks, n_nics;
	struct definition_disk disk[DEFINITION_DISKS];
	struct definition_nic nic[DEFINITION_NICS];
	char kernel[DEFINITION_PATH], initrd[DEFINITION_PATH]; /* "": none */
	char append[DEFINITION_APPEND];
	enum definition_serial serial;
	char serial_path[DEFINITION_PATH];
};

/*
 * 0; -EINVAL with a text that names the JSON pointer, what was found there and what is allowed:
 * `/disks/0/format: missing; allowed: "raw", "qcow2"`. *ret untouched on failure.
 */
int definition_parse(const char *text, size_t len, struct definition *ret, char *ret_error,
		     size_t cap);
/* Reads and parses a file. -EINVAL as above; -errno with a text too if it cannot be read. */
int definition_load(const char *path, struct definition *ret, char *ret_error, size_t cap);
/*
 * A machine type as QEMU names it, with its version if it has one. False: not one that
 * we run; outputs untouched.
 */
bool definition_machine_is_q35(const char *machine, bool *ret_is_q35);

#endif
