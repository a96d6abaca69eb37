/*
 * proof: whether a payment's own blocks say what the relay says of it. docs/device-protocol.md, "Proof"; docs/firmware.md says what that is
 * worth. Pure.
 */
#ifndef COINSLOT_FIRMWARE_CORE_PROOF_H
#define COINSLOT_FIRMWARE_CORE_PROOF_H

#include "core/core_struct.h"

/* CORE_GRANTED, CORE_NO_PROOF, CORE_UNPROVABLE or CORE_PROOF_WRONG, of the payment in core->frame. */
enum core_reason core_proof_check(const struct core *core);

#endif
