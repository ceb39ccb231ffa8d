# What the scripts share. To be sourced by bash with `set -euo pipefail`; leaves the caller
# in the project's top directory.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# Some tests crash on purpose. The hard limit stays: a test may ask for a core file.
ulimit -S -c 0

# So that print_verdict does not see the status of whatever had ended last before a signal.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

current_step="starting"

step() {
    current_step=$1
    printf '\n==> %s\n' "$1"
}

# For the EXIT trap, so that whatever happens the last line says how the script ended.
print_verdict() {
    local status=$?
    if [ "$status" -eq 0 ]; then
        printf '\n==> %s: PASSED in %d s\n' "$1" "$SECONDS"
    else
        printf '\n==> %s: FAILED with status %d: %s\n' "$1" "$status" "$current_step"
    fi
}

# --- Packages, on Debian 12 and newer and what descends from it ----------------------------

packages=(g++ cmake ninja-build pkg-config libcereal-dev libgtest-dev libgmock-dev
    libbenchmark-dev libcli11-dev nlohmann-json3-dev)

install_packages() {
    step "Looking for the packages to build with"
    if ! command -v dpkg-query >/dev/null; then
        echo "not a Debian: needs the like of ${packages[*]}, and Boost 1.81 or later"
        return
    fi
    local missing=() package
    for package in "${packages[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    if has_boost && [ ${#missing[@]} -eq 0 ]; then
        echo "all there"
        return
    fi

    step "Installing what is missing"
    as_root apt-get update
    has_boost || missing+=("$(boost_package)")
    # Never at the price of a package that is there: somebody else may need it.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install \
        --yes --no-install-recommends --no-remove "${missing[@]}"
}

# add_available PACKAGE...: to be installed too, as far as this distribution has them.
add_available() {
    command -v apt-get >/dev/null || return 0
    local missing=() package
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -ne 0 ] || return 0
    as_root apt-get update
    for package in "${missing[@]}"; do
        if has_candidate "$package"; then
            packages+=("$package")
        else
            echo "not in this distribution: $package"
        fi
    done
}

has_candidate() {
    [ -n "$(apt-cache --quiet madison "$1" 2>/dev/null)" ]
}

is_installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

has_boost() {
    local version
    version=$(awk '$1 $2 == "#defineBOOST_VERSION" { print $3 }' /usr/include/boost/version.hpp \
        2>/dev/null) || return 1
    [ "${version:-0}" -ge 108100 ]
}

# Debian 12 has Boost 1.81 beside its default, which is older; later releases need no choice.
boost_package() {
    local candidate
    candidate=$(apt-cache policy libboost-dev | awk '$1 == "Candidate:" { print $2 }')
    if dpkg --compare-versions "$candidate" ge 1.81; then
        echo libboost-dev
    else
        echo libboost1.81-dev
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# --- Building ------------------------------------------------------------------------------

# For cmake as it configures.
configure_with=()

# build PRESET [ARGUMENT...]: the further arguments go to the build, such as --target NAME.
build() {
    local preset=$1
    shift
    step "Configuring ($preset)"
    cmake --preset "$preset" "${configure_with[@]}"
    step "Building ($preset)"
    cmake --build --preset "$preset" "$@"
}
