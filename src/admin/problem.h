/*
 * problem: what is wrong with a request, in the form in which it is answered (RFC 9457).
 * Plain values, any thread.
 */
#ifndef COINSLOT_ADMIN_PROBLEM_H
#define COINSLOT_ADMIN_PROBLEM_H

#include "base/err.h"
#include "http/http.h"

struct problem {
    unsigned status;
    const char *code; /* stable, for programs */
    char field[65];   /* "" when it is about no single one */
    char detail[200], hint[240];
};

/* `field` may come from outside; what is not printable ASCII in it becomes `?`. NULL: no field. */
__attribute__((format(printf, 6, 7))) void problem_set(struct problem *problem, unsigned status,
                                                       const char *code, const char *field, const char *hint,
                                                       const char *detail_format, ...);

/* What the store answered, where it is about no value of the request: busy, full, shutting down. */
void problem_from_store(struct problem *problem, enum cs_err err);

/* What a read answered: the cursor, or the device asked for, is not one of ours; else as above. */
void problem_from_page(struct problem *problem, enum cs_err err);

/* Fills in the 404 of a device. */
void problem_no_such_device(struct problem *problem);

/* Answers it; a 503 says when to come back. */
void problem_answer(struct http_request *request, const struct problem *problem);

#endif
