/* global: what becomes of a name that two parts of a cluster have both given away. The rows begin with the nodes apart. */
#include "manual.h"

/* Two clusters with one name each: "one of the two registered processes will be selected as correct while the other is
 * killed". Called before the two nodes are linked. */
static void random_exit_name(void) {
    convoke_node *nodes[2], *winner_node, *loser_node;
    convoke_process *watchers[2], *loser_process;
    convoke_queue *queues[2];
    struct pollfd ready[2];
    convoke_ref monitor;
    convoke_event *event;
    const convoke_pid *winner;
    convoke_pid killed;
    int at;
    OK(convoke_name_register(one, "name", 4, NULL, "random-exit", SOON, NULL));
    OK(convoke_name_register(two, "name", 4, NULL, NULL, SOON, NULL)); /* the default */
    nodes[0] = node_one, nodes[1] = node_two;
    for (at = 0; at < 2; at++) {
        OK(convoke_queue_new(nodes[at], &queues[at]));
        OK(convoke_queue_fd(queues[at], &ready[at].fd));
        ready[at].events = POLLIN;
        watchers[at] = spawn(nodes[at], queues[at]);
        OK(convoke_process_monitor(watchers[at], at == 0 ? &pid_one : &pid_two, &monitor));
    }
    connect_to(two, node_one);
    CHECK(poll(ready, 2, SOON) == 1);
    OK(convoke_queue_next(queues[ready[0].revents ? 0 : 1], 0, &event));
    CHECK(convoke_event_get_kind(event) == CONVOKE_EVENT_EXIT);
    CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_CONFLICT_LOST);
    OK(convoke_event_peer(event, &killed));
    convoke_event_free(event);
    winner = same_pid(&killed, &pid_one) ? &pid_two : &pid_one;
    winner_node = same_pid(&killed, &pid_one) ? node_two : node_one;
    loser_node = same_pid(&killed, &pid_one) ? node_one : node_two;
    loser_process = same_pid(&killed, &pid_one) ? one : two;
    wait_until_shown(loser_node, "name", winner);
    wait_until_shown(winner_node, "name", winner);
    /* The killed process is told too, and can do nothing any more. */
    event = expect(loser_process, CONVOKE_EVENT_EXIT);
    CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_CONFLICT_LOST);
    convoke_event_free(event);
    STATUS(CONVOKE_E_NO_PROCESS, reg(loser_process, "another", NULL));
    /* The other one lives, and was not told of an end. */
    OK(convoke_name_unregister(same_pid(winner, &pid_one) ? one : two, "name", 4, SOON, NULL));
    for (at = 0; at < 2; at++) {
        STATUS(CONVOKE_E_TIMEOUT, convoke_queue_next(queues[at], 0, &event));
        convoke_process_free(watchers[at]);
        convoke_queue_free(queues[at]);
    }
}

/* Both processes register the name before the nodes meet. */
static void clash_of(const char *resolver) {
    OK(convoke_name_register(one, "name", 4, NULL, resolver, SOON, NULL));
    OK(convoke_name_register(two, "name", 4, NULL, resolver, SOON, NULL));
    connect_to(two, node_one);
}

/* The process lost the name to `other` (NULL: it is not told to whom), and lives. */
static void expect_conflict(convoke_process *process, const convoke_pid *other) {
    convoke_event *event = expect(process, CONVOKE_EVENT_NAME_CONFLICT);
    convoke_pid peer;
    const void *name;
    size_t len;
    CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_CONFLICT_LOST);
    OK(convoke_event_name(event, &name, &len));
    CHECK(len == 4 && memcmp(name, "name", 4) == 0);
    OK(convoke_event_peer(event, &peer));
    CHECK(other ? same_pid(&peer, other) : is_none(&peer));
    convoke_event_free(event);
    OK(reg(process, other ? "alive and told" : "alive", NULL));
    OK(convoke_name_unregister(process, other ? "alive and told" : "alive", other ? 14 : 5, SOON, NULL));
}

/* "It randomly chooses one of the pids for registration, and sends the message {global_name_conflict, Name} to the other
 * pid." */
static void random_notify_name(void) {
    convoke_pid seen_one, seen_two;
    convoke_event *event;
    int one_won;
    clash_of("random-notify");
    do { /* each node shows its own until it is decided */
        usleep(500);
        OK(convoke_name_whereis(node_one, "name", 4, &seen_one));
        OK(convoke_name_whereis(node_two, "name", 4, &seen_two));
    } while (!same_pid(&seen_one, &seen_two));
    one_won = same_pid(&seen_one, &pid_one);
    expect_conflict(one_won ? two : one, NULL);
    STATUS(CONVOKE_E_TIMEOUT, convoke_process_recv(one_won ? one : two, 0, &event));
}

/* "It unregisters both pids, and sends the message {global_name_conflict, Name, OtherPid} to both processes." */
static void notify_all_name(void) {
    clash_of("notify-all");
    expect_conflict(one, &pid_two);
    expect_conflict(two, &pid_one);
    wait_until_shown(node_one, "name", NULL);
    wait_until_shown(node_two, "name", NULL);
}

static int resolve_calls;

/* Keeps `one`, or gives no answer that makes sense. */
static int32_t resolve(const convoke_event *clash, void *user_data) {
    convoke_pid a, b;
    OK(convoke_event_process(clash, &a));
    OK(convoke_event_peer(clash, &b));
    CHECK(same_pid(&a, &pid_one) ? same_pid(&b, &pid_two) : same_pid(&a, &pid_two) && same_pid(&b, &pid_one));
    __atomic_fetch_add(&resolve_calls, 1, __ATOMIC_SEQ_CST);
    if (user_data) return 4711;
    return (same_pid(&a, &pid_one) ? CONVOKE_CLASH_A : CONVOKE_CLASH_B) | CONVOKE_CLASH_NOTIFY_LOSER;
}

/* "If any name clashes are discovered, the Resolve function is called. Its purpose is to decide which pid is correct. ... If
 * the function crashes, or returns anything other than one of the pids, the name is unregistered. This function is called
 * once for each name clash." */
static void own_resolver(void) {
    convoke_node *nodes[2];
    convoke_ref monitor;
    int at;
    nodes[0] = node_one, nodes[1] = node_two;
    STATUS(CONVOKE_E_NOT_FOUND, convoke_name_register(one, "name", 4, NULL, "prefer one", SOON, NULL));
    for (at = 0; at < 2; at++) {
        OK(convoke_resolver_add(nodes[at], "prefer one", resolve, NULL, NULL));
        OK(convoke_resolver_add(nodes[at], "nonsense", resolve, &resolve_calls, NULL));
    }
    clash_of("prefer one");
    expect_conflict(two, &pid_one);
    wait_until_shown(node_one, "name", &pid_one);
    wait_until_shown(node_two, "name", &pid_one);
    CHECK(resolve_calls == 1);
    OK(convoke_name_unregister(one, "name", 4, SOON, NULL));
    OK(convoke_process_monitor(two, &pid_one, &monitor));
    OK(convoke_node_disconnect(one, "two", SOON, NULL));
    convoke_event_free(expect(two, CONVOKE_EVENT_EXIT)); /* the other side has seen it too */
    clash_of("nonsense");
    expect_conflict(one, &pid_two);
    expect_conflict(two, &pid_one);
    wait_until_shown(node_one, "name", NULL);
    wait_until_shown(node_two, "name", NULL);
    CHECK(resolve_calls == 2);
}

static int let_go, blocked_calls;

/* Returns when it may; then the first process keeps the name. */
static int32_t block(const convoke_event *clash, void *user_data) {
    (void)clash;
    (void)user_data;
    __atomic_fetch_add(&blocked_calls, 1, __ATOMIC_SEQ_CST);
    await(&let_go, 1);
    return CONVOKE_CLASH_A | CONVOKE_CLASH_NOTIFY_LOSER;
}

/* "This function blocks the global name server during its execution." Here it blocks registrations of that name. */
static void blocking_resolver(void) {
    convoke_pid shown;
    convoke_ref op;
    int one_won;
    OK(convoke_resolver_add(node_one, "block", block, NULL, NULL));
    OK(convoke_resolver_add(node_two, "block", block, NULL, NULL));
    clash_of("block");
    await(&blocked_calls, 1);
    OK(convoke_name_reregister(one, "name", 4, NULL, NULL, SOON, &op));
    /* Look-ups, registrations of other names, clashes of other names, locks, groups: all go on. */
    CHECK(shows(node_one, "name", &pid_one) && shows(node_two, "name", &pid_two));
    OK(reg(two, "another", NULL));
    OK(convoke_name_reregister(one, "another", 7, NULL, NULL, SOON, NULL));
    convoke_event_free(expect(two, CONVOKE_EVENT_NAME_CONFLICT));
    OK(convoke_lock_acquire(one, "name", 4, NULL, 0, SOON, NULL, NULL));
    OK(convoke_group_create(two, "name", 4, SOON, NULL));
    __atomic_store_n(&let_go, 1, __ATOMIC_RELEASE);
    CHECK(convoke_name_whereis(node_one, "name", 4, &shown) == CONVOKE_OK);
    /* The clash is decided, and what waited for that is done: `one` has the name in any case. */
    one_won = pid_one.node < pid_two.node;
    if (!one_won) convoke_event_free(expect(one, CONVOKE_EVENT_NAME_CONFLICT));
    CHECK(result_of(one, op) == CONVOKE_OK);
    if (one_won) convoke_event_free(expect(two, CONVOKE_EVENT_NAME_CONFLICT));
    CHECK(shows(node_one, "name", &pid_one) && shows(node_two, "name", &pid_one));
    CHECK(blocked_calls == 1);
}

/* Functions that do not return in time: nobody keeps the name, and other threads go on, four in all; while as many do not return,
 * further clashes that need a function wait until one does. */
static void stuck_resolver(void) {
    enum { NAMES = 6, LATE = 4 };
    static const char *const names[NAMES] = {"a", "b", "c", "d", "e", "f"};
    convoke_node *nodes[2];
    convoke_process *processes[2], *loser;
    convoke_event *event;
    int at, side;
    for (side = 0; side < 2; side++) {
        convoke_options *options;
        OK(convoke_options_new(&options));
        OK(convoke_options_set(options, "resolver.timeout_ms", "50"));
        OK(convoke_node_open(options, &nodes[side]));
        convoke_options_free(options);
        OK(convoke_resolver_add(nodes[side], "block", block, NULL, NULL));
        processes[side] = spawn(nodes[side], NULL);
        for (at = 0; at < NAMES; at++)
            OK(convoke_name_register(processes[side], names[at], 1, NULL, "block", SOON, NULL));
    }
    connect_to(processes[1], nodes[0]);
    for (side = 0; side < 2; side++)
        for (at = 0; at < LATE; at++) convoke_event_free(expect(processes[side], CONVOKE_EVENT_NAME_CONFLICT));
    usleep(200000); /* four times the deadline: nobody tells that nothing happens */
    CHECK(blocked_calls == LATE);
    for (side = 0; side < 2; side++) STATUS(CONVOKE_E_TIMEOUT, convoke_process_recv(processes[side], 0, &event));
    __atomic_store_n(&let_go, 1, __ATOMIC_RELEASE);
    loser = pid_of(processes[0]).node < pid_of(processes[1]).node ? processes[1] : processes[0];
    for (at = LATE; at < NAMES; at++) convoke_event_free(expect(loser, CONVOKE_EVENT_NAME_CONFLICT));
    CHECK(blocked_calls == NAMES);
    for (side = 0; side < 2; side++) {
        convoke_process_free(processes[side]);
        close_node(nodes[side]);
    }
}

ROWS({"random_exit_name", random_exit_name, 0}, {"random_notify_name", random_notify_name, 0},
     {"notify_all_name", notify_all_name, 0}, {"own_resolver", own_resolver, 0},
     {"blocking_resolver", blocking_resolver, 0}, {"stuck_resolver", stuck_resolver, 0})
