/* SIGINT and SIGTERM: the first asks the command to end cleanly, the second of its kind ends the process. */
#define _POSIX_C_SOURCE 200809L
#include "cli.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t stop_wanted; /* the one thing that a signal handler may touch */

static void on_signal(int number) {
    static const char note[] = "\nstopping after this step; once more to stop at once\n";
    (void)number;
    stop_wanted = 1;
    if (write(STDERR_FILENO, note, sizeof note - 1) < 0) return; /* nobody is listening; nothing to do about it */
}

void dq_cli_catch_signals(void) {
    struct sigaction action = {0};
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND | SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool dq_cli_should_stop(void *talk) {
    (void)talk;
    return stop_wanted || ferror(stdout); /* a reader that went away wants no more */
}
