/* What the program says while it works: one line written over on a terminal, plain lines elsewhere. */
#define _DEFAULT_SOURCE /* struct winsize */
#include "cli.h"

#include <math.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Redrawing more often is only flicker. */
static const double REDRAW_SECONDS = 0.1;

void dq_cli_talk_open(dq_cli_talk *talk) {
    talk->terminal = isatty(STDERR_FILENO) != 0;
    talk->open = false;
    talk->shown = -1;
}

void dq_cli_talk_close(dq_cli_talk *talk) {
    if (talk->open) putc('\n', stderr);
    talk->open = false;
}

/* Takes the written-over line away, so that something else can stand there. */
static void clear_line(dq_cli_talk *talk) {
    if (talk->open) fputs("\r\033[K", stderr);
    talk->open = false;
}

void dq_cli_log(void *user, dlqat_log_level level, const char *line) {
    clear_line(user);
    fprintf(stderr, "%s%s\n", level == DLQAT_LOG_WARNING ? "warning: " : "", line);
}

void dq_cli_output(void *user, const char *bytes, size_t length) {
    clear_line(user);
    fwrite(bytes, 1, length, stdout);
    fflush(stdout); /* generated text is read as it comes */
}

static void format_duration(char text[24], double seconds) {
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(text, 24, "--:--");
        return;
    }
    long s = lrint(seconds);
    if (s >= 3600)
        snprintf(text, 24, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, 24, "%ld:%02ld", s / 60, s % 60);
}

static int terminal_columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void dq_cli_progress(void *user, const dlqat_progress *p) {
    dq_cli_talk *talk = user;
    bool last = p->step >= p->max_steps, evaluated = !isnan(p->eval_loss);
    /* Values of a validation stay to be read, on a terminal too. */
    bool keep = !talk->terminal || evaluated;
    if (talk->terminal ? !last && !keep && p->elapsed - talk->shown < REDRAW_SECONDS : !p->logged && !evaluated) return;
    talk->shown = p->elapsed;

    char line[256], eta[24], validation[40] = "";
    format_duration(eta, p->eta);
    if (evaluated) snprintf(validation, sizeof validation, "  eval loss %.4f", p->eval_loss);
    int length = snprintf(line, sizeof line,
                          "%s %lld/%lld  phase %d  loss %.4f%s  %.0f tokens/s  %s left  %.0f MiB  grad %.3g  rate %.3g",
                          p->method ? p->method : "step", (long long)p->step, (long long)p->max_steps, p->phase,
                          p->loss, validation, p->tokens_per_second, eta, (double)p->peak_rss_bytes / 1048576,
                          p->grad_norm, p->learning_rate);
    if (keep) {
        clear_line(talk);
        fprintf(stderr, "%s\n", line);
        return;
    }
    int columns = terminal_columns() - 1; /* a full line would wrap and not be written over */
    fprintf(stderr, "\r\033[K%.*s", length < columns ? length : columns, line);
    fflush(stderr);
    talk->open = true;
}
