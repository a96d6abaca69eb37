#include "simulate/response.h"

#include <string.h>
#include <strings.h>

#define CHUNK_DIGITS_MOST 15 /* hexadecimal */

void response_init(struct response *response)
{
    *response = (struct response){.part = RESPONSE_STATUS_LINE};
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK" (RFC 9112, section 4). */
static bool read_status_line(struct response *response)
{
    const char *line = response->line;
    if (strncmp(line, "HTTP/1.", 7) != 0 || !is_digit(line[7]) || line[8] != ' ' || !is_digit(line[9]) ||
        !is_digit(line[10]) || !is_digit(line[11]) || (line[12] != ' ' && line[12] != '\0')) {
        return false;
    }
    response->closes = line[7] == '0';
    response->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    return response->status >= 100;
}

static bool read_decimal(const char *text, uint64_t *number)
{
    uint64_t read = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits + strspn(text + digits, " \t")] != '\0') {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        read = 10 * read + (uint64_t)(text[i] - '0');
    }
    *number = read;
    return true;
}

/* The value of the field `name`, if that is what the line holds. */
static const char *field_value(const char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':') {
        return NULL;
    }
    line += length + 1;
    return line + strspn(line, " \t");
}

static bool read_field(struct response *response)
{
    const char *value = field_value(response->line, "Content-Length");
    if (value != NULL) {
        response->counted = true;
        return read_decimal(value, &response->left_bytes);
    }
    value = field_value(response->line, "Transfer-Encoding");
    if (value != NULL) {
        response->chunked = strncasecmp(value, "chunked", 7) == 0;
        return response->chunked;
    }
    value = field_value(response->line, "Connection");
    if (value != NULL && strncasecmp(value, "close", 5) == 0) {
        response->closes = true;
    }
    return strchr(response->line, ':') != NULL;
}

/* What follows the head (RFC 9112, section 6.3). An interim 1xx counts as the answer, as it does with the
 * node. */
static enum response_part part_after_head(struct response *response)
{
    if (response->status < 200 || response->status == 204 || response->status == 304) {
        response->closes = response->closes || response->status < 200;
        return RESPONSE_WHOLE;
    }
    if (response->chunked) {
        return RESPONSE_CHUNK_SIZE;
    }
    if (response->counted) {
        return response->left_bytes > 0 ? RESPONSE_COUNTED_BODY : RESPONSE_WHOLE;
    }
    response->closes = true;
    return RESPONSE_OPEN_BODY;
}

static bool read_chunk_size(struct response *response)
{
    size_t digits = strspn(response->line, "0123456789abcdefABCDEF");
    if (digits == 0 || digits > CHUNK_DIGITS_MOST) {
        return false;
    }
    response->left_bytes = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = response->line[i];
        unsigned value = is_digit(c) ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
        response->left_bytes = response->left_bytes << 4 | value;
    }
    response->part = response->left_bytes > 0 ? RESPONSE_CHUNK_DATA : RESPONSE_TRAILER;
    return true;
}

/* NULL, or what is wrong with the line that is now whole. */
static const char *take_line(struct response *response)
{
    bool empty = response->line[0] == '\0';
    switch (response->part) {
    case RESPONSE_STATUS_LINE:
        response->part = RESPONSE_FIELDS;
        return read_status_line(response) ? NULL : "bad version";
    case RESPONSE_FIELDS:
        if (empty) {
            response->part = part_after_head(response);
            return NULL;
        }
        return read_field(response) ? NULL : "bad field";
    case RESPONSE_CHUNK_SIZE:
        return read_chunk_size(response) ? NULL : "bad chunk";
    case RESPONSE_CHUNK_END:
        response->part = RESPONSE_CHUNK_SIZE;
        return empty ? NULL : "bad chunk";
    case RESPONSE_TRAILER:
        response->part = empty ? RESPONSE_WHOLE : RESPONSE_TRAILER;
        return NULL;
    case RESPONSE_COUNTED_BODY:
    case RESPONSE_OPEN_BODY:
    case RESPONSE_CHUNK_DATA:
    case RESPONSE_WHOLE:
        break;
    }
    return "bad part";
}

static const char *feed_line_byte(struct response *response, char byte)
{
    bool head = response->part == RESPONSE_STATUS_LINE || response->part == RESPONSE_FIELDS;
    if (head && ++response->head_bytes > RESPONSE_HEAD_MOST) {
        return "header limit exceeded";
    }
    if (byte != '\n') {
        if (response->line_length < sizeof(response->line) - 1) {
            response->line[response->line_length++] = byte;
        }
        return NULL;
    }
    if (response->line_length > 0 && response->line[response->line_length - 1] == '\r') {
        response->line_length--;
    }
    response->line[response->line_length] = '\0';
    response->line_length = 0;
    return take_line(response);
}

/* Takes up to `count` bytes of body, and returns how many. */
static size_t feed_body(struct response *response, const char *bytes, size_t count)
{
    bool open = response->part == RESPONSE_OPEN_BODY;
    size_t taken = open || count < response->left_bytes ? count : (size_t)response->left_bytes;
    size_t room = sizeof(response->body) - 1 - response->body_length;
    size_t kept = taken < room ? taken : room;
    memcpy(response->body + response->body_length, bytes, kept);
    response->body_length += kept;
    if (!open) {
        response->left_bytes -= taken;
        if (response->left_bytes == 0) {
            response->part = response->part == RESPONSE_CHUNK_DATA ? RESPONSE_CHUNK_END : RESPONSE_WHOLE;
        }
    }
    return taken;
}

enum response_progress response_feed(struct response *response, const char *bytes, size_t count,
                                     const char **error)
{
    size_t at = 0;
    while (at < count && response->part != RESPONSE_WHOLE) {
        if (response->part == RESPONSE_COUNTED_BODY || response->part == RESPONSE_OPEN_BODY ||
            response->part == RESPONSE_CHUNK_DATA) {
            at += feed_body(response, bytes + at, count - at);
            continue;
        }
        *error = feed_line_byte(response, bytes[at++]);
        if (*error != NULL) {
            return RESPONSE_BAD;
        }
    }
    response->surplus = at < count;
    return response->part == RESPONSE_WHOLE ? RESPONSE_DONE : RESPONSE_MORE;
}

enum response_progress response_end(struct response *response, const char **error)
{
    if (response->part == RESPONSE_OPEN_BODY) {
        response->part = RESPONSE_WHOLE;
    }
    if (response->part == RESPONSE_WHOLE) {
        return RESPONSE_DONE;
    }
    *error = response->part == RESPONSE_STATUS_LINE ? "end of stream" : "partial message";
    return RESPONSE_BAD;
}

bool response_keeps_alive(const struct response *response)
{
    return response->part == RESPONSE_WHOLE && !response->closes && !response->surplus;
}
