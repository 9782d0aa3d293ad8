/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/fence_agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/must.h"
#include "lib/run.h"

#define REDACTED "[redacted]"
/* "action=", the longest action and its newline. */
#define ACTION_LINE_MAX 32
#define INPUT_MAX	(ACTION_LINE_MAX + AGENT_GIVEN_MAX * (AGENT_NAME_MAX + AGENT_VALUE_MAX))

struct agent_run {
	struct run *run;
	enum agent_action action;
	agent_done_fn done;
	void *data;
	struct agent_params params; /* a copy: its secrets are looked for in stderr */
};

const char *agent_outcome_name(enum agent_outcome outcome)
{
	static const char *const name[AGENT_OUTCOME_MAX] = {
		[AGENT_OK] = "ok",
		[AGENT_FAILED] = "failed",
		[AGENT_SIGNALLED] = "ended by a signal",
		[AGENT_TIMED_OUT] = "timed out",
		[AGENT_CANCELLED] = "cancelled",
		[AGENT_NOT_STARTED] = "not started",
		[AGENT_LIED] = "lied",
	};

	return (unsigned int)outcome < AGENT_OUTCOME_MAX ? name[outcome] : "?";
}

/* ---- safe text ---- */

struct text {
	char *dst;
	size_t cap;
	size_t len;
};

static void text_put(struct text *t, const char *s, size_t n)
{
	if (n >= t->cap - t->len)
		return; /* whole characters only */
	memcpy(t->dst + t->len, s, n);
	t->len += n;
}

/* Length of the valid UTF-8 sequence at s (RFC 3629), with its code point, or 0. */
static size_t utf8_next(const uint8_t *s, size_t n, uint32_t *ret_point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80	     ? 1
		     : (s[0] & 0xe0) == 0xc0 ? 2
		     : (s[0] & 0xf0) == 0xe0 ? 3
		     : (s[0] & 0xf8) == 0xf0 ? 4
					     : 0;
	uint32_t point;

	if (len == 0 || len > n)
		return 0;
	point = len == 1 ? s[0] : s[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		point = (point << 6) | (s[i] & 0x3fu);
	}
	if (point < least[len] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*ret_point = point;
	return len;
}

/* Terminals and logs would act on these: C0, C1, line separators, marks of direction. */
static bool is_active(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0) ||
	       (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
	       (point >= 0x2060 && point <= 0x206f) || point == 0xfeff ||
	       (point >= 0xfff9 && point <= 0xfffb);
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *found = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;

	return found ? (int)(found - digits) : -1;
}

/*
 * Bytes at s that spell the secret, or 0. As it is, or as programs like to print it: with
 * backslashes (shell, JSON, repr) or as part of a URL (%20).
 */
static size_t secret_match(const char *s, size_t n, const char *secret)
{
	size_t i = 0;

	for (; *secret; secret++) {
		if (i + 1 < n && s[i] == '\\' && s[i + 1] == *secret)
			i++;
		if (i < n && s[i] == *secret)
			i++;
		else if (i + 2 < n && s[i] == '%' && hex_digit(s[i + 1]) >= 0 &&
			 hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2]) == (unsigned char)*secret)
			i += 3;
		else
			return 0;
	}
	return i;
}

/* Length of a secret that begins at s; the longest, for one may begin with another. */
static size_t secret_at(const struct agent_params *params, const char *s, size_t n)
{
	size_t best = 0;

	for (uint32_t i = 0; params && i < params->count; i++) {
		size_t len;

		if (!agent_param_is_secret(params->item[i].name))
			continue;
		len = secret_match(s, n, params->item[i].value);
		best = len > best ? len : best;
	}
	return best;
}

/* Puts the line [from, to) of raw. Secrets are single lines, so none goes on behind it. */
static void line_put(struct text *t, const char *raw, size_t from, size_t to,
		     const struct agent_params *params)
{
	size_t room = t->len + AGENT_LINE_MAX;

	while (from < to && t->len < room) {
		size_t secret = secret_at(params, raw + from, to - from);
		uint32_t point = 0;
		size_t n;

		if (secret) {
			text_put(t, REDACTED, strlen(REDACTED));
			from += secret;
			continue;
		}
		n = utf8_next((const uint8_t *)raw + from, to - from, &point);
		if (n == 0)
			text_put(t, "?", 1);
		else if (is_active(point))
			text_put(t, " ", 1);
		else
			text_put(t, raw + from, n);
		from += n ? n : 1;
	}
	if (from < to)
		text_put(t, "...", 3);
}

static bool is_blank(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strchr(" \t\r\v\f", s[i]) || s[i] == '\0')
			return false;
	}
	return true;
}

/* Where the last AGENT_LINES_MAX lines that are not blank begin. */
static size_t last_lines(const char *raw, size_t len, size_t begin)
{
	size_t end = len, pos = len;
	int lines = 0;

	while (pos > begin) {
		pos--;
		if (raw[pos] != '\n' && pos > begin)
			continue;
		if (!is_blank(raw + pos + (raw[pos] == '\n'), end - pos - (raw[pos] == '\n')))
			lines++;
		if (lines == AGENT_LINES_MAX)
			return raw[pos] == '\n' ? pos + 1 : pos;
		end = pos;
	}
	return begin;
}

void agent_text(const char *raw, size_t len, bool is_cut, const struct agent_params *params,
		char *dst, size_t cap)
{
	struct text t = {.dst = dst, .cap = cap};
	size_t pos = 0;

	must(cap > 0);
	dst[0] = '\0';
	if (is_cut) {
		const char *newline = len ? memchr(raw, '\n', len) : NULL;

		/* Half a line may be half a secret. */
		pos = newline ? (size_t)(newline - raw) + 1 : len;
	}
	pos = last_lines(raw, len, pos);
	while (pos < len) {
		const char *newline = memchr(raw + pos, '\n', len - pos);
		size_t end = newline ? (size_t)(newline - raw) : len;

		if (!is_blank(raw + pos, end - pos)) {
			if (t.len > 0)
				text_put(&t, " | ", 3);
			line_put(&t, raw, pos, end, params);
		}
		pos = end + 1;
	}
	while (t.len > 0 && dst[t.len - 1] == ' ')
		t.len--;
	dst[t.len] = '\0';
}

/* ---- what it said ---- */

/* The last word of the line, without punctuation. */
static bool line_ends_with(const char *line, size_t n, const char *word)
{
	size_t len = strlen(word);

	while (n > 0 && strchr(" \t\r.!)'\"", line[n - 1]) && line[n - 1])
		n--;
	if (n < len || strncasecmp(line + n - len, word, len) != 0)
		return false;
	return n == len || strchr(" \t:=('\"", line[n - len - 1]);
}

static bool any_line_ends_with(const char *out, size_t len, const char *word)
{
	for (size_t pos = 0; pos < len;) {
		const char *newline = memchr(out + pos, '\n', len - pos);
		size_t end = newline ? (size_t)(newline - out) : len;

		if (line_ends_with(out + pos, end - pos, word))
			return true;
		pos = end + 1;
	}
	return false;
}

static enum agent_power power_of(int code, const char *out, size_t len)
{
	bool says_off = any_line_ends_with(out, len, "off");
	bool says_on = any_line_ends_with(out, len, "on");

	if (code == 2 && says_off && !says_on)
		return AGENT_POWER_OFF;
	if (code == 0 && !says_off)
		return AGENT_POWER_ON;
	return AGENT_POWER_UNKNOWN;
}

static void classify_exit(struct agent_result *res, int code)
{
	res->rc = code;
	res->outcome = code == 0 ? AGENT_OK : AGENT_FAILED;
	if (res->action != AGENT_STATUS)
		return;
	res->power = power_of(code, res->out, res->out_len);
	res->outcome = res->power == AGENT_POWER_UNKNOWN ? AGENT_FAILED : AGENT_OK;
}

static void classify(struct agent_result *res, const struct run_result *run)
{
	switch (run->kind) {
	case RUN_EXITED:
		classify_exit(res, run->code);
		return;
	case RUN_SIGNALLED:
		res->outcome = AGENT_SIGNALLED;
		res->rc = run->code;
		return;
	case RUN_TIMED_OUT:
		res->outcome = AGENT_TIMED_OUT;
		return;
	case RUN_CANCELLED:
		res->outcome = AGENT_CANCELLED;
		return;
	default:
		res->outcome = AGENT_NOT_STARTED;
		res->rc = run->code;
		return;
	}
}

/* stderr tells why; where it is silent, an error may be on stdout. */
static void explain(struct agent_result *res, const struct run_result *run,
		    const struct agent_params *params)
{
	size_t len = res->out_len;

	/* Cut at its end: the last line may be half, and hold half a secret. */
	while (res->is_cut && len > 0 && res->out[len - 1] != '\n')
		len--;
	agent_text(run->err.data, run->err.len, run->err.dropped > 0, params, res->text,
		   sizeof(res->text));
	if (res->text[0] || res->outcome == AGENT_OK)
		return;
	if (res->outcome == AGENT_NOT_STARTED)
		(void)snprintf(res->text, sizeof(res->text), "cannot be started: %s",
			       strerrordesc_np(res->rc) ? strerrordesc_np(res->rc) : "?");
	else if (res->action == AGENT_STATUS && res->rc == 2)
		(void)snprintf(res->text, sizeof(res->text),
			       "exit status 2, and no line of the output says off");
	else
		agent_text(res->out, len, false, params, res->text, sizeof(res->text));
}

static void on_done(void *data, const struct run_result *run)
{
	struct agent_run *a = data;
	struct agent_result res = {
		.action = a->action,
		.is_left_running = run->is_left_running,
		.is_cut = run->out.dropped > 0,
		.started_ms = run->started_ms,
		.ended_ms = run->ended_ms,
		.out = run->out.data ? run->out.data : "",
		.out_len = run->out.data ? run->out.len : 0,
	};

	a->run = NULL;
	classify(&res, run);
	explain(&res, run, &a->params);
	a->done(a->data, &res);
	agent_run_free(a);
}

/* ---- running ---- */

struct input {
	char data[INPUT_MAX];
	size_t len;
};

static void input_line(struct input *in, const char *name, const char *value)
{
	int n = snprintf(in->data + in->len, sizeof(in->data) - in->len, "%s=%s\n", name, value);

	must(n > 0 && (size_t)n < sizeof(in->data) - in->len);
	in->len += (size_t)n;
}

static int start(struct qb_loop *loop, const struct agent_request *request, struct agent_run *a)
{
	static const char *const envp[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LC_ALL=C.UTF-8", NULL};
	struct run_options o = {
		.path = request->path,
		.envp = envp,
		.timeout_ms = request->timeout_ms,
		.grace_ms = AGENT_GRACE_MS,
		.out = {.head_bytes = AGENT_OUT_MAX},
		.err = {.tail_bytes = AGENT_ERR_MAX},
		.is_group_ended = true,
	};
	struct input *in = calloc(1, sizeof(*in));
	int r;

	if (!in)
		return -ENOMEM;
	input_line(in, "action", agent_action_name(request->action));
	for (uint32_t i = 0; i < a->params.count; i++)
		input_line(in, a->params.item[i].name, a->params.item[i].value);
	o.input = in->data;
	o.input_len = in->len;
	r = run_start(loop, &o, on_done, a, &a->run);
	explicit_bzero(in, sizeof(*in));
	free(in);
	return r;
}

int agent_run_start(struct qb_loop *loop, const struct agent_request *request, agent_done_fn done,
		    void *data, struct agent_run **ret_run)
{
	struct agent_run *a;
	int r;

	if ((unsigned int)request->action >= AGENT_ACTION_MAX ||
	    (request->params && request->params->count > AGENT_GIVEN_MAX))
		return -EINVAL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->action = request->action;
	a->done = done;
	a->data = data;
	if (request->params)
		a->params = *request->params;
	r = start(loop, request, a);
	if (r) {
		agent_run_free(a);
		return r;
	}
	if (ret_run)
		*ret_run = a;
	return 0;
}

void agent_run_cancel(struct agent_run *run)
{
	run_cancel(run->run, AGENT_GRACE_MS);
}

struct agent_run *agent_run_free(struct agent_run *run)
{
	if (!run)
		return NULL;
	run_free(run->run);
	agent_params_wipe(&run->params);
	free(run);
	return NULL;
}

/* ---- judging ---- */

enum agent_outcome agent_outcome_verified(enum agent_action action, enum agent_outcome outcome,
					  enum agent_power seen)
{
	enum agent_power wanted = action == AGENT_OFF ? AGENT_POWER_OFF : AGENT_POWER_ON;

	if (outcome != AGENT_OK || (action != AGENT_OFF && action != AGENT_ON))
		return outcome;
	if (seen == AGENT_POWER_UNKNOWN)
		return AGENT_FAILED;
	return seen == wanted ? AGENT_OK : AGENT_LIED;
}

bool agent_list_has(const char *out, size_t len, const char *plug)
{
	size_t n = strlen(plug);

	for (size_t pos = 0; pos < len;) {
		const char *newline = memchr(out + pos, '\n', len - pos);
		size_t end = newline ? (size_t)(newline - out) : len;

		if (n > 0 && end - pos >= n && !memcmp(out + pos, plug, n) &&
		    (end - pos == n || out[pos + n] == ',' || out[pos + n] == '\r'))
			return true;
		pos = end + 1;
	}
	return false;
}
