/* A directory of services: servers register names, clients look them up, send a request and get an answer.
 * There is no directory server; every program that runs this is a node and has the whole directory in its memory. */
#include "common.h"
#include <ctype.h>
#include <time.h>

static const char USAGE[] =
    "usage: directory [options] serve SERVICE...   answer requests to these names until interrupted\n"
    "       directory [options] lookup SERVICE     say who serves it\n"
    "       directory [options] ask SERVICE TEXT   send it a request and print the answer\n"
    "       directory [options] list [PREFIX]      print all names\n\n";

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the server: a process per service, all on one queue, each with its own callback */

struct service {
    const char *name;
    const convoke_node *node;
    convoke_process *process;
    size_t *alive;
};

/* Runs on the thread that calls convoke_queue_dispatch, with no lock held: it may call anything. */
static void serve_event(convoke_event *event, void *user_data) {
    struct service *service = user_data;
    char text[1024], asker_text[256];
    const void *request;
    size_t length, at;
    convoke_pid asker;
    convoke_status status;
    switch (convoke_event_get_kind(event)) {
    case CONVOKE_EVENT_MESSAGE:
        check(convoke_event_peer(event, &asker), "sender");
        check(convoke_event_payload(event, &request, &length), "payload");
        length = (size_t)snprintf(text, sizeof text, "%s says: %.*s", service->name, (int)(length > 900 ? 900 : length),
                                  (const char *)request);
        for (at = 0; at < length; at++) text[at] = (char)toupper((unsigned char)text[at]);
        status = convoke_send(service->process, &asker, text, length);
        printf("%s answers %s%s%s\n", service->name, describe_pid(service->node, &asker, asker_text, sizeof asker_text),
               status == CONVOKE_OK ? "" : ": ", status == CONVOKE_OK ? "" : convoke_status_text(status));
        break;
    case CONVOKE_EVENT_EXIT: /* killed: after a network split, another process kept the name */
        printf("%s is lost (reason %u)\n", service->name, convoke_event_get_reason(event));
        --*service->alive;
        break;
    case CONVOKE_EVENT_NAME_CONFLICT:
        printf("%s was given to another process\n", service->name);
        break;
    default: break; /* a later library may tell more */
    }
}

/* What is for no process in particular. */
static void queue_event(convoke_event *event, void *user_data) {
    if (convoke_event_get_kind(event) == CONVOKE_EVENT_NODE_CLOSED) {
        printf("the node was closed (reason %u)\n", convoke_event_get_reason(event));
        *(size_t *)user_data = 0;
    }
}

static int serve(convoke_node *node, const struct settings *settings, char **names, int count) {
    struct service *services = calloc((size_t)count, sizeof *services);
    size_t alive = 0;
    convoke_queue *queue;
    int at, result = 0;
    if (!services) return 1;
    check(convoke_queue_new(node, &queue), "queue");
    check(convoke_queue_set_handler(queue, queue_event, &alive, NULL), "handler of the queue");
    stop_on_signals(queue);
    for (at = 0; at < count && result == 0; at++) {
        struct service *service = &services[at];
        char holder_text[256];
        convoke_pid holder;
        convoke_status status;
        service->name = names[at];
        service->node = node;
        service->alive = &alive;
        check(convoke_process_spawn(node, queue, &service->process), "spawn");
        check(convoke_process_set_handler(service->process, serve_event, service, NULL), "handler");
        status = convoke_name_register(service->process, service->name, strlen(service->name), NULL, NULL,
                                       settings->wait_ms, NULL);
        if (status == CONVOKE_E_EXISTS) {
            status = convoke_name_whereis(node, service->name, strlen(service->name), &holder);
            printf("refused: \"%s\" is held by %s\n", service->name,
                   status == CONVOKE_OK ? describe_pid(node, &holder, holder_text, sizeof holder_text) : "another");
            result = 3;
        } else {
            check(status, "register");
            printf("serves \"%s\"\n", service->name);
            alive++;
        }
    }
    while (result == 0 && !stopping && alive > 0) {
        uint32_t handled;
        convoke_status status = convoke_queue_dispatch(queue, 64, CONVOKE_WAIT_FOREVER, &handled);
        if (status != CONVOKE_E_TIMEOUT) check(status, "dispatch");
    }
    check(convoke_node_close(node, 5000), "close");
    for (at = 0; at < count; at++) convoke_process_free(services[at].process);
    convoke_queue_free(queue);
    free(services);
    return result;
}

/* ---- the client: one process with its own mailbox */

/* Waits until the name is bound. Who serves it may not have started yet, so the client watches the name and does not ask again
 * and again. */
static int wait_for(convoke_process *self, const char *name, int64_t until, convoke_pid *pid_out) {
    convoke_ref monitor;
    int found = 0;
    check(convoke_name_monitor(self, name, strlen(name), &monitor), "monitor of the name");
    while (!found && now_ms() < until) {
        convoke_event *event;
        convoke_status status = convoke_process_recv(self, until - now_ms() > 0 ? until - now_ms() : 0, &event);
        if (status == CONVOKE_E_TIMEOUT) break;
        check(status, "receive");
        if (convoke_event_get_kind(event) == CONVOKE_EVENT_NAME_CHANGED) {
            check(convoke_event_peer(event, pid_out), "holder");
            found = !is_nobody(pid_out);
        }
        convoke_event_free(event);
    }
    check(convoke_cancel(self, monitor), "cancel");
    return found;
}

static int ask(convoke_process *self, const convoke_pid *server, const char *text, int64_t until) {
    convoke_ref monitor;
    int result = -1;
    check(convoke_process_monitor(self, server, &monitor), "monitor of the server");
    check(convoke_send(self, server, text, strlen(text)), "send");
    while (result < 0) {
        const void *answer;
        size_t length;
        convoke_event *event;
        convoke_status status = convoke_process_recv(self, until - now_ms() > 0 ? until - now_ms() : 0, &event);
        if (status == CONVOKE_E_TIMEOUT) {
            fprintf(stderr, "no answer in time\n");
            return 4;
        }
        check(status, "receive");
        if (convoke_event_get_kind(event) == CONVOKE_EVENT_MESSAGE) {
            check(convoke_event_payload(event, &answer, &length), "payload");
            printf("answer: %.*s\n", (int)length, (const char *)answer);
            result = 0;
        } else if (convoke_event_get_kind(event) == CONVOKE_EVENT_EXIT) { /* exactly one, whatever befell it */
            fprintf(stderr, "the server ended before it answered (reason %u)\n", convoke_event_get_reason(event));
            result = 5;
        }
        convoke_event_free(event);
    }
    return result;
}

static int list(convoke_node *node, const char *prefix) {
    convoke_list *names;
    size_t at;
    check(convoke_name_list(node, prefix, strlen(prefix), &names), "list");
    for (at = 0; at < convoke_list_len(names); at++) {
        const void *name;
        size_t length;
        convoke_pid pid;
        char holder_text[256];
        check(convoke_list_name(names, at, &name, &length), "name");
        check(convoke_list_pid(names, at, &pid), "pid");
        printf("%.*s %s\n", (int)length, (const char *)name, describe_pid(node, &pid, holder_text, sizeof holder_text));
    }
    convoke_list_free(names);
    return 0;
}

int main(int argc, char **argv) {
    struct settings settings;
    convoke_node *node;
    convoke_process *self;
    convoke_pid server;
    char holder_text[256];
    int64_t until;
    int words, result;
    read_settings(argc, argv, USAGE, &settings);
    words = argc - optind;
    const char *role = words > 0 ? argv[optind] : "";
    const int is_serve = strcmp(role, "serve") == 0 && words >= 2, is_lookup = strcmp(role, "lookup") == 0 && words == 2;
    const int is_ask = strcmp(role, "ask") == 0 && words == 3, is_list = strcmp(role, "list") == 0 && words <= 2;
    if (!(is_serve || is_lookup || is_ask || is_list)) {
        fprintf(stderr, "%s%s", USAGE, COMMON_USAGE);
        return 2;
    }
    node = open_node(&settings);
    check(convoke_process_spawn(node, NULL, &self), "spawn");
    if (is_serve) {
        result = serve(node, &settings, argv + optind + 1, words - 1);
    } else {
        until = now_ms() + settings.wait_ms;
        if (is_list) {
            result = list(node, words == 2 ? argv[optind + 1] : "");
        } else if (!wait_for(self, argv[optind + 1], until, &server)) {
            fprintf(stderr, "nobody serves \"%s\"\n", argv[optind + 1]);
            result = 3;
        } else {
            printf("found: \"%s\" is %s\n", argv[optind + 1], describe_pid(node, &server, holder_text, sizeof holder_text));
            result = is_ask ? ask(self, &server, argv[optind + 2], until) : 0;
        }
        check(convoke_node_close(node, 5000), "close");
    }
    convoke_process_free(self);
    convoke_node_free(node);
    return result;
}
