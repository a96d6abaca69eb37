#include "base/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define FILE_MOST_BYTES (1 << 20)
#define SECOND_NS       1000000000

/* NULL: `error` says why. */
static char *read_file(const char *path, size_t *size, char error[CERTIFICATE_ERROR_SIZE])
{
    const char *why = NULL;
    char *text = NULL;
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        why = strerror(errno);
        goto out;
    }
    text = cs_alloc(FILE_MOST_BYTES);
    for (ssize_t got = 1; got != 0 && length < FILE_MOST_BYTES; length += (size_t)got) {
        got = read(fd, text + length, FILE_MOST_BYTES - length);
        if (got < 0) {
            why = strerror(errno);
            goto out;
        }
    }
    if (length == FILE_MOST_BYTES) {
        why = "it is larger than any certificate";
    } else if (length == 0) {
        why = "it is empty";
    } else if (memchr(text, '\0', length) != NULL) {
        why = "it is no PEM text";
    }
out:
    if (fd >= 0) {
        close(fd);
    }
    if (why != NULL) {
        snprintf(error, CERTIFICATE_ERROR_SIZE, "cannot read %s: %s", path, why);
        if (text != NULL) {
            explicit_bzero(text, length);
        }
        free(text);
        return NULL;
    }
    *size = length;
    return text;
}

enum cs_err certificate_read(const char *chain_path, const char *key_path, struct certificate *certificate,
                             char error[CERTIFICATE_ERROR_SIZE])
{
    memset(certificate, 0, sizeof(*certificate));
    certificate->chain = read_file(chain_path, &certificate->chain_size, error);
    if (certificate->chain != NULL) {
        certificate->key = read_file(key_path, &certificate->key_size, error);
    }
    if (certificate->key == NULL) {
        certificate_fini(certificate);
        return CS_EIO;
    }
    return CS_OK;
}

void certificate_fini(struct certificate *certificate)
{
    if (certificate->key != NULL) {
        explicit_bzero(certificate->key, certificate->key_size);
    }
    free(certificate->key);
    free(certificate->chain);
    memset(certificate, 0, sizeof(*certificate));
}

void certificate_look(const char *chain_path, const char *key_path, struct certificate_look *look)
{
    const char *const paths[] = {chain_path, key_path};
    memset(look, 0, sizeof(*look));
    for (size_t i = 0; i < 2; i++) {
        struct stat status;
        if (stat(paths[i], &status) == 0) {
            look->file[i].device = status.st_dev;
            look->file[i].inode = status.st_ino;
            look->file[i].size = status.st_size;
            look->file[i].changed_ns = (int64_t)status.st_mtim.tv_sec * SECOND_NS + status.st_mtim.tv_nsec;
        }
    }
}

bool certificate_looks_same(const struct certificate_look *a, const struct certificate_look *b)
{
    return memcmp(a, b, sizeof(*a)) == 0; /* it has no padding: all members are of 8 bytes */
}
