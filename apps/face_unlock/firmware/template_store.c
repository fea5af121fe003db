/* template_store.c: see template_store.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "template_store.h"

#include "flash.h"

enum { TN_MAGIC = 0x4B4C4E54, TN_FORMAT = 1, TN_WIPE = 1 }; /* TN_WIPE: erase the other area */
enum { TN_USER = 1, TN_FAILURES = 2 };
enum { TN_HEADER_BYTES = 32, TN_CHUNK = 32 };

typedef struct {
    uint32_t magic;
    uint16_t format, flags;
    uint32_t generation, crc;
} tn_header;

typedef struct {
    uint8_t kind, user;
    uint16_t bytes; /* of the payload */
    uint32_t crc;
} tn_record;

/* A record that is to be written. A user's payload is in two parts. */
typedef struct {
    tn_record record;
    const void *head, *tail;
    uint32_t head_bytes, tail_bytes;
} tn_entry;

/* --- bytes ----------------------------------------------------------------------------------- */

/* CRC-32 as of IEEE 802.3 and zlib; `crc` is 0 or that of the bytes before. */
static uint32_t tn_store_crc(uint32_t crc, const void *data, uint32_t count) {
    const uint8_t *bytes = data;
    crc = ~crc;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (uint32_t bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

static int tn_blank(const void *data, uint32_t count) {
    const uint8_t *bytes = data;
    uint8_t all = 0xFF;
    for (uint32_t i = 0; i < count; i++) {
        all &= bytes[i];
    }
    return all == 0xFF;
}

static uint32_t tn_padded(uint32_t bytes) {
    return (bytes + tn_flash.word_bytes - 1u) & ~(tn_flash.word_bytes - 1u);
}

static uint32_t tn_area_bytes(void) { return tn_flash.page_bytes * (tn_flash.pages / 2u); }

/* --- writing: bytes one after the other, word by word, each read back -------------------------- */

typedef struct {
    uint32_t at;     /* of the flash, of the word that is filled */
    uint32_t filled; /* bytes of it */
    uint32_t failed;
    uint8_t word[TN_FLASH_WORD_MOST] __attribute__((aligned(4)));
} tn_writer;

static void tn_write_word(tn_writer *writer) {
    uint8_t found[TN_FLASH_WORD_MOST] __attribute__((aligned(4)));
    const uint32_t bytes = tn_flash.word_bytes;
    uint32_t differs = 0;
    if (!writer->failed) {
        writer->failed = tn_flash_program(writer->at, writer->word) != 0 ||
                         tn_flash_read(writer->at, found, bytes) != 0;
        for (uint32_t i = 0; i < bytes && !writer->failed; i++) {
            differs |= (uint32_t)(found[i] ^ writer->word[i]);
        }
        writer->failed |= differs != 0;
    }
    writer->at += bytes;
    writer->filled = 0;
}

static void tn_write(tn_writer *writer, const void *data, uint32_t count) {
    const uint8_t *bytes = data;
    for (uint32_t i = 0; i < count; i++) {
        writer->word[writer->filled++] = bytes[i];
        if (writer->filled == tn_flash.word_bytes) {
            tn_write_word(writer);
        }
    }
}

static void tn_write_end(tn_writer *writer) {
    while (writer->filled != 0) {
        tn_write(writer, "\xFF", 1);
    }
}

static uint32_t tn_entry_bytes(const tn_entry *entry) {
    return tn_padded(sizeof(tn_record) + entry->record.bytes);
}

static void tn_write_entry(tn_writer *writer, const tn_entry *entry) {
    tn_write(writer, &entry->record, sizeof entry->record);
    tn_write(writer, entry->head, entry->head_bytes);
    tn_write(writer, entry->tail, entry->tail_bytes);
    tn_write_end(writer);
}

static tn_entry tn_entry_of(uint8_t kind, uint32_t user, const void *head, uint32_t head_bytes,
                            const void *tail, uint32_t tail_bytes) {
    tn_entry entry = {{kind, (uint8_t)user, (uint16_t)(head_bytes + tail_bytes), 0},
                      head, tail, head_bytes, tail_bytes};
    uint32_t crc = tn_store_crc(0, &entry.record, 4);
    crc = tn_store_crc(crc, head, head_bytes);
    entry.record.crc = tn_store_crc(crc, tail, tail_bytes);
    return entry;
}

/* --- reading --------------------------------------------------------------------------------- */

/* Whether the record at `at` of the flash is whole; `room` is what is left of its area. */
static int tn_read_record(uint32_t at, uint32_t room, tn_record *record) {
    uint8_t chunk[TN_CHUNK];
    if (tn_flash_read(at, record, sizeof *record) != 0 || record->user >= TN_STORE_USERS ||
        (record->kind != TN_USER && record->kind != TN_FAILURES) ||
        tn_padded(sizeof *record + record->bytes) > room) {
        return 0;
    }
    uint32_t crc = tn_store_crc(0, record, 4);
    at += (uint32_t)sizeof *record;
    for (uint32_t left = record->bytes; left > 0;) {
        const uint32_t count = left < TN_CHUNK ? left : TN_CHUNK;
        if (tn_flash_read(at, chunk, count) != 0) {
            return 0;
        }
        crc = tn_store_crc(crc, chunk, count);
        at += count;
        left -= count;
    }
    return crc == record->crc;
}

/* Whether an area was finished, and with what. */
static int tn_read_header(uint32_t area, tn_header *header) {
    return tn_flash_read(area * tn_area_bytes(), header, sizeof *header) == 0 &&
           header->magic == TN_MAGIC && header->format == TN_FORMAT &&
           header->crc == tn_store_crc(0, header, sizeof *header - sizeof header->crc);
}

/* Finds the records of the area in use, and the end of its log. */
static void tn_scan(tn_store *store) {
    const uint32_t begin = store->area * tn_area_bytes();
    for (uint32_t at = TN_HEADER_BYTES;;) {
        uint8_t next[sizeof(tn_record)];
        tn_record record;
        store->end = at;
        if (at + sizeof record > tn_area_bytes()) {
            store->closed = 1;
            return;
        }
        if (tn_flash_read(begin + at, next, sizeof next) == 0 && tn_blank(next, sizeof next)) {
            return;
        }
        if (!tn_read_record(begin + at, tn_area_bytes() - at, &record)) {
            store->closed = 1; /* the power went while it was written */
            return;
        }
        if (record.kind == TN_USER) {
            store->at[record.user] = at;
        } else {
            (void)tn_flash_read(begin + at + (uint32_t)sizeof record, &store->failures,
                                sizeof store->failures);
        }
        at += tn_padded((uint32_t)sizeof record + record.bytes);
    }
}

static int tn_erase_area(uint32_t area) {
    const uint32_t pages = tn_flash.pages / 2u;
    int status = 0;
    for (uint32_t page = area * pages; page < (area + 1u) * pages; page++) {
        status |= tn_flash_erase(page);
    }
    return status;
}

/* Erases what a removal left in the other area. A failure is no loss: the next start tries again. */
static void tn_wipe(uint32_t area) {
    uint8_t chunk[TN_CHUNK];
    for (uint32_t at = 0; at < tn_area_bytes(); at += TN_CHUNK) {
        if (tn_flash_read(area * tn_area_bytes() + at, chunk, TN_CHUNK) != 0 ||
            !tn_blank(chunk, TN_CHUNK)) {
            (void)tn_erase_area(area);
            return;
        }
    }
}

void tn_store_open(tn_store *store) {
    *store = (tn_store){.area = TN_STORE_NO_AREA, .closed = 1};
    tn_header newest = {0};
    for (uint32_t area = 0; area < 2; area++) {
        tn_header header;
        if (tn_read_header(area, &header) &&
            (store->area == TN_STORE_NO_AREA || header.generation > newest.generation)) {
            newest = header;
            store->area = area;
        }
    }
    if (store->area == TN_STORE_NO_AREA) {
        return;
    }
    store->generation = newest.generation;
    store->closed = 0;
    tn_scan(store);
    if ((newest.flags & TN_WIPE) != 0) {
        tn_wipe(1u - store->area);
    }
}

int tn_store_user(const tn_store *store, uint32_t user, tn_stored_user *found) {
    if (user >= TN_STORE_USERS || store->at[user] == 0) {
        return TN_STORE_NONE;
    }
    const uint32_t at = store->area * tn_area_bytes() + store->at[user];
    const int failed = tn_flash_read(at + (uint32_t)sizeof(tn_record), found, sizeof *found);
    return failed ? TN_STORE_FLASH : TN_STORE_OK;
}

int tn_store_template(const tn_store *store, uint32_t user, int16_t *unit) {
    tn_stored_user head;
    const int status = tn_store_user(store, user, &head);
    if (status != TN_STORE_OK) {
        return status;
    }
    const uint32_t at = store->area * tn_area_bytes() + store->at[user];
    const uint32_t skipped = (uint32_t)(sizeof(tn_record) + sizeof head);
    const int failed = tn_flash_read(at + skipped, unit, head.count * (uint32_t)sizeof *unit);
    return failed ? TN_STORE_FLASH : TN_STORE_OK;
}

/* --- changing -------------------------------------------------------------------------------- */

/* Copies a user's record. */
static void tn_copy_user(const tn_store *store, uint32_t user, tn_writer *writer) {
    uint8_t chunk[TN_CHUNK];
    tn_record record;
    uint32_t at = store->area * tn_area_bytes() + store->at[user];
    if (!tn_read_record(at, tn_area_bytes() - store->at[user], &record)) {
        return; /* gone bad since the start: nothing that could be kept */
    }
    for (uint32_t left = (uint32_t)sizeof record + record.bytes; left > 0;) {
        const uint32_t count = left < TN_CHUNK ? left : TN_CHUNK;
        writer->failed |= tn_flash_read(at, chunk, count) != 0;
        tn_write(writer, chunk, count);
        at += count;
        left -= count;
    }
    tn_write_end(writer);
}

static uint32_t tn_user_bytes(const tn_store *store, uint32_t user) {
    tn_stored_user head = {0};
    if (tn_store_user(store, user, &head) != TN_STORE_OK) {
        return 0;
    }
    return tn_padded((uint32_t)(sizeof(tn_record) + sizeof head) + 2u * head.count);
}

/* Whether there is room for a user beside the others, user `gone` apart. A quarter of the area is
 * the failures': with less, each of them would cost an erasure. */
static int tn_has_room(const tn_store *store, uint32_t gone, const tn_entry *added) {
    uint32_t bytes = TN_HEADER_BYTES + tn_entry_bytes(added);
    for (uint32_t user = 0; user < TN_STORE_USERS; user++) {
        bytes += user != gone ? tn_user_bytes(store, user) : 0;
    }
    return bytes <= tn_area_bytes() / 4u * 3u;
}

/* Makes the other area the one in use: without user `gone`, with one more entry, or none (0).
 * `wipe`: the old one is erased afterwards. */
static int tn_rewrite(tn_store *store, uint32_t gone, const tn_entry *added, int wipe) {
    const uint32_t area = store->area == 0 ? 1 : 0;
    const uint32_t begin = area * tn_area_bytes();
    const tn_entry failures = tn_entry_of(TN_FAILURES, 0, &store->failures,
                                          sizeof store->failures, 0, 0);
    if (tn_erase_area(area) != 0) {
        return TN_STORE_FLASH;
    }
    tn_writer writer = {.at = begin + TN_HEADER_BYTES};
    for (uint32_t user = 0; user < TN_STORE_USERS; user++) {
        if (user != gone && store->at[user] != 0) {
            tn_copy_user(store, user, &writer);
        }
    }
    tn_write_entry(&writer, &failures);
    if (added != 0) {
        tn_write_entry(&writer, added);
    }
    writer.at = begin;
    tn_header header = {TN_MAGIC, TN_FORMAT, wipe ? TN_WIPE : 0, store->generation + 1u, 0};
    header.crc = tn_store_crc(0, &header, sizeof header - sizeof header.crc);
    tn_write(&writer, &header, sizeof header);
    tn_write_end(&writer);
    tn_store_open(store);
    return writer.failed ? TN_STORE_FLASH : TN_STORE_OK;
}

/* Writes one more record behind the others, or all anew where that cannot be. */
static int tn_append(tn_store *store, const tn_entry *added) {
    if (!store->closed && store->end + tn_entry_bytes(added) <= tn_area_bytes()) {
        tn_writer writer = {.at = store->area * tn_area_bytes() + store->end};
        tn_write_entry(&writer, added);
        if (!writer.failed) {
            if (added->record.kind == TN_USER) {
                store->at[added->record.user] = store->end;
            }
            store->end += tn_entry_bytes(added);
            return TN_STORE_OK;
        }
        store->closed = 1;
    }
    return tn_rewrite(store, TN_STORE_USERS, added, 0);
}

int tn_store_put(tn_store *store, uint32_t user, const tn_stored_user *added, const int16_t *unit) {
    if (user >= TN_STORE_USERS) {
        return TN_STORE_NONE;
    }
    const tn_entry entry =
        tn_entry_of(TN_USER, user, added, sizeof *added, unit, added->count * 2u);
    if (!tn_has_room(store, user, &entry)) {
        return TN_STORE_FULL;
    }
    return store->at[user] != 0 ? tn_rewrite(store, user, &entry, 1) : tn_append(store, &entry);
}

int tn_store_remove(tn_store *store, uint32_t user) {
    if (user >= TN_STORE_USERS || store->at[user] == 0) {
        return TN_STORE_NONE;
    }
    return tn_rewrite(store, user, 0, 1);
}

int tn_store_failures(tn_store *store, uint32_t failures) {
    const tn_entry entry = tn_entry_of(TN_FAILURES, 0, &failures, sizeof failures, 0, 0);
    const int status = tn_append(store, &entry);
    if (status == TN_STORE_OK) {
        store->failures = failures;
    }
    return status;
}
