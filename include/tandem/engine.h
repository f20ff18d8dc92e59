/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: a model on this machine's lanes, texts in, vectors out.
 *
 *     tandem_engine_options options = {.model = "sentence-transformers/all-MiniLM-L6-v2"};
 *     tandem_engine *engine = NULL;
 *     tandem_error err = {0};
 *     if (tandem_engine_open(&options, &engine, &err)) { puts(err.message); return 1; }
 *     const tandem_text text = {"Hello, world", 12};
 *     const tandem_request request = {.texts = &text, .count = 1};
 *     tandem_result result = {0};
 *     if (tandem_engine_infer(engine, &request, &result, &err)) { puts(err.message); return 1; }
 *     if (result.failed > 0) puts(err.message); // a bad text fails alone: its vector is zero
 *     // result.vectors is [1, result.dimensions]
 *     tandem_result_deinit(&result);
 *     tandem_engine_close(engine);
 *
 * Any thread may call; tandem_engine_infer blocks and works on the caller's own thread and the
 * engine's. Structures that a caller fills start as all zero, which means the default everywhere.
 */
#ifndef TANDEM_ENGINE_H
#define TANDEM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/dtype.h"
#include "tandem/status.h"
#include "tandem/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tandem_engine tandem_engine;

typedef struct tandem_engine_options {
    const char *model;         /* a Hub name or a folder; NULL = all-MiniLM-L6-v2 */
    const char *shape;         /* instead of a model: random weights of "bert-base" and the like */
    const char *lane;          /* "cpu", "ref", ...; NULL or "auto" = every lane the machine has */
    const char *dtype;         /* "f16", "f32", ...; NULL = "f16" */
    int32_t threads;           /* compute threads; 0 = the processors this process may use */
    int32_t max_length;        /* tokens; 0 = the model's own default; at most its positions */
    int32_t batch_tokens;      /* most tokens in one batch; 0 = chosen by the engine */
    const char *policy;        /* "predict" (NULL as well), "rules", "rules-simple" */
    int64_t queue_tokens_max;  /* tokens that may wait; 0 = 1 << 20 */
    int64_t tenant_tokens_max; /* ... of one tenant; 0 = queue_tokens_max */
    int64_t cache_bytes;       /* of vectors kept for requests to come; 0 = none */
    double queue_ms_max;       /* what waits before a request may take this long; 0 = any time */
} tandem_engine_options;

/* Opens the model and its lanes. The error names the file and the field, or the lane and why it
 * is not to be had. */
TANDEM_API tandem_status tandem_engine_open(const tandem_engine_options *options,
                                            tandem_engine **engine,
                                            tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. No call may be under way. */
TANDEM_API void tandem_engine_close(tandem_engine *engine);

/* The folder of a model, by the name or folder a user gives: into `folder` of `size` bytes, without
 * opening it. TANDEM_NOT_FOUND says which places were looked at. Any thread. */
TANDEM_API tandem_status tandem_model_locate(const char *name, char *folder, size_t size,
                                             tandem_error *err) TANDEM_NODISCARD;

/* Borrowed until the engine closes. */
typedef struct tandem_model_info {
    const char *name;
    const char *folder;
    const char *family;
    const char *revision;
    const char *similarity; /* "cosine", "dot", ... */
    const char *activation; /* of the feed-forward layers: "gelu", "silu", ... */
    const char *positions;  /* "absolute", "rope", "alibi", "relative", "none" */
    const char *pooling;    /* "mean", "cls", "splade", ...; "max+cls" where they are joined */
    int64_t parameters;
    int32_t dimensions; /* of a vector, before truncation */
    int32_t hidden;
    int32_t layers;
    int32_t heads;
    int32_t ffn; /* inner width of the feed-forward layers */
    int32_t vocab;
    int32_t positions_max;          /* longest text in tokens that the model can take */
    int32_t max_length;             /* longest text that this engine takes */
    int32_t labels;                 /* of a classifier; else 0 */
    const char *const *label_names; /* [labels] */
    const char *score; /* what makes scores of its logits: "none", "sigmoid", "softmax" */
    int32_t prompt_count;
    const char *const *prompt_names; /* [prompt_count] */
    bool is_normalized;              /* the model's own vectors have length 1 */
    bool has_embedding;              /* TANDEM_TASK_EMBED is for it */
    bool has_sparse;                 /* ... TANDEM_TASK_EMBED_SPARSE */
} tandem_model_info;

TANDEM_API void tandem_engine_model(const tandem_engine *engine, tandem_model_info *info);

/* The model's tokenizer, borrowed until the engine closes; NULL for a shape. */
TANDEM_API const tandem_tokenizer *tandem_engine_tokenizer(const tandem_engine *engine);

typedef struct tandem_lane_info {
    const char *name;       /* "cpu" */
    const char *lane_class; /* "latency", "throughput", "background", "none" */
    const char *dtype;      /* "f16", or "" where the lane is not open */
    bool is_available;
    bool is_open; /* this engine serves on it */
    char device[96];
    char reason[200]; /* why it is not available */
    int64_t weights_bytes;
    int64_t workspace_bytes;
    int32_t tokens_max; /* of one batch */
    char check[80];     /* what its check at the first start found, "" where it needs none */
} tandem_lane_info;

#define TANDEM_LANES_MAX 8

/* Every lane that tandem knows of, whether or not this machine has it. `engine` may be NULL: then
 * only what the machine has is said. `lanes` has room for TANDEM_LANES_MAX. Returns their number.
 */
TANDEM_API int tandem_lanes(const tandem_engine *engine, tandem_lane_info *lanes);

/* One step of the network as a lane runs it: what is computed, where, by which kernel. Texts for
 * people, borrowed for the call. */
typedef void tandem_explain_function(void *context, const char *op, const char *where,
                                     const char *how);

/* Calls `say` for each step of the model on `lane` ("cpu", ...; NULL or "auto": the one that
 * serves), in order; the steps of a layer come once, since all layers are alike. Opens the lane if
 * need be: fails as that does, and with TANDEM_UNSUPPORTED for a lane that cannot tell. */
TANDEM_API tandem_status tandem_engine_explain(tandem_engine *engine, const char *lane,
                                               tandem_explain_function *say, void *context,
                                               tandem_error *err) TANDEM_NODISCARD;

typedef struct tandem_text {
    const char *ptr; /* UTF-8, need not end with NUL */
    size_t len;      /* bytes */
} tandem_text;

typedef enum tandem_task {
    TANDEM_TASK_EMBED = 0,        /* one vector a text */
    TANDEM_TASK_EMBED_ALL = 1,    /* one vector a token */
    TANDEM_TASK_CLASSIFY = 2,     /* scores of the sequence classifier's labels */
    TANDEM_TASK_EMBED_SPARSE = 3, /* weights of words: SPLADE over a masked language model */
} tandem_task;

/* What makes a classifier's scores of its logits. */
typedef enum tandem_scoring {
    TANDEM_SCORING_MODEL = 0, /* as the model's configuration says: tandem_model_info.score */
    TANDEM_SCORING_SIGMOID = 1,
    TANDEM_SCORING_SOFTMAX = 2,
} tandem_scoring;

/* Lower first; any integer will do. Below zero is realtime work, above zero background work. */
typedef enum tandem_priority {
    TANDEM_PRIORITY_REALTIME = -10,
    TANDEM_PRIORITY_STANDARD = 0,
    TANDEM_PRIORITY_BACKGROUND = 10,
} tandem_priority;

/* "realtime" ("real_time", "urgent"), "standard", "background" or a whole number, as the command
 * line and Python take them. `word` is [len], need not end with NUL. TANDEM_INVALID for another. */
TANDEM_API tandem_status tandem_priority_parse(const char *word, size_t len, int32_t *priority,
                                               tandem_error *err) TANDEM_NODISCARD;

typedef enum tandem_fallback {
    TANDEM_FALLBACK_NEXT =
        0, /* a lane that is not there: the next one serves, and the result says so */
    TANDEM_FALLBACK_NONE = 1, /* ... is an error */
} tandem_fallback;

/* Classes of lanes, as tandem_lane_info.lane_class has them: a bit each. */
#define TANDEM_LANES_LATENCY    (1u << 1)
#define TANDEM_LANES_THROUGHPUT (1u << 2)
#define TANDEM_LANES_BACKGROUND (1u << 3)

typedef struct tandem_request {
    const tandem_text *texts; /* [count], borrowed for the call */
    const tandem_text *pairs; /* [count], second texts, or NULL */
    size_t count;
    /* Instead of texts: token ids, special tokens included, as the lanes get them. */
    const int32_t *ids;        /* [id_offsets[count]] */
    const int32_t *id_offsets; /* [count + 1], or NULL: texts are given */
    const char *lane;          /* NULL or "auto": the engine chooses */
    const char *prompt_name;   /* NULL: the model's default prompt, if it has one */
    const char *prompt;        /* text put before each text; wins over prompt_name */
    int32_t max_length;        /* tokens; 0 = the engine's */
    int32_t dimensions;        /* keep the first of the vector (matryoshka); 0 = the model's */
    int32_t priority;          /* see tandem_priority */
    double deadline_ms;        /* from now; 0 = none. What cannot meet it is refused at once */
    const char *tenant;        /* whose bound on waiting tokens it counts against; NULL = "" */
    tandem_task task;
    tandem_fallback fallback;
    tandem_scoring scoring; /* TANDEM_TASK_CLASSIFY */
    bool raw_scores;        /* ... logits as they are, whatever `scoring` says */
    bool skip_normalize;    /* leave vectors as the pooling gives them */
    bool force_normalize;   /* length 1 even where the model's own vectors are not */
    bool refuse_long;       /* a text over max_length is an error instead of cut */
    bool split_long; /* ... is computed in windows, averaged by their tokens; TANDEM_TASK_EMBED */
    bool replace_invalid; /* bytes that are not UTF-8 become U+FFFD instead of an error */
    bool truncate_left;   /* what does not fit is cut off the start of a text, prompt first */
    /* TANDEM_LANES_..., the classes of lanes that may serve; 0 = all. Where it is not 0, a lane
     * that is named must be of one of them, else TANDEM_PERMISSION; with none of them in service
     * the request ends as TANDEM_DEVICE. */
    uint32_t lane_classes;
} tandem_request;

typedef struct tandem_text_result {
    tandem_status status; /* TANDEM_OK, or why this one text failed; its vector is zero then */
    int32_t tokens;       /* computed, special ones included */
    int32_t dropped;      /* tokens that did not fit max_length */
    int32_t first_row;    /* TANDEM_TASK_EMBED_ALL: row of its first token's vector */
} tandem_text_result;

/* Start with all zero; tandem_result_deinit frees it. Reusing one result keeps its memory. */
typedef struct tandem_result {
    float *vectors; /* [rows, dimensions] f32 row-major; NULL where they are sparse */
    int32_t *ids;   /* TANDEM_TASK_EMBED_ALL: [rows] token of each row; else NULL */
    /* TANDEM_TASK_EMBED_SPARSE, else NULL: text i has entries [sparse_offsets[i],
     * sparse_offsets[i + 1]), token ids rising, weights over zero. */
    int64_t *sparse_offsets; /* [count + 1] */
    int32_t *sparse_ids;
    float *sparse_weights;
    tandem_text_result *texts; /* [count] */
    size_t count;
    size_t rows; /* = count, or all tokens with TANDEM_TASK_EMBED_ALL */
    int32_t dimensions;
    size_t failed;        /* texts whose status is not TANDEM_OK */
    size_t first_failed;  /* index of the first of them, 0 if there is none */
    size_t truncated;     /* texts that lost tokens */
    size_t cached;        /* sequences whose vectors were known */
    const char *lane;     /* that served; static */
    const char *dtype;    /* static */
    char reason[120];     /* why that lane */
    uint64_t tokenize_ns; /* wall time */
    uint64_t queue_ns;    /* until its first unit was on a lane */
    uint64_t infer_ns;    /* from there to the end */
    uint64_t retry_ns;    /* of a call refused with TANDEM_CAPACITY: when to try again */
    int64_t tokens;       /* computed in all */
    struct tandem_result_memory *memory; /* private */
} tandem_result;

/* Blocks until every text has its result. One bad text does not fail the others: see
 * tandem_text_result.status. The call returns TANDEM_OK then, and `err` says what is wrong with
 * text result.first_failed, without its place: the caller knows where its texts came from. Fails
 * as a whole for a bad request, a missing lane, a device that fails on every text, with
 * TANDEM_CAPACITY where too much waits already and with TANDEM_TIMEOUT where the deadline cannot
 * be met or was not. On an idle lane it computes on the caller's own thread. */
TANDEM_API tandem_status tandem_engine_infer(tandem_engine *engine, const tandem_request *request,
                                             tandem_result *result,
                                             tandem_error *err) TANDEM_NODISCARD;

TANDEM_API void tandem_result_deinit(tandem_result *result);

/* A lane against the reference on this model: generated texts of many lengths, one by one and
 * batched, compared by cosine and largest difference with the mode's gate. */
typedef struct tandem_selftest {
    const char *lane;
    const char *dtype;
    int32_t texts;
    double cosine_mean;
    double cosine_min;
    double difference_max;   /* of unit vectors */
    double gate_cosine;      /* what cosine_mean (f32: cosine_min) has to reach */
    bool is_batch_invariant; /* alone and batched gave the same bits */
    bool is_passed;
} tandem_selftest;

TANDEM_API tandem_status tandem_engine_selftest(tandem_engine *engine, const char *lane,
                                                tandem_selftest *report,
                                                tandem_error *err) TANDEM_NODISCARD;

/* The machine as tandem sees it. Strings are static. */
typedef struct tandem_machine {
    const char *processor;
    const char *kernels;  /* newest instruction set in use: "c", "avx2", "avx512", "neon" */
    int32_t processors;   /* that this process may use */
    int64_t memory_bytes; /* -1 = the system does not say, here and below */
    int64_t memory_available_bytes;
    int32_t speed_limit_percent; /* 100 = not throttled, -1 = the system does not say */
    char model_cache[512];       /* the folder where models are looked for */
    char system[128];            /* "macOS 15.5 (24F74)" */
    int32_t performance_cores;   /* where there are two kinds of cores, else 0 */
    int32_t efficiency_cores;
} tandem_machine;

TANDEM_API void tandem_machine_describe(tandem_machine *machine);

#ifdef __cplusplus
}
#endif
#endif
