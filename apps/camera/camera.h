/* camera.h: what a port gives of its camera: one row of a frame at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A row is TN_FRAME_WIDTH pixels from left to right (eye_settings.h, written by the build):
 *   grey     one byte a pixel
 *   RGB565   two bytes a pixel, the one with red first, as OV2640, OV7670 and their like send it
 *
 * The network computes while the frame comes, so a row is asked for when there is room for it, and
 * between two rows the core may be busy for some milliseconds. A camera that keeps the frame and
 * gives it over SPI (ArduCAM, or any sensor with a FIFO) waits by itself. One that cannot wait needs
 * a clock slow enough, or the port keeps the rows of the crop, which are few.
 */
#ifndef CAMERA_H
#define CAMERA_H

#include <stdint.h>

/* Waits for the beginning of a frame. 0, or -1 where the camera gives none. */
int tn_camera_begin(void);

/* The next row, which stays until the next call; 0 where the camera failed. At most
 * TN_FRAME_HEIGHT calls follow each tn_camera_begin; fewer where the crop ends above. */
const uint8_t *tn_camera_row(void);

#endif
