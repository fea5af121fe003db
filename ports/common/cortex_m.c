/* cortex_m.c: reset, memory set-up, stack guard and fault reports of any Cortex-M.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The stack lies at the start of RAM. What guards it: on Armv7-M an MPU region without access just
 * below RAM, on Armv8-M main line the stack limit register, on Armv6-M nothing but the end of RAM
 * (an overflow locks the core up).
 */
#include "port.h"

#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__)
#define TN_STACK_MPU 1
#elif defined(__ARM_ARCH_8M_MAIN__)
#define TN_STACK_LIMIT 1
#endif

#define TN_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define TN_CPACR TN_REG(0xE000ED88u)
#define TN_SHCSR TN_REG(0xE000ED24u)
#define TN_CFSR TN_REG(0xE000ED28u)
#define TN_MMFAR TN_REG(0xE000ED34u)
#define TN_BFAR TN_REG(0xE000ED38u)
#define TN_MPU_TYPE TN_REG(0xE000ED90u)
#define TN_MPU_CTRL TN_REG(0xE000ED94u)
#define TN_MPU_RBAR TN_REG(0xE000ED9Cu)
#define TN_MPU_RASR TN_REG(0xE000EDA0u)

#define TN_GUARD_BYTES 0x100000u /* no access in [stack bottom - this, stack bottom) */

/* bits of CFSR */
#define TN_CFSR_MSTKERR (1u << 4)
#define TN_CFSR_MMARVALID (1u << 7)
#define TN_CFSR_STKERR (1u << 12)
#define TN_CFSR_BFARVALID (1u << 15)
#define TN_CFSR_STKOF (1u << 20)

extern uint32_t __tn_data_start[], __tn_data_end[], __tn_bss_start[], __tn_bss_end[];
extern const uint32_t __tn_data_load[];

_Noreturn void tn_reset(void);
_Noreturn void tn_fault_report(uint32_t sp);

uint32_t tn_fault_stack[64] __attribute__((aligned(8)));

/* --- stack guard -------------------------------------------------------------------------- */

static void tn_guard_stack(void) {
#if defined(TN_STACK_MPU)
    if ((TN_MPU_TYPE >> 8 & 0xFFu) != 0) {
        /* region 0, 1 MiB (size field 19), execute never, no access */
        TN_MPU_RBAR = ((uint32_t)(uintptr_t)tn_stack_bottom - TN_GUARD_BYTES) | 1u << 4;
        TN_MPU_RASR = 1u << 28 | 19u << 1 | 1u;
        TN_SHCSR |= 7u << 16;       /* MemManage, BusFault and UsageFault have their own handlers */
        TN_MPU_CTRL = 1u << 2 | 1u; /* the default map elsewhere; on */
        __asm volatile("dsb\n\tisb" ::: "memory");
    }
#elif defined(TN_STACK_LIMIT)
    TN_SHCSR |= 7u << 16;
    __asm volatile("msr msplim, %0" ::"r"(tn_stack_bottom) : "memory");
#endif
}

/* --- faults ------------------------------------------------------------------------------- */

/* Every fault and every unexpected exception: leave the (perhaps exhausted) stack, report, end. */
__attribute__((naked)) static void tn_fault(void) {
    __asm volatile(
#if defined(TN_STACK_LIMIT)
        "movs r2, #0\n\t"
        "msr msplim, r2\n\t"
#endif
        "mrs r0, msp\n\t"
        "ldr r2, =tn_fault_stack + 256\n\t"
        "mov sp, r2\n\t"
        "ldr r3, =tn_fault_report\n\t"
        "bx r3\n\t"
        ".pool");
}

_Noreturn void tn_fault_report(uint32_t sp) {
    const uint32_t bottom = (uint32_t)(uintptr_t)tn_stack_bottom;
    const uint32_t top = (uint32_t)(uintptr_t)tn_stack_top;
    uint32_t exception;
    int overflow = sp < bottom;
    __asm volatile("mrs %0, ipsr" : "=r"(exception));
#if defined(TN_STACK_MPU) || defined(TN_STACK_LIMIT)
    const uint32_t cfsr = TN_CFSR;
    if ((cfsr & (TN_CFSR_MSTKERR | TN_CFSR_STKERR | TN_CFSR_STKOF)) != 0) {
        overflow = 1;
    }
    if ((cfsr & TN_CFSR_MMARVALID) != 0 && bottom - TN_MMFAR <= TN_GUARD_BYTES) {
        overflow = 1;
    }
#endif
    if (overflow) {
        tn_print("thumbnet: stack overflow: the stack has ");
        tn_print_decimal(top - bottom);
        tn_print(" bytes\n");
        tn_port_exit(TN_EXIT_STACK_OVERFLOW);
    }
    tn_print("thumbnet: fault: exception ");
    tn_print_decimal(exception);
    if (sp >= bottom && sp <= top - 32u) {
        const uint32_t *frame = (const uint32_t *)(uintptr_t)sp;
        tn_print(" pc ");
        tn_print_hex(frame[6]);
        tn_print(" lr ");
        tn_print_hex(frame[5]);
    }
#if defined(TN_STACK_MPU) || defined(TN_STACK_LIMIT)
    tn_print(" cfsr ");
    tn_print_hex(cfsr);
    if ((cfsr & TN_CFSR_BFARVALID) != 0) {
        tn_print(" address ");
        tn_print_hex(TN_BFAR);
    } else if ((cfsr & TN_CFSR_MMARVALID) != 0) {
        tn_print(" address ");
        tn_print_hex(TN_MMFAR);
    }
#endif
    tn_print("\n");
    tn_port_exit(TN_EXIT_FAULT);
}

/* --- reset -------------------------------------------------------------------------------- */

_Noreturn void tn_reset(void) {
    const uint32_t *from = __tn_data_load;
    for (uint32_t *to = __tn_data_start; to < __tn_data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = __tn_bss_start; to < __tn_bss_end; to++) {
        *to = 0;
    }
#if defined(__ARM_FP)
    TN_CPACR |= 0xFu << 20; /* floating point is off at reset; only code built for it turns it on */
    __asm volatile("dsb\n\tisb" ::: "memory");
#endif
    tn_guard_stack();
    tn_port_init();
    tn_port_exit(tn_main());
}

/* Another file may have a SysTick handler of its own (cycles.c does). */
void tn_systick(void) __attribute__((weak, alias("tn_fault")));

typedef void (*tn_vector)(void);

__attribute__((section(".vectors"), used)) const tn_vector tn_vectors[16] = {
    (tn_vector)(uintptr_t)tn_stack_top,
    tn_reset,
    tn_fault, tn_fault, tn_fault, tn_fault, tn_fault, tn_fault, tn_fault,
    tn_fault, tn_fault, tn_fault, tn_fault, tn_fault, tn_fault, tn_systick,
};
