/* global: locks. */
#include "manual.h"

#define ALL NULL, 0
#define ALONE NULL, 0 /* a requester that nobody else has */
#define FOREVER CONVOKE_RETRIES_FOREVER

static const char *const ON_ONE[] = {"one"}, *const ON_TWO[] = {"two"}, *const ON_BOTH[] = {"one", "two"};

static convoke_status set_lock_on(convoke_process *process, const char *resource, const char *const *nodes, size_t count,
                                  int64_t retries) {
    return convoke_lock_acquire_on(process, resource, strlen(resource), ALONE, nodes, count, retries, SOON, NULL, NULL);
}

static convoke_status share(convoke_process *process, const char *resource, const char *requester, int64_t timeout_ms) {
    return convoke_lock_acquire(process, resource, strlen(resource), requester, strlen(requester), timeout_ms, NULL, NULL);
}

static convoke_status give_back(convoke_process *process, const char *resource, const char *requester) {
    return convoke_lock_release(process, resource, strlen(resource), requester, strlen(requester), SOON, NULL);
}

static void set_it(convoke_process *process, const char *resource) {
    OK(convoke_lock_acquire(process, resource, strlen(resource), ALONE, SOON, NULL, NULL));
}

static convoke_ref begin_to_set(convoke_process *process, const char *resource) {
    convoke_ref op;
    OK(convoke_lock_acquire(process, resource, strlen(resource), ALONE, CONVOKE_WAIT_FOREVER, NULL, &op));
    return op;
}

static void del_it(convoke_process *process, const char *resource) {
    OK(convoke_lock_release(process, resource, strlen(resource), ALONE, SOON, NULL));
}

static int holds(const convoke_process *process, const char *resource) {
    convoke_status status = convoke_lock_check(process, resource, strlen(resource), ALONE, NULL);
    CHECK(status == CONVOKE_OK || status == CONVOKE_E_NOT_OWNER);
    return status == CONVOKE_OK;
}

/* How many hold the lock or wait for it, as this node sees it. */
static size_t rows_of(const convoke_node *node, const char *resource, uint64_t waiters) {
    convoke_list *list;
    uint64_t is_waiter;
    size_t at, count = 0;
    OK(convoke_lock_list(node, resource, strlen(resource), &list));
    for (at = 0; at < convoke_list_len(list); at++) {
        OK(convoke_list_u64(list, at, CONVOKE_FIELD_IS_WAITER, &is_waiter));
        count += is_waiter == waiters;
    }
    convoke_list_free(list);
    return count;
}

static size_t holders(const convoke_node *node, const char *resource) { return rows_of(node, resource, 0); }

/* Other nodes hear a moment later than the caller who holds what they have agreed to, and who waits. */
static void await_row(const convoke_node *node, const char *resource, uint64_t waiters) {
    int rounds = 0;
    while (rows_of(node, resource, waiters) == 0) {
        usleep(500);
        CHECK(rounds++ < 40000);
    }
}

static void await_waiter(const convoke_node *node, const char *resource) { await_row(node, resource, 1); }

static void set_lock(void) {
    convoke_ref op;
    /* "Sets a lock on the specified nodes (or on all nodes if none are specified) on ResourceId for LockRequesterId." "This
     * function is completely synchronous." "All nodes involved in these actions will have the same view of the information." */
    set_it(one, "r");
    CHECK(holds(one, "r") && holders(node_one, "r") == 1);
    await_row(node_two, "r", 0);
    /* "When a global lock is set, access to the locked resource is denied for all other[s] than the lock requester." */
    STATUS(CONVOKE_E_TIMEOUT, set_lock_on(two, "r", ALL, 0));
    STATUS(CONVOKE_E_TIMEOUT, set_lock_on(two, "r", ON_ONE, 1, 0));
    STATUS(CONVOKE_E_TIMEOUT, set_lock_on(two, "r", ON_TWO, 1, 0));
    CHECK(!holds(two, "r"));
    set_it(two, "another resource");
    /* "When Retries attempts have been made, false is returned": long before the timeout. */
    STATUS(CONVOKE_E_TIMEOUT, convoke_lock_acquire_on(two, "r", 1, ALONE, ALL, 1, CONVOKE_WAIT_FOREVER, NULL, NULL));
    /* "... the process sleeps for a while and will try to execute the action later." Here it waits in a queue and gets the lock
     * when it is free. "If Retries is infinity, true is eventually returned"; "If no value for Retries is given, infinity is
     * used." */
    op = begin_to_set(two, "r");
    await_waiter(node_one, "r");
    CHECK(holds(one, "r") && !holds(two, "r"));
    del_it(one, "r");
    CHECK(result_of(two, op) == CONVOKE_OK);
    CHECK(holds(two, "r") && !holds(one, "r"));
    /* Nothing else below 0 is a number of retries. */
    STATUS(CONVOKE_E_INVALID, set_lock_on(one, "r", ALL, -2));
}

static void set_lock_nodes(void) {
    /* "Sets a lock on the specified nodes": others are not concerned. */
    static const char *const unknown[] = {"one", "nobody"};
    OK(set_lock_on(one, "r", ON_ONE, 1, FOREVER));
    OK(set_lock_on(two, "r", ON_TWO, 1, FOREVER));
    CHECK(holds(one, "r") && holds(two, "r"));
    STATUS(CONVOKE_E_TIMEOUT, set_lock_on(two, "r", ON_BOTH, 2, 0));
    CHECK(holds(two, "r")); /* what it had before */
    del_it(two, "r");
    /* A node of no name here: nothing is locked. */
    STATUS(CONVOKE_E_UNREACHABLE, set_lock_on(two, "s", unknown, 2, 0));
    CHECK(holders(node_one, "s") == 0);
    /* A list of nodes is not one of none. */
    STATUS(CONVOKE_E_INVALID, set_lock_on(two, "s", unknown, 0, 0));
}

/* "global keeps track of all processes sharing the same lock, that is, if two processes set the same lock, both processes must
 * delete the lock." */
static void set_lock_shared(void) {
    convoke_process *other = spawn(node_two, NULL);
    OK(share(one, "r", "us", SOON));
    OK(share(two, "r", "us", 0));
    STATUS(CONVOKE_E_TIMEOUT, share(other, "r", "them", 0));
    OK(give_back(one, "r", "us"));
    STATUS(CONVOKE_E_TIMEOUT, share(other, "r", "them", 0));
    /* Processes are counted, not calls. */
    OK(share(two, "r", "us", 0));
    OK(give_back(two, "r", "us"));
    OK(share(other, "r", "them", 0));
    convoke_process_free(other);
}

/* "If a process which holds a lock dies, or the node goes down, the locks held by the process are deleted." */
static void set_lock_death(void) {
    convoke_process *mortal = spawn(node_one, NULL), *three;
    convoke_node *node_three;
    convoke_ref op;
    set_it(mortal, "r");
    op = begin_to_set(two, "r");
    await_waiter(node_one, "r");
    OK(convoke_process_exit(mortal, CONVOKE_REASON_EXPLICIT, NULL, 0));
    CHECK(result_of(two, op) == CONVOKE_OK);
    convoke_process_free(mortal);
    del_it(two, "r");
    node_three = open_node("three", NULL);
    three = spawn(node_three, NULL);
    connect_to(three, node_one);
    OK(convoke_node_sync(three, SOON, NULL));
    set_it(three, "r");
    op = begin_to_set(two, "r");
    await_waiter(node_one, "r");
    OK(convoke_node_close(node_three, SOON));
    CHECK(result_of(two, op) == CONVOKE_OK);
    convoke_process_free(three);
    convoke_node_free(node_three);
}

/* "This function does not address the problem of a deadlock. ... if some processes try to lock two or more resources, a deadlock
 * may occur. It is up to the application to detect and rectify a deadlock." */
static void set_lock_deadlock(void) {
    convoke_ref op_one, op_two;
    set_it(one, "first");
    set_it(two, "second");
    op_one = begin_to_set(one, "second");
    op_two = begin_to_set(two, "first");
    await_waiter(node_one, "first");
    await_waiter(node_two, "second");
    /* Nothing else resolves it: one gives up what it wants, and then what it has. */
    OK(convoke_cancel(two, op_two));
    CHECK(result_of(two, op_two) == CONVOKE_E_CANCELLED);
    CHECK(!holds(one, "second") && holds(two, "second"));
    del_it(two, "second");
    CHECK(result_of(one, op_one) == CONVOKE_OK);
    CHECK(holds(one, "first") && holds(one, "second"));
}

static void del_lock(void) {
    /* "Deletes the lock Id synchronously." */
    set_it(one, "r");
    del_it(one, "r");
    CHECK(holders(node_one, "r") == 0 && holders(node_two, "r") == 0);
    OK(set_lock_on(two, "r", ALL, 0));
    /* Only a holder can, and only as the requester that it is. */
    STATUS(CONVOKE_E_NOT_OWNER, convoke_lock_release(one, "r", 1, ALONE, SOON, NULL));
    STATUS(CONVOKE_E_NOT_OWNER, give_back(two, "r", "somebody else"));
    CHECK(holds(two, "r"));
    /* del_lock/2: on some nodes. */
    OK(convoke_lock_release_on(two, "r", 1, ALONE, ON_ONE, 1, SOON, NULL));
    CHECK(holds(two, "r"));
    OK(set_lock_on(one, "r", ON_ONE, 1, 0));
    STATUS(CONVOKE_E_TIMEOUT, set_lock_on(one, "r", ON_TWO, 1, 0));
    OK(convoke_lock_release_on(two, "r", 1, ALONE, ON_TWO, 1, SOON, NULL));
    CHECK(!holds(two, "r"));
    OK(set_lock_on(one, "r", ON_TWO, 1, 0));
}

static int32_t fun(uint64_t fence, void *user_data) {
    uint64_t now;
    OK(convoke_lock_check(one, "r", 1, ALONE, &now));
    CHECK(fence == now && fence != 0);
    STATUS(CONVOKE_E_TIMEOUT, set_lock_on(two, "r", ON_ONE, 1, 0));
    return ++*(int *)user_data + 41;
}

static void *release_when_wanted(void *user_data) {
    (void)user_data;
    convoke_event_free(expect(two, CONVOKE_EVENT_LOCK_WANTED));
    del_it(two, "r");
    return NULL;
}

static void trans(void) {
    pthread_t holder;
    convoke_ref watch;
    int calls = 0;
    int32_t result = 0;
    /* "Sets a lock on Id (using set_lock/3). If this succeeds, Fun() is evaluated and the result Res is returned." */
    OK(convoke_lock_with(one, "r", 1, ALONE, ALL, FOREVER, SOON, fun, &calls, &result));
    CHECK(calls == 1 && result == 42 && !holds(one, "r"));
    /* "Returns aborted if the lock attempt failed." */
    OK(set_lock_on(two, "r", ON_TWO, 1, 0));
    STATUS(CONVOKE_E_ABORTED, convoke_lock_with(one, "r", 1, ALONE, ALL, 0, SOON, fun, &calls, &result));
    STATUS(CONVOKE_E_ABORTED, convoke_lock_with(one, "r", 1, ALONE, ON_BOTH, 2, 1, SOON, fun, &calls, NULL));
    CHECK(calls == 1 && result == 0);
    /* trans/3: on some nodes, others are not concerned. */
    OK(convoke_lock_with(one, "r", 1, ALONE, ON_ONE, 1, FOREVER, SOON, fun, &calls, &result));
    CHECK(calls == 2 && result == 43 && holds(two, "r"));
    /* "If Retries is set to infinity, the transaction will not abort." */
    OK(convoke_lock_watch(two, "r", 1, ALONE, &watch));
    CHECK(pthread_create(&holder, NULL, release_when_wanted, NULL) == 0);
    OK(convoke_lock_with(one, "r", 1, ALONE, ALL, FOREVER, CONVOKE_WAIT_FOREVER, fun, &calls, &result));
    CHECK(calls == 3 && result == 44);
    CHECK(pthread_join(holder, NULL) == 0);
    CHECK(holders(node_one, "r") == 0 && holders(node_two, "r") == 0);
}

ROWS({"set_lock", set_lock, 1}, {"set_lock_nodes", set_lock_nodes, 1}, {"set_lock_shared", set_lock_shared, 1},
     {"set_lock_death", set_lock_death, 1}, {"set_lock_deadlock", set_lock_deadlock, 1}, {"del_lock", del_lock, 1},
     {"trans", trans, 1})
