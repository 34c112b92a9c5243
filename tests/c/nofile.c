/* No descriptors are left: opening and making things fails with a clean status at whatever point it happens, leaks
 * nothing, and works again when there are. */
#include "check.h"

#include <fcntl.h>
#include <sys/resource.h>

/* The lowest descriptor that is free. */
static int first_free(void) {
    int fd = open("/dev/null", O_RDONLY);
    CHECK(fd >= 0);
    close(fd);
    return fd;
}

static void limit(rlim_t most) {
    struct rlimit now;
    CHECK(getrlimit(RLIMIT_NOFILE, &now) == 0);
    now.rlim_cur = most;
    CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
}

/* CONVOKE_OK or CONVOKE_E_IO with a text, nothing else. */
static bool clean(convoke_status status) {
    if (status == CONVOKE_OK) return true;
    STATUS(CONVOKE_E_IO, status);
    CHECK(convoke_last_error(NULL, 0) > 0);
    return false;
}

/* A node that cannot be dialled for want of a descriptor says so, and not that nobody answers. */
static void connect_without_descriptors(void) {
    convoke_node *near = open_node(NULL, NULL), *far = open_node(NULL, NULL);
    convoke_process *process = spawn(near, NULL);
    struct rlimit normal;
    char address[64];
    OK(convoke_node_address(far, address, sizeof address, NULL));
    CHECK(getrlimit(RLIMIT_NOFILE, &normal) == 0);
    limit((rlim_t)first_free());
    STATUS(CONVOKE_E_IO, convoke_node_connect(process, address, SOON, NULL));
    CHECK(convoke_last_error(NULL, 0) > 0);
    limit(normal.rlim_cur);
    OK(convoke_node_connect(process, address, SOON, NULL));
    convoke_process_free(process);
    close_node(near);
    close_node(far);
}

int main(void) {
    struct rlimit normal;
    convoke_node *node, *lasting;
    convoke_queue *queue;
    convoke_process *process;
    int lowest, room, opened = 0, refused = 0;
    /* What the first use of the library keeps open, if anything, is there from here on. */
    close_node(open_node(NULL, NULL));
    lasting = open_node(NULL, NULL);
    CHECK(getrlimit(RLIMIT_NOFILE, &normal) == 0);
    lowest = first_free();
    for (room = 0; room < 24; room++) {
        limit((rlim_t)(lowest + room));
        if (clean(convoke_node_open(NULL, &node))) {
            opened++;
            if (clean(convoke_queue_new(node, &queue))) {
                if (clean(convoke_process_spawn(node, queue, &process))) convoke_process_free(process);
                convoke_queue_free(queue);
            }
            /* A mailbox may need its descriptor late: then recv says so. */
            if (clean(convoke_process_spawn(node, NULL, &process))) {
                convoke_event *event;
                convoke_status status = convoke_process_recv(process, 1, &event);
                CHECK(status == CONVOKE_E_TIMEOUT || status == CONVOKE_E_IO);
                convoke_process_free(process);
            }
            close_node(node);
        } else {
            refused++;
        }
        /* A node that is open goes on: nobody can connect, but it does not spin or fall. */
        if (clean(convoke_queue_new(lasting, &queue))) convoke_queue_free(queue);
        limit(normal.rlim_cur);
        CHECK(first_free() == lowest);
        CHECK(convoke_live_handles() == 1);
    }
    CHECK(refused > 0 && opened > 0);
    connect_without_descriptors();
    node = open_peer("late", lasting);
    close_node(node);
    close_node(lasting);
    return done();
}
