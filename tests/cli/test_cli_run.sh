#!/bin/sh
# The commands one after another on a tiny model, and what interruptions, kills and full disks do to a run.
here=$(dirname "$0")
. "$here/support.sh"
export OMP_WAIT_POLICY=passive

fixture=$here/../fixtures/eval
model=$fixture/bos
rows=$fixture/rows.jsonl
text=$fixture/text.txt

# A short training run, always the same.
cat >"$scratch/run.json" <<END
{"model": "$model", "data": "$rows", "bits": 3, "group_size": 32, "max_steps": 120, "batch_size": 2, "threads": 1,
 "save_steps": 10, "validation_split": 0.3}
END
# same_result A B: two runs ended with the same bits.
same_result() {
    cmp -s "$1/model/model.safetensors" "$2/model/model.safetensors" || fail "$2: not the bits of $1"
}

# ---- The way from a model to a file ----------------------------------------------------------------------------------
whole=$scratch/whole
run train --config "$scratch/run.json" --out "$whole"
[ "$code" = 0 ] || fail "train: $(cat "$scratch/err")"
[ ! -s "$scratch/out" ] || fail "train: talk on standard output"
grep -q '^dlqat 1/120 ' "$scratch/err" || fail "train: no progress line: $(cat "$scratch/err")"
if grep -q "$(printf '\033')" "$scratch/err"; then fail "train: escape sequences in a file"; fi
for file in config.json log.jsonl summary.json model/model.safetensors model/config.json model/tokenizer.json; do
    [ -s "$whole/$file" ] || fail "train: no $file"
done
[ "$(wc -l <"$whole/log.jsonl")" -ge 120 ] || fail "train: log.jsonl is too short"
[ "$(find "$whole" -maxdepth 1 -name 'checkpoint-*' | wc -l)" -le 3 ] || fail "train: --save-total-limit does not hold"
grep -q '"max_abs_dw": 0.0' "$whole/summary.json" || fail "train: max |dW| is not 0"
expect_error 2 "holds a run already" train --model "$model" --data "$rows" --out "$whole" --max-steps 1

run quantize --model "$model" --out "$scratch/rounded" --bits 3 --group-size 32
[ "$code" = 0 ] || fail "quantize: $(cat "$scratch/err")"
for each in "$model" "$scratch/rounded" "$whole" "$whole/model"; do
    expect_output "ppl_window" eval --model "$each" --ppl "$text" --window 64 --loss "$rows" --json "$scratch/figures.json"
    grep -q '"ppl_window": [0-9]' "$scratch/figures.json" || fail "eval --json: no ppl_window"
    grep -q '"loss": [0-9]' "$scratch/figures.json" || fail "eval --json: no loss"
    expect_output "hidden 32" info --model "$each"
    run generate --model "$each" --prompt "hello" --max-new-tokens 4 --temperature 1 --seed 3
    [ "$code" = 0 ] || fail "generate: $(cat "$scratch/err")"
    printf 'hello' | "$program" tokenize --model "$each" >"$scratch/ids" 2>"$scratch/err" || fail "tokenize: $(cat "$scratch/err")"
    [ -f "$scratch/first_ids" ] || cp "$scratch/ids" "$scratch/first_ids"
    cmp -s "$scratch/ids" "$scratch/first_ids" || fail "tokenize: $each gives other ids"
done
for format in hf mlx gguf; do
    run export --model "$whole" --format $format --out "$scratch/as-$format"
    [ "$code" = 0 ] || fail "export --format $format: $(cat "$scratch/err")"
    grep -q 'max |dW| 0' "$scratch/out" "$scratch/err" || fail "export --format $format: no word of max |dW| 0"
    expect_output "ppl_window" eval --model "$scratch/as-$format" --ppl "$text" --window 64
done

# The record of a run is a configuration file.
run train --config "$whole/config.json" --out "$scratch/again"
[ "$code" = 0 ] || fail "train --config: $(cat "$scratch/err")"
same_result "$whole" "$scratch/again"

# ---- Interruptions ----------------------------------------------------------------------------------------------------
# started OUT: waits until the run has logged something.
started() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        [ -s "$1/log.jsonl" ] && return
        sleep 0.1
    done
}
for signal in TERM INT; do
    out=$scratch/stopped-$signal
    # A shell without job control starts background commands with SIGINT ignored; the handler takes it back.
    "$program" train --config "$scratch/run.json" --out "$out" --max-steps 200000 2>"$scratch/err" &
    job=$!
    started "$out"
    kill -s $signal $job 2>/dev/null || fail "SIG$signal: the run was over already"
    wait $job
    code=$?
    [ $code = 1 ] || fail "SIG$signal: exit code $code: $(tail -n 2 "$scratch/err")"
    grep -q '^dlqat: stopped: ' "$scratch/err" || fail "SIG$signal: no word of it: $(tail -n 2 "$scratch/err")"
    [ -n "$(find "$out" -maxdepth 1 -name 'checkpoint-*')" ] || fail "SIG$signal: no checkpoint"
done

# Killed at any moment, before the first checkpoint or while one is written, a run resumes and ends with the same bits.
killed=$scratch/killed
kills=0
begin_or_resume() {
    if [ -f "$killed/config.json" ]; then
        "$program" train --resume "$killed" >"$scratch/out" 2>"$scratch/err" &
    else # killed before the run had written down what it is
        rm -rf "$killed"
        "$program" train --config "$scratch/run.json" --out "$killed" >"$scratch/out" 2>"$scratch/err" &
    fi
    job=$!
}
moment=0
while [ $kills -lt 20 ] && [ $moment -lt 100 ]; do
    begin_or_resume
    sleep "0.$((moment * 7 % 3))$((moment * 31 % 10))"
    moment=$((moment + 1))
    kill -s KILL $job 2>/dev/null
    wait $job 2>/dev/null
    code=$?
    case $code in
    137) kills=$((kills + 1)) ;;
    0) # it had ended before
        same_result "$whole" "$killed"
        rm -rf "$killed"
        ;;
    *) fail "a run that was resumed after $kills kills: exit code $code: $(tail -n 1 "$scratch/err")" ;;
    esac
done
begin_or_resume
wait $job || fail "the last --resume: $(tail -n 1 "$scratch/err")"
same_result "$whole" "$killed"
echo "killed $kills times while it ran"
[ $kills -ge 5 ] || fail "the run was too short to be killed"
[ -z "$(find "$killed" -name '*.tmp-*')" ] || fail "what the kills left was not swept: $(find "$killed" -name '*.tmp-*')"

# ---- A disk that fills up -------------------------------------------------------------------------------------------
# fresh_disk SIZE: an empty file system of that size at $disk.
disk=$scratch/disk
mkdir "$disk"
fresh_disk() {
    umount "$disk" 2>/dev/null
    mount -t tmpfs -o "size=$1" tmpfs "$disk" 2>/dev/null
}
# disk_full WHAT: the last command failed for want of space, in one line, and left no half of a file.
disk_full() {
    [ "$code" = 1 ] || fail "$1: exit code $code"
    [ "$(grep -c '^dlqat: error: ' "$scratch/err")" = 1 ] || fail "$1: expected one error: $(cat "$scratch/err")"
    grep -q '^dlqat: error: .*No space left on device' "$scratch/err" || fail "$1: $(grep error: "$scratch/err")"
    [ -z "$(find "$disk" -name '*.tmp-*')" ] || fail "$1: half of a file was left: $(find "$disk" -name '*.tmp-*')"
}
if fresh_disk 4k; then
    trap 'umount "$disk" 2>/dev/null; rm -rf "$scratch"' EXIT
    for size in 4k 24k 60k 100k 140k 180k; do
        fresh_disk $size
        run train --config "$scratch/run.json" --out "$disk/run"
        disk_full "train on a disk of $size"
        # With room again the run goes on from where it had come, to the same bits.
        mount -o remount,size=16m "$disk"
        if [ -f "$disk/run/config.json" ]; then
            run train --resume "$disk/run"
        else
            rm -rf "$disk/run"
            run train --config "$scratch/run.json" --out "$disk/run"
        fi
        [ "$code" = 0 ] || fail "on after a full disk of $size: $(tail -n 1 "$scratch/err")"
        same_result "$whole" "$disk/run"
    done
    for format in hf mlx gguf; do
        fresh_disk 32k
        run export --model "$whole" --format $format --out "$disk/as-$format"
        disk_full "export --format $format"
        [ -z "$(ls -A "$disk")" ] || fail "export --format $format left $(ls -A "$disk")"
    done
    fresh_disk 32k
    run quantize --model "$model" --out "$disk/rounded" --bits 3 --group-size 32
    disk_full quantize
    [ -z "$(ls -A "$disk")" ] || fail "quantize left $(ls -A "$disk")"
    umount "$disk"
else
    echo "skipped: a full disk (needs the right to mount a small one)"
fi

# ---- Output that cannot be written -----------------------------------------------------------------------------------
touch "$scratch/file"
expect_error 1 "$scratch/file" train --model "$model" --data "$rows" --out "$scratch/file/run" --max-steps 1
expect_error 1 "$scratch/none" train --model "$scratch/none" --data "$rows" --out "$scratch/r2" --max-steps 1
expect_error 1 "$scratch/none" train --model "$model" --data "$scratch/none" --out "$scratch/r2" --max-steps 1
[ ! -e "$scratch/r2" ] || fail "a run that could not start left its directory"
expect_error 1 "$scratch/none" train --resume "$scratch/none"
if [ -c /dev/full ]; then
    "$program" eval --model "$model" --ppl "$text" --window 64 >/dev/full 2>"$scratch/err"
    [ $? = 1 ] || fail "eval to a full disk: exit code"
fi
finish
