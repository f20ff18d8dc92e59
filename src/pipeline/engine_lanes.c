/* SPDX-License-Identifier: Apache-2.0 */
/* Which lanes serve: opening them, and whom a request gets.
 *
 * Any error of a lane while it opens (the system refuses its program, memory is short, it computes
 * wrongly) takes it out for good with the error's words as the reason, and the others serve. */
#include <stdio.h>
#include <string.h>

#include "base/dtype.h"
#include "base/fail.h"
#include "pipeline/engine_lanes.h"
#include "pipeline/pipeline_internal.h"

enum { IN_FLIGHT = 2 }; /* batches of a device's lane: one computes, one is handed in */

static bool is_auto(const char *lane) {
    return lane == NULL || strcmp(lane, "auto") == 0;
}

bool tandem__lane_is_usable(const engine_lane *lane) {
    return lane->probe.is_available && !atomic_load_explicit(&lane->is_off, memory_order_acquire);
}

const char *tandem__lane_reason(const engine_lane *lane) {
    return tandem__lane_is_usable(lane) || !lane->probe.is_available ? lane->probe.reason
                                                                     : lane->off.message;
}

/* For good; with the mutex of opening. */
static void leave_out(engine_lane *lane, const tandem_error *why) {
    lane->off = *why;
    atomic_store_explicit(&lane->is_off, true, memory_order_release);
}

/* Opens the lane and, where that is called for, sees whether it computes what it should. */
static tandem_status open_checked(const engine_lane *lane, const tandem_plan *plan,
                                  const tandem_backend_options *options, tandem_lane **out,
                                  start_check *check, tandem_error *err) {
    const tandem_backend *backend = lane->backend;
    const start_check_subject subject = {.backend = backend,
                                         .device = lane->probe.device,
                                         .plan = plan,
                                         .dtype = options->dtype,
                                         .pool = options->pool};
    const bool is_known = backend->is_trusted || tandem__start_check_load(&subject, check);
    if (check->is_kept && !check->is_passed) return tandem__start_check_fail(&subject, check, err);
    tandem_lane *opened = NULL;
    TANDEM_TRY(backend->open(plan, options, &opened, err));
    tandem_status status = TANDEM_OK;
    if (!is_known) {
        status = tandem__start_check_run(&subject, opened, check, err);
        if (status == TANDEM_OK) {
            tandem__start_check_save(&subject, check);
            if (!check->is_passed) status = tandem__start_check_fail(&subject, check, err);
        }
    }
    if (status == TANDEM_OK)
        *out = opened;
    else
        backend->close(opened);
    return status;
}

static tandem_status open_now(tandem_engine *engine, engine_lane *lane, tandem_error *err) {
    /* The reference computes in double over f32 storage, whatever the engine's mode. */
    const bool is_reference = lane->backend->lane_class == TANDEM_CLASS_NONE;
    const int32_t longest = engine->source->plan->positions_max;
    const tandem_backend_options options = {
        .dtype = is_reference ? TANDEM_DTYPE_F32 : engine->dtype,
        .tokens_max = engine->batch_tokens > longest ? engine->batch_tokens : longest,
        .sequences_max = PIPELINE_SEQUENCES_MAX,
        .in_flight_max = IN_FLIGHT,
        .pool = engine->pool,
    };
    TANDEM_TRY(open_checked(lane, engine->source->plan, &options, &lane->lane, &lane->check, err));
    lane->backend->capabilities(lane->lane, &lane->capabilities);
    tandem__dispatch_lane_open(engine, (int32_t)(lane - engine->lanes));
    atomic_store_explicit(&lane->is_open, true, memory_order_release);
    return TANDEM_OK;
}

static tandem_status lane_open(tandem_engine *engine, engine_lane *lane, tandem_error *err) {
    if (atomic_load_explicit(&lane->is_open, memory_order_acquire)) return TANDEM_OK;
    tandem_error why = {.status = TANDEM_OK};
    (void)pthread_mutex_lock(&engine->open_mutex);
    tandem_status status = TANDEM_OK;
    if (atomic_load_explicit(&lane->is_off, memory_order_relaxed)) {
        why = lane->off;
        status = why.status;
    } else if (!atomic_load_explicit(&lane->is_open, memory_order_relaxed)) {
        status = open_now(engine, lane, &why);
        if (status != TANDEM_OK) leave_out(lane, &why);
    }
    (void)pthread_mutex_unlock(&engine->open_mutex);
    if (status != TANDEM_OK && err != NULL && err->status == TANDEM_OK) *err = why;
    return status;
}

void tandem__lane_lost(tandem_engine *engine, engine_lane *lane, const tandem_error *why) {
    (void)pthread_mutex_lock(&engine->open_mutex);
    tandem__dispatch_lane_lost(engine, (int32_t)(lane - engine->lanes));
    atomic_store_explicit(&lane->is_open, false, memory_order_release);
    lane->backend->close(lane->lane);
    lane->lane = NULL;
    leave_out(lane, why);
    (void)pthread_mutex_unlock(&engine->open_mutex);
}

/* The class order of a request that names no lane or whose lane is missing; `classes` as in
 * tandem_request. */
static engine_lane *next_lane(tandem_engine *engine, uint8_t classes) {
    static const tandem_lane_class order[] = {TANDEM_CLASS_LATENCY, TANDEM_CLASS_THROUGHPUT,
                                              TANDEM_CLASS_BACKGROUND};
    for (size_t c = 0; c < sizeof order / sizeof order[0]; c++) {
        if (!tandem__class_allows(classes, order[c])) continue;
        for (int i = 0; i < engine->lane_count; i++) {
            engine_lane *lane = &engine->lanes[i];
            if (lane->backend->lane_class == order[c] && tandem__lane_is_usable(lane)) return lane;
        }
    }
    return NULL;
}

static engine_lane *find_lane(tandem_engine *engine, const char *name) {
    for (int i = 0; i < engine->lane_count; i++) {
        if (strcmp(engine->lanes[i].backend->name, name) == 0) return &engine->lanes[i];
    }
    return NULL;
}

/* What a request says about its lane. */
typedef struct lane_wish {
    const char *name;
    tandem_fallback fallback;
    uint8_t classes;
} lane_wish;

/* This engine has nothing for the wish. */
static tandem_status fail_wish(const lane_wish *wish, tandem_error *err) {
    if (wish->classes == 0)
        return TANDEM_FAIL(err, DEVICE, "this machine has no lane that can serve");
    char words[SCHED_CLASS_BYTES];
    return TANDEM_FAIL(err, DEVICE,
                       "this machine has no lane of the classes that the request may use: %s",
                       tandem__class_words(wish->classes, words));
}

/* The lane for the wish, not opened yet: the one that is named, or the next that is there. */
static tandem_status choose(tandem_engine *engine, const lane_wish *wish, engine_lane **lane,
                            char *reason, tandem_error *err) {
    const char *name = wish->name;
    engine_lane *named = is_auto(name) ? NULL : find_lane(engine, name);
    if (!is_auto(name) && named == NULL) {
        return TANDEM_FAIL(err, INVALID,
                           "lane: \"%s\", expected auto, ane, metal, cuda, cpu or ref", name);
    }
    if (named != NULL)
        TANDEM_TRY(tandem__class_check(name, named->backend->lane_class, wish->classes, err));
    *lane = named;
    if (named != NULL && tandem__lane_is_usable(named)) {
        (void)snprintf(reason, PIPELINE_REASON_BYTES, "asked for");
        return TANDEM_OK;
    }
    const char *why = named == NULL ? "" : tandem__lane_reason(named);
    if (named != NULL && wish->fallback == TANDEM_FALLBACK_NONE)
        return TANDEM_FAIL(err, DEVICE, "lane %s is not available: %s", name, why);
    *lane = next_lane(engine, wish->classes);
    if (*lane == NULL) return fail_wish(wish, err);
    if (named == NULL)
        (void)snprintf(reason, PIPELINE_REASON_BYTES,
                       "first available of latency, throughput, background");
    else
        (void)snprintf(reason, PIPELINE_REASON_BYTES, "fallback: lane %s: %.80s", name, why);
    return TANDEM_OK;
}

/* As tandem__engine_lane. A lane that cannot be opened is out from then on, and the wish is looked
 * at again; where nothing is left the first error is told, not what followed from it. */
static tandem_status find_wish(tandem_engine *engine, const lane_wish *wish, engine_lane **lane,
                               char *reason, tandem_error *err) {
    tandem_error first = {.status = TANDEM_OK};
    for (;;) {
        engine_lane *found = NULL;
        tandem_error why = {.status = TANDEM_OK};
        tandem_status status = choose(engine, wish, &found, reason, &why);
        if (status == TANDEM_OK) status = lane_open(engine, found, &why);
        if (status == TANDEM_OK) {
            *lane = found;
            return TANDEM_OK;
        }
        const bool is_first = first.status == TANDEM_OK;
        if (is_first) first = why;
        const bool is_last = found == NULL || tandem__lane_is_usable(found) ||
                             (!is_auto(wish->name) && wish->fallback == TANDEM_FALLBACK_NONE);
        if (!is_last) continue;
        if (err != NULL && err->status == TANDEM_OK) *err = first;
        return first.status;
    }
}

tandem_status tandem__engine_lane(tandem_engine *engine, const char *name, tandem_fallback fallback,
                                  engine_lane **lane, char *reason, tandem_error *err) {
    const lane_wish wish = {.name = name, .fallback = fallback};
    return find_wish(engine, &wish, lane, reason, err);
}

tandem_status tandem__engine_route(tandem_engine *engine, const tandem_request *request,
                                   pipeline_job *job, char *reason, tandem_error *err) {
    lane_wish wish = {.name = request->lane,
                      .fallback = request->fallback,
                      .classes = (uint8_t)request->lane_classes};
    engine_lane *lane = NULL;
    if (is_auto(wish.name) && !engine->is_lane_named) {
        lane = next_lane(engine, wish.classes);
        if (lane == NULL) return fail_wish(&wish, err);
        job->lane = SCHED_NO_LANE;
        job->home = (int32_t)(lane - engine->lanes);
        return TANDEM_OK;
    }
    if (is_auto(wish.name)) { // the engine serves on one lane alone: nobody asked for it by name
        wish.name = engine->lane_name;
        const tandem_lane_class lane_class = find_lane(engine, wish.name)->backend->lane_class;
        if (!tandem__class_allows(wish.classes, lane_class)) return fail_wish(&wish, err);
    }
    TANDEM_TRY(find_wish(engine, &wish, &lane, reason, err));
    job->lane = (int32_t)(lane - engine->lanes);
    job->home = job->lane;
    return TANDEM_OK;
}

/* Every lane that may serve; those that fail are left out as long as one is left. */
static tandem_status open_every(tandem_engine *engine, tandem_error *err) {
    tandem_error first = {.status = TANDEM_OK};
    int opened = 0;
    for (int i = 0; i < engine->lane_count; i++) {
        engine_lane *lane = &engine->lanes[i];
        if (lane->backend->lane_class == TANDEM_CLASS_NONE || !tandem__lane_is_usable(lane))
            continue;
        if (!lane->backend->has_dtype(engine->dtype)) continue;
        tandem_error why = {.status = TANDEM_OK};
        if (lane_open(engine, lane, &why) == TANDEM_OK)
            opened++;
        else if (first.status == TANDEM_OK)
            first = why;
    }
    if (opened > 1) return tandem__dispatch_warm(engine, err);
    if (opened == 1) return TANDEM_OK;
    if (first.status == TANDEM_OK)
        return TANDEM_FAIL(err, DEVICE, "this machine has no lane that can serve");
    if (err != NULL && err->status == TANDEM_OK) *err = first;
    return first.status;
}

tandem_status tandem__engine_open_lanes(tandem_engine *engine, const char *name,
                                        tandem_error *err) {
    if (is_auto(name)) return open_every(engine, err);
    engine_lane *lane = NULL;
    char reason[PIPELINE_REASON_BYTES];
    TANDEM_TRY(tandem__engine_lane(engine, name, TANDEM_FALLBACK_NEXT, &lane, reason, err));
    engine->is_lane_named = true;
    engine->lane_name = lane->backend->name;
    return TANDEM_OK;
}

static bool may_serve(const engine_lane *lane) {
    return lane->backend->lane_class != TANDEM_CLASS_NONE && tandem__lane_is_usable(lane);
}

/* Takes out the lanes without the engine's mode, as long as one has it. Before any is open. */
static void leave_out_others(tandem_engine *engine) {
    const char *word = tandem__dtype_word(engine->dtype);
    int having = 0;
    for (int i = 0; i < engine->lane_count; i++) {
        const engine_lane *lane = &engine->lanes[i];
        having += may_serve(lane) && lane->backend->has_dtype(engine->dtype);
    }
    for (int i = 0; i < engine->lane_count && having > 0; i++) {
        engine_lane *lane = &engine->lanes[i];
        tandem_error why = {.status = TANDEM_OK};
        if (!may_serve(lane) || lane->backend->has_dtype(engine->dtype)) continue;
        (void)TANDEM_FAIL(&why, UNSUPPORTED, "lane %s has no mode %s", lane->backend->name, word);
        leave_out(lane, &why);
    }
}

/* f16 is both the default and the fastest mode that every lane of today has. */
tandem_status tandem__engine_settle_dtype(tandem_engine *engine, const char *lane,
                                          tandem_error *err) {
    if (engine->dtype == TANDEM_DTYPE_AUTO) engine->dtype = TANDEM_DTYPE_F16;
    if (is_auto(lane)) leave_out_others(engine);
    const engine_lane *wanted = is_auto(lane) ? NULL : find_lane(engine, lane);
    if (wanted == NULL || !tandem__lane_is_usable(wanted)) wanted = next_lane(engine, 0);
    if (wanted == NULL || wanted->backend->lane_class == TANDEM_CLASS_NONE) return TANDEM_OK;
    if (wanted->backend->has_dtype(engine->dtype)) return TANDEM_OK;
    char has[80] = "";
    for (int d = TANDEM_DTYPE_F32; d <= TANDEM_DTYPE_FP8; d++) {
        if (!wanted->backend->has_dtype((tandem_dtype)d)) continue;
        const size_t at = strlen(has);
        (void)snprintf(has + at, sizeof has - at, "%s%s", at == 0 ? "" : " and ",
                       tandem__dtype_word((tandem_dtype)d));
    }
    return TANDEM_FAIL(err, UNSUPPORTED, "dtype: %s, lane %s has %s",
                       tandem__dtype_word(engine->dtype), wanted->backend->name, has);
}
