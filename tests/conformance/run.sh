#!/usr/bin/env bash
# Runs A2A's conformance kit: tests/conformance/run.sh 1.0|0.3 CHECKOUT [path of the a2a-gateway binary]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case ${1-} in
1.0) exec "$here/v1.sh" "${@:2}" ;;
0.3) exec "$here/v03.sh" "${@:2}" ;;
*)
    echo "usage: $0 1.0|0.3 CHECKOUT [BINARY]" >&2
    exit 2
    ;;
esac
