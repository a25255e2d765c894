#!/bin/sh
# dlqat tokenize: the ids that Hugging Face tokenizers gives, and back to the same bytes.
. "$(dirname "$0")/support.sh"

data=${DLQAT_DATA:-}/tokenizers
if [ ! -f "$data/llama3/tokenizer.json" ]; then
    echo "skipped: needs tokenizers of the shared data (set DLQAT_DATA)"
    exit 0
fi

# expect_ids INPUT IDS MODEL OPTIONS..
expect_ids() {
    input=$1 ids=$2 model=$3
    shift 3
    # shellcheck disable=SC2059 # the input is a format: it brings \n and the like
    printf "$input" | "$program" tokenize --model "$data/$model" "$@" >"$scratch/out" 2>"$scratch/err" ||
        fail "tokenize $model $*: $(cat "$scratch/err")"
    [ "$(cat "$scratch/out")" = "$ids" ] || fail "tokenize $model $* of '$input': expected $ids, got $(cat "$scratch/out")"
}

expect_ids 'Hello world' '9906 1917' llama3
expect_ids '\303\274ber 12345\nna\303\257ve ' '50085 220 4513 1774 198 3458 38672 588 220' llama3
expect_ids '<|eot_id|>x' '128009 87' llama3 --no-special
expect_ids '<|eot_id|>x' '27 91 68 354 842 91 29 87' qwen2_5
expect_ids '\303\274ber 12345\nna\303\257ve ' '48985 220 16 17 18 19 20 198 3376 37572 586 220' qwen2_5
expect_ids 'a\nb\n' '64 198 65 198' qwen2_5
expect_ids 'a\n\nb' '64

65' qwen2_5 --lines
expect_ids 'a\nb\n' '64
65' qwen2_5 --lines
expect_ids 'Hello world' '1 15043 3186' llama2_tokenizer.model
expect_ids 'Hello world' '15043 3186' llama2_tokenizer.model --no-special
expect_ids '' '' qwen2_5

# There and back.
printf 'tabs\tand  spaces \303\274\n\n  caf\303\251 \360\237\231\202 end' >"$scratch/text"
for model in llama3 qwen2_5 llama2_tokenizer.model; do
    "$program" tokenize --model "$data/$model" --no-special <"$scratch/text" >"$scratch/ids" 2>"$scratch/err"
    "$program" tokenize --model "$data/$model" --decode <"$scratch/ids" >"$scratch/back" 2>>"$scratch/err"
    cmp -s "$scratch/text" "$scratch/back" || fail "$model: text changed on its way there and back: $(cat "$scratch/err")"
done

for bad in '64 x' '64;65' '99999999999999999999' '-1' '151999999'; do
    printf '%s' "$bad" | "$program" tokenize --model "$data/qwen2_5" --decode >"$scratch/out" 2>"$scratch/err"
    [ $? = 1 ] || fail "--decode of '$bad': exit code"
    grep -q '^dlqat: error: ' "$scratch/err" || fail "--decode of '$bad': $(cat "$scratch/err")"
done
expect_error 1 "$scratch/none" tokenize --model "$scratch/none"
finish
