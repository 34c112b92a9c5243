/* Every call that waits ends: when its object is freed, its process exits, its node is closed. None hangs, and none uses
 * what is gone. */
#include "check.h"

enum what { NEXT, DISPATCH, RECV, CONNECT };

struct waiter {
    enum what what;
    void *handle;
    convoke_status status;
    int started;
    pthread_t thread;
};

static void ignore(convoke_event *event, void *user_data) {
    (void)event;
    (void)user_data;
}

static void *wait_for_ever(void *argument) {
    struct waiter *waiter = (struct waiter *)argument;
    convoke_event *event = NULL;
    __atomic_store_n(&waiter->started, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        switch (waiter->what) {
        case NEXT: waiter->status = convoke_queue_next((convoke_queue *)waiter->handle, -1, &event); break;
        case DISPATCH: waiter->status = convoke_queue_dispatch((convoke_queue *)waiter->handle, 0, -1, NULL); break;
        case RECV: waiter->status = convoke_process_recv((convoke_process *)waiter->handle, -1, &event); break;
        default:
            /* Nobody ever answers at this address: it is a listener that does not accept. */
            waiter->status = convoke_node_connect((convoke_process *)waiter->handle, "127.0.0.1:1", -1, NULL);
            break;
        }
        if (waiter->status != CONVOKE_OK) return NULL;
        convoke_event_free(event);
        event = NULL;
    }
}

static void start(struct waiter *waiter, enum what what, void *handle) {
    waiter->what = what;
    waiter->handle = handle;
    waiter->started = 0;
    CHECK(pthread_create(&waiter->thread, NULL, wait_for_ever, waiter) == 0);
    await(&waiter->started, 1);
}

static convoke_status ended(struct waiter *waiter) {
    CHECK(pthread_join(waiter->thread, NULL) == 0);
    return waiter->status;
}

/* How each wait may end, early or late: the handle may be gone before the call has begun. */
static void check_ended(struct waiter *waiter, convoke_status expected) {
    convoke_status status = ended(waiter);
    if (status != CONVOKE_E_INVALID && status != CONVOKE_E_UNREACHABLE) STATUS(expected, status);
}

int main(void) {
    int round;
    for (round = 0; round < 40; round++) {
        convoke_node *node = open_node(NULL, NULL);
        convoke_queue *pulled, *dispatched;
        convoke_process *mailbox = spawn(node, NULL), *connecting = spawn(node, NULL);
        struct waiter next, dispatch, recv, connect;
        OK(convoke_queue_new(node, &pulled));
        OK(convoke_queue_new(node, &dispatched));
        OK(convoke_queue_set_handler(dispatched, ignore, NULL, NULL));
        start(&next, NEXT, pulled);
        start(&dispatch, DISPATCH, dispatched);
        start(&recv, RECV, mailbox);
        start(&connect, CONNECT, connecting);
        if (round % 2) usleep((unsigned)round * 100); /* both: already waiting, and not yet */
        switch (round % 4) {
        case 0:
        case 1:
            convoke_process_free(connecting);
            convoke_process_free(mailbox);
            convoke_queue_free(dispatched);
            convoke_queue_free(pulled);
            check_ended(&next, CONVOKE_E_CLOSED);
            check_ended(&dispatch, CONVOKE_E_CLOSED);
            recv.status = ended(&recv);
            CHECK(recv.status == CONVOKE_E_CLOSED || recv.status == CONVOKE_E_NO_PROCESS ||
                  recv.status == CONVOKE_E_INVALID);
            check_ended(&connect, CONVOKE_E_NO_PROCESS);
            close_node(node);
            break;
        case 2:
            OK(convoke_process_exit(mailbox, 0, NULL, 0));
            check_ended(&recv, CONVOKE_E_NO_PROCESS);
            convoke_node_free(node);
            check_ended(&next, CONVOKE_E_CLOSED);
            check_ended(&dispatch, CONVOKE_E_CLOSED);
            check_ended(&connect, CONVOKE_E_CLOSED);
            convoke_queue_free(pulled);
            convoke_queue_free(dispatched);
            convoke_process_free(mailbox);
            convoke_process_free(connecting);
            break;
        default:
            close_node(node);
            check_ended(&next, CONVOKE_E_CLOSED);
            check_ended(&dispatch, CONVOKE_E_CLOSED);
            check_ended(&recv, CONVOKE_E_CLOSED);
            check_ended(&connect, CONVOKE_E_CLOSED);
            convoke_process_free(mailbox);
            convoke_process_free(connecting);
            convoke_queue_free(dispatched);
            convoke_queue_free(pulled);
            break;
        }
    }
    return done();
}
