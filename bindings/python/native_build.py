# SPDX-License-Identifier: Apache-2.0
"""What of include/tandem/ Python calls, for cffi in API mode: the compiler checks every declaration
below against the headers, so that a structure that has changed is a build error and never a wrong
read. "...;" stands for the fields that Python does not touch.

The engine is linked in as the static library of a release build, so the package is one file that
needs nothing beside it. TANDEM_BUILD names another build folder than build/release."""
import os
import pathlib
import re
import sys

from cffi import FFI

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("TANDEM_BUILD") or ROOT / "build" / "release")

CDEF = """
typedef enum tandem_status { TANDEM_OK, TANDEM_INVALID, TANDEM_UNSUPPORTED, TANDEM_NOT_FOUND,
    TANDEM_FORMAT, TANDEM_IO, TANDEM_PERMISSION, TANDEM_CAPACITY, TANDEM_TIMEOUT, TANDEM_CANCELLED,
    TANDEM_MEMORY, TANDEM_DEVICE, TANDEM_NUMERIC, ... } tandem_status;
typedef struct tandem_error { tandem_status status; char message[...]; ...; } tandem_error;
const char *tandem_status_text(tandem_status status);
void tandem_error_clear(tandem_error *err);
const char *tandem_version(void);

typedef struct tandem_engine tandem_engine;
typedef struct tandem_engine_options { const char *model; const char *shape; const char *lane;
    const char *dtype; int32_t threads; int32_t max_length; int32_t batch_tokens;
    const char *policy; int64_t queue_tokens_max; int64_t tenant_tokens_max;
    int64_t cache_bytes; ...;
} tandem_engine_options;
tandem_status tandem_engine_open(const tandem_engine_options *options, tandem_engine **engine,
                                 tandem_error *err);
void tandem_engine_close(tandem_engine *engine);
tandem_status tandem_engine_drain(tandem_engine *engine, double timeout_ms, tandem_error *err);
tandem_status tandem_model_locate(const char *name, char *folder, size_t size, tandem_error *err);

typedef struct tandem_model_info { const char *name; const char *folder; const char *family;
    const char *revision; const char *similarity; const char *pooling; int64_t parameters;
    int32_t dimensions; int32_t positions_max; int32_t max_length; int32_t labels;
    const char *const *label_names; const char *score; int32_t prompt_count;
    const char *const *prompt_names; bool is_normalized; bool has_embedding; bool has_sparse; ...;
} tandem_model_info;
void tandem_engine_model(const tandem_engine *engine, tandem_model_info *info);

typedef struct tandem_lane_info { const char *name; const char *lane_class; const char *dtype;
    bool is_available; bool is_open; char device[...]; char reason[...]; ...; } tandem_lane_info;
#define TANDEM_LANES_MAX ...
int tandem_lanes(const tandem_engine *engine, tandem_lane_info *lanes);

typedef struct tandem_text { const char *ptr; size_t len; } tandem_text;
typedef enum tandem_task { TANDEM_TASK_EMBED, TANDEM_TASK_CLASSIFY, ... } tandem_task;
typedef enum tandem_scoring { TANDEM_SCORING_MODEL, ... } tandem_scoring;
typedef enum tandem_fallback { TANDEM_FALLBACK_NEXT, TANDEM_FALLBACK_NONE, ... } tandem_fallback;
typedef enum tandem_priority { TANDEM_PRIORITY_REALTIME, TANDEM_PRIORITY_STANDARD,
    TANDEM_PRIORITY_BACKGROUND, ... } tandem_priority;
typedef struct tandem_request { const tandem_text *texts; const tandem_text *pairs; size_t count;
    const char *lane; const char *prompt_name; const char *prompt; int32_t max_length;
    int32_t dimensions; int32_t priority; double deadline_ms; const char *tenant; tandem_task task;
    tandem_fallback fallback; bool raw_scores; bool skip_normalize; bool refuse_long;
    bool split_long; ...; } tandem_request;
typedef struct tandem_text_result { tandem_status status; int32_t tokens; int32_t dropped; ...;
} tandem_text_result;
typedef struct tandem_result { float *vectors; tandem_text_result *texts; size_t count; size_t rows;
    int32_t dimensions; size_t failed; size_t first_failed; size_t truncated; size_t cached;
    const char *lane; const char *dtype; char reason[...]; uint64_t tokenize_ns; uint64_t queue_ns;
    uint64_t infer_ns; uint64_t retry_ns; int64_t tokens; ...; } tandem_result;
tandem_status tandem_engine_infer(tandem_engine *engine, const tandem_request *request,
                                  tandem_result *result, tandem_error *err);
void tandem_result_deinit(tandem_result *result);

typedef struct tandem_call tandem_call;
typedef struct tandem_queue tandem_queue;
void tandem_call_cancel(tandem_call *call);
void tandem_call_close(tandem_call *call);
tandem_status tandem_call_result(const tandem_call *call, const tandem_result **result,
                                 tandem_error *err);
tandem_status tandem_call_take(tandem_call *call, tandem_result *result, tandem_error *err);
tandem_status tandem_queue_open(tandem_queue **queue, tandem_error *err);
void tandem_queue_close(tandem_queue *queue);
int tandem_queue_fd(const tandem_queue *queue);
tandem_status tandem_queue_submit(tandem_queue *queue, tandem_engine *engine,
                                  const tandem_request *request, void *context, tandem_call **call,
                                  uint64_t *retry_ns, tandem_error *err);
tandem_call *tandem_queue_next(tandem_queue *queue);
void *tandem_call_context(const tandem_call *call);

typedef struct tandem_quantiles { uint64_t count; double mean_ms; double p50_ms; double p95_ms;
    double p99_ms; double max_ms; ...; } tandem_quantiles;
typedef struct tandem_band_metrics { tandem_quantiles tokenize; tandem_quantiles queue;
    tandem_quantiles infer; tandem_quantiles total; ...; } tandem_band_metrics;
typedef struct tandem_lane_metrics { const char *name; const char *lane_class; const char *state;
    double utilisation; double busy_ms; uint64_t batches; uint64_t texts; uint64_t tokens;
    double mean_batch; uint64_t failed_batches; uint64_t times_out; int32_t in_flight;
    int32_t in_flight_max; ...; } tandem_lane_metrics;
typedef struct tandem_target { char name[...]; double value; double limit; bool is_minimum;
    bool is_measured; bool is_met; ...; } tandem_target;
typedef struct tandem_reason_metrics { const char *text; uint64_t requests; ...;
} tandem_reason_metrics;
typedef struct tandem_metrics { uint64_t submitted; uint64_t finished; uint64_t refused;
    uint64_t late; uint64_t expired; uint64_t cancelled; uint64_t failed; uint64_t texts;
    uint64_t cached; uint64_t retried_texts; uint64_t hung_batches; int64_t waiting;
    int64_t waiting_tokens; double waiting_p95; double texts_per_s; tandem_band_metrics bands[...];
    tandem_lane_metrics lanes[...]; int32_t lane_count; tandem_reason_metrics reasons[...];
    int32_t reason_count; tandem_target targets[...]; int32_t target_count; int32_t speed_percent;
    int32_t memory_level; double batch_scale; bool is_everything_open; bool is_ready; ...;
} tandem_metrics;
void tandem_engine_metrics(tandem_engine *engine, tandem_metrics *metrics);
bool tandem_engine_is_ready(tandem_engine *engine);
void tandem_engine_set_speed_limit(tandem_engine *engine, int32_t percent);

typedef struct tandem_machine { const char *processor; const char *kernels; int32_t processors;
    int64_t memory_bytes; int64_t memory_available_bytes; int32_t speed_limit_percent;
    char model_cache[...]; ...; } tandem_machine;
void tandem_machine_describe(tandem_machine *machine);

typedef struct tandem_hub_pulled { char folder[...]; ...; } tandem_hub_pulled;
typedef struct tandem_hub_options tandem_hub_options;
tandem_status tandem_hub_pull(const tandem_hub_options *options, const char *name,
                              const char *revision, tandem_hub_pulled *pulled, tandem_error *err);

typedef struct shim_done { tandem_call *call; const tandem_result *result; uintptr_t tag;
    tandem_status status; bool is_plain; } shim_done;
int shim_infer(tandem_engine *engine, tandem_request *request, const char *text, size_t len,
               float *vector, int32_t dimensions, tandem_result *result, tandem_error *err);
tandem_call *shim_submit(tandem_queue *queue, tandem_engine *engine, tandem_request *request,
                         const char *text, size_t len, uintptr_t tag, uint64_t *retry_ns,
                         tandem_error *err);
bool shim_next(tandem_queue *queue, shim_done *done, tandem_error *err);
void shim_copy(const tandem_result *result, float *vectors);
void shim_place_texts(tandem_text *texts, const char *bytes, const int64_t *lengths, size_t count);
"""

# What Python would do in several steps, in one: between two computations Python's own code and data
# have left the processor's caches, so each step of it costs some ten times what it does in a loop.
#   shim_infer        one text; its vector is copied to where it belongs, unless the text failed
#                     alone or the vector is of another length: -1 then
#   shim_next         a call that is done and all that is asked of it; is_plain: one vector, none
#                     failed
#   shim_place_texts  many texts, which come as one run of bytes and their lengths
SHIM = """
#include <string.h>
#include <tandem/hub.h>
#include <tandem/tandem.h>

typedef struct shim_done {
    tandem_call *call;
    const tandem_result *result;
    uintptr_t tag;
    tandem_status status;
    bool is_plain;
} shim_done;

static void shim_copy(const tandem_result *result, float *vectors) {
    memcpy(vectors, result->vectors,
           result->rows * (size_t)result->dimensions * sizeof *vectors);
}

static bool is_plain(const tandem_result *result) {
    return result->failed == 0 && result->rows == 1;
}

static int shim_infer(tandem_engine *engine, tandem_request *request, const char *text, size_t len,
                      float *vector, int32_t dimensions, tandem_result *result,
                      tandem_error *err) {
    const tandem_text row = {text, len};
    request->texts = &row;
    request->count = 1;
    tandem_error_clear(err);
    const tandem_status status = tandem_engine_infer(engine, request, result, err);
    request->texts = NULL;
    if (status != TANDEM_OK) return (int)status;
    if (!is_plain(result) || result->dimensions != dimensions) return -1;
    shim_copy(result, vector);
    return 0;
}

static tandem_call *shim_submit(tandem_queue *queue, tandem_engine *engine,
                                tandem_request *request, const char *text, size_t len,
                                uintptr_t tag, uint64_t *retry_ns, tandem_error *err) {
    const tandem_text row = {text, len};
    request->texts = &row;
    request->count = 1;
    tandem_error_clear(err);
    tandem_call *call = NULL;
    const tandem_status status =
        tandem_queue_submit(queue, engine, request, (void *)tag, &call, retry_ns, err);
    request->texts = NULL;
    return status == TANDEM_OK ? call : NULL;
}

static bool shim_next(tandem_queue *queue, shim_done *done, tandem_error *err) {
    done->call = tandem_queue_next(queue);
    if (done->call == NULL) return false;
    done->tag = (uintptr_t)tandem_call_context(done->call);
    tandem_error_clear(err);
    done->status = tandem_call_result(done->call, &done->result, err);
    done->is_plain = done->status == TANDEM_OK && is_plain(done->result);
    return true;
}

static void shim_place_texts(tandem_text *texts, const char *bytes, const int64_t *lengths,
                             size_t count) {
    for (size_t i = 0; i < count; i++) {
        texts[i].ptr = bytes;
        texts[i].len = (size_t)lengths[i];
        bytes += lengths[i];
    }
}
"""


def stop(what):
    sys.exit(f"tandem: {what}")


def find_libraries():
    """The static libraries of the build, and yajl's as that build found it."""
    if not (ROOT / "include" / "tandem" / "tandem.h").is_file():
        stop(f"{ROOT}/include/tandem/tandem.h is missing: the package is built inside a checkout "
             "of tandem, as `pip install ./bindings/python`")
    libraries = [BUILD / "src" / "hub" / "libtandem_hub.a", BUILD / "libtandem.a"]
    for library in libraries:
        if not library.is_file():
            stop(f"{library} is missing: run `make` in {ROOT} first (a release build), or set "
                 "TANDEM_BUILD to the folder of another build")
    cache = (BUILD / "CMakeCache.txt").read_text(encoding="utf-8")
    yajl = re.search(r"^YAJL_LIBRARY:\w+=(.+)$", cache, re.MULTILINE)
    if yajl is None or not os.path.exists(yajl.group(1)):
        stop(f"yajl, which {BUILD} was built with, is missing: run tools/setup.sh and `make` again")
    return [str(library) for library in libraries] + [yajl.group(1)]


libraries = find_libraries()
builder = FFI()
builder.cdef(CDEF)
builder.set_source(
    "tandem._native", SHIM,
    include_dirs=[str(ROOT / "include")],
    extra_objects=libraries,
    depends=libraries + [str(path) for path in (ROOT / "include" / "tandem").glob("*.h")],
    libraries=["m", "pthread"] + (["dl"] if sys.platform.startswith("linux") else []),
    extra_link_args=["-Wl,--exclude-libs,ALL", "-Wl,--gc-sections"]
    if sys.platform.startswith("linux") else [])
