/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/coreml/ane_packages.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/coreml/package.h"
#include "base/fail.h"
#include "base/file.h"

#define PROGRAM_BYTES_MAX (64 << 20)

tandem_status tandem__ane_package_path(const char *folder, int32_t bucket, const char *suffix,
                                       char *path, tandem_error *err) {
    char name[64];
    (void)snprintf(name, sizeof name, "s%d.%s", (int)bucket, suffix);
    return tandem__path_join(folder, name, path, err);
}

static tandem_status write_package(const ane_model *model, int32_t index, const char *folder,
                                   const char *weights, tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    tandem_buffer bytes;
    TANDEM_TRY(tandem__ane_package_path(folder, model->buckets[index], "mlpackage", path, err));
    tandem__buffer_init(&bytes, PROGRAM_BYTES_MAX);
    tandem_status status = tandem__mil_write(&model->programs[index], &bytes, err);
    if (status == TANDEM_OK) status = tandem__package_write(path, &bytes, weights, err);
    tandem__buffer_deinit(&bytes);
    return status;
}

tandem_status tandem__ane_packages_write(const ane_model *model, const char *folder,
                                         tandem_error *err) {
    char name[64];
    char weights[TANDEM_PATH_MAX];
    (void)snprintf(name, sizeof name, "weight.%ld.part", (long)getpid());
    TANDEM_TRY(tandem__path_join(folder, name, weights, err));
    tandem_status status = tandem__package_weights(&model->weights, weights, err);
    for (int32_t i = 0; i < model->bucket_count && status == TANDEM_OK; i++)
        status = write_package(model, i, folder, weights, err);
    (void)unlink(weights);
    return status;
}

static tandem_status hash_bytes(void *context, const void *bytes, size_t len, tandem_error *err) {
    (void)err;
    tandem__sha_update(context, bytes, len);
    return TANDEM_OK;
}

tandem_status tandem__ane_packages_key(const ane_model *model, const char *salt,
                                       char key[TANDEM_SHA_HEX_MAX], tandem_error *err) {
    tandem_sha sha;
    tandem_buffer bytes;
    tandem__sha_init(&sha, TANDEM_SHA_256);
    tandem__sha_update(&sha, salt, strlen(salt) + 1);
    tandem_status status = tandem__mil_weights_write(&model->weights, hash_bytes, &sha, err);
    tandem__buffer_init(&bytes, PROGRAM_BYTES_MAX);
    for (int32_t i = 0; i < model->bucket_count && status == TANDEM_OK; i++) {
        bytes.len = 0;
        status = tandem__mil_write(&model->programs[i], &bytes, err);
        if (status == TANDEM_OK) tandem__sha_update(&sha, bytes.ptr, bytes.len);
    }
    tandem__buffer_deinit(&bytes);
    if (status == TANDEM_OK) tandem__sha_finish(&sha, key);
    return status;
}
