/* MLX's affine layout, and this project's own use of it: any bits from 2 to 8, any group that divides the width (-1: the
 * whole row), rows padded to whole words. config.json says which:
 *     "quantization": {"group_size": 64, "bits": 4, "mode": "affine", "model.layers.0.mlp.down_proj": {..} or false, ..} */
#include "model/load.h"

#include <stdio.h>
#include <string.h>

/* The numbers for one module: its own entry, else the common ones. */
static dlqat_status read_numbers(const dq_loader *loader, const char *module, int64_t *group, int64_t *bits,
                                 dlqat_error *error) {
    if (!loader->quantization)
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: %s has scales, but config.json has no \"quantization\" that says what they mean",
                       loader->where, module);
    const json_t *own = json_object_get(loader->quantization, module);
    if (json_is_false(own))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: config.json says that %s is not quantized, but it has scales",
                       loader->where, module);
    const json_t *numbers = json_is_object(own) ? own : loader->quantization;
    const char *mode = "affine";
    *group = *bits = 0;
    DQ_TRY(dq_json_get_string(numbers, "mode", loader->where, &mode, error));
    if (strcmp(mode, "affine") != 0)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: quantization mode \"%.40s\" of %s is not supported; affine is", loader->where, mode,
                       module);
    DQ_TRY(dq_json_get_int(numbers, "group_size", loader->where, group, error));
    return dq_json_get_int(numbers, "bits", loader->where, bits, error);
}

static dlqat_status find_part(const dq_loader *loader, const char *module, const char *suffix, int64_t rows,
                              int64_t columns, const dq_tensor **tensor, dlqat_error *error) {
    char name[DQ_NAME_SIZE + 16];
    snprintf(name, sizeof name, "%s.%s", module, suffix);
    *tensor = dq_load_find(loader, name);
    if (!*tensor)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: no tensor %s beside %s.scales", loader->where, name, module);
    const dq_tensor *t = *tensor;
    if (t->dimensions != 2 || t->shape[0] != rows || t->shape[1] != columns)
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: tensor %s must have shape [%lld, %lld] by config.json's \"quantization\", not [%lld, %lld]",
                       loader->where, name, (long long)rows, (long long)columns,
                       (long long)(t->dimensions > 0 ? t->shape[0] : 0),
                       (long long)(t->dimensions > 1 ? t->shape[1] : 0));
    return DLQAT_OK;
}

dlqat_status dq_load_affine(const dq_loader *loader, const char *module, int64_t out, int64_t in, dq_weight *weight,
                            dlqat_error *error) {
    int64_t group, bits;
    DQ_TRY(read_numbers(loader, module, &group, &bits, error));
    if (bits < 2 || bits > 8)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: \"bits\" %lld of %s is not supported; 2 to 8 are",
                       loader->where, (long long)bits, module);
    if (group == -1) group = in;
    if (group < 1 || in % group)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: \"group_size\" %lld does not divide the %lld columns of %s",
                       loader->where, (long long)group, (long long)in, module);
    const dq_tensor *codes, *scales, *offsets;
    DQ_TRY(find_part(loader, module, "weight", out, dq_affine_row_words(in, (int)bits), &codes, error));
    DQ_TRY(find_part(loader, module, "scales", out, in / group, &scales, error));
    DQ_TRY(find_part(loader, module, "biases", out, in / group, &offsets, error));
    if (codes->dtype != DQ_U32)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s must be U32, not %s", loader->where, codes->name,
                       dq_dtype_info(codes->dtype)->name);
    bool floats = scales->dtype == DQ_F32 || scales->dtype == DQ_F16 || scales->dtype == DQ_BF16;
    if (!floats || offsets->dtype != scales->dtype)
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: scales and biases of %s must both be F32, F16 or BF16, not %s and %s", loader->where,
                       module, dq_dtype_info(scales->dtype)->name, dq_dtype_info(offsets->dtype)->name);
    size_t scale_size = (size_t)dq_dtype_info(scales->dtype)->block_bytes;
    if ((uintptr_t)codes->data % sizeof(uint32_t) || (uintptr_t)scales->data % scale_size ||
        (uintptr_t)offsets->data % scale_size)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: tensors of %s do not lie at multiples of their element size; save the file anew",
                       loader->where, module);
    dq_affine matrix = {
        .out = out,
        .in = in,
        .group = group,
        .bits = (int)bits,
        .scale_dtype = scales->dtype,
        .codes = codes->data,
        .scales = scales->data,
        .offsets = offsets->data,
    };
    *weight = dq_weight_from_affine(&matrix);
    return DLQAT_OK;
}
