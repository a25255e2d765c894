/* SentencePiece models: a protobuf message, of which the few fields that matter are read here.
 *
 *   ModelProto      1 pieces (repeated)  2 trainer_spec  3 normalizer_spec
 *   SentencePiece   1 piece (string)  2 score (float)  3 type (1 normal, 2 unknown, 3 control, 4 user, 5 unused, 6 byte)
 *   TrainerSpec     3 model_type (1 unigram, 2 BPE)  24 treat_whitespace_as_suffix  35 byte_fallback
 *                   40 unk_id  41 bos_id  42 eos_id  43 pad_id
 *   NormalizerSpec  1 name  2 precompiled_charsmap  3 add_dummy_prefix  4 remove_extra_whitespaces  5 escape_whitespaces */
#include "text/tokenizer_parts.h"

#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "text/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };
enum { MODEL_BPE = 2 };

/* ---- The wire format ------------------------------------------------------------------------------------------- */

typedef struct message {
    const unsigned char *at, *end;
} message;

typedef struct field {
    uint64_t number, value; /* value: of a varint, or the bits of a fixed one */
    message bytes;          /* of a length-delimited one */
} field;

static bool read_varint(message *m, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        unsigned char byte = *m->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static bool read_fixed(message *m, int bytes, uint64_t *value) {
    if (m->end - m->at < bytes) return false;
    *value = 0;
    for (int i = 0; i < bytes; i++) *value |= (uint64_t)*m->at++ << 8 * i;
    return true;
}

/* The next field; *good becomes false on malformed bytes, and false is returned then and at the end. */
static bool next_field(message *m, field *f, bool *good) {
    uint64_t tag;
    memset(f, 0, sizeof *f);
    if (m->at == m->end) return false;
    *good = *good && read_varint(m, &tag);
    if (!*good) return false;
    f->number = tag >> 3;
    switch (tag & 7) {
    case 0:
        *good = read_varint(m, &f->value);
        break;
    case 1:
        *good = read_fixed(m, 8, &f->value);
        break;
    case 2:
        *good = read_varint(m, &f->value) && f->value <= (uint64_t)(m->end - m->at);
        if (*good) {
            f->bytes = (message){m->at, m->at + f->value};
            m->at += f->value;
        }
        break;
    case 5:
        *good = read_fixed(m, 4, &f->value);
        break;
    default:
        *good = false;
        break;
    }
    return *good;
}

/* ---- The model ------------------------------------------------------------------------------------------------- */

typedef struct model {
    dq_tokenizer *tokenizer;
    const char *where;
    size_t count;
    int64_t unk, bos, eos, pad;
    uint64_t model_type;
    bool byte_fallback, add_dummy_prefix, collapse, as_suffix, escapes;
    message charsmap, name;
    dlqat_error *error;
} model;

static dlqat_status malformed(const model *m) {
    return dq_fail(m->error, DLQAT_ERROR_INPUT, "%s: neither JSON nor GGUF nor a well-formed SentencePiece model",
                   m->where);
}

static bool read_trainer(model *m, message bytes) {
    bool good = true;
    for (field f; next_field(&bytes, &f, &good);) {
        switch (f.number) {
        case 3:
            m->model_type = f.value;
            break;
        case 24:
            m->as_suffix = f.value;
            break;
        case 35:
            m->byte_fallback = f.value;
            break;
        case 40:
            m->unk = (int32_t)(uint32_t)f.value;
            break;
        case 41:
            m->bos = (int32_t)(uint32_t)f.value;
            break;
        case 42:
            m->eos = (int32_t)(uint32_t)f.value;
            break;
        case 43:
            m->pad = (int32_t)(uint32_t)f.value;
            break;
        default:
            break;
        }
    }
    return good;
}

static bool read_normalizer(model *m, message bytes) {
    bool good = true;
    for (field f; next_field(&bytes, &f, &good);) {
        switch (f.number) {
        case 1:
            m->name = f.bytes;
            break;
        case 2:
            m->charsmap = f.bytes;
            break;
        case 3:
            m->add_dummy_prefix = f.value;
            break;
        case 4:
            m->collapse = f.value;
            break;
        case 5:
            m->escapes = f.value;
            break;
        default:
            break;
        }
    }
    return good;
}

static dlqat_status read_piece(model *m, message bytes, int32_t id) {
    message text = {NULL, NULL};
    uint64_t type = TYPE_NORMAL;
    float score = 0;
    bool good = true;
    for (field f; next_field(&bytes, &f, &good);) {
        if (f.number == 1) text = f.bytes;
        if (f.number == 2) score = dq_f32_from_bits((uint32_t)f.value);
        if (f.number == 3) type = f.value;
    }
    size_t length = (size_t)(text.end - text.at);
    if (!good || !length) return malformed(m);
    const char *piece = (const char *)text.at;
    if (!dq_utf8_valid(piece, length) || !isfinite(score) || type < TYPE_NORMAL || type > TYPE_BYTE)
        return dq_fail(m->error, DLQAT_ERROR_INPUT,
                       "%s: piece %d must have a text in UTF-8, a finite score and a type from 1 to 6", m->where, id);
    dq_tokenizer *t = m->tokenizer;
    DQ_TRY(dq_vocabulary_add(&t->vocabulary, id, piece, length, true, m->error));
    t->bpe.scores[id] = score;
    t->bpe.mergeable[id] = type == TYPE_NORMAL || type == TYPE_USER_DEFINED || type == TYPE_UNUSED;
    if (type != TYPE_UNKNOWN && type != TYPE_CONTROL && type != TYPE_USER_DEFINED) return DLQAT_OK;
    dq_added_token token = {.id = id, .content = (char *)piece, .length = length, .special = type != TYPE_USER_DEFINED};
    return dq_tokenizer_add_token(t, &token, m->error);
}

/* First everything but the pieces, to refuse before much is allocated. */
static dlqat_status read_specs(model *m, message bytes) {
    bool good = true;
    for (field f; next_field(&bytes, &f, &good);) {
        if (f.number == 1) m->count++;
        if (f.number == 2) good = read_trainer(m, f.bytes);
        if (f.number == 3) good = good && read_normalizer(m, f.bytes);
    }
    if (!good || !m->count) return malformed(m);
    if (m->model_type != MODEL_BPE)
        return dq_fail(m->error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: a SentencePiece model of type %s is not supported, only BPE is", m->where,
                       m->model_type == 1   ? "unigram"
                       : m->model_type == 3 ? "word"
                                            : "char");
    if (m->charsmap.at != m->charsmap.end)
        return dq_fail(m->error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: the SentencePiece normalization \"%.*s\" is not supported, only identity is", m->where,
                       (int)(m->name.end - m->name.at < 60 ? m->name.end - m->name.at : 60), (const char *)m->name.at);
    if (m->as_suffix || !m->escapes)
        return dq_fail(m->error, DLQAT_ERROR_UNSUPPORTED, "%s: a SentencePiece model with %s is not supported",
                       m->where, m->as_suffix ? "treat_whitespace_as_suffix" : "escape_whitespaces off");
    return DLQAT_OK;
}

static dlqat_status read_pieces(model *m, message bytes) {
    dq_bpe *bpe = &m->tokenizer->bpe;
    DQ_TRY(dq_vocabulary_start(&m->tokenizer->vocabulary, m->where, m->count, m->error));
    bpe->scores = calloc(m->count, sizeof *bpe->scores);
    bpe->mergeable = calloc(m->count, sizeof *bpe->mergeable);
    if (!bpe->scores || !bpe->mergeable)
        return dq_fail(m->error, DLQAT_ERROR_MEMORY, "%s: no memory for the scores", m->where);
    int32_t id = 0;
    bool good = true;
    for (field f; next_field(&bytes, &f, &good);)
        if (f.number == 1) DQ_TRY(read_piece(m, f.bytes, id++));
    return DLQAT_OK;
}

static int32_t id_or_none(const model *m, int64_t id) {
    return dq_vocabulary_text(&m->tokenizer->vocabulary, id, NULL) ? (int32_t)id : -1;
}

/* "legacy" of tokenizer_config.json; transformers takes it for true when it is missing. */
static dlqat_status read_legacy(const char *directory, bool *legacy, dlqat_error *error) {
    char *path = dq_path_join(directory, "tokenizer_config.json");
    if (!path) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a path", directory);
    json_t *config = NULL;
    dlqat_status status = dq_file_exists(path) ? dq_json_load(path, &config, error) : DLQAT_OK;
    if (status == DLQAT_OK) status = dq_json_get_bool(config, "legacy", path, legacy, error);
    json_decref(config);
    free(path);
    return status;
}

dlqat_status dq_tokenizer_read_spm(dq_tokenizer *tokenizer, const unsigned char *bytes, size_t size,
                                   const char *directory, dlqat_error *error) {
    model m = {.tokenizer = tokenizer,
               .where = tokenizer->source,
               .unk = 0, /* the defaults of the message */
               .bos = 1,
               .eos = 2,
               .pad = -1,
               .model_type = 1,
               .add_dummy_prefix = true,
               .collapse = true,
               .escapes = true,
               .error = error};
    message whole = {bytes, bytes + size};
    bool legacy = true;
    if (!size) return malformed(&m);
    DQ_TRY(read_specs(&m, whole));
    DQ_TRY(read_pieces(&m, whole));
    DQ_TRY(read_legacy(directory, &legacy, error));
    tokenizer->unk = tokenizer->bpe.unk = id_or_none(&m, m.unk);
    tokenizer->bos = id_or_none(&m, m.bos);
    tokenizer->eos = id_or_none(&m, m.eos);
    tokenizer->pad = id_or_none(&m, m.pad);
    tokenizer->bpe.byte_fallback = m.byte_fallback;
    tokenizer->bpe.fuse_unk = true;
    /* A model does not say whether BOS is added; those of this kind (LLaMA's) have it added. */
    if (tokenizer->bos >= 0) DQ_TRY(dq_ids_add(&tokenizer->prefix, tokenizer->bos, error));
    return dq_tokenizer_metaspace(tokenizer, m.add_dummy_prefix, legacy, m.collapse, error);
}
