/* pg2: groups of processes. */
#include "manual.h"

static convoke_status create(convoke_process *process, const char *group) {
    return convoke_group_create(process, group, strlen(group), SOON, NULL);
}

static convoke_status join(convoke_process *process, const char *group, const convoke_pid *pid) {
    return convoke_group_join(process, group, strlen(group), pid, SOON, NULL);
}

static convoke_status leave(convoke_process *process, const char *group, const convoke_pid *pid) {
    return convoke_group_leave(process, group, strlen(group), pid, SOON, NULL);
}

/* How often the pid is in the list, which is freed. */
static size_t count_in(convoke_list *list, const convoke_pid *pid) {
    const convoke_pid *pids;
    size_t at, len, count = 0;
    OK(convoke_list_pids(list, &pids, &len));
    CHECK(len == convoke_list_len(list));
    for (at = 0; at < len; at++) count += same_pid(&pids[at], pid);
    convoke_list_free(list);
    return count;
}

static size_t times(const convoke_node *node, const char *group, const convoke_pid *pid) {
    convoke_list *list;
    OK(convoke_group_members(node, group, strlen(group), &list));
    return count_in(list, pid);
}

static size_t local_times(const convoke_node *node, const char *group, const convoke_pid *pid) {
    convoke_list *list;
    OK(convoke_group_local_members(node, group, strlen(group), &list));
    return count_in(list, pid);
}

/* All members, each as often as it has joined; SIZE_MAX if there is no such group. */
static size_t size_of(const convoke_node *node, const char *group) {
    convoke_list *list;
    size_t len;
    convoke_status status = convoke_group_members(node, group, strlen(group), &list);
    if (status == CONVOKE_E_NOT_FOUND) return SIZE_MAX;
    OK(status);
    len = convoke_list_len(list);
    convoke_list_free(list);
    return len;
}

static int both_have(const char *group, size_t size) {
    return size_of(node_one, group) == size && size_of(node_two, group) == size;
}

static size_t groups_of(const convoke_node *node) {
    convoke_list *list;
    size_t len;
    OK(convoke_group_list(node, &list));
    len = convoke_list_len(list);
    convoke_list_free(list);
    return len;
}

/* "Normally, the server does not need to be started explicitly": it is there as soon as a node is open. */
static void start(void) {
    convoke_node *node;
    convoke_process *process;
    OK(convoke_node_open(NULL, &node));
    CHECK(groups_of(node) == 0);
    process = spawn(node, NULL);
    OK(create(process, "foobar"));
    OK(join(process, "foobar", NULL));
    CHECK(groups_of(node) == 1 && size_of(node, "foobar") == 1);
    convoke_process_free(process);
    close_node(node);
}

static void create_row(void) {
    /* "Creates a new, empty process group. The group is globally visible on all nodes." */
    OK(create(one, "foobar"));
    CHECK(both_have("foobar", 0));
    /* "If the group exists, nothing happens." */
    OK(join(two, "foobar", NULL));
    OK(create(one, "foobar"));
    OK(create(two, "foobar"));
    CHECK(both_have("foobar", 1) && groups_of(node_one) == 1 && groups_of(node_two) == 1);
}

static void delete_row(void) {
    /* "Deletes a process group." By anybody, with members in it, which live on. */
    OK(create(one, "foobar"));
    OK(join(one, "foobar", NULL));
    OK(join(two, "foobar", NULL));
    OK(convoke_group_delete(two, "foobar", 6, SOON, NULL));
    CHECK(both_have("foobar", SIZE_MAX) && groups_of(node_one) == 0 && groups_of(node_two) == 0);
    STATUS(CONVOKE_E_NOT_FOUND, join(one, "foobar", NULL));
    OK(convoke_group_delete(one, "foobar", 6, SOON, NULL));
    OK(create(one, "foobar"));
    CHECK(both_have("foobar", 0));
    OK(join(one, "foobar", NULL));
    CHECK(both_have("foobar", 1));
}

static void join_row(void) {
    STATUS(CONVOKE_E_NOT_FOUND, join(one, "foobar", NULL)); /* {error, {no_such_group, Name}} */
    OK(create(two, "foobar"));
    /* "Joins the process Pid to the group Name." Of any node. */
    OK(join(one, "foobar", NULL));
    OK(join(one, "foobar", &pid_two));
    CHECK(both_have("foobar", 2) && times(node_one, "foobar", &pid_two) == 1 && times(node_two, "foobar", &pid_one) == 1);
    /* "A process can join a group many times and must then leave the group the same number of times." */
    OK(join(one, "foobar", NULL));
    CHECK(both_have("foobar", 3) && times(node_two, "foobar", &pid_one) == 2);
    OK(leave(one, "foobar", NULL));
    CHECK(both_have("foobar", 2) && times(node_two, "foobar", &pid_one) == 1);
    OK(leave(one, "foobar", NULL));
    CHECK(both_have("foobar", 1) && times(node_two, "foobar", &pid_one) == 0);
}

static void leave_row(void) {
    STATUS(CONVOKE_E_NOT_FOUND, leave(one, "foobar", NULL)); /* {error, {no_such_group, Name}} */
    OK(create(one, "foobar"));
    OK(join(one, "foobar", NULL));
    /* "If the process is not a member of the group, ok is returned." */
    OK(leave(two, "foobar", NULL));
    CHECK(both_have("foobar", 1));
    /* "Makes the process Pid leave the group Name." Whoever asks for it. */
    OK(leave(two, "foobar", &pid_one));
    CHECK(both_have("foobar", 0));
    OK(leave(two, "foobar", &pid_one));
}

static void expect_text(convoke_process *process, const char *text) {
    convoke_event *event = expect(process, CONVOKE_EVENT_MESSAGE);
    const void *data;
    size_t len;
    OK(convoke_event_payload(event, &data, &len));
    CHECK(len == strlen(text) && memcmp(data, text, len) == 0);
    convoke_event_free(event);
}

static void get_members(void) {
    convoke_process *mortal = spawn(node_two, NULL);
    convoke_pid pid_mortal = pid_of(mortal), peer;
    convoke_ref monitor;
    convoke_event *event;
    convoke_list *list;
    const convoke_pid *pids;
    size_t at, len;
    uint32_t told;
    STATUS(CONVOKE_E_NOT_FOUND, convoke_group_members(node_one, "foobar", 6, &list)); /* {error, {no_such_group, Name}} */
    /* "Returns all processes in the group Name." */
    OK(create(one, "foobar"));
    CHECK(both_have("foobar", 0));
    OK(join(one, "foobar", NULL));
    OK(join(two, "foobar", NULL));
    OK(join(mortal, "foobar", NULL));
    CHECK(both_have("foobar", 3));
    /* "... client functions are to be written with the functions get_members/1 and get_local_members/1 to determine which
     * processes are members of the group. Then the message can be sent to one or more group members." */
    OK(convoke_group_members(node_one, "foobar", 6, &list));
    OK(convoke_list_pids(list, &pids, &len));
    for (at = 0; at < len; at++) OK(convoke_send(one, &pids[at], "each", 4));
    convoke_list_free(list);
    expect_text(one, "each");
    expect_text(two, "each");
    expect_text(mortal, "each");
    /* Here there is a function for all of them too. */
    OK(convoke_group_send(one, "foobar", 6, "all", 3, &told));
    CHECK(told == 3);
    expect_text(one, "all");
    expect_text(two, "all");
    expect_text(mortal, "all");
    /* "If a member terminates, it is automatically removed from the group." */
    OK(convoke_group_monitor(one, "foobar", 6, &monitor));
    for (at = 0; at < 3; at++) convoke_event_free(expect(one, CONVOKE_EVENT_GROUP_JOINED));
    convoke_event_free(expect(one, CONVOKE_EVENT_SNAPSHOT_END));
    OK(convoke_process_exit(mortal, CONVOKE_REASON_EXPLICIT, NULL, 0));
    event = expect(one, CONVOKE_EVENT_GROUP_LEFT);
    OK(convoke_event_peer(event, &peer));
    CHECK(same_pid(&peer, &pid_mortal) && convoke_event_get_reason(event) == CONVOKE_REASON_EXPLICIT);
    convoke_event_free(event);
    CHECK(both_have("foobar", 2));
    convoke_process_free(mortal);
}

static void get_local_members(void) {
    convoke_list *list;
    STATUS(CONVOKE_E_NOT_FOUND, convoke_group_local_members(node_one, "foobar", 6, &list)); /* no_such_group */
    OK(create(one, "foobar"));
    OK(join(two, "foobar", NULL));
    /* "Returns all processes running on the local node in the group Name." */
    CHECK(local_times(node_one, "foobar", &pid_two) == 0 && local_times(node_two, "foobar", &pid_two) == 1);
    OK(join(two, "foobar", &pid_one));
    OK(join(two, "foobar", &pid_one));
    CHECK(local_times(node_one, "foobar", &pid_one) == 2 && local_times(node_two, "foobar", &pid_one) == 0);
    CHECK(local_times(node_one, "foobar", &pid_two) == 0);
}

static void get_closest_pid(void) {
    convoke_process *second = spawn(node_two, NULL);
    convoke_pid pid_second = pid_of(second), closest;
    int at, first_seen = 0, second_seen = 0;
    STATUS(CONVOKE_E_NOT_FOUND, convoke_group_closest(node_one, "foobar", 6, &closest)); /* {no_such_group, Name} */
    OK(create(one, "foobar"));
    STATUS(CONVOKE_E_NO_PROCESS, convoke_group_closest(node_one, "foobar", 6, &closest)); /* {no_process, Name} */
    CHECK(is_none(&closest));
    OK(join(two, "foobar", NULL));
    OK(join(second, "foobar", NULL));
    /* "Otherwise, it selects one randomly." So many calls that all alike are no chance. */
    for (at = 0; at < 200; at++) {
        OK(convoke_group_closest(node_one, "foobar", 6, &closest));
        first_seen += same_pid(&closest, &pid_two);
        second_seen += same_pid(&closest, &pid_second);
    }
    CHECK(first_seen > 0 && second_seen > 0 && first_seen + second_seen == 200);
    /* "It returns a process on the local node, if such a process exists." */
    OK(join(one, "foobar", NULL));
    for (at = 0; at < 200; at++) {
        OK(convoke_group_closest(node_one, "foobar", 6, &closest));
        CHECK(same_pid(&closest, &pid_one));
    }
    convoke_process_free(second);
}

static void which_groups(void) {
    static const char *const expected[] = {"empty", "mine", "theirs"};
    static const uint64_t sizes[] = {0, 2, 1};
    convoke_list *list;
    const void *name;
    size_t at, len;
    uint64_t count;
    OK(create(two, "theirs"));
    OK(create(one, "mine"));
    OK(create(two, "empty"));
    OK(join(two, "mine", NULL));
    OK(join(one, "mine", NULL));
    OK(join(two, "theirs", NULL));
    /* "Returns a list of all known groups." */
    OK(convoke_group_list(node_one, &list));
    CHECK(convoke_list_len(list) == 3);
    for (at = 0; at < 3; at++) {
        OK(convoke_list_name(list, at, &name, &len));
        OK(convoke_list_u64(list, at, CONVOKE_FIELD_COUNT, &count));
        CHECK(len == strlen(expected[at]) && memcmp(name, expected[at], len) == 0 && count == sizes[at]);
    }
    convoke_list_free(list);
    CHECK(groups_of(node_two) == 3);
}

ROWS({"start", start, 0}, {"create", create_row, 1}, {"delete", delete_row, 1}, {"join", join_row, 1}, {"leave", leave_row, 1},
     {"get_members", get_members, 1}, {"get_local_members", get_local_members, 1}, {"get_closest_pid", get_closest_pid, 1},
     {"which_groups", which_groups, 1})
