#!/usr/bin/env bash
# Set up and run StocKing on this machine. Needs Python 3.11 or newer; stops with Ctrl-C.
#
#   ./start_services.sh           run until Ctrl-C
#   ./start_services.sh --demo    run one trading day through the public API, check its sums, stop
#   ./start_services.sh --help    all options; docs/settings.md lists the variables
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=launcher/venv.sh
source "$root/launcher/venv.sh"

ensure_venv "$root" requirements.txt
cd -- "$root"
exec "$python" -m launcher "$@"
