/* The kinds of rows that make_instructions writes, and the small means they are put together with. */
#ifndef INSTRUCTION_TASKS_H
#define INSTRUCTION_TASKS_H

#include <stdint.h>
#include <stddef.h>

/* splitmix64: a number below count. */
unsigned below(uint64_t *state, unsigned count);
#define COUNT(array)       (sizeof(array) / sizeof *(array))
#define PICK(state, array) ((array)[below((state), (unsigned)COUNT(array))])

typedef struct text {
    char at[1200];
    size_t size;
} text;

typedef struct row {
    text instruction, input, output;
} row;

/* Appends words. */
void put(text *t, const char *words);

void make_command(uint64_t *state, row *r);   /* a request to be turned into one JSON command */
void make_fields(uint64_t *state, row *r);    /* a message whose fields are to be listed */
void make_sentences(uint64_t *state, row *r); /* notes to be written out */
void make_scene(uint64_t *state, row *r);     /* a short scene with a question */
void make_small(uint64_t *state, row *r);     /* a date, an order, a sum */

#endif
