/* SPDX-License-Identifier: Apache-2.0 */
/* The packages of the lane `ane`, read back from the disk by an interpreter that shares nothing
 * with the writer, and their numbers against `ref`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "apple/mil_run.h"
#include "backend/coreml/ane_packages.h"
#include "backend/coreml/package.h"
#include "backend/random_plan.h"
#include "base/file.h"
#include "support/temp_folder.h"

static const random_shape bert = {.name = "bert",
                                  .hidden = 64,
                                  .heads = 2,
                                  .head_dim = 32,
                                  .ffn = 80,
                                  .layers = 2,
                                  .positions = 64,
                                  .types = 2,
                                  .storage = TANDEM_DTYPE_F32,
                                  .activation = TANDEM_ACTIVATION_GELU_ERF,
                                  .pooling = TANDEM_POOLING_MEAN,
                                  .position = TANDEM_POSITION_ABSOLUTE};

static ane_model *open_model(const random_plan *made, int32_t tokens) {
    tandem_error err = {0};
    int32_t buckets[ANE_BUCKETS_MAX];
    ane_model *model = NULL;
    const int32_t count = tandem__ane_buckets(tokens, buckets);
    if (tandem__ane_model_open(&made->plan, buckets, count, &model, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    return model;
}

static void write_packages(const ane_model *model, const char *folder) {
    tandem_error err = {0};
    if (tandem__ane_packages_write(model, folder, &err) != TANDEM_OK) fail_msg("%s", err.message);
}

static mil_run *open_package(const char *folder, int32_t bucket) {
    char path[TANDEM_PATH_MAX];
    char error[512] = "";
    assert_int_equal(tandem__ane_package_path(folder, bucket, "mlpackage", path, NULL), TANDEM_OK);
    mil_run *run = mil_run_open(path, error, sizeof error);
    if (run == NULL) fail_msg("%s: %s", path, error);
    return run;
}

/* Every package is whole and says the shapes that the lane feeds it. */
static void packages_are_read_back(void **state) {
    (void)state;
    char folder[256];
    random_plan *made = random_plan_make(&bert, 1);
    ane_model *model = open_model(made, 64);
    folder_make(folder);
    write_packages(model, folder);
    assert_int_equal(model->bucket_count, 2);
    for (int i = 0; i < model->bucket_count; i++) {
        int count = 0;
        mil_run *run = open_package(folder, model->buckets[i]);
        const mil_run_feature *inputs = mil_run_inputs(run, &count);
        assert_int_equal(count, 2);
        assert_string_equal(inputs[0].name, "hidden");
        assert_int_equal(inputs[0].count, 64 * model->buckets[i]);
        assert_string_equal(inputs[1].name, "mask");
        assert_int_equal(inputs[1].count, model->buckets[i]);
        assert_string_equal(mil_run_outputs(run, &count)[0].name, "states");
        assert_int_equal(mil_run_outputs(run, &count)[0].count, 64 * model->buckets[i]);
        (void)mil_run_operations(run, &count);
        assert_int_equal(count, model->programs[i].op_count);
        mil_run_close(run);
    }
    tandem__ane_model_release(model);
    tandem__ane_model_close(model);
    random_plan_free(made);
    folder_remove(folder);
}

/* One weight file for all lengths, and nothing left beside the packages. */
static void weights_are_shared(void **state) {
    (void)state;
    char folder[256];
    char path[512];
    struct stat first;
    struct stat second;
    random_plan *made = random_plan_make(&bert, 1);
    ane_model *model = open_model(made, 64);
    folder_make(folder);
    write_packages(model, folder);
    write_packages(model, folder); /* over what is there */
    (void)snprintf(path, sizeof path, "%s/s32.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
                   folder);
    assert_int_equal(stat(path, &first), 0);
    (void)snprintf(path, sizeof path, "%s/s64.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
                   folder);
    assert_int_equal(stat(path, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
    assert_int_equal(first.st_nlink, 2);
    assert_int_equal((uint64_t)first.st_size, model->weights.bytes);
    assert_int_equal(tandem__package_remove(folder, NULL), TANDEM_OK);
    assert_false(tandem__file_exists(folder));
    tandem__ane_model_close(model);
    random_plan_free(made);
}

/* The key follows the weights, the program and the system's build. */
static void key_is_of_the_content(void **state) {
    (void)state;
    char keys[4][TANDEM_SHA_HEX_MAX];
    random_shape other = bert;
    other.activation = TANDEM_ACTIVATION_GELU_TANH;
    random_plan *made[] = {random_plan_make(&bert, 1), random_plan_make(&bert, 2),
                           random_plan_make(&other, 1)};
    for (int i = 0; i < 3; i++) {
        ane_model *model = open_model(made[i], 64);
        char again[TANDEM_SHA_HEX_MAX];
        assert_int_equal(tandem__ane_packages_key(model, "23A344", keys[i], NULL), TANDEM_OK);
        assert_int_equal(tandem__ane_packages_key(model, "23A344", again, NULL), TANDEM_OK);
        assert_string_equal(keys[i], again);
        if (i == 0)
            assert_int_equal(tandem__ane_packages_key(model, "23A345", keys[3], NULL), TANDEM_OK);
        tandem__ane_model_close(model);
        random_plan_free(made[i]);
    }
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < i; k++) assert_string_not_equal(keys[i], keys[k]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packages_are_read_back),
        cmocka_unit_test(weights_are_shared),
        cmocka_unit_test(key_is_of_the_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
