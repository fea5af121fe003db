/* lock.h: the decision, and what stands between it and someone who keeps trying.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * An attempt is counted as failed in flash before it is looked at, and struck off when it succeeds:
 * who cuts the power after a refusal has gained nothing. After TN_LOCK_FREE failures in a row each
 * further one costs a wait, 30 s at first, twice as long each time, an hour at most. After a reset
 * the wait begins anew, because a lock without a battery-backed clock cannot know how long it was
 * off.
 */
#ifndef LOCK_H
#define LOCK_H

#include <stdint.h>

#include "template_store.h"

enum { TN_LOCK_FREE = 5, TN_LOCK_FIRST_WAIT = 30000, TN_LOCK_LONGEST_WAIT = 3600000 }; /* ms */

typedef struct {
    uint32_t since; /* ms, when the wait began */
    uint32_t wait;  /* ms; 0: there is none */
} tn_lock;

/* Milliseconds that follow a number of failures in a row. */
uint32_t tn_lock_wait(uint32_t failures);

/* At the start. Times are milliseconds of any clock that does not stop, modulo 2^32. */
void tn_lock_start(tn_lock *lock, const tn_store *store, uint32_t now);

/* Milliseconds until an attempt is allowed; 0: now. */
uint32_t tn_lock_left(tn_lock *lock, uint32_t now);

/* Counts an attempt; the wait that follows it begins. 0: go on; -1: the flash fails, so there can be
 * no attempt. */
int tn_lock_try(tn_lock *lock, tn_store *store, uint32_t now);

/* How the attempt ended. Where the face matched and is alive the bolt opens and 1 is returned. */
int tn_lock_decide(tn_lock *lock, tn_store *store, int matched);

/* --- hooks: a board that has these parts gives functions of these names ------------------------ */

/* Opens the bolt: a pulse on a pin. Without one nothing happens. */
void tn_lock_bolt(void);

/* What a liveness sensor says while the frame is taken (depth, infrared, a blink): 1 where a living
 * face is there, 0 where not. Without a sensor it is 1, and a photograph opens the lock. */
int tn_lock_alive(void);

#endif
