/* dlqat info */
#include "cli.h"

const dq_cli_command dq_cli_info = {
    .name = "info",
    .command = DLQAT_INFO,
    .summary = "What a model is, and the memory plan of a run.",
    .about = "Takes the options of train as well, and says what such a run would need, before anything is allocated.",
    .example = "dlqat info --model smollm2.gguf --bits 3 --group-size 64 --batch-size 16",
    .stops = false,
    .run = dlqat_info,
};
