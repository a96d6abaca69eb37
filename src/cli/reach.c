#include "cli/reach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/shape.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "cli/command.h"
#include "cli/control.h"
#include "cli/options.h"

#define LOCKED_PATIENCE_MS 3000
#define LOCKED_PAUSE_MS    100

static enum cs_err run_here(const char *dir, json_t *request, json_t **answer, char error[STORE_ERROR_SIZE])
{
    struct metrics *metrics = metrics_open();
    const struct store_options options = {
        .dir = dir,
        .inbox_capacity = 16,
        .batch_most = 16,
        .window = 1,
        .page_size = 1,
        .readers = 1,
        .subscriptions_most = 1000,
        .unconfirmed_most = 100,
        .min_free_bytes = 0,
        .wal_most_bytes = 64 << 20,
        .synchronous = "FULL",
        .metrics = metrics,
    };
    struct store *store;
    enum cs_err err = store_open(&options, &store, error);
    if (err == CS_OK) {
        store_start(store, NULL);
        *answer = command_run(&(struct command_target){store, NULL}, request);
        store_stop(store);
        store_close(store);
    }
    metrics_close(metrics);
    return err;
}

/* Files that root makes in another user's folder would lock that user's relay out. */
static bool may_open_here(const char *told_as, const char *dir, enum reach_missing missing)
{
    struct stat folder, file;
    char path[4096];
    snprintf(path, sizeof path, "%s/coinslot.db", dir);
    if (missing == REACH_REFUSE && stat(path, &file) != 0) {
        options_failed(told_as, "cannot open %s: %s; name the data folder by --data or COINSLOT_DATA", path,
                       strerror(errno));
        return false;
    }
    if (geteuid() == 0 && stat(dir, &folder) == 0 && folder.st_uid != 0) {
        options_failed(told_as, "%s belongs to user %u: run this as that user, or start the relay first", dir,
                       (unsigned)folder.st_uid);
        return false;
    }
    return true;
}

static bool call_or_run(const char *told_as, const char *dir, enum reach_missing missing, json_t *request,
                        json_t **answer)
{
    char reached[CONTROL_ERROR_SIZE], opened[STORE_ERROR_SIZE];
    /* A relay that starts or stops holds the lock without listening: for a moment. */
    for (int waited_ms = 0;; waited_ms += LOCKED_PAUSE_MS) {
        enum cs_err err = control_call(dir, request, answer, reached);
        if (err == CS_OK) {
            return true;
        }
        if (err != CS_ENOTFOUND) {
            options_failed(told_as, "%s", reached);
            return false;
        }
        if (!may_open_here(told_as, dir, missing)) {
            return false;
        }
        err = run_here(dir, request, answer, opened);
        if (err == CS_OK) {
            return true;
        }
        if (err != CS_EBUSY || waited_ms >= LOCKED_PATIENCE_MS) {
            options_failed(told_as, "%s", opened);
            return false;
        }
        usleep(LOCKED_PAUSE_MS * 1000);
    }
}

json_t *reach_store(const char *told_as, const char *dir, enum reach_missing missing, const char *command,
                    json_t *arguments)
{
    log_set_up(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT); /* a command's stderr is for its one line */
    json_t *request = json_object(), *answer = NULL, *result = NULL;
    shape_put(request, "command", json_string(command));
    shape_put(request, "arguments", arguments);
    if (call_or_run(told_as, dir, missing, request, &answer)) {
        result = json_incref(json_object_get(answer, "result"));
        if (result == NULL) {
            const char *why = json_text(answer, "error");
            options_failed(told_as, "%s",
                           why == NULL ? "the relay's answer has neither result nor error" : why);
        }
        json_decref(answer);
    }
    json_decref(request);
    return result;
}
