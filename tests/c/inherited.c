/* What a forked child has of its parent's descriptors: those of the program, and none of the library's. So links end and ports are
 * free when the parent is gone, whoever its children are. */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { ADDRESS = 64, FDS = 4096, HOST = 12 };

/* Nothing here is noticed by silence: what a closed connection does not tell is not told before the test is over. */
static convoke_node *open_at(const char *name, const char *listen) {
    convoke_options *options;
    convoke_node *node;
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "name", name));
    OK(convoke_options_set(options, "cluster", test_cluster()));
    OK(convoke_options_set(options, "listen", listen));
    OK(convoke_options_set(options, "detection_ms", "3600000"));
    OK(convoke_node_open(options, &node));
    convoke_options_free(options);
    return node;
}

/* Until the other end of the pipe is closed. Async-signal-safe. */
static void wait_and_exit(int hold) {
    char byte;
    while (read(hold, &byte, 1) < 0 && errno == EINTR) continue;
    _exit(0);
}

/* A program with a node, which has forked a child that lives on. */
static void program(int out, int hold) {
    char address[ADDRESS] = "";
    convoke_node *node = open_at("program", "127.0.0.1:0");
    OK(convoke_node_address(node, address, sizeof address, NULL));
    CHECK(write(out, address, sizeof address) == (ssize_t)sizeof address);
    if (fork() == 0) {
        CHECK(write(out, "c", 1) == 1);
        wait_and_exit(hold);
    }
    for (;;) pause();
}

static void await_node_down(convoke_process *process, convoke_reason reason) {
    convoke_event *event = expect(process, CONVOKE_EVENT_NODE_DOWN);
    CHECK(convoke_event_get_reason(event) == reason);
    convoke_event_free(event);
}

/* The program is killed: its peers hear of it at once, and it can be started again at its port while its child lives. */
static void a_killed_parent(void) {
    int hold[2], out[2], status;
    char address[ADDRESS], byte;
    convoke_node *watcher, *again;
    convoke_process *process;
    pid_t parent;
    CHECK(pipe(hold) == 0 && pipe(out) == 0);
    parent = fork();
    CHECK(parent >= 0);
    if (parent == 0) {
        close(hold[1]);
        close(out[0]);
        program(out[1], hold[0]);
    }
    close(out[1]);
    close(hold[0]);
    CHECK(hear(out[0], address, sizeof address)); /* or it has died */
    CHECK(hear(out[0], &byte, 1)); /* or it has died */
    watcher = open_at("watcher", "127.0.0.1:0");
    process = spawn(watcher, NULL);
    OK(convoke_node_connect(process, address, SOON, NULL));
    watch_the_node(process);
    CHECK(kill(parent, SIGKILL) == 0);
    CHECK(waitpid(parent, &status, 0) == parent);
    await_node_down(process, CONVOKE_REASON_OS_PROCESS_DIED);
    again = open_at("program", address);
    close_node(again);
    close(hold[1]);
    close(out[0]);
    convoke_process_free(process);
    close_node(watcher);
}

/* As above, with a child that was forked while there was a link. */
static void linked_parent(int out, int go, int hold) {
    char address[ADDRESS];
    convoke_node *node = open_at("linked", "127.0.0.1:0");
    convoke_process *process = spawn(node, NULL);
    CHECK(hear(go, address, sizeof address)); /* or it has died */
    OK(convoke_node_connect(process, address, SOON, NULL));
    if (fork() == 0) {
        CHECK(write(out, "c", 1) == 1);
        wait_and_exit(hold);
    }
    for (;;) pause();
}

static void a_killed_peer(void) {
    int hold[2], out[2], go[2], status;
    char address[ADDRESS] = "", byte;
    convoke_node *watcher;
    convoke_process *process;
    pid_t parent;
    CHECK(pipe(hold) == 0 && pipe(out) == 0 && pipe(go) == 0);
    parent = fork();
    CHECK(parent >= 0);
    if (parent == 0) {
        close(hold[1]);
        close(out[0]);
        linked_parent(out[1], go[0], hold[0]);
    }
    close(out[1]);
    close(hold[0]);
    watcher = open_at("watcher", "127.0.0.1:0");
    process = spawn(watcher, NULL);
    OK(convoke_node_address(watcher, address, sizeof address, NULL));
    CHECK(write(go[1], address, sizeof address) == (ssize_t)sizeof address);
    CHECK(hear(out[0], &byte, 1)); /* or it has died */
    watch_the_node(process);
    CHECK(kill(parent, SIGKILL) == 0);
    CHECK(waitpid(parent, &status, 0) == parent);
    await_node_down(process, CONVOKE_REASON_OS_PROCESS_DIED);
    close(hold[1]);
    close(out[0]);
    close(go[0]);
    close(go[1]);
    convoke_process_free(process);
    close_node(watcher);
}

/* A child in which no handler has run has all descriptors. Calls say that it is forked, as in any other, and none hangs; and a node that
 * is closed in order frees its port all the same. */
static void without_handlers(void) {
    int hold[2];
    char address[ADDRESS];
    convoke_node *node = open_at("early", "127.0.0.1:0");
    convoke_process *process = spawn(node, NULL);
    convoke_queue *queue;
    convoke_event *event;
    convoke_pid pid;
    pid_t child;
    OK(convoke_queue_new(node, &queue));
    OK(convoke_node_address(node, address, sizeof address, NULL));
    child = _Fork();
    if (child == 0) {
        alarm(60); /* a hang is a failure */
        STATUS(CONVOKE_E_FORKED, convoke_name_register(process, "n", 1, NULL, NULL, -1, NULL));
        STATUS(CONVOKE_E_FORKED, convoke_name_whereis(node, "n", 1, &pid));
        STATUS(CONVOKE_E_FORKED, convoke_process_recv(process, -1, &event));
        STATUS(CONVOKE_E_FORKED, convoke_queue_next(queue, -1, &event));
        STATUS(CONVOKE_E_FORKED, convoke_queue_wake(queue));
        STATUS(CONVOKE_E_FORKED, convoke_lock_acquire(process, "r", 1, NULL, 0, -1, NULL, NULL));
        STATUS(CONVOKE_E_FORKED, convoke_node_close(node, -1));
        convoke_process_free(process);
        convoke_queue_free(queue);
        convoke_node_free(node);
        _exit(0);
    }
    check_child(child);
    OK(convoke_name_register(process, "n", 1, NULL, NULL, SOON, NULL));
    CHECK(pipe(hold) == 0);
    child = _Fork();
    if (child == 0) {
        close(hold[1]);
        wait_and_exit(hold[0]);
    }
    convoke_process_free(process);
    convoke_queue_free(queue);
    close_node(node);
    node = open_at("early", address);
    close_node(node);
    close(hold[0]);
    close(hold[1]);
    check_child(child);
}

/* ---- which descriptors are there */

static struct stat host[FDS];
static bool is_host[FDS];

static void note_host(int fd) {
    CHECK(fd >= 0 && fd < FDS && fstat(fd, &host[fd]) == 0);
    is_host[fd] = true;
}

/* Some of each kind that the library has too. */
static void open_some(void) {
    int at, pair[2];
    for (at = 0; at < HOST; at++) {
        note_host(eventfd(0, EFD_CLOEXEC));
        note_host(epoll_create1(EPOLL_CLOEXEC));
        note_host(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        note_host(pair[0]);
        note_host(pair[1]);
    }
}

/* Calls f with every descriptor. */
static void each_descriptor(void (*f)(int)) {
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(dir)) continue;
        f(atoi(entry->d_name));
    }
    closedir(dir);
}

static int of_library;

static void count_library(int fd) {
    CHECK(fd < FDS);
    of_library += !is_host[fd];
}

static void check_descriptors(int expected) {
    int fd;
    for (fd = 0; fd < FDS; fd++) {
        struct stat now;
        if (!is_host[fd]) continue;
        CHECK(fstat(fd, &now) == 0);
        CHECK(now.st_dev == host[fd].st_dev && now.st_ino == host[fd].st_ino && now.st_mode == host[fd].st_mode);
    }
    of_library = 0;
    each_descriptor(count_library);
    if (expected == 0) CHECK(of_library == 0);
    else
        CHECK(of_library >= expected);
}

static void exactly_those_of_the_library_are_closed(void) {
    char *const arguments[] = {(char *)"true", NULL};
    convoke_node *first, *node, *peer;
    convoke_process *process;
    convoke_queue *queue;
    convoke_pid pid;
    int fd;
    pid_t child;
    each_descriptor(note_host);
    open_some();
    first = open_at("first", "127.0.0.1:0");
    peer = open_peer("other", first);
    close_node(first);
    close_node(peer);
    open_some(); /* where theirs were */
    node = open_at("node", "127.0.0.1:0");
    peer = open_peer("peer", node);
    process = spawn(node, NULL);
    OK(convoke_queue_new(node, &queue));
    OK(convoke_queue_fd(queue, &fd));
    /* What shares the memory for a moment, or replaces it, is no fork. */
    CHECK(posix_spawnp(&child, "true", NULL, NULL, arguments, NULL) == 0);
    check_child(child);
    child = vfork();
    if (child == 0) _exit(0);
    check_child(child);
    check_descriptors(8);
    child = fork();
    if (child == 0) {
        alarm(60);
        check_descriptors(0);
        /* A child is a parent like any other. */
        node = open_at("of the child", "127.0.0.1:0");
        process = spawn(node, NULL);
        OK(convoke_name_register(process, "n", 1, NULL, NULL, SOON, NULL));
        child = fork();
        if (child == 0) {
            check_descriptors(0);
            STATUS(CONVOKE_E_FORKED, convoke_node_close(node, -1));
            _exit(0);
        }
        check_child(child);
        check_descriptors(4);
        convoke_process_free(process);
        close_node(node);
        check_descriptors(0);
        _exit(0);
    }
    check_child(child);
    check_descriptors(8);
    OK(convoke_name_register(process, "n", 1, NULL, NULL, SOON, NULL));
    OK(convoke_name_whereis(peer, "n", 1, &pid));
    convoke_process_free(process);
    convoke_queue_free(queue);
    close_node(node);
    close_node(peer);
    check_descriptors(0);
}

int main(void) {
    /* First of all those that fork before this process has threads. */
    a_killed_parent();
    a_killed_peer();
    without_handlers();
    exactly_those_of_the_library_are_closed();
    return done();
}
