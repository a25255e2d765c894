#include "peak_onednn.h"

#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE, WEIGHTS, RESULT, OPERANDS };

struct onednn_product {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[OPERANDS];
};

static const int arguments[OPERANDS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};

const char *onednn_version(char text[32]) {
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, 32, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

/* The versions differ in how a layout and a matmul are described; a description is a struct in 2 and a handle in 3. */
#if DNNL_VERSION_MAJOR >= 3

static bool describe(onednn_product *p, dnnl_primitive_desc_t *described, int64_t size, dnnl_data_type_t type,
                     dnnl_format_tag_t layout) {
    const dnnl_dims_t sizes = {size, size};
    const dnnl_format_tag_t layouts[OPERANDS] = {layout, layout, dnnl_ab};
    dnnl_memory_desc_t operand[OPERANDS] = {NULL};
    bool good = true;
    for (int i = 0; i < OPERANDS; i++)
        good = good && dnnl_memory_desc_create_with_tag(&operand[i], 2, sizes, type, layouts[i]) == dnnl_success;
    good = good && dnnl_matmul_primitive_desc_create(described, p->engine, operand[SOURCE], operand[WEIGHTS], NULL,
                                                     operand[RESULT], NULL) == dnnl_success;
    for (int i = 0; i < OPERANDS; i++)
        if (operand[i]) dnnl_memory_desc_destroy(operand[i]);
    return good;
}

#else

static bool describe(onednn_product *p, dnnl_primitive_desc_t *described, int64_t size, dnnl_data_type_t type,
                     dnnl_format_tag_t layout) {
    const dnnl_dims_t sizes = {size, size};
    const dnnl_format_tag_t layouts[OPERANDS] = {layout, layout, dnnl_ab};
    dnnl_memory_desc_t operand[OPERANDS];
    dnnl_matmul_desc_t matmul;
    for (int i = 0; i < OPERANDS; i++)
        if (dnnl_memory_desc_init_by_tag(&operand[i], 2, sizes, type, layouts[i]) != dnnl_success) return false;
    return dnnl_matmul_desc_init(&matmul, &operand[SOURCE], &operand[WEIGHTS], NULL, &operand[RESULT]) ==
               dnnl_success &&
           dnnl_primitive_desc_create(described, &matmul, NULL, p->engine, NULL) == dnnl_success;
}

#endif

/* Ordinary numbers everywhere: zeros or subnormals would not take the time of real ones. */
static bool fill(dnnl_memory_t memory, size_t bytes, bool bf16) {
    void *data;
    if (dnnl_memory_get_data_handle(memory, &data) != dnnl_success) return false;
    const float values[2] = {0.75f, -1.25f};
    for (size_t i = 0; i < bytes / (bf16 ? 2 : 4); i++) {
        uint32_t bits;
        memcpy(&bits, &values[i % 3 == 0], sizeof bits);
        if (bf16)
            ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
        else
            ((uint32_t *)data)[i] = bits;
    }
    return true;
}

static bool allocate(onednn_product *p, dnnl_primitive_desc_t described, bool bf16) {
    static const dnnl_query_t queries[OPERANDS] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md};
    for (int i = 0; i < OPERANDS; i++) {
        /* A pointer to a struct in version 2, a handle in version 3. */
        __auto_type layout = dnnl_primitive_desc_query_md(described, queries[i], 0);
        if (!layout || dnnl_memory_create(&p->memory[i], layout, p->engine, DNNL_MEMORY_ALLOCATE) != dnnl_success ||
            !fill(p->memory[i], dnnl_memory_desc_get_size(layout), bf16))
            return false;
    }
    return true;
}

onednn_product *onednn_open(int64_t size, bool bf16, bool own_layout) {
    onednn_product *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    dnnl_primitive_desc_t described = NULL;
    bool good =
        dnnl_engine_create(&p->engine, dnnl_cpu, 0) == dnnl_success &&
        dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags) == dnnl_success &&
        describe(p, &described, size, bf16 ? dnnl_bf16 : dnnl_f32, own_layout ? dnnl_format_tag_any : dnnl_ab) &&
        dnnl_primitive_create(&p->primitive, described) == dnnl_success && allocate(p, described, bf16);
    if (described) dnnl_primitive_desc_destroy(described);
    if (good) return p;
    onednn_close(p);
    return NULL;
}

void onednn_run(onednn_product *p) {
    dnnl_exec_arg_t with[OPERANDS];
    for (int i = 0; i < OPERANDS; i++) with[i] = (dnnl_exec_arg_t){arguments[i], p->memory[i]};
    dnnl_primitive_execute(p->primitive, p->stream, OPERANDS, with);
    dnnl_stream_wait(p->stream);
}

void onednn_close(onednn_product *p) {
    for (int i = 0; i < OPERANDS; i++)
        if (p->memory[i]) dnnl_memory_destroy(p->memory[i]);
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    if (p->stream) dnnl_stream_destroy(p->stream);
    if (p->engine) dnnl_engine_destroy(p->engine);
    free(p);
}
