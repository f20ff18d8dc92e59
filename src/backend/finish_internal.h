/* SPDX-License-Identifier: Apache-2.0 */
/* finish.c has the weights, pooling, modules and heads of sequences; finish_sparse.c the head of a
 * masked language model. */
#ifndef TANDEM_BACKEND_FINISH_INTERNAL_H
#define TANDEM_BACKEND_FINISH_INTERNAL_H

#include <pthread.h>

#include "backend/finish.h"
#include "backend/packing.h"

/* Weights of a module of the plan; the rest is the plan's. */
typedef struct finish_dense {
    tandem_packed_linear linear;
    tandem_packed_linear residual;
    tandem_packed_norm norm;
} finish_dense;

struct tandem_finish {
    const tandem_plan *plan;
    tandem_pool *pool;
    int threads;
    tandem_kernels kernels;
    char *weights; /* one allocation for all that follows, NULL if there are none */
    size_t weights_bytes;
    finish_dense *dense; /* [dense_count], NULL if there are none */
    tandem_packed_linear head_dense;
    tandem_packed_norm head_norm;
    tandem_packed_linear classifier;
    tandem_packed_linear lm_dense;
    tandem_packed_norm lm_norm;
    tandem_packed_linear lm_decoder;
    char *memory; /* workspace, one allocation */
    size_t memory_bytes;
    float *pooled[2]; /* [sequences_max, pooled_stride] each */
    size_t pooled_stride;
    float *words; /* [threads, FINISH_ROWS, words_stride], with a masked-language-model head */
    size_t words_stride;
    float *logits;        /* [threads, tandem__finish_logits_bytes], with the same */
    pthread_mutex_t lock; /* one call at a time */
};

enum { FINISH_ROWS = 256 }; /* tokens of a thread whose states before the decoder are kept */

/* Bytes of a thread's block of logits. */
size_t tandem__finish_logits_bytes(void);

/* SPARSE for the sequences of a part on one thread, and for a whole batch on all. */
void tandem__finish_sparse_part(const tandem_finish *finish, const tandem_finish_part *part);
void tandem__finish_sparse(const tandem_finish *finish, const tandem_batch *batch,
                           const float *states, size_t stride, float *out);

#endif
