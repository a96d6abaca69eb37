/* The config reader: whatever stands in the file, it is read or refused with a reason, and no value leaves
 * its range. */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"

struct sample {
    char text[32];
    int64_t number;
    bool flag;
    int choice;
};

static const char *const CHOICES[] = {"auto", "always", "never", NULL};

#define KEY(section, name, type, member)                                                                     \
    section, name, type, offsetof(struct sample, member), sizeof(((struct sample *)0)->member)

static const struct conf_key KEYS[] = {
    {KEY("http", "host", CONF_TEXT, text), 0, 0, NULL, "127.0.0.1", "a text"},
    {KEY("http", "port", CONF_NUMBER, number), 0, 65535, NULL, "7090", "a number"},
    {KEY("legacy", "open", CONF_FLAG, flag), 0, 0, NULL, "no", "a flag"},
    {KEY("verify", "signature", CONF_CHOICE, choice), 0, 0, CHOICES, "auto", "a choice"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    assert(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    struct sample sample;
    char error[CONF_ERROR_SIZE];
    conf_set_defaults(KEYS, sizeof KEYS / sizeof KEYS[0], &sample);
    enum cs_err err = conf_read_text(text, KEYS, sizeof KEYS / sizeof KEYS[0], &sample, error);
    assert(err == CS_OK ? error[0] == '\0' : err == CS_EINVAL && strncmp(error, "config:", 7) == 0);
    assert(memchr(sample.text, '\0', sizeof sample.text) != NULL);
    assert(sample.number >= 0 && sample.number <= 65535);
    assert(sample.choice >= 0 && sample.choice <= 2);
    free(text);
    return 0;
}
