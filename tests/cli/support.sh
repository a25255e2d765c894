# shellcheck shell=sh
# Sourced by the shell tests. $1 of the test is the program.
program=$1
failures=0
scratch=$(mktemp -d "${TMPDIR:-/tmp}/dlqat-cli.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "FAILED: $1" >&2
    failures=$((failures + 1))
}

# run ARGS..: leaves the exit code in $code, the two streams in $scratch/out and $scratch/err.
run() {
    "$program" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
    code=$?
}

# expect_error CODE TEXT ARGS..: that exit code, nothing on standard output, one line of error that has the text.
expect_error() {
    wanted=$1 expected=$2
    shift 2
    run "$@"
    [ "$code" = "$wanted" ] || fail "dlqat $*: expected exit code $wanted, got $code"
    [ ! -s "$scratch/out" ] || fail "dlqat $*: something on standard output"
    [ "$(wc -l <"$scratch/err")" = 1 ] || fail "dlqat $*: expected one line of error, got: $(cat "$scratch/err")"
    grep -q '^dlqat: error: ' "$scratch/err" || fail "dlqat $*: no \"dlqat: error:\" in: $(cat "$scratch/err")"
    grep -qF -- "$expected" "$scratch/err" || fail "dlqat $*: expected \"$expected\" in: $(cat "$scratch/err")"
}

# expect_output TEXT ARGS..: exit code 0 and the text on standard output.
expect_output() {
    expected=$1
    shift
    run "$@"
    [ "$code" = 0 ] || fail "dlqat $*: exit code $code: $(cat "$scratch/err")"
    grep -qF -- "$expected" "$scratch/out" || fail "dlqat $*: expected \"$expected\" in: $(head -n 5 "$scratch/out")"
}

finish() {
    [ "$failures" = 0 ] && echo "all passed"
    [ "$failures" = 0 ]
    exit
}
