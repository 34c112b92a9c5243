/* Peers vanish in the middle of being written to, and SIGPIPE has its default disposition, which would end the program.
 * The library changes no disposition and no signal mask of the program. */
#include "check.h"

enum { SIGNALS = 64, ROUNDS = 4 };

static void remember(struct sigaction *all) {
    int number;
    for (number = 1; number < SIGNALS; number++) {
        memset(&all[number], 0, sizeof all[number]);
        (void)sigaction(number, NULL, &all[number]);
    }
}

/* Takes messages until it is killed. */
static void sink(int commands, int answers) {
    char address[128];
    convoke_node *node;
    convoke_process *process;
    convoke_event *event;
    hear_address(commands, address);
    node = open_node(NULL, address);
    process = spawn(node, NULL);
    OK(convoke_name_register(process, "sink", 4, NULL, NULL, SOON, NULL));
    say(answers, "x", 1);
    for (;;) {
        if (convoke_process_recv(process, -1, &event) == CONVOKE_OK) convoke_event_free(event);
    }
}

static void round_of(struct helper *helper, convoke_node *node, convoke_process *process, const char *data, size_t len) {
    convoke_ref monitor;
    convoke_event *event;
    convoke_pid sink = {0, 0};
    int is_sendable, sent = 0;
    helper_meets(helper, node);
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
                is_sendable = convoke_event_get_kind(event) == CONVOKE_EVENT_SENDABLE;
                convoke_event_free(event);
            } while (!is_sendable);
            continue;
        }
        if (sending != CONVOKE_OK) {
            CHECK(sending == CONVOKE_E_UNREACHABLE || sending == CONVOKE_E_NO_PROCESS);
            break;
        }
        if (++sent == 20) CHECK(kill(helper->pid, SIGKILL) == 0);
    }
    kill_helper(helper);
    OK(convoke_cancel(process, monitor));
    while (convoke_process_recv(process, 0, &event) == CONVOKE_OK) convoke_event_free(event);
}

int main(void) {
    static struct sigaction before[SIGNALS], after[SIGNALS];
    enum { LEN = 1 << 20 };
    struct helper helpers[ROUNDS];
    char *data = (char *)calloc(1, LEN);
    sigset_t mask_before, mask_after;
    convoke_node *node;
    convoke_process *process;
    int i;
    CHECK(data != NULL);
    for (i = 0; i < ROUNDS; i++) helpers[i] = start_helper(sink);
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    remember(before);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask_before) == 0);
    node = open_node(NULL, NULL);
    process = spawn(node, NULL);
    for (i = 0; i < ROUNDS; i++) round_of(&helpers[i], node, process, data, i % 2 ? 64 : LEN);
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
