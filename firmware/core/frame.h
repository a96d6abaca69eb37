/* frame: what the relay sends, read into core->frame. docs/device-protocol.md, "What the relay sends". */
#ifndef COINSLOT_FIRMWARE_CORE_FRAME_H
#define COINSLOT_FIRMWARE_CORE_FRAME_H

#include "core/core_struct.h"

/* False: no JSON, or a member that is needed is missing or of another form. A type that is not known is no fault. */
bool core_frame_read(struct core *core, const char *text, size_t length);

#endif
