/* The workload of an agent: threads that register, lock, join, send, monitor and end processes, all at random, and that
 * watch what every caller may rely on: each call is answered, each monitor brings one EXIT, messages of one sender come
 * in order and once. What is broken is said in a line "! violation ...". */
#ifndef CHURN_H
#define CHURN_H

#include "convoke.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORKERS 8
#define MAX_MONITORS 256
#define MAX_SENDERS 256
#define MAX_PENDING 16
/* So few that the nodes meet each other all the time. */
#define NAMES 12
#define LOCKS 6
#define GROUPS 5
/* Longer than any timeout that is given to a call. */
#define LONGEST_CALL_MS 20000

typedef struct {
    convoke_pid from;
    uint64_t last;
} sender;

typedef struct {
    pthread_t thread;
    uint64_t rng;
    convoke_node *node;
    /* Comes and goes, and is what others see and kill. */
    convoke_process *process;
    convoke_pid pid;
    bool dead;
    /* Lives as long as the workload: monitors, and operations that are not waited for. */
    convoke_process *watcher;
    convoke_pid watcher_pid;
    convoke_ref monitors[MAX_MONITORS];
    int monitor_count;
    convoke_ref pending[MAX_PENDING];
    int pending_count;
    sender senders[MAX_SENDERS];
    int sender_count;
    uint64_t sent;
    /* What was seen. */
    uint64_t calls, oks, timeouts, exits, received;
} worker;

static worker workers[MAX_WORKERS];
static int worker_count;
static atomic_bool churn_stopping;

__attribute__((format(printf, 1, 2))) static void violation(const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    printf("! violation %s\n", text);
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint32_t below(worker *w, uint32_t n) {
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return (uint32_t)(w->rng >> 33) % n;
}

/* Every answer of the library goes through here. */
static convoke_status counted(worker *w, convoke_status status) {
    w->calls++;
    w->oks += status == CONVOKE_OK;
    w->timeouts += status == CONVOKE_E_TIMEOUT;
    if (status == CONVOKE_E_NO_PROCESS) {
        return status; /* killed, or the other one was */
    }
    if (status == CONVOKE_E_INTERNAL || status == CONVOKE_E_INVALID || status == CONVOKE_E_CLOSED) {
        char detail[256];
        convoke_last_error(detail, sizeof detail);
        violation("%s: %s", convoke_status_name(status), detail);
    }
    return status;
}

/* A message says how many its sender had sent before. */
static void take_message(worker *w, const convoke_event *event) {
    const void *data;
    size_t len;
    uint64_t number;
    convoke_pid from;
    if (convoke_event_payload(event, &data, &len) != CONVOKE_OK || len < sizeof number ||
        convoke_event_peer(event, &from) != CONVOKE_OK) {
        violation("a message of %zu bytes", len);
        return;
    }
    memcpy(&number, data, sizeof number);
    w->received++;
    for (int i = 0; i < w->sender_count; i++) {
        sender *s = &w->senders[i];
        if (memcmp(&s->from, &from, sizeof from) == 0) {
            if (number <= s->last) {
                violation("message %" PRIu64 " after %" PRIu64, number, s->last);
            }
            s->last = number;
            return;
        }
    }
    /* When there are too many some are forgotten; that only loosens the check. */
    sender *s = &w->senders[w->sender_count < MAX_SENDERS ? w->sender_count++ : (int)below(w, MAX_SENDERS)];
    s->from = from;
    s->last = number;
}

/* Takes `ref` out of a list; false if it is not there. */
static bool take_ref(convoke_ref *refs, int *count, convoke_ref ref) {
    for (int i = 0; i < *count; i++) {
        if (refs[i] == ref) {
            refs[i] = refs[--*count];
            return true;
        }
    }
    return false;
}

/* Takes what lies in a mailbox. `wait_ms`: how long to wait for the first event. */
static bool take_events(worker *w, convoke_process *process, int64_t wait_ms) {
    convoke_event *event = NULL;
    bool any = false;
    while (convoke_process_recv(process, any ? 0 : wait_ms, &event) == CONVOKE_OK) {
        convoke_ref ref = convoke_event_ref(event);
        any = true;
        switch (convoke_event_get_kind(event)) {
        case CONVOKE_EVENT_MESSAGE: take_message(w, event); break;
        case CONVOKE_EVENT_EXIT:
            if (ref == 0) {
                w->dead = w->dead || process == w->process;
                if (process == w->watcher) {
                    violation("a process was killed that nobody kills");
                }
            } else if (take_ref(w->monitors, &w->monitor_count, ref)) {
                w->exits++;
            } else {
                violation("a second EXIT of monitor %" PRIu64, ref);
            }
            break;
        case CONVOKE_EVENT_DONE:
            if (!take_ref(w->pending, &w->pending_count, ref)) {
                violation("a second DONE of operation %" PRIu64, ref);
            }
            break;
        default: break;
        }
        convoke_event_free(event);
    }
    return any;
}

static void replace_process(worker *w) {
    take_events(w, w->process, 0);
    convoke_process_free(w->process);
    w->process = NULL;
    if (convoke_process_spawn(w->node, NULL, &w->process) != CONVOKE_OK) {
        violation("no new process");
    }
    (void)convoke_process_pid(w->process, &w->pid);
    w->dead = false;
    w->sender_count = 0;
    w->sent = 0;
}

/* Some process that has a name; usually on another node. */
static bool someone(worker *w, convoke_pid *pid) {
    char name[16];
    int len = snprintf(name, sizeof name, "w%" PRIu32, below(w, NAMES));
    return convoke_name_whereis(w->node, name, (size_t)len, pid) == CONVOKE_OK;
}

/* Operations that nobody waits for: their DONE events are counted instead. */
static void begin_some(worker *w, int64_t timeout) {
    char name[32];
    convoke_ref op = 0;
    convoke_status status;
    size_t len = (size_t)snprintf(name, sizeof name, "a%" PRIu32, below(w, NAMES));
    if (w->pending_count == MAX_PENDING) {
        return;
    }
    switch (below(w, 5)) {
    case 0: status = convoke_name_register(w->watcher, name, len, NULL, "keep-oldest", timeout, &op); break;
    case 1: status = convoke_name_reregister(w->watcher, name, len, NULL, "keep-oldest", timeout, &op); break;
    case 2: status = convoke_name_unregister(w->watcher, name, len, timeout, &op); break;
    case 3: status = convoke_lock_acquire(w->watcher, name, len, NULL, 0, timeout, NULL, &op); break;
    default: status = convoke_lock_release(w->watcher, name, len, NULL, 0, timeout, &op); break;
    }
    if (counted(w, status) != CONVOKE_OK) {
        return;
    }
    w->pending[w->pending_count++] = op;
    if (below(w, 8) == 0) {
        (void)counted(w, convoke_cancel(w->watcher, op));
    }
}

static void act(worker *w) {
    char name[16], lock[16], group[16];
    size_t name_len = (size_t)snprintf(name, sizeof name, "w%" PRIu32, below(w, NAMES));
    size_t lock_len = (size_t)snprintf(lock, sizeof lock, "l%" PRIu32, below(w, LOCKS));
    size_t group_len = (size_t)snprintf(group, sizeof group, "g%" PRIu32, below(w, GROUPS));
    int64_t timeout = (int64_t)below(w, 4) * 700;
    convoke_pid other;
    switch (below(w, 20)) {
    case 0: case 1: counted(w, convoke_name_register(w->process, name, name_len, NULL, NULL, timeout, NULL)); break;
    case 2: counted(w, convoke_name_reregister(w->process, name, name_len, NULL, NULL, timeout, NULL)); break;
    case 3: counted(w, convoke_name_unregister(w->process, name, name_len, timeout, NULL)); break;
    case 4: case 5: {
        uint64_t fence = 0;
        if (counted(w, convoke_lock_acquire(w->process, lock, lock_len, NULL, 0, timeout, &fence, NULL)) == CONVOKE_OK) {
            if (fence == 0) {
                violation("a lock without a token");
            }
            usleep(below(w, 5000));
            if (below(w, 4) != 0) {
                counted(w, convoke_lock_release(w->process, lock, lock_len, NULL, 0, timeout, NULL));
            }
        }
        break;
    }
    case 6: counted(w, convoke_lock_release(w->process, lock, lock_len, NULL, 0, timeout, NULL)); break;
    case 7: counted(w, convoke_group_create(w->process, group, group_len, timeout, NULL)); break;
    case 8: case 9: counted(w, convoke_group_join(w->process, group, group_len, NULL, timeout, NULL)); break;
    case 10: counted(w, convoke_group_leave(w->process, group, group_len, NULL, timeout, NULL)); break;
    case 11:
        if (below(w, 4) == 0) {
            counted(w, convoke_group_delete(w->process, group, group_len, timeout, NULL));
        }
        break;
    case 12: case 13:
        if (someone(w, &other) && w->monitor_count < MAX_MONITORS) {
            convoke_ref ref = 0;
            if (counted(w, convoke_process_monitor(w->watcher, &other, &ref)) == CONVOKE_OK) {
                w->monitors[w->monitor_count++] = ref;
            }
        }
        break;
    case 14: case 15: case 16: {
        /* Some fit into one packet, some do not. */
        static const size_t sizes[] = {8, 100, 3000, 100000};
        static char zeros[100000];
        char *payload = zeros;
        size_t len = sizes[below(w, 4)];
        w->sent++;
        payload = malloc(len);
        if (payload == NULL) {
            violation("no memory");
            break;
        }
        memset(payload, 0, len);
        memcpy(payload, &w->sent, sizeof w->sent);
        if (below(w, 3) == 0) {
            counted(w, convoke_group_send(w->process, group, group_len, payload, len, NULL));
        } else {
            counted(w, convoke_send_name(w->process, name, name_len, payload, len, NULL));
        }
        free(payload);
        break;
    }
    case 17:
        if (someone(w, &other)) {
            bool alive;
            counted(w, convoke_process_is_alive(w->watcher, &other, timeout, &alive, NULL));
        }
        break;
    case 18:
        if (below(w, 3) == 0 && someone(w, &other)) {
            counted(w, convoke_process_kill(w->watcher, &other, CONVOKE_REASON_KILLED));
        } else if (below(w, 2) == 0) {
            counted(w, convoke_process_exit(w->process, CONVOKE_REASON_USER, "bye", 3));
            w->dead = true;
        }
        break;
    default: begin_some(w, timeout); break;
    }
}

static void *run_worker(void *arg) {
    worker *w = arg;
    while (!atomic_load(&churn_stopping)) {
        uint64_t began = now_ms();
        act(w);
        uint64_t took = now_ms() - began;
        if (took > LONGEST_CALL_MS) {
            violation("a call took %" PRIu64 " ms", took);
        }
        take_events(w, w->watcher, 0);
        /* The pause between two calls: waiting for what comes. */
        take_events(w, w->process, below(w, 8));
        if (w->dead) {
            replace_process(w);
        }
    }
    return NULL;
}

static void churn_start(convoke_node *node, uint64_t seed, int count) {
    atomic_store(&churn_stopping, false);
    worker_count = count < MAX_WORKERS ? count : MAX_WORKERS;
    for (int i = 0; i < worker_count; i++) {
        worker *w = &workers[i];
        memset(w, 0, sizeof *w);
        w->node = node;
        w->rng = (seed + 1) * 0x9E3779B97F4A7C15u + (uint64_t)i * 0xD1B54A32D192ED03u;
        if (convoke_process_spawn(node, NULL, &w->watcher) != CONVOKE_OK) {
            violation("no process");
        }
        (void)convoke_process_pid(w->watcher, &w->watcher_pid);
        replace_process(w);
        if (pthread_create(&w->thread, NULL, run_worker, w) != 0) {
            violation("no thread");
            abort();
        }
    }
}

/* Every call returns, and every operation that was begun brings its DONE. The processes live on. */
static void churn_stop(void) {
    struct timespec until;
    uint64_t calls = 0, oks = 0, timeouts = 0, exits = 0, received = 0;
    atomic_store(&churn_stopping, true);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2 * LONGEST_CALL_MS / 1000;
    for (int i = 0; i < worker_count; i++) {
        worker *w = &workers[i];
        if (pthread_timedjoin_np(w->thread, NULL, &until) != 0) {
            violation("a call does not return");
            _exit(1);
        }
        uint64_t deadline = now_ms() + LONGEST_CALL_MS;
        while (w->pending_count > 0 && now_ms() < deadline) {
            take_events(w, w->watcher, 100);
        }
        if (w->pending_count > 0) {
            violation("%d operations have no answer", w->pending_count);
        }
        calls += w->calls;
        oks += w->oks;
        timeouts += w->timeouts;
        exits += w->exits;
        received += w->received;
    }
    printf("= ok calls=%" PRIu64 " ok=%" PRIu64 " timeout=%" PRIu64 " exits=%" PRIu64 " messages=%" PRIu64 "\n", calls, oks,
           timeouts, exits, received);
}

/* Whose process is it? For the checker: what this program knows, not what the library says. */
static void churn_live(void) {
    char text[80];
    size_t len;
    flockfile(stdout);
    printf("= ok");
    for (int i = 0; i < worker_count; i++) {
        worker *w = &workers[i];
        take_events(w, w->process, 0);
        if (!w->dead && convoke_pid_format(&w->pid, text, sizeof text, &len) == CONVOKE_OK) {
            printf(" %s", text);
        }
        if (convoke_pid_format(&w->watcher_pid, text, sizeof text, &len) == CONVOKE_OK) {
            printf(" %s", text);
        }
    }
    printf("\n");
    funlockfile(stdout);
}

/* Ends the processes that others monitor. */
static void churn_exit(void) {
    for (int i = 0; i < worker_count; i++) {
        take_events(&workers[i], workers[i].process, 0);
        convoke_process_free(workers[i].process);
        workers[i].process = NULL;
    }
    printf("= ok\n");
}

/* When all nodes have done that, every monitor has had its EXIT. */
static void churn_end(void) {
    int missing = 0;
    uint64_t deadline = now_ms() + LONGEST_CALL_MS;
    for (int i = 0; i < worker_count; i++) {
        worker *w = &workers[i];
        while (w->monitor_count > 0 && now_ms() < deadline) {
            take_events(w, w->watcher, 100);
        }
        missing += w->monitor_count;
        /* Behind what is under way on every link: whatever comes twice has come by then. */
        counted(w, convoke_node_sync(w->watcher, LONGEST_CALL_MS, NULL));
        take_events(w, w->watcher, 0);
        for (int g = 0; g < GROUPS; g++) {
            char group[16];
            size_t len = (size_t)snprintf(group, sizeof group, "g%d", g);
            (void)counted(w, convoke_group_delete(w->watcher, group, len, LONGEST_CALL_MS, NULL));
        }
        convoke_process_free(w->watcher);
        w->watcher = NULL;
    }
    worker_count = 0;
    if (missing > 0) {
        violation("%d monitors have brought no EXIT", missing);
    }
    printf("= ok\n");
}

#endif
