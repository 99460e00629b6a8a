#!/usr/bin/env bash
# Set up everything the tests need and run every check, in the order of how fast each one tells something.
#
#   ./run_tests.sh                        format, lint, types, floors, all tests
#   ./run_tests.sh --full                 the same with the tests that are marked `full`, as in CI
#   ./run_tests.sh tests/relayer -k ping  only pytest, with these arguments
#
# MariaDB, Chromium, libfaketime and promtool are installed from the system's packages when they are
# missing and this user may install; MySQL is unpacked into a cache folder (scripts/unpack-mysql).
# Without them their tests are skipped, or fail where CI is set.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=launcher/venv.sh
source "$root/launcher/venv.sh"

# ensure_installed NAME PROGRAM PACKAGE...: packages of the system, when the program is missing and this user may install.
ensure_installed() {
    local name=$1 program=$2 as_root=()
    shift 2
    if PATH=$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec command -v "$program" >/dev/null 2>&1; then
        return
    fi
    if [[ $(id -u) != 0 ]]; then
        as_root=(sudo -n)
    fi
    if ! command -v apt-get >/dev/null 2>&1 || ! "${as_root[@]}" true >/dev/null 2>&1; then
        say "$name is not installed and cannot be installed from here"
        return
    fi
    say "Installing $name from the system's packages"
    as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get --yes -qq -o Dpkg::Use-Pty=0)
    "${as_root[@]}" update >/dev/null || true
    "${as_root[@]}" install --no-install-recommends "$@" >/dev/null || say "$name could not be installed"
}

# ensure_unpacked NAME PROGRAM PACKAGE PATH: one program of a package that would start a server if it were installed, beside Python's.
ensure_unpacked() {
    local name=$1 program=$2 package=$3 path=$4 folder
    if PATH=$PATH:$root/.venv/bin command -v "$program" >/dev/null 2>&1; then
        return
    fi
    if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
        say "$name is not installed and cannot be unpacked here"
        return
    fi
    say "Unpacking $name from the system's packages"
    folder=$(mktemp -d)
    # Only root may look for what there is now; what was found before is good enough.
    apt-get -qq update >/dev/null 2>&1 || true
    if (cd -- "$folder" && apt-get -qq download "$package" >/dev/null 2>&1 && dpkg-deb --extract ./*.deb .); then
        install -- "$folder/$path" "$root/.venv/bin/$program"
    else
        say "$name could not be unpacked"
    fi
    rm -rf -- "$folder"
}

run() {
    local started=$SECONDS status=0
    printf '\n== %s\n' "$*"
    "$@" || status=$?
    printf '== %s: %s after %d s\n' "$*" "$([[ $status == 0 ]] && echo passed || echo "FAILED with $status")" "$((SECONDS - started))"
    return "$status"
}

ensure_venv "$root" requirements-dev.txt
# The server's programs without the package that would start it as a service of the system, where that exists.
ensure_installed MariaDB mariadbd mariadb-server-core mariadb-client-core
ensure_installed "MariaDB's dump program" mariadb-dump mariadb-client
ensure_installed mmdebstrap mmdebstrap mmdebstrap
"$root/scripts/unpack-mysql" || say "Without MySQL its tests are skipped"
ensure_installed Chromium chromedriver chromium chromium-driver
ensure_installed libfaketime faketime faketime
ensure_unpacked promtool promtool prometheus usr/bin/promtool
cd -- "$root"
export PATH=$root/.venv/bin:$PATH
# Where it is set each of some hundred processes would compile the product anew.
unset PYTHONDONTWRITEBYTECODE

full=()
if [[ $* == --full ]]; then
    full=(--full)
elif (($# > 0)); then
    run pytest "$@"
    exit
fi
run ruff format --check .
run ruff check .
run mypy
run lint-imports
# Four at a time on two cores, as many wait for a server's time to pass; each has servers of its own, and the tests of one file stay together.
run pytest -n 4 --dist loadfile "${full[@]}"
