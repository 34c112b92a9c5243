/* Versions, statuses, texts, buffers, pids, options, sized structures: what needs no cluster. */
#include "check.h"

static void versions(void) {
    CHECK(convoke_version() == CONVOKE_VERSION);
    CHECK(strcmp(convoke_version_string(), CONVOKE_VERSION_STRING) == 0);
    OK(convoke_check_version(CONVOKE_VERSION));
    STATUS(CONVOKE_E_VERSION, convoke_check_version(CONVOKE_VERSION + (1u << 16)));
    CHECK(convoke_last_error(NULL, 0) > 0);
    STATUS(CONVOKE_E_VERSION, convoke_check_version(0));
}

static void statuses(void) {
    CHECK(strcmp(convoke_status_name(CONVOKE_OK), "CONVOKE_OK") == 0);
    CHECK(strcmp(convoke_status_name(CONVOKE_E_WOULD_DEADLOCK), "CONVOKE_E_WOULD_DEADLOCK") == 0);
    CHECK(convoke_status_text(CONVOKE_E_FULL)[0] != 0);
    CHECK(strcmp(convoke_status_name((convoke_status)77), "CONVOKE_UNKNOWN") == 0);
    CHECK(convoke_status_text((convoke_status)-1000)[0] != 0);
    CHECK(convoke_status_is_retryable(CONVOKE_E_TIMEOUT));
    CHECK(!convoke_status_is_retryable(CONVOKE_E_INVALID));
    CHECK(sizeof(convoke_status) == 4 && sizeof(convoke_pid) == 16);
}

static void last_error(void) {
    char buf[256];
    size_t len;
    convoke_options *options;
    OK(convoke_options_new(&options));
    CHECK(convoke_last_error(buf, sizeof buf) == 0 && buf[0] == 0);
    STATUS(CONVOKE_E_OPTION, convoke_options_set(options, "nam", "x"));
    len = convoke_last_error(buf, sizeof buf);
    CHECK(len == strlen(buf) && len < sizeof buf);
    CHECK(strstr(buf, "\"name\"") != NULL);
    CHECK(convoke_last_error(NULL, 0) == len);
    memset(buf, 'x', sizeof buf);
    CHECK(convoke_last_error(buf, 4) == len && strlen(buf) == 3 && buf[4] == 'x');
    memset(buf, 'x', sizeof buf);
    CHECK(convoke_last_error(buf, 1) == len && buf[0] == 0 && buf[1] == 'x');
    CHECK(convoke_last_error(buf, 0) == len && buf[0] == 0);
    /* The next call forgets it. */
    OK(convoke_options_set(options, "name", "x"));
    CHECK(convoke_last_error(buf, sizeof buf) == 0 && buf[0] == 0);
    convoke_options_free(options);
}

static void options(void) {
    convoke_options *options;
    char path[] = "/tmp/convoke-options-XXXXXX";
    const char bad[] = "name = loaded\nno such key = 1\n", good[] = "# a comment\n\nname = loaded\n";
    char buf[64];
    convoke_node *node;
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    OK(convoke_options_new(&options));
    STATUS(CONVOKE_E_OPTION, convoke_options_set(options, "detection_ms", "soon"));
    STATUS(CONVOKE_E_INVALID, convoke_options_set(options, "name", "\xff\xfe"));
    STATUS(CONVOKE_E_INVALID, convoke_options_set(options, "\xff", "x"));
    OK(convoke_options_set_bytes(options, "name", "abcdef", 3));
    STATUS(CONVOKE_E_OPTION, convoke_options_set_bytes(options, "name", "\xff", 1));
    STATUS(CONVOKE_E_OPTION, convoke_options_set_bytes(options, "name", NULL, 0));
    STATUS(CONVOKE_E_INVALID, convoke_options_set_bytes(options, "name", NULL, 1));
    STATUS(CONVOKE_E_TOO_BIG, convoke_options_set_bytes(options, "name", "x", SIZE_MAX));
    STATUS(CONVOKE_E_IO, convoke_options_load(options, "/nowhere/at/all"));
    CHECK(write(fd, bad, sizeof bad - 1) == (ssize_t)sizeof bad - 1);
    STATUS(CONVOKE_E_OPTION, convoke_options_load(options, path));
    OK(convoke_node_open(options, &node));
    OK(convoke_node_name(node, buf, sizeof buf, NULL));
    CHECK(strcmp(buf, "abc") == 0); /* a file is taken as a whole or not at all */
    close_node(node);
    CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    CHECK(write(fd, good, sizeof good - 1) == (ssize_t)sizeof good - 1);
    OK(convoke_options_load(options, path));
    OK(convoke_node_open(options, &node));
    OK(convoke_node_name(node, buf, sizeof buf, NULL));
    CHECK(strcmp(buf, "loaded") == 0);
    close_node(node);
    convoke_options_free(options);
    close(fd);
    unlink(path);
    /* The defaults will do. */
    OK(convoke_node_open(NULL, &node));
    close_node(node);
}

static void buffers(void) {
    convoke_node *node = open_node("twelve bytes", NULL);
    char buf[32];
    size_t len = 99;
    OK(convoke_node_name(node, NULL, 0, &len));
    CHECK(len == 12);
    memset(buf, 'x', sizeof buf);
    STATUS(CONVOKE_E_BUFFER, convoke_node_name(node, buf, 12, &len));
    CHECK(len == 12 && strcmp(buf, "twelve byte") == 0 && buf[12] == 'x');
    OK(convoke_node_name(node, buf, 13, &len));
    CHECK(len == 12 && strcmp(buf, "twelve bytes") == 0);
    STATUS(CONVOKE_E_BUFFER, convoke_node_name(node, buf, 0, &len));
    CHECK(buf[0] == 't');
    STATUS(CONVOKE_E_BUFFER, convoke_node_name(node, buf, 1, NULL));
    CHECK(buf[0] == 0);
    STATUS(CONVOKE_E_INVALID, convoke_node_name(node, NULL, 5, &len));
    CHECK(len == 0);
    OK(convoke_node_address(node, buf, sizeof buf, &len));
    CHECK(strncmp(buf, "127.0.0.1:", 10) == 0 && strlen(buf) == len);
    close_node(node);
}

static void pids(void) {
    convoke_pid pid = {0x1f00c0de0badcafe, 12}, back;
    char buf[64];
    size_t len;
    OK(convoke_pid_format(&pid, buf, sizeof buf, &len));
    CHECK(strcmp(buf, "1f00c0de0badcafe.12") == 0 && len == 19);
    OK(convoke_pid_parse(buf, len, &back));
    CHECK(same_pid(&pid, &back));
    STATUS(CONVOKE_E_INVALID, convoke_pid_parse(buf, len - 3, &back));
    CHECK(is_none(&back));
    STATUS(CONVOKE_E_INVALID, convoke_pid_parse("", 0, &back));
    STATUS(CONVOKE_E_INVALID, convoke_pid_parse("1F00C0DE0BADCAFE.12", 19, &back));
    pid.node = UINT64_MAX;
    pid.serial = UINT64_MAX;
    OK(convoke_pid_format(&pid, buf, 38, &len));
    CHECK(len == 37);
    STATUS(CONVOKE_E_BUFFER, convoke_pid_format(&pid, buf, 37, &len));
    CHECK(len == 37);
    OK(convoke_pid_parse("ffffffffffffffff.18446744073709551615", 37, &back));
    CHECK(same_pid(&pid, &back));
    OK(convoke_pid_parse("0000000000000000.0", 18, &back));
    CHECK(is_none(&back));
}

static void stats(void) {
    struct {
        convoke_stats known;
        uint64_t later[4];
    } big;
    convoke_node *node = open_node(NULL, NULL);
    convoke_stats stats;
    memset(&big, 0xee, sizeof big);
    big.known.struct_size = sizeof big;
    OK(convoke_node_stats(node, &big.known));
    CHECK(big.known.struct_size == sizeof big);
    CHECK(big.later[0] == 0 && big.later[3] == 0);
    CHECK(big.known.peers == 0 && big.known.dropped == 0);
    /* A program of an earlier version: nothing is written behind what it knows. */
    memset(&stats, 0xee, sizeof stats);
    stats.struct_size = offsetof(convoke_stats, names);
    OK(convoke_node_stats(node, &stats));
    CHECK(stats.messages_received == 0 && stats.names == 0xeeeeeeeeeeeeeeee);
    /* One that forgot to say its size. */
    memset(&stats, 0xee, sizeof stats);
    STATUS(CONVOKE_E_INVALID, convoke_node_stats(node, &stats));
    CHECK(stats.messages_sent == 0xeeeeeeeeeeeeeeee);
    stats.struct_size = 0;
    STATUS(CONVOKE_E_INVALID, convoke_node_stats(node, &stats));
    /* On failure the rest is zero. */
    stats.struct_size = sizeof stats;
    STATUS(CONVOKE_E_INVALID, convoke_node_stats(NULL, &stats));
    CHECK(stats.names == 0 && stats.dropped == 0 && stats.struct_size == sizeof stats);
    close_node(node);
}

int main(void) {
    versions();
    statuses();
    last_error();
    options();
    buffers();
    pids();
    stats();
    return done();
}
