/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the stand-in for Core ML share. */
#ifndef TANDEM_TESTS_APPLE_COREML_SIM_INTERNAL_H
#define TANDEM_TESTS_APPLE_COREML_SIM_INTERNAL_H

#include "apple/coreml_sim.h"

coreml_sim_faults coreml_sim_faults_now(void);

/* Objects whose data is one object that they hold: `drop`, and the object. */
void coreml_sim_drop_held(objc_id object);
void coreml_sim_hold(objc_id self, objc_id object);
objc_id coreml_sim_held_by(objc_id self);

/* The Neural Engine, or the processor. Autoreleased. */
objc_id coreml_sim_device(bool is_engine);

/* coreml_sim_plan.c: MLComputePlan and the classes that came with it. */
extern const objc_sim_class coreml_sim_operation_class;
extern const objc_sim_class coreml_sim_block_class;
extern const objc_sim_class coreml_sim_function_class;
extern const objc_sim_class coreml_sim_program_class;
extern const objc_sim_class coreml_sim_structure_class;
extern const objc_sim_class coreml_sim_usage_class;
extern const objc_sim_class coreml_sim_plan_class;

/* Until no thread makes one. */
void coreml_sim_wait_for_plans(void);

#endif
