#!/bin/sh
# What the program does with its arguments: help, versions, and every way to get them wrong.
. "$(dirname "$0")/support.sh"

commands="train quantize eval export generate info tokenize compare"

expect_output "Usage: dlqat COMMAND" --help
for command in $commands; do
    expect_output "  $command " --help
    expect_output "Usage: dlqat $command --model PATH" "$command" --help
    expect_output "Usage: dlqat $command --model PATH" help "$command"
    expect_output "Usage: dlqat $command" "$command" --model x -h
    awk 'length($0) > 104 { exit 1 }' "$scratch/out" || fail "$command --help: a line is too long"
    expect_error 2 "--model" "$command"
    expect_error 2 "did you mean --model?" "$command" --modle x
done
expect_output "--gradient-accumulation-steps N" train --help
expect_output "[5000]" train --help
expect_output "dlqat 0." --version
expect_output "dlqat 0." train --version

run
[ "$code" = 2 ] || fail "no command: exit code $code"
grep -q "Usage" "$scratch/err" || fail "no command: no usage on standard error"
expect_error 2 'no command "trian"' trian
expect_error 2 'unexpected "stray"' train stray
expect_error 2 'unexpected "--"' train --
expect_error 2 'unexpected "-m"' train -m x
expect_error 2 "--model needs a value" train --model
expect_error 2 "--model needs a value" train --model --data x
expect_error 2 "from 2 to 8" train --bits=9
expect_error 2 "from 2 to 8" train --bits 3x
expect_error 2 "option of generate, not of train" train --prompt x
expect_error 2 "one of auto|c|avx2|avx512" train --kernels sse
expect_error 2 "true or false" train --no-shuffle=perhaps
expect_error 2 'unexpected "yes"' train --no-shuffle yes
expect_error 2 "--out RUN is missing" train --model x --data y
expect_error 2 "exclude each other" train --model m --data d --out o --validation-data v --validation-split 0.1
expect_error 2 "nothing to evaluate" eval --model m
long=$(printf '%0200d' 0)
expect_error 2 "there is no option" train "--$long"

# Configuration files.
expect_error 1 "$scratch/none.json" train --config "$scratch/none.json"
echo '{"bits": 12}' >"$scratch/c.json"
expect_error 2 "$scratch/c.json: --bits" train --config "$scratch/c.json"
echo '{"bist": 3}' >"$scratch/c.json"
expect_error 2 "did you mean --bits?" train --config="$scratch/c.json"
echo '{' >"$scratch/c.json"
expect_error 1 "not valid JSON" train --config "$scratch/c.json"

# Output that cannot be written is a failure.
if [ -c /dev/full ]; then
    "$program" train --help >/dev/full 2>"$scratch/err"
    [ $? = 1 ] || fail "--help to a full disk: exit code"
    grep -q "cannot be written" "$scratch/err" || fail "--help to a full disk: $(cat "$scratch/err")"
fi
finish
