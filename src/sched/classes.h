/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of lane classes: a bit 1 << tandem_lane_class each, 0 = all. The reference lane, whose class
 * is none, is in no set but 0. */
#ifndef TANDEM_SCHED_CLASSES_H
#define TANDEM_SCHED_CLASSES_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "tandem/status.h"

#define SCHED_CLASS_BYTES 48

/* Whether a lane of that class may serve a job of `classes`. */
bool tandem__class_allows(uint8_t classes, tandem_lane_class lane_class);

/* "latency, background" for those that `classes` allows, into `text`, which is returned. */
const char *tandem__class_words(uint8_t classes, char text[SCHED_CLASS_BYTES]);

/* TANDEM_PERMISSION, with all three named, where a lane that was asked for is not allowed. */
tandem_status tandem__class_check(const char *lane, tandem_lane_class lane_class, uint8_t classes,
                                  tandem_error *err) TANDEM_NODISCARD;

#endif
