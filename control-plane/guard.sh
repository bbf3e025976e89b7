#!/usr/bin/env bash
# Owns the processes and the folder of one private control plane.
#
# The owner (a test, the demo) has the other end of standard input. When the owner ends, even by SIGKILL, the kernel
# closes that pipe, and this script kills the servers and removes the folder. A destructor cannot do this, because it
# does not run in a killed process.
#
# Prints the folder first, then one line for each command:
#   start NAME   runs FOLDER/NAME.command (one argument a line), output to FOLDER/NAME.log   -> started
#   kill NAME    SIGKILL, and waits until it is gone                                         -> killed
#   alive NAME                                                                               -> yes | no
set -u

folder=''
declare -A pids=()

# Checks the shell's table of children, because the process id alone could belong to another process.
is_alive() {
  local pid
  for pid in $(jobs -pr); do
    [[ $pid == "${pids[$1]:-none}" ]] && return 0
  done
  return 1
}

start_server() {
  local -a command
  mapfile -t command <"$folder/$1.command"
  "${command[@]}" >>"$folder/$1.log" 2>&1 </dev/null &
  pids[$1]=$!
}

# SIGKILL immediately, because the data of these servers is temporary.
kill_server() {
  is_alive "$1" && kill -KILL "${pids[$1]}"
  wait "${pids[$1]:-}" 2>/dev/null
  unset "pids[$1]"
}

clean_up() {
  local name
  for name in "${!pids[@]}"; do kill_server "$name"; done
  [[ -n $folder ]] && rm -rf -- "$folder"
}

trap clean_up EXIT
trap 'exit 143' TERM INT HUP
# The owner can end between a command and the answer. The handler is `:` and not '', which the servers would inherit.
trap : PIPE

# The path of a socket has at most 107 bytes, and a long TMPDIR would exceed that.
parent=${TMPDIR:-/tmp}
(( ${#parent} <= 60 )) || parent=/tmp
folder=$(mktemp -d "$parent/flashgate-control-plane.XXXXXX") || exit 1
echo "$folder"
exec 2>"$folder/guard.log"

while read -r order name; do
  case $order in
    start) start_server "$name" && echo started ;;
    kill) kill_server "$name"; echo killed ;;
    alive) if is_alive "$name"; then echo yes; else echo no; fi ;;
  esac
done
