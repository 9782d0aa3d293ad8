/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"

/* Onto the bridge, and up. */
static int join(const char *bridge, const char *name)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = {0};

	if (fd < 0)
		return -errno;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", bridge);
	r.ifr_ifindex = (int)if_nametoindex(name);
	if (!r.ifr_ifindex || ioctl(fd, SIOCBRADDIF, &r) < 0)
		return errno == EOPNOTSUPP ? -ENODEV : -errno;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFFLAGS, &r) < 0)
		return -errno;
	r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
	return ioctl(fd, SIOCSIFFLAGS, &r) < 0 ? -errno : 0;
}

int tap_open(const char *bridge)
{
	_cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq r = {.ifr_name = "vm%d", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int e;

	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
		return -errno;
	e = join(bridge, r.ifr_name);
	return e ? e : steal_fd(&fd);
}
