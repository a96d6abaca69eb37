#include "lib/recorded_ws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    abort();
}

static char *read_file(const char *path, size_t *size)
{
    enum { MOST = 1 << 20 };
    char *bytes = calloc(1, MOST);
    FILE *stream = fopen(path, "rb");
    if (bytes == NULL || stream == NULL) {
        fail(path, "cannot be read");
        return NULL;
    }
    *size = fread(bytes, 1, MOST - 1, stream);
    fclose(stream);
    return bytes;
}

/* One line, or one message with its header line; returns where the next begins. */
static char *read_item(const char *path, struct recorded_ws *recorded, char *at, const char *end)
{
    char *line_end = strchr(at, '\n');
    if (line_end == NULL) {
        line_end = at + strlen(at);
    }
    bool said = strncmp(at, ">>> ", 4) == 0, answered = strncmp(at, "<<< ", 4) == 0;
    if ((said || answered) && recorded->count == RECORDED_WS_MOST) {
        fail(path, "has more items than there is room for");
    }
    char *next = line_end + (*line_end != '\0'), *text = at + 4;
    if (answered) {
        *line_end = '\0';
        const char *length = strstr(at, " len=");
        size_t size = length != NULL ? strtoul(length + 5, NULL, 10) : 0;
        if (size == 0 || next + size >= end) {
            fail(path, "a message is not whole");
        }
        text = next;
        next += size;
        *next++ = '\0';
    } else if (said) {
        *line_end = '\0';
    }
    if (said || answered) {
        recorded->items[recorded->count].from_node = answered;
        recorded->items[recorded->count++].text = text;
    }
    return next;
}

void recorded_ws_read(const char *source_dir, const char *file, struct recorded_ws *recorded)
{
    char path[4096];
    size_t size;
    snprintf(path, sizeof(path), "%s/tests/data/nano-v27.1/%s", source_dir, file);
    memset(recorded, 0, sizeof(*recorded));
    recorded->bytes = read_file(path, &size);
    const char *end = recorded->bytes + size;
    for (char *at = recorded->bytes; at < end;) {
        at = read_item(path, recorded, at, end);
    }
    if (recorded->count == 0) {
        fail(path, "holds no session");
    }
}

void recorded_ws_free(struct recorded_ws *recorded)
{
    free(recorded->bytes);
}
