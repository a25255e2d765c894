#include "text/added_tokens.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

dlqat_status dq_added_tokens_add(dq_added_tokens *tokens, const dq_added_token *token, dlqat_error *error) {
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity ? tokens->capacity * 2 : 64;
        dq_added_token *larger = realloc(tokens->at, capacity * sizeof *larger);
        if (!larger) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for added tokens");
        tokens->at = larger;
        tokens->capacity = capacity;
    }
    dq_added_token copy = *token;
    copy.content = malloc(token->length + 1);
    if (!copy.content) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for added tokens");
    memcpy(copy.content, token->content, token->length);
    copy.content[token->length] = '\0';
    copy.shown = NULL;
    copy.shown_length = 0;
    tokens->at[tokens->count++] = copy;
    return DLQAT_OK;
}

void dq_added_tokens_free(dq_added_tokens *tokens) {
    for (size_t i = 0; i < tokens->count; i++) {
        free(tokens->at[i].content);
        free(tokens->at[i].shown);
    }
    free(tokens->at);
    free(tokens->raw.nodes);
    free(tokens->normalized.nodes);
    memset(tokens, 0, sizeof *tokens);
}

static uint32_t new_node(dq_trie *trie, unsigned char byte, uint32_t sibling) {
    if (trie->count + 1 >= trie->capacity) {
        size_t capacity = trie->capacity ? trie->capacity * 2 : 256;
        dq_trie_node *larger = capacity < UINT32_MAX ? realloc(trie->nodes, capacity * sizeof *larger) : NULL;
        if (!larger) return 0;
        trie->nodes = larger;
        trie->capacity = capacity;
    }
    uint32_t index = (uint32_t)++trie->count;
    trie->nodes[index] = (dq_trie_node){.sibling = sibling, .token = -1, .byte = byte};
    return index;
}

static uint32_t child_of(const dq_trie *trie, uint32_t node, unsigned char byte) {
    uint32_t child = trie->nodes[node].child;
    while (child && trie->nodes[child].byte != byte) child = trie->nodes[child].sibling;
    return child;
}

dlqat_status dq_trie_insert(dq_trie *trie, const char *pattern, size_t length, int32_t index, dlqat_error *error) {
    uint32_t node = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)pattern[i];
        uint32_t next = i ? child_of(trie, node, byte) : trie->root[byte];
        if (!next) {
            next = new_node(trie, byte, i ? trie->nodes[node].child : 0);
            if (!next) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for added tokens");
            if (i)
                trie->nodes[node].child = next;
            else
                trie->root[byte] = next;
        }
        node = next;
    }
    if (node && trie->nodes[node].token < 0) trie->nodes[node].token = index;
    return DLQAT_OK;
}

/* The longest token at text[0 .. length), or -1. */
static int32_t longest_at(const dq_trie *trie, const char *text, size_t length, size_t *size) {
    int32_t token = -1;
    uint32_t node = trie->root[(unsigned char)text[0]];
    for (size_t i = 0; node;) {
        if (trie->nodes[node].token >= 0) {
            token = trie->nodes[node].token;
            *size = i + 1;
        }
        if (++i == length) break;
        node = child_of(trie, node, (unsigned char)text[i]);
    }
    return token;
}

/* Unicode's \w: alphabetic characters, marks, decimal digits, connectors, and the two joiners. */
static bool is_word(uint32_t point) {
    switch (utf8proc_category((utf8proc_int32_t)point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default: /* Other_Alphabetic among the symbols: circled and squared letters */
        return point == 0x200c || point == 0x200d || (point >= 0x24b6 && point <= 0x24e9) ||
               (point >= 0x1f130 && point <= 0x1f149) || (point >= 0x1f150 && point <= 0x1f169) ||
               (point >= 0x1f170 && point <= 0x1f189);
    }
}

static bool is_space(uint32_t point) {
    return (point >= 9 && point <= 13) || point == ' ' || point == 0x85 || point == 0xa0 || point == 0x1680 ||
           (point >= 0x2000 && point <= 0x200a) || point == 0x2028 || point == 0x2029 || point == 0x202f ||
           point == 0x205f || point == 0x3000;
}

/* The character that ends at text[at]; at > 0. */
static size_t before(const char *text, size_t at, uint32_t *point) {
    size_t size = 1;
    while (size < at && size < 4 && ((unsigned char)text[at - size] & 0xc0) == 0x80) size++;
    return dq_utf8_next(text + at - size, size, point);
}

static bool stands_alone(const dq_added_walk *walk, size_t start, size_t end) {
    uint32_t point;
    if (start && before(walk->text, start, &point) && is_word(point)) return false;
    return end == walk->length || !dq_utf8_next(walk->text + end, walk->length - end, &point) || !is_word(point);
}

const dq_added_token *dq_added_next(dq_added_walk *walk, size_t *plain_start, size_t *plain_end) {
    *plain_start = walk->plain_start;
    while (walk->search < walk->length) {
        size_t start = walk->search, size = 0;
        int32_t index = longest_at(walk->trie, walk->text + start, walk->length - start, &size);
        if (index < 0) {
            walk->search++;
            continue;
        }
        size_t end = start + size;
        walk->search = end;
        const dq_added_token *token = &walk->tokens->at[index];
        if (walk->skip_special && token->special) continue;
        if (token->single_word && !stands_alone(walk, start, end)) continue;
        uint32_t point;
        size_t step;
        /* White space that the token before has taken is not taken again. */
        while (token->lstrip && start > walk->plain_start && (step = before(walk->text, start, &point)) &&
               is_space(point))
            start -= step;
        while (token->rstrip && (step = dq_utf8_next(walk->text + end, walk->length - end, &point)) && is_space(point))
            end += step;
        *plain_end = start > walk->plain_start ? start : walk->plain_start;
        walk->plain_start = end;
        return token;
    }
    *plain_end = walk->length;
    /* After the last token; a token that took white space may even have ended before an earlier one did. */
    walk->plain_start = walk->length;
    return NULL;
}
