#include "lib/recorded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct recorded RECORDED[RECORDED_COUNT] = {
    {"callback-001.raw", BLOCK_SEND, true, "3000000000000000000000000000000"},
    {"callback-002.raw", BLOCK_STATE, true, "1000000000000000000000000000000"},
    {"callback-003.raw", BLOCK_STATE, true, "500000"},
    {"callback-004.raw", BLOCK_STATE, false, "1000000000000000000000000000000"},
    {"callback-005.raw", BLOCK_STATE, false, "500000"},
    {"callback-006.raw", BLOCK_STATE, false, "0"},
    {"callback-007.raw", BLOCK_STATE, true, "500000"},
    {"callback-008.raw", BLOCK_STATE, true, "1"},
    {"callback-009.raw", BLOCK_STATE, true, "1000000000000000000000000000000"},
    {"callback-010.raw", BLOCK_STATE, false, "0"},
    {"callback-011.raw", BLOCK_STATE, true, "7"},
    {"callback-012.raw", BLOCK_STATE, true, "11"},
    {"callback-013.raw", BLOCK_STATE, true, "12"},
    {"callback-014.raw", BLOCK_STATE, true, "13"},
    {"callback-015.raw", BLOCK_OPEN, false, "3000000000000000000000000000000"},
    {"callback-016.raw", BLOCK_CHANGE, false, "0"},
    {"callback-017.raw", BLOCK_SEND, true, "1000000000000000000000000000000"},
    {"callback-018.raw", BLOCK_STATE, true, "14"},
    {"callback-019.raw", BLOCK_STATE, true, "14"},
    {"callback-020.raw", BLOCK_SEND, true, "1000000000000000000000000000000"},
    {"callback-021.raw", BLOCK_STATE, false, "1000000000000000000000000000000"},
    {"callback-022.raw", BLOCK_STATE, true, "1000000000000000000000000000000"},
    {"callback-023.raw", BLOCK_STATE, false, "1000000000000000000000000000000"},
    {"burst/callback-150.raw", BLOCK_STATE, true, "1126"},
    {"burst/callback-300.raw", BLOCK_STATE, true, "1276"},
};

static json_t *must(json_t *value, const char *path, const char *why)
{
    if (value == NULL) {
        fprintf(stderr, "%s: %s\n", path, why);
        abort();
    }
    return value;
}

json_t *recorded_read(const char *source_dir, const char *file)
{
    char path[4096], bytes[4096];
    snprintf(path, sizeof(path), "%s/tests/data/nano-v27.1/%s", source_dir, file);
    FILE *stream = fopen(path, "rb");
    size_t size = stream == NULL ? 0 : fread(bytes, 1, sizeof(bytes) - 1, stream);
    if (stream != NULL) {
        fclose(stream);
    }
    bytes[size] = '\0';
    const char *body = strstr(bytes, "\r\n\r\n");
    json_error_t error = {.text = "no recorded request"};
    json_t *value = body == NULL ? NULL : json_loads(body + 4, JSON_REJECT_DUPLICATES, &error);
    return must(value, path, error.text);
}

json_t *recorded_vectors(const char *source_dir)
{
    char path[4096];
    json_error_t error;
    snprintf(path, sizeof(path), "%s/tests/data/vectors/vectors.json", source_dir);
    return must(json_load_file(path, JSON_REJECT_DUPLICATES, &error), path, error.text);
}

struct recorded_session {
    size_t size, at;
    char bytes[65536];
};

struct recorded_session *recorded_session_open(const char *source_dir, const char *file)
{
    char path[4096];
    struct recorded_session *session = calloc(1, sizeof(*session));
    snprintf(path, sizeof(path), "%s/tests/data/nano-v27.1/%s", source_dir, file);
    FILE *stream = fopen(path, "rb");
    if (session == NULL || stream == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        abort();
    }
    session->size = fread(session->bytes, 1, sizeof(session->bytes) - 1, stream);
    fclose(stream);
    return session;
}

/* A message stands below a line `<<< TIME opcode=1 … len=N`; opcode 8 is a close frame. */
const char *recorded_session_next(struct recorded_session *session, size_t *length)
{
    const char *head;
    while ((head = memmem(session->bytes + session->at, session->size - session->at, "<<< ", 4)) != NULL) {
        const char *opcode = strstr(head, "opcode="), *size = strstr(head, "len=");
        if (opcode == NULL || size == NULL) {
            abort();
        }
        *length = strtoul(size + strlen("len="), NULL, 10);
        const char *message = strchr(head, '\n') + 1;
        session->at = (size_t)(message - session->bytes) + *length;
        if (session->at > session->size) {
            abort();
        }
        if (opcode[strlen("opcode=")] == '1') {
            return message;
        }
    }
    return NULL;
}

void recorded_session_close(struct recorded_session *session)
{
    free(session);
}
