/* From one row's text to its ids and targets, appended to a data set. */
#ifndef DQ_TEXT_DATASET_ROW_H
#define DQ_TEXT_DATASET_ROW_H

#include "text/dataset.h"

typedef struct dq_dataset_builder {
    dq_dataset *data;
    const dq_dataset_options *options;
    size_t token_capacity, row_capacity;
    dq_encoder *encoder; /* owned */
    /* Kept from row to row. */
    dq_ids whole, prefix;
    dq_buffer text, scratch;
    dq_segment *segments;
    size_t segment_capacity;
} dq_dataset_builder;

dlqat_status dq_dataset_add_instruction(dq_dataset_builder *builder, const char *instruction, const char *input,
                                        const char *output, dlqat_error *error);
dlqat_status dq_dataset_add_chat(dq_dataset_builder *builder, const dq_message *messages, size_t count,
                                 dlqat_error *error);
dlqat_status dq_dataset_add_text(dq_dataset_builder *builder, const char *text, size_t length, dlqat_error *error);
/* As many rows as the text gives. */
dlqat_status dq_dataset_add_plain(dq_dataset_builder *builder, const char *text, size_t length, dlqat_error *error);
/* Gives back what was kept from row to row; the data set stays. */
void dq_dataset_builder_free(dq_dataset_builder *builder);

#endif
