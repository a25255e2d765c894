/* What a tokenizer is made of; shared by the files that read, run and write one. */
#ifndef DQ_TEXT_TOKENIZER_PARTS_H
#define DQ_TEXT_TOKENIZER_PARTS_H

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/steps.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

struct dq_tokenizer {
    char *source;             /* the path it was read from, for messages */
    dq_vocabulary vocabulary; /* the model's tokens; and, not findable, the added ones */
    int32_t *added_index;     /* by id, vocabulary.count of them: index into added, or -1 */
    dq_added_tokens added;
    dq_steps normalizer, pretokenizer, decoder;
    bool has_decoder;
    dq_bpe bpe;
    dq_ids prefix, suffix; /* what DQ_ENCODE_SPECIAL puts around a text */
    int32_t bos, eos, unk, pad;
    char *chat_template;
};

/* An empty tokenizer for the file at path. */
dlqat_status dq_tokenizer_new(dq_tokenizer **tokenizer, const char *path, dlqat_error *error);
/* Enters the id, which the vocabulary may hold with the same text, and the token. */
dlqat_status dq_tokenizer_add_token(dq_tokenizer *tokenizer, const dq_added_token *token, dlqat_error *error);
/* Merge `rank` of the two tokens named; joint: scratch. ERROR_INPUT when a token is not in the vocabulary. */
dlqat_status dq_tokenizer_add_merge(dq_tokenizer *tokenizer, const char *const sides[2], const size_t lengths[2],
                                    uint32_t rank, dq_buffer *joint, dlqat_error *error);
/* Builds what depends on all of the parts; the last thing a reader does. */
dlqat_status dq_tokenizer_finish(dq_tokenizer *tokenizer, dlqat_error *error);

/* tokenizer_json.c: the whole file. */
dlqat_status dq_tokenizer_read_json(dq_tokenizer *tokenizer, const json_t *root, dlqat_error *error);
/* tokenizer_json_steps.c: values of "normalizer", "pre_tokenizer", "decoder". */
dlqat_status dq_steps_read_normalizer(dq_steps *steps, const json_t *value, const char *where, dlqat_error *error);
dlqat_status dq_steps_read_pretokenizer(dq_steps *steps, const json_t *value, const char *where, dlqat_error *error);
dlqat_status dq_steps_read_decoder(dq_steps *steps, const json_t *value, const char *where, dlqat_error *error);
/* tokenizer_config.c: tokenizer_config.json, special_tokens_map.json and chat_template.jinja in a directory. */
dlqat_status dq_tokenizer_read_config(dq_tokenizer *tokenizer, const char *directory, dlqat_error *error);
/* tokenizer_spm.c: the bytes of a SentencePiece model; directory: where tokenizer_config.json may lie. */
dlqat_status dq_tokenizer_read_spm(dq_tokenizer *tokenizer, const unsigned char *bytes, size_t size,
                                   const char *directory, dlqat_error *error);

/* The steps of a SentencePiece tokenizer in Hugging Face's two forms. legacy: a space before every text between added
 * tokens; else before the first one only. collapse: SentencePiece's remove_extra_whitespaces. */
dlqat_status dq_tokenizer_metaspace(dq_tokenizer *tokenizer, bool add_prefix, bool legacy, bool collapse,
                                    dlqat_error *error);

/* tokenizer_scores.c: the merges in order of rank, from malloc, made from the scores where there are only those; and the
 * other way round, vocabulary.count scores, ERROR_UNSUPPORTED where no scores would merge alike. */
dlqat_status dq_tokenizer_merges(const dq_tokenizer *tokenizer, dq_merge **merges, size_t *count, dlqat_error *error);
dlqat_status dq_tokenizer_scores(const dq_tokenizer *tokenizer, float *scores, dlqat_error *error);

/* tokenizer_pre.c: pre-tokenizers that llama.cpp knows by name. */
enum { DQ_PRE_PATTERNS = 4 };
typedef struct dq_pre {
    const char *name;
    const char *patterns[DQ_PRE_PATTERNS];    /* llama.cpp's */
    const char *hf_patterns[DQ_PRE_PATTERNS]; /* as tokenizer.json files of such models spell them; or none */
    bool ignore_merges, add_bos;
} dq_pre;
const dq_pre *dq_pre_by_name(const char *name);
/* The one that these steps are; NULL: none. */
const dq_pre *dq_pre_by_steps(const dq_steps *pretokenizer, bool ignore_merges);
/* The expression of ByteLevel with use_regex, and the one of Digits. */
extern const char dq_gpt2_pattern[], dq_digits_pattern[];

#endif
