#include "payment/payment.h"

const char *payment_source_text(enum payment_source source)
{
    switch (source) {
    case SOURCE_CALLBACK:
        return "callback";
    case SOURCE_NANO_WS:
        return "nano_ws";
    case SOURCE_EVR_ZMQ:
        return "evr_zmq";
    case SOURCE_BACKFILL:
        return "backfill";
    }
    return "?";
}
