/* The secret of the user, as programs that set nothing have it: two of one user find each other, one of another user is kept out, and
 * one without a home says that it is not protected. */
#include "check.h"

#include <sys/stat.h>

static char folder[64];

struct heard {
    int made, found, warned; /* records that say so */
};

/* On a thread of the library. */
static void note(int32_t level, const char *target, const char *text, size_t text_len, void *user_data) {
    struct heard *heard = (struct heard *)user_data;
    (void)target, (void)text_len;
    if (level == CONVOKE_LOG_INFO && strstr(text, "the secret of this user") && strstr(text, folder)) {
        int *count = strstr(text, "made just now") ? &heard->made : &heard->found;
        __atomic_fetch_add(count, 1, __ATOMIC_SEQ_CST);
    }
    if (level == CONVOKE_LOG_WARN && strstr(text, "links are not protected") && strstr(text, "XDG_CONFIG_HOME")) {
        __atomic_fetch_add(&heard->warned, 1, __ATOMIC_SEQ_CST);
    }
}

/* As by a program that was built against a released library: in this one the default is no secret, for the sake of other tests. */
static convoke_node *open_default(void) {
    convoke_options *options;
    convoke_node *node;
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "insecure.plaintext", "refuse"));
    OK(convoke_options_set(options, "cluster", test_cluster()));
    OK(convoke_node_open(options, &node));
    convoke_options_free(options);
    return node;
}

/* Started before the first node: becomes another user, who has a folder too. */
static void other_user(int commands, int answers) {
    char address[128], theirs[80];
    convoke_node *node;
    snprintf(theirs, sizeof theirs, "%s/theirs", folder);
    CHECK(mkdir(theirs, 0700) == 0 && chown(theirs, 4711, 4711) == 0);
    CHECK(setgid(4711) == 0 && setuid(4711) == 0);
    CHECK(setenv("XDG_CONFIG_HOME", theirs, 1) == 0);
    hear_address(commands, address);
    node = open_default();
    STATUS(CONVOKE_E_AUTH, connect_to_address(node, address));
    says("each user of a machine");
    close_node(node);
    say(answers, "", 1);
}

int main(void) {
    char address[128], file[96];
    struct heard heard = {0, 0, 0};
    struct helper helper;
    struct stat status;
    convoke_node *one, *two;
    int is_root = geteuid() == 0;
    if (getenv("CONVOKE_TEST_SECRET")) return done(); /* then every node has another */
    snprintf(folder, sizeof folder, "/tmp/convoke-user-XXXXXX");
    CHECK(mkdtemp(folder) != NULL && chmod(folder, 0755) == 0);
    CHECK(setenv("XDG_CONFIG_HOME", folder, 1) == 0);
    if (is_root) helper = start_helper(other_user);
    OK(convoke_log_set(CONVOKE_LOG_INFO, note, &heard, NULL));
    one = open_default();
    await(&heard.made, 1);
    snprintf(file, sizeof file, "%s/convoke/secret", folder);
    CHECK(stat(file, &status) == 0 && (status.st_mode & 07777) == 0600);
    OK(convoke_node_address(one, address, sizeof address, NULL));
    two = open_default();
    await(&heard.found, 1);
    OK(connect_to_address(two, address));
    close_node(two);
    if (is_root) {
        helper_meets(&helper, one);
        check_child(helper.pid);
    }
    /* A service without a home is as it always was, and says so. */
    CHECK(unsetenv("XDG_CONFIG_HOME") == 0 && unsetenv("HOME") == 0);
    two = open_default();
    await(&heard.warned, 1);
    STATUS(CONVOKE_E_AUTH, connect_to_address(two, address));
    says("the secret of its user");
    close_node(two);
    close_node(one);
    OK(convoke_log_set(CONVOKE_LOG_OFF, NULL, NULL, NULL));
    CHECK(heard.made == 1 && heard.found == 1 && heard.warned == 1);
    CHECK(chmod(file, 0640) == 0 && setenv("XDG_CONFIG_HOME", folder, 1) == 0);
    {
        convoke_options *options;
        OK(convoke_options_new(&options));
        OK(convoke_options_set(options, "insecure.plaintext", "refuse"));
        STATUS(CONVOKE_E_OPTION, convoke_node_open(options, &one));
        says("chmod 600");
        convoke_options_free(options);
    }
    snprintf(address, sizeof address, "rm -r %s", folder);
    CHECK(system(address) == 0);
    return done();
}
