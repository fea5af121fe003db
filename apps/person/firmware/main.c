/* main.c: looks at every frame of the port's camera and says whether someone is there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "camera.h"
#include "seen.h"

static tn_eye eye __attribute__((section(".arena")));

int tn_main(void) {
    while (tn_camera_begin() == 0) {
        const uint8_t *row;
        tn_eye_begin(&eye);
        do {
            row = tn_camera_row();
        } while (row != 0 && !tn_eye_row(&eye, row));
        if (row == 0) {
            break;
        }
        tn_person_tell(&eye);
    }
    tn_print("the camera gives no frame\n");
    return TN_EXIT_INPUT;
}
