/* dlqat export */
#include "cli.h"

const dq_cli_command dq_cli_export = {
    .name = "export",
    .command = DLQAT_EXPORT,
    .summary = "Write a result in the form of another program.",
    .about = "Writes for transformers (hf), mlx-lm (mlx) or llama.cpp (gguf), reads the file back, and reports the "
             "largest difference to the trained weights. A grid that the format does not hold is written as F32 of the "
             "same values, or refused, and that is said.",
    .example = "dlqat export --model run --format mlx --out model-mlx",
    .stops = false,
    .run = dlqat_export,
};
