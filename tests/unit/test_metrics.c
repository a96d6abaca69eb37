/* What /metrics says, to the letter of Prometheus' text format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"

#define MS 1000000

static int64_t read_seven(void *context)
{
    (void)context;
    return -7;
}

static void test_each_name_has_its_help_and_type_once(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_open();
    metrics_count *one = metrics_add_counter(metrics, "things_total", "kind=\"a\"", "Things.");
    (void)metrics_add_counter(metrics, "things_total", "kind=\"b\"", "Things.");
    metrics_add_gauge(metrics, "depth", "", "How deep.", read_seven, NULL);
    metrics_add(one, 3);
    char *text = metrics_print(metrics);
    assert_string_equal(text, "# HELP things_total Things.\n# TYPE things_total counter\n"
                              "things_total{kind=\"a\"} 3\nthings_total{kind=\"b\"} 0\n"
                              "# HELP depth How deep.\n# TYPE depth gauge\ndepth -7\n");
    free(text);
    metrics_close(metrics);
}

static void test_a_histogram_counts_up_to_and_with_the_end_of_a_bucket(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_open();
    struct metrics_histogram *took =
        metrics_add_histogram(metrics, "took_seconds", "stage=\"x\"", "How long.");
    (void)metrics_add_histogram(metrics, "took_seconds", "stage=\"y\"", "How long.");
    metrics_observe_ns(took, -5);
    metrics_observe_ns(took, 1 * MS);
    metrics_observe_ns(took, 1 * MS + 1);
    metrics_observe_ns(took, 6000ll * MS);
    char *text = metrics_print(metrics);
    static const char x[] =
        "# HELP took_seconds How long.\n# TYPE took_seconds histogram\n"
        "took_seconds_bucket{stage=\"x\",le=\"1e-05\"} 1\ntook_seconds_bucket{stage=\"x\",le=\"2.5e-05\"} 1\n"
        "took_seconds_bucket{stage=\"x\",le=\"5e-05\"} 1\ntook_seconds_bucket{stage=\"x\",le=\"0.0001\"} 1\n"
        "took_seconds_bucket{stage=\"x\",le=\"0.00025\"} 1\ntook_seconds_bucket{stage=\"x\",le=\"0.0005\"} 1\n"
        "took_seconds_bucket{stage=\"x\",le=\"0.001\"} 2\ntook_seconds_bucket{stage=\"x\",le=\"0.0025\"} 3\n"
        "took_seconds_bucket{stage=\"x\",le=\"0.005\"} 3\ntook_seconds_bucket{stage=\"x\",le=\"0.01\"} 3\n"
        "took_seconds_bucket{stage=\"x\",le=\"0.025\"} 3\ntook_seconds_bucket{stage=\"x\",le=\"0.05\"} 3\n"
        "took_seconds_bucket{stage=\"x\",le=\"0.1\"} 3\ntook_seconds_bucket{stage=\"x\",le=\"0.25\"} 3\n"
        "took_seconds_bucket{stage=\"x\",le=\"1\"} 3\ntook_seconds_bucket{stage=\"x\",le=\"5\"} 3\n"
        "took_seconds_bucket{stage=\"x\",le=\"+Inf\"} 4\n"
        "took_seconds_sum{stage=\"x\"} 6.002000001\ntook_seconds_count{stage=\"x\"} 4\n"
        "took_seconds_bucket{stage=\"y\",le=\"1e-05\"} 0\n";
    assert_memory_equal(text, x, sizeof(x) - 1);
    free(text);
    metrics_close(metrics);
}

static void *observe(void *histogram)
{
    for (int i = 0; i < 10000; i++) {
        metrics_observe_ns(histogram, i);
    }
    return NULL;
}

static void test_what_several_threads_observe_is_counted_whole(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_open();
    struct metrics_histogram *took = metrics_add_histogram(metrics, "took_seconds", "", "How long.");
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, observe, took), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    char *text = metrics_print(metrics);
    assert_non_null(strstr(text, "took_seconds_bucket{le=\"1e-05\"} 40000\n"));
    assert_non_null(strstr(text, "took_seconds_sum 0.199980000\ntook_seconds_count 40000\n"));
    free(text);
    metrics_close(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_name_has_its_help_and_type_once),
        cmocka_unit_test(test_a_histogram_counts_up_to_and_with_the_end_of_a_bucket),
        cmocka_unit_test(test_what_several_threads_observe_is_counted_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
