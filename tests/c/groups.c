/* Groups between nodes of one program: existence, counted members, the closest, monitors, messages to all, limits. */
#include "check.h"

#define SELF NULL

static convoke_node *a, *b;
static convoke_process *pa, *pb, *pb2;
static convoke_pid pid_a, pid_b, pid_b2;

static void nothing_waits(convoke_process *process) {
    convoke_event *event;
    STATUS(CONVOKE_E_TIMEOUT, convoke_process_recv(process, 0, &event));
}

static void create(const char *group) {
    OK(convoke_group_create(pa, group, strlen(group), SOON, NULL));
}

static void delete_group(const char *group) {
    OK(convoke_group_delete(pa, group, strlen(group), SOON, NULL));
}

static void join(convoke_process *process, const char *group, const convoke_pid *pid) {
    OK(convoke_group_join(process, group, strlen(group), pid, SOON, NULL));
}

static void leave(convoke_process *process, const char *group, const convoke_pid *pid) {
    OK(convoke_group_leave(process, group, strlen(group), pid, SOON, NULL));
}

/* How often the process is a member, as the node sees it; its rows stand side by side, local ones in front. */
static size_t count_of(const convoke_node *node, const char *group, const convoke_pid *pid) {
    convoke_list *list, *local;
    const convoke_pid *pids, *near;
    convoke_pid one;
    size_t len, near_len, count = 0, first = 0, i;
    OK(convoke_group_members(node, group, strlen(group), &list));
    OK(convoke_list_pids(list, &pids, &len));
    OK(convoke_group_local_members(node, group, strlen(group), &local));
    OK(convoke_list_pids(local, &near, &near_len));
    CHECK(len == convoke_list_len(list) && near_len == convoke_list_len(local) && near_len <= len);
    for (i = 0; i < len; i++) {
        OK(convoke_list_pid(list, i, &one));
        CHECK(same_pid(&one, &pids[i]));
        if (i < near_len) CHECK(same_pid(&one, &near[i]));
        if (!same_pid(&pids[i], pid)) continue;
        if (count == 0) first = i;
        CHECK(first + count == i);
        count++;
    }
    STATUS(CONVOKE_E_NOT_FOUND, convoke_list_name(list, 0, (const void **)&pids, &len));
    convoke_list_free(list);
    convoke_list_free(local);
    return count;
}

/* Every node says the same. */
static void check_count(const char *group, const convoke_pid *pid, size_t count) {
    CHECK(count_of(a, group, pid) == count && count_of(b, group, pid) == count);
}

static size_t size_of(const convoke_node *node, const char *group) {
    convoke_list *list;
    size_t len;
    if (convoke_group_members(node, group, strlen(group), &list) != CONVOKE_OK) return (size_t)-1;
    len = convoke_list_len(list);
    convoke_list_free(list);
    return len;
}

static void await_size(const convoke_node *node, const char *group, size_t size) {
    int rounds = 0;
    while (size_of(node, group) != size) {
        usleep(500);
        CHECK(rounds++ < 40000);
    }
}

static void members(void) {
    convoke_list *list;
    convoke_stats stats;
    convoke_pid pid = {12345, 1};
    convoke_ref op;
    convoke_event *event;
    uint64_t count;
    const void *data;
    size_t len;
    STATUS(CONVOKE_E_NOT_FOUND, convoke_group_join(pa, "g", 1, SELF, SOON, NULL));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_group_leave(pa, "g", 1, SELF, SOON, NULL));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_group_members(b, "g", 1, &list));
    delete_group("g"); /* fine */
    create("g");
    CHECK(size_of(b, "g") == 0); /* every node shows it */
    create("g");
    STATUS(CONVOKE_E_NO_PROCESS, convoke_group_closest(b, "g", 1, &pid));
    CHECK(is_none(&pid));
    leave(pa, "g", SELF); /* no member: fine */
    join(pa, "g", SELF);
    check_count("g", &pid_a, 1);
    join(pa, "g", &pid_b);
    join(pa, "g", &pid_b); /* of another node, twice */
    check_count("g", &pid_b, 2);
    create("g");
    check_count("g", &pid_b, 2); /* one that exists keeps its members */
    OK(convoke_group_list(b, &list));
    CHECK(convoke_list_len(list) == 1);
    OK(convoke_list_name(list, 0, &data, &len));
    OK(convoke_list_u64(list, 0, CONVOKE_FIELD_COUNT, &count));
    CHECK(len == 1 && memcmp(data, "g", 1) == 0 && count == 3);
    STATUS(CONVOKE_E_NOT_FOUND, convoke_list_pid(list, 0, &pid));
    convoke_list_free(list);
    stats.struct_size = sizeof stats;
    OK(convoke_node_stats(b, &stats));
    CHECK(stats.groups == 1);
    leave(pb, "g", SELF);
    check_count("g", &pid_b, 1);
    leave(pa, "g", &pid_b);
    leave(pa, "g", &pid_b); /* more often than it had joined */
    check_count("g", &pid_b, 0);
    pid = pid_b;
    pid.serial = 999999;
    STATUS(CONVOKE_E_NO_PROCESS, convoke_group_join(pa, "g", 1, &pid, SOON, NULL));
    pid.node = 12345;
    STATUS(CONVOKE_E_UNREACHABLE, convoke_group_join(pa, "g", 1, &pid, SOON, NULL));
    /* With a DONE event each. */
    OK(convoke_group_join(pa, "g", 1, &pid_b, SOON, &op));
    event = expect(pa, CONVOKE_EVENT_DONE);
    CHECK(convoke_event_ref(event) == op && convoke_event_result(event, NULL) == CONVOKE_OK);
    convoke_event_free(event);
    check_count("g", &pid_b, 1);
    OK(convoke_group_leave(pa, "g", 1, &pid_b, SOON, &op));
    convoke_event_free(expect(pa, CONVOKE_EVENT_DONE));
    check_count("g", &pid_b, 0);
    OK(convoke_group_delete(pa, "g", 1, SOON, &op));
    convoke_event_free(expect(pa, CONVOKE_EVENT_DONE));
    CHECK(size_of(a, "g") == (size_t)-1 && size_of(b, "g") == (size_t)-1);
    OK(convoke_group_create(pa, "g\0h", 3, SOON, &op));
    event = expect(pa, CONVOKE_EVENT_DONE);
    CHECK(convoke_event_result(event, NULL) == CONVOKE_OK);
    convoke_event_free(event);
    OK(convoke_group_members(b, "g\0h", 3, &list));
    convoke_list_free(list);
    OK(convoke_group_delete(pb, "g\0h", 3, SOON, NULL));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_group_members(a, "g\0h", 3, &list));
    {
        char longest[1025];
        memset(longest, 'x', sizeof longest);
        STATUS(CONVOKE_E_TOO_BIG, convoke_group_create(pa, longest, 1025, SOON, NULL));
        OK(convoke_group_create(pa, longest, 1024, SOON, NULL));
        OK(convoke_group_delete(pa, longest, 1024, SOON, NULL));
    }
    nothing_waits(pa);
    nothing_waits(pb);
}

static void closest(void) {
    enum { TURNS = 6000 };
    convoke_pid pid;
    int turns, twice = 0;
    create("near");
    join(pb, "near", SELF);
    join(pb, "near", SELF);
    join(pb, "near", &pid_b2);
    for (turns = 0; turns < TURNS; turns++) {
        /* Every row is as likely, wherever it is asked. */
        OK(convoke_group_closest(turns % 2 ? a : b, "near", 4, &pid));
        CHECK(same_pid(&pid, &pid_b) || same_pid(&pid, &pid_b2));
        twice += same_pid(&pid, &pid_b);
    }
    CHECK(twice > 3600 && twice < 4400); /* ten standard deviations around 4000 */
    join(pa, "near", SELF);
    for (turns = 0; turns < 100; turns++) {
        OK(convoke_group_closest(a, "near", 4, &pid));
        CHECK(same_pid(&pid, &pid_a));
    }
    delete_group("near");
}

/* The next event of the monitor. */
static void expect_change(convoke_process *process, convoke_ref monitor, convoke_event_kind kind, const convoke_pid *who,
                          uint64_t count, convoke_reason reason) {
    convoke_event *event = expect(process, kind);
    convoke_pid pid;
    uint64_t value;
    const void *data;
    size_t len;
    CHECK(convoke_event_ref(event) == monitor);
    OK(convoke_event_peer(event, &pid));
    CHECK(same_pid(&pid, who));
    OK(convoke_event_u64(event, CONVOKE_FIELD_COUNT, &value));
    CHECK(value == count);
    OK(convoke_event_name(event, &data, &len));
    CHECK(len == 5 && memcmp(data, "watch", 5) == 0);
    CHECK(convoke_event_get_reason(event) == reason);
    convoke_event_free(event);
}

static void monitors(void) {
    convoke_process *watcher = spawn(a, NULL), *killed = spawn(b, NULL), *far;
    convoke_pid pid = pid_of(killed), pid_far;
    convoke_ref monitor, other;
    convoke_node *c;
    OK(convoke_group_monitor(watcher, "watch", 5, &monitor)); /* before there is such a group */
    convoke_event_free(expect(watcher, CONVOKE_EVENT_SNAPSHOT_END));
    OK(convoke_cancel(watcher, monitor));
    create("watch");
    join(pa, "watch", SELF);
    join(pb, "watch", SELF);
    join(pb, "watch", SELF);
    OK(convoke_group_monitor(watcher, "watch", 5, &monitor));
    {
        /* The present members in any order. */
        convoke_event *event;
        uint64_t sum = 0, count;
        int i;
        for (i = 0; i < 2; i++) {
            event = expect(watcher, CONVOKE_EVENT_GROUP_JOINED);
            OK(convoke_event_u64(event, CONVOKE_FIELD_COUNT, &count));
            sum += count;
            convoke_event_free(event);
        }
        CHECK(sum == 3);
        event = expect(watcher, CONVOKE_EVENT_SNAPSHOT_END);
        CHECK(convoke_event_ref(event) == monitor);
        convoke_event_free(event);
    }
    join(pa, "watch", SELF);
    expect_change(watcher, monitor, CONVOKE_EVENT_GROUP_JOINED, &pid_a, 2, CONVOKE_REASON_NORMAL);
    leave(pb, "watch", SELF);
    expect_change(watcher, monitor, CONVOKE_EVENT_GROUP_LEFT, &pid_b, 1, CONVOKE_REASON_NORMAL);
    leave(pb, "watch", SELF);
    expect_change(watcher, monitor, CONVOKE_EVENT_GROUP_LEFT, &pid_b, 0, CONVOKE_REASON_NORMAL);
    join(pa, "watch", &pid);
    expect_change(watcher, monitor, CONVOKE_EVENT_GROUP_JOINED, &pid, 1, CONVOKE_REASON_NORMAL);
    OK(convoke_process_exit(killed, CONVOKE_REASON_USER + 3, NULL, 0));
    expect_change(watcher, monitor, CONVOKE_EVENT_GROUP_LEFT, &pid, 0, CONVOKE_REASON_USER + 3);
    /* A node that goes takes its members with it. */
    c = open_peer("c", a);
    far = spawn(c, NULL);
    OK(convoke_node_sync(far, SOON, NULL));
    pid_far = pid_of(far);
    join(far, "watch", SELF);
    expect_change(watcher, monitor, CONVOKE_EVENT_GROUP_JOINED, &pid_far, 1, CONVOKE_REASON_NORMAL);
    convoke_node_free(c);
    expect_change(watcher, monitor, CONVOKE_EVENT_GROUP_LEFT, &pid_far, 0, CONVOKE_REASON_NODE_CLOSED);
    convoke_process_free(far);
    /* What comes and goes unread is not told; what stays is. By a process of the watcher's node: its answers do not overtake
     * the events. */
    join(pa, "watch", &pid_b2);
    leave(pa, "watch", &pid_b2);
    join(pa, "watch", &pid_b);
    join(pa, "watch", &pid_b);
    expect_change(watcher, monitor, CONVOKE_EVENT_GROUP_JOINED, &pid_b, 2, CONVOKE_REASON_NORMAL);
    nothing_waits(watcher);
    delete_group("watch");
    {
        convoke_event *event;
        int i;
        for (i = 0; i < 2; i++) {
            event = expect(watcher, CONVOKE_EVENT_GROUP_LEFT);
            CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_GROUP_DELETED);
            convoke_event_free(event);
        }
    }
    nothing_waits(watcher);
    create("watch");
    join(pa, "watch", SELF);
    expect_change(watcher, monitor, CONVOKE_EVENT_GROUP_JOINED, &pid_a, 1, CONVOKE_REASON_NORMAL);
    /* A second one has a snapshot of its own, and the first hears nothing any more once it is cancelled. */
    OK(convoke_group_monitor(watcher, "watch", 5, &other));
    expect_change(watcher, other, CONVOKE_EVENT_GROUP_JOINED, &pid_a, 1, CONVOKE_REASON_NORMAL);
    convoke_event_free(expect(watcher, CONVOKE_EVENT_SNAPSHOT_END));
    OK(convoke_cancel(watcher, monitor));
    leave(pa, "watch", SELF);
    expect_change(watcher, other, CONVOKE_EVENT_GROUP_LEFT, &pid_a, 0, CONVOKE_REASON_NORMAL);
    nothing_waits(watcher);
    delete_group("watch");
    convoke_process_free(killed);
    convoke_process_free(watcher);
}

static void take(convoke_process *process, const char *text) {
    convoke_event *event = expect(process, CONVOKE_EVENT_MESSAGE);
    const void *data;
    size_t len;
    convoke_pid from;
    OK(convoke_event_payload(event, &data, &len));
    CHECK(len == strlen(text) && memcmp(data, text, len) == 0);
    OK(convoke_event_peer(event, &from));
    CHECK(same_pid(&from, &pid_a));
    convoke_event_free(event);
}

static void messages(void) {
    convoke_process *slow = spawn(a, NULL);
    convoke_pid pid = pid_of(slow), who;
    convoke_event *event;
    uint32_t count = 7;
    int waiting = 0;
    STATUS(CONVOKE_E_NOT_FOUND, convoke_group_send(pa, "all", 3, "x", 1, &count));
    CHECK(count == 0);
    create("all");
    count = 7;
    OK(convoke_group_send(pa, "all", 3, "x", 1, &count));
    CHECK(count == 0);
    join(pa, "all", SELF);
    join(pb, "all", SELF);
    join(pb, "all", SELF);
    join(pb, "all", &pid_b2);
    OK(convoke_group_send(pa, "all", 3, "hello", 5, &count));
    CHECK(count == 3); /* once each, however often it has joined */
    take(pa, "hello");
    take(pb, "hello");
    take(pb2, "hello");
    OK(convoke_group_send(pa, "all", 3, NULL, 0, NULL));
    take(pa, "");
    take(pb, "");
    take(pb2, "");
    /* One that does not read holds nobody up. */
    join(pa, "all", &pid);
    while (convoke_send(pa, &pid, "x", 1) == CONVOKE_OK) waiting++;
    STATUS(CONVOKE_E_FULL, convoke_group_send(pa, "all", 3, "more", 4, &count));
    CHECK(count == 3);
    take(pa, "more");
    take(pb, "more");
    take(pb2, "more");
    while (waiting-- > 0) take(slow, "x");
    nothing_waits(slow);
    event = expect(pa, CONVOKE_EVENT_SENDABLE);
    OK(convoke_event_peer(event, &who));
    CHECK(same_pid(&who, &pid));
    convoke_event_free(event);
    OK(convoke_send(pa, &who, "more", 4));
    take(slow, "more");
    /* One that ends is no member from that moment on. */
    convoke_process_free(slow);
    CHECK(count_of(a, "all", &pid) == 0);
    OK(convoke_group_send(pa, "all", 3, "last", 4, &count));
    CHECK(count == 3);
    take(pa, "last");
    take(pb, "last");
    take(pb2, "last");
    await_size(b, "all", 4);
    delete_group("all");
    nothing_waits(pa);
}

/* Many groups and memberships; what dies leaves nothing, in linear time. */
static void many(void) {
    enum { GROUPS = 200, MEMBERS = 300 };
    convoke_process *processes[MEMBERS];
    convoke_list *list;
    char name[16];
    int i;
    create("many");
    for (i = 0; i < MEMBERS; i++) {
        processes[i] = spawn(i % 2 ? a : b, NULL);
        OK(convoke_group_join(processes[i], "many", 4, SELF, SOON, NULL));
    }
    CHECK(size_of(a, "many") == MEMBERS && size_of(b, "many") == MEMBERS);
    for (i = 0; i < MEMBERS; i++) convoke_process_free(processes[i]);
    CHECK(size_of(a, "many") != (size_t)-1);
    await_size(a, "many", 0);
    await_size(b, "many", 0);
    for (i = 0; i < GROUPS; i++) {
        int len = snprintf(name, sizeof name, "group %03d", i);
        OK(convoke_group_create(i % 2 ? pa : pb, name, (size_t)len, SOON, NULL));
    }
    OK(convoke_group_list(b, &list));
    CHECK(convoke_list_len(list) == GROUPS + 1);
    {
        const void *data;
        size_t len;
        OK(convoke_list_name(list, 7, &data, &len)); /* sorted */
        CHECK(len == 9 && memcmp(data, "group 007", 9) == 0);
    }
    convoke_list_free(list);
    for (i = 0; i < GROUPS; i++) {
        int len = snprintf(name, sizeof name, "group %03d", i);
        OK(convoke_group_delete(i % 2 ? pb : pa, name, (size_t)len, SOON, NULL));
    }
    delete_group("many");
    OK(convoke_group_list(a, &list));
    CHECK(convoke_list_len(list) == 0);
    convoke_list_free(list);
}

static void full(void) {
    convoke_options *options;
    convoke_node *node;
    convoke_process *process;
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "limits.groups", "2"));
    OK(convoke_node_open(options, &node));
    convoke_options_free(options);
    process = spawn(node, NULL);
    OK(convoke_group_create(process, "1", 1, SOON, NULL));
    OK(convoke_group_create(process, "2", 1, SOON, NULL));
    OK(convoke_group_create(process, "2", 1, SOON, NULL));
    STATUS(CONVOKE_E_FULL, convoke_group_create(process, "3", 1, SOON, NULL));
    OK(convoke_group_delete(process, "1", 1, SOON, NULL));
    OK(convoke_group_create(process, "3", 1, SOON, NULL));
    convoke_process_free(process);
    close_node(node);
}

int main(void) {
    full();
    a = open_node("a", NULL);
    b = open_peer("b", a);
    pa = spawn(a, NULL);
    pb = spawn(b, NULL);
    pb2 = spawn(b, NULL);
    OK(convoke_node_sync(pa, SOON, NULL));
    OK(convoke_node_sync(pb, SOON, NULL));
    pid_a = pid_of(pa);
    pid_b = pid_of(pb);
    pid_b2 = pid_of(pb2);
    members();
    closest();
    monitors();
    messages();
    many();
    convoke_process_free(pa);
    convoke_process_free(pb);
    convoke_process_free(pb2);
    close_node(b);
    close_node(a);
    return done();
}
