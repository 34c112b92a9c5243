/* NULL in every pointer argument of every function, and numbers out of range: a clean answer, nothing changed.
 * The runner sees to it that every function of the header is named here. */
#include "check.h"

#define INVALID(call) STATUS(CONVOKE_E_INVALID, call)

static int freed;

static void count_free(void *user_data) {
    (void)user_data;
    freed++;
}

static void ignore(convoke_event *event, void *user_data) {
    (void)event;
    (void)user_data;
}

static void note(int32_t level, const char *target, const char *text, size_t text_len, void *user_data) {
    (void)level;
    (void)target;
    (void)text;
    (void)text_len;
    (void)user_data;
}

static void library(void) {
    char buf[4];
    INVALID(convoke_log_set(-1, note, &freed, count_free));
    CHECK(freed == 1);
    INVALID(convoke_log_set(CONVOKE_LOG_TRACE + 1, note, &freed, count_free));
    CHECK(freed == 2);
    freed = 0;
    OK(convoke_log_set(CONVOKE_LOG_OFF, NULL, NULL, NULL));
    OK(convoke_log_set(CONVOKE_LOG_TRACE, NULL, NULL, NULL));
    INVALID(convoke_log_to_queue(NULL, CONVOKE_LOG_OFF));
    (void)convoke_version();
    (void)convoke_version_string();
    (void)convoke_check_version(0);
    (void)convoke_status_name(CONVOKE_OK);
    (void)convoke_status_text(CONVOKE_OK);
    (void)convoke_status_is_retryable(CONVOKE_OK);
    (void)convoke_last_error(NULL, 0);
    (void)convoke_last_error(NULL, 10);
    (void)convoke_last_error(buf, 0);
    (void)convoke_live_handles();
}

static void options(void) {
    uint8_t secret[33], zero[33] = {0};
    convoke_options *options;
    INVALID(convoke_options_new(NULL));
    OK(convoke_options_new(&options));
    INVALID(convoke_options_set(NULL, "name", "x"));
    INVALID(convoke_options_set(options, NULL, "x"));
    INVALID(convoke_options_set(options, "name", NULL));
    INVALID(convoke_options_set_bytes(NULL, "name", "x", 1));
    INVALID(convoke_options_set_bytes(options, NULL, "x", 1));
    INVALID(convoke_options_set_bytes(options, "name", NULL, 1));
    INVALID(convoke_options_load(NULL, "/dev/null"));
    INVALID(convoke_options_load(options, NULL));
    INVALID(convoke_node_open(options, NULL));
    INVALID(convoke_secret_generate(NULL, 32));
    memset(secret, 1, sizeof secret);
    STATUS(CONVOKE_E_BUFFER, convoke_secret_generate(secret, 31));
    CHECK(memcmp(secret, zero, 31) == 0);
    OK(convoke_secret_generate(secret, 32));
    CHECK(memcmp(secret, zero, 32) != 0 && secret[32] == 1);
    OK(convoke_options_set_bytes(options, "secret", secret, 32));
    STATUS(CONVOKE_E_OPTION, convoke_options_set_bytes(options, "secret", zero, 32));
    STATUS(CONVOKE_E_OPTION, convoke_options_set(options, "secret", "a password of 32 characters, ha!"));
    convoke_options_free(NULL);
    convoke_options_free(options);
}

static void node(convoke_node *node, convoke_process *process) {
    char buf[64];
    size_t len = 7;
    convoke_ref op = 7;
    convoke_list *list = (convoke_list *)&len;
    convoke_stats stats;
    stats.struct_size = sizeof stats;
    INVALID(convoke_node_close(NULL, 0));
    INVALID(convoke_node_close(node, -2));
    INVALID(convoke_node_reload(NULL, NULL));
    convoke_node_free(NULL);
    INVALID(convoke_node_name(NULL, buf, sizeof buf, &len));
    CHECK(len == 0 && buf[0] == 0);
    INVALID(convoke_node_name(node, NULL, 1, &len));
    OK(convoke_node_name(node, NULL, 0, NULL));
    INVALID(convoke_node_address(NULL, buf, sizeof buf, &len));
    INVALID(convoke_node_address(node, NULL, 1, &len));
    OK(convoke_node_address(node, NULL, 0, NULL));
    INVALID(convoke_node_connect(NULL, "127.0.0.1:1", 0, &op));
    CHECK(op == 0);
    op = 7;
    INVALID(convoke_node_connect(process, NULL, 0, &op));
    CHECK(op == 0);
    INVALID(convoke_node_connect(process, "127.0.0.1:1", -2, &op));
    INVALID(convoke_node_connect(process, "no address", 0, NULL));
    INVALID(convoke_node_disconnect(NULL, "x", 0, &op));
    INVALID(convoke_node_disconnect(process, NULL, 0, &op));
    INVALID(convoke_node_disconnect(process, "x", -2, &op));
    INVALID(convoke_node_peers(NULL, &list));
    CHECK(list == NULL);
    INVALID(convoke_node_peers(node, NULL));
    op = 7;
    INVALID(convoke_node_sync(NULL, 0, &op));
    CHECK(op == 0);
    INVALID(convoke_node_sync(process, -2, &op));
    op = 7;
    INVALID(convoke_node_monitor(NULL, &op));
    CHECK(op == 0);
    INVALID(convoke_node_monitor(process, NULL));
    INVALID(convoke_node_stats(NULL, &stats));
    INVALID(convoke_node_stats(node, NULL));
    list = (convoke_list *)&len;
    INVALID(convoke_node_metrics(NULL, &list));
    CHECK(list == NULL);
    INVALID(convoke_node_metrics(node, NULL));
    list = (convoke_list *)&len;
    INVALID(convoke_node_dump(NULL, &list));
    CHECK(list == NULL);
    INVALID(convoke_node_dump(node, NULL));
}

static void queue(convoke_node *node, convoke_queue *queue) {
    convoke_queue *out = queue;
    convoke_event *event = (convoke_event *)&out;
    uint32_t count = 7;
    int fd = 7;
    INVALID(convoke_queue_new(NULL, &out));
    CHECK(out == NULL);
    INVALID(convoke_queue_new(node, NULL));
    convoke_queue_free(NULL);
    INVALID(convoke_queue_fd(NULL, &fd));
    CHECK(fd == -1);
    INVALID(convoke_queue_fd(queue, NULL));
    INVALID(convoke_queue_next(NULL, 0, &event));
    CHECK(event == NULL);
    INVALID(convoke_queue_next(queue, 0, NULL));
    INVALID(convoke_queue_next(queue, -2, &event));
    INVALID(convoke_queue_set_handler(NULL, ignore, &freed, count_free));
    CHECK(freed == 1);
    OK(convoke_queue_set_handler(queue, NULL, NULL, NULL));
    INVALID(convoke_queue_dispatch(NULL, 1, 0, &count));
    CHECK(count == 0);
    INVALID(convoke_queue_dispatch(queue, 1, -2, &count));
    STATUS(CONVOKE_E_TIMEOUT, convoke_queue_dispatch(queue, 1, 0, NULL));
    INVALID(convoke_queue_start_thread(NULL));
    INVALID(convoke_queue_stop_thread(NULL, 0));
    INVALID(convoke_queue_stop_thread(queue, -2));
    INVALID(convoke_queue_wake(NULL));
    INVALID(convoke_log_to_queue(queue, -1));
    INVALID(convoke_log_to_queue(queue, CONVOKE_LOG_TRACE + 1));
}

static void event(const convoke_event *event) {
    convoke_pid pid = {7, 7};
    const void *data = "x";
    const char *detail = "x";
    size_t len = 7;
    uint64_t value = 7;
    CHECK(convoke_event_get_kind(NULL) == 0);
    CHECK(convoke_event_retain(NULL) == NULL);
    convoke_event_free(NULL);
    INVALID(convoke_event_process(NULL, &pid));
    CHECK(is_none(&pid));
    INVALID(convoke_event_process(event, NULL));
    pid.node = 7;
    INVALID(convoke_event_peer(NULL, &pid));
    CHECK(is_none(&pid));
    INVALID(convoke_event_peer(event, NULL));
    INVALID(convoke_event_name(NULL, &data, &len));
    CHECK(data == NULL && len == 0);
    INVALID(convoke_event_name(event, NULL, &len));
    INVALID(convoke_event_name(event, &data, NULL));
    INVALID(convoke_event_payload(NULL, &data, &len));
    INVALID(convoke_event_payload(event, NULL, &len));
    INVALID(convoke_event_payload(event, &data, NULL));
    CHECK(convoke_event_get_reason(NULL) == 0);
    CHECK(convoke_event_ref(NULL) == 0);
    INVALID(convoke_event_result(NULL, &detail));
    CHECK(detail == NULL);
    STATUS(CONVOKE_E_STATE, convoke_event_result(event, NULL));
    CHECK(convoke_event_value(NULL) == 0);
    INVALID(convoke_event_bytes(NULL, CONVOKE_FIELD_PAYLOAD, &data, &len));
    INVALID(convoke_event_bytes(event, CONVOKE_FIELD_PAYLOAD, NULL, &len));
    INVALID(convoke_event_bytes(event, CONVOKE_FIELD_PAYLOAD, &data, NULL));
    INVALID(convoke_event_pid(NULL, CONVOKE_FIELD_PEER, &pid));
    INVALID(convoke_event_pid(event, CONVOKE_FIELD_PEER, NULL));
    INVALID(convoke_event_u64(NULL, CONVOKE_FIELD_REF, &value));
    CHECK(value == 0);
    INVALID(convoke_event_u64(event, CONVOKE_FIELD_REF, NULL));
    /* Fields that are not there, of another type, or not at all. */
    STATUS(CONVOKE_E_NOT_FOUND, convoke_event_name(event, &data, &len));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_event_u64(event, CONVOKE_FIELD_PAYLOAD, &value));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_event_pid(event, CONVOKE_FIELD_PAYLOAD, &pid));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_event_bytes(event, CONVOKE_FIELD_PEER, &data, &len));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_event_u64(event, 0, &value));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_event_u64(event, UINT32_MAX, &value));
}

static void process(convoke_node *node, convoke_queue *queue, convoke_process *process) {
    convoke_process *out = process;
    convoke_pid pid = pid_of(process), none = {0, 0}, half = {1, 0};
    convoke_event *event = (convoke_event *)&out;
    convoke_ref ref = 7;
    bool alive = true;
    char buf[64];
    size_t len = 7;
    INVALID(convoke_process_spawn(NULL, queue, &out));
    CHECK(out == NULL);
    INVALID(convoke_process_spawn(node, queue, NULL));
    INVALID(convoke_process_exit(NULL, 0, NULL, 0));
    INVALID(convoke_process_exit(process, 0, NULL, 1));
    INVALID(convoke_process_exit(process, CONVOKE_REASON_OS_PROCESS_DIED, NULL, 0));
    convoke_process_free(NULL);
    INVALID(convoke_process_pid(NULL, &pid));
    CHECK(is_none(&pid));
    INVALID(convoke_process_pid(process, NULL));
    INVALID(convoke_process_recv(NULL, 0, &event));
    CHECK(event == NULL);
    INVALID(convoke_process_recv(process, 0, NULL));
    INVALID(convoke_process_recv(process, -2, &event));
    freed = 0;
    INVALID(convoke_process_set_handler(NULL, ignore, &freed, count_free));
    CHECK(freed == 1);
    pid = pid_of(process);
    INVALID(convoke_process_monitor(NULL, &pid, &ref));
    CHECK(ref == 0);
    ref = 7;
    INVALID(convoke_process_monitor(process, NULL, &ref));
    CHECK(ref == 0);
    INVALID(convoke_process_monitor(process, &none, &ref));
    INVALID(convoke_process_monitor(process, &half, &ref));
    INVALID(convoke_process_monitor(process, &pid, NULL));
    INVALID(convoke_process_kill(NULL, &pid, CONVOKE_REASON_KILLED));
    INVALID(convoke_process_kill(process, NULL, CONVOKE_REASON_KILLED));
    INVALID(convoke_process_kill(process, &none, CONVOKE_REASON_KILLED));
    INVALID(convoke_process_kill(process, &pid, CONVOKE_REASON_NODE_UNREACHABLE));
    INVALID(convoke_process_is_alive(NULL, &pid, 0, &alive, &ref));
    CHECK(!alive && ref == 0);
    INVALID(convoke_process_is_alive(process, NULL, 0, &alive, NULL));
    INVALID(convoke_process_is_alive(process, &pid, 0, NULL, NULL));
    INVALID(convoke_process_is_alive(process, &pid, -2, &alive, NULL));
    INVALID(convoke_cancel(NULL, 1));
    INVALID(convoke_cancel(process, 0));
    INVALID(convoke_pid_format(NULL, buf, sizeof buf, &len));
    CHECK(len == 0 && buf[0] == 0);
    INVALID(convoke_pid_format(&pid, NULL, 1, &len));
    OK(convoke_pid_format(&pid, NULL, 0, NULL));
    INVALID(convoke_pid_parse(NULL, 3, &pid));
    INVALID(convoke_pid_parse(NULL, 0, &pid));
    INVALID(convoke_pid_parse("x", 1, NULL));
    pid = pid_of(process);
    INVALID(convoke_pid_node(NULL, &pid, buf, sizeof buf, &len));
    INVALID(convoke_pid_node(node, NULL, buf, sizeof buf, &len));
    INVALID(convoke_pid_node(node, &none, buf, sizeof buf, &len));
    INVALID(convoke_pid_node(node, &pid, NULL, 1, &len));
}

static void name(convoke_node *node, convoke_process *process) {
    convoke_pid pid = pid_of(process), none = {0, 0};
    convoke_ref op = 7;
    convoke_list *list = (convoke_list *)&op;
    INVALID(convoke_name_register(NULL, "n", 1, NULL, NULL, 0, &op));
    CHECK(op == 0);
    INVALID(convoke_name_register(process, NULL, 1, NULL, NULL, 0, &op));
    INVALID(convoke_name_register(process, "n", 0, NULL, NULL, 0, &op));
    INVALID(convoke_name_register(process, "n", 1, &none, NULL, 0, &op));
    INVALID(convoke_name_register(process, "n", 1, NULL, "\xff", 0, &op));
    INVALID(convoke_name_register(process, "n", 1, NULL, NULL, -2, &op));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_name_register(process, "n", 1, NULL, "nobody", 0, &op));
    INVALID(convoke_name_reregister(NULL, "n", 1, NULL, NULL, 0, &op));
    INVALID(convoke_name_reregister(process, NULL, 1, NULL, NULL, 0, &op));
    INVALID(convoke_name_reregister(process, "n", 0, NULL, NULL, 0, &op));
    INVALID(convoke_name_reregister(process, "n", 1, NULL, NULL, INT64_MIN, &op));
    INVALID(convoke_name_unregister(NULL, "n", 1, 0, &op));
    INVALID(convoke_name_unregister(process, NULL, 1, 0, &op));
    INVALID(convoke_name_unregister(process, "n", 0, 0, &op));
    INVALID(convoke_name_unregister(process, "n", 1, -2, &op));
    INVALID(convoke_name_whereis(NULL, "n", 1, &pid));
    CHECK(is_none(&pid));
    INVALID(convoke_name_whereis(node, NULL, 1, &pid));
    INVALID(convoke_name_whereis(node, "n", 0, &pid));
    INVALID(convoke_name_whereis(node, "n", 1, NULL));
    pid.node = 7;
    STATUS(CONVOKE_E_NOT_FOUND, convoke_name_whereis(node, "n", 1, &pid));
    CHECK(is_none(&pid));
    INVALID(convoke_name_list(NULL, "n", 1, &list));
    CHECK(list == NULL);
    INVALID(convoke_name_list(node, NULL, 1, &list));
    INVALID(convoke_name_list(node, "n", 1, NULL));
    INVALID(convoke_name_monitor(NULL, "n", 1, &op));
    INVALID(convoke_name_monitor(process, NULL, 1, &op));
    INVALID(convoke_name_monitor(process, "n", 0, &op));
    INVALID(convoke_name_monitor(process, "n", 1, NULL));
}

static int32_t never(uint64_t fence, void *user_data) {
    (void)fence;
    (void)user_data;
    CHECK(!"the function is not called");
    return 0;
}

static void lock(convoke_node *node, convoke_process *process) {
    const char *none[] = {NULL}, *torn[] = {"a", "\xff"}, *good[] = {"a"};
    convoke_ref op = 7;
    uint64_t fence = 7;
    int32_t result = 7;
    convoke_list *list = (convoke_list *)&op;
    INVALID(convoke_lock_acquire(NULL, "r", 1, NULL, 0, 0, &fence, &op));
    CHECK(fence == 0 && op == 0);
    INVALID(convoke_lock_acquire(process, NULL, 1, NULL, 0, 0, &fence, NULL));
    INVALID(convoke_lock_acquire(process, "r", 0, NULL, 0, 0, &fence, NULL));
    INVALID(convoke_lock_acquire(process, "r", 1, NULL, 1, 0, &fence, NULL));
    INVALID(convoke_lock_acquire(process, "r", 1, "q", 0, 0, &fence, NULL));
    INVALID(convoke_lock_acquire(process, "r", 1, NULL, 0, -2, NULL, NULL));
    fence = op = 7;
    INVALID(convoke_lock_acquire_on(NULL, "r", 1, NULL, 0, NULL, 0, 0, 0, &fence, &op));
    CHECK(fence == 0 && op == 0);
    INVALID(convoke_lock_acquire_on(process, NULL, 1, NULL, 0, NULL, 0, 0, 0, &fence, NULL));
    INVALID(convoke_lock_acquire_on(process, "r", 1, NULL, 1, NULL, 0, 0, 0, &fence, NULL));
    INVALID(convoke_lock_acquire_on(process, "r", 1, NULL, 0, NULL, 1, 0, 0, &fence, NULL));
    INVALID(convoke_lock_acquire_on(process, "r", 1, NULL, 0, good, 0, 0, 0, &fence, NULL));
    INVALID(convoke_lock_acquire_on(process, "r", 1, NULL, 0, none, 1, 0, 0, &fence, NULL));
    INVALID(convoke_lock_acquire_on(process, "r", 1, NULL, 0, torn, 2, 0, 0, &fence, NULL));
    INVALID(convoke_lock_acquire_on(process, "r", 1, NULL, 0, NULL, 0, -2, 0, &fence, NULL));
    INVALID(convoke_lock_acquire_on(process, "r", 1, NULL, 0, NULL, 0, INT64_MIN, 0, &fence, NULL));
    INVALID(convoke_lock_acquire_on(process, "r", 1, NULL, 0, NULL, 0, 0, -2, &fence, NULL));
    STATUS(CONVOKE_E_TOO_BIG, convoke_lock_acquire_on(process, "r", 1, NULL, 0, good, SIZE_MAX, 0, 0, &fence, NULL));
    INVALID(convoke_lock_release(NULL, "r", 1, NULL, 0, 0, &op));
    INVALID(convoke_lock_release(process, NULL, 1, NULL, 0, 0, NULL));
    INVALID(convoke_lock_release(process, "r", 1, NULL, 1, 0, NULL));
    INVALID(convoke_lock_release(process, "r", 1, NULL, 0, -2, NULL));
    INVALID(convoke_lock_release_on(NULL, "r", 1, NULL, 0, NULL, 0, 0, &op));
    INVALID(convoke_lock_release_on(process, NULL, 1, NULL, 0, NULL, 0, 0, NULL));
    INVALID(convoke_lock_release_on(process, "r", 1, NULL, 1, NULL, 0, 0, NULL));
    INVALID(convoke_lock_release_on(process, "r", 1, NULL, 0, NULL, 1, 0, NULL));
    INVALID(convoke_lock_release_on(process, "r", 1, NULL, 0, good, 0, 0, NULL));
    INVALID(convoke_lock_release_on(process, "r", 1, NULL, 0, none, 1, 0, NULL));
    INVALID(convoke_lock_release_on(process, "r", 1, NULL, 0, NULL, 0, -2, NULL));
    fence = 7;
    INVALID(convoke_lock_check(NULL, "r", 1, NULL, 0, &fence));
    CHECK(fence == 0);
    INVALID(convoke_lock_check(process, NULL, 1, NULL, 0, &fence));
    INVALID(convoke_lock_check(process, "r", 1, NULL, 1, NULL));
    fence = 7;
    STATUS(CONVOKE_E_NOT_OWNER, convoke_lock_check(process, "r", 1, NULL, 0, &fence));
    CHECK(fence == 0);
    STATUS(CONVOKE_E_NOT_OWNER, convoke_lock_check(process, "r", 1, "q", 1, NULL));
    INVALID(convoke_lock_with(NULL, "r", 1, NULL, 0, NULL, 0, 0, 0, never, NULL, &result));
    CHECK(result == 0);
    INVALID(convoke_lock_with(process, NULL, 1, NULL, 0, NULL, 0, 0, 0, never, NULL, &result));
    INVALID(convoke_lock_with(process, "r", 1, NULL, 1, NULL, 0, 0, 0, never, NULL, NULL));
    INVALID(convoke_lock_with(process, "r", 1, NULL, 0, NULL, 1, 0, 0, never, NULL, NULL));
    INVALID(convoke_lock_with(process, "r", 1, NULL, 0, none, 1, 0, 0, never, NULL, NULL));
    INVALID(convoke_lock_with(process, "r", 1, NULL, 0, NULL, 0, -2, 0, never, NULL, NULL));
    INVALID(convoke_lock_with(process, "r", 1, NULL, 0, NULL, 0, 0, -2, never, NULL, NULL));
    INVALID(convoke_lock_with(process, "r", 1, NULL, 0, NULL, 0, 0, 0, NULL, NULL, &result));
    op = 7;
    INVALID(convoke_lock_watch(NULL, "r", 1, NULL, 0, &op));
    CHECK(op == 0);
    INVALID(convoke_lock_watch(process, NULL, 1, NULL, 0, &op));
    INVALID(convoke_lock_watch(process, "r", 1, NULL, 1, &op));
    INVALID(convoke_lock_watch(process, "r", 1, NULL, 0, NULL));
    INVALID(convoke_lock_list(NULL, "r", 1, &list));
    CHECK(list == NULL);
    INVALID(convoke_lock_list(node, NULL, 1, &list));
    INVALID(convoke_lock_list(node, "r", 0, &list));
    INVALID(convoke_lock_list(node, "r", 1, NULL));
    OK(convoke_lock_list(node, NULL, 0, &list));
    CHECK(convoke_list_len(list) == 0); /* nothing of all that has locked anything */
    convoke_list_free(list);
}

static void group(convoke_node *node, convoke_process *process) {
    convoke_pid pid = pid_of(process), none = {0, 0};
    convoke_ref op = 7;
    convoke_list *list = (convoke_list *)&op;
    uint32_t count = 7;
    INVALID(convoke_group_create(NULL, "g", 1, 0, &op));
    CHECK(op == 0);
    INVALID(convoke_group_create(process, NULL, 1, 0, &op));
    INVALID(convoke_group_create(process, "g", 0, 0, &op));
    INVALID(convoke_group_create(process, "g", 1, -2, NULL));
    INVALID(convoke_group_delete(NULL, "g", 1, 0, &op));
    INVALID(convoke_group_delete(process, NULL, 1, 0, &op));
    INVALID(convoke_group_delete(process, "g", 0, 0, &op));
    INVALID(convoke_group_delete(process, "g", 1, -2, NULL));
    op = 7;
    INVALID(convoke_group_join(NULL, "g", 1, &pid, 0, &op));
    CHECK(op == 0);
    INVALID(convoke_group_join(process, NULL, 1, &pid, 0, &op));
    INVALID(convoke_group_join(process, "g", 0, &pid, 0, &op));
    INVALID(convoke_group_join(process, "g", 1, &none, 0, NULL));
    INVALID(convoke_group_join(process, "g", 1, NULL, -2, NULL));
    INVALID(convoke_group_leave(NULL, "g", 1, &pid, 0, &op));
    INVALID(convoke_group_leave(process, NULL, 1, &pid, 0, &op));
    INVALID(convoke_group_leave(process, "g", 0, &pid, 0, &op));
    INVALID(convoke_group_leave(process, "g", 1, &none, 0, NULL));
    INVALID(convoke_group_leave(process, "g", 1, NULL, -2, NULL));
    INVALID(convoke_group_members(NULL, "g", 1, &list));
    CHECK(list == NULL);
    INVALID(convoke_group_members(node, NULL, 1, &list));
    INVALID(convoke_group_members(node, "g", 0, &list));
    INVALID(convoke_group_members(node, "g", 1, NULL));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_group_members(node, "g", 1, &list));
    CHECK(list == NULL);
    INVALID(convoke_group_local_members(NULL, "g", 1, &list));
    INVALID(convoke_group_local_members(node, NULL, 1, &list));
    INVALID(convoke_group_local_members(node, "g", 0, &list));
    INVALID(convoke_group_local_members(node, "g", 1, NULL));
    INVALID(convoke_group_closest(NULL, "g", 1, &pid));
    CHECK(is_none(&pid));
    INVALID(convoke_group_closest(node, NULL, 1, &pid));
    INVALID(convoke_group_closest(node, "g", 0, &pid));
    INVALID(convoke_group_closest(node, "g", 1, NULL));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_group_closest(node, "g", 1, &pid));
    INVALID(convoke_group_list(NULL, &list));
    INVALID(convoke_group_list(node, NULL));
    op = 7;
    INVALID(convoke_group_monitor(NULL, "g", 1, &op));
    CHECK(op == 0);
    INVALID(convoke_group_monitor(process, NULL, 1, &op));
    INVALID(convoke_group_monitor(process, "g", 0, &op));
    INVALID(convoke_group_monitor(process, "g", 1, NULL));
    INVALID(convoke_group_send(NULL, "g", 1, "x", 1, &count));
    CHECK(count == 0);
    INVALID(convoke_group_send(process, NULL, 1, "x", 1, &count));
    INVALID(convoke_group_send(process, "g", 0, "x", 1, &count));
    INVALID(convoke_group_send(process, "g", 1, NULL, 1, &count));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_group_send(process, "g", 1, NULL, 0, NULL));
    OK(convoke_group_list(node, &list));
    CHECK(convoke_list_len(list) == 0);
    convoke_list_free(list);
}

static int32_t decide(const convoke_event *clash, void *user_data) {
    (void)clash;
    (void)user_data;
    return CONVOKE_CLASH_NEITHER;
}

static void resolver(convoke_node *node) {
    int before = freed;
    INVALID(convoke_resolver_add(NULL, "r", decide, &freed, count_free));
    INVALID(convoke_resolver_add(node, NULL, decide, &freed, count_free));
    INVALID(convoke_resolver_add(node, "", decide, &freed, count_free));
    INVALID(convoke_resolver_add(node, "\xff", decide, &freed, count_free));
    INVALID(convoke_resolver_add(node, "r", NULL, &freed, count_free));
    CHECK(freed == before + 5);
    STATUS(CONVOKE_E_EXISTS, convoke_resolver_add(node, "notify-all", decide, NULL, NULL));
}

static void message(convoke_process *process) {
    convoke_pid pid = pid_of(process), none = {0, 0};
    INVALID(convoke_send(NULL, &pid, "x", 1));
    INVALID(convoke_send(process, NULL, "x", 1));
    INVALID(convoke_send(process, &none, "x", 1));
    INVALID(convoke_send(process, &pid, NULL, 1));
    STATUS(CONVOKE_E_TOO_BIG, convoke_send(process, &pid, "x", SIZE_MAX));
    INVALID(convoke_send_name(NULL, "n", 1, "x", 1, &pid));
    CHECK(is_none(&pid));
    INVALID(convoke_send_name(process, NULL, 1, "x", 1, &pid));
    INVALID(convoke_send_name(process, "n", 0, "x", 1, &pid));
    INVALID(convoke_send_name(process, "n", 1, NULL, 1, &pid));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_send_name(process, "n", 1, NULL, 0, NULL));
}

static void list(convoke_node *node, convoke_process *process) {
    convoke_list *list;
    const void *data = "x";
    const convoke_pid *pids = (const convoke_pid *)&list;
    convoke_pid pid = {7, 7};
    size_t len = 7;
    uint64_t value = 7;
    OK(convoke_name_register(process, "there", 5, NULL, NULL, SOON, NULL));
    OK(convoke_name_list(node, NULL, 0, &list));
    CHECK(convoke_list_len(list) == 1);
    CHECK(convoke_list_len(NULL) == 0);
    INVALID(convoke_list_name(NULL, 0, &data, &len));
    CHECK(data == NULL && len == 0);
    INVALID(convoke_list_name(list, 0, NULL, &len));
    INVALID(convoke_list_name(list, 0, &data, NULL));
    INVALID(convoke_list_name(list, 1, &data, &len));
    INVALID(convoke_list_name(list, SIZE_MAX, &data, &len));
    INVALID(convoke_list_pid(NULL, 0, &pid));
    CHECK(is_none(&pid));
    INVALID(convoke_list_pid(list, 0, NULL));
    INVALID(convoke_list_pid(list, 1, &pid));
    INVALID(convoke_list_u64(NULL, 0, CONVOKE_FIELD_NODE, &value));
    CHECK(value == 0);
    INVALID(convoke_list_u64(list, 0, CONVOKE_FIELD_NODE, NULL));
    INVALID(convoke_list_u64(list, 1, CONVOKE_FIELD_NODE, &value));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_list_u64(list, 0, CONVOKE_FIELD_NODE, &value));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_list_u64(list, 0, UINT32_MAX, &value));
    INVALID(convoke_list_bytes(NULL, 0, CONVOKE_FIELD_NAME, &data, &len));
    INVALID(convoke_list_bytes(list, 0, CONVOKE_FIELD_NAME, NULL, &len));
    INVALID(convoke_list_bytes(list, 0, CONVOKE_FIELD_NAME, &data, NULL));
    INVALID(convoke_list_bytes(list, 1, CONVOKE_FIELD_NAME, &data, &len));
    INVALID(convoke_list_pids(NULL, &pids, &len));
    CHECK(pids == NULL && len == 0);
    INVALID(convoke_list_pids(list, NULL, &len));
    INVALID(convoke_list_pids(list, &pids, NULL));
    convoke_list_free(NULL);
    convoke_list_free(list);
}

int main(void) {
    convoke_node *n = open_node(NULL, NULL);
    convoke_queue *q;
    convoke_process *p = spawn(n, NULL);
    convoke_pid pid = pid_of(p);
    convoke_event *e, *none;
    OK(convoke_queue_new(n, &q));
    OK(convoke_send(p, &pid, "hello", 5));
    e = expect(p, CONVOKE_EVENT_MESSAGE);
    library();
    options();
    node(n, p);
    queue(n, q);
    event(e);
    process(n, q, p);
    name(n, p);
    lock(n, p);
    group(n, p);
    resolver(n);
    message(p);
    list(n, p);
    /* Nothing of all that has changed anything. */
    STATUS(CONVOKE_E_TIMEOUT, convoke_process_recv(p, 0, &none));
    CHECK(none == NULL);
    convoke_event_free(e);
    convoke_process_free(p);
    convoke_queue_free(q);
    close_node(n);
    return done();
}
