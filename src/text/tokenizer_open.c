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

dlqat_status dq_tokenizer_metaspace(dq_tokenizer *tokenizer, bool add_prefix, bool legacy, bool collapse,
                                    dlqat_error *error) {
    static const char underline[] = "\xe2\x96\x81"; /* U+2581 */
    const char *where = tokenizer->source;
    dq_step collapses[] = {
        {.kind = DQ_STEP_REPLACE, .source = "\\A +| +\\z", .source_length = 9, .content = ""},
        {.kind = DQ_STEP_REPLACE, .source = " {2,}", .source_length = 5, .content = " ", .content_length = 1},
    };
    for (size_t i = 0; i < 2 && collapse; i++)
        DQ_TRY(dq_steps_add(&tokenizer->normalizer, &collapses[i], where, error));
    dq_step prepend = {.kind = DQ_STEP_PREPEND, .content = (char *)underline, .content_length = 3};
    dq_step replace = {.kind = DQ_STEP_REPLACE,
                       .literal = true,
                       .source = " ",
                       .source_length = 1,
                       .content = (char *)underline,
                       .content_length = 3};
    dq_step metaspace = {.kind = DQ_STEP_METASPACE,
                         .literal = true,
                         .prepend = add_prefix ? DQ_PREPEND_FIRST : DQ_PREPEND_NEVER,
                         .behaviour = DQ_SPLIT_MERGED_WITH_NEXT,
                         .source = (char *)underline,
                         .source_length = 3,
                         .content = (char *)underline,
                         .content_length = 3};
    if (legacy) {
        if (add_prefix) DQ_TRY(dq_steps_add(&tokenizer->normalizer, &prepend, where, error));
        DQ_TRY(dq_steps_add(&tokenizer->normalizer, &replace, where, error));
    } else
        DQ_TRY(dq_steps_add(&tokenizer->pretokenizer, &metaspace, where, error));
    dq_step decoders[] = {
        {.kind = DQ_STEP_REPLACE,
         .literal = true,
         .source = (char *)underline,
         .source_length = 3,
         .content = " ",
         .content_length = 1},
        {.kind = DQ_STEP_BYTE_FALLBACK},
        {.kind = DQ_STEP_FUSE},
        {.kind = DQ_STEP_STRIP, .content = " ", .content_length = 1, .left = 1},
    };
    tokenizer->has_decoder = true;
    for (size_t i = 0; i < (add_prefix ? 4u : 3u); i++)
        DQ_TRY(dq_steps_add(&tokenizer->decoder, &decoders[i], where, error));
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
