/* Exactly one of many. Start this program as often as you like, on one machine or on many: the instance that holds the
 * cluster-wide name JOB works, all others stand by, and when it dies one of them takes over. */
#include "common.h"
#include <time.h>

static const char USAGE[] =
    "usage: singleton [options] JOB\n"
    "One instance in the cluster works at JOB; the others wait for its end and one of them takes over.\n"
    "Send JOB a message (./directory ask JOB hello) and the instance that works answers.\n\n";

struct instance {
    const char *job;
    const struct settings *settings;
    convoke_node *node;
    convoke_queue *queue;
    convoke_process *process;
    int works;
    time_t since;
    unsigned long pieces;
};

/* Who stands by is told when the holder goes. This is for what cannot be told: a try that failed for want of time, or a
 * holder that other nodes see and this one has no link to. */
#define RETRY_MS 5000

/* What only one may do: a piece at a time, short enough to hear of the next event soon. */
static void work(struct instance *instance) { instance->pieces++; }

static int holder_is_known(const struct instance *instance) {
    convoke_pid holder;
    return convoke_name_whereis(instance->node, instance->job, strlen(instance->job), &holder) == CONVOKE_OK;
}

/* Asks the whole cluster for the name. All nodes must agree, so of several instances that ask at once one gets it. */
static void try_to_work(struct instance *instance) {
    char holder_text[256];
    convoke_pid holder;
    convoke_status status = convoke_name_register(instance->process, instance->job, strlen(instance->job), NULL, NULL,
                                                  instance->settings->wait_ms, NULL);
    if (status == CONVOKE_OK) {
        instance->works = 1;
        instance->since = time(NULL);
        printf("works: holds \"%s\"\n", instance->job);
    } else if (status == CONVOKE_E_EXISTS) {
        status = convoke_name_whereis(instance->node, instance->job, strlen(instance->job), &holder);
        printf("stands by: \"%s\" is held by %s\n", instance->job,
               status == CONVOKE_OK ? describe_pid(instance->node, &holder, holder_text, sizeof holder_text) : "another");
    } else if (convoke_status_is_retryable(status)) {
        printf("stands by: %s\n", convoke_status_text(status));
    } else if (status != CONVOKE_E_NO_PROCESS) { /* that: killed meanwhile, the EXIT event is on its way */
        check(status, "register");
    }
}

/* The process that stands for this instance in the cluster: the name will be its, and goes with it. */
static void start_process(struct instance *instance) {
    convoke_ref monitor;
    check(convoke_process_spawn(instance->node, instance->queue, &instance->process), "spawn");
    check(convoke_name_monitor(instance->process, instance->job, strlen(instance->job), &monitor), "monitor of the name");
    try_to_work(instance);
}

static void answer(struct instance *instance, const convoke_event *event) {
    char text[512], asker_text[256];
    convoke_pid asker;
    check(convoke_event_peer(event, &asker), "sender");
    snprintf(text, sizeof text, "%s holds \"%s\" for %ld s now, %lu pieces of work done", instance->settings->name,
             instance->job, (long)(time(NULL) - instance->since), instance->pieces);
    convoke_status status = convoke_send(instance->process, &asker, text, strlen(text));
    /* An asker that is gone or has no room is no reason to stop working. */
    printf("answers %s%s%s\n", describe_pid(instance->node, &asker, asker_text, sizeof asker_text),
           status == CONVOKE_OK ? "" : ": ", status == CONVOKE_OK ? "" : convoke_status_text(status));
}

static void handle(struct instance *instance, const convoke_event *event) {
    convoke_pid pid;
    switch (convoke_event_get_kind(event)) {
    case CONVOKE_EVENT_MESSAGE:
        answer(instance, event);
        break;
    case CONVOKE_EVENT_NAME_CHANGED: /* at once with the present holder, then at every change */
        check(convoke_event_peer(event, &pid), "holder");
        if (is_nobody(&pid) && !instance->works) try_to_work(instance);
        break;
    case CONVOKE_EVENT_NAME_CONFLICT: /* somebody registered the name anew for another process */
        instance->works = 0;
        printf("stops: \"%s\" was given to another\n", instance->job);
        break;
    case CONVOKE_EVENT_EXIT:
        /* About ourselves, there is no other monitor. After a network split both halves may have had a holder; when they
         * join, one of the two is chosen and the other killed. The work stops here before anything else is done. */
        instance->works = 0;
        printf("stops: lost \"%s\" (reason %u)\n", instance->job, convoke_event_get_reason(event));
        convoke_process_free(instance->process);
        start_process(instance);
        break;
    case CONVOKE_EVENT_NODE_CLOSED:
        fprintf(stderr, "the node was closed (reason %u)\n", convoke_event_get_reason(event));
        exit(1);
    default: break; /* a later library may tell more */
    }
}

int main(int argc, char **argv) {
    struct settings settings;
    struct instance instance = {0};
    read_settings(argc, argv, USAGE, &settings);
    if (argc != optind + 1) {
        fprintf(stderr, "%s%s", USAGE, COMMON_USAGE);
        return 2;
    }
    instance.job = argv[optind];
    instance.settings = &settings;
    instance.node = open_node(&settings);
    check(convoke_queue_new(instance.node, &instance.queue), "queue");
    stop_on_signals(instance.queue);
    start_process(&instance);

    while (!stopping) {
        convoke_event *event;
        convoke_status status = convoke_queue_next(instance.queue, instance.works ? 100 : RETRY_MS, &event);
        if (status == CONVOKE_OK) {
            handle(&instance, event);
            convoke_event_free(event);
        } else if (status != CONVOKE_E_TIMEOUT) {
            check(status, "queue");
        } else if (instance.works) {
            work(&instance);
        } else if (!holder_is_known(&instance)) {
            try_to_work(&instance);
        }
    }
    printf("leaves\n");
    check(convoke_node_close(instance.node, 5000), "close");
    convoke_process_free(instance.process);
    convoke_queue_free(instance.queue);
    convoke_node_free(instance.node);
    return 0;
}
