#!/usr/bin/env bash
# Runs the seed client (praisonaiagents' own A2AClient, unchanged) and the requests of PraisonAI's dialect against a
# gateway that this script starts and stops. Usage: tests/seed/run.sh [path of the a2a-gateway binary]
set -euo pipefail

# What the A2AClient imports, and no more: the package's other dependencies serve agents, not clients. And what verifies
# signatures of webhooks.
readonly PACKAGES=(praisonaiagents==1.7.17)
readonly NEEDED=(aiohttp==3.14.5 pydantic==2.14.3 standardwebhooks==1.1.0)

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
gateway=${1:-${A2A_GATEWAY_BIN:-$root/target/debug/a2a-gateway}}
# Cached between runs, and made anew when what it holds changes.
environment=${CARGO_TARGET_DIR:-$root/target}/seed-client

if [[ ! -x $gateway ]]; then
    echo "$gateway is missing: build it first with \`cargo build\`" >&2
    echo "0 passed, 1 failed"
    exit 1
fi

wanted="$(python3 --version) ${PACKAGES[*]} ${NEEDED[*]}"
if [[ $(cat "$environment/installed" 2>/dev/null) != "$wanted" ]]; then
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet "${NEEDED[@]}"
    # pip warns about the dependencies that are left out on purpose.
    "$environment/bin/pip" install --quiet --no-deps "${PACKAGES[@]}"
    echo "$wanted" >"$environment/installed"
fi

# The package reports its use to its makers unless told not to.
export DO_NOT_TRACK=true PRAISONAI_DISABLE_TELEMETRY=true PRAISONAI_TELEMETRY_DISABLED=true
exec "$environment/bin/python" "$here/seed_client.py" "$gateway"
