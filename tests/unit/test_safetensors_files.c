/* SPDX-License-Identifier: Apache-2.0 */
/* Weights on disk: a folder, a file, shards with an index, and what can be wrong with each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/safetensors.h"
#include "support/temp_folder.h"

#define INDEX "model.safetensors.index.json"

static char folder[256];

static int set_up(void **state) {
    (void)state;
    folder_make(folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    folder_remove(folder);
    return 0;
}

/* A file with one tensor `name` of four bytes. */
static void write_shard(const char *file, const char *name) {
    char bytes[256];
    const int len =
        snprintf(bytes + 8, sizeof bytes - 16,
                 "{\"%s\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", name);
    memset(bytes, 0, 8);
    bytes[0] = (char)len;
    memcpy(bytes + 8 + len, "wxyz", 4);
    folder_write(folder, file, bytes, (size_t)len + 12);
}

static void refuse(const char *path, tandem_status expected, const char *text) {
    tandem_weights *weights = NULL;
    tandem_error err = {0};
    const tandem_status status = tandem__weights_open(path, &weights, &err);
    if (status != expected || strstr(err.message, text) == NULL) {
        fail_msg("status %d \"%s\", expected %d \"%s\"", status, err.message, expected, text);
    }
    assert_null(weights);
}

static void opens_a_folder_and_a_file(void **state) {
    (void)state;
    write_shard("model.safetensors", "a");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    const char *places[] = {folder, path};
    for (int i = 0; i < 2; i++) {
        tandem_weights *weights = NULL;
        assert_int_equal(tandem__weights_open(places[i], &weights, NULL), TANDEM_OK);
        assert_string_equal(tandem__weights_path(weights), path);
        const tandem_tensor *tensor = tandem__weights_find(weights, "a");
        assert_memory_equal(tensor->data, "wxyz", 4);
        tandem__weights_release(weights, tensor->data, tensor->bytes);
        assert_memory_equal(tensor->data, "wxyz", 4);
        tandem__weights_close(weights);
    }
}

static void opens_shards(void **state) {
    (void)state;
    write_shard("m-1-of-2.safetensors", "b");
    write_shard("m-2-of-2.safetensors", "a");
    folder_write_text(folder, INDEX,
                      "{\"metadata\":{\"total_size\":8},\"weight_map\":{"
                      "\"b\":\"m-1-of-2.safetensors\",\"a\":\"m-2-of-2.safetensors\"}}");
    tandem_weights *weights = NULL;
    tandem_error err = {0};
    if (tandem__weights_open(folder, &weights, &err) != TANDEM_OK) fail_msg("%s", err.message);
    assert_int_equal(tandem__weights_count(weights), 2);
    assert_non_null(strstr(tandem__weights_at(weights, 0)->path, "m-2-of-2"));
    assert_non_null(strstr(tandem__weights_at(weights, 1)->path, "m-1-of-2"));
    assert_non_null(strstr(tandem__weights_path(weights), INDEX));
    tandem__weights_close(weights);
}

static void refuses_bad_indices(void **state) {
    (void)state;
    static const struct {
        const char *text;
        tandem_status status;
        const char *message;
    } cases[] = {
        {"{", TANDEM_FORMAT, "index.json: not valid JSON"},
        {"[]", TANDEM_FORMAT, "weight_map: nothing"},
        {"{\"weight_map\":{}}", TANDEM_FORMAT, "weight_map: an object of 0"},
        {"{\"weight_map\":{\"a\":1}}", TANDEM_FORMAT, "weight_map: a: 1"},
        {"{\"weight_map\":{\"a\":\"\"}}", TANDEM_FORMAT, "weight_map: a: \"\""},
        {"{\"weight_map\":{\"a\":\"../x\"}}", TANDEM_FORMAT, "beside the index"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", TANDEM_FORMAT, "beside the index"},
        {"{\"weight_map\":{\"a\":\"d/x\"}}", TANDEM_FORMAT, "beside the index"},
        {"{\"weight_map\":{\"a\":\"d\\\\x\"}}", TANDEM_FORMAT, "beside the index"},
        {"{\"weight_map\":{\"a\":\"one\\u0000\"}}", TANDEM_FORMAT, "beside the index"},
        {"{\"weight_map\":{\"a\":\"none\"}}", TANDEM_NOT_FOUND, "none: no such file"},
        {"{\"weight_map\":{\"c\":\"one\"}}", TANDEM_FORMAT, "weight_map: c: not in one"},
        {"{\"weight_map\":{\"a\":\"two\",\"b\":\"one\"}}", TANDEM_FORMAT, "expected two"},
        {"{\"weight_map\":{\"a\":\"one\",\"x\":\"same\"}}", TANDEM_FORMAT, "a: is also in"},
    };
    write_shard("one", "a");
    write_shard("two", "b");
    write_shard("same", "a");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        folder_write_text(folder, INDEX, cases[i].text);
        refuse(folder, cases[i].status, cases[i].message);
    }
}

static void refuses_folders_without_weights(void **state) {
    (void)state;
    refuse(folder, TANDEM_NOT_FOUND, "holds no weights, expected model.safetensors");
    folder_write_text(folder, "pytorch_model.bin", "x");
    refuse(folder, TANDEM_UNSUPPORTED, "pytorch_model.bin: is a Python pickle");
    refuse("/no/such/file", TANDEM_NOT_FOUND, "/no/such/file: no such file");
    folder_write_text(folder, "model.safetensors", "");
    refuse(folder, TANDEM_FORMAT, "model.safetensors: 0 bytes");
}

/* In a child process, which gives up root where the test runs as root: permissions bind it then.
 * Exit status 0: as expected. */
static int open_without_permission(void) {
    if (geteuid() == 0 && setuid(65534) != 0) return 2;
    tandem_weights *weights = NULL;
    tandem_error err = {0};
    const tandem_status status = tandem__weights_open(folder, &weights, &err);
    return status == TANDEM_PERMISSION && strstr(err.message, "permission denied") ? 0 : 1;
}

static void names_missing_permission(void **state) {
    (void)state;
    write_shard("model.safetensors", "a");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(path, 0), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(open_without_permission());
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(opens_a_folder_and_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(opens_shards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_indices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_folders_without_weights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_missing_permission, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
