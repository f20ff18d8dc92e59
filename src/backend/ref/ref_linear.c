/* SPDX-License-Identifier: Apache-2.0 */
/* Linear maps. The tokens of a block run side by side, so that a compiler can use vectors although
 * each token's sum keeps its order. */
#include "backend/ref/ref_internal.h"
#include "kernels/activation/activation.h"

typedef struct linear_job {
    ref_lane *lane;
    const ref_linear *linear;
    tandem_act act;
    const float *x;
    float *y;
    int rows;
} linear_job;

/* x of the block as [in][REF_TOKENS] doubles; absent tokens are zero. */
static void gather(const linear_job *job, int first, int count, double *columns) {
    const int in = job->linear->in;
    for (int k = 0; k < in; k++) {
        for (int t = 0; t < REF_TOKENS; t++) {
            const int64_t row = first + t;
            columns[k * REF_TOKENS + t] = t < count ? (double)job->x[row * in + k] : 0.0;
        }
    }
}

static void multiply(const float *weight, int in, const double *columns, double *sums) {
    double sum[REF_TOKENS] = {0.0};
    for (int k = 0; k < in; k++) {
        const double w = (double)weight[k];
        for (int t = 0; t < REF_TOKENS; t++) sum[t] += w * columns[k * REF_TOKENS + t];
    }
    for (int t = 0; t < REF_TOKENS; t++) sums[t] = sum[t];
}

static void run_block(void *context, int tile, int worker) {
    const linear_job *job = context;
    const ref_linear *linear = job->linear;
    const int first = tile * REF_TOKENS;
    const int count = job->rows - first < REF_TOKENS ? job->rows - first : REF_TOKENS;
    double *columns = job->lane->ws.scratch + worker * job->lane->ws.scratch_len;
    gather(job, first, count, columns);
    for (int o = 0; o < linear->out; o++) {
        double sums[REF_TOKENS];
        multiply(linear->weight + (int64_t)o * linear->in, linear->in, columns, sums);
        const double bias = linear->bias == NULL ? 0.0 : (double)linear->bias[o];
        for (int t = 0; t < count; t++) {
            const double value = tandem_activation__ref(job->act, sums[t] + bias);
            job->y[(int64_t)(first + t) * linear->out + o] = (float)value;
        }
    }
}

void tandem__ref_linear(ref_lane *lane, const ref_linear *linear, tandem_activation activation,
                        const float *x, int rows, float *y) {
    linear_job job = {lane, linear, (tandem_act)activation, x, y, rows};
    tandem__pool_run(lane->pool, (rows + REF_TOKENS - 1) / REF_TOKENS, run_block, &job);
}
