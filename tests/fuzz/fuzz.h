/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a fuzz target offers to libFuzzer (https://llvm.org/docs/LibFuzzer.html) and to
 * replay_main.c. A target aborts on a finding and returns 0 otherwise; it keeps nothing from one
 * input to the next.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
