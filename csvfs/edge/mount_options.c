/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/mount_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOLUME_NAME_MAX	       63
#define BUSY_TIMEOUT_DEFAULT_S 30

static void usage(FILE *f)
{
	fprintf(f,
		"usage: csvfsd mount --volume NAME --uuid UUID --mount-point DIR --id HEX\n"
		"                    --socket PATH --key PATH [--device LUN] [--busy-timeout "
		"SECONDS]\n"
		"                    [--log stderr|syslog] [--foreground]\n"
		"\n"
		"Mounts a volume on this node; started by clusterd.\n"
		"  --volume NAME           shown in /proc/mounts\n"
		"  --uuid UUID             of the volume\n"
		"  --mount-point DIR       an empty place that nothing is mounted on\n"
		"  --id HEX                mount incarnation: never used twice\n"
		"  --socket PATH           clusterd's socket for csvfsd\n"
		"  --key PATH              secret that all nodes share (corosync's authkey)\n"
		"  --device LUN            for I/O on files that are granted; without: none is\n"
		"  --busy-timeout SECONDS  how long to wait for users when unmounting; 0: for "
		"ever (default: %d)\n"
		"  --log stderr|syslog     where to log (default: syslog, stderr in the "
		"foreground)\n"
		"  --foreground            do not become a daemon\n"
		"  --held FDS              for the process that it starts by itself to serve\n",
		BUSY_TIMEOUT_DEFAULT_S);
}

static bool is_volume_name(const char *s)
{
	if (!*s || strlen(s) > VOLUME_NAME_MAX)
		return false;
	for (; *s; s++) {
		if (!isalnum((unsigned char)*s) && !strchr("._-", *s))
			return false;
	}
	return true;
}

static int hex_of(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return p ? (int)(p - digits) : -1;
}

/* 8-4-4-4-12 digits. */
static bool parse_uuid(const char *s, struct mount_options *o)
{
	size_t n = 0;

	if (strlen(s) != MOUNT_UUID_TEXT - 1)
		return false;
	for (size_t i = 0; s[i]; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		int digit = hex_of(s[i]);

		o->uuid_text[i] = (char)tolower((unsigned char)s[i]);
		if (dash ? s[i] != '-' : digit < 0)
			return false;
		if (dash)
			continue;
		if (n % 2)
			o->uuid.byte[n / 2] = (uint8_t)(o->uuid.byte[n / 2] | digit);
		else
			o->uuid.byte[n / 2] = (uint8_t)(digit << 4);
		n++;
	}
	return true;
}

static bool parse_number(const char *s, int base, uint64_t max, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(s, &end, base);
	if (errno || end == s || *end || v > max || !isxdigit((unsigned char)*s))
		return false;
	*ret = v;
	return true;
}

static int refuse(const char *text)
{
	fprintf(stderr, "csvfsd: %s\n", text);
	usage(stderr);
	return 2;
}

enum {
	OPT_VOLUME = 256,
	OPT_UUID,
	OPT_POINT,
	OPT_ID,
	OPT_SOCKET,
	OPT_KEY,
	OPT_BUSY,
	OPT_LOG,
	OPT_DEVICE,
	OPT_HELD
};

/* DEVICE:KEEP:LOCK:CONTROL:TELLER:BEFORE, of a holder. */
static bool parse_held(const char *s, struct mount_options *o)
{
	int end = 0;

	o->is_held = true;
	if (sscanf(s, "%d:%d:%d:%d:%d:%n", &o->held.device, &o->held.keep, &o->held.lock,
		   &o->held.control, &o->held.teller, &end) != 5 ||
	    !end)
		return false;
	snprintf(o->held.before, sizeof(o->held.before), "%s", s + end);
	return true;
}

/* False: not good. */
static bool take(struct mount_options *o, int option, const char *arg)
{
	uint64_t v;

	switch (option) {
	case OPT_VOLUME:
		o->volume = arg;
		return is_volume_name(arg);
	case OPT_UUID:
		return parse_uuid(arg, o);
	case OPT_POINT:
		o->mount_point = arg;
		return arg[0] == '/';
	case OPT_ID:
		return parse_number(arg, 16, UINT64_MAX, &o->id) && o->id;
	case OPT_SOCKET:
		o->socket = arg;
		return arg[0] == '/';
	case OPT_KEY:
		o->key = arg;
		return true;
	case OPT_DEVICE:
		o->device = arg;
		return arg[0] == '/';
	case OPT_BUSY:
		if (!parse_number(arg, 10, 1000000, &v))
			return false;
		o->busy_timeout_s = (unsigned int)v;
		return true;
	case OPT_HELD:
		return parse_held(arg, o);
	case OPT_LOG:
		o->to_syslog = !strcmp(arg, "syslog");
		return o->to_syslog || !strcmp(arg, "stderr");
	}
	return false;
}

int mount_options_parse(int argc, char **argv, struct mount_options *ret)
{
	static const struct option longs[] = {
		{"volume", required_argument, NULL, OPT_VOLUME},
		{"uuid", required_argument, NULL, OPT_UUID},
		{"mount-point", required_argument, NULL, OPT_POINT},
		{"id", required_argument, NULL, OPT_ID},
		{"socket", required_argument, NULL, OPT_SOCKET},
		{"key", required_argument, NULL, OPT_KEY},
		{"device", required_argument, NULL, OPT_DEVICE},
		{"busy-timeout", required_argument, NULL, OPT_BUSY},
		{"log", required_argument, NULL, OPT_LOG},
		{"held", required_argument, NULL, OPT_HELD},
		{"foreground", no_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct mount_options o = {.busy_timeout_s = BUSY_TIMEOUT_DEFAULT_S};
	bool has_log = false;
	int c, index = 0;

	while ((c = getopt_long(argc, argv, "", longs, &index)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c == 'f') {
			o.foreground = true;
		} else if (c == '?' || !take(&o, c, optarg)) {
			if (c != '?')
				fprintf(stderr, "csvfsd: --%s %s\n", longs[index].name, optarg);
			return refuse("a bad option");
		}
		has_log = has_log || c == OPT_LOG;
	}
	if (optind != argc || !o.volume || !o.uuid_text[0] || !o.mount_point || !o.id ||
	    !o.socket || !o.key)
		return refuse("an option is missing");
	if (!has_log)
		o.to_syslog = !o.foreground;
	*ret = o;
	return -1;
}
