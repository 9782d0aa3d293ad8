/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does KVM run code? One page of memory, one virtual CPU in real mode, three instructions. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migrate/edge/probe.h"

#define CODE_AT	  0x1000
#define PAGE	  4096
#define TEST_PORT 0x10

/* mov al, 42; out TEST_PORT, al; hlt */
static const uint8_t code[] = {0xb0, 42, 0xe6, TEST_PORT, 0xf4};

/* A vCPU that begins at CODE_AT; negative: none. */
static int make_vcpu(int vm)
{
	struct kvm_userspace_memory_region region = {.guest_phys_addr = CODE_AT,
						     .memory_size = PAGE};
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rip = CODE_AT, .rflags = 2};
	void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int vcpu;

	if (memory == MAP_FAILED)
		return -1;
	memcpy(memory, code, sizeof(code));
	region.userspace_addr = (uint64_t)(uintptr_t)memory;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return -1;
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0 || ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		return -1;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
		return -1;
	return vcpu;
}

static bool runs_code(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	int vcpu = vm < 0 ? -1 : make_vcpu(vm);
	int size = vcpu < 0 ? -1 : ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_run *run;

	if (size < (int)sizeof(*run))
		return false;
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED || ioctl(vcpu, KVM_RUN, 0) < 0)
		return false;
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != TEST_PORT ||
	    ((uint8_t *)run)[run->io.data_offset] != 42)
		return false;
	return ioctl(vcpu, KVM_RUN, 0) == 0 && run->exit_reason == KVM_EXIT_HLT;
}

bool probe_kvm(void)
{
	pid_t pid = fork(), r;
	int status = 0;

	if (pid == 0) {
		(void)signal(SIGALRM, SIG_DFL);
		alarm(PROBE_KVM_S); /* a KVM that hangs ends the child */
		_exit(runs_code() ? 0 : 1);
	}
	if (pid < 0)
		return false;
	do {
		r = waitpid(pid, &status, 0);
	} while (r < 0 && errno == EINTR);
	return r == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
