/* Handles that are no more, never were, or belong to another type: E_INVALID from every function that takes one, and
 * freeing them again does nothing. A node that was closed: E_CLOSED. */
#include "check.h"

static void use_node(convoke_node *node, convoke_status expected) {
    convoke_queue *queue;
    convoke_process *process;
    convoke_list *list;
    convoke_pid pid = {1, 1};
    char buf[8];
    size_t len;
    convoke_stats stats;
    bool is_closed = expected == CONVOKE_E_CLOSED;
    stats.struct_size = sizeof stats;
    STATUS(is_closed ? CONVOKE_OK : expected, convoke_node_close(node, SOON));
    STATUS(is_closed ? CONVOKE_OK : expected, convoke_node_name(node, NULL, 0, &len));
    STATUS(is_closed ? CONVOKE_OK : expected, convoke_node_address(node, NULL, 0, &len));
    STATUS(is_closed ? CONVOKE_OK : expected, convoke_node_stats(node, &stats));
    STATUS(expected, convoke_node_peers(node, &list));
    STATUS(expected, convoke_queue_new(node, &queue));
    STATUS(expected, convoke_process_spawn(node, NULL, &process));
    STATUS(expected, convoke_pid_node(node, &pid, buf, sizeof buf, &len));
    STATUS(expected, convoke_name_whereis(node, "n", 1, &pid));
    STATUS(expected, convoke_name_list(node, NULL, 0, &list));
    STATUS(expected, convoke_lock_list(node, NULL, 0, &list));
    STATUS(expected, convoke_group_members(node, "g", 1, &list));
    STATUS(expected, convoke_group_local_members(node, "g", 1, &list));
    STATUS(expected, convoke_group_closest(node, "g", 1, &pid));
    STATUS(expected, convoke_group_list(node, &list));
}

static void ignore(convoke_event *event, void *user_data) {
    (void)event;
    (void)user_data;
}

static void use_queue(convoke_queue *queue) {
    convoke_event *event;
    uint32_t count;
    int fd;
    STATUS(CONVOKE_E_INVALID, convoke_queue_fd(queue, &fd));
    STATUS(CONVOKE_E_INVALID, convoke_queue_next(queue, 0, &event));
    STATUS(CONVOKE_E_INVALID, convoke_queue_set_handler(queue, ignore, NULL, NULL));
    STATUS(CONVOKE_E_INVALID, convoke_queue_dispatch(queue, 1, 0, &count));
    STATUS(CONVOKE_E_INVALID, convoke_queue_start_thread(queue));
    STATUS(CONVOKE_E_INVALID, convoke_queue_stop_thread(queue, 0));
    STATUS(CONVOKE_E_INVALID, convoke_queue_wake(queue));
}

static int32_t never(uint64_t fence, void *user_data) {
    (void)fence;
    (void)user_data;
    CHECK(!"called without a lock");
    return 0;
}

static void use_process(convoke_process *process, convoke_status expected) {
    convoke_pid pid = {1, 1}, self;
    convoke_event *event;
    convoke_ref ref;
    bool alive;
    bool is_known = expected != CONVOKE_E_INVALID;
    STATUS(is_known ? CONVOKE_OK : expected, convoke_process_pid(process, &self));
    STATUS(expected, convoke_node_connect(process, "127.0.0.1:1", 0, NULL));
    STATUS(expected, convoke_node_disconnect(process, "x", 0, NULL));
    STATUS(expected, convoke_node_sync(process, 0, NULL));
    STATUS(expected, convoke_node_monitor(process, &ref));
    STATUS(expected, convoke_process_exit(process, 0, NULL, 0));
    STATUS(expected, convoke_process_recv(process, 0, &event));
    STATUS(expected, convoke_process_set_handler(process, ignore, NULL, NULL));
    STATUS(expected, convoke_process_monitor(process, &pid, &ref));
    STATUS(expected, convoke_process_kill(process, &pid, CONVOKE_REASON_KILLED));
    STATUS(expected, convoke_process_is_alive(process, &pid, 0, &alive, NULL));
    STATUS(expected, convoke_cancel(process, 1));
    STATUS(expected, convoke_name_register(process, "n", 1, NULL, NULL, 0, NULL));
    STATUS(expected, convoke_name_reregister(process, "n", 1, NULL, NULL, 0, NULL));
    STATUS(expected, convoke_name_unregister(process, "n", 1, 0, NULL));
    STATUS(expected, convoke_name_monitor(process, "n", 1, &ref));
    STATUS(expected, convoke_lock_acquire(process, "r", 1, NULL, 0, 0, NULL, NULL));
    STATUS(expected, convoke_lock_acquire_on(process, "r", 1, NULL, 0, NULL, 0, 0, 0, NULL, &ref));
    STATUS(expected, convoke_lock_release(process, "r", 1, NULL, 0, 0, NULL));
    STATUS(expected, convoke_lock_release_on(process, "r", 1, NULL, 0, NULL, 0, 0, &ref));
    STATUS(expected, convoke_lock_check(process, "r", 1, NULL, 0, NULL));
    STATUS(expected, convoke_lock_with(process, "r", 1, NULL, 0, NULL, 0, 0, 0, never, NULL, NULL));
    STATUS(expected, convoke_lock_watch(process, "r", 1, NULL, 0, &ref));
    STATUS(expected, convoke_group_create(process, "g", 1, 0, NULL));
    STATUS(expected, convoke_group_delete(process, "g", 1, 0, &ref));
    STATUS(expected, convoke_group_join(process, "g", 1, NULL, 0, NULL));
    STATUS(expected, convoke_group_leave(process, "g", 1, NULL, 0, &ref));
    STATUS(expected, convoke_group_monitor(process, "g", 1, &ref));
    STATUS(expected, convoke_group_send(process, "g", 1, "x", 1, NULL));
    STATUS(expected, convoke_send(process, &pid, "x", 1));
    STATUS(expected, convoke_send_name(process, "n", 1, "x", 1, NULL));
    /* The forms that do not wait. */
    STATUS(expected, convoke_node_connect(process, "127.0.0.1:1", 0, &ref));
    STATUS(expected, convoke_process_is_alive(process, &pid, 0, NULL, &ref));
    STATUS(expected, convoke_name_register(process, "n", 1, NULL, NULL, 0, &ref));
    STATUS(expected, convoke_name_unregister(process, "n", 1, 0, &ref));
    CHECK(ref == 0);
}

static void use_everything(void *handle) {
    use_node((convoke_node *)handle, CONVOKE_E_INVALID);
    use_queue((convoke_queue *)handle);
    use_process((convoke_process *)handle, CONVOKE_E_INVALID);
    convoke_node_free((convoke_node *)handle);
    convoke_queue_free((convoke_queue *)handle);
    convoke_process_free((convoke_process *)handle);
}

int main(void) {
    convoke_node *node = open_node(NULL, NULL), *old_node = node;
    convoke_process *process = spawn(node, NULL), *old_process = process;
    convoke_queue *queue, *old_queue;
    convoke_options *options;
    uintptr_t bits;
    OK(convoke_queue_new(node, &queue));
    OK(convoke_options_new(&options));
    old_queue = queue;

    /* Pointers that are no handles. */
    use_everything(NULL);
    use_everything(&bits);
    use_everything(options);
    for (bits = 1; bits != UINTPTR_MAX; bits = bits * 2 + 1) use_everything((void *)bits);
    use_everything((void *)UINTPTR_MAX);
    for (bits = 1; bits < 4096; bits++) use_everything((void *)(bits * (uintptr_t)0x9e3779b97f4a7c15));
    for (bits = 0; bits < 64; bits++) {
        uintptr_t near_node = (uintptr_t)node ^ ((uintptr_t)1 << bits);
        uintptr_t near_process = (uintptr_t)process ^ ((uintptr_t)1 << bits);
        if (near_node != (uintptr_t)process && near_node != (uintptr_t)queue) use_everything((void *)near_node);
        if (near_process != (uintptr_t)node && near_process != (uintptr_t)queue) use_everything((void *)near_process);
    }
    /* Handles of other types. */
    use_queue((convoke_queue *)node);
    use_process((convoke_process *)node, CONVOKE_E_INVALID);
    convoke_queue_free((convoke_queue *)node);
    convoke_process_free((convoke_process *)queue);
    use_node((convoke_node *)process, CONVOKE_E_INVALID);
    convoke_node_free((convoke_node *)process);
    /* All that has touched nothing. */
    CHECK(convoke_live_handles() == 4);
    OK(convoke_name_unregister(process, "n", 1, SOON, NULL));

    /* A queue of another node. */
    {
        convoke_node *other = open_node(NULL, NULL);
        convoke_process *none = process;
        STATUS(CONVOKE_E_INVALID, convoke_process_spawn(other, queue, &none));
        CHECK(none == NULL && convoke_live_handles() == 5);
        close_node(other);
    }

    /* Freed, and freed again; another object takes the place. */
    convoke_process_free(process);
    convoke_process_free(process);
    use_process(old_process, CONVOKE_E_INVALID);
    process = spawn(node, queue);
    CHECK(process != old_process);
    use_process(old_process, CONVOKE_E_INVALID);
    convoke_process_free(old_process);
    convoke_queue_free(queue);
    convoke_queue_free(queue);
    use_queue(old_queue);
    CHECK(convoke_live_handles() == 3);

    /* An exited process. */
    OK(convoke_process_exit(process, 0x10000, "bye", 3));
    STATUS(CONVOKE_E_NO_PROCESS, convoke_process_exit(process, 0, NULL, 0));
    STATUS(CONVOKE_E_NO_PROCESS, convoke_name_register(process, "n", 1, NULL, NULL, 0, NULL));
    convoke_process_free(process);

    /* A closed node. */
    process = spawn(node, NULL);
    OK(convoke_node_close(node, SOON));
    use_node(node, CONVOKE_E_CLOSED);
    STATUS(CONVOKE_E_CLOSED, convoke_name_register(process, "n", 1, NULL, NULL, 0, NULL));
    STATUS(CONVOKE_E_CLOSED, convoke_send_name(process, "n", 1, NULL, 0, NULL));
    convoke_node_free(node);
    convoke_node_free(node);
    use_node(old_node, CONVOKE_E_INVALID);
    STATUS(CONVOKE_E_CLOSED, convoke_name_register(process, "n", 1, NULL, NULL, 0, NULL));
    convoke_process_free(process);
    use_everything(process);
    convoke_options_free(options);
    return done();
}
