#!/usr/bin/env bash
# What compose.yaml and haproxy.cfg promise, tried on this machine without containers: two replicas over one PostgreSQL, behind
# HAProxy with the very haproxy.cfg, whose addresses alone are replaced.
#
#   cargo build --release && deploy/try.sh target/release/a2a-gateway
#
# Needs haproxy, curl and PostgreSQL's programs (initdb, postgres, createdb). Takes ports PORT to PORT+2 of 127.0.0.1 (18080).
set -euo pipefail

program=$(realpath "${1:?give the gateway\'s binary}")
port=${PORT:-18080}
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
chmod 0755 "$dir"
balancer=http://127.0.0.1:$port
replica=([1]="127.0.0.1:$((port + 1))" [2]="127.0.0.1:$((port + 2))")
declare -A pid=()
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' :)

# PostgreSQL does not run as root.
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)

finish() {
    status=$?
    [ "$status" = 0 ] || tail -n 20 "$dir"/*.log >&2
    for name in balancer 1 2; do [ -z "${pid[$name]:-}" ] || kill "${pid[$name]}" 2> /dev/null || true; done
    wait
    "${as[@]}" pg_ctl -D "$dir/db/data" -m immediate stop > /dev/null 2>&1 || true
    rm -rf "$dir"
    exit "$status"
}
trap finish EXIT

fail() { echo "FAILED: $*" >&2 && exit 1; }
done_with() { echo "ok: $*"; }

# Until a command succeeds, for at most half a minute.
until_it() {
    for _ in $(seq 300); do
        if "$@" > /dev/null 2>&1; then return; fi
        sleep 0.1
    done
    fail "never came true: $*"
}

start_database() {
    "${as[@]}" pg_ctl -D "$dir/db/data" -l "$dir/db/postgres.log" -w \
        -o "-c listen_addresses= -c unix_socket_directories=$dir/db" "${1:-start}" ${2:+-m "$2"} > /dev/null
}

start_replica() {
    "$program" --listen "${replica[$1]}" --database "postgres://a2a@/a2a?host=$dir/db" --set store.lease=2s --set server.drain_delay=5s \
        --log-format json 2>> "$dir/replica-$1.log" &
    pid[$1]=$!
    until_it curl -sf "${replica[$1]}/readyz"
}

ask() { "$program" "$1" --gateway "$2" "${@:3}"; }
send() { # gateway, text
    curl -sf -m 30 "$1/message:send" -H 'Content-Type: application/json' \
        -d "{\"message\": {\"messageId\": \"m\", \"role\": \"ROLE_USER\", \"parts\": [{\"text\": \"$2\"}]}}"
}
has() { grep -q -- "$1" "$2"; }

# That a file shows the chunks of "slow: N" each once, in order, and the end of the task.
check_chunks() { # file, N
    [ "$(grep -o "chunk [0-9]*/$2" "$1" | tr '\n' ' ')" = "$(printf "chunk %d/$2 " $(seq "$2"))" ] ||
        fail "not each chunk once and in order: $(cat "$1")"
    has completed "$1" || fail "not completed: $(cat "$1")"
}

mkdir "$dir/db"
[ "$(id -u)" != 0 ] || chown nobody "$dir/db"
"${as[@]}" initdb -D "$dir/db/data" -U a2a -A trust > /dev/null
start_database
"${as[@]}" createdb -h "$dir/db" -U a2a a2a
start_replica 1
start_replica 2
sed -e "s/bind :8080/bind 127.0.0.1:$port/" -e 's/ resolvers cluster init-addr none//' \
    -e "s/server-template replica 1-10 gateway:8080\(.*\)/server one ${replica[1]}\1\n    server two ${replica[2]}\1/" \
    "$here/haproxy.cfg" > "$dir/haproxy.cfg"
haproxy -f "$dir/haproxy.cfg" > "$dir/haproxy.log" 2>&1 &
pid[balancer]=$!
until_it curl -sf "$balancer/readyz"

send "$balancer" hello | grep -q 'Echo: hello' || fail "REST over HTTP/1.1"
curl -sf --http2-prior-knowledge "$balancer/.well-known/agent-card.json" | grep -q '"skills"' || fail "a card over HTTP/2"
done_with "HTTP/1.1 and HTTP/2"

curl -sN "$balancer/message:stream" -H 'Content-Type: application/json' -d '{"message": {"messageId": "m",
    "role": "ROLE_USER", "parts": [{"text": "slow: 20"}]}}' > "$dir/sse" &
until_it has 'id: 3' "$dir/sse"
! has COMPLETED "$dir/sse" || fail "SSE came at once"
until_it has COMPLETED "$dir/sse"
done_with "SSE, event by event"

ask send "$balancer" 'slow: 5' > "$dir/grpc" 2>&1
check_chunks "$dir/grpc" 5
done_with "gRPC, with a stream"

task=$(ask send "http://${replica[1]}" --no-wait 'slow: 10' 2> /dev/null)
ask watch "http://${replica[2]}" "$task" > "$dir/other" 2>&1
check_chunks "$dir/other" 10
done_with "submitted at one replica, watched at the other"

task=$(ask send "http://${replica[1]}" --no-wait 'slow: 1000' 2> /dev/null)
ask cancel "http://${replica[2]}" "$task" | grep -q canceled || fail "canceled at the other replica"
done_with "canceled at the other replica"

# Calls without a pause, and a stream, while each replica in turn is replaced.
ask send "$balancer" 'slow: 60' > "$dir/drained" 2>&1 &
stream=$!
touch "$dir/calling"
(while [ -e "$dir/calling" ]; do send "$balancer" hello > /dev/null || echo "a call failed"; echo called; done) > "$dir/calls" 2>&1 &
calls=$!
for n in 1 2; do
    kill "${pid[$n]}"
    wait "${pid[$n]}" || fail "replica $n did not stop in good order: $?"
    start_replica $n
    # As a deployment does, which goes on once the new one is in use.
    seen=$(wc -l < "$dir/calls")
    until_it eval "[ \$(wc -l < '$dir/calls') -gt $((seen + 100)) ]"
done
rm "$dir/calling"
wait $calls $stream || fail "the stream was not resumed: $(cat "$dir/drained")"
! has failed "$dir/calls" || fail "$(grep -c failed "$dir/calls") of $(wc -l < "$dir/calls") calls failed"
check_chunks "$dir/drained" 60
done_with "both replicas replaced: none of $(wc -l < "$dir/calls") calls failed, a stream was resumed"

task=$(ask send "http://${replica[1]}" --no-wait 'slow: 40' 2> /dev/null)
ask watch "$balancer" "$task" > "$dir/killed" 2>&1 &
stream=$!
until_it has 'chunk 3/40' "$dir/killed"
kill -9 "${pid[1]}"
wait "${pid[1]}" 2> /dev/null || true
wait $stream || fail "the stream was not resumed: $(cat "$dir/killed")"
check_chunks "$dir/killed" 40
start_replica 1
done_with "a replica killed: the other one took over its task, without gap or duplicate"

task=$(ask send "$balancer" --no-wait 'slow: 40' 2> /dev/null)
ask watch "$balancer" "$task" > "$dir/crashed" 2>&1 &
stream=$!
until_it has 'chunk 3/40' "$dir/crashed"
start_database restart immediate
wait $stream || fail "the stream was not resumed: $(cat "$dir/crashed")"
check_chunks "$dir/crashed" 40
send "$balancer" hello > /dev/null || fail "a call after PostgreSQL was back"
done_with "PostgreSQL crashed and came back: a task went on, without gap or duplicate"
