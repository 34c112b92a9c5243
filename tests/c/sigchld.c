/* A storm of signals whose handler wakes a queue: no call fails or hangs because of it, and the handlers run on the
 * program's threads only. */
#include "check.h"

static convoke_queue *woken;
static int signals, foreign, storm_is_over;
static pthread_t main_thread;

static void on_signal(int number) {
    (void)number;
    signals++;
    if (!pthread_equal(pthread_self(), main_thread)) foreign++;
    if (convoke_queue_wake(woken) != CONVOKE_OK) foreign++;
    if (convoke_version() != CONVOKE_VERSION) foreign++;
}

int main(void) {
    struct sigaction action;
    convoke_node *node, *peer;
    convoke_process *process;
    convoke_event *event;
    convoke_pid pid;
    pid_t storm, parent = getpid();
    int i, status;
    main_thread = pthread_self();
    node = open_node("node", NULL);
    peer = open_peer("peer", node);
    OK(convoke_queue_new(node, &woken));
    process = spawn(node, NULL);
    pid = pid_of(process);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal; /* without SA_RESTART */
    CHECK(sigaction(SIGCHLD, &action, NULL) == 0);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    storm = fork();
    CHECK(storm >= 0);
    if (storm == 0) {
        signal(SIGCHLD, SIG_DFL);
        while (getppid() == parent) {
            pid_t grandchild = fork();
            if (grandchild == 0) _exit(0);
            waitpid(grandchild, NULL, 0);
            kill(parent, SIGCHLD);
            kill(parent, SIGUSR1);
            usleep(200);
        }
        _exit(0);
    }
    for (i = 0; i < 200 || signals < 500; i++) {
        OK(convoke_name_register(process, "name", 4, NULL, NULL, SOON, NULL));
        OK(convoke_name_unregister(process, "name", 4, SOON, NULL));
        OK(convoke_send(process, &pid, "x", 1));
        convoke_event_free(expect(process, CONVOKE_EVENT_MESSAGE));
        /* Ended early by the wake in the handler, or by time; nothing else. */
        STATUS(CONVOKE_E_TIMEOUT, convoke_queue_next(woken, 5, &event));
        /* Signals do not end a wait of its own accord. */
        CHECK(waitpid(storm, &status, WNOHANG) == 0); /* it lives */
        if (i % 16 == 0) STATUS(CONVOKE_E_TIMEOUT, convoke_process_recv(process, 20, &event));
    }
    CHECK(kill(storm, SIGKILL) == 0);
    while (waitpid(storm, &status, 0) < 0) {}
    storm_is_over = 1;
    CHECK(foreign == 0);
    convoke_process_free(process);
    convoke_queue_free(woken);
    close_node(peer);
    close_node(node);
    return done();
}
