/* What --profile says: the elapsed time of the steps by operation, and what the products among them reached. */
#ifndef DQ_REPORT_PROFILE_REPORT_H
#define DQ_REPORT_PROFILE_REPORT_H

#include <jansson.h>

#include "dlqat.h"
#include "kernels/profile.h"

/* One line for each operation that took time, the longest first, and a last one for all. */
void dq_profile_say(const dq_profile *profile, const dlqat_callbacks *callbacks);
/* [{"operation", "seconds", "gflop"}..], in the order of dq_operation; NULL without memory. */
json_t *dq_profile_json(const dq_profile *profile);

#endif
