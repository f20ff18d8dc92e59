/* SPDX-License-Identifier: Apache-2.0 */
/* metal_sim.c has the device and what it makes, metal_sim_commands.c queues, command buffers and
 * the thread that runs them. */
#ifndef TANDEM_TESTS_APPLE_METAL_SIM_INTERNAL_H
#define TANDEM_TESTS_APPLE_METAL_SIM_INTERNAL_H

#include "metal_sim.h"

#define METAL_SIM_COUNT(array) (int)(sizeof(array) / sizeof(array)[0])

extern metal_sim_options metal_sim; /* with what 0 stands for */

typedef struct sim_buffer {
    uint8_t *memory;
    size_t bytes;
    uint8_t *written; /* [bytes] of a private buffer in a checked build, else NULL */
    uint8_t *shadow;  /* what the device works on while `users` is not 0 */
    int users;        /* command buffers committed and not done, under the lock of commands */
    bool is_private;
    bool is_given; /* by newBufferWithBytesNoCopy: */
    objc_block *deallocator;
} sim_buffer;

typedef struct sim_pipeline {
    char kernel[64];
    unsigned long threads_max;
} sim_pipeline;

extern const objc_sim_class metal_sim_queue_class;
extern const objc_sim_class metal_sim_commands_class;
extern const objc_sim_class metal_sim_encoder_parent;
extern const objc_sim_class metal_sim_encoder_class;
extern const objc_sim_class metal_sim_event_parent;
extern const objc_sim_class metal_sim_event_class;

void metal_sim_device_start(void);
void metal_sim_device_stop(void);

#endif
