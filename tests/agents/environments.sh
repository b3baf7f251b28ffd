# Environments with the packages that the official SDKs need, for scripts to source. Each is made once, and anew when what
# it holds changes. tests/agents and tests/sdks share those that they both need.

environments=${CARGO_TARGET_DIR:-$root/target}/agents

# Makes one environment with the packages of a list, unless it is there: environment NAME TOOL INSTALLER LIST.
environment() {
    local directory=$environments/$1 wanted
    wanted="$("$2" --version) $(cat "$4")"
    if [[ $(cat "$directory/installed" 2>/dev/null) != "$wanted" ]]; then
        rm -rf "$directory"
        mkdir -p "$directory"
        "$3" "$directory" "$4"
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
