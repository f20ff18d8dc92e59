/* SPDX-License-Identifier: Apache-2.0 */
/* Several models: loaded when asked for, given up when room is needed, right whoever else is
 * served. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tandem/tandem.h"

#define FOLDER "tests/golden/models/"

static const char *const names[] = {FOLDER "tiny-bert", FOLDER "tiny-modules"};

static tandem_models *open_models(int64_t bytes_max) {
    tandem_models *models = NULL;
    tandem_error err = {0};
    const tandem_engine_options options = {.threads = 2};
    if (tandem_models_open(names, 2, &options, bytes_max, &models, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    return models;
}

/* The vector of a text by a model, through models or by an engine of its own. */
static void embed(tandem_models *models, const char *name, tandem_result *result) {
    tandem_error err = {0};
    tandem_engine *engine = NULL;
    const tandem_text text = {"one two three", 13};
    const tandem_request request = {.texts = &text, .count = 1};
    tandem_status status;
    if (models != NULL) {
        status = tandem_models_get(models, name, &engine, &err);
    } else {
        const tandem_engine_options options = {.model = name, .threads = 1};
        status = tandem_engine_open(&options, &engine, &err);
    }
    if (status == TANDEM_OK) status = tandem_engine_infer(engine, &request, result, &err);
    if (status != TANDEM_OK) fail_msg("%s", err.message);
    if (models != NULL)
        tandem_models_put(models, engine);
    else
        tandem_engine_close(engine);
}

static void list(tandem_models *models, tandem_model_entry entries[2]) {
    assert_int_equal(tandem_models_list(models, entries, 2), 2);
}

static void test_loaded_when_asked_for(void **state) {
    (void)state;
    tandem_models *models = open_models(0);
    tandem_model_entry entries[2];
    list(models, entries);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(entries[i].name, names[i]);
        assert_false(entries[i].is_loaded);
        assert_true(entries[i].parameters > 0);
        assert_string_equal(tandem_model_size_word(entries[i].size), "small");
    }
    tandem_engine *engine = NULL;
    tandem_engine *again = NULL;
    tandem_error err = {0};
    assert_int_equal(tandem_models_get(models, names[1], &engine, &err), TANDEM_OK);
    /* By size the one that is loaded; without a name the first. */
    assert_int_equal(tandem_models_get(models, "small", &again, &err), TANDEM_OK);
    assert_ptr_equal(engine, again);
    tandem_models_put(models, again);
    list(models, entries);
    assert_false(entries[0].is_loaded);
    assert_int_equal(entries[1].users, 1);
    assert_true(entries[1].weights_bytes > 0);
    assert_int_equal(tandem_models_shrink(models, 1 << 30), 0); // in use
    tandem_models_put(models, engine);
    assert_int_equal(tandem_models_shrink(models, 1), entries[1].weights_bytes);
    assert_int_equal(tandem_models_get(models, NULL, &engine, &err), TANDEM_OK);
    tandem_models_put(models, engine);
    list(models, entries);
    assert_true(entries[0].is_loaded);
    assert_false(entries[1].is_loaded);
    tandem_models_close(models);
}

static void test_clear_errors(void **state) {
    (void)state;
    tandem_models *models = open_models(0);
    tandem_engine *engine = NULL;
    tandem_error err = {0};
    assert_int_equal(tandem_models_get(models, "large", &engine, &err), TANDEM_NOT_FOUND);
    assert_non_null(strstr(err.message, "\"large\", there is " FOLDER "tiny-bert (small)"));
    tandem_models_close(models);
    const char *const missing[] = {names[0], FOLDER "nowhere"};
    const char *const twice[] = {names[0], names[0]};
    tandem_error_clear(&err);
    assert_int_equal(tandem_models_open(missing, 2, NULL, 0, &models, &err), TANDEM_NOT_FOUND);
    assert_non_null(strstr(err.message, "nowhere"));
    tandem_error_clear(&err);
    assert_int_equal(tandem_models_open(twice, 2, NULL, 0, &models, &err), TANDEM_INVALID);
    assert_non_null(strstr(err.message, "twice"));
    tandem_error_clear(&err);
    assert_int_equal(tandem_models_open(names, 0, NULL, 0, &models, &err), TANDEM_INVALID);
}

typedef struct user {
    tandem_models *models;
    const tandem_result *expected; /* [2] */
    int first;
    int wrong;
} user;

static void *use(void *context) {
    user *self = context;
    tandem_result result = {0};
    for (int i = 0; i < 40; i++) {
        const int model = (self->first + i) % 2;
        embed(self->models, names[model], &result);
        const tandem_result *right = &self->expected[model];
        if (result.dimensions != right->dimensions ||
            memcmp(result.vectors, right->vectors, (size_t)right->dimensions * sizeof(float)) != 0)
            self->wrong++;
    }
    tandem_result_deinit(&result);
    return NULL;
}

/* Room for one of the two: they take turns, and every vector has the right bits. */
static void check_users(int64_t bytes_max) {
    enum { USERS = 6 };
    tandem_result expected[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) embed(NULL, names[i], &expected[i]);
    tandem_models *models = open_models(bytes_max);
    user users[USERS];
    pthread_t threads[USERS];
    for (int i = 0; i < USERS; i++) {
        users[i] = (user){.models = models, .expected = expected, .first = i};
        assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
    }
    for (int i = 0; i < USERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(users[i].wrong, 0);
    }
    tandem_model_entry entries[2];
    list(models, entries);
    print_message("bound %lld: loaded %lld and %lld times\n", (long long)bytes_max,
                  (long long)entries[0].loads, (long long)entries[1].loads);
    if (bytes_max == 0) assert_int_equal(entries[0].loads + entries[1].loads, 2);
    tandem_models_close(models);
    for (int i = 0; i < 2; i++) tandem_result_deinit(&expected[i]);
}

static void test_users(void **state) {
    (void)state;
    check_users(0);
    check_users(1);
}

static void test_room_for_one(void **state) {
    (void)state;
    tandem_models *models = open_models(1);
    tandem_result result = {0};
    for (int i = 0; i < 4; i++) {
        embed(models, names[i % 2], &result);
        tandem_model_entry entries[2];
        list(models, entries);
        assert_true(entries[i % 2].is_loaded);
        assert_false(entries[1 - i % 2].is_loaded);
    }
    tandem_result_deinit(&result);
    tandem_models_close(models);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loaded_when_asked_for),
        cmocka_unit_test(test_clear_errors),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_room_for_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
