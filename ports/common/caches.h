/* caches.h: the caches of a Cortex-M7.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_CACHES_H
#define TN_CACHES_H

/* Invalidates both caches and turns them on; call it once, while they are off. */
void tn_caches_start(void);

#endif
