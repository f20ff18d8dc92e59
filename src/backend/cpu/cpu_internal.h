/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's parts, a file each:
 *
 *     cpu.c          the table, open, submit, close
 *     cpu_weights.c  the plan's views into packed memory, in parallel
 *     cpu_table.c    the word table, converted as it is used
 *     cpu_positions.c  tables of rotary angles and of biases on scores
 *     cpu_multiply.c a product, in floats or in eight bits
 *     cpu_steps.c    the steps of a layer over a range of rows and columns
 *     cpu_sgemm.c    whether products go to the system's sgemm
 *     cpu_whole.c    a batch by products of the whole batch, for that sgemm
 *     cpu_run.c      how a batch is cut for the threads: by columns, by rows or by sequences
 *     cpu_explain.c  which kernel each step runs
 *
 * What follows the layers is backend/finish.h's, done where possible by the thread that has just
 * computed the rows.
 *
 * Every step computes each value in one order whatever the cut, so the cut is free to follow speed
 * alone and the bits stay. That is not so where the system's sgemm computes: its order of sums is
 * its own, and the lane then says that it is not exact. */
#ifndef TANDEM_BACKEND_CPU_INTERNAL_H
#define TANDEM_BACKEND_CPU_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "apple/accelerate.h"
#include "backend/backend.h"
#include "backend/finish.h"
#include "backend/packing.h"
#include "kernels/kernels.h"

/* The columns of qkv are ordered by head, so that a thread can compute a head's three parts and go
 * on to its attention without waiting for anybody:
 *
 *     [ q of head 0 | k of head 0 | v of head 0 | q of head 1 | ... ]      D columns each */
/* The products of a layer, for the choice of who computes them. */
enum { CPU_QKV, CPU_OUTPUT, CPU_UP /* and the gate */, CPU_DOWN, CPU_PRODUCTS };

typedef struct cpu_layer {
    tandem_packed_linear qkv;    /* [3*N*D, H] */
    tandem_packed_linear output; /* [H, N*D] */
    tandem_packed_linear up;     /* [F, H] */
    tandem_packed_linear gate;   /* [F, H] or absent */
    tandem_packed_linear down;   /* [H, F] */
    tandem_packed_norm attention_norm;
    tandem_packed_norm ffn_norm;
    const float *rope; /* cpu_positions.c; NULL: no rotation */
    const float *bias; /* cpu_positions.c, at distance 0 of head 0; NULL: nothing is added */
} cpu_layer;

/* The rows of a large word table; see cpu_table.c. */
typedef struct cpu_table {
    char *rows; /* [V, H] in the lane's storage; NULL: the table lies among the other weights */
    size_t bytes;
    size_t row_bytes;
    int32_t block_rows;
    bool *is_ready; /* [V / block_rows, rounded up]; read and written under the lane's lock */
} cpu_table;

typedef struct cpu_weights {
    char *memory; /* one allocation for all that follows but a large word table */
    size_t bytes;
    cpu_table table;
    tandem_embed_table word; /* in the lane's storage */
    tandem_embed_table position;
    tandem_embed_table type;
    const float *relative; /* [buckets, N] or NULL */
    tandem_packed_norm embedding_norm;
    tandem_packed_linear embedding_projection;
    tandem_packed_norm final_norm;
    cpu_layer *layers; /* [layer_count], NULL if there are none */
} cpu_weights;

/* Activations of consecutive tokens; row 0 is token `first` of the batch. Row strides are the
 * lane's (cpu_strides). */
typedef struct cpu_frame {
    int first;
    int rows;
    float *x;       /* [rows, H] the residual stream */
    float *input;   /* [rows, H] what a sublayer reads: x itself, or norm(x) with norms first */
    float *qkv[2];  /* [rows, 3*N*D]; the second only where rows run ahead of each other */
    float *context; /* [rows, N*D] */
    float *ffn;     /* [rows, F] (embeddings: [rows, E]) */
    float *gate;    /* [rows, F], with a gate alone */
} cpu_frame;

/* Floats from row to row, tandem__row_stride. */
typedef struct cpu_strides {
    size_t x;
    size_t qkv;
    size_t context;
    size_t ffn;
} cpu_strides;

typedef struct cpu_workspace {
    char *memory;
    size_t bytes;
    int32_t *positions;      /* [tokens_max] position rows of the batch's tokens */
    int32_t *group_offsets;  /* [sequences_max + 1] first sequence of each group */
    int32_t *group_order;    /* [sequences_max] longest first */
    _Atomic int *unfinished; /* [blocks_max] tiles that a block of rows waits for */
    int blocks_max;
    char *scratch; /* [threads, scratch_bytes] for attention */
    size_t scratch_bytes;
    char *frames; /* frame_bytes, cut anew for each batch */
    size_t frame_bytes;
} cpu_workspace;

typedef struct cpu_lane {
    const tandem_plan *plan;
    tandem_pool *pool;
    int threads;
    tandem_kernels kernels;
    tandem_finish *finish;
    tandem_capabilities capabilities;
    tandem_dtype storage; /* of tables and of all weights but a layer's in mode i8: F32 or F16 */
    cpu_weights weights;
    float *position_memory; /* [position_floats], NULL: none */
    size_t position_floats;
    size_t bias_stride;             /* floats from head to head in a layer's bias */
    accelerate_sgemm *sgemm;        /* NULL: the kernels compute all products */
    int32_t rows_min[CPU_PRODUCTS]; /* tokens from which it does (packing.h); 0: never */
    int32_t whole_min;              /* ... from which it does some */
    cpu_strides strides;
    bool has_gate; /* some layer has one */
    int row_block; /* rows whose activations stay in the second-level cache */
    cpu_workspace ws;
    pthread_mutex_t lock; /* one batch at a time */
    _Atomic uint64_t tickets;
} cpu_lane;

/* A batch under way. */
typedef struct cpu_run {
    cpu_lane *lane;
    const tandem_batch *batch;
    tandem_output output;
    float *out;
} cpu_run;

/* Half-open ranges of a frame's rows and of a matrix's panels. */
typedef struct cpu_span {
    int begin;
    int end;
} cpu_span;

tandem_status tandem__cpu_weights_open(cpu_lane *lane, tandem_error *err) TANDEM_NODISCARD;
void tandem__cpu_weights_close(cpu_weights *weights);

/* A word table that is_sparse is opened here instead of being packed. fill makes the rows of the
 * batch's ids ready: under the lane's lock, before the batch is computed; TANDEM_NUMERIC names an
 * element that is not finite. */
bool tandem__cpu_table_is_sparse(const cpu_lane *lane);
tandem_status tandem__cpu_table_open(cpu_lane *lane, tandem_error *err) TANDEM_NODISCARD;
tandem_status tandem__cpu_table_fill(cpu_lane *lane, const tandem_batch *batch,
                                     tandem_error *err) TANDEM_NODISCARD;
void tandem__cpu_table_close(cpu_table *table);

/* See tandem_backend.explain. */
void tandem__cpu_explain(const tandem_lane *lane, tandem_step_function *say, void *context);

/* The layers' rope and bias; after the weights. */
tandem_status tandem__cpu_positions_open(cpu_lane *lane, tandem_error *err) TANDEM_NODISCARD;
void tandem__cpu_positions_close(cpu_lane *lane);

/* Bytes of all frames that batches of up to `tokens` need. */
size_t tandem__cpu_frames_bytes(const cpu_lane *lane, int tokens);

/* Rows and panels of a product whose `args` are whole but for the weights in eight bits. */
void tandem__cpu_multiply(const cpu_lane *lane, const tandem_packed_linear *linear,
                          const tandem_gemm_args *args, cpu_span rows, cpu_span panels);

/* The steps. `layer` is an index; steps of one layer follow each other in this order, for the rows
 * they concern; attend needs the qkv of all rows of the sequences it touches. */
void tandem__cpu_embed(const cpu_run *run, const cpu_frame *frame, cpu_span rows);
void tandem__cpu_qkv(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                     cpu_span panels);
/* Rotary positions on the query and key of whole heads. */
void tandem__cpu_rotate(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                        cpu_span heads);
void tandem__cpu_attend(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                        cpu_span heads, int worker);
void tandem__cpu_project(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                         cpu_span panels);
void tandem__cpu_project_norm(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows);
void tandem__cpu_up(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                    cpu_span panels);
void tandem__cpu_down(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                      cpu_span panels);
/* Also writes the layer's state, and after the last layer the token vectors, where asked for. */
void tandem__cpu_down_norm(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows);

/* From the context on to the layer's end, in blocks of rows that stay in the cache. */
void tandem__cpu_rest(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows);

/* The whole batch. */
void tandem__cpu_forward(const cpu_run *run);

/* Sets lane->sgemm and rows_min, before the weights are packed. */
void tandem__cpu_sgemm_choose(cpu_lane *lane);

/* What a product takes of its matrices: c [tokens, n] = a wᵀ, plus c with `adds`. */
typedef struct cpu_product {
    const tandem_packed_linear *linear;
    const float *a;
    size_t lda;
    float *c;
    size_t ldc;
    int tokens;
    bool adds;
} cpu_product;

/* By the system's sgemm on this thread, and by the kernels on all. */
void tandem__cpu_product_system(const cpu_lane *lane, const cpu_product *product);
void tandem__cpu_product_kernels(const cpu_lane *lane, const cpu_product *product);

/* The whole batch by way of both. */
void tandem__cpu_forward_whole(const cpu_run *run);

/* The frame in `memory`, which is aligned to 64. */
cpu_frame tandem__cpu_frame(const cpu_lane *lane, char *memory, int first, int rows);

/* Cuts the batch into groups of consecutive sequences of about tokens / count tokens each; returns
 * their number, 1 to count. */
int tandem__cpu_groups(const cpu_run *run, int count);

/* What follows the layers, from a frame of the whole batch; the other outputs are there already. */
void tandem__cpu_finish(const cpu_run *run, const cpu_frame *frame);

/* Part `index` of `count` nearly equal parts of the span. */
static inline cpu_span tandem__cpu_share(cpu_span span, int index, int count) {
    const int64_t length = span.end - span.begin;
    return (cpu_span){span.begin + (int)(length * index / count),
                      span.begin + (int)(length * (index + 1) / count)};
}

cpu_span tandem__cpu_panels(const tandem_packed_linear *linear);

#endif
