/*
 * certificate: a TLS certificate and its private key, as the PEM text of two files. Any thread; nothing is kept. What the text means is
 * for the two TLS libraries: http/tls.c and push/tls.c.
 */
#ifndef COINSLOT_BASE_CERTIFICATE_H
#define COINSLOT_BASE_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct certificate {
    char *chain, *key; /* NUL-terminated; the sizes are without it */
    size_t chain_size, key_size;
};

#define CERTIFICATE_ERROR_SIZE 512

/* CS_EIO: `error` names the file and says what is wrong with it. */
CS_MUST_CHECK enum cs_err certificate_read(const char *chain_path, const char *key_path,
                                           struct certificate *certificate,
                                           char error[CERTIFICATE_ERROR_SIZE]);
/* The key's memory is wiped. */
void certificate_fini(struct certificate *certificate);

/* How both files look from outside; differs when one of them was written, or another was put in its place. */
struct certificate_look {
    struct {
        uint64_t device, inode;
        int64_t size, changed_ns;
    } file[2];
};

void certificate_look(const char *chain_path, const char *key_path, struct certificate_look *look);
bool certificate_looks_same(const struct certificate_look *a, const struct certificate_look *b);

#endif
