/* What operators are told of sources, node, reconciliation and completeness. */
#include <jansson.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/upstream_internal.h"

static json_t *time_of(int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];
    if (wall_ms == 0) {
        return json_null();
    }
    clock_format_ms(wall_ms, text);
    return json_string(text);
}

static json_t *text_of(const char *text)
{
    return text != NULL && text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *report_source(const struct source_report *report)
{
    return json_pack(
        "{s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "name", report->name,
        "kind", payment_source_text(report->kind), "alive", report->alive, "since", time_of(report->since_ms),
        "why", text_of(report->why), "last_message_at", time_of(report->message_at_ms), "last_payment_at",
        time_of(report->payment_at_ms), "payments", (json_int_t)report->payments, "first",
        (json_int_t)report->first, "missed", (json_int_t)report->missed, "lost", (json_int_t)report->lost,
        "late", (json_int_t)report->late, "late_mean_ms",
        report->late > 0 ? json_integer(report->late_sum_ms / (int64_t)report->late) : json_null(),
        "late_most_ms", report->late > 0 ? json_integer(report->late_most_ms) : json_null());
}

static json_t *report_node(struct upstream *upstream)
{
    static const char *const REACH[] = {[RPC_UNTRIED] = "untried", [RPC_UP] = "up", [RPC_DOWN] = "down"};
    struct rpc_state state;
    if (upstream->rpc == NULL) {
        return json_null();
    }
    upstream_rpc_state(upstream, &state);
    return json_pack("{s:s, s:o, s:o, s:I, s:I, s:I}", "rpc", REACH[state.reach], "since",
                     time_of(state.since_ms), "why", text_of(state.why), "block_count",
                     (json_int_t)atomic_load(&upstream->count), "cemented_count",
                     (json_int_t)atomic_load(&upstream->cemented), "network_cemented_count",
                     (json_int_t)atomic_load(&upstream->network));
}

static json_t *report_reconciliation(struct upstream *upstream)
{
    struct backfill_report report;
    if (upstream->backfill == NULL) {
        return json_null();
    }
    backfill_report(upstream->backfill, &report);
    return json_pack("{s:b, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o}", "running", report.running,
                     "started_at", time_of(report.started_at_ms), "ended_at", time_of(report.ended_at_ms),
                     "duration_ms", report.duration_ms > 0 ? json_integer(report.duration_ms) : json_null(),
                     "sweeps", (json_int_t)report.sweeps, "addresses", (json_int_t)report.addresses, "walked",
                     (json_int_t)report.walked, "found", (json_int_t)report.found, "failed",
                     (json_int_t)report.failed, "why", text_of(report.why));
}

static json_t *report_completeness(struct upstream *upstream)
{
    struct store_coverage coverage;
    store_find_coverage(upstream->store, &coverage);
    bool whole = coverage.proven == coverage.addresses;
    return json_pack("{s:I, s:I, s:o}", "addresses", (json_int_t)coverage.addresses, "proven",
                     (json_int_t)coverage.proven, "complete_as_of",
                     whole && coverage.addresses > 0 ? time_of(coverage.oldest_ms) : json_null());
}

char *upstream_print_report(void *context)
{
    struct upstream *upstream = context;
    struct source_report reports[SOURCES_MOST];
    size_t count = sources_report(upstream->sources, reports);
    json_t *sources = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(sources, report_source(&reports[i]));
    }
    const char *reason = store_not_payable(upstream->store);
    json_t *report =
        json_pack("{s:b, s:o, s:s, s:I, s:o, s:o, s:o, s:o}", "payable", reason == NULL, "reason",
                  text_of(reason), "confirm", upstream->options.confirm ? "node" : "source", "unconfirmed",
                  (json_int_t)store_unconfirmed_count(upstream->store), "sources", sources, "node",
                  report_node(upstream), "reconciliation", report_reconciliation(upstream), "completeness",
                  report_completeness(upstream));
    char *text = report != NULL ? json_dumps(report, JSON_COMPACT) : NULL;
    json_decref(report);
    if (text == NULL) {
        log_die("upstream", "out of memory in the report of the sources");
    }
    return text;
}
