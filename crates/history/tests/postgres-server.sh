#!/usr/bin/env bash
# Runs a private PostgreSQL for tests until standard input closes.
#
# The test has the other end of standard input. When the test ends, even by SIGKILL, the kernel closes that pipe, and
# this script stops the server and removes its folder.
#
# Prints the folder of the server's socket when the server is ready. Then it obeys one command a line:
#   stop    stops the server -> stopped
#   start   starts it again  -> started
#   hang    suspends all its processes -> hanging
#   resume  resumes them               -> resumed
set -euo pipefail

programs=$("$(dirname "$0")/../../../control-plane/postgres.sh")
# The path of a socket has at most 107 bytes.
folder=$(mktemp -d /tmp/flashgate-postgres.XXXXXX)

# initdb refuses root.
as=()
if (( EUID == 0 )); then
  chown 65534:65534 "$folder"
  as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi

server() {
  (cd "$folder" && "${as[@]}" "$programs/pg_ctl" --pgdata="$folder/data" --silent "$@") >>"$folder/log" 2>&1 </dev/null
}
# The data is temporary, so nothing is written to disk for safety.
options="-k $folder -c listen_addresses='' -c fsync=off -c max_connections=200"
start() { server start --wait --log="$folder/server.log" --options="$options"; }
stop() { server stop --mode=immediate || true; }
# Sends a signal to the server and to its processes, one for each connection.
signal() {
  local first
  first=$(head -n 1 "$folder/data/postmaster.pid")
  pkill "-$1" --parent "$first" || true
  kill "-$1" "$first"
}
# A suspended server does not stop.
clean_up() { signal CONT 2>/dev/null || true; stop; rm -rf -- "$folder"; }

trap clean_up EXIT
trap 'exit 143' TERM INT HUP

touch "$folder/log"
(cd "$folder" && "${as[@]}" "$programs/initdb" --pgdata="$folder/data" --username=history --auth=trust --no-sync \
  --encoding=UTF8 --locale=C.UTF-8) >>"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
start || { cat "$folder/log" "$folder/server.log" >&2; exit 1; }
echo "$folder"

while read -r order; do
  case $order in
    stop) stop; echo stopped ;;
    start) start && echo started ;;
    hang) signal STOP && echo hanging ;;
    resume) signal CONT && echo resumed ;;
  esac
done
