/*
 * The writer's cursor; and, at the end, a model of cursor and outbox with the channels between them, explored exhaustively: every order in
 * which payments, pages, acks, begins, ends, answers and posts can meet, up to a bound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "delivery/cursor.h"
#include "delivery/outbox.h"

#define WINDOW 3

/* ---- one rule at a time -------------------------------------------------------------------------------- */

static void begin(struct cursor *cursor, uint64_t generation, uint64_t resume)
{
    assert_int_equal(cursor_begin_session(cursor, generation, resume, WINDOW), CS_OK);
}

static enum cursor_post pay(struct cursor *cursor)
{
    uint64_t seq;
    enum cursor_post post = cursor_take_payment(cursor, &seq);
    assert_int_equal(seq, cursor->head);
    return post;
}

static void payments_are_only_counted_while_there_is_no_session(void **state)
{
    (void)state;
    struct cursor cursor = {0};
    assert_int_equal(pay(&cursor), CURSOR_POST_NOTHING);
    assert_int_equal(pay(&cursor), CURSOR_POST_NOTHING);
    assert_int_equal(cursor.head, 2);
    assert_int_equal(cursor.sent, 0);
}

static void a_payment_goes_out_live_when_nothing_older_waits(void **state)
{
    (void)state;
    struct cursor cursor = {0};
    begin(&cursor, 1, 0);
    assert_int_equal(pay(&cursor), CURSOR_POST_LIVE);
    assert_int_equal(cursor.sent, 1);
}

static void behind_a_backlog_the_session_is_told_once_until_it_asks(void **state)
{
    (void)state;
    struct cursor cursor = {0};
    pay(&cursor);
    begin(&cursor, 1, 0);
    assert_int_equal(pay(&cursor), CURSOR_POST_RAISE);
    assert_int_equal(pay(&cursor), CURSOR_POST_NOTHING);
    uint64_t mark_from, to;
    cursor_mark_page(&cursor, 1, 2, &mark_from, &to);
    assert_int_equal(mark_from, 1);
    assert_int_equal(to, 2);
    assert_int_equal(pay(&cursor), CURSOR_POST_RAISE);
}

static void past_the_window_nothing_goes_out(void **state)
{
    (void)state;
    struct cursor cursor = {0};
    begin(&cursor, 1, 0);
    for (int i = 0; i < WINDOW; i++) {
        assert_int_equal(pay(&cursor), CURSOR_POST_LIVE);
    }
    assert_int_equal(pay(&cursor), CURSOR_POST_RAISE);
    uint64_t mark_from, to;
    cursor_mark_page(&cursor, WINDOW + 1, 5, &mark_from, &to);
    assert_int_equal(to, WINDOW);
    assert_int_equal(cursor.sent, WINDOW);
    assert_int_equal(cursor_ack(&cursor, 2), CS_OK);
    assert_int_equal(cursor.acked, 2);
    cursor_mark_page(&cursor, WINDOW + 1, 5, &mark_from, &to);
    assert_int_equal(to, WINDOW + 1);
}

static void an_attempt_is_counted_once_a_session(void **state)
{
    (void)state;
    struct cursor cursor = {0};
    begin(&cursor, 1, 0);
    pay(&cursor);
    pay(&cursor);
    uint64_t mark_from, to;
    cursor_mark_page(&cursor, 1, 2, &mark_from, &to);
    assert_int_equal(to, 2);
    assert_int_equal(mark_from, 3); /* both went out live: nothing to mark */
    begin(&cursor, 2, 0);
    cursor_mark_page(&cursor, 1, 2, &mark_from, &to);
    assert_int_equal(mark_from, 1);
}

static void resume_above_what_was_ever_sent_changes_nothing(void **state)
{
    (void)state;
    struct cursor cursor = {0};
    begin(&cursor, 1, 0);
    pay(&cursor);
    struct cursor before = cursor;
    assert_int_equal(cursor_begin_session(&cursor, 2, 2, WINDOW), CS_ECONFLICT);
    assert_memory_equal(&cursor, &before, sizeof(cursor));
}

static void a_new_session_takes_the_larger_of_resume_and_ack(void **state)
{
    (void)state;
    struct cursor cursor = {0};
    begin(&cursor, 1, 0);
    pay(&cursor);
    pay(&cursor);
    assert_int_equal(cursor_ack(&cursor, 2), CS_OK);
    begin(&cursor, 2, 1);
    assert_int_equal(cursor.acked, 2);
    assert_int_equal(cursor.session_sent, 2);
    assert_false(cursor_is_live(&cursor, 1));
    assert_true(cursor_is_live(&cursor, 2));
    cursor_end_session(&cursor);
    assert_false(cursor_is_live(&cursor, 2));
    assert_false(cursor_is_live(&cursor, 0));
}

static void an_ack_ahead_is_refused_and_an_old_one_moves_nothing(void **state)
{
    (void)state;
    struct cursor cursor = {0};
    begin(&cursor, 1, 0);
    pay(&cursor);
    assert_int_equal(cursor_ack(&cursor, 2), CS_EINVAL);
    assert_int_equal(cursor_ack(&cursor, 1), CS_OK);
    assert_int_equal(cursor_ack(&cursor, 0), CS_OK);
    assert_int_equal(cursor.acked, 1);
}

/* ---- the model
 *
 *   device ──ack──► push ──command──► writer ──post──► push ──frame──► device
 *                                        └─request─► replayer ──page──► push
 *
 * Each arrow is a FIFO. Posts and pages share one mailbox, but the writer commits before it posts, so that the replayer may read and
 * post in between: two FIFOs whose heads are taken in any order. One action moves one thing through one end of one channel.
 */

#define SESSIONS    3
#define COMMANDS    6
#define POSTS       10
#define PAGES       3
#define STATES_MOST 4000000

enum command_kind { COMMAND_BEGIN, COMMAND_ACK, COMMAND_PAGE, COMMAND_END };
enum post_kind { POST_BEGUN, POST_LIVE, POST_RAISED, POST_ENDED };
enum phase { PHASE_NONE, PHASE_BEGINNING, PHASE_LIVE, PHASE_OVER };

/* All bytes, so that a state compares and hashes by memory. */
struct command {
    uint8_t kind, session, a, b;
};
struct post {
    uint8_t kind, session, a, b;
};
struct page {
    uint8_t session, from, to, head;
};
struct session {
    uint8_t phase, next_seq, head, acked, page_asked;
    uint8_t said;  /* the highest ack that the device has put on its way */
    uint8_t heard; /* the highest that push has taken from it */
};
struct world {
    uint8_t head, sent, acked, generation, session_sent, raised;
    uint8_t persisted;  /* by the device */
    uint8_t connection; /* of the device: the number of its session + 1, or 0 */
    uint8_t opened;     /* sessions so far */
    uint8_t marked;     /* bit seq: its row was marked as sent */
    uint8_t commands, posts, requests, pages;
    struct session session[SESSIONS];
    struct command command[COMMANDS];
    struct post post[POSTS];
    struct page request[PAGES], page[PAGES];
};

struct bound {
    uint8_t payments, sessions, window, page_size;
};

struct search {
    struct bound bound;
    struct world *worlds;
    uint32_t *parents; /* for the trace */
    char (*steps)[12];
    uint32_t *table;
    uint32_t count, table_size;
    uint32_t done;
    char step[12];
    const char *broken;
};

static struct cursor cursor_of(const struct search *search, const struct world *world)
{
    return (struct cursor){
        .head = world->head,
        .sent = world->sent,
        .acked = world->acked,
        .generation = world->generation,
        .session_sent = world->session_sent,
        .window = search->bound.window,
        .raised = world->raised != 0,
    };
}

static void keep_cursor(struct world *world, const struct cursor *cursor)
{
    world->head = (uint8_t)cursor->head;
    world->sent = (uint8_t)cursor->sent;
    world->acked = (uint8_t)cursor->acked;
    world->generation = (uint8_t)cursor->generation;
    world->session_sent = (uint8_t)cursor->session_sent;
    world->raised = cursor->raised;
}

static struct outbox outbox_of(const struct search *search, const struct session *session)
{
    return (struct outbox){
        .next_seq = session->next_seq,
        .head = session->head,
        .acked = session->acked,
        .window = search->bound.window,
        .page_asked = session->page_asked != 0,
    };
}

static void keep_outbox(struct session *session, const struct outbox *outbox)
{
    session->next_seq = (uint8_t)outbox->next_seq;
    session->head = (uint8_t)outbox->head;
    session->acked = (uint8_t)outbox->acked;
    session->page_asked = outbox->page_asked;
}

static void broken(struct search *search, const char *what)
{
    if (search->broken == NULL) {
        search->broken = what;
    }
}

static void add_command(struct search *search, struct world *world, enum command_kind kind, int session,
                        uint64_t a, uint64_t b)
{
    if (world->commands == COMMANDS) {
        broken(search, "the model's command channel is too short");
        return;
    }
    world->command[world->commands++] =
        (struct command){(uint8_t)kind, (uint8_t)session, (uint8_t)a, (uint8_t)b};
}

static void add_post(struct search *search, struct world *world, enum post_kind kind, int session, uint64_t a,
                     uint64_t b)
{
    if (world->posts == POSTS) {
        broken(search, "the model's post channel is too short");
        return;
    }
    world->post[world->posts++] = (struct post){(uint8_t)kind, (uint8_t)session, (uint8_t)a, (uint8_t)b};
}

/* What push does after each event (device.c, advance). */
static void advance(struct search *search, struct world *world, int number, struct outbox *outbox)
{
    uint64_t from;
    uint32_t most;
    if (outbox_wants_page(outbox, search->bound.page_size, &from, &most)) {
        add_command(search, world, COMMAND_PAGE, number, from, most);
    }
    keep_outbox(&world->session[number], outbox);
}

/* ---- one action each; false when there is nothing to do ------------------------------------------------ */

static bool act_pay(struct search *search, struct world *world)
{
    if (world->head == search->bound.payments) {
        return false;
    }
    struct cursor cursor = cursor_of(search, world);
    uint64_t seq;
    enum cursor_post post = cursor_take_payment(&cursor, &seq);
    keep_cursor(world, &cursor);
    switch (post) {
    case CURSOR_POST_NOTHING:
        break;
    case CURSOR_POST_LIVE:
        world->marked = (uint8_t)(world->marked | 1u << seq);
        add_post(search, world, POST_LIVE, world->generation - 1, seq, 0);
        break;
    case CURSOR_POST_RAISE:
        add_post(search, world, POST_RAISED, world->generation - 1, seq, 0);
        break;
    }
    return true;
}

static void write_begin(struct search *search, struct world *world, struct cursor *cursor,
                        const struct command *command)
{
    if (cursor->generation != 0) {
        add_post(search, world, POST_ENDED, (int)cursor->generation - 1, 0, 0);
    }
    if (cursor_begin_session(cursor, command->session + 1u, command->a, search->bound.window) != CS_OK) {
        broken(search, "the writer knows nothing of what the device has persisted");
        return;
    }
    add_post(search, world, POST_BEGUN, command->session, cursor->acked, cursor->head);
}

static void write_page(struct search *search, struct world *world, struct cursor *cursor,
                       const struct command *command)
{
    uint64_t mark_from, to;
    cursor_mark_page(cursor, command->a, command->b, &mark_from, &to);
    if (to < command->a) {
        broken(search, "a page that was asked for is empty");
    }
    for (uint64_t seq = mark_from; seq <= to; seq++) {
        world->marked = (uint8_t)(world->marked | 1u << seq);
    }
    if (world->requests == PAGES) {
        broken(search, "the model's request channel is too short");
        return;
    }
    world->request[world->requests++] =
        (struct page){command->session, command->a, (uint8_t)to, (uint8_t)cursor->head};
}

static bool act_write(struct search *search, struct world *world)
{
    if (world->commands == 0) {
        return false;
    }
    struct command command = world->command[0];
    world->commands--;
    memmove(world->command, world->command + 1, sizeof(world->command) - sizeof(command));
    memset(&world->command[COMMANDS - 1], 0, sizeof(command));
    struct cursor cursor = cursor_of(search, world);
    bool live = cursor_is_live(&cursor, command.session + 1u);
    if (command.kind == COMMAND_BEGIN) {
        write_begin(search, world, &cursor, &command);
    } else if (live && command.kind == COMMAND_ACK) {
        if (cursor_ack(&cursor, command.a) != CS_OK) {
            broken(search, "the writer refuses an ack that push has taken");
        }
    } else if (live && command.kind == COMMAND_PAGE) {
        write_page(search, world, &cursor, &command);
    } else if (live && command.kind == COMMAND_END) {
        cursor_end_session(&cursor);
    }
    keep_cursor(world, &cursor);
    return true;
}

static bool act_replay(struct search *search, struct world *world)
{
    if (world->requests == 0) {
        return false;
    }
    if (world->pages == PAGES) {
        broken(search, "the model's page channel is too short");
        return true;
    }
    world->page[world->pages++] = world->request[0];
    world->requests--;
    memmove(world->request, world->request + 1, sizeof(world->request) - sizeof(world->request[0]));
    memset(&world->request[PAGES - 1], 0, sizeof(world->request[0]));
    return true;
}

static void take_begun(struct search *search, struct world *world, const struct post *post)
{
    struct session *session = &world->session[post->session];
    if (session->phase == PHASE_OVER) {
        add_command(search, world, COMMAND_END, post->session, 0, 0);
        return;
    }
    session->phase = PHASE_LIVE;
    session->said = session->heard = post->a;
    if (world->connection == post->session + 1 && post->a != world->persisted) {
        broken(search, "a session does not begin after what the device has persisted");
    }
    struct outbox outbox;
    outbox_init(&outbox, post->a, post->b, search->bound.window);
    advance(search, world, post->session, &outbox);
}

static bool act_take_post(struct search *search, struct world *world)
{
    if (world->posts == 0) {
        return false;
    }
    struct post post = world->post[0];
    world->posts--;
    memmove(world->post, world->post + 1, sizeof(world->post) - sizeof(post));
    memset(&world->post[POSTS - 1], 0, sizeof(post));
    if (post.kind == POST_BEGUN) {
        take_begun(search, world, &post);
        return true;
    }
    struct session *session = &world->session[post.session];
    if (session->phase != PHASE_LIVE) {
        return true;
    }
    struct outbox outbox = outbox_of(search, session);
    if (post.kind == POST_ENDED) {
        session->phase = PHASE_OVER;
        return true;
    }
    if (post.kind == POST_LIVE) {
        (void)outbox_offer(&outbox, post.a, post.a);
    } else {
        outbox_raise(&outbox, post.a);
    }
    advance(search, world, post.session, &outbox);
    return true;
}

static bool act_take_page(struct search *search, struct world *world)
{
    if (world->pages == 0) {
        return false;
    }
    struct page page = world->page[0];
    world->pages--;
    memmove(world->page, world->page + 1, sizeof(world->page) - sizeof(page));
    memset(&world->page[PAGES - 1], 0, sizeof(page));
    struct session *session = &world->session[page.session];
    if (session->phase != PHASE_LIVE) {
        return true;
    }
    struct outbox outbox = outbox_of(search, session);
    for (uint64_t seq = page.from; seq <= page.to; seq++) {
        (void)outbox_offer(&outbox, seq, seq);
    }
    outbox_page_done(&outbox, page.head);
    advance(search, world, page.session, &outbox);
    return true;
}

static struct session *connected(struct world *world)
{
    return world->connection != 0 ? &world->session[world->connection - 1] : NULL;
}

/* What was sent stands in the socket, in order, from the welcome's last_acked on: the next frame is the one after what is persisted. */
static bool act_receive(struct search *search, struct world *world)
{
    struct session *session = connected(world);
    if (session == NULL || session->phase == PHASE_NONE || session->phase == PHASE_BEGINNING ||
        world->persisted + 1 >= session->next_seq) {
        return false;
    }
    world->persisted++;
    if (world->persisted > world->sent) {
        broken(search, "the device has something that the writer never marked as sent");
    }
    return true;
}

static bool act_say_ack(struct search *search, struct world *world)
{
    (void)search;
    struct session *session = connected(world);
    if (session == NULL || session->phase != PHASE_LIVE || session->said >= world->persisted) {
        return false;
    }
    session->said = world->persisted;
    return true;
}

static bool act_hear_ack(struct search *search, struct world *world)
{
    struct session *session = connected(world);
    if (session == NULL || session->phase != PHASE_LIVE || session->heard == session->said) {
        return false;
    }
    session->heard = session->said;
    struct outbox outbox = outbox_of(search, session);
    if (outbox_ack(&outbox, session->said) != CS_OK) {
        broken(search, "push refuses the ack of what it has sent");
        return true;
    }
    add_command(search, world, COMMAND_ACK, world->connection - 1, session->said, 0);
    advance(search, world, world->connection - 1, &outbox);
    return true;
}

/* The plug is pulled, or a second machine has the credential: push learns of the old connection's end later, or never before the fence. */
static bool act_connect(struct search *search, struct world *world)
{
    if (world->opened == search->bound.sessions) {
        return false;
    }
    int number = world->opened++;
    world->connection = world->opened;
    world->session[number].phase = PHASE_BEGINNING;
    add_command(search, world, COMMAND_BEGIN, number, world->persisted, 0);
    return true;
}

/* Push finds out that a connection which the device has left, or its current one, is gone. */
static bool close_session(struct search *search, struct world *world, int number)
{
    struct session *session = &world->session[number];
    if (session->phase != PHASE_LIVE && session->phase != PHASE_BEGINNING) {
        return false;
    }
    if (session->phase == PHASE_LIVE) {
        add_command(search, world, COMMAND_END, number, 0, 0);
    }
    session->phase = PHASE_OVER;
    if (world->connection == number + 1) {
        world->connection = 0;
    }
    return true;
}

static bool act_close_0(struct search *search, struct world *world)
{
    return close_session(search, world, 0);
}

static bool act_close_1(struct search *search, struct world *world)
{
    return close_session(search, world, 1);
}

static const struct {
    const char *name;
    bool (*act)(struct search *search, struct world *world);
} ACTIONS[] = {
    {"pay", act_pay},         {"write", act_write},     {"replay", act_replay},   {"post", act_take_post},
    {"page", act_take_page},  {"receive", act_receive}, {"say ack", act_say_ack}, {"hear ack", act_hear_ack},
    {"connect", act_connect}, {"close 0", act_close_0}, {"close 1", act_close_1},
};

/* ---- what must hold in every state --------------------------------------------------------------------- */

static void check(struct search *search, const struct world *world)
{
    if (world->persisted > world->head) {
        broken(search, "the device has more than exists");
    }
    if (world->marked != (uint8_t)((2u << world->sent) - 2u)) {
        broken(search, "the rows that are marked as sent are not those up to the cursor's sent");
    }
    if (world->acked > world->persisted) {
        broken(search, "the writer thinks acked what the device does not have");
    }
    if (world->commands != 0 || world->posts != 0 || world->requests != 0 || world->pages != 0 ||
        world->connection == 0) {
        return;
    }
    const struct session *session = &world->session[world->connection - 1];
    if (session->phase != PHASE_LIVE) {
        broken(search, "everything is quiet and the connected session is not live");
        return;
    }
    uint8_t out = (uint8_t)(session->next_seq - 1 - session->acked);
    if (out < search->bound.window && session->next_seq != world->head + 1) {
        broken(search, "everything is quiet, the window has room, and something due has not been sent");
    }
}

/* ---- breadth first ------------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct world *world)
{
    const uint8_t *bytes = (const uint8_t *)world;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < sizeof(*world); i++) {
        hash = (hash ^ bytes[i]) * 1099511628211u;
    }
    return hash ^ hash >> 32;
}

static void remember(struct search *search, const struct world *world, uint32_t parent)
{
    uint32_t at = (uint32_t)(hash_of(world) % search->table_size);
    while (search->table[at] != 0) {
        if (memcmp(&search->worlds[search->table[at] - 1], world, sizeof(*world)) == 0) {
            return;
        }
        at = (at + 1) % search->table_size;
    }
    assert_true(search->count < STATES_MOST);
    search->worlds[search->count] = *world;
    search->parents[search->count] = parent;
    memcpy(search->steps[search->count], search->step, sizeof(search->step));
    search->table[at] = ++search->count;
}

static void print_way_to(const struct search *search, uint32_t number)
{
    if (number != 0) {
        print_way_to(search, search->parents[number]);
        print_message("%s, ", search->steps[number]);
    }
}

static uint32_t explore(struct bound bound, uint32_t *longest)
{
    struct search search = {.bound = bound, .table_size = 2 * STATES_MOST + 1};
    search.worlds = cs_alloc(STATES_MOST * sizeof(*search.worlds));
    search.parents = cs_alloc(STATES_MOST * sizeof(*search.parents));
    search.steps = cs_alloc(STATES_MOST * sizeof(*search.steps));
    search.table = cs_alloc(search.table_size * sizeof(*search.table));
    remember(&search, &(struct world){0}, 0);
    for (search.done = 0; search.done < search.count; search.done++) {
        for (size_t i = 0; i < sizeof(ACTIONS) / sizeof(ACTIONS[0]); i++) {
            struct world world = search.worlds[search.done];
            if (!ACTIONS[i].act(&search, &world)) {
                continue;
            }
            snprintf(search.step, sizeof(search.step), "%s", ACTIONS[i].name);
            if (search.broken == NULL) {
                check(&search, &world);
            }
            if (search.broken != NULL) {
                print_way_to(&search, search.done);
                print_message("%s\n", ACTIONS[i].name);
                fail_msg("%s", search.broken);
            }
            remember(&search, &world, search.done);
        }
    }
    *longest = 0;
    for (uint32_t at = search.count - 1; at != 0; at = search.parents[at]) {
        (*longest)++;
    }
    uint32_t count = search.count;
    free(search.worlds);
    free(search.parents);
    free(search.steps);
    free(search.table);
    return count;
}

static void no_order_of_events_makes_a_hole_a_repeat_or_a_stall(void **state)
{
    (void)state;
    static const struct bound BOUNDS[] = {
        {.payments = 6, .sessions = 1, .window = 2, .page_size = 2},
        {.payments = 5, .sessions = 1, .window = 3, .page_size = 1},
        {.payments = 4, .sessions = 2, .window = 2, .page_size = 2},
        {.payments = 3, .sessions = 3, .window = 1, .page_size = 3},
    };
    for (size_t i = 0; i < sizeof(BOUNDS) / sizeof(BOUNDS[0]); i++) {
        uint32_t longest;
        uint32_t count = explore(BOUNDS[i], &longest);
        print_message("%d payments, %d sessions, window %d, page %d: %u states, up to %u steps deep\n",
                      BOUNDS[i].payments, BOUNDS[i].sessions, BOUNDS[i].window, BOUNDS[i].page_size, count,
                      longest);
        assert_true(count > 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payments_are_only_counted_while_there_is_no_session),
        cmocka_unit_test(a_payment_goes_out_live_when_nothing_older_waits),
        cmocka_unit_test(behind_a_backlog_the_session_is_told_once_until_it_asks),
        cmocka_unit_test(past_the_window_nothing_goes_out),
        cmocka_unit_test(an_attempt_is_counted_once_a_session),
        cmocka_unit_test(resume_above_what_was_ever_sent_changes_nothing),
        cmocka_unit_test(a_new_session_takes_the_larger_of_resume_and_ack),
        cmocka_unit_test(an_ack_ahead_is_refused_and_an_old_one_moves_nothing),
        cmocka_unit_test(no_order_of_events_makes_a_hole_a_repeat_or_a_stall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
