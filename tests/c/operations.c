/* Operations between two nodes, waited for and not: exactly one DONE each, cancelling, deadlines, monitors, exits. */
#include "check.h"

static convoke_node *node, *peer;
static convoke_process *here, *there;
static convoke_pid pid_here, pid_there;

/* The DONE event of an operation. */
static convoke_status result_of(convoke_ref op, uint64_t *value) {
    convoke_event *event = expect(here, CONVOKE_EVENT_DONE);
    const char *detail = NULL;
    convoke_status status = convoke_event_result(event, &detail);
    uint64_t number;
    const void *data;
    size_t len;
    CHECK(convoke_event_ref(event) == op && op != 0);
    CHECK(detail != NULL);
    OK(convoke_event_u64(event, CONVOKE_FIELD_STATUS, &number));
    CHECK((int64_t)number == (int64_t)status);
    OK(convoke_event_bytes(event, CONVOKE_FIELD_DETAIL, &data, &len));
    CHECK(len == strlen(detail) && memcmp(data, detail, len) == 0);
    if (value) *value = convoke_event_value(event);
    convoke_event_free(event);
    return status;
}

static void nothing_waits(convoke_process *process) {
    convoke_event *event;
    STATUS(CONVOKE_E_TIMEOUT, convoke_process_recv(process, 0, &event));
}

static void names(void) {
    convoke_pid pid;
    convoke_ref op;
    OK(convoke_name_register(here, "a", 1, NULL, NULL, SOON, NULL));
    /* Completely synchronous: the other node shows it. */
    OK(convoke_name_whereis(peer, "a", 1, &pid));
    CHECK(same_pid(&pid, &pid_here));
    STATUS(CONVOKE_E_EXISTS, convoke_name_register(there, "a", 1, NULL, NULL, SOON, NULL));
    STATUS(CONVOKE_E_EXISTS, convoke_name_register(here, "a", 1, NULL, NULL, 0, NULL));
    OK(convoke_name_register(here, "a", 1, NULL, NULL, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_E_EXISTS);
    OK(convoke_name_register(here, "b\0c", 3, &pid_there, "random-exit", -1, &op));
    CHECK(result_of(op, NULL) == CONVOKE_OK);
    OK(convoke_name_whereis(node, "b\0c", 3, &pid));
    CHECK(same_pid(&pid, &pid_there));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_name_whereis(node, "b", 1, &pid));
    OK(convoke_name_reregister(here, "b\0c", 3, NULL, NULL, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_OK);
    OK(convoke_name_whereis(peer, "b\0c", 3, &pid));
    CHECK(same_pid(&pid, &pid_here));
    {
        convoke_event *event = expect(there, CONVOKE_EVENT_NAME_CONFLICT);
        CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_REPLACED);
        OK(convoke_event_peer(event, &pid));
        CHECK(same_pid(&pid, &pid_here));
        convoke_event_free(event);
    }
    OK(convoke_name_unregister(there, "b\0c", 3, SOON, NULL));
    OK(convoke_name_unregister(here, "a", 1, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_OK);
    STATUS(CONVOKE_E_NOT_FOUND, convoke_name_whereis(peer, "a", 1, &pid));
    CHECK(is_none(&pid));
    OK(convoke_name_unregister(here, "a", 1, SOON, NULL));
    {
        char longest[1025];
        memset(longest, 'x', sizeof longest);
        STATUS(CONVOKE_E_TOO_BIG, convoke_name_register(here, longest, 1025, NULL, NULL, SOON, NULL));
        OK(convoke_name_register(here, longest, 1024, NULL, NULL, SOON, NULL));
        OK(convoke_name_unregister(here, longest, 1024, SOON, NULL));
    }
    nothing_waits(here);
    nothing_waits(there);
}

/* Many at once; each answered once, whatever is cancelled. */
static void many(void) {
    enum { COUNT = 200 };
    convoke_ref ops[COUNT];
    int answers[COUNT] = {0}, i, j, cancelled = 0;
    for (i = 0; i < COUNT; i++) {
        char name[16];
        int len = snprintf(name, sizeof name, "many %d", i);
        OK(convoke_name_register(here, name, (size_t)len, NULL, NULL, SOON, &ops[i]));
        if (i % 3 == 0) OK(convoke_cancel(here, ops[i]));
    }
    for (i = 0; i < COUNT; i++) {
        convoke_event *event = expect(here, CONVOKE_EVENT_DONE);
        convoke_status status = convoke_event_result(event, NULL);
        for (j = 0; j < COUNT && ops[j] != convoke_event_ref(event); j++) {}
        CHECK(j < COUNT);
        answers[j]++;
        CHECK(status == CONVOKE_OK || (status == CONVOKE_E_CANCELLED && j % 3 == 0));
        cancelled += status == CONVOKE_E_CANCELLED;
        convoke_event_free(event);
    }
    for (i = 0; i < COUNT; i++) CHECK(answers[i] == 1);
    {
        convoke_list *list;
        const convoke_pid *pids;
        size_t len;
        OK(convoke_name_list(peer, "many ", 5, &list));
        OK(convoke_list_pids(list, &pids, &len));
        CHECK(len == (size_t)(COUNT - cancelled) && convoke_list_len(list) == len);
        CHECK(same_pid(&pids[0], &pid_here));
        convoke_list_free(list);
    }
    /* One that has ended is left alone. */
    OK(convoke_cancel(here, ops[1]));
    nothing_waits(here);
}

/* Everything that may wait, for locks and groups, with a DONE event each. */
static void locks_and_groups(void) {
    const char *both[] = {"node", "peer"};
    convoke_process *holder = spawn(peer, NULL);
    convoke_ref op, watch, waits;
    uint64_t fence = 7, value;
    convoke_event *event;
    OK(convoke_lock_acquire(here, "l", 1, NULL, 0, SOON, &fence, &op));
    CHECK(fence == 0); /* the event has it */
    CHECK(result_of(op, &fence) == CONVOKE_OK && fence != 0);
    OK(convoke_lock_check(here, "l", 1, NULL, 0, &value));
    CHECK(value == fence);
    OK(convoke_lock_acquire_on(here, "l", 1, NULL, 0, both, 2, 3, SOON, NULL, &op));
    CHECK(result_of(op, &value) == CONVOKE_OK && value == fence);
    OK(convoke_lock_release_on(here, "l", 1, NULL, 0, both, 1, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_OK);
    OK(convoke_lock_release(here, "l", 1, NULL, 0, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_OK);
    OK(convoke_lock_release(here, "l", 1, NULL, 0, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_E_NOT_OWNER);
    /* Held by another: not at once, not in time, not in retries, not when cancelled, not when the waiting one exits. */
    OK(convoke_lock_acquire(holder, "l", 1, NULL, 0, SOON, NULL, NULL));
    OK(convoke_lock_acquire(here, "l", 1, NULL, 0, 0, NULL, &op));
    CHECK(result_of(op, &value) == CONVOKE_E_TIMEOUT && value == 0);
    OK(convoke_lock_acquire(here, "l", 1, NULL, 0, 5, NULL, &op));
    CHECK(result_of(op, NULL) == CONVOKE_E_TIMEOUT);
    OK(convoke_lock_acquire_on(here, "l", 1, NULL, 0, both, 2, 1, -1, NULL, &op));
    CHECK(result_of(op, NULL) == CONVOKE_E_TIMEOUT);
    OK(convoke_lock_watch(holder, "l", 1, NULL, 0, &watch));
    OK(convoke_lock_acquire(here, "l", 1, NULL, 0, -1, NULL, &waits));
    convoke_event_free(expect(holder, CONVOKE_EVENT_LOCK_WANTED));
    OK(convoke_cancel(here, waits));
    CHECK(result_of(waits, NULL) == CONVOKE_E_CANCELLED);
    {
        convoke_process *waiting = spawn(node, NULL);
        OK(convoke_lock_acquire(waiting, "l", 1, NULL, 0, -1, NULL, &waits));
        OK(convoke_process_exit(waiting, 0, NULL, 0));
        event = expect(waiting, CONVOKE_EVENT_DONE);
        CHECK(convoke_event_ref(event) == waits && convoke_event_result(event, NULL) == CONVOKE_E_NO_PROCESS);
        convoke_event_free(event);
        STATUS(CONVOKE_E_NO_PROCESS, convoke_process_recv(waiting, SOON, &event));
        convoke_process_free(waiting);
    }
    convoke_process_free(holder);
    OK(convoke_lock_acquire(here, "l", 1, NULL, 0, SOON, NULL, NULL));
    OK(convoke_lock_release(here, "l", 1, NULL, 0, SOON, NULL));

    OK(convoke_group_join(here, "g", 1, NULL, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_E_NOT_FOUND);
    OK(convoke_group_leave(here, "g", 1, NULL, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_E_NOT_FOUND);
    OK(convoke_group_delete(here, "g", 1, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_OK);
    OK(convoke_group_create(here, "g", 1, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_OK);
    OK(convoke_group_join(here, "g", 1, NULL, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_OK);
    OK(convoke_group_join(here, "g", 1, &pid_there, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_OK);
    OK(convoke_group_leave(here, "g", 1, &pid_there, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_OK);
    OK(convoke_group_delete(here, "g", 1, SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_OK);
    nothing_waits(here);
}

/* Many locks at once; each answered once, whatever is cancelled, and nothing is left of those that are given up. */
static void many_locks(void) {
    enum { COUNT = 200 };
    convoke_ref ops[COUNT];
    int answers[COUNT] = {0}, i, j, held = 0;
    convoke_stats stats;
    convoke_list *list;
    convoke_process *taker = spawn(node, NULL);
    for (i = 0; i < COUNT; i++) {
        OK(convoke_lock_acquire(taker, &i, sizeof i, NULL, 0, SOON, NULL, &ops[i]));
        if (i % 3 == 0) OK(convoke_cancel(taker, ops[i]));
    }
    for (i = 0; i < COUNT; i++) {
        convoke_event *event = expect(taker, CONVOKE_EVENT_DONE);
        convoke_status status = convoke_event_result(event, NULL);
        for (j = 0; j < COUNT && ops[j] != convoke_event_ref(event); j++) {}
        CHECK(j < COUNT);
        answers[j]++;
        CHECK(status == CONVOKE_OK || (status == CONVOKE_E_CANCELLED && j % 3 == 0));
        held += status == CONVOKE_OK;
        CHECK((convoke_lock_check(taker, &j, sizeof j, NULL, 0, NULL) == CONVOKE_OK) == (status == CONVOKE_OK));
        convoke_event_free(event);
    }
    for (i = 0; i < COUNT; i++) CHECK(answers[i] == 1);
    stats.struct_size = sizeof stats;
    OK(convoke_node_stats(node, &stats));
    CHECK(stats.locks_held == (uint64_t)held);
    convoke_process_free(taker);
    for (i = 0; i < COUNT; i++) {
        OK(convoke_lock_acquire(there, &i, sizeof i, NULL, 0, SOON, NULL, NULL));
        OK(convoke_lock_release(there, &i, sizeof i, NULL, 0, SOON, NULL));
    }
    OK(convoke_lock_list(node, NULL, 0, &list));
    CHECK(convoke_list_len(list) == 0);
    convoke_list_free(list);
    nothing_waits(there);
}

static void alive(void) {
    convoke_process *gone = spawn(peer, NULL);
    convoke_pid pid = pid_of(gone), elsewhere = {12345, 1};
    bool is_alive = false;
    convoke_ref op;
    uint64_t value;
    OK(convoke_process_is_alive(here, &pid_there, SOON, &is_alive, NULL));
    CHECK(is_alive);
    convoke_process_free(gone);
    OK(convoke_process_is_alive(here, &pid, SOON, &is_alive, NULL));
    CHECK(!is_alive);
    is_alive = true;
    OK(convoke_process_is_alive(here, &pid_there, SOON, &is_alive, &op));
    CHECK(!is_alive); /* not known yet */
    CHECK(result_of(op, &value) == CONVOKE_OK && value == 1);
    OK(convoke_process_is_alive(here, &pid_there, SOON, NULL, &op));
    CHECK(result_of(op, &value) == CONVOKE_OK && value == 1);
    STATUS(CONVOKE_E_UNREACHABLE, convoke_process_is_alive(here, &elsewhere, SOON, &is_alive, NULL));
    STATUS(CONVOKE_E_UNREACHABLE, convoke_send(here, &elsewhere, "x", 1));
}

/* The number that the next message carries. */
static int take_number(void) {
    convoke_event *event = expect(there, CONVOKE_EVENT_MESSAGE);
    const void *data;
    size_t len;
    int number;
    OK(convoke_event_payload(event, &data, &len));
    CHECK(len == sizeof number);
    memcpy(&number, data, sizeof number);
    convoke_event_free(event);
    return number;
}

/* More than fits: the sender is refused, told when there is room again, and nothing is lost or out of order. */
static void in_order_through_a_full_mailbox(void) {
    int sent = 0, taken = 0, refused = 0;
    while (sent < 5000) {
        convoke_status status = convoke_send(here, &pid_there, &sent, sizeof sent);
        if (status == CONVOKE_OK) {
            sent++;
            continue;
        }
        STATUS(CONVOKE_E_FULL, status);
        refused++;
        while (taken < sent) CHECK(take_number() == taken++);
        convoke_event_free(expect(here, CONVOKE_EVENT_SENDABLE));
    }
    while (taken < sent) CHECK(take_number() == taken++);
    CHECK(refused > 0);
    nothing_waits(here);
    nothing_waits(there);
}

static void messages(void) {
    enum { BIG = 1 << 20 };
    char *big = (char *)malloc(BIG);
    const void *data;
    size_t len;
    convoke_pid from;
    convoke_event *event;
    int round;
    CHECK(big != NULL);
    memset(big, 'b', BIG);
    OK(convoke_send(here, &pid_there, NULL, 0));
    /* More than the first window: it waits at its own node for room. One that would wait behind it is refused. */
    OK(convoke_send(here, &pid_there, big, BIG));
    STATUS(CONVOKE_E_FULL, convoke_send(here, &pid_there, big, BIG));
    event = expect(there, CONVOKE_EVENT_MESSAGE);
    OK(convoke_event_payload(event, &data, &len));
    CHECK(len == 0 && data != NULL);
    OK(convoke_event_peer(event, &from));
    CHECK(same_pid(&from, &pid_here));
    convoke_event_free(event);
    for (round = 0; round < 2; round++) {
        event = expect(there, CONVOKE_EVENT_MESSAGE);
        OK(convoke_event_payload(event, &data, &len));
        CHECK(len == BIG && memcmp(data, big, BIG) == 0);
        convoke_event_free(event);
        if (round == 0) {
            convoke_event_free(expect(here, CONVOKE_EVENT_SENDABLE));
            OK(convoke_send(here, &pid_there, big, BIG));
        }
    }
    free(big);
    in_order_through_a_full_mailbox();
}

static void exits(void) {
    convoke_process *victim = spawn(peer, NULL), *other = spawn(peer, NULL);
    convoke_pid pid = pid_of(victim), pid_other = pid_of(other), who;
    convoke_ref first, second, third;
    convoke_event *event;
    bool is_alive;
    const void *data;
    size_t len;
    OK(convoke_process_monitor(here, &pid, &first));
    OK(convoke_process_monitor(here, &pid, &second));
    OK(convoke_process_monitor(here, &pid_other, &third));
    OK(convoke_cancel(here, second));
    /* The question goes the way of the monitors: after its answer they are there. */
    OK(convoke_process_is_alive(here, &pid, SOON, &is_alive, NULL));
    CHECK(is_alive);
    OK(convoke_process_exit(victim, CONVOKE_REASON_USER + 5, "why", 3));
    event = expect(here, CONVOKE_EVENT_EXIT);
    CHECK(convoke_event_ref(event) == first);
    CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_USER + 5);
    OK(convoke_event_peer(event, &who));
    CHECK(same_pid(&who, &pid));
    OK(convoke_event_payload(event, &data, &len));
    CHECK(len == 3 && memcmp(data, "why", 3) == 0);
    OK(convoke_event_pid(event, CONVOKE_FIELD_KILLED_BY, &who));
    CHECK(is_none(&who));
    convoke_event_free(event);
    OK(convoke_process_kill(here, &pid_other, CONVOKE_REASON_KILLED));
    event = expect(other, CONVOKE_EVENT_EXIT);
    CHECK(convoke_event_ref(event) == 0 && convoke_event_get_reason(event) == CONVOKE_REASON_KILLED);
    OK(convoke_event_pid(event, CONVOKE_FIELD_KILLED_BY, &who));
    CHECK(same_pid(&who, &pid_here));
    convoke_event_free(event);
    STATUS(CONVOKE_E_NO_PROCESS, convoke_process_recv(other, SOON, &event));
    event = expect(here, CONVOKE_EVENT_EXIT);
    CHECK(convoke_event_ref(event) == third);
    convoke_event_free(event);
    /* One that never was. */
    pid.serial = 999999;
    OK(convoke_process_monitor(here, &pid, &first));
    event = expect(here, CONVOKE_EVENT_EXIT);
    CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_NO_PROCESS);
    convoke_event_free(event);
    convoke_process_free(victim);
    convoke_process_free(other);
    nothing_waits(here);
}

static void nodes(void) {
    convoke_ref op, ref;
    convoke_event *event;
    const void *data;
    size_t len;
    char address[128];
    OK(convoke_node_address(peer, address, sizeof address, NULL));
    OK(convoke_node_monitor(here, &ref));
    event = expect(here, CONVOKE_EVENT_NODE_UP);
    CHECK(convoke_event_ref(event) == ref);
    OK(convoke_event_name(event, &data, &len));
    CHECK(len == 4 && memcmp(data, "peer", 4) == 0);
    convoke_event_free(event);
    convoke_event_free(expect(here, CONVOKE_EVENT_SNAPSHOT_END));
    OK(convoke_node_disconnect(here, "peer", SOON, NULL));
    event = expect(here, CONVOKE_EVENT_NODE_DOWN);
    CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_DISCONNECTED);
    convoke_event_free(event);
    STATUS(CONVOKE_E_NOT_FOUND, convoke_node_disconnect(here, "peer", SOON, NULL));
    OK(convoke_node_connect(here, address, SOON, NULL));
    convoke_event_free(expect(here, CONVOKE_EVENT_NODE_UP));
    OK(convoke_cancel(here, ref));
    /* Nobody there. */
    STATUS(CONVOKE_E_UNREACHABLE, convoke_node_connect(here, "127.0.0.1:1", SOON, NULL));
    OK(convoke_node_connect(here, "127.0.0.1:1", SOON, &op));
    CHECK(result_of(op, NULL) == CONVOKE_E_UNREACHABLE);
    nothing_waits(here);
}

int main(void) {
    node = open_node("node", NULL);
    peer = open_peer("peer", node);
    here = spawn(node, NULL);
    there = spawn(peer, NULL);
    pid_here = pid_of(here);
    pid_there = pid_of(there);
    names();
    many();
    locks_and_groups();
    many_locks();
    alive();
    messages();
    exits();
    nodes();
    convoke_process_free(here);
    convoke_process_free(there);
    close_node(peer);
    close_node(node);
    return done();
}
