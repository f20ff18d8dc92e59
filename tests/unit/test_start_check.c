/* SPDX-License-Identifier: Apache-2.0 */
/* The check of a lane before it serves: the cpu lane under another name stands in for a device that
 * is right, wrong, or fails, and the verdict is kept as long as it holds. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/cpu/cpu_lane.h"
#include "base/fail.h"
#include "base/file.h"
#include "pipeline/engine_open.h"
#include "support/temp_folder.h"
#include "tandem/tandem.h"

#define MODEL "tests/golden/models/tiny-bert"

typedef enum fault {
    RIGHT,
    SCALED,
    TURNED,
    NOT_A_NUMBER,
    REFUSES,
    FAILS_TO_OPEN,
    FAILS_LATER
} fault;

/* The device. */
static struct {
    fault fault;
    const char *device;
    int opened;
    int open_now;
    int batches;
} world;

static void probe(tandem_probe *out) {
    *out = (tandem_probe){.is_available = true};
    (void)snprintf(out->device, sizeof out->device, "%s", world.device);
}

static tandem_status open_lane(const tandem_plan *plan, const tandem_backend_options *options,
                               tandem_lane **lane, tandem_error *err) {
    world.opened++;
    if (world.fault == FAILS_TO_OPEN)
        return TANDEM_FAIL(err, DEVICE, "the compiler says no: line 7");
    const tandem_status status = tandem__backend_cpu.open(plan, options, lane, err);
    world.open_now += status == TANDEM_OK;
    return status;
}

static void close_lane(tandem_lane *lane) {
    world.open_now--;
    tandem__backend_cpu.close(lane);
}

static tandem_status submit(tandem_lane *lane, const tandem_batch *batch, tandem_output output,
                            float *out, tandem_ticket *ticket, tandem_error *err) {
    world.batches++;
    if (world.fault == REFUSES || (world.fault == FAILS_LATER && world.batches > 1))
        return TANDEM_FAIL(err, DEVICE, "device removed");
    TANDEM_TRY(tandem__backend_cpu.submit(lane, batch, output, out, ticket, err));
    if (output != TANDEM_OUTPUT_POOLED) return TANDEM_OK;
    if (world.fault == SCALED) {
        for (int i = 0; i < 32; i++) out[i] *= 2.0f; /* the first text's: its cosine is 1 */
    }
    if (world.fault == TURNED) out[0] += 10.0f;
    if (world.fault == NOT_A_NUMBER) memset(&out[1], 0xff, sizeof out[1]);
    return TANDEM_OK;
}

static bool has_dtype(tandem_dtype dtype) {
    return dtype == TANDEM_DTYPE_F16;
}

static tandem_engine *open_dtype(const char *lane, const char *dtype) {
    static tandem_backend device;
    static const tandem_backend *table[] = {&device, &tandem__backend_cpu};
    device = tandem__backend_cpu;
    device.name = "metal";
    device.lane_class = TANDEM_CLASS_THROUGHPUT;
    device.is_trusted = false;
    device.has_dtype = has_dtype;
    device.probe = probe;
    device.open = open_lane;
    device.submit = submit;
    device.close = close_lane;
    const tandem_engine_options options = {
        .model = MODEL, .dtype = dtype, .threads = 1, .lane = lane};
    tandem_engine *engine = NULL;
    tandem_error err = {0};
    world.opened = 0;
    world.batches = 0;
    if (tandem__engine_open_with(&options, table, 2, NULL, &engine, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    return engine;
}

static tandem_engine *open_named(const char *lane) {
    return open_dtype(lane, NULL);
}

static tandem_lane_info device_info(const tandem_engine *engine) {
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    assert_int_equal(tandem_lanes(engine, lanes), 2);
    return lanes[0];
}

/* Opens an engine and says how many batches the device was given: 4 to warm up, 1 to be checked. */
enum { WARM_BATCHES = 4 };

static int start(bool is_on, const char *words) {
    tandem_engine *engine = open_named(NULL);
    const tandem_lane_info info = device_info(engine);
    const char *text = is_on ? info.check : info.reason;
    if (info.is_available != is_on || strstr(text, words) == NULL)
        fail_msg("available %d: %s %s", info.is_available, info.reason, info.check);
    assert_int_equal(info.is_open, is_on);
    assert_int_equal(world.open_now, is_on);
    const int batches = world.batches;
    const int32_t ids[] = {5, 6, 7};
    const int32_t offsets[] = {0, 3};
    const tandem_request request = {.ids = ids, .id_offsets = offsets, .count = 1};
    tandem_result result = {0};
    tandem_error err = {0};
    if (tandem_engine_infer(engine, &request, &result, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    if (!is_on) assert_string_equal(result.lane, "cpu");
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
    assert_int_equal(world.open_now, 0);
    return batches;
}

/* A cache of its own for each test. */

static char cache[256];

static int begin(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    world.device = "stand-in";
    folder_make(cache);
    return setenv("XDG_CACHE_HOME", cache, 1);
}

static int end(void **state) {
    (void)state;
    (void)unsetenv("TANDEM_START_CHECK");
    folder_remove(cache);
    return unsetenv("XDG_CACHE_HOME");
}

/* The one file, or "" where none is kept. */
static void find_kept(char path[TANDEM_PATH_MAX]) {
    char folder[TANDEM_PATH_MAX];
    path[0] = '\0';
    (void)snprintf(folder, sizeof folder, "%s/tandem/start-check", cache);
    DIR *files = opendir(folder);
    if (files == NULL) return;
    int count = 0;
    for (const struct dirent *at = readdir(files); at != NULL; at = readdir(files)) {
        if (at->d_name[0] == '.') continue;
        count++;
        assert_int_equal(tandem__path_join(folder, at->d_name, path, NULL), TANDEM_OK);
    }
    (void)closedir(files);
    assert_int_equal(count, 1);
}

static void test_right_lane_serves_and_is_believed(void **state) {
    (void)state;
    assert_int_equal(start(true, ", now"), WARM_BATCHES + 1);
    assert_int_equal(start(true, ", kept"), WARM_BATCHES);
    /* Another device: the verdict is about this one no more. */
    world.device = "stand-in of next year";
    assert_int_equal(start(true, ", now"), WARM_BATCHES + 1);
    assert_int_equal(start(true, ", kept"), WARM_BATCHES);
    (void)setenv("TANDEM_START_CHECK", "again", 1);
    assert_int_equal(start(true, ", now"), WARM_BATCHES + 1);
}

/* Every byte of the file changed, and the file cut at every length. */
static void test_damaged_file_is_not_believed(void **state) {
    (void)state;
    char path[TANDEM_PATH_MAX];
    assert_int_equal(start(true, ", now"), WARM_BATCHES + 1);
    find_kept(path);
    tandem_buffer file;
    tandem__buffer_init(&file, 1 << 16);
    assert_int_equal(tandem__file_read(path, &file, NULL), TANDEM_OK);
    for (size_t at = 0; at < file.len; at += 37) {
        const size_t last = file.len - 1 - at;
        file.ptr[last] ^= 1;
        assert_int_equal(tandem__file_write(path, file.ptr, file.len, NULL), TANDEM_OK);
        assert_int_equal(start(true, ", now"), WARM_BATCHES + 1);
        file.ptr[last] ^= 1;
        assert_int_equal(tandem__file_write(path, file.ptr, at, NULL), TANDEM_OK);
        assert_int_equal(start(true, ", now"), WARM_BATCHES + 1);
    }
    assert_int_equal(tandem__file_write(path, file.ptr, file.len, NULL), TANDEM_OK);
    assert_int_equal(start(true, ", kept"), WARM_BATCHES);
    tandem__buffer_deinit(&file);
}

static void check_wrong(fault how) {
    world.fault = how;
    assert_int_equal(start(false, "lane metal is wrong: against ref cosine "), 1);
    assert_int_equal(start(false, "found at an earlier start"), 0);
    assert_int_equal(world.opened, 0); /* not even opened */
    world.device = "with a new driver";
    world.fault = RIGHT;
    assert_int_equal(start(true, ", now"), WARM_BATCHES + 1);
}

static void test_lane_of_wrong_length_is_off(void **state) {
    (void)state;
    check_wrong(SCALED);
}

static void test_lane_of_wrong_direction_is_off(void **state) {
    (void)state;
    check_wrong(TURNED);
}

static void test_lane_of_no_numbers_is_off(void **state) {
    (void)state;
    check_wrong(NOT_A_NUMBER);
}

/* What could not be computed is no verdict. */
static void test_errors_are_not_kept(void **state) {
    (void)state;
    char path[TANDEM_PATH_MAX];
    world.fault = REFUSES;
    assert_int_equal(start(false, "device removed"), 1);
    world.fault = FAILS_TO_OPEN;
    assert_int_equal(start(false, "the compiler says no: line 7"), 0);
    find_kept(path);
    assert_string_equal(path, "");
    world.fault = FAILS_LATER; /* right at the check, gone at the warm-up */
    assert_int_equal(start(false, "device removed"), 2);
    find_kept(path);
    assert_string_not_equal(path, "");
    world.fault = RIGHT;
    assert_int_equal(start(true, ", kept"), WARM_BATCHES);
}

static void test_lane_that_is_off_is_named(void **state) {
    (void)state;
    world.fault = TURNED;
    tandem_engine *engine = open_named(NULL);
    const int32_t ids[] = {5, 6, 7};
    const int32_t offsets[] = {0, 3};
    tandem_request request = {.ids = ids,
                              .id_offsets = offsets,
                              .count = 1,
                              .lane = "metal",
                              .fallback = TANDEM_FALLBACK_NONE};
    tandem_result result = {0};
    tandem_error err = {0};
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_DEVICE);
    assert_non_null(strstr(err.message, "lane metal is not available: lane metal is wrong"));
    request.fallback = TANDEM_FALLBACK_NEXT;
    assert_int_equal(tandem_engine_infer(engine, &request, &result, NULL), TANDEM_OK);
    assert_string_equal(result.lane, "cpu");
    assert_non_null(strstr(result.reason, "fallback: lane metal: lane metal is wrong"));
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
    /* An engine for that lane alone is one for the next. */
    engine = open_named("metal");
    request.lane = NULL;
    assert_int_equal(tandem_engine_infer(engine, &request, &result, NULL), TANDEM_OK);
    assert_string_equal(result.lane, "cpu");
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

/* A device without the engine's mode leaves the engine to the lanes that have it. */
static void test_lane_without_the_mode_is_off(void **state) {
    (void)state;
    tandem_engine *engine = open_dtype(NULL, "f32");
    const tandem_lane_info info = device_info(engine);
    assert_false(info.is_available);
    assert_string_equal(info.reason, "lane metal has no mode f32");
    assert_int_equal(world.opened, 0);
    const int32_t ids[] = {5, 6, 7};
    const int32_t offsets[] = {0, 3};
    const tandem_request request = {.ids = ids, .id_offsets = offsets, .count = 1};
    tandem_result result = {0};
    assert_int_equal(tandem_engine_infer(engine, &request, &result, NULL), TANDEM_OK);
    assert_string_equal(result.lane, "cpu");
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

/* Nowhere to keep it: it runs at each start. */
static void test_no_cache_folder(void **state) {
    (void)state;
    (void)setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
    assert_int_equal(start(true, ", now"), WARM_BATCHES + 1);
    assert_int_equal(start(true, ", now"), WARM_BATCHES + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_right_lane_serves_and_is_believed),
        TEST(test_damaged_file_is_not_believed),
        TEST(test_lane_of_wrong_length_is_off),
        TEST(test_lane_of_wrong_direction_is_off),
        TEST(test_lane_of_no_numbers_is_off),
        TEST(test_errors_are_not_kept),
        TEST(test_lane_that_is_off_is_named),
        TEST(test_lane_without_the_mode_is_off),
        TEST(test_no_cache_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
