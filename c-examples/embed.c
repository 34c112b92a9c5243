/* Two nodes of a cluster in one program: one registers a name, the other finds it and sends to it. */
#include <convoke.h>
#include <stdio.h>
#include <stdlib.h>

static void check(convoke_status status, const char *what) {
    char detail[256];
    if (status == CONVOKE_OK) return;
    convoke_last_error(detail, sizeof detail);
    fprintf(stderr, "%s: %s %s\n", what, convoke_status_text(status), detail);
    exit(1);
}

static convoke_node *open_node(const char *name, convoke_process **process_out) {
    convoke_options *options;
    convoke_node *node;
    check(convoke_options_new(&options), "options");
    check(convoke_options_set(options, "name", name), "the option name");
    check(convoke_options_set(options, "listen", "127.0.0.1:0"), "the option listen"); /* any free port */
    check(convoke_node_open(options, &node), "open");
    check(convoke_process_spawn(node, NULL, process_out), "spawn"); /* NULL: a mailbox of its own */
    convoke_options_free(options);
    return node;
}

int main(void) {
    convoke_process *greeter, *caller;
    convoke_node *one = open_node("one", &greeter), *two = open_node("two", &caller);
    convoke_event *event;
    const void *text;
    size_t length;
    char address[64];

    check(convoke_node_address(one, address, sizeof address, NULL), "address");
    check(convoke_node_connect(caller, address, 5000, NULL), "connect");
    check(convoke_name_register(greeter, "greeter", 7, NULL, NULL, 5000, NULL), "register"); /* now every node shows it */
    check(convoke_send_name(caller, "greeter", 7, "hello from two", 14, NULL), "send");
    check(convoke_process_recv(greeter, 5000, &event), "receive");
    if (convoke_event_get_kind(event) != CONVOKE_EVENT_MESSAGE) return 1;
    check(convoke_event_payload(event, &text, &length), "payload");
    printf("one received: %.*s\n", (int)length, (const char *)text);
    convoke_event_free(event);

    check(convoke_node_close(two, 5000), "close");
    check(convoke_node_close(one, 5000), "close");
    convoke_process_free(caller), convoke_process_free(greeter);
    convoke_node_free(two), convoke_node_free(one);
    return 0;
}
