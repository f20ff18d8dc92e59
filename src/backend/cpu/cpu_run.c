/* SPDX-License-Identifier: Apache-2.0 */
/* How a batch is cut for the threads. Threads wait for each other as seldom as the work allows:
 *
 *   by sequences  one job for the batch. A tile is a group of whole sequences of about a row block
 *                 of tokens, which goes through all layers in a frame of its own, so that its
 *                 activations stay in one core's cache. No thread waits before the batch's end.
 *                 For batches of many sequences, and always for one thread.
 *   by rows       one job a layer. A tile is a block of rows, which goes from attention through the
 *                 feed-forward to the next layer's query, key and value; only attention needs rows
 *                 of other blocks. Query, key and value have two buffers in turn, so that a fast
 *                 block does not overwrite what a slow one still reads. For few long sequences.
 *   by columns    four jobs a layer. A tile is a share of a matrix's panels for a block of rows, so
 *                 that each core reads only its share of the weights. Norms are done by the thread
 *                 that finishes a block's last tile. For few rows a thread.
 *   not at all    cpu_whole.c: where the system's sgemm, which has threads of its own, is faster.
 *
 * Measured in docs/perf/log.md, "cpu lane". */
#include "backend/cpu/cpu_internal.h"
#include "base/assert.h"
#include "base/dtype.h"

enum {
    GROUP_TOKENS = 128,     /* of a tile by sequences: weights pass by once for all of them */
    GROUP_SPLITS_MAX = 4,   /* times that groups are made smaller for the threads' balance */
    IMBALANCE_NUM = 9,      /* one thread may get 9/8 of the mean */
    IMBALANCE_DEN = 8,      /* */
    ROWS_A_WEIGHT_BYTE = 8, /* rows a thread from which it may read all weights, for each byte of
                               a weight: 16 with f16, 32 with f32 */
    PANEL_STEP = 2,         /* kernels for few rows take two panels at a time */
};

static size_t frame_bytes(const cpu_lane *lane, int rows) {
    const cpu_strides *s = &lane->strides;
    const size_t gates = lane->has_gate ? 2 : 1;
    const size_t inputs = lane->plan->is_norm_first ? 2 : 1;
    const size_t floats = inputs * s->x + 2 * s->qkv + s->context + gates * s->ffn;
    return floats * sizeof(float) * (size_t)rows;
}

/* One frame for the whole batch, or one for each thread's group with room to spare. */
size_t tandem__cpu_frames_bytes(const cpu_lane *lane, int tokens) {
    const size_t whole = frame_bytes(lane, tokens);
    const size_t groups = (size_t)lane->threads * frame_bytes(lane, 2 * GROUP_TOKENS);
    return whole > groups ? whole : groups;
}

static float *carve(char **at, size_t stride, int rows) {
    float *array = (float *)(void *)*at;
    *at += stride * sizeof(float) * (size_t)rows;
    return array;
}

cpu_frame tandem__cpu_frame(const cpu_lane *lane, char *memory, int first, int rows) {
    const cpu_strides *s = &lane->strides;
    char *at = memory;
    cpu_frame frame = {.first = first, .rows = rows};
    frame.x = carve(&at, s->x, rows);
    frame.input = lane->plan->is_norm_first ? carve(&at, s->x, rows) : frame.x;
    frame.qkv[0] = carve(&at, s->qkv, rows);
    frame.qkv[1] = carve(&at, s->qkv, rows);
    frame.context = carve(&at, s->context, rows);
    frame.ffn = carve(&at, s->ffn, rows);
    if (lane->has_gate) frame.gate = carve(&at, s->ffn, rows);
    return frame;
}

void tandem__cpu_finish(const cpu_run *run, const cpu_frame *frame) {
    if (run->output == TANDEM_OUTPUT_TOKENS || run->output == TANDEM_OUTPUT_STATES) return;
    tandem__finish_states(run->lane->finish, run->batch, run->output, frame->input,
                          run->lane->strides.x, run->out);
}

/* By sequences. */

typedef struct sequences_job {
    const cpu_run *run;
    size_t frame_bytes;
} sequences_job;

static void run_group(void *context, int tile, int worker) {
    const sequences_job *job = context;
    const cpu_run *run = job->run;
    const cpu_lane *lane = run->lane;
    const int group = lane->ws.group_order[tile];
    const int begin = lane->ws.group_offsets[group];
    const int end = lane->ws.group_offsets[group + 1];
    const int first = run->batch->offsets[begin];
    const cpu_span rows = {0, run->batch->offsets[end] - first};
    const cpu_span heads = {0, lane->plan->heads};
    char *memory = lane->ws.frames + (size_t)worker * job->frame_bytes;
    cpu_frame frame = tandem__cpu_frame(lane, memory, first, rows.end);
    frame.qkv[1] = frame.qkv[0]; /* nobody else reads them */
    tandem__cpu_embed(run, &frame, rows);
    for (int layer = 0; layer < lane->plan->layer_count; layer++) {
        const tandem_packed_linear *qkv = &lane->weights.layers[layer].qkv;
        const int blocks = (rows.end + lane->row_block - 1) / lane->row_block;
        for (int block = 0; block < blocks; block++) {
            tandem__cpu_qkv(run, &frame, layer, tandem__cpu_share(rows, block, blocks),
                            tandem__cpu_panels(qkv));
        }
        tandem__cpu_rotate(run, &frame, layer, rows, heads);
        tandem__cpu_attend(run, &frame, layer, rows, heads, worker);
        tandem__cpu_rest(run, &frame, layer, rows);
    }
    const tandem_finish_part part = {.batch = run->batch,
                                     .output = run->output,
                                     .begin = begin,
                                     .end = end,
                                     .states = frame.input,
                                     .stride = lane->strides.x,
                                     .out = run->out,
                                     .worker = worker};
    tandem__finish_part(lane->finish, &part);
}

/* By rows. */

typedef struct rows_job {
    const cpu_run *run;
    cpu_frame frame;
    int blocks;
    int layer; /* -1: the embeddings */
} rows_job;

static void run_rows(void *context, int tile, int worker) {
    const rows_job *job = context;
    const cpu_run *run = job->run;
    const cpu_lane *lane = run->lane;
    const cpu_span rows = tandem__cpu_share((cpu_span){0, job->frame.rows}, tile, job->blocks);
    const cpu_span heads = {0, lane->plan->heads};
    const int next = job->layer + 1;
    if (job->layer < 0) {
        tandem__cpu_embed(run, &job->frame, rows);
    } else {
        tandem__cpu_attend(run, &job->frame, job->layer, rows, heads, worker);
        tandem__cpu_rest(run, &job->frame, job->layer, rows);
    }
    if (next == lane->plan->layer_count) return;
    tandem__cpu_qkv(run, &job->frame, next, rows,
                    tandem__cpu_panels(&lane->weights.layers[next].qkv));
    tandem__cpu_rotate(run, &job->frame, next, rows, heads);
}

static void forward_by_rows(const cpu_run *run) {
    const cpu_lane *lane = run->lane;
    const int tokens = run->batch->tokens;
    rows_job job = {.run = run, .frame = tandem__cpu_frame(lane, lane->ws.frames, 0, tokens)};
    const int a_thread =
        (tokens + lane->threads * lane->row_block - 1) / (lane->threads * lane->row_block);
    job.blocks = a_thread * lane->threads;
    for (job.layer = -1; job.layer < lane->plan->layer_count; job.layer++)
        tandem__pool_run(lane->pool, job.blocks, run_rows, &job);
    tandem__cpu_finish(run, &job.frame);
}

/* By columns. */

typedef struct columns_job {
    const cpu_run *run;
    cpu_frame frame;
    int layer;
    int groups; /* of sequences */
    int blocks; /* of rows */
    int parts;  /* of the columns */
} columns_job;

/* Shares of at least `step` units so that, times `others`, there is one tile a thread. More tiles
 * lose: each begins with a panel that is not yet on its way to the cache. */
static int count_parts(const cpu_lane *lane, int units, int step, int others) {
    const int wanted = (lane->threads + others - 1) / others;
    const int most = (units + step - 1) / step;
    return wanted < most ? wanted : most;
}

/* Part `index` of `parts` of [0, units), cut at multiples of `step`. */
static cpu_span cut(int units, int step, int index, int parts) {
    const cpu_span steps =
        tandem__cpu_share((cpu_span){0, (units + step - 1) / step}, index, parts);
    return (cpu_span){steps.begin * step, steps.end * step < units ? steps.end * step : units};
}

/* Fewest heads whose query, key and value fill whole panels. */
static int heads_step(const cpu_lane *lane) {
    const int heads = lane->plan->heads;
    for (int step = 1; step < heads; step++) {
        if (3 * lane->plan->head_dim * step % lane->kernels.gemm.nr == 0) return step;
    }
    return heads;
}

static void run_embed(void *context, int tile, int worker) {
    const columns_job *job = context;
    (void)worker;
    tandem__cpu_embed(job->run, &job->frame,
                      tandem__cpu_share((cpu_span){0, job->frame.rows}, tile, job->parts));
}

static void run_heads(void *context, int tile, int worker) {
    const columns_job *job = context;
    const cpu_lane *lane = job->run->lane;
    const int32_t *groups = lane->ws.group_offsets;
    const int32_t *offsets = job->run->batch->offsets;
    const int group = tile / job->parts;
    const cpu_span rows = {offsets[groups[group]], offsets[groups[group + 1]]};
    const cpu_span heads = cut(lane->plan->heads, heads_step(lane), tile % job->parts, job->parts);
    const int nr = lane->kernels.gemm.nr;
    const int columns = 3 * lane->plan->head_dim;
    const cpu_span panels = {heads.begin * columns / nr, (heads.end * columns + nr - 1) / nr};
    tandem__cpu_qkv(job->run, &job->frame, job->layer, rows, panels);
    tandem__cpu_rotate(job->run, &job->frame, job->layer, rows, heads);
    tandem__cpu_attend(job->run, &job->frame, job->layer, rows, heads, worker);
}

static cpu_span tile_rows(const columns_job *job, int tile) {
    return tandem__cpu_share((cpu_span){0, job->frame.rows}, tile / job->parts, job->blocks);
}

static cpu_span tile_panels(const columns_job *job, const tandem_packed_linear *linear, int tile) {
    return cut(tandem__cpu_panels(linear).end, PANEL_STEP, tile % job->parts, job->parts);
}

/* True for the thread that finishes the last tile of a block: all its rows are there. */
static bool is_last_of_block(const columns_job *job, int tile) {
    _Atomic int *left = &job->run->lane->ws.unfinished[tile / job->parts];
    return atomic_fetch_sub_explicit(left, 1, memory_order_acq_rel) == 1;
}

static void run_project(void *context, int tile, int worker) {
    const columns_job *job = context;
    const cpu_span rows = tile_rows(job, tile);
    const tandem_packed_linear *output = &job->run->lane->weights.layers[job->layer].output;
    (void)worker;
    tandem__cpu_project(job->run, &job->frame, job->layer, rows, tile_panels(job, output, tile));
    if (is_last_of_block(job, tile))
        tandem__cpu_project_norm(job->run, &job->frame, job->layer, rows);
}

static void run_up(void *context, int tile, int worker) {
    const columns_job *job = context;
    const tandem_packed_linear *up = &job->run->lane->weights.layers[job->layer].up;
    (void)worker;
    tandem__cpu_up(job->run, &job->frame, job->layer, tile_rows(job, tile),
                   tile_panels(job, up, tile));
}

static void run_down(void *context, int tile, int worker) {
    const columns_job *job = context;
    const cpu_span rows = tile_rows(job, tile);
    const tandem_packed_linear *down = &job->run->lane->weights.layers[job->layer].down;
    (void)worker;
    tandem__cpu_down(job->run, &job->frame, job->layer, rows, tile_panels(job, down, tile));
    if (is_last_of_block(job, tile)) tandem__cpu_down_norm(job->run, &job->frame, job->layer, rows);
}

/* One job over blocks x parts of the matrix's panels. */
static void run_panels(columns_job *job, const tandem_packed_linear *linear,
                       tandem_pool_function function) {
    const cpu_lane *lane = job->run->lane;
    job->parts = count_parts(lane, tandem__cpu_panels(linear).end, PANEL_STEP, job->blocks);
    for (int block = 0; block < job->blocks; block++)
        atomic_store_explicit(&lane->ws.unfinished[block], job->parts, memory_order_relaxed);
    tandem__pool_run(lane->pool, job->blocks * job->parts, function, job);
}

static void forward_by_columns(const cpu_run *run, int groups) {
    const cpu_lane *lane = run->lane;
    const int tokens = run->batch->tokens;
    columns_job job = {.run = run,
                       .frame = tandem__cpu_frame(lane, lane->ws.frames, 0, tokens),
                       .groups = groups,
                       .blocks = (tokens + lane->row_block - 1) / lane->row_block};
    TANDEM_ASSERT(job.blocks <= lane->ws.blocks_max);
    job.parts = tokens < lane->threads ? tokens : lane->threads;
    tandem__pool_run(lane->pool, job.parts, run_embed, &job);
    for (job.layer = 0; job.layer < lane->plan->layer_count; job.layer++) {
        const cpu_layer *weights = &lane->weights.layers[job.layer];
        job.parts = count_parts(lane, lane->plan->heads, heads_step(lane), groups);
        tandem__pool_run(lane->pool, groups * job.parts, run_heads, &job);
        run_panels(&job, &weights->output, run_project);
        run_panels(&job, &weights->up, run_up);
        run_panels(&job, &weights->down, run_down);
    }
    tandem__cpu_finish(run, &job.frame);
}

/* The choice. */

int tandem__cpu_groups(const cpu_run *run, int count) {
    const tandem_batch *batch = run->batch;
    int32_t *groups = run->lane->ws.group_offsets;
    int made = 0;
    groups[0] = 0;
    for (int b = 1; b <= batch->sequences; b++) {
        /* Here, or after the next sequence? Whichever is nearer to the group's share. */
        const int64_t goal = (int64_t)batch->tokens * (made + 1);
        const int64_t here = (int64_t)batch->offsets[b] * count;
        const int64_t after = b < batch->sequences ? (int64_t)batch->offsets[b + 1] * count : here;
        if (b < batch->sequences && here + after < 2 * goal) continue;
        groups[++made] = b;
    }
    return made;
}

static int group_tokens(const cpu_run *run, int group) {
    const int32_t *groups = run->lane->ws.group_offsets;
    return run->batch->offsets[groups[group + 1]] - run->batch->offsets[groups[group]];
}

/* Longest first, so that what is left at the end is short. Few groups, nearly sorted: insertion. */
static void order_groups(const cpu_run *run, int groups) {
    int32_t *order = run->lane->ws.group_order;
    for (int i = 0; i < groups; i++) {
        const int tokens = group_tokens(run, i);
        int at = i;
        for (; at > 0 && group_tokens(run, order[at - 1]) < tokens; at--) order[at] = order[at - 1];
        order[at] = i;
    }
}

/* Whether the threads would finish the groups at about the same time, each taking the next one of
 * the order when it is free. Exact for two threads; for more, the bound mean + longest. */
static bool is_balanced(const cpu_run *run, int groups) {
    const int threads = run->lane->threads;
    const int32_t *order = run->lane->ws.group_order;
    const int64_t tokens = run->batch->tokens;
    int64_t most = 0;
    if (threads == 2) {
        int64_t loads[2] = {0, 0};
        for (int i = 0; i < groups; i++) loads[loads[1] < loads[0]] += group_tokens(run, order[i]);
        most = loads[0] > loads[1] ? loads[0] : loads[1];
    } else if (groups <= threads) {
        most = group_tokens(run, order[0]);
    } else {
        most = tokens / threads + group_tokens(run, order[groups - 1]);
    }
    return most * threads * IMBALANCE_DEN <= tokens * IMBALANCE_NUM;
}

static bool forward_by_sequences(const cpu_run *run, int count) {
    const cpu_lane *lane = run->lane;
    const int groups = tandem__cpu_groups(run, count);
    order_groups(run, groups);
    const int longest = group_tokens(run, lane->ws.group_order[0]);
    const sequences_job job = {.run = run, .frame_bytes = frame_bytes(lane, longest)};
    if (job.frame_bytes * (size_t)lane->threads > lane->ws.frame_bytes) return false;
    if (lane->threads > 1 && !is_balanced(run, groups)) return false;
    tandem__pool_run(lane->pool, groups, run_group, (void *)&job);
    tandem__finish_parts(lane->finish, run->batch, run->output, run->out);
    return true;
}

static void number_positions(const cpu_run *run) {
    const tandem_batch *batch = run->batch;
    const int32_t offset = run->lane->plan->position_offset;
    for (int b = 0; b < batch->sequences; b++) {
        for (int32_t t = batch->offsets[b]; t < batch->offsets[b + 1]; t++)
            run->lane->ws.positions[t] = t - batch->offsets[b] + offset;
    }
}

static void compute(const cpu_run *run) {
    const cpu_lane *lane = run->lane;
    const int tokens = run->batch->tokens;
    const int threads = lane->threads;
    if (lane->sgemm != NULL && tokens >= lane->whole_min) {
        tandem__cpu_forward_whole(run);
        return;
    }
    const int weight_bytes = (int)tandem__dtype_bytes(lane->capabilities.dtype);
    if (threads > 1 && tokens < ROWS_A_WEIGHT_BYTE * weight_bytes * threads) {
        forward_by_columns(
            run, tandem__cpu_groups(run, (tokens + lane->row_block - 1) / lane->row_block));
        return;
    }
    const int rounds = (tokens + threads * GROUP_TOKENS - 1) / (threads * GROUP_TOKENS);
    for (int split = 1; split <= GROUP_SPLITS_MAX; split *= 2) {
        if (forward_by_sequences(run, rounds * threads * split)) return;
    }
    forward_by_rows(run);
}

void tandem__cpu_forward(const cpu_run *run) {
    number_positions(run);
    compute(run);
}
