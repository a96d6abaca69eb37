/*
 * coinslot_fault: the relay as it is, with the fault VFS below SQLite and a few seams between its modules.
 * Never shipped.
 *
 *     COINSLOT_FAULT          a plan, as in lib/fault_plan.h; kill and cut end the whole process
 *     COINSLOT_FAULT_CONTROL  a UNIX socket to make: each line is a plan, or `cut SEED`, or `count`; each is
 * answered by one line COINSLOT_FAULT_SYNC_US  how long a sync takes COINSLOT_FAULT_SYNCHRONOUS=OFF,
 * COINSLOT_FAULT_EARLY=1   mistakes on purpose, which the tests have to find
 *
 * The linker's --wrap puts main, store_open and store_submit_payment through here, so that nothing of this
 * stands in src/.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/fault_vfs.h"
#include "store/store.h"

#define LOG_MODULE "fault"

#define CUT_EXIT 77

int __real_main(int count, char **arguments);
int __wrap_main(int count, char **arguments);
enum cs_err __real_store_open(const struct store_options *options, struct store **store,
                              char error[STORE_ERROR_SIZE]);
enum cs_err __wrap_store_open(const struct store_options *options, struct store **store,
                              char error[STORE_ERROR_SIZE]);
enum cs_err __real_store_submit_payment(struct store *store, const struct payment *payment,
                                        const uint8_t *proof, size_t proof_size, const char *notice,
                                        size_t notice_size, store_payment_done done, void *context);
enum cs_err __wrap_store_submit_payment(struct store *store, const struct payment *payment,
                                        const uint8_t *proof, size_t proof_size, const char *notice,
                                        size_t notice_size, store_payment_done done, void *context);

/* ---- the control socket ---------------------------------------------------------------------------- */

static void obey(struct fault_vfs *vfs, const char *line, FILE *out)
{
    char error[FAULT_PLAN_ERROR_SIZE];
    struct fault_plan plan;
    if (strncmp(line, "cut ", 4) == 0) {
        fault_vfs_cut(vfs, strtoull(line + 4, NULL, 10));
    } else if (strcmp(line, "count\n") == 0) {
        fprintf(out, "%llu\n", (unsigned long long)fault_vfs_count(vfs));
    } else if (fault_plan_parse(line, &plan, error)) {
        fault_vfs_set_plan(vfs, &plan);
        fprintf(out, "ok\n");
    } else {
        fprintf(out, "%s\n", error);
    }
    fflush(out);
}

struct control {
    struct fault_vfs *vfs;
    int listener;
};

static void *control_run(void *context)
{
    struct control *control = context;
    for (;;) { /* until the process ends */
        int connection = accept(control->listener, NULL, NULL);
        FILE *in = connection >= 0 ? fdopen(connection, "r") : NULL;
        FILE *out = connection >= 0 ? fdopen(dup(connection), "w") : NULL;
        char line[256];
        while (in != NULL && out != NULL && fgets(line, sizeof(line), in) != NULL) {
            obey(control->vfs, line, out);
        }
        if (in != NULL) {
            fclose(in);
        }
        if (out != NULL) {
            fclose(out);
        }
    }
    return NULL;
}

static void control_start(struct fault_vfs *vfs, const char *path)
{
    struct control *control = cs_alloc(sizeof(*control)); /* lives as long as the process */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    control->vfs = vfs;
    control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof(address.sun_path)) {
        log_die(LOG_MODULE, "COINSLOT_FAULT_CONTROL is too long for a socket's name");
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path);
    /* The thread inherits a full mask: signals are the relay's main thread's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    if (bind(control->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(control->listener, 4) != 0 || pthread_create(&thread, NULL, control_run, control) != 0) {
        log_die(LOG_MODULE, "cannot listen on %s", path);
    }
    pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- mistakes on purpose --------------------------------------------------------------------------- */

enum cs_err __wrap_store_open(const struct store_options *options, struct store **store,
                              char error[STORE_ERROR_SIZE])
{
    struct store_options changed = *options;
    const char *synchronous = getenv("COINSLOT_FAULT_SYNCHRONOUS");
    if (synchronous != NULL) {
        changed.synchronous = synchronous;
    }
    return __real_store_open(&changed, store, error);
}

static void ignore_answer(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    (void)context;
    (void)err;
    (void)outcome;
}

enum cs_err __wrap_store_submit_payment(struct store *store, const struct payment *payment,
                                        const uint8_t *proof, size_t proof_size, const char *notice,
                                        size_t notice_size, store_payment_done done, void *context)
{
    if (getenv("COINSLOT_FAULT_EARLY") == NULL) {
        return __real_store_submit_payment(store, payment, proof, proof_size, notice, notice_size, done,
                                           context);
    }
    enum cs_err err = __real_store_submit_payment(store, payment, proof, proof_size, notice, notice_size,
                                                  ignore_answer, NULL);
    if (err == CS_OK) {
        done(context, CS_OK, STORE_PAYMENT_STORED);
    }
    return err;
}

int __wrap_main(int count, char **arguments)
{
    const char *sync_us = getenv("COINSLOT_FAULT_SYNC_US"), *text = getenv("COINSLOT_FAULT"),
               *control = getenv("COINSLOT_FAULT_CONTROL");
    struct fault_vfs_options options = {.exit_code = CUT_EXIT,
                                        .sync_us = sync_us != NULL ? (unsigned)atoi(sync_us) : 0};
    struct fault_vfs *vfs =
        fault_vfs_open(&options); /* never closed: SQLite may be used until the process ends */
    if (text != NULL) {
        struct fault_plan plan;
        char error[FAULT_PLAN_ERROR_SIZE];
        if (!fault_plan_parse(text, &plan, error)) {
            log_die(LOG_MODULE, "COINSLOT_FAULT: %s", error);
        }
        fault_vfs_set_plan(vfs, &plan);
    }
    if (control != NULL) {
        control_start(vfs, control);
    }
    return __real_main(count, arguments);
}
