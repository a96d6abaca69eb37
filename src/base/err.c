#include "base/err.h"

const char *cs_err_text(enum cs_err err)
{
    switch (err) {
    case CS_OK:
        return "ok";
    case CS_EINVAL:
        return "malformed or out of range";
    case CS_ENOTFOUND:
        return "not found";
    case CS_ECONFLICT:
        return "conflicts with what is stored";
    case CS_EDENIED:
        return "denied";
    case CS_EBUSY:
        return "too busy, try again later";
    case CS_EFULL:
        return "the disk is full, nothing was stored";
    case CS_ECLOSED:
        return "shutting down";
    case CS_EIO:
        return "input/output error";
    }
    return "unknown error";
}
