/* dlqat eval */
#include "cli.h"

const dq_cli_command dq_cli_eval = {
    .name = "eval",
    .command = DLQAT_EVAL,
    .summary = "Perplexity of a text, loss on held-out rows.",
    .about = "Every figure bears the name of its protocol: ppl_window, ppl_llamacpp, word_ppl_lmeval, loss. Figures of "
             "different protocols cannot be compared.",
    .example = "dlqat eval --model run --ppl text.txt --loss held-out.jsonl --json figures.json",
    .stops = false,
    .run = dlqat_eval,
};
