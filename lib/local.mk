# lib/: knows nothing of clusters. libbase is pure and may be linked into cores.
noinst_LIBRARIES += lib/libbase.a
lib_libbase_a_SOURCES = \
	lib/banned.h lib/cleanup.h lib/hash.h lib/prng.h \
	lib/crc32c.c lib/crc32c.h \
	lib/must.c lib/must.h \
	lib/wire.c lib/wire.h
