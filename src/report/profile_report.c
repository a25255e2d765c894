#include "report/profile_report.h"

#include "base/talk.h"

#include <stdbool.h>

static bool counts(const dq_profile *profile, int operation) {
    return operation != DQ_OUTSIDE && profile->of[operation].seconds > 0;
}

static double rate(double flops, double seconds) {
    return seconds > 0 ? flops / seconds / 1e9 : 0.0;
}

void dq_profile_say(const dq_profile *profile, const dlqat_callbacks *callbacks) {
    double seconds = 0, flops = 0;
    for (int i = 0; i < DQ_OPERATIONS; i++) {
        if (!counts(profile, i)) continue;
        seconds += profile->of[i].seconds;
        flops += profile->of[i].flops;
    }
    dq_note(callbacks, "%-24s %9s %7s %10s", "operation", "seconds", "share", "GFLOP/s");
    bool said[DQ_OPERATIONS] = {false};
    for (;;) {
        int next = -1;
        for (int i = 0; i < DQ_OPERATIONS; i++)
            if (counts(profile, i) && !said[i] && (next < 0 || profile->of[i].seconds > profile->of[next].seconds))
                next = i;
        if (next < 0) break;
        said[next] = true;
        double time = profile->of[next].seconds, work = profile->of[next].flops;
        if (work > 0)
            dq_note(callbacks, "%-24s %9.2f %6.1f%% %10.1f", dq_operation_name(next), time, 100 * time / seconds,
                    rate(work, time));
        else
            dq_note(callbacks, "%-24s %9.2f %6.1f%%", dq_operation_name(next), time, 100 * time / seconds);
    }
    dq_note(callbacks, "%-24s %9.2f %6.1f%% %10.1f", "all", seconds, 100.0, rate(flops, seconds));
}

json_t *dq_profile_json(const dq_profile *profile) {
    json_t *list = json_array();
    for (int i = 0; list && i < DQ_OPERATIONS; i++) {
        if (!counts(profile, i)) continue;
        json_array_append_new(list, json_pack("{s:s, s:f, s:f}", "operation", dq_operation_name(i), "seconds",
                                              profile->of[i].seconds, "gflop", profile->of[i].flops / 1e9));
    }
    return list;
}
