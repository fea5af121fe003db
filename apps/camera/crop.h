/* crop.h: a window of a frame, row by row: grey, resized by areas, as int8.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Equal byte for byte to crop.py. In units of 1/picture of a pixel, output pixel j covers
 * [j * size, (j + 1) * size) and input pixel i covers [i * picture, (i + 1) * picture); the weight
 * of i in j is the length that they share. Sums are exact up to a window of 4096 pixels.
 */
#ifndef CROP_H
#define CROP_H

#include <stdint.h>

/* Which square of the frame becomes which picture: size >= picture > 0, inside of the frame. */
typedef struct {
    uint32_t top, left, size; /* of the square, in pixels of the frame */
    uint32_t picture;         /* pixels of a side of the picture */
    uint32_t channels;        /* of the picture, all alike */
    uint32_t rgb565;          /* 1: pixels of two bytes; 0: grey */
} tn_crop_window;

typedef struct {
    uint32_t row;    /* of the frame, that comes next */
    uint32_t filled; /* how much of the picture's current row is covered, of `size` */
    uint32_t *sums;  /* [picture], of the current row */
} tn_crop;

static inline uint32_t tn_crop_smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Before each frame. */
static inline void tn_crop_begin(tn_crop *crop, uint32_t *sums, uint32_t picture) {
    *crop = (tn_crop){0, 0, sums};
    for (uint32_t j = 0; j < picture; j++) {
        sums[j] = 0;
    }
}

/* Luma (BT.601 in 1/256) of pixel x of a row. */
static inline uint32_t tn_crop_grey(const uint8_t *row, uint32_t x, uint32_t rgb565) {
    if (!rgb565) {
        return row[x];
    }
    const uint32_t pixel = (uint32_t)row[2u * x] << 8 | row[2u * x + 1u];
    const uint32_t red = pixel >> 11, green = pixel >> 5 & 0x3Fu, blue = pixel & 0x1Fu;
    return (77u * (red << 3 | red >> 2) + 150u * (green << 2 | green >> 4) +
            29u * (blue << 3 | blue >> 2) + 128u) >> 8;
}

/* Takes the frame's next row. 1: `out` holds the picture's next row, [picture * channels];
 * 0: it needs more, or the row lies outside of the window. */
static inline int tn_crop_row(tn_crop *crop, const tn_crop_window *window,
                                   const uint8_t *row, int8_t *out) {
    const uint32_t size = window->size, picture = window->picture;
    const uint32_t y = crop->row++ - window->top; /* wraps above the window */
    if (y >= size) {
        return 0;
    }
    const uint32_t above = tn_crop_smaller(picture, size - crop->filled);
    const int whole = crop->filled + picture >= size;
    const uint32_t area = size * size;
    uint32_t x = 0, left = picture; /* the pixel, and how much of it is not used yet */
    uint32_t grey = tn_crop_grey(row, window->left, window->rgb565);
    for (uint32_t j = 0; j < picture; j++) {
        uint32_t across = 0;
        for (uint32_t wanted = size; wanted > 0;) {
            if (left == 0) {
                grey = tn_crop_grey(row, window->left + ++x, window->rgb565);
                left = picture;
            }
            const uint32_t shared = tn_crop_smaller(left, wanted);
            across += shared * grey;
            left -= shared;
            wanted -= shared;
        }
        crop->sums[j] += above * across;
        if (whole) {
            const uint32_t mean = (crop->sums[j] + area / 2u) / area;
            for (uint32_t c = 0; c < window->channels; c++) {
                *out++ = (int8_t)((int32_t)mean - 128);
            }
            crop->sums[j] = (picture - above) * across;
        }
    }
    crop->filled = whole ? picture - above : crop->filled + picture;
    return whole;
}

#endif
