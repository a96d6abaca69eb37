/*
 * text: text that is put together in a buffer, without printf, which would cost a small machine more than all of core.
 * Pure. What does not fit is an assertion: every text here has a known longest form.
 */
#ifndef COINSLOT_FIRMWARE_CORE_TEXT_H
#define COINSLOT_FIRMWARE_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct core_text {
    char *bytes; /* always ends with a NUL */
    size_t size, length;
};

struct core_text core_text_in(char *bytes, size_t size);
void core_text_add(struct core_text *text, const char *string);
void core_text_add_number(struct core_text *text, uint64_t number);
void core_text_add_two_digits(struct core_text *text, unsigned number);
void core_text_add_hex(struct core_text *text, const uint8_t *bytes, size_t count);

/* Exactly 2 * count digits; `lower_only` refuses A to F. */
bool core_text_hex_decode(const char *digits, size_t length, bool lower_only, uint8_t *bytes, size_t count);
/* Copies a word of a-z, 0-9 and _; what is not such a character becomes '?', what is too long is cut. */
void core_text_copy_word(char *word, size_t size, const char *from);

#endif
