#include "plain/pace.h"

uint32_t pace_retry_ms(unsigned failures)
{
    if (failures == 0) {
        return 0;
    }
    uint32_t delay_ms = PACE_RETRY_MS;
    while (--failures > 0 && delay_ms < PACE_RETRY_MOST_MS) {
        delay_ms *= 2;
    }
    return delay_ms < PACE_RETRY_MOST_MS ? delay_ms : PACE_RETRY_MOST_MS;
}

bool pace_update_due(uint64_t up_ms, uint64_t looked_ms)
{
    return looked_ms == 0 ? up_ms >= PACE_UPDATE_AT_MS : up_ms - looked_ms >= PACE_UPDATE_MS;
}

enum pace_trial pace_trial(bool in_session, bool machine_on, uint64_t up_ms)
{
    if (in_session) {
        return PACE_TRIAL_KEEP;
    }
    return up_ms >= PACE_TRIAL_MS && !machine_on ? PACE_TRIAL_GO_BACK : PACE_TRIAL_WAITS;
}
