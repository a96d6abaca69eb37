#include "posix/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "posix/console.h"
#include "posix/draw.h"
#include "posix/words.h"

#define FILE_COLUMNS 80
#define FILE_ROWS    40
#define ENTER        "\033[?1049h\033[?25l" /* the terminal's other screen, without a cursor */
#define LEAVE        "\033[?25h\033[?1049l"

struct view {
    enum settings_display display;
    char screen_file[SETTINGS_PATH_SIZE];
    bool file_failed; /* told */
    struct core_screen screen;
    bool has_screen;
    char foot[WORDS_SIZE];
    struct console console;
};

/* ---- the screen, drawn ----------------------------------------------------------------------------------------------------------- */

static char *print(const struct view *view, unsigned columns, unsigned rows, const char *end, size_t *length)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, length);
    if (out == NULL) {
        log_die("meter", "out of memory");
    }
    draw_screen(out, &view->screen, view->display == DISPLAY_SCREEN ? view->foot : "", columns, rows, end);
    fclose(out);
    return text;
}

static void draw_terminal(struct view *view)
{
    struct winsize size = {.ws_col = 80, .ws_row = 24};
    size_t length;
    if (view->display != DISPLAY_SCREEN || !view->has_screen) {
        return;
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
        size = (struct winsize){.ws_col = 80, .ws_row = 24};
    }
    if (!console_flush(&view->console)) {
        return; /* the terminal is slow: the next picture will do */
    }
    char *text = print(view, size.ws_col, (unsigned)size.ws_row - 1, "\033[K\r\n", &length);
    console_put(&view->console, "\033[H", 3);
    console_put(&view->console, text, length);
    console_put(&view->console, "\033[J", 3);
    free(text);
}

/* For whoever looks: not synced, but never half of it. */
static void draw_file(struct view *view)
{
    char fresh[SETTINGS_PATH_SIZE + 8];
    size_t length;
    if (view->screen_file[0] == '\0') {
        return;
    }
    char *text = print(view, FILE_COLUMNS, FILE_ROWS, "\n", &length);
    snprintf(fresh, sizeof(fresh), "%s.new", view->screen_file);
    FILE *out = fopen(fresh, "we");
    bool written = out != NULL && fwrite(text, 1, length, out) == length;
    written = out != NULL && fclose(out) == 0 && written;
    written = written && rename(fresh, view->screen_file) == 0;
    if (!written && !view->file_failed) {
        log_write(LOG_LEVEL_WARN, "meter", "cannot write the screen file %s: %s", fresh, strerror(errno));
    }
    view->file_failed = !written;
    free(text);
}

/* ---- lines ------------------------------------------------------------------------------------------------------------------------ */

static void put_line(struct view *view, const char *text)
{
    char line[WORDS_SIZE + 16], hour[12];
    time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    strftime(hour, sizeof(hour), "%H:%M:%S", &local);
    int length = snprintf(line, sizeof(line), "%s %s\n", hour, text);
    console_put(&view->console, line, (size_t)length);
}

/* A countdown is no news. */
static bool looks_alike(const struct core_screen *a, const struct core_screen *b)
{
    if (a->kind != b->kind || a->line_count != b->line_count || strcmp(a->qr, b->qr) != 0) {
        return false;
    }
    for (unsigned i = 0; i < a->line_count; i++) {
        if (!(a->kind == CORE_SCREEN_PAID && i == 1) && strcmp(a->lines[i], b->lines[i]) != 0) {
            return false;
        }
    }
    return true;
}

static void put_screen_line(struct view *view, const struct core_screen *screen)
{
    char text[WORDS_SIZE] = "shows";
    size_t length = strlen(text);
    for (unsigned i = 0; i < screen->line_count; i++) {
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s %s", i > 0 ? " |" : "",
                                   screen->lines[i]);
    }
    if (screen->qr[0] != '\0') {
        snprintf(text + length, sizeof(text) - length, " [%s]", screen->qr);
    }
    put_line(view, text);
}

static void put_json(struct view *view, json_t *event)
{
    json_t *line = json_pack("{sI}", "at", (json_int_t)clock_wall_ms());
    json_object_update(line, event);
    char *text = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    if (text == NULL) {
        log_die("meter", "out of memory");
    }
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of its NUL: one write, one line */
    console_put(&view->console, text, length + 1);
    free(text);
}

/* ---- what is told ------------------------------------------------------------------------------------------------------------------ */

static void put_screen_json(struct view *view, const struct core_screen *screen)
{
    json_t *lines = json_array();
    for (unsigned i = 0; i < screen->line_count; i++) {
        json_array_append_new(lines, json_string(screen->lines[i]));
    }
    view_event(view, json_pack("{sssssosIss}", "event", "screen", "kind", draw_kind(screen->kind), "lines",
                               lines, "remaining_s", (json_int_t)screen->remaining_s, "qr", screen->qr));
}

void view_screen(struct view *view, const struct core_screen *screen)
{
    bool is_news = !view->has_screen || !looks_alike(&view->screen, screen);
    view->screen = *screen;
    view->has_screen = true;
    switch (view->display) {
    case DISPLAY_AUTO:
        break;
    case DISPLAY_SCREEN:
        draw_terminal(view);
        break;
    case DISPLAY_PLAIN:
        if (is_news) {
            put_screen_line(view, screen);
        }
        break;
    case DISPLAY_JSON:
        put_screen_json(view, screen);
        break;
    }
    draw_file(view);
}

void view_event(struct view *view, json_t *event)
{
    char text[WORDS_SIZE];
    if (event == NULL) {
        log_die("meter", "out of memory");
    }
    if (view->display == DISPLAY_JSON) {
        put_json(view, event);
    } else if (words_say(event, text)) {
        if (view->display == DISPLAY_SCREEN) {
            memcpy(view->foot, text, sizeof(view->foot));
            draw_terminal(view);
        } else {
            put_line(view, text);
        }
    }
    json_decref(event);
}

void view_resized(struct view *view)
{
    draw_terminal(view);
}

void view_tick(struct view *view)
{
    (void)console_flush(&view->console);
}

struct view *view_open(const struct settings *settings)
{
    struct view *view = cs_alloc(sizeof(*view));
    view->display = (enum settings_display)settings->display;
    if (view->display == DISPLAY_AUTO) {
        view->display = isatty(STDOUT_FILENO) ? DISPLAY_SCREEN : DISPLAY_PLAIN;
    }
    snprintf(view->screen_file, sizeof(view->screen_file), "%s", settings->screen_file);
    console_init(&view->console);
    if (view->display == DISPLAY_SCREEN) {
        console_put(&view->console, ENTER, strlen(ENTER));
    }
    return view;
}

void view_close(struct view *view)
{
    if (view->display == DISPLAY_SCREEN) {
        console_put(&view->console, LEAVE, strlen(LEAVE));
    }
    console_fini(&view->console);
    free(view);
}
