/* font: letters for a small display, printable ASCII, seven dots high. Our own drawing. Pure. */
#ifndef COINSLOT_FIRMWARE_ESP32_FONT_H
#define COINSLOT_FIRMWARE_ESP32_FONT_H

#include <stdint.h>

#define FONT_HEIGHT 7
#define FONT_ROW    8 /* with the space to the next row */

struct font_letter {
    uint8_t width;             /* 1 to 5; after it comes a column of space */
    uint8_t rows[FONT_HEIGHT]; /* from above; bit 4 is the leftmost dot, whatever the width */
};

/* What is not printable ASCII looks like '?'. Digits are all of one width: a countdown stands still. */
struct font_letter font_letter(char c);

#endif
