/* user_data is given back exactly once: after the registration failed, was replaced, was taken back, or its object
 * went, whichever way. */
#include "check.h"

static int freed;

static void count_free(void *user_data) {
    CHECK(user_data == &freed);
    __atomic_fetch_add(&freed, 1, __ATOMIC_SEQ_CST);
    /* No lock of the library is held. */
    (void)convoke_live_handles();
}

static void ignore(convoke_event *event, void *user_data) {
    (void)event;
    CHECK(user_data == &freed);
}

#define GIVEN &freed, count_free

static void gone(int expected) {
    await(&freed, expected);
    CHECK(freed == expected);
    freed = 0;
}

int main(void) {
    convoke_node *node = open_node(NULL, NULL);
    convoke_queue *queue, *freed_queue;
    convoke_process *process, *mailbox, *exited;
    convoke_pid pid;
    OK(convoke_queue_new(node, &queue));
    OK(convoke_queue_new(node, &freed_queue));
    convoke_queue_free(freed_queue);
    process = spawn(node, queue);
    exited = spawn(node, queue);
    mailbox = spawn(node, NULL);
    OK(convoke_process_exit(exited, 0, NULL, 0));

    /* The registration fails. */
    STATUS(CONVOKE_E_INVALID, convoke_queue_set_handler(NULL, ignore, GIVEN));
    gone(1);
    STATUS(CONVOKE_E_INVALID, convoke_queue_set_handler(freed_queue, ignore, GIVEN));
    gone(1);
    STATUS(CONVOKE_E_INVALID, convoke_process_set_handler((convoke_process *)queue, ignore, GIVEN));
    gone(1);
    STATUS(CONVOKE_E_STATE, convoke_process_set_handler(mailbox, ignore, GIVEN));
    gone(1);
    STATUS(CONVOKE_E_NO_PROCESS, convoke_process_set_handler(exited, ignore, GIVEN));
    gone(1);
    /* Without a function there is nothing to keep it for. */
    OK(convoke_queue_set_handler(queue, NULL, GIVEN));
    gone(1);

    /* Replaced, taken back. */
    OK(convoke_queue_set_handler(queue, ignore, GIVEN));
    OK(convoke_process_set_handler(process, ignore, GIVEN));
    CHECK(freed == 0);
    OK(convoke_queue_set_handler(queue, ignore, GIVEN));
    gone(1);
    OK(convoke_process_set_handler(process, NULL, NULL, NULL));
    gone(1);
    pid = pid_of(process);
    OK(convoke_send(mailbox, &pid, "x", 1));
    OK(convoke_queue_dispatch(queue, 1, SOON, NULL));
    CHECK(freed == 0);
    OK(convoke_queue_set_handler(queue, NULL, NULL, NULL));
    gone(1);

    /* Without free_fn nothing is called. */
    OK(convoke_queue_set_handler(queue, ignore, &freed, NULL));
    OK(convoke_queue_set_handler(queue, NULL, NULL, NULL));
    CHECK(freed == 0);

    /* The object is freed. */
    OK(convoke_process_set_handler(process, ignore, GIVEN));
    convoke_process_free(process);
    gone(1);
    OK(convoke_queue_set_handler(queue, ignore, GIVEN));
    convoke_queue_free(queue);
    gone(1);

    /* ... while its own thread waits for events. */
    OK(convoke_queue_new(node, &queue));
    OK(convoke_queue_set_handler(queue, ignore, GIVEN));
    OK(convoke_queue_start_thread(queue));
    convoke_queue_free(queue);
    gone(1);

    /* The node goes first. */
    OK(convoke_queue_new(node, &queue));
    process = spawn(node, queue);
    OK(convoke_queue_set_handler(queue, ignore, GIVEN));
    OK(convoke_process_set_handler(process, ignore, GIVEN));
    close_node(node);
    convoke_queue_free(queue);
    convoke_process_free(process);
    gone(2);
    convoke_process_free(exited);
    convoke_process_free(mailbox);
    return done();
}
