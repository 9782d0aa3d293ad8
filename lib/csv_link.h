/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clusterd and a csvfsd of the same node tell each other, on a local SOCK_SEQPACKET socket:
 * one message a packet. Both sides tell their whole state each time it changes, so a packet that
 * was never sent is made good by the next one, and either process may be started anew.
 *
 *   csvfsd    ATTACH once per connection, then STATUS
 *   clusterd  STATE
 *
 * Pure codec; any thread on objects of its own.
 */
#ifndef LIB_CSV_LINK_H
#define LIB_CSV_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_LINK_VERSION   3
#define CSV_LINK_MAX	   4096
#define CSV_LINK_MOUNTS	   16
#define CSV_LINK_UUID	   16
#define CSV_LINK_ADDRESS   64 /* IPv4 or IPv6 as text, with the NUL */
#define CSV_LINK_TEXT	   200
#define CSV_LINK_NODE_NONE 0xff

enum csv_link_role {
	CSV_LINK_MOUNT,	      /* the file system that this node sees */
	CSV_LINK_COORDINATOR, /* who serves the volume to all nodes */
	CSV_LINK_ROLE_MAX
};

/* Who I am. id: mount incarnation, or term. */
struct csv_link_attach {
	enum csv_link_role role;
	uint8_t volume[CSV_LINK_UUID];
	uint64_t id;
};

enum csv_link_phase {
	CSV_LINK_STARTING,
	CSV_LINK_READY,	   /* mounted; a coordinator: listens on `port` */
	CSV_LINK_STOPPING, /* no new work; what is under way is ended */
	CSV_LINK_STOPPED,  /* nothing is mounted any more; the process ends */
	CSV_LINK_FAILED,   /* cannot go on, see text; the process ends */
	CSV_LINK_PHASE_MAX
};

/* Whether a mount reads and writes the LUN by itself. */
enum csv_link_io_state {
	CSV_LINK_IO_UNAVAILABLE, /* it has no LUN */
	CSV_LINK_IO_PAUSED,	 /* and nobody does it for it */
	CSV_LINK_IO_ACTIVE,
	CSV_LINK_IO_REDIRECTED, /* the coordinator does it */
	CSV_LINK_IO_MAX
};

/* What a mount does by itself on the LUN. */
struct csv_link_io {
	enum csv_link_io_state state;
	uint32_t granted;	/* files */
	uint64_t since_ms;	/* CLOCK_BOOTTIME: not active since then; 0: it is */
	uint64_t requests;	/* to the coordinator, so far */
	uint64_t reads, writes; /* on the LUN, so far */
	uint64_t bytes;
	uint64_t redirected_bytes; /* through the coordinator, because this node could not */
	char why[CSV_LINK_TEXT];   /* it is not active */
};

/* A mount that owes the coordinator an answer for which others wait, and has for too long. */
struct csv_link_silent {
	uint64_t id;  /* mount incarnation */
	uint64_t ino; /* of the file */
	uint32_t for_ms;
};

struct csv_link_status {
	enum csv_link_phase phase;
	uint16_t port;		  /* coordinator */
	bool is_serving;	  /* coordinator: reclaim and resends are over; mount: connected */
	bool is_quiet;		  /* it does no I/O and will not before the lease is back */
	uint32_t pending;	  /* requests under way */
	uint32_t oldest_ms;	  /* age of the oldest of them */
	char text[CSV_LINK_TEXT]; /* what it waits for, or why it failed */
	struct csv_link_io io;	  /* mount */
	uint8_t dropped_count;	  /* coordinator: of these mounts nothing is left */
	uint64_t dropped[CSV_LINK_MOUNTS];
	uint64_t grown;			/* coordinator: that wish has been carried out, or ... */
	bool has_grown;			/* ... could not be */
	uint64_t grown_bytes;		/* of the file system then */
	char grown_text[CSV_LINK_TEXT]; /* why not */
	uint64_t beat;	      /* that of the last STATE: from the thread that does the work */
	uint8_t silent_count; /* coordinator */
	struct csv_link_silent silent[CSV_LINK_MOUNTS];
};

struct csv_link_mount {
	uint8_t node;
	bool is_gone; /* it has ended: drop what it had */
	uint64_t id;
};

struct csv_link_state {
	uint64_t term;	/* of the coordinator; 0: there is none */
	uint8_t node;	/* where it is; CSV_LINK_NODE_NONE */
	bool is_online; /* it listens at address and port */
	uint16_t port;
	char address[CSV_LINK_ADDRESS];
	char why[CSV_LINK_TEXT]; /* if it is not online: what is waited for */
	bool is_stop;		 /* end: unmount, leave nothing behind */
	uint64_t lease_until_ms; /* CLOCK_BOOTTIME: no I/O on the LUN after it */
	uint8_t mount_count;
	struct csv_link_mount mount[CSV_LINK_MOUNTS];
	uint64_t beat; /* comes back in STATUS: a sign of life */
	uint64_t
		grow; /* coordinator: the LUN has grown, take it in; number of that wish; 0: none */
	bool is_aside; /* mount: all its I/O shall go through the coordinator */
};

enum csv_link_type { CSV_LINK_ATTACH = 1, CSV_LINK_STATUS = 2, CSV_LINK_STATE = 3 };

struct csv_link_message {
	enum csv_link_type type;
	union {
		struct csv_link_attach attach;
		struct csv_link_status status;
		struct csv_link_state state;
	};
};

/* Returns 0 and the length (at most CSV_LINK_MAX), or -ENOBUFS. */
int csv_link_encode(const struct csv_link_message *m, void *buf, size_t cap, size_t *ret_len);
/* 0; -EPROTO: another version; -EBADMSG: anything else that is wrong. *ret untouched on failure. */
int csv_link_decode(const void *buf, size_t len, struct csv_link_message *ret);

#endif
