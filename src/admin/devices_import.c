/*
 * POST /api/v1/devices/import. libmicrohttpd takes no answer before the request has come in whole, so the results wait in a file
 * without a name beside the store.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/import.h"
#include "admin/internal.h"
#include "admin/problem.h"
#include "base/log.h"

#define LOG_MODULE "admin"

#define IMPORTS_MOST 2 /* at once: each holds a group and an HTTP thread while it is committed */
#define TYPE         "application/x-ndjson"

struct upload {
    struct admin *admin;
    FILE *results;
    struct import *import;
};

static void drop_upload(void *kept)
{
    struct upload *upload = kept;
    import_close(upload->import);
    fclose(upload->results);
    atomic_fetch_sub(&upload->admin->imports, 1);
    free(upload);
}

/* NULL with errno. What is in it are secrets: nobody else can open it, and it goes with the process. */
static FILE *open_results(const char *dir)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/import-XXXXXX", dir) >= sizeof path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    unlink(path);
    int full = posix_fallocate(fd, 0, IMPORT_RESULT_BYTES);
    FILE *file = full == 0 ? fdopen(fd, "w+") : NULL;
    if (file == NULL) {
        int why = full != 0 ? full : errno;
        close(fd);
        errno = why;
    }
    return file;
}

static void problem_results(struct problem *problem)
{
    log_error("the results of an import cannot be kept: %s", strerror(errno));
    problem_set(
        problem, 500, "internal_error", NULL,
        "the relay's log says more; GET /api/v1/devices shows what was made, and each line with a token or a public key can "
        "be sent again",
        "the results of the import cannot be kept, those that there were are lost");
}

void devices_import_begin(struct admin *admin, struct http_request *request)
{
    struct problem problem;
    if (!http_request_is_type(request, TYPE)) {
        problem_set(&problem, 415, "unsupported_media_type", NULL, "send the header Content-Type: " TYPE,
                    "the body has to be lines of JSON");
        problem_answer(request, &problem);
        return;
    }
    if (atomic_fetch_add(&admin->imports, 1) >= IMPORTS_MOST) {
        atomic_fetch_sub(&admin->imports, 1);
        problem_set(&problem, 503, "busy", NULL, "try again when one of them is done",
                    "there are %d imports under way already", IMPORTS_MOST);
        problem_answer(request, &problem);
        return;
    }
    FILE *results = open_results(admin->options.spool_dir);
    if (results == NULL) {
        atomic_fetch_sub(&admin->imports, 1);
        if (errno == ENOSPC || errno == EDQUOT) {
            problem_from_store(&problem, CS_EFULL);
        } else {
            problem_results(&problem);
        }
        problem_answer(request, &problem);
        return;
    }
    struct upload *upload = cs_alloc(sizeof *upload);
    upload->admin = admin;
    upload->results = results;
    upload->import = import_open(
        admin->store,
        &(struct import_limits){admin->options.import_bytes_most, admin->options.import_lines_most}, results);
    http_request_keep(request, upload, drop_upload);
}

void devices_import_receive(struct admin *admin, struct http_request *request, const char *data, size_t size)
{
    (void)admin;
    import_take(((struct upload *)http_request_kept(request))->import, data, size);
}

void devices_import(struct admin *admin, struct http_request *request)
{
    (void)admin;
    struct upload *upload = http_request_kept(request);
    struct problem problem;
    int fd = -1;
    long size = 0;
    if (import_finish(upload->import)) {
        size = ftell(upload->results);
        fd = size < 0 ? -1 : fcntl(fileno(upload->results), F_DUPFD_CLOEXEC, 0);
    }
    if (fd < 0) {
        problem_results(&problem);
        problem_answer(request, &problem);
        return;
    }
    http_answer_file(request, 200, TYPE, fd, (uint64_t)size);
}
