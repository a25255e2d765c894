#include "train/schedule.h"

#include <math.h>

double dq_schedule_rate(const dq_schedule *schedule, int64_t step) {
    if (step <= schedule->warmup) return schedule->rate * (double)step / (double)schedule->warmup;
    double span = (double)(schedule->steps - schedule->warmup);
    double p = span > 0 ? (double)(step - 1 - schedule->warmup) / span : 0.0;
    switch (schedule->kind) {
    case DQ_SCHEDULE_LINEAR:
        return schedule->rate * (1.0 - p);
    case DQ_SCHEDULE_COSINE:
        return schedule->rate * 0.5 * (1.0 + cos(3.14159265358979323846 * p));
    case DQ_SCHEDULE_CONSTANT:
        break;
    }
    return schedule->rate;
}
