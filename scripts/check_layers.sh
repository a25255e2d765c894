#!/bin/sh
# The rules of the house (docs/architecture.md), checked: a floor includes its own headers and those of floors below;
# src/cli uses include/dlqat.h alone; the library neither prints nor ends the process.
# Usage: check_layers.sh [ROOT]
set -u
cd "${1:-$(dirname "$0")/..}" || exit 1
floors="base kernels formats text quant model train eval export report commands"
forbidden='(^|[^A-Za-z0-9_])((exit|_exit|abort|printf|vprintf|puts|putchar|perror|setlocale|srand|rand) *\(|stdout|stderr)'
bad=0
complain() {
    echo "$1" >&2
    bad=1
}

allowed=""
for floor in $floors; do
    allowed="$allowed $floor"
    for file in $(find "src/$floor" -name '*.[ch]' 2>/dev/null); do
        for header in $(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file"); do
            [ "$header" = dlqat.h ] && continue
            case " $allowed " in
            *" ${header%%/*} "*) [ -f "src/$header" ] || complain "$file: includes \"$header\", which is not there" ;;
            *) complain "$file: includes \"$header\", which is not of its floor or one below ($allowed )" ;;
            esac
        done
        # Strings and comments aside.
        found=$(sed 's/"[^"]*"//g; s@/\*.*@@; s@//.*@@; /^ \*/d' "$file" | grep -nE "$forbidden" | head -n 1)
        [ -z "$found" ] || complain "$file: the library does not print or end the process: $found"
    done
done

for file in src/cli/*.[ch]; do
    for header in $(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file"); do
        case "$header" in
        dlqat.h) ;;
        */*) complain "$file: includes \"$header\"; the program uses dlqat.h and its own headers alone" ;;
        *) [ -f "src/cli/$header" ] || complain "$file: includes \"$header\", which is not in src/cli" ;;
        esac
    done
done

for directory in src/*/; do
    name=$(basename "$directory")
    case " $floors cli " in
    *" $name "*) ;;
    *) complain "src/$name: a floor that is not in the list" ;;
    esac
done
[ "$bad" = 0 ] && echo "layers: in order"
exit "$bad"
