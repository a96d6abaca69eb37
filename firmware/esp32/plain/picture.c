#include "plain/picture.h"

#include <assert.h>
#include <string.h>

#include "plain/font.h"

#define ROWS_MOST   (2 * CORE_SCREEN_LINES + 2)
#define GAP         2 /* columns between the words and the code */
#define SCALE_TITLE 2
#define SCALE_COUNT 4

/* ---- dots --------------------------------------------------------------------------------------------------------------- */

static void set_dot(struct picture *picture, unsigned x, unsigned y, bool lit)
{
    if (x >= PICTURE_WIDTH || y >= PICTURE_HEIGHT) {
        return;
    }
    uint8_t *column = &picture->pages[y / 8 * PICTURE_WIDTH + x];
    uint8_t bit = (uint8_t)(1u << y % 8);
    *column = (uint8_t)(lit ? *column | bit : *column & ~bit);
}

bool picture_is_lit(const struct picture *picture, unsigned x, unsigned y)
{
    assert(x < PICTURE_WIDTH && y < PICTURE_HEIGHT);
    return (picture->pages[y / 8 * PICTURE_WIDTH + x] >> y % 8 & 1) != 0;
}

/* ---- the code ----------------------------------------------------------------------------------------------------------- */

void picture_code_clear(struct picture_code *code, uint8_t size)
{
    assert(size <= PICTURE_CODE_MOST);
    memset(code, 0, sizeof(*code));
    code->size = size;
}

void picture_code_darken(struct picture_code *code, unsigned x, unsigned y)
{
    assert(x < code->size && y < code->size);
    unsigned at = y * code->size + x;
    code->dark[at / 8] = (uint8_t)(code->dark[at / 8] | 1u << at % 8);
}

/* Light is lit: with its quiet zone the code is a bright square. The column where that begins. */
static unsigned draw_code(struct picture *picture, const struct picture_code *code)
{
    unsigned side = code->size + 2u * PICTURE_QUIET;
    unsigned left = PICTURE_WIDTH - side, top = (PICTURE_HEIGHT - side) / 2;
    for (unsigned y = 0; y < side; y++) {
        for (unsigned x = 0; x < side; x++) {
            unsigned column = x - PICTURE_QUIET,
                     row = y - PICTURE_QUIET; /* beyond the code where they wrap */
            unsigned at = row * code->size + column;
            bool dark = column < code->size && row < code->size && (code->dark[at / 8] >> at % 8 & 1) != 0;
            set_dot(picture, left + x, top + y, !dark);
        }
    }
    return left;
}

/* ---- words -------------------------------------------------------------------------------------------------------------- */

struct row {
    const char *text;
    unsigned length, scale;
};

struct page {
    struct row rows[ROWS_MOST];
    unsigned count;
    unsigned width; /* of the place for words */
};

static unsigned width_of(const char *text, unsigned length)
{
    unsigned width = 0;
    for (unsigned i = 0; i < length; i++) {
        width += font_letter(text[i]).width + 1u;
    }
    return width > 0 ? width - 1 : 0;
}

static unsigned height_of(const struct page *page)
{
    unsigned height = 0;
    for (unsigned i = 0; i < page->count; i++) {
        height += page->rows[i].scale * FONT_ROW;
    }
    return height > 0 ? height - 1 : 0;
}

/* The largest scale at which the line fits, up to `most`; else 1. */
static unsigned scale_for(const char *text, unsigned width, unsigned most)
{
    unsigned scale = most, dots = width_of(text, (unsigned)strlen(text));
    while (scale > 1 && dots * scale > width) {
        scale--;
    }
    return scale;
}

/* As many whole words as fit the width; a single word that is too long is cut by the edge. */
static unsigned fitting_length(const char *text, unsigned width)
{
    unsigned fits = 0, at = 0;
    while (text[at] != '\0') {
        unsigned end = at + (unsigned)strcspn(text + at, " ");
        if (fits > 0 && width_of(text, end) > width) {
            break;
        }
        fits = end;
        at = end + (unsigned)strspn(text + end, " ");
    }
    return fits;
}

static void add_line(struct page *page, const char *text, unsigned scale, bool wrap)
{
    do {
        unsigned length = fitting_length(text, page->width / scale);
        page->rows[page->count++] = (struct row){text, length, scale};
        text += length;
        text += strspn(text, " ");
    } while (wrap && *text != '\0' && page->count < ROWS_MOST);
}

/* Without wrapping each line keeps its first words: of a price that is too long, the time gets shorter, never longer. */
static void fill_page(struct page *page, const struct core_screen *screen, bool large, bool wrap)
{
    page->count = 0;
    for (unsigned i = 0; i < screen->line_count && page->count < ROWS_MOST; i++) {
        bool countdown = screen->kind == CORE_SCREEN_PAID && i == 1;
        unsigned scale = countdown         ? scale_for(screen->lines[i], page->width, SCALE_COUNT)
                         : large && i == 0 ? SCALE_TITLE
                                           : 1;
        add_line(page, screen->lines[i], scale, wrap);
    }
}

static void draw_row(struct picture *picture, const struct row *row, unsigned x, unsigned y, unsigned right)
{
    for (unsigned i = 0; i < row->length; i++) {
        struct font_letter letter = font_letter(row->text[i]);
        for (unsigned dot = 0; dot < FONT_HEIGHT * row->scale * letter.width * row->scale; dot++) {
            unsigned column = dot % (letter.width * row->scale), line = dot / (letter.width * row->scale);
            if ((letter.rows[line / row->scale] & 0x10 >> column / row->scale) != 0 && x + column < right) {
                set_dot(picture, x + column, y + line, true);
            }
        }
        x += (letter.width + 1u) * row->scale;
    }
}

void picture_draw(struct picture *picture, const struct core_screen *screen, const struct picture_code *code)
{
    bool with_code = code != NULL && code->size > 0;
    memset(picture, 0, sizeof(*picture));
    struct page page = {.width = PICTURE_WIDTH};
    if (with_code) {
        page.width = draw_code(picture, code) - GAP;
    }
    fill_page(&page, screen, !with_code, true);
    if (height_of(&page) > PICTURE_HEIGHT) {
        fill_page(&page, screen, false, false);
    }
    unsigned height = height_of(&page), y = height < PICTURE_HEIGHT ? (PICTURE_HEIGHT - height) / 2 : 0;
    for (unsigned i = 0; i < page.count; i++) {
        const struct row *row = &page.rows[i];
        unsigned width = width_of(row->text, row->length) * row->scale;
        unsigned x = with_code || width >= page.width ? 0 : (page.width - width) / 2;
        draw_row(picture, row, x, y, page.width);
        y += row->scale * FONT_ROW;
    }
}
