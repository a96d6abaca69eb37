#include "admin/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void problem_set(struct problem *problem, unsigned status, const char *code, const char *field,
                 const char *hint, const char *detail_format, ...)
{
    memset(problem, 0, sizeof *problem);
    problem->status = status;
    problem->code = code;
    char *to = problem->field;
    for (const char *from = field == NULL ? "" : field;
         *from != '\0' && to < problem->field + sizeof problem->field - 1; from++) {
        *to++ = *from > 0x20 && *from < 0x7f ? *from : '?';
    }
    snprintf(problem->hint, sizeof problem->hint, "%s", hint);
    va_list arguments;
    va_start(arguments, detail_format);
    vsnprintf(problem->detail, sizeof problem->detail, detail_format, arguments);
    va_end(arguments);
}

void problem_from_store(struct problem *problem, enum cs_err err)
{
    switch (err) {
    case CS_EBUSY:
        problem_set(problem, 503, "busy", NULL, "try again in a second",
                    "the relay has more work than it can take");
        return;
    case CS_EFULL:
        problem_set(problem, 503, "disk_full", NULL, "free space on the relay's disk, then try again",
                    "the disk is full, or nearly: nothing was stored");
        return;
    case CS_ECLOSED:
        problem_set(problem, 503, "shutting_down", NULL, "try again when the relay is back",
                    "the relay is shutting down");
        return;
    case CS_OK:
    case CS_EINVAL:
    case CS_ENOTFOUND:
    case CS_ECONFLICT:
    case CS_EDENIED:
    case CS_EIO:
        break;
    }
    problem_set(problem, 500, "internal_error", NULL, "the relay's log says more", "the store answered: %s",
                cs_err_text(err));
}

void problem_no_such_device(struct problem *problem)
{
    problem_set(problem, 404, "device_not_found", "device",
                "GET /api/v1/devices, or `coinslot device list`, shows all there are",
                "there is no device with this id");
}

void problem_from_page(struct problem *problem, enum cs_err err)
{
    if (err == CS_ENOTFOUND) {
        problem_no_such_device(problem);
    } else if (err == CS_EINVAL) {
        problem_set(
            problem, 400, "invalid_parameter", "cursor",
            "send `next` of the page before as it is, with the same filters; the first page takes no cursor",
            "this cursor does not belong to this list");
    } else {
        problem_from_store(problem, err);
    }
}

void problem_answer(struct http_request *request, const struct problem *problem)
{
    if (problem->status == 503) {
        http_request_add_header(request, "Retry-After", strcmp(problem->code, "busy") == 0 ? "1" : "10");
    }
    http_answer_problem(request, problem->status, problem->code,
                        problem->field[0] == '\0' ? NULL : problem->field, problem->hint, "%s",
                        problem->detail);
}
