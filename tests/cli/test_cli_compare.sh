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
again --max-steps 3 --methods rtn --max-windows 2
[ "$code" = 0 ] || fail "compare, other windows: $(cat "$scratch/err")"
finish
