/* Writes instruction rows as JSONL: a household assistant's work in plain English, made from the tables in
 * instruction_tasks.c.
 *
 *     make_instructions COUNT [--held-out] [--answers FILE] [--seed N]
 *
 * Five kinds of rows, drawn at random: requests to be turned into one JSON command; messages whose fields are to be
 * listed; notes to be written out as sentences; short scenes with a question; small tasks of order, number and date. With
 * --answers a sixth: general questions from FILE, one "question<TAB>answer" a line.
 *
 * A row belongs to the held-out set when the hash of its instruction and input says so (one in eight), so the two sets
 * share no row whatever the counts and seeds; within a set no row comes twice. Same arguments, same bytes. */
#include "instruction_tasks.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- General questions ---- */

typedef struct answers {
    char *file;
    char **questions, **answers;
    size_t count;
} answers;

static void read_answers(answers *a, const char *path) {
    FILE *stream = fopen(path, "rb");
    size_t size = 0, capacity = 1 << 20;
    a->file = stream ? malloc(capacity) : NULL;
    if (a->file) size = fread(a->file, 1, capacity - 1, stream);
    if (!a->file || ferror(stream)) {
        fprintf(stderr, "make_instructions: %s: cannot read it\n", path);
        exit(1);
    }
    fclose(stream);
    a->file[size] = '\0';
    size_t lines = 1;
    for (char *c = a->file; *c; c++) lines += *c == '\n';
    a->questions = malloc(lines * sizeof *a->questions);
    a->answers = malloc(lines * sizeof *a->answers);
    if (!a->questions || !a->answers) exit(1);
    for (char *line = strtok(a->file, "\n"); line; line = strtok(NULL, "\n")) {
        char *tab = strchr(line, '\t');
        if (!tab || line[0] == '#') continue;
        *tab = '\0';
        a->questions[a->count] = line;
        a->answers[a->count++] = tab + 1;
    }
}

static void make_answer(uint64_t *state, row *r, const answers *a) {
    static const char *const lead[] = {
        "", "", "Please answer: ", "Explain to a curious child: ", "In two or three sentences: "};
    unsigned which = below(state, (unsigned)a->count);
    put(&r->instruction, PICK(state, lead));
    put(&r->instruction, a->questions[which]);
    put(&r->output, a->answers[which]);
}

/* ---- Output ---- */

static void print_string(const text *t) {
    putchar('"');
    for (const char *c = t->at; *c; c++)
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c == '\n')
            printf("\\n");
        else
            putchar(*c);
    putchar('"');
}

static uint64_t hash(uint64_t h, const char *words) { /* FNV-1a */
    for (; *words; words++) h = (h ^ (unsigned char)*words) * 0x100000001B3u;
    return h;
}

/* General questions are divided by the question alone, so that no answer is in both sets. */
static uint64_t row_hash(const row *r, bool general) {
    const char *instruction = r->instruction.at, *colon = general ? strstr(instruction, ": ") : NULL;
    uint64_t h = hash(0xCBF29CE484222325u, colon ? colon + 2 : instruction);
    return hash(h * 31, r->input.at);
}

int main(int count, char **words) {
    unsigned long wanted = count > 1 ? strtoul(words[1], NULL, 10) : 0, tries = 0;
    bool held_out = false;
    uint64_t state = 1;
    answers general = {0};
    for (int i = 2; i < count; i++)
        if (strcmp(words[i], "--held-out") == 0)
            held_out = true;
        else if (strcmp(words[i], "--answers") == 0 && i + 1 < count)
            read_answers(&general, words[++i]);
        else if (strcmp(words[i], "--seed") == 0 && i + 1 < count)
            state = strtoull(words[++i], NULL, 10);
        else
            wanted = 0;
    uint64_t *seen = wanted && wanted < 1000000 ? malloc(wanted * sizeof *seen) : NULL;
    if (!seen) {
        fprintf(stderr, "usage: make_instructions COUNT [--held-out] [--answers FILE] [--seed N]\n");
        return 2;
    }
    for (unsigned long made = 0; made < wanted;) {
        row r = {0};
        unsigned kind = below(&state, general.count ? 20 : 17);
        bool is_general = kind >= 17;
        if (kind < 6)
            make_command(&state, &r);
        else if (kind < 9)
            make_fields(&state, &r);
        else if (kind < 12)
            make_sentences(&state, &r);
        else if (kind < 15)
            make_scene(&state, &r);
        else if (kind < 17)
            make_small(&state, &r);
        else
            make_answer(&state, &r, &general);
        uint64_t key = row_hash(&r, is_general), exact = hash(hash(1, r.instruction.at) * 31, r.input.at);
        bool fresh = ((key >> 20) % 8 == 0) == held_out;
        for (unsigned long i = 0; i < made && fresh; i++) fresh = seen[i] != exact;
        if (++tries > 1000 * (wanted + 1000)) {
            fprintf(stderr, "make_instructions: there are no %lu different rows\n", wanted);
            return 1;
        }
        if (!fresh) continue;
        seen[made++] = exact;
        printf("{\"instruction\": ");
        print_string(&r.instruction);
        printf(", \"input\": ");
        print_string(&r.input);
        printf(", \"output\": ");
        print_string(&r.output);
        printf("}\n");
    }
    free(seen);
    free(general.file);
    free(general.questions);
    free(general.answers);
    return fflush(stdout) == 0 ? 0 : 1;
}
