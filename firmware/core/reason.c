#include "core/core.h"

const char *core_reason_text(enum core_reason reason)
{
    switch (reason) {
    case CORE_GRANTED:
        return "granted";
    case CORE_BELOW_MINIMUM:
        return "below_minimum";
    case CORE_TOO_LATE:
        return "too_late";
    case CORE_UNKNOWN_ASSET:
        return "unknown_asset";
    case CORE_NO_PROOF:
        return "no_proof";
    case CORE_UNPROVABLE:
        return "unprovable";
    case CORE_PROOF_WRONG:
        return "proof_wrong";
    }
    return "";
}
