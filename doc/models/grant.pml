/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a block of a shared file: granted, written past the coordinator, recalled, drained,
 * freed, another file's, its own again, granted again. csvfs/core/grant.h (the coordinator),
 * csvfs/core/direct.h (the mount) and the order of csvfs/edge/backing_op.c, for Spin. README.md
 * says what is modelled and what is not.
 *
 * One block; file A, which two mounts may be granted, and file B, which takes the block when it is
 * free. One coordinator after the other; a log of which a crash keeps what was forced; I/O that
 * lands any time after it was begun; lines that break with what is on them. One number counts the
 * grants of all terms: it orders them as (term, serial) does.
 *
 * Checked: I/O lands on a block only while it is its file's, as it was when the grant was given,
 * and the coordinator knows of it; no map or size changes while a mount may read or write; a read,
 * here or there, gives what was written last; a crash takes back nothing that was granted; no lock
 * is held while a mount is waited for; and nobody waits for ever.
 *
 * Each of the broken variants (the names after #ifdef) must be refuted: check-models.
 */
#ifndef ASKS
#define ASKS 2 /* for grants, by all mounts */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef FAULTY
#define FAULTY 1 /* mounts whose line breaks */
#endif
#ifndef LINE
#define LINE 1 /* messages on their way, each way: who has more to say takes longer */
#endif

mtype = { FREE, OF_A, OF_B };                /* the block */
mtype = { NO, CLEAN, DIRTY };                /* A's page at the coordinator */
mtype = { DOWN, RECLAIM, OPEN };             /* the coordinator */
mtype = { IDLE, WAIT, LOCK };                /* a change of a map or a size */
mtype = { NONE, SENT, REPLY, HERE };         /* a GRANT; HERE: answered, not looked at yet */
mtype = { HOME, ASKING, GRANTED, DRAINING }; /* A, for a mount */

#define READ  1 /* mode of a grant, kind of an I/O; 0: none */
#define WRITE 2

/* The disk: with all of the log, and with what a crash keeps. */
mtype owner = FREE, forced_owner = FREE;
bit is_written, forced_written; /* else it reads as zeros */
bit is_last = 1;                /* it has what was written last */

/* The coordinator. */
mtype phase = RECLAIM;
mtype page = NO;
bit page_is_last;
mtype change = IDLE;
bit is_recalled;  /* given to nobody meanwhile */
bit is_locked;    /* between two steps: only in a broken variant */
byte holder[2];   /* mode */
byte number[2];   /* of that */
bit is_met[2];    /* it has told this coordinator what it has */
bit has_line[2];  /* for recalls */
bit is_gone[2];   /* the cluster knows that it is over */
byte crashes;

/* A GRANT and its answer. */
mtype make[2] = NONE;
byte wants[2];
byte answer[2];   /* number; 0: refused */
bit is_good[2];   /* what it says of the map is so still */
byte asks, serial;

/* Mounts. */
bit is_dead[2];   /* its process runs no more; what it has begun may land yet */
mtype file[2] = HOME;
byte mode[2], id[2], dead[2];
bit is_asked[2];
bit knows[2];     /* the map that it has is A's still */
byte io[2];       /* under way */
bit io_knows[2];

chan down[2] = [LINE] of { byte };
chan up[2] = [LINE] of { byte };

#define IS_HELD (holder[0] || holder[1])

/* ---- the file system */

/* What a mount knows of A's place is not so any more. */
inline forget_map()
{
	is_good[0] = 0; is_good[1] = 0;
	knows[0] = 0; knows[1] = 0;
	io_knows[0] = 0; io_knows[1] = 0
}

inline force()
{
	forced_owner = owner;
	forced_written = is_written
}

/* A block that was freed is not used again before the log has that. */
inline allocate(whose)
{
	if
	:: forced_owner != FREE -> force()
	:: else
	fi;
	owner = whose;
	is_written = 0;
	is_last = 1
}

inline drop_page()
{
	page = NO;
	page_is_last = 0
}

inline write_back()
{
	page = CLEAN;
	is_last = page_is_last
}

inline clear(line)
{
	do
	:: nempty(line) -> line ? n
	:: empty(line) -> break
	od;
	n = 0
}

inline drop(x)
{
	holder[x] = 0;
	number[x] = 0
}

/* What a coordinator has of a mount ends with it; what has no answer is asked again. */
inline forget(x)
{
	drop(x);
	is_met[x] = 0;
	has_line[x] = 0;
	clear(down[x]);
	if
	:: make[x] == REPLY -> make[x] = SENT; answer[x] = 0; is_good[x] = 0
	:: else
	fi
}

/* What is not forced is gone. */
inline crash()
{
	if
	:: owner == forced_owner && is_written == forced_written
	:: else ->
		assert(!((mode[0] || io[0]) && knows[0]) && !((mode[1] || io[1]) && knows[1]));
		assert(!(answer[0] && is_good[0]) && !(answer[1] && is_good[1]));
		owner = forced_owner;
		is_written = forced_written;
		is_last = 1;
		forget_map()
	fi;
	drop_page();
	change = IDLE; is_recalled = 0; is_locked = 0;
	forget(0);
	forget(1);
	phase = DOWN;
	crashes++
}

/* ---- the coordinator */

inline recall(x)
{
	if
	:: holder[x] && has_line[x] && !is_dead[x] -> down[x] ! number[x]
	:: else
	fi
}

#ifdef FREE_FIRST
#define IS_COLLECTED (1)
#define NO_LOOK
#elif defined(ABSENT)
#define IS_COLLECTED (!IS_HELD)
#else
#define IS_COLLECTED (phase == OPEN && !IS_HELD)
#endif
#ifdef ABSENT
#define MAY_CHANGE (phase != DOWN)
#else
#define MAY_CHANGE (phase == OPEN)
#endif
#ifdef NO_LOOK
#define MUST_RECALL (0)
#else
#define MUST_RECALL (IS_HELD && !is_recalled)
#endif

/* Of a file that has no block, one is made; else it goes, or the file's end moves: then the page
 * there is changed, and is written when it pleases the kernel. */
inline go()
{
	assert(io[0] == 0 && file[0] != GRANTED && io[1] == 0 && file[1] != GRANTED);
	if
	:: owner == OF_A -> forget_map(); owner = FREE; is_written = 0; is_last = 1; drop_page()
	:: owner == OF_A && is_written ->
		forget_map();
		page_is_last = (page == NO -> is_last : page_is_last);
		page = DIRTY
	:: owner == FREE -> allocate(OF_A)
	:: owner == OF_B /* no room */
	fi;
	is_locked = 0;
	is_recalled = 0;
	change = IDLE
}

/*
 * Recall what is held, wait until nothing is; then lock and look, and between that and the change
 * nothing can come. Held again, or only now: unlocked, and from the beginning.
 */
#define HAS_ROOM (len(down[0]) < LINE && len(down[1]) < LINE)
#ifdef NO_LOOK
#define IS_OUT (0)
#else
#define IS_OUT IS_HELD
#endif
#define CAN_LOCK  (change == WAIT && IS_COLLECTED)
#define CAN_AGAIN (change == LOCK && IS_OUT && HAS_ROOM)
#define CAN_GO    (change == LOCK && !IS_OUT)

inline begin_recall()
{
#ifdef LOCK_FIRST
	is_locked = 1;
#endif
	assert(!is_locked);
	is_recalled = 1;
	recall(0);
	recall(1);
	change = WAIT
}

proctype changes()
{
end:	do
	:: d_step { change == IDLE && MAY_CHANGE && IS_HELD && HAS_ROOM -> begin_recall() }
	:: d_step { change == IDLE && MAY_CHANGE && !IS_HELD -> change = LOCK }
	:: d_step { CAN_LOCK -> change = LOCK }
	:: d_step { CAN_AGAIN -> begin_recall() }
	:: atomic { CAN_GO -> go() }
	od
}

#ifdef CACHED
#define GOES_PAST_PAGES (0)
#else
#define GOES_PAST_PAGES IS_HELD
#endif
#define MAY_USE (phase == OPEN && !is_locked && owner == OF_A)

/* Reads and writes of A that come to the coordinator; B; the kernel. */
proctype at_home()
{
end:	do
	:: d_step { MAY_USE && GOES_PAST_PAGES && is_written ->
		assert(is_last); page_is_last = 0 }
	:: d_step { MAY_USE && !GOES_PAST_PAGES && page == NO && is_written ->
		page = CLEAN; page_is_last = is_last }
	:: d_step { MAY_USE && !GOES_PAST_PAGES && page != NO -> assert(page_is_last) }
	:: d_step { MAY_USE && !GOES_PAST_PAGES ->
		page = CLEAN; page_is_last = 1; is_written = 1; is_last = 1 }
	:: d_step { owner == FREE && phase == OPEN -> allocate(OF_B) }
	:: d_step { owner == OF_B && phase == OPEN -> owner = FREE }
	:: d_step { page == DIRTY -> write_back() }
	:: d_step { page == CLEAN -> drop_page() }
	:: d_step { phase != DOWN && (owner != forced_owner || is_written != forced_written) ->
		force() }
	od
}

#ifdef NO_RESIDENCY
#define IS_EMPTY (1)
#else
#define IS_EMPTY (page == NO)
#endif
#ifdef UNWRITTEN
#define MAY_BE_GRANTED (owner == OF_A)
#else
#define MAY_BE_GRANTED (owner == OF_A && is_written)
#endif
#ifdef NEW_WHILE_RECALLED
#define IS_REFUSED(m) (!has_line[m] || is_gone[m])
#else
#define IS_REFUSED(m) (!has_line[m] || is_gone[m] || is_recalled)
#endif
#define CAN_MAKE(m)  (make[m] == SENT && phase == OPEN && !is_locked)
#define CAN_REPLY(m) (make[m] == REPLY)
#define CAN_HEAR(m)  (phase != DOWN && is_met[m] && len(up[m]) > 0)

/* All with the inode locked: force, empty the page cache, look at the map, issue. */
inline make_grant(m)
{
#ifndef NO_FORCE
	if
	:: page == DIRTY -> write_back()
	:: else
	fi;
	force();
#endif
	if
	:: page == CLEAN -> drop_page()
	:: page != NO /* one that is in use stays */
	:: page == NO
	fi;
	if
	:: IS_EMPTY && MAY_BE_GRANTED && !IS_REFUSED(m) ->
		serial++;
		holder[m] = wants[m]; number[m] = serial;
		answer[m] = serial; is_good[m] = 1
	:: else -> answer[m] = 0
	fi;
	make[m] = REPLY
}

inline end_grant(m)
{
	make[m] = NONE; answer[m] = 0; is_good[m] = 0; wants[m] = 0
}

/* A grant has gone when its mount says so by its number. */
inline hear_done(m)
{
	up[m] ? n;
	if
#ifdef ANY_NUMBER
	:: holder[m] -> drop(m)
#else
	:: holder[m] && number[m] == n -> drop(m)
#endif
	:: else
	fi;
	n = 0
}

proctype grants(byte m)
{
	byte n;

end:	do
	:: atomic { CAN_MAKE(m) -> make_grant(m) }
	:: d_step { CAN_REPLY(m) ->
		if
		:: is_dead[m] -> end_grant(m)
		:: else -> make[m] = HERE
		fi }
	:: d_step { CAN_HEAR(m) -> hear_done(m) }
	od
}

/* ---- mounts */

/* The answer to a recall, or unasked: the coordinator takes them alike. */
inline give_back(m)
{
	up[m] ! id[m];
	mode[m] = 0; id[m] = 0; is_asked[m] = 0; knows[m] = 0;
	file[m] = (file[m] == DRAINING -> HOME : file[m])
}

#ifdef ACK_FIRST
#define IS_DONE(m) (1)
#else
#define IS_DONE(m) (io[m] == 0)
#endif
#ifdef RETURN_FIRST
#define IS_BACK(m) (1)
#else
#define IS_BACK(m) (io[m] == 0)
#endif

inline hear_recall(m)
{
	down[m] ? n;
	/* The answer to a GRANT may bring this very one: then it is dead. */
	dead[m] = (file[m] == ASKING && dead[m] < n -> n : dead[m]);
	if
	:: mode[m] == 0 || (file[m] != ASKING && n < id[m]) -> up[m] ! n
	:: else ->
		id[m] = n; /* the coordinator knows only this one */
		is_asked[m] = 1;
		file[m] = (file[m] == GRANTED -> DRAINING : file[m]);
		if
		:: IS_DONE(m) -> give_back(m)
		:: else
		fi
	fi;
	n = 0
}

inline go_back(m)
{
	file[m] = DRAINING;
	if
	:: IS_BACK(m) -> give_back(m)
	:: else
	fi
}

#ifdef DEAD_ANSWER
#define IS_USABLE(m) (answer[m])
#else
#define IS_USABLE(m) (answer[m] > dead[m])
#endif

inline take_answer(m)
{
	if
	:: IS_USABLE(m) ->
		file[m] = GRANTED;
		mode[m] = wants[m]; id[m] = answer[m]; knows[m] = is_good[m];
		is_asked[m] = 0
	:: !IS_USABLE(m) && mode[m] == 0 -> file[m] = HOME
	:: !IS_USABLE(m) && mode[m] && !answer[m] ->
		file[m] = (is_asked[m] -> DRAINING : GRANTED)
	:: !IS_USABLE(m) && mode[m] && answer[m] ->
		file[m] = DRAINING;
		if
		:: io[m] == 0 -> give_back(m)
		:: else
		fi
	fi;
	dead[m] = 0;
	end_grant(m)
}

inline land(m)
{
	assert(io_knows[m]);
	assert(phase != OPEN || holder[m] >= io[m]);
	if
	:: io[m] == READ -> assert(is_last)
	:: else -> is_last = 1; page_is_last = 0
	fi;
	io[m] = 0; io_knows[m] = 0;
	if
	:: mode[m] && (file[m] == DRAINING || (file[m] == ASKING && is_asked[m])) -> give_back(m)
	:: else
	fi
}

inline ask(m, what)
{
	asks++;
	dead[m] = (file[m] == HOME -> 0 : id[m]);
	file[m] = ASKING;
	wants[m] = what;
	make[m] = SENT
}

/* A new coordinator is told what there is. */
inline meet(m)
{
	is_met[m] = 1;
#ifdef NO_RECLAIM
	holder[m] = (file[m] == DRAINING -> 0 : mode[m]);
#else
	holder[m] = mode[m];
#endif
	number[m] = (holder[m] -> id[m] : 0);
#ifndef STALE_ANSWER
	/* What an earlier one has answered and is not looked at yet, is dead. */
	dead[m] = (file[m] == ASKING -> serial : dead[m])
#endif
}

inline connect(m)
{
	has_line[m] = 1;
#ifndef NO_RESEND
	if
	:: is_recalled -> recall(m)
	:: else
	fi
#endif
}

#ifdef GONE_EARLY
#define IS_OVER(m) (is_dead[m])
#else
#define IS_OVER(m) (is_dead[m] && io[m] == 0)
#endif
#define MAY_ASK(m)     (!is_dead[m] && make[m] == NONE && asks < ASKS)
#define MAY_BEGIN(m)   (!is_dead[m] && file[m] == GRANTED && io[m] == 0)
#define CAN_LAND(m)    (io[m] && (is_dead[m] || len(up[m]) < LINE))
#define CAN_TAKE(m)    (!is_dead[m] && make[m] == HERE && len(up[m]) < LINE)
#define CAN_ANSWER(m)  (!is_dead[m] && len(down[m]) > 0 && len(up[m]) < LINE)
#define CAN_MEET(m)    (!is_dead[m] && phase == RECLAIM && !is_met[m])
#define CAN_CONNECT(m) (!is_dead[m] && phase != DOWN && is_met[m] && !has_line[m])
#define CAN_GONE(m)    (IS_OVER(m) && !is_gone[m])

proctype mount(byte m)
{
	byte n;

end:	do
	:: d_step { MAY_BEGIN(m) -> io[m] = READ; io_knows[m] = knows[m] }
	:: d_step { MAY_BEGIN(m) && mode[m] == WRITE -> io[m] = WRITE; io_knows[m] = knows[m] }
	:: d_step { CAN_LAND(m) -> land(m) }
	:: d_step { MAY_ASK(m) && file[m] == HOME -> ask(m, READ) }
	:: d_step { MAY_ASK(m) && (file[m] == HOME || (file[m] == GRANTED && mode[m] == READ)) ->
		ask(m, WRITE) }
	:: d_step { CAN_TAKE(m) -> take_answer(m) }
	:: d_step { CAN_ANSWER(m) -> hear_recall(m) }
	/* Its path is lost, or nobody has it open. */
	:: d_step { !is_dead[m] && file[m] == GRANTED && len(up[m]) < LINE -> go_back(m) }
	:: d_step { CAN_MEET(m) -> meet(m) }
	:: d_step { CAN_CONNECT(m) -> connect(m) }
	/* Its process is proven to be over, which is when its I/O is. */
	:: d_step { CAN_GONE(m) -> is_gone[m] = 1; has_line[m] = 0; drop(m) }
	od
}

/* ---- what befalls them */

inline cut(m)
{
	has_line[m] = 0;
#ifdef LOST_IS_GONE
	drop(m);
#endif
	clear(down[m])
}

/* Its process runs no more. */
inline kill()
{
	is_dead[1] = 1;
	mode[1] = 0; id[1] = 0; dead[1] = 0; is_asked[1] = 0; knows[1] = 0;
	file[1] = HOME;
	if
	:: make[1] == HERE -> end_grant(1)
	:: else
	fi;
	clear(down[1])
}

#ifdef SERVE_FIRST
#define HAVE_MET (1)
#else
#define HAVE_MET ((is_met[0] || is_gone[0]) && (is_met[1] || is_gone[1]))
#endif
#define CAN_START (phase == DOWN)
#define CAN_OPEN  (phase == RECLAIM && HAVE_MET)

proctype fate()
{
	byte n;

end:	do
	:: d_step { phase != DOWN && crashes < CRASHES -> crash() }
	:: d_step { CAN_START -> phase = RECLAIM }
	:: d_step { CAN_OPEN -> phase = OPEN }
#if FAULTY > 1
	:: d_step { has_line[0] -> cut(0) }
#endif
	:: d_step { has_line[1] -> cut(1) }
	:: d_step { !has_line[0] && len(up[0]) > 0 -> up[0] ? n; n = 0 }
	:: d_step { !has_line[1] && len(up[1]) > 0 -> up[1] ? n; n = 0 }
	/* The second mount is killed; or its node is fenced, after which nothing lands. */
	:: d_step { !is_dead[1] -> kill() }
	:: d_step { !is_gone[1] && (!is_dead[1] || io[1]) -> kill(); io[1] = 0; io_knows[1] = 0 }
#ifdef LEASE
	/* It has been silent for long. */
	:: d_step { phase == OPEN && !has_line[1] && holder[1] -> drop(1) }
#endif
	od
}

/* Somebody waits, and nothing can go on but by a fault or a wish. */
#define WAITS(m)                                                                                   \
	(make[m] != NONE || file[m] == DRAINING || (is_dead[m] && !is_gone[m]))
#define GOES_ON(m)                                                                                 \
	(CAN_MAKE(m) || CAN_REPLY(m) || CAN_HEAR(m) || CAN_LAND(m) || CAN_TAKE(m) ||               \
	 CAN_ANSWER(m) || CAN_MEET(m) || CAN_CONNECT(m) || CAN_GONE(m))

active proctype stuck()
{
end:	atomic {
		(phase != OPEN || change != IDLE || WAITS(0) || WAITS(1)) && !GOES_ON(0) &&
			!GOES_ON(1) && !CAN_LOCK && !CAN_AGAIN && !CAN_GO && !CAN_START &&
			!CAN_OPEN ->
		assert(false)
	}
}

init
{
	atomic {
		run fate(); /* first: what is run last is tried first */
		run changes();
		run at_home();
		run grants(0);
		run grants(1);
		run mount(0);
		run mount(1)
	}
}
