/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"

/*
 * AES-128-GCM first: it has SHA-256, as our keys have; NORMAL has AES-256-GCM first, which has not,
 * so that what came second was agreed, ChaCha20: without instructions of its own, 3.8 ms of CPU a
 * MiB and side. That stays for a peer that offers nothing else.
 */
#define TLS_PRIORITY                                                                               \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:"                                        \
	"-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305"
#define TLS_USER     "cluster"
#define SECRET_MIN   32
#define SECRET_MAX   4096
#define LISTEN_QUEUE 16

struct tls {
	int fd;
	gnutls_session_t session;
	gnutls_psk_client_credentials_t client;
	gnutls_psk_server_credentials_t server;
	struct tls_key key;
};

int tls_key_load(const char *path, const char *purpose, struct tls_key *ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t secret[SECRET_MAX];
	struct stat st;
	ssize_t n;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_mode & 077)
		return -EACCES;
	n = read(fd, secret, sizeof(secret));
	if (n < 0)
		return -errno;
	if (n < SECRET_MIN)
		return -EINVAL;
	r = gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret, (size_t)n, purpose, strlen(purpose),
			     ret->byte);
	gnutls_memset(secret, 0, sizeof(secret));
	return r ? -EIO : 0;
}

void tls_hash(const void *p, size_t n, uint8_t ret[TLS_HASH_BYTES])
{
	must(gnutls_hash_fast(GNUTLS_DIG_SHA256, p, n, ret) == 0);
}

static int make_address(const char *address, uint16_t port, struct sockaddr_storage *ret,
			socklen_t *ret_len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	*ret = (struct sockaddr_storage){0};
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*ret_len = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*ret_len = sizeof(*v6);
		return 0;
	}
	return -EINVAL;
}

int tls_listen(const char *address, uint16_t port)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage sa;
	socklen_t len;
	int one = 1, r = make_address(address, port, &sa, &len);

	if (r)
		return r;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, LISTEN_QUEUE) < 0)
		return -errno;
	return steal_fd(&fd);
}

static int set_timeouts(int fd, int timeout_ms)
{
	struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return -errno;
	return 0;
}

/* The only identity is the key; the name is fixed. */
static int server_key(gnutls_session_t session, const char *user, gnutls_datum_t *ret)
{
	struct tls *t = gnutls_session_get_ptr(session);

	if (strcmp(user, TLS_USER) != 0)
		return -1;
	ret->data = gnutls_malloc(TLS_KEY_BYTES);
	if (!ret->data)
		return -1;
	memcpy(ret->data, t->key.byte, TLS_KEY_BYTES);
	ret->size = TLS_KEY_BYTES;
	return 0;
}

static int set_credentials(struct tls *t, bool is_server)
{
	gnutls_datum_t key = {t->key.byte, TLS_KEY_BYTES};

	if (is_server) {
		if (gnutls_psk_allocate_server_credentials(&t->server))
			return -ENOMEM;
		gnutls_psk_set_server_credentials_function(t->server, server_key);
		return gnutls_credentials_set(t->session, GNUTLS_CRD_PSK, t->server) ? -EIO : 0;
	}
	if (gnutls_psk_allocate_client_credentials(&t->client))
		return -ENOMEM;
	if (gnutls_psk_set_client_credentials(t->client, TLS_USER, &key, GNUTLS_PSK_KEY_RAW))
		return -EIO;
	return gnutls_credentials_set(t->session, GNUTLS_CRD_PSK, t->client) ? -EIO : 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* 0: fd is ready for these events; -ETIMEDOUT, -ECANCELED, -errno. */
static int wait_ready(int fd, short events, int64_t end_ms, int stop_fd)
{
	for (;;) {
		struct pollfd p[] = {{.fd = fd, .events = events},
				     {.fd = stop_fd, .events = POLLIN}};
		int64_t left_ms = end_ms - now_ms();
		int n = poll(p, 2, left_ms > 0 ? (int)left_ms : 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && p[1].revents)
			return -ECANCELED;
		if (n > 0)
			return 0;
		if (!n)
			return -ETIMEDOUT;
	}
}

/* On a descriptor that does not block: so that it can be given up, and has one deadline. */
static int shake(struct tls *t, int timeout_ms, int stop_fd)
{
	int64_t end_ms = now_ms() + timeout_ms;
	int g, r;

	for (;;) {
		g = gnutls_handshake(t->session);
		if (g == GNUTLS_E_INTERRUPTED)
			continue;
		if (g != GNUTLS_E_AGAIN)
			return g ? -EPROTO : 0;
		r = wait_ready(t->fd, gnutls_record_get_direction(t->session) ? POLLOUT : POLLIN,
			       end_ms, stop_fd);
		if (r)
			return r;
	}
}

static int set_blocking(int fd, bool is_blocking)
{
	return fcntl(fd, F_SETFL, is_blocking ? 0 : O_NONBLOCK) < 0 ? -errno : 0;
}

/* Takes fd. */
static int handshake(int fd, bool is_server, const struct tls_key *key, int timeout_ms, int stop_fd,
		     struct tls **ret)
{
	struct tls *t = calloc(1, sizeof(*t));
	int r;

	must(t);
	t->fd = fd;
	t->key = *key;
	r = set_timeouts(fd, timeout_ms);
	if (!r && gnutls_init(&t->session, is_server ? GNUTLS_SERVER : GNUTLS_CLIENT))
		r = -ENOMEM;
	if (!r) {
		gnutls_session_set_ptr(t->session, t);
		if (gnutls_priority_set_direct(t->session, TLS_PRIORITY, NULL))
			r = -EIO;
	}
	if (!r)
		r = set_credentials(t, is_server);
	r = r ? r : set_blocking(fd, false);
	if (!r) {
		gnutls_transport_set_int(t->session, fd);
		r = shake(t, timeout_ms, stop_fd);
	}
	r = r ? r : set_blocking(fd, true);
	if (r) {
		tls_close(t);
		return r;
	}
	*ret = t;
	return 0;
}

static int connect_socket(int fd, const struct sockaddr *sa, socklen_t len, int timeout_ms,
			  int stop_fd)
{
	int error = 0, r = set_blocking(fd, false);
	socklen_t error_len = sizeof(error);

	if (r)
		return r;
	if (connect(fd, sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	r = wait_ready(fd, POLLOUT, now_ms() + timeout_ms, stop_fd);
	if (r)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) < 0 || error)
		return error ? -error : -errno;
	return 0;
}

int tls_connect_unless(const char *address, uint16_t port, const struct tls_key *key,
		       int timeout_ms, int stop_fd, struct tls **ret)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage sa;
	socklen_t len;
	int r = make_address(address, port, &sa, &len);

	if (r)
		return r;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = connect_socket(fd, (struct sockaddr *)&sa, len, timeout_ms, stop_fd);
	if (r)
		return r;
	return handshake(steal_fd(&fd), false, key, timeout_ms, stop_fd, ret);
}

int tls_connect(const char *address, uint16_t port, const struct tls_key *key, int timeout_ms,
		struct tls **ret)
{
	return tls_connect_unless(address, port, key, timeout_ms, -1, ret);
}

int tls_accept_unless(int fd, const struct tls_key *key, int timeout_ms, int stop_fd,
		      struct tls **ret)
{
	return handshake(fd, true, key, timeout_ms, stop_fd, ret);
}

int tls_accept(int fd, const struct tls_key *key, int timeout_ms, struct tls **ret)
{
	return handshake(fd, true, key, timeout_ms, -1, ret);
}

static int error_of(ssize_t n)
{
	if (n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION)
		return -EPIPE;
	return n == GNUTLS_E_AGAIN ? -ETIMEDOUT : -EIO;
}

int tls_read(struct tls *t, void *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = gnutls_record_recv(t->session, (char *)buf + at, n - at);

		if (got == GNUTLS_E_INTERRUPTED)
			continue;
		if (got <= 0)
			return error_of(got);
		at += (size_t)got;
	}
	return 0;
}

int tls_write(struct tls *t, const void *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t put = gnutls_record_send(t->session, (const char *)buf + at, n - at);

		if (put == GNUTLS_E_INTERRUPTED)
			continue;
		if (put <= 0)
			return error_of(put);
		at += (size_t)put;
	}
	return 0;
}

static int set_timeout(int fd, int option, unsigned int ms)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
			     .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	return setsockopt(fd, SOL_SOCKET, option, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int tls_set_deadlines(struct tls *t, unsigned int read_ms, unsigned int write_ms,
		      unsigned int peer_ms)
{
	int seconds = (int)(peer_ms / 3000) + 1;
	int r = set_timeout(t->fd, SO_RCVTIMEO, read_ms);

	r = r ? r : set_timeout(t->fd, SO_SNDTIMEO, write_ms);
	r = r ? r : set_int(t->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	r = r ? r : set_int(t->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	r = r ? r : set_int(t->fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
	r = r ? r : set_int(t->fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
	r = r ? r : set_int(t->fd, IPPROTO_TCP, TCP_KEEPCNT, 2);
	return r ? r : set_int(t->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)peer_ms);
}

int tls_fd(const struct tls *t)
{
	return t->fd;
}

void tls_close(struct tls *t)
{
	if (!t)
		return;
	if (t->session) {
		gnutls_bye(t->session, GNUTLS_SHUT_WR);
		gnutls_deinit(t->session);
	}
	if (t->client)
		gnutls_psk_free_client_credentials(t->client);
	if (t->server)
		gnutls_psk_free_server_credentials(t->server);
	gnutls_memset(&t->key, 0, sizeof(t->key));
	close(t->fd);
	free(t);
}
