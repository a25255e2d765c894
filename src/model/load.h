/* Inside src/model: filling a model's layers from the tensors of a file, whatever its kind. */
#ifndef DQ_MODEL_LOAD_H
#define DQ_MODEL_LOAD_H

#include "model/names.h"

typedef struct dq_loader {
    dq_model *model;
    const char *where;          /* for messages */
    bool gguf;                  /* names are GGUF's */
    bool permuted;              /* rows of q and k lie in GGUF's llama order */
    const json_t *quantization; /* config.json's member of that name, or NULL */
} dq_loader;

/* The model's configuration is read already. Takes every tensor that it asks for, and refuses what it has no use for. */
dlqat_status dq_load_layers(const dq_loader *loader, dlqat_error *error);
const dq_tensor *dq_load_find(const dq_loader *loader, const char *name);
/* A module in MLX's affine layout: module.weight, module.scales, module.biases. */
dlqat_status dq_load_affine(const dq_loader *loader, const char *module, int64_t out, int64_t in, dq_weight *weight,
                            dlqat_error *error);

dlqat_status dq_load_hf(dq_model *model, dlqat_error *error);
dlqat_status dq_load_gguf(dq_model *model, dlqat_error *error);

#endif
