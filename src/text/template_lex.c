#include "text/template_lex.h"

#include <stdlib.h>
#include <string.h>

typedef struct lexer {
    dq_tokens *tokens;
    const char *at;
    char *store; /* next free byte of the storage */
    bool line_start;
    dlqat_error *error;
} lexer;

void dq_tokens_free(dq_tokens *tokens) {
    free(tokens->at);
    free(tokens->storage);
    memset(tokens, 0, sizeof *tokens);
}

bool dq_token_is(const dq_tokens *tokens, size_t i, dq_token_kind kind, const char *text) {
    return i < tokens->count && tokens->at[i].kind == kind && strcmp(tokens->at[i].text, text) == 0;
}

static dlqat_status no_memory(dlqat_error *error) {
    return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory to read the chat template");
}

/* Closes the text that was stored since `text` and makes it a token. */
static dlqat_status add(lexer *lex, dq_token_kind kind, const char *text) {
    dq_tokens *tokens = lex->tokens;
    if (tokens->count == tokens->capacity) {
        size_t wanted = tokens->capacity ? tokens->capacity * 2 : 256;
        dq_token *larger = realloc(tokens->at, wanted * sizeof *larger);
        if (!larger) return no_memory(lex->error);
        tokens->at = larger;
        tokens->capacity = wanted;
    }
    *lex->store++ = '\0';
    tokens->at[tokens->count++] = (dq_token){kind, text};
    return DLQAT_OK;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) || is_digit(c);
}

/* Text up to the next tag. A tag that opens with '-' takes all white space before it; a statement or comment alone on
 * its line takes the blanks before it (lstrip_blocks). */
static dlqat_status read_text(lexer *lex) {
    const char *end = lex->at;
    while (*end && !(end[0] == '{' && (end[1] == '{' || end[1] == '%' || end[1] == '#'))) end++;
    const char *stop = end;
    if (*end && end[2] == '-')
        while (stop > lex->at && is_space(stop[-1])) stop--;
    else if (*end && end[2] != '+' && end[1] != '{') {
        const char *line = end;
        while (line > lex->at && (line[-1] == ' ' || line[-1] == '\t')) line--;
        if (line > lex->at ? line[-1] == '\n' : lex->line_start) stop = line;
    }
    size_t length = (size_t)(stop - lex->at);
    lex->at = end;
    if (!length) return DLQAT_OK;
    char *text = lex->store;
    memcpy(text, stop - length, length);
    lex->store += length;
    return add(lex, DQ_TOKEN_TEXT, text);
}

static void skip_space(lexer *lex) {
    while (is_space(*lex->at)) lex->at++;
}

/* After the end of a tag: '-' takes all white space; the end of a statement or comment takes one line end
 * (trim_blocks) unless it has a '+'. */
static void after_tag(lexer *lex, char sign, bool block) {
    lex->line_start = false;
    if (sign == '-') {
        const char *from = lex->at;
        skip_space(lex);
        lex->line_start = lex->at > from && lex->at[-1] == '\n';
    } else if (block && sign != '+' && *lex->at == '\n') {
        lex->at++;
        lex->line_start = true;
    }
}

static dlqat_status read_comment(lexer *lex) {
    const char *end = strstr(lex->at + 2, "#}");
    if (!end) return dq_fail(lex->error, DLQAT_ERROR_INPUT, "chat template: a {# comment is not closed");
    char sign = end > lex->at + 2 ? end[-1] : ' ';
    lex->at = end + 2;
    after_tag(lex, sign, true);
    return DLQAT_OK;
}

static dlqat_status read_string(lexer *lex) {
    char quote = *lex->at++, *text = lex->store;
    for (;; lex->at++) {
        char c = *lex->at;
        if (!c) return dq_fail(lex->error, DLQAT_ERROR_INPUT, "chat template: a string is not closed");
        if (c == quote) break;
        if (c == '\\') {
            static const char from[] = "ntr\\'\"", to[] = "\n\t\r\\'\"";
            c = *++lex->at;
            const char *known = c ? strchr(from, c) : NULL;
            if (!known)
                return dq_fail(lex->error, DLQAT_ERROR_UNSUPPORTED,
                               "chat template: the escape \\%.1s in a string is not supported", lex->at);
            c = to[known - from];
        }
        *lex->store++ = c;
    }
    lex->at++;
    return add(lex, DQ_TOKEN_STRING, text);
}

static dlqat_status read_operator(lexer *lex) {
    static const char two[][3] = {"==", "!=", "<=", ">=", "//", "**"};
    char *text = lex->store;
    size_t length = 1;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (strncmp(lex->at, two[i], 2) == 0) length = 2;
    if (length == 1 && !strchr("+-*/%~|.,:()[]{}<>=", *lex->at))
        return dq_fail(lex->error, DLQAT_ERROR_UNSUPPORTED, "chat template: unexpected character \"%.1s\" in a tag",
                       lex->at);
    memcpy(text, lex->at, length);
    lex->store += length;
    lex->at += length;
    return add(lex, DQ_TOKEN_OPERATOR, text);
}

static dlqat_status read_tag(lexer *lex) {
    bool print = lex->at[1] == '{';
    char close = print ? '}' : '%';
    lex->at += 2;
    if (*lex->at == '-' || *lex->at == '+') lex->at++;
    DQ_TRY(add(lex, print ? DQ_TOKEN_PRINT : DQ_TOKEN_STATEMENT, lex->store));
    for (int braces = 0;;) {
        skip_space(lex);
        char c = *lex->at;
        bool sign = (c == '-' || c == '+') && lex->at[1] == close && lex->at[2] == '}';
        if (braces == 0 && (sign || (c == close && lex->at[1] == '}'))) {
            lex->at += sign ? 3 : 2;
            after_tag(lex, sign ? c : ' ', !print);
            return add(lex, DQ_TOKEN_CLOSE, lex->store);
        }
        char *text = lex->store;
        if (!c) return dq_fail(lex->error, DLQAT_ERROR_INPUT, "chat template: a tag is not closed");
        if (c == '\'' || c == '"')
            DQ_TRY(read_string(lex));
        else if (is_name(c)) {
            dq_token_kind kind = is_digit(c) ? DQ_TOKEN_NUMBER : DQ_TOKEN_NAME;
            while (is_name(*lex->at)) *lex->store++ = *lex->at++;
            DQ_TRY(add(lex, kind, text));
        } else {
            braces += (c == '{') - (c == '}');
            DQ_TRY(read_operator(lex));
        }
    }
}

dlqat_status dq_tokens_read(dq_tokens *tokens, const char *text, dlqat_error *error) {
    memset(tokens, 0, sizeof *tokens);
    size_t length = strlen(text), kept = 0;
    /* Every token stores at most the bytes it was read from plus one NUL, and a close none but that: 2 length + 2. */
    char *source = malloc(length + 1);
    tokens->storage = length < SIZE_MAX / 2 - 2 ? malloc(2 * length + 2) : NULL;
    if (!source || !tokens->storage) {
        free(source);
        dq_tokens_free(tokens);
        return no_memory(error);
    }
    /* Jinja reads \r\n and \r as \n, and drops one line end at the end of the template. */
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\r' && text[i + 1] == '\n') continue;
        source[kept++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (kept && source[kept - 1] == '\n') kept--;
    source[kept] = '\0';

    lexer lex = {.tokens = tokens, .at = source, .store = tokens->storage, .line_start = true, .error = error};
    dlqat_status status = DLQAT_OK;
    while (status == DLQAT_OK && *lex.at) {
        if (lex.at[0] == '{' && lex.at[1] == '#')
            status = read_comment(&lex);
        else if (lex.at[0] == '{' && (lex.at[1] == '{' || lex.at[1] == '%'))
            status = read_tag(&lex);
        else
            status = read_text(&lex);
    }
    free(source);
    if (status != DLQAT_OK) dq_tokens_free(tokens);
    return status;
}
