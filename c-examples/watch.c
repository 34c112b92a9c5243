/* Prints everything that happens in the cluster: nodes that come and go, and the names given on the command line.
 * The events arrive in an ordinary epoll loop, next to whatever else the program waits for (here: signals). */
#include "common.h"
#include <sys/epoll.h>
#include <sys/signalfd.h>

static const char USAGE[] = "usage: watch [options] [NAME...]\n"
                            "Prints nodes that come and go, and who holds each NAME.\n\n";

static const char *reason_text(convoke_reason reason) {
    switch (reason) {
    case CONVOKE_REASON_NODE_CLOSED: return "closed in order";
    case CONVOKE_REASON_OS_PROCESS_DIED: return "its OS process died";
    case CONVOKE_REASON_NODE_UNREACHABLE: return "silent or unreachable";
    case CONVOKE_REASON_NAME_TAKEN: return "another node has its name";
    case CONVOKE_REASON_DISCONNECTED: return "disconnected on purpose";
    case CONVOKE_REASON_CONFLICT_LOST: return "lost a clash of names";
    default: return "see convoke.h";
    }
}

static void print_event(const convoke_node *node, const convoke_event *event) {
    const void *name = "", *address = "";
    size_t name_length = 0, address_length = 0;
    char holder_text[256];
    convoke_pid holder;
    convoke_reason reason = convoke_event_get_reason(event);
    convoke_event_kind kind = convoke_event_get_kind(event);
    if (kind == CONVOKE_EVENT_NAME_CHANGED || kind == CONVOKE_EVENT_NODE_UP || kind == CONVOKE_EVENT_NODE_DOWN) {
        check(convoke_event_name(event, &name, &name_length), "name");
    }
    switch (kind) {
    case CONVOKE_EVENT_NODE_UP:
        check(convoke_event_bytes(event, CONVOKE_FIELD_ADDRESS, &address, &address_length), "address");
        printf("node up: %.*s at %.*s\n", (int)name_length, (const char *)name, (int)address_length, (const char *)address);
        break;
    case CONVOKE_EVENT_NODE_DOWN:
        printf("node down: %.*s, reason %u (%s)\n", (int)name_length, (const char *)name, reason, reason_text(reason));
        break;
    case CONVOKE_EVENT_NAME_CHANGED:
        check(convoke_event_peer(event, &holder), "holder");
        printf("name: \"%.*s\" is held by %s\n", (int)name_length, (const char *)name,
               is_nobody(&holder) ? "nobody" : describe_pid(node, &holder, holder_text, sizeof holder_text));
        break;
    case CONVOKE_EVENT_SNAPSHOT_END:
        printf("that is all that was there; from here on changes\n");
        break;
    case CONVOKE_EVENT_MESSAGE:
        check(convoke_event_payload(event, &name, &name_length), "payload");
        printf("message of %zu bytes\n", name_length);
        break;
    case CONVOKE_EVENT_EXIT:
        printf("killed, reason %u (%s)\n", reason, reason_text(reason));
        stopping = 1;
        break;
    case CONVOKE_EVENT_NODE_CLOSED:
        printf("this node was closed, reason %u (%s)\n", reason, reason_text(reason));
        stopping = 1;
        break;
    default: printf("event of kind %u\n", kind); /* an open set: a later library may tell more */
    }
}

/* Takes what is there without waiting. The descriptor is readable exactly while the queue is not empty. */
static void drain(convoke_node *node, convoke_queue *queue) {
    convoke_event *event;
    convoke_status status;
    while ((status = convoke_queue_next(queue, 0, &event)) == CONVOKE_OK) {
        print_event(node, event);
        convoke_event_free(event);
    }
    if (status != CONVOKE_E_TIMEOUT && !stopping) check(status, "queue");
}

static void watch_fd(int epoll, int fd) {
    struct epoll_event interest = {.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest) != 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

int main(int argc, char **argv) {
    struct settings settings;
    convoke_node *node;
    convoke_queue *queue;
    convoke_process *self;
    convoke_ref monitor;
    sigset_t signals;
    int at, queue_fd, signal_fd, epoll;
    read_settings(argc, argv, USAGE, &settings);
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (signal_fd < 0 || epoll < 0) {
        perror("signalfd, epoll_create1");
        return 1;
    }

    node = open_node(&settings);
    check(convoke_queue_new(node, &queue), "queue");
    check(convoke_queue_fd(queue, &queue_fd), "the queue's descriptor"); /* only to be polled, never read or closed */
    check(convoke_process_spawn(node, queue, &self), "spawn");
    check(convoke_node_monitor(self, &monitor), "monitor of the nodes");
    for (at = optind; at < argc; at++) check(convoke_name_monitor(self, argv[at], strlen(argv[at]), &monitor), argv[at]);

    watch_fd(epoll, queue_fd);
    watch_fd(epoll, signal_fd);
    while (!stopping) {
        struct epoll_event ready;
        if (epoll_wait(epoll, &ready, 1, -1) != 1) continue;
        if (ready.data.fd == queue_fd) {
            drain(node, queue);
        } else {
            stopping = 1;
        }
    }
    printf("leaves\n");
    check(convoke_node_close(node, 5000), "close");
    convoke_process_free(self);
    convoke_queue_free(queue);
    convoke_node_free(node);
    close(signal_fd);
    close(epoll);
    return 0;
}
