#include "simulate/faults.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "simulate/mimic_call.h"

#define PERCENT 100
#define SWITCH  1
#define TIME    86400000

static const struct {
    const char *name;
    unsigned most;
} FAULTS[FAULT_COUNT] = {
    [FAULT_LOSE_CALLBACKS] = {"lose_callbacks", PERCENT},
    [FAULT_LOSE_WS] = {"lose_ws", PERCENT},
    [FAULT_REPEAT_CALLBACKS] = {"repeat_callbacks", PERCENT},
    [FAULT_REPEAT_WS] = {"repeat_ws", PERCENT},
    [FAULT_RPC_ERRORS] = {"rpc_errors", PERCENT},
    [FAULT_RPC_STATUS] = {"rpc_status", 599},
    [FAULT_RPC_CUTS] = {"rpc_cuts", PERCENT},
    [FAULT_RPC_GARBAGE] = {"rpc_garbage", PERCENT},
    [FAULT_RPC_DELAY_MS] = {"rpc_delay_ms", TIME},
    [FAULT_RPC_STALL] = {"rpc_stall", SWITCH},
    [FAULT_RPC_LAG_MS] = {"rpc_lag_ms", TIME},
    [FAULT_WS_REFUSE] = {"ws_refuse", SWITCH},
    [FAULT_WS_STALL] = {"ws_stall", SWITCH},
    [FAULT_WS_NO_UPDATE] = {"ws_no_update", SWITCH},
    [FAULT_WS_DROP_EVERY_MS] = {"ws_drop_every_ms", TIME},
};

const char *faults_name(unsigned fault)
{
    return fault < FAULT_COUNT ? FAULTS[fault].name : NULL;
}

enum cs_err faults_set(struct faults *faults, const char *name, const char *value, uint64_t until_ns)
{
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        if (strcmp(FAULTS[i].name, name) != 0) {
            continue;
        }
        char *end = NULL;
        unsigned long number = strtoul(value, &end, 10);
        if (value[0] < '0' || value[0] > '9' || *end != '\0' || number > FAULTS[i].most) {
            return CS_EINVAL;
        }
        faults->value[i] = (unsigned)number;
        faults->until_ns[i] = until_ns;
        return CS_OK;
    }
    return CS_ENOTFOUND;
}

unsigned faults_get(const struct faults *faults, enum fault fault)
{
    bool over = faults->until_ns[fault] != 0 && clock_monotonic_ns() >= faults->until_ns[fault];
    return over ? 0 : faults->value[fault];
}

bool faults_strike(struct faults *faults, enum fault fault)
{
    unsigned percent = faults_get(faults, fault);
    return percent > 0 && chance_percent(&faults->chance, percent);
}

json_t *faults_print(const struct faults *faults)
{
    json_t *values = json_object();
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        mimic_put_number(values, FAULTS[i].name, faults_get(faults, (enum fault)i));
    }
    return values;
}
