/* identity: who the meter is, made of its settings and the files that they name. Main thread, at start. */
#ifndef COINSLOT_FIRMWARE_POSIX_IDENTITY_H
#define COINSLOT_FIRMWARE_POSIX_IDENTITY_H

#include "base/err.h"
#include "core/core.h"
#include "posix/crypto.h"
#include "posix/settings.h"
#include "posix/url.h"

#define IDENTITY_ERROR_SIZE 500

/* The key, or no key where it goes by token, is in `*crypto`: owned by the caller. CS_EINVAL, CS_EIO: `error` says what to do. */
CS_MUST_CHECK enum cs_err identity_read(const struct settings *settings, struct core_identity *identity,
                                        struct crypto **crypto, struct url *url,
                                        char error[IDENTITY_ERROR_SIZE]);

/* A new key in a new file, for its owner's eyes only; its public half is printed. The exit code. */
int identity_make_key(const char *path);

#endif
