#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void clock_format_ms(int64_t wall_ms, char text[CLOCK_TEXT_SIZE])
{
    const int64_t first = -62167219200000, last = 253402300799999; /* 0000-01-01 to 9999-12-31 */
    if (wall_ms < first) {
        wall_ms = first;
    }
    if (wall_ms > last) {
        wall_ms = last;
    }
    int64_t ms = wall_ms % 1000;
    time_t seconds = (time_t)(wall_ms / 1000);
    if (ms < 0) {
        ms += 1000;
        seconds -= 1;
    }
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(text, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    /* glibc prints years below 1000 without their leading zeros. */
    if (n < 19) {
        memmove(text + (19 - n), text, n + 1);
        memset(text, '0', 19 - n);
    }
    snprintf(text + 19, CLOCK_TEXT_SIZE - 19, ".%03dZ", (int)(ms & 0x3ff));
}

/* Reads exactly `count` digits. */
static int read_digits(const char **at, int count, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9') {
            return -1;
        }
        *value = *value * 10 + (c - '0');
    }
    *at += count;
    return 0;
}

static int read_char(const char **at, const char *allowed)
{
    if (**at == '\0' || strchr(allowed, **at) == NULL) {
        return -1;
    }
    return *(*at)++;
}

static int parse_fraction(const char **at, int *ms)
{
    *ms = 0;
    if (**at != '.') {
        return 0;
    }
    (*at)++;
    int digits = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++, digits++) {
        if (digits < 3) {
            *ms = *ms * 10 + (**at - '0');
        }
    }
    for (int i = digits; i < 3; i++) {
        *ms *= 10;
    }
    return digits == 0 || digits > 9 ? -1 : 0;
}

static int parse_offset(const char **at, int *minutes)
{
    *minutes = 0;
    int sign = read_char(at, "Zz+-");
    if (sign < 0) {
        return -1;
    }
    if (sign == '+' || sign == '-') {
        int hours, rest;
        if (read_digits(at, 2, &hours) || read_char(at, ":") < 0 || read_digits(at, 2, &rest) || hours > 23 ||
            rest > 59) {
            return -1;
        }
        *minutes = (sign == '+' ? 1 : -1) * (hours * 60 + rest);
    }
    return 0;
}

int clock_parse_ms(const char *text, int64_t *wall_ms)
{
    size_t length = strlen(text);
    if (length > 0 && length <= 15 && strspn(text, "0123456789") == length) {
        *wall_ms = strtoll(text, NULL, 10);
        return 0;
    }
    const char *at = text;
    struct tm tm = {0};
    int ms, minutes;
    if (read_digits(&at, 4, &tm.tm_year) || read_char(&at, "-") < 0 || read_digits(&at, 2, &tm.tm_mon) ||
        read_char(&at, "-") < 0 || read_digits(&at, 2, &tm.tm_mday) || read_char(&at, "Tt ") < 0 ||
        read_digits(&at, 2, &tm.tm_hour) || read_char(&at, ":") < 0 || read_digits(&at, 2, &tm.tm_min) ||
        read_char(&at, ":") < 0 || read_digits(&at, 2, &tm.tm_sec) || parse_fraction(&at, &ms) ||
        parse_offset(&at, &minutes) || *at != '\0') {
        return -1;
    }
    struct tm given = tm;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59) {
        return -1;
    }
    time_t seconds = timegm(&tm);
    if (tm.tm_mday != given.tm_mday || tm.tm_mon + 1 != given.tm_mon) {
        return -1; /* the 31st of April, or the 13th month */
    }
    *wall_ms = ((int64_t)seconds - (int64_t)minutes * 60) * 1000 + ms;
    return 0;
}
