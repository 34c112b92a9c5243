/* What the test programs share. They compile as C11 and as C++17. */
#ifndef CHECK_H
#define CHECK_H

#include "convoke.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Long enough for a loaded machine; no test waits for it to pass. */
#define SOON ((int64_t)20000)

/* Not exit(): a program that fails in a destructor or in a forked child is to end at once. */
#define CHECK(condition)                                                                    \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                 \
            _exit(1);                                                                       \
        }                                                                                   \
    } while (0)

#define STATUS(expected, call) check_status(__FILE__, __LINE__, #call, expected, call)
#define OK(call) STATUS(CONVOKE_OK, call)

static inline void check_status(const char *file, int line, const char *call, convoke_status expected,
                                convoke_status got) {
    if (got != expected) {
        char detail[1024];
        convoke_last_error(detail, sizeof detail);
        fprintf(stderr, "%s:%d: %s: %s \"%s\", not %s\n", file, line, call, convoke_status_name(got), detail,
                convoke_status_name(expected));
        _exit(1);
    }
}

/* The cluster of this program, of its children and of what it executes. Ports are given again: what one of its nodes goes on
 * dialling may be a node of another program by now, and the two would be one cluster. */
static inline const char *test_cluster(void) { return getenv("CONVOKE_TEST_CLUSTER"); }

__attribute__((constructor)) static void name_cluster(void) {
    char name[32];
    snprintf(name, sizeof name, "of %d", (int)getpid());
    setenv("CONVOKE_TEST_CLUSTER", name, 0);
}

/* A node on loopback; NULL for defaults. No busy machine, and no valgrind, is to make one look dead. */
static inline convoke_node *open_node(const char *name, const char *seeds) {
    convoke_options *options;
    convoke_node *node;
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "detection_ms", "30000"));
    OK(convoke_options_set(options, "cluster", test_cluster()));
    if (name) OK(convoke_options_set(options, "name", name));
    if (seeds) OK(convoke_options_set(options, "seeds", seeds));
    OK(convoke_node_open(options, &node));
    convoke_options_free(options);
    return node;
}

/* A node that has a link to `to`. */
static inline convoke_node *open_peer(const char *name, const convoke_node *to) {
    char address[128];
    convoke_process *process;
    convoke_node *node;
    OK(convoke_node_address(to, address, sizeof address, NULL));
    node = open_node(name, address);
    OK(convoke_process_spawn(node, NULL, &process));
    OK(convoke_node_connect(process, address, SOON, NULL));
    convoke_process_free(process);
    return node;
}

/* A child that is to end well has ended well. */
static inline void check_child(pid_t pid) {
    int status;
    CHECK(pid > 0);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline void close_node(convoke_node *node) {
    OK(convoke_node_close(node, SOON));
    convoke_node_free(node);
}

static inline convoke_process *spawn(convoke_node *node, convoke_queue *queue) {
    convoke_process *process;
    OK(convoke_process_spawn(node, queue, &process));
    return process;
}

static inline convoke_pid pid_of(const convoke_process *process) {
    convoke_pid pid;
    OK(convoke_process_pid(process, &pid));
    return pid;
}

static inline int same_pid(const convoke_pid *a, const convoke_pid *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static inline int is_none(const convoke_pid *pid) {
    return pid->node == 0 && pid->serial == 0;
}

/* The next event of the mailbox, which must be of this kind. */
static inline convoke_event *expect(convoke_process *process, convoke_event_kind kind) {
    convoke_event *event;
    OK(convoke_process_recv(process, SOON, &event));
    if (convoke_event_get_kind(event) != kind) {
        fprintf(stderr, "an event of kind %u, not %u\n", convoke_event_get_kind(event), kind);
        _exit(1);
    }
    return event;
}

static inline convoke_status connect_to_address(convoke_node *from, const char *address) {
    convoke_process *process = spawn(from, NULL);
    convoke_status status = convoke_node_connect(process, address, SOON, NULL);
    convoke_process_free(process);
    return status;
}

/* The text of the last error has this in it. */
static inline void says(const char *word) {
    char detail[1024];
    convoke_last_error(detail, sizeof detail);
    if (!strstr(detail, word)) {
        fprintf(stderr, "\"%s\" does not say \"%s\"\n", detail, word);
        _exit(1);
    }
}

/* From now on the process is told of nodes. There is one other now. */
static inline void watch_the_node(convoke_process *process) {
    convoke_ref ref;
    OK(convoke_node_monitor(process, &ref));
    convoke_event_free(expect(process, CONVOKE_EVENT_NODE_UP));
    convoke_event_free(expect(process, CONVOKE_EVENT_SNAPSHOT_END));
}

/* Waits until somebody else has made *flag at least `value`. */
static inline void await(const int *flag, int value) {
    int rounds = 0;
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) < value) {
        usleep(500);
        CHECK(rounds++ < 40000);
    }
}

static inline int count_threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;
    CHECK(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL) count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* A process beside this one, for nodes that are to die with it. Its death is seen at once, as the end of a pipe of which it
 * alone has the other end; and it dies with this one. */
struct helper {
    pid_t pid;
    int commands, answers; /* pipes */
};

static inline void say(int pipe_end, const void *data, size_t len) {
    CHECK(write(pipe_end, data, len) == (ssize_t)len);
}

/* Exactly so many bytes; 0 at the end, which is the death of the other one. */
static inline int hear(int pipe_end, void *data, size_t len) {
    char *bytes = (char *)data;
    while (len > 0) {
        ssize_t got = read(pipe_end, bytes, len);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        bytes += got;
        len -= (size_t)got;
    }
    return 1;
}

/* Forks before this program has a second thread: the child runs what may allocate, and the allocators of the sanitizers are
 * in no defined state in a child that was forked while another thread was in one of them. Helpers are started before the
 * first node, therefore, and told later what to do. */
static inline struct helper start_helper(void (*run)(int commands, int answers)) {
    struct helper helper;
    int commands[2], answers[2];
    pid_t parent = getpid();
    CHECK(count_threads() == 1);
    CHECK(pipe(commands) == 0 && pipe(answers) == 0);
    helper.pid = fork();
    CHECK(helper.pid >= 0);
    if (helper.pid == 0) {
        CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent);
        close(commands[1]);
        close(answers[0]);
        run(commands[0], answers[1]);
        _exit(0);
    }
    close(commands[0]);
    close(answers[1]);
    helper.commands = commands[1];
    helper.answers = answers[0];
    return helper;
}

/* Tells a helper the address of a node, and waits until it has done what it does with it. */
static inline void helper_meets(const struct helper *helper, const convoke_node *node) {
    char address[128] = "", answer;
    OK(convoke_node_address(node, address, sizeof address, NULL));
    say(helper->commands, address, sizeof address);
    CHECK(hear(helper->answers, &answer, 1)); /* or it has died */
}

/* The side of the helper. */
static inline void hear_address(int commands, char address[128]) {
    CHECK(hear(commands, address, 128));
}

/* SIGKILL, and the death is reaped. */
static inline void kill_helper(struct helper *helper) {
    int status;
    CHECK(kill(helper->pid, SIGKILL) == 0 && waitpid(helper->pid, &status, 0) == helper->pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(helper->commands);
    close(helper->answers);
}

/* The end of a program: nothing is left. */
static inline int done(void) {
    size_t left = convoke_live_handles();
    if (left != 0) {
        fprintf(stderr, "%zu handles are left\n", left);
        return 1;
    }
    puts("ok");
    return 0;
}

#endif
