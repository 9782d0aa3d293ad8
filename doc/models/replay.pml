/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the death of a coordinator or its node to the next one that serves: fence, release of vol:,
 * replay of the log, reclaim, recovery, groups. clusterd/core/apply_volume.c, apply.c (fences),
 * plan_volume.c and volume.c (the database), clusterd/edge/volumes.c (the node), and
 * csvfs/edge/coordinate.c, csvfs/core/session.h (the coordinator), for Spin. README.md says what is
 * modelled and what is not.
 *
 * Two nodes, the first with two lives, and a third that has the quorum with whoever is not cut off;
 * one volume, a mount of it on each node, one group that needs it. What is decided is one order,
 * which a node sees as long as it is not cut off; what nodes and fences report arrives late.
 *
 * Checked: never are two file systems alive on the LUN; none is begun without vol:, nor does vol: go
 * by the word of a node on which one is alive; no coordinator serves before every mount that lives
 * has told it what it has, or frees what one has that lives; no group starts before the coordinator
 * in force has dropped what every mount that has ended held, or runs twice; an incarnation that is a
 * member is not switched off; and where a node lives that is not cut off, nobody waits for ever.
 *
 * Each of the broken variants (the names after #ifdef) must be refuted: check-models.
 */
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef ORDERS
#define ORDERS 3 /* of a coordinator: to start, or to stop */
#endif

mtype = { ADMITTED, LOST, FENCING, FENCED };                       /* a node */
mtype = { OFFLINE, STARTING, ONLINE, STOPPING, UNKNOWN, FAILED };  /* the volume */
mtype = { NONE, MOUNTED, GONE };                                   /* a mount */
mtype = { NOTHING, BORN, TERM, REPLAYED, SERVES };                 /* a coordinator's process */

#define NOBODY 2

/* The database. */
mtype member[2] = ADMITTED;
byte life[2];         /* which one of the node it knows */
mtype work = OFFLINE;
byte node = NOBODY;   /* has vol: */
byte node_life;
byte order;           /* the last one */
byte term;            /* the last one that was to start */
bit is_served;        /* it has said so */
bit is_fence_wanted;
mtype row[2] = NONE;  /* mnt: */
byte row_life[2];
byte row_id[2];       /* of the last mount of it */
byte group = NOBODY;
byte group_life;

/* The nodes. */
bit is_on[2] = 1;
byte real_life[2];
bit is_cut[2];
bit has_lease[2] = 1;
byte told[2];         /* order to coordinate that it saw last; 0: none */
byte begun[2];        /* order for which it has begun a process */
mtype process[2] = NOTHING;
bit has_xfs[2];       /* alive: it may write, as long as its node can */
bit has_mount[2];     /* its applications, too */
bit runs[2];          /* the group */
byte faults;
bit remains[2];       /* of a mount that is known to be over: not recovered yet */

/* What the coordinator in force knows of mounts. */
bit is_reclaimed[2];
bit is_dropped[2];

/* On their way. */
byte says[2];         /* order that is over; 0: nothing */
byte agent[2];        /* the fence of which life + 1 is under way */
byte fenced[2];       /* of which life + 1 it is proven */
byte recovered[2];    /* term in which a mount was dropped; 0: nothing */
byte recovered_id[2];

#define OTHER(i) (1 - i)
#define IS_MEMBER(i)                                                                               \
	(is_on[i] && !is_cut[i] && member[i] == ADMITTED && life[i] == real_life[i])
#define IS_COORDINATOR(i) (node == i && node_life == life[i])

/* ---- the database */

inline release()
{
	work = OFFLINE;
	node = NOBODY; node_life = 0;
	is_served = 0;
	is_fence_wanted = 0
}

/* That life of the node is proven to be over. mnt: stays. */
inline life_gone(i, l)
{
	if
	:: row[i] == MOUNTED && row_life[i] == l -> row[i] = GONE; remains[i] = 1
	:: else
	fi;
#ifdef MNT_AT_FENCE
	if
	:: row[i] == GONE && row_life[i] == l -> row[i] = NONE; row_life[i] = 0
	:: else
	fi;
#endif
	if
	:: group == i && group_life == l -> group = NOBODY; group_life = 0
	:: else
	fi;
	if
	:: node == i && node_life == l -> release()
	:: else
	fi
}

inline unknown(i)
{
	if
	:: node == i && node_life == life[i] && work != FAILED ->
#ifdef LOST_RELEASES
		release()
#else
		work = UNKNOWN
#endif
	:: else
	fi
}

/* It comes back with what it held; a later life proves the one before to be over. */
inline admit(i)
{
	if
	:: life[i] != real_life[i] -> life_gone(i, life[i]); life[i] = real_life[i]
	:: else
	fi;
	member[i] = ADMITTED;
	if
	:: work == UNKNOWN && node == i && node_life == life[i] ->
		work = (order != term -> STOPPING : (is_served -> ONLINE : STARTING))
	:: else
	fi
}

#ifdef FENCE_CANCELLED
#define MAY_RETURN(i) (member[i] == LOST || member[i] == FENCING)
#else
#define MAY_RETURN(i) (member[i] == LOST)
#endif
#define CAN_ADMIT(i) (is_on[i] && !is_cut[i] && (life[i] != real_life[i] || MAY_RETURN(i)))
#define CAN_LOSE(i)                                                                                \
	(member[i] == ADMITTED && (!is_on[i] || is_cut[i]))
#define ASKS_FENCE(i) (member[i] == ADMITTED && is_fence_wanted && IS_COORDINATOR(i))
#define CAN_FENCE(i)  (member[i] == LOST || ASKS_FENCE(i))

#ifdef FENCED_BY_NODE
#define IS_OF_LIFE(i) (member[i] != FENCED)
#else
#define IS_OF_LIFE(i) (fenced[i] == life[i] + 1 && (member[i] == LOST || member[i] == FENCING))
#endif
#ifdef ANY_ORDER
#define IS_IN_FORCE(i) (node != NOBODY)
#else
#define IS_IN_FORCE(i) (says[i] == order && node == i && work != UNKNOWN)
#endif
#ifdef ANY_TERM
#define IS_OF_TERM(i) (work != OFFLINE)
#else
#define IS_OF_TERM(i)                                                                              \
	(recovered[i] == term && (work == STARTING || work == ONLINE || work == STOPPING))
#endif
#ifdef ANY_MOUNT
#define IS_OF_MOUNT(i) (row[i] == GONE)
#else
#define IS_OF_MOUNT(i) (row[i] == GONE && row_id[i] == recovered_id[i])
#endif

inline take_fenced(i)
{
	if
	:: IS_OF_LIFE(i) ->
		member[i] = FENCED;
		life_gone(i, life[i])
	:: else
	fi;
	fenced[i] = 0
}

inline take_over(i)
{
	if
	:: IS_IN_FORCE(i) ->
		assert(!has_xfs[node]);
		release()
	:: else
	fi;
	says[i] = 0
}

inline take_recovered(i)
{
	if
	:: IS_OF_TERM(i) && IS_OF_MOUNT(i) ->
		assert(is_dropped[i]);
		row[i] = NONE; row_life[i] = 0;
		remains[i] = 0
	:: else
	fi;
	recovered[i] = 0; recovered_id[i] = 0
}

inline order_start(i)
{
	order++;
	term = order;
	work = STARTING;
	node = i; node_life = life[i];
	is_served = 0
}

inline order_stop()
{
	order++;
	work = STOPPING;
	is_served = 0;
#ifdef STOP_RELEASES
	release()
#endif
}

#ifdef GROUP_FIRST
#define IS_RECOVERED (1)
#else
#define IS_RECOVERED (row[0] != GONE && row[1] != GONE)
#endif
#define CAN_ORDER(i) (work == OFFLINE && IS_MEMBER(i) && order < ORDERS)
#define CAN_GROUP(i)                                                                               \
	(group == NOBODY && work == ONLINE && IS_RECOVERED && IS_MEMBER(i) && row[i] == MOUNTED)

inline start_group(i)
{
	assert(!runs[OTHER(i)] && !remains[0] && !remains[1]);
	group = i; group_life = life[i];
	runs[i] = 1
}

proctype database(byte i)
{
end:	do
	:: d_step { CAN_ADMIT(i) -> admit(i) }
	:: d_step { CAN_LOSE(i) -> member[i] = LOST; unknown(i) }
	:: d_step { CAN_FENCE(i) ->
		member[i] = FENCING;
		agent[i] = life[i] + 1;
		unknown(i);
#ifdef BEGUN_IS_DONE
		life_gone(i, life[i])
#endif
	   }
	:: d_step { fenced[i] -> take_fenced(i) }
	:: d_step { says[i] -> take_over(i) }
	:: d_step { recovered[i] -> take_recovered(i) }
	:: d_step { CAN_ORDER(i) -> order_start(i) }
	:: d_step { work == ONLINE && IS_COORDINATOR(i) && IS_MEMBER(i) && order + 1 < ORDERS ->
		order_stop() }
	:: d_step { CAN_GROUP(i) -> start_group(i) }
	od
}

/* ---- a node */

#define IS_WANTED(i) (told[i] == begun[i] && has_lease[i])
/* What its clusterd sees: an order that is to be carried out here. */
#define VIEW(i)	     (IS_COORDINATOR(i) && (work == STARTING || work == ONLINE) -> order : 0)
#define CAN_SEE(i)   (IS_MEMBER(i) && told[i] != VIEW(i))
#define CAN_BEGIN(i)                                                                               \
	(process[i] == NOTHING && told[i] && begun[i] != told[i] && has_lease[i])
#define CAN_TERM(i)   (process[i] == BORN && IS_WANTED(i))
#define CAN_REPLAY(i) (process[i] == TERM)
#define IS_UP(i)      (process[i] == REPLAYED || process[i] == SERVES)
#define CAN_END(i)    (process[i] != NOTHING && process[i] != TERM && !IS_WANTED(i))

/* Its process has ended, or there was none; and its file system is not alive any more. */
#define IS_MINE(i) (IS_MEMBER(i) && IS_COORDINATOR(i) && process[i] == NOTHING)
#define IS_OVER(i) (IS_MINE(i) && work != UNKNOWN && (work != STARTING || begun[i] == term))
#ifdef PROCESS_IS_PROOF
#define CAN_SAY_OVER(i) (IS_OVER(i) && says[i] == 0)
#elif defined(OLD_PROOF)
bit is_proven[2]; /* of whichever coordinator there was */
#define CAN_LOOK(i)	(IS_OVER(i) && !has_xfs[i] && !is_proven[i])
#define LOOK(i)		is_proven[i] = 1
#define CAN_SAY_OVER(i) (IS_OVER(i) && says[i] == 0 && is_proven[i])
#else
#define CAN_SAY_OVER(i) (IS_OVER(i) && says[i] == 0 && !has_xfs[i])
#endif
#ifndef CAN_LOOK
#define CAN_LOOK(i) (0) /* it is looked when it is said */
#define LOOK(i)	    skip
#endif
#define CAN_SAY_STUCK(i) (IS_OVER(i) && has_xfs[i] && work != FAILED)

#ifdef SECOND_MOUNT
#define HAS_NO_MOUNT(i) (row[i] != MOUNTED)
#else
#define HAS_NO_MOUNT(i) (row[i] == NONE)
#endif
#define MOUNTS	     3
#define CAN_MOUNT(i) (IS_MEMBER(i) && HAS_NO_MOUNT(i) && has_lease[i] && row_id[i] < MOUNTS)
#define CAN_GONE(i)  (IS_MEMBER(i) && row[i] == MOUNTED && !has_mount[i])

inline begin(i)
{
	process[i] = BORN;
	begun[i] = told[i];
	is_reclaimed[0] = 0; is_reclaimed[1] = 0;
	is_dropped[0] = 0; is_dropped[1] = 0
}

inline replay(i)
{
	assert(!has_xfs[0] && !has_xfs[1]);
	assert(node == i && node_life == real_life[i]);
	process[i] = REPLAYED;
	has_xfs[i] = 1
}

inline stuck_xfs()
{
#ifdef FAILED_RELEASES
	release()
#else
	work = FAILED;
	is_served = 0;
#ifndef NEVER_ASKS
	is_fence_wanted = 1
#endif
#endif
}

/* It is new: it has nothing that a coordinator would have to be told. */
inline mount(i)
{
	row[i] = MOUNTED;
	row_life[i] = life[i];
	row_id[i]++;
	has_mount[i] = 1;
	is_reclaimed[i] = 1; is_dropped[i] = 0
}

proctype a_node(byte i)
{
end:	do
	:: d_step { CAN_SEE(i) -> told[i] = VIEW(i) }
	:: d_step { CAN_BEGIN(i) -> begin(i) }
	:: d_step { CAN_TERM(i) -> process[i] = TERM }
	:: d_step { CAN_REPLAY(i) -> replay(i) }
	:: d_step { CAN_END(i) -> process[i] = NOTHING; has_xfs[i] = 0 }
	/* The kernel lets go of it, or does so never. */
	:: d_step { process[i] == NOTHING && has_xfs[i] -> has_xfs[i] = 0 }
	:: d_step { CAN_SAY_OVER(i) -> says[i] = order }
	:: d_step { CAN_LOOK(i) -> LOOK(i) }
	:: d_step { CAN_SAY_STUCK(i) -> stuck_xfs() }
	:: d_step { CAN_MOUNT(i) -> mount(i) }
	:: d_step { CAN_GONE(i) -> row[i] = GONE; remains[i] = 1 }
	od
}

/* ---- a coordinator, of what its node sees and others tell it */

#define CAN_RECLAIM(i, j)                                                                          \
	(IS_UP(i) && has_mount[j] && !is_reclaimed[j] && (i == j || (!is_cut[i] && !is_cut[j])))
#ifdef SERVE_FIRST
#define HAS_RECLAIMED(j) (1)
#else
#define HAS_RECLAIMED(j) (row[j] != MOUNTED || is_reclaimed[j])
#endif
#define CAN_SERVE(i)                                                                               \
	(IS_MEMBER(i) && process[i] == REPLAYED && HAS_RECLAIMED(0) && HAS_RECLAIMED(1))
#ifdef REAP_LOST
#define IS_TO_DROP(j) (row[j] == GONE || (row[j] == MOUNTED && member[j] != ADMITTED))
#else
#define IS_TO_DROP(j) (row[j] == GONE)
#endif
#define CAN_DROP(i, j) (IS_MEMBER(i) && IS_UP(i) && IS_TO_DROP(j) && !is_dropped[j])
#define CAN_ONLINE(i)                                                                              \
	(IS_MEMBER(i) && process[i] == SERVES && IS_COORDINATOR(i) && work == STARTING &&          \
	 begun[i] == order)
/* Said until the row is gone, and once more before it is known to be. */
#define MAY_SAY_RECOVERED(i, j)                                                                    \
	(IS_MEMBER(i) && process[i] == SERVES && is_dropped[j] && recovered[j] == 0)
#define CAN_SAY_RECOVERED(i, j) (MAY_SAY_RECOVERED(i, j) && row[j] == GONE && work == ONLINE)

proctype coordinator(byte i)
{
end:	do
	:: d_step { CAN_RECLAIM(i, 0) -> is_reclaimed[0] = 1 }
	:: d_step { CAN_RECLAIM(i, 1) -> is_reclaimed[1] = 1 }
	:: d_step { CAN_SERVE(i) ->
		assert((!has_mount[0] || is_reclaimed[0]) && (!has_mount[1] || is_reclaimed[1]));
		process[i] = SERVES }
	:: d_step { CAN_DROP(i, 0) -> assert(!has_mount[0]); is_dropped[0] = 1 }
	:: d_step { CAN_DROP(i, 1) -> assert(!has_mount[1]); is_dropped[1] = 1 }
	:: d_step { CAN_ONLINE(i) -> work = ONLINE; is_served = 1 }
	:: d_step { MAY_SAY_RECOVERED(i, 0) -> recovered[0] = begun[i]; recovered_id[0] = row_id[0] }
	:: d_step { MAY_SAY_RECOVERED(i, 1) -> recovered[1] = begun[i]; recovered_id[1] = row_id[1] }
	od
}

/* ---- what befalls them */

#define CAN_SWITCH_OFF(i) (agent[i] && is_on[i])
#define CAN_PROVE(i)                                                                               \
	(agent[i] && fenced[i] == 0 && (!is_on[i] || real_life[i] + 1 != agent[i]))
#define CAN_LEASE(i) (IS_MEMBER(i) && !has_lease[i])

/* All that was there ends; what it has sent may arrive yet. */
inline power_off(i)
{
	is_on[i] = 0;
	is_cut[i] = 0;
	has_lease[i] = 0;
	told[i] = 0; begun[i] = 0;
	process[i] = NOTHING;
	has_xfs[i] = 0;
	runs[i] = 0;
	has_mount[i] = 0
}

proctype fate(byte i)
{
end:	do
	/* The agent of a fence. */
	:: d_step { CAN_SWITCH_OFF(i) ->
		assert(member[i] != ADMITTED || life[i] + 1 != agent[i] || real_life[i] != life[i]);
		power_off(i) }
	:: d_step { CAN_PROVE(i) -> fenced[i] = agent[i]; agent[i] = 0 }
	/* The network, and the lease that depends on it. */
	:: d_step { is_on[i] && !is_cut[i] && faults < FAULTS -> is_cut[i] = 1; faults++ }
	:: d_step { is_cut[i] -> is_cut[i] = 0 }
	:: d_step { is_cut[i] && has_lease[i] -> has_lease[i] = 0 }
	:: d_step { CAN_LEASE(i) -> has_lease[i] = 1 }
	/* Power, processes. */
	:: d_step { is_on[i] && faults < FAULTS -> power_off(i); faults++ }
	:: d_step { !is_on[i] && i == 0 && real_life[i] == 0 -> is_on[i] = 1; real_life[i]++ }
	:: d_step { process[i] != NOTHING && faults < FAULTS -> process[i] = NOTHING; faults++ }
	:: d_step { has_mount[i] && faults < FAULTS -> has_mount[i] = 0; faults++ }
	/* Reports are lost, and sent again. */
	:: d_step { says[i] -> says[i] = 0 }
	:: d_step { recovered[i] -> recovered[i] = 0; recovered_id[i] = 0 }
	od
}

/* A node lives that is not cut off, and somebody waits; and nothing goes on but by a fault. */
#define LIVES(i) (is_on[i] && !is_cut[i])
#define WAITS(i)                                                                                   \
	(LIVES(i) && (work != ONLINE || row[i] != MOUNTED || row[OTHER(i)] == GONE ||              \
		      group == NOBODY))
#define GOES_ON(i)                                                                                 \
	(CAN_ADMIT(i) || CAN_LOSE(i) || CAN_FENCE(i) || fenced[i] || says[i] || recovered[i] ||    \
	 CAN_ORDER(i) || CAN_GROUP(i) || CAN_SEE(i) || CAN_BEGIN(i) || CAN_TERM(i) ||              \
	 CAN_REPLAY(i) || CAN_END(i) || CAN_SAY_OVER(i) || CAN_SAY_STUCK(i) || CAN_MOUNT(i) ||     \
	 CAN_LOOK(i) ||                                                                            \
	 CAN_GONE(i) || CAN_RECLAIM(i, 0) || CAN_RECLAIM(i, 1) || CAN_SERVE(i) ||                  \
	 CAN_DROP(i, 0) || CAN_DROP(i, 1) || CAN_ONLINE(i) || CAN_SAY_RECOVERED(i, 0) ||           \
	 CAN_SAY_RECOVERED(i, 1) || CAN_SWITCH_OFF(i) || CAN_PROVE(i) || CAN_LEASE(i))

active proctype stuck()
{
end:	atomic {
		(WAITS(0) || WAITS(1)) && !GOES_ON(0) && !GOES_ON(1) && order < ORDERS &&
			row_id[0] < MOUNTS && row_id[1] < MOUNTS ->
		assert(false)
	}
}

init
{
	atomic {
		run database(0);
		run database(1);
		run a_node(0);
		run a_node(1);
		run coordinator(0);
		run coordinator(1);
		run fate(0);
		run fate(1)
	}
}
