/*
 * convoke.h: the C interface of Convoke.
 *
 * Generated from the library's sources: do not change it by hand.
 *
 * A program that links this library becomes a node of a cluster with no server to run. It registers names that are unique in
 * the whole cluster, takes locks, puts processes into groups, sends messages, and is told when processes and nodes go.
 *
 * ## Where to begin
 * - Make options (2), open a node (3), spawn a process on it (6). With that process register names (7), acquire locks (8), join
 *   groups (9), send messages (10); read what it is told with convoke_process_recv, or through a queue (4, 5).
 * - The sections: 1 the library, 2 options, 3 nodes, 4 queues, 5 events, 6 processes, 7 names and resolvers, 8 locks, 9 groups,
 *   10 messages, 11 results. What an event tells stands at the constants CONVOKE_EVENT_.
 * - The sources have small complete programs in `c-examples`: `embed.c`, the smallest; `singleton.c`, one of many instances works;
 *   `directory.c`, ask whoever has a name; `lock.c`, a command under a lock; `workers.c`, jobs for a group; `split.c`, clashes and
 *   resolvers; `watch.c`, an event loop.
 *
 * ## Handles and ownership
 * - All objects are made by the library and opaque. Whatever arrives through an `_out` parameter as a pointer to an opaque type
 *   is owned by the caller and freed with the `_free` function of its type; whatever else is lent, and its comment says how long.
 *   Nothing is ever given to `free`.
 * - `convoke_node`, `convoke_queue` and `convoke_process` are checked: a handle that was freed, or belongs to another type, is
 *   CONVOKE_E_INVALID; freeing it again does nothing. `convoke_options`, `convoke_event` and `convoke_list` are plain pointers and
 *   freed exactly once.
 * - `_free` functions take NULL, never fail and never wait. Objects may be freed in any order, parents before children: the
 *   queues and processes of a freed node answer CONVOKE_E_CLOSED, and are still to be freed.
 * - Outputs are written on success; on failure they are set to NULL or zero, if the pointer itself is not NULL. A NULL where the
 *   comment does not allow it is CONVOKE_E_INVALID.
 * - Names and payloads are pointer and length, any bytes, copied before the call returns; the pointer may be NULL if the length
 *   is 0. Node names, addresses, option keys and paths are UTF-8 with a zero at the end.
 * - Times are in ms. A timeout of -1 is for ever, 0 does not wait, less than -1 is CONVOKE_E_INVALID.
 *
 * ## Rules of waiting
 * They hold for every call with a parameter `op_out`, and as far as they apply for convoke_lock_with:
 * - `process` is the process on whose behalf the call is made.
 * - `op_out` NULL: the call waits. Otherwise it returns at once; CONVOKE_OK means that `*op_out` names the operation and exactly
 *   one DONE event follows on the queue of the process, perhaps before the call has returned; any other status means that no
 *   DONE follows. convoke_cancel ends an operation early. Cancelling a monitor makes no DONE.
 * - `timeout_ms` -1: for ever. 0: never queue behind another; waits for the network at most the detection time. Not obtained in
 *   time: CONVOKE_E_TIMEOUT. What gives something (a name, a lock, a group, a membership) is undone then; what takes
 *   something away is done here, and on its way to the others. A call keeps its time, within 100 ms, also when something keeps the
 *   node's own thread from running; what is found to be done too late is undone later then, but for groups that were made and for
 *   re-registers, which stand.
 * - A waiting call is ended early only by the exit of its process (CONVOKE_E_NO_PROCESS) or the closing of its node
 *   (CONVOKE_E_CLOSED), never by a signal.
 * - What is done for a process of another node is done by that node. If the link to it breaks before the answer, the status is
 *   CONVOKE_E_UNREACHABLE, and the outcome is unknown; so it is with CONVOKE_E_CLOSED. What was not complete there is undone.
 *   CONVOKE_OK speaks of the nodes that *that* node has links to: in a full mesh, of all.
 *
 * ## Threads
 * - Every function may be called from any thread at any time on any handle; only the `_free` of an event, a list or options must
 *   not race with other uses of that same object. `@threads` says where there is more to say.
 * - The library runs threads of its own, named `convoke/...`, with all signals blocked. It installs no signal handler and changes
 *   no disposition.
 * - All functions are legal in static destructors, in `atexit` handlers and in destructors of thread-specific data. In a signal
 *   handler only those marked async-signal-safe.
 * - After `fork` the handles of the parent answer CONVOKE_E_FORKED in the child, and freeing them there leaves the parent alone.
 *   Options, events and lists stay usable. A new node may be opened in the child. The library's descriptors are closed in the
 *   child, those of queues too: so when the parent ends its peers hear of it at once, and its port is free, whatever its children
 *   do. A child of `_Fork`, in which no handlers run, gets the same answers, and keeps the descriptors until it closes them or ends.
 * - The library's threads keep the process alive while a node is open, and take no signals. So a program whose `main` ends by
 *   `pthread_exit`, and that has no other thread of its own that takes signals, does not end, and SIGTERM does not end it: close
 *   its nodes first.
 * - An internal error (a bug in Convoke) is CONVOKE_E_INTERNAL: convoke_last_error has its text, the node concerned is closed, the program
 *   lives on.
 *
 * ## Callbacks
 * 1. Event callbacks run only inside `convoke_queue_dispatch()` on the calling thread, or on the queue's own thread after `convoke_queue_start_thread()`; never elsewhere.
 * 2. For one queue they never overlap. Order: per sender -> receiver pair FIFO; a process's `EXIT` notice is its last event.
 * 3. No library lock is held. Any convoke function may be called, including `*_free` of the node, queue or process concerned.
 * 4. A call that would have to wait for the calling callback itself returns `CONVOKE_E_WOULD_DEADLOCK` at once.
 * 5. `*_free` never waits. When it returns no *new* callback of that object starts; one already running on another thread may still be finishing. Two ways to know
 *    it is over: `free_fn` (rule 6), or `convoke_queue_stop_thread(queue, timeout_ms)`, which waits for the library thread (and returns `WOULD_DEADLOCK` from inside its own
 *    callback). Waiting in a destructor is what deadlocks garbage-collected hosts, which hold their interpreter lock while finalizing. With `dispatch` on
 *    the host's own thread the question does not arise.
 * 6. `free_fn(user_data)` is called exactly once, after the last callback, **also when the registration fails**, on whichever thread did the last release.
 * 7. Callbacks must return normally: no C++ exception, no `longjmp` through the library.
 * 8. The event is borrowed until return; `convoke_event_retain()` keeps it.
 * 9. Resolver functions (convoke_resolver_add) are called on threads of their node, up to four calls at the same time, though never two for one name, and have
 *    a deadline. Rules 3, 4, 6 and 7 hold for them too.
 *
 * ## Versions
 * - The soname number rises with every incompatible change of the ABI, independently of the version: programs need not be built
 *   anew as long as it stays. Within one soname functions, constants, kinds of events, fields, options and members at the end of
 *   convoke_stats may be added by a minor version; nothing is removed, renumbered or given another meaning. A patch changes no
 *   declaration.
 * - A function that is going to be removed is marked deprecated for at least one minor version before.
 * - Sets that may grow are numbers with constants: ignore what you do not know.
 * - No macro is needed to use the library. The header is C99 and C++11 and later.
 */
#ifndef CONVOKE_H
#define CONVOKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The version of this header; convoke_version() is that of the library. */
#define CONVOKE_VERSION_MAJOR 0
#define CONVOKE_VERSION_MINOR 1
#define CONVOKE_VERSION_PATCH 0
#define CONVOKE_VERSION_STRING "0.1.0"
#define CONVOKE_VERSION ((CONVOKE_VERSION_MAJOR << 16) | (CONVOKE_VERSION_MINOR << 8) | CONVOKE_VERSION_PATCH)
/* How functions are declared. A program may define it before this header is included. */
#ifndef CONVOKE_API
# if defined(_WIN32) && !defined(CONVOKE_STATIC)
#  define CONVOKE_API __declspec(dllimport)
# else
#  define CONVOKE_API
# endif
#endif
/* Compilers warn when the status of such a function is not looked at. */
#if defined(__GNUC__) || defined(__clang__)
# define CONVOKE_MUST_USE __attribute__((warn_unused_result))
#else
# define CONVOKE_MUST_USE
#endif

/** A timeout_ms that never ends. */
#define CONVOKE_WAIT_FOREVER ((int64_t)-1)
/** As many `retries` as the timeout lets it. */
#define CONVOKE_RETRIES_FOREVER ((int64_t)-1)

#ifdef __cplusplus
extern "C" {
#endif

/** What became of a call: 0 is success, everything below is a failure. The numbers are never used anew. */
enum convoke_status
#if defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
    : int32_t
#endif
{
    /** The call did what it says. */
    CONVOKE_OK = 0,
    /** An argument is null, out of range or not a live handle. */
    CONVOKE_E_INVALID = -1,
    /** Memory could not be allocated. */
    CONVOKE_E_MEMORY = -2,
    /** Internal error (a bug in Convoke); the node has been closed. */
    CONVOKE_E_INTERNAL = -3,
    /** The handle was made by the parent of this forked process. */
    CONVOKE_E_FORKED = -4,
    /** The node or the queue is closed. */
    CONVOKE_E_CLOSED = -5,
    /** The time given to the call ran out. */
    CONVOKE_E_TIMEOUT = -6,
    /** The operation was cancelled. */
    CONVOKE_E_CANCELLED = -7,
    /** The call would wait for the very callback that makes it. */
    CONVOKE_E_WOULD_DEADLOCK = -8,
    /** A limit is reached or a receiver has no room; try again later. */
    CONVOKE_E_FULL = -9,
    /** There is no such name, group, resolver or node. */
    CONVOKE_E_NOT_FOUND = -10,
    /** The name is already in use. */
    CONVOKE_E_EXISTS = -11,
    /** The process does not hold the lock. */
    CONVOKE_E_NOT_OWNER = -12,
    /** The process does not exist or has exited. */
    CONVOKE_E_NO_PROCESS = -13,
    /** The node of the process cannot be reached. */
    CONVOKE_E_UNREACHABLE = -14,
    /** A name or a payload is larger than the limit. */
    CONVOKE_E_TOO_BIG = -15,
    /** The buffer is too small; the needed length was stored. */
    CONVOKE_E_BUFFER = -16,
    /** An option is unknown or its value is not acceptable. */
    CONVOKE_E_OPTION = -17,
    /** The peer belongs to another cluster or does not share the secret. */
    CONVOKE_E_AUTH = -18,
    /** The operating system refused an operation on a file or a socket. */
    CONVOKE_E_IO = -19,
    /** The versions of header and library, or of two nodes, do not fit. */
    CONVOKE_E_VERSION = -20,
    /** This build or platform cannot do that. */
    CONVOKE_E_UNSUPPORTED = -21,
    /** The object is not in a state that allows the call. */
    CONVOKE_E_STATE = -22,
    /** The lock was not obtained, and the function was not called. */
    CONVOKE_E_ABORTED = -23,
};
#ifndef __cplusplus
# if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L
typedef enum convoke_status convoke_status;
# else
typedef int32_t convoke_status;
# endif
#endif

/** Kinds of events: values of convoke_event_kind. Each has exactly the fields that its comment names. */
enum {
    /** A message of another process: see convoke_send. Fields: PID, PEER, PAYLOAD. */
    CONVOKE_EVENT_MESSAGE = 1,
    /** A monitored process, or the process itself when it was killed, exited: see convoke_process_monitor. Fields:
     *  PID, PEER, PAYLOAD, REASON, REF, KILLED_BY. */
    CONVOKE_EVENT_EXIT = 2,
    /** The answer to an operation, a call that was made with an `op_out`. Fields: PID, REF, VALUE, STATUS, DETAIL. */
    CONVOKE_EVENT_DONE = 3,
    /** The process lost a name and lives on. The peer is who has it now or lost it too; none if that is not told.
     *  Fields: PID, NAME, PEER, REASON. */
    CONVOKE_EVENT_NAME_CONFLICT = 4,
    /** A monitored name is bound otherwise than before: see convoke_name_monitor. Unread ones are merged. Fields:
     *  PID, NAME, PEER, OLD_PID, CHANGES, REF. */
    CONVOKE_EVENT_NAME_CHANGED = 5,
    /** A process joined a monitored group: see convoke_group_monitor. Fields: PID, NAME, PEER, COUNT, REF. */
    CONVOKE_EVENT_GROUP_JOINED = 6,
    /** A process left a monitored group, or ended: see convoke_group_monitor. Fields: PID, NAME, PEER, COUNT, REASON,
     *  REF. */
    CONVOKE_EVENT_GROUP_LEFT = 7,
    /** The process can rely on a lock no longer: see section 8. Fields: PID, NAME, REQUESTER, FENCE, REASON. */
    CONVOKE_EVENT_LOCK_LOST = 8,
    /** Somebody waits for a lock that the process holds and watches: see convoke_lock_watch. Fields: PID, NAME,
     *  REQUESTER, PEER, REF. */
    CONVOKE_EVENT_LOCK_WANTED = 9,
    /** A link to a node came up: see convoke_node_monitor. Fields: PID, NAME, NODE, ADDRESS, REF. */
    CONVOKE_EVENT_NODE_UP = 11,
    /** The link to a node went down: see convoke_node_monitor. One may stand for nodes that came and went unread.
     *  Fields: PID, NAME, NODE, ADDRESS, REASON, CHANGES, REF. */
    CONVOKE_EVENT_NODE_DOWN = 12,
    /** The node is closed; the last event of a queue. Fields: REASON. */
    CONVOKE_EVENT_NODE_CLOSED = 13,
    /** A receiver that refused a message has room again. Fields: PID, PEER. */
    CONVOKE_EVENT_SENDABLE = 14,
    /** The present state has been told to a monitor of nodes or of a group; changes follow. Fields: PID, REF. */
    CONVOKE_EVENT_SNAPSHOT_END = 15,
    /** A clash for a resolver function to decide: see convoke_resolver_add. Never in a queue. Fields: PID, NAME,
     *  PEER, AGE_MS, OTHER_AGE_MS. */
    CONVOKE_EVENT_CLASH = 16,
    /** A record of the log: see convoke_log_to_queue. The value is how many were dropped before it, because too many
     *  were unread. Fields: VALUE, LEVEL, TARGET, TEXT. */
    CONVOKE_EVENT_LOG = 17,
};

/** Reasons: values of convoke_reason. */
enum {
    /** Nothing special. */
    CONVOKE_REASON_NORMAL = 0,
    /** The process exited by itself without naming a reason of its own. */
    CONVOKE_REASON_EXPLICIT = 1,
    /** The handle of the process was freed. */
    CONVOKE_REASON_FREED = 2,
    /** Another process killed it. */
    CONVOKE_REASON_KILLED = 3,
    /** Its node was closed in order. */
    CONVOKE_REASON_NODE_CLOSED = 4,
    /** The connection to its node ended without a goodbye: the OS process most likely died. */
    CONVOKE_REASON_OS_PROCESS_DIED = 5,
    /** Its node has fallen silent, has kept this one waiting for too long (option `peers.slow`), or has no link to
     *  this one. */
    CONVOKE_REASON_NODE_UNREACHABLE = 6,
    /** Its node does not know such a process. */
    CONVOKE_REASON_NO_PROCESS = 7,
    /** It lost the clash of a name when two parts of a cluster joined. */
    CONVOKE_REASON_CONFLICT_LOST = 8,
    /** Its name was registered anew for another process. */
    CONVOKE_REASON_REPLACED = 9,
    /** Another node of the same name has more links, or as many and has been open for longer. */
    CONVOKE_REASON_NAME_TAKEN = 10,
    /** A caught panic closed the node. */
    CONVOKE_REASON_INTERNAL_ERROR = 11,
    /** The link was ended by `convoke_node_disconnect`. */
    CONVOKE_REASON_DISCONNECTED = 12,
    /** Broken links leave at most half of the nodes that a lock was taken on. */
    CONVOKE_REASON_MINORITY = 13,
    /** Another holder of the same lock was met when two parts of a cluster joined. */
    CONVOKE_REASON_SECOND_HOLDER = 14,
    /** The group was deleted. */
    CONVOKE_REASON_GROUP_DELETED = 15,
    /** The first of the application's own reasons. */
    CONVOKE_REASON_USER = 0x10000,
};

/** Fields of events and lists: values of convoke_field. */
enum {
    /** Bytes: the name concerned: of a process, a group, a lock's resource, or a node. */
    CONVOKE_FIELD_NAME = 1,
    /** u64: a node's incarnation, as in pids. */
    CONVOKE_FIELD_NODE = 2,
    /** Bytes: the address of a node. */
    CONVOKE_FIELD_ADDRESS = 3,
    /** Pid: the process that the event is for; in a list, the row's process. */
    CONVOKE_FIELD_PID = 4,
    /** Pid: the other process concerned. */
    CONVOKE_FIELD_PEER = 5,
    /** Pid: what a name was bound to before; all zero for none. */
    CONVOKE_FIELD_OLD_PID = 6,
    /** Bytes: a message's payload or an exit's data. */
    CONVOKE_FIELD_PAYLOAD = 7,
    /** u64: why. */
    CONVOKE_FIELD_REASON = 8,
    /** u64: the monitor or operation. */
    CONVOKE_FIELD_REF = 9,
    /** u64: an operation's value; of a LOG event, how many records were dropped before it. */
    CONVOKE_FIELD_VALUE = 10,
    /** u64: an operation's status, as a two's complement number. */
    CONVOKE_FIELD_STATUS = 11,
    /** Bytes: more than the status says, in English. */
    CONVOKE_FIELD_DETAIL = 12,
    /** Pid: who killed the process; all zero for nobody. */
    CONVOKE_FIELD_KILLED_BY = 13,
    /** Bytes: under which requester a lock is held or wanted. */
    CONVOKE_FIELD_REQUESTER = 14,
    /** u64: for how many ms a lock is held or wanted, as seen from this node; for how many ms there is a link. */
    CONVOKE_FIELD_SINCE_MS = 15,
    /** u64: of a clash, for how many ms the process has had the name. */
    CONVOKE_FIELD_AGE_MS = 16,
    /** u64: of a clash, for how many ms the other process has had the name. */
    CONVOKE_FIELD_OTHER_AGE_MS = 17,
    /** u64: a lock's fencing token; 0 for one that waits. */
    CONVOKE_FIELD_FENCE = 18,
    /** u64: 1 if the row is of one that waits for the lock, 0 if it holds it. */
    CONVOKE_FIELD_IS_WAITER = 19,
    /** u64: how often the process is a member of the group. */
    CONVOKE_FIELD_COUNT = 20,
    /** u64: how much a record of the log matters: one of the CONVOKE_LOG_ constants. */
    CONVOKE_FIELD_LEVEL = 21,
    /** Bytes: what a record of the log is about, such as "convoke.link". */
    CONVOKE_FIELD_TARGET = 22,
    /** Bytes: a text, with a zero behind it: of a record of the log, of metrics, of a dump. */
    CONVOKE_FIELD_TEXT = 23,
    /** u64: how many changes the event stands for: 1, or more if earlier ones were unread and it was merged with
     *  them; see section 5. */
    CONVOKE_FIELD_CHANGES = 24,
    /** Bytes: how a link is protected: "plain", "secret" or "tls". */
    CONVOKE_FIELD_PROTECTION = 25,
    /** Bytes: what the peer of a link has shown, in hexadecimal digits: 16 that tell its secret from others and
     *  nothing about it, or the 64 of the SHA-256 fingerprint of its certificate; empty for a plain link. */
    CONVOKE_FIELD_CREDENTIAL = 26,
    /** u64: when the peer's certificate, or one between it and the authority, expires: ms since 1970; 0 without a
     *  certificate. */
    CONVOKE_FIELD_EXPIRES_MS = 27,
    /** u64: 1 if the link was made under a secret, a certificate, authorities or a list that convoke_node_reload has
     *  replaced since, and that is good no more; else 0. */
    CONVOKE_FIELD_IS_REPLACED = 28,
};

/** What a resolver function returns: one of the first three, plus one of the flags or none. */
enum {
    /** No process keeps the name. */
    CONVOKE_CLASH_NEITHER = 0,
    /** The first process (CONVOKE_FIELD_PID) keeps the name. */
    CONVOKE_CLASH_A = 1,
    /** The other process (CONVOKE_FIELD_PEER) keeps the name. */
    CONVOKE_CLASH_B = 2,
    /** To be added: whoever loses the name exits with CONVOKE_REASON_CONFLICT_LOST. Not together with
     *  CONVOKE_CLASH_NOTIFY_LOSER. */
    CONVOKE_CLASH_KILL_LOSER = 0x100,
    /** To be added: whoever loses the name gets a NAME_CONFLICT event with the other pid. Without a flag it is not
     *  told. */
    CONVOKE_CLASH_NOTIFY_LOSER = 0x200,
};

/** How much a record of the log matters. */
enum {
    /** No record has this level: who names it hears of nothing. */
    CONVOKE_LOG_OFF = 0,
    /** Something is broken and stays so until somebody acts. */
    CONVOKE_LOG_ERROR = 1,
    /** Something went wrong, or waits for longer than it should. */
    CONVOKE_LOG_WARN = 2,
    /** What an operator wants to read afterwards: nodes that open, close, come and go; clashes that are decided. */
    CONVOKE_LOG_INFO = 3,
    /** What helps to understand a single case: dials, suspicions, who refused whom. */
    CONVOKE_LOG_DEBUG = 4,
    /** Every claim and every answer. */
    CONVOKE_LOG_TRACE = 5,
};

/**
 * Something that a process is told.
 */
typedef struct convoke_event convoke_event;

/**
 * The answer to a question that has many: names, nodes, groups, members or locks at one moment.
 */
typedef struct convoke_list convoke_list;

/**
 * A member of the cluster. A checked handle.
 */
typedef struct convoke_node convoke_node;

/**
 * The configuration of a node that is going to be opened.
 */
typedef struct convoke_options convoke_options;

/**
 * A process of this program: it has a pid and a mailbox, and names, locks and memberships belong to it. A checked handle.
 */
typedef struct convoke_process convoke_process;

/**
 * Where events of one or many processes wait. A checked handle.
 */
typedef struct convoke_queue convoke_queue;

/**
 * What an event tells: one of the CONVOKE_EVENT_ constants. An open set: ignore the kinds that you do not know.
 */
typedef uint32_t convoke_event_kind;

/**
 * Why a process exited, a node went away or a name was lost: one of the CONVOKE_REASON_ constants below 0x10000; from
 * CONVOKE_REASON_USER on the application's own. An open set: ignore the reasons that you do not know.
 */
typedef uint32_t convoke_reason;

/**
 * What the general accessors of events and lists name: one of the CONVOKE_FIELD_ constants. An open set.
 */
typedef uint32_t convoke_field;

/**
 * Names a monitor or a pending operation of one node; 0 is none. A number: there is nothing to free.
 */
typedef uint64_t convoke_ref;

/**
 * Identifies a process in the whole cluster: the incarnation of its node and a serial that the node never uses again.
 *
 * 16 bytes for ever. Two pids are the same process exactly when `memcmp` says so. All zero is "none". Passed by
 * pointer only. May be copied, stored and sent to other nodes as it is (both numbers in the byte order of the machine).
 */
typedef struct convoke_pid {
    /**
     * The incarnation of the process's node: random at every opening of a node, never 0.
     */
    uint64_t node;
    /**
     * Counts the processes of that incarnation from 1 on.
     */
    uint64_t serial;
} convoke_pid;

/**
 * Numbers about a node, filled in by convoke_node_stats.
 *
 * Later versions append members. Set `struct_size` to `sizeof(convoke_stats)` before the call: the library writes no
 * more than that, and zeroes what it does not know.
 */
typedef struct convoke_stats {
    /**
     * `sizeof(convoke_stats)` as the caller was compiled with. Set by the caller, left as it is.
     */
    size_t struct_size;
    /**
     * Messages that processes of this node have sent.
     */
    uint64_t messages_sent;
    /**
     * Messages that were handed to processes of this node.
     */
    uint64_t messages_received;
    /**
     * Names in the table of this node: those of the whole cluster as it sees it.
     */
    uint64_t names;
    /**
     * Locks that processes of this node hold and may rely on; each share counts.
     */
    uint64_t locks_held;
    /**
     * Groups in the table of this node: those of the whole cluster as it sees it.
     */
    uint64_t groups;
    /**
     * Nodes that this node has a link to.
     */
    uint64_t peers;
    /**
     * Events that wait in the queues and mailboxes of this node.
     */
    uint64_t queue_depth;
    /**
     * Messages that were sent to processes of this node and dropped, because they had exited.
     */
    uint64_t dropped;
} convoke_stats;

/**
 * Gives `user_data` back: called exactly once, after the last callback that gets it, and also when the registration
 * fails. On whichever thread did the last release, never with a lock of the library held. May be NULL.
 */
typedef void (*convoke_free_fn)(void *user_data);

/**
 * Runs under a lock: see convoke_lock_with. What it returns is handed out there. It must return normally: no C++ exception, no
 * `longjmp`.
 */
typedef int32_t (*convoke_with_fn)(uint64_t fence, void *user_data);

/**
 * Gets an event; see the callback contract. `event` is borrowed until it returns.
 */
typedef void (*convoke_event_fn)(struct convoke_event *event, void *user_data);

/**
 * Decides a clash: two processes that have one name, met when two parts of a cluster join. See convoke_resolver_add.
 *
 * `clash` is of kind CONVOKE_EVENT_CLASH and borrowed until it returns: convoke_event_name, convoke_event_process (a),
 * convoke_event_peer (b), and for how many ms each has had the name, CONVOKE_FIELD_AGE_MS and CONVOKE_FIELD_OTHER_AGE_MS.
 * Returns one of CONVOKE_CLASH_NEITHER, CONVOKE_CLASH_A and CONVOKE_CLASH_B, plus one of the flags or none.
 */
typedef int32_t (*convoke_resolve_fn)(const struct convoke_event *clash, void *user_data);

/**
 * Gets a record of the log: see convoke_log_set. `target` and `text` are UTF-8, zero-terminated and lent until it returns;
 * `text_len` is the length of `text` without its zero. It must return normally: no C++ exception, no `longjmp`.
 */
typedef void (*convoke_log_fn)(int32_t level, const char *target, const char *text, size_t text_len, void
    *user_data);

/* ==================================================================================================================
 * 1  The library
 * Nothing needs to be initialised or shut down. These functions work at any time, also before a node is opened, in
 * static destructors and in a forked child.
 * ================================================================================================================== */

/**
 * The version of the library that is loaded, as one number: (major << 16) | (minor << 8) | patch.
 *
 * Compare it with CONVOKE_VERSION, the version of the header that the program was compiled with.
 *
 * @return the version.
 * @threads any; async-signal-safe
 * @since 0.1.0
 */
CONVOKE_API uint32_t convoke_version(void);

/**
 * The version of the library that is loaded, as text: "0.1.0".
 *
 * @return a static string, never NULL. Not to be freed.
 * @threads any; async-signal-safe
 * @since 0.1.0
 */
CONVOKE_API const char *convoke_version_string(void);

/**
 * Whether a program compiled with a header of this version can use the library that is loaded.
 *
 * Call it once at the start, with CONVOKE_VERSION. It cannot be so when the header is of a later minor version than the
 * library, or from before the present ABI.
 *
 * @param header_version CONVOKE_VERSION.
 * @return the status:
 * @retval CONVOKE_OK they fit.
 * @retval CONVOKE_E_VERSION they do not; the detail names both versions. Install the library that the program was
 *         built for, or build it anew.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_check_version(uint32_t header_version);

/**
 * The symbolic name of a status: "CONVOKE_E_TIMEOUT".
 *
 * @param status any number.
 * @return a static string, never NULL; "CONVOKE_UNKNOWN" for a number that is no status. Not to be freed.
 * @threads any; async-signal-safe
 * @since 0.1.0
 */
CONVOKE_API const char *convoke_status_name(convoke_status status);

/**
 * What a status means, in one English sentence.
 *
 * @param status any number.
 * @return a static string, never NULL. Not to be freed.
 * @threads any; async-signal-safe
 * @since 0.1.0
 */
CONVOKE_API const char *convoke_status_text(convoke_status status);

/**
 * Whether the same call may succeed later although the caller changes nothing: a time ran out, a limit is reached, a
 * node cannot be reached just now.
 *
 * @param status any number.
 * @return true for CONVOKE_E_TIMEOUT, CONVOKE_E_FULL, CONVOKE_E_UNREACHABLE, CONVOKE_E_MEMORY and CONVOKE_E_IO.
 * @threads any; async-signal-safe
 * @since 0.1.0
 */
CONVOKE_API bool convoke_status_is_retryable(convoke_status status);

/**
 * More about the last failure on this thread than its status says: which argument, which option, which file.
 *
 * Every function that returns a status forgets the text of earlier ones when it begins (convoke_queue_wake leaves it
 * alone), so it is never stale; it is empty when there is nothing to add. The text is UTF-8, English, meant for people:
 * do not parse it. Answers that come later carry their own text, see convoke_event_result.
 *
 * @param buf room for `cap` bytes; receives as much as fits, always with a zero at the end. NULL asks for the length.
 * @param cap the size of `buf`.
 * @return the length of the whole text without its zero, as `snprintf` counts: it was cut if that is not below `cap`.
 * @threads any; the text is that of the calling thread
 * @since 0.1.0
 */
CONVOKE_API size_t convoke_last_error(char *buf, size_t cap);

/**
 * How many objects the program holds: nodes, queues, processes, options, events and lists that were made or retained
 * and not yet freed. At the end of a program without leaks it is 0.
 *
 * An event lent to a callback does not count. A forked child goes on with the count of its parent.
 *
 * @return the count; exact when no other thread makes or frees anything meanwhile.
 * @threads any; async-signal-safe
 * @since 0.1.0
 */
CONVOKE_API size_t convoke_live_handles(void);

/**
 * Sets the function that gets the log of all nodes of this program. There is one; a second call replaces the first.
 *
 * It runs on a thread of its own ("convoke/log"), never on the thread of a node and with no lock held, so it may do
 * anything: block, call any function of the library, remove itself. Up to 1024 records wait for it; what comes when it is
 * slower than that is dropped and counted, and a record of the target "convoke.log" says how many were. Calls never
 * overlap, but for one of a function that was replaced meanwhile. When this returns, no new call of the former function
 * begins; records that waited for it are dropped.
 *
 * Records have a level, a target (docs/operations.md lists them) and a text that begins with the name of the node. They hold
 * no secrets and no payloads. When nobody listens, nothing is formatted.
 *
 * @param max_level CONVOKE_LOG_ERROR to CONVOKE_LOG_TRACE: records up to this level; CONVOKE_LOG_OFF: none any more.
 * @param fn the function; NULL for none any more.
 * @param user_data handed to `fn` as it is; owned by the library until `free_fn` is called with it.
 * @param free_fn gives `user_data` back, exactly once, after the last call, also when this call fails; may be NULL.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID there is no such level.
 * @retval CONVOKE_E_IO the system has no thread left. The former function stays.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any; also in `fn`; a forked child has no function until it sets one
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_log_set(int32_t max_level, convoke_log_fn fn, void *user_data, convoke_free_fn
    free_fn);

/**
 * From now on a queue gets the log of all nodes of this program, as LOG events: for languages that cannot be called back on
 * threads they do not know. Several queues may get it, each up to its own level.
 *
 * Up to 1024 LOG events may be unread in a queue; further ones are dropped and counted, in the value of the next one. They
 * take no room from other events.
 *
 * @param queue the queue.
 * @param max_level CONVOKE_LOG_ERROR to CONVOKE_LOG_TRACE: records up to this level; CONVOKE_LOG_OFF: none any more (those
 *        that wait in the queue stay).
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `queue` is not a live queue, or there is no such level.
 * @retval CONVOKE_E_CLOSED the node of the queue is closed, or the queue is being freed.
 * @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_log_to_queue(convoke_queue *queue, int32_t max_level);

/* ==================================================================================================================
 * 2  Options
 * The configuration of a node is a set of text keys with text values, so that new options never change the ABI. The
 * options are copied when a node is opened: change or free them afterwards as you like.
 * ================================================================================================================== */

/**
 * Makes a set of options with the defaults.
 *
 * @param options_out receives the options, owned by the caller: free them with convoke_options_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `options_out` is NULL.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_options_new(convoke_options **options_out);

/**
 * Sets one option. The keys and their values stand in `docs/options.md` of the sources; durations are whole numbers of ms.
 *
 * A key that is set again gets the new value.
 *
 * @param options the options.
 * @param key UTF-8, zero-terminated; copied.
 * @param value UTF-8, zero-terminated; copied.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL, or a text is not UTF-8.
 * @retval CONVOKE_E_OPTION there is no such key, or the value is not acceptable: the detail names the nearest key, or
 *         what is acceptable. Nothing was changed. Correct the program or its configuration.
 * @retval CONVOKE_E_FORKED another thread of the parent was at these options when this child was forked. Make new ones.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_options_set(convoke_options *options, const char *key, const
    char *value);

/**
 * Sets one option whose value is bytes of any content: a secret. For options with text values the bytes must be their
 * UTF-8.
 *
 * @param options the options.
 * @param key UTF-8, zero-terminated; copied.
 * @param data the value, copied; NULL if `len` is 0.
 * @param len its length in bytes.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `options` or `key` is NULL, `data` is NULL and `len` is not 0, or `key` is not UTF-8.
 * @retval CONVOKE_E_TOO_BIG `len` is beyond half of the address space.
 * @retval CONVOKE_E_OPTION as for convoke_options_set.
 * @retval CONVOKE_E_FORKED as for convoke_options_set.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_options_set_bytes(convoke_options *options, const char *key,
    const void *data, size_t len);

/**
 * Sets the options that stand in a file: lines of `key = value`, empty lines, and
 * comments: lines that begin with `#`.
 *
 * @param options the options.
 * @param path the file, UTF-8, zero-terminated.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL, or the path is not UTF-8.
 * @retval CONVOKE_E_IO the file cannot be read, or is longer than 64 KiB: the detail says why.
 * @retval CONVOKE_E_OPTION a line is not acceptable: the detail names the line. Or others than its owner may write the file
 *         (chmod go-w), or there is a secret in it and others may read it (chmod 600). Nothing was changed.
 * @retval CONVOKE_E_FORKED as for convoke_options_set.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any; reads the file on the calling thread
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_options_load(convoke_options *options, const char *path);

/**
 * Makes a secret for the option `secret`: 32 bytes from the operating system's source of random numbers.
 *
 * All nodes of a cluster need the same one, so this is called once and not at each start: write the bytes into a file
 * that nobody else can read, as 64 hexadecimal digits for the option `secret.file`, and bring it to the other machines on
 * a way that you trust.
 *
 * @param buf room for `cap` bytes; receives the secret in its first 32. Zeroed on failure.
 * @param cap the size of `buf`, at least 32.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `buf` is NULL.
 * @retval CONVOKE_E_BUFFER `cap` is below 32.
 * @retval CONVOKE_E_IO the operating system has no random numbers.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_secret_generate(uint8_t *buf, size_t cap);

/**
 * Frees options. To be called exactly once for each convoke_options_new.
 *
 * @param options the options, or NULL: then nothing happens.
 * @threads any; not while another call uses the same options
 * @since 0.1.0
 */
CONVOKE_API void convoke_options_free(convoke_options *options);

/* ==================================================================================================================
 * 3  Nodes
 * A node is one member of the cluster. Several may live in one program. Everything that a program does in the cluster it
 * does through a node of its own: there is no server.
 * ================================================================================================================== */

/**
 * Opens a node: listens, starts its thread, and begins to look for the nodes named by the option `seeds`.
 *
 * A node that listens at a loopback address and is given no secret, no certificate and no `insecure.plaintext` takes the secret of the
 * user that this program runs as, and makes the file that it lies in (`~/.config/convoke/secret`; option `secret.user`) when
 * there is none. The log says so.
 *
 * With seeds it returns when the node is merged with them and with all others that they tell of, as by
 * convoke_node_sync, and after the time of the option `join.wait` (5 s) in any case. So a program that registers a name at
 * once gets CONVOKE_E_EXISTS if another has it, and does not clash with it. All seeds are dialled at the same time. One
 * that refuses, or where the node itself answers, is not waited for: the first node of a cluster is open at once. One that
 * says nothing (a program that hangs, a machine that is off) is waited for until `join.wait` is over if nobody else
 * answers, for a second at most if another node does, and never makes this call fail.
 *
 * With a `join.wait` of 0, or without seeds, it returns as soon as the node listens; others are met later: see
 * convoke_node_monitor. Seeds are dialled for ever, whatever came of them here.
 *
 * A peer that lives and yet keeps votes or acknowledgements owing, for longer than `detection_ms` in twelve times as long, is
 * parted: its link ends (CONVOKE_REASON_NODE_UNREACHABLE) and it is left alone for a pause that grows, so that it does not hold up
 * the calls of all others. The log, convoke_node_dump and the metrics name it; the option `peers.slow` = `wait` has it waited for.
 *
 * @param options what to open, copied; NULL for the defaults.
 * @param node_out receives the node, owned by the caller: free it with convoke_node_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `node_out` is NULL.
 * @retval CONVOKE_E_OPTION options that do not fit together, or a missing one: see the detail. So it is when the node would
 *         listen, dial or be dialled beyond this machine and has no secret, and when others may read or write the file of
 *         `secret.file`, or that of the user's secret (option `secret.user`).
 * @retval CONVOKE_E_UNSUPPORTED the options ask for TLS, and this library was built without it.
 * @retval CONVOKE_E_IO the address cannot be listened on, or the system has no thread or descriptor left: see the detail.
 * @retval CONVOKE_E_MEMORY there is no memory for another node.
 * @retval CONVOKE_E_FULL there are more nodes in this program than the library can number.
 * @retval CONVOKE_E_EXISTS another node of the same name is open in the cluster. Choose another name. If that is found out
 *         only after `join.wait`, or that is 0, the node is opened, and closed with CONVOKE_REASON_NAME_TAKEN.
 * @retval CONVOKE_E_TIMEOUT a node has answered, and the tables were not merged with it within `join.wait`. The node is
 *         closed. Try again, with a longer one if the tables are very large.
 * @retval CONVOKE_E_FORKED another thread of the parent was at these options when this child was forked.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any; also in a forked child, which has none of its parent's nodes
 * @see Erlang: net_kernel:start/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_open(const convoke_options *options, convoke_node
    **node_out);

/**
 * Leaves the cluster in order, and waits until that is done: every process of the node exits with
 * CONVOKE_REASON_NODE_CLOSED, every peer is told, every queue gets a NODE_CLOSED event, every waiting call ends with
 * CONVOKE_E_CLOSED.
 *
 * The node stays to be freed. It may be closed again: then the call waits for the end of the first.
 *
 * @param node the node.
 * @param timeout_ms how long to wait for the end; -1 for ever, 0 not at all.
 * @return the status:
 * @retval CONVOKE_OK the node is closed.
 * @retval CONVOKE_E_TIMEOUT it is being closed and will be soon. Nothing needs to be done.
 * @retval CONVOKE_E_INVALID `node` is not a live node, or `timeout_ms` is below -1.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process. Open another.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: erlang:halt/0, net_kernel:stop/0
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_node_close(convoke_node *node, int64_t timeout_ms);

/**
 * Frees the handle of a node. If the node is not closed it begins to leave in order, as by convoke_node_close, in the
 * background. Never waits.
 *
 * Its queues and processes become inert (CONVOKE_E_CLOSED) and are still to be freed, before or after it, in any order.
 *
 * @param node the node, or NULL: then nothing happens. A node freed before is left alone.
 * @threads any; also in callbacks, static destructors and a forked child (where it does nothing to the parent's node)
 * @since 0.1.0
 */
CONVOKE_API void convoke_node_free(convoke_node *node);

/**
 * Changes what can be changed of a node that is open: the options `seeds`, `secret`, `secret.previous`, `secret.file` and
 * `secret.user`, and those that begin with `tls.`; files are read anew.
 *
 * New seeds are dialled at once. An address that is none any more and is not linked is not dialled any longer; links stay.
 *
 * Connections that begin from now on follow the new values. Links that there are go on: each has keys of its own. So a
 * secret is changed without losing anything. First every node gets the new secret as `secret` and the old one as
 * `secret.previous`, one node after the other; when all have it, every node gets the new one alone. Certificates are
 * renewed by writing the new ones into the files and calling this with the options as they are.
 *
 * With the option `reload.links` = `end` the links are cut that were made under what is good no more: a secret that is neither `secret`
 * nor in `secret.previous`, files of certificates that have changed. That is for the last round, to shut out whoever has got an
 * old secret or a certificate that is revoked now. It counts as a broken link: both ends dial each other again, and meanwhile locks may be lost
 * (CONVOKE_REASON_MINORITY). convoke_node_peers says which links were made under what.
 *
 * @param node the node.
 * @param options everything that the node was opened with, and the new values. NULL for the defaults.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `node` is not a live node.
 * @retval CONVOKE_E_OPTION another option differs from what the node was opened with, the options do not fit together, a
 *         secret is none, others may read or write the file of `secret.file`, or the node was opened without a secret and is
 *         to get one, or the reverse: see the detail. Nothing was changed.
 * @retval CONVOKE_E_UNSUPPORTED the options ask for TLS, and this library was built without it. Nothing was changed.
 * @retval CONVOKE_E_IO a file cannot be read: see the detail. Nothing was changed.
 * @retval CONVOKE_E_FULL the seeds were not changed: the node has not got round to too many earlier calls. Try again.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process, or another thread of the parent was at
 *         these options when this child was forked.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; reads files on the calling thread
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_reload(convoke_node *node, const convoke_options *options);

/**
 * The name of the node: the option `name`, or what the library made up.
 *
 * @param node the node.
 * @param buf room for `cap` bytes; receives the name with a zero at the end, cut if it does not fit. NULL with a `cap` of
 *        0 asks for the length.
 * @param cap the size of `buf`.
 * @param len_out receives the length of the name without its zero, also when it does not fit; may be NULL.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_BUFFER the name does not fit. Try again with `*len_out` + 1 bytes.
 * @retval CONVOKE_E_INVALID `node` is not a live node, or `buf` is NULL and `cap` is not 0.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: erlang:node/0
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_name(const convoke_node *node, char *buf, size_t cap,
    size_t *len_out);

/**
 * The address that other nodes dial: with the port that was chosen when the option `listen` left it open.
 *
 * @param node the node.
 * @param buf as for convoke_node_name.
 * @param cap the size of `buf`.
 * @param len_out as for convoke_node_name.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_BUFFER the address does not fit. Try again with `*len_out` + 1 bytes.
 * @retval CONVOKE_E_INVALID `node` is not a live node, or `buf` is NULL and `cap` is not 0.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_address(const convoke_node *node, char *buf, size_t cap,
    size_t *len_out);

/**
 * Makes a link to the node at an address, once. Nodes that are linked find all others by themselves; addresses that are
 * to be dialled for ever belong into the option `seeds`. A name may stand for several addresses, and a range of ports does:
 * each is dialled, and one that leads to a link is enough.
 *
 * @param process on whose behalf; its node dials.
 * @param address host and port, UTF-8, zero-terminated: "10.0.0.7:4370", "[::1]:4370", "host.example:4370",
 *        "127.0.0.1:4370-4380".
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait for the link, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK there is a link; with `op_out`: the operation has begun.
 * @retval CONVOKE_E_UNREACHABLE nobody answers at the address. Try again later.
 * @retval CONVOKE_E_TIMEOUT there was no link in time.
 * @retval CONVOKE_E_AUTH the two nodes share no secret, only one of them has one, or their clusters have different names:
 *         the detail says which. Check the options `secret`, `secret.file` and `cluster` on both.
 * @retval CONVOKE_E_OPTION the address is on another machine, and the node has no secret. Set the option `secret` or
 *         `secret.file`.
 * @retval CONVOKE_E_VERSION the other end speaks no version of the protocol that this one does.
 * @retval CONVOKE_E_EXISTS the other end refuses this node, because another one has the same name.
 * @retval CONVOKE_E_INVALID an argument is NULL, not UTF-8, not a live process, not an address, or below -1.
 * @retval CONVOKE_E_FULL too many operations are under way, or the node has as many links as it may.
 * @retval CONVOKE_E_IO this machine did not try: no descriptor, memory, port or thread is left, or a rule forbids it; see the
 *         detail.
 * @retval CONVOKE_E_NO_PROCESS the process has exited.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: net_kernel:connect_node/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_connect(convoke_process *process, const char *address,
    int64_t timeout_ms, convoke_ref *op_out);

/**
 * Ends the link to a node, and does not dial it again until convoke_node_connect asks for it. Both sides see the other
 * as down, with CONVOKE_REASON_DISCONNECTED. For locks that is a broken link, on both sides: whoever keeps at most half of the nodes
 * that a lock was taken on gets LOCK_LOST with CONVOKE_REASON_MINORITY.
 *
 * The other node may still dial this one; a disconnected pair that both know keeps apart until one of them connects. What
 * is not dialled are the addresses that led to it; one that leads to another node each time (a balancer) may bring it back.
 *
 * @param process on whose behalf.
 * @param node_name the name of the node, UTF-8, zero-terminated.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK the link is over; with `op_out`: the operation has begun.
 * @retval CONVOKE_E_NOT_FOUND there is no link to a node of that name.
 * @retval CONVOKE_E_TIMEOUT it was not done in time.
 * @retval CONVOKE_E_INVALID an argument is NULL, not UTF-8, not a live process, or below -1.
 * @retval CONVOKE_E_FULL too many operations are under way.
 * @retval CONVOKE_E_NO_PROCESS the process has exited.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: erlang:disconnect_node/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_disconnect(convoke_process *process, const char *node_name,
    int64_t timeout_ms, convoke_ref *op_out);

/**
 * The nodes that this node has a link to now, itself not among them. Each row has a name, an address
 * (CONVOKE_FIELD_ADDRESS) and an incarnation (CONVOKE_FIELD_NODE, as in the pids of its processes).
 *
 * And each says how its link is protected: CONVOKE_FIELD_PROTECTION, CONVOKE_FIELD_CREDENTIAL, CONVOKE_FIELD_EXPIRES_MS,
 * CONVOKE_FIELD_SINCE_MS; and CONVOKE_FIELD_IS_REPLACED, which is 0 on all rows of all nodes when a change of the secret or of
 * certificates is through.
 *
 * @param node the node.
 * @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `node` is not a live node, or `list_out` is NULL.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @see Erlang: erlang:nodes/0
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_peers(const convoke_node *node, convoke_list **list_out);

/**
 * Waits until the tables of this node and of all nodes that it knows are merged: every seed was tried, every node that
 * was learned of is linked, and each has the facts of the other. Nodes that cannot be reached are not waited for; a node
 * that is alone is in sync at once.
 *
 * What other nodes published before this returns is seen here, and the reverse. Clashes of names that came to light may
 * still be undecided.
 *
 * @param process on whose behalf; its node is meant.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK all tables are merged; with `op_out`: the operation has begun.
 * @retval CONVOKE_E_TIMEOUT not all are merged yet. Nothing is undone: the rest is under way.
 * @retval CONVOKE_E_INVALID `process` is not a live process, or `timeout_ms` is below -1.
 * @retval CONVOKE_E_FULL too many operations are under way.
 * @retval CONVOKE_E_NO_PROCESS the process has exited.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: global:sync/0
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_sync(convoke_process *process, int64_t timeout_ms,
    convoke_ref *op_out);

/**
 * Tells a process which nodes there are and what becomes of them: a NODE_UP event for each present peer, one
 * SNAPSHOT_END, then NODE_UP and NODE_DOWN events as links come and go, each with this reference. Nodes that come and go
 * while that is unread are counted by one event: see section 5.
 *
 * @param process who is told.
 * @param ref_out receives the monitor; end it with convoke_cancel. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `process` is not a live process, or `ref_out` is NULL.
 * @retval CONVOKE_E_FULL too many monitors and operations are under way, or calls that the node has not got round to.
 * @retval CONVOKE_E_NO_PROCESS the process has exited.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: net_kernel:monitor_nodes/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_monitor(convoke_process *process, convoke_ref *ref_out);

/**
 * Numbers about the node: see convoke_stats. They are read one after the other, not at one moment.
 *
 * @param node the node.
 * @param stats set `stats->struct_size` to `sizeof(convoke_stats)` first; the rest is filled in, or zeroed on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `node` is not a live node, `stats` is NULL, or `struct_size` is less than that of a size_t or
 *         more than 4096.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_stats(const convoke_node *node, convoke_stats *stats);

/**
 * Metrics of the node as OpenMetrics 1.0 text, to be served to Prometheus and the like: links, traffic, names, locks, claims
 * in flight, clashes, queues, round trips and more, each with a label `node`. docs/operations.md lists them.
 *
 * Asks the node's thread, and waits for two seconds at most. If that does not answer, what only it knows is left out, and
 * the metric that says so is 0.
 *
 * @param node the node.
 * @param text_out receives a list with one row, whose CONVOKE_FIELD_TEXT is the text (UTF-8, with a zero behind it); owned by
 *        the caller: free it with convoke_list_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `node` is not a live node, or `text_out` is NULL.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_metrics(const convoke_node *node, convoke_list **text_out);

/**
 * What is under way on the node as JSON: every operation that is not answered, since when, and which nodes it waits for;
 * who holds the locks that others wait for; links and how long their peers have been silent; clashes, resolvers, queues.
 * The first thing to look at when something hangs; docs/operations.md explains it.
 *
 * Lists are cut after some hundreds of rows and long names after 256 bytes, so the text is a few MiB at most. Names that are
 * not UTF-8 are objects with their bytes in hexadecimal. Fields may be added in later versions.
 *
 * Asks the node's thread, and waits for two seconds at most. If that does not answer, "node_thread" is "stuck", and the text
 * has what is known without it.
 *
 * @param node the node.
 * @param text_out receives a list with one row, whose CONVOKE_FIELD_TEXT is the text (UTF-8, with a zero behind it); owned by
 *        the caller: free it with convoke_list_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `node` is not a live node, or `text_out` is NULL.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_node_dump(const convoke_node *node, convoke_list **text_out);

/* ==================================================================================================================
 * 4  Queues
 * A queue is where the events of one or many processes wait. It is served in three ways, freely mixed: pull with
 * convoke_queue_next; watch its descriptor in an event loop; or have callbacks called, by convoke_queue_dispatch on a
 * thread of the program or by the queue's own thread.
 *
 * Events of one process come in the order in which they happened to it; messages of one sender to one receiver in the
 * order sent. Messages are bounded (their sender gets CONVOKE_E_FULL); no other event is dropped, but some are merged while
 * they are unread: section 5 says which.
 * ================================================================================================================== */

/**
 * Makes a queue for processes of a node.
 *
 * @param node the node.
 * @param queue_out receives the queue, owned by the caller: free it with convoke_queue_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `node` is not a live node, or `queue_out` is NULL.
 * @retval CONVOKE_E_IO the system has no descriptor left; see the detail.
 * @retval CONVOKE_E_MEMORY there is no memory for another queue.
 * @retval CONVOKE_E_FULL there are more queues in this program than the library can number.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_queue_new(convoke_node *node, convoke_queue **queue_out);

/**
 * Frees a queue. Never waits: when it returns no new callback starts, one that runs on another thread may still be
 * finishing (callback rule 5). The queue's own thread ends by itself.
 *
 * Events that wait in it are dropped, and its processes get no further ones; the processes live on and are still to be
 * freed. The descriptor of the queue is closed when its last user has left.
 *
 * @param queue the queue, or NULL: then nothing happens. A queue freed before is left alone.
 * @threads any; also in callbacks of the queue, static destructors and a forked child (where it does nothing to the
 *          parent's queue)
 * @since 0.1.0
 */
CONVOKE_API void convoke_queue_free(convoke_queue *queue);

/**
 * A descriptor for `poll`, `epoll` and the event loops built on them: readable exactly while the queue has something
 * (level-triggered), or was woken. Watch for reading only; then take events with a timeout of 0 until
 * CONVOKE_E_TIMEOUT, or come back.
 *
 * @param queue the queue.
 * @param fd_out receives the descriptor, lent until convoke_queue_free: never read, write or close it. -1 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `queue` is not a live queue, or `fd_out` is NULL.
 * @retval CONVOKE_E_IO the system has no descriptor left.
 * @retval CONVOKE_E_CLOSED the queue is being freed.
 * @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_queue_fd(convoke_queue *queue, int *fd_out);

/**
 * Takes the oldest event.
 *
 * After the node has closed the events that wait can still be taken; the last is NODE_CLOSED.
 *
 * @param queue the queue.
 * @param timeout_ms how long to wait for one; -1 for ever, 0 not at all.
 * @param event_out receives the event, owned by the caller: free it with convoke_event_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_TIMEOUT there was none in time, or convoke_queue_wake was called.
 * @retval CONVOKE_E_INVALID `queue` is not a live queue, `event_out` is NULL, or `timeout_ms` is below -1.
 * @retval CONVOKE_E_CLOSED the node is closed and all was taken, or the queue is being freed. Free it.
 * @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; several threads may take from one queue, each event goes to one of them
 * @see Erlang: the receive expression
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_queue_next(convoke_queue *queue, int64_t timeout_ms,
    convoke_event **event_out);

/**
 * Sets what convoke_queue_dispatch and the queue's own thread call with each event, but for processes that have a handler
 * of their own (convoke_process_set_handler). See the callback contract.
 *
 * Without a handler events wait, and a dispatch that meets one answers CONVOKE_E_STATE.
 *
 * @param queue the queue.
 * @param fn the handler; NULL for none any more.
 * @param user_data handed to `fn` as it is; owned by the library until `free_fn` is called with it.
 * @param free_fn gives `user_data` back, exactly once, also when this call fails; may be NULL.
 * @return the status:
 * @retval CONVOKE_OK the former handler is replaced; its `free_fn` is called when its last call has ended.
 * @retval CONVOKE_E_INVALID `queue` is not a live queue.
 * @retval CONVOKE_E_CLOSED the queue is being freed, or the node is closed.
 * @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; also in callbacks of the queue
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_queue_set_handler(convoke_queue *queue, convoke_event_fn fn,
    void *user_data, convoke_free_fn free_fn);

/**
 * Calls the handlers with events that wait, on the calling thread, and waits for the first one.
 *
 * @param queue the queue.
 * @param max_events return after so many; 0 for those that wait when the call begins (at least one).
 * @param timeout_ms how long to wait for the first; -1 for ever, 0 not at all.
 * @param count_out receives how many events were handled, 0 on failure; may be NULL.
 * @return the status:
 * @retval CONVOKE_OK at least one event was handled.
 * @retval CONVOKE_E_TIMEOUT there was none in time, or convoke_queue_wake was called.
 * @retval CONVOKE_E_INVALID `queue` is not a live queue, or `timeout_ms` is below -1.
 * @retval CONVOKE_E_WOULD_DEADLOCK called from a callback of this queue. Return from it first.
 * @retval CONVOKE_E_STATE there is no handler for the first event. It stays in the queue.
 * @retval CONVOKE_E_CLOSED the node is closed and all was handled, or the queue is being freed. Free it.
 * @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any, but not from a callback of the same queue; callbacks of one queue never overlap, so a second thread waits
 *          until the first has returned from its callback
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_queue_dispatch(convoke_queue *queue, uint32_t max_events, int64_t timeout_ms,
    uint32_t *count_out);

/**
 * Starts a thread of the library that does nothing but call the handlers with each event: for programs without an event
 * loop. All signals are blocked in it. It ends with convoke_queue_stop_thread, convoke_queue_free, or the last event after
 * the node has closed.
 *
 * @param queue the queue.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `queue` is not a live queue.
 * @retval CONVOKE_E_STATE the thread runs already.
 * @retval CONVOKE_E_IO the system has no thread left.
 * @retval CONVOKE_E_CLOSED the node is closed, or the queue is being freed.
 * @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_queue_start_thread(convoke_queue *queue);

/**
 * Ends the queue's own thread and waits until it is gone: then no callback of it runs any more. Events stay in the queue.
 *
 * @param queue the queue.
 * @param timeout_ms how long to wait; -1 for ever, 0 not at all.
 * @return the status:
 * @retval CONVOKE_OK the thread has ended, or there was none.
 * @retval CONVOKE_E_TIMEOUT its callback is still running; it ends after that. May be called again.
 * @retval CONVOKE_E_WOULD_DEADLOCK called from a callback on that thread: it ends when the callback returns.
 * @retval CONVOKE_E_INVALID `queue` is not a live queue, or `timeout_ms` is below -1.
 * @retval CONVOKE_E_CLOSED the queue is being freed.
 * @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_queue_stop_thread(convoke_queue *queue, int64_t timeout_ms);

/**
 * Makes a convoke_queue_next or convoke_queue_dispatch that waits, or else the next one, return early with
 * CONVOKE_E_TIMEOUT. Several calls before it returns are one.
 *
 * Leaves the text of convoke_last_error alone.
 *
 * @param queue the queue.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `queue` is not a live queue.
 * @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any; async-signal-safe
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_queue_wake(convoke_queue *queue);

/* ==================================================================================================================
 * 5  Events
 * An event never changes. What its accessors lend lives as long as the event does: until convoke_event_free, or in a
 * callback until it returns, unless convoke_event_retain was called. Which fields an event has depends on its kind; the
 * comments of the CONVOKE_EVENT_ constants say which, and ask for any other and the answer is CONVOKE_E_NOT_FOUND.
 *
 * The named accessors are shorthand; convoke_event_bytes, convoke_event_pid and convoke_event_u64 reach every field of
 * every kind. Events are plain memory: they can be read and freed after their node was freed, and in a forked child.
 *
 * What is merged, so that a process which does not read for long is not buried. It happens between events that are both unread,
 * of one monitor or for one process; what was read is never told again or counted again:
 * - NAME_CHANGED: of the changes of one name one event, with the pid before the first (CONVOKE_FIELD_OLD_PID) and after the last
 *   of them (CONVOKE_FIELD_PEER), which may be the same. CONVOKE_FIELD_CHANGES says how many they were.
 * - NODE_UP and NODE_DOWN: a node that came up and went down again is told of by one NODE_DOWN, with a CONVOKE_FIELD_CHANGES of
 *   2; further such nodes are merged into that event, which moves back in the queue, has node, name, address and reason of the
 *   last of them, and counts 2 for each. A NODE_DOWN for a node whose NODE_UP was read counts 1, and is always told, as is the
 *   NODE_UP of every node that is there when the process reads.
 * - GROUP_JOINED and GROUP_LEFT: of one member, what they come to; nothing, if that is what was told before.
 * - LOCK_WANTED: of one watch, the newest who waits.
 * - SENDABLE: one for each receiver.
 * - LOG: beyond 1024 they are dropped, and the next one counts them (CONVOKE_FIELD_VALUE).
 *
 * MESSAGE, EXIT, DONE, NAME_CONFLICT and LOCK_LOST are told one by one.
 * ================================================================================================================== */

/**
 * What the event tells.
 *
 * @param event the event.
 * @return one of the CONVOKE_EVENT_ constants, or a number that this version of the header does not know: ignore such an
 *         event. 0 if `event` is NULL.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_event_kind convoke_event_get_kind(const convoke_event *event);

/**
 * Keeps an event, beyond the return of a callback for example: it then has one more owner.
 *
 * @param event the event.
 * @return `event`; NULL if it is NULL. Free it with convoke_event_free, once for each call.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_event *convoke_event_retain(convoke_event *event);

/**
 * Frees an event. To be called exactly once for each event taken and for each convoke_event_retain; never for an event
 * that is only lent to a callback.
 *
 * @param event the event, or NULL: then nothing happens.
 * @threads any; not while another thread uses the event without an ownership of its own
 * @since 0.1.0
 */
CONVOKE_API void convoke_event_free(convoke_event *event);

/**
 * The process that the event is for (CONVOKE_FIELD_PID): it tells processes that share a queue apart.
 *
 * @param event the event.
 * @param pid_out receives the pid; none on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL.
 * @retval CONVOKE_E_NOT_FOUND the event is for the queue as a whole.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_event_process(const convoke_event *event, convoke_pid *pid_out);

/**
 * The other process concerned (CONVOKE_FIELD_PEER): the sender of a message, the process that exited, the new owner of a
 * name, the receiver that has room again, the member of a group, the process that waits for a lock, the second process of a
 * clash. It is none where there is nobody, such as for a name that is free now.
 *
 * @param event the event.
 * @param pid_out receives the pid; none on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL.
 * @retval CONVOKE_E_NOT_FOUND events of this kind have none.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_event_peer(const convoke_event *event, convoke_pid *pid_out);

/**
 * The name concerned (CONVOKE_FIELD_NAME): a registered name, a group, the resource of a lock, or the name of a node.
 *
 * @param event the event.
 * @param data_out receives the bytes, lent as long as the event lives; NULL on failure.
 * @param len_out receives their length; 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL.
 * @retval CONVOKE_E_NOT_FOUND events of this kind have none.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_event_name(const convoke_event *event, const void **data_out, size_t *len_out);

/**
 * The payload of a message, or the data of an exit (CONVOKE_FIELD_PAYLOAD). Aligned for nothing: copy before casting.
 *
 * @param event the event.
 * @param data_out receives the bytes, lent as long as the event lives; NULL on failure, never NULL on success.
 * @param len_out receives their length, which may be 0; 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL.
 * @retval CONVOKE_E_NOT_FOUND events of this kind have none.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_event_payload(const convoke_event *event, const void **data_out, size_t
    *len_out);

/**
 * Why (CONVOKE_FIELD_REASON): of an exit, of a node that went down, of a name or a lock that was lost, of a leaving.
 *
 * @param event the event.
 * @return one of the CONVOKE_REASON_ constants or a reason of an application; CONVOKE_REASON_NORMAL for kinds that have
 *         none, and if `event` is NULL.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_reason convoke_event_get_reason(const convoke_event *event);

/**
 * The monitor or the operation that the event belongs to (CONVOKE_FIELD_REF).
 *
 * @param event the event.
 * @return the reference; 0 for kinds that have none, and if `event` is NULL.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_ref convoke_event_ref(const convoke_event *event);

/**
 * How an operation ended: what the call would have returned had it waited (CONVOKE_FIELD_STATUS).
 *
 * Statuses of the operation and of this call are one set: make sure first that the kind is DONE.
 *
 * @param event the event.
 * @param detail_out receives a text that says more, UTF-8 and zero-terminated, often empty, lent as long as the event
 *        lives; NULL when this is no DONE event. May be NULL.
 * @return the status of the operation, any that its function documents, or:
 * @retval CONVOKE_OK the operation did what it says.
 * @retval CONVOKE_E_INVALID `event` is NULL.
 * @retval CONVOKE_E_STATE the event is not of the kind DONE.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_event_result(const convoke_event *event, const char **detail_out);

/**
 * What an operation yielded beside its status (CONVOKE_FIELD_VALUE): for convoke_process_is_alive 1 or 0, for
 * convoke_lock_acquire the fencing token.
 *
 * @param event the event.
 * @return the value; 0 for kinds that have none, and if `event` is NULL.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API uint64_t convoke_event_value(const convoke_event *event);

/**
 * Any field that consists of bytes.
 *
 * @param event the event.
 * @param field one of the CONVOKE_FIELD_ constants.
 * @param data_out receives the bytes, lent as long as the event lives; NULL on failure, never NULL on success.
 * @param len_out receives their length; 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL.
 * @retval CONVOKE_E_NOT_FOUND events of this kind have no such field, or it does not consist of bytes.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_event_bytes(const convoke_event *event, convoke_field field, const void
    **data_out, size_t *len_out);

/**
 * Any field that is a pid.
 *
 * @param event the event.
 * @param field one of the CONVOKE_FIELD_ constants.
 * @param pid_out receives the pid, which may be none where the field says "nobody"; none on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL.
 * @retval CONVOKE_E_NOT_FOUND events of this kind have no such field, or it is not a pid.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_event_pid(const convoke_event *event, convoke_field field, convoke_pid *pid_out);

/**
 * Any field that is a number.
 *
 * @param event the event.
 * @param field one of the CONVOKE_FIELD_ constants.
 * @param value_out receives the number; 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL.
 * @retval CONVOKE_E_NOT_FOUND events of this kind have no such field, or it is not a number.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_event_u64(const convoke_event *event, convoke_field field, uint64_t *value_out);

/* ==================================================================================================================
 * 6  Processes
 * A process is a light entity with a pid and a mailbox: not a thread, nothing runs in it. Names, locks and memberships
 * of groups belong to processes, and messages are sent to them. It lives until it exits, is killed, its handle is freed, or its node closes.
 *
 * Any number of threads may use a process at once.
 * ================================================================================================================== */

/**
 * Makes a process on a node.
 *
 * @param node the node.
 * @param queue where its events go, a queue of the same node that may serve others too; NULL gives it a mailbox of its
 *        own, read by convoke_process_recv.
 * @param process_out receives the process, owned by the caller: free it with convoke_process_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `node` is not a live node, `queue` is not NULL and not a live queue of this node, or
 *         `process_out` is NULL.
 * @retval CONVOKE_E_FULL the node has as many processes as it may (option `limits.processes`), or it has not got round to too
 *         many earlier calls, ends of processes among them (option `limits.operations`). Try again.
 * @retval CONVOKE_E_IO the system has no descriptor left.
 * @retval CONVOKE_E_MEMORY there is no memory for another process.
 * @retval CONVOKE_E_CLOSED the node is closed, or the queue is being freed.
 * @retval CONVOKE_E_FORKED the node or the queue was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: erlang:spawn/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_process_spawn(convoke_node *node, convoke_queue *queue,
    convoke_process **process_out);

/**
 * Ends the process: its names, locks, memberships and monitors go, its pending operations and waiting calls end with
 * CONVOKE_E_NO_PROCESS, and each process that monitors it gets one EXIT event with this reason and data. It gets none
 * itself. Messages that it has sent are still delivered, before the EXIT; those that it has not read are dropped.
 *
 * The handle stays to be freed.
 *
 * @param process the process.
 * @param reason CONVOKE_REASON_NORMAL, CONVOKE_REASON_EXPLICIT, or one of the application's own from
 *        CONVOKE_REASON_USER on.
 * @param data for whoever monitors it, copied; NULL if `len` is 0.
 * @param len its length in bytes, at most 64 KiB.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `process` is not a live process, `data` is NULL and `len` is not 0, or the reason is one that
 *         only the library gives.
 * @retval CONVOKE_E_TOO_BIG `len` is more than 64 KiB.
 * @retval CONVOKE_E_NO_PROCESS it has exited before.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: erlang:exit/1
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_process_exit(convoke_process *process, convoke_reason reason, const void *data,
    size_t len);

/**
 * Frees the handle of a process. If the process lives it exits, with CONVOKE_REASON_FREED. Never waits.
 *
 * @param process the process, or NULL: then nothing happens. A process freed before is left alone.
 * @threads any; also in callbacks, static destructors and a forked child (where it does nothing to the parent's process)
 * @since 0.1.0
 */
CONVOKE_API void convoke_process_free(convoke_process *process);

/**
 * The pid of the process: also after it has exited.
 *
 * @param process the process.
 * @param pid_out receives the pid; none on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `process` is not a live process, or `pid_out` is NULL.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: erlang:self/0
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_process_pid(const convoke_process *process, convoke_pid *pid_out);

/**
 * Takes the oldest event from the mailbox of a process that was spawned without a queue.
 *
 * After the process has exited the events that wait can still be taken.
 *
 * @param process the process.
 * @param timeout_ms how long to wait for one; -1 for ever, 0 not at all.
 * @param event_out receives the event, owned by the caller: free it with convoke_event_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_TIMEOUT there was none in time.
 * @retval CONVOKE_E_STATE the process has no mailbox of its own: its events go to its queue.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `event_out` is NULL, or `timeout_ms` is below -1.
 * @retval CONVOKE_E_NO_PROCESS the process has exited and all was taken.
 * @retval CONVOKE_E_CLOSED the node is closed and all was taken.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: the receive expression
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_process_recv(convoke_process *process, int64_t timeout_ms,
    convoke_event **event_out);

/**
 * Sets what is called with the events of this process instead of the handler of its queue. See the callback contract.
 *
 * @param process a process that was spawned on a queue.
 * @param fn the handler; NULL for that of the queue again.
 * @param user_data handed to `fn` as it is; owned by the library until `free_fn` is called with it.
 * @param free_fn gives `user_data` back, exactly once, also when this call fails; may be NULL.
 * @return the status:
 * @retval CONVOKE_OK the former handler is replaced; its `free_fn` is called when its last call has ended.
 * @retval CONVOKE_E_STATE the process has a mailbox of its own, which calls nobody.
 * @retval CONVOKE_E_INVALID `process` is not a live process.
 * @retval CONVOKE_E_NO_PROCESS the process has exited.
 * @retval CONVOKE_E_CLOSED the node is closed, or the queue is being freed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; also in callbacks of the process
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_process_set_handler(convoke_process *process, convoke_event_fn fn, void
    *user_data, convoke_free_fn free_fn);

/**
 * Monitors another process: exactly one EXIT event with this reference follows, when it exits, when its node goes down or
 * the link to it, or at once if there is no such process. Several monitors of one process are independent.
 *
 * @param process who is told.
 * @param target who is watched; may be on any node.
 * @param ref_out receives the monitor; end it with convoke_cancel. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `process` is not a live process, `target` is NULL or none, or `ref_out` is NULL.
 * @retval CONVOKE_E_FULL too many monitors and operations are under way, or the node has not got round to too many earlier
 *         calls (option `limits.operations`). A monitor that is cancelled counts until the node has got round to that.
 * @retval CONVOKE_E_NO_PROCESS `process` has exited.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @see Erlang: erlang:monitor/2
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_process_monitor(convoke_process *process, const convoke_pid
    *target, convoke_ref *ref_out);

/**
 * Kills any process, on this node or another. It gets a last EXIT event about itself, and those that monitor it get
 * theirs. Goes the way of the messages from `from` to it: those sent before arrive before.
 *
 * Nothing tells whether there was such a process: monitor it to know.
 *
 * @param from on whose behalf; named in the events as CONVOKE_FIELD_KILLED_BY.
 * @param target who is to end.
 * @param reason CONVOKE_REASON_KILLED, CONVOKE_REASON_EXPLICIT, or one of the application's own from CONVOKE_REASON_USER on;
 *        CONVOKE_REASON_NORMAL counts as KILLED.
 * @return the status:
 * @retval CONVOKE_OK it is on its way.
 * @retval CONVOKE_E_INVALID `from` is not a live process, `target` is NULL or none, or the reason is one that only the
 *         library gives.
 * @retval CONVOKE_E_UNREACHABLE there is no link to the node of `target`.
 * @retval CONVOKE_E_FULL the node has not got round to too many earlier calls (option `limits.operations`), or the node of
 *         `target` leaves too much unread. Try again.
 * @retval CONVOKE_E_NO_PROCESS `from` has exited, or `target` is known to be no more.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @see Erlang: erlang:exit/2
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_process_kill(convoke_process *from, const convoke_pid *target, convoke_reason
    reason);

/**
 * Asks the home of a process whether it lives.
 *
 * @param process on whose behalf.
 * @param pid who is asked about; may be on any node.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param alive_out receives the answer; false on failure. May be NULL if `op_out` is not: the answer is then the value of
 *        the DONE event, 1 or 0.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK `*alive_out` holds the answer; with `op_out`: the operation has begun.
 * @retval CONVOKE_E_UNREACHABLE there is no link to the home of `pid`, so nobody knows.
 * @retval CONVOKE_E_TIMEOUT its home did not answer in time.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `pid` is NULL or none, both outputs are NULL, or `timeout_ms` is
 *         below -1.
 * @retval CONVOKE_E_FULL too many operations are under way.
 * @retval CONVOKE_E_NO_PROCESS `process` has exited.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: erlang:is_process_alive/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_process_is_alive(convoke_process *process, const convoke_pid
    *pid, int64_t timeout_ms, bool *alive_out, convoke_ref *op_out);

/**
 * Ends a monitor, silently, or a pending operation of a process: its DONE event then says CONVOKE_E_CANCELLED, unless it was
 * complete already. Exactly one DONE follows in every case. An event of the monitor that waits already still comes.
 *
 * @param process whose monitor or operation it is.
 * @param ref what was given out; one that has ended is left alone.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `process` is not a live process, or `ref` is 0.
 * @retval CONVOKE_E_NO_PROCESS the process has exited, and its monitors and operations with it.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits
 * @see Erlang: erlang:demonitor/1
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_cancel(convoke_process *process, convoke_ref ref);

/**
 * The text form of a pid: the incarnation in 16 hexadecimal digits, a dot, and the serial: "1f00c0de0badcafe.12".
 * At most 37 bytes with the zero.
 *
 * @param pid the pid; none has a text form too.
 * @param buf as for convoke_node_name.
 * @param cap the size of `buf`.
 * @param len_out as for convoke_node_name.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_BUFFER the text does not fit. Try again with `*len_out` + 1 bytes.
 * @retval CONVOKE_E_INVALID `pid` is NULL, or `buf` is NULL and `cap` is not 0.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @see Erlang: erlang:pid_to_list/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_pid_format(const convoke_pid *pid, char *buf, size_t cap, size_t
    *len_out);

/**
 * The pid with this text form: the inverse of convoke_pid_format, and as strict: what it would not have written is refused.
 *
 * @param text the text, needs no zero at the end.
 * @param len its length in bytes.
 * @param pid_out receives the pid; none on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID the text is no pid, or a pointer is NULL.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @see Erlang: erlang:list_to_pid/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_pid_parse(const char *text, size_t len, convoke_pid *pid_out);

/**
 * The name of the node that a process lives on, as far as this node knows it: itself, or one that it has a link to.
 *
 * @param node the node that is asked.
 * @param pid the process.
 * @param buf as for convoke_node_name.
 * @param cap the size of `buf`.
 * @param len_out as for convoke_node_name.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_NOT_FOUND the node has no link to the home of the process.
 * @retval CONVOKE_E_BUFFER the name does not fit. Try again with `*len_out` + 1 bytes.
 * @retval CONVOKE_E_INVALID `node` is not a live node, `pid` is NULL or none, or `buf` is NULL and `cap` is not 0.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @see Erlang: erlang:node/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_pid_node(const convoke_node *node, const convoke_pid *pid, char
    *buf, size_t cap, size_t *len_out);

/* ==================================================================================================================
 * 7  Names
 * A name is any 1 to 1024 bytes (option `limits.name`) and belongs to one process in the whole cluster, until it is
 * unregistered or its process exits. Any process may register any pid, and unregister any name.
 *
 * When two parts of a cluster that were cut off from each other join, and a name is registered in both, its resolver
 * decides once which of the two processes keeps it. Of the two resolvers it is that of the process on the node with the
 * lower incarnation (`node` in convoke_pid). With three and more parts the winner meets the next.
 *
 * - "random-exit", the default: one of the two, chosen at random, keeps the name; the other exits with
 *   CONVOKE_REASON_CONFLICT_LOST.
 * - "random-notify": one of the two, chosen at random, keeps the name; the other gets a NAME_CONFLICT event, in which the
 *   peer is none.
 * - "notify-all": neither keeps the name; each gets a NAME_CONFLICT event, in which the peer is the other.
 * - "keep-oldest": the process that has had the name for longer keeps it, as its node counts since the registration; the
 *   other gets a NAME_CONFLICT event, in which the peer is the winner.
 * - any other: the function that was given to the node of the process by convoke_resolver_add.
 *
 * NAME_CONFLICT events of a clash have CONVOKE_REASON_CONFLICT_LOST.
 *
 * The rules of waiting stand at the head of this file. And in this section:
 * - `pid` NULL, where a process is given a name: the process itself.
 * - Unregistering a name that nobody has is CONVOKE_OK. A resolver that does not exist is CONVOKE_E_NOT_FOUND.
 * ================================================================================================================== */

/**
 * Registers a name for a process; fails if it is taken. When it returns CONVOKE_OK every node that the node of `pid` has a
 * link to shows the name, and at no moment two processes had it.
 *
 * On any other status no node keeps it, with one exception: CONVOKE_E_UNREACHABLE for a pid of another node, whose link
 * broke before the answer, leaves open what became of it, and so does CONVOKE_E_CLOSED.
 *
 * @param process on whose behalf.
 * @param name the name, copied.
 * @param name_len its length in bytes.
 * @param pid who gets the name, on any node; NULL for `process`.
 * @param resolver who decides a clash, UTF-8, zero-terminated: "random-exit", "random-notify", "notify-all",
 *        "keep-oldest", or the name of a function that the node of the process has (see convoke_resolver_add); NULL for
 *        "random-exit". What they do stands above.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK the name is registered; with `op_out`: the operation has begun.
 * @retval CONVOKE_E_EXISTS the name is taken, also when this very process has it; or, with the option `names.per_pid` =
 *         `one`, the process has another. See convoke_name_whereis, convoke_name_reregister, convoke_name_monitor.
 * @retval CONVOKE_E_TIMEOUT not in time: another claim of the name was in the way, or a node did not answer. It is undone. Try
 *         again.
 * @retval CONVOKE_E_NO_PROCESS `process` has exited, or there is no process `pid`.
 * @retval CONVOKE_E_UNREACHABLE there is no link to the node of `pid`.
 * @retval CONVOKE_E_NOT_FOUND the node of the process has no resolver of that name.
 * @retval CONVOKE_E_WOULD_DEADLOCK called by the resolver function that decides a clash of this very name.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, `pid` is none, `resolver` is not UTF-8,
 *         or `timeout_ms` is below -1.
 * @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
 * @retval CONVOKE_E_FULL too many names or operations (options `limits.names`, `limits.operations`).
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: global:register_name/2, global:register_name/3
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_name_register(convoke_process *process, const void *name, size_t
    name_len, const convoke_pid *pid, const char *resolver, int64_t timeout_ms, convoke_ref *op_out);

/**
 * Registers a name for a process in place of the one that has it, if any. At every moment a reader on any node sees the old
 * process or the new one, never none. A name that nobody has is registered.
 *
 * The former process lives on and is told by a NAME_CONFLICT event with CONVOKE_REASON_REPLACED, also where its node has no link
 * to that of the new one; there, and on nodes linked to it alone, the name is nobody's then. Should `process` exit before the
 * answer of another node arrives, what was complete there by then stays.
 *
 * @param process on whose behalf.
 * @param name the name, copied.
 * @param name_len its length in bytes.
 * @param pid who gets the name, on any node; NULL for `process`.
 * @param resolver as for convoke_name_register; replaces the former one.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK every node that the node of `pid` has a link to shows the new process; with `op_out`: the operation has
 *         begun.
 * @retval CONVOKE_E_EXISTS with the option `names.per_pid` = `one`: the process has another name.
 * @retval CONVOKE_E_TIMEOUT not in time: it is undone, the former process has the name. Try again.
 * @retval CONVOKE_E_NO_PROCESS `process` has exited, or there is no process `pid`.
 * @retval CONVOKE_E_UNREACHABLE there is no link to the node of `pid`.
 * @retval CONVOKE_E_NOT_FOUND the node of the process has no resolver of that name.
 * @retval CONVOKE_E_WOULD_DEADLOCK called by the resolver function that decides a clash of this very name.
 * @retval CONVOKE_E_INVALID as for convoke_name_register.
 * @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
 * @retval CONVOKE_E_FULL too many names or operations (options `limits.names`, `limits.operations`).
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: global:re_register_name/2, global:re_register_name/3
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_name_reregister(convoke_process *process, const void *name,
    size_t name_len, const convoke_pid *pid, const char *resolver, int64_t timeout_ms, convoke_ref *op_out);

/**
 * Unregisters a name, whichever process has it. The process lives on and is not told. A name that nobody has: CONVOKE_OK.
 *
 * @param process on whose behalf; need not be the one that has the name.
 * @param name the name, copied.
 * @param name_len its length in bytes.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK it is gone on this node, and on all that have a link to the node of its process; with `op_out`: the
 *         operation has begun. Only where links are missing another node may show the name of a process that this one cannot see.
 * @retval CONVOKE_E_TIMEOUT it is done here, and on its way to the nodes that have not answered yet. Nothing is undone.
 * @retval CONVOKE_E_UNREACHABLE the link to the home of the name's process broke, or there is none.
 * @retval CONVOKE_E_WOULD_DEADLOCK called by the resolver function that decides a clash of this very name.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, or `timeout_ms` is below -1.
 * @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
 * @retval CONVOKE_E_FULL too many operations are under way.
 * @retval CONVOKE_E_NO_PROCESS `process` has exited.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. Nothing is undone.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: global:unregister_name/1
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_name_unregister(convoke_process *process, const void *name, size_t name_len,
    int64_t timeout_ms, convoke_ref *op_out);

/**
 * Looks up which process has a name, as this node sees it: in memory, never blocked by anything.
 *
 * @param node the node.
 * @param name the name.
 * @param name_len its length in bytes.
 * @param pid_out receives the pid; none on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_NOT_FOUND nobody has it.
 * @retval CONVOKE_E_INVALID `node` is not a live node, `name` is NULL or empty, or `pid_out` is NULL.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits
 * @see Erlang: global:whereis_name/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_name_whereis(const convoke_node *node, const void *name, size_t
    name_len, convoke_pid *pid_out);

/**
 * Lists all names that begin with a prefix, as this node sees them. Each row has a name and a pid; they are sorted by name, byte
 * by byte.
 *
 * @param node the node.
 * @param prefix the first bytes of the names; NULL if `prefix_len` is 0.
 * @param prefix_len its length in bytes; 0 for all names.
 * @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK also when there are none.
 * @retval CONVOKE_E_INVALID `node` is not a live node, `prefix` is NULL and `prefix_len` is not 0, or `list_out` is NULL.
 * @retval CONVOKE_E_TOO_BIG `prefix_len` is beyond half of the address space.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @see Erlang: global:registered_names/0
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_name_list(const convoke_node *node, const void *prefix, size_t
    prefix_len, convoke_list **list_out);

/**
 * Monitors a name for a process: a NAME_CHANGED event at once with the present process or none, then one when that
 * changes, each with this reference. Changes that are unread are merged into one event, and counted: see section 5.
 *
 * @param process who is told.
 * @param name the name, copied; need not be registered.
 * @param name_len its length in bytes.
 * @param ref_out receives the monitor; end it with convoke_cancel. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, or `ref_out` is NULL.
 * @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
 * @retval CONVOKE_E_FULL too many monitors and operations are under way, or calls that the node has not got round to.
 * @retval CONVOKE_E_NO_PROCESS the process has exited.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_name_monitor(convoke_process *process, const void *name, size_t
    name_len, convoke_ref *ref_out);

/**
 * Gives a node a function that decides clashes, under a name: names can be registered with it as their resolver from now on.
 *
 * A pointer cannot travel, so each node on which processes register with this resolver needs a function of that name. Where
 * two parts of a cluster that join have the same name, one of the two nodes concerned calls its function, once for the two
 * processes; a link that breaks meanwhile does not make it be called again. Until it returns each side goes on seeing
 * its own process under the name, and only registrations of that name wait.
 *
 * What it returns says who keeps the name and what becomes of whoever loses it: CONVOKE_CLASH_NEITHER, CONVOKE_CLASH_A
 * (the event's process) or CONVOKE_CLASH_B (its peer), with CONVOKE_CLASH_KILL_LOSER or CONVOKE_CLASH_NOTIFY_LOSER added, or
 * without: then the loser lives on and is not told. Anything else, both flags at once too, and no answer within the
 * option `resolver.timeout_ms`, is a failure: no process keeps the name, and both get a NAME_CONFLICT event with the
 * other pid.
 *
 * Functions are called on threads of the node, `convoke/resolver`, never on a queue's. There are up to four such threads, so that a
 * function that hangs delays no other name: calls for different names may run at the same time, those for one name never do,
 * unless the first is late already. They may call anything, but to register, reregister or unregister the name concerned in
 * that cluster is CONVOKE_E_WOULD_DEADLOCK. One that does not return in time keeps its thread until it returns; while four of
 * them do so, clashes there that need a function stay undecided. Closing and freeing the node does not wait for a function
 * that runs.
 *
 * @param node the node.
 * @param resolver the name: 1 to 255 bytes of UTF-8, zero-terminated, copied.
 * @param fn the function. Its event is of kind CONVOKE_EVENT_CLASH and lent until it returns.
 * @param user_data given to it; on several threads at the same time, so mind what it points to.
 * @param free_fn gives `user_data` back when the node is freed and no call is running any more; may be NULL.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_EXISTS the node has a function of that name, or it is the name of a resolver that is built in. A function
 *         cannot be replaced or taken away: names that rely on it are registered.
 * @retval CONVOKE_E_INVALID `node` is not a live node, `resolver` is NULL, empty or not UTF-8, or `fn` is NULL.
 * @retval CONVOKE_E_TOO_BIG the name is longer than 255 bytes.
 * @retval CONVOKE_E_FULL the node has 4096 functions.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: the parameter Resolve of global:register_name/3
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_resolver_add(convoke_node *node, const char *resolver,
    convoke_resolve_fn fn, void *user_data, convoke_free_fn free_fn);

/* ==================================================================================================================
 * 8  Locks
 * A lock is a resource, any bytes, that a process holds on a set of nodes as a requester, any bytes too. Processes with the
 * same requester share it, and each of them has one share, however often it acquires it. Two requesters exclude each other
 * wherever their sets have a node in common that both are linked to; so guard one thing by one set of nodes, best by the
 * default: all nodes that this one has a link to, itself, and those that join while the lock is held.
 *
 * A share ends when it is released, when its process exits, and when its node is closed or dies; nobody else can release it.
 * Those who wait are served in the order in which they began, the oldest first, at once when the lock is free. Whoever
 * shares a lock that is held enters at once. Two processes that wait for each other's lock wait until a timeout: take
 * several locks in one order everywhere.
 *
 * What a lock cannot promise, and what to do about it: a process that is stopped for a while, or cut off by a broken
 * network, may go on in the belief that it holds a lock which others have got meanwhile. So:
 * - Let the resource check. Every acquisition yields a fencing token, and it is larger than the token of every hold by another
 *   requester that was bound at a node of the set before that node agreed. Send the token with every write, and let the store
 *   refuse one that is smaller than the largest it has seen. Across a network that is cut nothing is promised about tokens.
 * - Tokens rise over restarts because each node begins with the clock of its machine: 2^20 times the milliseconds since 1970.
 *   As long as one node of a cluster stays up, the others learn from it what was given. But when all nodes were down at the
 *   same time, and start on machines whose clocks are behind those of before, tokens are smaller than before, and a store
 *   that refuses small ones refuses everybody until the clocks have caught up. So have the clocks set before nodes start, and
 *   do not restart all nodes at once. If it has happened: wait for as long as the clocks differ (the largest token that the
 *   store has seen, divided by 2^20, is a time in milliseconds that has to be over), then restart the nodes; or, when it is
 *   certain that no program of before runs any more, take the store's number back to 0.
 * - Processes that share a lock may have different tokens, and a later one need not have a larger one: let sharers agree on
 *   one token.
 * - A LOCK_LOST event tells the process that it cannot rely on the lock any more, once for what it acquired to be kept and once
 *   for each convoke_lock_with: CONVOKE_REASON_MINORITY, broken links leave at most half of the set (nodes that were closed, or
 *   whose death is certain, are no part of it any more; convoke_node_disconnect breaks a link);
 *   CONVOKE_REASON_SECOND_HOLDER, two parts of a cluster joined, and another requester holds it too and could rely on it as
 *   well. From then on convoke_lock_check says so, until what was lost has been released or acquired anew (on a list: on all
 *   of the list). What a nested convoke_lock_with acquires does not make good what was lost outside of it.
 * - The share still keeps others out until it is released. One that was lost by CONVOKE_REASON_MINORITY ends before that if it
 *   meets another holder when the parts join; nobody is told, and to release it is CONVOKE_E_NOT_OWNER then.
 *
 * A node whose link breaks while a lock is being acquired is waited for until it is back, or for one detection time: for this
 * program may be the one that was stopped or cut off, and another may hold the lock. So is one whose link broke before that, if
 * without such nodes there is no majority.
 *
 * The rules of waiting stand at the head of this file. And in this section:
 * - `requester` NULL with a length of 0: the 16 bytes of the process's pid (node, serial, little endian), shared by nobody
 *   who does not ask for exactly that.
 * - `nodes` NULL with a length of 0: all nodes, as above. Else an array of `nodes_len` names of nodes, UTF-8, zero-terminated;
 *   this node's own may be among them, duplicates do no harm. An array of length 0 is CONVOKE_E_INVALID.
 * ================================================================================================================== */

/**
 * Acquires a lock for a process on all nodes: convoke_lock_acquire_on with no list and CONVOKE_RETRIES_FOREVER.
 *
 * @param process who is to hold it.
 * @param resource what is locked, copied.
 * @param resource_len its length in bytes: 1 to 1024 (option `limits.name`).
 * @param requester as whom, copied; NULL for the process alone.
 * @param requester_len its length in bytes; 0 with NULL.
 * @param timeout_ms how long it may take; 0: it is not waited for while others hold it. See the rules of waiting.
 * @param fence_out receives the fencing token; 0 on failure, and with `op_out`, when convoke_event_value of the DONE event
 *        has it. May be NULL.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK every node of the set has agreed: the process holds the lock; with `op_out`: the operation has begun.
 * @retval CONVOKE_E_TIMEOUT not in time: others have it, or a node did not answer. It is undone. Try again.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, `requester` is NULL and
 *         `requester_len` is not 0 or the reverse, or `timeout_ms` is below -1.
 * @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit.
 * @retval CONVOKE_E_FULL too many locks or operations (options `limits.locks`, `limits.operations`).
 * @retval CONVOKE_E_NO_PROCESS `process` has exited.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: global:set_lock/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_lock_acquire(convoke_process *process, const void *resource,
    size_t resource_len, const void *requester, size_t requester_len, int64_t timeout_ms, uint64_t *fence_out,
    convoke_ref *op_out);

/**
 * Acquires a lock for a process on a set of nodes. When it returns CONVOKE_OK every node of the set has agreed, and no other
 * requester holds it on any of them.
 *
 * If the process holds the lock already, nodes are added to its share: one release still gives all of it back. An attempt
 * that fails gives back only what it has taken itself.
 *
 * A process that cannot have the lock at once waits in a queue, and nobody polls. `retries` bounds the time in it as the manual's
 * attempts would: one try, and so many chances more, which makes at most the sum over k = 1 to `retries` of half of
 * min(250 * 2^(k-1), 8000) ms. `timeout_ms` bounds the whole call. Whichever is over first ends it.
 *
 * @param process who is to hold it.
 * @param resource what is locked, copied.
 * @param resource_len its length in bytes: 1 to 1024 (option `limits.name`).
 * @param requester as whom, copied; NULL for the process alone.
 * @param requester_len its length in bytes; 0 with NULL.
 * @param nodes where, copied: names of nodes; NULL for all.
 * @param nodes_len how many names; 0 with NULL.
 * @param retries chances after the first try; 0: it is not waited for while others hold it; CONVOKE_RETRIES_FOREVER: as many
 *        as the timeout lets it.
 * @param timeout_ms how long it may take; 0: it is not waited for while others hold it. See the rules of waiting.
 * @param fence_out receives the fencing token; 0 on failure, and with `op_out`, when convoke_event_value of the DONE event
 *        has it. May be NULL.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK the process holds the lock; with `op_out`: the operation has begun.
 * @retval CONVOKE_E_TIMEOUT not in time or retries: others have it, or a node did not answer. It is undone. Try again.
 * @retval CONVOKE_E_UNREACHABLE a node of the list has no link to this one, or lost it before all had agreed. It is undone.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, `requester` is NULL and
 *         `requester_len` is not 0 or the reverse, likewise `nodes`, a name in `nodes` is NULL or not UTF-8, or `retries` or
 *         `timeout_ms` is below -1.
 * @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit, or `nodes_len` is beyond any array.
 * @retval CONVOKE_E_FULL too many locks or operations (options `limits.locks`, `limits.operations`).
 * @retval CONVOKE_E_NO_PROCESS `process` has exited.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: global:set_lock/2, global:set_lock/3
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_lock_acquire_on(convoke_process *process, const void *resource,
    size_t resource_len, const void *requester, size_t requester_len, const char *const *nodes, size_t nodes_len,
    int64_t retries, int64_t timeout_ms, uint64_t *fence_out, convoke_ref *op_out);

/**
 * Releases the whole of a process's share of a lock. The one that has waited for longest gets it at once; others that share it keep
 * theirs.
 *
 * @param process who holds it. Nobody else can release it.
 * @param resource what is locked.
 * @param resource_len its length in bytes.
 * @param requester as whom it was acquired; NULL for the process alone.
 * @param requester_len its length in bytes; 0 with NULL.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK no linked node shows the share any more; also when the lock had been lost. With `op_out`: the operation
 *         has begun.
 * @retval CONVOKE_E_NOT_OWNER the process has no share of the lock as this requester, or has none any more: it was lost by
 *         CONVOKE_REASON_MINORITY and has met another holder since. Nothing changes.
 * @retval CONVOKE_E_TIMEOUT it is done here, and on its way to the nodes that have not answered yet. Nothing is undone.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, `requester` is NULL and
 *         `requester_len` is not 0 or the reverse, or `timeout_ms` is below -1.
 * @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit.
 * @retval CONVOKE_E_FULL too many operations are under way.
 * @retval CONVOKE_E_NO_PROCESS `process` has exited, and has given back all its locks by that.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. Nothing is undone.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: global:del_lock/1
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_lock_release(convoke_process *process, const void *resource, size_t resource_len,
    const void *requester, size_t requester_len, int64_t timeout_ms, convoke_ref *op_out);

/**
 * Releases a process's share of a lock on some nodes; on the others of its set it goes on holding it.
 *
 * @param process who holds it. Nobody else can release it.
 * @param resource what is locked.
 * @param resource_len its length in bytes.
 * @param requester as whom it was acquired; NULL for the process alone.
 * @param requester_len its length in bytes; 0 with NULL.
 * @param nodes on which: names of nodes; those that are not of the set do not matter, as long as one is. NULL for all of the
 *        set.
 * @param nodes_len how many names; 0 with NULL.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK no linked node shows that part of the share any more; with `op_out`: the operation has begun.
 * @retval CONVOKE_E_NOT_OWNER the process has no share of the lock as this requester, or none on these nodes. Nothing changes.
 * @retval CONVOKE_E_TIMEOUT it is done here, and on its way to the nodes that have not answered yet. Nothing is undone.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, `requester` is NULL and
 *         `requester_len` is not 0 or the reverse, likewise `nodes`, a name in `nodes` is NULL or not UTF-8, or `timeout_ms`
 *         is below -1.
 * @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit, or `nodes_len` is beyond any array.
 * @retval CONVOKE_E_FULL too many operations are under way.
 * @retval CONVOKE_E_NO_PROCESS `process` has exited, and has given back all its locks by that.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. Nothing is undone.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: global:del_lock/2
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_lock_release_on(convoke_process *process, const void *resource, size_t
    resource_len, const void *requester, size_t requester_len, const char *const *nodes, size_t nodes_len, int64_t
    timeout_ms, convoke_ref *op_out);

/**
 * Whether a process holds a lock and may rely on it, as far as this node knows: a look-up in memory, never blocked by
 * anything. Others may know more: let the resource check the token.
 *
 * @param process who is asked about.
 * @param resource what is locked.
 * @param resource_len its length in bytes.
 * @param requester as whom it was acquired; NULL for the process alone.
 * @param requester_len its length in bytes; 0 with NULL.
 * @param fence_out receives the fencing token; 0 on failure. May be NULL.
 * @return the status:
 * @retval CONVOKE_OK it does.
 * @retval CONVOKE_E_NOT_OWNER it has no share, or has lost it or a part of it (LOCK_LOST), and that was not made good.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, or `requester` is NULL and
 *         `requester_len` is not 0 or the reverse.
 * @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit.
 * @retval CONVOKE_E_NO_PROCESS the process has exited.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_lock_check(const convoke_process *process, const void *resource,
    size_t resource_len, const void *requester, size_t requester_len, uint64_t *fence_out);

/**
 * Runs a function under a lock: acquires it as convoke_lock_acquire_on, calls `fn`, and gives back what it has acquired,
 * also when `fn` has ended the process or closed the node. `fn` is called exactly when CONVOKE_OK is returned.
 *
 * The lock is left as it was found: if the process holds it already, on these nodes or others, it goes on holding it there
 * after the call. So nested use does no harm.
 *
 * A lock that is lost meanwhile is told by its event and not by this status: let `fn` hand its token on, and ask
 * convoke_lock_check before it relies on what it has done.
 *
 * @param process who is to hold it.
 * @param resource what is locked, copied.
 * @param resource_len its length in bytes: 1 to 1024 (option `limits.name`).
 * @param requester as whom, copied; NULL for the process alone.
 * @param requester_len its length in bytes; 0 with NULL.
 * @param nodes where, copied: names of nodes; NULL for all.
 * @param nodes_len how many names; 0 with NULL.
 * @param retries as for convoke_lock_acquire_on.
 * @param timeout_ms how long it may take to get the lock, and once more to give it back; see the rules of waiting.
 * @param fn what to run, on this thread, with no lock of the library held: it may call everything. It gets the fencing token.
 * @param user_data handed to `fn`.
 * @param result_out receives what `fn` returned; 0 on failure. May be NULL.
 * @return the status:
 * @retval CONVOKE_OK `fn` was called.
 * @retval CONVOKE_E_ABORTED the lock was not obtained in time or retries.
 * @retval CONVOKE_E_UNREACHABLE a node of the list has no link to this one, or lost it before all had agreed.
 * @retval CONVOKE_E_INVALID as for convoke_lock_acquire_on, or `fn` is NULL.
 * @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit, or `nodes_len` is beyond any array.
 * @retval CONVOKE_E_FULL too many locks or operations (options `limits.locks`, `limits.operations`).
 * @retval CONVOKE_E_NO_PROCESS `process` has exited.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: global:trans/2, global:trans/3, global:trans/4
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_lock_with(convoke_process *process, const void *resource, size_t
    resource_len, const void *requester, size_t requester_len, const char *const *nodes, size_t nodes_len, int64_t
    retries, int64_t timeout_ms, convoke_with_fn fn, void *user_data, int32_t *result_out);

/**
 * Monitors a lock for a process that holds it: a LOCK_WANTED event with this reference whenever another requester
 * begins to wait and none waited before, also at once when one waits already. The process may be asked so to give way.
 *
 * The lock need not be held yet: what counts is whether it is held then. Unread, only the newest is kept.
 *
 * @param process who is told.
 * @param resource what is locked, copied.
 * @param resource_len its length in bytes: 1 to 1024 (option `limits.name`).
 * @param requester as whom it is acquired, copied; NULL for the process alone.
 * @param requester_len its length in bytes; 0 with NULL.
 * @param ref_out receives the monitor; end it with convoke_cancel. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, `requester` is NULL and
 *         `requester_len` is not 0 or the reverse, or `ref_out` is NULL.
 * @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit.
 * @retval CONVOKE_E_FULL too many monitors and operations are under way, or calls that the node has not got round to.
 * @retval CONVOKE_E_NO_PROCESS the process has exited.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_lock_watch(convoke_process *process, const void *resource,
    size_t resource_len, const void *requester, size_t requester_len, convoke_ref *ref_out);

/**
 * Lists who holds a lock and who waits for it, as this node sees it: all holders in the cluster, and those who wait for a set of
 * nodes to which this one belongs. What happens on other nodes is seen a moment later.
 *
 * Each row has the resource (CONVOKE_FIELD_NAME), CONVOKE_FIELD_REQUESTER, CONVOKE_FIELD_PID, CONVOKE_FIELD_FENCE (0 for one
 * who waits), CONVOKE_FIELD_IS_WAITER (1 or 0) and CONVOKE_FIELD_SINCE_MS, for how long this node has seen it so.
 *
 * @param node the node.
 * @param resource which lock; NULL for all.
 * @param resource_len its length in bytes; 0 with NULL.
 * @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK also when nobody holds it.
 * @retval CONVOKE_E_INVALID `node` is not a live node, `resource` is NULL and `resource_len` is not 0 or the reverse, or
 *         `list_out` is NULL.
 * @retval CONVOKE_E_TOO_BIG `resource` is longer than the limit.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_lock_list(const convoke_node *node, const void *resource, size_t
    resource_len, convoke_list **list_out);

/* ==================================================================================================================
 * 9  Groups
 * A group has a name, any 1 to 1024 bytes (option `limits.name`), and members: processes of any node. It exists in the
 * whole cluster from its creation until it is deleted, with or without members. A process may join a group several times,
 * and is then a member until it has left it as often. Its memberships end with it. Any process may create and delete any
 * group, and make any process join and leave.
 *
 * convoke_group_create, convoke_group_delete, convoke_group_join and convoke_group_leave return when every node that this one
 * has a link to shows the change. The readers, convoke_group_members and the like, look into the memory of their own node and
 * are never blocked by anything.
 *
 * When two parts of a cluster join that were cut off from each other, a group that one part has deleted stays deleted,
 * unless the other part created it anew or has members in it. The memory of a deletion is kept for 24 hours after the nodes
 * that made the group have gone; after a longer cut a deleted group may return.
 *
 * The rules of waiting stand at the head of this file. And in this section:
 * - `pid` NULL, where a process joins or leaves: the process itself.
 * ================================================================================================================== */

/**
 * Creates a group. One that exists already keeps its members, and nothing seems to happen; but a deletion by somebody
 * who has not seen this creation does not end it. A cluster has 1,048,576 groups at most; where parts of a cluster join that
 * together have made groups more than four times as often, the latest ones of the nodes that made the most are deleted.
 *
 * @param process on whose behalf.
 * @param name the name of the group, copied.
 * @param name_len its length in bytes.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK every linked node shows the group; with `op_out`: the operation has begun.
 * @retval CONVOKE_E_TIMEOUT a node did not answer in time. It is undone. Try again.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, or `timeout_ms` is below -1.
 * @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
 * @retval CONVOKE_E_FULL processes of this node have made too many groups, or too many operations are under way (options
 *         `limits.groups`, `limits.operations`), or the cluster has as many groups as it may.
 * @retval CONVOKE_E_NO_PROCESS `process` has exited.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: pg2:create/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_group_create(convoke_process *process, const void *name, size_t
    name_len, int64_t timeout_ms, convoke_ref *op_out);

/**
 * Deletes a group. Its members live on, and are not told; those who monitor it are, with CONVOKE_REASON_GROUP_DELETED. A
 * group that does not exist: CONVOKE_OK.
 *
 * @param process on whose behalf; need not be a member.
 * @param name the name of the group, copied.
 * @param name_len its length in bytes.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK no linked node shows the group any more, unless it was created anew meanwhile; with `op_out`: the
 *         operation has begun.
 * @retval CONVOKE_E_TIMEOUT it is done here, and on its way to the nodes that have not answered yet. Nothing is undone.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, or `timeout_ms` is below -1.
 * @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
 * @retval CONVOKE_E_FULL too many operations are under way.
 * @retval CONVOKE_E_NO_PROCESS `process` has exited.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. Nothing is undone.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: pg2:delete/1
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_group_delete(convoke_process *process, const void *name, size_t name_len, int64_t
    timeout_ms, convoke_ref *op_out);

/**
 * Makes a process a member of a group, once more if it is one already.
 *
 * @param process on whose behalf.
 * @param name the name of the group, copied. It must exist.
 * @param name_len its length in bytes.
 * @param pid who joins, on any node; NULL for `process`.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK every linked node shows the membership; with `op_out`: the operation has begun.
 * @retval CONVOKE_E_NOT_FOUND there is no such group, as this node sees it.
 * @retval CONVOKE_E_TIMEOUT a node did not answer in time. It is undone. Try again.
 * @retval CONVOKE_E_NO_PROCESS `process` has exited, or there is no process `pid`.
 * @retval CONVOKE_E_UNREACHABLE there is no link to the node of `pid`; or it broke before the answer, and what became of the
 *         joining is unknown.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, `pid` is none, or `timeout_ms` is below
 *         -1.
 * @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
 * @retval CONVOKE_E_FULL too many memberships or operations (options `limits.groups`, `limits.operations`).
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: pg2:join/2
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_group_join(convoke_process *process, const void *name, size_t
    name_len, const convoke_pid *pid, int64_t timeout_ms, convoke_ref *op_out);

/**
 * Leaves a group: takes back one join of a process. A process that is no member: CONVOKE_OK.
 *
 * @param process on whose behalf.
 * @param name the name of the group, copied.
 * @param name_len its length in bytes.
 * @param pid who leaves, on any node; NULL for `process`.
 * @param timeout_ms how long it may take; see the rules of waiting.
 * @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK every linked node shows it; with `op_out`: the operation has begun.
 * @retval CONVOKE_E_NOT_FOUND there is no such group, as this node sees it.
 * @retval CONVOKE_E_TIMEOUT it is done, and on its way to the nodes that have not answered yet. Nothing is undone.
 * @retval CONVOKE_E_NO_PROCESS `process` has exited, or there is no process `pid`.
 * @retval CONVOKE_E_UNREACHABLE there is no link to the node of `pid`; or it broke before the answer, and what became of the
 *         leaving is unknown.
 * @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, `pid` is none, or `timeout_ms` is below
 *         -1.
 * @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
 * @retval CONVOKE_E_FULL too many operations are under way.
 * @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. Nothing is undone.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: pg2:leave/2
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_group_leave(convoke_process *process, const void *name, size_t name_len, const
    convoke_pid *pid, int64_t timeout_ms, convoke_ref *op_out);

/**
 * Lists the members of a group, as this node sees it: a look-up in memory that copies nothing and is never blocked by anything.
 *
 * Each row has a pid: every member as often as it has joined, its rows side by side, those of this node first. Read them
 * all at once with convoke_list_pids.
 *
 * @param node the node.
 * @param name the name of the group.
 * @param name_len its length in bytes.
 * @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK also when the group is empty.
 * @retval CONVOKE_E_NOT_FOUND there is no such group.
 * @retval CONVOKE_E_INVALID `node` is not a live node, `name` is NULL or empty, or `list_out` is NULL.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits
 * @see Erlang: pg2:get_members/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_group_members(const convoke_node *node, const void *name, size_t
    name_len, convoke_list **list_out);

/**
 * Lists the members of a group that live on this very node; see convoke_group_members.
 *
 * @param node the node.
 * @param name the name of the group.
 * @param name_len its length in bytes.
 * @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK also when there are none.
 * @retval CONVOKE_E_NOT_FOUND there is no such group.
 * @retval CONVOKE_E_INVALID `node` is not a live node, `name` is NULL or empty, or `list_out` is NULL.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits
 * @see Erlang: pg2:get_local_members/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_group_local_members(const convoke_node *node, const void *name,
    size_t name_len, convoke_list **list_out);

/**
 * Picks one member of a group to turn to: of those on this node, if there are any, else of all. Which one is decided by chance,
 * each row of convoke_group_members being as likely. A look-up in memory, never blocked by anything.
 *
 * @param node the node.
 * @param name the name of the group.
 * @param name_len its length in bytes.
 * @param pid_out receives the pid; none on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_NOT_FOUND there is no such group.
 * @retval CONVOKE_E_NO_PROCESS the group is empty.
 * @retval CONVOKE_E_INVALID `node` is not a live node, `name` is NULL or empty, or `pid_out` is NULL.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits
 * @see Erlang: pg2:get_closest_pid/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_group_closest(const convoke_node *node, const void *name, size_t
    name_len, convoke_pid *pid_out);

/**
 * Lists all groups, empty ones too, as this node sees them. Each row has a name and CONVOKE_FIELD_COUNT, the number of rows that
 * convoke_group_members would give; they are sorted by name, byte by byte.
 *
 * @param node the node.
 * @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
 * @return the status:
 * @retval CONVOKE_OK also when there are none.
 * @retval CONVOKE_E_INVALID `node` is not a live node, or `list_out` is NULL.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @see Erlang: pg2:which_groups/0
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_group_list(const convoke_node *node, convoke_list **list_out);

/**
 * Monitors a group for a process: a GROUP_JOINED event for every present member, a SNAPSHOT_END event, then a
 * GROUP_JOINED or GROUP_LEFT event for every change, each with this reference and with CONVOKE_FIELD_COUNT, how often the
 * process is a member now.
 *
 * The reason of a GROUP_LEFT event is CONVOKE_REASON_NORMAL for one that left, CONVOKE_REASON_GROUP_DELETED, or why the
 * process or its node has gone. Of unread events about one member only what they come to is kept.
 *
 * @param process who is told; may be a member.
 * @param name the name of the group, copied; need not exist.
 * @param name_len its length in bytes.
 * @param ref_out receives the monitor; end it with convoke_cancel. 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, or `ref_out` is NULL.
 * @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
 * @retval CONVOKE_E_FULL too many monitors and operations are under way, or calls that the node has not got round to.
 * @retval CONVOKE_E_NO_PROCESS the process has exited.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; never waits for the network
 * @see Erlang: pg:monitor/1
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_group_monitor(convoke_process *process, const void *name, size_t
    name_len, convoke_ref *ref_out);

/**
 * Sends bytes to every member of a group, once each, however often it has joined, as this node sees the group. Never waits.
 *
 * It goes to each member as by convoke_send, in the order of that pair; among different members there is no order. Members
 * that are known to be no more, and those whose node has no link to this one, are passed over.
 *
 * @param from the sender; if it is a member it gets the message too.
 * @param name the name of the group.
 * @param name_len its length in bytes.
 * @param data the payload, copied; NULL if `len` is 0.
 * @param len its length in bytes: 0 to 16 MiB (option `limits.message`).
 * @param count_out receives how many members have taken the message, also with CONVOKE_E_FULL and CONVOKE_E_TOO_BIG; 0 on
 *        other failures. May be NULL.
 * @return the status:
 * @retval CONVOKE_OK no member has refused it; also when the group is empty.
 * @retval CONVOKE_E_FULL one or more members, or the links to them, have no room; the others have got it. One SENDABLE event
 *         for each of those follows when it has room again: send it the message then with convoke_send.
 * @retval CONVOKE_E_NOT_FOUND there is no such group.
 * @retval CONVOKE_E_NO_PROCESS `from` has exited.
 * @retval CONVOKE_E_INVALID `from` is not a live process, `name` is NULL or empty, or `data` is NULL and `len` is not 0.
 * @retval CONVOKE_E_TOO_BIG `len` is more than the limit of this node; or more than that of another node, whose members have
 *         not got it.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_group_send(convoke_process *from, const void *name, size_t
    name_len, const void *data, size_t len, uint32_t *count_out);

/* ==================================================================================================================
 * 10  Messages
 * Messages from one process to another arrive in the order sent, at most once, and none is lost while the link between
 * their nodes is up. A slow receiver costs its senders CONVOKE_E_FULL, never memory without bound, and nobody else
 * anything.
 * ================================================================================================================== */

/**
 * Sends bytes to a process, which gets a MESSAGE event. Never waits.
 *
 * CONVOKE_OK says that the message was accepted, not that it arrived: monitor the receiver to know of its end.
 *
 * @param from the sender.
 * @param to the receiver, on any node.
 * @param data the payload, copied; NULL if `len` is 0.
 * @param len its length in bytes: 0 to 16 MiB (option `limits.message`).
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_FULL the receiver, or the link to it, has no room. One SENDABLE event follows when there is room
 *         again: send the message then.
 * @retval CONVOKE_E_NO_PROCESS `from` has exited, or `to` is known to be no more.
 * @retval CONVOKE_E_UNREACHABLE there is no link to the node of `to`.
 * @retval CONVOKE_E_INVALID `from` is not a live process, `to` is NULL or none, or `data` is NULL and `len` is not 0.
 * @retval CONVOKE_E_TOO_BIG `len` is more than the limit.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any; messages that several threads send for one process are in the order in which the calls began to act
 * @see Erlang: erlang:send/2
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_send(convoke_process *from, const convoke_pid *to, const void
    *data, size_t len);

/**
 * Sends bytes to the process that has a name, as this node sees it. Never waits.
 *
 * @param from the sender.
 * @param name the name.
 * @param name_len its length in bytes.
 * @param data the payload, copied; NULL if `len` is 0.
 * @param len its length in bytes: 0 to 16 MiB (option `limits.message`).
 * @param pid_out receives who that was; none on failure. May be NULL.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_NOT_FOUND nobody has the name.
 * @retval CONVOKE_E_FULL the receiver, or the link to it, has no room. One SENDABLE event follows when there is room
 *         again: send the message then.
 * @retval CONVOKE_E_NO_PROCESS `from` has exited, or the receiver is known to be no more.
 * @retval CONVOKE_E_UNREACHABLE there is no link to the node of the receiver.
 * @retval CONVOKE_E_INVALID `from` is not a live process, `name` is NULL or empty, or `data` is NULL and `len` is not 0.
 * @retval CONVOKE_E_TOO_BIG `len` is more than the limit.
 * @retval CONVOKE_E_CLOSED the node is closed.
 * @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
 * @threads any
 * @see Erlang: global:send/2
 * @since 0.1.0
 */
CONVOKE_API CONVOKE_MUST_USE convoke_status convoke_send_name(convoke_process *from, const void *name, size_t
    name_len, const void *data, size_t len, convoke_pid *pid_out);

/* ==================================================================================================================
 * 11  Results
 * A list is what a table held at one moment; it never changes. What its accessors lend lives until convoke_list_free.
 * Lists are plain memory: they can be read and freed after their node was freed, and in a forked child.
 * ================================================================================================================== */

/**
 * The number of rows.
 *
 * @param list the list.
 * @return the number; 0 if `list` is NULL.
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API size_t convoke_list_len(const convoke_list *list);

/**
 * The name of a row (CONVOKE_FIELD_NAME).
 *
 * @param list the list.
 * @param index the row, from 0 on.
 * @param data_out receives the bytes, lent until the list is freed; NULL on failure.
 * @param len_out receives their length; 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL, or there is no such row.
 * @retval CONVOKE_E_NOT_FOUND rows of this list have no name.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_list_name(const convoke_list *list, size_t index, const void **data_out, size_t
    *len_out);

/**
 * The pid of a row (CONVOKE_FIELD_PID).
 *
 * @param list the list.
 * @param index the row, from 0 on.
 * @param pid_out receives the pid; none on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL, or there is no such row.
 * @retval CONVOKE_E_NOT_FOUND rows of this list have no pid.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_list_pid(const convoke_list *list, size_t index, convoke_pid *pid_out);

/**
 * Any field of a row that is a number.
 *
 * @param list the list.
 * @param index the row, from 0 on.
 * @param field one of the CONVOKE_FIELD_ constants; which ones the rows have says the function that made the list.
 * @param value_out receives the number; 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL, or there is no such row.
 * @retval CONVOKE_E_NOT_FOUND rows of this list have no such field, or it is not a number.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_list_u64(const convoke_list *list, size_t index, convoke_field field, uint64_t
    *value_out);

/**
 * Any field of a row that consists of bytes.
 *
 * @param list the list.
 * @param index the row, from 0 on.
 * @param field one of the CONVOKE_FIELD_ constants; which ones the rows have says the function that made the list.
 * @param data_out receives the bytes, lent until the list is freed; NULL on failure.
 * @param len_out receives their length; 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL, or there is no such row.
 * @retval CONVOKE_E_NOT_FOUND rows of this list have no such field, or it does not consist of bytes.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_list_bytes(const convoke_list *list, size_t index, convoke_field field, const
    void **data_out, size_t *len_out);

/**
 * The pids of all rows at once.
 *
 * @param list the list.
 * @param pids_out receives an array, in the order of the rows, lent until the list is freed; NULL on failure and when the
 *        list is empty.
 * @param len_out receives the number of pids; 0 on failure.
 * @return the status:
 * @retval CONVOKE_OK
 * @retval CONVOKE_E_INVALID a pointer is NULL.
 * @retval CONVOKE_E_NOT_FOUND rows of this list have no pid.
 * @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
 * @threads any
 * @since 0.1.0
 */
CONVOKE_API convoke_status convoke_list_pids(const convoke_list *list, const convoke_pid **pids_out, size_t
    *len_out);

/**
 * Frees a list. To be called exactly once for each list.
 *
 * @param list the list, or NULL: then nothing happens.
 * @threads any; not while another call uses the same list or what it lends
 * @since 0.1.0
 */
CONVOKE_API void convoke_list_free(convoke_list *list);

#ifdef __cplusplus
}
#endif
#endif /* CONVOKE_H */
