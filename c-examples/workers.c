/* A group of workers and a dispatcher. Workers join and leave as they like, on any node; whoever has work finds them in its
 * own memory: one of them for a job, all of them for an announcement. Who dies is out of the group at once. */
#include "common.h"

static const char USAGE[] =
    "usage: workers [options] work GROUP             do what is sent, until interrupted\n"
    "       workers [options] dispatch GROUP JOB...  wait for a worker, hand out the jobs, then tell all of the end\n"
    "       workers [options] watch GROUP            print who joins and leaves\n\n";

/* ---- a worker */

static int work(convoke_node *node, convoke_queue *queue, const char *group, const struct settings *settings) {
    convoke_process *self;
    unsigned long done = 0;
    check(convoke_process_spawn(node, queue, &self), "spawn");
    stop_on_signals(queue);
    check(convoke_group_create(self, group, strlen(group), settings->wait_ms, NULL), "create"); /* if it exists: nothing */
    check(convoke_group_join(self, group, strlen(group), NULL, settings->wait_ms, NULL), "join");
    printf("works in \"%s\"\n", group);
    while (!stopping) {
        convoke_event *event;
        convoke_status status = convoke_queue_next(queue, CONVOKE_WAIT_FOREVER, &event);
        if (status == CONVOKE_E_TIMEOUT) continue;
        check(status, "queue");
        if (convoke_event_get_kind(event) == CONVOKE_EVENT_MESSAGE) {
            const void *job;
            size_t length;
            convoke_pid dispatcher;
            char answer[256];
            check(convoke_event_payload(event, &job, &length), "payload");
            check(convoke_event_peer(event, &dispatcher), "dispatcher");
            printf("received: %.*s\n", (int)length, (const char *)job);
            length = (size_t)snprintf(answer, sizeof answer, "%s has done \"%.*s\", its job number %lu", settings->name,
                                      (int)(length > 100 ? 100 : length), (const char *)job, ++done);
            /* A dispatcher that is gone is no reason to stop. */
            status = convoke_send(self, &dispatcher, answer, length);
            if (status != CONVOKE_OK) printf("no answer: %s\n", convoke_status_text(status));
        } else if (convoke_event_get_kind(event) == CONVOKE_EVENT_NODE_CLOSED) {
            stopping = 1;
        }
        convoke_event_free(event);
    }
    printf("leaves\n");
    convoke_process_free(self); /* its membership ends with it */
    return 0;
}

/* ---- the dispatcher */

static convoke_event *next(convoke_queue *queue, int64_t wait_ms, const char *what) {
    convoke_event *event;
    check(convoke_queue_next(queue, wait_ms, &event), what);
    return event;
}

/* Waits until the group has a member: it is told of those that are there, then of each that comes. */
static void wait_for_worker(convoke_process *self, convoke_queue *queue, const char *group, int64_t wait_ms) {
    convoke_ref monitor;
    int found = 0;
    check(convoke_group_monitor(self, group, strlen(group), &monitor), "monitor of the group");
    while (!found) {
        convoke_event *event = next(queue, wait_ms, "waiting for a worker");
        found = convoke_event_get_kind(event) == CONVOKE_EVENT_GROUP_JOINED;
        convoke_event_free(event);
    }
    check(convoke_cancel(self, monitor), "cancel");
}

/* Hands one job to one worker and prints its answer. A worker that dies with it is replaced by another. */
static void dispatch(convoke_node *node, convoke_process *self, convoke_queue *queue, const char *group, const char *job,
                     int64_t wait_ms) {
    int answered = 0;
    while (!answered) {
        convoke_pid worker, sender;
        convoke_ref monitor;
        convoke_status status;
        char text[256];
        int over = 0;
        /* A worker on this very node if there is one, else any. */
        status = convoke_group_closest(node, group, strlen(group), &worker);
        if (status == CONVOKE_E_NO_PROCESS || status == CONVOKE_E_NOT_FOUND) {
            wait_for_worker(self, queue, group, wait_ms);
            continue;
        }
        check(status, "closest");
        check(convoke_process_monitor(self, &worker, &monitor), "monitor of the worker");
        printf("\"%s\" goes to %s\n", job, describe_pid(node, &worker, text, sizeof text));
        status = convoke_send(self, &worker, job, strlen(job));
        if (status != CONVOKE_OK && status != CONVOKE_E_UNREACHABLE && status != CONVOKE_E_NO_PROCESS) check(status, "send");
        while (!over) {
            convoke_event *event = next(queue, wait_ms, "waiting for an answer");
            const void *answer;
            size_t length;
            if (convoke_event_get_kind(event) == CONVOKE_EVENT_MESSAGE) {
                check(convoke_event_peer(event, &sender), "sender");
                check(convoke_event_payload(event, &answer, &length), "payload");
                if (memcmp(&sender, &worker, sizeof sender) == 0) {
                    printf("answer: %.*s\n", (int)length, (const char *)answer);
                    answered = over = 1;
                }
            } else if (convoke_event_get_kind(event) == CONVOKE_EVENT_EXIT && convoke_event_ref(event) == monitor) {
                printf("it ended before it answered; another gets the job\n");
                over = 1;
            }
            convoke_event_free(event);
        }
        check(convoke_cancel(self, monitor), "cancel");
    }
}

static int dispatch_all(convoke_node *node, convoke_queue *queue, const char *group, char **jobs, int count,
                        const struct settings *settings) {
    convoke_process *self;
    uint32_t told;
    int at;
    check(convoke_process_spawn(node, queue, &self), "spawn");
    wait_for_worker(self, queue, group, settings->wait_ms);
    for (at = 0; at < count; at++) dispatch(node, self, queue, group, jobs[at], settings->wait_ms);
    /* To every member at once. A member that has no room makes it E_FULL; the others have it all the same. */
    convoke_status status = convoke_group_send(self, group, strlen(group), "that is all for today", 21, &told);
    if (status != CONVOKE_E_FULL) check(status, "send to all");
    printf("told %u workers of the end\n", told);
    while (told > 0) {
        convoke_event *event = next(queue, settings->wait_ms, "waiting for all to answer");
        if (convoke_event_get_kind(event) == CONVOKE_EVENT_MESSAGE) told--;
        convoke_event_free(event);
    }
    printf("all have answered\n");
    convoke_process_free(self);
    return 0;
}

/* ---- the watcher */

static int watch(convoke_node *node, convoke_queue *queue, const char *group) {
    convoke_process *self;
    convoke_ref monitor;
    check(convoke_process_spawn(node, queue, &self), "spawn");
    stop_on_signals(queue);
    check(convoke_group_monitor(self, group, strlen(group), &monitor), "monitor of the group");
    while (!stopping) {
        convoke_event *event;
        convoke_pid member;
        char text[256];
        convoke_status status = convoke_queue_next(queue, CONVOKE_WAIT_FOREVER, &event);
        if (status == CONVOKE_E_TIMEOUT) continue;
        check(status, "queue");
        switch (convoke_event_get_kind(event)) {
        case CONVOKE_EVENT_GROUP_JOINED:
            check(convoke_event_peer(event, &member), "member");
            printf("joined: %s\n", describe_pid(node, &member, text, sizeof text));
            break;
        case CONVOKE_EVENT_GROUP_LEFT:
            check(convoke_event_peer(event, &member), "member");
            printf("left: %s, reason %u\n", describe_pid(node, &member, text, sizeof text), convoke_event_get_reason(event));
            break;
        case CONVOKE_EVENT_NODE_CLOSED: stopping = 1; break;
        default: break;
        }
        convoke_event_free(event);
    }
    printf("leaves\n");
    convoke_process_free(self);
    return 0;
}

int main(int argc, char **argv) {
    struct settings settings;
    convoke_node *node;
    convoke_queue *queue;
    int words, result;
    read_settings(argc, argv, USAGE, &settings);
    words = argc - optind;
    const char *role = words > 0 ? argv[optind] : "";
    const int is_work = strcmp(role, "work") == 0 && words == 2, is_watch = strcmp(role, "watch") == 0 && words == 2;
    const int is_dispatch = strcmp(role, "dispatch") == 0 && words >= 3;
    if (!(is_work || is_watch || is_dispatch)) {
        fprintf(stderr, "%s%s", USAGE, COMMON_USAGE);
        return 2;
    }
    node = open_node(&settings);
    check(convoke_queue_new(node, &queue), "queue");
    const char *group = argv[optind + 1];
    result = is_work    ? work(node, queue, group, &settings)
             : is_watch ? watch(node, queue, group)
                        : dispatch_all(node, queue, group, argv + optind + 2, words - 2, &settings);
    check(convoke_node_close(node, 5000), "close");
    convoke_queue_free(queue);
    convoke_node_free(node);
    return result;
}
