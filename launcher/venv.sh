# shellcheck shell=bash
# Sourced by start_services.sh and run_tests.sh: a .venv with the packages of a requirements file.
#
#   ensure_venv ROOT REQUIREMENTS    sets $python to the interpreter of ROOT/.venv, or exits
#
# A new environment uses $STOCKING_PYTHON if that is set, else the first suitable Python on the
# PATH. uv does the work where it is on the PATH, else Python's own venv and pip.
# ROOT/.venv/installing exists during an installation; ROOT/.venv/lib/installed-REQUIREMENTS records
# a complete one.

say() { printf '%s\n' "$*"; }

fail() {
    printf 'StocKing: %s\n' "$*" >&2
    exit 1
}

has_uv() { uv --version >/dev/null 2>&1; }

# The first Python on the PATH that is new enough.
find_python() {
    local candidate
    for candidate in ${STOCKING_PYTHON:-python3.13 python3.12 python3.11 python3.14 python3}; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

create_venv() {
    local venv=$1 system_python
    system_python=$(find_python) ||
        fail "Python 3.11 or newer is needed and none was found" \
            "(looked for ${STOCKING_PYTHON:-python3.11 to python3.14 and python3})."
    has_uv || "$system_python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        fail "$system_python cannot create virtual environments: install its venv module" \
            "(Debian and Ubuntu: the package python3-venv)."
    say "Creating the virtual environment .venv with $("$system_python" --version)"
    rm -rf -- "$venv"
    if has_uv; then
        uv venv --quiet --python "$system_python" "$venv"
    else
        "$system_python" -m venv "$venv"
    fi || fail "The virtual environment could not be created in $venv."
    printf '%s\n' "${venv%/.venv}" >"$venv/place"
}

# Print what identifies a complete installation: the pins and the interpreter.
fingerprint() {
    "$1" - "$2" <<'PYTHON'
import hashlib, pathlib, sys
assert sys.prefix != sys.base_prefix and sys.version_info >= (3, 11)
print(hashlib.sha256(pathlib.Path(sys.argv[1]).read_bytes() + sys.version.encode()).hexdigest())
PYTHON
}

ensure_venv() {
    local root=$1 requirements=$2 venv record wanted reason=
    venv=$root/.venv
    record=$venv/lib/installed-$requirements
    python=$venv/bin/python
    mkdir -p -m 700 "$root/var"  # It will hold secrets and the database.
    exec 9>"$root/var/install.lock"
    if command -v flock >/dev/null 2>&1 && ! flock -n 9; then
        say "Another start or test run is preparing .venv here: waiting for it"
        flock 9
    fi

    if [[ ! -e $venv ]]; then
        reason="there is none"
    elif [[ -e $venv/installing ]]; then
        reason="its installation was interrupted"
    elif [[ -e $venv/place && $(<"$venv/place") != "$root" ]]; then
        reason="it was created in another folder"
    elif ! wanted=$(fingerprint "$python" "$root/$requirements" 2>/dev/null); then
        reason="its Python does not work or is older than 3.11"
    fi
    if [[ $reason ]]; then
        [[ ! -e $venv ]] || say "Recreating the virtual environment .venv: $reason"
        create_venv "$venv"
        wanted=$(fingerprint "$python" "$root/$requirements") ||
            fail "The Python in $venv does not work: remove that folder and start again."
    fi

    if [[ ! -e $record || $(<"$record") != "$wanted" ]]; then
        say "Installing the packages that $requirements pins"
        : >"$venv/installing"
        "$python" -P "$root/launcher/install.py" "$root/$requirements" ||
            fail "The packages could not be installed for the reason above:" \
                "correct it and start again."
        mkdir -p "$venv/lib"
        printf '%s\n' "$wanted" >"$record"
        rm -f -- "$venv/installing"
    fi
    exec 9>&-
}
