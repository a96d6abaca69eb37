/*
 * view: what the meter tells, in one of three ways: a screen on a terminal, lines, or JSON, an object a line. One thread; nothing of it waits.
 * Events have the names of the reference device's (clients/python/coinslot/device_cli.py); firmware/posix/README.md lists them.
 */
#ifndef COINSLOT_FIRMWARE_POSIX_VIEW_H
#define COINSLOT_FIRMWARE_POSIX_VIEW_H

#include <jansson.h>

#include "core/core.h"
#include "posix/settings.h"

struct view;

struct view *view_open(const struct settings *settings);
void view_close(struct view *view);

void view_screen(struct view *view, const struct core_screen *screen);
void view_event(struct view *view, json_t *event); /* takes it over */
void view_resized(struct view *view);
void view_tick(struct view *view);

#endif
