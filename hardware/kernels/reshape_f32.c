/* SPDX-License-Identifier: Apache-2.0 */
/* A map of float in another shape. */
#include "kb_movement.h"

KB_RESHAPE(kb_reshape_f32, float)
