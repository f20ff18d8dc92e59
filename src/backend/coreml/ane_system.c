/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this is a Mac with a Neural Engine that Core ML gives to programs. Core ML's own list of
 * devices says so, from macOS 14 on; what an engine's class is called is all that is asked of it.
 */
#include <string.h>

#include "apple/symbols.h"
#include "apple/system.h"
#include "backend/coreml/ane_internal.h"
#include "base/fail.h"

static ane_device device_of(void *library, objc_id device) {
    object_getClassName_function *class_name = NULL;
    void *found = tandem__objc_symbol(library, "object_getClassName");
    memcpy(&class_name, &found, sizeof found);
    if (class_name == NULL || device == NULL) return ANE_DEVICE_UNKNOWN;
    const char *name = class_name(device);
    if (strstr(name, "NeuralEngine") != NULL) return ANE_DEVICE_ENGINE;
    if (strstr(name, "GPU") != NULL) return ANE_DEVICE_GPU;
    return strstr(name, "CPU") != NULL ? ANE_DEVICE_CPU : ANE_DEVICE_UNKNOWN;
}

static bool has_engine(void *library) {
    MLAllComputeDevices_function *devices = NULL;
    void *found = tandem__objc_symbol(library, "MLAllComputeDevices");
    memcpy(&devices, &found, sizeof found);
    if (devices == NULL) return false;
    objc_id list = devices();
    for (objc_uint i = 0; i < ns_array_count(list); i++) {
        if (device_of(library, ns_array_at(list, i)) == ANE_DEVICE_ENGINE) return true;
    }
    return false;
}

static tandem_status look(void *library, tandem_error *err) {
    objc_id process = ns_process_info(objc_class("NSProcessInfo"));
    if (!ns_is_version(process, (objc_version){14, 0, 0}))
        return TANDEM_FAIL(err, DEVICE, "macOS 14 or newer is needed for the Neural Engine");
    if (!has_engine(library))
        return TANDEM_FAIL(err, DEVICE, "Core ML knows of no Neural Engine on this machine");
    return TANDEM_OK;
}

tandem_status tandem__ane_system(tandem_error *err) {
    void *library = NULL;
    TANDEM_TRY(tandem__objc_open("CoreML", &library, err));
    void *pool = tandem__objc.pool_push();
    const tandem_status status = look(library, err);
    tandem__objc.pool_pop(pool);
    return status;
}

ane_device tandem__ane_device(objc_id device) {
    void *library = NULL;
    if (tandem__objc_open("CoreML", &library, NULL) != TANDEM_OK) return ANE_DEVICE_UNKNOWN;
    return device_of(library, device);
}
