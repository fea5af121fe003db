/* camera_of_files.c: a camera whose frames are those of frames.bin on the emulator's side, in turn. */
#include "camera.h"

#include "eye_settings.h"
#include "port.h"

static uint8_t row[TN_FRAME_WIDTH * (TN_FRAME_RGB565 ? 2 : 1)];
static uint32_t rows_left;
static int32_t file = -1;

int tn_camera_begin(void) {
    if (file < 0) {
        file = tn_port_open("frames.bin", 0);
    }
    while (rows_left > 0) { /* of the frame before */
        (void)tn_camera_row();
    }
    rows_left = TN_FRAME_HEIGHT;
    return file < 0 ? -1 : 0;
}

const uint8_t *tn_camera_row(void) {
    rows_left--;
    return tn_port_read(file, row, sizeof row) == sizeof row ? row : 0;
}

/* The hooks, so that the test sees them called. */
void tn_lock_bolt(void);
void tn_lock_bolt(void) { tn_print("bolt\n"); }
