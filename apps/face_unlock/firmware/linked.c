/* linked.c: the lock as what the link runner runs: commands and rows of frames in, answers out.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The computer is camera and clock: a bench to try the lock on, not a lock to put into a door.
 */
#include "events.h"
#include "runner/runner.h"

enum { TN_COMMAND_LIST, TN_COMMAND_ENROL, TN_COMMAND_ATTEMPT, TN_COMMAND_ROWS, TN_COMMAND_REMOVE };

typedef struct {
    uint32_t command, user;
    uint32_t count; /* frames of an enrolment, rows that follow here */
    uint32_t now;   /* ms since the session began */
    char name[TN_STORE_NAME];
    uint8_t rows[TN_LINK_ROWS][TN_FRAME_ROW_BYTES];
} tn_asked;

typedef struct {
    int32_t status, user, score;
    uint32_t wait, failures;
    uint32_t known; /* of a listed user: whether the template is of this model */
    char name[TN_STORE_NAME];
    int8_t embedding[TN_FACE_DIMENSIONS]; /* of the last frame that was taken */
} tn_said;

static struct {
    uint8_t before[TN_RUNNER_CANARY_BYTES] __attribute__((aligned(8)));
    tn_unlock unlock;
    uint8_t after[TN_RUNNER_CANARY_BYTES];
    tn_asked asked;
    tn_said said;
} tn_memory __attribute__((section(".arena")));

static void init(uint8_t *arena) {
    (void)arena;
    tn_unlock_start(&tn_memory.unlock, 0);
}

static int list(tn_unlock *unlock, uint32_t user) {
    tn_stored_user found = {0};
    tn_memory.said.known = (uint32_t)tn_unlock_knows(unlock, user, &found);
    memcpy(tn_memory.said.name, found.name, sizeof found.name);
    return tn_store_user(&unlock->store, user, &found) == TN_STORE_OK ? TN_DONE : TN_NO_USER;
}

static int rows(tn_unlock *unlock, uint32_t count) {
    int status = TN_ROWS;
    for (uint32_t i = 0; i < count && i < TN_LINK_ROWS && status == TN_ROWS; i++) {
        status = tn_unlock_row(unlock, tn_memory.asked.rows[i]);
    }
    if (status != TN_ROWS && status != TN_WRONG) {
        memcpy(tn_memory.said.embedding, tn_eye_output(&unlock->eye), TN_FACE_DIMENSIONS);
    }
    return status;
}

static int answer(tn_unlock *unlock, const tn_asked *asked) {
    switch (asked->command) {
    case TN_COMMAND_LIST:
        return list(unlock, asked->user);
    case TN_COMMAND_ENROL:
        return tn_unlock_enrol(unlock, asked->user, asked->name, asked->count);
    case TN_COMMAND_ATTEMPT:
        return tn_unlock_attempt(unlock, asked->now);
    case TN_COMMAND_ROWS:
        return rows(unlock, asked->count);
    case TN_COMMAND_REMOVE:
        return tn_unlock_remove(unlock, asked->user);
    default:
        return TN_WRONG;
    }
}

static void run(uint8_t *arena) {
    (void)arena;
    tn_unlock *const unlock = &tn_memory.unlock;
    tn_said *const said = &tn_memory.said;
    said->status = answer(unlock, &tn_memory.asked);
    said->user = unlock->user;
    said->score = unlock->score;
    said->wait = unlock->wait;
    said->failures = unlock->store.failures;
    tn_tell(unlock, said->status);
}

static void *asked(uint8_t *arena) {
    (void)arena;
    return &tn_memory.asked;
}

static void *said(uint8_t *arena) {
    (void)arena;
    return &tn_memory.said;
}

static const tn_runner_port inputs[] = {{asked, sizeof tn_memory.asked}};
static const tn_runner_port outputs[] = {{said, sizeof tn_memory.said}};

#define TN_TEXT_NOW(value) #value
#define TN_TEXT(value) TN_TEXT_NOW(value)

TN_RUNNER_APPLICATION("face unlock " TN_EYE_TEXT ", >=" TN_TEXT(TN_FACE_THRESHOLD),
                      FACE_WEIGHTS_CRC, tn_memory, unlock);
