/* SPDX-License-Identifier: Apache-2.0 */
/* Machines, faults and traffic of simulations, from their files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "pipeline/simulate_internal.h"

#define MS             1e6
#define FILE_BYTES_MAX ((size_t)1 << 20)
#define TREE_BYTES_MAX ((size_t)1 << 24)
#define BURST_FACTOR   3.0
#define QUIET_FACTOR   0.5
#define BURST_MEAN_NS  (100 * MS)
#define QUIET_MEAN_NS  (400 * MS)

/* The guide's figures for BERT-base: 2.70, 4.71 and 11.41 ms, one text at a time, rounded as its
 * prose does; its batch limits for the rules. */
static const simulate_machine guide_mac = {
    .lane_count = 3,
    .text_tokens = 32,
    .lanes = {{.name = "ane",
               .lane_class = TANDEM_CLASS_LATENCY,
               .text_ns = 2.7 * MS,
               .texts_max = 1,
               .slots = 1,
               .slots_max = 1,
               .rules_limit = 1},
              {.name = "metal",
               .lane_class = TANDEM_CLASS_THROUGHPUT,
               .text_ns = 4.7 * MS,
               .texts_max = 32,
               .slots = 1,
               .slots_max = 1,
               .rules_limit = 32},
              {.name = "cpu",
               .lane_class = TANDEM_CLASS_BACKGROUND,
               .text_ns = 11.4 * MS,
               .texts_max = 8,
               .slots = 1,
               .slots_max = 1,
               .rules_limit = 8}},
};

static tandem_status read_file(const char *path, tandem_buffer *text, tandem_arena *arena,
                               const tandem_json **root, tandem_error *err) {
    TANDEM_TRY(tandem__file_read(path, text, err));
    const tandem_status status =
        tandem__json_parse((tandem_str){text->ptr, text->len}, arena, root, err);
    return status == TANDEM_OK ? status : tandem__fail_prefix(err, status, path);
}

static tandem_status read_ms(const tandem_json *object, const char *key, double *ns,
                             tandem_error *err) {
    double ms = *ns / MS;
    TANDEM_TRY(tandem__json_read_double(object, key, &ms, err));
    if (!(ms >= 0 && ms <= 1e9))
        return TANDEM_FAIL(err, FORMAT, "%s: %g, expected 0 to 1e9", key, ms);
    *ns = ms * MS;
    return TANDEM_OK;
}

static tandem_status read_count(const tandem_json *object, const char *key, int64_t max,
                                int32_t *count, tandem_error *err) {
    int64_t value = *count;
    TANDEM_TRY(tandem__json_read_int(object, key, 1, max, &value, err));
    *count = (int32_t)value;
    return TANDEM_OK;
}

static tandem_status read_class(const tandem_json *object, tandem_lane_class *lane_class,
                                tandem_error *err) {
    static const char *const words[] = {"latency", "throughput", "background"};
    tandem_str word = {"", 0};
    TANDEM_TRY(tandem__json_read_str(object, "class", &word, err));
    for (int i = 0; i < 3; i++) {
        if (!tandem__str_equal(word, tandem__str(words[i]))) continue;
        *lane_class = (tandem_lane_class)(TANDEM_CLASS_LATENCY + i);
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, FORMAT, "class: \"%.*s\", expected latency, throughput or background",
                       (int)word.len, word.ptr);
}

static tandem_status read_lane(const tandem_json *object, simulate_lane *lane, tandem_error *err) {
    *lane = (simulate_lane){.texts_max = 32, .slots = 1, .rules_limit = 32};
    tandem_str name = {"", 0};
    TANDEM_TRY(tandem__json_read_str(object, "name", &name, err));
    if (name.len < 1 || name.len >= sizeof lane->name)
        return TANDEM_FAIL(err, FORMAT, "name: \"%.*s\", expected 1 to %zu bytes", (int)name.len,
                           name.ptr, sizeof lane->name - 1);
    memcpy(lane->name, name.ptr, name.len);
    TANDEM_TRY(read_class(object, &lane->lane_class, err));
    TANDEM_TRY(read_ms(object, "base_ms", &lane->base_ns, err));
    TANDEM_TRY(read_ms(object, "text_ms", &lane->text_ns, err));
    TANDEM_TRY(read_ms(object, "token_ms", &lane->token_ns, err));
    if (lane->base_ns + lane->text_ns + lane->token_ns <= 0)
        return TANDEM_FAIL(err, FORMAT, "lane %s: text_ms: a text takes no time", lane->name);
    TANDEM_TRY(tandem__json_read_double(object, "jitter", &lane->jitter, err));
    if (!(lane->jitter >= 0 && lane->jitter <= 1))
        return TANDEM_FAIL(err, FORMAT, "jitter: %g, expected 0 to 1", lane->jitter);
    TANDEM_TRY(read_count(object, "texts_max", SCHED_UNITS_MAX, &lane->texts_max, err));
    TANDEM_TRY(read_count(object, "slots", SCHED_SLOTS_MAX, &lane->slots, err));
    lane->slots_max = lane->slots;
    TANDEM_TRY(read_count(object, "slots_max", SCHED_SLOTS_MAX, &lane->slots_max, err));
    if (lane->slots_max < lane->slots)
        return TANDEM_FAIL(err, FORMAT, "slots_max: %d, expected at least slots, %d",
                           lane->slots_max, lane->slots);
    return read_count(object, "rules_limit", SCHED_UNITS_MAX, &lane->rules_limit, err);
}

static tandem_status read_machine(const tandem_json *root, simulate_machine *machine,
                                  tandem_error *err) {
    *machine = (simulate_machine){.text_tokens = 32};
    TANDEM_TRY(read_count(root, "text_tokens", 8192, &machine->text_tokens, err));
    const tandem_json *lanes = tandem__json_get(root, "lanes");
    if (lanes == NULL || lanes->kind != TANDEM_JSON_ARRAY || lanes->count < 1 ||
        lanes->count > TANDEM_SIMULATION_LANES)
        return TANDEM_FAIL(err, FORMAT, "lanes: %s, expected a list of 1 to %d",
                           tandem__json_label(lanes).text, TANDEM_SIMULATION_LANES);
    TANDEM_JSON_EACH(item, lanes) {
        TANDEM_TRY(read_lane(item, &machine->lanes[machine->lane_count], err));
        machine->lane_count++;
    }
    return TANDEM_OK;
}

tandem_status tandem__simulate_machine(const char *name, simulate_machine *machine,
                                       tandem_error *err) {
    *machine = guide_mac;
    if (name == NULL || strcmp(name, "guide-mac") == 0) return TANDEM_OK;
    tandem_buffer text;
    tandem_arena arena;
    tandem__buffer_init(&text, FILE_BYTES_MAX);
    tandem__arena_init(&arena, TREE_BYTES_MAX);
    const tandem_json *root = NULL;
    tandem_status status = read_file(name, &text, &arena, &root, err);
    if (status == TANDEM_OK) {
        status = read_machine(root, machine, err);
        if (status != TANDEM_OK) status = tandem__fail_prefix(err, status, name);
    }
    tandem__arena_deinit(&arena);
    tandem__buffer_deinit(&text);
    return status;
}

static tandem_status read_fault_kind(const tandem_json *object, simulate_fault *fault,
                                     tandem_error *err) {
    static const char *const words[] = {"well", "dead", "fail", "nan", "hang", "slow", "heat"};
    static const char *const values[] = {NULL, NULL, "share", "share", NULL, "factor", "percent"};
    tandem_str word = {"", 0};
    TANDEM_TRY(tandem__json_read_str(object, "fault", &word, err));
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!tandem__str_equal(word, tandem__str(words[i]))) continue;
        fault->kind = (simulate_fault_kind)i;
        fault->value = 1;
        if (values[i] == NULL) return TANDEM_OK;
        TANDEM_TRY(tandem__json_read_double(object, values[i], &fault->value, err));
        const double max = fault->kind == SIMULATE_SLOW   ? 1000
                           : fault->kind == SIMULATE_HEAT ? 100
                                                          : 1;
        if (fault->value > 0 && fault->value <= max) return TANDEM_OK;
        return TANDEM_FAIL(err, FORMAT, "%s: %g, expected over 0 to %g", values[i], fault->value,
                           max);
    }
    return TANDEM_FAIL(err, FORMAT,
                       "fault: \"%.*s\", expected dead, fail, nan, hang, slow, heat or well",
                       (int)word.len, word.ptr);
}

static tandem_status read_fault(const tandem_json *object, const simulate_machine *machine,
                                simulate_faults *faults, tandem_error *err) {
    simulate_fault fault = {.lane = SCHED_NO_LANE};
    double at_ns = 0;
    double for_ns = 0;
    TANDEM_TRY(read_ms(object, "at_ms", &at_ns, err));
    TANDEM_TRY(read_ms(object, "for_ms", &for_ns, err));
    TANDEM_TRY(read_fault_kind(object, &fault, err));
    tandem_str name = {"", 0};
    TANDEM_TRY(tandem__json_read_str(object, "lane", &name, err));
    for (int i = 0; i < machine->lane_count; i++) {
        if (tandem__str_equal(name, tandem__str(machine->lanes[i].name))) fault.lane = i;
    }
    if (fault.lane == SCHED_NO_LANE)
        return TANDEM_FAIL(err, FORMAT, "lane: \"%.*s\", the machine has none of that name",
                           (int)name.len, name.ptr);
    fault.at_ns = (uint64_t)at_ns;
    if (faults->count + 2 > SIMULATE_FAULTS_MAX)
        return TANDEM_FAIL(err, CAPACITY, "over %d faults", SIMULATE_FAULTS_MAX / 2);
    faults->list[faults->count++] = fault;
    if (for_ns > 0)
        faults->list[faults->count++] = (simulate_fault){
            .at_ns = (uint64_t)(at_ns + for_ns), .lane = fault.lane, .kind = SIMULATE_WELL};
    return TANDEM_OK;
}

static int fault_order(const void *a, const void *b) {
    const simulate_fault *x = a;
    const simulate_fault *y = b;
    return (x->at_ns > y->at_ns) - (x->at_ns < y->at_ns);
}

tandem_status tandem__simulate_faults(const char *path, const simulate_machine *machine,
                                      simulate_faults *faults, tandem_error *err) {
    faults->count = 0;
    if (path == NULL) return TANDEM_OK;
    tandem_buffer text;
    tandem_arena arena;
    tandem__buffer_init(&text, FILE_BYTES_MAX);
    tandem__arena_init(&arena, TREE_BYTES_MAX);
    const tandem_json *root = NULL;
    tandem_status status = read_file(path, &text, &arena, &root, err);
    if (status == TANDEM_OK && root->kind != TANDEM_JSON_ARRAY)
        status = TANDEM_FAIL(err, FORMAT, "%s: %s, expected a list of faults", path,
                             tandem__json_label(root).text);
    for (const tandem_json *item = status == TANDEM_OK ? root->first : NULL;
         item != NULL && status == TANDEM_OK; item = item->next) {
        status = read_fault(item, machine, faults, err);
        if (status != TANDEM_OK) status = tandem__fail_prefix(err, status, path);
    }
    qsort(faults->list, (size_t)faults->count, sizeof faults->list[0], fault_order);
    tandem__arena_deinit(&arena);
    tandem__buffer_deinit(&text);
    return status;
}

double tandem__simulate_lane_rate(const simulate_machine *machine, const simulate_lane *lane) {
    const double texts = lane->texts_max;
    const double ns =
        lane->base_ns + texts * (lane->text_ns + lane->token_ns * machine->text_tokens);
    return texts * lane->slots / ns * 1e9;
}

static void next_state(simulate_traffic *traffic) {
    traffic->is_burst = !traffic->is_burst;
    traffic->state_end_ns += tandem__random_exponential(
        &traffic->random, traffic->is_burst ? BURST_MEAN_NS : QUIET_MEAN_NS);
}

void tandem__simulate_traffic_init(simulate_traffic *traffic, double rate_per_s, bool is_bursty,
                                   uint64_t seed) {
    *traffic = (simulate_traffic){
        .rate_per_ns = rate_per_s / 1e9, .is_bursty = is_bursty, .is_burst = true};
    tandem__random_init(&traffic->random, seed);
    next_state(traffic);
}

uint64_t tandem__simulate_arrival(simulate_traffic *traffic) {
    for (;;) {
        double rate = traffic->rate_per_ns;
        if (traffic->is_bursty) rate *= traffic->is_burst ? BURST_FACTOR : QUIET_FACTOR;
        const double next =
            traffic->now_ns + tandem__random_exponential(&traffic->random, 1 / rate);
        if (!traffic->is_bursty || next < traffic->state_end_ns) {
            traffic->now_ns = next;
            return (uint64_t)next;
        }
        traffic->now_ns = traffic->state_end_ns;
        next_state(traffic);
    }
}
