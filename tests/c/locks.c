/* Locks between nodes of one program: exclusion, sharing, lists of nodes, waiting and giving up, deaths, lock_with, watches,
 * and locks that are lost. */
#include "check.h"

#define ALL NULL, 0
#define MYSELF NULL, 0
#define FOREVER CONVOKE_RETRIES_FOREVER

static convoke_node *a, *b, *c;
static convoke_process *pa, *pb, *pc;

/* Every node has met the others, and each has the facts of the others. */
static void sync_node(convoke_node *node) {
    convoke_process *process = spawn(node, NULL);
    OK(convoke_node_sync(process, SOON, NULL));
    convoke_process_free(process);
}

static void nothing_waits(convoke_process *process) {
    convoke_event *event;
    STATUS(CONVOKE_E_TIMEOUT, convoke_process_recv(process, 0, &event));
}

static uint64_t acquire(convoke_process *process, const char *resource) {
    uint64_t fence = 0;
    OK(convoke_lock_acquire(process, resource, strlen(resource), MYSELF, SOON, &fence, NULL));
    CHECK(fence != 0);
    return fence;
}

static void release(convoke_process *process, const char *resource) {
    OK(convoke_lock_release(process, resource, strlen(resource), MYSELF, SOON, NULL));
}

/* What this process has asked of other nodes so far has reached them, its claims that have timed out included. */
static void flush(convoke_process *process) {
    acquire(process, "flush");
    release(process, "flush");
}

static convoke_status try_on(convoke_process *process, const char *resource, const char *const *nodes, size_t len) {
    return convoke_lock_acquire_on(process, resource, strlen(resource), MYSELF, nodes, len, 0, SOON, NULL, NULL);
}

static bool holds(convoke_process *process, const char *resource) {
    uint64_t fence;
    convoke_status status = convoke_lock_check(process, resource, strlen(resource), MYSELF, &fence);
    CHECK(status == CONVOKE_OK ? fence != 0 : status == CONVOKE_E_NOT_OWNER && fence == 0);
    return status == CONVOKE_OK;
}

/* The DONE event of an operation that this process has begun. */
static convoke_status result_of(convoke_process *process, convoke_ref op, uint64_t *value) {
    convoke_event *event = expect(process, CONVOKE_EVENT_DONE);
    convoke_status status = convoke_event_result(event, NULL);
    CHECK(convoke_event_ref(event) == op && op != 0);
    if (value) *value = convoke_event_value(event);
    convoke_event_free(event);
    return status;
}

/* How many hold the lock, and how many wait for it, as this node sees it. */
static void count_rows(const convoke_node *node, const char *resource, size_t *holders, size_t *waiters) {
    convoke_list *list;
    uint64_t is_waiter;
    size_t i;
    OK(convoke_lock_list(node, resource, strlen(resource), &list));
    *holders = *waiters = 0;
    for (i = 0; i < convoke_list_len(list); i++) {
        OK(convoke_list_u64(list, i, CONVOKE_FIELD_IS_WAITER, &is_waiter));
        ++*(is_waiter ? waiters : holders);
    }
    convoke_list_free(list);
}

static size_t holders(const convoke_node *node, const char *resource) {
    size_t count, others;
    count_rows(node, resource, &count, &others);
    return count;
}

static void await_waiters(const convoke_node *node, const char *resource, size_t count) {
    size_t others, waiters;
    int rounds = 0;
    for (;;) {
        count_rows(node, resource, &others, &waiters);
        if (waiters == count) return;
        usleep(500);
        CHECK(rounds++ < 40000);
    }
}

static void await_holders(const convoke_node *node, const char *resource, size_t count) {
    int rounds = 0;
    while (holders(node, resource) != count) {
        usleep(500);
        CHECK(rounds++ < 40000);
    }
}

static void exclusive(void) {
    convoke_pid pid_a = pid_of(pa), pid_b = pid_of(pb), pid;
    uint64_t first, second, value, fence;
    convoke_ref watch, op;
    convoke_event *event;
    convoke_list *list;
    convoke_stats stats;
    const void *data;
    size_t len;
    first = acquire(pa, "r");
    CHECK(holds(pa, "r") && !holds(pb, "r"));
    STATUS(CONVOKE_E_TIMEOUT, convoke_lock_acquire(pb, "r", 1, MYSELF, 0, &fence, NULL));
    CHECK(fence == 0);
    STATUS(CONVOKE_E_TIMEOUT, try_on(pc, "r", ALL));
    STATUS(CONVOKE_E_TIMEOUT, convoke_lock_acquire_on(pc, "r", 1, MYSELF, ALL, 1, SOON, NULL, NULL));
    STATUS(CONVOKE_E_TIMEOUT, convoke_lock_acquire(pc, "r", 1, MYSELF, 1, NULL, NULL));
    STATUS(CONVOKE_E_NOT_OWNER, convoke_lock_release(pb, "r", 1, MYSELF, SOON, NULL));
    STATUS(CONVOKE_E_NOT_OWNER, convoke_lock_release(pa, "r", 1, "x", 1, SOON, NULL));
    stats.struct_size = sizeof stats;
    OK(convoke_node_stats(a, &stats));
    CHECK(stats.locks_held == 1);

    /* The holder hears that others want it; who waits is in the list. Each voter tells a of those who want it: c's claims from
     * before have reached b, and what b says of them a, before a watches. */
    flush(pc);
    flush(pb);
    OK(convoke_lock_watch(pa, "r", 1, MYSELF, &watch));
    fence = 7;
    OK(convoke_lock_acquire(pb, "r", 1, MYSELF, SOON, &fence, &op));
    CHECK(fence == 0);
    event = expect(pa, CONVOKE_EVENT_LOCK_WANTED);
    CHECK(convoke_event_ref(event) == watch);
    OK(convoke_event_peer(event, &pid));
    CHECK(same_pid(&pid, &pid_b));
    OK(convoke_event_name(event, &data, &len));
    CHECK(len == 1 && memcmp(data, "r", 1) == 0);
    OK(convoke_event_bytes(event, CONVOKE_FIELD_REQUESTER, &data, &len));
    CHECK(len == 16 && memcmp(data, &pid_a, 16) == 0); /* little endian on this machine */
    convoke_event_free(event);
    await_waiters(a, "r", 1);
    OK(convoke_lock_list(a, "r", 1, &list));
    CHECK(convoke_list_len(list) == 2);
    {
        uint64_t is_waiter, since;
        size_t i, holder = 0;
        for (i = 0; i < 2; i++) {
            OK(convoke_list_u64(list, i, CONVOKE_FIELD_IS_WAITER, &is_waiter));
            if (!is_waiter) holder = i;
            OK(convoke_list_u64(list, i, CONVOKE_FIELD_SINCE_MS, &since));
            CHECK(since < 3600000);
        }
        OK(convoke_list_pid(list, holder, &pid));
        CHECK(same_pid(&pid, &pid_a));
        OK(convoke_list_u64(list, holder, CONVOKE_FIELD_FENCE, &value));
        CHECK(value == first);
        OK(convoke_list_bytes(list, holder, CONVOKE_FIELD_REQUESTER, &data, &len));
        CHECK(len == 16 && memcmp(data, &pid_a, 16) == 0);
        OK(convoke_list_pid(list, 1 - holder, &pid));
        CHECK(same_pid(&pid, &pid_b));
        OK(convoke_list_u64(list, 1 - holder, CONVOKE_FIELD_FENCE, &value));
        CHECK(value == 0);
        OK(convoke_list_name(list, 1 - holder, &data, &len));
        CHECK(len == 1 && memcmp(data, "r", 1) == 0);
    }
    convoke_list_free(list);
    await_holders(c, "r", 1); /* every node can tell who holds it */

    /* A release hands over, with a larger token. */
    OK(convoke_lock_release(pa, "r", 1, MYSELF, SOON, &op));
    CHECK(result_of(pa, op, NULL) == CONVOKE_OK);
    event = expect(pb, CONVOKE_EVENT_DONE);
    OK(convoke_event_result(event, NULL));
    second = convoke_event_value(event);
    convoke_event_free(event);
    CHECK(second > first && !holds(pa, "r"));
    OK(convoke_lock_check(pb, "r", 1, MYSELF, &value));
    CHECK(value == second);
    release(pb, "r");
    CHECK(holders(a, "r") + holders(b, "r") + holders(c, "r") == 0);
    OK(convoke_cancel(pa, watch));
    nothing_waits(pa);
    nothing_waits(pb);
}

static void shared(void) {
    OK(convoke_lock_acquire(pa, "s", 1, "team", 4, SOON, NULL, NULL));
    OK(convoke_lock_acquire(pb, "s", 1, "team", 4, 0, NULL, NULL));
    OK(convoke_lock_acquire(pb, "s", 1, "team", 4, SOON, NULL, NULL)); /* once more: still one share */
    STATUS(CONVOKE_E_TIMEOUT, try_on(pc, "s", ALL));
    await_holders(c, "s", 2);
    OK(convoke_lock_release(pa, "s", 1, "team", 4, SOON, NULL));
    STATUS(CONVOKE_E_NOT_OWNER, convoke_lock_release(pa, "s", 1, "team", 4, SOON, NULL));
    STATUS(CONVOKE_E_TIMEOUT, try_on(pc, "s", ALL));
    OK(convoke_lock_release(pb, "s", 1, "team", 4, SOON, NULL));
    OK(try_on(pc, "s", ALL));
    release(pc, "s");
}

static void lists(void) {
    const char *on_a[] = {"a"}, *on_ab[] = {"a", "b", "a"}, *on_b[] = {"b"}, *on_c[] = {"c"}, *on_ca[] = {"c", "a"};
    const char *nobody[] = {"a", "nobody"};
    OK(try_on(pa, "l", on_ab, 3));
    OK(try_on(pc, "l", on_c, 1)); /* no node in common */
    STATUS(CONVOKE_E_TIMEOUT, try_on(pc, "l", on_ca, 2));
    CHECK(holds(pc, "l")); /* what it had before it keeps */
    STATUS(CONVOKE_E_TIMEOUT, try_on(pb, "l", on_c, 1));
    STATUS(CONVOKE_E_TIMEOUT, try_on(pb, "l", on_b, 1));
    STATUS(CONVOKE_E_UNREACHABLE, try_on(pb, "m", nobody, 2));
    OK(try_on(pc, "m", ALL)); /* nothing was taken */
    release(pc, "m");
    /* A part of it is given back. */
    OK(convoke_lock_release_on(pa, "l", 1, MYSELF, on_a, 1, SOON, NULL));
    CHECK(holds(pa, "l"));
    OK(try_on(pc, "l", on_a, 1));
    STATUS(CONVOKE_E_TIMEOUT, try_on(pc, "l", on_b, 1));
    OK(convoke_lock_release_on(pa, "l", 1, MYSELF, on_ab, 3, SOON, NULL));
    CHECK(!holds(pa, "l"));
    OK(try_on(pc, "l", on_b, 1));
    OK(convoke_lock_release_on(pc, "l", 1, MYSELF, ALL, SOON, NULL)); /* all three */
    OK(try_on(pb, "l", ALL));
    release(pb, "l");
}

/* Who gives up leaves nothing behind; who exits lets the next one in. */
static void endings(void) {
    convoke_process *holder = spawn(b, NULL), *waiter = spawn(c, NULL);
    convoke_ref op, gone;
    convoke_node *d;
    convoke_process *pd;
    acquire(holder, "e");
    OK(convoke_lock_acquire(waiter, "e", 1, MYSELF, -1, NULL, &gone));
    OK(convoke_lock_acquire(pa, "e", 1, MYSELF, -1, NULL, &op));
    await_waiters(a, "e", 2);
    OK(convoke_cancel(waiter, gone));
    CHECK(result_of(waiter, gone, NULL) == CONVOKE_E_CANCELLED);
    await_waiters(a, "e", 1);
    convoke_process_free(holder);
    CHECK(result_of(pa, op, NULL) == CONVOKE_OK);
    /* A process that exits while it waits. */
    OK(convoke_lock_acquire(waiter, "e", 1, MYSELF, -1, NULL, &gone));
    await_waiters(a, "e", 1);
    convoke_process_free(waiter);
    await_waiters(a, "e", 0);
    release(pa, "e");
    /* A node that is closed. */
    d = open_peer("d", a);
    sync_node(d);
    pd = spawn(d, NULL);
    acquire(pd, "e");
    OK(convoke_lock_acquire(pa, "e", 1, MYSELF, -1, NULL, &op));
    await_waiters(a, "e", 1);
    close_node(d);
    convoke_process_free(pd);
    CHECK(result_of(pa, op, NULL) == CONVOKE_OK);
    release(pa, "e");
    nothing_waits(pa);
}

static void full(void) {
    convoke_options *options;
    convoke_node *node;
    convoke_process *process;
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "limits.locks", "2"));
    OK(convoke_node_open(options, &node));
    convoke_options_free(options);
    process = spawn(node, NULL);
    acquire(process, "1");
    acquire(process, "2");
    acquire(process, "2");
    STATUS(CONVOKE_E_FULL, convoke_lock_acquire(process, "3", 1, MYSELF, SOON, NULL, NULL));
    release(process, "1");
    acquire(process, "3");
    convoke_process_free(process);
    close_node(node);
}

/* ---- lock_with */

static int32_t seven(uint64_t fence, void *user_data) {
    uint64_t now;
    OK(convoke_lock_check(pa, "w", 1, MYSELF, &now));
    CHECK(now == fence && fence != 0);
    ++*(int *)user_data;
    return 7;
}

static int32_t not_called(uint64_t fence, void *user_data) {
    (void)fence;
    (void)user_data;
    CHECK(!"the lock was not obtained");
    return 0;
}

static int32_t nest(uint64_t fence, void *user_data) {
    int32_t result = 0;
    (void)fence;
    OK(convoke_lock_with(pa, "w", 1, MYSELF, ALL, FOREVER, SOON, seven, user_data, &result));
    CHECK(result == 7 && holds(pa, "w"));
    STATUS(CONVOKE_E_TIMEOUT, try_on(pb, "w", ALL)); /* the inner one has left it as it was */
    return -1;
}

/* Outside on a, inside on b: after the inside b is free and a is not. */
static int32_t nest_elsewhere(uint64_t fence, void *user_data) {
    const char *on_a[] = {"a"}, *on_b[] = {"b"}, *on_ab[] = {"a", "b"};
    (void)fence;
    OK(convoke_lock_with(pa, "w", 1, MYSELF, on_b, 1, 0, SOON, seven, user_data, NULL));
    CHECK(holds(pa, "w"));
    OK(try_on(pb, "w", on_b, 1));
    release(pb, "w");
    OK(convoke_lock_with(pa, "w", 1, MYSELF, on_ab, 2, 0, SOON, seven, user_data, NULL));
    OK(try_on(pb, "w", on_b, 1));
    release(pb, "w");
    STATUS(CONVOKE_E_TIMEOUT, try_on(pb, "w", on_a, 1));
    /* All nodes inside, one outside. */
    OK(convoke_lock_with(pa, "w", 1, MYSELF, ALL, 0, SOON, seven, user_data, NULL));
    OK(try_on(pb, "w", on_b, 1));
    release(pb, "w");
    STATUS(CONVOKE_E_TIMEOUT, try_on(pb, "w", on_a, 1));
    return 0;
}

static int32_t join_and_try(uint64_t fence, void *expected) {
    const char *on_d[] = {"d"};
    convoke_node *d = open_peer("d", a);
    convoke_process *pd;
    (void)fence;
    sync_node(d);
    pd = spawn(d, NULL);
    STATUS(*(const convoke_status *)expected, try_on(pd, "w", on_d, 1));
    convoke_process_free(pd);
    close_node(d);
    return 0;
}

/* A list of all nodes outside, all nodes inside: only while the inside runs, one that joins is taken in. */
static int32_t nest_everywhere(uint64_t fence, void *user_data) {
    convoke_status excluded = CONVOKE_E_TIMEOUT, not_bound = CONVOKE_OK;
    (void)user_data;
    OK(convoke_lock_with(pa, "w", 1, MYSELF, ALL, 0, SOON, join_and_try, &excluded, NULL));
    return join_and_try(fence, &not_bound);
}

static int32_t let_go(uint64_t fence, void *user_data) {
    (void)fence;
    (void)user_data;
    release(pa, "w");
    return 1;
}

static int32_t end_process(uint64_t fence, void *user_data) {
    (void)fence;
    OK(convoke_process_exit((convoke_process *)user_data, 0, NULL, 0));
    convoke_process_free((convoke_process *)user_data);
    return 5;
}

static int32_t end_node(uint64_t fence, void *user_data) {
    (void)fence;
    OK(convoke_node_close((convoke_node *)user_data, SOON));
    return 6;
}

static void with(void) {
    const char *on_a[] = {"a"}, *on_all[] = {"a", "b", "c"}, *nobody[] = {"nobody"};
    convoke_process *process;
    convoke_node *d;
    int calls = 0;
    int32_t result = 0;
    OK(convoke_lock_with(pa, "w", 1, MYSELF, ALL, FOREVER, SOON, seven, &calls, &result));
    CHECK(calls == 1 && result == 7 && !holds(pa, "w"));
    OK(try_on(pb, "w", ALL));
    STATUS(CONVOKE_E_ABORTED, convoke_lock_with(pa, "w", 1, MYSELF, ALL, 0, SOON, not_called, NULL, &result));
    CHECK(result == 0);
    STATUS(CONVOKE_E_ABORTED, convoke_lock_with(pa, "w", 1, MYSELF, ALL, FOREVER, 0, not_called, NULL, NULL));
    STATUS(CONVOKE_E_ABORTED, convoke_lock_with(pa, "w", 1, MYSELF, on_a, 1, 1, -1, not_called, NULL, NULL));
    STATUS(CONVOKE_E_UNREACHABLE, convoke_lock_with(pa, "w", 1, MYSELF, nobody, 1, 0, SOON, not_called, NULL, NULL));
    release(pb, "w");
    OK(convoke_lock_with(pa, "w", 1, MYSELF, ALL, FOREVER, SOON, nest, &calls, &result));
    CHECK(calls == 2 && result == -1 && !holds(pa, "w"));
    OK(convoke_lock_with(pa, "w", 1, MYSELF, on_a, 1, FOREVER, SOON, nest_elsewhere, &calls, NULL));
    CHECK(calls == 5 && !holds(pa, "w") && holders(c, "w") == 0);
    OK(convoke_lock_with(pa, "w", 1, MYSELF, on_all, 3, FOREVER, SOON, nest_everywhere, NULL, NULL));
    CHECK(!holds(pa, "w"));
    /* Held before: held after, and the share is one. */
    acquire(pa, "w");
    OK(convoke_lock_with(pa, "w", 1, MYSELF, on_a, 1, 0, SOON, seven, &calls, NULL));
    CHECK(holds(pa, "w"));
    await_holders(c, "w", 1);
    STATUS(CONVOKE_E_TIMEOUT, try_on(pb, "w", on_a, 1));
    /* The function gives it back itself. */
    OK(convoke_lock_with(pa, "w", 1, MYSELF, ALL, 0, SOON, let_go, NULL, &result));
    CHECK(result == 1 && !holds(pa, "w"));
    STATUS(CONVOKE_E_NOT_OWNER, convoke_lock_release(pa, "w", 1, MYSELF, SOON, NULL));
    /* What the call hangs on goes meanwhile. */
    process = spawn(a, NULL);
    OK(convoke_lock_with(process, "w", 1, MYSELF, ALL, FOREVER, SOON, end_process, process, &result));
    CHECK(result == 5);
    acquire(pb, "w");
    release(pb, "w");
    d = open_peer("d", a);
    sync_node(d);
    process = spawn(d, NULL);
    OK(convoke_lock_with(process, "w", 1, MYSELF, ALL, FOREVER, SOON, end_node, d, &result));
    CHECK(result == 6);
    acquire(pb, "w");
    release(pb, "w");
    STATUS(CONVOKE_E_CLOSED, convoke_lock_with(process, "w", 1, MYSELF, ALL, 0, SOON, not_called, NULL, NULL));
    convoke_process_free(process);
    convoke_node_free(d);
    process = spawn(a, NULL);
    OK(convoke_process_exit(process, 0, NULL, 0));
    STATUS(CONVOKE_E_NO_PROCESS, convoke_lock_with(process, "w", 1, MYSELF, ALL, 0, SOON, not_called, NULL, NULL));
    convoke_process_free(process);
    nothing_waits(pa);
}

/* ---- many */

enum { CONTENDERS = 6, ROUNDS = 30 };
static int inside, entered;
static uint64_t last_fence;

static int32_t alone(uint64_t fence, void *user_data) {
    (void)user_data;
    CHECK(__atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST) == 0);
    CHECK(fence > last_fence); /* what a resource would check */
    last_fence = fence;
    entered++;
    CHECK(__atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST) == 1);
    return 0;
}

static void *contend(void *argument) {
    convoke_process *process = (convoke_process *)argument;
    int round;
    for (round = 0; round < ROUNDS; round++)
        OK(convoke_lock_with(process, "c", 1, MYSELF, ALL, FOREVER, -1, alone, NULL, NULL));
    return NULL;
}

static void contended(void) {
    convoke_node *nodes[] = {a, b, c};
    convoke_process *processes[CONTENDERS];
    pthread_t threads[CONTENDERS];
    int i;
    for (i = 0; i < CONTENDERS; i++) {
        processes[i] = spawn(nodes[i % 3], NULL);
        CHECK(pthread_create(&threads[i], NULL, contend, processes[i]) == 0);
    }
    for (i = 0; i < CONTENDERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        convoke_process_free(processes[i]);
    }
    CHECK(entered == CONTENDERS * ROUNDS);
}

/* ---- locks that are lost */

static void expect_lost(convoke_process *process, uint64_t fence, convoke_reason reason) {
    convoke_event *event = expect(process, CONVOKE_EVENT_LOCK_LOST);
    uint64_t value;
    const void *data;
    size_t len;
    OK(convoke_event_name(event, &data, &len));
    CHECK(len == 4 && memcmp(data, "lost", 4) == 0);
    OK(convoke_event_u64(event, CONVOKE_FIELD_FENCE, &value));
    CHECK(value == fence && convoke_event_get_reason(event) == reason);
    convoke_event_free(event);
    CHECK(!holds(process, "lost"));
}

/* Both sides of a cut go on, and are told when they meet. */
static void second_holder(void) {
    convoke_node *one = open_node("one", NULL), *two = open_peer("two", one);
    convoke_process *p = spawn(one, NULL), *q = spawn(two, NULL);
    uint64_t fence_p, fence_q;
    convoke_ref ref;
    char address[128];
    OK(convoke_node_address(two, address, sizeof address, NULL));
    OK(convoke_node_monitor(q, &ref));
    convoke_event_free(expect(q, CONVOKE_EVENT_NODE_UP));
    convoke_event_free(expect(q, CONVOKE_EVENT_SNAPSHOT_END));
    OK(convoke_node_disconnect(p, "two", SOON, NULL));
    convoke_event_free(expect(q, CONVOKE_EVENT_NODE_DOWN));
    OK(convoke_cancel(q, ref));
    fence_p = acquire(p, "lost");
    fence_q = acquire(q, "lost");
    OK(convoke_node_connect(p, address, SOON, NULL));
    expect_lost(p, fence_p, CONVOKE_REASON_SECOND_HOLDER);
    expect_lost(q, fence_q, CONVOKE_REASON_SECOND_HOLDER);
    await_holders(one, "lost", 2); /* the shares keep others out */
    {
        convoke_process *r = spawn(one, NULL);
        STATUS(CONVOKE_E_TIMEOUT, try_on(r, "lost", ALL));
        release(p, "lost");
        STATUS(CONVOKE_E_TIMEOUT, try_on(r, "lost", ALL));
        release(q, "lost");
        OK(try_on(r, "lost", ALL));
        convoke_process_free(r);
    }
    nothing_waits(p);
    convoke_process_free(p);
    convoke_process_free(q);
    close_node(one);
    close_node(two);
}

/* Two nodes in a process of their own, until it is killed. */
static void two_nodes(int commands, int answers) {
    char address[128];
    convoke_node *two, *three;
    hear_address(commands, address);
    two = open_node("two", address);
    three = open_node("three", address);
    sync_node(two);
    sync_node(three);
    say(answers, "x", 1);
    for (;;) pause();
}

/* The other two of three nodes are shut out: they go on, and may let others have the lock. */
static void minority(struct helper *others) {
    convoke_node *one = open_node("one", NULL);
    convoke_process *p = spawn(one, NULL);
    convoke_stats stats;
    uint64_t fence, small;
    const char *myself[] = {"one"};
    helper_meets(others, one);
    sync_node(one);
    fence = acquire(p, "lost");
    OK(convoke_lock_acquire_on(p, "kept", 4, MYSELF, myself, 1, 0, SOON, &small, NULL));
    OK(convoke_node_disconnect(p, "two", SOON, NULL));
    OK(convoke_node_disconnect(p, "three", SOON, NULL));
    expect_lost(p, fence, CONVOKE_REASON_MINORITY);
    CHECK(holds(p, "kept")); /* its one node is here */
    stats.struct_size = sizeof stats;
    OK(convoke_node_stats(one, &stats));
    CHECK(stats.locks_held == 1);
    CHECK(holders(one, "lost") == 1); /* until it is released */
    release(p, "lost");
    CHECK(holders(one, "lost") == 0);
    CHECK(acquire(p, "lost") > fence);
    nothing_waits(p);
    convoke_process_free(p);
    close_node(one);
    kill_helper(others);
}

/* The other two of three nodes die for certain: they hold and grant nothing any more, so nothing is lost. */
static void deaths(struct helper *others) {
    convoke_node *one = open_node("one", NULL);
    convoke_process *p = spawn(one, NULL);
    convoke_ref ref;
    uint64_t fence;
    int down;
    helper_meets(others, one);
    sync_node(one);
    fence = acquire(p, "mine");
    OK(convoke_node_monitor(p, &ref));
    for (down = 0; down < 2; down++) convoke_event_free(expect(p, CONVOKE_EVENT_NODE_UP));
    convoke_event_free(expect(p, CONVOKE_EVENT_SNAPSHOT_END));
    kill_helper(others);
    for (down = 0; down < 2; down++) convoke_event_free(expect(p, CONVOKE_EVENT_NODE_DOWN));
    CHECK(holds(p, "mine"));
    CHECK(acquire(p, "another") > fence); /* and nobody is waited for */
    nothing_waits(p);
    convoke_process_free(p);
    close_node(one);
}

int main(void) {
    struct helper others = start_helper(two_nodes), dying = start_helper(two_nodes);
    minority(&others);
    deaths(&dying);
    second_holder();
    full();
    a = open_node("a", NULL);
    b = open_peer("b", a);
    c = open_peer("c", a);
    sync_node(a);
    sync_node(b);
    sync_node(c);
    pa = spawn(a, NULL);
    pb = spawn(b, NULL);
    pc = spawn(c, NULL);
    exclusive();
    shared();
    lists();
    endings();
    with();
    contended();
    convoke_process_free(pa);
    convoke_process_free(pb);
    convoke_process_free(pc);
    close_node(c);
    close_node(b);
    close_node(a);
    return done();
}
