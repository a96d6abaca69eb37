#include "lib/fault_disk.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/fault_random.h"

struct bytes {
    uint8_t *data;
    size_t size, room;
};

/* One unsynced change of a file's content. */
struct change {
    uint8_t *data; /* NULL: a truncation to `offset` */
    size_t size;
    uint64_t offset;
    uint64_t number; /* order over all files */
};

struct fault_node {
    struct fault_node *next;
    struct bytes synced;
    struct change *changes;
    size_t change_count, change_room;
    unsigned users; /* open files and directory entries */
};

/* A name. `synced` is what it stands for after a cut that brings nothing, `now` what it stands for today;
 * NULL: nothing. */
struct entry {
    struct entry *next;
    char *path;
    struct fault_node *synced, *now;
};

struct fault_disk {
    struct fault_node *nodes;
    struct entry *entries;
    uint64_t changes; /* ever made */
};

struct fault_disk *fault_disk_open(void)
{
    return cs_alloc(sizeof(struct fault_disk));
}

static void set_size(struct bytes *bytes, size_t size)
{
    if (size > bytes->room) {
        bytes->room = size * 2 + 4096;
        bytes->data = cs_realloc(bytes->data, bytes->room);
    }
    if (size > bytes->size) {
        memset(bytes->data + bytes->size, 0, size - bytes->size);
    }
    bytes->size = size;
}

static void put(struct bytes *bytes, const uint8_t *data, size_t size, uint64_t offset)
{
    if (offset + size > bytes->size) {
        set_size(bytes, (size_t)offset + size);
    }
    memcpy(bytes->data + offset, data, size);
}

static void forget_changes(struct fault_node *node)
{
    for (size_t i = 0; i < node->change_count; i++) {
        free(node->changes[i].data);
    }
    node->change_count = 0;
}

static struct fault_node *node_use(struct fault_node *node)
{
    if (node != NULL) {
        node->users++;
    }
    return node;
}

static void node_release(struct fault_disk *disk, struct fault_node *node)
{
    if (node == NULL || --node->users > 0) {
        return;
    }
    struct fault_node **at = &disk->nodes;
    while (*at != node) {
        at = &(*at)->next;
    }
    *at = node->next;
    forget_changes(node);
    free(node->changes);
    free(node->synced.data);
    free(node);
}

static struct fault_node *node_new(struct fault_disk *disk)
{
    struct fault_node *node = cs_alloc(sizeof(*node));
    node->next = disk->nodes;
    disk->nodes = node;
    return node;
}

/* False when there is no such file. */
static bool load(const char *path, struct bytes *bytes)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return false;
    }
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        log_die("fault", "%s is no file that can be read", path);
    }
    set_size(bytes, (size_t)status.st_size);
    for (size_t at = 0; at < bytes->size;) {
        ssize_t got = pread(file, bytes->data + at, bytes->size - at, (off_t)at);
        if (got <= 0) {
            log_die("fault", "%s cannot be read", path);
        }
        at += (size_t)got;
    }
    close(file);
    return true;
}

static struct entry *find_entry(struct fault_disk *disk, const char *path)
{
    struct entry *entry = disk->entries;
    while (entry != NULL && strcmp(entry->path, path) != 0) {
        entry = entry->next;
    }
    return entry;
}

static struct entry *add_entry(struct fault_disk *disk, const char *path)
{
    struct entry *entry = cs_alloc(sizeof(*entry));
    entry->path = cs_strdup(path);
    entry->next = disk->entries;
    disk->entries = entry;
    return entry;
}

static void remove_entry(struct fault_disk *disk, struct entry *entry)
{
    struct entry **at = &disk->entries;
    while (*at != entry) {
        at = &(*at)->next;
    }
    *at = entry->next;
    node_release(disk, entry->synced);
    node_release(disk, entry->now);
    free(entry->path);
    free(entry);
}

/* The entry of a file that may have been there before anybody told us. */
static struct entry *know_entry(struct fault_disk *disk, const char *path)
{
    struct entry *entry = find_entry(disk, path);
    if (entry == NULL) {
        entry = add_entry(disk, path);
        struct bytes bytes = {0};
        if (load(path, &bytes)) {
            struct fault_node *node = node_new(disk);
            node->synced = bytes;
            entry->synced = node_use(node);
            entry->now = node_use(node);
        }
    }
    return entry;
}

struct fault_node *fault_disk_open_file(struct fault_disk *disk, const char *path)
{
    struct entry *entry = know_entry(disk, path);
    if (entry->now == NULL) {
        entry->now = node_use(node_new(disk));
    }
    return node_use(entry->now);
}

void fault_disk_close_file(struct fault_disk *disk, struct fault_node *node)
{
    node_release(disk, node);
    for (struct entry *entry = disk->entries; entry != NULL;) {
        struct entry *next = entry->next;
        bool settled = entry->now == entry->synced;
        bool only_ours = entry->now == NULL || (entry->now->users == 2 && entry->now->change_count == 0);
        if (settled && only_ours) {
            remove_entry(disk, entry);
        }
        entry = next;
    }
}

static struct change *add_change(struct fault_disk *disk, struct fault_node *node)
{
    if (node->change_count == node->change_room) {
        node->change_room = node->change_room * 2 + 64;
        node->changes = cs_realloc(node->changes, node->change_room * sizeof(*node->changes));
    }
    struct change *change = &node->changes[node->change_count++];
    *change = (struct change){.number = disk->changes++};
    return change;
}

void fault_disk_write(struct fault_disk *disk, struct fault_node *node, const void *bytes, size_t size,
                      uint64_t offset)
{
    if (size == 0) {
        return;
    }
    struct change *change = add_change(disk, node);
    change->data = memcpy(cs_alloc(size), bytes, size);
    change->size = size;
    change->offset = offset;
}

void fault_disk_truncate(struct fault_disk *disk, struct fault_node *node, uint64_t size)
{
    add_change(disk, node)->offset = size;
}

static void apply(struct bytes *bytes, const struct change *change)
{
    if (change->data != NULL) {
        put(bytes, change->data, change->size, change->offset);
    } else if (change->offset < bytes->size) {
        set_size(bytes, (size_t)change->offset);
    }
}

void fault_disk_sync(struct fault_disk *disk, struct fault_node *node)
{
    (void)disk;
    for (size_t i = 0; i < node->change_count; i++) {
        apply(&node->synced, &node->changes[i]);
    }
    forget_changes(node);
}

void fault_disk_fail_sync(struct fault_disk *disk, struct fault_node *node, uint64_t seed)
{
    (void)disk;
    for (size_t i = 0; i < node->change_count; i++) {
        if (fault_random_chance(&seed, 50)) {
            apply(&node->synced, &node->changes[i]);
        }
    }
    forget_changes(node);
}

void fault_disk_delete(struct fault_disk *disk, const char *path)
{
    struct entry *entry = know_entry(disk, path);
    node_release(disk, entry->now);
    entry->now = NULL;
}

void fault_disk_sync_directory(struct fault_disk *disk, const char *path)
{
    const char *slash = strrchr(path, '/');
    assert(slash != NULL);
    size_t length = (size_t)(slash - path) + 1;
    for (struct entry *entry = disk->entries; entry != NULL;) {
        struct entry *next = entry->next;
        if (strncmp(entry->path, path, length) == 0 && strchr(entry->path + length, '/') == NULL) {
            struct fault_node *before = entry->synced;
            entry->synced = node_use(entry->now);
            node_release(disk, before);
            if (entry->now == NULL) {
                remove_entry(disk, entry);
            }
        }
        entry = next;
    }
}

void fault_disk_close(struct fault_disk *disk)
{
    while (disk->entries != NULL) {
        remove_entry(disk, disk->entries);
    }
    assert(disk->nodes == NULL);
    free(disk);
}

/* ---- the cut --------------------------------------------------------------------------------------- */

enum style { LOSE_ALL, KEEP_FIRST, PICK_WRITES, PICK_SECTORS, SHUFFLE };
#define STYLE_COUNT 5
static const char *const STYLE_TEXT[STYLE_COUNT] = {"lose all", "keep first", "pick writes", "pick sectors",
                                                    "shuffle"};

struct cutter {
    uint64_t random;
    enum style style;
    uint64_t first_lost;   /* KEEP_FIRST: changes from this one on are lost */
    unsigned keep_percent; /* PICK_…, SHUFFLE */
    struct fault_cut *cut;
};

/* Puts one piece, of at most a sector, as a dying disk might. */
static void put_piece(struct cutter *cutter, struct bytes *image, const struct change *piece, bool whole)
{
    uint64_t *random = &cutter->random;
    struct change made = *piece;
    uint8_t garbage[FAULT_SECTOR_BYTES];
    if (whole || fault_random_chance(random, 90)) {
        cutter->cut->kept++;
    } else if (fault_random_chance(random, 50)) {
        made.size = (size_t)fault_random_below(random, piece->size);
        cutter->cut->torn++;
    } else {
        for (size_t i = 0; i < piece->size; i++) {
            garbage[i] = (uint8_t)fault_random(random);
        }
        made.data = garbage;
        cutter->cut->garbled++;
    }
    apply(image, &made);
}

static void drop_piece(struct cutter *cutter, struct bytes *image, const struct change *piece)
{
    cutter->cut->dropped++;
    /* The file's new length may be on disk although the data is not: then it reads as zeroes. */
    uint64_t end = piece->offset + piece->size;
    if (end > image->size && fault_random_chance(&cutter->random, 10)) {
        set_size(image, (size_t)end);
    }
}

static void cut_write(struct cutter *cutter, struct bytes *image, const struct change *change)
{
    bool keep_write = fault_random_chance(&cutter->random, cutter->keep_percent);
    for (size_t at = 0; at < change->size;) {
        size_t room = FAULT_SECTOR_BYTES - (size_t)((change->offset + at) % FAULT_SECTOR_BYTES);
        size_t size = change->size - at < room ? change->size - at : room;
        struct change piece = {change->data + at, size, change->offset + at, change->number};
        at += size;
        bool keep = false, whole = false;
        switch (cutter->style) {
        case LOSE_ALL:
            break;
        case KEEP_FIRST: /* the write that the cut came into goes sector by sector */
            whole = change->number < cutter->first_lost;
            keep =
                whole || (change->number == cutter->first_lost && fault_random_chance(&cutter->random, 50));
            break;
        case PICK_WRITES:
            whole = keep = keep_write;
            break;
        case PICK_SECTORS:
        case SHUFFLE:
            keep = fault_random_chance(&cutter->random, cutter->keep_percent);
            break;
        }
        if (keep) {
            put_piece(cutter, image, &piece, whole);
        } else {
            drop_piece(cutter, image, &piece);
        }
    }
}

static bool keep_truncation(struct cutter *cutter, const struct change *change)
{
    switch (cutter->style) {
    case LOSE_ALL:
        return false;
    case KEEP_FIRST:
        return change->number < cutter->first_lost;
    case PICK_WRITES:
    case PICK_SECTORS:
    case SHUFFLE:
        return fault_random_chance(&cutter->random, cutter->keep_percent);
    }
    return false;
}

static void cut_node(struct cutter *cutter, struct fault_node *node)
{
    if (cutter->style == SHUFFLE) {
        for (size_t i = node->change_count; i > 1; i--) {
            size_t other = (size_t)fault_random_below(&cutter->random, i);
            struct change change = node->changes[i - 1];
            node->changes[i - 1] = node->changes[other];
            node->changes[other] = change;
        }
    }
    for (size_t i = 0; i < node->change_count; i++) {
        const struct change *change = &node->changes[i];
        if (change->data != NULL) {
            cut_write(cutter, &node->synced, change);
        } else if (keep_truncation(cutter, change)) {
            apply(&node->synced, change);
        }
    }
    forget_changes(node);
}

static void write_image(const char *path, const struct bytes *bytes)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, 0) != 0) {
        log_die("fault", "%s cannot be opened to write the image of the cut", path);
    }
    for (size_t at = 0; at < bytes->size;) {
        ssize_t done = pwrite(file, bytes->data + at, bytes->size - at, (off_t)at);
        if (done <= 0) {
            log_die("fault", "the image of the cut cannot be written to %s", path);
        }
        at += (size_t)done;
    }
    close(file);
}

/* The shared memory of a WAL is a cache: after a real cut it is gone, old, or rubbish. */
static void cut_shared_memory(struct cutter *cutter, const char *path)
{
    size_t length = strlen(path);
    char *name = cs_alloc(length + sizeof("-shm"));
    memcpy(name, path, length);
    memcpy(name + length, "-shm", sizeof("-shm"));
    /* Unlinked either way: threads that are still alive have the old one mapped, and a truncation would end
     * them with SIGBUS. */
    if (unlink(name) == 0) {
        if (fault_random_chance(&cutter->random, 50)) {
            struct bytes rubbish = {0};
            set_size(&rubbish, 32768);
            for (size_t i = 0; i < rubbish.size; i++) {
                rubbish.data[i] = (uint8_t)fault_random(&cutter->random);
            }
            write_image(name, &rubbish);
            free(rubbish.data);
        }
    }
    free(name);
}

void fault_disk_cut(struct fault_disk *disk, uint64_t seed, struct fault_cut *cut)
{
    static const unsigned PERCENT[] = {5, 50, 50, 90};
    *cut = (struct fault_cut){0};
    uint64_t first = disk->changes;
    for (const struct fault_node *node = disk->nodes; node != NULL; node = node->next) {
        if (node->change_count > 0 && node->changes[0].number < first) {
            first = node->changes[0].number;
        }
    }
    struct cutter cutter = {.random = seed, .cut = cut};
    cutter.style = (enum style)fault_random_below(&cutter.random, STYLE_COUNT);
    cutter.keep_percent = PERCENT[fault_random_below(&cutter.random, sizeof(PERCENT) / sizeof(PERCENT[0]))];
    cutter.first_lost = first + fault_random_below(&cutter.random, disk->changes - first + 1);
    cut->style = STYLE_TEXT[cutter.style];

    for (struct fault_node *node = disk->nodes; node != NULL; node = node->next) {
        cut_node(&cutter, node);
    }
    for (struct entry *entry = disk->entries; entry != NULL; entry = entry->next) {
        bool old = entry->synced != entry->now && fault_random_chance(&cutter.random, 50);
        const struct fault_node *node = old ? entry->synced : entry->now;
        cut->entries_lost += old;
        if (node == NULL) {
            unlink(entry->path);
        } else {
            write_image(entry->path, &node->synced);
        }
        cut_shared_memory(&cutter, entry->path);
    }
}
