/* One node of a test cluster: an OS process that takes commands on standard input, a line each, and answers each with
 * one line "= ...". Events come as lines "! ..." in between. The tests of clusters start several and play with them. */
#include "churn.h"
#include "convoke.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROCESSES 64
/* For ten thousand registrations on a machine with ten times as much to do as it can. */
#define LONG 120000

static convoke_node *node;
static convoke_queue *queue;
static convoke_process *processes[MAX_PROCESSES];
static int process_count;

/* Operations of `bulk` under way; their DONE events come on a mailbox of their own. */
static convoke_process *bulk_process;

static void answer_status(convoke_status status) {
    char detail[512];
    convoke_last_error(detail, sizeof detail);
    if (status == CONVOKE_OK) {
        printf("= ok\n");
    } else {
        printf("= %s %s\n", convoke_status_name(status), detail);
    }
}

static const char *pid_text(const convoke_pid *pid, char *buf, size_t cap) {
    size_t len;
    if (pid->node == 0 && pid->serial == 0) {
        snprintf(buf, cap, "none");
    } else if (convoke_pid_format(pid, buf, cap, &len) != CONVOKE_OK) {
        snprintf(buf, cap, "?");
    }
    return buf;
}

/* The pid in a word; none if it is no pid. */
static convoke_pid parse(const char *text) {
    convoke_pid pid = {0, 0};
    if (convoke_pid_parse(text, strlen(text), &pid) != CONVOKE_OK) {
        memset(&pid, 0, sizeof pid);
    }
    return pid;
}

static void on_event(convoke_event *event, void *user_data) {
    (void)user_data;
    convoke_event_kind kind = convoke_event_get_kind(event);
    convoke_pid own = {0, 0}, peer = {0, 0};
    char own_text[80], peer_text[80];
    const void *data = "";
    size_t len = 0;
    (void)convoke_event_process(event, &own);
    (void)convoke_event_peer(event, &peer);
    pid_text(&own, own_text, sizeof own_text);
    pid_text(&peer, peer_text, sizeof peer_text);
    convoke_reason reason = convoke_event_get_reason(event);
    uint64_t ref = convoke_event_ref(event);
    switch (kind) {
    case CONVOKE_EVENT_MESSAGE:
        (void)convoke_event_payload(event, &data, &len);
        printf("! message %s %s %.*s\n", own_text, peer_text, (int)(len < 200 ? len : 200), (const char *)data);
        break;
    case CONVOKE_EVENT_EXIT:
        printf("! exit %s %s reason=%" PRIu32 " ref=%" PRIu64 "\n", own_text, peer_text, reason, ref);
        break;
    case CONVOKE_EVENT_NAME_CHANGED:
        (void)convoke_event_name(event, &data, &len);
        printf("! name %.*s %s\n", (int)len, (const char *)data, peer_text);
        break;
    case CONVOKE_EVENT_NAME_CONFLICT:
        (void)convoke_event_name(event, &data, &len);
        printf("! conflict %.*s reason=%" PRIu32 "\n", (int)len, (const char *)data, reason);
        break;
    case CONVOKE_EVENT_NODE_UP:
        (void)convoke_event_name(event, &data, &len);
        printf("! up %.*s\n", (int)len, (const char *)data);
        break;
    case CONVOKE_EVENT_NODE_DOWN:
        (void)convoke_event_name(event, &data, &len);
        printf("! down %.*s reason=%" PRIu32 "\n", (int)len, (const char *)data, reason);
        break;
    case CONVOKE_EVENT_NODE_CLOSED: printf("! closed reason=%" PRIu32 "\n", reason); break;
    case CONVOKE_EVENT_SENDABLE: printf("! sendable %s %s\n", own_text, peer_text); break;
    case CONVOKE_EVENT_LOCK_LOST:
        (void)convoke_event_name(event, &data, &len);
        printf("! lock_lost %.*s %s reason=%" PRIu32 "\n", (int)len, (const char *)data, own_text, reason);
        break;
    case CONVOKE_EVENT_SNAPSHOT_END: printf("! snapshot\n"); break;
    default: printf("! kind=%" PRIu32 "\n", kind); break;
    }
}

static convoke_process *process_arg(const char *word) {
    int index = word != NULL ? atoi(word) : -1;
    return index >= 0 && index < process_count ? processes[index] : NULL;
}

static convoke_status open_node(char *rest) {
    convoke_options *options = NULL;
    convoke_status status = convoke_options_new(&options);
    for (char *word = strtok(rest, " "); word != NULL && status == CONVOKE_OK; word = strtok(NULL, " ")) {
        char *value = strchr(word, '=');
        if (value == NULL) {
            continue;
        }
        *value = '\0';
        status = convoke_options_set(options, word, value + 1);
    }
    if (status == CONVOKE_OK) {
        status = convoke_node_open(options, &node);
    }
    convoke_options_free(options);
    if (status == CONVOKE_OK) {
        status = convoke_queue_new(node, &queue);
    }
    if (status == CONVOKE_OK) {
        status = convoke_queue_set_handler(queue, on_event, NULL, NULL);
    }
    if (status == CONVOKE_OK) {
        status = convoke_queue_start_thread(queue);
    }
    return status;
}

/* Registers (or unregisters) prefix0 ... prefix<count-1>, all in flight at once. */
static void bulk(bool add, const char *prefix, int count) {
    convoke_status status = CONVOKE_OK, failure = CONVOKE_OK;
    int started = 0, failed = 0;
    if (bulk_process == NULL) {
        status = convoke_process_spawn(node, NULL, &bulk_process);
    }
    for (int i = 0; i < count && status == CONVOKE_OK; i++) {
        char name[128];
        convoke_ref op;
        int len = snprintf(name, sizeof name, "%s%d", prefix, i);
        status = add ? convoke_name_register(bulk_process, name, (size_t)len, NULL, NULL, LONG, &op)
                     : convoke_name_unregister(bulk_process, name, (size_t)len, LONG, &op);
        started += status == CONVOKE_OK;
    }
    for (int i = 0; i < started && status == CONVOKE_OK; i++) {
        convoke_event *event = NULL;
        const char *detail;
        status = convoke_process_recv(bulk_process, LONG, &event);
        if (status == CONVOKE_OK) {
            convoke_status result = convoke_event_result(event, &detail);
            failed += result != CONVOKE_OK;
            failure = result != CONVOKE_OK ? result : failure;
            convoke_event_free(event);
        }
    }
    if (status != CONVOKE_OK) {
        answer_status(status);
    } else {
        printf("= ok %d failed %s\n", failed, failed ? convoke_status_name(failure) : "");
    }
}

/* Sends until the receiver has no room. */
static void flood(convoke_process *from, const convoke_pid *to, size_t size) {
    char *payload = calloc(1, size);
    long long sent = 0;
    convoke_status status = CONVOKE_E_MEMORY;
    while (payload != NULL && (status = convoke_send(from, to, payload, size)) == CONVOKE_OK) {
        sent++;
    }
    free(payload);
    if (status == CONVOKE_E_FULL) {
        printf("= ok %lld\n", sent);
    } else {
        answer_status(status);
    }
}

/* Takes so many messages from a mailbox. */
static void drain(convoke_process *process, long long count) {
    convoke_status status = CONVOKE_OK;
    for (long long taken = 0; taken < count && status == CONVOKE_OK;) {
        convoke_event *event = NULL;
        status = convoke_process_recv(process, 30000, &event);
        taken += convoke_event_get_kind(event) == CONVOKE_EVENT_MESSAGE;
        convoke_event_free(event);
    }
    answer_status(status);
}

static void list(convoke_status status, convoke_list *names) {
    if (status != CONVOKE_OK) {
        answer_status(status);
        return;
    }
    size_t count = convoke_list_len(names);
    flockfile(stdout); /* no event gets between the words */
    printf("= ok %zu", count);
    for (size_t i = 0; i < count && i < 100; i++) {
        const void *data;
        size_t len;
        if (convoke_list_name(names, i, &data, &len) == CONVOKE_OK) {
            printf(" %.*s", (int)len, (const char *)data);
        }
    }
    printf("\n");
    funlockfile(stdout);
    convoke_list_free(names);
}

static void print_pids(const convoke_list *rows) {
    char text[80];
    for (size_t i = 0; i < convoke_list_len(rows); i++) {
        convoke_pid pid;
        if (convoke_list_pid(rows, i, &pid) == CONVOKE_OK) {
            printf(" %s", pid_text(&pid, text, sizeof text));
        }
    }
}

static void print_name(const convoke_list *rows, size_t row) {
    const void *data = "";
    size_t len = 0;
    (void)convoke_list_name(rows, row, &data, &len);
    printf("%.*s", (int)len, (const char *)data);
}

/* Everything that this node shows, in one line: "peers a b; name n pid; group g pid pid; lock l pid fence waiter". */
static void tables(void) {
    convoke_list *rows = NULL, *members = NULL;
    convoke_status status = CONVOKE_OK;
    char text[80];
    flockfile(stdout);
    printf("= ok peers");
    if ((status = convoke_node_peers(node, &rows)) == CONVOKE_OK) {
        for (size_t i = 0; i < convoke_list_len(rows); i++) {
            printf(" ");
            print_name(rows, i);
        }
    }
    convoke_list_free(rows);
    if (status == CONVOKE_OK && (status = convoke_name_list(node, NULL, 0, &rows)) == CONVOKE_OK) {
        for (size_t i = 0; i < convoke_list_len(rows); i++) {
            convoke_pid pid = {0, 0};
            (void)convoke_list_pid(rows, i, &pid);
            printf("; name ");
            print_name(rows, i);
            printf(" %s", pid_text(&pid, text, sizeof text));
        }
        convoke_list_free(rows);
    }
    if (status == CONVOKE_OK && (status = convoke_group_list(node, &rows)) == CONVOKE_OK) {
        for (size_t i = 0; i < convoke_list_len(rows); i++) {
            const void *data;
            size_t len;
            printf("; group ");
            print_name(rows, i);
            if (convoke_list_name(rows, i, &data, &len) == CONVOKE_OK &&
                convoke_group_members(node, data, len, &members) == CONVOKE_OK) {
                print_pids(members);
                convoke_list_free(members);
            }
        }
        convoke_list_free(rows);
    }
    if (status == CONVOKE_OK && (status = convoke_lock_list(node, NULL, 0, &rows)) == CONVOKE_OK) {
        for (size_t i = 0; i < convoke_list_len(rows); i++) {
            convoke_pid pid = {0, 0};
            uint64_t fence = 0, is_waiter = 0;
            (void)convoke_list_pid(rows, i, &pid);
            (void)convoke_list_u64(rows, i, CONVOKE_FIELD_FENCE, &fence);
            (void)convoke_list_u64(rows, i, CONVOKE_FIELD_IS_WAITER, &is_waiter);
            printf("; lock ");
            print_name(rows, i);
            printf(" %s %" PRIu64 " %s", pid_text(&pid, text, sizeof text), fence, is_waiter ? "waits" : "holds");
        }
        convoke_list_free(rows);
    }
    printf("%s\n", status == CONVOKE_OK ? "" : "; failed");
    funlockfile(stdout);
}

static void run(char *line) {
    char *rest = strchr(line, ' ');
    if (rest != NULL) {
        *rest++ = '\0';
    }
    if (strcmp(line, "open") == 0) {
        char address[128], name[256];
        size_t len;
        convoke_status status = open_node(rest);
        if (status == CONVOKE_OK) {
            status = convoke_node_address(node, address, sizeof address, &len);
        }
        if (status == CONVOKE_OK) {
            status = convoke_node_name(node, name, sizeof name, &len);
        }
        if (status == CONVOKE_OK) {
            printf("= ok %s %s\n", name, address);
        } else {
            answer_status(status);
        }
        return;
    }
    char *words[6] = {NULL, NULL, NULL, NULL, NULL, NULL};
    int count = 0;
    for (char *word = rest != NULL ? strtok(rest, " ") : NULL; word != NULL && count < 6; word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    convoke_process *process = process_arg(words[0]);
    const char *text = words[1] != NULL ? words[1] : "";
    convoke_pid pid = parse(text);
    int64_t timeout = words[2] != NULL ? atoll(words[2]) : 10000;
    convoke_ref ref = 0;
    char buf[80];
    if (strcmp(line, "spawn") == 0 || strcmp(line, "spawn_mailbox") == 0) {
        convoke_process *made = NULL;
        convoke_queue *on = strcmp(line, "spawn") == 0 ? queue : NULL;
        convoke_status status =
            process_count < MAX_PROCESSES ? convoke_process_spawn(node, on, &made) : CONVOKE_E_FULL;
        if (status == CONVOKE_OK) {
            processes[process_count] = made;
            (void)convoke_process_pid(made, &pid);
            printf("= ok %d %s\n", process_count++, pid_text(&pid, buf, sizeof buf));
        } else {
            answer_status(status);
        }
    } else if (strcmp(line, "register") == 0) {
        answer_status(convoke_name_register(process, text, strlen(text), NULL, NULL, timeout, NULL));
    } else if (strcmp(line, "register_for") == 0) { /* process name timeout pid */
        convoke_pid other = parse(words[3] != NULL ? words[3] : "");
        answer_status(convoke_name_register(process, text, strlen(text), &other, NULL, timeout, NULL));
    } else if (strcmp(line, "reregister") == 0) {
        answer_status(convoke_name_reregister(process, text, strlen(text), NULL, NULL, timeout, NULL));
    } else if (strcmp(line, "unregister") == 0) {
        answer_status(convoke_name_unregister(process, text, strlen(text), timeout, NULL));
    } else if (strcmp(line, "lock") == 0) {
        uint64_t fence = 0;
        convoke_status status = convoke_lock_acquire(process, text, strlen(text), NULL, 0, timeout, &fence, NULL);
        if (status == CONVOKE_OK) {
            printf("= ok %" PRIu64 "\n", fence);
        } else {
            answer_status(status);
        }
    } else if (strcmp(line, "unlock") == 0) {
        answer_status(convoke_lock_release(process, text, strlen(text), NULL, 0, timeout, NULL));
    } else if (strcmp(line, "lock_check") == 0) {
        answer_status(convoke_lock_check(process, text, strlen(text), NULL, 0, NULL));
    } else if (strcmp(line, "create") == 0) {
        answer_status(convoke_group_create(process, text, strlen(text), timeout, NULL));
    } else if (strcmp(line, "join") == 0) {
        answer_status(convoke_group_join(process, text, strlen(text), NULL, timeout, NULL));
    } else if (strcmp(line, "sync") == 0) { /* process timeout */
        answer_status(convoke_node_sync(process, atoll(text), NULL));
    } else if (strcmp(line, "tables") == 0) {
        tables();
    } else if (strcmp(line, "handles") == 0) {
        printf("= ok %zu\n", convoke_live_handles());
    } else if (strcmp(line, "churn") == 0) { /* seed threads */
        churn_start(node, words[0] != NULL ? strtoull(words[0], NULL, 10) : 1, atoi(text));
        printf("= ok\n");
    } else if (strcmp(line, "churn_stop") == 0) {
        churn_stop();
    } else if (strcmp(line, "churn_live") == 0) {
        churn_live();
    } else if (strcmp(line, "churn_exit") == 0) {
        churn_exit();
    } else if (strcmp(line, "churn_end") == 0) {
        churn_end();
    } else if (strcmp(line, "whereis") == 0) {
        const char *name = words[0] != NULL ? words[0] : "";
        convoke_status status = convoke_name_whereis(node, name, strlen(name), &pid);
        if (status == CONVOKE_OK) {
            printf("= ok %s\n", pid_text(&pid, buf, sizeof buf));
        } else {
            answer_status(status);
        }
    } else if (strcmp(line, "names") == 0) {
        const char *prefix = words[0] != NULL ? words[0] : "";
        convoke_list *names = NULL;
        convoke_status status = convoke_name_list(node, prefix, strlen(prefix), &names);
        list(status, names);
    } else if (strcmp(line, "peers") == 0) {
        convoke_list *peers = NULL;
        convoke_status status = convoke_node_peers(node, &peers);
        list(status, peers);
    } else if (strcmp(line, "monitor") == 0) {
        answer_status(convoke_process_monitor(process, &pid, &ref));
    } else if (strcmp(line, "monitor_name") == 0) {
        answer_status(convoke_name_monitor(process, text, strlen(text), &ref));
    } else if (strcmp(line, "monitor_nodes") == 0) {
        answer_status(convoke_node_monitor(process, &ref));
    } else if (strcmp(line, "alive") == 0) {
        bool alive = false;
        convoke_status status = convoke_process_is_alive(process, &pid, timeout, &alive, NULL);
        if (status == CONVOKE_OK) {
            printf("= ok %s\n", alive ? "alive" : "dead");
        } else {
            answer_status(status);
        }
    } else if (strcmp(line, "kill") == 0) {
        answer_status(convoke_process_kill(process, &pid, CONVOKE_REASON_KILLED));
    } else if (strcmp(line, "exit") == 0) {
        answer_status(convoke_process_exit(process, (convoke_reason)atoi(text), "bye", 3));
    } else if (strcmp(line, "free") == 0) {
        convoke_process_free(process);
        answer_status(CONVOKE_OK);
    } else if (strcmp(line, "send") == 0) { /* process pid text */
        const char *payload = words[2] != NULL ? words[2] : "";
        answer_status(convoke_send(process, &pid, payload, strlen(payload)));
    } else if (strcmp(line, "send_name") == 0) { /* process name text */
        const char *payload = words[2] != NULL ? words[2] : "";
        answer_status(convoke_send_name(process, text, strlen(text), payload, strlen(payload), &pid));
    } else if (strcmp(line, "send_size") == 0) { /* process pid size */
        char *payload = calloc(1, (size_t)timeout + 1);
        answer_status(payload != NULL ? convoke_send(process, &pid, payload, (size_t)timeout) : CONVOKE_E_MEMORY);
        free(payload);
    } else if (strcmp(line, "flood") == 0) { /* process pid size */
        flood(process, &pid, (size_t)timeout);
    } else if (strcmp(line, "drain") == 0) { /* process count */
        drain(process, atoll(text));
    } else if (strcmp(line, "connect") == 0) {
        answer_status(convoke_node_connect(process, text, timeout, NULL));
    } else if (strcmp(line, "disconnect") == 0) {
        answer_status(convoke_node_disconnect(process, text, timeout, NULL));
    } else if (strcmp(line, "bulk_register") == 0) { /* prefix count */
        bulk(true, words[0], atoi(text));
    } else if (strcmp(line, "bulk_unregister") == 0) {
        bulk(false, words[0], atoi(text));
    } else if (strcmp(line, "close") == 0) {
        answer_status(convoke_node_close(node, 5000));
    } else {
        printf("= unknown command\n");
    }
}

int main(void) {
    char line[4096];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        run(line);
    }
    for (int i = 0; i < process_count; i++) {
        convoke_process_free(processes[i]);
    }
    convoke_process_free(bulk_process);
    convoke_queue_free(queue);
    convoke_node_free(node);
    return 0;
}
