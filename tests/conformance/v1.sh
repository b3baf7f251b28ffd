#!/usr/bin/env bash
# Runs the conformance kit for A2A 1.0 (a2aproject/a2a-tck, branch 1.0-dev) against a gateway that it starts and stops.
# Usage: tests/conformance/v1.sh CHECKOUT [path of the a2a-gateway binary]
# Fails when other tests fail or are skipped than those that v1_known.txt lists, or when one of these has begun to pass.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

if [[ $# -lt 1 || ! -f $1/pyproject.toml || ! -d $1/tests/compatibility ]]; then
    echo "usage: $0 CHECKOUT [BINARY]; CHECKOUT is one of the kit's branch 1.0-dev" >&2
    exit 2
fi
checkout=$(cd "$1" && pwd)
gateway=${2:-${A2A_GATEWAY_BIN:-$root/target/debug/a2a-gateway}}
if ! gateway=$(command -v "$gateway"); then
    echo "the gateway's binary is missing (it is built with \`cargo build\`)" >&2
    exit 2
fi

# What the kit needs, as it says itself; cached between runs, and made anew when that changes.
environment=${CARGO_TARGET_DIR:-$root/target}/conformance/v1
wanted="$(python3 --version)
$(python3 - "$checkout/pyproject.toml" <<'PYTHON'
import sys, tomllib
with open(sys.argv[1], "rb") as project:
    print(*tomllib.load(project)["project"]["dependencies"], sep="\n")
PYTHON
)"
if [[ $(cat "$environment/installed" 2>/dev/null) != "$wanted" ]]; then
    rm -rf "$environment"
    python3 -m venv "$environment"
    tail -n +2 <<<"$wanted" >"$environment/needed.txt"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement "$environment/needed.txt"
    echo "$wanted" >"$environment/installed"
fi

# Neither the checkout nor this directory gets compiled files.
export PYTHONDONTWRITEBYTECODE=1
exec "$environment/bin/python" "$here/v1.py" "$checkout" "$(realpath "$gateway")"
