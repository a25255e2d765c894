/* dlqat generate */
#include "cli.h"

const dq_cli_command dq_cli_generate = {
    .name = "generate",
    .command = DLQAT_GENERATE,
    .summary = "Let a model answer a prompt.",
    .about = "The prompt goes through the chat template of the model unless --raw. Text is printed as it comes.",
    .example = "dlqat generate --model run --prompt 'Name three primary colours.'",
    .stops = false,
    .run = dlqat_generate,
};
