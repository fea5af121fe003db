/* meter.c: QEMU plugin that counts executed instructions and estimates Cortex-M4 cycles, by layer.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *   cc -O2 -shared -fPIC -o meter.so meter.c
 *   qemu-system-arm ... -plugin ./meter.so,begin=ADDR,end=ADDR,img=FLASH.bin[@BASE],out=FILE
 *                       [,layers=FILE]
 *
 * begin, end   entry addresses of two empty functions. A region starts behind the translation block
 *              (TB) at `begin` and ends before the one at `end`.
 * img          the flash image; BASE is hexadecimal, 0 if absent. Instruction bytes are read from it
 *              because QEMU 7.2 misreports some instructions at the end of a page.
 * out          gets one JSON line for each region:
 *              {"instructions":N,"cycles":N,"layers":[{"instructions":N,"cycles":N},...]}
 * layers       one entry address a line. What is executed from the entry of layer k until the entry
 *              of another one counts for k; what comes before any entry is in the totals only.
 *
 * Cycle model: Armv7-M code on a Cortex-M4 (Arm DDI 0439, table 3-1) with memory that never waits.
 *   one cycle       data processing, multiplication of any width, bit fields, hints, IT, and every
 *                   instruction that an IT block skips
 *   division        6 (the manual says 2 to 12)
 *   one word        load or store 2, or 1 straight after another such instruction
 *   several words   load or store 1 + words, and the instruction after it pays 2 again
 *   branch          1, and 2 more when taken: when the next TB does not start where this one ends.
 *                   TBB and TBH 2, and 2 more. Loads of the PC pay like loads, and 2 more
 *   floating point  1; two-register transfers 2; multiply-accumulate 3; division, square root 14
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what is used of QEMU's plugin interface, version 1 ------------------------------------ */

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { TN_NO_REGISTERS = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t,
                                                            struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
                                          void (*callback)(unsigned, void *), int flags,
                                          void *userdata);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id,
                                    void (*callback)(qemu_plugin_id_t, void *), void *userdata);

#define TN_EXPORT __attribute__((visibility("default")))
TN_EXPORT int qemu_plugin_version = 1;
TN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                  char **argv);

/* --- cost of one instruction ----------------------------------------------------------------- */

enum {
    TN_FIXED,    /* `cycles` */
    TN_WORD,     /* one word to or from memory */
    TN_LIST_16,  /* 1 + registers in the low byte */
    TN_LIST_17,  /* the same with LR or PC in bit 8 */
    TN_LIST_32,  /* 1 + registers in the second halfword */
    TN_LIST_FP,  /* 1 + words in the low byte of the second halfword */
    TN_FP_SINGLE /* VLDR, VSTR: one word, or two of a double */
};

/* An instruction is of the first class whose bits it has: first halfword under mask1, second under
 * mask2. Instructions that no class names take one cycle. */
typedef struct {
    uint16_t mask1, value1, mask2, value2;
    uint8_t kind, cycles;
} tn_class;

static const tn_class tn_narrow[] = {
    {0xF800, 0x4800, 0, 0, TN_WORD, 0},    /* LDR literal */
    {0xF000, 0x5000, 0, 0, TN_WORD, 0},    /* register offset */
    {0xE000, 0x6000, 0, 0, TN_WORD, 0},    /* word and byte, immediate offset */
    {0xF000, 0x8000, 0, 0, TN_WORD, 0},    /* halfword, immediate offset */
    {0xF000, 0x9000, 0, 0, TN_WORD, 0},    /* relative to SP */
    {0xFE00, 0xB400, 0, 0, TN_LIST_17, 0}, /* PUSH */
    {0xFE00, 0xBC00, 0, 0, TN_LIST_17, 0}, /* POP */
    {0xF000, 0xC000, 0, 0, TN_LIST_16, 0}, /* STM, LDM */
};

static const tn_class tn_wide[] = {
    /* floating point and other coprocessor space: first the loads and stores */
    {0xFFE0, 0xEC40, 0, 0, TN_FIXED, 2},    /* VMOV of two core registers */
    {0xEF20, 0xED00, 0, 0, TN_FP_SINGLE, 0},
    {0xEE00, 0xEC00, 0, 0, TN_LIST_FP, 0},  /* VLDM, VSTM, VPUSH, VPOP */
    {0xEC00, 0xEC00, 0x0010, 0x0010, TN_FIXED, 1}, /* VMOV, VMRS, VMSR */
    {0xECA0, 0xEC00, 0, 0, TN_FIXED, 3},    /* VMLA, VMLS, VNMLA, VNMLS (bits 23, 21: 0, 0) */
    {0xECB0, 0xEC80, 0, 0, TN_FIXED, 14},   /* VDIV (bits 23, 21, 20: 1, 0, 0) */
    {0xECB0, 0xEC90, 0, 0, TN_FIXED, 3},    /* VFNMA, VFNMS */
    {0xECB0, 0xECA0, 0, 0, TN_FIXED, 3},    /* VFMA, VFMS */
    {0xECBF, 0xECB1, 0x00C0, 0x00C0, TN_FIXED, 14}, /* VSQRT */
    {0xEC00, 0xEC00, 0, 0, TN_FIXED, 1},
    /* loads and stores */
    {0xFE40, 0xE800, 0, 0, TN_LIST_32, 0},            /* LDM, STM, PUSH, POP */
    {0xFFF0, 0xE8D0, 0xF0E0, 0xF000, TN_FIXED, 2},    /* TBB, TBH */
    {0xFF60, 0xE840, 0, 0, TN_WORD, 0},               /* exclusive: bits 8 and 5 clear */
    {0xFE40, 0xE840, 0, 0, TN_FIXED, 3},              /* LDRD, STRD */
    {0xFE70, 0xF850, 0, 0, TN_WORD, 0},               /* LDR, also of the PC */
    {0xFE10, 0xF810, 0xF000, 0xF000, TN_FIXED, 1},    /* PLD and other hints */
    {0xFE00, 0xF800, 0, 0, TN_WORD, 0},
    /* division */
    {0xFFD0, 0xFB90, 0, 0, TN_FIXED, 6}, /* SDIV, UDIV */
};

typedef struct {
    uint32_t cycles; /* after an instruction that is no word access */
    int word;
} tn_cost;

static uint32_t tn_bits(uint32_t value) { return (uint32_t)__builtin_popcount(value); }

static tn_cost tn_cost_of(uint16_t first, uint16_t second, size_t size) {
    const tn_class *list = size == 2 ? tn_narrow : tn_wide;
    const size_t count = size == 2 ? sizeof tn_narrow / sizeof *tn_narrow
                                   : sizeof tn_wide / sizeof *tn_wide;
    for (size_t i = 0; i < count; i++) {
        const tn_class *c = &list[i];
        if ((first & c->mask1) != c->value1 || (second & c->mask2) != c->value2) {
            continue;
        }
        switch (c->kind) {
        case TN_WORD:
            return (tn_cost){2, 1};
        case TN_LIST_16:
            return (tn_cost){1 + tn_bits(first & 0xFFu), 0};
        case TN_LIST_17:
            return (tn_cost){1 + tn_bits(first & 0x1FFu), 0};
        case TN_LIST_32:
            return (tn_cost){1 + tn_bits(second), 0};
        case TN_LIST_FP:
            return (tn_cost){1 + (second & 0xFFu), 0};
        case TN_FP_SINGLE:
            return (second >> 8 & 15u) == 11 ? (tn_cost){3, 0} : (tn_cost){2, 1};
        default:
            return (tn_cost){c->cycles, 0};
        }
    }
    return (tn_cost){1, 0};
}

/* --- blocks and regions ---------------------------------------------------------------------- */

enum { TN_MAX_LAYERS = 4096, TN_TAKEN = 2 };

typedef struct {
    uint64_t start, end; /* addresses; end is behind the last instruction */
    uint32_t instructions, cycles;
    int first_word, last_word; /* the first, last instruction accesses one word */
    int marker;                /* 1 begin, 2 end */
    int layer;                 /* whose entry this is, or -1 */
} tn_block;

typedef struct {
    uint64_t instructions, cycles;
} tn_count;

static uint64_t tn_begin = UINT64_MAX, tn_end = UINT64_MAX;
static uint8_t *tn_image;
static uint64_t tn_image_size, tn_image_base;
static FILE *tn_out;
static uint64_t tn_layer_entry[TN_MAX_LAYERS];
static tn_count tn_layer_count[TN_MAX_LAYERS + 1]; /* [tn_layers]: before any layer */
static int tn_layers;

static int tn_counting;
static int tn_current; /* layer */
static const tn_block *tn_previous;

static void tn_region_end(void) {
    tn_count total = {0, 0};
    for (int i = 0; i <= tn_layers; i++) {
        total.instructions += tn_layer_count[i].instructions;
        total.cycles += tn_layer_count[i].cycles;
    }
    fprintf(tn_out, "{\"instructions\":%" PRIu64 ",\"cycles\":%" PRIu64 ",\"layers\":[",
            total.instructions, total.cycles);
    for (int i = 0; i < tn_layers; i++) {
        fprintf(tn_out, "%s{\"instructions\":%" PRIu64 ",\"cycles\":%" PRIu64 "}", i ? "," : "",
                tn_layer_count[i].instructions, tn_layer_count[i].cycles);
    }
    fprintf(tn_out, "]}\n");
    fflush(tn_out);
}

static void tn_executed(unsigned cpu, void *userdata) {
    const tn_block *block = userdata;
    (void)cpu;
    if (__builtin_expect(block->marker != 0, 0)) {
        if (block->marker == 1) {
            memset(tn_layer_count, 0, sizeof tn_layer_count);
            tn_counting = 1;
        } else if (tn_counting) {
            tn_counting = 0;
            tn_region_end();
        }
        tn_current = tn_layers;
        tn_previous = NULL;
        return;
    }
    if (!tn_counting) {
        return;
    }
    if (tn_previous != NULL) {
        tn_count *count = &tn_layer_count[tn_current];
        if (tn_previous->end != block->start) {
            count->cycles += TN_TAKEN;
        } else if (tn_previous->last_word && block->first_word) {
            count->cycles--; /* a run of word accesses that the end of a TB cut */
        }
    }
    if (block->layer >= 0) {
        tn_current = block->layer;
    }
    tn_layer_count[tn_current].instructions += block->instructions;
    tn_layer_count[tn_current].cycles += block->cycles;
    tn_previous = block;
}

static void tn_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    tn_block *block = calloc(1, sizeof *block); /* lives as long as QEMU: TBs may run at any time */
    const size_t count = qemu_plugin_tb_n_insns(tb);
    int after_word = 0;
    (void)id;
    if (block == NULL) {
        abort();
    }
    block->instructions = (uint32_t)count;
    block->layer = -1;
    for (size_t i = 0; i < count; i++) {
        const struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const uint64_t address = qemu_plugin_insn_vaddr(insn);
        size_t size = qemu_plugin_insn_size(insn);
        uint16_t half[2] = {0, 0};
        if (address >= tn_image_base && address - tn_image_base + 4 <= tn_image_size) {
            memcpy(half, tn_image + (address - tn_image_base), sizeof half);
            size = half[0] >= 0xE800u ? 4 : 2;
        } else {
            memcpy(half, qemu_plugin_insn_data(insn), size < 4 ? size : 4);
        }
        const tn_cost cost = tn_cost_of(half[0], half[1], size);
        block->cycles += cost.word && after_word ? 1 : cost.cycles;
        after_word = cost.word;
        if (i == 0) {
            block->start = address;
            block->first_word = cost.word;
        }
        block->last_word = cost.word;
        block->end = address + size;
    }
    block->marker = block->start == tn_begin ? 1 : block->start == tn_end ? 2 : 0;
    for (int i = 0; i < tn_layers; i++) {
        if (tn_layer_entry[i] == block->start) {
            block->layer = i;
        }
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, tn_executed, TN_NO_REGISTERS, block);
}

static void tn_finished(qemu_plugin_id_t id, void *userdata) {
    (void)id;
    (void)userdata;
    fclose(tn_out); /* a region that is still open here is not reported */
}

/* --- arguments ------------------------------------------------------------------------------- */

static int tn_read_image(char *name) {
    char *at = strrchr(name, '@');
    if (at != NULL) {
        *at = '\0';
        tn_image_base = strtoull(at + 1, NULL, 16);
    }
    FILE *file = fopen(name, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        return 0;
    }
    const long size = ftell(file);
    rewind(file);
    if (size <= 0 || (tn_image = malloc((size_t)size)) == NULL) {
        return 0;
    }
    tn_image_size = (uint64_t)size;
    const size_t got = fread(tn_image, 1, (size_t)size, file);
    fclose(file);
    return got == (size_t)size;
}

static int tn_read_layers(const char *name) {
    char line[64];
    FILE *file = fopen(name, "r");
    if (file == NULL) {
        return 0;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (tn_layers == TN_MAX_LAYERS) {
            fclose(file);
            return 0;
        }
        tn_layer_entry[tn_layers++] = strtoull(line, NULL, 0) & ~(uint64_t)1;
    }
    fclose(file);
    return 1;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        int good = value != NULL;
        if (good) {
            *value++ = '\0';
            if (strcmp(argv[i], "begin") == 0) {
                tn_begin = strtoull(value, NULL, 0) & ~(uint64_t)1;
            } else if (strcmp(argv[i], "end") == 0) {
                tn_end = strtoull(value, NULL, 0) & ~(uint64_t)1;
            } else if (strcmp(argv[i], "img") == 0) {
                good = tn_read_image(value);
            } else if (strcmp(argv[i], "out") == 0) {
                good = (tn_out = fopen(value, "w")) != NULL;
            } else if (strcmp(argv[i], "layers") == 0) {
                good = tn_read_layers(value);
            } else {
                good = 0;
            }
        }
        if (!good) {
            fprintf(stderr, "meter: bad argument %s\n", argv[i]);
            return 1;
        }
    }
    if (tn_out == NULL) {
        fprintf(stderr, "meter: out= is missing\n");
        return 1;
    }
    tn_current = tn_layers;
    qemu_plugin_register_vcpu_tb_trans_cb(id, tn_translated);
    qemu_plugin_register_atexit_cb(id, tn_finished, NULL);
    return 0;
}
