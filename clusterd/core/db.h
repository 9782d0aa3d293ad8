/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The applied state of the cluster database: tables of rows sorted by key, and the table of
 * cluster locks. It changes by db_apply() only, with entries that are committed, in their order;
 * so it is the same on every node that has applied the same index.
 *
 * It lives in one block of memory that the caller gives; nothing here allocates, reads a clock or
 * does I/O. Rows are found by key and iterated in the order of keys. Pointers to rows hold until
 * the next insert or remove of that kind.
 */
#ifndef CLUSTERD_CORE_DB_H
#define CLUSTERD_CORE_DB_H

#include <stddef.h>

#include "clusterd/core/schema.h"
#include "lib/lock_core.h"

struct db_limits {
	uint32_t capacity[DB_KIND_MAX];
	struct lk_limits locks;
};

struct db_table {
	const struct db_shape *shape;
	uint32_t capacity;
	uint32_t count;
	uint32_t *order; /* slots by key; past count the free ones */
	char *rows;
};

/*
 * Mutants: planted bugs that the simulator must find. They exist only in objects compiled with
 * CLUSTERD_MUTANTS, which nothing but the simulator links.
 */
enum db_mutant {
	DB_MUTANT_NONE,
	DB_MUTANT_FENCE_FREES_ALL,   /* a fence frees mnt: locks, too, and removes their rows */
	DB_MUTANT_FAILED_RELEASES,   /* a stop that failed releases vol: */
	DB_MUTANT_STOP_RELEASES,     /* vol: goes with the order to stop, not with its end */
	DB_MUTANT_LOST_RELEASES,     /* vol: goes when its node is lost, not when it is fenced */
	DB_MUTANT_ANY_TERM_RECOVERS, /* a coordinator of an earlier term is believed */
	DB_MUTANT_GROUP_BEFORE_RECOVERY, /* a group starts while a mount is not recovered */
	DB_MUTANT_LEAVES_MOUNTED,	 /* a node may leave with a volume mounted */
	DB_MUTANT_SECOND_MOUNT,		 /* a mount takes the place of one that is not recovered */
	DB_MUTANT_SILENT_STAYS,		 /* a silent mount is killed only if it is stuck */
	DB_MUTANT_MOVES_FOR_EVER,	 /* for mounts that it has moved for before, too */
	DB_MUTANT_VM_FIRST,		 /* from here on: what sim_vm has to find */
	DB_MUTANT_VM_TRANSFER_EARLY = DB_MUTANT_VM_FIRST, /* a transfer in any phase */
	DB_MUTANT_VM_TRANSFER_CANCELLED,		  /* a transfer of what is cancelled */
	DB_MUTANT_VM_TRANSFER_LOST,			  /* a transfer to a node that is lost */
	DB_MUTANT_VM_TRANSFER_KEEPS_ORDER, /* the source's reports count after the transfer */
	DB_MUTANT_VM_PAIR_SHARED,	   /* two sessions between a pair of nodes */
	DB_MUTANT_VM_LOST_RELEASES,	   /* vm: goes when its node is lost, not when fenced */
	DB_MUTANT_VM_LAST = DB_MUTANT_VM_LOST_RELEASES,
	DB_MUTANT_PLAN_FIRST,			      /* from here on: what sim_plan has to find */
	DB_MUTANT_PLAN_PAUSED = DB_MUTANT_PLAN_FIRST, /* starts on paused nodes */
	DB_MUTANT_PLAN_REFUSED,			      /* starts again where it failed */
	DB_MUTANT_PLAN_BALANCES,	    /* stops what runs well for the sake of balance */
	DB_MUTANT_PLAN_BY_NAME,		    /* priority does not count */
	DB_MUTANT_PLAN_DRAINS_TO_NOWHERE,   /* a drain stops what no other node can run */
	DB_MUTANT_PLAN_FORGETS_WISH,	    /* a wish for a loaded node does not count */
	DB_MUTANT_PLAN_FORGETS_ITS_ORDERS,  /* what was stopped is stopped once more */
	DB_MUTANT_PLAN_COUNTS_SLOTS,	    /* the number of a slot says more than its order */
	DB_MUTANT_PLAN_NEVER_GIVES_UP,	    /* failovers are counted, and that is all */
	DB_MUTANT_PLAN_FORGETS_OWNERS,	    /* preferred owners do not count */
	DB_MUTANT_PLAN_FAILS_BACK_FOR_EVER, /* also what has not come back, and where it failed */
	DB_MUTANT_PLAN_FAILS_BACK_ANYTIME,  /* never, and the hours, do not count */
	DB_MUTANT_PLAN_HAS_NO_WAVES,	    /* lower priorities do not wait */
	DB_MUTANT_PLAN_STORMS,		    /* any number of starts on a node */
	DB_MUTANT_PLAN_MIXES,		    /* what is kept apart gets one node */
	DB_MUTANT_PLAN_PARTS,		    /* what is kept together gets two nodes */
	DB_MUTANT_PLAN_QUARANTINED,	    /* starts on quarantined nodes */
	DB_MUTANT_PLAN_OVERFILLS,	    /* what a group reserves does not count */
	DB_MUTANT_PLAN_FORGETS_ARRIVALS,    /* nor does what is on its way to a node */
	DB_MUTANT_PLAN_FORGETS_CPU,	    /* only its memory does */
	DB_MUTANT_PLAN_LAST = DB_MUTANT_PLAN_FORGETS_CPU,
	DB_MUTANT_JOB_FIRST, /* from here on: what sim_job has to find */
	DB_MUTANT_JOB_UNDO_UNFENCED = DB_MUTANT_JOB_FIRST, /* of a lost node, before its fence */
	DB_MUTANT_JOB_STARTS_ANYWAY,			   /* what is copied or made is started */
	DB_MUTANT_JOB_ANY_ORDER, /* orders and ends count whatever order they are about */
	DB_MUTANT_JOB_FORGETS,	 /* what fails is not undone */
	DB_MUTANT_JOB_ANY_STATE, /* copies what starts or stops */
	DB_MUTANT_JOB_LAST = DB_MUTANT_JOB_ANY_STATE,
	DB_MUTANT_ADMITS_FENCED,     /* from here on for sim_cluster: the way back from a fence */
	DB_MUTANT_FENCE_BEGIN_FREES, /* the locks go when the fence begins, not when it is proven */
	DB_MUTANT_REPEATS,	     /* a request that comes again is carried out again */
	DB_MUTANT_FENCE_STORM,	     /* any number of fences begins at a time */
	DB_MUTANT_QUARANTINES_ALL,   /* a node is quarantined whoever is left */
	DB_MUTANT_QUARANTINED_VOTES, /* the vote of a quarantined node stays with it */
	DB_MUTANT_LOCAL_CLOCK, /* what is applied happens when it is applied, not when it was asked
				*/
	DB_MUTANT_MAX,
};

#ifdef CLUSTERD_MUTANTS
#define DB_MUTANT(db, which) ((db)->mutant == DB_MUTANT_##which)
#else
#define DB_MUTANT(db, which) ((void)(db), false)
#endif

struct db {
	enum db_mutant mutant; /* stays DB_MUTANT_NONE outside the simulator */
	uint64_t mutant_ms;    /* of DB_MUTANT_LOCAL_CLOCK: the clock here */
	uint64_t index;	       /* of the newest applied entry */
	struct cl_epoch epoch; /* its epoch */
	uint16_t version;      /* in force: rows, snapshots and commands are in its format */
	uint64_t next_event;
	uint64_t next_task;
	struct db_table table[DB_KIND_MAX];
	struct lk_state locks;
	void *locks_mem;
	struct db_limits limits;
	struct lk_actions lock_actions; /* scratch for one step */
	size_t shadow;			/* a copy of what lies at p can be kept at p + shadow */
	struct {
		uint32_t count[DB_KIND_MAX];
		uint64_t next_event, next_task;
		struct lk_state locks;
	} kept; /* by db_keep() */
};

/* How a command ended; the numbers are clusterctl's exit codes (clusterd-exit-codes(7)). */
enum db_code {
	DB_OK = 0,
	DB_FAILED = 1,
	DB_INVALID = 2,
	DB_NO_SUCH = 3,
	DB_CONFLICT = 4,
	DB_REFUSED = 8,
};

struct db_result {
	enum db_code code;
	bool is_repeat; /* the same request had been applied before; nothing was changed */
	bool is_stale;	/* refused because of if_version: the object has changed meanwhile */
	uint64_t task;	/* made by the command, 0: none */
	char text[DB_REASON_MAX];
};

/* One committed entry. */
struct db_entry {
	uint64_t index;
	struct cl_epoch epoch;
	uint8_t kind; /* enum cl_entry_kind */
	uint8_t origin;
	uint64_t instance, request;
	const uint8_t *payload;
	size_t payload_len;
};

/* The limits of a product build: 16 nodes, 4,096 groups, 8,192 resources. */
extern const struct db_limits db_limits_full;

size_t db_size(const struct db_limits *limits);
/* Lays an empty database into mem, which must be aligned as malloc() aligns. Borrows mem. */
int db_init(struct db *db, void *mem, size_t mem_size, const struct db_limits *limits);
/* Applies the entry index + 1. A bad command changes nothing and says so in the result. */
void db_apply(struct db *db, const struct db_entry *entry, struct db_result *ret);

void *db_find(const struct db *db, enum db_kind kind, const char *key);
void *db_find_id(const struct db *db, enum db_kind kind, uint64_t id);
/* i-th row by key, i < db_count(). */
void *db_at(const struct db *db, enum db_kind kind, uint32_t i);
uint32_t db_count(const struct db *db, enum db_kind kind);
/* Where the first row lies whose key is not before that one. */
uint32_t db_lower(const struct db *db, enum db_kind kind, const char *key);
struct db_node *db_node_by_slot(const struct db *db, uint8_t slot);
/* Everything goes off it, and nothing comes: it stops, or is quarantined. */
bool db_node_departs(const struct db_node *n);
/* Why nothing can come to the node, an administrator's wish aside; NULL: it can. Takes NULL. */
const char *db_node_bar(const struct db_node *n);
/* The node's name, or "-" for CL_NODE_NONE and empty slots. */
const char *db_node_name(const struct db *db, uint8_t slot);

/* Snapshot: bytes that give the same database and the same hash on every node. */
size_t db_encoded_max(const struct db *db);
int db_encode(const struct db *db, void *buf, size_t cap, size_t *ret_len);
/*
 * Fills a database just initialised; -EBADMSG leaves it empty, and so does -EPROTO: a snapshot of a
 * version under which this build does not work (db_encoded_version()).
 */
int db_decode(struct db *db, const void *buf, size_t len);
/* The version of an encoded database, whether it is known here or not; 0: it is none. */
uint16_t db_encoded_version(const void *buf, size_t len);
uint64_t db_hash(const struct db *db);
/* NULL, or the invariant that does not hold. */
const char *db_check(const struct db *db);
const char *db_mutant_name(enum db_mutant mutant);

/*
 * For apply. Rows, locks and numbers as they are now are kept in the second half of the memory;
 * db_go_back() makes them what they were. Index and epoch are left alone. Rows keep their places.
 */
void db_keep(struct db *db);
void db_go_back(struct db *db);
void *db_insert(struct db *db, enum db_kind kind, const char *key);
void *db_insert_id(struct db *db, enum db_kind kind, uint64_t id);
void db_remove(struct db *db, enum db_kind kind, const void *row);
/*
 * A later version is in force from here on. Fields and rows that it brings are 0 and empty, also on
 * a node whose build had them before.
 */
void db_raise(struct db *db, uint16_t version);

#endif
