/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Without a clusterd: the lock is held from the start, or comes with a migration. The source gives
 * it up when it has told that it asks for the transfer, and never takes it back; the destination
 * takes it on the source's INACTIVE, which is sent after that. If the channel breaks in between,
 * nobody runs until whoever started the two stops them.
 */
#include <string.h>

#include "migrate/edge/host_impl.h"
#include "migrate/edge/log.h"

#define FOR_EVER (UINT64_C(1) << 52) /* ms; far beyond any uptime, far below any overflow */

/* Both sides know it without having talked: there is one migration of a VM at a time. */
static uint64_t migration_id(const struct host *h)
{
	uint64_t id;

	memcpy(&id, h->options.definition->uuid, sizeof(id));
	return id ? id : 1;
}

void host_standalone_begin(struct host *h)
{
	h->state = (struct vm_link_state){
		.has_lock = !h->options.is_incoming, .lease_until_ms = FOR_EVER, .is_fresh = true};
	if (h->options.is_incoming) {
		h->state.migration = (struct vm_link_migration){.id = migration_id(h),
								.role = VM_LINK_DESTINATION};
		memcpy(h->state.migration.listen, h->options.listen, sizeof(h->options.listen));
	}
	host_state(h);
}

const char *host_standalone_migrate(struct host *h, const char *peer, uint16_t port,
				    uint64_t bandwidth)
{
	struct vm_link_migration *m = &h->state.migration;

	if (!h->options.has_key)
		return "started without --key";
	if (h->told.run != VM_LINK_RUNNING && h->told.run != VM_LINK_PAUSED)
		return "the VM does not run";
	if (m->id)
		return "a migration is under way";
	if (strlen(peer) >= sizeof(m->peer))
		return "no address";
	*m = (struct vm_link_migration){.id = migration_id(h),
					.role = VM_LINK_SOURCE,
					.peer_port = port,
					.bandwidth = bandwidth};
	memcpy(m->peer, peer, strlen(peer) + 1);
	host_state(h);
	return NULL;
}

void host_standalone_told(struct host *h)
{
	const struct vm_link_progress *p = &h->told.migration;
	struct vm_link_migration *m = &h->state.migration;

	if (!m->id || p->id != m->id)
		return;
	if (p->phase == VM_LINK_MIG_HANDLE && m->role == VM_LINK_SOURCE && h->state.has_lock) {
		log_notice("standalone: the VM is the destination's from now on");
		h->state.has_lock = false;
		host_state(h);
	} else if (p->phase >= VM_LINK_MIG_DONE && m->role == VM_LINK_SOURCE && h->state.has_lock) {
		*m = (struct vm_link_migration){0}; /* it stayed; another may be tried */
		host_state(h);
	} else if (p->phase == VM_LINK_MIG_DONE && m->role == VM_LINK_DESTINATION) {
		*m = (struct vm_link_migration){0};
		host_state(h);
	}
}

void host_standalone_heard(struct host *h, const struct mig_message *message)
{
	if (message->type != MIG_MESSAGE_INACTIVE || !h->options.is_incoming ||
	    h->mig.session.step != MIG_STEP_LOADED || h->state.has_lock)
		return;
	log_notice("standalone: the source is still -> the VM is ours");
	h->state.has_lock = true;
	host_state(h);
}
