/* unlock.h: rows of a camera in; who may come in, out.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The same C for a lock of its own (main.c) and one at the end of a serial link (linked.c). Camera,
 * crop and network are those of apps/camera/eye.h. face_settings.h is written by the build: the
 * threshold.
 */
#ifndef UNLOCK_H
#define UNLOCK_H

#include "eye.h"
#include "face_match.h"
#include "face_settings.h"
#include "lock.h"
#include "template_store.h"

enum { TN_FACE_DIMENSIONS = FACE_OUTPUT_SIZE };

/* --- enrolment, attempts ----------------------------------------------------------------------- */

enum { TN_IDLE, TN_ENROL, TN_ATTEMPT };

/* What a row or a command came to. */
enum {
    TN_DONE,    /* nothing more to say */
    TN_ROWS,    /* more rows are needed */
    TN_FRAME,   /* that frame was taken; the enrolment needs another */
    TN_OPENED,  /* `user` was recognised, with `score` */
    TN_REFUSED, /* nobody was; `score` of the nearest, `user` -1 */
    TN_WAIT,    /* locked out for `wait` more milliseconds */
    TN_NO_USER, /* there is no such user, or nobody at all */
    TN_NO_ROOM, /* for a template */
    TN_NO_FACE, /* the embedding says nothing: all zeros */
    TN_BROKEN,  /* the flash fails */
    TN_WRONG,   /* that cannot be asked now */
    TN_DARK,    /* the camera gives no frame */
};

typedef struct {
    tn_eye eye;
    tn_store store;
    tn_lock lock;
    uint32_t doing;
    uint32_t frames; /* of the enrolment, still to come */
    int32_t user;    /* that is enrolled, or was recognised */
    int32_t score;   /* cosine in Q15 */
    uint32_t wait;
    tn_stored_user added;
    int32_t values[TN_FACE_DIMENSIONS]; /* of one frame */
    int32_t totals[TN_FACE_DIMENSIONS]; /* of the frames of an enrolment */
    int16_t unit[TN_FACE_DIMENSIONS];
    int16_t stored[TN_FACE_DIMENSIONS]; /* a template */
} tn_unlock;

static void tn_unlock_start(tn_unlock *unlock, uint32_t now) {
    unlock->doing = TN_IDLE;
    tn_store_open(&unlock->store);
    tn_lock_start(&unlock->lock, &unlock->store, now);
}

/* Whether a slot is taken, and by an embedding of this model. */
static TN_UNUSED int tn_unlock_knows(const tn_unlock *unlock, uint32_t user,
                                     tn_stored_user *found) {
    return tn_store_user(&unlock->store, user, found) == TN_STORE_OK &&
           found->model == FACE_WEIGHTS_CRC && found->count == TN_FACE_DIMENSIONS;
}

/* The next frames are of `user`, who will be called `name`; a user who is there is replaced when
 * the last of them is in. */
static int tn_unlock_enrol(tn_unlock *unlock, uint32_t user, const char *name, uint32_t frames) {
    if (user >= TN_STORE_USERS || frames == 0 || frames > TN_FACE_MOST_FRAMES) {
        return TN_WRONG;
    }
    unlock->doing = TN_ENROL;
    unlock->user = (int32_t)user;
    unlock->frames = frames;
    unlock->added = (tn_stored_user){FACE_WEIGHTS_CRC, TN_FACE_DIMENSIONS, {0}};
    for (uint32_t i = 0; i + 1 < TN_STORE_NAME && name[i] != '\0'; i++) {
        unlock->added.name[i] = name[i];
    }
    for (uint32_t i = 0; i < TN_FACE_DIMENSIONS; i++) {
        unlock->totals[i] = 0;
    }
    tn_eye_begin(&unlock->eye);
    return TN_ROWS;
}

/* The next frame is looked at. */
static int tn_unlock_attempt(tn_unlock *unlock, uint32_t now) {
    tn_stored_user found;
    uint32_t users = 0;
    unlock->doing = TN_IDLE;
    unlock->user = -1;
    unlock->score = -32768;
    unlock->wait = tn_lock_left(&unlock->lock, now);
    if (unlock->wait != 0) {
        return TN_WAIT;
    }
    for (uint32_t user = 0; user < TN_STORE_USERS; user++) {
        users += tn_unlock_knows(unlock, user, &found) != 0;
    }
    if (users == 0) {
        return TN_NO_USER;
    }
    if (tn_lock_try(&unlock->lock, &unlock->store, now) != 0) {
        return TN_BROKEN;
    }
    unlock->doing = TN_ATTEMPT;
    tn_eye_begin(&unlock->eye);
    return TN_ROWS;
}

/* The unit vector of the frame that was taken; 0 where it has no direction. */
static TN_NOINLINE int tn_unlock_unit(tn_unlock *unlock) {
    const int8_t *const embedding = tn_eye_output(&unlock->eye);
    int32_t any = 0;
    for (uint32_t i = 0; i < TN_FACE_DIMENSIONS; i++) {
        unlock->values[i] = embedding[i] - FACE_OUTPUT_ZERO_POINT;
        any |= unlock->values[i];
    }
    tn_face_unit(unlock->values, TN_FACE_DIMENSIONS, unlock->unit);
    return any != 0;
}

static int tn_unlock_enrolled(tn_unlock *unlock) {
    if (!tn_unlock_unit(unlock)) {
        unlock->doing = TN_IDLE;
        return TN_NO_FACE;
    }
    for (uint32_t i = 0; i < TN_FACE_DIMENSIONS; i++) {
        unlock->totals[i] += unlock->unit[i];
    }
    if (--unlock->frames > 0) {
        tn_eye_begin(&unlock->eye);
        return TN_FRAME;
    }
    unlock->doing = TN_IDLE;
    tn_face_unit(unlock->totals, TN_FACE_DIMENSIONS, unlock->unit);
    const int status =
        tn_store_put(&unlock->store, (uint32_t)unlock->user, &unlock->added, unlock->unit);
    return status == TN_STORE_OK ? TN_DONE : status == TN_STORE_FULL ? TN_NO_ROOM : TN_BROKEN;
}

static TN_NOINLINE int tn_unlock_decide(tn_unlock *unlock) {
    tn_stored_user found;
    int32_t nearest = -1;
    unlock->doing = TN_IDLE;
    if (tn_unlock_unit(unlock)) {
        for (uint32_t user = 0; user < TN_STORE_USERS; user++) {
            if (!tn_unlock_knows(unlock, user, &found) ||
                tn_store_template(&unlock->store, user, unlock->stored) != TN_STORE_OK) {
                continue;
            }
            const int32_t score =
                tn_face_cosine(unlock->unit, unlock->stored, TN_FACE_DIMENSIONS);
            if (score > unlock->score) {
                unlock->score = score;
                nearest = (int32_t)user;
            }
        }
    }
    const int matched = nearest >= 0 && unlock->score >= TN_FACE_THRESHOLD;
    if (!tn_lock_decide(&unlock->lock, &unlock->store, matched)) {
        return TN_REFUSED;
    }
    unlock->user = nearest;
    return TN_OPENED;
}

/* The next row of the frame. */
static int tn_unlock_row(tn_unlock *unlock, const uint8_t *row) {
    if (unlock->doing == TN_IDLE) {
        return TN_WRONG;
    }
    if (!tn_eye_row(&unlock->eye, row)) {
        return TN_ROWS;
    }
    return unlock->doing == TN_ENROL ? tn_unlock_enrolled(unlock) : tn_unlock_decide(unlock);
}

static int tn_unlock_remove(tn_unlock *unlock, uint32_t user) {
    unlock->doing = TN_IDLE;
    const int status = tn_store_remove(&unlock->store, user);
    return status == TN_STORE_OK ? TN_DONE : status == TN_STORE_NONE ? TN_NO_USER : TN_BROKEN;
}

#endif
