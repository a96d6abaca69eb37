/*
 * err: the outcomes of everything that the outside world can do wrong.
 * Any thread. What we did wrong ourselves is an assert, never one of these.
 */
#ifndef COINSLOT_BASE_ERR_H
#define COINSLOT_BASE_ERR_H

enum cs_err {
    CS_OK = 0,
    CS_EINVAL,    /* malformed or out of range */
    CS_ENOTFOUND, /* no such thing */
    CS_ECONFLICT, /* it is there already, or its state forbids this */
    CS_EDENIED,   /* wrong credential, or not allowed */
    CS_EBUSY,     /* a bounded queue is full: try again later */
    CS_EFULL,     /* the disk is full, or nearly: nothing was stored */
    CS_ECLOSED,   /* it is shutting down */
    CS_EIO,       /* the operating system said no; errno or the log says why */
};

#define CS_MUST_CHECK __attribute__((warn_unused_result))

/* A short English phrase, never NULL. */
const char *cs_err_text(enum cs_err err);

#endif
