#!/usr/bin/env bash
# A page in a headless Chromium submits and watches tasks of a gateway of another origin, which this script starts and
# stops. Usage: tests/browser/run.sh [path of the a2a-gateway binary [file for a screenshot]]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
gateway=${1:-${A2A_GATEWAY_BIN:-$root/target/debug/a2a-gateway}}
screenshot=${2:-}
# Cached between runs, and made anew when what it holds changes.
environment=${CARGO_TARGET_DIR:-$root/target}/browser

for needed in "$gateway" node npm; do
    if ! command -v "$needed" >/dev/null; then
        echo "$needed is missing (the gateway is built with \`cargo build\`)" >&2
        echo "0 passed, 1 failed"
        exit 1
    fi
done

# The distribution's own, wherever there is one; installed where that can be done.
browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}
if ! browser >/dev/null && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -qq --no-install-recommends chromium; } >/dev/null 2>&1 || true
fi
if ! chromium=$(browser); then
    echo "skipped: there is no Chromium, and it cannot be installed (apt-get install chromium)" >&2
    [[ ${CI:-} == true ]] && exit 1 || exit 0
fi

mapfile -t packages <"$here/packages.txt"
wanted="$(node --version) ${packages[*]}"
if [[ $(cat "$environment/installed" 2>/dev/null) != "$wanted" ]]; then
    rm -rf "$environment"
    mkdir -p "$environment"
    npm install --prefix "$environment" --silent --no-audit --no-fund --save-exact "${packages[@]}"
    echo "$wanted" >"$environment/installed"
fi

# The page is made beside the packages that it imports: the contracts' code, then one file with everything.
rm -rf "$environment/page" "$environment/served"
cp -r "$here/page" "$environment/page"
cp "$here/drive.mjs" "$here/docs.mjs" "$environment/"
export PATH=$environment/node_modules/.bin:$PATH
buf generate "$root/proto" --template "$here/buf.gen.yaml" --output "$environment/page"
esbuild "$environment/page/app.js" --bundle --format=esm --log-level=warning --outfile="$environment/served/app.js"
cp "$here/page/index.html" "$environment/served/"

node "$environment/docs.mjs" "$root/docs/browser.md" "$here/page"
exec node "$environment/drive.mjs" "$gateway" "$chromium" "$environment/served" ${screenshot:+"$screenshot"}
