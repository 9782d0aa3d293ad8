/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS 1.3 between the daemons of one cluster. Both sides prove that they know the cluster key
 * (PSK with ephemeral Diffie-Hellman); nobody else gets a byte to a parser. There are no
 * certificates to expire (doc/adr/0004).
 *
 * Blocking, with a deadline for each call: for threads of their own, never for the loop.
 * Wrapper of GnuTLS; no GnuTLS type leaves it.
 */
#ifndef LIB_TLS_H
#define LIB_TLS_H

#include <stddef.h>
#include <stdint.h>

#define TLS_KEY_BYTES  32
#define TLS_HASH_BYTES 32

struct tls_key {
	uint8_t byte[TLS_KEY_BYTES];
};

struct tls;

/*
 * Derives the key for one purpose from the secret in a file that only root can read (corosync's
 * authkey). 0; -EACCES when others can read the file; -EINVAL when it is too short; -errno.
 */
int tls_key_load(const char *path, const char *purpose, struct tls_key *ret);
/* SHA-256. */
void tls_hash(const void *p, size_t n, uint8_t ret[TLS_HASH_BYTES]);
/* Listens on address:port. Returns the descriptor or -errno. */
int tls_listen(const char *address, uint16_t port);
/*
 * Connects and does the handshake, each within timeout_ms. 0 and the channel (owned); -errno;
 * -ETIMEDOUT; -EPROTO: handshake failed.
 */
int tls_connect(const char *address, uint16_t port, const struct tls_key *key, int timeout_ms,
		struct tls **ret);
/* The same, but given up with -ECANCELED as soon as stop_fd can be read (-1: never). */
int tls_connect_unless(const char *address, uint16_t port, const struct tls_key *key,
		       int timeout_ms, int stop_fd, struct tls **ret);
/* Handshake on an accepted descriptor, which it takes, also on failure. */
int tls_accept(int fd, const struct tls_key *key, int timeout_ms, struct tls **ret);
int tls_accept_unless(int fd, const struct tls_key *key, int timeout_ms, int stop_fd,
		      struct tls **ret);
/* All n bytes or an error: -EPIPE at the end of the stream, -ETIMEDOUT, -EIO. */
int tls_read(struct tls *t, void *buf, size_t n);
int tls_write(struct tls *t, const void *buf, size_t n);
/*
 * For a channel that stays open. read_ms and write_ms: deadlines of each later call, 0: none; a
 * peer that does not answer at all for peer_ms breaks the channel all the same (keepalive(7),
 * TCP_USER_TIMEOUT: tcp(7)). After a read that timed out the channel is of no more use. One thread
 * may read while another writes. 0 or -errno.
 */
int tls_set_deadlines(struct tls *t, unsigned int read_ms, unsigned int write_ms,
		      unsigned int peer_ms);
/* Says goodbye and closes. Takes NULL. */
void tls_close(struct tls *t);
/* The descriptor, for shutdown(2) from another thread. */
int tls_fd(const struct tls *t);

#endif
