/* SPDX-License-Identifier: Apache-2.0 */
/* Where the largest int8 is. */
#include "kb_generic.h"

KB_ARGMAX(kb_argmax_s8, int8_t, int32_t, -129)
