#include "eval/prompt.h"

#include <string.h>

dq_template_kind dq_template_chosen(const char *word) {
    for (int kind = DQ_TEMPLATE_AUTO; word && kind <= DQ_TEMPLATE_MISTRAL; kind++)
        if (strcmp(word, dq_template_name((dq_template_kind)kind)) == 0) return (dq_template_kind)kind;
    return DQ_TEMPLATE_AUTO;
}

/* BOS first, then the text, in which the strings of special tokens are those tokens. Not DQ_ENCODE_SPECIAL: a
 * tokenizer that adds EOS would end the text before the model can go on. */
static dlqat_status encode(const dq_tokenizer *tokenizer, bool bos, const char *text, size_t length, dq_ids *ids,
                           dlqat_error *error) {
    if (bos) {
        size_t before = ids->count;
        DQ_TRY(dq_tokenizer_encode(tokenizer, "", 0, DQ_ENCODE_SPECIAL, ids, error));
        ids->count = before + 1; /* BOS comes first, whatever else an empty text gets */
    }
    return dq_tokenizer_encode(tokenizer, text, length, DQ_ENCODE_PLAIN, ids, error);
}

dlqat_status dq_prompt_ids(const dq_tokenizer *tokenizer, const dq_template *template, const char *system,
                           const char *prompt, dq_ids *ids, dlqat_error *error) {
    bool adds_bos = dq_tokenizer_adds_bos(tokenizer);
    if (!template) return encode(tokenizer, adds_bos, prompt, strlen(prompt), ids, error);
    dq_message messages[2] = {{"system", system}, {"user", prompt}};
    dq_buffer text = {0};
    dlqat_status status = dq_template_render(template, tokenizer, system ? messages : messages + 1, system ? 2 : 1,
                                             true, &text, NULL, NULL, error);
    if (status == DLQAT_OK) status = dq_buffer_check(&text, "the prompt", error);
    if (status == DLQAT_OK)
        status = encode(tokenizer, adds_bos && !template->adds_bos, text.data ? text.data : "", text.size, ids, error);
    dq_buffer_free(&text);
    return status;
}

bool dq_stops_has(const dq_stops *stops, int32_t id) {
    for (int i = 0; i < stops->count; i++)
        if (stops->at[i] == id) return true;
    return false;
}

static void add_stop(dq_stops *stops, int64_t id) {
    if (id < 0 || id > INT32_MAX || dq_stops_has(stops, (int32_t)id) || stops->count == DQ_MAX_STOPS) return;
    stops->at[stops->count++] = (int32_t)id;
}

dq_stops dq_prompt_stops(const dq_model *model, const dq_template *template) {
    dq_stops stops = {0};
    for (int i = 0; i < model->config.eos_count; i++) add_stop(&stops, model->config.eos[i]);
    if (!model->tokenizer) return stops;
    add_stop(&stops, dq_tokenizer_eos(model->tokenizer));
    const char *end = NULL;
    if (template && template->kind == DQ_TEMPLATE_CHATML) end = "<|im_end|>";
    if (template && template->kind == DQ_TEMPLATE_LLAMA3) end = "<|eot_id|>";
    if (end) add_stop(&stops, dq_tokenizer_find(model->tokenizer, end));
    return stops;
}
