/* SPDX-License-Identifier: Apache-2.0 */
/* write_packages MODEL OUT [bucket...]: the Core ML packages that the lane `ane` would build of a
 * model, for tools that look at packages from outside. OUT is made; s<bucket>.mlpackage in it is
 * replaced. Without buckets: those for the model's longest sequence. */
#include <stdio.h>

#include "backend/backend.h"
#include "backend/coreml/ane_packages.h"
#include "backend/coreml/package.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/number.h"
#include "model/model.h"

static tandem_status read_buckets(char **words, int count, int32_t *buckets, tandem_error *err) {
    if (count > ANE_BUCKETS_MAX)
        return TANDEM_FAIL(err, INVALID, "%d buckets, at most %d", count, ANE_BUCKETS_MAX);
    for (int i = 0; i < count; i++) {
        int64_t bucket = 0;
        if (!tandem__number_parse_int(tandem__str(words[i]), &bucket) ||
            bucket < ANE_BUCKET_LEAST || bucket > ANE_BUCKET_MOST || bucket % ANE_CHANNELS != 0)
            return TANDEM_FAIL(err, INVALID, "bucket %s: expected a multiple of 32 up to 512",
                               words[i]);
        buckets[i] = (int32_t)bucket;
    }
    return TANDEM_OK;
}

static tandem_status write_model(const tandem_source *source, int argc, char **argv,
                                 tandem_error *err) {
    int32_t buckets[ANE_BUCKETS_MAX];
    int32_t count = argc - 3;
    ane_model *model = NULL;
    TANDEM_TRY(tandem__plan_check(source->plan, err));
    if (count == 0) count = tandem__ane_buckets(source->plan->positions_max, buckets);
    if (argc > 3) TANDEM_TRY(read_buckets(argv + 3, count, buckets, err));
    TANDEM_TRY(tandem__ane_model_open(source->plan, buckets, count, &model, err));
    tandem_status status = tandem__folder_make(argv[2], err);
    if (status == TANDEM_OK) status = tandem__ane_packages_write(model, argv[2], err);
    for (int32_t i = 0; i < count && status == TANDEM_OK; i++) {
        (void)printf("s%d.mlpackage: %d operations\n", (int)buckets[i],
                     (int)model->programs[i].op_count);
    }
    tandem__ane_model_close(model);
    return status;
}

int main(int argc, char **argv) {
    tandem_error err = {0};
    tandem_source *source = NULL;
    if (argc < 3) {
        (void)fprintf(stderr, "usage: write_packages MODEL OUT [bucket...]\n");
        return 2;
    }
    tandem_status status = tandem__source_open(argv[1], &source, &err);
    if (status == TANDEM_OK) status = write_model(source, argc, argv, &err);
    tandem__source_close(source);
    if (status == TANDEM_OK) return 0;
    (void)fprintf(stderr, "write_packages: %s\n", err.message);
    return 1;
}
