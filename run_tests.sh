#!/usr/bin/env bash
# Set up everything the tests need and run every check. See `./run_tests.sh --help`.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=launcher/venv.sh
source "$root/launcher/venv.sh"

usage() {
    cat <<'HELP'
./run_tests.sh           format, lint, types, import contracts and all areas of the tests
                         (14 minutes)
./run_tests.sh --fast    the same without any server or process, for the inner loop (1 minute)
./run_tests.sh --full    also what is marked `full`, MySQL for every test of a database, and all
                         examples of properties, as in CI (24 minutes)
./run_tests.sh ARGUMENT...  only pytest with these arguments, e.g. tests/relayer -k ping
./run_tests.sh --help    this text

The times were measured on two shared cores. The Python packages go to .venv. Where this user is
root or may use sudo without a password, missing programs are installed from the system's packages,
and MySQL is unpacked into a cache folder (scripts/unpack-mysql). Without them their tests are
skipped, and fail where CI is set.
HELP
}

# require NAME PROGRAM PACKAGE...: record the system packages of a missing program.
missing=() packages=()
require() {
    local name=$1 program=$2
    if ! PATH=$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec \
        command -v "$program" >/dev/null 2>&1; then
        missing+=("$name")
        packages+=("${@:3}")
    fi
}

# Print and install the recorded packages.
install_missing() {
    local as_root=()
    if ((${#missing[@]} == 0)); then
        return
    fi
    if [[ $(id -u) != 0 ]]; then
        as_root=(sudo -n)
    fi
    if ! command -v apt-get >/dev/null 2>&1 || ! "${as_root[@]}" true >/dev/null 2>&1; then
        say "WARNING: these are not installed and cannot be installed from here: ${missing[*]}"
        return
    fi
    say "Installing from the system's packages, up to 300 MB: ${packages[*]}"
    # RUNLEVEL=1 keeps packages from starting their servers.
    as_root+=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get --yes -qq -o Dpkg::Use-Pty=0)
    "${as_root[@]}" update >/dev/null || true
    "${as_root[@]}" install --no-install-recommends "${packages[@]}" >/dev/null ||
        say "WARNING: these could not be installed: ${missing[*]}"
}

# unpack NAME PROGRAM PACKAGE PATH: copy a program into .venv/bin from a package that would start a
# server if it were installed.
unpack() {
    local name=$1 program=$2 package=$3 path=$4 folder
    if PATH=$PATH:$root/.venv/bin command -v "$program" >/dev/null 2>&1; then
        return
    fi
    if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
        say "WARNING: $name is not installed and cannot be unpacked here"
        return
    fi
    say "Unpacking $name from the system's package $package into .venv"
    folder=$(mktemp -d)
    # Only root may update the list of packages; an older list is sufficient.
    apt-get -qq update >/dev/null 2>&1 || true
    if (cd -- "$folder" && apt-get -qq download "$package" >/dev/null 2>&1 &&
        dpkg-deb --extract ./*.deb .); then
        install -- "$folder/$path" "$root/.venv/bin/$program"
    else
        say "WARNING: $name could not be unpacked"
    fi
    rm -rf -- "$folder"
}

install_servers() {
    # The servers' programs, without the packages that would start them as services of the system.
    require MariaDB mariadbd mariadb-server-core mariadb-client-core
    require "MariaDB's dump program" mariadb-dump mariadb-client
    require Chromium chromedriver chromium chromium-driver
    require libfaketime faketime faketime
    require mmdebstrap mmdebstrap mmdebstrap
    [[ $leg != --full ]] || require RabbitMQ rabbitmq-server rabbitmq-server
    install_missing
    unpack promtool promtool prometheus usr/bin/promtool
    "$root/scripts/unpack-mysql" || say "WARNING: MySQL could not be unpacked"
}

run() {
    local started=$SECONDS status=0 result=passed
    printf '\n== %s\n' "$*"
    "$@" || status=$?
    [[ $status == 0 ]] || result="FAILED with $status"
    printf '== %s: %s after %d s\n' "$*" "$result" "$((SECONDS - started))"
    return "$status"
}

leg=default
case $# in
0) ;;
1) case $1 in
    --help | -h)
        usage
        exit
        ;;
    --fast | --full) leg=$1 ;;
    *) leg=pytest ;;
    esac ;;
*) leg=pytest ;;
esac

case $leg in
default) say "Running all checks: about 14 minutes on two cores, after set-up (--help for others)" ;;
--fast) say "Running what needs no server: about 1 minute on two cores, after set-up" ;;
--full) say "Running all checks in full: about 24 minutes on two cores, after set-up" ;;
esac
say "Python packages of requirements-dev.txt go to .venv; the first time takes a few minutes"
ensure_venv "$root" requirements-dev.txt
[[ $leg == --fast ]] || install_servers
cd -- "$root"
export PATH=$root/.venv/bin:$PATH
# If it is set, each of about a hundred processes compiles the product again.
unset PYTHONDONTWRITEBYTECODE

if [[ $leg == pytest ]]; then
    run pytest "$@"
    exit
fi
run ruff format --check .
run ruff check .
run mypy
run lint-imports
# More processes than cores, because some wait. Each has its own servers, and the tests of one file
# run together, in the order of tests/conftest.py.
together=(--dist loadfile --no-loadscope-reorder -rs)
case $leg in
default) run pytest -n 8 "${together[@]}" ;;
--fast) run pytest -n 2 "${together[@]}" --fast ;;
--full) run pytest -n 5 "${together[@]}" --full ;;
esac
