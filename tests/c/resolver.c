/* Resolvers as C programs see them: two nodes register the same names before they meet. */
#include "check.h"

enum { A, B, NEITHER_KILLED, NONSENSE, LATE, CALLS, NAMES };
static const char *const names[NAMES] = {"a", "b", "neither", "nonsense", "late", "calls"};

struct side {
    convoke_node *node;
    convoke_process *process;
    convoke_pid pid;
};
static struct side low, high; /* in the order in which a function gets them */
static int called[NAMES], freed, let_go, met;

static void count_free(void *user_data) {
    __atomic_fetch_add((int *)user_data, 1, __ATOMIC_SEQ_CST);
}

static struct side open_side(const char *timeout_ms) {
    struct side side;
    convoke_options *options;
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "resolver.timeout_ms", timeout_ms));
    OK(convoke_options_set(options, "cluster", test_cluster()));
    OK(convoke_node_open(options, &side.node));
    convoke_options_free(options);
    side.process = spawn(side.node, NULL);
    side.pid = pid_of(side.process);
    return side;
}

/* Two nodes that do not know each other. */
static void open_both(const char *timeout_ms) {
    low = open_side(timeout_ms);
    high = open_side(timeout_ms);
    if (low.pid.node > high.pid.node) {
        struct side other = low;
        low = high;
        high = other;
    }
}

static void both_register(const char *name, const char *resolver) {
    OK(convoke_name_register(low.process, name, strlen(name), NULL, resolver, SOON, NULL));
    OK(convoke_name_register(high.process, name, strlen(name), NULL, resolver, SOON, NULL));
}

static void meet(void) {
    char address[128];
    OK(convoke_node_address(high.node, address, sizeof address, NULL));
    OK(convoke_node_connect(low.process, address, SOON, NULL));
}

static void close_both(void) {
    convoke_process_free(low.process);
    convoke_process_free(high.process);
    close_node(low.node);
    close_node(high.node);
}

/* Waits until both sides show this under the name; NULL: nobody. */
static void await_shown(const char *name, const convoke_pid *pid) {
    const struct side *sides[2];
    int at;
    sides[0] = &low, sides[1] = &high;
    for (at = 0; at < 2; at++) {
        convoke_process *watcher = spawn(sides[at]->node, NULL);
        convoke_ref monitor;
        convoke_pid shown;
        OK(convoke_name_monitor(watcher, name, strlen(name), &monitor));
        do {
            convoke_event *event = expect(watcher, CONVOKE_EVENT_NAME_CHANGED);
            OK(convoke_event_peer(event, &shown));
            convoke_event_free(event);
        } while (pid ? !same_pid(&shown, pid) : !is_none(&shown));
        convoke_process_free(watcher);
    }
}

/* The next event of the process says that it lost this name to `other`; NULL: to nobody. */
static void expect_conflict(convoke_process *process, const char *name, const convoke_pid *other) {
    convoke_event *event = expect(process, CONVOKE_EVENT_NAME_CONFLICT);
    convoke_pid peer = {7, 7};
    const void *data;
    size_t len;
    CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_CONFLICT_LOST);
    OK(convoke_event_name(event, &data, &len));
    CHECK(len == strlen(name) && memcmp(data, name, len) == 0);
    OK(convoke_event_peer(event, &peer));
    CHECK(other ? same_pid(&peer, other) : is_none(&peer));
    convoke_event_free(event);
}

static void expect_nothing(convoke_process *process) {
    convoke_event *event;
    STATUS(CONVOKE_E_TIMEOUT, convoke_process_recv(process, 0, &event));
}

/* "random-notify": the loser is told, without the other pid. */
static void random_notify(void) {
    convoke_pid winner, shown;
    int low_won, rounds;
    open_both("5000");
    both_register("x", "random-notify");
    meet();
    for (rounds = 0;; rounds++) {
        CHECK(rounds < 40000);
        /* Each side sees its own until it is decided. */
        OK(convoke_name_whereis(low.node, "x", 1, &winner));
        OK(convoke_name_whereis(high.node, "x", 1, &shown));
        if (same_pid(&winner, &shown)) break;
        usleep(500);
    }
    low_won = same_pid(&winner, &low.pid);
    expect_conflict(low_won ? high.process : low.process, "x", NULL);
    await_shown("x", low_won ? &low.pid : &high.pid);
    expect_nothing(low_won ? low.process : high.process);
    close_both();
}

/* "notify-all": both are told of each other. */
static void notify_all(void) {
    open_both("5000");
    both_register("x", "notify-all");
    meet();
    expect_conflict(low.process, "x", &high.pid);
    expect_conflict(high.process, "x", &low.pid);
    await_shown("x", NULL);
    close_both();
}

/* "keep-oldest": the first one has had the name for longer, on whichever node it is. */
static void keep_oldest(void) {
    struct side *first, *second;
    int at;
    for (at = 0; at < 2; at++) {
        open_both("5000");
        first = at == 0 ? &low : &high;
        second = at == 0 ? &high : &low;
        OK(convoke_name_register(first->process, "x", 1, NULL, "keep-oldest", SOON, NULL));
        usleep(300000); /* this is what it measures; each node counts for itself, and a busy machine makes that vague */
        OK(convoke_name_register(second->process, "x", 1, NULL, "keep-oldest", SOON, NULL));
        meet();
        expect_conflict(second->process, "x", &first->pid);
        await_shown("x", &first->pid);
        expect_nothing(first->process);
        close_both();
    }
}

/* Anything but the name concerned works; that one would wait for this very function. */
static void call_everything(const convoke_event *clash) {
    const struct side *sides[2];
    convoke_process *stranger;
    convoke_node *elsewhere;
    convoke_options *options;
    convoke_pid pid;
    convoke_ref op = 7;
    convoke_list *list;
    bool alive;
    int at;
    sides[0] = &low, sides[1] = &high;
    for (at = 0; at < 2; at++) {
        convoke_process *p = spawn(sides[at]->node, NULL);
        STATUS(CONVOKE_E_WOULD_DEADLOCK, convoke_name_register(p, "calls", 5, NULL, NULL, SOON, NULL));
        STATUS(CONVOKE_E_WOULD_DEADLOCK, convoke_name_register(p, "calls", 5, NULL, "calls", 0, &op));
        CHECK(op == 0);
        STATUS(CONVOKE_E_WOULD_DEADLOCK, convoke_name_reregister(p, "calls", 5, NULL, NULL, -1, NULL));
        STATUS(CONVOKE_E_WOULD_DEADLOCK, convoke_name_reregister(p, "calls", 5, NULL, NULL, -1, &op));
        STATUS(CONVOKE_E_WOULD_DEADLOCK, convoke_name_unregister(p, "calls", 5, -1, NULL));
        STATUS(CONVOKE_E_WOULD_DEADLOCK, convoke_name_unregister(p, "calls", 5, -1, &op));
        OK(convoke_name_register(p, "other", 5, NULL, "calls", SOON, NULL));
        OK(convoke_name_reregister(p, "other", 5, NULL, NULL, SOON, NULL));
        OK(convoke_name_unregister(p, "other", 5, SOON, NULL));
        OK(convoke_name_whereis(sides[at]->node, "calls", 5, &pid));
        CHECK(same_pid(&pid, &sides[at]->pid));
        OK(convoke_name_list(sides[at]->node, "calls", 5, &list));
        convoke_list_free(list);
        OK(convoke_event_peer(clash, &pid));
        OK(convoke_process_is_alive(p, &pid, SOON, &alive, NULL));
        CHECK(alive);
        OK(convoke_send(p, &sides[1 - at]->pid, "hello", 5));
        convoke_process_free(p);
    }
    /* The same name in another cluster is another name. */
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "cluster", "another"));
    OK(convoke_node_open(options, &elsewhere));
    convoke_options_free(options);
    stranger = spawn(elsewhere, NULL);
    OK(convoke_name_register(stranger, "calls", 5, NULL, NULL, SOON, NULL));
    convoke_process_free(stranger);
    close_node(elsewhere);
}

static int32_t decide(const convoke_event *clash, void *user_data) {
    const void *data;
    convoke_pid a, b;
    uint64_t age, other_age, value;
    size_t len;
    int which = 0;
    (void)user_data;
    CHECK(convoke_event_get_kind(clash) == CONVOKE_EVENT_CLASH);
    OK(convoke_event_process(clash, &a));
    OK(convoke_event_peer(clash, &b));
    CHECK(same_pid(&a, &low.pid) && same_pid(&b, &high.pid));
    OK(convoke_event_u64(clash, CONVOKE_FIELD_AGE_MS, &age));
    OK(convoke_event_u64(clash, CONVOKE_FIELD_OTHER_AGE_MS, &other_age));
    CHECK(age < 10 * 60 * 1000 && other_age < 10 * 60 * 1000);
    OK(convoke_event_pid(clash, CONVOKE_FIELD_PEER, &b));
    STATUS(CONVOKE_E_NOT_FOUND, convoke_event_u64(clash, CONVOKE_FIELD_REF, &value));
    CHECK(convoke_event_ref(clash) == 0 && convoke_event_get_reason(clash) == CONVOKE_REASON_NORMAL);
    OK(convoke_event_name(clash, &data, &len));
    while (strlen(names[which]) != len || memcmp(names[which], data, len) != 0) CHECK(++which < NAMES);
    CHECK(__atomic_add_fetch(&called[which], 1, __ATOMIC_SEQ_CST) == 1); /* once for each */
    switch (which) {
        case A: return CONVOKE_CLASH_A | CONVOKE_CLASH_NOTIFY_LOSER;
        case B: return CONVOKE_CLASH_B;
        case NEITHER_KILLED: return CONVOKE_CLASH_NEITHER | CONVOKE_CLASH_KILL_LOSER;
        case NONSENSE: return CONVOKE_CLASH_A | CONVOKE_CLASH_KILL_LOSER | CONVOKE_CLASH_NOTIFY_LOSER;
        case LATE: await(&let_go, 1); return CONVOKE_CLASH_A;
        default: call_everything(clash); return CONVOKE_CLASH_B | CONVOKE_CLASH_NOTIFY_LOSER;
    }
}

static void add_to_both(const char *name) {
    OK(convoke_resolver_add(low.node, name, decide, &freed, count_free));
    OK(convoke_resolver_add(high.node, name, decide, &freed, count_free));
}

static void functions(void) {
    convoke_event *event;
    convoke_pid killer, peer;
    freed = 0;
    /* The winner's node is asked by its lower one alone; one name after the other, so that the order of events is known. */
    open_both("10000");
    add_to_both("mine");
    both_register(names[A], "mine");
    meet();
    await_shown(names[A], &low.pid);
    expect_conflict(high.process, names[A], &low.pid);
    expect_nothing(low.process);
    close_both();
    open_both("10000");
    add_to_both("mine");
    both_register(names[B], "mine");
    meet();
    await_shown(names[B], &high.pid);
    expect_nothing(low.process); /* nobody is told */
    close_both();
    open_both("10000");
    add_to_both("mine");
    both_register(names[NEITHER_KILLED], "mine");
    meet();
    await_shown(names[NEITHER_KILLED], NULL);
    event = expect(low.process, CONVOKE_EVENT_EXIT);
    CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_CONFLICT_LOST);
    OK(convoke_event_peer(event, &peer));
    CHECK(same_pid(&peer, &low.pid));
    OK(convoke_event_pid(event, CONVOKE_FIELD_KILLED_BY, &killer));
    CHECK(is_none(&killer)); /* by nobody's victory */
    convoke_event_free(event);
    event = expect(high.process, CONVOKE_EVENT_EXIT);
    CHECK(convoke_event_get_reason(event) == CONVOKE_REASON_CONFLICT_LOST);
    convoke_event_free(event);
    close_both();
    open_both("10000");
    add_to_both("mine");
    both_register(names[NONSENSE], "mine");
    meet();
    await_shown(names[NONSENSE], NULL);
    expect_conflict(low.process, names[NONSENSE], &high.pid);
    expect_conflict(high.process, names[NONSENSE], &low.pid);
    close_both();
    await(&freed, 8);
    CHECK(freed == 8);
}

/* A late function: the name is gone, and the next one is served by another thread. What it returns later is void. */
static void late(void) {
    freed = 0;
    open_both("50");
    add_to_both("late");
    both_register(names[LATE], "late");
    meet();
    expect_conflict(low.process, names[LATE], &high.pid);
    expect_conflict(high.process, names[LATE], &low.pid);
    await_shown(names[LATE], NULL);
    /* The nodes are closed and freed while it runs. */
    close_both();
    await(&freed, 1);
    CHECK(freed == 1);
    __atomic_store_n(&let_go, 1, __ATOMIC_RELEASE);
    await(&freed, 2);
}

static void calls(void) {
    convoke_event *event;
    unsigned kinds = 0;
    int at;
    freed = 0;
    open_both("20000");
    add_to_both("calls");
    both_register(names[CALLS], "calls");
    meet();
    await_shown(names[CALLS], &high.pid);
    convoke_event_free(expect(high.process, CONVOKE_EVENT_MESSAGE));
    for (at = 0; at < 2; at++) { /* the message comes from the other node */
        OK(convoke_process_recv(low.process, SOON, &event));
        kinds |= 1u << convoke_event_get_kind(event);
        convoke_event_free(event);
    }
    CHECK(kinds == (1u << CONVOKE_EVENT_MESSAGE | 1u << CONVOKE_EVENT_NAME_CONFLICT));
    expect_nothing(high.process);
    close_both();
    await(&freed, 2);
}

/* The function frees its own node. */
static int32_t free_node(const convoke_event *clash, void *user_data) {
    (void)clash;
    (void)user_data;
    await(&met, 1);
    OK(convoke_node_close(low.node, SOON));
    convoke_node_free(low.node);
    STATUS(CONVOKE_E_INVALID, convoke_node_close(low.node, 0));
    CHECK(__atomic_load_n(&freed, __ATOMIC_SEQ_CST) == 0);
    return CONVOKE_CLASH_A | CONVOKE_CLASH_KILL_LOSER;
}

static void frees_its_node(void) {
    freed = 0;
    open_both("20000");
    OK(convoke_resolver_add(low.node, "frees", free_node, &freed, count_free));
    OK(convoke_name_register(low.process, "x", 1, NULL, "frees", SOON, NULL));
    OK(convoke_name_register(high.process, "x", 1, NULL, NULL, SOON, NULL));
    meet();
    __atomic_store_n(&met, 1, __ATOMIC_RELEASE);
    await(&freed, 1);
    convoke_process_free(low.process);
    expect_nothing(high.process);
    convoke_process_free(high.process);
    close_node(high.node);
}

/* user_data is given back, once, also when the function is refused. */
static void refusals(void) {
    convoke_node *node = open_node(NULL, NULL), *other;
    convoke_process *process = spawn(node, NULL), *elsewhere;
    convoke_pid pid;
    char longest[257];
    static const char *const built_in[] = {"random-exit", "random-notify", "notify-all", "keep-oldest"};
    int at;
    freed = 0;
    memset(longest, 'r', 256);
    longest[256] = 0;
    for (at = 0; at < 4; at++) {
        STATUS(CONVOKE_E_EXISTS, convoke_resolver_add(node, built_in[at], decide, &freed, count_free));
        CHECK(freed == at + 1);
    }
    OK(convoke_resolver_add(node, "mine", decide, &freed, count_free));
    STATUS(CONVOKE_E_EXISTS, convoke_resolver_add(node, "mine", decide, &freed, count_free));
    CHECK(freed == 5);
    STATUS(CONVOKE_E_TOO_BIG, convoke_resolver_add(node, longest, decide, &freed, count_free));
    STATUS(CONVOKE_E_INVALID, convoke_resolver_add(node, "", decide, &freed, count_free));
    STATUS(CONVOKE_E_INVALID, convoke_resolver_add(node, NULL, decide, &freed, count_free));
    STATUS(CONVOKE_E_INVALID, convoke_resolver_add(NULL, "other", decide, &freed, count_free));
    STATUS(CONVOKE_E_INVALID, convoke_resolver_add(node, "other", NULL, &freed, count_free));
    CHECK(freed == 10);
    OK(convoke_resolver_add(node, longest + 1, decide, NULL, NULL));
    /* The function must be there where the process is. */
    other = open_peer(NULL, node);
    elsewhere = spawn(other, NULL);
    pid = pid_of(process);
    STATUS(CONVOKE_E_NOT_FOUND, convoke_name_register(elsewhere, "n", 1, NULL, "mine", SOON, NULL));
    OK(convoke_name_register(elsewhere, "n", 1, &pid, "mine", SOON, NULL));
    pid = pid_of(elsewhere);
    STATUS(CONVOKE_E_NOT_FOUND, convoke_name_reregister(process, "n", 1, &pid, "mine", SOON, NULL));
    OK(convoke_node_close(node, SOON));
    STATUS(CONVOKE_E_CLOSED, convoke_resolver_add(node, "late", decide, &freed, count_free));
    CHECK(freed == 11);
    convoke_process_free(process);
    convoke_node_free(node);
    CHECK(freed == 12);
    convoke_process_free(elsewhere);
    close_node(other);
}

int main(void) {
    refusals();
    random_notify();
    notify_all();
    keep_oldest();
    functions();
    late();
    calls();
    frees_its_node();
    return done();
}
