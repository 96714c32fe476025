/*
 * See cli_top.h. One thread. Signals are blocked and read from a descriptor, so one poll() waits
 * for the next second, a key and a signal, and the terminal is always restored in the same place.
 */
#include "proxy/cli_top.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "proxy/admin_client.h"
#include "proxy/cli_private.h"
#include "proxy/config.h"
#include "proxy/top_screen.h"

#define SECOND_US    INT64_C(1000000)
#define RESTARTED_US (10 * SECOND_US) /* how long the screen says so */
#define LINE_COLUMNS 80
#define COLUMNS_MAX  1000
#define ROWS_MAX     500

/* The alternate screen, without a cursor and without wrapping; and what was there before. */
#define SCREEN_ENTER "\033[?1049h\033[?25l\033[?7l"
#define SCREEN_LEAVE "\033[0m\033[?7h\033[?25h\033[?1049l"

struct top {
    struct cli *cli;
    struct config *config;
    struct top_view view;
    char trouble[128];
    double started;               /* the running weir's */
    mono_us responded, restarted; /* 0: never */
    int signals;                  /* the descriptor */
    sigset_t before;              /* the signals that were blocked */
    struct termios terminal;      /* as it was; valid if `raw` */
    bool raw;                     /* the input is a terminal that was set up for single keys */
    bool keys;                    /* the input is read */
    bool ended;
};

/* ---- the running weir ----------------------------------------------------------------------- */

/* Within the second: a weir that hangs delays a key by no more than that. */
static bool ask(struct top *top, const char *path, struct admin_response *r)
{
    const struct admin_request request = {.method = "GET", .path = path, .token = ""};
    return admin_client_ask(&top->config->admin.listen, &request, SECOND_US, r);
}

PRINTF_LIKE(2, 3)
static void note_trouble(struct top *top, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(top->trouble, sizeof(top->trouble), fmt, args);
    va_end(args);
    top->view.trouble = top->trouble;
    top->view.silent = (double)(clock_mono() - top->responded) / SECOND_US;
}

/* Figures are shown without a history, too: the charts then keep what they have. */
static void read_history(struct top *top)
{
    struct admin_response r = {0};
    char path[64];

    snprintf(path, sizeof(path), "/history?since=%lld", (long long)top->view.history.end);
    if (ask(top, path, &r) && r.status == 200)
        (void)!figures_add_history(&top->view.history, r.body);
    strbuf_fini(&r.bytes);
}

static void read_status(struct top *top)
{
    struct admin_response r = {0};
    struct figures f;

    if (!ask(top, "/status", &r)) {
        note_trouble(top, "no response from the admin port: %s", strerror(errno));
    } else if (r.status != 200 || !figures_read(&f, r.body)) {
        note_trouble(top, "unexpected response to /status (status %u)", r.status);
    } else {
        top->view.now = f;
        top->view.trouble = NULL;
        top->responded = clock_mono();
    }
    strbuf_fini(&r.bytes);
}

/* The time at which weir started is that of its process. */
static void note_restart(struct top *top)
{
    double *started = &top->view.now.started;

    if (isnan(*started) && top->view.history.started > 0)
        *started = top->view.history.started;
    if (top->started > 0 && *started > top->started)
        top->restarted = clock_mono();
    top->started = isnan(*started) ? top->started : *started;
}

static void look(struct top *top)
{
    read_status(top);
    if (top->view.trouble == NULL) {
        read_history(top);
        note_restart(top);
    }
    top->view.time = (double)clock_wall() / SECOND_US;
    top->view.restarted = top->restarted > 0 && clock_mono() - top->restarted < RESTARTED_US;
}

/* ---- the terminal --------------------------------------------------------------------------- */

static void write_all(struct top *top, const char *bytes, size_t len)
{
    FILE *out = top->cli->env->out;

    fwrite(bytes, 1, len, out);
    if (fflush(out) != 0)
        top->ended = true; /* the terminal is gone */
}

/* Keys without Enter, and not shown. Ctrl-C remains a signal. */
static void enter(struct top *top)
{
    struct termios raw;

    top->raw = tcgetattr(STDIN_FILENO, &top->terminal) == 0;
    if (top->raw) {
        raw = top->terminal;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    }
    top->keys = top->raw;
    write_all(top, SCREEN_ENTER, strlen(SCREEN_ENTER));
}

static void leave(struct top *top)
{
    write_all(top, SCREEN_LEAVE, strlen(SCREEN_LEAVE));
    if (top->raw)
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &top->terminal);
}

static void get_size(const struct top *top, struct text_screen *t)
{
    struct winsize size = {.ws_col = 0};
    bool known = ioctl(fileno(top->cli->env->out), TIOCGWINSZ, &size) == 0;

    t->columns = known && size.ws_col > 0 ? size.ws_col : 80;
    t->rows = known && size.ws_row > 0 ? size.ws_row : 24;
    t->columns = t->columns < COLUMNS_MAX ? t->columns : COLUMNS_MAX;
    t->rows = t->rows < ROWS_MAX ? t->rows : ROWS_MAX;
}

/* Each line at its own place, so that none depends on how the terminal treats the end of a line. */
static void place_lines(const char *text, unsigned rows, struct strbuf *out)
{
    for (unsigned row = 1; row <= rows; row++) {
        size_t len = strcspn(text, "\n");
        strbuf_addf(out, "\033[%u;1H\033[K", row);
        strbuf_add(out, text, len);
        text += len + (text[len] == '\n');
    }
}

static void draw(struct top *top)
{
    struct strbuf text = {0}, frame = {0};
    const struct cli_env *env = top->cli->env;
    struct text_screen t = {
        .out = &text,
        .colour = cli_wants_colour(env, fileno(env->out)),
        .unicode = cli_wants_unicode(env),
    };

    get_size(top, &t);
    top_screen_write(&top->view, &t);
    place_lines(strbuf_cstr(&text), t.rows, &frame);
    write_all(top, frame.at, frame.len);
    strbuf_fini(&text);
    strbuf_fini(&frame);
}

/* ---- lines, if the output is not a terminal -------------------------------------------------- */

static void print_line(struct top *top, bool names)
{
    struct strbuf text = {0};
    struct text_screen t = {.out = &text, .columns = LINE_COLUMNS, .rows = TEXT_ANY_ROWS};
    time_t now = (time_t)top->view.time;
    struct tm local;
    char clock[16];

    if (localtime_r(&now, &local) == NULL || strftime(clock, sizeof(clock), "%T", &local) == 0)
        clock[0] = '\0';
    if (names)
        top_line_write_names(&t);
    top_line_write(&top->view, clock, &t);
    write_all(top, text.at, text.len);
    strbuf_fini(&text);
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Ctrl-Z: the shell's screen is restored while this process is stopped. */
static void stop(struct top *top)
{
    leave(top);
    raise(SIGSTOP);
    enter(top);
}

static void on_signal(struct top *top, bool screen)
{
    struct signalfd_siginfo info;

    if (read(top->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGWINCH:
        break;
    case SIGTSTP:
        if (screen)
            stop(top);
        else
            raise(SIGSTOP);
        break;
    default:
        top->ended = true;
    }
    if (screen && !top->ended)
        draw(top);
}

static void on_keys(struct top *top)
{
    char keys[64];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

    if (n <= 0) {
        top->keys = false; /* its end */
        return;
    }
    for (ssize_t i = 0; i < n; i++)
        top->ended = top->ended || keys[i] == 'q' || keys[i] == 'Q';
}

static void wait_until(struct top *top, mono_us until, bool screen)
{
    mono_us left;

    while (!top->ended && (left = until - clock_mono()) > 0) {
        struct pollfd p[] = {{.fd = top->signals, .events = POLLIN},
                             {.fd = top->keys ? STDIN_FILENO : -1, .events = POLLIN}};
        if (poll(p, 2, (int)((left + 999) / 1000)) <= 0)
            continue;
        if (p[0].revents != 0)
            on_signal(top, screen);
        if (p[1].revents != 0)
            on_keys(top);
    }
}

static void show(struct top *top, bool screen, bool first)
{
    if (screen)
        draw(top);
    else
        print_line(top, first);
}

/* A second that is missed, for example while weir hangs, is left out. */
static void run(struct top *top, bool screen)
{
    mono_us next = clock_mono();

    for (bool first = true; !top->ended; first = false) {
        if (!first)
            look(top);
        show(top, screen, first);
        mono_us now = clock_mono();
        next = next + SECOND_US > now ? next + SECOND_US : now + SECOND_US / 10;
        wait_until(top, next, screen);
    }
}

/* ---- the command ---------------------------------------------------------------------------- */

static bool block_signals(struct top *top)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaddset(&set, signals[i]);
    pthread_sigmask(SIG_BLOCK, &set, &top->before);
    top->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return top->signals >= 0;
}

static int begin(struct top *top)
{
    const struct cli_env *env = top->cli->env;
    bool screen = cli_is_terminal(env, fileno(env->out));

    top->responded = clock_mono();
    look(top);
    if (top->view.trouble != NULL) {
        cli_complain(env, "%s: %s", top->view.where, top->trouble);
        return EXIT_FAILED;
    }
    if (screen)
        enter(top);
    run(top, screen);
    if (screen)
        leave(top);
    return EXIT_OK;
}

int cli_top(struct cli *cli)
{
    struct config *config = cli_admin_config(cli, false);
    struct top top = {.cli = cli, .config = config};
    int status = EXIT_FAILED;

    if (config == NULL)
        return EXIT_FAILED;
    top.view.where = config->admin.listen.text;
    if (block_signals(&top))
        status = begin(&top);
    else
        cli_complain(cli->env, "cannot receive signals: %s", strerror(errno));
    if (top.signals >= 0)
        close(top.signals);
    pthread_sigmask(SIG_SETMASK, &top.before, NULL);
    config_put(config);
    return status;
}
