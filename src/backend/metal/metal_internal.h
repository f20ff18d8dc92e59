/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's parts, a file each:
 *
 *     metal_device.c   the process's device, its queue and pipelines
 *     metal_weights.c  the plan's weights into one arena, and where each lies in it
 *     metal_program.c  plan and batch -> a list of dispatches; what encodes, explains or counts
 *                      walks that list
 *     metal_work.c     a workspace: the buffers of one batch in flight, its inputs, its encoding
 *     metal_lane.c     the table: open, submit, poll, wait, abandon, close
 *     metal_cost.c     the list told to people and to the cost model
 *
 * Only device, work and weights' last step speak to Metal. */
#ifndef TANDEM_BACKEND_METAL_INTERNAL_H
#define TANDEM_BACKEND_METAL_INTERNAL_H

#include "apple/objc.h"
#include "backend/backend.h"
#include "backend/metal/metal_args.h"
#include "backend/metal/metal_kernels.h"

/* Kernels by number: METAL_AT_embed, ... */
/* clang-format off */
#define METAL_INDEX(name, threads, tile_m, tile_n, bytes) METAL_AT_##name,
typedef enum metal_kernel {
    METAL_KERNELS(METAL_INDEX)
    METAL_KERNEL_COUNT
} metal_kernel;
/* clang-format on */

typedef struct metal_kernel_fact {
    const char *name;
    int threads;
    int tile_m;
    int tile_n;
    int bytes; /* of threadgroup memory */
} metal_kernel_fact;

extern const metal_kernel_fact tandem__metal_kernels[METAL_KERNEL_COUNT];

/* metal_device.c */

typedef struct metal_device {
    objc_id device;
    objc_id queue;
    objc_id pipelines[METAL_KERNEL_COUNT]; /* NULL: allows fewer threads than the kernel has */
    uint64_t working_set_max;              /* bytes, recommended */
    uint64_t buffer_max;                   /* bytes of one buffer */
    objc_block *free_arena;                /* frees what newBufferWithBytesNoCopy was given */
} metal_device;

/* The device alone, without its pipelines; TANDEM_DEVICE says why there is none. */
tandem_status tandem__metal_device_look(char *name, size_t size,
                                        tandem_error *err) TANDEM_NODISCARD;

/* The device with its pipelines, compiled once a process. Stays valid until tandem__metal_forget.
 */
tandem_status tandem__metal_device_open(const metal_device **device,
                                        tandem_error *err) TANDEM_NODISCARD;

/* metal_weights.c: offsets in the arena, multiples of 256; METAL_ABSENT where the plan has none. */
#define METAL_ABSENT ((int64_t)-1)

typedef struct metal_linear {
    int64_t weight; /* [n, k] f16 */
    int64_t bias;   /* [n] f32 */
    int n;
    int k;
} metal_linear;

typedef struct metal_norm {
    int64_t gamma; /* f32 */
    int64_t beta;  /* f32 */
} metal_norm;

typedef struct metal_layer {
    metal_linear qkv; /* q of all heads, then k, then v */
    metal_linear output;
    metal_linear up;
    metal_linear gate;
    metal_linear down;
    metal_norm attention_norm;
    metal_norm ffn_norm;
    int64_t angles; /* [longest + position_offset, D/2, 2] f32: cosine, sine */
    int window;
} metal_layer;

typedef struct metal_weights {
    size_t bytes; /* whole pages */
    char *memory; /* NULL: only the layout is known */
    objc_id buffer;
    int longest; /* sequence that tables of positions are made for */
    int64_t word;
    int64_t position;
    int64_t type;
    int64_t relative; /* the plan's relative bias, f32 */
    int64_t bias;     /* [N, 2 * longest - 1] f32, at distance 1 - longest first */
    metal_norm embedding_norm;
    metal_linear projection;
    metal_norm final_norm;
    metal_layer *layers; /* [layer_count], NULL if there are none */
} metal_weights;

/* Where everything will lie; no memory but the layers'. Close it either way. */
tandem_status tandem__metal_weights_layout(const tandem_plan *plan, int longest,
                                           metal_weights *weights,
                                           tandem_error *err) TANDEM_NODISCARD;

/* Packs the arena and gives it to the device; after the layout. */
tandem_status tandem__metal_weights_open(const tandem_plan *plan, const metal_device *device,
                                         tandem_pool *pool, metal_weights *weights,
                                         tandem_error *err) TANDEM_NODISCARD;

/* The device keeps the arena until its last batch is done. */
void tandem__metal_weights_close(metal_weights *weights);

/* metal_program.c */

/* What a step reads or writes; each but the weights is a buffer of the workspace. */
typedef enum metal_place {
    METAL_WEIGHTS = 0,
    METAL_IDS,       /* [T] i32 */
    METAL_POSITIONS, /* [T] i32: from the sequence's start, plus the plan's offset */
    METAL_TYPES,     /* [T] i32 */
    METAL_OFFSETS,   /* [B + 1] i32 */
    METAL_SKIPS,     /* [B] i32 */
    METAL_BLOCKS,    /* metal_block [blocks] */
    METAL_X,         /* [T, H] f16: the residual stream, at last the token vectors */
    METAL_POOLED,    /* [B, H * poolings] f32 */
    METAL_Y,         /* [T, H] f16: norm(x), with norms first */
    METAL_QKV,       /* [T, 3*N*D] f16 */
    METAL_CONTEXT,   /* [T, N*D] f16 */
    METAL_FFN,       /* [T, F] f16; embeddings of another width before */
    METAL_PLACE_COUNT,
} metal_place;

#define METAL_PLACE_PRIVATE METAL_Y /* from here on the processor never looks */

/* Bytes of a place for batches up to these limits; 0: not needed. */
int64_t tandem__metal_place_bytes(const tandem_plan *plan, metal_place place, int64_t tokens,
                                  int64_t sequences);

typedef struct metal_binding {
    metal_place place;
    int64_t offset;
} metal_binding;

enum { METAL_BINDINGS_MAX = 9 };

typedef struct metal_step {
    metal_kernel kernel;
    const char *op;
    int layer; /* -1: outside the layers */
    int binding_count;
    metal_binding bindings[METAL_BINDINGS_MAX]; /* at indices 0, 1, ...; then the arguments */
    union {
        struct metal_embed_args embed;
        struct metal_gemm_args gemm;
        struct metal_norm_args norm;
        struct metal_rope_args rope;
        struct metal_attention_args attention;
        struct metal_pool_args pool;
    } args;
    size_t args_bytes;
    int groups[3];
    double flops;
    double bytes_read;
    double bytes_written;
} metal_step;

typedef struct metal_program {
    const tandem_plan *plan;
    const metal_weights *weights;
    const bool *has_kernel; /* [METAL_KERNEL_COUNT] */
    const int32_t *offsets; /* [sequences + 1] */
    int sequences;
    tandem_output output;
    void (*visit)(void *context, const metal_step *step);
    void *context;
} metal_program;

/* TANDEM_UNSUPPORTED names what the kernels lack for the plan, and its value. */
tandem_status tandem__metal_program_check(const tandem_plan *plan,
                                          tandem_error *err) TANDEM_NODISCARD;

/* TANDEM_DEVICE where the device runs too few of the kernels for the plan. */
tandem_status tandem__metal_kernels_check(const tandem_plan *plan, const bool *has_kernel,
                                          tandem_error *err) TANDEM_NODISCARD;

/* Visits the dispatches of a batch in order; each needs what those before it wrote. */
void tandem__metal_program_walk(const metal_program *program);

/* Blocks of queries of a sequence. */
int tandem__metal_block_count(int tokens);

/* metal_work.c */

enum { METAL_COMMANDS_MAX = 16 }; /* of three batches together: less than the 64 of a queue */

typedef struct metal_work {
    objc_id buffers[METAL_PLACE_COUNT]; /* NULL: not needed; [METAL_WEIGHTS] stays NULL */
    objc_id event;                      /* rises to `value` when the batch is done */
    objc_id commands[METAL_COMMANDS_MAX];
    int command_count; /* committed; 0: no batch is under way */
    uint64_t value;
} metal_work;

/* Bytes of a workspace, and of its largest buffer. */
int64_t tandem__metal_work_bytes(const tandem_plan *plan, int64_t tokens, int64_t sequences,
                                 int64_t *largest);

tandem_status tandem__metal_work_open(const metal_device *device, const tandem_plan *plan,
                                      int64_t tokens, int64_t sequences, metal_work *work,
                                      tandem_error *err) TANDEM_NODISCARD;

/* What the device still works on lives until it is done. */
void tandem__metal_work_close(metal_work *work);

typedef struct metal_job {
    const metal_device *device;
    const tandem_plan *plan;
    const metal_weights *weights;
    const tandem_batch *batch;
    tandem_output output;
} metal_job;

/* Writes the inputs, encodes the batch and commits it. After a failure in the middle some of its
 * commands are under way all the same: command_count says so, and they are waited for and ended as
 * a batch is. */
tandem_status tandem__metal_work_submit(metal_work *work, const metal_job *job,
                                        tandem_error *err) TANDEM_NODISCARD;

/* Waits at most `timeout_ns` for the batch; false: it is still under way. Any thread. */
bool tandem__metal_work_wait(const metal_work *work, uint64_t timeout_ns);

/* TANDEM_DEVICE with the system's words if the batch, which is done, failed. Gives the commands
 * back. */
tandem_status tandem__metal_work_end(metal_work *work, tandem_error *err) TANDEM_NODISCARD;

/* metal_cost.c: the steps for a text of up to 128 tokens, those of the layers once. */
void tandem__metal_explain(const tandem_plan *plan, const metal_device *device,
                           const metal_weights *weights, tandem_step_function *say, void *context);

#endif
