/* What the rows of the README's table "the manual's functions" share. They go sentence by sentence through Erlang's manual
 * pages; each file is a program of several rows. Run with the name of a row; without, it prints the names of all of them.
 *
 * A row begins with two nodes; `one` and `two` are a process on each. */
#ifndef MANUAL_H
#define MANUAL_H

#include "../c/check.h"
#include <poll.h>

struct row {
    const char *name;
    void (*run)(void);
    int linked; /* whether the two nodes are when it begins */
};

static convoke_node *node_one, *node_two;
static convoke_process *one, *two;
static convoke_pid pid_one, pid_two;

static inline void connect_to(convoke_process *from, convoke_node *to) {
    char address[128];
    OK(convoke_node_address(to, address, sizeof address, NULL));
    OK(convoke_node_connect(from, address, SOON, NULL));
}

static inline void open_both(void) {
    node_one = open_node("one", NULL);
    node_two = open_node("two", NULL);
    one = spawn(node_one, NULL);
    two = spawn(node_two, NULL);
    pid_one = pid_of(one);
    pid_two = pid_of(two);
}

static inline void close_both(void) {
    convoke_process_free(one);
    convoke_process_free(two);
    close_node(node_one);
    close_node(node_two);
}

static inline int shows(const convoke_node *node, const char *name, const convoke_pid *pid) {
    convoke_pid shown;
    return convoke_name_whereis(node, name, strlen(name), &shown) == CONVOKE_OK && same_pid(&shown, pid);
}

static inline int shows_none(const convoke_node *node, const char *name) {
    convoke_pid shown;
    return convoke_name_whereis(node, name, strlen(name), &shown) == CONVOKE_E_NOT_FOUND;
}

static inline convoke_status reg(convoke_process *caller, const char *name, const convoke_pid *pid) {
    return convoke_name_register(caller, name, strlen(name), pid, NULL, SOON, NULL);
}

/* Waits until a process of the node is told that the name is bound to the pid (NULL: to nobody). */
static inline void wait_until_shown(convoke_node *node, const char *name, const convoke_pid *pid) {
    convoke_process *watcher = spawn(node, NULL);
    convoke_ref monitor;
    convoke_pid shown;
    int found = 0;
    OK(convoke_name_monitor(watcher, name, strlen(name), &monitor));
    while (!found) {
        convoke_event *event = expect(watcher, CONVOKE_EVENT_NAME_CHANGED);
        OK(convoke_event_peer(event, &shown));
        found = pid ? same_pid(&shown, pid) : is_none(&shown);
        convoke_event_free(event);
    }
    convoke_process_free(watcher);
}

/* The DONE event of an operation that this process has begun. */
static inline convoke_status result_of(convoke_process *process, convoke_ref op) {
    convoke_event *event = expect(process, CONVOKE_EVENT_DONE);
    convoke_status status = convoke_event_result(event, NULL);
    CHECK(convoke_event_ref(event) == op);
    convoke_event_free(event);
    return status;
}

static inline int run_row(const struct row *rows, size_t count, int argc, char **argv) {
    size_t at;
    for (at = 0; at < count; at++) {
        if (argc < 2) {
            puts(rows[at].name);
        } else if (strcmp(rows[at].name, argv[1]) == 0) {
            open_both();
            if (rows[at].linked) connect_to(two, node_one);
            rows[at].run();
            close_both();
            return done();
        }
    }
    return argc < 2 ? 0 : 2;
}

/* At the end of each file: ROWS({"name", function, linked}, ...) */
#define ROWS(...)                                                                    \
    int main(int argc, char **argv) {                                                \
        static const struct row rows[] = {__VA_ARGS__};                              \
        return run_row(rows, sizeof rows / sizeof *rows, argc, argv);                \
    }

#endif
