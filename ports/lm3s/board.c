/* board.c: clock and console of the Stellaris LM3S6965 evaluation board.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The 8 MHz crystal feeds the PLL, whose 200 MHz are divided by 4. The internal oscillator (12 MHz,
 * +-30 %) is no clock for a UART, but the core stays on it until the PLL tells that it is ready.
 * The counter behind that bit is clocked by the crystal: without one the core stays where it is,
 * and what is on the console may not be readable. Flash has no wait states up to 50 MHz. Sources:
 * LM3S6965 data sheet, System Control (clock control, initialization), GPIOs, UARTs. Left as reset
 * leaves them: RCC2, which is not used, and the internal oscillator, on and chosen.
 */
#include "common/console.h"
#include "lm3s.h"
#include "port.h"

#define TN_IOSC_HZ 12000000u
#define TN_CORE_HZ 50000000u
#define TN_BAUD 115200u

/* A turn of tn_delay takes 5 cycles or more; the internal oscillator makes 15.6 MHz at most. */
#define TN_CRYSTAL_TURNS 65536u /* 20 ms or more */
#define TN_PLL_TURNS 32768u     /* 10 ms or more; the PLL takes 0.6 */
#define TN_SETTLE_TURNS 4096u   /* 1 ms or more, at 12 MHz and less */
#define TN_FLUSH_TURNS 200000u  /* 20 ms or more at 50 MHz; a full FIFO takes 1.5 */

static uint32_t tn_hz = TN_IOSC_HZ;

static void tn_delay(uint32_t turns) {
    for (; turns != 0; turns--) {
        (void)SYSCTL_RCC;
    }
}

/* --- clock ----------------------------------------------------------------------------------- */

/* 1 when the core runs from the PLL. */
static int tn_clock_start(void) {
    /* TI's software raises the core's voltage on revision A2, where the PLL else is unreliable. */
    if ((SYSCTL_DID0 & (SYSCTL_DID0_MAJ | SYSCTL_DID0_MIN)) == 2u) {
        SYSCTL_LDOPCTL = SYSCTL_LDOPCTL_VADJ_2V75;
    }
    uint32_t rcc = SYSCTL_RCC & ~(SYSCTL_RCC_SYSDIV | SYSCTL_RCC_USESYSDIV | SYSCTL_RCC_XTAL |
                                  SYSCTL_RCC_OSCSRC | SYSCTL_RCC_IOSCDIS | SYSCTL_RCC_MOSCDIS);
    rcc |= SYSCTL_RCC_PWRDN | SYSCTL_RCC_BYPASS | SYSCTL_RCC_XTAL_8MHZ | SYSCTL_RCC_OSCSRC_IOSC;
    SYSCTL_RCC = rcc;
    tn_delay(TN_CRYSTAL_TURNS);

    SYSCTL_MISC = SYSCTL_MISC_PLLLMIS;
    rcc &= ~(SYSCTL_RCC_PWRDN | SYSCTL_RCC_OEN);
    SYSCTL_RCC = rcc;
    uint32_t left = TN_PLL_TURNS;
    while ((SYSCTL_RIS & SYSCTL_RIS_PLLLRIS) == 0) {
        if (--left == 0) {
            SYSCTL_RCC = rcc | SYSCTL_RCC_PWRDN | SYSCTL_RCC_MOSCDIS;
            return 0;
        }
    }

    rcc &= ~SYSCTL_RCC_OSCSRC; /* the PLL is in use only where the main oscillator is the source */
    SYSCTL_RCC = rcc;
    tn_delay(TN_SETTLE_TURNS);
    rcc |= SYSCTL_RCC_SYSDIV_4 | SYSCTL_RCC_USESYSDIV; /* well before the PLL's 200 MHz arrive */
    SYSCTL_RCC = rcc;
    tn_delay(TN_SETTLE_TURNS);
    SYSCTL_RCC = rcc & ~SYSCTL_RCC_BYPASS;
    tn_delay(16);
    return 1;
}

uint32_t tn_port_hz(void) { return tn_hz; }

/* --- console: UART0, PA0 and PA1, 115200 baud, 8N1 ------------------------------------------- */

static void tn_console_start(void) {
    SYSCTL_RCGC1 |= SYSCTL_RCGC1_UART0;
    SYSCTL_RCGC2 |= SYSCTL_RCGC2_GPIOA;
    tn_delay(16); /* a gate opens three clocks after it is written */
    GPIOA_AFSEL |= GPIOA_PIN_U0RX | GPIOA_PIN_U0TX;
    GPIOA_PUR |= GPIOA_PIN_U0RX; /* an open line is an idle line */
    GPIOA_DEN |= GPIOA_PIN_U0RX | GPIOA_PIN_U0TX;

    /* the divisor is hz / 16 / baud, in 1/64 */
    const uint32_t divisor = (tn_hz * 4u + TN_BAUD / 2u) / TN_BAUD;
    UART0_CTL = 0;
    UART0_IBRD = divisor / 64u;
    UART0_FBRD = divisor % 64u;
    UART0_LCRH = UART0_LCRH_WLEN_8 | UART0_LCRH_FEN; /* what makes the divisor count, too */
    UART0_CTL = UART0_CTL_RXE | UART0_CTL_TXE | UART0_CTL_UARTEN;
}

void tn_port_putc(char c) {
    for (uint32_t left = TN_FLUSH_TURNS; left != 0 && (UART0_FR & UART0_FR_TXFF) != 0; left--) {
    }
    UART0_DR = (uint8_t)c;
}

int tn_port_getc(void) {
    if ((UART0_FR & UART0_FR_RXFE) != 0) {
        return -1;
    }
    const uint32_t data = UART0_DR;
    if ((data & UART0_DR_OE) != 0) {
        UART0_ECR = 0;
    }
    return (int)(data & 0xFFu);
}

void tn_console_flush(void) {
    for (uint32_t left = TN_FLUSH_TURNS; left != 0 && (UART0_FR & UART0_FR_BUSY) != 0; left--) {
    }
}

/* --- start ----------------------------------------------------------------------------------- */

void tn_port_init(void) {
    if (tn_clock_start()) {
        tn_hz = TN_CORE_HZ;
    }
    tn_console_start();
}
