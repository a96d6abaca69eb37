/* JSON of any kind: what is read in place is what the parser reads, and what is refused is refused in its words. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/json_same.h"
#include "base/json_scan.h"

#define DEPTH 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[JSON_ERROR_SIZE] = "", scan_error[JSON_ERROR_SIZE] = "";
    struct json_scan *scan = malloc(sizeof(*scan)); /* on the heap, so that its bounds are watched */
    assert(scan != NULL);
    json_t *tree = json_read((const char *)data, size, DEPTH, error);
    bool is_read = json_scan_init(scan, (const char *)data, size, DEPTH, scan_error);
    assert(is_read == (tree != NULL));
    assert(strcmp(error, scan_error) == 0);
    if (is_read) {
        assert(json_same(json_view_of_scan(scan), tree));
        assert((scan->tree == NULL) == json_same_is_plain((const char *)data, size, tree));
    }
    json_scan_fini(scan);
    free(scan);
    json_decref(tree);
    return 0;
}
