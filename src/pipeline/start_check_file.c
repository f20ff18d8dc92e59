/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts on disk: one small file a lane, model and number format,
 *
 *     <cache>/tandem/start-check/metal-f16-<fingerprint of the weights>
 *
 *     tandem start check 1
 *     ... what the verdict is about, a line each ...
 *     passed 1 cosine 0.999991 0.999987 distance 0.0041 gates 0.9995 0.126
 *     sha256 <of all lines above>
 *
 * <cache> is XDG_CACHE_HOME, else ~/Library/Caches where there is one, else ~/.cache. The
 * fingerprint is of the plan's sizes and of some bytes of each tensor: whole weights would be read
 * at every start, and a model that is trained on changes everywhere. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/dtype.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sha.h"
#include "pipeline/start_check.h"
#include "tandem/engine.h"
#include "tandem/version.h"

#define FORMAT       1
#define SAMPLES      8  /* of each tensor */
#define SAMPLE_BYTES 64 /* of each sample */
#define FILE_BYTES   4096
#define NAME_DIGITS  16 /* of the fingerprint in a file's name */

/* The fingerprint. */

static void add_view(tandem_sha *sha, const tandem_view *view) {
    if (view->data == NULL) return;
    const size_t bytes = (size_t)view->rows * (size_t)view->cols * tandem__dtype_bytes(view->dtype);
    const int64_t shape[] = {view->rows, view->cols, (int64_t)view->dtype};
    const size_t length = bytes < SAMPLE_BYTES ? bytes : SAMPLE_BYTES;
    tandem__sha_update(sha, shape, sizeof shape);
    for (size_t i = 0; i < SAMPLES; i++) {
        const size_t at = (bytes - length) / (SAMPLES - 1) * i;
        tandem__sha_update(sha, (const char *)view->data + at, length);
    }
}

static void add_linear(tandem_sha *sha, const tandem_linear *linear) {
    add_view(sha, &linear->weight);
    add_view(sha, &linear->bias);
}

static void add_norm(tandem_sha *sha, const tandem_norm *norm) {
    add_view(sha, &norm->gamma);
    add_view(sha, &norm->beta);
}

static void add_layer(tandem_sha *sha, const tandem_plan_layer *layer) {
    const double numbers[] = {(double)layer->rope_theta, (double)layer->rope_scale,
                              (double)layer->window};
    tandem__sha_update(sha, numbers, sizeof numbers);
    add_linear(sha, &layer->query);
    add_linear(sha, &layer->key);
    add_linear(sha, &layer->value);
    add_linear(sha, &layer->output);
    add_norm(sha, &layer->attention_norm);
    add_linear(sha, &layer->up);
    add_linear(sha, &layer->gate);
    add_linear(sha, &layer->down);
    add_norm(sha, &layer->ffn_norm);
}

static void add_numbers(tandem_sha *sha, const tandem_plan *plan) {
    const double numbers[] = {
        plan->hidden,
        plan->heads,
        plan->head_dim,
        plan->ffn,
        plan->vocab,
        plan->positions_max,
        plan->types,
        plan->layer_count,
        (double)plan->norm_eps,
        (double)plan->attention_scale,
        plan->is_norm_first,
        plan->activation,
        plan->position,
        plan->position_offset,
        plan->pooling,
        plan->joined_count,
        plan->dense_count,
        plan->dimensions,
        plan->head_pooling,
        plan->head_activation,
        plan->labels,
        plan->lm_activation,
        plan->splade.is_sum,
        plan->splade.is_log_twice,
        plan->relative_distance_max,
    };
    tandem__sha_update(sha, numbers, sizeof numbers);
}

static void fingerprint(const tandem_plan *plan, char hex[TANDEM_SHA_HEX_MAX]) {
    tandem_sha sha;
    tandem__sha_init(&sha, TANDEM_SHA_256);
    add_numbers(&sha, plan);
    add_view(&sha, &plan->word);
    add_view(&sha, &plan->position_rows);
    add_view(&sha, &plan->type_rows);
    add_view(&sha, &plan->relative_bias);
    add_norm(&sha, &plan->embedding_norm);
    add_linear(&sha, &plan->embedding_projection);
    add_norm(&sha, &plan->final_norm);
    for (int i = 0; i < plan->layer_count; i++) add_layer(&sha, &plan->layers[i]);
    for (int i = 0; i < plan->dense_count; i++) {
        add_linear(&sha, &plan->dense[i].linear);
        add_linear(&sha, &plan->dense[i].residual);
        add_norm(&sha, &plan->dense[i].norm);
    }
    add_linear(&sha, &plan->head_dense);
    add_norm(&sha, &plan->head_norm);
    add_linear(&sha, &plan->classifier);
    add_linear(&sha, &plan->lm_dense);
    add_norm(&sha, &plan->lm_norm);
    add_linear(&sha, &plan->lm_decoder);
    tandem__sha_finish(&sha, hex);
}

/* The file. */

static void hash_text(const char *text, size_t len, char hex[TANDEM_SHA_HEX_MAX]) {
    tandem_sha sha;
    tandem__sha_init(&sha, TANDEM_SHA_256);
    tandem__sha_update(&sha, text, len);
    tandem__sha_finish(&sha, hex);
}

static bool find_folder(char *folder) {
    char caches[TANDEM_PATH_MAX];
    const char *cache = getenv("XDG_CACHE_HOME");
    if (cache == NULL || cache[0] == '\0') {
        const char *home = getenv("HOME");
        if (home == NULL || home[0] == '\0') return false;
        if (tandem__path_join(home, "Library/Caches", caches, NULL) != TANDEM_OK) return false;
        if (!tandem__file_is_directory(caches) &&
            tandem__path_join(home, ".cache", caches, NULL) != TANDEM_OK)
            return false;
        cache = caches;
    }
    return tandem__path_join(cache, "tandem/start-check", folder, NULL) == TANDEM_OK;
}

/* The file's path, its folder, and the lines that say what the verdict is about. */
typedef struct check_key {
    char folder[TANDEM_PATH_MAX];
    char path[TANDEM_PATH_MAX];
    char text[FILE_BYTES / 2];
} check_key;

static bool make_key(const start_check_subject *subject, check_key *key) {
    char weights[TANDEM_SHA_HEX_MAX];
    char name[96];
    tandem_machine machine;
    if (!find_folder(key->folder)) return false;
    const char *dtype = tandem__dtype_word(subject->dtype);
    fingerprint(subject->plan, weights);
    tandem_machine_describe(&machine);
    (void)snprintf(name, sizeof name, "%s-%s-%.*s", subject->backend->name, dtype, NAME_DIGITS,
                   weights);
    const int len = snprintf(key->text, sizeof key->text,
                             "tandem start check %d\nlane %s\ndevice %s\ndtype %s\nweights %s\n"
                             "processor %s\nsystem %s\ntandem %s\n",
                             FORMAT, subject->backend->name, subject->device, dtype, weights,
                             machine.processor, machine.system, tandem_version());
    return len > 0 && (size_t)len < sizeof key->text &&
           tandem__path_join(key->folder, name, key->path, NULL) == TANDEM_OK;
}

/* `text` of `len` bytes, NUL-terminated. */
static bool parse(const char *text, size_t len, const check_key *key, start_check *check) {
    static const char mark[] = "sha256 ";
    const size_t tail = sizeof mark - 1 + 64 + 1; /* the last line, its end included */
    const size_t known = strlen(key->text);
    char hex[TANDEM_SHA_HEX_MAX];
    if (len < known + tail || strncmp(text, key->text, known) != 0) return false;
    hash_text(text, len - tail, hex);
    const char *last = text + len - tail;
    if (strncmp(last, mark, sizeof mark - 1) != 0) return false;
    if (strncmp(last + sizeof mark - 1, hex, 64) != 0 || text[len - 1] != '\n') return false;
    int passed = 0;
    const int count = sscanf(text + known, "passed %d cosine %lf %lf distance %lf gates %lf %lf\n",
                             &passed, &check->cosine_mean, &check->cosine_min, &check->distance_max,
                             &check->gate_cosine, &check->gate_distance);
    check->is_passed = passed == 1;
    check->is_kept = true;
    return count == 6;
}

bool tandem__start_check_load(const start_check_subject *subject, start_check *check) {
    check_key key;
    const char *wish = getenv("TANDEM_START_CHECK");
    if (wish != NULL && strcmp(wish, "again") == 0) return false;
    if (wish != NULL && wish[0] != '\0')
        tandem__log(TANDEM_LOG_WARN, "TANDEM_START_CHECK=%s: expected again; ignored", wish);
    if (!make_key(subject, &key) || !tandem__file_exists(key.path)) return false;
    tandem_buffer file;
    tandem__buffer_init(&file, FILE_BYTES);
    start_check read = {0};
    const bool is_read = tandem__file_read(key.path, &file, NULL) == TANDEM_OK &&
                         tandem__buffer_push(&file, "", 1, NULL) == TANDEM_OK &&
                         parse((const char *)file.ptr, file.len - 1, &key, &read);
    tandem__buffer_deinit(&file);
    if (is_read) *check = read;
    return is_read;
}

void tandem__start_check_save(const start_check_subject *subject, const start_check *check) {
    check_key key;
    char text[FILE_BYTES];
    char hex[TANDEM_SHA_HEX_MAX];
    if (!make_key(subject, &key)) return;
    int len =
        snprintf(text, sizeof text, "%spassed %d cosine %.9g %.9g distance %.9g gates %.9g %.9g\n",
                 key.text, check->is_passed, check->cosine_mean, check->cosine_min,
                 check->distance_max, check->gate_cosine, check->gate_distance);
    hash_text(text, (size_t)len, hex);
    len += snprintf(text + len, sizeof text - (size_t)len, "sha256 %s\n", hex);
    if (tandem__folder_make(key.folder, NULL) == TANDEM_OK)
        (void)!tandem__file_write(key.path, text, (size_t)len, NULL);
}
