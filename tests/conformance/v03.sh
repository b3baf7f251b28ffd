#!/usr/bin/env bash
# Runs the conformance kit for A2A 0.3 (a2aproject/a2a-tck, branch 0.3.x) against a gateway that it starts and stops.
# Usage: tests/conformance/v03.sh CHECKOUT_OF_THE_KIT [path of the a2a-gateway binary]
# Fails when other tests fail than those that v03_known.txt lists, or when one of these has begun to pass.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [[ $# -lt 1 || ! -f $1/run_tck.py || ! -d $1/tests/optional/multi_transport ]]; then
    echo "usage: $0 CHECKOUT [BINARY]; CHECKOUT is one of the kit's branch 0.3.x" >&2
    exit 2
fi
kit=$(cd "$1" && pwd)
gateway=$(realpath "${2:-${A2A_GATEWAY_BIN:-$root/target/debug/a2a-gateway}}")
if [[ ! -x $gateway ]]; then
    echo "$gateway is missing (the gateway is built with \`cargo build\`)" >&2
    exit 2
fi

# Cached between runs, and made anew when the kit asks for other packages. What it imports without asking is added.
environment=${CARGO_TARGET_DIR:-$root/target}/conformance/v03
wanted="$(python3 --version) $(cat "$kit/requirements.txt")"
if [[ $(cat "$environment/installed" 2>/dev/null) != "$wanted" ]]; then
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement "$kit/requirements.txt" \
        python-dotenv pyOpenSSL pytest-timeout
    echo "$wanted" >"$environment/installed"
fi

# No compiled files beside the sources, and no settings of whoever runs this.
export PYTHONDONTWRITEBYTECODE=1
while read -r name; do unset "$name"; done < <(compgen -e | grep -E '^(A2A_|TCK_|SUT_|PYTEST_)' || true)
exec "$environment/bin/python" "$here/v03.py" "$kit" "$gateway"
