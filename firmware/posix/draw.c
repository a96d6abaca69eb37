#include "posix/draw.h"

#include <qrcodegen/qrcodegen.h>
#include <string.h>

#define QUIET         2  /* modules around the code; readers manage with less than the standard's four */
#define VERSION       10 /* of QR codes, holds 271 bytes: more than CORE_QR_SIZE */
#define QR_BUFFER     qrcodegen_BUFFER_LEN_FOR_VERSION(VERSION)
#define BIG_ROWS      5
#define RIGHT_ROWS    (CORE_SCREEN_LINES * 2 + BIG_ROWS)
#define CELL_SIZE     160 /* bytes of one row of the right side */
#define DARK_ON_WHITE "\033[30;107m"
#define PLAIN         "\033[0m"

const char *draw_kind(enum core_screen_kind kind)
{
    switch (kind) {
    case CORE_SCREEN_STARTING:
        return "starting";
    case CORE_SCREEN_PRICES:
        return "prices";
    case CORE_SCREEN_PAID:
        return "paid";
    case CORE_SCREEN_NOT_ENOUGH:
        return "not_enough";
    case CORE_SCREEN_TOO_LATE:
        return "too_late";
    case CORE_SCREEN_REFUSED:
        return "refused";
    case CORE_SCREEN_DONT_PAY:
        return "dont_pay";
    case CORE_SCREEN_OUT_OF_SERVICE:
        return "out_of_service";
    }
    return "?";
}

static const char *color(enum core_screen_kind kind)
{
    switch (kind) {
    case CORE_SCREEN_STARTING:
        return "\033[1;37m";
    case CORE_SCREEN_PRICES:
        return "\033[1;36m";
    case CORE_SCREEN_PAID:
        return "\033[1;32m";
    case CORE_SCREEN_NOT_ENOUGH:
    case CORE_SCREEN_TOO_LATE:
    case CORE_SCREEN_REFUSED:
        return "\033[1;33m";
    case CORE_SCREEN_DONT_PAY:
    case CORE_SCREEN_OUT_OF_SERVICE:
        return "\033[1;31m";
    }
    return "";
}

/* ---- the right side: text ---------------------------------------------------------------------------------------------------- */

struct cells {
    unsigned count;
    char row[RIGHT_ROWS][CELL_SIZE];
};

static void add(struct cells *cells, const char *before, const char *text)
{
    snprintf(cells->row[cells->count++], CELL_SIZE, "%s%s%s", before, text, before[0] != '\0' ? PLAIN : "");
}

/* Digits of three by five. */
static void add_big(struct cells *cells, const char *text, const char *before)
{
    static const char *const DIGITS[11][BIG_ROWS] = {
        {"###", "# #", "# #", "# #", "###"}, {"  #", "  #", "  #", "  #", "  #"},
        {"###", "  #", "###", "#  ", "###"}, {"###", "  #", "###", "  #", "###"},
        {"# #", "# #", "###", "  #", "  #"}, {"###", "#  ", "###", "  #", "###"},
        {"###", "#  ", "###", "# #", "###"}, {"###", "  #", "  #", "  #", "  #"},
        {"###", "# #", "###", "# #", "###"}, {"###", "# #", "###", "  #", "###"},
        {" ", "#", " ", "#", " "}, /* the colon */
    };
    for (unsigned row = 0; row < BIG_ROWS; row++) {
        char line[CELL_SIZE / 2] = "";
        size_t length = 0;
        for (const char *c = text; *c != '\0' && length + 16 < sizeof(line); c++) {
            const char *part = DIGITS[*c >= '0' && *c <= '9' ? *c - '0' : 10][row];
            for (; *part != '\0'; part++) {
                length +=
                    (size_t)snprintf(line + length, sizeof(line) - length, "%s", *part == '#' ? "█" : " ");
            }
            length += (size_t)snprintf(line + length, sizeof(line) - length, " ");
        }
        add(cells, before, line);
    }
}

static void compose(const struct core_screen *screen, struct cells *cells)
{
    const char *bright = color(screen->kind);
    cells->count = 0;
    for (unsigned i = 0; i < screen->line_count; i++) {
        if (screen->kind == CORE_SCREEN_PAID && i == 1 && strlen(screen->lines[i]) <= 8) {
            add_big(cells, screen->lines[i], bright);
        } else {
            add(cells, i == 0 ? bright : "", screen->lines[i]);
        }
        if (i == 0 || (screen->kind == CORE_SCREEN_PAID && i == 1)) {
            add(cells, "", "");
        }
    }
}

/* ---- the left side: the code ------------------------------------------------------------------------------------------------ */

static bool is_dark(const uint8_t *code, int x, int y)
{
    return qrcodegen_getModule(code, x - QUIET, y - QUIET); /* outside of it: false */
}

/* Two modules a character, one above the other. */
static void draw_qr_row(FILE *out, const uint8_t *code, int size, int row)
{
    static const char *const BLOCKS[] = {" ", "▄", "▀", "█"};
    fputs(DARK_ON_WHITE, out);
    for (int x = 0; x < size; x++) {
        int upper = is_dark(code, x, 2 * row), lower = is_dark(code, x, 2 * row + 1);
        fputs(BLOCKS[2 * upper + lower], out);
    }
    fputs(PLAIN, out);
}

/* How many modules it has on a side, the quiet ones too; 0: none, or it does not fit. */
static int make_qr(const char *text, uint8_t code[QR_BUFFER], unsigned columns, unsigned rows)
{
    uint8_t buffer[QR_BUFFER];
    if (text[0] == '\0' || !qrcodegen_encodeText(text, buffer, code, qrcodegen_Ecc_LOW, qrcodegen_VERSION_MIN,
                                                 VERSION, qrcodegen_Mask_AUTO, true)) {
        return 0;
    }
    int size = qrcodegen_getSize(code) + 2 * QUIET;
    return (unsigned)size <= columns && (unsigned)(size + 1) / 2 <= rows ? size : 0;
}

/* ---- both -------------------------------------------------------------------------------------------------------------------- */

void draw_screen(FILE *out, const struct core_screen *screen, const char *foot, unsigned columns,
                 unsigned rows, const char *end)
{
    uint8_t code[QR_BUFFER];
    struct cells cells;
    int size = make_qr(screen->qr, code, columns, rows);
    unsigned qr_rows = (unsigned)(size + 1) / 2;
    compose(screen, &cells);
    bool beside = size > 0 && (unsigned)size + 3 + CORE_SCREEN_COLUMNS <= columns;
    unsigned above = beside && qr_rows > cells.count ? (qr_rows - cells.count) / 2 : 0;
    unsigned used = 0, text_rows = beside && qr_rows > cells.count ? qr_rows : cells.count;
    for (unsigned row = 0; row < text_rows && used < rows; row++, used++) {
        const char *text = row >= above && row - above < cells.count ? cells.row[row - above] : "";
        if (beside && row < qr_rows) {
            draw_qr_row(out, code, size, (int)row);
        } else if (beside) {
            fprintf(out, "%*s", size, "");
        }
        fprintf(out, "%s%s%s", beside ? "   " : "", text, end);
    }
    for (unsigned row = 0; !beside && used + qr_rows - row <= rows && row < qr_rows; row++, used++) {
        draw_qr_row(out, code, size, (int)row);
        fputs(end, out);
    }
    if (size == 0 && screen->qr[0] != '\0' && used < rows && strlen(screen->qr) <= columns) {
        fprintf(out, "%s%s", screen->qr, end);
        used++;
    }
    if (foot[0] != '\0' && used < rows) {
        fprintf(out, "\033[2m%.*s%s%s", (int)columns, foot, PLAIN, end);
    }
}
