/* Metrics and dumps: texts that are whole, of open nodes and never of closed ones, from any number of threads. */
#include "check.h"

static const char *text_of(convoke_list *list) {
    const void *data;
    size_t len;
    CHECK(convoke_list_len(list) == 1);
    OK(convoke_list_bytes(list, 0, CONVOKE_FIELD_TEXT, &data, &len));
    CHECK(strlen((const char *)data) == len);
    STATUS(CONVOKE_E_NOT_FOUND, convoke_list_name(list, 0, &data, &len));
    STATUS(CONVOKE_E_INVALID, convoke_list_bytes(list, 1, CONVOKE_FIELD_TEXT, &data, &len));
    OK(convoke_list_bytes(list, 0, CONVOKE_FIELD_TEXT, &data, &len));
    return (const char *)data;
}

static void metrics(convoke_node *node) {
    convoke_list *list;
    const char *text;
    OK(convoke_node_metrics(node, &list));
    text = text_of(list);
    CHECK(strstr(text, "# TYPE convoke_links gauge\n"));
    CHECK(strstr(text, "convoke_links{node=\"seen\"} 1\n"));
    CHECK(strstr(text, "convoke_names_own{node=\"seen\"} 1\n"));
    CHECK(strstr(text, "convoke_node_thread_answers{node=\"seen\"} 1\n"));
    CHECK(strstr(text, "convoke_register_seconds_count{node=\"seen\"} 1\n"));
    CHECK(strcmp(text + strlen(text) - 6, "# EOF\n") == 0);
    convoke_list_free(list);
}

static void dump(convoke_node *node) {
    convoke_list *list;
    const char *text;
    OK(convoke_node_dump(node, &list));
    text = text_of(list);
    CHECK(text[0] == '{' && text[strlen(text) - 1] == '}');
    CHECK(strstr(text, "\"name\": \"seen\"") && strstr(text, "\"name\": \"peer\""));
    CHECK(strstr(text, "\"node_thread\": \"answers\""));
    convoke_list_free(list);
}

static void *again(void *node) {
    int i;
    for (i = 0; i < 50; i++) {
        metrics((convoke_node *)node);
        dump((convoke_node *)node);
    }
    return NULL;
}

int main(void) {
    convoke_node *node = open_node("seen", NULL), *peer = open_peer("peer", node);
    convoke_process *process = spawn(node, NULL);
    convoke_list *list;
    pthread_t threads[3];
    int i;
    OK(convoke_name_register(process, "name", 4, NULL, NULL, SOON, NULL));
    again(node);
    for (i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, again, node) == 0);
    for (i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    convoke_process_free(process);
    close_node(peer);
    OK(convoke_node_close(node, SOON));
    STATUS(CONVOKE_E_CLOSED, convoke_node_metrics(node, &list));
    CHECK(list == NULL);
    STATUS(CONVOKE_E_CLOSED, convoke_node_dump(node, &list));
    CHECK(list == NULL);
    convoke_node_free(node);
    return done();
}
