#include "lib/recorded_rpc.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void give_up(const char *what)
{
    fprintf(stderr, "tests/data/nano/rpc.txt: %s\n", what);
    abort();
}

static char *read_file(const char *source_dir)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/tests/data/nano/rpc.txt", source_dir);
    FILE *stream = fopen(path, "rb");
    if (stream == NULL) {
        give_up("cannot be opened");
    }
    char *text = cs_alloc(1u << 20);
    size_t size = fread(text, 1, (1u << 20) - 1, stream);
    fclose(stream);
    if (size == 0 || size == (1u << 20) - 1) {
        give_up("is empty, or too long");
    }
    return text;
}

/* One of "### title", ">>> request", "<<< headers…", and the answer up to an empty line. False: another kind of section. */
static bool read_section(const char *section, struct recorded_rpc *recorded)
{
    const char *request = strstr(section, "\n>>> ");
    const char *headers = request == NULL ? NULL : strstr(request, "\n<<< ");
    const char *answer = headers == NULL ? NULL : strstr(headers, "\n{");
    if (answer == NULL) {
        return false;
    }
    snprintf(recorded->title, sizeof(recorded->title), "%.*s", (int)strcspn(section, "\n"), section);
    char *text = strndup(request + 5, (size_t)(headers - request - 5));
    recorded->request = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    recorded->answer = json_loads(answer + 1, JSON_REJECT_DUPLICATES, NULL);
    if (recorded->answer == NULL) {
        give_up(recorded->title);
    }
    return true;
}

size_t recorded_rpc_read(const char *source_dir, struct recorded_rpc recorded[RECORDED_RPC_MOST])
{
    char *text = read_file(source_dir);
    size_t count = 0;
    if (strncmp(text, "### ", 4) != 0) {
        give_up("does not begin with a title");
    }
    for (char *section = text + 4, *next; section != NULL; section = next) {
        char *end = strstr(section, "\n### ");
        next = end == NULL ? NULL : end + 5;
        if (end != NULL) {
            *end = '\0';
        }
        if (count == RECORDED_RPC_MOST) {
            give_up("holds too much");
        }
        count += read_section(section, &recorded[count]);
    }
    free(text);
    return count;
}

void recorded_rpc_free(struct recorded_rpc *recorded, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_decref(recorded[i].request);
        json_decref(recorded[i].answer);
    }
}

const struct recorded_rpc *recorded_rpc_find(const struct recorded_rpc *recorded, size_t count,
                                             const char *title)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(recorded[i].title, title) == 0) {
            return &recorded[i];
        }
    }
    give_up(title);
    return NULL;
}
