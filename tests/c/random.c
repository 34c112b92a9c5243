/* Any function with any arguments at any time, from several threads and from callbacks, on a few nodes: NULL, handles that
 * were freed or belong to another type, wrong lengths, wrong kinds, indexes out of range. What must hold: no crash, no defect
 * reported, outputs as the header says, every call returns, every user_data is given back, and at the end nothing is left.
 *
 *   random [SEED [CALLS [THREADS]]]
 *
 * The calls of each thread follow from the seed; how threads interleave does not.
 * The runner sees to it that every function of the header is named here. */
#include "check.h"

enum { MOST_NODES = 24, MOST_HANDLES = 512, OWN = 8 };

static uint64_t seed = 1;

/* ---- handles that all threads use, the freed ones too; none is ever taken out */

enum type { NODE, QUEUE, PROCESS, TYPES };
static void *handles[TYPES][MOST_HANDLES];
static unsigned counts[TYPES];

static void keep(enum type type, void *handle) {
    unsigned at = __atomic_fetch_add(&counts[type], 1, __ATOMIC_RELAXED);
    /* What there is no place for goes at once. */
    if (at < MOST_HANDLES)
        __atomic_store_n(&handles[type][at], handle, __ATOMIC_RELEASE);
    else if (type == NODE)
        convoke_node_free((convoke_node *)handle);
    else if (type == QUEUE)
        convoke_queue_free((convoke_queue *)handle);
    else
        convoke_process_free((convoke_process *)handle);
}

/* ---- user data that must come back */

static size_t lent, returned;

static void give_back(void *user_data) {
    CHECK(*(int *)user_data == 4711);
    free(user_data);
    __atomic_fetch_add(&returned, 1, __ATOMIC_RELAXED);
}

static void *lend(void) {
    int *user_data = (int *)malloc(sizeof *user_data);
    CHECK(user_data);
    *user_data = 4711;
    __atomic_fetch_add(&lent, 1, __ATOMIC_RELAXED);
    return user_data;
}

/* ---- who makes calls: a thread, or a callback while it runs */

struct actor {
    uint64_t state;
    int depth;
    convoke_event *events[OWN];
    convoke_list *lists[OWN];
    convoke_options *options[OWN];
    convoke_ref refs[OWN];
    convoke_pid pids[OWN];
    char address[128];
};

static uint64_t number(struct actor *actor) {
    uint64_t x = actor->state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return actor->state = x;
}

static unsigned below(struct actor *actor, unsigned count) {
    return (unsigned)((number(actor) >> 20) % count);
}

static int seldom(struct actor *actor) {
    return below(actor, 24) == 0;
}

static void begin(struct actor *actor, uint64_t stream, int depth) {
    memset(actor, 0, sizeof *actor);
    actor->state = (seed * 0x9e3779b97f4a7c15u) ^ (stream * 0xbf58476d1ce4e5b9u) ^ 1;
    if (actor->state == 0) actor->state = 1;
    actor->depth = depth;
    for (int i = 0; i < 8; i++) number(actor);
}

static void end(struct actor *actor) {
    for (int i = 0; i < OWN; i++) {
        convoke_event_free(actor->events[i]);
        convoke_list_free(actor->lists[i]);
        convoke_options_free(actor->options[i]);
    }
}

/* ---- arguments */

/* Most often a handle of the type, alive or not; seldom NULL, one of another type, or a number that is none. */
static void *handle(struct actor *actor, enum type type) {
    if (seldom(actor)) {
        switch (below(actor, 4)) {
        case 0: return NULL;
        case 1: return (void *)(uintptr_t)number(actor);
        case 2: return (void *)(uintptr_t)(below(actor, 4096) | 1);
        default: type = (enum type)below(actor, TYPES);
        }
    }
    unsigned count = __atomic_load_n(&counts[type], __ATOMIC_RELAXED);
    if (count > MOST_HANDLES) count = MOST_HANDLES;
    if (count == 0) return NULL;
    /* The newer ones are more often alive. */
    unsigned back = below(actor, below(actor, 4) ? 8 : MOST_HANDLES);
    unsigned at = back < count ? count - 1 - back : below(actor, count);
    return __atomic_load_n(&handles[type][at], __ATOMIC_ACQUIRE);
}

#define node_(actor) ((convoke_node *)handle(actor, NODE))
#define queue_(actor) ((convoke_queue *)handle(actor, QUEUE))
#define process_(actor) ((convoke_process *)handle(actor, PROCESS))

/* Plain pointers are used while they are alive only; NULL once in a while. */
static convoke_event *event_(struct actor *actor) {
    return actor->events[below(actor, OWN)];
}
static convoke_list *list_(struct actor *actor) {
    return actor->lists[below(actor, OWN)];
}
static convoke_options *options_(struct actor *actor) {
    return actor->options[below(actor, OWN)];
}

static void keep_event(struct actor *actor, convoke_event *event) {
    unsigned at = below(actor, OWN);
    if (!event) return;
    convoke_event_free(actor->events[at]);
    actor->events[at] = event;
    (void)convoke_event_peer(event, &actor->pids[below(actor, OWN)]);
}

static void keep_list(struct actor *actor, convoke_list *list) {
    unsigned at = below(actor, OWN);
    if (!list) return;
    convoke_list_free(actor->lists[at]);
    actor->lists[at] = list;
}

/* A timeout of a call that waits: short, or none that there is. */
static int64_t wait_(struct actor *actor) {
    static const int64_t times[] = {0, 0, 1, 1, 3, 10, -2, INT64_MIN};
    return times[below(actor, 8)];
}

/* And of one that does not. */
static int64_t timeout(struct actor *actor, const convoke_ref *op) {
    static const int64_t times[] = {-1, 0, 1, 50, 1000, INT64_MAX, -2, INT64_MIN};
    return op ? times[below(actor, 8)] : wait_(actor);
}

/* Most often the call does not wait. */
static convoke_ref *op_(struct actor *actor) {
    return below(actor, 8) ? &actor->refs[below(actor, OWN)] : NULL;
}

static convoke_ref ref_(struct actor *actor) {
    return seldom(actor) ? number(actor) : actor->refs[below(actor, OWN)];
}

static const convoke_pid *pid_(struct actor *actor) {
    convoke_pid *pid = &actor->pids[below(actor, OWN)];
    if (seldom(actor)) return NULL;
    if (seldom(actor)) pid->serial = below(actor, 20);
    if (seldom(actor)) pid->node = number(actor);
    return pid;
}

static const char *const NAMES[] = {"a", "b", "leader", "a group of processes", "x\ny", ""};

/* A name: `len` may be 0, longer than any name, or longer than memory. */
static const void *name_(struct actor *actor, size_t *len) {
    static char long_name[40000];
    const char *name = NAMES[below(actor, 6)];
    *len = strlen(name);
    switch (seldom(actor) ? below(actor, 5) : 5) {
    case 0: return NULL;
    case 1: *len = 0; return name;
    case 2: *len = sizeof long_name; return long_name;
    case 3: *len = SIZE_MAX - below(actor, 3); return name;
    case 4: *len = 1025; return long_name;
    default: return name;
    }
}

static const void *payload(struct actor *actor, size_t *len) {
    static char bytes[200000];
    static const size_t sizes[] = {0, 1, 100, 5000, 70000, sizeof bytes, SIZE_MAX, (size_t)1 << 63};
    unsigned at = below(actor, 32);
    *len = at < 26 ? below(actor, 200) : sizes[at - 26 + 2];
    if (at >= 30) *len = sizes[at - 24];
    return seldom(actor) ? NULL : bytes;
}

static const char *text(struct actor *actor) {
    static const char *const texts[] = {"n0", "n1", "", "127.0.0.1:1", "no address", "localhost:0", "10.0.0.1:7", "\xff\xfe"};
    if (seldom(actor)) return NULL;
    unsigned at = below(actor, 9);
    return at == 8 ? actor->address : texts[at];
}

static const char *resolver(struct actor *actor) {
    static const char *const resolvers[] = {NULL, "random-exit", "random-notify", "notify-all", "keep-oldest", "mine", "none", ""};
    return resolvers[below(actor, 8)];
}

static convoke_field field(struct actor *actor) {
    return below(actor, 24);
}

static size_t index_(struct actor *actor) {
    return seldom(actor) ? (size_t)number(actor) : below(actor, 4);
}

/* ---- what must hold of every answer */

static convoke_status answered(const char *call, convoke_status status) {
    /* A resolver that panics is none; a defect is a defect. */
    if (status == CONVOKE_E_INTERNAL || status > 0 || strcmp(convoke_status_name(status), "unknown") == 0) {
        char detail[256];
        convoke_last_error(detail, sizeof detail);
        fprintf(stderr, "seed %" PRIu64 ": %s: %d: %s\n", seed, call, (int)status, detail);
        _exit(1);
    }
    return status;
}
#define CALL(call) answered(#call, call)

/* An operation has a name exactly if it began. */
static void operation(convoke_status status, const convoke_ref *op) {
    if (op) CHECK((status == CONVOKE_OK) == (*op != 0));
}
#define OPERATION(op, call) operation(CALL(call), op)

static void act(struct actor *actor);

/* ---- callbacks: they make calls themselves */

static void some_calls(uint64_t stream) {
    static uint64_t callbacks;
    struct actor actor;
    begin(&actor, stream ^ (1000 + __atomic_fetch_add(&callbacks, 1, __ATOMIC_RELAXED)), 1);
    for (unsigned calls = below(&actor, 4); calls > 0; calls--) act(&actor);
    end(&actor);
}

static void on_event(convoke_event *event, void *user_data) {
    (void)user_data;
    convoke_event *mine = convoke_event_retain(event);
    CHECK(mine);
    some_calls(convoke_event_get_kind(event));
    convoke_event_free(mine);
}

static int32_t with_lock(uint64_t fence, void *user_data) {
    CHECK(user_data == &seed);
    some_calls(fence);
    return (int32_t)fence;
}

static void on_log(int32_t level, const char *target, const char *text, size_t text_len, void *user_data) {
    CHECK(*(int *)user_data == 4711);
    CHECK(level > CONVOKE_LOG_OFF && target[0] && strlen(text) == text_len);
}

/* What makes no sense counts as "neither". */
static int32_t on_clash(const convoke_event *clash, void *user_data) {
    uint64_t age = 0;
    (void)user_data;
    CHECK(convoke_event_get_kind(clash) == CONVOKE_EVENT_CLASH);
    (void)convoke_event_u64(clash, CONVOKE_FIELD_AGE_MS, &age);
    some_calls(age);
    return (int32_t)(age * 77 % 0x400) - 1;
}

/* ---- the calls, by section */

static void library(struct actor *actor) {
    char buf[8];
    convoke_status status = (convoke_status)((int)below(actor, 40) - 35);
    uint8_t secret[32];
    switch (below(actor, 10)) {
    case 8: (void)CALL(convoke_secret_generate(seldom(actor) ? NULL : secret, below(actor, 3) ? sizeof secret : below(actor, sizeof secret))); break;
    case 9:
        if (below(actor, 2))
            (void)CALL(convoke_log_set((int32_t)below(actor, 9) - 2, seldom(actor) ? NULL : on_log, lend(), give_back));
        else
            (void)CALL(convoke_log_to_queue(queue_(actor), (int32_t)below(actor, 9) - 2));
        break;
    case 0: CHECK(convoke_version() == CONVOKE_VERSION); break;
    case 1: CHECK(convoke_version_string()); break;
    case 2: (void)CALL(convoke_check_version((uint32_t)number(actor))); break;
    case 3: CHECK(convoke_status_name(status)); break;
    case 4: CHECK(convoke_status_text(status)); break;
    case 5: (void)convoke_status_is_retryable(status); break;
    case 6: (void)convoke_last_error(seldom(actor) ? NULL : buf, below(actor, sizeof buf + 1)); break;
    default: (void)convoke_live_handles();
    }
}

static void options(struct actor *actor) {
    static const char *const sets[][2] = {
        {"name", "n0"},         {"name", "n1"},          {"detection_ms", "400"},   {"detection_ms", "1"},
        {"nothing", "x"},       {"limits.names", "3"},   {"limits.operations", "5"}, {"limits.processes", "4"},
        {"limits.name", "900"}, {"names.per_pid", "one"}, {"seeds", "127.0.0.1:1"},  {"listen", "8.8.8.8:1"},
        {"cluster", "other"},   {"join.wait", "5"},      {"resolver.timeout_ms", "20"}, {"limits.message", "2000"},
        {"limits.groups", "2"}, {"limits.locks", "2"},   {"dial.min_ms", "9999"},   {NULL, NULL},
    };
    static const char *const files[] = {"/dev/null", "/dev/zero", "/", "/nowhere", "/etc/passwd", NULL};
    unsigned at = below(actor, OWN), set = below(actor, 20);
    convoke_options *made = NULL;
    convoke_node *node = NULL;
    size_t len;
    switch (below(actor, 8)) {
    case 0:
        OK(convoke_options_new(&made));
        convoke_options_free(actor->options[at]);
        actor->options[at] = made;
        break;
    case 1:
    case 2: (void)CALL(convoke_options_set(options_(actor), sets[set][0], sets[set][1])); break;
    case 3: (void)CALL(convoke_options_set(options_(actor), "seeds", actor->address)); break;
    case 4: {
        const void *value = name_(actor, &len);
        (void)CALL(convoke_options_set_bytes(options_(actor), sets[set][0], value, len));
        break;
    }
    case 5: (void)CALL(convoke_options_load(options_(actor), files[below(actor, 6)])); break;
    case 6:
        convoke_options_free(actor->options[at]);
        actor->options[at] = NULL;
        break;
    default:
        if (__atomic_load_n(&counts[NODE], __ATOMIC_RELAXED) >= MOST_NODES) return;
        if (CALL(convoke_node_open(options_(actor), &node)) == CONVOKE_OK)
            keep(NODE, node);
        else
            CHECK(!node);
    }
}

static void node(struct actor *actor) {
    size_t len = 7, cap = below(actor, 2) ? sizeof actor->address : below(actor, 8);
    convoke_list *list = NULL;
    convoke_ref *op = op_(actor);
    convoke_stats stats;
    stats.struct_size = below(actor, 4) ? sizeof stats : below(actor, sizeof stats);
    switch (below(actor, 12)) {
    case 9: (void)CALL(convoke_node_reload(node_(actor), options_(actor))); break;
    case 10:
        if (CALL(convoke_node_metrics(node_(actor), &list)) == CONVOKE_OK) keep_list(actor, list);
        break;
    case 11:
        if (CALL(convoke_node_dump(node_(actor), &list)) == CONVOKE_OK) keep_list(actor, list);
        break;
    case 0:
        /* Closing is the end of much; so not often. */
        if (seldom(actor) && !below(actor, 4)) (void)CALL(convoke_node_close(node_(actor), wait_(actor)));
        break;
    case 1:
        if (seldom(actor) && !below(actor, 4)) convoke_node_free(node_(actor));
        break;
    case 2: {
        char name[16];
        (void)CALL(convoke_node_name(node_(actor), name, below(actor, sizeof name + 1), seldom(actor) ? NULL : &len));
        break;
    }
    case 3: (void)CALL(convoke_node_address(node_(actor), actor->address, cap, &len)); break;
    case 4: {
        const char *address = below(actor, 2) ? actor->address : text(actor);
        OPERATION(op, convoke_node_connect(process_(actor), address, timeout(actor, op), op));
        break;
    }
    case 5:
        if (seldom(actor))
            OPERATION(op, convoke_node_disconnect(process_(actor), text(actor), timeout(actor, op), op));
        break;
    case 6:
        if (CALL(convoke_node_peers(node_(actor), &list)) == CONVOKE_OK) keep_list(actor, list);
        break;
    case 7: OPERATION(op, convoke_node_sync(process_(actor), timeout(actor, op), op)); break;
    default:
        if (below(actor, 2)) {
            (void)CALL(convoke_node_monitor(process_(actor), seldom(actor) ? NULL : &actor->refs[0]));
        } else {
            (void)CALL(convoke_node_stats(node_(actor), seldom(actor) ? NULL : &stats));
        }
    }
}

static void queue(struct actor *actor) {
    convoke_queue *queue = NULL;
    convoke_event *event = NULL;
    uint32_t count = 7;
    int fd = 7;
    switch (below(actor, 10)) {
    case 0:
        if (CALL(convoke_queue_new(node_(actor), &queue)) == CONVOKE_OK) keep(QUEUE, queue);
        break;
    case 1:
        if (seldom(actor)) convoke_queue_free(queue_(actor));
        break;
    case 2: CHECK((CALL(convoke_queue_fd(queue_(actor), &fd)) == CONVOKE_OK) == (fd >= 0)); break;
    case 3:
        if (CALL(convoke_queue_next(queue_(actor), wait_(actor), &event)) == CONVOKE_OK)
            keep_event(actor, event);
        else
            CHECK(!event);
        break;
    case 4:
        (void)CALL(convoke_queue_set_handler(queue_(actor), below(actor, 4) ? on_event : NULL, lend(), give_back));
        break;
    case 5:
    case 6:
        (void)CALL(convoke_queue_dispatch(queue_(actor), below(actor, 5), wait_(actor), seldom(actor) ? NULL : &count));
        break;
    case 7: (void)CALL(convoke_queue_start_thread(queue_(actor))); break;
    case 8: (void)CALL(convoke_queue_stop_thread(queue_(actor), wait_(actor))); break;
    default: (void)CALL(convoke_queue_wake(queue_(actor)));
    }
}

static void event(struct actor *actor) {
    const convoke_event *event = event_(actor);
    unsigned at = below(actor, OWN);
    const void *data = NULL;
    const char *detail = NULL;
    size_t len = 0;
    uint64_t value = 0;
    convoke_pid pid;
    switch (below(actor, 13)) {
    case 0: (void)convoke_event_get_kind(event); break;
    case 1: keep_event(actor, convoke_event_retain(event_(actor))); break;
    case 2:
        convoke_event_free(actor->events[at]);
        actor->events[at] = NULL;
        break;
    case 3: (void)CALL(convoke_event_process(event, seldom(actor) ? NULL : &pid)); break;
    case 4: (void)CALL(convoke_event_peer(event, seldom(actor) ? NULL : &pid)); break;
    case 5: (void)CALL(convoke_event_name(event, &data, &len)); break;
    case 6: (void)CALL(convoke_event_payload(event, &data, &len)); break;
    case 7: (void)convoke_event_get_reason(event); break;
    case 8: (void)convoke_event_ref(event); break;
    case 9: (void)CALL(convoke_event_result(event, seldom(actor) ? NULL : &detail)); break;
    case 10: (void)convoke_event_value(event); break;
    case 11: (void)CALL(convoke_event_bytes(event, field(actor), &data, &len)); break;
    default:
        (void)CALL(convoke_event_pid(event, field(actor), &pid));
        (void)CALL(convoke_event_u64(event, field(actor), &value));
    }
    /* What was lent can be read. */
    const char *bytes = (const char *)data;
    for (size_t i = 0, sum = 0; i < len; i++) sum += (unsigned char)bytes[i];
    if (detail) (void)strlen(detail);
}

static void process(struct actor *actor) {
    convoke_process *process = NULL;
    convoke_event *event = NULL;
    convoke_ref *op = op_(actor), *ref = seldom(actor) ? NULL : &actor->refs[below(actor, OWN)];
    bool alive = true;
    size_t len;
    switch (below(actor, 10)) {
    case 0:
        if (CALL(convoke_process_spawn(node_(actor), below(actor, 2) ? queue_(actor) : NULL, &process)) == CONVOKE_OK)
            keep(PROCESS, process);
        else
            CHECK(!process);
        break;
    case 1: {
        const void *data = payload(actor, &len);
        if (seldom(actor)) (void)CALL(convoke_process_exit(process_(actor), (convoke_reason)number(actor), data, len));
        break;
    }
    case 2:
        if (seldom(actor)) convoke_process_free(process_(actor));
        break;
    case 3: (void)CALL(convoke_process_pid(process_(actor), &actor->pids[below(actor, OWN)])); break;
    case 4:
        if (CALL(convoke_process_recv(process_(actor), wait_(actor), &event)) == CONVOKE_OK)
            keep_event(actor, event);
        else
            CHECK(!event);
        break;
    case 5:
        (void)CALL(convoke_process_set_handler(process_(actor), below(actor, 4) ? on_event : NULL, lend(), give_back));
        break;
    case 6: (void)CALL(convoke_process_monitor(process_(actor), pid_(actor), ref)); break;
    case 7:
        if (seldom(actor))
            (void)CALL(convoke_process_kill(process_(actor), pid_(actor), (convoke_reason)below(actor, 0x10010)));
        break;
    case 8: OPERATION(op, convoke_process_is_alive(process_(actor), pid_(actor), timeout(actor, op), &alive, op)); break;
    default: (void)CALL(convoke_cancel(process_(actor), ref_(actor)));
    }
}

static void pid(struct actor *actor) {
    char text[64];
    size_t len = 7, cap = below(actor, sizeof text + 1);
    convoke_pid parsed = {7, 7};
    switch (below(actor, 3)) {
    case 0: (void)CALL(convoke_pid_format(pid_(actor), text, cap, &len)); break;
    case 1: {
        unsigned at = below(actor, OWN);
        bool is_pid = actor->pids[at].node != 0 && actor->pids[at].serial != 0;
        convoke_status status = CALL(convoke_pid_format(&actor->pids[at], text, sizeof text, &len));
        if (is_pid) CHECK(status == CONVOKE_OK);
        if (status != CONVOKE_OK) break;
        /* A byte of it is changed, once in a while. */
        if (seldom(actor)) text[below(actor, (unsigned)len)] = (char)number(actor);
        if (CALL(convoke_pid_parse(text, len, &parsed)) != CONVOKE_OK) CHECK(is_none(&parsed));
        break;
    }
    default: (void)CALL(convoke_pid_node(node_(actor), pid_(actor), text, cap, seldom(actor) ? NULL : &len));
    }
}

static void name(struct actor *actor) {
    size_t len;
    const void *name = name_(actor, &len);
    convoke_ref *op = op_(actor);
    convoke_list *list = NULL;
    convoke_process *process = process_(actor);
    int64_t time = timeout(actor, op);
    switch (below(actor, 7)) {
    case 0: OPERATION(op, convoke_name_register(process, name, len, pid_(actor), resolver(actor), time, op)); break;
    case 1: OPERATION(op, convoke_name_reregister(process, name, len, pid_(actor), resolver(actor), time, op)); break;
    case 2: OPERATION(op, convoke_name_unregister(process, name, len, time, op)); break;
    case 3:
        (void)CALL(convoke_name_whereis(node_(actor), name, len, seldom(actor) ? NULL : &actor->pids[below(actor, OWN)]));
        break;
    case 4:
        if (CALL(convoke_name_list(node_(actor), name, len, &list)) == CONVOKE_OK) keep_list(actor, list);
        break;
    case 5: (void)CALL(convoke_name_monitor(process, name, len, &actor->refs[below(actor, OWN)])); break;
    default:
        (void)CALL(convoke_resolver_add(node_(actor), below(actor, 2) ? "mine" : resolver(actor),
                                        seldom(actor) ? NULL : on_clash, lend(), give_back));
    }
}

static void lock(struct actor *actor) {
    static const char *const nodes[] = {"n0", "n1", NULL};
    size_t len, len2, nodes_len = below(actor, 8) ? below(actor, 3) : 3;
    const void *resource = name_(actor, &len), *requester = name_(actor, &len2);
    const char *const *on = seldom(actor) ? NULL : nodes;
    int64_t retries = (int64_t)below(actor, 5) - 2;
    convoke_ref *op = op_(actor);
    convoke_process *process = process_(actor);
    int64_t time = timeout(actor, op);
    uint64_t fence = 7;
    int32_t result = 0;
    convoke_list *list = NULL;
    switch (below(actor, 8)) {
    case 0: OPERATION(op, convoke_lock_acquire(process, resource, len, requester, len2, time, &fence, op)); break;
    case 1:
        OPERATION(op, convoke_lock_acquire_on(process, resource, len, requester, len2, on, nodes_len, retries, time, &fence, op));
        break;
    case 2: OPERATION(op, convoke_lock_release(process, resource, len, requester, len2, time, op)); break;
    case 3:
        OPERATION(op, convoke_lock_release_on(process, resource, len, requester, len2, on, nodes_len, time, op));
        break;
    case 4: (void)CALL(convoke_lock_check(process, resource, len, requester, len2, seldom(actor) ? NULL : &fence)); break;
    case 5:
        (void)CALL(convoke_lock_with(process, resource, len, requester, len2, on, nodes_len, retries, wait_(actor),
                                     actor->depth || seldom(actor) ? NULL : with_lock, &seed, &result));
        break;
    case 6: (void)CALL(convoke_lock_watch(process, resource, len, requester, len2, &actor->refs[below(actor, OWN)])); break;
    default:
        if (CALL(convoke_lock_list(node_(actor), below(actor, 2) ? resource : NULL, below(actor, 2) ? len : 0, &list)) ==
            CONVOKE_OK)
            keep_list(actor, list);
    }
}

static void group(struct actor *actor) {
    size_t len, size;
    const void *name = name_(actor, &len);
    convoke_ref *op = op_(actor);
    convoke_process *process = process_(actor);
    int64_t time = timeout(actor, op);
    convoke_list *list = NULL;
    convoke_status status = CONVOKE_E_STATE;
    uint32_t count = 7;
    switch (below(actor, 10)) {
    case 0: OPERATION(op, convoke_group_create(process, name, len, time, op)); break;
    case 1: OPERATION(op, convoke_group_delete(process, name, len, time, op)); break;
    case 2: OPERATION(op, convoke_group_join(process, name, len, pid_(actor), time, op)); break;
    case 3: OPERATION(op, convoke_group_leave(process, name, len, pid_(actor), time, op)); break;
    case 4: status = CALL(convoke_group_members(node_(actor), name, len, &list)); break;
    case 5: status = CALL(convoke_group_local_members(node_(actor), name, len, &list)); break;
    case 6: (void)CALL(convoke_group_closest(node_(actor), name, len, &actor->pids[below(actor, OWN)])); break;
    case 7: status = CALL(convoke_group_list(node_(actor), &list)); break;
    case 8: (void)CALL(convoke_group_monitor(process, name, len, &actor->refs[below(actor, OWN)])); break;
    default: {
        const void *data = payload(actor, &size);
        (void)CALL(convoke_group_send(process, name, len, data, size, seldom(actor) ? NULL : &count));
    }
    }
    if (status == CONVOKE_OK) keep_list(actor, list);
}

static void message(struct actor *actor) {
    size_t len, size;
    const void *data = payload(actor, &size);
    if (below(actor, 2)) {
        (void)CALL(convoke_send(process_(actor), pid_(actor), data, size));
    } else {
        const void *name = name_(actor, &len);
        (void)CALL(convoke_send_name(process_(actor), name, len, data, size, seldom(actor) ? NULL : &actor->pids[0]));
    }
}

static void list(struct actor *actor) {
    const convoke_list *list = list_(actor);
    unsigned at = below(actor, OWN);
    const void *data = NULL;
    const convoke_pid *pids = NULL;
    size_t len = 0, pids_len = 0;
    uint64_t value = 0;
    convoke_pid pid;
    switch (below(actor, 7)) {
    case 0: (void)convoke_list_len(list); break;
    case 1: (void)CALL(convoke_list_name(list, index_(actor), &data, &len)); break;
    case 2: (void)CALL(convoke_list_pid(list, index_(actor), seldom(actor) ? NULL : &pid)); break;
    case 3: (void)CALL(convoke_list_u64(list, index_(actor), field(actor), &value)); break;
    case 4: (void)CALL(convoke_list_bytes(list, index_(actor), field(actor), &data, &len)); break;
    case 5: (void)CALL(convoke_list_pids(list, &pids, &pids_len)); break;
    default:
        convoke_list_free(actor->lists[at]);
        actor->lists[at] = NULL;
    }
    const char *bytes = (const char *)data;
    for (size_t i = 0, sum = 0; i < len; i++) sum += (unsigned char)bytes[i];
    for (size_t i = 0; i < pids_len; i++) actor->pids[i % OWN] = pids[i];
}

static void act(struct actor *actor) {
    static void (*const sections[])(struct actor *) = {
        library, options, node, queue, event, process, process, pid, name, name, lock, lock, group, message, message, list,
    };
    sections[below(actor, sizeof sections / sizeof *sections)](actor);
}

/* ---- the threads */

static unsigned long calls = 4000;

static void *run(void *stream) {
    struct actor actor;
    begin(&actor, (uint64_t)(uintptr_t)stream, 0);
    for (unsigned long i = 0; i < calls; i++) act(&actor);
    end(&actor);
    return NULL;
}

int main(int argc, char **argv) {
    unsigned long threads = 3;
    pthread_t started[64];
    if (argc > 1) seed = strtoull(argv[1], NULL, 0);
    if (argc > 2) calls = strtoul(argv[2], NULL, 0);
    if (argc > 3) threads = strtoul(argv[3], NULL, 0);
    CHECK(threads <= 64);

    /* Something to begin with: two nodes with a link, a queue, and some processes. */
    convoke_node *first = open_node("n0", NULL), *second = open_peer("n1", first);
    keep(NODE, first);
    keep(NODE, second);
    convoke_queue *queue;
    OK(convoke_queue_new(first, &queue));
    keep(QUEUE, queue);
    for (int i = 0; i < 4; i++) {
        keep(PROCESS, spawn(first, i % 2 ? queue : NULL));
        keep(PROCESS, spawn(second, NULL));
    }

    for (unsigned long i = 0; i < threads; i++) CHECK(pthread_create(&started[i], NULL, run, (void *)(uintptr_t)(i + 1)) == 0);
    for (unsigned long i = 0; i < threads; i++) CHECK(pthread_join(started[i], NULL) == 0);

    /* In any order, the ones that were freed too. */
    for (int i = 0; i < MOST_HANDLES; i++) {
        convoke_process_free((convoke_process *)handles[PROCESS][i]);
        convoke_queue_free((convoke_queue *)handles[QUEUE][i]);
    }
    for (int i = 0; i < MOST_HANDLES; i++) {
        if (handles[NODE][i]) {
            convoke_status status = CALL(convoke_node_close((convoke_node *)handles[NODE][i], SOON));
            CHECK(status == CONVOKE_OK || status == CONVOKE_E_INVALID);
        }
        convoke_node_free((convoke_node *)handles[NODE][i]);
    }
    (void)CALL(convoke_log_set(CONVOKE_LOG_OFF, NULL, NULL, NULL));
    /* The library's threads may be in a last callback. */
    for (int rounds = 0; convoke_live_handles() > 0 || __atomic_load_n(&lent, __ATOMIC_RELAXED) != __atomic_load_n(&returned, __ATOMIC_RELAXED);
         rounds++) {
        if (rounds > 40000) {
            fprintf(stderr, "%zu of %zu user data came back\n", returned, lent);
            return done();
        }
        usleep(500);
    }
    return done();
}
