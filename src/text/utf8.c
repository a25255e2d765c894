#include "text/utf8.h"

/* Bytes of the longest prefix of a well-formed character at text; *complete says whether it is a whole one. */
static size_t prefix_length(const unsigned char *text, size_t length, bool *complete) {
    unsigned char lead = text[0];
    *complete = lead < 0x80;
    if (lead < 0x80) return 1;
    size_t wanted = lead >= 0xc2 && lead <= 0xdf ? 2 : (lead & 0xf0) == 0xe0 ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
    if (!wanted) return 1;
    /* The second byte alone decides about overlong forms, surrogates and what lies beyond U+10FFFF. */
    unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    size_t have = 1;
    while (have < wanted && have < length && text[have] >= low && text[have] <= high) {
        have++;
        low = 0x80;
        high = 0xbf;
    }
    *complete = have == wanted;
    return have;
}

size_t dq_utf8_next(const char *text, size_t length, uint32_t *point) {
    if (!length) return 0;
    const unsigned char *bytes = (const unsigned char *)text;
    bool complete;
    size_t size = prefix_length(bytes, length, &complete);
    if (!complete) return 0;
    if (point) {
        uint32_t value = size == 1 ? bytes[0] : bytes[0] & (0x7fu >> size);
        for (size_t i = 1; i < size; i++) value = value << 6 | (bytes[i] & 0x3f);
        *point = value;
    }
    return size;
}

size_t dq_utf8_put(uint32_t point, char out[4]) {
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(leads[size] | point);
    return size;
}

bool dq_utf8_valid(const char *text, size_t length) {
    for (size_t i = 0; i < length;) {
        size_t size = dq_utf8_next(text + i, length - i, NULL);
        if (!size) return false;
        i += size;
    }
    return true;
}

void dq_utf8_repair(const char *text, size_t length, dq_buffer *out) {
    size_t good = 0, i = 0; /* text[good .. i) is well-formed and not yet put */
    while (i < length) {
        bool complete;
        size_t size = prefix_length((const unsigned char *)text + i, length - i, &complete);
        i += size;
        if (complete) continue;
        dq_buffer_put(out, text + good, i - size - good);
        dq_buffer_put(out, "\xef\xbf\xbd", 3);
        good = i;
    }
    dq_buffer_put(out, text + good, length - good);
}
