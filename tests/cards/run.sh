#!/usr/bin/env bash
# Lets the official SDKs of Python and JavaScript read and verify signed cards of a gateway that this script starts and
# stops. Usage: tests/cards/run.sh [path of the a2a-gateway binary]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
packages=$root/tests/agents/packages
gateway=${1:-${A2A_GATEWAY_BIN:-$root/target/debug/a2a-gateway}}
# Cached between runs, and made anew when what it holds changes.
environment=${CARGO_TARGET_DIR:-$root/target}/cards

# What the SDK of Python verifies signatures with; that of JavaScript brings its own.
readonly SIGNING=PyJWT==2.15.1

for needed in "$gateway" python3 node npm; do
    if ! command -v "$needed" >/dev/null; then
        echo "$needed is missing (the gateway is built with \`cargo build\`)" >&2
        echo "0 passed, 1 failed"
        exit 1
    fi
done

wanted="$(python3 --version) $(node --version) $SIGNING $(cat "$packages/py1.txt" "$packages/js1.txt")"
if [[ $(cat "$environment/installed" 2>/dev/null) != "$wanted" ]]; then
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$packages/py1.txt" "$SIGNING"
    mapfile -t modules <"$packages/js1.txt"
    npm install --prefix "$environment" --silent --no-audit --no-fund --save-exact "${modules[@]}"
    echo "$wanted" >"$environment/installed"
fi
# Modules are found beside the program only.
cp "$here/verify.mjs" "$environment/"

export PYTHONDONTWRITEBYTECODE=1
exec "$environment/bin/python" "$here/verify.py" "$gateway" "$environment/verify.mjs"
