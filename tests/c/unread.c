/* What a process is told of that has not read for a while: unread changes are merged, and each kind of merged event counts them. */
#include "check.h"

static uint64_t changes(const convoke_event *event) {
    uint64_t count;
    OK(convoke_event_u64(event, CONVOKE_FIELD_CHANGES, &count));
    return count;
}

static convoke_pid field(const convoke_event *event, convoke_field which) {
    convoke_pid pid;
    OK(convoke_event_pid(event, which, &pid));
    return pid;
}

static int has_name(const convoke_event *event, const char *name) {
    const void *data;
    size_t len;
    OK(convoke_event_name(event, &data, &len));
    return len == strlen(name) && memcmp(data, name, len) == 0;
}

/* Ten changes of a name and the first telling are one event; what is read is not counted again. */
static void names(void) {
    convoke_node *node = open_node(NULL, NULL);
    convoke_process *owner = spawn(node, NULL), *late = spawn(node, NULL), *reader = spawn(node, NULL);
    convoke_pid pid = pid_of(owner), last;
    convoke_event *event;
    convoke_ref ref;
    uint64_t count = 0;
    int at;
    OK(convoke_name_monitor(late, "x", 1, &ref));
    OK(convoke_name_monitor(reader, "x", 1, &ref));
    for (at = 0; at < 5; at++) {
        OK(convoke_name_register(owner, "x", 1, NULL, NULL, SOON, NULL));
        OK(convoke_name_unregister(owner, "x", 1, SOON, NULL));
    }
    OK(convoke_name_register(owner, "x", 1, NULL, NULL, SOON, NULL));
    /* The reader is told behind the other one, so both have heard of all when it has. */
    do {
        event = expect(reader, CONVOKE_EVENT_NAME_CHANGED);
        count += changes(event);
        last = field(event, CONVOKE_FIELD_PEER);
        convoke_event_free(event);
    } while (count < 12);
    CHECK(count == 12 && same_pid(&last, &pid));
    event = expect(late, CONVOKE_EVENT_NAME_CHANGED);
    last = field(event, CONVOKE_FIELD_PEER);
    CHECK(changes(event) == 12 && same_pid(&last, &pid));
    last = field(event, CONVOKE_FIELD_OLD_PID);
    CHECK(is_none(&last));
    convoke_event_free(event);
    OK(convoke_name_unregister(owner, "x", 1, SOON, NULL));
    event = expect(late, CONVOKE_EVENT_NAME_CHANGED);
    CHECK(changes(event) == 1);
    last = field(event, CONVOKE_FIELD_OLD_PID);
    CHECK(same_pid(&last, &pid));
    convoke_event_free(event);
    STATUS(CONVOKE_E_TIMEOUT, convoke_process_recv(late, 0, &event));
    convoke_process_free(owner);
    convoke_process_free(late);
    convoke_process_free(reader);
    close_node(node);
}

/* A node that came and went three times is one event, behind what is there and of which it says nothing. */
static void nodes(void) {
    convoke_node *node = open_node(NULL, NULL);
    convoke_process *late = spawn(node, NULL), *reader = spawn(node, NULL);
    convoke_node *there;
    convoke_event *event;
    convoke_ref ref;
    uint64_t count;
    int at;
    OK(convoke_node_monitor(late, &ref));
    OK(convoke_node_monitor(reader, &ref));
    convoke_event_free(expect(reader, CONVOKE_EVENT_SNAPSHOT_END));
    for (at = 0; at < 3; at++) {
        there = open_peer("flapper", node);
        convoke_event_free(expect(reader, CONVOKE_EVENT_NODE_UP));
        close_node(there);
        event = expect(reader, CONVOKE_EVENT_NODE_DOWN);
        CHECK(changes(event) == 1 && has_name(event, "flapper"));
        convoke_event_free(event);
    }
    there = open_peer("there", node);
    convoke_event_free(expect(reader, CONVOKE_EVENT_NODE_UP));
    convoke_event_free(expect(late, CONVOKE_EVENT_SNAPSHOT_END));
    event = expect(late, CONVOKE_EVENT_NODE_DOWN);
    CHECK(changes(event) == 6 && has_name(event, "flapper"));
    CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_NODE_CLOSED);
    convoke_event_free(event);
    event = expect(late, CONVOKE_EVENT_NODE_UP);
    CHECK(has_name(event, "there"));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_event_u64(event, CONVOKE_FIELD_CHANGES, &count));
    convoke_event_free(event);
    /* Its going is news, since its coming was read. */
    close_node(there);
    event = expect(late, CONVOKE_EVENT_NODE_DOWN);
    CHECK(changes(event) == 1 && has_name(event, "there"));
    convoke_event_free(event);
    STATUS(CONVOKE_E_TIMEOUT, convoke_process_recv(late, 0, &event));
    convoke_process_free(late);
    convoke_process_free(reader);
    close_node(node);
}

int main(void) {
    names();
    nodes();
    return done();
}
