/* convoke_node_sync, and the option join.wait: a node that is open has met everybody. */
#include "check.h"

static convoke_status open_with(convoke_node **node, const char *name, const char *seeds, const char *wait) {
    convoke_options *options;
    convoke_status status;
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "cluster", test_cluster()));
    if (name) OK(convoke_options_set(options, "name", name));
    if (seeds) OK(convoke_options_set(options, "seeds", seeds));
    if (wait) OK(convoke_options_set(options, "join.wait", wait));
    status = convoke_node_open(options, node);
    convoke_options_free(options);
    return status;
}

static size_t peers_of(const convoke_node *node) {
    convoke_list *list;
    size_t count;
    OK(convoke_node_peers(node, &list));
    count = convoke_list_len(list);
    convoke_list_free(list);
    return count;
}

/* A TCP port where nobody listens: that of a node which is closed. */
static void free_address(char *buf, size_t cap) {
    convoke_node *node = open_node(NULL, NULL);
    OK(convoke_node_address(node, buf, cap, NULL));
    close_node(node);
}

int main(void) {
    enum { COUNT = 4 };
    convoke_node *nodes[COUNT], *refused = NULL;
    convoke_process *process;
    convoke_event *event;
    convoke_ref op;
    convoke_pid pid;
    char seeds[300], nobody[128];
    int i, round;

    /* All seeds are unreachable: the first node opens. */
    free_address(nobody, sizeof nobody);
    OK(open_with(&nodes[0], "first", nobody, "20000"));
    process = spawn(nodes[0], NULL);
    OK(convoke_node_sync(process, SOON, NULL));
    OK(convoke_node_sync(process, 0, &op));
    event = expect(process, CONVOKE_EVENT_DONE);
    CHECK(convoke_event_ref(event) == op);
    OK(convoke_event_result(event, NULL));
    convoke_event_free(event);
    OK(convoke_name_register(process, "x", 1, NULL, NULL, SOON, NULL));

    /* Each next one is linked with all before when it is open, and sees what they have. */
    OK(convoke_node_address(nodes[0], seeds, 128, NULL));
    strcat(strcat(seeds, ","), nobody);
    for (i = 1; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "next %d", i);
        OK(open_with(&nodes[i], name, seeds, "20000"));
        CHECK(peers_of(nodes[i]) == (size_t)i);
        OK(convoke_name_whereis(nodes[i], "x", 1, &pid));
    }

    /* The name is taken, whichever of the incarnations is the lower one. */
    for (round = 0; round < 16; round++) {
        refused = nodes[0];
        STATUS(CONVOKE_E_EXISTS, open_with(&refused, round % 2 ? "first" : "next 1", seeds, "20000"));
        CHECK(refused == NULL);
    }
    CHECK(peers_of(nodes[0]) == COUNT - 1);

    STATUS(CONVOKE_E_INVALID, convoke_node_sync(process, -2, NULL));
    for (i = COUNT; i-- > 0;) close_node(nodes[i]);
    STATUS(CONVOKE_E_CLOSED, convoke_node_sync(process, SOON, NULL));
    convoke_process_free(process);
    return done();
}
