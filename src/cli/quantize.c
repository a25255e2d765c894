/* dlqat quantize */
#include "cli.h"

const dq_cli_command dq_cli_quantize = {
    .name = "quantize",
    .command = DLQAT_QUANTIZE,
    .summary = "Round a model to few bits without training.",
    .about = "The baseline that training is compared with. Writes a model directory in the form that train writes "
             "under model/.",
    .example = "dlqat quantize --model smollm2.gguf --out rounded --bits 3 --group-size 64",
    .stops = false,
    .run = dlqat_quantize,
};
