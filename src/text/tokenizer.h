/* Tokenizers: text <-> ids, the same ids as Hugging Face `tokenizers` (and llama.cpp for GGUF) gives.
 *
 * Read from tokenizer.json (with tokenizer_config.json beside it), from a SentencePiece .model, or from a GGUF file.
 * Byte-level BPE and SentencePiece BPE with byte fallback. A construct that is not known is refused by name. */
#ifndef DQ_TEXT_TOKENIZER_H
#define DQ_TEXT_TOKENIZER_H

#include "base/buffer.h"
#include "formats/gguf.h"

#include <jansson.h>

typedef struct dq_tokenizer dq_tokenizer;

/* A growing list of ids; freed with dq_ids_free. */
typedef struct dq_ids {
    int32_t *at;
    size_t count, capacity;
} dq_ids;
void dq_ids_free(dq_ids *ids);
/* Appends one. */
dlqat_status dq_ids_add(dq_ids *ids, int32_t id, dlqat_error *error);

/* directory: with tokenizer.json, or tokenizer.model. path: a file of either kind, or a GGUF. */
dlqat_status dq_tokenizer_open(dq_tokenizer **tokenizer, const char *path, dlqat_error *error);
dlqat_status dq_tokenizer_from_gguf(dq_tokenizer **tokenizer, const dq_gguf *file, dlqat_error *error);
void dq_tokenizer_close(dq_tokenizer *tokenizer);

typedef enum dq_encode_flags {
    DQ_ENCODE_PLAIN = 0,   /* no token added; added tokens' strings within the text are still recognised */
    DQ_ENCODE_SPECIAL = 1, /* BOS / EOS as the tokenizer's post-processor adds them */
    DQ_ENCODE_NO_ADDED = 2 /* strings of special added tokens are treated as text: for untrusted user text */
} dq_encode_flags;

/* Appends the ids of text (length bytes; U+FFFD for each ill-formed part) to ids. O(n log n). */
dlqat_status dq_tokenizer_encode(const dq_tokenizer *tokenizer, const char *text, size_t length, unsigned flags,
                                 dq_ids *ids, dlqat_error *error);
/* The same for many texts of one thread, which share memory: short words that came before are not merged again. The tokenizer must
 * outlive it. */
typedef struct dq_encoder dq_encoder;
dlqat_status dq_encoder_open(dq_encoder **encoder, const dq_tokenizer *tokenizer, dlqat_error *error);
dlqat_status dq_encoder_encode(dq_encoder *encoder, const char *text, size_t length, unsigned flags, dq_ids *ids,
                               dlqat_error *error);
void dq_encoder_close(dq_encoder *encoder);
/* Appends the text of ids: bytes, which end within a character where the ids do (a run of byte tokens that is no UTF-8 stays as
 * it is). skip_special: special tokens give nothing. An id out of range is ERROR_INPUT. The text of the first ids is how the
 * text of all of them begins, so a caller streams by decoding what there is and showing what is new. */
dlqat_status dq_tokenizer_decode(const dq_tokenizer *tokenizer, const int32_t *ids, size_t count, bool skip_special,
                                 dq_buffer *text, dlqat_error *error);

int32_t dq_tokenizer_vocabulary_size(const dq_tokenizer *tokenizer); /* highest id + 1 */
/* -1 where there is none. eos: the one of tokenizer_config.json / GGUF; model configurations may name more. Without
 * tokenizer_config.json: the one token that the post-processor puts in front (bos) or behind (eos). */
int32_t dq_tokenizer_bos(const dq_tokenizer *tokenizer);
int32_t dq_tokenizer_eos(const dq_tokenizer *tokenizer);
/* Whether encoding with DQ_ENCODE_SPECIAL puts BOS first. */
bool dq_tokenizer_adds_bos(const dq_tokenizer *tokenizer);
/* Id of an exact token string (an added token or a vocabulary entry), or -1. */
int32_t dq_tokenizer_find(const dq_tokenizer *tokenizer, const char *token);
/* Token string of an id as the vocabulary holds it; NULL when out of range or a gap. */
const char *dq_tokenizer_token(const dq_tokenizer *tokenizer, int32_t id, size_t *length);
bool dq_tokenizer_is_special(const dq_tokenizer *tokenizer, int32_t id);
/* The chat template's Jinja text, or NULL. */
const char *dq_tokenizer_chat_template(const dq_tokenizer *tokenizer);

/* Writes tokenizer.json, tokenizer_config.json (with the chat template) and special_tokens_map.json into a directory, such that
 * transformers loads them and gives the same ids. For tokenizers that came from GGUF or .model; where the tokenizer
 * came from an HF directory the caller copies the files instead. The directory must be there. */
dlqat_status dq_tokenizer_save_hf(const dq_tokenizer *tokenizer, const char *directory, dlqat_error *error);
/* Sets tokenizer.ggml.* (model, pre, tokens, scores, token_type, merges, ids, add_bos_token, add_space_prefix) and
 * tokenizer.chat_template, such that llama.cpp gives the same ids. vocabulary_size: rows of the embedding; missing
 * ids are filled with unused tokens. A pre-tokenizer for which llama.cpp has no name is ERROR_UNSUPPORTED. What llama.cpp
 * never does is left to it: it does not bring texts into NFC, does not let added tokens strip spaces, and puts a space
 * after each of them where tokenizer.json has Metaspace "first". */
dlqat_status dq_tokenizer_save_gguf(const dq_tokenizer *tokenizer, dq_gguf_writer *writer, int64_t vocabulary_size,
                                    dlqat_error *error);

#endif
