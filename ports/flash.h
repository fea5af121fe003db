/* flash.h: the end of a chip's flash, in which an application may keep data.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A port that has it gives FAMILY/flash.c and names it in its boards' TOML files (`storage`). The
 * pages are the last of the flash; the application sees to it that its image ends before them.
 *
 * Between two erasures of its page a word is programmed once: that is what chips with error
 * correction ask for, and what all others allow. A function of these returns when its work is done.
 */
#ifndef TN_FLASH_H
#define TN_FLASH_H

#include <stdint.h>

/* No chip's word is larger. */
enum { TN_FLASH_WORD_MOST = 32 };

typedef struct {
    uint32_t page_bytes; /* what an erasure takes */
    uint32_t pages;      /* that are the application's: an even number */
    uint32_t word_bytes; /* what is programmed at once: a power of two */
    uint32_t endurance;  /* erasures that a page stands, of the data sheet */
} tn_flash_shape;

extern const tn_flash_shape tn_flash;

/* `at` is in bytes from the first page. Reads anything; -1 where the chip says that a word there is
 * damaged, as one that was being programmed when the power went; else 0. */
int tn_flash_read(uint32_t at, void *to, uint32_t bytes);

/* Programs one word; `at` is a multiple of word_bytes. -1 where the chip reports an error. */
int tn_flash_program(uint32_t at, const void *word);

/* Erases a page to ones. -1 where the chip reports an error. */
int tn_flash_erase(uint32_t page);

#endif
