/* "normalizer", "pre_tokenizer" and "decoder" of tokenizer.json. Each kind of component has its own row of known types; any
 * other type is refused by its name. */
#include "text/tokenizer_parts.h"

#include "base/json.h"
#include "text/utf8.h"

#include <string.h>

typedef struct reading {
    dq_steps *steps;
    const char *where; /* the file */
    const char *what;  /* "normalizer", "pre_tokenizer" or "decoder" */
    int depth;
    dlqat_error *error;
} reading;

typedef dlqat_status reader(reading *r, const json_t *value, dq_step *step);
typedef struct component {
    const char *type;
    reader *read; /* fills step; NULL: the type says it all */
    dq_step step;
} component;

static dlqat_status wrong(const reading *r, const char *key, const char *expected) {
    return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: \"%s\" of a %s must be %s", r->where, key, r->what, expected);
}

static dlqat_status read_text(const reading *r, const json_t *object, const char *key, char **text, size_t *length) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) return wrong(r, key, "a string");
    *text = (char *)json_string_value(value); /* dq_steps_add copies it */
    *length = json_string_length(value);
    return DLQAT_OK;
}

static dlqat_status read_pattern(reading *r, const json_t *value, dq_step *step) {
    const json_t *pattern = json_object_get(value, "pattern");
    step->literal = json_object_get(pattern, "String") != NULL;
    return read_text(r, pattern, step->literal ? "String" : "Regex", &step->source, &step->source_length);
}

static dlqat_status read_prepend(reading *r, const json_t *value, dq_step *step) {
    return read_text(r, value, "prepend", &step->content, &step->content_length);
}

static dlqat_status read_replace(reading *r, const json_t *value, dq_step *step) {
    DQ_TRY(read_pattern(r, value, step));
    return read_text(r, value, "content", &step->content, &step->content_length);
}

/* Decoded tokens may be parts of a character, which no expression should see. */
static dlqat_status read_literal_replace(reading *r, const json_t *value, dq_step *step) {
    DQ_TRY(read_replace(r, value, step));
    return step->literal
               ? DLQAT_OK
               : dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED,
                         "%s: a decoder of type \"Replace\" with a regular expression is not supported", r->where);
}

static dlqat_status read_split(reading *r, const json_t *value, dq_step *step) {
    static const char *const behaviours[] = {[DQ_SPLIT_ISOLATED] = "Isolated",
                                             [DQ_SPLIT_REMOVED] = "Removed",
                                             [DQ_SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
                                             [DQ_SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
                                             [DQ_SPLIT_CONTIGUOUS] = "Contiguous"};
    DQ_TRY(read_pattern(r, value, step));
    DQ_TRY(dq_json_get_bool(value, "invert", r->where, &step->invert, r->error));
    char *name;
    size_t length;
    DQ_TRY(read_text(r, value, "behavior", &name, &length));
    for (size_t i = 0; i < sizeof behaviours / sizeof *behaviours; i++)
        if (!strcmp(name, behaviours[i])) {
            step->behaviour = (dq_split_behaviour)i;
            return DLQAT_OK;
        }
    return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "%s: the split behaviour \"%s\" is not supported", r->where,
                   name);
}

/* Digits are Rust's numeric characters, which are those of a Unicode version newer than the expressions' by two scripts. */
static dlqat_status read_digits(reading *r, const json_t *value, dq_step *step) {
    bool single = false;
    DQ_TRY(dq_json_get_bool(value, "individual_digits", r->where, &single, r->error));
    step->behaviour = single ? DQ_SPLIT_ISOLATED : DQ_SPLIT_CONTIGUOUS;
    step->source = (char *)dq_digits_pattern;
    step->source_length = strlen(step->source);
    return DLQAT_OK;
}

static dlqat_status read_byte_level(reading *r, const json_t *value, dq_step *step) {
    bool use_regex = true;
    step->add_prefix_space = true;
    DQ_TRY(dq_json_get_bool(value, "add_prefix_space", r->where, &step->add_prefix_space, r->error));
    DQ_TRY(dq_json_get_bool(value, "use_regex", r->where, &use_regex, r->error));
    if (use_regex) {
        step->source = (char *)dq_gpt2_pattern;
        step->source_length = strlen(step->source);
    }
    return DLQAT_OK;
}

static dlqat_status read_metaspace(reading *r, const json_t *value, dq_step *step) {
    const char *scheme = "always";
    bool prefix = true;
    step->split = true;
    DQ_TRY(read_text(r, value, "replacement", &step->content, &step->content_length));
    if (dq_utf8_next(step->content, step->content_length, NULL) != step->content_length)
        return wrong(r, "replacement", "one character");
    step->source = step->content; /* the decoder looks for it, and so does the split */
    step->source_length = step->content_length;
    step->literal = true;
    step->behaviour = DQ_SPLIT_MERGED_WITH_NEXT;
    DQ_TRY(dq_json_get_string(value, "prepend_scheme", r->where, &scheme, r->error));
    DQ_TRY(dq_json_get_bool(value, "add_prefix_space", r->where, &prefix, r->error));
    DQ_TRY(dq_json_get_bool(value, "split", r->where, &step->split, r->error));
    if (!prefix || !strcmp(scheme, "never"))
        step->prepend = DQ_PREPEND_NEVER;
    else if (!strcmp(scheme, "first"))
        step->prepend = DQ_PREPEND_FIRST;
    else if (!strcmp(scheme, "always"))
        step->prepend = DQ_PREPEND_ALWAYS;
    else
        return wrong(r, "prepend_scheme", "\"always\", \"first\" or \"never\"");
    return DLQAT_OK;
}

static dlqat_status read_strip(reading *r, const json_t *value, dq_step *step) {
    DQ_TRY(read_text(r, value, "content", &step->content, &step->content_length));
    if (dq_utf8_next(step->content, step->content_length, NULL) != step->content_length)
        return wrong(r, "content", "one character");
    DQ_TRY(dq_json_get_int(value, "start", r->where, &step->left, r->error));
    return dq_json_get_int(value, "stop", r->where, &step->right, r->error);
}

static const component normalizers[] = {
    {"NFC", NULL, {.kind = DQ_STEP_UNICODE_FORM, .form = DQ_NFC}},
    {"NFD", NULL, {.kind = DQ_STEP_UNICODE_FORM, .form = DQ_NFD}},
    {"NFKC", NULL, {.kind = DQ_STEP_UNICODE_FORM, .form = DQ_NFKC}},
    {"NFKD", NULL, {.kind = DQ_STEP_UNICODE_FORM, .form = DQ_NFKD}},
    {"Prepend", read_prepend, {.kind = DQ_STEP_PREPEND}},
    {"Replace", read_replace, {.kind = DQ_STEP_REPLACE}},
    {NULL, NULL, {0}},
};

static const component pretokenizers[] = {
    {"Split", read_split, {.kind = DQ_STEP_SPLIT}},
    {"Digits", read_digits, {.kind = DQ_STEP_SPLIT}},
    {"ByteLevel", read_byte_level, {.kind = DQ_STEP_BYTE_LEVEL}},
    {"Metaspace", read_metaspace, {.kind = DQ_STEP_METASPACE}},
    {NULL, NULL, {0}},
};

static const component decoders[] = {
    {"ByteLevel", NULL, {.kind = DQ_STEP_BYTE_LEVEL}},
    {"ByteFallback", NULL, {.kind = DQ_STEP_BYTE_FALLBACK}},
    {"Fuse", NULL, {.kind = DQ_STEP_FUSE}},
    {"Strip", read_strip, {.kind = DQ_STEP_STRIP}},
    {"Replace", read_literal_replace, {.kind = DQ_STEP_REPLACE}},
    {"Metaspace", read_metaspace, {.kind = DQ_STEP_METASPACE}},
    {NULL, NULL, {0}},
};

static dlqat_status read_component(reading *r, const json_t *value, const component *known, const char *sequence) {
    enum { DEEPEST = 16 };
    if (!value || json_is_null(value)) return DLQAT_OK;
    const char *type = json_string_value(json_object_get(value, "type"));
    if (!type)
        return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: a %s must be an object with a \"type\"", r->where, r->what);
    if (!strcmp(type, "Sequence")) {
        const json_t *members = json_object_get(value, sequence), *member;
        size_t index;
        if (!json_is_array(members)) return wrong(r, sequence, "an array");
        if (r->depth == DEEPEST)
            return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: its %s is nested too deeply", r->where, r->what);
        r->depth++;
        json_array_foreach(members, index, member) DQ_TRY(read_component(r, member, known, sequence));
        r->depth--;
        return DLQAT_OK;
    }
    for (; known->type; known++)
        if (!strcmp(type, known->type)) {
            dq_step step = known->step;
            if (known->read) DQ_TRY(known->read(r, value, &step));
            return dq_steps_add(r->steps, &step, r->where, r->error);
        }
    return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "%s: a %s of type \"%.80s\" is not supported", r->where, r->what,
                   type);
}

dlqat_status dq_steps_read_normalizer(dq_steps *steps, const json_t *value, const char *where, dlqat_error *error) {
    reading r = {.steps = steps, .where = where, .what = "normalizer", .error = error};
    return read_component(&r, value, normalizers, "normalizers");
}

dlqat_status dq_steps_read_pretokenizer(dq_steps *steps, const json_t *value, const char *where, dlqat_error *error) {
    reading r = {.steps = steps, .where = where, .what = "pre_tokenizer", .error = error};
    return read_component(&r, value, pretokenizers, "pretokenizers");
}

dlqat_status dq_steps_read_decoder(dq_steps *steps, const json_t *value, const char *where, dlqat_error *error) {
    reading r = {.steps = steps, .where = where, .what = "decoder", .error = error};
    return read_component(&r, value, decoders, "decoders");
}
