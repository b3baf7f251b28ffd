#!/usr/bin/env bash
# Runs the official client SDKs, unchanged, against a gateway that this script starts and stops.
# Usage: tests/sdks/run.sh [--markdown FILE] [path of the a2a-gateway binary [client...]]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
options=()
if [[ ${1:-} == --markdown ]]; then
    options=("$1" "$2")
    shift 2
fi
gateway=${1:-${A2A_GATEWAY_BIN:-$root/target/debug/a2a-gateway}}
clients=("${@:2}")
source "$here/../agents/environments.sh"

need() {
    for needed in "$@"; do
        if ! command -v "$needed" >/dev/null; then
            echo "$needed is missing (the gateway is built with \`cargo build\`)" >&2
            echo "0 passed, 1 failed"
            exit 1
        fi
    done
}

need "$gateway" python3 node npm
if ((${#clients[@]} == 0)); then
    clients=(py1 py03 js1 js03)
    if command -v go >/dev/null; then
        clients+=(go1 go03)
    else
        echo "go is missing: the Go clients are left out"
    fi
    if command -v mvn >/dev/null && command -v java >/dev/null; then
        clients+=(java03)
    else
        echo "java or mvn is missing: the Java client is left out"
    fi
fi

# The versions are those of go.mod and go.sum.
with_go() {
    need go
    (cd "$here/go" && go build -mod=readonly -o "$environments/go/" "$1")
}

# Made anew when a source changes; the classes and the SDK's jars lie beside each other.
with_maven() {
    need java mvn
    local classes=$environments/java03 wanted
    wanted="$(java -version 2>&1 | head -1) $(cat "$here/java/pom.xml" "$here"/java/src/main/java/*.java | cksum)"
    if [[ $(cat "$classes/installed" 2>/dev/null) != "$wanted" ]]; then
        rm -rf "$classes"
        mvn --quiet --batch-mode --file "$here/java/pom.xml" -DbuildDirectory="$classes" process-classes
        echo "$wanted" >"$classes/installed"
    fi
}

for client in "${clients[@]}"; do
    case $client in
    py1 | py03) environment "$client" python3 with_pip "$here/../agents/packages/$client.txt" ;;
    js1) environment "$client" node with_npm "$here/../agents/packages/$client.txt" ;;
    js03) environment "$client" node with_npm "$here/packages/$client.txt" ;;
    go1) with_go ./v1 ;;
    go03) with_go ./v03 ;;
    java03) with_maven ;;
    *)
        echo "no such client: $client" >&2
        echo "0 passed, 1 failed"
        exit 1
        ;;
    esac
    if [[ $client == js* ]]; then
        mkdir -p "$environments/$client/sdks"
        cp "$here"/javascript/*.mjs "$environments/$client/sdks/"
    fi
done

# No compiled files beside the sources.
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../agents
exec python3 "$here/sdks.py" "${options[@]}" "$gateway" "$environments" "${clients[@]}"
