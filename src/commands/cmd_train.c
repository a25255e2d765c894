/* dlqat train */
#include "commands/train_run.h"

dlqat_status dlqat_train(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error) {
    dq_run_result result;
    DQ_TRY(dlqat_options_check(options, error));
    return dq_train_run(options, callbacks, &result, error);
}
