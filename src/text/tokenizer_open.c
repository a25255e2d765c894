/* Which kind of tokenizer a path holds, and the steps that several kinds share. */
#include "text/tokenizer_parts.h"

#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

dlqat_status dq_tokenizer_add_merge(dq_tokenizer *tokenizer, const char *const sides[2], const size_t lengths[2],
                                    uint32_t rank, dq_buffer *joint, dlqat_error *error) {
    const dq_vocabulary *vocabulary = &tokenizer->vocabulary;
    joint->size = 0;
    dq_buffer_put(joint, sides[0], lengths[0]);
    dq_buffer_put(joint, sides[1], lengths[1]);
    DQ_TRY(dq_buffer_check(joint, "a merge", error));
    dq_merge merge = {.left = dq_vocabulary_find(vocabulary, sides[0], lengths[0]),
                      .right = dq_vocabulary_find(vocabulary, sides[1], lengths[1]),
                      .joint = dq_vocabulary_find(vocabulary, joint->data, joint->size),
                      .rank = rank};
    if (merge.left < 0 || merge.right < 0 || merge.joint < 0)
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: merge %u (\"%.*s\" and \"%.*s\") names or makes a token that is not in the vocabulary",
                       tokenizer->source, (unsigned)rank, lengths[0] < 60 ? (int)lengths[0] : 60, sides[0],
                       lengths[1] < 60 ? (int)lengths[1] : 60, sides[1]);
    dq_bpe_add_merge(&tokenizer->bpe, merge);
    return DLQAT_OK;
}

/* U+2581, which stands for a space. */
#define UNDERLINE "\xe2\x96\x81"

static dlqat_status add_replace(dq_steps *steps, const char *source, bool literal, const char *content,
                                const char *where, dlqat_error *error) {
    dq_step step = {.kind = DQ_STEP_REPLACE,
                    .literal = literal,
                    .source = (char *)source,
                    .source_length = strlen(source),
                    .content = (char *)content,
                    .content_length = strlen(content)};
    return dq_steps_add(steps, &step, where, error);
}

static dlqat_status add_content(dq_steps *steps, dq_step_kind kind, const char *content, int64_t left,
                                const char *where, dlqat_error *error) {
    dq_step step = {.kind = kind, .content = (char *)content, .content_length = strlen(content), .left = left};
    return dq_steps_add(steps, &step, where, error);
}

static dlqat_status add_metaspace(dq_steps *steps, bool prefix, const char *where, dlqat_error *error) {
    dq_step step = {.kind = DQ_STEP_METASPACE,
                    .literal = true,
                    .prepend = prefix ? DQ_PREPEND_FIRST : DQ_PREPEND_NEVER,
                    .behaviour = DQ_SPLIT_MERGED_WITH_NEXT,
                    .source = UNDERLINE,
                    .source_length = strlen(UNDERLINE),
                    .content = UNDERLINE,
                    .content_length = strlen(UNDERLINE)};
    return dq_steps_add(steps, &step, where, error);
}

dlqat_status dq_tokenizer_metaspace(dq_tokenizer *tokenizer, bool add_prefix, bool legacy, bool collapse,
                                    dlqat_error *error) {
    const char *where = tokenizer->source;
    dq_steps *normalizer = &tokenizer->normalizer, *decoder = &tokenizer->decoder;
    if (collapse) {
        DQ_TRY(add_replace(normalizer, "\\A +", false, "", where, error));
        DQ_TRY(add_replace(normalizer, " {2,}", false, " ", where, error));
    }
    if (legacy && add_prefix) DQ_TRY(add_content(normalizer, DQ_STEP_PREPEND, UNDERLINE, 0, where, error));
    if (legacy)
        DQ_TRY(add_replace(normalizer, " ", true, UNDERLINE, where, error));
    else
        DQ_TRY(add_metaspace(&tokenizer->pretokenizer, add_prefix, where, error));
    /* SentencePiece strips the end last, and there literal U+2581 goes as well. To look back keeps it linear. */
    if (collapse) DQ_TRY(add_replace(normalizer, "(?<![ " UNDERLINE "])[ " UNDERLINE "]+\\z", false, "", where, error));
    DQ_TRY(add_replace(decoder, UNDERLINE, true, " ", where, error));
    DQ_TRY(add_content(decoder, DQ_STEP_BYTE_FALLBACK, "", 0, where, error));
    DQ_TRY(add_content(decoder, DQ_STEP_FUSE, "", 0, where, error));
    if (add_prefix) DQ_TRY(add_content(decoder, DQ_STEP_STRIP, " ", 1, where, error));
    tokenizer->has_decoder = true;
    return DLQAT_OK;
}

static dlqat_status open_file(dq_tokenizer **out, const char *path, const char *directory, dlqat_error *error) {
    dq_map map;
    DQ_TRY(dq_map_open(&map, path, error));
    dq_tokenizer *tokenizer = NULL;
    dlqat_status status = dq_tokenizer_new(&tokenizer, path, error);
    size_t start = 0;
    while (start < map.size && memchr(" \t\r\n", map.data[start], 4)) start++;
    if (status == DLQAT_OK && start < map.size && map.data[start] == '{') {
        json_t *root = NULL;
        status = dq_json_parse((const char *)map.data, map.size, path, &root, error);
        if (status == DLQAT_OK) status = dq_tokenizer_read_json(tokenizer, root, error);
        json_decref(root);
    } else if (status == DLQAT_OK)
        status = dq_tokenizer_read_spm(tokenizer, map.data, map.size, directory, error);
    dq_map_close(&map);
    if (status == DLQAT_OK) status = dq_tokenizer_read_config(tokenizer, directory, error);
    if (status == DLQAT_OK) status = dq_tokenizer_finish(tokenizer, error);
    if (status == DLQAT_OK)
        *out = tokenizer;
    else
        dq_tokenizer_close(tokenizer);
    return status;
}

static dlqat_status open_gguf(dq_tokenizer **out, const char *path, dlqat_error *error) {
    dq_gguf *file;
    DQ_TRY(dq_gguf_open(&file, path, error));
    dlqat_status status = dq_tokenizer_from_gguf(out, file, error);
    dq_gguf_close(file);
    return status;
}

/* The file within a directory, from malloc. */
static dlqat_status find_file(const char *directory, char **path, dlqat_error *error) {
    static const char *const names[] = {"tokenizer.json", "tokenizer.model"};
    for (size_t i = 0; i < 2; i++) {
        *path = dq_path_join(directory, names[i]);
        if (!*path) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a path", directory);
        if (dq_file_exists(*path)) return DLQAT_OK;
        free(*path);
    }
    *path = NULL;
    return dq_fail(error, DLQAT_ERROR_INPUT,
                   "%s: no tokenizer in this directory; expected tokenizer.json or tokenizer.model", directory);
}

dlqat_status dq_tokenizer_open(dq_tokenizer **out, const char *path, dlqat_error *error) {
    *out = NULL;
    char *file = NULL;
    if (dq_is_directory(path)) {
        DQ_TRY(find_file(path, &file, error));
        dlqat_status status = open_file(out, file, path, error);
        free(file);
        return status;
    }
    if (dq_gguf_probe(path)) return open_gguf(out, path, error);
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) + (slash == path) : 1;
    char *directory = malloc(length + 1);
    if (!directory) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a path", path);
    memcpy(directory, slash ? path : ".", length);
    directory[length] = '\0';
    dlqat_status status = open_file(out, path, directory, error);
    free(directory);
    return status;
}
