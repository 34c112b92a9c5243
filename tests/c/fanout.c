/* Who keeps up is never refused: messages to a group of a hundred members on another node, of which no more than sixteen are on
 * their way at a time, all get through. Credit must not lag behind reading. */
#include "check.h"

enum { MEMBERS = 100, MESSAGES = 300, ON_THEIR_WAY = 16 };

static int received;

static void count(convoke_event *event, void *user_data) {
    (void)user_data;
    if (convoke_event_get_kind(event) == CONVOKE_EVENT_MESSAGE) __atomic_fetch_add(&received, 1, __ATOMIC_ACQ_REL);
}

static void *read_all(void *queue) {
    convoke_status status;
    do status = convoke_queue_dispatch((convoke_queue *)queue, 0, -1, NULL);
    while (status == CONVOKE_OK);
    return NULL;
}

int main(void) {
    convoke_node *here = open_node("fanout-here", NULL), *there = open_peer("fanout-there", here);
    convoke_process *sender = spawn(here, NULL), *members[MEMBERS];
    convoke_queue *queue;
    pthread_t reader;
    char payload[100] = {0};
    uint32_t taken;
    int at;
    OK(convoke_queue_new(there, &queue));
    OK(convoke_queue_set_handler(queue, count, NULL, NULL));
    OK(convoke_group_create(sender, "crew", 4, SOON, NULL));
    for (at = 0; at < MEMBERS; at++) {
        members[at] = spawn(there, queue);
        OK(convoke_group_join(members[at], "crew", 4, NULL, SOON, NULL));
    }
    CHECK(pthread_create(&reader, NULL, read_all, queue) == 0);
    for (at = 0; at < MESSAGES; at++) {
        await(&received, (at - ON_THEIR_WAY) * MEMBERS);
        OK(convoke_group_send(sender, "crew", 4, payload, sizeof payload, &taken));
        CHECK(taken == MEMBERS);
    }
    await(&received, MESSAGES * MEMBERS);
    CHECK(__atomic_load_n(&received, __ATOMIC_ACQUIRE) == MESSAGES * MEMBERS);
    for (at = 0; at < MEMBERS; at++) convoke_process_free(members[at]);
    convoke_process_free(sender);
    convoke_queue_free(queue);
    CHECK(pthread_join(reader, NULL) == 0);
    close_node(there);
    close_node(here);
    return done();
}
