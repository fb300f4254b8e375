/* SPDX-License-Identifier: Apache-2.0 */
/* Binary convolutions with few output channels: 2 or 4 pixels that follow each other share a word, those of pixel i
   with their channels 32 / together * i further up. To kb_bits.h that is one pixel of a convolution whose kernel is as
   wide as all their windows, with weights of 0 where a pixel's own window is not. */
#ifndef KB_SHARED_H
#define KB_SHARED_H

#include "kb_bits.h"

/* n, m and the case of a pixel. */
typedef struct {
    int32_t valid, set, place;
} kb_shared_pixel;

/* A walk over words of pixels. */
typedef struct {
    const kb_window *window;
    kb_window wide; /* of a word, counted from the first pixel of the region */
    kb_bits bits;
    kb_bits_cases columns;
    int32_t together, x, x_end; /* pixels of a word, and of the region */
    int32_t count;
    kb_shared_pixel pixels[4];
} kb_shared;

void kb_shared_begin(kb_shared *s, const kb_window *window, const uint32_t *weight, void *scratch, const kb_region *r);

/* Go to the pixels from x on, at most those of a word and of the region, after kb_bits_row at 0. */
void kb_shared_pixels(kb_shared *s, const uint32_t *in, int32_t x);

#endif
