/* SPDX-License-Identifier: Apache-2.0 */
/* Random weights of a known shape, for measuring.
 *
 * They are written once to a nameless temporary file and mapped, so that they are released and come
 * back like those of a real model, whatever the number of lanes that read them. Storage is bf16:
 * half the bytes of f32, made by a shift, and every lane reads it. An element is a hash of the seed
 * and its number, so that the loop has no carried dependency and compilers vectorise it.
 *
 * Values are uniform. Matrices have standard deviation 1/sqrt(K), so that states keep their size
 * through the layers; biases spread over 0.1, gains lie around 1: an error in any of them shows. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"
#include "model/shapes.h"
#include "model/source.h"

#define GENERATED_BYTES_MAX ((int64_t)32 << 30)
#define BLOCK_ELEMENTS      ((size_t)64 << 10)
#define ELEMENT_BYTES       ((int64_t)sizeof(uint16_t))
#define SCRATCH_BYTES_MAX   ((size_t)256 << 20)
#define SQRT_3              1.7320508f /* a uniform value in ±sqrt(3) has variance 1 */

typedef struct generator {
    uint64_t seed;
    int64_t offset;       /* bytes so far */
    int fd;               /* -1: only count */
    const uint8_t *bytes; /* the file's mapping */
    uint16_t *block;      /* [BLOCK_ELEMENTS] */
} generator;

/* Murmur3's finaliser: every bit of the input reaches every bit of the result. */
static inline uint32_t mix(uint32_t x) {
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return x ^ (x >> 16);
}

/* out[i] = bf16(centre + spread * u), u uniform in [-1, 1). */
static void fill(uint16_t *out, size_t count, uint32_t salt, uint32_t first, float centre,
                 float spread) {
    const float step = spread / 8388608.0f; /* 2^23: the 24 top bits as a signed fraction */
    for (size_t i = 0; i < count; i++) {
        const uint32_t hash = mix(salt ^ mix(first + (uint32_t)i));
        const float value = centre + step * (float)((int32_t)(hash >> 8) - 8388608);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        out[i] = (uint16_t)(bits >> 16);
    }
}

static void spread_of(const tandem_want *want, float *centre, float *spread) {
    *centre = want->role == TANDEM_ROLE_GAIN ? 1.0f : 0.0f;
    *spread = 0.1f;
    if (want->role == TANDEM_ROLE_MATRIX) *spread = SQRT_3 / sqrtf((float)want->cols);
}

static tandem_status write_all(int fd, const void *bytes, size_t len, tandem_error *err) {
    const char *at = bytes;
    while (len > 0) {
        const ssize_t put = write(fd, at, len);
        if (put < 0) return tandem__fail_errno(err, "temporary file", "cannot write");
        at += put;
        len -= (size_t)put;
    }
    return TANDEM_OK;
}

static tandem_status take(void *context, const tandem_want *want, tandem_view *view,
                          tandem_error *err) {
    generator *self = context;
    if (want->is_optional) return TANDEM_OK;
    const int64_t count = want->rows * want->cols; /* both bounded by config.c, below 2^42 */
    if (count > (GENERATED_BYTES_MAX - self->offset) / ELEMENT_BYTES) {
        return TANDEM_FAIL(err, CAPACITY, "%s: random weights over %" PRId64 " bytes", want->stem,
                           GENERATED_BYTES_MAX);
    }
    const uint32_t salt = mix((uint32_t)self->seed ^ mix((uint32_t)(self->seed >> 32) + 1u)) ^
                          mix((uint32_t)((uint64_t)self->offset >> 1) + 0x9e3779b9u);
    const uint8_t *data = self->bytes == NULL ? NULL : self->bytes + self->offset;
    *view = (tandem_view){data, TANDEM_DTYPE_BF16, want->rows, want->cols};
    self->offset += count * ELEMENT_BYTES;
    if (self->fd < 0) return TANDEM_OK;
    float centre = 0.0f;
    float spread = 0.0f;
    spread_of(want, &centre, &spread);
    for (int64_t done = 0; done < count;) {
        size_t part = BLOCK_ELEMENTS;
        if (count - done < (int64_t)part) part = (size_t)(count - done);
        fill(self->block, part, salt, (uint32_t)done, centre, spread);
        TANDEM_TRY(write_all(self->fd, self->block, part * sizeof *self->block, err));
        done += (int64_t)part;
    }
    return TANDEM_OK;
}

static tandem_status bind_all(struct tandem_source_memory *self, const tandem_config *config,
                              const tandem_modules *modules, generator *state,
                              tandem_plan_layer *layers, tandem_plan_dense *dense,
                              tandem_error *err) {
    tandem_plan *plan = &self->plan;
    const tandem_supply supply = {.take = take, .context = state};
    state->offset = 0;
    plan->parameters = 0;
    TANDEM_TRY(tandem__bind_plan(config, supply, layers, plan, err));
    for (int32_t i = 0; i < modules->dense_count; i++) {
        TANDEM_TRY(
            tandem__bind_module(supply, &modules->dense[i], &dense[i], &plan->parameters, err));
    }
    plan->dense = dense;
    plan->dense_count = modules->dense_count;
    return TANDEM_OK;
}

static void release_pages(void *context, const void *data, size_t bytes) {
    const struct tandem_source_memory *self = context;
    const uintptr_t first = (uintptr_t)self->generated.bytes;
    tandem__file_release(&self->generated, (uintptr_t)data - first, bytes);
}

/* Once to count, once to write. */
static tandem_status generate(struct tandem_source_memory *self, uint64_t seed,
                              const tandem_config *config, const tandem_modules *modules,
                              tandem_error *err) {
    tandem_plan_layer *layers =
        tandem__arena_array(&self->arena, (size_t)self->plan.layer_count, sizeof *layers);
    tandem_plan_dense *dense =
        tandem__arena_array(&self->arena, (size_t)modules->dense_count, sizeof *dense);
    if (layers == NULL || dense == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a plan");
    generator state = {.seed = seed, .fd = -1};
    TANDEM_TRY(bind_all(self, config, modules, &state, layers, dense, err));
    state.block = tandem__mem_calloc(BLOCK_ELEMENTS, sizeof *state.block);
    if (state.block == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for random weights");
    tandem_status status =
        tandem__file_temporary((size_t)state.offset, &state.fd, &self->generated, err);
    if (status == TANDEM_OK) {
        state.bytes = self->generated.bytes;
        status = bind_all(self, config, modules, &state, layers, dense, err);
        (void)close(state.fd);
    }
    tandem__mem_free(state.block);
    self->plan.release = release_pages;
    self->plan.release_context = self;
    return status;
}

static const tandem_shape *find_shape(const char *name) {
    for (const tandem_shape *shape = tandem__shapes; shape->name != NULL; shape++) {
        if (strcmp(shape->name, name) == 0) return shape;
    }
    return NULL;
}

static tandem_status fail_unknown(const char *name, tandem_error *err) {
    char known[300] = "";
    size_t used = 0;
    for (const tandem_shape *shape = tandem__shapes; shape->name != NULL; shape++) {
        const int put = snprintf(known + used, sizeof known - used, "%s, ", shape->name);
        if (put < 0 || (size_t)put >= sizeof known - used) break;
        used += (size_t)put;
    }
    return TANDEM_FAIL(err, NOT_FOUND,
                       "%s: no known shape and no folder, expected %sor a folder "
                       "with a config.json",
                       name, known);
}

tandem_status tandem__source_random(const char *shape, uint64_t seed, tandem_source **source,
                                    tandem_error *err) {
    const tandem_shape *known = find_shape(shape);
    if (known == NULL && !tandem__file_is_directory(shape)) return fail_unknown(shape, err);
    tandem_document document = {.name = "config.json"};
    tandem_folder folder = {.path = shape};
    if (known != NULL) {
        document.bytes = tandem__str(known->config);
        folder.documents = &document;
        folder.document_count = 1;
    }
    struct tandem_source_memory *self = NULL;
    TANDEM_TRY(tandem__source_create(shape, &self, err));
    tandem_arena scratch;
    tandem__arena_init(&scratch, SCRATCH_BYTES_MAX);
    folder.scratch = &scratch;
    tandem_config config;
    tandem_modules modules;
    tandem_status status = tandem__source_read(self, &folder, &config, &modules, err);
    if (status == TANDEM_OK) status = generate(self, seed, &config, &modules, err);
    tandem__arena_deinit(&scratch);
    if (status != TANDEM_OK) {
        tandem__source_close(&self->source);
        return status;
    }
    *source = &self->source;
    return TANDEM_OK;
}
