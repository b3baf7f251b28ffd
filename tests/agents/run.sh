#!/usr/bin/env bash
# Runs real agents, built with the official SDKs and PraisonAI's, behind a gateway that this script starts and stops.
# Usage: tests/agents/run.sh [path of the a2a-gateway binary [agent...]]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
gateway=${1:-${A2A_GATEWAY_BIN:-$root/target/debug/a2a-gateway}}
# Cached between runs, and each made anew when what it holds changes.
environments=${CARGO_TARGET_DIR:-$root/target}/agents

for needed in "$gateway" python3 node npm; do
    if ! command -v "$needed" >/dev/null; then
        echo "$needed is missing (the gateway is built with \`cargo build\`)" >&2
        echo "0 passed, 1 failed"
        exit 1
    fi
done

# Makes one environment with the packages of its list, unless it is there: environment NAME TOOL INSTALLER.
environment() {
    local directory=$environments/$1 wanted
    wanted="$("$2" --version) $(cat "$here/packages/$1.txt")"
    if [[ $(cat "$directory/installed" 2>/dev/null) != "$wanted" ]]; then
        rm -rf "$directory"
        mkdir -p "$directory"
        "$3" "$directory" "$here/packages/$1.txt"
        echo "$wanted" >"$directory/installed"
    fi
}

# The lists are complete: pip is not to add to them. It warns about what praisonaiagents needs for models only.
with_pip() {
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$2"
}

with_npm() {
    local packages
    mapfile -t packages <"$2"
    npm install --prefix "$1" --silent --no-audit --no-fund --save-exact "${packages[@]}"
}

environment py1 python3 with_pip
environment py03 python3 with_pip
environment praison python3 with_pip
environment js1 node with_npm
cp "$here/agent_js1.mjs" "$environments/js1/"

# The package reports its use to its makers unless told not to.
export DO_NOT_TRACK=true PRAISONAI_DISABLE_TELEMETRY=true PRAISONAI_TELEMETRY_DISABLED=true
# No compiled files beside the sources.
export PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/real_agents.py" "$gateway" "$environments" "${@:2}"
