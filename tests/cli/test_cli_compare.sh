#!/bin/sh
# dlqat compare: several recipes under one budget, from outside.
here=$(dirname "$0")
. "$here/support.sh"
export OMP_WAIT_POLICY=passive
model=$here/../fixtures/eval/bos
rows=$here/../fixtures/eval/rows.jsonl

run compare --model "$model" --data "$rows" --out "$scratch/compared" --bits 3 --group-size 32 --max-steps 5 --batch-size 2 \
    --threads 1 --validation-split 0.3
[ "$code" = 0 ] || fail "compare: $(cat "$scratch/err")"
for file in table.md table.json; do [ -s "$scratch/compared/$file" ] || fail "compare: no $file"; done
for method in dlqat l4q qalora; do grep -q "$method" "$scratch/compared/table.md" || fail "compare: no row of $method"; done
finish
