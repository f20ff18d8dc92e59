/* SPDX-License-Identifier: Apache-2.0 */
#include "apple/accelerate.h"

#include "apple/objc.h"

accelerate_sgemm *tandem__accelerate_open(void) {
    void *library = tandem__objc_library("Accelerate");
    accelerate_sgemm *sgemm = NULL;
    if (library != NULL) *(void **)(void *)&sgemm = tandem__objc_symbol(library, "cblas_sgemm");
    return sgemm;
}
