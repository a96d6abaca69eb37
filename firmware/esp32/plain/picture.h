/*
 * picture: what the meter shows, as the dots of a display of 128 x 64. Pure: the panel's driver has nothing to decide.
 * With a QR code the words stand left of it; without one they stand in the middle, as large as they fit.
 */
#ifndef COINSLOT_FIRMWARE_ESP32_PICTURE_H
#define COINSLOT_FIRMWARE_ESP32_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"

#define PICTURE_WIDTH  128
#define PICTURE_HEIGHT 64

/* As an SSD1306 takes it: pages of eight rows, a byte for each column of a page, bit 0 on top. */
struct picture {
    uint8_t pages[PICTURE_WIDTH * PICTURE_HEIGHT / 8];
};

#define PICTURE_CODE_VERSION                                                                                 \
    6 /* the largest that a payload of the core needs: 134 bytes at level L (ISO/IEC 18004, table 7) */
#define PICTURE_CODE_MOST 41 /* modules on a side of that */
#define PICTURE_QUIET     4  /* light modules around (ISO/IEC 18004, 5.3.8) */

struct picture_code {
    uint8_t size; /* modules on a side; 0: there is none */
    uint8_t dark[(PICTURE_CODE_MOST * PICTURE_CODE_MOST + 7) / 8];
};

void picture_code_clear(struct picture_code *code, uint8_t size);
void picture_code_darken(struct picture_code *code, unsigned x, unsigned y);

void picture_draw(struct picture *picture, const struct core_screen *screen, const struct picture_code *code);
bool picture_is_lit(const struct picture *picture, unsigned x, unsigned y);

#endif
