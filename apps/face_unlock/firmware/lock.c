/* lock.c: see lock.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "lock.h"

__attribute__((weak)) void tn_lock_bolt(void) {}
__attribute__((weak)) int tn_lock_alive(void) { return 1; }

uint32_t tn_lock_wait(uint32_t failures) {
    uint32_t wait = failures < TN_LOCK_FREE ? 0 : TN_LOCK_FIRST_WAIT;
    for (uint32_t more = TN_LOCK_FREE; more < failures && wait < TN_LOCK_LONGEST_WAIT; more++) {
        wait *= 2u;
    }
    return wait < TN_LOCK_LONGEST_WAIT ? wait : TN_LOCK_LONGEST_WAIT;
}

void tn_lock_start(tn_lock *lock, const tn_store *store, uint32_t now) {
    *lock = (tn_lock){now, tn_lock_wait(store->failures)};
}

uint32_t tn_lock_left(tn_lock *lock, uint32_t now) {
    const uint32_t gone = now - lock->since;
    if (gone >= lock->wait) {
        lock->wait = 0;
        return 0;
    }
    return lock->wait - gone;
}

int tn_lock_try(tn_lock *lock, tn_store *store, uint32_t now) {
    const uint32_t failures = store->failures + (store->failures < UINT32_MAX);
    if (tn_store_failures(store, failures) != TN_STORE_OK) {
        return -1;
    }
    tn_lock_start(lock, store, now);
    return 0;
}

int tn_lock_decide(tn_lock *lock, tn_store *store, int matched) {
    if (!matched || !tn_lock_alive()) {
        return 0;
    }
    (void)tn_store_failures(store, 0); /* where the flash fails the count stays; the owner is in */
    lock->wait = 0;
    tn_lock_bolt();
    return 1;
}
