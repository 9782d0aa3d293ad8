/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scope-bound ownership: a local that owns something says so in its declaration and is released on
 * every way out of the block. Hand the thing over with steal_ptr() or steal_fd().
 * Not for objects whose order of undoing matters: those use one forward `goto out`.
 */
#ifndef LIB_CLEANUP_H
#define LIB_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void lib_freep(void *p)
{
	free(*(void **)p);
}

static inline void lib_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void lib_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_	 _cleanup_(lib_freep)
#define _cleanup_close_	 _cleanup_(lib_closep)
#define _cleanup_fclose_ _cleanup_(lib_fclosep)

#define steal_ptr(p)                                                                               \
	({                                                                                         \
		__typeof__(p) _stolen = (p);                                                       \
		(p) = NULL;                                                                        \
		_stolen;                                                                           \
	})

static inline int steal_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

#endif
