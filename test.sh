#!/bin/bash
# Installs what is missing, builds with warnings as errors, and runs all tests; then once more under AddressSanitizer and
# UndefinedBehaviorSanitizer.  ./test.sh --quick leaves the second out.  Tests that compare with the shared data find it
# through DLQAT_DATA and are skipped, and counted, without it.
set -eu
cd "$(dirname "$0")"
. scripts/packages.sh

quick=no
case "${1:-}" in
--quick) quick=yes ;;
"") ;;
*) echo "usage: ./test.sh [--quick]" >&2 && exit 2 ;;
esac

# If the plain build and tests took longer than this, the machine is too slow for the second round.
sanitizer_start_limit=${DLQAT_SANITIZER_START_LIMIT:-330}

# build_and_test DIRECTORY CMAKE_OPTIONS..: ctest's closing lines are held back in DIRECTORY/closing.
build_and_test() {
    directory=$1
    shift
    mkdir -p "$directory"
    log=$directory/build.log
    cmake -S . -B "$directory" -G Ninja -DDLQAT_WERROR=ON "$@" >"$log" 2>&1 || { cat "$log"; return 1; }
    cmake --build "$directory" >"$log" 2>&1 || { cat "$log"; return 1; }
    : >"$directory/closing"
    ctest --test-dir "$directory" --output-on-failure -j "$(nproc)" 2>&1 |
        awk -v closing="$directory/closing" \
            '/tests passed, [0-9]+ tests? failed out of/ { held = 1 } held { print > closing; next } { print; fflush() }'
    return "${PIPESTATUS[0]}"
}

# shellcheck disable=SC2086
need_packages $build_packages libcmocka-dev

echo "== build and test"
result=0
build_and_test build-test || result=$?
skipped=$(grep -c '^skipped: ' build-test/Testing/Temporary/LastTest.log 2>/dev/null || true)
echo "tests skipped for want of shared data or of another program: ${skipped:-0}"

if [ "$result" = 0 ] && [ "$quick" = no ]; then
    if [ "$SECONDS" -le "$sanitizer_start_limit" ]; then
        cat build-test/closing
        echo "== the same under AddressSanitizer and UndefinedBehaviorSanitizer"
        build_and_test build-sanitize -DDLQAT_SANITIZE=ON || result=$?
        cat build-sanitize/closing
        exit "$result"
    fi
    echo "no time left for the sanitizers: the first round took $SECONDS s"
fi
cat build-test/closing
exit "$result"
