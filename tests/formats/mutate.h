/* Deterministic damage to a small file, for readers that must refuse or read it, but never crash. */
#ifndef DQ_TESTS_MUTATE_H
#define DQ_TESTS_MUTATE_H

#include "base/random.h"
#include "support.h"

/* copy becomes bytes with one to four places changed: a bit, a byte, a digit of text, or a 1-, 4- or 8-byte number that
 * sizes and counts fear; sometimes it is cut. Returns its size. */
static inline size_t mutate(unsigned char *copy, const unsigned char *bytes, size_t size, uint64_t number) {
    static const uint64_t feared[] = {0,          1,          31,         127,        255,        65535,
                                      0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, 1ull << 40, 1ull << 61,
                                      INT64_MAX,  1ull << 63, UINT64_MAX, 9,          8,          256};
    uint32_t r[4];
    memcpy(copy, bytes, size);
    dq_random_block(1, DQ_STREAM_SAMPLE, 0, number, r);
    const int places = 1 + (int)(r[0] % 4);
    for (int i = 0; i < places; i++) {
        dq_random_block(1, DQ_STREAM_SAMPLE, (uint32_t)i + 1, number, r);
        const size_t at = r[0] % size;
        const uint64_t value = feared[r[2] % (sizeof feared / sizeof *feared)];
        const size_t widths[] = {1, 4, 8}, width = widths[r[3] % 3];
        switch (r[1] % 5) {
        case 0:
            copy[at] ^= (unsigned char)(1u << r[2] % 8);
            break;
        case 1:
            copy[at] = (unsigned char)r[2];
            break;
        case 2:
            copy[at] = (unsigned char)("0123456789[]{}:,\"-.e"[r[2] % 20]);
            break;
        default:
            if (at + width <= size) memcpy(copy + at, &value, width);
        }
    }
    return r[3] % 8 == 0 ? r[2] % size : size;
}

#endif
