/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Process 1 of the Linux guest: loads the modules that the initramfs lists, then stamps /dev/vda
 * as the witness does (tests/guests/witness/stamp.c over the system calls of Linux), answers the
 * power button, and runs /rc in a shell if there is one. Mounts nothing of a disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/input.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "tests/guests/record.h"
#include "tests/guests/witness/console.h"
#include "tests/guests/witness/disk.h"
#include "tests/guests/witness/machine.h"
#include "tests/guests/witness/memory.h"
#include "tests/guests/witness/stamp.h"

#define DISK_PATH    "/dev/vda"
#define MODULE_LIST  "/modules/list"
#define RC_PATH	     "/rc"
#define SHELL_PATH   "/bin/busybox"
#define BUTTONS_MAX  4
#define FOUND_MS     10000 /* for the disk to be there */
#define WORK_MS	     2
#define NAME_BYTES   128
#define OPTION_LIMIT 1000000000UL

static struct {
	uint64_t incarnation;
	uint64_t number;
	int disk_fd;
	uint8_t disk_status;
	int button_fds[BUTTONS_MAX];
	nfds_t buttons;
	uint32_t damage;
} guest = {.disk_fd = -1};

static uint8_t bounce[DISK_BLOCKS_MAX * DISK_BLOCK] __attribute__((aligned(DISK_BLOCK)));

/* ---- what stamp.c stands on */

void console_incarnation(uint64_t incarnation)
{
	guest.incarnation = incarnation;
}

void console_line(const char *format, ...)
{
	char text[240], line[320];
	va_list args;
	int n;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	n = snprintf(line, sizeof(line), "%s [%016llx.%llu]\n", text,
		     (unsigned long long)guest.incarnation, (unsigned long long)++guest.number);
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		guest.number++; /* the gap tells that a line is missing */
}

uint64_t machine_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void memory_damage(const char *what)
{
	guest.damage++;
	console_line("WITNESS DAMAGE %s", what);
}

uint64_t disk_blocks(void)
{
	uint64_t bytes = 0;

	return ioctl(guest.disk_fd, BLKGETSIZE64, &bytes) < 0 ? 0 : bytes / DISK_BLOCK;
}

/* Not past the page cache is what proves something. */
void disk_start(enum disk_op op, uint64_t block, void *data, uint32_t blocks)
{
	size_t len = (size_t)blocks * DISK_BLOCK;
	off_t at = (off_t)block * DISK_BLOCK;
	bool is_good = false;

	switch (op) {
	case DISK_READ:
		is_good = pread(guest.disk_fd, bounce, len, at) == (ssize_t)len;
		if (is_good)
			memcpy(data, bounce, len);
		break;
	case DISK_WRITE:
		memcpy(bounce, data, len);
		is_good = pwrite(guest.disk_fd, bounce, len, at) == (ssize_t)len;
		break;
	case DISK_FLUSH:
		is_good = fdatasync(guest.disk_fd) == 0;
		break;
	}
	guest.disk_status = is_good ? 0 : (uint8_t)errno;
}

bool disk_is_done(uint8_t *ret_status)
{
	*ret_status = guest.disk_status;
	return true;
}

/* ---- start */

static void stop(const char *why)
{
	console_line("WITNESS STOP %s: %s", why, strerror(errno));
	for (;;)
		pause();
}

static void mount_kernel(void)
{
	static const char *const trees[][2] = {
		{"/dev", "devtmpfs"}, {"/proc", "proc"}, {"/sys", "sysfs"}};

	for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++)
		if (mkdir(trees[i][0], 0755) < 0 && errno != EEXIST)
			stop(trees[i][0]);
		else if (mount(trees[i][1], trees[i][0], trees[i][1], 0, NULL) < 0 &&
			 errno != EBUSY)
			stop(trees[i][0]);
}

static void load_module(const char *name)
{
	char path[NAME_BYTES + 16];
	int fd;

	snprintf(path, sizeof(path), "/modules/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		console_line("WITNESS NOTE module %s: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void load_modules(void)
{
	FILE *list = fopen(MODULE_LIST, "re");
	char name[NAME_BYTES];

	if (!list)
		stop(MODULE_LIST);
	while (fgets(name, sizeof(name), list)) {
		name[strcspn(name, "\n")] = 0;
		load_module(name);
	}
	fclose(list);
}

static void open_buttons(void)
{
	for (int i = 0; guest.buttons < BUTTONS_MAX && i < 2 * BUTTONS_MAX; i++) {
		char path[32];
		int fd;

		snprintf(path, sizeof(path), "/dev/input/event%d", i);
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0)
			guest.button_fds[guest.buttons++] = fd;
	}
	if (!guest.buttons)
		console_line("WITNESS NOTE there is no power button");
}

static void open_disk(void)
{
	uint64_t late = machine_now_ms() + FOUND_MS;

	while ((guest.disk_fd = open(DISK_PATH, O_RDWR | O_DIRECT | O_CLOEXEC)) < 0 &&
	       machine_now_ms() < late)
		poll(NULL, 0, WORK_MS);
	if (guest.disk_fd < 0)
		stop(DISK_PATH);
}

static void start_rc(void)
{
	if (access(RC_PATH, R_OK) < 0 || fork() != 0)
		return;
	setsid();
	execl(SHELL_PATH, "sh", RC_PATH, (char *)NULL);
	_exit(127);
}

/* ---- work */

static bool is_power_key(int fd)
{
	struct input_event event;

	while (read(fd, &event, sizeof(event)) == (ssize_t)sizeof(event))
		if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
			return true;
	return false;
}

static void work(void)
{
	struct pollfd fds[BUTTONS_MAX];

	for (nfds_t i = 0; i < guest.buttons; i++)
		fds[i] = (struct pollfd){.fd = guest.button_fds[i], .events = POLLIN};
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	if (poll(fds, guest.buttons, WORK_MS) <= 0)
		return;
	for (nfds_t i = 0; i < guest.buttons; i++) {
		if (!fds[i].revents || !is_power_key(fds[i].fd))
			continue;
		console_line("WITNESS OFF");
		tcdrain(STDOUT_FILENO);
		reboot(RB_POWER_OFF);
	}
}

/* The kernel hands name=value of its command line, which it does not know, over as environment. */
static uint32_t option(const char *name, uint32_t otherwise)
{
	const char *text = getenv(name);
	char *end;
	unsigned long v;

	if (!text || !*text)
		return otherwise;
	v = strtoul(text, &end, 10);
	if (*end || v > OPTION_LIMIT) {
		console_line("WITNESS NOTE an option that is not understood: %s=%s", name, text);
		return otherwise;
	}
	return (uint32_t)v;
}

/* Does not wait until the kernel is sure of its random numbers, which takes a second. */
static uint64_t random_incarnation(void)
{
	uint64_t seed = 0;
	struct timespec now;

	if (getrandom(&seed, sizeof(seed), GRND_INSECURE) < 0)
		stop("getrandom");
	clock_gettime(CLOCK_REALTIME, &now);
	seed = record_mix(seed, (uint64_t)now.tv_sec);
	return record_mix(seed, (uint64_t)now.tv_nsec);
}

static void start_ring(struct record *r)
{
	const char *vm = getenv("vm");
	struct stamp_options how = {option("ring", RECORD_RING_SLOTS), option("flush", 1), r->vm,
				    work};
	struct record newest;

	r->incarnation = random_incarnation();
	console_incarnation(r->incarnation);
	record_name(r, vm ? vm : "linux");
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
	uint32_t interval = option("interval", 50), beat = option("beat", 1), since = 0;
	uint64_t next_ms = machine_now_ms();

	for (;;) {
		do
			work();
		while (machine_now_ms() < next_ms);
		r->uptime_ms = machine_now_ms();
		next_ms = r->uptime_ms + interval;
		r->damage = guest.damage;
		stamp_write(r);
		if (++since < beat)
			continue;
		since = 0;
		console_line("W %016llx %llu %llu %u %u", (unsigned long long)r->incarnation,
			     (unsigned long long)r->sequence, (unsigned long long)r->sweeps,
			     r->damage, r->faults);
	}
}

int main(void)
{
	static struct record r;

	mount_kernel();
	load_modules();
	open_buttons();
	open_disk();
	start_rc();
	start_ring(&r);
	run(&r);
	return 0;
}
