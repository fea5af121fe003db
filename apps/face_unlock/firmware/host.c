/* host.c: frames to embeddings on a host, and the integers of crop and match by themselves.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define TN_EYE_ONLY
#include "unlock.h"

/* Frames, uint8 [count, TN_FRAME_HEIGHT, TN_FRAME_ROW_BYTES], to embeddings, int8
 * [count, TN_FACE_DIMENSIONS]; `pictures`, int8 [count, TN_FACE_SIDE, FACE_INPUT_ROW_SIZE], or 0,
 * gets what the network saw. */
void unlock_embed(tn_eye *eye, const uint8_t *frames, int64_t count, int8_t *embeddings,
                  int8_t *pictures) {
    for (int64_t i = 0; i < count; i++) {
        tn_eye_begin(eye);
        for (uint32_t y = 0, seen = 0; y < TN_FRAME_HEIGHT; y++) {
            const uint8_t *const row = frames + (i * TN_FRAME_HEIGHT + y) * TN_FRAME_ROW_BYTES;
            if (!tn_eye_crop(eye, row)) {
                continue;
            }
            if (pictures) {
                memcpy(pictures + (i * TN_FACE_SIDE + seen++) * FACE_INPUT_ROW_SIZE, eye->row,
                       sizeof eye->row);
            }
            if (tn_eye_feed(eye)) {
                break;
            }
        }
        memcpy(embeddings + i * TN_FACE_DIMENSIONS, tn_eye_embedding(eye), TN_FACE_DIMENSIONS);
    }
}

int64_t unlock_eye_bytes(void) { return (int64_t)sizeof(tn_eye); }
