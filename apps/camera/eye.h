/* eye.h: the rows of a frame in, what the network says of it out.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * eye_settings.h is written by the build (eye.py): the frame, the window of it that the network
 * sees, and the network: NETWORK(run) is its function NAME_run, NETWORK_IS(ARENA_SIZE) its constant.
 */
#ifndef EYE_H
#define EYE_H

#include "crop.h"
#include "eye_settings.h"
#include "thumbnet/tn_core.h"

enum {
    TN_EYE_SIDE = NETWORK_IS(INPUT_ROWS), /* pixels of a side of the network's picture */
    TN_FRAME_ROW_BYTES = TN_FRAME_WIDTH * (TN_FRAME_RGB565 ? 2 : 1),
};

static const tn_crop_window tn_eye_window = {
    TN_WINDOW_TOP, TN_WINDOW_LEFT, TN_WINDOW_SIZE, TN_EYE_SIDE,
    NETWORK_IS(INPUT_ROW_SIZE) / TN_EYE_SIDE, TN_FRAME_RGB565,
};

typedef struct {
    uint8_t arena[NETWORK_IS(ARENA_SIZE)] NETWORK_IS(ARENA_ALIGN);
    tn_crop crop;
    uint32_t sums[TN_EYE_SIDE];
    int8_t row[NETWORK_IS(INPUT_ROW_SIZE)];
} tn_eye;

static void tn_eye_begin(tn_eye *eye) {
    tn_crop_begin(&eye->crop, eye->sums, TN_EYE_SIDE);
    NETWORK(begin)(eye->arena);
}

/* 1: `row` of the eye holds the next row of the picture. */
static TN_NOINLINE int tn_eye_crop(tn_eye *eye, const uint8_t *row) {
    return tn_crop_row(&eye->crop, &tn_eye_window, row, eye->row);
}

static TN_NOINLINE int tn_eye_feed(tn_eye *eye) { return NETWORK(feed)(eye->arena, eye->row); }

/* Takes the next row of TN_FRAME_ROW_BYTES. 1: the output is ready; the rows below are not
 * needed. */
static TN_UNUSED int tn_eye_row(tn_eye *eye, const uint8_t *row) {
    return tn_eye_crop(eye, row) ? tn_eye_feed(eye) : 0;
}

/* int8 [NETWORK_IS(OUTPUT_SIZE)], until the next frame begins. */
static const int8_t *tn_eye_output(tn_eye *eye) { return NETWORK(output)(eye->arena); }

#endif
