/* SPDX-License-Identifier: Apache-2.0 */
/* int8 weights most of which are 0, by whose kernels it is included: those that are not, each with how many taps it is
   behind the one before. They are in chunks of four. A channel's words are
   - a header, twice how many words its chunks take, and one more if the number of chunks is odd; then the bias;
   - of an odd number, the weights of the first chunk, whose gaps are the upper half of the header;
   - of every two chunks the gaps of both, and the weights of each;
   - multiplier, offset and shift (kb_conv2d_s8_params).
   A gap has 4 bits, from the lowest on; where it would be above 15 there is a weight of 0. The first is from tap 0 on.
 */
#ifndef KB_SPARSE_CONV2D_S8_H
#define KB_SPARSE_CONV2D_S8_H

#include "kb_clamp.h"
#include "kb_inline.h"

#ifdef __ARM_FEATURE_DSP
/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* clang-format off */
/* From where r2 is at: the header of a channel to r12, its bias to r4, where its chunks end to lr; then falls through, or
   goes on at 3, with the second of two chunks. */
#define BEGIN_CHANNEL                                                                                                  \
    "ldrd r12, r4, [r2], #8\n movs r3, #0\n uxth lr, r12\n lsrs lr, lr, #1\n add.w lr, r2, lr, lsl #2\n"
#define GO_ON_IF_ODD "bcs.w 3f\n"
/* Gaps of two chunks to r12, which `found` goes on with, and the weights of each to halves of r10 and r11, in the order
   r10, r11, r10, r11. An address that is made right before it is used costs a cycle. */
#define HALVES(found) found "sxtb16 r11, r10, ror #8\n sxtb16 r10, r10\n"
#define FIRST_CHUNK(found) "ldr.w r12, [r2], #8\n ldr r10, [r2, #-4]\n" HALVES(found)
#define SECOND_CHUNK(found) "ldr.w r10, [r2], #4\n" HALVES(found)
/* clang-format on */
#else
/* Where the words of a channel are read, and of a chunk what is left. */
typedef struct {
    const uint32_t *next, *end;
    uint32_t gaps, weights;
    int32_t bias, odd;
} kb_chunks;

KB_INLINE kb_chunks chunks_at(const uint32_t *at)
{
    const int32_t odd = *at & 1;
    const kb_chunks chunks = {at + 2, at + 2 + (*at >> 1 & 0x7FFF), *at >> 16, 0, (int32_t)at[1], odd};
    return chunks;
}

/* The next chunk, when the gaps of the one before have been shifted out. */
KB_INLINE void read_chunk(kb_chunks *chunks)
{
    if (!chunks->odd)
        chunks->gaps = *chunks->next++;
    chunks->weights = *chunks->next++;
    chunks->odd = !chunks->odd;
}

/* The output of a sum that began with the bias. */
KB_INLINE int8_t output_of(const kb_chunks *chunks, int32_t sum)
{
    const int32_t *const numbers = (const int32_t *)chunks->end;
    return kb_saturate(kb_multiply_high(sum, numbers[0], numbers[1]) >> numbers[2], -128);
}
#endif

#endif
