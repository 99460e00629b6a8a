# shellcheck shell=bash
# Sourced by start_services.sh and run_tests.sh: a .venv that holds exactly what a requirements file pins.
#
#   ensure_venv ROOT REQUIREMENTS    sets $python to the interpreter of ROOT/.venv, or ends with one sentence
#
# ROOT/.venv/installing exists while packages are being put in; a file beside it records what has been put in completely.

say() { printf '%s\n' "$*"; }

fail() {
    printf 'StocKing: %s\n' "$*" >&2
    exit 1
}

# The first Python on the PATH that is new enough, newest named first.
find_python() {
    local candidate
    for candidate in python3.13 python3.12 python3.11 python3; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    local venv=$1 system_python
    system_python=$(find_python) ||
        fail "Python 3.11 or newer is needed and none was found (looked for python3.13, python3.12, python3.11, python3)."
    "$system_python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        fail "$system_python cannot make virtual environments: install its venv module (Debian and Ubuntu: the package python3-venv)."
    say "Making the virtual environment .venv with $("$system_python" --version)"
    rm -rf -- "$venv"
    "$system_python" -m venv "$venv" || fail "The virtual environment could not be made in $venv."
    printf '%s\n' "${venv%/.venv}" >"$venv/place"
}

# What a complete installation is recorded by: the pins and the interpreter.
fingerprint() {
    "$1" - "$2" <<'PYTHON'
import hashlib, pathlib, sys
assert sys.prefix != sys.base_prefix and sys.version_info >= (3, 11)
print(hashlib.sha256(pathlib.Path(sys.argv[1]).read_bytes() + sys.version.encode()).hexdigest())
PYTHON
}

ensure_venv() {
    local root=$1 requirements=$2 venv record wanted
    venv=$root/.venv
    record=$venv/installed-$requirements
    mkdir -p "$root/var"
    exec 9>"$root/var/install.lock"
    if command -v flock >/dev/null 2>&1 && ! flock -n 9; then
        say "Another start is installing packages here: waiting for it"
        flock 9
    fi

    python=$venv/bin/python
    if [[ ! -e $venv ]]; then
        make_venv "$venv"
    elif [[ -e $venv/installing ]]; then
        say "The .venv is half installed, an earlier run was interrupted: making it anew"
        make_venv "$venv"
    elif [[ -e $venv/place && $(<"$venv/place") != "$root" ]]; then
        say "The .venv was made in another folder, and its programs know that path: making it anew"
        make_venv "$venv"
    elif ! "$python" -c 'import pip' >/dev/null 2>&1; then
        say "The .venv is half installed, its Python or its pip does not work: making it anew"
        make_venv "$venv"
    elif ! compgen -G "$venv/installed-*" >/dev/null; then
        say "The .venv is half installed, nothing records what is in it: completing it"
    fi

    wanted=$(fingerprint "$python" "$root/$requirements") ||
        fail "The Python in $venv is older than 3.11: remove that folder and start again."
    if [[ ! -e $record || $(<"$record") != "$wanted" ]]; then
        say "Installing the packages that $requirements pins; the first time this takes a few minutes"
        : >"$venv/installing"
        "$python" -m pip install --quiet --disable-pip-version-check --no-input --requirement "$root/$requirements" ||
            fail "The packages could not be installed, the reason stands above: put it right and start again."
        printf '%s\n' "$wanted" >"$record"
        rm -f -- "$venv/installing"
    fi
    exec 9>&-
}
