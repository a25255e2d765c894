# shellcheck shell=sh disable=SC2034 # build_packages is for who sources this
# Sourced by test.sh and demo.sh: what they need from the system, on Debian and its kin.
build_packages="build-essential cmake ninja-build pkg-config libjansson-dev libpcre2-dev libutf8proc-dev libxxhash-dev"

# need_packages NAME..: installs those that are missing, and says which.
need_packages() {
    if ! command -v dpkg-query >/dev/null; then
        echo "not a Debian system: taking for granted what Debian calls $*"
        return 0
    fi
    missing=""
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "installing:$missing"
    as_root=""
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "error: these packages are missing and neither root nor sudo is at hand:$missing" >&2
            return 1
        fi
        as_root="sudo"
    fi
    # The package lists are fetched only if the installation fails without: a fresh container has none.
    install_missing || { $as_root apt-get update -q && install_missing; }
}

install_missing() {
    # shellcheck disable=SC2086 # $missing and $as_root are lists of words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}
