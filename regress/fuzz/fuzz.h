/*
 * fuzz.h - what every fuzz target defines.
 *
 * One input in, nothing out: what must hold is asserted.  libFuzzer calls
 * it with inputs of its own (make fuzz); replay.c calls it with the files of
 * regress/fuzz/corpus, so that every build runs them.
 */
#ifndef FAILOVERD_FUZZ_H
#define FAILOVERD_FUZZ_H

#ifdef NDEBUG
#error "fuzz targets and the core they drive need their assertions"
#endif

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* data is the caller's; 0: take note of it, -1: not worth keeping. */
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
