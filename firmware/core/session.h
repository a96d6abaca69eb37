/* session: the two ends of a connection prove who they are, and every frame that it is the next one. Pure but for `random`. */
#ifndef COINSLOT_FIRMWARE_CORE_SESSION_H
#define COINSLOT_FIRMWARE_CORE_SESSION_H

#include "core/core_struct.h"
#include "core/text.h"

/* The first two say why the other end is not believed, for a log; NULL: it is. The challenge is in core->frame, its text is `text`. Writes the hello into the session. */
const char *core_session_take_challenge(struct core *core, const char *text, size_t length);
/* Whether the text is our relay's welcome; from then on frames are sealed. Before it is read. */
const char *core_session_take_welcome(struct core *core, const char *text, size_t length);

/* In a session by key: whether it is the very next frame. False is the end. */
bool core_session_open(struct core *core, const char *text, size_t length);
/* Seals what is in `text` (a frame with its last brace), as the next one. It counts once it has left: core_session_sent. */
void core_session_seal(struct core *core, struct core_text *text);
void core_session_sent(struct core *core);

#endif
