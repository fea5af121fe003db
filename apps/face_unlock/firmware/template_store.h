/* template_store.h: who may open the lock, and how often it was tried, in flash.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The pages of ports/flash.h are two areas. One is in use: a header, then a log of records, each
 * with its CRC-32. What only adds is appended. What takes something away, and what has no room any
 * more, is a new area: the other one is erased, what stays is copied there, and its header, written
 * last, makes it the one in use. So at every moment one area is whole, and a power cut leaves what
 * was before a call or what is after it.
 *
 *   header  magic u32 | format u16 | flags u16 | generation u32 | CRC-32 u32, padded to 32 bytes
 *   record  kind u8 | user u8 | bytes u16 | CRC-32 u32 of kind to bytes and payload | payload,
 *           padded to whole words of the flash
 *   payload of a user: tn_stored_user | template int16[count]; of the failures: u32
 *
 * Words are never programmed twice, all that is written is read back, and nothing is appended
 * behind a record that is not whole. When a template is removed or replaced the old area is erased
 * too, at the next start if the power went before; no copy of it stays.
 */
#ifndef TEMPLATE_STORE_H
#define TEMPLATE_STORE_H

#include <stdint.h>

enum { TN_STORE_USERS = 8, TN_STORE_NAME = 16 };

enum {
    TN_STORE_OK,
    TN_STORE_NONE,  /* there is no such user */
    TN_STORE_FULL,  /* there is no room for templates that large */
    TN_STORE_FLASH, /* the flash fails; what is stored is as before, or as it was to be */
};

/* As in a record; little endian. */
typedef struct {
    uint32_t model; /* whose embeddings these are: the CRC of its weights */
    uint32_t count; /* dimensions */
    char name[TN_STORE_NAME]; /* ends with a 0 */
} tn_stored_user;

typedef struct {
    uint32_t area; /* in use, or TN_STORE_NO_AREA where none was ever written */
    uint32_t generation;
    uint32_t end;    /* of the log, in bytes from the area's begin */
    uint32_t closed; /* 1: nothing may be appended */
    uint32_t failures;
    uint32_t at[TN_STORE_USERS]; /* of a user's record; 0: there is no such user */
} tn_store;

enum { TN_STORE_NO_AREA = 2 };

/* Reads the flash; at the start, before all else. */
void tn_store_open(tn_store *store);

/* OK or NONE; FLASH where the record cannot be read any more. */
int tn_store_user(const tn_store *store, uint32_t user, tn_stored_user *found);

/* The template of a user, int16 [count of its tn_stored_user]. As above. */
int tn_store_template(const tn_store *store, uint32_t user, int16_t *unit);

/* Adds a user, or replaces one; `unit` has added->count values. */
int tn_store_put(tn_store *store, uint32_t user, const tn_stored_user *added, const int16_t *unit);

int tn_store_remove(tn_store *store, uint32_t user);

/* Keeps how many attempts have failed since the last that succeeded. */
int tn_store_failures(tn_store *store, uint32_t failures);

#endif
