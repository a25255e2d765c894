/* A GGUF file: everything in one. */
#include "model/load.h"

#include <string.h>

dlqat_status dq_load_gguf(dq_model *model, dlqat_error *error) {
    DQ_TRY(dq_gguf_open(&model->gguf, model->path, error));
    DQ_TRY(dq_config_from_gguf(&model->config, model->gguf, error));
    /* Of the supported architectures llama alone has its q and k permuted; mistral goes under that name too. */
    bool permuted = model->config.family == DQ_LLAMA || model->config.family == DQ_MISTRAL;
    dq_loader loader = {.model = model, .where = model->path, .gguf = true, .permuted = permuted};
    return dq_load_layers(&loader, error);
}
