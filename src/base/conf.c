#include "base/conf.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define FILE_MOST_BYTES (1 << 20)
#define BLANKS          " \t\r\v\f"
#define REASON_SIZE     CONF_REASON_SIZE

struct parse {
    const struct conf_key *keys;
    size_t count;
    void *target;
    bool *seen; /* a flag a key */
    const char *at;
    int line; /* the line that inih holds at this moment */
    bool failed;
    char reason[REASON_SIZE];
};

__attribute__((format(printf, 2, 3))) static void fail(struct parse *parse, const char *format, ...)
{
    if (parse->failed) {
        return; /* the first error is the one to mend */
    }
    parse->failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parse->reason, sizeof parse->reason, format, arguments);
    va_end(arguments);
}

/* ---- values ---------------------------------------------------------------------------------------- */

static bool set_number(const struct conf_key *key, const char *value, void *member, char why[REASON_SIZE])
{
    assert(key->size == sizeof(int64_t));
    errno = 0;
    char *end;
    size_t digits = strspn(value[0] == '-' ? value + 1 : value, "0123456789");
    long long number = strtoll(value, &end, 10);
    if (digits == 0 || *end != '\0' || errno != 0 || number < key->least || number > key->most) {
        snprintf(why, REASON_SIZE, "write a whole number from %lld to %lld", (long long)key->least,
                 (long long)key->most);
        return false;
    }
    int64_t stored = number;
    memcpy(member, &stored, sizeof stored);
    return true;
}

static bool set_flag(const struct conf_key *key, const char *value, void *member, char why[REASON_SIZE])
{
    static const char *const YES[] = {"yes", "true", "on", "1"}, *const NO[] = {"no", "false", "off", "0"};
    assert(key->size == sizeof(bool));
    for (size_t i = 0; i < sizeof YES / sizeof YES[0]; i++) {
        bool yes = strcmp(value, YES[i]) == 0;
        if (yes || strcmp(value, NO[i]) == 0) {
            memcpy(member, &yes, sizeof yes);
            return true;
        }
    }
    snprintf(why, REASON_SIZE, "write yes or no");
    return false;
}

static void list_choices(const struct conf_key *key, char *text, size_t size)
{
    size_t length = 0;
    text[0] = '\0';
    for (const char *const *choice = key->choices; *choice != NULL && length < size; choice++) {
        const char *joint = choice == key->choices ? "" : choice[1] == NULL ? " or " : ", ";
        length += (size_t)snprintf(text + length, size - length, "%s%s", joint, *choice);
    }
}

static bool set_choice(const struct conf_key *key, const char *value, void *member, char why[REASON_SIZE])
{
    assert(key->size == sizeof(int));
    for (int i = 0; key->choices[i] != NULL; i++) {
        if (strcmp(value, key->choices[i]) == 0) {
            memcpy(member, &i, sizeof i);
            return true;
        }
    }
    char choices[REASON_SIZE / 2];
    list_choices(key, choices, sizeof choices);
    snprintf(why, REASON_SIZE, "write %s", choices);
    return false;
}

static bool set_text(const struct conf_key *key, const char *value, void *member, char why[REASON_SIZE])
{
    size_t length = strlen(value);
    if (length >= key->size) {
        snprintf(why, REASON_SIZE, "it is longer than %zu bytes", key->size - 1);
        return false;
    }
    /* Both would be taken for part of the value; hardly anybody means that. */
    if (length > 0 && (value[0] == '"' || value[0] == '\'') && value[length - 1] == value[0]) {
        snprintf(why, REASON_SIZE, "write it without quotes");
        return false;
    }
    if (strstr(value, " #") != NULL || strstr(value, "\t#") != NULL) {
        snprintf(why, REASON_SIZE, "put the comment on a line of its own, or begin it with ;");
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f) {
            snprintf(why, REASON_SIZE, "take out the control character (byte %zu of the value)", i + 1);
            return false;
        }
    }
    memset(member, 0, key->size);
    memcpy(member, value, length);
    return true;
}

bool conf_set(const struct conf_key *key, const char *value, void *target, char why[CONF_REASON_SIZE])
{
    void *member = (char *)target + key->offset;
    switch (key->type) {
    case CONF_TEXT:
        return set_text(key, value, member, why);
    case CONF_NUMBER:
        return set_number(key, value, member, why);
    case CONF_FLAG:
        return set_flag(key, value, member, why);
    case CONF_CHOICE:
        return set_choice(key, value, member, why);
    }
    return false;
}

void conf_set_defaults(const struct conf_key *keys, size_t count, void *target)
{
    for (size_t i = 0; i < count; i++) {
        char why[REASON_SIZE];
        bool parsed = conf_set(&keys[i], keys[i].fallback, target, why);
        assert(parsed);
        (void)parsed;
    }
}

/* ---- lines ----------------------------------------------------------------------------------------- */

static bool section_known(const struct parse *parse, const char *name, size_t length)
{
    for (size_t i = 0; i < parse->count; i++) {
        if (strlen(parse->keys[i].section) == length && memcmp(parse->keys[i].section, name, length) == 0) {
            return true;
        }
    }
    return false;
}

/* inih says nothing of a section without keys, and ignores what stands behind the bracket. */
static void check_section(struct parse *parse, const char *line)
{
    size_t length = strcspn(line + 1, "]");
    if (line[1 + length] == '\0') {
        fail(parse, "the section's name has no closing bracket: write [name]");
        return;
    }
    if (!section_known(parse, line + 1, length)) {
        fail(parse, "there is no section [%.*s]: --help says how to print all there are", (int)length,
             line + 1);
        return;
    }
    const char *rest = line + 1 + length + 1;
    rest += strspn(rest, BLANKS "\n");
    if (*rest != '\0' && *rest != ';' && *rest != '#') {
        fail(parse, "write what follows the section's name on a line of its own");
    }
}

/*
 * inih's reader: like fgets, but a line that does not fit is an error, where fgets would make two of it, and
 * blanks before a key do not make it a second line of the key above.
 */
static char *read_line(char *line, int size, void *context)
{
    struct parse *parse = context;
    if (parse->failed || *parse->at == '\0') {
        return NULL;
    }
    const char *start = parse->at + (parse->line == 0 && strncmp(parse->at, "\xef\xbb\xbf", 3) == 0 ? 3 : 0);
    start += strspn(start, BLANKS);
    size_t length = strcspn(start, "\n");
    parse->at = start + length + (start[length] == '\n' ? 1 : 0);
    parse->line++;
    if (length + 2 > (size_t)size) {
        fail(parse, "the line is longer than %d bytes: shorten it", size - 2);
        return NULL;
    }
    memcpy(line, start, length);
    line[length] = '\n';
    line[length + 1] = '\0';
    if (line[0] == '[') {
        check_section(parse, line);
    }
    return parse->failed ? NULL : line;
}

static int take_value(void *context, const char *section, const char *name, const char *value)
{
    struct parse *parse = context;
    if (parse->failed) {
        return 0;
    }
    if (section[0] == '\0') {
        fail(parse, "%.60s stands before any section: begin with a line like [%s]", name,
             parse->keys[0].section);
        return 0;
    }
    for (size_t i = 0; i < parse->count; i++) {
        const struct conf_key *key = &parse->keys[i];
        if (strcmp(key->section, section) != 0 || strcmp(key->name, name) != 0) {
            continue;
        }
        if (parse->seen[i]) {
            fail(parse, "%s in [%s] is set twice: take one of them out", name, section);
            return 0;
        }
        parse->seen[i] = true;
        char why[REASON_SIZE];
        if (!conf_set(key, value, parse->target, why)) {
            fail(parse, "%s in [%s] cannot be \"%.40s\": %s", name, section, value, why);
            return 0;
        }
        return 1;
    }
    fail(parse, "there is no key %.60s in [%s]: --help says how to print all there are", name, section);
    return 0;
}

static enum cs_err read_named(const char *file, const char *text, const struct conf_key *keys, size_t count,
                              void *target, char error[CONF_ERROR_SIZE])
{
    struct parse parse = {.keys = keys, .count = count, .target = target, .at = text};
    parse.seen = cs_alloc(count * sizeof *parse.seen + 1);
    int first_bad = ini_parse_stream(read_line, &parse, take_value, &parse);
    free(parse.seen);
    if (first_bad < 0) {
        log_die("conf", "out of memory while reading the config");
    }
    if (!parse.failed && first_bad > 0) {
        /* The one thing that inih refuses by itself. It goes on to the end, so its line is not ours. */
        parse.line = first_bad;
        fail(&parse, "this is neither a [section], nor `key = value`, nor a comment that begins with # or ;");
    }
    if (!parse.failed) {
        error[0] = '\0';
        return CS_OK;
    }
    /* inih may have met a line of its own dislike before the one that stopped us. */
    if (first_bad > 0 && first_bad < parse.line) {
        parse.line = first_bad;
        parse.failed = false;
        fail(&parse, "this is neither a [section], nor `key = value`, nor a comment that begins with # or ;");
    }
    size_t length = strlen(file);
    const char *shown = length > 60 ? file + length - 60 : file; /* the end of a long path says more */
    snprintf(error, CONF_ERROR_SIZE, "%s:%d: %s", shown, parse.line, parse.reason);
    return CS_EINVAL;
}

enum cs_err conf_read_text(const char *text, const struct conf_key *keys, size_t count, void *target,
                           char error[CONF_ERROR_SIZE])
{
    return read_named("config", text, keys, count, target, error);
}

/* The whole file and a NUL, owned by the caller; NULL with errno set when it cannot be read, 0 when it is too
 * big. */
static char *load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return NULL;
    }
    char *text = cs_alloc(FILE_MOST_BYTES + 1);
    errno = 0;
    *size = fread(text, 1, FILE_MOST_BYTES + 1, file);
    int why = ferror(file) ? (errno != 0 ? errno : EIO) : 0;
    fclose(file);
    if (why != 0 || *size > FILE_MOST_BYTES) {
        free(text);
        errno = why;
        return NULL;
    }
    text[*size] = '\0';
    return text;
}

enum cs_err conf_read_file(const char *path, const struct conf_key *keys, size_t count, void *target,
                           char error[CONF_ERROR_SIZE])
{
    size_t size;
    char *text = load(path, &size);
    if (text == NULL) {
        snprintf(error, CONF_ERROR_SIZE, "cannot read the config file %.120s: %s", path,
                 errno == 0 ? "it is larger than 1 MB" : strerror(errno));
        return CS_EIO;
    }
    enum cs_err err;
    if (memchr(text, '\0', size) != NULL) {
        snprintf(error, CONF_ERROR_SIZE, "%.160s: a NUL byte is in it: it is no text file", path);
        err = CS_EINVAL;
    } else {
        err = read_named(path, text, keys, count, target, error);
    }
    free(text);
    return err;
}

/* ---- printing -------------------------------------------------------------------------------------- */

static void print_allowed(const struct conf_key *key, FILE *out)
{
    char choices[REASON_SIZE];
    switch (key->type) {
    case CONF_TEXT:
        break;
    case CONF_NUMBER:
        fprintf(out, " (%lld to %lld)", (long long)key->least, (long long)key->most);
        break;
    case CONF_FLAG:
        fprintf(out, " (yes or no)");
        break;
    case CONF_CHOICE:
        list_choices(key, choices, sizeof choices);
        fprintf(out, " (%s)", choices);
        break;
    }
}

void conf_print(const struct conf_key *keys, size_t count, FILE *out)
{
    const char *section = "";
    for (size_t i = 0; i < count; i++) {
        if (strcmp(section, keys[i].section) != 0) {
            section = keys[i].section;
            fprintf(out, "%s[%s]\n", i == 0 ? "" : "\n", section);
        }
        fprintf(out, "# %s", keys[i].help);
        print_allowed(&keys[i], out);
        fprintf(out, "\n%s =%s%s\n", keys[i].name, keys[i].fallback[0] == '\0' ? "" : " ", keys[i].fallback);
    }
}
