/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/ocf.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"

#define OCF_REASON_PREFIX "ocf-exit-reason:"

/* What systemd gives to a service of its own; heartbeat's agents add to it. */
#define OCF_ENV_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* crm_feature_set of Pacemaker 2.1.5: agents ask it what crm_attribute can do. */
#define OCF_CRM_FEATURE_SET "3.16.2"

/* ---- finding ---- */

static const char *ocf_root(const char *root)
{
	return root ? root : OCF_ROOT_DEFAULT;
}

int ocf_agent_path(const char *root, const struct ocf_name *agent, char *buf, size_t cap)
{
	char path[OCF_PATH_MAX];
	struct stat st;
	int n;

	root = ocf_root(root);
	if (root[0] != '/' || !ocf_name_is_valid(agent))
		return -EINVAL;
	n = snprintf(path, sizeof(path), "%s/resource.d/%s/%s", root, agent->provider, agent->type);
	if (n < 0 || (size_t)n >= sizeof(path) || (size_t)n >= cap)
		return -ENAMETOOLONG;
	if (stat(path, &st) < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return -EACCES;
	snprintf(buf, cap, "%s", path);
	return 0;
}

void ocf_list_done(struct ocf_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->name[i]);
	free(list->name);
	*list = (struct ocf_list){.n = 0};
}

static int ocf_list_add(struct ocf_list *list, const char *name)
{
	char **p;

	if (list->n == OCF_LIST_MAX)
		return -E2BIG;
	p = reallocarray(list->name, list->n + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	list->name = p;
	p[list->n] = strdup(name);
	if (!p[list->n])
		return -ENOMEM;
	list->n++;
	return 0;
}

static int ocf_list_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool ocf_is_listed(DIR *dir, const char *name, bool is_folder)
{
	struct ocf_name agent = {.provider = "x"};
	struct stat st;

	if (strlen(name) > OCF_NAME_MAX)
		return false;
	snprintf(agent.type, sizeof(agent.type), "%s", name);
	if (!ocf_name_is_valid(&agent) || fstatat(dirfd(dir), name, &st, 0) < 0)
		return false;
	if (is_folder)
		return S_ISDIR(st.st_mode);
	return S_ISREG(st.st_mode) && faccessat(dirfd(dir), name, X_OK, 0) == 0;
}

static int ocf_list_folder(const char *path, const char *prefix, bool is_folder,
			   struct ocf_list *ret)
{
	struct ocf_list list = {.n = 0};
	struct dirent *entry;
	DIR *dir = opendir(path);
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			r = -errno;
			break;
		}
		if (!strncmp(entry->d_name, prefix, strlen(prefix)) &&
		    ocf_is_listed(dir, entry->d_name, is_folder))
			r = ocf_list_add(&list, entry->d_name);
	}
	closedir(dir);
	if (r < 0) {
		ocf_list_done(&list);
		return r;
	}
	if (list.n > 0)
		qsort(list.name, list.n, sizeof(*list.name), ocf_list_compare);
	*ret = list;
	return 0;
}

int ocf_list_providers(const char *root, struct ocf_list *ret)
{
	char path[OCF_PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/resource.d", ocf_root(root));

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return ocf_list_folder(path, "", true, ret);
}

int ocf_list_types(const char *root, const char *provider, struct ocf_list *ret)
{
	struct ocf_name agent = {.type = "x"};
	char path[OCF_PATH_MAX];
	int n;

	if (strlen(provider) > OCF_NAME_MAX)
		return -EINVAL;
	snprintf(agent.provider, sizeof(agent.provider), "%s", provider);
	if (!ocf_name_is_valid(&agent))
		return -EINVAL;
	n = snprintf(path, sizeof(path), "%s/resource.d/%s", ocf_root(root), provider);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return ocf_list_folder(path, "", false, ret);
}

int ocf_list_programs(const char *folder, const char *prefix, struct ocf_list *ret)
{
	return ocf_list_folder(folder, prefix, false, ret);
}

/* ---- environment ---- */

/* Remembers its first error, so that it can be filled without looking after each line. */
struct ocf_env {
	char *var[OCF_ENV_VARS_MAX + 1];
	size_t n;
	size_t bytes;
	int r;
};

static void ocf_env_done(struct ocf_env *env)
{
	for (size_t i = 0; i < env->n; i++)
		free(env->var[i]);
}

__attribute__((format(printf, 2, 3))) static void ocf_env_add(struct ocf_env *env,
							      const char *format, ...)
{
	va_list ap;
	char *text;
	int n;

	if (env->r < 0)
		return;
	if (env->n == OCF_ENV_VARS_MAX) {
		env->r = -E2BIG;
		return;
	}
	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0) {
		env->r = -ENOMEM;
		return;
	}
	env->var[env->n++] = text;
	env->bytes += (size_t)n + 1;
	if (env->bytes > OCF_ENV_MAX)
		env->r = -E2BIG;
}

static void ocf_env_add_if(struct ocf_env *env, const char *name, const char *value)
{
	if (value)
		ocf_env_add(env, "%s=%s", name, value);
}

static void ocf_env_params(struct ocf_env *env, const struct ocf_call *call)
{
	for (size_t i = 0; i < call->n_params; i++) {
		const struct ocf_value *p = &call->params[i];

		if (!p->name || !p->value || !ocf_param_name_is_valid(p->name) ||
		    strlen(p->value) > OCF_VALUE_MAX) {
			env->r = -EINVAL;
			return;
		}
		ocf_env_add(env, "OCF_RESKEY_%s=%s", p->name, p->value);
	}
}

/* Pacemaker hands its meta attributes over with '_' for '-' (crm_meta_name()). */
static void ocf_env_meta(struct ocf_env *env, const struct ocf_call *call)
{
	for (size_t i = 0; i < call->n_meta; i++) {
		const struct ocf_value *m = &call->meta[i];
		char name[OCF_NAME_MAX + 1];

		if (!m->name || !m->value || !ocf_param_name_is_valid(m->name)) {
			env->r = -EINVAL;
			return;
		}
		snprintf(name, sizeof(name), "%s", m->name);
		for (char *p = name; *p; p++)
			if (*p == '-')
				*p = '_';
		ocf_env_add(env, "OCF_RESKEY_CRM_meta_%s=%s", name, m->value);
	}
}

static void ocf_env_fill(struct ocf_env *env, const struct ocf_call *call)
{
	const char *root = ocf_root(call->root);

	ocf_env_add(env, OCF_ENV_PATH);
	ocf_env_add(env, "LC_ALL=C");
	ocf_env_add(env, "OCF_ROOT=%s", root);
	ocf_env_add(env, "OCF_RA_VERSION_MAJOR=1");
	ocf_env_add(env, "OCF_RA_VERSION_MINOR=1");
	ocf_env_add(env, "OCF_RESOURCE_PROVIDER=%s", call->agent.provider);
	ocf_env_add(env, "OCF_RESOURCE_TYPE=%s", call->agent.type);
	ocf_env_add_if(env, "OCF_RESOURCE_INSTANCE", call->instance);
	ocf_env_add(env, "OCF_EXIT_REASON_PREFIX=" OCF_REASON_PREFIX);
	ocf_env_add(env, "OCF_OUTPUT_FORMAT=text");
	if (call->check_level > 0 || strcmp(call->action, "monitor") == 0)
		ocf_env_add(env, "OCF_CHECK_LEVEL=%u", call->check_level);
	/* No log of their own: what they log comes to us on stderr. */
	ocf_env_add(env, "HA_LOGFACILITY=none");
	ocf_env_add(env, "HA_debug=0");
	ocf_env_add_if(env, "HA_RSCTMP", call->state_dir);
	ocf_env_add_if(env, "HA_VARRUN", call->run_dir);
	if (strcmp(call->action, "meta-data") == 0)
		return;
	ocf_env_add(env, "OCF_RESKEY_crm_feature_set=" OCF_CRM_FEATURE_SET);
	ocf_env_add(env, "OCF_RESKEY_CRM_meta_name=%s", call->action);
	ocf_env_add(env, "OCF_RESKEY_CRM_meta_timeout=%u", call->timeout_ms);
	ocf_env_add(env, "OCF_RESKEY_CRM_meta_interval=%u", call->interval_ms);
	ocf_env_add_if(env, "OCF_RESKEY_CRM_meta_on_node", call->node);
	ocf_env_add_if(env, "OCF_RESKEY_CRM_meta_migrate_source", call->migrate_source);
	ocf_env_add_if(env, "OCF_RESKEY_CRM_meta_migrate_target", call->migrate_target);
	ocf_env_meta(env, call);
	ocf_env_params(env, call);
}

/* ---- running ---- */

struct ocf_run {
	struct run *run;
	ocf_done_fn done;
	ocf_meta_done_fn meta_done; /* one of the two */
	void *data;
};

static int ocf_rc_of(const struct run_result *run)
{
	if (run->kind == RUN_EXITED)
		return run->code;
	if (run->kind != RUN_FAILED_TO_START)
		return OCF_ERR_GENERIC;
	switch (run->code) {
	case ENOENT:
	case ENOTDIR:
	case EISDIR:
	case ENOEXEC:
		return OCF_ERR_INSTALLED;
	case EACCES:
	case EPERM:
		return OCF_ERR_PERM;
	default:
		return OCF_ERR_GENERIC;
	}
}

/*
 * The last line of stderr that begins with the prefix of ocf_exit_reason(). Looks at bytes: the
 * stream may hold NULs.
 */
static void ocf_reason_find(const struct run_output *err, char *buf, size_t cap)
{
	size_t prefix = strlen(OCF_REASON_PREFIX), end = err->len;

	buf[0] = '\0';
	while (end > 0) {
		const char *newline = memrchr(err->data, '\n', end);
		size_t begin = newline ? (size_t)(newline - err->data) + 1 : 0;

		if (end - begin > prefix &&
		    memcmp(err->data + begin, OCF_REASON_PREFIX, prefix) == 0) {
			struct run_output line = {.data = err->data + begin + prefix,
						  .len = end - begin - prefix};

			run_output_text(&line, 1, buf, cap);
			return;
		}
		end = newline ? begin - 1 : 0;
	}
}

static void ocf_result_fill(const struct run_result *run, struct ocf_result *ret)
{
	*ret = (struct ocf_result){
		.kind = run->kind,
		.rc = ocf_rc_of(run),
		.code = run->code,
		.is_left_running = run->is_left_running,
		.duration_ms = run->ended_ms - run->started_ms,
		.out = run->out,
	};
	ocf_reason_find(&run->err, ret->reason, sizeof(ret->reason));
	run_output_text(&run->err, OCF_TEXT_LINES, ret->text, sizeof(ret->text));
}

/* After a snprintf() that had too little room: no half of a character at the end. */
static void ocf_text_mend(char *buf, size_t cap)
{
	size_t n = strlen(buf);

	while (n + 1 == cap && n > 0 && ((unsigned char)buf[n - 1] & 0x80)) {
		buf[--n] = '\0';
		cap--;
	}
}

static int ocf_meta_result(const struct run_result *run, struct ocf_meta **ret,
			   struct ocf_error *error)
{
	struct run_output why = {.len = 0};
	struct ocf_result result;
	char text[400];
	int r = -EIO;

	if (run->kind == RUN_EXITED && run->code == OCF_SUCCESS) {
		if (run->out.dropped == 0)
			return ocf_meta_parse(run->out.data, run->out.len, ret, error);
		snprintf(error->text, sizeof(error->text),
			 "meta-data of more than %u bytes is refused", OCF_META_BYTES_MAX);
		return -EMSGSIZE;
	}
	ocf_result_fill(run, &result);
	if (run->kind == RUN_TIMED_OUT)
		r = -ETIMEDOUT;
	else if (run->kind == RUN_CANCELLED)
		r = -ECANCELED;
	else if (run->kind == RUN_FAILED_TO_START)
		r = run->code == EACCES ? -EACCES : run->code == ENOENT ? -ENOENT : -EIO;
	why.data = result.reason[0] ? result.reason : result.text;
	why.len = strlen(why.data);
	run_output_text(&why, 2, text, sizeof(text));
	snprintf(error->text, sizeof(error->text), "the agent gave no meta-data: %s (%d)%s%s",
		 run_kind_name(run->kind), run->code, text[0] ? ": " : "", text);
	return r;
}

static void ocf_on_done(void *data, const struct run_result *run)
{
	struct ocf_run *o = data;

	if (o->meta_done) {
		struct ocf_error error = {.text = ""};
		struct ocf_meta *meta = NULL;
		int r = ocf_meta_result(run, &meta, &error);

		o->meta_done(o->data, r, meta, &error);
	} else {
		struct ocf_result result;

		ocf_result_fill(run, &result);
		o->done(o->data, &result);
	}
	free(o);
}

/* A path in the environment of shell scripts: absolute, and none of the characters that split it.
 */
static bool ocf_dir_is_valid(const char *dir)
{
	return !dir || (dir[0] == '/' && strlen(dir) < OCF_PATH_MAX &&
			!strpbrk(dir, " \t\n*?[\\\"'$`;&|<>(){}"));
}

static bool ocf_call_is_valid(const struct ocf_call *call)
{
	bool is_meta_data;

	if (!call->action || !ocf_param_name_is_valid(call->action))
		return false;
	is_meta_data = strcmp(call->action, "meta-data") == 0;
	if (!call->instance ? !is_meta_data : !ocf_instance_is_valid(call->instance))
		return false;
	return ocf_name_is_valid(&call->agent) && ocf_dir_is_valid(call->root) &&
	       ocf_dir_is_valid(call->state_dir) && ocf_dir_is_valid(call->run_dir) &&
	       ocf_dir_is_valid(call->own_agents);
}

int ocf_call_path(const struct ocf_call *call, char *buf, size_t cap)
{
	int n;

	if (call->own_agents && !strcmp(call->agent.provider, OCF_OWN_PROVIDER))
		n = snprintf(buf, cap, "%s/%s", call->own_agents, call->agent.type);
	else
		n = snprintf(buf, cap, "%s/resource.d/%s/%s", ocf_root(call->root),
			     call->agent.provider, call->agent.type);
	return n > 0 && (size_t)n < cap ? 0 : -ENAMETOOLONG;
}

static int ocf_run_start(struct qb_loop *loop, const struct ocf_call *call,
			 const struct run_capture *out, struct ocf_run *o)
{
	struct run_options options = RUN_OPTIONS_INIT;
	struct ocf_env *env = calloc(1, sizeof(*env));
	char path[OCF_PATH_MAX + 2 * OCF_NAME_MAX + 16];
	const char *const argv[] = {path, call->action, NULL};
	int r;

	if (!env)
		return -ENOMEM;
	/* Not looked up first: execve() gives the same answers, without a race. */
	must(!ocf_call_path(call, path, sizeof(path))); /* so ocf_call_is_valid() has seen to it */
	ocf_env_fill(env, call);
	r = env->r;
	if (r == 0) {
		options.path = path;
		options.argv = argv;
		options.envp = (const char *const *)env->var;
		options.timeout_ms = call->timeout_ms;
		options.grace_ms = call->grace_ms;
		options.procs = call->procs;
		options.out = *out;
		r = run_start(loop, &options, ocf_on_done, o, &o->run);
	}
	ocf_env_done(env);
	free(env);
	return r;
}

static int ocf_start_with(struct qb_loop *loop, const struct ocf_call *call,
			  const struct run_capture *out, const struct ocf_run *from,
			  struct ocf_run **ret)
{
	struct ocf_run *o;
	int r;

	if (!ocf_call_is_valid(call))
		return -EINVAL;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	*o = *from;
	r = ocf_run_start(loop, call, out, o);
	if (r < 0) {
		free(o);
		return r;
	}
	if (ret)
		*ret = o;
	return 0;
}

int ocf_start(struct qb_loop *loop, const struct ocf_call *call, ocf_done_fn done, void *data,
	      struct ocf_run **ret)
{
	const struct run_capture out = {.head_bytes = 16 * 1024, .tail_bytes = 16 * 1024};

	return ocf_start_with(loop, call, &out, &(struct ocf_run){.done = done, .data = data}, ret);
}

int ocf_meta_start(struct qb_loop *loop, const struct ocf_call *call, ocf_meta_done_fn done,
		   void *data, struct ocf_run **ret)
{
	const struct run_capture out = {.head_bytes = OCF_META_BYTES_MAX};
	const struct ocf_call meta_call = {
		.root = call->root,
		.own_agents = call->own_agents,
		.agent = call->agent,
		.action = "meta-data",
		.timeout_ms = call->timeout_ms,
		.grace_ms = call->grace_ms,
	};

	return ocf_start_with(loop, &meta_call, &out,
			      &(struct ocf_run){.meta_done = done, .data = data}, ret);
}

void ocf_cancel(struct ocf_run *run, uint32_t grace_ms)
{
	run_cancel(run->run, grace_ms);
}

struct ocf_run *ocf_free(struct ocf_run *run)
{
	if (run)
		run_free(run->run);
	free(run);
	return NULL;
}

static void ocf_describe_end(const struct ocf_call *call, const struct ocf_result *result,
			     char *buf, size_t cap)
{
	switch (result->kind) {
	case RUN_EXITED:
		snprintf(buf, cap, "%s (%d), %s", ocf_rc_name(result->rc), result->rc,
			 ocf_rc_text(result->rc));
		break;
	case RUN_SIGNALLED:
		snprintf(buf, cap, "the agent died from SIG%s (%d)",
			 sigabbrev_np(result->code) ? sigabbrev_np(result->code) : "?",
			 result->code);
		break;
	case RUN_TIMED_OUT:
		snprintf(buf, cap, "not done within %u ms, %s", call->timeout_ms,
			 result->is_left_running ? "and not even SIGKILL ends it" : "ended");
		break;
	case RUN_CANCELLED:
		snprintf(buf, cap, "cancelled%s",
			 result->is_left_running ? ", but not even SIGKILL ends it" : "");
		break;
	case RUN_FAILED_TO_START:
		snprintf(buf, cap, "the agent could not be started (%s), %s",
			 strerrordesc_np(result->code) ? strerrordesc_np(result->code) : "?",
			 ocf_rc_text(result->rc));
		break;
	case RUN_KIND_MAX:
		must(false);
	}
}

const char *ocf_result_describe(const struct ocf_call *call, const struct ocf_result *result,
				char *buf, size_t cap)
{
	const char *why = result->reason[0] ? result->reason : result->text;
	const char *line = strrchr(why, '\n');
	char end[200];

	ocf_describe_end(call, result, end, sizeof(end));
	line = line ? line + 1 : why;
	snprintf(buf, cap, "%s of %s (ocf:%s:%s): %s, after %llu ms%s%s", call->action,
		 call->instance ? call->instance : "-", call->agent.provider, call->agent.type, end,
		 (unsigned long long)result->duration_ms, line[0] ? ": " : "", line);
	ocf_text_mend(buf, cap);
	return buf;
}
