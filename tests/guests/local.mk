# SPDX-License-Identifier: GPL-2.0-or-later
# The witness: 32 bits and no operating system, so neither the project's flags nor libgcc apply.
WITNESS_CC = $(CC)
WITNESS_FLAGS = -std=gnu11 -O2 -Wall -Wextra -Werror -m32 -march=i686 -mgeneral-regs-only \
	-ffreestanding -fno-pie -fno-pic -fno-stack-protector -fcf-protection=none \
	-fno-strict-aliasing -fno-asynchronous-unwind-tables \
	-Itests/guests/witness/libc -I.
WITNESS_LINK = -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack
WITNESS_C = tests/guests/record.c lib/crc32c.c lib/wire.c \
	tests/guests/witness/console.c tests/guests/witness/disk.c tests/guests/witness/libc.c \
	tests/guests/witness/machine.c tests/guests/witness/memory.c \
	tests/guests/witness/stamp.c tests/guests/witness/start.S tests/guests/witness/witness.c
WITNESS_H = tests/guests/record.h lib/crc32c.h lib/wire.h \
	tests/guests/witness/console.h tests/guests/witness/disk.h \
	tests/guests/witness/libc/errno.h tests/guests/witness/libc/string.h \
	tests/guests/witness/machine.h tests/guests/witness/memory.h tests/guests/witness/stamp.h
WITNESS_LD = tests/guests/witness/witness.ld

check_DATA = tests/guests/witness.elf
CLEANFILES += tests/guests/witness.elf
# Put into the system of a cluster's guest; @ stands for /.
GUEST_FILES = tests/guests/linux/cluster/@initramfs \
	tests/guests/linux/cluster/etc@group tests/guests/linux/cluster/etc@hosts \
	tests/guests/linux/cluster/etc@inittab tests/guests/linux/cluster/etc@nsswitch.conf \
	tests/guests/linux/cluster/etc@passwd \
	tests/guests/linux/cluster/usr@sbin@fence_guest \
	tests/guests/linux/cluster/usr@sbin@guest-agent \
	tests/guests/linux/cluster/usr@sbin@guest-start
# Not the folder: make would take what it has built there along.
EXTRA_DIST += $(WITNESS_C) $(WITNESS_H) $(WITNESS_LD) tests/guests/README.md \
	tests/guests/linux/make-linux-guest tests/guests/machine.py tests/guests/test_linux.py \
	tests/guests/witness_judge.py tests/guests/linux/debian.py \
	tests/guests/linux/make-cluster-image $(GUEST_FILES) \
	tests/guests/conftest.py tests/guests/guests.py tests/guests/ring.py \
	tests/guests/test_guests.py tests/guests/test_dlm.py tests/guests/test_csvfs_guests.py

tests/guests/witness.elf: $(WITNESS_C) $(WITNESS_H) $(WITNESS_LD) tests/guests/local.mk
	$(AM_V_CCLD)$(MKDIR_P) tests/guests && \
	cd $(top_srcdir) && $(WITNESS_CC) $(WITNESS_FLAGS) $(WITNESS_LINK) -T $(WITNESS_LD) \
		-o $(abs_builddir)/$@ $(WITNESS_C)

# Process 1 of the Linux guest: static, as nothing else is there, and so without sanitizers.
check_PROGRAMS += tests/guests/linux_init
tests_guests_linux_init_SOURCES = tests/guests/linux/init.c tests/guests/record.c \
	tests/guests/witness/stamp.c lib/crc32c.c lib/wire.c
tests_guests_linux_init_CFLAGS = -std=gnu11 -O2 -Wall -Wextra -Werror
tests_guests_linux_init_LDFLAGS = -static

# ---- guests with an operating system, made from Debian's packages: downloads 140 MB once
# Without libdlm there is no dlm_conform, and test_dlm.py fails: it is not left out unseen.
if HAVE_DLM
dlm_conform_built = tests/guests/dlm_conform
endif
check-guests: all tests/guests/linux_init $(dlm_conform_built)
	CLUSTERD_BUILD=$(abs_top_builddir) /usr/bin/python3 -m pytest -q -p no:cacheprovider \
		$(abs_top_srcdir)/tests/guests $(LIVE_FLAGS)

.PHONY: check-guests
