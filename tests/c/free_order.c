/* Objects are freed in every order, parents before children too; what is left is inert, and nothing leaks. */
#include "check.h"

#define OBJECTS 6

static convoke_node *node;
static convoke_queue *queue;
static convoke_process *on_queue, *on_mailbox;
static convoke_event *event;
static convoke_list *list;
static int freed;

static void count_free(void *user_data) {
    ++*(int *)user_data;
}

static void ignore(convoke_event *e, void *user_data) {
    (void)e;
    (void)user_data;
}

static void make(void) {
    convoke_pid pid;
    node = open_node(NULL, NULL);
    OK(convoke_queue_new(node, &queue));
    on_queue = spawn(node, queue);
    on_mailbox = spawn(node, NULL);
    freed = 0;
    OK(convoke_queue_set_handler(queue, ignore, &freed, count_free));
    OK(convoke_process_set_handler(on_queue, ignore, &freed, count_free));
    OK(convoke_name_register(on_queue, "on queue", 8, NULL, NULL, SOON, NULL));
    OK(convoke_name_register(on_mailbox, "on mailbox", 10, NULL, NULL, SOON, NULL));
    OK(convoke_name_list(node, NULL, 0, &list));
    pid = pid_of(on_mailbox);
    OK(convoke_send(on_queue, &pid, "payload", 7));
    event = expect(on_mailbox, CONVOKE_EVENT_MESSAGE);
    /* Something waits everywhere. */
    OK(convoke_send(on_queue, &pid, "unread", 6));
    pid = pid_of(on_queue);
    OK(convoke_send(on_mailbox, &pid, "unread", 6));
}

/* What may be answered by a call on something whose node is perhaps gone. */
static void check_inert(bool node_is_freed, convoke_status status) {
    if (node_is_freed) {
        CHECK(status == CONVOKE_E_CLOSED);
    } else {
        CHECK(status == CONVOKE_OK);
    }
}

static void use(const bool *is_freed) {
    const void *data;
    size_t len;
    convoke_ref ref;
    if (!is_freed[2]) check_inert(is_freed[0], convoke_name_monitor(on_queue, "x", 1, &ref));
    if (!is_freed[3]) check_inert(is_freed[0], convoke_name_monitor(on_mailbox, "x", 1, &ref));
    if (!is_freed[4]) {
        OK(convoke_event_payload(event, &data, &len));
        CHECK(len == 7 && memcmp(data, "payload", 7) == 0);
    }
    if (!is_freed[5]) {
        CHECK(convoke_list_len(list) == 2);
        OK(convoke_list_name(list, 0, &data, &len));
        CHECK(len == 10 && memcmp(data, "on mailbox", 10) == 0);
    }
}

static void free_one(int which) {
    switch (which) {
    case 0: convoke_node_free(node); break;
    case 1: convoke_queue_free(queue); break;
    case 2: convoke_process_free(on_queue); break;
    case 3: convoke_process_free(on_mailbox); break;
    case 4: convoke_event_free(event); break;
    default: convoke_list_free(list); break;
    }
}

int main(void) {
    int order[OBJECTS] = {0, 1, 2, 3, 4, 5};
    int rounds = 0;
    for (;;) {
        bool is_freed[OBJECTS] = {false, false, false, false, false, false};
        int i, j, k;
        make();
        use(is_freed);
        for (i = 0; i < OBJECTS; i++) {
            free_one(order[i]);
            is_freed[order[i]] = true;
            use(is_freed);
        }
        CHECK(convoke_live_handles() == 0);
        /* The node may still be leaving in the background and hold on to the handlers. */
        await(&freed, 2);
        rounds++;
        /* The next permutation. */
        for (i = OBJECTS - 2; i >= 0 && order[i] > order[i + 1]; i--) {}
        if (i < 0) break;
        for (j = OBJECTS - 1; order[j] < order[i]; j--) {}
        k = order[i], order[i] = order[j], order[j] = k;
        for (i++, j = OBJECTS - 1; i < j; i++, j--) k = order[i], order[i] = order[j], order[j] = k;
    }
    CHECK(rounds == 720);
    return done();
}
