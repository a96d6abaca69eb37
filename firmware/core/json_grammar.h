/* json_grammar: whether a text is JSON (RFC 8259), no deeper than `depth_most`. No recursion, no memory. */
#ifndef COINSLOT_FIRMWARE_CORE_JSON_GRAMMAR_H
#define COINSLOT_FIRMWARE_CORE_JSON_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>

/* True: one object, and white space around it. `depth_most` is at most 31. */
bool core_json_grammar_object(const char *text, size_t length, unsigned depth_most);

#endif
