/* One matrix product through oneDNN. */
#ifndef DQ_BENCH_PEAK_ONEDNN_H
#define DQ_BENCH_PEAK_ONEDNN_H

#include <stdbool.h>
#include <stdint.h>

typedef struct onednn_product onednn_product;

const char *onednn_version(char text[32]);
/* A square product of f32, or of bf16 into bf16. own_layout: the operands lie as oneDNN likes best, and are not brought there
 * within the time; else both row by row. NULL: this oneDNN or this processor cannot do it. */
onednn_product *onednn_open(int64_t size, bool bf16, bool own_layout);
void onednn_run(onednn_product *product);
void onednn_close(onednn_product *product);

#endif
