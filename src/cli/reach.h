/*
 * reach: gets a command done on the store in DIR: by the relay that runs there, else by opening the store
 * ourselves. Main thread; a change is committed when it returns.
 */
#ifndef COINSLOT_CLI_REACH_H
#define COINSLOT_CLI_REACH_H

#include <jansson.h>
#include <stdbool.h>

enum reach_missing { REACH_MAKE, REACH_REFUSE }; /* what to do when there is no store in DIR yet */

/*
 * Takes `arguments`. The result is owned by the caller; NULL when it failed: then one line has been printed
 * on stderr, in the name of `told_as` ("token create").
 */
json_t *reach_store(const char *told_as, const char *dir, enum reach_missing missing, const char *command,
                    json_t *arguments);

#endif
