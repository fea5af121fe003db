/* events.h: what the lock says on the console, one line an event.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     lock: opened for 2 ada, score 0.713
 *     lock: refused, score 0.312
 *     lock: waits for 30 s
 */
#ifndef EVENTS_H
#define EVENTS_H

#include "port.h"
#include "unlock.h"

static void tn_tell_user(const tn_unlock *unlock, uint32_t user) {
    tn_stored_user found;
    tn_print_decimal(user);
    if (tn_store_user(&unlock->store, user, &found) == TN_STORE_OK) {
        tn_print(" ");
        tn_print(found.name);
        tn_print(found.model == FACE_WEIGHTS_CRC ? "" : " (of another model: enrol again)");
    }
}

/* A cosine in Q15 with three digits. */
static void tn_tell_score(int32_t score) {
    const uint32_t size = (uint32_t)(score < 0 ? -score : score);
    const uint32_t thousandths = (size * 1000u + (1u << 14)) >> 15;
    tn_print(score < 0 ? ", score -" : ", score ");
    tn_print_decimal(thousandths / 1000u);
    tn_print(".");
    for (uint32_t digit = 100; digit > 0; digit /= 10u) {
        tn_print_decimal(thousandths / digit % 10u);
    }
}

/* Tells of what ends an attempt; nothing of other statuses. */
static void tn_tell(const tn_unlock *unlock, int status) {
    if (status == TN_OPENED) {
        tn_print("lock: opened for ");
        tn_tell_user(unlock, (uint32_t)unlock->user);
        tn_tell_score(unlock->score);
    } else if (status == TN_REFUSED) {
        tn_print("lock: refused");
        tn_tell_score(unlock->score);
    } else if (status == TN_WAIT) {
        tn_print("lock: waits for ");
        tn_print_decimal((unlock->wait + 999u) / 1000u);
        tn_print(" s");
    } else {
        return;
    }
    tn_print("\n");
}

#endif
