/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replication core: from the views of the ordered multicast and from what each node has on disk it
 * decides who is in, whether we are quorate, which history is the true one, and when an entry of
 * the log is committed. It does no I/O: it gets events and gives actions (repl_step()).
 *
 * How a view goes:
 *   exchange  everyone multicasts its STATE: what it durably holds. The view is complete when the
 *             last STATE (or a CLOSE, for a process that does not run) has been delivered; the
 *             nonce of that message names the view.
 *   sync      the highest history wins (epoch of its last entry, then length). Whoever holds less
 *             pulls it whole and installs it in one step; each then durably promises the view's
 *             epoch number and says SYNCED.
 *   epoch     when a majority of votes is SYNCED, the lowest of them becomes the *sequencer* and
 *             multicasts the entry EPOCH. Only it gives entries their index from then on.
 *   witness   where only its vote is missing, the lowest who reaches it claims it (witness.h) and
 *             says CLAIMED: from there on it is one more member of the view, which promises, holds
 *             the history and persists like the others, through the hands of its owner. A share
 *             holds no history: it says who was here instead (doc/adr/0029). With it an entry is
 *             committed when each of those has persisted it.
 *   open      when a majority of votes has PERSISTED the entry EPOCH, it and all before it are
 *             committed; now requests are taken, committed when a majority has persisted them,
 *             and only then applied.
 *
 * Invariants
 *   - an epoch number is used by one sequencer once: a majority has durably promised it before
 *     (doc/adr/0002), so (epoch, index) names one content everywhere;
 *   - what a majority persisted in the sequencer's epoch is in every later winning history (C3);
 *   - sending a STATE means having left the view: it never says less than what we acknowledge;
 *   - messages of another view count for nothing;
 *   - a node whose disk went back in time, or takes no writes, has no vote until it has persisted
 *     in the view: what it promised and acknowledged is not on that disk.
 *
 * Sources: van Renesse et al., "Extended virtual synchrony" as corosync's CPG implements it
 * (cpg_overview(3)); Ongaro 2014 for the commit rule; doc/adr/0001 and 0002 for what differs.
 */
#ifndef CLUSTERD_CORE_REPL_H
#define CLUSTERD_CORE_REPL_H

#include "clusterd/core/force.h"
#include "clusterd/core/lease.h"
#include "clusterd/core/msg.h"
#include "clusterd/core/quorum.h"
#include "clusterd/core/types.h"

/* Processes looked at in one CPG group; beyond, the lowest nodeids are taken on every node. */
#define REPL_MAX_PEERS	 32
#define REPL_MAX_ACTIONS 12

enum repl_phase {
	REPL_DOWN,	   /* not in the group (corosync gone, or not started) */
	REPL_EXCHANGE,	   /* collecting states, or left the view to begin a new one */
	REPL_UNCONFIGURED, /* no cluster here and none that asks for us */
	REPL_REFUSED,	   /* in the ring but not admitted: see `refusal` */
	REPL_INQUORATE,	   /* admitted, no majority */
	REPL_PULLING,	   /* quorate; fetching the winning history */
	REPL_SYNCING,	   /* holds the winning history; epoch not committed */
	REPL_OPEN,	   /* epoch committed and held in full: may propose, apply, act */
	REPL_PHASE_MAX,
};

enum repl_refusal {
	REPL_ADMITTED,
	REPL_REFUSED_SILENT,	    /* its process sends nothing (stopped, hung disk) */
	REPL_REFUSED_INCOMPATIBLE,  /* no common protocol, or not the version in force */
	REPL_REFUSED_OTHER_CLUSTER, /* its database belongs to another cluster */
	REPL_REFUSED_NOT_MEMBER,    /* not in the member table */
	REPL_REFUSED_FULL,	    /* not in the member table, which has no free slot */
	REPL_REFUSED_NAME,	    /* the table has that nodeid or name for another node */
	REPL_REFUSED_SECOND,	    /* another process of that node is in the group already */
	REPL_REFUSED_AMBIGUOUS,	    /* blank node, and more than one cluster claims it */
	REPL_REFUSAL_MAX,
};

struct repl_config {
	uint64_t exchange_timeout_ms; /* a process that has not sent its STATE by then is silent */
	uint64_t silence_ms;	      /* a member without a beat for so long is silent */
	uint64_t beat_ms;	      /* interval of beats: L / 5 */
	uint64_t lease_ms;	      /* L */
};

struct repl_identity {
	uint32_t nodeid;
	uint32_t pid;
	struct cl_name name;
	struct cl_uuid boot;
	uint64_t incarnation;
	uint64_t instance; /* random at each start of the process */
	struct cl_versions versions;
	struct cl_name build;
};

/* What the disk says at start. */
struct repl_history {
	bool is_blank; /* belongs to no cluster yet, everything else is zero then */
	struct cl_uuid cluster;
	struct cl_pos last;
	uint64_t promised;
	struct cl_table table; /* in force at `last` */
	bool is_behind; /* this node has acknowledged more than the disk holds (doc/adr/0021) */
};

struct repl_peer {
	uint32_t nodeid;
	uint32_t pid;
	bool has_state;
	uint8_t slot; /* in the table of the view, or CL_NODE_NONE */
	enum repl_refusal refusal;
	struct cl_msg_state state;
};

/*
 * Mutants: planted bugs that the simulator must find. They exist only in objects compiled with
 * CLUSTERD_MUTANTS, which nothing but the simulator links.
 */
enum repl_mutant {
	REPL_MUTANT_NONE,
	REPL_MUTANT_ACT_BEFORE_COMMIT,	  /* commit when sequenced */
	REPL_MUTANT_OLD_RING_ACK,	  /* count beats acknowledged in another view */
	REPL_MUTANT_COMPARE_PROMISED,	  /* compare histories by started (promised) epoch */
	REPL_MUTANT_NO_PROMISE,		  /* do not count durable promises for the epoch number */
	REPL_MUTANT_BLANK_VOTES,	  /* an empty disk counts as a voter */
	REPL_MUTANT_STATE_BEFORE_DURABLE, /* send a STATE that counts entries still in flight */
	REPL_MUTANT_VOTES_IN_A_BUNCH,	  /* change votes while a change is not committed */
	REPL_MUTANT_DROP_THEN_PULL,	  /* an inferior node drops its suffix before it pulls */
	REPL_MUTANT_ACK_BEFORE_FSYNC,	  /* PERSISTED when appended */
	REPL_MUTANT_ANYONE_SEQUENCES,	  /* every node numbers entries by delivery order */
	REPL_MUTANT_OLD_DISK_VOTES,	  /* a disk that went back in time counts as a voter */
	REPL_MUTANT_VOTES_FIRST,	  /* from here on: what sim_votes has to find */
	REPL_MUTANT_NEW_MAJORITY_ONLY =
		REPL_MUTANT_VOTES_FIRST, /* a change of votes does not need the old majority */
	REPL_MUTANT_ABSENT_LOSE_VOTES,	 /* without quorum the votes of the absent count no more */
	REPL_MUTANT_OWN_TABLE,		 /* own table in force, not that of the highest history */
	REPL_MUTANT_COMMITTED_TABLE, /* a change of votes that is not committed does not count */
	REPL_MUTANT_FORCE_FIRST,     /* from here on: forced quorum */
	REPL_MUTANT_COMPARE_INDEX =
		REPL_MUTANT_FORCE_FIRST, /* the longer history wins, whatever its generation */
	REPL_MUTANT_MERGE_SUFFIX,	 /* what a node holds beyond the winner stays, behind it */
	REPL_MUTANT_FORCE_UNLISTED,	 /* a force need not name who is absent */
	REPL_MUTANT_SAME_GENERATION,	 /* a force does not raise it */
	REPL_MUTANT_WITNESS_FIRST,	 /* from here on: what sim_witness has to find */
	REPL_MUTANT_WITNESS_UNCLAIMED =
		REPL_MUTANT_WITNESS_FIRST, /* count its vote without CLAIMED of this view */
	REPL_MUTANT_WITNESS_FOR_EVER,	   /* a claim once heard of holds for ever */
	REPL_MUTANT_WITNESS_OF_FEW,	   /* who owns it is quorate, however few */
	REPL_MUTANT_WITNESS_FLOOR,	   /* what it promised to others does not count */
	REPL_MUTANT_SHARE_PERSISTS,	   /* a share counts as having persisted what it is told */
	REPL_MUTANT_SHARE_SET_STAYS, /* who holds the history only later is not recorded on it */
	REPL_MUTANT_MAX,
};

#ifdef CLUSTERD_MUTANTS
#define REPL_MUTANT(s, which) ((s)->mutant == REPL_MUTANT_##which)
#else
#define REPL_MUTANT(s, which) ((void)(s), false)
#endif

/* The witness, as this view knows it. */
struct repl_witness {
	bool is_reached;    /* by this node; what STATE and beats say */
	uint16_t reaches;   /* who says so */
	uint8_t claimer;    /* who is to claim it if its vote is needed; CL_NODE_NONE: nobody can */
	bool counts;	    /* the claimer owns it for this view: its vote is present */
	bool is_adopting;   /* its history is being installed */
	uint64_t valid_ms;  /* how long a renewal of the claim holds */
	uint64_t floor;	    /* the highest epoch number that it promised before this view */
	uint64_t persisted; /* its copy is whole up to this index of this epoch; 0 */
	/* A share stores this instead: who voted and held a history when the view began. */
	uint16_t set;
	bool is_recorded; /* (epoch of the view, set) stands on the share */
};

struct repl_state {
	struct repl_config config;
	struct repl_identity self;
	enum repl_mutant mutant; /* stays REPL_MUTANT_NONE outside the simulator */

	/* own history */
	bool is_blank;
	struct cl_uuid cluster;
	struct cl_pos last;    /* appended, perhaps not durable */
	uint64_t durable;      /* newest index known durable */
	uint64_t promised;     /* newest epoch number durably promised */
	uint64_t promising;    /* promise on its way to disk, 0: none */
	struct cl_table table; /* in force at `last` */
	bool is_behind;	       /* the disk holds less than we have acknowledged: no vote */
	bool is_wrong;	 /* the state built from the history is not the cluster's: drop both */
	bool is_stalled; /* the disk takes no writes at the moment */
	bool is_hollow;	 /* so our newest STATE claims no history */

	/* exchange; what only ordered deliveries may change */
	struct cl_ring ring;
	uint64_t members_hash;
	uint8_t peer_count;
	struct repl_peer peer[REPL_MAX_PEERS];
	bool round_open;      /* states are being collected */
	uint64_t round_ms;    /* since when, or when CLOSE was sent last */
	bool state_wanted;    /* our STATE is to be sent as soon as the disk is quiet */
	bool state_inflight;  /* sent, not yet delivered to us */
	uint64_t state_nonce; /* of the newest STATE that we sent */
	bool pull_active;     /* a pull may still change the disk, wanted or not */
	bool pull_again;      /* the last one failed */

	/* view */
	enum repl_phase phase;
	enum repl_refusal refusal; /* of this node, in REPL_REFUSED */
	struct cl_view_id view;
	bool view_complete;
	uint8_t self_slot;
	uint16_t present;	/* admitted nodes */
	uint16_t countable;	/* of them, those that hold a history */
	struct cl_table vtable; /* in force at the end of what the view has sequenced */
	struct cl_table vprev;	/* before the newest change, while that is uncommitted */
	bool change_pending;	/* vtable.changed_at is not committed */
	struct quorum_answer quorum;
	struct repl_witness witness;
	struct cl_uuid vcluster; /* in whose name the view is judged */
	bool is_forced;		 /* by an administrator, in this view */
	struct force_record forced;
	uint8_t forced_bytes[FORCE_RECORD_MAX]; /* encoded, for the entry that says so */
	struct cl_pos winner;
	uint8_t pulls_failed;
	bool is_pulling;
	uint64_t number; /* of the epoch of this view */
	uint32_t generation;
	uint32_t synced;      /* nodes, and the witness */
	uint8_t starter;      /* sequencer, once a majority is synced */
	uint64_t epoch_index; /* index of its EPOCH entry; 0: not begun */
	struct cl_epoch epoch;
	uint64_t view_last;  /* newest index delivered in this view */
	uint64_t next;	     /* sequencer: next index to give */
	uint64_t next_table; /* sequencer: newest index given to a change of the table */
	uint64_t persisted[CL_MAX_NODES];
	uint64_t commit;
	bool is_broken; /* an entry was missed: the view is useless to us */
	struct lease_state lease;
};

enum repl_event_type {
	REPL_EV_CONFCHG, /* the group or the ring changed */
	REPL_EV_LEFT,	 /* the connection to corosync is gone */
	REPL_EV_MESSAGE,
	REPL_EV_DURABLE,  /* the log is durable up to `index` */
	REPL_EV_PROMISED, /* the promise of `index` is durable */
	REPL_EV_PULLED,	  /* comes once for each PULL: installed (r 0), or failed (r < 0) */
	REPL_EV_PROPOSE,  /* a request of this node */
	REPL_EV_CREATE,	  /* make this blank node the first of a new cluster */
	REPL_EV_STALLED,  /* the disk takes no writes (`is_stalled`), or takes them again */
	REPL_EV_WRONG,	  /* our applied state is not that of a majority: fetch everything anew */
	REPL_EV_FORCE,	  /* an administrator forces quorum: see force.h */
	REPL_EV_TICK,
	REPL_EV_CLAIMED, /* this node's claim of the witness was made, renewed or lost */
	REPL_EV_ADOPT,	 /* the witness's history is to be installed; PULLED comes when it is */
	REPL_EV_REACH,	 /* this node reaches the witness, or not any more */
	REPL_EV_MAX,
};

struct repl_address {
	uint32_t nodeid;
	uint32_t pid;
};

struct repl_event {
	enum repl_event_type type;
	uint64_t now_ms;
	uint64_t entropy; /* 64 random bits, fresh for each event */
	union {
		struct {
			struct cl_ring ring;
			uint8_t count;
			struct repl_address member[REPL_MAX_PEERS];
		} confchg;
		struct {
			struct repl_address from;
			const struct cl_msg *msg; /* borrowed for the call */
		} message;
		uint64_t index; /* DURABLE, PROMISED */
		bool is_stalled;
		struct {
			int r;
			struct cl_view_id view; /* that the pull was made for */
			struct cl_uuid cluster;
			struct cl_pos last; /* end of what is installed, held entries included */
			struct cl_table table;
		} pulled;
		struct {
			uint8_t kind; /* CL_ENTRY_COMMAND or, at the sequencer only, CL_ENTRY_TABLE
				       */
			uint64_t request;
			struct cl_blob payload; /* borrowed for the call */
		} propose;
		struct {
			struct cl_uuid cluster;
			struct cl_table table; /* this node with the only vote */
		} create;
		struct cl_msg_claimed claimed;
		struct {
			struct cl_view_id view; /* that the claim was made for */
			struct cl_pos last;	/* of the witness's history */
		} adopt;
		bool is_reached;
		struct {
			uint16_t down; /* by slot: absent, and down by his word */
			struct cl_name actor;
			uint64_t at_ms; /* wall-clock time */
		} force;
	};
};

enum repl_action_type {
	REPL_DO_SEND,	     /* multicast `msg` */
	REPL_DO_APPEND,	     /* write the entry, make it durable, answer DURABLE */
	REPL_DO_HOLD,	     /* keep the entry in memory until the running pull installs */
	REPL_DO_PROMISE,     /* make `index` durable as promise, answer PROMISED */
	REPL_DO_PULL,	     /* fetch the history of `pull.donor`, install it, answer PULLED */
	REPL_DO_CANCEL_PULL, /* end the pull, drop what is held; answer PULLED all the same */
	REPL_DO_COMMIT,	     /* all entries up to `index` are committed: apply them */
	REPL_DO_OPENED,	     /* send again every request that has not been applied */
	REPL_DO_CLOSED,	     /* the view is left: nothing may be acted upon */
	REPL_DO_VIEW,	     /* the view is complete: show it */
	REPL_DO_DROP_SUFFIX, /* only by a mutant: forget what is not applied */
	REPL_DO_MAX,
};

struct repl_entry {
	struct cl_epoch epoch;
	uint64_t index;
	uint8_t kind;
	uint8_t origin; /* slot of the node whose request it is */
	uint64_t instance;
	uint64_t request;
	struct cl_blob payload; /* borrowed from the event */
};

struct repl_action {
	enum repl_action_type type;
	union {
		struct cl_msg msg;
		struct repl_entry entry;
		uint64_t index;
		struct {
			struct cl_view_id view;
			uint32_t donor_nodeid;
			struct cl_pos winner;
		} pull;
	};
};

struct repl_actions {
	size_t count;
	struct repl_action item[REPL_MAX_ACTIONS];
};

void repl_init(struct repl_state *s, const struct repl_config *config,
	       const struct repl_identity *self, const struct repl_history *history);
/*
 * Takes one event. Returns 0, or a refusal that changed nothing:
 *   PROPOSE  -EAGAIN not open, or too much in flight: again after REPL_DO_OPENED or later
 *            -EBUSY  a change of the table is not committed yet (CL_ENTRY_TABLE)
 *            -EPERM  CL_ENTRY_TABLE from a node that is not the sequencer
 *            -EINVAL the change alters more than one vote, takes the last one, or gives one to
 *                    a node that does not hold all that is committed, or those present could not
 *                    commit it; or the version is not a higher one, or not all here speak it
 *   FORCE    -EPERM  force_check() says why
 *   CLAIMED, ADOPT -ESTALE not of this view any more, or not wanted
 *   CREATE   -EEXIST this node belongs to a cluster already
 *            -EBUSY  a pull may still install another cluster's history
 *            -EINVAL this node is not in the table with the only vote
 */
int repl_step(struct repl_state *s, const struct repl_event *event, struct repl_actions *out);
/* True if this node has to claim the witness, for the view that it is in. */
bool repl_witness_is_wanted(const struct repl_state *s);
/* Whose votes count in the view: nodes, and CL_WITNESS_BIT. */
uint32_t repl_countable(const struct repl_state *s);
/* Slot of the sender of a message of that view, if it is the present one and he is in it. */
uint8_t repl_sender(const struct repl_state *s, const struct repl_address *from,
		    const struct cl_view_id *view);
bool repl_is_sequencer(const struct repl_state *s);
/* The versions that the process of a peer has said it speaks. */
struct cl_versions repl_versions(const struct cl_msg_state *m);
/* True if this node may act on the applied database at that moment. */
bool repl_may_act(const struct repl_state *s, uint64_t now_ms);
/* NULL, or the invariant that does not hold. */
const char *repl_check(const struct repl_state *s);
/* Order-independent hash of who is in the group, as STATE messages carry it. */
uint64_t repl_members_hash(const struct repl_address *member, uint8_t count);
const char *repl_phase_name(enum repl_phase phase);
const char *repl_refusal_name(enum repl_refusal refusal);
const char *repl_mutant_name(enum repl_mutant mutant);

#endif
