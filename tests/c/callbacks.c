/* The callback contract: where callbacks run, that they never overlap, what may be called in them, who waits for whom. */
#include "check.h"

static pthread_t main_thread;
static int calls, inside, overlaps, freed, own_calls;
static convoke_event *kept;

static void count_free(void *user_data) {
    (void)user_data;
    __atomic_fetch_add(&freed, 1, __ATOMIC_SEQ_CST);
}

static void on_this_thread(convoke_event *event, void *user_data) {
    (void)event;
    CHECK(user_data == &calls);
    CHECK(pthread_equal(pthread_self(), main_thread));
    calls++;
}

static void own(convoke_event *event, void *user_data) {
    (void)event;
    (void)user_data;
    own_calls++;
}

static void keep(convoke_event *event, void *user_data) {
    (void)user_data;
    kept = convoke_event_retain(event);
    CHECK(kept == event);
}

/* Rules 1 and 8, and the handler of a process before that of its queue. */
static void dispatched(convoke_node *node, convoke_queue *queue) {
    convoke_process *a = spawn(node, queue), *b = spawn(node, queue);
    convoke_pid pid_a = pid_of(a), pid_b = pid_of(b), from;
    const void *data;
    size_t len;
    uint32_t count;
    size_t live = convoke_live_handles();
    OK(convoke_send(b, &pid_a, "one", 3));
    STATUS(CONVOKE_E_STATE, convoke_queue_dispatch(queue, 0, SOON, &count));
    CHECK(count == 0);
    OK(convoke_queue_set_handler(queue, on_this_thread, &calls, NULL));
    OK(convoke_process_set_handler(b, own, NULL, NULL));
    OK(convoke_send(b, &pid_a, "two", 3));
    OK(convoke_send(a, &pid_b, "three", 5));
    CHECK(calls == 0);
    OK(convoke_queue_dispatch(queue, 1, 0, &count));
    CHECK(count == 1 && calls == 1 && own_calls == 0);
    OK(convoke_queue_dispatch(queue, 0, 0, &count));
    CHECK(count == 2 && calls == 2 && own_calls == 1);
    STATUS(CONVOKE_E_TIMEOUT, convoke_queue_dispatch(queue, 0, 0, &count));
    CHECK(count == 0);
    OK(convoke_process_set_handler(b, keep, NULL, NULL));
    OK(convoke_send(a, &pid_b, "kept", 4));
    OK(convoke_queue_dispatch(queue, 0, SOON, NULL));
    CHECK(convoke_live_handles() == live + 1);
    convoke_process_free(a);
    convoke_process_free(b);
    OK(convoke_event_payload(kept, &data, &len));
    CHECK(len == 4 && memcmp(data, "kept", 4) == 0);
    OK(convoke_event_peer(kept, &from));
    CHECK(same_pid(&from, &pid_a));
    convoke_event_free(kept);
}

static void exclusive(convoke_event *event, void *user_data) {
    (void)event;
    (void)user_data;
    if (__atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST) != 0) overlaps++;
    usleep(100);
    __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
}

static void *dispatch_some(void *queue) {
    uint32_t count;
    while (__atomic_load_n(&calls, __ATOMIC_SEQ_CST) < 300) {
        convoke_status status = convoke_queue_dispatch((convoke_queue *)queue, 3, 10, &count);
        CHECK(status == CONVOKE_OK || status == CONVOKE_E_TIMEOUT);
    }
    return NULL;
}

/* Rule 2: with two threads that dispatch and the library's own. */
static void never_overlap(convoke_node *node, convoke_queue *queue) {
    convoke_process *a = spawn(node, queue), *b = spawn(node, queue);
    convoke_pid pid = pid_of(a);
    pthread_t threads[2];
    int i;
    calls = 0;
    OK(convoke_queue_set_handler(queue, exclusive, NULL, NULL));
    OK(convoke_queue_start_thread(queue));
    STATUS(CONVOKE_E_STATE, convoke_queue_start_thread(queue));
    for (i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, dispatch_some, queue) == 0);
    for (i = 0; i < 300; i++) {
        OK(convoke_send(b, &pid, &i, sizeof i)); /* far fewer than a mailbox has room for */
    }
    await(&calls, 300);
    for (i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    OK(convoke_queue_stop_thread(queue, SOON));
    OK(convoke_queue_stop_thread(queue, 0));
    CHECK(overlaps == 0 && calls == 300);
    convoke_process_free(a);
    convoke_process_free(b);
}

struct deadlocks {
    convoke_queue *queue;
    int done;
};

static void would_deadlock(convoke_event *event, void *user_data) {
    struct deadlocks *all = (struct deadlocks *)user_data;
    uint32_t count = 7;
    (void)event;
    STATUS(CONVOKE_E_WOULD_DEADLOCK, convoke_queue_dispatch(all->queue, 0, -1, &count));
    CHECK(count == 0);
    if (!pthread_equal(pthread_self(), main_thread)) {
        STATUS(CONVOKE_E_WOULD_DEADLOCK, convoke_queue_stop_thread(all->queue, -1));
    }
    __atomic_fetch_add(&all->done, 1, __ATOMIC_SEQ_CST);
}

/* Rule 4. */
static void deadlocks(convoke_node *node, convoke_queue *queue) {
    convoke_process *a = spawn(node, queue);
    convoke_pid pid = pid_of(a);
    struct deadlocks all = {queue, 0};
    OK(convoke_queue_set_handler(queue, would_deadlock, &all, NULL));
    OK(convoke_send(a, &pid, "x", 1));
    OK(convoke_queue_dispatch(queue, 0, SOON, NULL));
    CHECK(all.done == 1);
    OK(convoke_queue_start_thread(queue));
    OK(convoke_send(a, &pid, "x", 1));
    await(&all.done, 2);
    OK(convoke_queue_stop_thread(queue, SOON));
    convoke_process_free(a);
}

struct slow {
    int entered, may_go, left;
};

static void slow(convoke_event *event, void *user_data) {
    struct slow *all = (struct slow *)user_data;
    (void)event;
    __atomic_store_n(&all->entered, 1, __ATOMIC_SEQ_CST);
    await(&all->may_go, 1);
    __atomic_store_n(&all->left, 1, __ATOMIC_SEQ_CST);
}

static void slow_free(void *user_data) {
    CHECK(((struct slow *)user_data)->left == 1);
    count_free(NULL);
}

/* Rules 5 and 6: stop_thread knows, free does not wait, free_fn comes after the last callback. */
static void stop_and_free(convoke_node *node) {
    convoke_queue *queue;
    convoke_process *a;
    convoke_pid pid;
    struct slow all = {0, 0, 0};
    OK(convoke_queue_new(node, &queue));
    a = spawn(node, queue);
    pid = pid_of(a);
    freed = 0;
    OK(convoke_queue_set_handler(queue, slow, &all, slow_free));
    OK(convoke_queue_start_thread(queue));
    OK(convoke_send(a, &pid, "x", 1));
    OK(convoke_send(a, &pid, "never seen", 10));
    await(&all.entered, 1);
    STATUS(CONVOKE_E_TIMEOUT, convoke_queue_stop_thread(queue, 0));
    STATUS(CONVOKE_E_TIMEOUT, convoke_queue_stop_thread(queue, 5));
    convoke_queue_free(queue); /* does not wait: the callback is held back until after it */
    CHECK(all.left == 0 && freed == 0);
    __atomic_store_n(&all.may_go, 1, __ATOMIC_SEQ_CST);
    await(&freed, 1);
    convoke_process_free(a);
}

static void wake_up(convoke_node *node) {
    convoke_queue *queue;
    convoke_event *event;
    OK(convoke_queue_new(node, &queue));
    OK(convoke_queue_wake(queue));
    OK(convoke_queue_wake(queue));
    STATUS(CONVOKE_E_TIMEOUT, convoke_queue_next(queue, -1, &event));
    OK(convoke_queue_wake(queue));
    STATUS(CONVOKE_E_TIMEOUT, convoke_queue_dispatch(queue, 0, -1, NULL));
    STATUS(CONVOKE_E_TIMEOUT, convoke_queue_next(queue, 0, &event));
    convoke_queue_free(queue);
}

int main(void) {
    convoke_node *node = open_node(NULL, NULL);
    convoke_queue *queue;
    main_thread = pthread_self();
    OK(convoke_queue_new(node, &queue));
    dispatched(node, queue);
    never_overlap(node, queue);
    deadlocks(node, queue);
    stop_and_free(node);
    wake_up(node);
    convoke_queue_free(queue);
    close_node(node);
    return done();
}
