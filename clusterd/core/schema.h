/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the cluster database knows: kinds of rows and the commands that change them, each as one
 * list of fields. The lists make the structs, the codec of snapshots and of log entries, and (in
 * the API) the JSON. The order of fields is the order of bytes; a field is added at the end, with
 * a new schema version (doc/format-database.md).
 *
 * Fields: F(type, name, size or enum). `str` has its size with the NUL; `choice` is one byte with
 * names. Some types are numbers that mean something: `node` a slot (u8) or CL_NODE_NONE, `nodes` a
 * set of them (u16, bit by slot), `owners` nodes in an order (placement.h), `verdicts` a choice and
 * `scores` a number for each slot, `time` milliseconds since 1970 (u64), `mark` a number that is
 * only compared (u64). The first field of a row is its key.
 *
 * Rows and commands are written in the format of the version in force, which may be an older one
 * than this build's (doc/upgrade.md): what is newer than the oldest version stands in DB_SINCE.
 */
#ifndef CLUSTERD_CORE_SCHEMA_H
#define CLUSTERD_CORE_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clusterd/core/types.h"

/*
 * The version of the cluster that this source is: what its lists below say. A build works under
 * DB_VERSION_MIN, too, so that nodes can be updated one after the other; MIN is the version before,
 * once there is one with nodes that can say which they speak.
 */
#define DB_SCHEMA_VERSION 6
#define DB_VERSION_MIN	  5

/* A synthetic next version, for tests of the upgrade: nothing of it is in the product. */
#ifdef CLUSTERD_TEST_NEXT_VERSION
#include CLUSTERD_TEST_NEXT_VERSION
#else
#define DB_VERSION_MAX DB_SCHEMA_VERSION
#define DB_NEXT_GROUP_FIELDS(F)
#define DB_NEXT_COMMANDS(X)
#define DB_NEXT_SINCE(X)
#endif

/*
 * X(name of the row or command, field or "" for all of it, version): what older versions do not
 * have. Fields are the last ones of their row or command, kinds of rows the last of DB_KINDS; until
 * their version is in force they are 0, and empty. A line stays for as long as a log may hold
 * entries in the format before it. New words of a choice come with a new field or command only.
 */
#define DB_SINCE(X)                                                                                \
	X(vm, "job", 6)                                                                            \
	X(volume, "redirected", 6)                                                                 \
	X(volume, "redirected_by", 6)                                                              \
	X(volume, "is_suspended", 6)                                                               \
	X(volume, "suspended_by", 6)                                                               \
	X(volume, "grow", 6)                                                                       \
	X(volume, "bytes", 6)                                                                      \
	X(volume_grow, "", 6)                                                                      \
	X(volume_grown, "", 6)                                                                     \
	X(mount, "io", 6)                                                                          \
	X(mount, "io_ms", 6)                                                                       \
	X(mount, "io_bytes", 6)                                                                    \
	X(mount, "io_reason", 6)                                                                   \
	X(volume_redirect, "", 6)                                                                  \
	X(volume_suspend, "", 6)                                                                   \
	X(mount_io, "", 6)                                                                         \
	X(job, "", 6)                                                                              \
	X(snapshot, "", 6)                                                                         \
	X(vm_job, "", 6)                                                                           \
	X(job_order, "", 6)                                                                        \
	X(job_report, "", 6)                                                                       \
	X(job_end, "", 6)                                                                          \
	DB_NEXT_SINCE(X)

#define DB_UUID_TEXT   37
#define DB_AGENT_MAX   128
#define DB_REASON_MAX  200
#define DB_KEY_MAX     136
#define DB_VALUE_MAX   512
#define DB_PARAMS_MAX  3072
#define DB_VERB_MAX    32
#define DB_DEVICE_MAX  256
#define DB_NAMES_MAX   256 /* of several objects, with commas or spaces between */
#define DB_ADDRESS_MAX 64
#define DB_FIELD_MAX   72  /* params.NAME */
#define DB_WORDS_MAX   400 /* of a command, for people */

#define DB_DEPENDS_MAX 256  /* an expression over resources */
#define DB_MEMBERS_MAX 2048 /* names of the groups of an affinity, with commas between */

#define DB_KEEP UINT32_MAX /* in a command that changes a row: this stays as it is */

/* ---- choices: name in C, word shown */
#define DB_MEMBERSHIPS(X)                                                                          \
	X(NEVER, "never")	/* in the table, has not run here yet */                           \
	X(ADMITTED, "admitted") /* its incarnation may hold locks and run work */                  \
	X(LOST, "lost")		/* left the quorate view without a word; not fenced yet */         \
	X(FENCED, "fenced")	/* that incarnation can do nothing any more */                     \
	X(LEFT, "left")		/* stopped cleanly: it held nothing */                             \
	X(FENCING, "fencing")	/* its fence has begun: there is no way back for the incarnation */

#define DB_INTENTS(X)                                                                              \
	X(OFFLINE, "offline")                                                                      \
	X(ONLINE, "online")

#define DB_WORKS(X)                                                                                \
	X(OFFLINE, "offline")                                                                      \
	X(STARTING, "starting")                                                                    \
	X(ONLINE, "online")                                                                        \
	X(STOPPING, "stopping")                                                                    \
	X(FAILED, "failed")   /* could not be stopped, and has its lock; or failed too often */    \
	X(UNKNOWN, "unknown") /* its node is lost; nobody may start it before the fence */

#define DB_TASK_STATES(X)                                                                          \
	X(RUNNING, "running")                                                                      \
	X(DONE, "done")                                                                            \
	X(FAILED, "failed")                                                                        \
	X(CANCELLED, "cancelled")

/* What a stop that nobody can prove means for the node. */
#define DB_STOP_FAILURES(X)                                                                        \
	X(FENCE, "fence")                                                                          \
	X(BLOCK, "block") /* it stays as it is until an administrator has seen to it */

/* What the node that runs a resource has been asked to do with it, once. */
#define DB_RESOURCE_ASKS(X)                                                                        \
	X(NOTHING, "nothing")                                                                      \
	X(FAIL, "fail")	      /* as if its monitor had failed */                                   \
	X(RELOAD, "reload")   /* its agent takes new parameters while it runs */                   \
	X(RESTART, "restart") /* for new parameters; its stop still gets the old ones */           \
	X(RETRY, "retry")     /* it had failed, and that is forgotten */

#define DB_MOUNT_STATES(X)                                                                         \
	X(MOUNTING, "mounting")                                                                    \
	X(MOUNTED, "mounted")                                                                      \
	X(GONE, "gone") /* provably over; what it held waits for the coordinator */

/* Does a mount read and write the LUN by itself? */
#define DB_MOUNT_IOS(X)                                                                            \
	X(UNKNOWN, "unknown") /* it has not said yet */                                            \
	X(UNAVAILABLE, "unavailable")                                                              \
	X(PAUSED, "paused")                                                                        \
	X(ACTIVE, "active")                                                                        \
	X(REDIRECTED, "redirected")

/* Does the mount answer its coordinator? */
#define DB_MOUNT_VOICES(X)                                                                         \
	X(ANSWERS, "answers")                                                                      \
	X(SILENT, "silent")                                                                        \
	X(STUCK, "stuck") /* its process was killed, and is not proven to be over */

/* They only go forward. From setup to online it is a session of its pair of nodes. */
#define DB_MIGRATION_PHASES(X)                                                                     \
	X(QUEUED, "queued") /* neither side has anything of it */                                  \
	X(CHECK, "check")                                                                          \
	X(SETUP, "setup")                                                                          \
	X(MEMORY, "memory")                                                                        \
	X(STATE, "state")                                                                          \
	X(STORAGE_HANDLE, "storage-handle") /* vCPUs and disks of the source are still */          \
	X(ONLINE, "online")		    /* transferred: there is no way back */                \
	X(ENDED, "ended")

/* Who has votes beside the nodes. */
#define DB_QUORUM_MODES(X)                                                                         \
	X(NODE_MAJORITY, "node-majority")                                                          \
	X(NODE_DISK, "node-disk")   /* a witness on a disk that all nodes reach */                 \
	X(NODE_SHARE, "node-share") /* on a share: it knows who may go on, and no history */       \
	X(DISK_ONLY, "disk-only")   /* the witness alone */

/* When a group goes back to a preferred owner that has come back. */
#define DB_FAILBACKS(X)                                                                            \
	X(NEVER, "never")                                                                          \
	X(IMMEDIATE, "immediate")                                                                  \
	X(HOURS, "hours") /* only between two hours of the day, UTC */

/* What a node found its own database to be; the word ends the kind of the event. */
#define DB_NOTES(X)                                                                                \
	X(DAMAGED, "damaged")	  /* put aside, and fetched from the others */                     \
	X(OLDER, "older")	  /* a copy from before something that the node acknowledged */    \
	X(WRONG, "wrong")	  /* its state was not that of the majority: fetched anew */       \
	X(UNDECIDED, "undecided") /* states differ, and none has a majority */                     \
	X(STALLED, "stalled")	  /* the disk takes no writes */                                   \
	X(WRITES, "writes")	  /* it takes them again */

/* What decided which of the nodes gets a group. */
#define DB_RULES(X)                                                                                \
	X(WISH, "asked-for")                                                                       \
	X(PREFERRED, "preferred-owner")                                                            \
	X(GOAL, "goal") /* where it was to go when it was stopped */                               \
	X(LEAST, "fewest-groups")

/* What a decision says of a node: the one, or why not. */
#define DB_VERDICTS(X)                                                                             \
	X(NONE, "none") /* there is no such node */                                                \
	X(CHOSEN, "chosen")                                                                        \
	X(HERE, "here") /* it is to leave it */                                                    \
	X(NOT_UP, "not-up")                                                                        \
	X(STOPPING, "stopping")                                                                    \
	X(QUARANTINED, "quarantined")                                                              \
	X(PAUSED, "paused")                                                                        \
	X(NOT_POSSIBLE, "not-possible")                                                            \
	X(FAILED, "failed")                                                                        \
	X(AFFINITY, "affinity") /* others are there, or elsewhere */                               \
	X(VOLUMES, "volumes")	/* it has not all that the group needs */                          \
	X(FENCE, "fence")	/* it is to be fenced */                                           \
	X(BUSY, "busy")		/* as many starts as may be are under way there */                 \
	X(OTHER, "other")	/* another was asked for, or is preferred, or was the goal */      \
	X(LOADED, "loaded")	/* it has more to do */                                            \
	X(LATER, "later")	/* as good, and a higher slot */                                   \
	X(ROOM, "no-room")	/* what it reserves does not fit */                                \
	X(TIGHTER, "tighter")	/* as good, and less memory is free */

/* Work on the files of a virtual machine's disks. */
#define DB_JOB_KINDS(X)                                                                            \
	X(MAKE, "make")		/* new ones, of a size */                                          \
	X(CLONE, "clone")	/* those of another virtual machine */                             \
	X(SNAPSHOT, "snapshot") /* copies beside them */                                           \
	X(REVERT, "revert")	/* copies take their place */                                      \
	X(REMOVE, "remove")	/* the copies */

#define DB_SNAPSHOT_STATES(X)                                                                      \
	X(MAKING, "making")                                                                        \
	X(READY, "ready")                                                                          \
	X(REMOVING, "removing")

#define DB_CHOICES(X)                                                                              \
	X(membership, MEMBERSHIP, DB_MEMBERSHIPS)                                                  \
	X(intent, INTENT, DB_INTENTS)                                                              \
	X(work, WORK, DB_WORKS)                                                                    \
	X(task_state, TASK_STATE, DB_TASK_STATES)                                                  \
	X(mount_state, MOUNT_STATE, DB_MOUNT_STATES)                                               \
	X(mount_voice, MOUNT_VOICE, DB_MOUNT_VOICES)                                               \
	X(migration_phase, MIGRATION_PHASE, DB_MIGRATION_PHASES)                                   \
	X(stop_failure, STOP_FAILURE, DB_STOP_FAILURES)                                            \
	X(quorum_mode, QUORUM_MODE, DB_QUORUM_MODES)                                               \
	X(failback, FAILBACK, DB_FAILBACKS)                                                        \
	X(note, NOTE, DB_NOTES)                                                                    \
	X(resource_ask, RESOURCE_ASK, DB_RESOURCE_ASKS)                                            \
	X(rule, RULE, DB_RULES)                                                                    \
	X(verdict, VERDICT, DB_VERDICTS)                                                           \
	X(mount_io, MOUNT_IO, DB_MOUNT_IOS)                                                        \
	X(job_kind, JOB_KIND, DB_JOB_KINDS)                                                        \
	X(snapshot_state, SNAPSHOT_STATE, DB_SNAPSHOT_STATES)

#define DB_CHOICE_MEMBERSHIP(NAME, word)      DB_MEMBERSHIP_##NAME,
#define DB_CHOICE_INTENT(NAME, word)	      DB_INTENT_##NAME,
#define DB_CHOICE_WORK(NAME, word)	      DB_WORK_##NAME,
#define DB_CHOICE_TASK_STATE(NAME, word)      DB_TASK_STATE_##NAME,
#define DB_CHOICE_MOUNT_STATE(NAME, word)     DB_MOUNT_STATE_##NAME,
#define DB_CHOICE_MOUNT_VOICE(NAME, word)     DB_MOUNT_VOICE_##NAME,
#define DB_CHOICE_MIGRATION_PHASE(NAME, word) DB_MIGRATION_PHASE_##NAME,
#define DB_CHOICE_STOP_FAILURE(NAME, word)    DB_STOP_FAILURE_##NAME,
#define DB_CHOICE_QUORUM_MODE(NAME, word)     DB_QUORUM_MODE_##NAME,
#define DB_CHOICE_FAILBACK(NAME, word)	      DB_FAILBACK_##NAME,
#define DB_CHOICE_NOTE(NAME, word)	      DB_NOTE_##NAME,
#define DB_CHOICE_RESOURCE_ASK(NAME, word)    DB_RESOURCE_ASK_##NAME,
#define DB_CHOICE_RULE(NAME, word)	      DB_RULE_##NAME,
#define DB_CHOICE_VERDICT(NAME, word)	      DB_VERDICT_##NAME,
#define DB_CHOICE_MOUNT_IO(NAME, word)	      DB_MOUNT_IO_##NAME,
#define DB_CHOICE_JOB_KIND(NAME, word)	      DB_JOB_KIND_##NAME,
#define DB_CHOICE_SNAPSHOT_STATE(NAME, word)  DB_SNAPSHOT_STATE_##NAME,
#define DB_CHOICE_ENUM(name, NAME, LIST)      enum db_##name{LIST(DB_CHOICE_##NAME) DB_##NAME##_MAX};
DB_CHOICES(DB_CHOICE_ENUM)
#undef DB_CHOICE_ENUM

/* ---- rows */
#define DB_CLUSTER_FIELDS(F)                                                                       \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, uuid, DB_UUID_TEXT)                                                                 \
	F(time, created_ms, 0)                                                                     \
	F(u64, conf, 0)	      /* version of corosync.conf that is wanted; 0: it is not ours yet */ \
	F(time, fence0_ms, 0) /* when the newest fence began; 0: none has */                       \
	F(time, fence1_ms, 0) /* the one before it */                                              \
	F(time, fence2_ms, 0) /* and before that (fence_window.h) */                               \
	F(time, forced_ms, 0) /* when quorum was forced last; 0: never, or all are back */         \
	F(nodes, forced_down, 0) /* of those said to be down then, who is not back yet */          \
	F(str, forced_by, CL_NAME_MAX)                                                             \
	F(choice, quorum_mode, quorum_mode)                                                        \
	F(str, witness, DB_UUID_TEXT)	      /* of the witness; empty: there is none */           \
	F(str, witness_device, DB_DEVICE_MAX) /* its path, the same on every node */               \
	F(u32, witness_io_ms, 0)	      /* the longest I/O on it, as written on it */        \
	F(u16, upgrade_to, 0)  /* version that an administrator wants in force; 0: none more */    \
	F(time, upgrade_ms, 0) /* when that was asked */                                           \
	F(str, upgrade_by, CL_NAME_MAX)

#define DB_NODE_FIELDS(F)                                                                          \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u8, slot, 0)                                                                             \
	F(u32, nodeid, 0)                                                                          \
	F(mark, incarnation, 0)                                                                    \
	F(str, boot, DB_UUID_TEXT)                                                                 \
	F(choice, membership, membership)                                                          \
	F(time, since_ms, 0)                                                                       \
	F(flag, is_paused, 0)                                                                      \
	F(flag, is_draining, 0)                                                                    \
	F(str, version, CL_NAME_MAX)                                                               \
	F(flag, is_leaving, 0)                                                                     \
	F(mark, instance, 0)		 /* of its clusterd process */                             \
	F(str, address0, DB_ADDRESS_MAX) /* in corosync's networks; "": not known yet */           \
	F(str, address1, DB_ADDRESS_MAX) /* "": it has one network */                              \
	F(u64, conf_written, 0)		 /* version of corosync.conf that it has on disk */        \
	F(u64, conf_running, 0)		 /* and that its corosync has read */                      \
	F(flag, is_evicted, 0)		 /* it goes, once nothing names it any more */             \
	F(u32, losses, 0)		 /* unasked ones since losses_since_ms: quarantine.h */    \
	F(time, losses_since_ms, 0)	 /* of the first of them; 0: there is none */              \
	F(flag, is_quarantined, 0) /* was lost too often: runs nothing until it is cleared */      \
	F(u16, version_min, 0)	   /* what its clusterd speaks; 0: it was never here */            \
	F(u16, version_max, 0)                                                                     \
	F(u32, memory_mib, 0)	  /* that it has said it has; 0: it has not said */                \
	F(u32, cores, 0)	  /* likewise */                                                   \
	F(u32, set_memory_mib, 0) /* capacity that somebody has set; 0: as it says */              \
	F(u32, set_cpu_pct, 0)	  /* likewise, in hundredths of a core */

#define DB_GROUP_FIELDS(F)                                                                         \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(choice, intent, intent)                                                                  \
	F(choice, work, work)                                                                      \
	F(node, node, 0)	/* where it is, or is ordered to be; CL_NODE_NONE */               \
	F(mark, incarnation, 0) /* of that node, when it was ordered */                            \
	F(u64, lock, 0)		/* its grp: lock while it is somewhere, else 0 */                  \
	F(u64, order, 0)	/* log index of the order in force */                              \
	F(node, wish, 0)	/* where an administrator wants it; CL_NODE_NONE */                \
	F(nodes, refused, 0)	/* nodes on which its start failed since the last success */       \
	F(nodes, possible, 0)                                                                      \
	F(u8, priority, 0)                                                                         \
	F(u32, failures, 0)                                                                        \
	F(time, since_ms, 0)                                                                       \
	F(u64, task, 0)                                                                            \
	F(str, reason, DB_REASON_MAX)                                                              \
	F(str, volumes, DB_NAMES_MAX) /* that it needs */                                          \
	F(choice, on_stop_failure, stop_failure)                                                   \
	F(flag, fence_wanted, 0) /* failed, and nothing there could prove that it is over */       \
	F(time, fenced_ms, 0)	 /* when a fence began for its sake; 0: never, or forgotten */     \
	F(u32, failover_max, 0) /* failovers within failover_ms; 0: as many as nodes, see age.h */ \
	F(u32, failover_ms, 0)                                                                     \
	F(u32, retry_ms, 0)  /* it is tried again so long after it was given up; 0: never */       \
	F(u32, failovers, 0) /* since failovers_since_ms */                                        \
	F(time, failovers_since_ms, 0) /* of the first of them */                                  \
	F(time, gave_up_ms, 0)	       /* no node is left to try, or it failed too often; 0: no */ \
	F(owners, preferred, 0)	       /* the first of them that can have it gets it */            \
	F(choice, failback, failback)                                                              \
	F(u8, failback_from, 0)	  /* hours: from this one, UTC, */                                 \
	F(u8, failback_to, 0)	  /* until this one begins */                                      \
	F(flag, failback_open, 0) /* it is between them, by the committed clock */                 \
	F(nodes, returned, 0) /* that have come back since it was placed, and may have it back */  \
	F(time, wave_ms, 0)   /* since when it is to be started in its wave; 0: it is in none */   \
	F(node, goal, 0)      /* where it is to be started when it has stopped; CL_NODE_NONE */    \
	F(flag, is_unmanaged, 0) /* nothing of it is started, stopped, moved or recovered */       \
	F(u32, unmanaged, 0)	 /* so many of its resources are unmanaged */                      \
	F(u64, changed, 0) /* log index of the last change of what is wanted of its resources */   \
	F(flag, is_degraded, 0) /* online, and some of its resources have failed */                \
	F(u32, guest_mib, 0)	/* memory in its virtual machine's definition; else 0 */           \
	F(u32, memory_mib, 0)	/* reserved; 0: what its virtual machine needs, or nothing */      \
	F(u32, cpu_pct, 0)	/* reserved, in hundredths of a core */                            \
	DB_NEXT_GROUP_FIELDS(F)

#define DB_RESOURCE_FIELDS(F)                                                                      \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, group, CL_NAME_MAX)                                                                 \
	F(str, agent, DB_AGENT_MAX)                                                                \
	F(u32, position, 0)                                                                        \
	F(choice, work, work)                                                                      \
	F(u32, restarts, 0)                                                                        \
	F(u32, restart_max, 0)                                                                     \
	F(u32, monitor_ms, 0)                                                                      \
	F(u32, start_ms, 0)                                                                        \
	F(u32, stop_ms, 0)                                                                         \
	F(str, reason, DB_REASON_MAX)                                                              \
	F(u32, restart_ms, 0)		/* of restart_max: restarts within it count */             \
	F(time, restarts_since_ms, 0)	/* of the first of `restarts`; 0: there is none */         \
	F(str, depends, DB_DEPENDS_MAX) /* depends.h; "": on none, or on the list */               \
	F(u32, deep_monitor_ms, 0)	/* 0: no deep monitor */                                   \
	F(u8, deep_level, 0)		/* OCF_CHECK_LEVEL of that */                              \
	F(flag, is_stopped, 0)		/* by an administrator: not started with its group */      \
	F(flag, is_unmanaged, 0)	/* watched only */                                         \
	F(choice, asked, resource_ask)	/* of the node that runs it */                             \
	F(u64, asked_at, 0)		/* log index of that */                                    \
	F(str, asked_by, CL_NAME_MAX)                                                              \
	F(u64, task, 0) /* of its start or stop by an administrator; else 0 */

#define DB_PARAM_FIELDS(F)                                                                         \
	F(str, key, DB_KEY_MAX) /* OBJECT/NAME */                                                  \
	F(str, value, DB_VALUE_MAX)

#define DB_TASK_FIELDS(F)                                                                          \
	F(u64, id, 0)                                                                              \
	F(str, verb, DB_VERB_MAX)                                                                  \
	F(str, object, CL_NAME_MAX)                                                                \
	F(choice, state, task_state)                                                               \
	F(str, phase, DB_VERB_MAX)                                                                 \
	F(str, actor, CL_NAME_MAX)                                                                 \
	F(time, created_ms, 0)                                                                     \
	F(time, ended_ms, 0)                                                                       \
	F(u64, deadline_ms, 0)                                                                     \
	F(str, reason, DB_REASON_MAX)

#define DB_EVENT_FIELDS(F)                                                                         \
	F(u64, id, 0)                                                                              \
	F(time, at_ms, 0)                                                                          \
	F(u64, index, 0) /* of the log entry that made it */                                       \
	F(str, kind, DB_VERB_MAX)                                                                  \
	F(str, object, CL_NAME_MAX)                                                                \
	F(str, text, DB_REASON_MAX)

/* key is the node and instance of a client; the newest request that was applied */
#define DB_ORIGIN_FIELDS(F)                                                                        \
	F(u64, slot, 0)                                                                            \
	F(mark, instance, 0)                                                                       \
	F(u64, request, 0)

/* A fence device; its parameters are `param` rows, `plug` is the victim's name unless given. */
#define DB_FENCE_FIELDS(F)                                                                         \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, agent, DB_AGENT_MAX) /* absolute path of a fence-agents program */                  \
	F(u8, level, 0)		    /* 1 is tried first; all devices of a level must succeed */    \
	F(nodes, nodes, 0)	    /* whom it can fence */                                        \
	F(u32, timeout_ms, 0)

/*
 * A shared filesystem on a LUN. Its coordinator is the node that holds `vol:<uuid>` in EX: the only
 * one that may have the filesystem itself mounted.
 */
#define DB_VOLUME_FIELDS(F)                                                                        \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, uuid, DB_UUID_TEXT)                                                                 \
	F(str, device, DB_DEVICE_MAX) /* path of the LUN, the same on every node */                \
	F(choice, work, work)	      /* of its coordinator */                                     \
	F(node, node, 0)	      /* where that is, or is ordered to be; CL_NODE_NONE */       \
	F(mark, incarnation, 0)	      /* of that node, when it was ordered */                      \
	F(u64, lock, 0)		      /* its vol: lock while there is a coordinator, else 0 */     \
	F(u64, order, 0)	      /* log index of the order in force */                        \
	F(u64, term, 0)		      /* log index of the order that made the coordinator */       \
	F(node, wish, 0)	      /* where an administrator wants it; CL_NODE_NONE */          \
	F(nodes, refused, 0)	      /* nodes on which it failed since the last success */        \
	F(u16, port, 0)		      /* where the coordinator serves; 0 unless online */          \
	F(time, since_ms, 0)                                                                       \
	F(u64, task, 0)                                                                            \
	F(u32, failures, 0)                                                                        \
	F(str, reason, DB_REASON_MAX)                                                              \
	F(flag, is_deleting, 0)                                                                    \
	F(flag, fence_wanted, 0)     /* as of a group: of its coordinator */                       \
	F(time, fenced_ms, 0)	     /* as of a group: of its coordinator or a mount */            \
	F(nodes, crashed, 0)	     /* nodes on which it ended unasked too often, for a while */  \
	F(time, refused_since_ms, 0) /* when the last of refused and crashed was added */          \
	F(u32, restarts, 0)	     /* unasked ends on restart_node since restarts_since_ms */    \
	F(time, restarts_since_ms, 0)                                                              \
	F(node, restart_node, 0)                                                                   \
	F(u8, link, 0)		/* of corosync, over which the coordinator of this term serves */  \
	F(nodes, redirected, 0) /* whose mounts shall do no I/O on the LUN themselves */           \
	F(str, redirected_by, CL_NAME_MAX)                                                         \
	F(flag, is_suspended, 0) /* unmounted everywhere, and without a coordinator */             \
	F(str, suspended_by, CL_NAME_MAX)                                                          \
	F(u64, grow, 0)	 /* log index of the wish to take in that the LUN has grown; 0: none */    \
	F(u64, bytes, 0) /* of the file system, when that was done last; 0: never */

/* One node's mount of a volume. Its `mnt:<uuid>` in CR goes with the row and not before. */
#define DB_MOUNT_FIELDS(F)                                                                         \
	F(str, key, DB_KEY_MAX) /* VOLUME/SLOT, the slot in two digits */                          \
	F(str, volume, CL_NAME_MAX)                                                                \
	F(u8, slot, 0)                                                                             \
	F(mark, incarnation, 0) /* of the node */                                                  \
	F(u64, id, 0)		/* of the mount: random, never used again */                       \
	F(u64, lock, 0)		/* its mnt: lock */                                                \
	F(choice, state, mount_state)                                                              \
	F(time, since_ms, 0)                                                                       \
	F(str, reason, DB_REASON_MAX)                                                              \
	F(choice, voice, mount_voice)                                                              \
	F(time, voice_ms, 0)	 /* since when it is so */                                         \
	F(u64, silent_term, 0)	 /* of the coordinator that has said so last */                    \
	F(node, silent_node, 0)	 /* where that was */                                              \
	F(u8, silent_terms, 0)	 /* so many coordinators have said so, one after the other */      \
	F(u8, silent_company, 0) /* mounts that were silent for it then, this one too */           \
	F(str, silence, DB_REASON_MAX)                                                             \
	F(flag, fence_wanted, 0) /* as of a group */                                               \
	F(choice, io, mount_io)	 /* what its process says of itself */                             \
	F(time, io_ms, 0)	 /* since when */                                                  \
	F(u64, io_bytes, 0)	 /* that went through the coordinator instead, at the last word */ \
	F(str, io_reason, DB_REASON_MAX)

/*
 * A virtual machine: the group of its name, whose one resource is of the agent ocf:clusterd:vm. Its
 * virtual CPUs may run only in the process `instance` on the group's node, which holds `vm:<uuid>`
 * in EX for it; `vm:` and `grp:` are taken, moved and dropped together.
 */
#define DB_VM_FIELDS(F)                                                                            \
	F(str, name, CL_NAME_MAX) /* of its group, too */                                          \
	F(str, uuid, DB_UUID_TEXT)                                                                 \
	F(str, definition, DB_PARAMS_MAX) /* JSON */                                               \
	F(u64, lock, 0)			  /* its vm: lock while its group has grp:, else 0 */      \
	F(mark, instance, 0)  /* log index of the order, or id of the migration, that made it */   \
	F(u64, migration, 0)  /* the one under way, else 0 */                                      \
	F(flag, is_paused, 0) /* by an administrator; ends with the run that it is for */          \
	F(time, since_ms, 0)                                                                       \
	F(nodes, tried, 0) /* where it could not be migrated to since it is on its node */         \
	F(u64, job, 0)	   /* that works on its disks, or with them; else 0 */

/* A live migration. Ended ones stay until there is no room. */
#define DB_MIGRATION_FIELDS(F)                                                                     \
	F(u64, id, 0) /* log index of the command that asked for it */                             \
	F(str, vm, CL_NAME_MAX)                                                                    \
	F(u64, task, 0)                                                                            \
	F(node, source, 0)                                                                         \
	F(mark, source_incarnation, 0)                                                             \
	F(node, destination, 0)                                                                    \
	F(mark, destination_incarnation, 0)                                                        \
	F(choice, phase, migration_phase)                                                          \
	F(flag, is_cancelled, 0) /* for good: it is not transferred any more */                    \
	F(u16, port, 0)		 /* where the destination's control channel listens */             \
	F(u64, bandwidth, 0)	 /* bytes per second; 0: no limit */                               \
	F(u64, total, 0)                                                                           \
	F(u64, remaining, 0)                                                                       \
	F(u64, sent, 0)                                                                            \
	F(u32, passes, 0)                                                                          \
	F(u64, rate, 0)                                                                            \
	F(u64, dirty_rate, 0)                                                                      \
	F(u32, downtime_ms, 0)                                                                     \
	F(str, address, DB_ADDRESS_MAX) /* of the peer, really used */                             \
	F(time, since_ms, 0)		/* of its phase */                                         \
	F(str, reason, DB_REASON_MAX)                                                              \
	F(choice, outcome, task_state) /* running until it is known how it ends */                 \
	F(u8, link, 0)		       /* of corosync, over which it goes */

/* A setting that somebody has set (setting.h); without a row its default holds. */
#define DB_SETTING_FIELDS(F)                                                                       \
	F(str, key, DB_KEY_MAX)                                                                    \
	F(str, value, DB_VALUE_MAX)                                                                \
	F(time, since_ms, 0)                                                                       \
	F(str, actor, CL_NAME_MAX)

/*
 * The newest change of what an administrator has set of an object (config.h): key KIND/NAME, and
 * "config" for anything at all. Its index is the object's version.
 */
#define DB_VERSION_FIELDS(F)                                                                       \
	F(str, key, DB_KEY_MAX)                                                                    \
	F(u64, index, 0)                                                                           \
	F(time, at_ms, 0)                                                                          \
	F(str, actor, CL_NAME_MAX)

/* A command of an administrator that was applied. */
#define DB_AUDIT_FIELDS(F)                                                                         \
	F(u64, id, 0)                                                                              \
	F(time, at_ms, 0)                                                                          \
	F(u64, index, 0) /* of its log entry; that of a change as a whole is the same */           \
	F(str, user, CL_NAME_MAX)                                                                  \
	F(u32, uid, 0)                                                                             \
	F(u32, pid, 0)                                                                             \
	F(str, program, CL_NAME_MAX)                                                               \
	F(str, node, CL_NAME_MAX) /* where it was given */                                         \
	F(str, object, DB_KEY_MAX)                                                                 \
	F(str, words, DB_WORDS_MAX)                                                                \
	F(str, reason, DB_REASON_MAX) /* that the administrator gave */

/* The configuration as it was at an index, kept under a name; its text is in its parts. */
#define DB_CHECKPOINT_FIELDS(F)                                                                    \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(time, at_ms, 0)                                                                          \
	F(u64, index, 0)                                                                           \
	F(str, actor, CL_NAME_MAX)                                                                 \
	F(u32, parts, 0)                                                                           \
	F(u32, bytes, 0)

/* Lines of a checkpoint (config.h), as many as fit. */
#define DB_CHECKPOINT_PART_FIELDS(F)                                                               \
	F(str, key, DB_KEY_MAX) /* CHECKPOINT/NUMBER, in five digits from 00000 */                 \
	F(str, text, DB_PARAMS_MAX)

/*
 * A secret by its name; its text is in a file of each node that holds it (edge/secrets.h), nowhere
 * in the database, nor anything made from it.
 */
#define DB_SECRET_FIELDS(F)                                                                        \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(mark, version, 0)  /* random; another each time it is set */                             \
	F(nodes, holders, 0) /* that have this version on disk */                                  \
	F(time, since_ms, 0) /* when it was set */                                                 \
	F(str, actor, CL_NAME_MAX)

/* A network that somebody has set (network.h); without a row its default holds. */
#define DB_NETWORK_FIELDS(F)                                                                       \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u8, roles, 0) /* bit by enum network_role */                                             \
	F(u32, metric, 0)

/* Groups that are to run on one node, or each on another. */
#define DB_AFFINITY_FIELDS(F)                                                                      \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, groups, DB_MEMBERS_MAX)                                                             \
	F(flag, is_apart, 0) /* else together */                                                   \
	F(flag, is_soft, 0)  /* only if something else does not stand against it */                \
	F(time, since_ms, 0)

/* Why the planner gave a group to a node, and not to the others; by the order that says so. */
#define DB_DECISION_FIELDS(F)                                                                      \
	F(u64, id, 0) /* log index of the order */                                                 \
	F(time, at_ms, 0)                                                                          \
	F(str, group, CL_NAME_MAX)                                                                 \
	F(str, action, DB_VERB_MAX)                                                                \
	F(node, node, 0) /* that gets it */                                                        \
	F(choice, rule, rule)                                                                      \
	F(verdicts, verdict, verdict) /* of each node */                                           \
	F(scores, score, 0)	      /* groups that each had, or were on their way there */       \
	F(str, trigger, DB_REASON_MAX)

/* Of which epoch the entries are from that index on; the oldest go when there is no room. */
#define DB_EPOCH_FIELDS(F)                                                                         \
	F(u64, first, 0)                                                                           \
	F(u32, generation, 0)                                                                      \
	F(u64, number, 0)                                                                          \
	F(u8, starter, 0) /* slot */

/*
 * Work on files of disks, done by a process on one node (job.h). What it makes it takes away again
 * when it fails; nothing of it is left when its row goes.
 */
#define DB_JOB_FIELDS(F)                                                                           \
	F(u64, id, 0) /* log index of the command that asked for it */                             \
	F(choice, kind, job_kind)                                                                  \
	F(str, vm, CL_NAME_MAX)	      /* whose disks they are, or will be */                       \
	F(str, source, CL_NAME_MAX)   /* of a clone: whose disks are cloned */                     \
	F(str, snapshot, CL_NAME_MAX) /* its name */                                               \
	F(str, work, DB_PARAMS_MAX)   /* lines for `csvadm job` */                                 \
	F(node, node, 0)	      /* that does it; CL_NODE_NONE: none yet */                   \
	F(mark, incarnation, 0)	      /* of that node */                                           \
	F(mark, instance, 0)	      /* of its clusterd: the next one gets an order of its own */ \
	F(u64, order, 0)	      /* log index of the order in force */                        \
	F(flag, is_undo, 0)	      /* what was made is taken away */                            \
	F(choice, outcome, task_state) /* of the task, when it is undone */                        \
	F(u64, task, 0)                                                                            \
	F(u64, done_bytes, 0)                                                                      \
	F(u64, total_bytes, 0)                                                                     \
	F(time, asked_ms,                                                                          \
	  0) /* with `id` the mark on its files: a history forked may use it anew */               \
	F(time, since_ms, 0)                                                                       \
	F(str, reason, DB_REASON_MAX)

/* Copies of a virtual machine's disks, beside them. */
#define DB_SNAPSHOT_FIELDS(F)                                                                      \
	F(str, key, DB_KEY_MAX) /* VM/NAME */                                                      \
	F(str, vm, CL_NAME_MAX)                                                                    \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(choice, state, snapshot_state)                                                           \
	F(time, at_ms, 0)                                                                          \
	F(str, actor, CL_NAME_MAX)                                                                 \
	F(str, reason, DB_REASON_MAX)                                                              \
	F(flag, is_running, 0)	    /* the virtual machine ran: as after a loss of power */        \
	F(str, work, DB_PARAMS_MAX) /* of the job that made it: which files */

/* KIND(name, NAME, capacity) */
#define DB_KINDS(X)                                                                                \
	X(cluster, CLUSTER, 1)                                                                     \
	X(node, NODE, CL_MAX_NODES)                                                                \
	X(group, GROUP, 4096)                                                                      \
	X(resource, RESOURCE, 8192)                                                                \
	X(param, PARAM, 32768)                                                                     \
	X(task, TASK, 1024)                                                                        \
	X(event, EVENT, 4096)                                                                      \
	X(origin, ORIGIN, CL_MAX_NODES)                                                            \
	X(fence, FENCE, 32)                                                                        \
	X(volume, VOLUME, 64)                                                                      \
	X(mount, MOUNT, 1024) /* 64 * CL_MAX_NODES */                                              \
	X(vm, VM, 4096)                                                                            \
	X(migration, MIGRATION, 256)                                                               \
	X(setting, SETTING, 256)                                                                   \
	X(secret, SECRET, 64)                                                                      \
	X(network, NETWORK, 2)                                                                     \
	X(version, VERSION, 17408) /* of all that has one, and a bit */                            \
	X(audit, AUDIT, 4096)                                                                      \
	X(checkpoint, CHECKPOINT, 32)                                                              \
	X(checkpoint_part, CHECKPOINT_PART, 4096)                                                  \
	X(decision, DECISION, 2048)                                                                \
	X(affinity, AFFINITY, 256)                                                                 \
	X(epoch, EPOCH, 1024)                                                                      \
	X(job, JOB, 256)                                                                           \
	X(snapshot, SNAPSHOT, 1024)

/* ---- commands */
#define DB_CMD_CLUSTER_INIT_FIELDS(F)                                                              \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, uuid, DB_UUID_TEXT)                                                                 \
	F(u32, token_ms, 0) /* of corosync, kept; 0: the cluster's default */

#define DB_CMD_NODE_ADMIT_FIELDS(F)                                                                \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u8, slot, 0)                                                                             \
	F(u32, nodeid, 0)                                                                          \
	F(mark, incarnation, 0)                                                                    \
	F(str, boot, DB_UUID_TEXT)                                                                 \
	F(str, version, CL_NAME_MAX)                                                               \
	F(mark, instance, 0)                                                                       \
	F(u16, version_min, 0)                                                                     \
	F(u16, version_max, 0)

#define DB_CMD_NODE_LOST_FIELDS(F)                                                                 \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(mark, incarnation, 0)

#define DB_CMD_NODE_FENCED_FIELDS(F)                                                               \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(mark, incarnation, 0)                                                                    \
	F(str, how, DB_REASON_MAX)

#define DB_CMD_NODE_PAUSE_FIELDS(F)                                                                \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(flag, pause, 0)                                                                          \
	F(flag, drain, 0)

#define DB_CMD_GROUP_CREATE_FIELDS(F)                                                              \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(nodes, possible, 0)                                                                      \
	F(u8, priority, 0)                                                                         \
	F(str, volumes, DB_NAMES_MAX)                                                              \
	F(owners, preferred, 0)                                                                    \
	F(choice, failback, failback)                                                              \
	F(u8, failback_from, 0)                                                                    \
	F(u8, failback_to, 0)

#define DB_CMD_GROUP_DELETE_FIELDS(F) F(str, name, CL_NAME_MAX)

#define DB_CMD_GROUP_INTENT_FIELDS(F)                                                              \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(choice, intent, intent)                                                                  \
	F(node, wish, 0)                                                                           \
	F(str, verb, DB_VERB_MAX)

#define DB_CMD_RESOURCE_CREATE_FIELDS(F)                                                           \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, group, CL_NAME_MAX)                                                                 \
	F(str, agent, DB_AGENT_MAX)                                                                \
	F(u32, restart_max, 0)                                                                     \
	F(u32, monitor_ms, 0)                                                                      \
	F(u32, start_ms, 0)                                                                        \
	F(u32, stop_ms, 0)                                                                         \
	F(str, params, DB_PARAMS_MAX) /* lines NAME=VALUE */                                       \
	F(u32, restart_ms, 0)	      /* 0: AGE_RESTART_MS */                                      \
	F(str, depends, DB_DEPENDS_MAX)                                                            \
	F(u32, deep_monitor_ms, 0)                                                                 \
	F(u8, deep_level, 0)

#define DB_CMD_RESOURCE_DELETE_FIELDS(F) F(str, name, CL_NAME_MAX)

#define DB_CMD_PARAM_SET_FIELDS(F)                                                                 \
	F(str, key, DB_KEY_MAX)                                                                    \
	F(str, value, DB_VALUE_MAX)

/* An order of the planner: bring the group into `work` (starting or stopping) on `node`. */
#define DB_CMD_GROUP_ORDER_FIELDS(F)                                                               \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(choice, work, work)                                                                      \
	F(node, node, 0)                                                                           \
	F(mark, incarnation, 0)                                                                    \
	F(u64, previous, 0) /* the order that it replaces; else it is void */                      \
	F(str, reason, DB_REASON_MAX)                                                              \
	F(node, goal, 0) /* of a stop: where it shall be started then; CL_NODE_NONE: nowhere */    \
	F(choice, rule, rule)                                                                      \
	F(verdicts, verdict, verdict)                                                              \
	F(scores, score, 0)

/* What became of the order, from the node that carried it out. */
#define DB_CMD_GROUP_REPORT_FIELDS(F)                                                              \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u64, order, 0)                                                                           \
	F(choice, work, work)                                                                      \
	F(str, reason, DB_REASON_MAX)

#define DB_CMD_RESOURCE_REPORT_FIELDS(F)                                                           \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u64, order, 0)                                                                           \
	F(choice, work, work)                                                                      \
	F(flag, restarted, 0)                                                                      \
	F(str, reason, DB_REASON_MAX)                                                              \
	F(u64, asked, 0) /* `asked_at` of what has been carried out; 0: nothing */

#define DB_CMD_TASK_CANCEL_FIELDS(F) F(u64, id, 0)

/* First is_done false: take everything off it; then true: it runs and holds nothing any more. */
#define DB_CMD_NODE_LEAVE_FIELDS(F)                                                                \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(mark, incarnation, 0)                                                                    \
	F(flag, is_done, 0)

/* It is asked to leave, as a task; then, if need be: what has not been moved by now is stopped. */
#define DB_CMD_NODE_DEPART_FIELDS(F)                                                               \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(mark, incarnation, 0)                                                                    \
	F(flag, is_time_over, 0)

#define DB_CMD_FENCE_CREATE_FIELDS(F)                                                              \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, agent, DB_AGENT_MAX)                                                                \
	F(u8, level, 0)                                                                            \
	F(nodes, nodes, 0)                                                                         \
	F(u32, timeout_ms, 0)                                                                      \
	F(str, params, DB_PARAMS_MAX)

#define DB_CMD_FENCE_DELETE_FIELDS(F) F(str, name, CL_NAME_MAX)

/* The fence of that incarnation begins; committed before anything is sent. */
#define DB_CMD_NODE_FENCING_FIELDS(F)                                                              \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(mark, incarnation, 0)                                                                    \
	F(flag, by_admin, 0)

/* A line of the history: an attempt, or why it does not get on. */
#define DB_CMD_FENCE_NOTE_FIELDS(F)                                                                \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, kind, DB_VERB_MAX)                                                                  \
	F(str, text, DB_REASON_MAX)

#define DB_CMD_VOLUME_CREATE_FIELDS(F)                                                             \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, uuid, DB_UUID_TEXT)                                                                 \
	F(str, device, DB_DEVICE_MAX)

#define DB_CMD_VOLUME_DELETE_FIELDS(F) F(str, name, CL_NAME_MAX)

/* A node: the coordinator shall move there. CL_NODE_NONE: failures are forgotten, try again. */
#define DB_CMD_VOLUME_INTENT_FIELDS(F)                                                             \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(node, wish, 0)                                                                           \
	F(str, verb, DB_VERB_MAX)

/* An order of the planner; starting makes the coordinator of the term that is its log index. */
#define DB_CMD_VOLUME_ORDER_FIELDS(F)                                                              \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(choice, work, work)                                                                      \
	F(node, node, 0)                                                                           \
	F(mark, incarnation, 0)                                                                    \
	F(u64, previous, 0) /* the order that it replaces; else it is void */                      \
	F(str, reason, DB_REASON_MAX)

/*
 * What became of the order, from the node that carried it out. ONLINE: serves at `port`. OFFLINE:
 * the coordinator has provably ended. FAILED while starting: so too, and it could not start there.
 * FAILED otherwise, and UNKNOWN: nobody knows whether the filesystem is still mounted.
 */
#define DB_CMD_VOLUME_REPORT_FIELDS(F)                                                             \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u64, order, 0)                                                                           \
	F(choice, work, work)                                                                      \
	F(u16, port, 0)                                                                            \
	F(str, reason, DB_REASON_MAX)

/* The node begins a mount under a new id; nothing is mounted before this is applied. */
#define DB_CMD_MOUNT_SET_FIELDS(F)                                                                 \
	F(str, volume, CL_NAME_MAX)                                                                \
	F(u8, slot, 0)                                                                             \
	F(mark, incarnation, 0)                                                                    \
	F(u64, id, 0)

#define DB_CMD_MOUNT_REPORT_FIELDS(F)                                                              \
	F(str, volume, CL_NAME_MAX)                                                                \
	F(u8, slot, 0)                                                                             \
	F(u64, id, 0)                                                                              \
	F(str, reason, DB_REASON_MAX)

/* Its process and its FUSE connection are provably over. */
/*
 * The coordinator of that term waits for the mount, or does not any more; STUCK: from its own node.
 * What follows from it says volume_silence().
 */
#define DB_CMD_MOUNT_VOICE_FIELDS(F)                                                               \
	F(str, volume, CL_NAME_MAX)                                                                \
	F(u8, slot, 0)                                                                             \
	F(u64, id, 0)                                                                              \
	F(u64, term, 0)                                                                            \
	F(choice, voice, mount_voice)                                                              \
	F(u8, company, 0)                                                                          \
	F(str, reason, DB_REASON_MAX)

#define DB_CMD_MOUNT_GONE_FIELDS(F)                                                                \
	F(str, volume, CL_NAME_MAX)                                                                \
	F(u8, slot, 0)                                                                             \
	F(mark, incarnation, 0)                                                                    \
	F(u64, id, 0)                                                                              \
	F(str, reason, DB_REASON_MAX)

/* The coordinator of exactly that term has dropped everything of a mount that is gone. */
#define DB_CMD_VOLUME_RECOVERED_FIELDS(F)                                                          \
	F(str, volume, CL_NAME_MAX)                                                                \
	F(u64, term, 0)                                                                            \
	F(u8, slot, 0)                                                                             \
	F(mark, incarnation, 0)                                                                    \
	F(u64, id, 0)

/* Makes the group, its resource and the row `vm`: all of them or nothing. */
#define DB_CMD_VM_CREATE_FIELDS(F)                                                                 \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, uuid, DB_UUID_TEXT)                                                                 \
	F(str, definition, DB_PARAMS_MAX)                                                          \
	F(str, volumes, DB_NAMES_MAX)                                                              \
	F(nodes, possible, 0)                                                                      \
	F(u8, priority, 0)                                                                         \
	F(u32, restart_max, 0)                                                                     \
	F(u32, monitor_ms, 0)                                                                      \
	F(u32, start_ms, 0)                                                                        \
	F(u32, stop_ms, 0)                                                                         \
	F(u32, restart_ms, 0) /* 0: AGE_RESTART_MS */                                              \
	F(owners, preferred, 0)                                                                    \
	F(choice, failback, failback)                                                              \
	F(u8, failback_from, 0)                                                                    \
	F(u8, failback_to, 0)

#define DB_CMD_VM_DELETE_FIELDS(F) F(str, name, CL_NAME_MAX)

#define DB_CMD_VM_SET_PAUSED_FIELDS(F)                                                             \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(flag, pause, 0)

/* Asks for a live migration: by an administrator (previous 0), or by the planner. */
#define DB_CMD_VM_MIGRATE_FIELDS(F)                                                                \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(node, to, 0)                                                                             \
	F(u64, bandwidth, 0)                                                                       \
	F(str, verb, DB_VERB_MAX)                                                                  \
	F(u64, previous, 0) /* planner: the group's order in force; else it is void */             \
	F(flag, begin, 0)   /* need not wait in the queue if the pair of nodes is free */          \
	F(str, reason, DB_REASON_MAX)                                                              \
	F(choice, rule, rule) /* planner, as of group_order */                                     \
	F(verdicts, verdict, verdict)                                                              \
	F(scores, score, 0)

/* The planner: a queued migration begins (phase setup), or cannot any more (ended). */
#define DB_CMD_MIGRATION_ORDER_FIELDS(F)                                                           \
	F(u64, id, 0)                                                                              \
	F(choice, phase, migration_phase)                                                          \
	F(str, reason, DB_REASON_MAX)

/* How it gets on, from either side. */
#define DB_CMD_MIGRATION_REPORT_FIELDS(F)                                                          \
	F(u64, id, 0)                                                                              \
	F(u8, slot, 0) /* of the node that reports */                                              \
	F(mark, incarnation, 0)                                                                    \
	F(choice, phase, migration_phase)                                                          \
	F(u16, port, 0)                                                                            \
	F(u64, total, 0)                                                                           \
	F(u64, remaining, 0)                                                                       \
	F(u64, sent, 0)                                                                            \
	F(u32, passes, 0)                                                                          \
	F(u64, rate, 0)                                                                            \
	F(u64, dirty_rate, 0)                                                                      \
	F(u32, downtime_ms, 0)                                                                     \
	F(str, address, DB_ADDRESS_MAX)                                                            \
	F(str, reason, DB_REASON_MAX)

/* The point of no return: both locks and the right to run go to the destination. */
#define DB_CMD_MIGRATION_TRANSFER_FIELDS(F)                                                        \
	F(u64, id, 0)                                                                              \
	F(mark, source_incarnation, 0)

/* Success: from the destination, when it runs there. Else from either side, before the transfer. */
#define DB_CMD_MIGRATION_END_FIELDS(F)                                                             \
	F(u64, id, 0)                                                                              \
	F(u8, slot, 0) /* of the node that says so */                                              \
	F(mark, incarnation, 0)                                                                    \
	F(flag, is_success, 0)                                                                     \
	F(u32, downtime_ms, 0)                                                                     \
	F(str, reason, DB_REASON_MAX)

/* One that has not run here yet. It gets the lowest free slot, and no vote before it has caught up.
 */
#define DB_CMD_NODE_ADD_FIELDS(F)                                                                  \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u32, nodeid, 0) /* 0: the lowest free one */                                             \
	F(str, address0, DB_ADDRESS_MAX)                                                           \
	F(str, address1, DB_ADDRESS_MAX)

/* It leaves the cluster for good. Only one that runs nothing, provably. */
#define DB_CMD_NODE_EVICT_FIELDS(F) F(str, name, CL_NAME_MAX)

/*
 * A member of the table, and where corosync has it, as the sequencer's corosync.conf says. It gets
 * a row, if it has none.
 */
#define DB_CMD_NODE_ADDRESS_FIELDS(F)                                                              \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u8, slot, 0)                                                                             \
	F(u32, nodeid, 0)                                                                          \
	F(str, address0, DB_ADDRESS_MAX) /* "": not known */                                       \
	F(str, address1, DB_ADDRESS_MAX)

/* From the node itself. */
#define DB_CMD_NODE_CONF_FIELDS(F)                                                                 \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(mark, incarnation, 0)                                                                    \
	F(u64, written, 0)                                                                         \
	F(u64, running, 0)                                                                         \
	F(str, reason, DB_REASON_MAX)	/* why it cannot be written; "": it was */                 \
	F(str, replaced, DB_REASON_MAX) /* what was different in it, if there was something */

/* An evicted node has no row in the member table any more. */
#define DB_CMD_NODE_REMOVED_FIELDS(F) F(str, name, CL_NAME_MAX)

/*
 * From the node itself: it has killed what it could, and cannot prove that the group, the
 * volume's coordinator or the volume's mount there is over.
 */
#define DB_CMD_FENCE_ASK_FIELDS(F)                                                                 \
	F(str, name, CL_NAME_MAX) /* of the node */                                                \
	F(mark, incarnation, 0)                                                                    \
	F(str, group, CL_NAME_MAX) /* else the volume */                                           \
	F(str, volume, CL_NAME_MAX)                                                                \
	F(flag, is_mount, 0) /* of the volume, else its coordinator */                             \
	F(u64, order, 0)     /* in force; of a mount its id */                                     \
	F(str, reason, DB_REASON_MAX)

/* Numbers of DB_KEEP, and on_stop_failure if it is kept, stay as they are. */
#define DB_CMD_GROUP_SET_FIELDS(F)                                                                 \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(choice, on_stop_failure, stop_failure)                                                   \
	F(flag, keeps_stop_failure, 0)                                                             \
	F(u32, failover_max, 0)                                                                    \
	F(u32, failover_ms, 0) /* 0: AGE_FAILOVER_MS */                                            \
	F(u32, retry_ms, 0)

/* From the sequencer, when something that ages has waited for its time (age.h), else never. */
#define DB_CMD_CLOCK_FIELDS(F) F(time, now_ms, 0)

/* An empty value: its default holds again. */
#define DB_CMD_SETTING_SET_FIELDS(F)                                                               \
	F(str, key, DB_KEY_MAX)                                                                    \
	F(str, value, DB_VALUE_MAX)

/* A line of the history: a change of votes that is committed, and why it was made. */
#define DB_CMD_VOTE_NOTE_FIELDS(F)                                                                 \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(flag, is_given, 0)                                                                       \
	F(str, text, DB_REASON_MAX)

/* Which witness the cluster is to have. Votes follow, one by one. */
#define DB_CMD_QUORUM_MODE_FIELDS(F)                                                               \
	F(choice, mode, quorum_mode)                                                               \
	F(str, witness, DB_UUID_TEXT)                                                              \
	F(str, device, DB_DEVICE_MAX)                                                              \
	F(u32, io_ms, 0)

/*
 * What an administrator asks for: one command or several, which follow behind these fields
 * (db_change_encode()) and are applied all or none; and who asks, when, from where, why. The only
 * command that others stand in.
 */
#define DB_CMD_CHANGE_FIELDS(F)                                                                    \
	F(str, user, CL_NAME_MAX)                                                                  \
	F(u32, uid, 0)                                                                             \
	F(u32, pid, 0)                                                                             \
	F(str, program, CL_NAME_MAX)                                                               \
	F(str, node, CL_NAME_MAX)                                                                  \
	F(str, reason, DB_REASON_MAX)                                                              \
	F(str, object, DB_KEY_MAX) /* that has to have if_version still: key of a `version` */     \
	F(u64, if_version, 0)	   /* DB_ANY_VERSION: whatever it has */

/* One field of what may be configured (config.h), as text; or a parameter, params.NAME. */
#define DB_CMD_CONFIG_SET_FIELDS(F)                                                                \
	F(str, kind, DB_VERB_MAX)                                                                  \
	F(str, name, DB_KEY_MAX)                                                                   \
	F(str, field, DB_FIELD_MAX)                                                                \
	F(str, value, DB_PARAMS_MAX)

/* A parameter goes: field is params.NAME. */
#define DB_CMD_CONFIG_UNSET_FIELDS(F)                                                              \
	F(str, kind, DB_VERB_MAX)                                                                  \
	F(str, name, DB_KEY_MAX)                                                                   \
	F(str, field, DB_FIELD_MAX)

/* Keeps the configuration, as it is when this is applied. */
#define DB_CMD_CHECKPOINT_CREATE_FIELDS(F) F(str, name, CL_NAME_MAX)

#define DB_CMD_CHECKPOINT_DELETE_FIELDS(F) F(str, name, CL_NAME_MAX)

/* A line of the history: what a node held and the cluster does not is kept in a file there. */
#define DB_CMD_HISTORY_SAVED_FIELDS(F)                                                             \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u64, after, 0) /* the index up to which it is the cluster's history */                   \
	F(u64, entries, 0)                                                                         \
	F(str, file, DB_DEVICE_MAX)

/* An administrator says that this incarnation can do nothing any more. Nobody has looked. */
#define DB_CMD_NODE_DOWN_FIELDS(F)                                                                 \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(mark, incarnation, 0)

/* Where a group shall run. What keeps_ names, a set of none, and DB_KEEP stay as they are. */
#define DB_CMD_GROUP_PLACE_FIELDS(F)                                                               \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(nodes, possible, 0)                                                                      \
	F(u32, priority, 0)                                                                        \
	F(flag, keeps_preferred, 0)                                                                \
	F(owners, preferred, 0)                                                                    \
	F(flag, keeps_failback, 0)                                                                 \
	F(choice, failback, failback)                                                              \
	F(u8, failback_from, 0)                                                                    \
	F(u8, failback_to, 0)

#define DB_CMD_AFFINITY_CREATE_FIELDS(F)                                                           \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, groups, DB_MEMBERS_MAX)                                                             \
	F(flag, is_apart, 0)                                                                       \
	F(flag, is_soft, 0)

#define DB_CMD_AFFINITY_DELETE_FIELDS(F) F(str, name, CL_NAME_MAX)

/* What it was lost for is mended: it is a node like any other again, and its losses are forgotten.
 */
#define DB_CMD_NODE_QUARANTINE_CLEAR_FIELDS(F) F(str, name, CL_NAME_MAX)

/* The node's corosync.conf has other times than the cluster wants, and is not the cluster's yet. */
#define DB_CMD_CONF_ADOPT_FIELDS(F)                                                                \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, differs, DB_REASON_MAX)

#define DB_CMD_NETWORK_SET_FIELDS(F)                                                               \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u8, roles, 0)                                                                            \
	F(flag, keeps_roles, 0)                                                                    \
	F(u32, metric, 0) /* DB_KEEP: stays */

/* A line of the history: what a node found wrong with its database, and what it did about it. */
#define DB_CMD_DB_NOTE_FIELDS(F)                                                                   \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(choice, note, note)                                                                      \
	F(str, text, DB_REASON_MAX)

/*
 * Numbers of DB_KEEP stay as they are, and so does `depends` if it is kept. `params` are lines:
 * NAME=VALUE sets one, NAME takes one away.
 */
#define DB_CMD_RESOURCE_SET_FIELDS(F)                                                              \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u32, restart_max, 0)                                                                     \
	F(u32, restart_ms, 0)                                                                      \
	F(u32, monitor_ms, 0)                                                                      \
	F(u32, start_ms, 0)                                                                        \
	F(u32, stop_ms, 0)                                                                         \
	F(u32, deep_monitor_ms, 0)                                                                 \
	F(u8, deep_level, 0) /* of deep_monitor_ms, unless that is kept */                         \
	F(str, depends, DB_DEPENDS_MAX)                                                            \
	F(flag, keeps_depends, 0)                                                                  \
	F(str, params, DB_PARAMS_MAX)                                                              \
	F(flag, is_reloadable, 0) /* the agent takes these parameters while it runs */

/* Hands a group, or one resource, to the administrator, or back to the cluster. */
#define DB_CMD_RESOURCE_MANAGE_FIELDS(F)                                                           \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(flag, is_group, 0)                                                                       \
	F(flag, is_unmanaged, 0)

/* Whether the resource runs where and when its group does. */
#define DB_CMD_RESOURCE_INTENT_FIELDS(F)                                                           \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(choice, intent, intent)

/* Failures are forgotten: of the resource, or of the group and all of its resources. */
#define DB_CMD_RESOURCE_CLEAR_FIELDS(F)                                                            \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(flag, is_group, 0)

/* As if its monitor had failed. */
#define DB_CMD_RESOURCE_FAIL_FIELDS(F) F(str, name, CL_NAME_MAX)

/* Its text is on the disk of that node already. */
#define DB_CMD_SECRET_SET_FIELDS(F)                                                                \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(mark, version, 0)                                                                        \
	F(u8, slot, 0)

/* Refused while a parameter names it. */
#define DB_CMD_SECRET_DELETE_FIELDS(F) F(str, name, CL_NAME_MAX)

/* From the node itself: it has this version on disk, or has it no more. */
#define DB_CMD_SECRET_HELD_FIELDS(F)                                                               \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(mark, version, 0)                                                                        \
	F(u8, slot, 0)                                                                             \
	F(flag, is_held, 0)

/* From the node itself, when it is admitted: what it has. */
#define DB_CMD_NODE_CAPACITY_FIELDS(F)                                                             \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(mark, incarnation, 0)                                                                    \
	F(u32, memory_mib, 0)                                                                      \
	F(u32, cores, 0)

/* What an administrator says it has room for. DB_KEEP: as it was; 0: as the node says. */
#define DB_CMD_NODE_SET_FIELDS(F)                                                                  \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u32, memory_mib, 0)                                                                      \
	F(u32, cpu_pct, 0)

/* What a group reserves. DB_KEEP: as it was; memory of 0: what its virtual machine needs. */
#define DB_CMD_GROUP_RESERVE_FIELDS(F)                                                             \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u32, memory_mib, 0)                                                                      \
	F(u32, cpu_pct, 0)

/* Every node shall work under that version from now on: there is no way back. */
#define DB_CMD_CLUSTER_UPGRADE_FIELDS(F) F(u16, version, 0)

/*
 * Work on the disks of that virtual machine begins, as a task; a snapshot gets its row. What it
 * has to be: making and cloning, one that was made in the same change.
 */
#define DB_CMD_VM_JOB_FIELDS(F)                                                                    \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(choice, kind, job_kind)                                                                  \
	F(str, source, CL_NAME_MAX)                                                                \
	F(str, snapshot, CL_NAME_MAX)                                                              \
	F(str, work, DB_PARAMS_MAX)                                                                \
	F(str, verb, DB_VERB_MAX)                                                                  \
	F(str, reason, DB_REASON_MAX)

/* An order of the planner: that node does it, or takes back what was done. */
#define DB_CMD_JOB_ORDER_FIELDS(F)                                                                 \
	F(u64, id, 0)                                                                              \
	F(node, node, 0)                                                                           \
	F(mark, incarnation, 0)                                                                    \
	F(u64, previous, 0) /* the order that it replaces; else it is void */                      \
	F(flag, is_undo, 0)                                                                        \
	F(str, reason, DB_REASON_MAX)

/* From the node that does it: how far it is, and how it ended. */
#define DB_CMD_JOB_REPORT_FIELDS(F)                                                                \
	F(u64, id, 0)                                                                              \
	F(u64, order, 0)                                                                           \
	F(u64, done_bytes, 0)                                                                      \
	F(u64, total_bytes, 0)

#define DB_CMD_JOB_END_FIELDS(F)                                                                   \
	F(u64, id, 0)                                                                              \
	F(u64, order, 0)                                                                           \
	F(flag, is_success, 0)                                                                     \
	F(flag, was_running, 0) /* the virtual machine ran, and was kept still */                  \
	F(str, reason, DB_REASON_MAX)

/* Those nodes' I/O goes through the coordinator from now on, or no more. */
#define DB_CMD_VOLUME_REDIRECT_FIELDS(F)                                                           \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(nodes, nodes, 0)                                                                         \
	F(flag, is_on, 0)

/* All that needs it is stopped, and it is unmounted everywhere; or that is over. */
#define DB_CMD_VOLUME_SUSPEND_FIELDS(F)                                                            \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(flag, is_suspended, 0)

/* The LUN has grown: the coordinator takes that in, as a task; and what came of it. */
#define DB_CMD_VOLUME_GROW_FIELDS(F) F(str, name, CL_NAME_MAX)

#define DB_CMD_VOLUME_GROWN_FIELDS(F)                                                              \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(u64, term, 0)                                                                            \
	F(u64, grow, 0)                                                                            \
	F(flag, is_success, 0)                                                                     \
	F(u64, bytes, 0)                                                                           \
	F(str, reason, DB_REASON_MAX)

/* From the node: what its mount says of itself. */
#define DB_CMD_MOUNT_IO_FIELDS(F)                                                                  \
	F(str, volume, CL_NAME_MAX)                                                                \
	F(u8, slot, 0)                                                                             \
	F(u64, id, 0)                                                                              \
	F(choice, io, mount_io)                                                                    \
	F(u64, bytes, 0)                                                                           \
	F(str, reason, DB_REASON_MAX)

#define DB_COMMANDS(X)                                                                             \
	X(1, cluster_init, CLUSTER_INIT)                                                           \
	X(2, node_admit, NODE_ADMIT)                                                               \
	X(3, node_lost, NODE_LOST)                                                                 \
	X(4, node_fenced, NODE_FENCED)                                                             \
	X(5, node_pause, NODE_PAUSE)                                                               \
	X(6, group_create, GROUP_CREATE)                                                           \
	X(7, group_delete, GROUP_DELETE)                                                           \
	X(8, group_intent, GROUP_INTENT)                                                           \
	X(9, resource_create, RESOURCE_CREATE)                                                     \
	X(10, resource_delete, RESOURCE_DELETE)                                                    \
	X(11, param_set, PARAM_SET)                                                                \
	X(12, group_order, GROUP_ORDER)                                                            \
	X(13, group_report, GROUP_REPORT)                                                          \
	X(14, resource_report, RESOURCE_REPORT)                                                    \
	X(15, task_cancel, TASK_CANCEL)                                                            \
	X(16, node_leave, NODE_LEAVE)                                                              \
	X(17, fence_create, FENCE_CREATE)                                                          \
	X(18, fence_delete, FENCE_DELETE)                                                          \
	X(19, node_fencing, NODE_FENCING)                                                          \
	X(20, fence_note, FENCE_NOTE)                                                              \
	X(21, volume_create, VOLUME_CREATE)                                                        \
	X(22, volume_delete, VOLUME_DELETE)                                                        \
	X(23, volume_intent, VOLUME_INTENT)                                                        \
	X(24, volume_order, VOLUME_ORDER)                                                          \
	X(25, volume_report, VOLUME_REPORT)                                                        \
	X(26, mount_set, MOUNT_SET)                                                                \
	X(27, mount_report, MOUNT_REPORT)                                                          \
	X(28, mount_gone, MOUNT_GONE)                                                              \
	X(29, volume_recovered, VOLUME_RECOVERED)                                                  \
	X(30, vm_create, VM_CREATE)                                                                \
	X(31, vm_delete, VM_DELETE)                                                                \
	X(32, vm_set_paused, VM_SET_PAUSED)                                                        \
	X(33, vm_migrate, VM_MIGRATE)                                                              \
	X(34, migration_order, MIGRATION_ORDER)                                                    \
	X(35, migration_report, MIGRATION_REPORT)                                                  \
	X(36, migration_transfer, MIGRATION_TRANSFER)                                              \
	X(37, migration_end, MIGRATION_END)                                                        \
	X(38, fence_ask, FENCE_ASK)                                                                \
	X(39, group_set, GROUP_SET)                                                                \
	X(40, node_add, NODE_ADD)                                                                  \
	X(41, node_evict, NODE_EVICT)                                                              \
	X(42, node_address, NODE_ADDRESS)                                                          \
	X(43, node_conf, NODE_CONF)                                                                \
	X(44, node_removed, NODE_REMOVED)                                                          \
	X(45, setting_set, SETTING_SET)                                                            \
	X(46, vote_note, VOTE_NOTE)                                                                \
	X(47, mount_voice, MOUNT_VOICE)                                                            \
	X(48, clock, CLOCK)                                                                        \
	X(49, quorum_mode, QUORUM_MODE)                                                            \
	X(53, history_saved, HISTORY_SAVED)                                                        \
	X(54, node_down, NODE_DOWN)                                                                \
	X(56, db_note, DB_NOTE)                                                                    \
	X(58, change, CHANGE)                                                                      \
	X(59, config_set, CONFIG_SET)                                                              \
	X(60, config_unset, CONFIG_UNSET)                                                          \
	X(61, checkpoint_create, CHECKPOINT_CREATE)                                                \
	X(62, checkpoint_delete, CHECKPOINT_DELETE)                                                \
	X(63, resource_set, RESOURCE_SET)                                                          \
	X(64, resource_manage, RESOURCE_MANAGE)                                                    \
	X(65, resource_intent, RESOURCE_INTENT)                                                    \
	X(66, resource_clear, RESOURCE_CLEAR)                                                      \
	X(67, resource_fail, RESOURCE_FAIL)                                                        \
	X(68, group_place, GROUP_PLACE)                                                            \
	X(69, affinity_create, AFFINITY_CREATE)                                                    \
	X(70, affinity_delete, AFFINITY_DELETE)                                                    \
	X(73, node_quarantine_clear, NODE_QUARANTINE_CLEAR)                                        \
	X(74, conf_adopt, CONF_ADOPT)                                                              \
	X(75, network_set, NETWORK_SET)                                                            \
	X(78, secret_set, SECRET_SET)                                                              \
	X(79, secret_delete, SECRET_DELETE)                                                        \
	X(80, secret_held, SECRET_HELD)                                                            \
	X(81, node_capacity, NODE_CAPACITY)                                                        \
	X(82, node_set, NODE_SET)                                                                  \
	X(83, group_reserve, GROUP_RESERVE)                                                        \
	X(84, vm_job, VM_JOB)                                                                      \
	X(85, job_order, JOB_ORDER)                                                                \
	X(86, node_depart, NODE_DEPART)                                                            \
	X(87, job_report, JOB_REPORT)                                                              \
	X(88, cluster_upgrade, CLUSTER_UPGRADE)                                                    \
	X(90, job_end, JOB_END)                                                                    \
	X(91, volume_redirect, VOLUME_REDIRECT)                                                    \
	X(92, volume_suspend, VOLUME_SUSPEND)                                                      \
	X(93, mount_io, MOUNT_IO)                                                                  \
	X(94, volume_grow, VOLUME_GROW)                                                            \
	X(95, volume_grown, VOLUME_GROWN)                                                          \
	DB_NEXT_COMMANDS(X)

/* ---- structs */
#define DB_CTYPE_str(name, arg)	     char name[arg];
#define DB_CTYPE_u8(name, arg)	     uint8_t name;
#define DB_CTYPE_u16(name, arg)	     uint16_t name;
#define DB_CTYPE_u32(name, arg)	     uint32_t name;
#define DB_CTYPE_u64(name, arg)	     uint64_t name;
#define DB_CTYPE_node(name, arg)     uint8_t name;
#define DB_CTYPE_nodes(name, arg)    uint16_t name;
#define DB_CTYPE_owners(name, arg)   uint8_t name[CL_MAX_NODES];
#define DB_CTYPE_verdicts(name, arg) uint8_t name[CL_MAX_NODES];
#define DB_CTYPE_scores(name, arg)   uint32_t name[CL_MAX_NODES];
#define DB_CTYPE_time(name, arg)     uint64_t name;
#define DB_CTYPE_mark(name, arg)     uint64_t name;
#define DB_CTYPE_flag(name, arg)     bool name;
#define DB_CTYPE_choice(name, arg)   uint8_t name;
#define DB_FIELD(type, name, arg)    DB_CTYPE_##type(name, arg)

#define DB_ROW_STRUCT(name, NAME, capacity)                                                        \
	struct db_##name {                                                                         \
		DB_##NAME##_FIELDS(DB_FIELD)                                                       \
	};
DB_KINDS(DB_ROW_STRUCT)
#undef DB_ROW_STRUCT

#define DB_CMD_STRUCT(number, name, NAME)                                                          \
	struct db_cmd_##name {                                                                     \
		DB_CMD_##NAME##_FIELDS(DB_FIELD)                                                   \
	};
DB_COMMANDS(DB_CMD_STRUCT)
#undef DB_CMD_STRUCT

enum db_kind {
#define DB_KIND_ENUM(name, NAME, capacity) DB_KIND_##NAME,
	DB_KINDS(DB_KIND_ENUM)
#undef DB_KIND_ENUM
		DB_KIND_MAX,
};

enum db_cmd_type {
#define DB_CMD_ENUM(number, name, NAME) DB_CMD_##NAME = (number),
	DB_COMMANDS(DB_CMD_ENUM)
#undef DB_CMD_ENUM
		DB_CMD_MAX,
};

/*
 * A command with who wants it and when; `at_ms` is wall-clock time of the proposer. `version` is
 * the one in whose format it is written: that in force where it is proposed, 0 for DB_VERSION_MAX.
 */
struct db_command {
	enum db_cmd_type type;
	uint8_t version;
	uint64_t at_ms;
	char actor[CL_NAME_MAX];
	union {
#define DB_CMD_MEMBER(number, name, NAME) struct db_cmd_##name name;
		DB_COMMANDS(DB_CMD_MEMBER)
#undef DB_CMD_MEMBER
	};
};

/* ---- descriptors, for generic code */
enum db_type {
	DB_TYPE_str,
	DB_TYPE_u8,
	DB_TYPE_u16,
	DB_TYPE_u32,
	DB_TYPE_u64,
	DB_TYPE_node,
	DB_TYPE_nodes,
	DB_TYPE_owners,
	DB_TYPE_verdicts,
	DB_TYPE_scores,
	DB_TYPE_time,
	DB_TYPE_mark,
	DB_TYPE_flag,
	DB_TYPE_choice
};

struct db_field {
	const char *name;
	enum db_type type;
	uint16_t offset;
	uint16_t size;		  /* of the member */
	const char *const *words; /* choice and verdicts: the words, by value */
	uint8_t word_count;
};

struct db_shape {
	const char *name;
	const struct db_field *field;
	uint8_t field_count;
	uint32_t size;	   /* of the struct */
	uint32_t capacity; /* rows only */
};

const struct db_shape *db_kind_shape(enum db_kind kind);
/* The word of a choice in a row; "?" for what is none. */
const char *db_choice_word(enum db_kind kind, const char *field, uint8_t value);
/* NULL for a number that is no command. */
const struct db_shape *db_command_shape(uint16_t type);

struct wire_reader;
struct wire_writer;
/* Of which version on there is such a row or command; 0: of the first. */
uint16_t db_shape_since(const struct db_shape *shape);
/* How many of its fields that version has: the first ones. */
uint8_t db_shape_fields(const struct db_shape *shape, uint16_t version);
/* The version that a field needs, 0: any; and a command, by its kind and the fields that it fills.
 */
uint16_t db_field_since(const struct db_shape *shape, const struct db_field *field);
uint16_t db_command_needs(const struct db_command *cmd);
/*
 * One struct, field by field, as that version has it; of fields that it does not have the reader
 * makes 0. The reader fails on a choice or flag out of range.
 */
void db_shape_put(struct wire_writer *w, const struct db_shape *shape, uint16_t version,
		  const void *row);
void db_shape_get(struct wire_reader *r, const struct db_shape *shape, uint16_t version, void *row);
/*
 * A command as payload of a log entry. Returns 0, -ENOBUFS, or (*ret untouched) -EBADMSG, or
 * -EPROTO for one in the format of a version that this build does not know.
 */
int db_command_encode(const struct db_command *cmd, void *buf, size_t cap, size_t *ret_len);
int db_command_decode(const void *buf, size_t len, struct db_command *ret);
/* at_ms of an encoded command or change, of any version; 0: it is none. */
uint64_t db_command_ms(const void *buf, size_t len);

#define DB_COMMAND_MAX 4096

/* ---- changes: several commands in one payload, under one head (DB_CMD_CHANGE) */
#define DB_CHANGE_MAX	       (256 * 1024) /* bytes of a payload (CL_MSG_PAYLOAD_MAX) */
#define DB_CHANGE_COMMANDS_MAX UINT16_MAX
#define DB_ANY_VERSION	       UINT64_MAX

/* Of the commands only type and body count. -ENOBUFS: too many, or too long for the buffer. */
int db_change_encode(const struct db_command *change, const struct db_command *cmd, size_t count,
		     void *buf, size_t cap, size_t *ret_len);
bool db_change_is(const void *buf, size_t len);
/*
 * Opens a reader behind the head. -EBADMSG unless every command in it decodes, and none is a
 * change itself.
 */
int db_change_open(const void *buf, size_t len, struct db_command *ret_change,
		   struct wire_reader *ret_reader, uint32_t *ret_count);
/* The next one, with time and actor of the head. */
void db_change_next(struct wire_reader *r, const struct db_command *change, struct db_command *ret);

#endif
