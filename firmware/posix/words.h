/* words: an event, as JSON has it, as a line for people. Pure. */
#ifndef COINSLOT_FIRMWARE_POSIX_WORDS_H
#define COINSLOT_FIRMWARE_POSIX_WORDS_H

#include <jansson.h>
#include <stdbool.h>

#define WORDS_SIZE 400

/* False: it is nothing that people need to read. */
bool words_say(const json_t *event, char text[WORDS_SIZE]);

#endif
