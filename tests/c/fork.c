/* A forked child: what its parent opened answers E_FORKED, frees leave the parent alone, a new node can be opened; the
 * parent does not notice. Also while other threads of the parent are in the library. */
#include "check.h"

#include <sys/wait.h>

static convoke_node *node;
static convoke_queue *queue;
static convoke_process *process, *mailbox;
static int freed, stop;

static void count_free(void *user_data) {
    (void)user_data;
    __atomic_fetch_add(&freed, 1, __ATOMIC_SEQ_CST);
}

static void ignore(convoke_event *event, void *user_data) {
    (void)event;
    (void)user_data;
}

static int32_t never(uint64_t fence, void *user_data) {
    (void)fence;
    (void)user_data;
    CHECK(!"called in a forked child");
    return 0;
}

#define FORKED(call) STATUS(CONVOKE_E_FORKED, call)

/* A new node works as in any program. */
static void use_a_new_node(void) {
    convoke_node *fresh = open_node(NULL, NULL);
    convoke_process *p = spawn(fresh, NULL);
    convoke_pid pid = pid_of(p), found;
    OK(convoke_name_register(p, "child", 5, NULL, NULL, SOON, NULL));
    OK(convoke_name_whereis(fresh, "child", 5, &found));
    CHECK(same_pid(&pid, &found));
    OK(convoke_send(p, &pid, "x", 1));
    convoke_event_free(expect(p, CONVOKE_EVENT_MESSAGE));
    convoke_process_free(p);
    close_node(fresh);
}

static void child(convoke_event *event, convoke_list *list, convoke_options *options) {
    convoke_queue *q;
    convoke_process *p;
    convoke_event *e;
    convoke_list *l;
    convoke_pid pid = {1, 1};
    convoke_ref ref;
    convoke_stats stats;
    const void *data;
    char buf[64];
    size_t len, live = convoke_live_handles();
    bool alive;
    int fd;
    alarm(60); /* a hang is a failure */
    stats.struct_size = sizeof stats;
    FORKED(convoke_node_close(node, -1));
    FORKED(convoke_node_name(node, buf, sizeof buf, &len));
    FORKED(convoke_node_address(node, buf, sizeof buf, &len));
    FORKED(convoke_node_connect(process, "127.0.0.1:1", -1, NULL));
    FORKED(convoke_node_disconnect(process, "x", -1, NULL));
    FORKED(convoke_node_peers(node, &l));
    FORKED(convoke_node_sync(process, -1, NULL));
    FORKED(convoke_lock_acquire(process, "r", 1, NULL, 0, -1, NULL, NULL));
    FORKED(convoke_lock_acquire_on(process, "r", 1, NULL, 0, NULL, 0, -1, -1, NULL, NULL));
    FORKED(convoke_lock_release(process, "r", 1, NULL, 0, -1, NULL));
    FORKED(convoke_lock_release_on(process, "r", 1, NULL, 0, NULL, 0, -1, NULL));
    FORKED(convoke_lock_check(process, "r", 1, NULL, 0, NULL));
    FORKED(convoke_lock_with(process, "r", 1, NULL, 0, NULL, 0, -1, -1, never, NULL, NULL));
    FORKED(convoke_lock_watch(process, "r", 1, NULL, 0, &ref));
    FORKED(convoke_lock_list(node, "r", 1, &l));
    FORKED(convoke_group_create(process, "g", 1, -1, NULL));
    FORKED(convoke_group_delete(process, "g", 1, -1, NULL));
    FORKED(convoke_group_join(process, "g", 1, NULL, -1, NULL));
    FORKED(convoke_group_leave(process, "g", 1, NULL, -1, NULL));
    FORKED(convoke_group_members(node, "g", 1, &l));
    FORKED(convoke_group_local_members(node, "g", 1, &l));
    FORKED(convoke_group_closest(node, "g", 1, &pid));
    FORKED(convoke_group_list(node, &l));
    FORKED(convoke_group_monitor(process, "g", 1, &ref));
    FORKED(convoke_group_send(process, "g", 1, "x", 1, NULL));
    FORKED(convoke_node_monitor(process, &ref));
    FORKED(convoke_node_stats(node, &stats));
    FORKED(convoke_queue_new(node, &q));
    FORKED(convoke_queue_fd(queue, &fd));
    FORKED(convoke_queue_next(queue, -1, &e));
    FORKED(convoke_queue_set_handler(queue, ignore, NULL, count_free));
    CHECK(freed == 1);
    FORKED(convoke_queue_dispatch(queue, 0, -1, NULL));
    FORKED(convoke_queue_start_thread(queue));
    FORKED(convoke_queue_stop_thread(queue, -1));
    FORKED(convoke_queue_wake(queue));
    FORKED(convoke_process_spawn(node, queue, &p));
    FORKED(convoke_process_exit(process, 0, NULL, 0));
    FORKED(convoke_process_pid(process, &pid));
    CHECK(is_none(&pid));
    pid.node = pid.serial = 1;
    FORKED(convoke_log_to_queue(queue, CONVOKE_LOG_TRACE));
    FORKED(convoke_node_metrics(node, &l));
    FORKED(convoke_node_dump(node, &l));
    FORKED(convoke_process_recv(mailbox, -1, &e));
    FORKED(convoke_process_set_handler(process, ignore, NULL, count_free));
    CHECK(freed == 2);
    FORKED(convoke_process_monitor(process, &pid, &ref));
    FORKED(convoke_process_kill(process, &pid, CONVOKE_REASON_KILLED));
    FORKED(convoke_process_is_alive(process, &pid, -1, &alive, NULL));
    FORKED(convoke_cancel(process, 1));
    FORKED(convoke_pid_node(node, &pid, buf, sizeof buf, &len));
    FORKED(convoke_name_register(process, "n", 1, NULL, NULL, -1, NULL));
    FORKED(convoke_name_reregister(process, "n", 1, NULL, NULL, -1, NULL));
    FORKED(convoke_name_unregister(process, "n", 1, -1, NULL));
    FORKED(convoke_name_whereis(node, "n", 1, &pid));
    FORKED(convoke_name_list(node, NULL, 0, &l));
    FORKED(convoke_name_monitor(process, "n", 1, &ref));
    pid.node = pid.serial = 1;
    FORKED(convoke_send(process, &pid, "x", 1));
    FORKED(convoke_send_name(process, "n", 1, "x", 1, NULL));
    /* A queue of the parent for a node of the child. */
    {
        convoke_node *fresh = open_node(NULL, NULL);
        FORKED(convoke_process_spawn(fresh, queue, &p));
        close_node(fresh);
    }
    use_a_new_node();
    CHECK(convoke_live_handles() == live);
    /* Plain memory is usable. */
    OK(convoke_event_payload(event, &data, &len));
    CHECK(len == 5 && memcmp(data, "hello", 5) == 0);
    CHECK(convoke_list_len(list) == 1);
    OK(convoke_options_set(options, "name", "of the child"));
    convoke_event_free(event);
    convoke_list_free(list);
    convoke_options_free(options);
    /* Freeing is fine, and leaves the parent alone. */
    convoke_process_free(process);
    convoke_process_free(mailbox);
    convoke_queue_free(queue);
    convoke_node_free(node);
    STATUS(CONVOKE_E_INVALID, convoke_node_close(node, -1));
    CHECK(convoke_live_handles() == 0);
    use_a_new_node();
    CHECK(freed == 2);
    _exit(0);
}

static void check_parent(void) {
    convoke_pid pid = pid_of(mailbox), found;
    OK(convoke_name_whereis(node, "parent", 6, &found));
    OK(convoke_name_reregister(process, "parent", 6, &pid, NULL, SOON, NULL));
    OK(convoke_send(process, &pid, "still here", 10));
    convoke_event_free(expect(mailbox, CONVOKE_EVENT_MESSAGE));
}

/* Makes and frees everything all the time. */
static void *churn(void *argument) {
    (void)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        convoke_queue *q;
        convoke_process *p;
        convoke_options *o;
        convoke_pid pid;
        OK(convoke_options_new(&o));
        OK(convoke_queue_new(node, &q));
        p = spawn(node, q);
        pid = pid_of(p);
        OK(convoke_options_set(o, "name", "x"));
        OK(convoke_send(p, &pid, "x", 1));
        convoke_options_free(o);
        convoke_process_free(p);
        convoke_queue_free(q);
    }
    return NULL;
}

int main(void) {
    convoke_options *options;
    convoke_event *event;
    convoke_list *list;
    convoke_pid pid;
    pthread_t threads[2];
    pid_t forked;
    int i;
    OK(convoke_options_new(&options));
    node = open_node(NULL, NULL);
    OK(convoke_queue_new(node, &queue));
    process = spawn(node, queue);
    mailbox = spawn(node, NULL);
    OK(convoke_queue_set_handler(queue, ignore, NULL, NULL));
    OK(convoke_queue_start_thread(queue));
    OK(convoke_name_register(process, "parent", 6, NULL, NULL, SOON, NULL));
    OK(convoke_name_list(node, NULL, 0, &list));
    pid = pid_of(mailbox);
    OK(convoke_send(process, &pid, "hello", 5));
    event = expect(mailbox, CONVOKE_EVENT_MESSAGE);

    forked = fork();
    if (forked == 0) child(event, list, options);
    check_child(forked);
    check_parent();

    /* While other threads are at it: no lock stays behind in the child. */
    for (i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    for (i = 0; i < 30; i++) {
        forked = fork();
        if (forked == 0) {
            alarm(60);
            FORKED(convoke_node_close(node, -1));
            use_a_new_node();
            _exit(0);
        }
        check_child(forked);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    check_parent();

    convoke_event_free(event);
    convoke_list_free(list);
    convoke_options_free(options);
    convoke_process_free(process);
    convoke_process_free(mailbox);
    convoke_queue_free(queue);
    close_node(node);
    return done();
}
