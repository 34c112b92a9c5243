/* What singleton, directory and watch have in common: their options, opening a node, and saying what went wrong.
 * Nothing here is needed to use Convoke; embed.c does without it. */
#ifndef EXAMPLE_COMMON_H
#define EXAMPLE_COMMON_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* getopt_long, sigaction and the like, also with -std=c11 */
#endif
#include <convoke.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMON_USAGE                                                                                       \
    "Options of every example:\n"                                                                          \
    "  --name NODE       name of this node, unique in the cluster (default: the program and its process id)\n" \
    "  --listen ADDRESS  where other nodes reach this one (default 127.0.0.1:0: any free port)\n"          \
    "  --seeds LIST      addresses of nodes that are in the cluster, with commas; one that lives is enough\n" \
    "  --wait MS         how long to wait for what others have to do (default 5000)\n"                     \
    "  --help\n"

struct settings {
    char name[64];
    const char *listen;
    const char *seeds;
    int64_t wait_ms;
};

/* A status is checked at once: the text of convoke_last_error belongs to the last call of this thread. */
static inline void check(convoke_status status, const char *what) {
    char detail[256];
    if (status == CONVOKE_OK) return;
    convoke_last_error(detail, sizeof detail);
    fprintf(stderr, "%s: %s: %s %s\n", what, convoke_status_name(status), convoke_status_text(status), detail);
    exit(1);
}

/* Reads the options; what is left is argv[optind] and on. */
static inline void read_settings(int argc, char **argv, const char *usage, struct settings *settings) {
    static const struct option options[] = {
        {"name", required_argument, NULL, 'n'},  {"listen", required_argument, NULL, 'l'},
        {"seeds", required_argument, NULL, 's'}, {"wait", required_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
    };
    const char *program = strrchr(argv[0], '/');
    int option;
    setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads our output through a pipe sees each line at once */
    snprintf(settings->name, sizeof settings->name, "%s-%ld", program ? program + 1 : argv[0], (long)getpid());
    settings->listen = "127.0.0.1:0";
    settings->seeds = "";
    settings->wait_ms = 5000;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case 'n': snprintf(settings->name, sizeof settings->name, "%s", optarg); break;
        case 'l': settings->listen = optarg; break;
        case 's': settings->seeds = optarg; break;
        case 'w': settings->wait_ms = strtoll(optarg, NULL, 10); break;
        case 'h': printf("%s%s", usage, COMMON_USAGE); exit(0);
        default: fprintf(stderr, "%s%s", usage, COMMON_USAGE); exit(2);
        }
    }
}

/* Opens the node. With seeds it then knows what the others know, so that a name which is taken is refused; if no seed answers
 * the node is the first of its cluster. */
static inline convoke_node *open_node(const struct settings *settings) {
    convoke_options *options;
    convoke_node *node;
    char address[256];
    check(convoke_check_version(CONVOKE_VERSION), "header and library");
    check(convoke_options_new(&options), "options");
    check(convoke_options_set(options, "name", settings->name), "--name");
    check(convoke_options_set(options, "listen", settings->listen), "--listen");
    /* Seeds are dialled for ever, so a cluster finds itself again after any failure. */
    check(convoke_options_set(options, "seeds", settings->seeds), "--seeds");
    check(convoke_node_open(options, &node), "opening the node");
    convoke_options_free(options);
    check(convoke_node_address(node, address, sizeof address, NULL), "address");
    printf("node %s is open at %s\n", settings->name, address);
    return node;
}

/* "NODE/SERIAL": the node that a process lives on, and the process's number there. */
static inline const char *describe_pid(const convoke_node *node, const convoke_pid *pid, char *buf, size_t cap) {
    char name[256];
    if (convoke_pid_node(node, pid, name, sizeof name, NULL) != CONVOKE_OK) snprintf(name, sizeof name, "a lost node");
    snprintf(buf, cap, "%.200s/%llu", name, (unsigned long long)pid->serial);
    return buf;
}

static inline int is_nobody(const convoke_pid *pid) {
    static const convoke_pid none = {0, 0};
    return memcmp(pid, &none, sizeof none) == 0;
}

/* SIGINT and SIGTERM end an example in order. The library touches no signals, so this is up to the program. */
static volatile sig_atomic_t stopping;
static convoke_queue *wake_on_signal;

static void on_signal(int signal_number) {
    (void)signal_number;
    stopping = 1;
    convoke_queue_wake(wake_on_signal); /* one of the few calls that are allowed in a signal handler */
}

static inline void stop_on_signals(convoke_queue *queue) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    wake_on_signal = queue;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}
#endif
