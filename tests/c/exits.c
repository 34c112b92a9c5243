/* The library is used where a program or a thread ends: in destructors of thread-specific data, in atexit handlers, in
 * destructors of static objects. Each of them opens, uses and frees all there is, and frees what was left for it. */
#include "check.h"

static convoke_node *left_node;
static convoke_queue *left_queue;
static convoke_process *left_process;
static int thread_count;

static void use_all(const char *where) {
    convoke_node *node = open_node(NULL, NULL);
    convoke_queue *queue;
    convoke_process *process, *mailbox;
    convoke_event *event;
    convoke_list *list;
    convoke_pid pid, found;
    OK(convoke_queue_new(node, &queue));
    process = spawn(node, queue);
    mailbox = spawn(node, NULL);
    pid = pid_of(process);
    OK(convoke_name_register(mailbox, where, strlen(where), &pid, NULL, SOON, NULL));
    OK(convoke_name_whereis(node, where, strlen(where), &found));
    CHECK(same_pid(&pid, &found));
    OK(convoke_name_list(node, NULL, 0, &list));
    convoke_list_free(list);
    OK(convoke_lock_acquire(mailbox, where, strlen(where), NULL, 0, SOON, NULL, NULL));
    OK(convoke_lock_list(node, NULL, 0, &list));
    CHECK(convoke_list_len(list) == 1);
    convoke_list_free(list);
    OK(convoke_group_create(mailbox, where, strlen(where), SOON, NULL));
    OK(convoke_group_join(mailbox, where, strlen(where), &pid, SOON, NULL));
    OK(convoke_group_members(node, where, strlen(where), &list));
    CHECK(convoke_list_len(list) == 1);
    convoke_list_free(list);
    OK(convoke_group_closest(node, where, strlen(where), &found));
    CHECK(same_pid(&pid, &found));
    OK(convoke_send(mailbox, &pid, "x", 1));
    OK(convoke_queue_next(queue, SOON, &event));
    convoke_event_free(event);
    STATUS(CONVOKE_E_TIMEOUT, convoke_queue_next(queue, 1, &event));
    STATUS(CONVOKE_E_INVALID, convoke_queue_next(queue, -5, &event));
    CHECK(convoke_last_error(NULL, 0) > 0); /* the text of the thread works too */
    convoke_process_free(process);
    convoke_process_free(mailbox);
    convoke_queue_free(queue);
    close_node(node);
    printf("%s\n", where);
    fflush(stdout);
}

static void free_left(void) {
    convoke_process_free(left_process);
    convoke_queue_free(left_queue);
    convoke_node_free(left_node);
    CHECK(convoke_live_handles() == 0);
}

static void in_thread_data(void *where) {
    use_all((const char *)where);
}

static void in_atexit(void) {
    use_all("atexit");
}

#ifdef __cplusplus
namespace {
struct Static {
    ~Static() { use_all("static object"); }
} static_object;
} /* namespace */
#else
/* Runs after the atexit handlers, as static objects of C++ that were made before main do. */
__attribute__((destructor)) static void in_destructor(void) {
    use_all("static object");
}
#endif

__attribute__((destructor(101))) static void last(void) {
    free_left();
    puts("ok");
    fflush(stdout);
}

static void *thread(void *key) {
    static char where[] = "thread data";
    convoke_node *node;
    CHECK(pthread_setspecific(*(pthread_key_t *)key, where) == 0);
    if (__atomic_fetch_add(&thread_count, 1, __ATOMIC_SEQ_CST) == 0) {
        /* This thread has used the library before its end; for the other its end is the first time. */
        convoke_pid pid;
        node = open_node(NULL, NULL);
        STATUS(CONVOKE_E_NOT_FOUND, convoke_name_whereis(node, "x", 1, &pid));
        close_node(node);
    }
    return NULL;
}

int main(void) {
    pthread_key_t key;
    pthread_t threads[2];
    int i;
    CHECK(pthread_key_create(&key, in_thread_data) == 0);
    for (i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, thread, &key) == 0);
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(atexit(in_atexit) == 0);
    left_node = open_node(NULL, NULL);
    OK(convoke_queue_new(left_node, &left_queue));
    left_process = spawn(left_node, left_queue);
    return 0;
}
