/* Peers vanish in the middle of being written to, and SIGPIPE has its default disposition, which would end the program.
 * The library changes no disposition and no signal mask of the program. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>

enum { SIGNALS = 64 };

static void remember(struct sigaction *all) {
    int number;
    for (number = 1; number < SIGNALS; number++) {
        memset(&all[number], 0, sizeof all[number]);
        (void)sigaction(number, NULL, &all[number]);
    }
}

/* Takes messages until it is killed. */
static void child(const char *address) {
    convoke_node *node = open_node(NULL, address);
    convoke_process *process = spawn(node, NULL);
    convoke_event *event;
    OK(convoke_name_register(process, "sink", 4, NULL, NULL, SOON, NULL));
    for (;;) {
        if (convoke_process_recv(process, -1, &event) == CONVOKE_OK) convoke_event_free(event);
    }
}

static void round_of(convoke_process *process, const char *address, const char *data, size_t len) {
    convoke_ref monitor;
    convoke_event *event;
    convoke_pid sink = {0, 0};
    pid_t pid = fork();
    int status, sent = 0;
    CHECK(pid >= 0);
    if (pid == 0) child(address);
    OK(convoke_name_monitor(process, "sink", 4, &monitor));
    while (is_none(&sink)) {
        event = expect(process, CONVOKE_EVENT_NAME_CHANGED);
        OK(convoke_event_peer(event, &sink));
        convoke_event_free(event);
    }
    for (;;) {
        convoke_status sending = convoke_send(process, &sink, data, len);
        if (sending == CONVOKE_E_FULL) {
            do {
                OK(convoke_process_recv(process, SOON, &event));
                status = convoke_event_get_kind(event) == CONVOKE_EVENT_SENDABLE;
                convoke_event_free(event);
            } while (!status);
            continue;
        }
        if (sending != CONVOKE_OK) {
            CHECK(sending == CONVOKE_E_UNREACHABLE || sending == CONVOKE_E_NO_PROCESS);
            break;
        }
        if (++sent == 20) CHECK(kill(pid, SIGKILL) == 0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    OK(convoke_cancel(process, monitor));
    while (convoke_process_recv(process, 0, &event) == CONVOKE_OK) convoke_event_free(event);
}

int main(void) {
    static struct sigaction before[SIGNALS], after[SIGNALS];
    enum { LEN = 1 << 20 };
    char *data = (char *)calloc(1, LEN), address[128];
    sigset_t mask_before, mask_after;
    convoke_node *node;
    convoke_process *process;
    int i;
    CHECK(data != NULL);
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    remember(before);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask_before) == 0);
    node = open_node(NULL, NULL);
    process = spawn(node, NULL);
    OK(convoke_node_address(node, address, sizeof address, NULL));
    for (i = 0; i < 4; i++) {
        round_of(process, address, data, i % 2 ? 64 : LEN);
    }
    remember(after);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask_after) == 0);
    for (i = 1; i < SIGNALS; i++) {
        CHECK(before[i].sa_handler == after[i].sa_handler && before[i].sa_flags == after[i].sa_flags);
        CHECK(sigismember(&mask_before, i) == sigismember(&mask_after, i));
    }
    convoke_process_free(process);
    close_node(node);
    free(data);
    return done();
}
