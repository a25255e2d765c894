/* dlqat compare */
#include "cli.h"

const dq_cli_command dq_cli_compare = {
    .name = "compare",
    .command = DLQAT_COMPARE,
    .summary = "Several methods under one budget, one table.",
    .about = "Runs each method with the same rows, order, steps, rank, rate, schedule and seed (those of DL-QAT unless "
             "given), and writes table.md and table.json "
             "beside the runs.",
    .example = "dlqat compare --model smollm2.gguf --data rows.jsonl --out cmp --bits 3 --max-steps 500",
    .stops = true,
    .run = dlqat_compare,
};
