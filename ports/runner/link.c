/* link.c: runs a model for a computer at the other end of the console.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The computer asks, the board answers: one request at a time, each at most once. The other side is
 * tools/link.py.
 *
 * On the wire a frame is  00  COBS(body)  00, so that after any loss the next 00 is a fresh start
 * (Cheshire and Baker, "Consistent Overhead Byte Stuffing", 1999). What lies between two zeros and
 * is no frame is dropped: noise, or text of the fault handler. A body is, little endian,
 *
 *     kind u8 | status u8 | sequence u16 | session u32 | payload | CRC-32 u32 of all before
 *
 * A session begins with TN_HELLO, whose session is any number that the computer picks. Its requests
 * count up from there by one. The request that was answered last is answered again when it comes
 * again, from memory; older ones are dropped; so a lost answer is asked for by repeating. A board
 * that was reset knows of no session, or of its beginning only, and says so.
 */
#include "port.h"
#include "runner.h"

enum { TN_PROTOCOL = 1, TN_PAYLOAD = 256, TN_HEADER = 8, TN_CRC = 4 };
enum { TN_FRAME = TN_HEADER + TN_PAYLOAD + TN_CRC };

/* Requests; an answer has the same kind with bit 7 set. Payloads, little endian:
 *
 *   HELLO   -> protocol u8 | inputs u8 | outputs u8 | flags u8 (1: the model keeps state) |
 *              payload u16 | layers u16 | hz u32 | weights CRC u32 | arena u32 | stack u32 |
 *              bytes u32 of each input, then of each output | board, 0, model, 0
 *   INIT    -> nothing: the arena is filled anew and the state set up
 *   WRITE   input u32 | offset u32 | bytes -> nothing
 *   RUN     CRC u32 of all inputs -> cycles u32 | stack u32 | intact u32 | CRC u32 of all outputs
 *   READ    output u32 | offset u32 | count u32 -> bytes
 *   LAYERS  first u32 | count u32 -> cycles u32 of each, summed over the last run */
enum { TN_HELLO = 1, TN_INIT, TN_WRITE, TN_RUN, TN_READ, TN_LAYERS, TN_ANSWER = 0x80 };

enum { TN_OK = 0, TN_UNKNOWN_KIND, TN_BAD_LENGTH, TN_OUT_OF_RANGE, TN_NO_SESSION, TN_WRONG_INPUTS };

static uint8_t tn_request[TN_FRAME];
static uint8_t tn_answer[TN_FRAME];
static uint32_t tn_answer_bytes; /* of the body; what is sent again */
static uint32_t tn_session;
static uint32_t tn_sequence; /* of the request that was answered last */
static uint32_t tn_has_session;
static uint32_t tn_init_stack;

/* --- bytes ---------------------------------------------------------------------------------- */

static uint32_t tn_get(const uint8_t *from, uint32_t bytes) {
    uint32_t value = 0;
    while (bytes-- > 0) {
        value = value << 8 | from[bytes];
    }
    return value;
}

static uint8_t *tn_put(uint8_t *to, uint32_t value, uint32_t bytes) {
    for (; bytes > 0; bytes--, value >>= 8) {
        *to++ = (uint8_t)value;
    }
    return to;
}

static void tn_copy(uint8_t *to, const uint8_t *from, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        to[i] = from[i];
    }
}

/* CRC-32 as of IEEE 802.3 and zlib, four bits at a time; `crc` is 0 or that of the bytes before. */
static uint32_t tn_crc(uint32_t crc, const uint8_t *bytes, uint32_t count) {
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
        0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
        0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    crc = ~crc;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15u];
        crc = crc >> 4 ^ table[crc & 15u];
    }
    return ~crc;
}

static uint32_t tn_crc_of(const tn_runner_port *ports, uint32_t count) {
    uint32_t crc = 0;
    for (uint32_t i = 0; i < count; i++) {
        crc = tn_crc(crc, ports[i].locate(tn_model.arena), ports[i].bytes);
    }
    return crc;
}

/* --- frames --------------------------------------------------------------------------------- */

/* Waits for a frame that is whole; returns the bytes of its body without the CRC. */
static uint32_t tn_receive(void) {
    uint32_t count = 0; /* bytes of the body so far */
    uint32_t left = 0;  /* bytes of the COBS block that are still to come */
    uint32_t code = 0xFF;
    uint32_t broken = 1; /* until the first 00 */
    for (;;) {
        const int got = tn_port_getc();
        if (got < 0) {
            continue;
        }
        if (got == 0) {
            if (!broken && left == 0 && count >= TN_HEADER + TN_CRC) {
                const uint32_t bytes = count - TN_CRC;
                if (tn_crc(0, tn_request, bytes) == tn_get(tn_request + bytes, TN_CRC)) {
                    return bytes;
                }
            }
            count = left = broken = 0;
            code = 0xFF;
        } else if (broken) {
            continue;
        } else if (left > 0) {
            left--;
            if (count == TN_FRAME) {
                broken = 1;
                continue;
            }
            tn_request[count++] = (uint8_t)got;
        } else { /* a code: that many bytes less one follow; a block before it ended with a 00 */
            if (code != 0xFF) {
                if (count == TN_FRAME) {
                    broken = 1;
                    continue;
                }
                tn_request[count++] = 0;
            }
            code = (uint32_t)got;
            left = code - 1u;
        }
    }
}

static void tn_send(const uint8_t *body, uint32_t bytes) {
    tn_port_putc(0);
    uint32_t at = 0;
    for (;;) {
        uint32_t end = at;
        while (end < bytes && body[end] != 0 && end - at < 254u) {
            end++;
        }
        tn_port_putc((char)(end - at + 1u));
        for (uint32_t i = at; i < end; i++) {
            tn_port_putc((char)body[i]);
        }
        if (end == bytes) {
            break;
        }
        at = end + (end - at < 254u); /* the 00 is in the code */
    }
    tn_port_putc(0);
}

/* Makes `body` the answer to the request in tn_request; `payload` bytes of it lie there already.
 * Returns the bytes of the whole. */
static uint32_t tn_finish(uint8_t *body, uint32_t status, uint32_t payload) {
    tn_copy(body, tn_request, TN_HEADER);
    body[0] = (uint8_t)(tn_request[0] | TN_ANSWER);
    body[1] = (uint8_t)status;
    const uint32_t bytes = TN_HEADER + payload;
    tn_put(body + bytes, tn_crc(0, body, bytes), TN_CRC);
    return bytes + TN_CRC;
}

/* Refuses the request in tn_request; the answer that may be asked for again stays. */
static void tn_refuse(uint32_t status) {
    uint8_t body[TN_HEADER + TN_CRC];
    tn_send(body, tn_finish(body, status, 0));
}

/* --- requests: each takes its payload, and returns the end of the answer's, or 0 and a status --- */

static uint8_t *tn_put_text(uint8_t *to, const char *text) {
    for (uint32_t i = 0; text[i] != '\0' && i < 60u; i++) {
        *to++ = (uint8_t)text[i];
    }
    *to++ = 0;
    return to;
}

static uint8_t *tn_hello(uint8_t *to) {
    const uint32_t stack = (uint32_t)((uintptr_t)tn_stack_top - (uintptr_t)tn_stack_bottom);
    to = tn_put(to, TN_PROTOCOL, 1);
    to = tn_put(to, tn_model.input_count, 1);
    to = tn_put(to, tn_model.output_count, 1);
    to = tn_put(to, tn_model.init != 0, 1);
    to = tn_put(to, TN_PAYLOAD, 2);
    to = tn_put(to, tn_model.layer_count, 2);
    to = tn_put(to, tn_port_hz(), 4);
    to = tn_put(to, tn_model.weights_crc, 4);
    to = tn_put(to, tn_model.arena_bytes, 4);
    to = tn_put(to, stack, 4);
    for (uint32_t i = 0; i < tn_model.input_count; i++) {
        to = tn_put(to, tn_model.inputs[i].bytes, 4);
    }
    for (uint32_t i = 0; i < tn_model.output_count; i++) {
        to = tn_put(to, tn_model.outputs[i].bytes, 4);
    }
    to = tn_put_text(to, tn_model.board);
    return tn_put_text(to, tn_model.name);
}

static void tn_init(void) {
    tn_fill_arena();
    tn_init_stack = tn_model.init != 0 ? tn_measured_init() : 0;
}

/* Where `count` bytes at `offset` of a port lie; 0 where they are not all of it. */
static uint8_t *tn_part(const tn_runner_port *ports, uint32_t ports_count, uint32_t index,
                        uint32_t offset, uint32_t count) {
    if (index >= ports_count || offset > ports[index].bytes ||
        count > ports[index].bytes - offset) {
        return 0;
    }
    return (uint8_t *)ports[index].locate(tn_model.arena) + offset;
}

static uint8_t *tn_run(uint8_t *to) {
    uint32_t cycles;
    for (uint32_t i = 0; i < tn_model.layer_count; i++) {
        tn_model.layer_cycles[i] = 0;
    }
    uint32_t stack = tn_measured_run(&cycles);
    stack = stack > tn_init_stack ? stack : tn_init_stack;
    to = tn_put(to, cycles, 4);
    to = tn_put(to, stack, 4);
    to = tn_put(to, (uint32_t)tn_arena_intact(), 4);
    return tn_put(to, tn_crc_of(tn_model.outputs, tn_model.output_count), 4);
}

/* Does what a request of `count` bytes of payload asks for. Returns a status, and the bytes of the
 * answer's payload. */
static uint32_t tn_serve(uint32_t kind, const uint8_t *payload, uint32_t count, uint32_t *bytes) {
    uint8_t *const to = tn_answer + TN_HEADER;
    uint8_t *end = to;
    const uint32_t first = count >= 4 ? tn_get(payload, 4) : 0;
    const uint32_t second = count >= 8 ? tn_get(payload + 4, 4) : 0;
    const uint32_t third = count >= 12 ? tn_get(payload + 8, 4) : 0;
    *bytes = 0;
    switch (kind) {
    case TN_HELLO:
        end = tn_hello(to);
        break;
    case TN_INIT:
        tn_init();
        break;
    case TN_WRITE: {
        if (count < 8) {
            return TN_BAD_LENGTH;
        }
        uint8_t *input = tn_part(tn_model.inputs, tn_model.input_count, first, second, count - 8u);
        if (input == 0) {
            return TN_OUT_OF_RANGE;
        }
        tn_copy(input, payload + 8, count - 8u);
        break;
    }
    case TN_RUN:
        if (count != 4) {
            return TN_BAD_LENGTH;
        }
        if (tn_crc_of(tn_model.inputs, tn_model.input_count) != first) {
            return TN_WRONG_INPUTS;
        }
        end = tn_run(to);
        break;
    case TN_READ: {
        if (count != 12) {
            return TN_BAD_LENGTH;
        }
        const uint8_t *output =
            tn_part(tn_model.outputs, tn_model.output_count, first, second, third);
        if (output == 0 || third > TN_PAYLOAD) {
            return TN_OUT_OF_RANGE;
        }
        tn_copy(to, output, third);
        end = to + third;
        break;
    }
    case TN_LAYERS:
        if (count != 8) {
            return TN_BAD_LENGTH;
        }
        if (first > tn_model.layer_count || second > tn_model.layer_count - first ||
            second > TN_PAYLOAD / 4) {
            return TN_OUT_OF_RANGE;
        }
        for (uint32_t i = first; i < first + second; i++) {
            end = tn_put(end, tn_model.layer_cycles[i], 4);
        }
        break;
    default:
        return TN_UNKNOWN_KIND;
    }
    *bytes = (uint32_t)(end - to);
    return TN_OK;
}

int tn_main(void) {
    tn_cycles_start();
    tn_init();
    for (;;) {
        const uint32_t count = tn_receive() - TN_HEADER;
        const uint32_t kind = tn_request[0];
        const uint32_t sequence = tn_get(tn_request + 2, 2);
        const uint32_t session = tn_get(tn_request + 4, 4);
        const int known = tn_has_session && session == tn_session;
        const uint32_t ahead = (sequence - tn_sequence) & 0xFFFFu;
        if (kind >= TN_ANSWER) { /* our own, come back as an echo */
            continue;
        }
        if (kind == TN_HELLO && !known) {
            tn_has_session = 1;
            tn_session = session;
        } else if (!known || (ahead > 1 && ahead < 0x8000u)) { /* what was before is forgotten */
            tn_refuse(TN_NO_SESSION);
            continue;
        } else if (ahead == 0) {
            tn_send(tn_answer, tn_answer_bytes);
            continue;
        } else if (ahead != 1) {
            continue;
        }
        uint32_t bytes = 0;
        const uint32_t status = tn_serve(kind, tn_request + TN_HEADER, count, &bytes);
        tn_answer_bytes = tn_finish(tn_answer, status, bytes);
        tn_sequence = sequence;
        tn_send(tn_answer, tn_answer_bytes);
    }
}
