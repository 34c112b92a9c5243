/* Runs a command under a cluster-wide lock, as flock(1) does under a file's lock: of any number of these, on any machines of
 * the cluster, one at a time runs its command. When the command ends, or this program dies in whatever way, the next one
 * that waits goes on at once; the one that has waited longest comes first. */
#include "common.h"
#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>

static const char USAGE[] =
    "usage: lock [options] RESOURCE -- COMMAND [ARGUMENT...]\n"
    "Runs COMMAND while this program holds the lock on RESOURCE, and ends with its exit status.\n"
    "--wait says for how long to wait for the lock: 0 is one try, -1 for ever. Not obtained: exit status 75.\n"
    "COMMAND finds a fencing token in CONVOKE_FENCE: larger than that of every earlier holder. What the lock guards should\n"
    "refuse a token that is smaller than one it has seen: a holder that was paused or cut off may not know yet that it\n"
    "holds the lock no longer. If this program comes to know that, it ends COMMAND with SIGTERM and itself with status 76.\n\n";

enum { NOT_OBTAINED = 75, LOST = 76 };

extern char **environ;

static convoke_queue *queue_of_child;

/* SIGCHLD wakes the loop below; the library leaves all signals to the program. */
static void on_child(int signal_number) {
    (void)signal_number;
    convoke_queue_wake(queue_of_child);
}

static pid_t start(char **command, uint64_t fence) {
    char text[32];
    pid_t child;
    int error;
    snprintf(text, sizeof text, "%llu", (unsigned long long)fence);
    setenv("CONVOKE_FENCE", text, 1);
    /* Not fork alone: the library's threads do not exist in a forked child. A new program is none of its business. */
    error = posix_spawnp(&child, command[0], NULL, NULL, command, environ);
    if (error) {
        fprintf(stderr, "%s: %s\n", command[0], strerror(error));
        exit(error == ENOENT ? 127 : 126);
    }
    return child;
}

/* Waits for the end of the command, and hears meanwhile what becomes of the lock. */
static int supervise(convoke_queue *queue, pid_t child) {
    int status, lost = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        convoke_event *event;
        convoke_status next;
        if (stopping) kill(child, SIGTERM);
        next = convoke_queue_next(queue, CONVOKE_WAIT_FOREVER, &event);
        if (next == CONVOKE_E_TIMEOUT) continue; /* woken: by the end of the child, or by a signal to stop */
        check(next, "queue");
        switch (convoke_event_get_kind(event)) {
        case CONVOKE_EVENT_LOCK_LOST:
            fprintf(stderr, "the lock is lost: %s\n", convoke_event_get_reason(event) == CONVOKE_REASON_SECOND_HOLDER
                                                          ? "another part of the cluster had given it away too"
                                                          : "most of the nodes that granted it cannot be reached");
            lost = 1;
            kill(child, SIGTERM);
            break;
        case CONVOKE_EVENT_EXIT:
        case CONVOKE_EVENT_NODE_CLOSED:
            fprintf(stderr, "the node was closed (reason %u)\n", convoke_event_get_reason(event));
            lost = 1;
            kill(child, SIGTERM);
            convoke_event_free(event);
            waitpid(child, &status, 0);
            return LOST;
        default: break;
        }
        convoke_event_free(event);
    }
    if (lost) return LOST;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
    struct settings settings;
    struct sigaction action;
    convoke_node *node;
    convoke_queue *queue;
    convoke_process *process;
    convoke_status status;
    const char *resource;
    uint64_t fence;
    int result;
    read_settings(argc, argv, USAGE, &settings);
    if (argc < optind + 3 || strcmp(argv[optind + 1], "--") != 0) {
        fprintf(stderr, "%s%s", USAGE, COMMON_USAGE);
        return 2;
    }
    resource = argv[optind];
    node = open_node(&settings);
    check(convoke_queue_new(node, &queue), "queue");
    check(convoke_process_spawn(node, queue, &process), "spawn");

    /* NULL, 0: the requester is this process, so nobody shares the lock; and all nodes of the cluster take part. */
    printf("waits for \"%s\"\n", resource);
    status = convoke_lock_acquire(process, resource, strlen(resource), NULL, 0, settings.wait_ms, &fence, NULL);
    if (status == CONVOKE_E_TIMEOUT) {
        printf("not obtained: \"%s\" is held by another\n", resource);
        result = NOT_OBTAINED;
    } else {
        check(status, "acquire");
        printf("holds \"%s\" with token %llu\n", resource, (unsigned long long)fence);
        stop_on_signals(queue);
        queue_of_child = queue;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_child;
        sigaction(SIGCHLD, &action, NULL);
        result = supervise(queue, start(argv + optind + 2, fence));
        /* The end of the process would give the lock back as well. E_NOT_OWNER cannot be: nobody else can release it. */
        status = convoke_lock_release(process, resource, strlen(resource), NULL, 0, 5000, NULL);
        if (status == CONVOKE_OK) printf("released \"%s\"\n", resource);
    }
    convoke_node_close(node, 5000);
    convoke_process_free(process);
    convoke_queue_free(queue);
    convoke_node_free(node);
    return result;
}
