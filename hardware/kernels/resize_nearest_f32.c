/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and columns of a map of float repeated, or left out. */
#include "kb_movement.h"

KB_RESIZE_NEAREST(kb_resize_nearest_f32, float)
