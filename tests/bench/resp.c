#include "bench/resp.h"

#include <stdlib.h>
#include <string.h>

bool resp_next(struct resp *resp, struct resp_value *value)
{
    size_t left = (size_t)(resp->end - resp->at);
    const uint8_t *line = resp->at, *cr = left > 0 ? memchr(line, '\r', left) : NULL;
    if (cr == NULL || resp->end - cr < 2) {
        return false;
    }
    value->type = (char)line[0];
    value->at = line + 1;
    value->number = cr - line - 1;
    resp->at = cr + 2;
    if (value->type == '+' || value->type == '-') {
        return true;
    }
    if (value->type != ':' && value->type != '$' && value->type != '*') {
        bench_die("this is no reply of Redis: %.*s", (int)(cr - line), (const char *)line);
    }
    value->number = strtoll((const char *)line + 1, NULL, 10);
    if (value->type == '$' && value->number >= 0) {
        if (resp->end - resp->at < value->number + 2) {
            return false;
        }
        value->at = resp->at;
        resp->at += value->number + 2;
    }
    return true;
}

size_t resp_length(const uint8_t *bytes, size_t length)
{
    struct resp resp = {bytes, bytes + length};
    for (int64_t wanted = 1; wanted > 0; wanted--) {
        struct resp_value value;
        if (!resp_next(&resp, &value)) {
            return 0;
        }
        wanted += value.type == '*' && value.number > 0 ? value.number : 0;
    }
    return (size_t)(resp.at - bytes);
}

void resp_argument(struct link *link, const void *bytes, size_t length)
{
    link_print(link, "$%zu\r\n", length);
    link_write(link, bytes, length);
    link_write(link, "\r\n", 2);
}
