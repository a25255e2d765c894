/* Inside src/export: which pieces a file is made of. */
#ifndef DQ_EXPORT_EXPORT_PLAN_H
#define DQ_EXPORT_EXPORT_PLAN_H

#include "export/export.h"
#include "export/piece.h"

typedef struct dq_export_plan {
    const dq_inventory *inventory;
    const dq_export_options *options;
    dq_piece *piece;
    int pieces;
} dq_export_plan;

/* Of a directory (result, mlx, hf) or of a GGUF file; fills the report's counts. Released with free(plan->piece). */
dlqat_status dq_plan_directory(dq_export_plan *plan, dq_export_report *report, dlqat_error *error);
dlqat_status dq_plan_gguf(dq_export_plan *plan, dq_export_report *report, dlqat_error *error);

/* Adds pieces; plan->piece has room for three per matrix and one per vector. */
dlqat_status dq_plan_allocate(dq_export_plan *plan, dlqat_error *error);
void dq_plan_add(dq_export_plan *plan, dq_export_report *report, const dq_piece *piece);
/* A matrix without a grid: bytes as they are where the format knows the type, else F32. */
dq_piece dq_plan_plain(const dq_matrix *matrix, bool gguf);

/* Writes what was planned: the weights and everything beside them into an existing directory, or one file. */
dlqat_status dq_write_directory(const dq_export_plan *plan, const char *directory, dlqat_error *error);
dlqat_status dq_write_gguf(const dq_export_plan *plan, const char *path, dlqat_error *error);

/* Tokenizer, generation_config.json and whatever else lies beside the weights: copied from a Hugging Face directory, made for GGUF. */
dlqat_status dq_write_companions(const dq_model *model, const char *directory, dlqat_error *error);

#endif
