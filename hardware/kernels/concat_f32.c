/* SPDX-License-Identifier: Apache-2.0 */
/* float maps one after the other. */
#include "kb_movement.h"

KB_CONCAT(kb_concat_f32, float)
