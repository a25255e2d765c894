#include "eval/wikitext.h"

#include <string.h>

/* Bytes of the white-space character at text, 0 if there is none. What Python's str.isspace and \s take for white space. */
static size_t space_width(const char *text, size_t left) {
    const unsigned char *p = (const unsigned char *)text;
    if (left >= 1 && ((p[0] >= 9 && p[0] <= 13) || (p[0] >= 28 && p[0] <= 32))) return 1;
    if (left >= 2 && p[0] == 0xc2 && (p[1] == 0x85 || p[1] == 0xa0)) return 2; /* U+0085, U+00A0 */
    if (left < 3) return 0;
    uint32_t three = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
    bool space = three == 0xe19a80                           /* U+1680 */
                 || (three >= 0xe28080 && three <= 0xe2808a) /* U+2000 .. U+200A */
                 || three == 0xe280a8 || three == 0xe280a9   /* U+2028, U+2029 */
                 || three == 0xe280af                        /* U+202F */
                 || three == 0xe2819f || three == 0xe38080;  /* U+205F, U+3000 */
    return space ? 3 : 0;
}

/* Narrows [*begin, *end) to what lies between white space. */
static void strip(const char *text, size_t *begin, size_t *end) {
    size_t first = *end, last = *end, at = *begin;
    while (at < *end) {
        size_t width = space_width(text + at, *end - at);
        if (width == 0) {
            if (first == *end) first = at;
            last = at + 1;
        }
        at += width ? width : 1;
    }
    *begin = first;
    *end = first == *end ? first : last;
}

/* "= Title =", but not "= = Section = =". */
static bool is_title(const char *text, size_t begin, size_t end) {
    strip(text, &begin, &end);
    size_t n = end - begin;
    const char *line = text + begin;
    return n >= 4 && line[0] == '=' && line[1] == ' ' && line[2] != '=' && line[n - 1] == '=' && line[n - 2] == ' ' &&
           line[n - 3] != '=';
}

bool dq_wikitext_next(const char *text, size_t length, size_t *at, size_t *begin, size_t *end) {
    while (*at < length) {
        *begin = *at;
        *end = length;
        size_t line = *at, next = length;
        while (line < length) {
            const char *newline = memchr(text + line, '\n', length - line);
            size_t stop = newline ? (size_t)(newline - text) : length;
            if (line > *begin && is_title(text, line, stop)) {
                *end = line - 1; /* without the newline before the heading */
                next = line;
                break;
            }
            line = stop + 1;
        }
        *at = next;
        size_t first = *begin, last = *end;
        strip(text, &first, &last);
        if (first < last) return true;
    }
    return false;
}

uint64_t dq_count_words(const char *text, size_t length) {
    uint64_t runs = 0;
    bool before = false;
    for (size_t at = 0; at < length;) {
        size_t width = space_width(text + at, length - at);
        runs += width > 0 && !before;
        before = width > 0;
        at += width ? width : 1;
    }
    return runs + 1;
}

static void swap(dq_buffer *a, dq_buffer *b) {
    dq_buffer t = *a;
    *a = *b;
    *b = t;
    b->size = 0;
}

/* '#' in pattern stands for any digit. */
static bool matches(const char *text, const char *pattern, size_t width) {
    for (size_t i = 0; i < width; i++)
        if (pattern[i] == '#' ? text[i] < '0' || text[i] > '9' : text[i] != pattern[i]) return false;
    return true;
}

/* Every match of from becomes to, left to right. */
static void replace(dq_buffer *text, dq_buffer *spare, const char *from, const char *to) {
    size_t width = strlen(from), kept = 0;
    for (size_t at = 0; at < text->size;) {
        const char *hit = memchr(text->data + at, from[0], text->size - at);
        if (!hit) break;
        at = (size_t)(hit - text->data);
        if (text->size - at < width || !matches(hit, from, width)) {
            at++;
            continue;
        }
        dq_buffer_put(spare, text->data + kept, at - kept);
        dq_buffer_puts(spare, to);
        kept = at += width;
    }
    if (text->size) dq_buffer_put(spare, text->data + kept, text->size - kept);
    swap(text, spare);
}

/* What stands between open and the next close loses the white space at its ends. */
static void tighten(dq_buffer *text, dq_buffer *spare, char open, char close) {
    size_t at = 0;
    while (at < text->size) {
        const char *first = memchr(text->data + at, open, text->size - at);
        size_t inner = first ? (size_t)(first - text->data) + 1 : text->size;
        const char *last = first ? memchr(text->data + inner, close, text->size - inner) : NULL;
        if (!last) break;
        size_t begin = inner, end = (size_t)(last - text->data);
        dq_buffer_put(spare, text->data + at, inner - at);
        at = end;
        strip(text->data, &begin, &end);
        dq_buffer_put(spare, text->data + begin, end - begin);
        dq_buffer_put(spare, &close, 1);
        at++;
    }
    if (text->size) dq_buffer_put(spare, text->data + at, text->size - at);
    swap(text, spare);
}

dlqat_status dq_wikitext_detokenize(const char *text, size_t length, dq_buffer *out, dlqat_error *error) {
    static const char *const spaced[][2] = {{" @-@ ", "-"}, {" @,@ ", ","}, {" @.@ ", "."},
                                            {" : ", ": "},  {" ; ", "; "},  {" . ", ". "},
                                            {" ! ", "! "},  {" ? ", "? "},  {" , ", ", "}};
    static const char pairs[][2] = {{'(', ')'}, {'[', ']'}, {'{', '}'}, {'"', '"'}, {'\'', '\''}};
    static const char *const rest[][2] = {
        {"= = = =", "===="}, {"= = =", "==="}, {"= =", "=="},  {" \xc2\xb0 ", "\xc2\xb0"},
        {" \n", "\n"},       {"\n ", "\n"},    {" N ", " 1 "}, {" 's", "'s"}};
    dq_buffer now = {0}, spare = {0};
    dq_buffer_put(&now, text, length);
    replace(&now, &spare, "s '", "s'");
    replace(&now, &spare, "/' #/", "/'[0-9]/"); /* not a slip here: the harness writes its own pattern there */
    for (size_t i = 0; i < sizeof spaced / sizeof spaced[0]; i++) replace(&now, &spare, spaced[i][0], spaced[i][1]);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) tighten(&now, &spare, pairs[i][0], pairs[i][1]);
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++) replace(&now, &spare, rest[i][0], rest[i][1]);
    if (now.size) dq_buffer_put(out, now.data, now.size);
    out->failed = out->failed || now.failed || spare.failed;
    dq_buffer_free(&now);
    dq_buffer_free(&spare);
    return dq_buffer_check(out, "the text without its tokenizer's spaces", error);
}
