/* Writing a model: the result of a run, and the files that other programs load.
 *
 * Every file is written under a temporary name, opened again with this project's own reader, and compared weight for weight with
 * the model it came from. Where the format is exact, a difference is an error, and nothing is put in place. */
#ifndef DQ_EXPORT_EXPORT_H
#define DQ_EXPORT_EXPORT_H

#include "export/model_compare.h"

typedef enum dq_export_format {
    DQ_EXPORT_RESULT, /* a Hugging Face directory in MLX's affine layout, with any grid: what a run's model/ is */
    DQ_EXPORT_MLX, /* the same as MLX can load it: S and O repeated per 128, 64 or 32 columns; refused where that fails */
    DQ_EXPORT_HF, /* a Hugging Face directory, de-quantized */
    DQ_EXPORT_GGUF
} dq_export_format;

typedef struct dq_export_options {
    dq_export_format format;
    bool bf16;    /* DQ_EXPORT_HF: every weight rounded to bf16 */
    bool replace; /* what lies at the path may be replaced; else it must not exist, or be an empty directory */
    int threads;
} dq_export_options;

typedef struct dq_export_report {
    dq_comparison comparison;         /* a: the model; b: the file */
    bool rounded;                     /* as asked for; max_abs_dw may then be above 0 */
    uint64_t file_bytes;              /* everything that was written */
    uint64_t weight_bytes;            /* tensors */
    uint64_t linear_bytes;            /* of these, the linears' with their scales and offsets */
    uint64_t linear_weights, weights; /* numbers in the linears, in the whole model */
    int linears;
    int written_as[DQ_DTYPE_COUNT]; /* linears by the type of their tensor; packed codes count as U32 */
    char note[256];                 /* why some linears went as F32, when they might have been smaller; "" */
    char window_note[160];          /* up to which length the format's programs do as the model does; "": any */
} dq_export_report;

/* A sliding window that GGUF cannot hold is refused. set: the quantizers attached to the model, or NULL for the model as its file holds it. */
dlqat_status dq_export(dq_model *model, const dq_quantizer_set *set, const char *path, const dq_export_options *options,
                       dq_export_report *report, dlqat_error *error);

/* Bits per weight of the linears with scales and offsets, and of all tensors. */
double dq_export_linear_bits(const dq_export_report *report);
double dq_export_bits(const dq_export_report *report);
/* One line each, in what `export` and `quantize` say: what was written, and what the comparison found. */
void dq_export_describe(const dq_export_report *report, dq_buffer *text);

#endif
