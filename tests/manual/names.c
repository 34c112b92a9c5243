/* global: names. */
#include "manual.h"

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
    /* A process that is no more gets no name, and neither does one that cannot be reached. */
    STATUS(CONVOKE_E_NO_PROCESS, reg(one, "mortal", &pid_mortal));
    STATUS(CONVOKE_E_NO_PROCESS, reg(two, "mortal", &pid_mortal));
    STATUS(CONVOKE_E_UNREACHABLE, reg(one, "late", &pid_three));
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
    convoke_process *mortal = spawn(node_one, NULL);
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
    /* A process that has ended is never found on its own node; elsewhere the news must come first. */
    OK(reg(mortal, "mortal", NULL));
    OK(convoke_process_exit(mortal, CONVOKE_REASON_EXPLICIT, NULL, 0));
    CHECK(shows_none(node_one, "mortal"));
    wait_until_shown(node_two, "mortal", NULL);
    convoke_process_free(mortal);
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

/* "Both the registration and lock functionalities are atomic. All nodes involved in these actions will have the same view of the
 * information." Two that want one name at the same moment. */
static void atomic(void) {
    enum { ROUNDS = 50 };
    int round;
    for (round = 0; round < ROUNDS; round++) {
        convoke_ref op_one, op_two;
        convoke_status status_one, status_two;
        const convoke_pid *winner;
        OK(convoke_name_register(one, "name", 4, NULL, NULL, -1, &op_one));
        OK(convoke_name_register(two, "name", 4, NULL, NULL, -1, &op_two));
        status_one = result_of(one, op_one);
        status_two = result_of(two, op_two);
        CHECK((status_one == CONVOKE_OK) != (status_two == CONVOKE_OK));
        STATUS(CONVOKE_E_EXISTS, status_one == CONVOKE_OK ? status_two : status_one);
        winner = status_one == CONVOKE_OK ? &pid_one : &pid_two;
        CHECK(shows(node_one, "name", winner) && shows(node_two, "name", winner));
        OK(convoke_name_unregister(one, "name", 4, SOON, NULL));
    }
}

static size_t peers_of(const convoke_node *node) {
    convoke_list *list;
    size_t count;
    OK(convoke_node_peers(node, &list));
    count = convoke_list_len(list);
    convoke_list_free(list);
    return count;
}

/* "Synchronizes the global name server with all nodes known to this node. ... When this function returns, the global name server
 * will receive global information from all nodes. This function can be called when new nodes are added to the network." */
static void sync_nodes(void) {
    char address[128];
    convoke_node *node_three, *node_four;
    convoke_process *three;
    convoke_options *options;
    convoke_pid pid_three;
    convoke_ref op;
    OK(reg(one, "of one", NULL));
    OK(reg(two, "of two", NULL));
    OK(convoke_node_address(node_one, address, sizeof address, NULL));
    node_three = open_node("three", address);
    three = spawn(node_three, NULL);
    pid_three = pid_of(three);
    OK(convoke_node_sync(three, SOON, NULL));
    /* It knew of the first node only, and has met the second one too. */
    CHECK(peers_of(node_three) == 2);
    CHECK(shows(node_three, "of one", &pid_one) && shows(node_three, "of two", &pid_two));
    STATUS(CONVOKE_E_EXISTS, reg(three, "of two", NULL));
    /* And the reverse: the others have what it has. */
    OK(reg(three, "of three", NULL));
    CHECK(shows(node_one, "of three", &pid_three) && shows(node_two, "of three", &pid_three));
    /* With nothing left to do, and without waiting for the answer. */
    OK(convoke_node_sync(three, SOON, &op));
    CHECK(result_of(three, op) == CONVOKE_OK);
    /* The option `join.wait` does the same before a node is open. */
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "name", "four"));
    OK(convoke_options_set(options, "cluster", test_cluster()));
    OK(convoke_options_set(options, "seeds", address));
    OK(convoke_options_set(options, "join.wait", "20000"));
    OK(convoke_node_open(options, &node_four));
    convoke_options_free(options);
    CHECK(peers_of(node_four) == 3 && shows(node_four, "of three", &pid_three));
    close_node(node_four);
    convoke_process_free(three);
    close_node(node_three);
}

ROWS({"register_name", register_name, 1}, {"re_register_name", re_register_name, 1}, {"unregister_name", unregister_name, 1},
     {"whereis_name", whereis_name, 1}, {"registered_names", registered_names, 1}, {"send", send_to_name, 1},
     {"atomic", atomic, 1}, {"sync", sync_nodes, 1})
