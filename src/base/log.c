#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_SIZE 2048

static enum log_level least_level = LOG_LEVEL_INFO;
static enum log_format line_format = LOG_FORMAT_TEXT;

void log_set_up(enum log_level least, enum log_format format)
{
    least_level = least;
    line_format = format;
}

static const char *level_text(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_DEBUG:
        return "debug";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_WARN:
        return "warn";
    case LOG_LEVEL_ERROR:
        return "error";
    }
    return "?";
}

/* Appends `text` as the inside of a JSON string, or, in text form, with control characters made visible. */
static size_t append_escaped(char *line, size_t at, size_t size, const char *text, int json)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0' && at + 8 < size; c++) {
        if (json && (*c == '"' || *c == '\\')) {
            line[at++] = '\\';
            line[at++] = (char)*c;
        } else if (*c < 0x20 || *c == 0x7f) {
            at += (size_t)snprintf(line + at, size - at, "\\u%04x", *c);
        } else {
            line[at++] = (char)*c;
        }
    }
    return at;
}

static void write_line(enum log_level level, const char *module, const char *message)
{
    char when[CLOCK_TEXT_SIZE];
    clock_format_ms(clock_wall_ms(), when);
    char line[LINE_SIZE];
    size_t at;
    int json = line_format == LOG_FORMAT_JSON;
    if (json) {
        at = (size_t)snprintf(line, sizeof(line),
                              "{\"time\":\"%s\",\"level\":\"%s\",\"module\":\"%s\",\"message\":\"", when,
                              level_text(level), module);
    } else {
        at = (size_t)snprintf(line, sizeof(line), "%s %-5s %s: ", when, level_text(level), module);
    }
    at = append_escaped(line, at, sizeof(line) - 3, message, json);
    if (json) {
        line[at++] = '"';
        line[at++] = '}';
    }
    line[at++] = '\n';
    if (write(STDERR_FILENO, line, at) < 0) {
        return; /* nowhere left to say so */
    }
}

void log_write(enum log_level level, const char *module, const char *format, ...)
{
    if (level < least_level) {
        return;
    }
    char message[LINE_SIZE - 256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    write_line(level, module, message);
}

void log_die(const char *module, const char *format, ...)
{
    char message[LINE_SIZE - 256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    write_line(LOG_LEVEL_ERROR, module, message);
    _exit(1);
}

void *cs_alloc(unsigned long size)
{
    void *memory = calloc(1, size);
    if (memory == NULL) {
        log_die("base", "out of memory asking for %lu bytes; start again, nothing committed is lost", size);
    }
    return memory;
}

void *cs_realloc(void *old, unsigned long size)
{
    void *memory = realloc(old, size);
    if (memory == NULL) {
        log_die("base", "out of memory asking for %lu bytes; start again, nothing committed is lost", size);
    }
    return memory;
}

char *cs_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(cs_alloc(size), text, size);
}
