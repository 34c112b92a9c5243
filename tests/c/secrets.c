/* Secrets as a program sees them: made, given as bytes and as a file, refused, and changed while nodes run. */
#include "check.h"

#include <sys/stat.h>

static convoke_options *options_of(const char *key, const uint8_t *secret) {
    convoke_options *options;
    OK(convoke_options_new(&options));
    OK(convoke_options_set_bytes(options, key, secret, 32));
    return options;
}

static convoke_node *open_with(const uint8_t *secret) {
    convoke_options *options = options_of("secret", secret);
    convoke_node *node;
    OK(convoke_node_open(options, &node));
    convoke_options_free(options);
    return node;
}

static convoke_status connect_to(convoke_node *from, const convoke_node *to) {
    char address[128];
    OK(convoke_node_address(to, address, sizeof address, NULL));
    return connect_to_address(from, address);
}

/* A file with the secrets, one a line. */
static void write_file(const char *path, mode_t mode, const uint8_t *first, const uint8_t *second) {
    const uint8_t *secrets[2];
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    secrets[0] = first;
    secrets[1] = second;
    for (int i = 0; i < 2; i++) {
        if (!secrets[i]) continue;
        for (int at = 0; at < 32; at++) fprintf(file, "%02x", secrets[i][at]);
        fprintf(file, "\n");
    }
    CHECK(fclose(file) == 0 && chmod(path, mode) == 0);
}

static void refusals(const uint8_t *secret) {
    static const char *const elsewhere[][2] = {
        {"listen", "0.0.0.0:0"}, {"listen", "[::]:0"}, {"seeds", "192.0.2.1:4370"}, {"advertise", "192.0.2.1:4370"}};
    convoke_options *options;
    convoke_node *node;
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++) {
        if (getenv("CONVOKE_TEST_SECRET")) break; /* then every node has one */
        OK(convoke_options_new(&options));
        OK(convoke_options_set(options, elsewhere[i][0], elsewhere[i][1]));
        STATUS(CONVOKE_E_OPTION, convoke_node_open(options, &node));
        says(elsewhere[i][0]);
        says("secret.file");
        says("insecure.plaintext");
        convoke_options_free(options);
    }
    options = options_of("secret", secret);
    OK(convoke_options_set(options, "listen", "0.0.0.0:0"));
    OK(convoke_options_set(options, "advertise", "127.0.0.1:0"));
    OK(convoke_node_open(options, &node));
    close_node(node);
    STATUS(CONVOKE_E_OPTION, convoke_options_set(options, "secret", "correct horse battery staple"));
    says("Passwords are refused");
    says("convoke_secret_generate");
    convoke_options_free(options);
}

static void files(const uint8_t *secret, const uint8_t *other) {
    char path[64];
    convoke_options *options;
    convoke_node *node, *peer;
    snprintf(path, sizeof path, "/tmp/convoke-secret-%d", (int)getpid());
    OK(convoke_options_new(&options));
    OK(convoke_options_set(options, "secret.file", path));
    if (!getenv("CONVOKE_TEST_SECRET")) {
        STATUS(CONVOKE_E_IO, convoke_node_open(options, &node));
        write_file(path, 0644, secret, NULL);
        STATUS(CONVOKE_E_OPTION, convoke_node_open(options, &node));
        says("chmod 600");
        write_file(path, 0600, secret, NULL);
        OK(convoke_node_open(options, &node));
        peer = open_with(secret);
        OK(connect_to(peer, node));
        /* The file has changed, and the node has not been told to read it again. */
        write_file(path, 0600, other, NULL);
        close_node(peer);
        peer = open_with(other);
        STATUS(CONVOKE_E_AUTH, connect_to(peer, node));
        OK(convoke_node_reload(node, options));
        OK(connect_to(peer, node));
        close_node(peer);
        close_node(node);
        CHECK(remove(path) == 0);
    }
    convoke_options_free(options);
}

int main(void) {
    uint8_t old[32], fresh[32];
    convoke_options *options;
    convoke_node *one, *two;
    OK(convoke_secret_generate(old, sizeof old));
    OK(convoke_secret_generate(fresh, sizeof fresh));
    CHECK(memcmp(old, fresh, sizeof old) != 0);
    one = open_with(old);
    two = open_with(fresh);
    STATUS(CONVOKE_E_AUTH, connect_to(two, one));
    says("share no secret");
    /* One round: the old one is good still. */
    options = options_of("secret", fresh);
    OK(convoke_options_set_bytes(options, "secret.previous", old, 32));
    OK(convoke_node_reload(one, options));
    OK(connect_to(two, one));
    OK(convoke_options_set(options, "cluster", "another"));
    STATUS(CONVOKE_E_OPTION, convoke_node_reload(one, options));
    says("cluster");
    convoke_options_free(options);
    if (!getenv("CONVOKE_TEST_SECRET")) {
        STATUS(CONVOKE_E_OPTION, convoke_node_reload(one, NULL));
        says("cannot go on without");
    }
    close_node(two);
    close_node(one);
    STATUS(CONVOKE_E_CLOSED, (one = open_with(old), convoke_node_close(one, SOON), convoke_node_reload(one, NULL)));
    convoke_node_free(one);
    refusals(old);
    files(old, fresh);
    return done();
}
