/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution whose kernel is the whole map, with weights most of which are 0 (sparse_conv2d_s8.h): taps are read
   as they lie in memory. */
#include "sparse_conv2d_s8.h"

#ifdef __ARM_FEATURE_DSP
/* clang-format off */
/* Four taps, which are found first, since loads in a row cost one cycle each. */
#define CHUNK(a, b, c, last)                                                                                          \
    "ubfx r5, r12, #" a ", #4\n ubfx r6, r12, #" b ", #4\n ubfx r7, r12, #" c ", #4\n"                                \
    "add.w r5, r5, r3\n add.w r6, r6, r5\n add.w r7, r7, r6\n" last                                                   \
    "ldrsb.w r5, [r0, r5]\n ldrsb.w r6, [r0, r6]\n ldrsb.w r7, [r0, r7]\n ldrsb.w r8, [r0, r3]\n"                     \
    "smlabb r4, r5, r10, r4\n smlabb r4, r6, r11, r4\n smlabt r4, r7, r10, r4\n smlabt r4, r8, r11, r4\n"

/* All channels, up to where their words end. */
KB_APART __attribute__((naked)) void all_channels(const int8_t *x, int8_t *out, const uint32_t *w, const uint32_t *end)
{
    __asm__("push {r4-r11, lr}\n mov r9, r3\n"
            ".balign 4\n"
            "1: " BEGIN_CHANNEL GO_ON_IF_ODD
            ".balign 4\n"
            "2:\n" FIRST_CHUNK("") CHUNK("0", "4", "8", "ubfx r8, r12, #12, #4\n add.w r3, r7, r8\n")
            "3:\n" SECOND_CHUNK("") CHUNK("16", "20", "24", "add.w r3, r7, r12, lsr #28\n") "cmp.w r2, lr\n bne.w 2b\n"
            "ldm.w r2!, {r5-r7}\n smmla r4, r4, r5, r6\n asr.w r4, r4, r7\n ssat r4, #8, r4\n strb.w r4, [r1], #1\n"
            "cmp.w r2, r9\n bne.w 1b\n pop {r4-r11, pc}\n");
}
/* clang-format on */
#else
KB_APART void all_channels(const int8_t *x, int8_t *out, const uint32_t *w, const uint32_t *end)
{
    while (w != end) {
        kb_chunks chunks = chunks_at(w);
        const int8_t *at = x;
        int32_t sum = chunks.bias;
        while (chunks.next != chunks.end) {
            read_chunk(&chunks);
            KB_NO_UNROLL
            for (int32_t i = 0; i < 4; i++, chunks.gaps >>= 4, chunks.weights >>= 8) {
                at += chunks.gaps & 15;
                sum += *at * (int8_t)chunks.weights;
            }
        }
        w = chunks.end + 3;
        *out++ = output_of(&chunks, sum);
    }
}
#endif

KB_KERNEL void kb_sparse_dense_conv2d_s8(const int8_t *in, int8_t *out, void *scratch,
                                         const kb_sparse_conv2d_s8_params *p, const kb_region *r)
{
    (void)scratch, (void)r;
    KB_STORED(in);
    all_channels(in, out, p->weight, p->weight + p->words);
    if (p->low > -128)
        kb_clamp(out, p->window.out.channels, p->low);
}
