/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and columns of a map of int8 repeated, or left out. */
#include "kb_movement.h"

KB_RESIZE_NEAREST(kb_resize_nearest_s8, int8_t)
