/* host.c: frames to what the network says of them, on a host.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "eye.h"

/* Frames, uint8 [count, TN_FRAME_HEIGHT, TN_FRAME_ROW_BYTES], to outputs, int8 [count, OUTPUT_SIZE],
 * and to the pictures that the network saw, int8 [count, TN_EYE_SIDE, INPUT_ROW_SIZE]. */
void eye_look(tn_eye *eye, const uint8_t *frames, int64_t count, int8_t *outputs,
              int8_t *pictures) {
    for (int64_t i = 0; i < count; i++) {
        tn_eye_begin(eye);
        for (uint32_t y = 0, seen = 0; y < TN_FRAME_HEIGHT; y++) {
            const uint8_t *const row = frames + (i * TN_FRAME_HEIGHT + y) * TN_FRAME_ROW_BYTES;
            if (!tn_eye_crop(eye, row)) {
                continue;
            }
            memcpy(pictures + (i * TN_EYE_SIDE + seen++) * NETWORK_IS(INPUT_ROW_SIZE), eye->row,
                   sizeof eye->row);
            if (tn_eye_feed(eye)) {
                break;
            }
        }
        memcpy(outputs + i * NETWORK_IS(OUTPUT_SIZE), tn_eye_output(eye), NETWORK_IS(OUTPUT_SIZE));
    }
}

int64_t eye_bytes(void) { return (int64_t)sizeof(tn_eye); }
