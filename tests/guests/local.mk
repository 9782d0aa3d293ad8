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
EXTRA_DIST += tests/guests

tests/guests/witness.elf: $(WITNESS_C) $(WITNESS_H) $(WITNESS_LD) tests/guests/local.mk
	$(AM_V_CCLD)$(MKDIR_P) tests/guests && \
	cd $(top_srcdir) && $(WITNESS_CC) $(WITNESS_FLAGS) $(WITNESS_LINK) -T $(WITNESS_LD) \
		-o $(abs_builddir)/$@ $(WITNESS_C)
