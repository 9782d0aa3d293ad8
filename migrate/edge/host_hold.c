/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who copies the disks of a guest that runs has its vCPUs stand still meanwhile: QEMU has completed
 * and flushed what the guest had written when it says that they do. It is as if an administrator
 * had paused it, but it ends by itself: when its time is over, whatever has become of who asked.
 */
#include <inttypes.h>

#include "migrate/edge/host_impl.h"
#include "migrate/edge/log.h"

static void let_go(struct host *h)
{
	h->hold.until_ms = 0;
	h->hold.request = NULL;
	due_at(h->hold.due, DUE_NEVER);
	if (h->is_begun)
		host_state(h);
}

void host_hold_over(void *arg)
{
	struct host *h = arg;

	if (!h->hold.until_ms)
		return;
	log_warning("kept still for as long as was asked for, and nobody has said that it is done "
		    "-> goes on");
	let_go(h);
}

static const char *why_not(const struct host *h)
{
	if (!h->is_begun || (h->told.run != VM_LINK_RUNNING && h->told.run != VM_LINK_PAUSED))
		return "it does not run";
	if (h->told.migration.phase > VM_LINK_MIG_NONE &&
	    h->told.migration.phase < VM_LINK_MIG_DONE)
		return "it is being migrated";
	return h->hold.until_ms ? "it is kept still already" : NULL;
}

json_t *host_hold(struct host *h, const json_t *request, bool is_late, uint64_t *ret_wait_ms)
{
	uint64_t hold_ms = host_request_ms(request, "hold_ms");
	const char *bar;
	json_t *a;

	if (h->hold.request != request) {
		bar = hold_ms ? why_not(h) : "for how long?";
		if (bar || is_late)
			return host_answer(h, false, bar ? bar : "not in time");
		h->hold.number++;
		h->hold.request = request;
		h->hold.until_ms = due_now_ms() + hold_ms;
		*ret_wait_ms = host_request_ms(request, "wait_ms");
		due_at(h->hold.due, h->hold.until_ms);
		host_state(h);
	}
	if (!h->hold.until_ms || is_late) {
		let_go(h);
		return host_answer(h, false, "its virtual CPUs did not stand still in time");
	}
	if (h->told.run != VM_LINK_PAUSED)
		return NULL;
	h->hold.request = NULL;
	a = host_answer(h, true, "");
	json_object_set_new(a, "number", json_integer((json_int_t)h->hold.number));
	return a;
}

json_t *host_release(struct host *h, const json_t *request)
{
	json_int_t number = json_integer_value(json_object_get(request, "number"));
	bool is_held = h->hold.until_ms && (json_int_t)h->hold.number == number;

	if (!is_held)
		return host_answer(h, false, "its time was over before, or it was to stop");
	let_go(h);
	return host_answer(h, true, "");
}
