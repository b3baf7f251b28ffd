#!/usr/bin/env bash
# Runs real agents, built with the official SDKs and PraisonAI's, behind a gateway that this script starts and stops.
# Usage: tests/agents/run.sh [path of the a2a-gateway binary [agent...]]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
gateway=${1:-${A2A_GATEWAY_BIN:-$root/target/debug/a2a-gateway}}
source "$here/environments.sh"

for needed in "$gateway" python3 node npm; do
    if ! command -v "$needed" >/dev/null; then
        echo "$needed is missing (the gateway is built with \`cargo build\`)" >&2
        echo "0 passed, 1 failed"
        exit 1
    fi
done

environment py1 python3 with_pip "$here/packages/py1.txt"
environment py03 python3 with_pip "$here/packages/py03.txt"
environment praison python3 with_pip "$here/packages/praison.txt"
environment js1 node with_npm "$here/packages/js1.txt"
cp "$here/agent_js1.mjs" "$environments/js1/"

# The package reports its use to its makers unless told not to.
export DO_NOT_TRACK=true PRAISONAI_DISABLE_TELEMETRY=true PRAISONAI_TELEMETRY_DISABLED=true
# No compiled files beside the sources.
export PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/real_agents.py" "$gateway" "$environments" "${@:2}"
