/* Every function may be called from a callback, on the queue's own thread and in dispatch: also those that wait for the
 * network, and the frees of everything that the callback hangs on. */
#include "check.h"

struct all {
    convoke_node *node, *peer;
    convoke_queue *queue;
    convoke_process *process, *far;
    convoke_pid pid;
    int calls, freed;
};

static void count_free(void *user_data) {
    __atomic_fetch_add(&((struct all *)user_data)->freed, 1, __ATOMIC_SEQ_CST);
}

static void nested(convoke_event *event, void *user_data) {
    (void)event;
    __atomic_fetch_add((int *)user_data, 1, __ATOMIC_SEQ_CST);
}

/* A queue within a callback of another is served as anywhere else. */
static void another_queue(struct all *all) {
    convoke_queue *queue;
    convoke_process *process;
    convoke_event *event;
    convoke_pid pid;
    int calls = 0, fd;
    OK(convoke_queue_new(all->node, &queue));
    OK(convoke_queue_fd(queue, &fd));
    process = spawn(all->node, queue);
    pid = pid_of(process);
    OK(convoke_send(all->process, &pid, "1", 1));
    OK(convoke_queue_next(queue, SOON, &event));
    convoke_event_free(event);
    OK(convoke_queue_set_handler(queue, nested, &calls, NULL));
    OK(convoke_send(all->process, &pid, "2", 1));
    OK(convoke_queue_dispatch(queue, 0, SOON, NULL));
    CHECK(calls == 1);
    OK(convoke_process_set_handler(process, nested, &calls, NULL));
    OK(convoke_queue_start_thread(queue));
    OK(convoke_send(all->process, &pid, "3", 1));
    await(&calls, 2);
    OK(convoke_queue_stop_thread(queue, SOON));
    OK(convoke_queue_wake(queue));
    OK(convoke_log_to_queue(queue, CONVOKE_LOG_TRACE));
    convoke_process_free(process);
    convoke_queue_free(queue);
}

static void note(int32_t level, const char *target, const char *text, size_t text_len, void *user_data) {
    (void)level;
    (void)target;
    (void)text;
    (void)text_len;
    (void)user_data;
}

static int32_t decide(const convoke_event *clash, void *user_data) {
    (void)clash;
    (void)user_data;
    return CONVOKE_CLASH_A;
}

static int32_t under_lock(uint64_t fence, void *user_data) {
    convoke_process *process = (convoke_process *)user_data;
    uint64_t now;
    OK(convoke_lock_check(process, "with", 4, NULL, 0, &now));
    CHECK(now == fence);
    return 3;
}

static void locks(struct all *all, convoke_process *process) {
    const char *here[] = {"node"};
    convoke_list *list;
    convoke_ref ref;
    uint64_t fence;
    int32_t result;
    OK(convoke_lock_acquire(process, "r", 1, NULL, 0, SOON, &fence, NULL));
    OK(convoke_lock_check(process, "r", 1, NULL, 0, &fence));
    OK(convoke_lock_watch(process, "r", 1, NULL, 0, &ref));
    OK(convoke_lock_list(all->node, "r", 1, &list));
    CHECK(convoke_list_len(list) == 1);
    convoke_list_free(list);
    OK(convoke_lock_release(process, "r", 1, NULL, 0, SOON, NULL));
    OK(convoke_cancel(process, ref));
    OK(convoke_lock_acquire_on(process, "r", 1, "q", 1, here, 1, 0, SOON, &fence, NULL));
    OK(convoke_lock_release_on(process, "r", 1, "q", 1, here, 1, SOON, NULL));
    OK(convoke_lock_with(process, "with", 4, NULL, 0, NULL, 0, CONVOKE_RETRIES_FOREVER, SOON, under_lock, process, &result));
    CHECK(result == 3);
}

static void groups(struct all *all, convoke_process *process, const convoke_pid *far) {
    convoke_list *list;
    convoke_pid pid;
    convoke_ref ref;
    uint32_t count;
    OK(convoke_group_create(process, "g", 1, SOON, NULL));
    OK(convoke_group_join(process, "g", 1, NULL, SOON, NULL));
    OK(convoke_group_join(process, "g", 1, far, SOON, NULL));
    OK(convoke_group_members(all->node, "g", 1, &list));
    CHECK(convoke_list_len(list) == 2);
    convoke_list_free(list);
    OK(convoke_group_local_members(all->node, "g", 1, &list));
    CHECK(convoke_list_len(list) == 1);
    convoke_list_free(list);
    OK(convoke_group_closest(all->node, "g", 1, &pid));
    OK(convoke_group_list(all->node, &list));
    CHECK(convoke_list_len(list) == 1);
    convoke_list_free(list);
    OK(convoke_group_monitor(process, "g", 1, &ref));
    convoke_event_free(expect(process, CONVOKE_EVENT_GROUP_JOINED));
    convoke_event_free(expect(process, CONVOKE_EVENT_GROUP_JOINED));
    convoke_event_free(expect(process, CONVOKE_EVENT_SNAPSHOT_END));
    OK(convoke_cancel(process, ref));
    OK(convoke_group_send(process, "g", 1, "x", 1, &count));
    CHECK(count == 2);
    convoke_event_free(expect(process, CONVOKE_EVENT_MESSAGE));
    convoke_event_free(expect(all->far, CONVOKE_EVENT_MESSAGE));
    OK(convoke_group_leave(process, "g", 1, NULL, SOON, NULL));
    OK(convoke_group_delete(process, "g", 1, SOON, NULL));
}

static void everything(convoke_event *event, void *user_data) {
    struct all *all = (struct all *)user_data;
    convoke_options *options;
    convoke_node *node;
    convoke_process *mailbox;
    convoke_event *got;
    convoke_list *list;
    convoke_stats stats;
    convoke_pid pid, far = pid_of(all->far);
    convoke_ref ref;
    char buf[128];
    uint8_t secret[32];
    const void *data;
    const char *detail;
    size_t len;
    uint64_t value;
    bool alive;

    /* library */
    CHECK(convoke_version() != 0 && convoke_version_string()[0] == '0');
    OK(convoke_check_version(CONVOKE_VERSION));
    CHECK(convoke_status_name(CONVOKE_OK) && convoke_status_text(CONVOKE_OK));
    CHECK(!convoke_status_is_retryable(CONVOKE_OK) && convoke_live_handles() > 0);
    OK(convoke_log_set(CONVOKE_LOG_TRACE, note, NULL, NULL));
    STATUS(CONVOKE_E_INVALID, convoke_options_new(NULL));
    CHECK(convoke_last_error(buf, sizeof buf) > 0);
    /* options, another node */
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "detection_ms", "5000"));
    OK(convoke_options_set_bytes(options, "detection_ms", "5000", 4));
    OK(convoke_options_load(options, "/dev/null"));
    OK(convoke_secret_generate(secret, sizeof secret));
    OK(convoke_options_set_bytes(options, "secret", secret, sizeof secret));
    OK(convoke_node_open(options, &node));
    OK(convoke_node_reload(node, options));
    convoke_options_free(options);
    close_node(node);
    /* node */
    stats.struct_size = sizeof stats;
    OK(convoke_node_name(all->node, buf, sizeof buf, &len));
    OK(convoke_node_address(all->node, buf, sizeof buf, &len));
    OK(convoke_node_stats(all->node, &stats));
    OK(convoke_node_metrics(all->node, &list));
    convoke_list_free(list);
    OK(convoke_node_dump(all->node, &list));
    convoke_list_free(list);
    OK(convoke_node_peers(all->node, &list));
    CHECK(convoke_list_len(list) == 1);
    OK(convoke_list_name(list, 0, &data, &len));
    OK(convoke_list_bytes(list, 0, CONVOKE_FIELD_ADDRESS, &data, &len));
    OK(convoke_list_u64(list, 0, CONVOKE_FIELD_NODE, &value));
    convoke_list_free(list);
    /* a process, and what waits for the network on its behalf */
    mailbox = spawn(all->node, NULL);
    OK(convoke_node_address(all->peer, buf, sizeof buf, &len));
    OK(convoke_node_connect(mailbox, buf, SOON, NULL));
    OK(convoke_name_register(mailbox, "here", 4, NULL, NULL, SOON, NULL));
    OK(convoke_name_register(mailbox, "there", 5, &far, NULL, SOON, NULL));
    STATUS(CONVOKE_E_EXISTS, convoke_name_register(mailbox, "here", 4, NULL, NULL, SOON, NULL));
    OK(convoke_name_reregister(mailbox, "here", 4, &far, NULL, SOON, NULL));
    convoke_event_free(expect(mailbox, CONVOKE_EVENT_NAME_CONFLICT));
    OK(convoke_name_whereis(all->node, "here", 4, &pid));
    CHECK(same_pid(&pid, &far));
    snprintf(buf, sizeof buf, "resolver %d", all->calls);
    OK(convoke_resolver_add(all->node, buf, decide, NULL, NULL));
    OK(convoke_name_register(mailbox, "with it", 7, NULL, buf, SOON, NULL));
    OK(convoke_name_list(all->node, "h", 1, &list));
    {
        const convoke_pid *pids;
        OK(convoke_list_pid(list, 0, &pid));
        OK(convoke_list_pids(list, &pids, &len));
        CHECK(len == 1 && same_pid(&pid, &pids[0]));
    }
    convoke_list_free(list);
    locks(all, mailbox);
    groups(all, mailbox, &far);
    OK(convoke_process_is_alive(mailbox, &far, SOON, &alive, NULL));
    CHECK(alive);
    OK(convoke_send(mailbox, &far, "x", 1));
    OK(convoke_send_name(mailbox, "there", 5, "y", 1, &pid));
    got = expect(all->far, CONVOKE_EVENT_MESSAGE);
    convoke_event_free(convoke_event_retain(got));
    OK(convoke_event_payload(got, &data, &len));
    OK(convoke_event_bytes(got, CONVOKE_FIELD_PAYLOAD, &data, &len));
    OK(convoke_event_pid(got, CONVOKE_FIELD_PEER, &pid));
    OK(convoke_event_process(got, &pid));
    OK(convoke_event_peer(got, &pid));
    CHECK(convoke_event_get_reason(got) == 0 && convoke_event_ref(got) == 0 && convoke_event_value(got) == 0);
    convoke_event_free(got);
    convoke_event_free(expect(all->far, CONVOKE_EVENT_MESSAGE));
    OK(convoke_name_unregister(mailbox, "here", 4, SOON, NULL));
    OK(convoke_name_unregister(mailbox, "there", 5, SOON, &ref));
    got = expect(mailbox, CONVOKE_EVENT_DONE);
    OK(convoke_event_result(got, &detail));
    OK(convoke_event_u64(got, CONVOKE_FIELD_REF, &value));
    CHECK(value == ref);
    convoke_event_free(got);
    OK(convoke_name_monitor(mailbox, "x", 1, &ref));
    got = expect(mailbox, CONVOKE_EVENT_NAME_CHANGED);
    OK(convoke_event_name(got, &data, &len));
    convoke_event_free(got);
    OK(convoke_cancel(mailbox, ref));
    OK(convoke_node_sync(mailbox, SOON, NULL));
    OK(convoke_node_monitor(mailbox, &ref));
    convoke_event_free(expect(mailbox, CONVOKE_EVENT_NODE_UP));
    convoke_event_free(expect(mailbox, CONVOKE_EVENT_SNAPSHOT_END));
    OK(convoke_cancel(mailbox, ref));
    OK(convoke_process_monitor(mailbox, &all->pid, &ref));
    STATUS(CONVOKE_E_TIMEOUT, convoke_process_recv(mailbox, 0, &got));
    OK(convoke_pid_format(&all->pid, buf, sizeof buf, &len));
    OK(convoke_pid_parse(buf, len, &pid));
    OK(convoke_pid_node(all->node, &far, buf, sizeof buf, &len));
    CHECK(strcmp(buf, "peer") == 0);
    {
        convoke_process *victim = spawn(all->node, NULL);
        pid = pid_of(victim);
        OK(convoke_process_kill(mailbox, &pid, CONVOKE_REASON_KILLED));
        convoke_event_free(expect(victim, CONVOKE_EVENT_EXIT));
        convoke_process_free(victim);
    }
    STATUS(CONVOKE_E_NOT_FOUND, convoke_node_disconnect(mailbox, "nobody", SOON, NULL));
    OK(convoke_process_exit(mailbox, 0, NULL, 0));
    convoke_process_free(mailbox);
    another_queue(all);
    OK(convoke_log_set(CONVOKE_LOG_OFF, NULL, NULL, NULL));
    CHECK(convoke_event_get_kind(event) == CONVOKE_EVENT_MESSAGE);
    __atomic_fetch_add(&all->calls, 1, __ATOMIC_SEQ_CST);
}

static void free_all(convoke_event *event, void *user_data) {
    struct all *all = (struct all *)user_data;
    const void *data;
    size_t len;
    OK(convoke_node_close(all->node, SOON)); /* waits for the node, not for this callback */
    convoke_node_free(all->node);
    convoke_process_free(all->process);
    convoke_queue_free(all->queue);
    /* The event is there until the callback returns. */
    OK(convoke_event_payload(event, &data, &len));
    CHECK(len == 1 && memcmp(data, "z", 1) == 0);
    CHECK(all->freed == 0);
    __atomic_fetch_add(&all->calls, 1, __ATOMIC_SEQ_CST);
}

static void run(bool on_own_thread) {
    struct all all;
    memset(&all, 0, sizeof all);
    all.node = open_node("node", NULL);
    all.peer = open_peer("peer", all.node);
    OK(convoke_queue_new(all.node, &all.queue));
    all.process = spawn(all.node, all.queue);
    all.far = spawn(all.peer, NULL);
    all.pid = pid_of(all.process);
    OK(convoke_queue_set_handler(all.queue, everything, &all, NULL));
    if (on_own_thread) OK(convoke_queue_start_thread(all.queue));
    OK(convoke_send(all.process, &all.pid, "x", 1));
    if (!on_own_thread) OK(convoke_queue_dispatch(all.queue, 1, SOON, NULL));
    await(&all.calls, 1);
    OK(convoke_queue_set_handler(all.queue, free_all, &all, count_free));
    OK(convoke_send(all.process, &all.pid, "z", 1));
    if (!on_own_thread) OK(convoke_queue_dispatch(all.queue, 1, SOON, NULL));
    await(&all.freed, 1);
    CHECK(all.calls == 2);
    convoke_process_free(all.far);
    close_node(all.peer);
}

int main(void) {
    run(false);
    run(true);
    return done();
}
