/* What each weight is called, in Hugging Face's and in GGUF's naming. */
#ifndef DQ_MODEL_NAMES_H
#define DQ_MODEL_NAMES_H

#include "model/model.h"

/* The first seven are dq_linear_kind's; then the layer's norms; then what the model has once. */
typedef enum dq_part {
    DQ_PART_INPUT_NORM = DQ_LINEARS_PER_LAYER,
    DQ_PART_POST_NORM,
    DQ_PART_Q_NORM,
    DQ_PART_K_NORM,
    DQ_PART_EMBEDDING,
    DQ_PART_FINAL_NORM,
    DQ_PART_HEAD,
    DQ_PARTS
} dq_part;

enum { DQ_NAME_SIZE = 96 }; /* room for any name of a part with its suffix */

/* "model.layers.3.self_attn.q_proj" or "blk.3.attn_q", without ".weight" and the like. layer is ignored where the model has
 * the part once. */
void dq_part_name(char name[DQ_NAME_SIZE], bool gguf, int part, int layer);
/* The inverse, for a tensor's name "PART.SUFFIX"; *suffix points into name. False: no such part. */
bool dq_part_parse(const char *name, bool gguf, int *part, int *layer, const char **suffix);

/* Shape of a linear. */
int64_t dq_linear_out(const dq_config *config, dq_linear_kind kind);
int64_t dq_linear_in(const dq_config *config, dq_linear_kind kind);
bool dq_linear_has_bias(const dq_config *config, dq_linear_kind kind);

#endif
