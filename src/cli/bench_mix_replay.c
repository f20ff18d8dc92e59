/* SPDX-License-Identifier: Apache-2.0 */
/* One thread hands every request in when it is due, through the call that does not block; answers
 * come by callback on the engine's threads. Nothing here waits for an answer before the next
 * request, however far behind the lanes are. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fail.h"
#include "cli/bench_mix.h"
#include "tandem/call.h"

#define NS_PER_MS 1e6

static void sleep_until(uint64_t due_ns) {
    for (uint64_t now = tandem__clock_ns(); now < due_ns; now = tandem__clock_ns()) {
        const uint64_t left = due_ns - now;
        const struct timespec pause = {.tv_sec = (time_t)(left / 1000000000u),
                                       .tv_nsec = (long)(left % 1000000000u)};
        (void)nanosleep(&pause, NULL);
    }
}

static tandem_request request_of(const cli_replay *replay, const cli_mix_request *asked,
                                 const int32_t offsets[2]) {
    return (tandem_request){.count = 1,
                            .ids = replay->ids,
                            .id_offsets = offsets,
                            .lane = replay->lane,
                            .priority = asked->priority,
                            .deadline_ms = asked->deadline_ms,
                            .fallback = TANDEM_FALLBACK_NONE};
}

static void settle(cli_replay *replay, cli_mix_answer *answer, tandem_status status,
                   const tandem_error *err) {
    const uint64_t now_ns = tandem__clock_ns();
    (void)pthread_mutex_lock(&replay->mutex);
    answer->status = status;
    answer->latency_ms = (double)(now_ns - answer->due_ns) / NS_PER_MS;
    if (now_ns > replay->end_ns) replay->end_ns = now_ns;
    if (status != TANDEM_OK && replay->failure.status == TANDEM_OK) replay->failure = *err;
    if (--replay->left == 0) (void)pthread_cond_signal(&replay->done);
    (void)pthread_mutex_unlock(&replay->mutex);
}

static void answered(void *context, tandem_call *call) {
    cli_mix_answer *answer = context;
    const tandem_result *result = NULL;
    tandem_error err = {0};
    tandem_status status = tandem_call_result(call, &result, &err);
    if (status == TANDEM_OK && result->failed > 0) status = result->texts[0].status;
    cli_replay *replay = answer->replay;
    tandem_call_close(call);
    settle(replay, answer, status, &err);
}

/* Opens a lane and warms it by the longest request. */
static tandem_status warm(cli_replay *replay, const char *lane, tandem_error *err) {
    const int32_t offsets[2] = {0, replay->mix->tokens_max};
    tandem_request request = request_of(replay, &(cli_mix_request){.tokens = 0}, offsets);
    request.lane = lane;
    tandem_result result = {0};
    const tandem_status status = tandem_engine_infer(replay->engine, &request, &result, err);
    if (status == TANDEM_OK) replay->dtype = result.dtype;
    tandem_result_deinit(&result);
    return status;
}

static tandem_status warm_all(cli_replay *replay, tandem_error *err) {
    if (replay->lane != NULL) return warm(replay, replay->lane, err);
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const int count = tandem_lanes(replay->engine, lanes);
    for (int i = 0; i < count; i++) {
        if (!lanes[i].is_available || strcmp(lanes[i].lane_class, "none") == 0) continue;
        TANDEM_TRY(warm(replay, lanes[i].name, err));
    }
    return TANDEM_OK;
}

tandem_status cli_mix_replay(cli_replay *replay, tandem_error *err) {
    const cli_mix *mix = replay->mix;
    TANDEM_TRY(warm_all(replay, err));
    replay->failure = (tandem_error){.status = TANDEM_OK};
    tandem_engine_metrics(replay->engine, &replay->before);
    replay->left = mix->count;
    replay->start_ns = replay->end_ns = tandem__clock_ns();
    for (size_t i = 0; i < mix->count; i++) {
        const cli_mix_request *asked = &mix->requests[i];
        cli_mix_answer *answer = &replay->answers[i];
        const uint64_t due_ns = replay->start_ns + (uint64_t)(asked->at_ms * NS_PER_MS);
        *answer = (cli_mix_answer){.replay = replay, .due_ns = due_ns, .is_taken = true};
        const int32_t offsets[2] = {0, asked->tokens};
        const tandem_request request = request_of(replay, asked, offsets);
        tandem_error refused = {0};
        sleep_until(due_ns);
        const tandem_status status =
            tandem_engine_submit(replay->engine, &request, answered, answer, NULL, NULL, &refused);
        if (status == TANDEM_OK) continue;
        answer->is_taken = false;
        settle(replay, answer, status, &refused);
    }
    (void)pthread_mutex_lock(&replay->mutex);
    while (replay->left > 0) (void)pthread_cond_wait(&replay->done, &replay->mutex);
    (void)pthread_mutex_unlock(&replay->mutex);
    tandem_engine_metrics(replay->engine, &replay->after);
    return TANDEM_OK;
}
