/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/share.h"

#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"
#include "pipeline/watch.h"

#define REALTIME_RUN_MAX 8

tandem_status tandem__share_open(int threads, pipeline_share **share, tandem_error *err) {
    pipeline_share *made = tandem__mem_calloc(1, sizeof *made);
    if (made == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for what models share");
    tandem_status status = tandem__machine_pool(threads, &made->pool, err);
    for (int i = 0; status == TANDEM_OK && i < TANDEM_LANES_MAX; i++) {
        pipeline_gate *gate = &made->gates[i];
        if (pthread_mutex_init(&gate->mutex, NULL) != 0) {
            status = TANDEM_FAIL(err, MEMORY, "no memory for a mutex");
        } else if (pthread_cond_init(&gate->opened, NULL) != 0) {
            (void)pthread_mutex_destroy(&gate->mutex);
            status = TANDEM_FAIL(err, MEMORY, "no memory for a condition variable");
        } else {
            made->gates_made++;
        }
    }
    if (status == TANDEM_OK)
        *share = made;
    else
        tandem__share_close(made);
    return status;
}

void tandem__share_close(pipeline_share *share) {
    if (share == NULL) return;
    for (int i = 0; i < share->gates_made; i++) {
        (void)pthread_cond_destroy(&share->gates[i].opened);
        (void)pthread_mutex_destroy(&share->gates[i].mutex);
    }
    tandem__pool_close(share->pool);
    tandem__mem_free(share);
}

/* Tickets of the two kinds are numbered apart. */
static bool may_pass(const pipeline_gate *gate, int kind, uint64_t ticket) {
    if (gate->is_busy || gate->serving[kind] != ticket) return false;
    const bool has_others = gate->serving[1] != gate->next_ticket[1];
    const bool has_realtime = gate->serving[0] != gate->next_ticket[0];
    const bool is_their_turn = has_others && gate->realtime_run >= REALTIME_RUN_MAX;
    return kind == 0 ? !is_their_turn : is_their_turn || !has_realtime;
}

void tandem__gate_enter(pipeline_gate *gate, bool is_realtime) {
    const int kind = is_realtime ? 0 : 1;
    (void)pthread_mutex_lock(&gate->mutex);
    const uint64_t ticket = gate->next_ticket[kind]++;
    while (!may_pass(gate, kind, ticket)) (void)pthread_cond_wait(&gate->opened, &gate->mutex);
    gate->serving[kind]++;
    gate->realtime_run = kind == 0 ? gate->realtime_run + 1 : 0;
    gate->is_busy = true;
    (void)pthread_mutex_unlock(&gate->mutex);
}

void tandem__gate_leave(pipeline_gate *gate) {
    (void)pthread_mutex_lock(&gate->mutex);
    TANDEM_ASSERT(gate->is_busy);
    gate->is_busy = false;
    (void)pthread_cond_broadcast(&gate->opened);
    (void)pthread_mutex_unlock(&gate->mutex);
}
