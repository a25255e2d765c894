#!/bin/bash
# Fuzzes what reads files: scripts/fuzz.sh [SECONDS] [TARGET..], SECONDS (600) for each of the targets (all of tests/fuzz),
# one after another, with clang's libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer. What was found interesting
# stays in build-fuzz/corpus, what failed in build-fuzz/found; build-fuzz/tests/replay_TARGET FILE runs an input again.
set -eu -o pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

seconds=${1:-600}
case "$seconds" in
"" | *[!0-9]*) echo "usage: scripts/fuzz.sh [SECONDS] [TARGET..]" >&2 && exit 2 ;;
esac
[ $# = 0 ] || shift

# shellcheck disable=SC2086
need_packages $build_packages libcmocka-dev clang libclang-rt-dev libomp-dev
build=build-fuzz
CC=clang cmake -S . -B $build -G Ninja -DDLQAT_WERROR=ON -DDLQAT_FUZZ=ON >/dev/null
cmake --build $build --target fuzz | tail -n 1
[ $# != 0 ] || set -- $(cd tests/fuzz && printf '%s\n' fuzz_*.c | sed 's/\.c$//')

export DLQAT_DATA=${DLQAT_DATA:-../shared/data} OMP_NUM_THREADS=1
result=0
for target in "$@"; do
    target=fuzz_${target#fuzz_}
    corpus=$build/corpus/$target
    mkdir -p $build/found
    $build/tests/"replay_$target" --seeds "$corpus"
    log=$build/$target.log
    # An input that takes 10 s or 2 GiB is a failure as a crash is.
    if $build/tests/"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix=$build/found/"$target"- "$corpus" >"$log" 2>&1; then
        printf '%-20s clean: %s\n' "$target" "$(sed -n 's/^Done \(.*\)/\1/p' "$log")"
    else
        printf '%-20s FAILED: see %s\n' "$target" "$log"
        result=1
    fi
done
exit $result
