/* console.h: what a console on a UART gives beside port.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_CONSOLE_H
#define TN_CONSOLE_H

/* Returns when the last byte written has left the pin; gives up after some tens of milliseconds. */
void tn_console_flush(void);

#endif
