/* The library is loaded, used and unloaded again and again, by a program that is not linked with it. */
#include "convoke.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *library;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, dlerror());
    exit(1);
}

static void *symbol(const char *name) {
    void *found = dlsym(library, name);
    if (!found) fail(name);
    return found;
}

/* The type of a function of the header is that of its declaration. */
#define FUNCTION(name)                    \
    __typeof__(&name) name##_;            \
    do {                                  \
        void *found = symbol(#name);      \
        memcpy(&name##_, &found, sizeof found); \
    } while (0)

static int use(int round) {
    convoke_node *node;
    convoke_process *process;
    convoke_pid pid;
    convoke_event *event;
    FUNCTION(convoke_node_open);
    FUNCTION(convoke_node_close);
    FUNCTION(convoke_node_free);
    FUNCTION(convoke_process_spawn);
    FUNCTION(convoke_process_pid);
    FUNCTION(convoke_process_recv);
    FUNCTION(convoke_process_free);
    FUNCTION(convoke_name_register);
    FUNCTION(convoke_send);
    FUNCTION(convoke_event_free);
    FUNCTION(convoke_live_handles);
    if (convoke_node_open_(NULL, &node) != CONVOKE_OK) return 1;
    if (convoke_process_spawn_(node, NULL, &process) != CONVOKE_OK) return 2;
    if (convoke_name_register_(process, "n", 1, NULL, NULL, 20000, NULL) != CONVOKE_OK) return 3;
    if (convoke_process_pid_(process, &pid) != CONVOKE_OK) return 4;
    if (convoke_send_(process, &pid, "x", 1) != CONVOKE_OK) return 5;
    if (convoke_process_recv_(process, 20000, &event) != CONVOKE_OK) return 6;
    convoke_event_free_(event);
    convoke_process_free_(process);
    /* Every other time the node's thread may still run when the library is unloaded. */
    if (round % 2 == 0 && convoke_node_close_(node, 20000) != CONVOKE_OK) return 7;
    convoke_node_free_(node);
    return convoke_live_handles_() == 0 ? 0 : 8;
}

int main(int argc, char **argv) {
    int round;
    if (argc != 2) return 2;
    for (round = 0; round < 30; round++) {
        int failed;
        library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (!library) fail(argv[1]);
        failed = use(round);
        if (failed) {
            fprintf(stderr, "round %d: step %d\n", round, failed);
            return 1;
        }
        if (dlclose(library) != 0) fail("dlclose");
    }
    puts("ok");
    return 0;
}
