/* dlqat train */
#include "cli.h"

const dq_cli_command dq_cli_train = {
    .name = "train",
    .command = DLQAT_TRAIN,
    .summary = "Fine-tune a model into its low-bit form.",
    .about = "Trains about 1 % of the parameters inside the rounding of all linear weights, and writes a run "
             "directory: config.json, log.jsonl, checkpoint-N, summary.json, and model/, the low-bit result, which "
             "every other command and export take. SIGINT and SIGTERM end after the current step with a checkpoint; "
             "--resume continues, bit for bit.",
    .example = "dlqat train --model smollm2.gguf --data rows.jsonl --out run --bits 3 --group-size 64",
    .stops = true,
    .run = dlqat_train,
};
