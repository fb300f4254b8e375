/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

/* [height][width][channels] -> [channels][width][height]. */
void kb_transpose_s8(const int8_t *in, int8_t *out, const kb_shape *in_shape)
{
    const int32_t height = in_shape->height, width = in_shape->width, channels = in_shape->channels;
    for (int32_t c = 0; c < channels; c++)
        for (int32_t x = 0; x < width; x++)
            for (int32_t y = 0; y < height; y++)
                *out++ = in[(y * width + x) * channels + c];
}
