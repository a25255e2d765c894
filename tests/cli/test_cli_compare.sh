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

# Once more, with another entry: what is finished stays as it is. With other options it is not the same comparison.
again() {
    run compare --model "$model" --data "$rows" --out "$scratch/again" --bits 3 --group-size 32 --batch-size 2 \
        --threads 1 --ppl "$here/../fixtures/eval/rows.jsonl" --max-windows 1 --window 32 "$@"
}
again --max-steps 3 --methods rtn,dlqat
[ "$code" = 0 ] || fail "compare: $(cat "$scratch/err")"
before=$(cd "$scratch/again" && stat -c '%n %Y %i' original.json */figures.json dlqat/summary.json)
again --max-steps 3 --methods rtn,dlqat,l4q
[ "$code" = 0 ] || fail "compare again: $(cat "$scratch/err")"
after=$(cd "$scratch/again" && stat -c '%n %Y %i' original.json dlqat/figures.json rtn/figures.json dlqat/summary.json)
[ "$before" = "$after" ] || fail "compare again: made anew: $before, then $after"
[ "$(grep -c '^|' "$scratch/again/table.md")" = 6 ] || fail "compare again: $(cat "$scratch/again/table.md")"
again --max-steps 4 --methods dlqat
[ "$code" = 2 ] || fail "compare with other options: exit code $code"
grep -q 'again/dlqat was made with another max_steps' "$scratch/err" || fail "compare: $(cat "$scratch/err")"
# What cannot be run is said before anything is.
run compare --model "$model" --data "$rows" --out "$scratch/none" --methods "dlqat,qalora:range=adaptive"
[ "$code" = 2 ] || fail "compare with an impossible entry: exit code $code"
grep -q 'error: --methods qalora:range=adaptive: ' "$scratch/err" || fail "compare: $(cat "$scratch/err")"
run compare --model "$model" --data "$rows" --out "$scratch/none" --max-steps 1 --methods "dlqat,rtn:base-storage=int8"
grep -q 'error: --methods: --base-storage is an option of train, not of quantize' "$scratch/err" ||
    fail "compare: $(cat "$scratch/err")"
[ ! -e "$scratch/none" ] || fail "compare with an impossible entry began all the same"
# --phase1-steps is for those that have a phase 1.
run compare --model "$model" --data "$rows" --out "$scratch/phases" --bits 3 --group-size 32 --batch-size 2 --threads 1 \
    --max-steps 3 --phase1-steps 2 --methods dlqat,l4q
[ "$code" = 0 ] || fail "compare --phase1-steps: $(cat "$scratch/err")"
grep -q 'dlqat: phase 1 trains [1-9][0-9]* numbers for 2 steps' "$scratch/err" || fail "compare: $(cat "$scratch/err")"
grep -q 'l4q: phase 1 trains 0 numbers for 0 steps' "$scratch/err" || fail "compare: $(cat "$scratch/err")"
again --max-steps 3 --methods rtn --max-windows 2
[ "$code" = 0 ] || fail "compare, other windows: $(cat "$scratch/err")"
finish
