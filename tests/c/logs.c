/* The log: what is told, to whom, on which thread; that user_data is given back once; and what a forked child has of it. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>

#define ALL CONVOKE_LOG_TRACE

struct logger {
    int records, opened, closed, linked, freed, wrong, inside, may_go;
    pthread_t thread;
    convoke_node *node;
};

static void count_free(void *user_data) {
    __atomic_fetch_add(&((struct logger *)user_data)->freed, 1, __ATOMIC_SEQ_CST);
}

static void note(int32_t level, const char *target, const char *text, size_t text_len, void *user_data) {
    struct logger *all = (struct logger *)user_data;
    sigset_t mask;
    CHECK(__atomic_fetch_add(&all->inside, 1, __ATOMIC_SEQ_CST) == 0);
    if (level < CONVOKE_LOG_ERROR || level > CONVOKE_LOG_TRACE || strlen(text) != text_len) all->wrong++;
    if (strncmp(target, "convoke.", 8) != 0) all->wrong++;
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGUSR1));
    all->thread = pthread_self();
    if (!strcmp(target, "convoke.node") && strstr(text, "\"logged\": the node is open")) {
        __atomic_fetch_add(&all->opened, 1, __ATOMIC_SEQ_CST);
    }
    if (!strcmp(target, "convoke.node") && strstr(text, "\"logged\": the node closes")) {
        __atomic_fetch_add(&all->closed, 1, __ATOMIC_SEQ_CST);
    }
    if (!strcmp(target, "convoke.link") && strstr(text, "\"peer\"") && strstr(text, " is up ")) {
        __atomic_fetch_add(&all->linked, 1, __ATOMIC_SEQ_CST);
    }
    __atomic_fetch_sub(&all->inside, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&all->records, 1, __ATOMIC_SEQ_CST);
}

static void told(void) {
    struct logger all;
    convoke_node *node, *peer;
    memset(&all, 0, sizeof all);
    OK(convoke_log_set(ALL, note, &all, count_free));
    node = open_node("logged", NULL);
    await(&all.opened, 1);
    peer = open_peer("peer", node);
    await(&all.linked, 1);
    close_node(peer);
    close_node(node);
    await(&all.closed, 1);
    CHECK(!pthread_equal(all.thread, pthread_self()) && all.wrong == 0 && all.freed == 0);
    OK(convoke_log_set(CONVOKE_LOG_OFF, NULL, NULL, NULL));
    await(&all.freed, 1);
    {
        int records = all.records;
        close_node(open_node("logged", NULL));
        CHECK(all.records == records && all.freed == 1);
    }
}

/* Only what matters as much as was asked for. */
static void quiet(int32_t level, const char *target, const char *text, size_t text_len, void *user_data) {
    (void)target;
    (void)text;
    (void)text_len;
    if (level > CONVOKE_LOG_WARN) __atomic_fetch_add(&((struct logger *)user_data)->wrong, 1, __ATOMIC_SEQ_CST);
}

static void given_back(void) {
    struct logger all, second;
    memset(&all, 0, sizeof all);
    memset(&second, 0, sizeof second);
    STATUS(CONVOKE_E_INVALID, convoke_log_set(-1, quiet, &all, count_free));
    STATUS(CONVOKE_E_INVALID, convoke_log_set(6, quiet, &all, count_free));
    await(&all.freed, 2);
    /* Nothing to keep it for. */
    OK(convoke_log_set(ALL, NULL, &all, count_free));
    OK(convoke_log_set(CONVOKE_LOG_OFF, quiet, &all, count_free));
    await(&all.freed, 4);
    OK(convoke_log_set(CONVOKE_LOG_WARN, quiet, &all, count_free));
    /* A failure leaves the former function alone. */
    STATUS(CONVOKE_E_INVALID, convoke_log_set(77, quiet, &second, count_free));
    await(&second.freed, 1);
    CHECK(all.freed == 4);
    close_node(open_node("quiet", NULL));
    OK(convoke_log_set(ALL, note, &second, count_free));
    await(&all.freed, 5);
    close_node(open_node("logged", NULL));
    await(&second.records, 2);
    OK(convoke_log_set(ALL, note, &second, NULL));
    await(&second.freed, 2);
    OK(convoke_log_set(ALL, NULL, NULL, NULL));
    CHECK(all.wrong == 0 && all.freed == 5 && second.freed == 2);
}

/* A function that removes itself, and the node whose record it gets; it may wait for that node. */
static void destroy(int32_t level, const char *target, const char *text, size_t text_len, void *user_data) {
    struct logger *all = (struct logger *)user_data;
    convoke_node *node = (convoke_node *)__atomic_load_n(&all->node, __ATOMIC_SEQ_CST);
    (void)level;
    (void)target;
    (void)text;
    (void)text_len;
    if (!node) return;
    CHECK(__atomic_fetch_add(&all->records, 1, __ATOMIC_SEQ_CST) == 0);
    OK(convoke_node_close(node, SOON));
    convoke_node_free(node);
    OK(convoke_log_set(CONVOKE_LOG_OFF, NULL, NULL, NULL));
    CHECK(all->freed == 0);
}

static void from_within(void) {
    struct logger all;
    convoke_node *node;
    convoke_process *process;
    memset(&all, 0, sizeof all);
    OK(convoke_log_set(ALL, destroy, &all, count_free));
    node = open_node(NULL, NULL);
    process = spawn(node, NULL);
    __atomic_store_n(&all.node, node, __ATOMIC_SEQ_CST);
    /* A record at least, whatever becomes of it. */
    (void)!convoke_name_register(process, "n", 1, NULL, NULL, SOON, NULL);
    await(&all.freed, 1);
    CHECK(all.records == 1);
    convoke_process_free(process);
}

static void stuck(int32_t level, const char *target, const char *text, size_t text_len, void *user_data) {
    struct logger *all = (struct logger *)user_data;
    (void)level;
    (void)text_len;
    __atomic_store_n(&all->inside, 1, __ATOMIC_SEQ_CST);
    await(&all->may_go, 1);
    if (!strcmp(target, "convoke.log") && strstr(text, " records were dropped")) {
        __atomic_store_n(&all->records, 1, __ATOMIC_SEQ_CST);
    }
}

/* A function that hangs holds up nobody, and what it misses is counted. */
static void too_slow(void) {
    struct logger all;
    convoke_node *node = open_node(NULL, NULL);
    convoke_process *process = spawn(node, NULL);
    convoke_list *list;
    const char *text;
    const void *data;
    size_t len;
    int i, dropped;
    memset(&all, 0, sizeof all);
    OK(convoke_log_set(ALL, stuck, &all, count_free));
    for (i = 0; i < 1500; i++) {
        OK(convoke_name_register(process, "n", 1, NULL, NULL, SOON, NULL)); /* two records each */
        OK(convoke_name_unregister(process, "n", 1, SOON, NULL));
    }
    await(&all.inside, 1);
    OK(convoke_node_metrics(node, &list));
    OK(convoke_list_bytes(list, 0, CONVOKE_FIELD_TEXT, &data, &len));
    text = strstr((const char *)data, "\nconvoke_log_records_dropped_total{");
    CHECK(text && sscanf(text, "\nconvoke_log_records_dropped_total{%*[^}]} %d", &dropped) == 1);
    CHECK(dropped >= 1500);
    convoke_list_free(list);
    __atomic_store_n(&all.may_go, 1, __ATOMIC_SEQ_CST);
    await(&all.records, 1);
    OK(convoke_log_set(CONVOKE_LOG_OFF, NULL, NULL, NULL));
    await(&all.freed, 1);
    convoke_process_free(process);
    close_node(node);
}

static void count(convoke_event *event, void *user_data) {
    (void)event;
    ++*(int *)user_data;
}

static void queued(void) {
    convoke_node *node = open_node("reader", NULL), *other;
    convoke_queue *queue, *errors;
    convoke_event *event;
    convoke_process *process;
    const void *data;
    size_t len;
    uint64_t level;
    int i, calls = 0, opened = 0;
    uint32_t handled;
    OK(convoke_queue_new(node, &queue));
    OK(convoke_queue_new(node, &errors));
    STATUS(CONVOKE_E_INVALID, convoke_log_to_queue(queue, 6));
    OK(convoke_log_to_queue(queue, CONVOKE_LOG_INFO));
    OK(convoke_log_to_queue(errors, CONVOKE_LOG_ERROR));
    other = open_node("other", NULL); /* of all nodes of the program */
    while (!opened) {
        convoke_pid pid;
        OK(convoke_queue_next(queue, SOON, &event));
        CHECK(convoke_event_get_kind(event) == CONVOKE_EVENT_LOG);
        OK(convoke_event_u64(event, CONVOKE_FIELD_LEVEL, &level));
        CHECK(level >= CONVOKE_LOG_ERROR && level <= CONVOKE_LOG_INFO && convoke_event_value(event) == 0);
        STATUS(CONVOKE_E_NOT_FOUND, convoke_event_process(event, &pid));
        OK(convoke_event_bytes(event, CONVOKE_FIELD_TARGET, &data, &len));
        CHECK(strlen((const char *)data) == len && strncmp((const char *)data, "convoke.", 8) == 0);
        opened = strcmp((const char *)data, "convoke.node") == 0;
        OK(convoke_event_bytes(event, CONVOKE_FIELD_TEXT, &data, &len));
        CHECK(strlen((const char *)data) == len);
        opened = opened && strstr((const char *)data, "\"other\": the node is open");
        convoke_event_free(event);
    }
    STATUS(CONVOKE_E_TIMEOUT, convoke_queue_next(errors, 0, &event));
    /* Too many are dropped and counted, and other events are not in their way. */
    OK(convoke_log_to_queue(queue, CONVOKE_LOG_TRACE));
    process = spawn(node, NULL);
    for (i = 0; i < 1500; i++) {
        OK(convoke_name_register(process, "n", 1, NULL, NULL, SOON, NULL));
        OK(convoke_name_unregister(process, "n", 1, SOON, NULL));
    }
    {
        convoke_process *shared = spawn(node, queue);
        convoke_pid pid = pid_of(shared);
        int logs = 0;
        OK(convoke_send(process, &pid, "x", 1));
        for (;;) {
            convoke_event_kind kind;
            OK(convoke_queue_next(queue, SOON, &event));
            kind = convoke_event_get_kind(event);
            logs += kind == CONVOKE_EVENT_LOG;
            convoke_event_free(event);
            if (kind == CONVOKE_EVENT_MESSAGE) break;
        }
        CHECK(logs == 1024);
        OK(convoke_name_register(process, "n", 1, NULL, NULL, SOON, NULL));
        OK(convoke_queue_next(queue, SOON, &event));
        CHECK(convoke_event_value(event) >= 1500);
        convoke_event_free(event);
        convoke_process_free(shared);
    }
    /* No more. Those that wait stay, and are handled like any event. */
    OK(convoke_log_to_queue(queue, CONVOKE_LOG_OFF));
    OK(convoke_queue_set_handler(queue, count, &calls, NULL));
    (void)convoke_queue_dispatch(queue, 0, 0, NULL);
    calls = 0;
    OK(convoke_name_unregister(process, "n", 1, SOON, NULL));
    OK(convoke_name_register(process, "n", 1, NULL, NULL, SOON, NULL));
    STATUS(CONVOKE_E_TIMEOUT, convoke_queue_dispatch(queue, 0, 0, &handled));
    CHECK(calls == 0);
    /* Freed while it listens; and of a node that is closed. */
    OK(convoke_log_to_queue(queue, ALL));
    convoke_queue_free(queue);
    OK(convoke_log_to_queue(errors, ALL));
    convoke_process_free(process);
    close_node(other);
    OK(convoke_node_close(node, SOON));
    STATUS(CONVOKE_E_CLOSED, convoke_log_to_queue(errors, ALL));
    for (i = 0; convoke_queue_next(errors, 0, &event) == CONVOKE_OK; i++) {
        opened = convoke_event_get_kind(event) == CONVOKE_EVENT_NODE_CLOSED;
        convoke_event_free(event);
    }
    CHECK(i > 1 && opened);
    convoke_queue_free(errors);
    convoke_node_free(node);
}

/* The child has no function and no queues of its parent, and may set its own. */
static void forked(void) {
    struct logger all, own;
    convoke_node *node;
    convoke_queue *queue;
    pid_t pid;
    int status, i;
    memset(&all, 0, sizeof all);
    memset(&own, 0, sizeof own);
    OK(convoke_log_set(ALL, note, &all, count_free));
    node = open_node("logged", NULL);
    await(&all.opened, 1);
    OK(convoke_queue_new(node, &queue));
    OK(convoke_log_to_queue(queue, ALL));
    for (i = 0; i < 20; i++) {
        pid = fork();
        if (pid == 0) {
            int records = all.records;
            alarm(60);
            STATUS(CONVOKE_E_FORKED, convoke_log_to_queue(queue, ALL));
            close_node(open_node("logged", NULL));
            CHECK(all.records == records);
            OK(convoke_log_set(ALL, note, &own, count_free));
            close_node(open_node("logged", NULL));
            await(&own.opened, 1);
            OK(convoke_log_set(ALL, NULL, NULL, NULL));
            await(&own.freed, 1);
            CHECK(all.freed == 0 && all.records == records);
            _exit(0);
        }
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    convoke_queue_free(queue);
    close_node(node);
    await(&all.closed, 1);
    OK(convoke_log_set(ALL, NULL, NULL, NULL));
    await(&all.freed, 1);
}

int main(void) {
    told();
    given_back();
    from_within();
    too_slow();
    queued();
    forked();
    return done();
}
