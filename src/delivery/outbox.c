#include "delivery/outbox.h"

#include <assert.h>

static void check(const struct outbox *outbox)
{
    assert(outbox->acked < outbox->next_seq);
    assert(outbox->next_seq <= outbox->head + 1);
}

/* How many more seqs the window lets out. A gap may take it past its edge: it needs no memory on the device. */
static uint32_t room(const struct outbox *outbox)
{
    uint64_t out = outbox->next_seq - 1 - outbox->acked;
    return out < outbox->window ? outbox->window - (uint32_t)out : 0;
}

void outbox_init(struct outbox *outbox, uint64_t acked, uint64_t head, uint32_t window)
{
    assert(acked <= head && window > 0);
    *outbox = (struct outbox){.next_seq = acked + 1, .head = head, .acked = acked, .window = window};
    check(outbox);
}

void outbox_raise(struct outbox *outbox, uint64_t head)
{
    if (head > outbox->head) {
        outbox->head = head;
    }
}

bool outbox_offer(struct outbox *outbox, uint64_t from, uint64_t to)
{
    assert(from <= to);
    outbox_raise(outbox, to);
    if (from != outbox->next_seq || room(outbox) == 0) {
        return false;
    }
    outbox->next_seq = to + 1;
    check(outbox);
    return true;
}

bool outbox_wants_page(struct outbox *outbox, uint32_t page_size, uint64_t *from, uint32_t *most)
{
    uint32_t free_seqs = room(outbox);
    if (outbox->page_asked || outbox->next_seq > outbox->head || free_seqs == 0) {
        return false;
    }
    outbox->page_asked = true;
    *from = outbox->next_seq;
    *most = free_seqs < page_size ? free_seqs : page_size;
    return true;
}

void outbox_page_done(struct outbox *outbox, uint64_t head)
{
    outbox->page_asked = false;
    outbox_raise(outbox, head);
}

enum cs_err outbox_ack(struct outbox *outbox, uint64_t seq)
{
    if (seq >= outbox->next_seq) {
        return CS_EINVAL;
    }
    if (seq > outbox->acked) {
        outbox->acked = seq;
    }
    check(outbox);
    return CS_OK;
}
