/* face_match.h: embeddings against templates, in integers; the same bits as ../match.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A unit vector is int16 in Q15. A template is the unit vector of the sum of the unit vectors of
 * the frames that it was made of.
 */
#ifndef FACE_MATCH_H
#define FACE_MATCH_H

#include <stdint.h>

/* At most this many dimensions, and this many unit vectors in one sum: nothing overflows then. */
enum { TN_FACE_MOST_DIMENSIONS = 512, TN_FACE_MOST_FRAMES = 16 };

/* The unit vector of `values`, which are spoilt; |values| < 2^30. Zeros where all are zero. */
void tn_face_unit(int32_t *values, uint32_t count, int16_t *unit);

/* The cosine of the angle between two unit vectors, in Q15. */
int32_t tn_face_cosine(const int16_t *a, const int16_t *b, uint32_t count);

#endif
