/* One program that uses all of the library and leaves nothing behind. Runs under a memory checker. */
#include "check.h"

static int events, freed;

static void count_free(void *user_data) {
    (void)user_data;
    __atomic_fetch_add(&freed, 1, __ATOMIC_SEQ_CST);
}

static void on_event(convoke_event *event, void *user_data) {
    (void)user_data;
    if (convoke_event_get_kind(event) == CONVOKE_EVENT_MESSAGE) __atomic_fetch_add(&events, 1, __ATOMIC_SEQ_CST);
}

static void configure(void) {
    convoke_options *options;
    char buf[16];
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "name", "x"));
    OK(convoke_options_set_bytes(options, "cluster", "everything", 10));
    OK(convoke_options_load(options, "/dev/null"));
    STATUS(CONVOKE_E_OPTION, convoke_options_set(options, "naem", "x"));
    (void)convoke_last_error(buf, sizeof buf);
    convoke_options_free(options);
}

/* Sends; if there is no room, waits for the event that says there is. */
static void send_when_there_is_room(convoke_process *from, convoke_queue *queue, const convoke_pid *to,
                                    const void *data, size_t len) {
    while (convoke_send(from, to, data, len) != CONVOKE_OK) {
        convoke_event *event;
        OK(convoke_queue_next(queue, SOON, &event));
        CHECK(convoke_event_get_kind(event) == CONVOKE_EVENT_SENDABLE);
        convoke_event_free(event);
    }
}

/* Both ways, small and large, pulled and dispatched. */
static void talk(convoke_node *node, convoke_node *peer) {
    enum { BIG = 300000 };
    convoke_queue *queue;
    convoke_process *a, *b = spawn(peer, NULL);
    convoke_pid pid_a, pid_b = pid_of(b), to;
    convoke_event *event;
    const void *data;
    size_t len;
    char *big = (char *)calloc(1, BIG);
    int fd, i;
    CHECK(big != NULL);
    OK(convoke_queue_new(node, &queue));
    OK(convoke_queue_fd(queue, &fd));
    a = spawn(node, queue);
    pid_a = pid_of(a);
    OK(convoke_name_register(a, "a", 1, NULL, NULL, SOON, NULL));
    for (i = 0; i < 20; i++) {
        OK(convoke_send_name(b, "a", 1, &i, sizeof i, &to));
        CHECK(same_pid(&to, &pid_a));
        OK(convoke_queue_next(queue, SOON, &event));
        convoke_event_free(event);
        send_when_there_is_room(a, queue, &pid_b, i % 5 ? (const void *)&i : big, i % 5 ? sizeof i : (size_t)BIG);
        event = expect(b, CONVOKE_EVENT_MESSAGE);
        OK(convoke_event_payload(convoke_event_retain(event), &data, &len));
        convoke_event_free(event);
        convoke_event_free(event);
    }
    OK(convoke_queue_set_handler(queue, on_event, &events, count_free));
    OK(convoke_process_set_handler(a, on_event, &events, count_free));
    OK(convoke_send(b, &pid_a, "x", 1));
    OK(convoke_queue_dispatch(queue, 1, SOON, NULL));
    OK(convoke_queue_start_thread(queue));
    OK(convoke_send(b, &pid_a, "x", 1));
    await(&events, 2);
    OK(convoke_queue_stop_thread(queue, SOON));
    OK(convoke_queue_wake(queue));
    /* Some of it is never read. */
    for (i = 0; i < 10; i++) {
        OK(convoke_send(b, &pid_a, big, 1000));
        OK(convoke_send(a, &pid_b, big, 1000));
    }
    free(big);
    convoke_process_free(a);
    convoke_queue_free(queue);
    convoke_process_free(b);
    await(&freed, 2);
}

static int32_t count_call(uint64_t fence, void *user_data) {
    CHECK(fence != 0);
    ++*(int *)user_data;
    return 1;
}

/* Held, waited for, watched, lost with its process. */
static void lock(convoke_node *node, convoke_node *peer) {
    static const char long_name[] = "a resource with a name that is longer than the tables keep in place";
    const char *both[] = {"node", "peer"};
    convoke_process *p = spawn(node, NULL), *q = spawn(peer, NULL), *waiting = spawn(node, NULL);
    convoke_event *event;
    convoke_list *list;
    convoke_ref op, ref;
    uint64_t fence;
    int calls = 0;
    OK(convoke_lock_acquire(p, long_name, sizeof long_name, "us", 2, SOON, &fence, NULL));
    OK(convoke_lock_acquire_on(q, long_name, sizeof long_name, "us", 2, both, 2, 0, SOON, &fence, NULL));
    OK(convoke_lock_check(q, long_name, sizeof long_name, "us", 2, &fence));
    OK(convoke_lock_watch(p, long_name, sizeof long_name, "us", 2, &ref));
    OK(convoke_lock_acquire(waiting, long_name, sizeof long_name, NULL, 0, -1, NULL, &op));
    event = expect(p, CONVOKE_EVENT_LOCK_WANTED);
    CHECK(convoke_event_ref(event) == ref);
    convoke_event_free(event);
    OK(convoke_lock_list(node, NULL, 0, &list));
    CHECK(convoke_list_len(list) >= 2);
    convoke_list_free(list);
    OK(convoke_lock_release_on(q, long_name, sizeof long_name, "us", 2, both, 2, SOON, NULL));
    OK(convoke_lock_release(p, long_name, sizeof long_name, "us", 2, SOON, &ref));
    event = expect(p, CONVOKE_EVENT_DONE);
    CHECK(convoke_event_ref(event) == ref && convoke_event_result(event, NULL) == CONVOKE_OK);
    convoke_event_free(event);
    event = expect(waiting, CONVOKE_EVENT_DONE);
    CHECK(convoke_event_ref(event) == op && convoke_event_value(event) != 0);
    convoke_event_free(event);
    OK(convoke_lock_with(q, "with", 4, NULL, 0, NULL, 0, CONVOKE_RETRIES_FOREVER, SOON, count_call, &calls, NULL));
    CHECK(calls == 1);
    OK(convoke_lock_acquire(q, long_name, sizeof long_name, NULL, 0, -1, NULL, &op)); /* never read */
    convoke_process_free(waiting);
    convoke_process_free(p);
    convoke_process_free(q);
}

static void group(convoke_node *node, convoke_node *peer) {
    convoke_process *p = spawn(node, NULL), *q = spawn(peer, NULL);
    convoke_pid pid_q = pid_of(q), pid;
    convoke_list *list, *local, *all;
    const convoke_pid *pids;
    convoke_ref ref;
    uint32_t count;
    size_t len;
    OK(convoke_group_create(p, "g", 1, SOON, NULL));
    OK(convoke_group_create(q, "left over", 9, SOON, NULL));
    OK(convoke_group_monitor(p, "g", 1, &ref));
    convoke_event_free(expect(p, CONVOKE_EVENT_SNAPSHOT_END));
    OK(convoke_group_join(p, "g", 1, NULL, SOON, NULL));
    OK(convoke_group_join(p, "g", 1, &pid_q, SOON, NULL));
    convoke_event_free(expect(p, CONVOKE_EVENT_GROUP_JOINED));
    OK(convoke_group_members(node, "g", 1, &list));
    OK(convoke_group_local_members(node, "g", 1, &local));
    OK(convoke_group_list(node, &all));
    OK(convoke_group_closest(peer, "g", 1, &pid));
    CHECK(same_pid(&pid, &pid_q));
    OK(convoke_group_send(p, "g", 1, "hello", 5, &count));
    CHECK(count == 2);
    convoke_event_free(expect(q, CONVOKE_EVENT_MESSAGE));
    OK(convoke_group_leave(p, "g", 1, NULL, SOON, NULL));
    OK(convoke_group_delete(q, "g", 1, SOON, NULL));
    /* What was asked for is kept as it was. */
    OK(convoke_list_pids(list, &pids, &len));
    CHECK(len == 2 && same_pid(&pids[1], &pid_q) && convoke_list_len(local) == 1 && convoke_list_len(all) == 2);
    convoke_list_free(all);
    convoke_list_free(local);
    convoke_process_free(p); /* with events unread */
    convoke_list_free(list);
    convoke_process_free(q);
}

static void ask(convoke_node *node, convoke_node *peer) {
    convoke_process *p = spawn(node, NULL), *q = spawn(peer, NULL);
    convoke_pid pid_q = pid_of(q), pid;
    convoke_list *list;
    convoke_stats stats;
    convoke_ref ref;
    char buf[128];
    const void *data;
    const char *detail;
    size_t len;
    uint64_t value;
    bool alive;
    convoke_event *event;
    stats.struct_size = sizeof stats;
    OK(convoke_node_name(node, buf, sizeof buf, &len));
    OK(convoke_node_stats(node, &stats));
    CHECK(stats.peers == 1);
    OK(convoke_node_peers(node, &list));
    OK(convoke_list_name(list, 0, &data, &len));
    OK(convoke_list_u64(list, 0, CONVOKE_FIELD_NODE, &value));
    CHECK(value == pid_q.node);
    convoke_list_free(list);
    OK(convoke_node_sync(p, SOON, NULL));
    OK(convoke_node_monitor(p, &ref));
    convoke_event_free(expect(p, CONVOKE_EVENT_NODE_UP));
    convoke_event_free(expect(p, CONVOKE_EVENT_SNAPSHOT_END));
    OK(convoke_cancel(p, ref));
    OK(convoke_name_monitor(p, "b", 1, &ref));
    convoke_event_free(expect(p, CONVOKE_EVENT_NAME_CHANGED));
    OK(convoke_name_register(p, "b", 1, &pid_q, NULL, SOON, NULL));
    event = expect(p, CONVOKE_EVENT_NAME_CHANGED);
    OK(convoke_event_peer(event, &pid));
    CHECK(same_pid(&pid, &pid_q));
    convoke_event_free(event);
    OK(convoke_name_list(peer, "b", 1, &list));
    CHECK(convoke_list_len(list) == 1);
    convoke_list_free(list);
    OK(convoke_name_reregister(q, "b", 1, NULL, NULL, SOON, &ref));
    event = expect(q, CONVOKE_EVENT_DONE);
    OK(convoke_event_result(event, &detail));
    convoke_event_free(event);
    OK(convoke_name_unregister(q, "b", 1, SOON, NULL));
    OK(convoke_process_is_alive(p, &pid_q, SOON, &alive, NULL));
    OK(convoke_process_monitor(p, &pid_q, &ref));
    OK(convoke_process_kill(p, &pid_q, CONVOKE_REASON_KILLED));
    convoke_event_free(expect(q, CONVOKE_EVENT_EXIT));
    for (;;) {
        convoke_event_kind kind;
        OK(convoke_process_recv(p, SOON, &event));
        kind = convoke_event_get_kind(event);
        convoke_event_free(event);
        if (kind == CONVOKE_EVENT_EXIT) break;
    }
    OK(convoke_process_exit(p, 0, "bye", 3));
    convoke_process_free(p);
    convoke_process_free(q);
}

static int32_t keep_neither(const convoke_event *clash, void *user_data) {
    const void *data;
    convoke_pid pid;
    uint64_t age;
    size_t len;
    (void)user_data;
    OK(convoke_event_name(clash, &data, &len));
    OK(convoke_event_process(clash, &pid));
    OK(convoke_event_u64(clash, CONVOKE_FIELD_AGE_MS, &age));
    return CONVOKE_CLASH_NEITHER | CONVOKE_CLASH_NOTIFY_LOSER;
}

/* A name on two nodes that meet, and a function to decide; a function that is never called. */
static void clash(void) {
    convoke_node *nodes[2];
    convoke_process *processes[2];
    char address[128];
    int at;
    freed = 0;
    for (at = 0; at < 2; at++) {
        nodes[at] = open_node(NULL, NULL);
        processes[at] = spawn(nodes[at], NULL);
        OK(convoke_resolver_add(nodes[at], "neither", keep_neither, &freed, count_free));
        OK(convoke_resolver_add(nodes[at], "unused", keep_neither, &freed, count_free));
        STATUS(CONVOKE_E_EXISTS, convoke_resolver_add(nodes[at], "unused", keep_neither, &freed, count_free));
        OK(convoke_name_register(processes[at], "clash", 5, NULL, "neither", SOON, NULL));
    }
    OK(convoke_node_address(nodes[1], address, sizeof address, NULL));
    OK(convoke_node_connect(processes[0], address, SOON, NULL));
    for (at = 0; at < 2; at++) {
        convoke_event_free(expect(processes[at], CONVOKE_EVENT_NAME_CONFLICT));
        convoke_process_free(processes[at]);
    }
    for (at = 0; at < 2; at++) close_node(nodes[at]);
    await(&freed, 6);
}

int main(void) {
    convoke_node *node, *peer;
    configure();
    node = open_node("node", NULL);
    peer = open_peer("peer", node);
    talk(node, peer);
    ask(node, peer);
    clash();
    lock(node, peer);
    group(node, peer);
    {
        convoke_process *p = spawn(node, NULL);
        OK(convoke_node_disconnect(p, "peer", SOON, NULL));
        convoke_process_free(p);
    }
    close_node(peer);
    close_node(node);
    return done();
}
