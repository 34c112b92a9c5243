/* What becomes of a name that two halves of a cluster have both given away, when the halves join: each resolver shown.
 *
 * Both halves are in this one program, a node each. As long as they are not linked each registers the same names, and both
 * succeed: a cluster that is cut in two goes on in both parts. Then they are linked, and every clash is decided, once. */
#include <convoke.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEFT, RIGHT, HALVES };
static const char *const HALF[HALVES] = {"left", "right"};

/* A name per resolver. The first registrations are made on the left. */
static const char *const RESOLVERS[] = {"random-exit", "random-notify", "notify-all", "keep-oldest", "right-wins"};
enum { COUNT = sizeof RESOLVERS / sizeof *RESOLVERS };

static void check(convoke_status status, const char *what) {
    char detail[256];
    if (status == CONVOKE_OK) return;
    convoke_last_error(detail, sizeof detail);
    fprintf(stderr, "%s: %s %s\n", what, convoke_status_text(status), detail);
    exit(1);
}

struct half {
    convoke_node *node;
    convoke_queue *queue;
    convoke_process *self; /* makes the calls that are for no name in particular */
    convoke_pid self_pid;
    convoke_process *holders[COUNT]; /* one process per name */
    convoke_pid pids[COUNT];
};

static struct half halves[HALVES];

/* A resolver of this program: whoever is on the node "right" keeps the name, the other is told. It is called once per clash,
 * on one of the two nodes, on a thread of its own. */
static int32_t right_wins(const convoke_event *clash, void *user_data) {
    convoke_pid a;
    const void *name;
    size_t length;
    uint64_t age_a, age_b;
    (void)user_data;
    check(convoke_event_process(clash, &a), "first process");
    check(convoke_event_name(clash, &name, &length), "name");
    check(convoke_event_u64(clash, CONVOKE_FIELD_AGE_MS, &age_a), "age");
    check(convoke_event_u64(clash, CONVOKE_FIELD_OTHER_AGE_MS, &age_b), "other age");
    printf("  (the resolver is called for \"%.*s\"; the registrations are %llu and %llu ms old)\n", (int)length,
           (const char *)name, (unsigned long long)age_a, (unsigned long long)age_b);
    return (a.node == halves[RIGHT].pids[0].node ? CONVOKE_CLASH_A : CONVOKE_CLASH_B) | CONVOKE_CLASH_NOTIFY_LOSER;
}

static void open_half(struct half *half, const char *name) {
    convoke_options *options;
    check(convoke_options_new(&options), "options");
    check(convoke_options_set(options, "name", name), "name");
    check(convoke_node_open(options, &half->node), "open");
    convoke_options_free(options);
    check(convoke_queue_new(half->node, &half->queue), "queue");
    check(convoke_process_spawn(half->node, NULL, &half->self), "spawn");
    check(convoke_process_pid(half->self, &half->self_pid), "pid");
    /* A function cannot travel, so every node gets it under the same name. */
    check(convoke_resolver_add(half->node, "right-wins", right_wins, NULL, NULL), "resolver");
}

static void register_all(struct half *half) {
    int at;
    for (at = 0; at < COUNT; at++) {
        check(convoke_process_spawn(half->node, half->queue, &half->holders[at]), "spawn");
        check(convoke_process_pid(half->holders[at], &half->pids[at]), "pid");
        /* The name is that of the resolver, to keep this short. */
        const char *name = RESOLVERS[at];
        check(convoke_name_register(half->holders[at], name, strlen(name), NULL, name, 5000, NULL), "register");
    }
}

static int half_of(const convoke_pid *pid) { return pid->node == halves[LEFT].pids[0].node ? LEFT : RIGHT; }

/* One more event for a process of either half. */
static convoke_event *next_event(int *half_out) {
    for (;;) {
        struct pollfd fds[HALVES];
        int half;
        for (half = LEFT; half <= RIGHT; half++) {
            convoke_event *event;
            convoke_status status = convoke_queue_next(halves[half].queue, 0, &event);
            *half_out = half;
            if (status == CONVOKE_OK) return event;
            if (status != CONVOKE_E_TIMEOUT) check(status, "queue");
            fds[half].events = POLLIN;
            check(convoke_queue_fd(halves[half].queue, &fds[half].fd), "fd");
        }
        if (poll(fds, HALVES, 10000) == 0) {
            fprintf(stderr, "nothing happens\n");
            exit(1);
        }
    }
}

/* Says what a holder was told. */
static void tell(int half, const convoke_event *event) {
    convoke_pid pid;
    int at = 0;
    check(convoke_event_process(event, &pid), "process");
    while (at < COUNT - 1 && memcmp(&halves[half].pids[at], &pid, sizeof pid) != 0) at++;
    printf("  %s: the holder on the %s ", RESOLVERS[at], HALF[half]);
    if (convoke_event_get_kind(event) == CONVOKE_EVENT_EXIT) {
        printf("was killed (reason %u)\n", convoke_event_get_reason(event));
    } else {
        check(convoke_event_peer(event, &pid), "peer");
        printf("lives on and was told of the conflict%s%s\n", pid.node ? " with the one on the " : "",
               pid.node ? HALF[half_of(&pid)] : "");
    }
}

/* What a node said before it answers has arrived before the answer. */
static void round_trip(int from, int to) {
    bool alive;
    check(convoke_process_is_alive(halves[from].self, &halves[to].self_pid, 5000, &alive, NULL), "alive");
}

static void show(const char *name) {
    convoke_pid shown[HALVES] = {{0, 0}, {0, 0}};
    int half;
    for (half = LEFT; half <= RIGHT; half++) {
        convoke_status status = convoke_name_whereis(halves[half].node, name, strlen(name), &shown[half]);
        if (status != CONVOKE_E_NOT_FOUND) check(status, "whereis");
    }
    if (memcmp(&shown[LEFT], &shown[RIGHT], sizeof shown[LEFT]) != 0) {
        fprintf(stderr, "the halves disagree about %s\n", name);
        exit(1);
    }
    printf("  %s: %s keeps the name\n", name, shown[LEFT].node ? HALF[half_of(&shown[LEFT])] : "nobody");
}

int main(void) {
    char address[128];
    int half, at;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (half = LEFT; half <= RIGHT; half++) open_half(&halves[half], HALF[half]);
    register_all(&halves[LEFT]);
    /* So that "older" means something: each node counts the age of its registrations itself, in ms, and the two tell each other
     * when they meet. On a busy machine that takes a while. */
    poll(NULL, 0, 300);
    register_all(&halves[RIGHT]);
    printf("split: both halves hold %d names\n", (int)COUNT);

    check(convoke_node_address(halves[LEFT].node, address, sizeof address, NULL), "address");
    check(convoke_node_connect(halves[RIGHT].self, address, 5000, NULL), "connect");
    printf("joined\n");
    /* One of the two is told by each resolver but notify-all, which tells both. */
    for (at = 0; at < COUNT + 1; at++) {
        convoke_event *event = next_event(&half);
        tell(half, event);
        convoke_event_free(event);
    }
    round_trip(LEFT, RIGHT);
    round_trip(RIGHT, LEFT);
    for (at = 0; at < COUNT; at++) show(RESOLVERS[at]);

    for (half = LEFT; half <= RIGHT; half++) {
        check(convoke_node_close(halves[half].node, 5000), "close");
        for (at = 0; at < COUNT; at++) convoke_process_free(halves[half].holders[at]);
        convoke_process_free(halves[half].self);
        convoke_queue_free(halves[half].queue);
        convoke_node_free(halves[half].node);
    }
    return 0;
}
