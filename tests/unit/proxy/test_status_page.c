/* The page of `weir status`. */
#include "proxy/status_page.h"
#include "tests/unit/proxy/screen_fixture.h"

static const char page[] =
    "App: pool full. The app works on 40 of the 80 requests inside it. Set\n"
    "concurrency to 40.\n"
    "\n"
    "weir 0.1.0 on 127.0.0.1:9480                              up 2 h 13 min\n"
    "\n"
    "In flight #########################------------------------    80 of 80\n"
    "Waiting   #####............................................ 120 of 1000\n"
    "\n"
    "App works on 40   Waiting inside it 40   Oldest wait 1.84 s\n"
    "Queue empty in 2.40 s   Orphans 2   No free slot 83 %   Overload 12.5 s\n"
    "\n"
    "Last minute     mean        peak\n"
    "In flight       74.4          80\n"
    "Waiting         22.4         200\n"
    "\n"
    "                 now last minute\n"
    "Finished      41.0/s      39.8/s\n"
    "Refused        3.5/s       1.2/s\n"
    "Clients gone  0.25/s         0/s\n"
    "Errors           0/s         0/s\n"
    "\n"
    "Last minute        p50     p90     p99     max\n"
    "Wait for a slot 1.02 s  2.30 s  2.91 s  3.00 s\n"
    "Time in the app 1.00 s  1.00 s       -\n"
    "\n"
    "Where the time went, last minute\n"
    "head                  <1 %\n"
    "body wait              0 %\n"
    "queue                 53 %  #######################\n"
    "connect               <1 %\n"
    "send                  <1 %\n"
    "first byte            39 %  #################\n"
    "transfer               5 %  ##\n"
    "backpressure          <1 %\n"
    "delivery               1 %  #\n"
    "\n"
    "Refused since weir started   357\n"
    "  queue full                  12\n"
    "  timeout                    345\n";

static void the_page_has_all_figures(void **state)
{
    struct figures f = busy();
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 71, TEXT_ANY_ROWS);
    (void)state;

    t.unicode = false;
    status_page_write(&f, "127.0.0.1:9480", 1007980, &t);
    assert_string_equal(strbuf_cstr(&out), page);
    strbuf_fini(&out);
}

static void what_is_not_known_is_a_dash(void **state)
{
    struct figures f = unknown();
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 80, TEXT_ANY_ROWS);
    (void)state;

    status_page_write(&f, "a", 0, &t);
    assert_fits(strbuf_cstr(&out), 80);
    assert_has(&out, "App: not known.\n\nweir on a\n\n"
                     "In flight");
    assert_has(&out, "\nFinished           -           -\n");
    assert_has(&out, "No request has finished.\n");
    assert_has(&out, "\nRefused since weir started     0\n");
    strbuf_fini(&out);
}

static void no_line_is_wider_than_the_terminal(void **state)
{
    struct figures f = busy();
    (void)state;

    f.in_flight = f.limit = f.queued = f.queue_limit = 123456789;
    for (unsigned columns = 1; columns <= 80; columns++) {
        struct strbuf out = {0};
        struct text_screen t = screen(&out, columns, TEXT_ANY_ROWS);
        t.colour = columns % 2 == 0;
        status_page_write(&f, "[2001:db8::1]:9480", 1007980, &t);
        (void)assert_fits(strbuf_cstr(&out), columns);
        strbuf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_has_all_figures),
        cmocka_unit_test(what_is_not_known_is_a_dash),
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
