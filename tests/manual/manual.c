/* The rows of the README's table "the manual's functions", sentence by sentence of Erlang's manual page where there is one.
 * Run with the name of a row. Two nodes, linked; `one` and `two` are a process on each. */
#include "../c/check.h"
#include <poll.h>

static convoke_node *node_one, *node_two;
static convoke_process *one, *two;
static convoke_pid pid_one, pid_two;

static void connect_to(convoke_process *from, convoke_node *to) {
    char address[128];
    OK(convoke_node_address(to, address, sizeof address, NULL));
    OK(convoke_node_connect(from, address, SOON, NULL));
}

static void open_both(void) {
    node_one = open_node("one", NULL);
    node_two = open_node("two", NULL);
    one = spawn(node_one, NULL);
    two = spawn(node_two, NULL);
    pid_one = pid_of(one);
    pid_two = pid_of(two);
}

static void close_both(void) {
    convoke_process_free(one);
    convoke_process_free(two);
    close_node(node_one);
    close_node(node_two);
}

static int shows(const convoke_node *node, const char *name, const convoke_pid *pid) {
    convoke_pid shown;
    return convoke_name_whereis(node, name, strlen(name), &shown) == CONVOKE_OK && same_pid(&shown, pid);
}

static int shows_none(const convoke_node *node, const char *name) {
    convoke_pid shown;
    return convoke_name_whereis(node, name, strlen(name), &shown) == CONVOKE_E_NOT_FOUND;
}

static convoke_status reg(convoke_process *caller, const char *name, const convoke_pid *pid) {
    return convoke_name_register(caller, name, strlen(name), pid, NULL, SOON, NULL);
}

/* Waits until a process of the node is told that the name is bound to the pid (NULL: to nobody). */
static void wait_until_shown(convoke_node *node, const char *name, const convoke_pid *pid) {
    convoke_process *watcher = spawn(node, NULL);
    convoke_ref monitor;
    convoke_pid shown;
    int found = 0;
    OK(convoke_name_monitor(watcher, name, strlen(name), &monitor));
    while (!found) {
        convoke_event *event = expect(watcher, CONVOKE_EVENT_NAME_CHANGED);
        OK(convoke_event_peer(event, &shown));
        found = pid ? same_pid(&shown, pid) : is_none(&shown);
        convoke_event_free(event);
    }
    convoke_process_free(watcher);
}

static void register_name(void) {
    convoke_node *node_three;
    convoke_process *three, *mortal;
    convoke_pid pid_three, pid_mortal;
    /* "when this function returns, the name is either registered on all nodes or none" */
    OK(reg(one, "first", NULL));
    CHECK(shows(node_one, "first", &pid_one) && shows(node_two, "first", &pid_one));
    /* "no is returned if an attempt is made to register a process with a name that is already in use" */
    STATUS(CONVOKE_E_EXISTS, reg(two, "first", NULL));
    STATUS(CONVOKE_E_EXISTS, reg(one, "first", NULL));
    CHECK(shows(node_one, "first", &pid_one) && shows(node_two, "first", &pid_one));
    /* Any process may register any pid, as in the manual; this one lives on the other node. */
    OK(reg(two, "remote", &pid_one));
    CHECK(shows(node_one, "remote", &pid_one) && shows(node_two, "remote", &pid_one));
    /* "When new nodes are added to the network, they are informed of the globally registered names that already exist." */
    node_three = open_node("three", NULL);
    three = spawn(node_three, NULL);
    pid_three = pid_of(three);
    connect_to(three, node_one);
    CHECK(shows(node_three, "first", &pid_one));
    /* "The network is also informed of any global names in newly connected nodes." */
    OK(reg(three, "late", NULL));
    CHECK(shows(node_one, "late", &pid_three));
    /* "If a process with a registered name dies, or the node goes down, the name is unregistered on all nodes." */
    mortal = spawn(node_one, NULL);
    pid_mortal = pid_of(mortal);
    OK(reg(mortal, "mortal", NULL));
    OK(convoke_process_exit(mortal, CONVOKE_REASON_EXPLICIT, NULL, 0));
    wait_until_shown(node_one, "mortal", NULL);
    wait_until_shown(node_two, "mortal", NULL);
    OK(convoke_node_close(node_three, SOON));
    wait_until_shown(node_one, "late", NULL);
    wait_until_shown(node_two, "late", NULL);
    STATUS(CONVOKE_E_NO_PROCESS, reg(one, "mortal", &pid_mortal));
    convoke_process_free(mortal);
    convoke_process_free(three);
    convoke_node_free(node_three);
}

static void re_register_name(void) {
    convoke_event *event;
    convoke_pid winner;
    OK(reg(one, "name", NULL));
    /* "Atomically changes the registered name Name on all nodes to refer to Pid." */
    OK(convoke_name_reregister(two, "name", 4, NULL, NULL, SOON, NULL));
    CHECK(shows(node_one, "name", &pid_two) && shows(node_two, "name", &pid_two));
    /* The old process lives on and is told. */
    event = expect(one, CONVOKE_EVENT_NAME_CONFLICT);
    OK(convoke_event_peer(event, &winner));
    CHECK(same_pid(&winner, &pid_two) && convoke_event_get_reason(event) == CONVOKE_REASON_REPLACED);
    convoke_event_free(event);
    OK(reg(one, "other", NULL));
    /* A name that nobody has is registered. */
    OK(convoke_name_reregister(two, "new", 3, &pid_one, NULL, SOON, NULL));
    CHECK(shows(node_one, "new", &pid_one) && shows(node_two, "new", &pid_one));
    /* The end of the old process changes nothing. */
    OK(convoke_process_exit(one, CONVOKE_REASON_EXPLICIT, NULL, 0));
    wait_until_shown(node_two, "other", NULL);
    CHECK(shows(node_one, "name", &pid_two) && shows(node_two, "name", &pid_two));
}

static void unregister_name(void) {
    OK(reg(one, "name", NULL));
    /* "Removes the globally registered name Name from the network": by anybody, wherever the process lives. */
    OK(convoke_name_unregister(two, "name", 4, SOON, NULL));
    CHECK(shows_none(node_one, "name") && shows_none(node_two, "name"));
    OK(convoke_name_unregister(two, "name", 4, SOON, NULL));
    /* The process lives on, and the name is free. */
    OK(reg(one, "name", NULL));
    OK(convoke_name_unregister(one, "name", 4, SOON, NULL));
    CHECK(shows_none(node_one, "name") && shows_none(node_two, "name"));
    OK(reg(two, "name", NULL));
}

static void whereis_name(void) {
    static const char binary[] = {0, 1, 0, (char)0xff};
    convoke_pid shown = {1, 1};
    STATUS(CONVOKE_E_NOT_FOUND, convoke_name_whereis(node_two, "name", 4, &shown));
    CHECK(is_none(&shown));
    OK(reg(one, "name", NULL));
    OK(convoke_name_whereis(node_two, "name", 4, &shown));
    CHECK(same_pid(&shown, &pid_one));
    /* A name is bytes: nothing ends it but its length. */
    OK(convoke_name_register(two, binary, sizeof binary, NULL, NULL, SOON, NULL));
    OK(convoke_name_whereis(node_one, binary, sizeof binary, &shown));
    CHECK(same_pid(&shown, &pid_two));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_name_whereis(node_one, binary, sizeof binary - 1, &shown));
}

static void registered_names(void) {
    static const char *const expected[] = {"a/1", "a/2", "b"};
    convoke_list *list;
    const void *name;
    size_t at, length;
    convoke_pid pid;
    OK(reg(one, "b", NULL));
    OK(reg(two, "a/2", NULL));
    OK(reg(one, "a/1", NULL));
    /* "Returns a lists of all globally registered names." */
    OK(convoke_name_list(node_two, NULL, 0, &list));
    CHECK(convoke_list_len(list) == 3);
    for (at = 0; at < 3; at++) {
        OK(convoke_list_name(list, at, &name, &length));
        CHECK(length == strlen(expected[at]) && memcmp(name, expected[at], length) == 0);
    }
    convoke_list_free(list);
    OK(convoke_name_list(node_one, "a/", 2, &list));
    CHECK(convoke_list_len(list) == 2);
    OK(convoke_list_pid(list, 1, &pid));
    CHECK(same_pid(&pid, &pid_two));
    convoke_list_free(list);
}

static void send_to_name(void) {
    convoke_event *event;
    convoke_pid pid;
    const void *payload;
    size_t length;
    OK(reg(one, "name", NULL));
    /* "send(Name, Msg) -> Pid: Sends the message Msg to the pid globally registered as Name." */
    OK(convoke_send_name(two, "name", 4, "hello", 5, &pid));
    CHECK(same_pid(&pid, &pid_one));
    event = expect(one, CONVOKE_EVENT_MESSAGE);
    OK(convoke_event_payload(event, &payload, &length));
    CHECK(length == 5 && memcmp(payload, "hello", 5) == 0);
    OK(convoke_event_peer(event, &pid));
    CHECK(same_pid(&pid, &pid_two));
    convoke_event_free(event);
    /* "If Name is not a globally registered name": an exit there, a status here. */
    STATUS(CONVOKE_E_NOT_FOUND, convoke_send_name(two, "unknown", 7, "hello", 5, &pid));
}

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

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
        int linked;
    } rows[] = {
        {"register_name", register_name, 1},       {"re_register_name", re_register_name, 1},
        {"unregister_name", unregister_name, 1},   {"whereis_name", whereis_name, 1},
        {"registered_names", registered_names, 1}, {"send", send_to_name, 1},
        {"random_exit_name", random_exit_name, 0}, {"random_notify_name", random_notify_name, 0},
        {"notify_all_name", notify_all_name, 0},   {"own_resolver", own_resolver, 0},
    };
    size_t at;
    for (at = 0; argc == 2 && at < sizeof rows / sizeof *rows; at++) {
        if (strcmp(rows[at].name, argv[1]) == 0) {
            open_both();
            if (rows[at].linked) connect_to(two, node_one);
            rows[at].run();
            close_both();
            return done();
        }
    }
    fprintf(stderr, "usage: manual ROW\n");
    return 2;
}
