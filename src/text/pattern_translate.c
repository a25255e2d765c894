/* Oniguruma's regular expressions in PCRE2's spelling.
 *
 * What differs, and is rewritten:
 *   \s \S    Unicode's White_Space; PCRE2's own \s takes U+180E too
 *   \d \w    Nd; and Alphabetic, M, Nd, Pc
 *   \v       the vertical tab alone
 *   \uHHHH   \x{HHHH}
 *   \p{Han}  a script; PCRE2 would take script extensions
 *   \p{L} .. with the characters of recent Unicode versions added
 * Everything else that is accepted means the same to both; what is not in this file is refused. */
#include "text/pattern.h"

#include "text/pattern_unicode.h"
#include "text/utf8.h"

#include <stdio.h>
#include <string.h>

typedef struct translator {
    const char *source, *where;
    size_t length, at;
    bool in_class;
    dq_buffer *out;
    dlqat_error *error;
} translator;

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool ahead(const translator *t, const char *text) {
    size_t size = strlen(text);
    return t->length - t->at >= size && !memcmp(t->source + t->at, text, size);
}

static dlqat_status refuse(const translator *t, size_t from, const char *what) {
    size_t end = t->at < t->length ? t->at + 1 : t->length;
    return dq_fail(t->error, DLQAT_ERROR_UNSUPPORTED,
                   "%s: the regular expression \"%.*s\" contains %s (\"%.*s\"), which is not supported", t->where,
                   t->length < 300 ? (int)t->length : 300, t->source, what, (int)(end - from), t->source + from);
}

/* A set of characters: bare inside [..], in brackets of its own outside. */
static void put_set(const translator *t, const char *set) {
    if (t->in_class)
        dq_buffer_puts(t->out, set);
    else
        dq_buffer_format(t->out, "[%s]", set);
}

/* at: behind the p or P of \p{NAME}. */
static dlqat_status translate_property(translator *t, size_t from, bool negated) {
    static const char categories[] =
        "L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Cn Co Cs ";
    char name[40] = "";
    size_t size = 0;
    if (ahead(t, "{^")) {
        negated = !negated;
        t->at++;
    }
    if (!ahead(t, "{") && !ahead(t, "^")) return refuse(t, from, "a property without braces");
    for (t->at++; t->at < t->length && t->source[t->at] != '}'; t->at++) {
        char c = t->source[t->at];
        if (size + 1 == sizeof name || !(is_letter(c) || c == '_')) return refuse(t, from, "a property");
        name[size++] = c;
    }
    if (t->at == t->length || !size) return refuse(t, from, "a property that does not end");
    t->at++;
    char padded[sizeof name + 1];
    snprintf(padded, sizeof padded, "%s ", name);
    bool category = size <= 2 && strstr(categories, padded);
    if (!category) { /* a script; compiling refuses what is none */
        dq_buffer_format(t->out, "\\%c{sc:%s}", negated ? 'P' : 'p', name);
        return DLQAT_OK;
    }
    dq_buffer set = {0};
    dq_unicode_recent(name, &set);
    if (negated && t->in_class) /* a set cannot be taken away from inside a class: recent characters stay with PCRE2 */
        dq_buffer_format(t->out, "\\P{%s}", name);
    else if (t->in_class || !set.size)
        dq_buffer_format(t->out, "\\%c{%s}%s", negated ? 'P' : 'p', name, set.size ? set.data : "");
    else
        dq_buffer_format(t->out, "[%s\\p{%s}%s]", negated ? "^" : "", name, set.data);
    dlqat_status status = dq_buffer_check(&set, "a regular expression", t->error);
    dq_buffer_free(&set);
    return status;
}

/* at: behind the x or u. */
static dlqat_status translate_code_point(translator *t, size_t from, bool braces) {
    size_t size = 0, begin = t->at + braces;
    while (begin + size < t->length && is_hex(t->source[begin + size]) && size < (braces ? 8u : 4u)) size++;
    t->at = begin + size;
    bool good = braces ? size && t->at < t->length && t->source[t->at] == '}' : size == 4;
    if (!good) return refuse(t, from, "a malformed code point");
    t->at += braces;
    dq_buffer_format(t->out, "\\x{%.*s}", (int)size, t->source + begin);
    return DLQAT_OK;
}

static dlqat_status translate_escape(translator *t) {
    size_t from = t->at++;
    if (t->at == t->length) return refuse(t, from, "a backslash at its end");
    char c = t->source[t->at++];
    switch (c) {
    case 's':
        dq_buffer_puts(t->out, "\\p{WSpace}");
        return DLQAT_OK;
    case 'S':
        dq_buffer_puts(t->out, "\\P{WSpace}");
        return DLQAT_OK;
    case 'd':
        dq_buffer_puts(t->out, "\\p{Nd}");
        return DLQAT_OK;
    case 'D':
        dq_buffer_puts(t->out, "\\P{Nd}");
        return DLQAT_OK;
    case 'w':
        put_set(t, "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}");
        return DLQAT_OK;
    case 'v':
        dq_buffer_puts(t->out, "\\x0b");
        return DLQAT_OK;
    case 'n':
    case 'r':
    case 't':
    case 'f':
        dq_buffer_format(t->out, "\\%c", c);
        return DLQAT_OK;
    case 'p':
    case 'P':
        return translate_property(t, from, c == 'P');
    case 'u':
        return translate_code_point(t, from, false);
    case 'x':
        if (!ahead(t, "{")) return refuse(t, from, "a byte escape");
        return translate_code_point(t, from, true);
    case 'A':
    case 'z':
        if (t->in_class) break;
        dq_buffer_format(t->out, "\\%c", c);
        return DLQAT_OK;
    default:
        break;
    }
    if (is_letter(c) || is_digit(c) || (unsigned char)c >= 0x80) {
        t->at--;
        return refuse(t, from, "an escape");
    }
    dq_buffer_format(t->out, "\\%c", c);
    return DLQAT_OK;
}

static dlqat_status translate_class(translator *t) {
    size_t from = t->at++;
    dq_buffer_puts(t->out, "[");
    if (ahead(t, "^")) {
        dq_buffer_puts(t->out, "^");
        t->at++;
    }
    if (ahead(t, "]")) return refuse(t, from, "an empty class");
    t->in_class = true;
    while (t->at < t->length && t->source[t->at] != ']') {
        if (ahead(t, "[") || ahead(t, "&&")) return refuse(t, t->at, "a set within a class");
        if (ahead(t, "\\"))
            DQ_TRY(translate_escape(t));
        else
            dq_buffer_put(t->out, t->source + t->at++, 1);
    }
    t->in_class = false;
    if (t->at == t->length) return refuse(t, from, "a class that does not end");
    t->at++;
    dq_buffer_puts(t->out, "]");
    return DLQAT_OK;
}

static dlqat_status translate_group(translator *t) {
    static const char *const kinds[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (ahead(t, kinds[i])) {
            dq_buffer_puts(t->out, kinds[i]);
            t->at += strlen(kinds[i]);
            return DLQAT_OK;
        }
    if (ahead(t, "(?") || ahead(t, "(*")) {
        size_t from = t->at;
        t->at += 2;
        return refuse(t, from, "a group");
    }
    dq_buffer_puts(t->out, "(");
    t->at++;
    return DLQAT_OK;
}

/* {n}, {n,}, {n,m}; a '+' behind it makes it possessive to PCRE2 but repeats it in Oniguruma; {n}? is
 * optional in Oniguruma. */
static dlqat_status translate_repeat(translator *t) {
    size_t from = t->at++, digits = 0, commas = 0;
    for (; t->at < t->length && t->source[t->at] != '}'; t->at++) {
        if (is_digit(t->source[t->at]))
            digits++;
        else if (t->source[t->at] == ',' && digits && !commas)
            commas++;
        else
            return refuse(t, from, "a brace");
    }
    if (t->at == t->length || !digits) return refuse(t, from, "a brace");
    t->at++;
    if (ahead(t, "+") || (!commas && ahead(t, "?"))) return refuse(t, from, "a repeat of a repeat");
    dq_buffer_put(t->out, t->source + from, t->at - from);
    return DLQAT_OK;
}

dlqat_status dq_pattern_translate(dq_buffer *out, const char *source, size_t length, const char *where,
                                  dlqat_error *error) {
    translator t = {.source = source, .where = where, .length = length, .out = out, .error = error};
    if (!dq_utf8_valid(source, length))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: a regular expression is not well-formed UTF-8", where);
    while (t.at < length) {
        switch (source[t.at]) {
        case '\\':
            DQ_TRY(translate_escape(&t));
            break;
        case '[':
            DQ_TRY(translate_class(&t));
            break;
        case '(':
            DQ_TRY(translate_group(&t));
            break;
        case '{':
            DQ_TRY(translate_repeat(&t));
            break;
        default:
            dq_buffer_put(out, source + t.at++, 1);
            break;
        }
    }
    dq_buffer_put(out, "", 0); /* an empty expression has text, too */
    return dq_buffer_check(out, "a regular expression", error);
}
