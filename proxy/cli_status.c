/* See cli_status.h. */
#include "proxy/cli_status.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "proxy/admin_client.h"
#include "proxy/cli_private.h"
#include "proxy/config.h"
#include "proxy/figures.h"
#include "proxy/status_page.h"

#define COLUMNS 80 /* unless the terminal has fewer */

static unsigned columns_of(int fd)
{
    struct winsize size;
    bool known = fd >= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known && size.ws_col < COLUMNS ? size.ws_col : COLUMNS;
}

static int print_page(struct cli *cli, const struct figures *f, const char *where)
{
    struct strbuf text = {0};
    int fd = fileno(cli->env->out);
    struct text_screen t = {
        .out = &text,
        .columns = columns_of(fd),
        .rows = TEXT_ANY_ROWS,
        .colour = cli_wants_colour(cli->env, fd),
        .unicode = cli_wants_unicode(cli->env),
    };

    status_page_write(f, where, (double)clock_wall() / 1e6, &t);
    return cli_print_result(cli, &text);
}

static int print_as_it_came(struct cli *cli, const struct admin_response *r)
{
    struct strbuf text = {0};

    strbuf_add_span(&text, r->body);
    if (text.len > 0 && text.at[text.len - 1] != '\n')
        strbuf_adds(&text, "\n");
    return cli_print_result(cli, &text);
}

static int print_response(struct cli *cli, const struct admin_response *r, const char *where)
{
    struct figures f;

    if (r->status != 200 || !figures_read(&f, r->body)) {
        cli_complain(cli->env, "unexpected response to /status (status %u)", r->status);
        return EXIT_FAILED;
    }
    return cli->json ? print_as_it_came(cli, r) : print_page(cli, &f, where);
}

int cli_status(struct cli *cli)
{
    const struct admin_request request = {.method = "GET", .path = "/status", .token = ""};
    struct config *c = cli_admin_config(cli, false);
    struct admin_response r = {0};
    int status = EXIT_FAILED;

    if (c == NULL)
        return status;
    if (admin_client_ask(&c->admin.listen, &request, ADMIN_CLIENT_TIMEOUT_US, &r))
        status = print_response(cli, &r, c->admin.listen.text);
    else
        cli_complain_of_silence(cli, c);
    strbuf_fini(&r.bytes);
    config_put(c);
    return status;
}
