/* flash_simulated.c: flash whose power can be cut at any operation, for the tests of the store.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * `after` operations are done; the next is torn in one of the ways below, and from then on nothing
 * happens and nothing can be read, until the power is back. A word that was begun and not erased
 * since is touched: programming it again is counted, and gives damaged content.
 */
#include "flash.h"
#include "lock.h"

#include <string.h>

enum { ALL = 1 << 18, BYTES = 1 << 14 }; /* BYTES: what is saved and put back */
enum {
    CUT_BEFORE,    /* nothing of the operation has happened */
    CUT_AFTER,     /* all of it has; nobody was told */
    CUT_HALF,      /* the first half of a word, or every second byte of a page */
    CUT_RANDOM,    /* any of the bits that were to change */
    CUT_INVISIBLE, /* a word reads as erased, a page as it was, but neither can be relied on */
    CUT_WAYS
};

/* SHAPE: page_bytes, pages, word_bytes, endurance; CORRECTS: 1 where words have error correction */
const tn_flash_shape tn_flash = {SHAPE};

static uint8_t memory[ALL];
static uint8_t touched[ALL]; /* one for each word */
static uint8_t damaged[ALL]; /* by error correction: cannot be read */
static int64_t after, operations;
static uint64_t noise;
static int32_t way, dead, broken_word;
static int64_t twice, erasures;

static uint32_t random_bits(void) {
    noise = noise * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(noise >> 33);
}

/* Whether this operation is the one in which the power goes. */
static int cut(void) {
    if (operations++ == after) {
        dead = 1;
        return 1;
    }
    return 0;
}

int tn_flash_read(uint32_t at, void *to, uint32_t bytes) {
    if (dead) {
        return -1;
    }
    memcpy(to, memory + at, bytes);
    for (uint32_t word = at / tn_flash.word_bytes;
         word <= (at + bytes - 1) / tn_flash.word_bytes; word++) {
        if (damaged[word]) {
            return -1;
        }
    }
    return 0;
}

int tn_flash_program(uint32_t at, const void *data) {
    const uint32_t bytes = tn_flash.word_bytes, word = at / bytes;
    const uint8_t *in = data;
    if (dead) {
        return -1;
    }
    const int torn = cut();
    if (torn && way == CUT_BEFORE) {
        return -1;
    }
    const int again = touched[word];
    twice += again;
    touched[word] = 1;
    for (uint32_t i = 0; i < bytes; i++) {
        uint8_t set = in[i];
        if (torn && way == CUT_INVISIBLE) {
            set = 0xFF;
        } else if (torn && way == CUT_HALF && i >= bytes / 2) {
            set = 0xFF;
        } else if (again || (torn && way == CUT_RANDOM)) {
            set = (uint8_t)(again ? in[i] & random_bits() : in[i] | random_bits());
        }
        memory[at + i] &= set;
    }
    if (CORRECTS && (again || (torn && (way == CUT_HALF || way == CUT_RANDOM)))) {
        damaged[word] = 1;
    }
    if (word == (uint32_t)broken_word) {
        memory[at] = 0x5A;
    }
    return torn ? -1 : 0;
}

int tn_flash_erase(uint32_t page) {
    const uint32_t bytes = tn_flash.page_bytes, begin = page * bytes;
    if (dead) {
        return -1;
    }
    const int torn = cut();
    if (torn && way == CUT_BEFORE) {
        return -1;
    }
    erasures++;
    for (uint32_t i = begin; i < begin + bytes; i++) {
        const uint32_t word = i / tn_flash.word_bytes;
        if (torn && way != CUT_AFTER) {
            touched[word] = 1;
            if (way == CUT_RANDOM) {
                memory[i] |= (uint8_t)random_bits();
                damaged[word] = (uint8_t)(CORRECTS && (random_bits() & 1u));
            } else if (way == CUT_HALF && i % 2 == 0) {
                memory[i] = 0xFF;
            }
        } else {
            memory[i] = 0xFF;
            touched[word] = damaged[word] = 0;
        }
    }
    return torn ? -1 : 0;
}

/* --- the other side of the tests ---------------------------------------------------------------- */

/* A chip as it comes: `fill` everywhere, nothing programmed where that is 0xFF. */
void simulated_new(int32_t fill) {
    memset(memory, fill, sizeof memory);
    memset(touched, fill != 0xFF, sizeof touched);
    memset(damaged, 0, sizeof damaged);
    dead = 0;
    broken_word = -1;
    after = -1;
    operations = twice = erasures = 0;
    noise = 1;
}

/* The power is on until `count` more operations are done (-1: for ever), and then goes in `how`. */
void simulated_power(int64_t count, int32_t how, uint64_t seed) {
    dead = 0;
    operations = 0;
    after = count;
    way = how;
    noise = noise * 31 + seed;
}

void simulated_breaks(int32_t word) { broken_word = word; }

int64_t simulated_operations(void) { return operations; }
int64_t simulated_twice(void) { return twice; }
int64_t simulated_erasures(void) { return erasures; }
int32_t simulated_dead(void) { return dead; }

/* The whole chip, to go back to: uint8 [3 * BYTES]. */
void simulated_save(uint8_t *to) {
    memcpy(to, memory, BYTES);
    memcpy(to + BYTES, touched, BYTES);
    memcpy(to + 2 * BYTES, damaged, BYTES);
}
void simulated_load(const uint8_t *from) {
    memcpy(memory, from, BYTES);
    memcpy(touched, from + BYTES, BYTES);
    memcpy(damaged, from + 2 * BYTES, BYTES);
}

/* All that is stored, to compare: for each user whether it is there, its tn_stored_user and its
 * template of DIMENSIONS; at the end the failures. */
enum { DIMENSIONS = 8, ENTRY = 1 + sizeof(tn_stored_user) + 2 * DIMENSIONS };
int64_t simulated_stored(const tn_store *store, uint8_t *to) {
    memset(to, 0, TN_STORE_USERS * ENTRY);
    for (uint32_t user = 0; user < TN_STORE_USERS; user++, to += ENTRY) {
        tn_stored_user head;
        int16_t unit[DIMENSIONS];
        if (tn_store_user(store, user, &head) == TN_STORE_OK &&
            tn_store_template(store, user, unit) == TN_STORE_OK) {
            *to = 1;
            memcpy(to + 1, &head, sizeof head);
            memcpy(to + 1 + sizeof head, unit, sizeof unit);
        }
    }
    memcpy(to, &store->failures, sizeof store->failures);
    return TN_STORE_USERS * ENTRY + (int64_t)sizeof store->failures;
}
