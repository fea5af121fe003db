/* main.c: the lock by itself: the port's camera, its flash, and commands on the console.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A line is a command; each is answered by lines that begin with "lock: ".
 *
 *     attempt        looks at the next frame; a button may do the same (tn_lock_button)
 *     enrol N NAME   takes the next TN_ENROL_FRAMES frames for user N
 *     delete N
 *     list
 *
 * Who reaches the console may enrol: it belongs behind the door.
 */
#include "camera.h"
#include "events.h"

enum { TN_ENROL_FRAMES = 3, TN_LINE = 40 };

static tn_unlock unlock __attribute__((section(".arena")));

/* A hook: 1 once for each press of a button that asks for an attempt, or of a motion sensor. */
int tn_lock_button(void);
__attribute__((weak)) int tn_lock_button(void) { return 0; }

/* --- time: the cycle counter, read more often than it wraps ------------------------------------- */

static uint32_t now_ms, counted; /* milliseconds; the counter up to which they are counted */

static uint32_t now(void) {
    const uint32_t a_ms = tn_port_hz() / 1000u;
    const uint32_t ms = (tn_cycles() - counted) / a_ms;
    counted += ms * a_ms;
    now_ms += ms;
    return now_ms;
}

/* --- commands ---------------------------------------------------------------------------------- */

/* Gives frames to what waits for them; the last status. */
static int look(int status) {
    while (status == TN_ROWS || status == TN_FRAME) {
        if (tn_camera_begin() != 0) {
            return TN_DARK;
        }
        do {
            const uint8_t *const row = tn_camera_row();
            if (row == 0) {
                return TN_DARK;
            }
            status = tn_unlock_row(&unlock, row);
            (void)now();
        } while (status == TN_ROWS);
    }
    return status;
}

static void tell_end(int status) {
    static const char *const texts[] = {
        [TN_DONE] = "done", [TN_NO_USER] = "no such user", [TN_NO_ROOM] = "no room for it",
        [TN_NO_FACE] = "no face", [TN_BROKEN] = "the flash fails", [TN_WRONG] = "not understood",
        [TN_DARK] = "the camera gives no frame",
    };
    tn_tell(&unlock, status);
    if (texts[status] != 0) {
        tn_print("lock: ");
        tn_print(texts[status]);
        tn_print("\n");
    }
}

static void list(void) {
    tn_stored_user found;
    for (uint32_t user = 0; user < TN_STORE_USERS; user++) {
        if (tn_store_user(&unlock.store, user, &found) == TN_STORE_OK) {
            tn_print("lock: ");
            tn_tell_user(&unlock, user);
            tn_print("\n");
        }
    }
}

/* What follows the word in the line, or 0 where the line does not begin with it. */
static const char *after(const char *line, const char *word) {
    while (*word != '\0' && *line == *word) {
        line++;
        word++;
    }
    return *word == '\0' ? line : 0;
}

static int obey(const char *line) {
    const char *rest;
    if (after(line, "attempt")) {
        return look(tn_unlock_attempt(&unlock, now()));
    }
    if (after(line, "list")) {
        list();
        return TN_DONE;
    }
    if ((rest = after(line, "delete ")) && rest[0] != '\0' && rest[1] == '\0') {
        return tn_unlock_remove(&unlock, (uint32_t)(rest[0] - '0'));
    }
    if ((rest = after(line, "enrol ")) && rest[0] != '\0' && rest[1] == ' ') {
        return look(tn_unlock_enrol(&unlock, (uint32_t)(rest[0] - '0'), rest + 2, TN_ENROL_FRAMES));
    }
    return TN_WRONG;
}

int tn_main(void) {
    char line[TN_LINE];
    uint32_t length = 0;
    tn_cycles_start();
    tn_unlock_start(&unlock, now());
    tn_print("lock: ready\n");
    for (;;) {
        (void)now();
        const int got = tn_port_getc();
        if (tn_lock_button()) {
            tell_end(obey("attempt"));
        } else if (got == '\n' || got == '\r') {
            line[length] = '\0';
            if (length > 0) {
                tell_end(obey(line));
            }
            length = 0;
        } else if (got >= 0 && length < TN_LINE - 1) {
            line[length++] = (char)got;
        }
    }
}
