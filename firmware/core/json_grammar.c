#include "core/json_grammar.h"

#include <stdint.h>
#include <string.h>

/* Where the reading stands. `end` is never read. */
struct place {
    const char *at, *end;
};

static bool take(struct place *place, char c)
{
    if (place->at == place->end || *place->at != c) {
        return false;
    }
    place->at++;
    return true;
}

static void skip_space(struct place *place)
{
    while (take(place, ' ') || take(place, '\t') || take(place, '\n') || take(place, '\r')) {
    }
}

static bool take_digits(struct place *place)
{
    const char *first = place->at;
    while (place->at < place->end && *place->at >= '0' && *place->at <= '9') {
        place->at++;
    }
    return place->at > first;
}

static bool take_number(struct place *place)
{
    (void)take(place, '-');
    if (!take(place, '0') && !take_digits(place)) {
        return false;
    }
    if (take(place, '.') && !take_digits(place)) {
        return false;
    }
    if (take(place, 'e') || take(place, 'E')) {
        (void)(take(place, '+') || take(place, '-'));
        return take_digits(place);
    }
    return true;
}

static bool take_word(struct place *place, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(place->end - place->at) < length || memcmp(place->at, word, length) != 0) {
        return false;
    }
    place->at += length;
    return true;
}

/* What follows a backslash. */
static bool take_escape(struct place *place)
{
    if (take(place, 'u')) {
        for (int i = 0; i < 4; i++, place->at++) {
            if (place->at == place->end || strchr("0123456789abcdefABCDEF", *place->at) == NULL ||
                *place->at == '\0') {
                return false;
            }
        }
        return true;
    }
    if (place->at == place->end || *place->at == '\0' || strchr("\"\\/bfnrt", *place->at) == NULL) {
        return false;
    }
    place->at++;
    return true;
}

static bool take_string(struct place *place)
{
    if (!take(place, '"')) {
        return false;
    }
    while (place->at < place->end && (unsigned char)*place->at >= 0x20) {
        if (take(place, '"')) {
            return true;
        }
        if (*place->at++ == '\\' && !take_escape(place)) {
            return false;
        }
    }
    return false;
}

static bool take_scalar(struct place *place)
{
    return take_string(place) || take_word(place, "true") || take_word(place, "false") ||
           take_word(place, "null") || take_number(place);
}

static bool take_key(struct place *place)
{
    skip_space(place);
    if (!take_string(place)) {
        return false;
    }
    skip_space(place);
    return take(place, ':');
}

/*
 * One bit a level says whether it is an object; level 0 is the text's own object. Each turn takes one value, or the opening of one, and then
 * all that closes behind it.
 */
bool core_json_grammar_object(const char *text, size_t length, unsigned depth_most)
{
    struct place place = {text, text + length};
    uint32_t objects = 1;
    unsigned depth = 1;
    skip_space(&place);
    if (!take(&place, '{')) {
        return false;
    }
    bool opened = true; /* just now: it may close at once, and no comma comes first */
    for (;;) {
        bool object = (objects >> (depth - 1) & 1) != 0;
        skip_space(&place);
        if (take(&place, object ? '}' : ']')) {
            opened = false;
            if (--depth == 0) {
                skip_space(&place);
                return place.at == place.end;
            }
            continue;
        }
        if (!opened && !take(&place, ',')) {
            return false;
        }
        if (object && !take_key(&place)) {
            return false;
        }
        skip_space(&place);
        bool opens_object = take(&place, '{');
        opened = opens_object || take(&place, '[');
        if (opened) {
            if (depth == depth_most) {
                return false;
            }
            objects = (objects & ~(1u << depth)) | (uint32_t)opens_object << depth;
            depth++;
        } else if (!take_scalar(&place)) {
            return false;
        }
    }
}
