/* SPDX-License-Identifier: Apache-2.0 */
/* dump_states MODEL TOKENS IDS OUT: what the lane `ref` makes of one sequence, for the oracle's
 * scripts. The sequence is the first TOKENS numbers of the file IDS, from the front again when it
 * is used up, each modulo the vocabulary. OUT gets f32 [2, T, H]: after the embeddings, where a
 * package of the Neural Engine begins, and the last hidden states, where it ends. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "base/fail.h"
#include "base/number.h"
#include "model/model.h"

static tandem_status read_ids(const char *path, const tandem_plan *plan, int32_t *ids,
                              int64_t count, tandem_error *err) {
    FILE *file = fopen(path, "r");
    if (file == NULL) return TANDEM_FAIL(err, NOT_FOUND, "%s cannot be read", path);
    int64_t read = 0;
    char word[32];
    while (read < count) {
        int64_t id = 0;
        if (fscanf(file, "%31s", word) != 1) {
            if (read == 0) break;
            rewind(file);
        } else if (tandem__number_parse_int(tandem__str(word), &id)) {
            ids[read++] = (int32_t)(id % plan->vocab);
        }
    }
    (void)fclose(file);
    return read == count ? TANDEM_OK : TANDEM_FAIL(err, FORMAT, "%s holds no number", path);
}

static tandem_status submit(const tandem_backend *ref, tandem_lane *lane, const tandem_batch *batch,
                            tandem_output output, float *out, tandem_error *err) {
    tandem_ticket ticket = 0;
    TANDEM_TRY(ref->submit(lane, batch, output, out, &ticket, err));
    return ref->wait(lane, ticket, UINT64_MAX, err);
}

static tandem_status run(const tandem_plan *plan, const int32_t *ids, int32_t tokens,
                         const char *path, tandem_error *err) {
    const tandem_backend *ref = tandem__backend_find("ref");
    const int32_t offsets[] = {0, tokens};
    const tandem_batch batch = {.ids = ids, .offsets = offsets, .tokens = tokens, .sequences = 1};
    const tandem_backend_options options = {
        .dtype = TANDEM_DTYPE_F32, .tokens_max = tokens, .sequences_max = 1, .in_flight_max = 1};
    const size_t size = (size_t)tokens * (size_t)plan->hidden;
    const size_t states = (size_t)plan->layer_count + 1;
    float *all = calloc(states * size, sizeof *all);
    float *last = calloc(size, sizeof *last);
    tandem_lane *lane = NULL;
    tandem_status status =
        all == NULL || last == NULL ? TANDEM_FAIL(err, MEMORY, "no memory") : TANDEM_OK;
    if (status == TANDEM_OK) status = ref->open(plan, &options, &lane, err);
    if (status == TANDEM_OK) status = submit(ref, lane, &batch, TANDEM_OUTPUT_STATES, all, err);
    if (status == TANDEM_OK) status = submit(ref, lane, &batch, TANDEM_OUTPUT_TOKENS, last, err);
    FILE *file = status == TANDEM_OK ? fopen(path, "wb") : NULL;
    if (status == TANDEM_OK && (file == NULL || fwrite(all, sizeof *all, size, file) != size ||
                                fwrite(last, sizeof *last, size, file) != size))
        status = TANDEM_FAIL(err, IO, "%s: cannot be written", path);
    if (file != NULL && fclose(file) != 0 && status == TANDEM_OK)
        status = TANDEM_FAIL(err, IO, "%s: cannot be written", path);
    ref->close(lane);
    free(all);
    free(last);
    return status;
}

static tandem_status dump(char **words, const tandem_plan *plan, tandem_error *err) {
    int64_t tokens = 0;
    if (!tandem__number_parse_int(tandem__str(words[2]), &tokens) || tokens < 1 ||
        tokens > plan->positions_max)
        return TANDEM_FAIL(err, INVALID, "%s tokens, expected 1 to %d", words[2],
                           (int)plan->positions_max);
    int32_t *ids = calloc((size_t)tokens, sizeof *ids);
    if (ids == NULL) return TANDEM_FAIL(err, MEMORY, "no memory");
    tandem_status status = read_ids(words[3], plan, ids, tokens, err);
    if (status == TANDEM_OK) status = run(plan, ids, (int32_t)tokens, words[4], err);
    free(ids);
    return status;
}

int main(int argc, char **argv) {
    tandem_error err = {0};
    tandem_source *source = NULL;
    if (argc != 5) {
        (void)fprintf(stderr, "usage: dump_states MODEL TOKENS IDS OUT\n");
        return 2;
    }
    tandem_status status = tandem__source_open(argv[1], &source, &err);
    if (status == TANDEM_OK) status = tandem__plan_check(source->plan, &err);
    if (status == TANDEM_OK) status = dump(argv, source->plan, &err);
    tandem__source_close(source);
    if (status == TANDEM_OK) return 0;
    (void)fprintf(stderr, "dump_states: %s\n", err.message);
    return 1;
}
