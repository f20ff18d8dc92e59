/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of Text Embeddings Inference, by its names, types, labels and buckets, so that boards
 * made for it go on working. A request counts once, what it embeds or classifies text by text; the
 * times are of those that were answered. That server has one model; here the numbers are of all
 * models together. */
#include <stddef.h>
#include <stdint.h>

#include "server/metrics.h"
#include "server/prometheus.h"
#include "server/stats_state.h"

static void write_counts(server_prom *prom, const server_tei_stats *requests) {
    static const char *const methods[] = {"batch", "single"};
    server_prom_family(prom, "te_request_count", "counter", "Requests for a model.");
    for (int i = 0; i < 2; i++)
        server_prom_value(prom, "te_request_count", &SERVER_LABELS({"method", methods[i]}),
                          (double)server_read(&requests->count[i]));
    server_prom_family(prom, "te_request_success", "counter",
                       "Requests for a model that were answered.");
    for (int i = 0; i < 2; i++)
        server_prom_value(prom, "te_request_success", &SERVER_LABELS({"method", methods[i]}),
                          (double)server_read(&requests->success[i]));
}

static void write_faults(server_prom *prom, const server_stats *stats) {
    server_prom_family(prom, "te_request_failure", "counter",
                       "Requests for a model that were not answered, by why.");
    for (int f = SERVER_FAULT_NONE + 1; f < SERVER_FAULTS; f++)
        server_prom_value(prom, "te_request_failure",
                          &SERVER_LABELS({"err", server_fault_word((server_fault)f)}),
                          (double)server_read(&stats->tei_faults[f]));
}

static void write_sum(server_prom *prom, const char *name, const char *help,
                      const _Atomic uint64_t *counters) {
    server_prom_family(prom, name, "counter", help);
    server_prom_value(prom, name, NULL,
                      (double)(server_read(&counters[0]) + server_read(&counters[1])));
}

static void write_stages(server_prom *prom, const server_stats *stats, const char *const *names,
                         const server_tei_stats *from) {
    static const char *const helps[SERVER_STAGES] = {
        "Seconds from the request to its answer.", "Seconds of tokenization.",
        "Seconds that it waited.", "Seconds that lanes worked on it."};
    for (int s = 0; s < SERVER_STAGES; s++) {
        server_prom_family(prom, names[s], "histogram", helps[s]);
        server_prom_histogram(prom, names[s], NULL, &from->stages[s], &stats->bounds.tei);
    }
}

static void write_lengths(server_prom *prom, const server_overview *overview) {
    server_bounds bounds = overview->stats->bounds.lengths; // up to the longest a model takes
    int32_t longest = 1;
    for (size_t i = 0; i < overview->catalog->count; i++) {
        const int32_t length = overview->catalog->models[i].info.max_length;
        if (length > longest) longest = length;
    }
    server_prom_family(prom, "te_request_input_length", "histogram", "Tokens of a text.");
    const server_histogram *all = &overview->stats->lengths;
    server_histogram shown = {.sum = server_read(&all->sum)};
    int kept = 0;
    while (kept < bounds.count && bounds.counted[kept] <= (uint64_t)longest) kept++;
    for (int i = 0; i <= bounds.count; i++)
        shown.counts[i < kept ? i : kept] += server_read(&all->counts[i]);
    bounds.count = kept;
    server_prom_histogram(prom, "te_request_input_length", NULL, &shown, &bounds);
}

/* 1, 2, 4, ... */
static server_bounds powers_of_two(int count) {
    server_bounds bounds = {.count = count, .scale = 1};
    for (int i = 0; i < count; i++) bounds.shown[i] = (double)(1U << i);
    return bounds;
}

_Static_assert(TANDEM_BATCH_SIZES <= SERVER_BUCKETS_MAX, "sizes of batches have room");

static void write_batches(server_prom *prom, const server_overview *overview) {
    const server_bounds size_bounds = powers_of_two(13);
    const server_bounds token_bounds = powers_of_two(21);
    server_histogram sizes = {.sum = 0};
    server_histogram tokens = {.sum = 0};
    double waiting = 0;
    for (size_t i = 0; i < overview->catalog->count; i++) {
        const tandem_metrics *metrics = &overview->models[i].metrics;
        waiting += (double)metrics->waiting;
        for (int l = 0; l < metrics->lane_count; l++) {
            const tandem_lane_metrics *lane = &metrics->lanes[l];
            sizes.sum += lane->texts;
            tokens.sum += lane->tokens;
            for (int s = 0; s < TANDEM_BATCH_SIZES; s++) {
                sizes.counts[s < size_bounds.count ? s : size_bounds.count] += lane->batch_texts[s];
                tokens.counts[s] += lane->batch_tokens[s];
            }
        }
    }
    server_prom_family(prom, "te_queue_size", "gauge", "Requests that wait.");
    server_prom_value(prom, "te_queue_size", NULL, waiting);
    server_prom_family(prom, "te_batch_next_size", "histogram", "Texts of a batch.");
    server_prom_histogram(prom, "te_batch_next_size", NULL, &sizes, &size_bounds);
    server_prom_family(prom, "te_batch_next_tokens", "histogram", "Tokens of a batch.");
    server_prom_histogram(prom, "te_batch_next_tokens", NULL, &tokens, &token_bounds);
}

void server_metrics_tei(server_prom *prom, const server_overview *overview) {
    static const char *const request[SERVER_STAGES] = {
        "te_request_duration", "te_request_tokenization_duration", "te_request_queue_duration",
        "te_request_inference_duration"};
    static const char *const embed[SERVER_STAGES] = {
        "te_embed_duration", "te_embed_tokenization_duration", "te_embed_queue_duration",
        "te_embed_inference_duration"};
    static const char *const predict[SERVER_STAGES] = {
        "te_predict_duration", "te_predict_tokenization_duration", "te_predict_queue_duration",
        "te_predict_inference_duration"};
    const server_stats *stats = overview->stats;
    write_counts(prom, &stats->tei_requests);
    write_faults(prom, stats);
    write_sum(prom, "te_embed_count", "Texts to embed.", stats->tei_embed.count);
    write_sum(prom, "te_embed_success", "Texts that were embedded.", stats->tei_embed.success);
    write_sum(prom, "te_predict_count", "Texts or pairs to classify.", stats->tei_predict.count);
    write_sum(prom, "te_predict_success", "Texts or pairs that were classified.",
              stats->tei_predict.success);
    write_stages(prom, stats, request, &stats->tei_requests);
    write_stages(prom, stats, embed, &stats->tei_embed);
    write_stages(prom, stats, predict, &stats->tei_predict);
    write_lengths(prom, overview);
    write_batches(prom, overview);
}
