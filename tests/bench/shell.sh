#!/bin/bash
# SPDX-License-Identifier: MIT
#
# shell.sh: what a person at a shell waits for.  Times in microseconds, by bash's own clock.
#
#   shell.sh echo-file SEND RECEIVE COUNT   echo into one file until `read` has it from the other
#   shell.sh echo-socat PORT COUNT          the same by socat over TCP, with connect
#   shell.sh echo-nc PORT COUNT             the same by nc (OpenBSD's)
#   shell.sh loop-file SEND RECEIVE COUNT [FILE]    so many echos, or cats of FILE, in a row
#   shell.sh loop-socat ADDRESS LISTENER COUNT [FILE]    the same by socat, with connect
#   shell.sh mount SIVCFS DIR COUNT         from starting two sivcfs until a message was read
#   shell.sh dd TO FROM BYTES BLOCK         dd to dd, each side on a processor
#   shell.sh dd-endless TO FROM BYTES BLOCK the same if what is read has no end by itself
#   shell.sh dd-tcp NETNS NETNS ADDRESS PORT BYTES BLOCK    the same by TCP between two of them
#   shell.sh dd-pipe BYTES BLOCK            the same by a pipe
#   shell.sh tar TO FROM TREE               tar to tar, which makes the tree anew
#   shell.sh tar-socat NETNS NETNS ADDRESS PORT TREE
#
# The receiver is there before the sender begins, in all cases; a message is sent when the one
# before it has arrived, but for those in a row.  Prints a line each, and of what is
# in a row or in bulk one line, and behind the time the context switches of the whole machine.
set -euo pipefail
export LC_ALL=C

usage() {
  sed -n '/^#   shell.sh/s/^#   //p' "$0" >&2
  exit 2
}

die() {
  echo "shell.sh: $*" >&2
  exit 1
}

# In microseconds; the clock has six digits behind the point.
since() {
  local now=$EPOCHREALTIME

  echo $((${now/./} - ${1/./}))
}

# Lines with the time at which they were sent -> how long they took.
receive() {
  local line

  while read -r line; do
    since "$line"
  done
}

# Sends COUNT times with the function NAME; each answer of the receiver comes from descriptor 4.
send_all() {
  local name=$1 count=$2 line i
  shift 2

  for ((i = 0; i < count; i++)); do
    "$name" "$EPOCHREALTIME" "$@"
    read -r line <&4
    echo "$line"
  done
}

send_file() {
  echo "$1" > "$2"
}

send_socat() {
  echo "$1" | socat -u - "TCP:127.0.0.1:$2"
}

send_nc() {
  echo "$1" | nc -N 127.0.0.1 "$2"
}

# What listens must not outlive us: it would take the next one's messages.
helpers=()
clean_up() {
  ((${#helpers[@]} == 0)) || kill "${helpers[@]}" 2> /dev/null || true
  [[ -z ${scratch:-} ]] || rm -rf "$scratch"
}
trap clean_up EXIT

# The inbox stays open: a message that is read byte by byte belongs to the handle that reads it.
echo_file() {
  local send=$1 inbox=$2 count=$3

  exec 4< <(exec 3< "$inbox" && receive <&3)
  helpers+=($!)
  send_all send_file "$count" "$send"
}

# Waits until the listener, which logs to descriptor 5, says so.
wait_listening() {
  local line

  while read -r line <&5; do
    [[ ${line,,} != *listening* ]] || return 0
  done
  die "no listener: ${line:-it has ended}"
}

# listen COMMAND...: what it gets comes from descriptor 6, its log from descriptor 5.
listen() {
  scratch=$(mktemp -d)
  mkfifo "$scratch/log"
  exec 6< <(exec "$@" 2> "$scratch/log")
  helpers+=($!)
  exec 5< "$scratch/log"
  wait_listening
}

echo_tcp() {
  local name=$1 port=$2 count=$3
  shift 3

  listen "$@"
  exec 4< <(receive <&6)
  send_all "$name" "$count" "$port"
}

# one [FILE]: what is sent in a loop.
one() {
  if (($#)); then cat "$1"; else echo 'a line'; fi
}

loop_file() {
  local send=$1 inbox=$2 count=$3 i
  shift 3

  sender() { for ((i = 0; i < count; i++)); do one "$@" > "$send"; done; }
  head -c "$((count * $(one "$@" | wc -c)))" < "$inbox" > /dev/null &
  carry $! "$@"
}

loop_socat() {
  local address=$1 listener=$2 count=$3 bytes receiver i
  shift 3

  bytes=$((count * $(one "$@" | wc -c)))
  sender() { for ((i = 0; i < count; i++)); do one "$@" | socat -u - "$address"; done; }
  listen socat -d -d -u "$listener,fork" STDOUT
  head -c "$bytes" <&6 > /dev/null &
  receiver=$!
  cat <&5 > /dev/null &
  helpers+=($!)
  carry "$receiver" "$@"
}

first_message() {
  local sivcfs=$1 dir=$2 start line

  mkdir -p "$dir/hv" "$dir/1" "$dir/2"
  echo 'allow 2' > "$dir/rules"
  start=$EPOCHREALTIME
  "$sivcfs" local "$dir/1" -o "dir=$dir/hv,domid=1,acl=$dir/rules"
  "$sivcfs" local "$dir/2" -o "dir=$dir/hv,domid=2"
  echo "$start" > "$dir/2/peers/1"
  read -r line < "$dir/1/inbox"
  since "$line"
  umount "$dir/1" "$dir/2"
}

mount_all() {
  local sivcfs=$1 dir=$2 count=$3 i

  for ((i = 0; i < count; i++)); do
    first_message "$sivcfs" "$dir/$i"
  done
}

# Of the whole machine, so far.
context_switches() {
  sed -n 's/^ctxt //p' /proc/stat
}

# carry PID [ARGUMENT...]: both sides at once, until both have ended: the function `sender`, and that process.
carry() {
  local receiver=$1 switches start
  shift

  switches=$(context_switches)
  start=$EPOCHREALTIME
  sender "$@"
  wait "$receiver"
  echo "$(since "$start") $(($(context_switches) - switches))"
}

# on CPU COMMAND...: processor 0 is the sender's.
on() {
  if (($(nproc) > 1)); then taskset -c "$@"; else "${@:2}"; fi
}

# dd_file TO FROM BYTES BLOCK [ARGUMENT_OF_THE_READER]
dd_file() {
  local to=$1 from=$2 bytes=$3 block=$4

  sender() { on 0 dd if=/dev/zero of="$to" bs="$block" count=$((bytes / block)) status=none; }
  on 1 dd if="$from" of=/dev/null bs="$block" status=none "${@:5}" &
  carry $!
}

# listen_in NETNS PORT ADDRESS: socat in the background, which gives the connection itself to what it
# starts.  Its log goes through `scratch`.
listen_in() {
  mkfifo "$scratch/log"
  on 1 ip netns exec "$1" socat -d -d "TCP-LISTEN:$2,reuseaddr" "$3,nofork" 2> "$scratch/log" &
  exec 5< "$scratch/log"
  wait_listening
}

dd_pipe() {
  local bytes=$1 block=$2

  scratch=$(mktemp -d)
  mkfifo "$scratch/pipe"
  dd_file "$scratch/pipe" "$scratch/pipe" "$bytes" "$block" iflag=fullblock
}

dd_tcp() {
  local sends=$1 receives=$2 address=$3 port=$4 bytes=$5 block=$6

  scratch=$(mktemp -d)
  listen_in "$receives" "$port" "EXEC:dd of=/dev/null bs=$block status=none"
  sender() {
    on 0 ip netns exec "$sends" bash -c "exec dd if=/dev/zero bs=$block count=$((bytes / block)) \
      status=none > /dev/tcp/$address/$port"
  }
  carry $!
}

tar_file() {
  local to=$1 from=$2 tree=$3

  scratch=$(mktemp -d)
  sender() { on 0 tar c -C "$tree" . > "$to"; }
  on 1 tar x -C "$scratch" < "$from" &
  carry $!
  diff -r "$tree" "$scratch"
}

tar_socat() {
  local sends=$1 receives=$2 address=$3 port=$4 tree=$5

  scratch=$(mktemp -d)
  mkdir "$scratch/tree"
  listen_in "$receives" "$port" "EXEC:tar x -C $scratch/tree"
  sender() {
    on 0 tar c -C "$tree" . | on 0 ip netns exec "$sends" socat -u - "TCP:$address:$port"
  }
  carry $!
  diff -r "$tree" "$scratch/tree"
}

case ${1:-} in
  echo-file)
    [[ $# == 4 ]] || usage
    echo_file "$2" "$3" "$4"
    ;;
  echo-socat)
    [[ $# == 3 ]] || usage
    echo_tcp send_socat "$2" "$3" \
      socat -d -d -u "TCP-LISTEN:$2,bind=127.0.0.1,reuseaddr,fork" STDOUT
    ;;
  echo-nc)
    [[ $# == 3 ]] || usage
    echo_tcp send_nc "$2" "$3" nc -v -l -k 127.0.0.1 "$2"
    ;;
  loop-file)
    (($# == 4 || $# == 5)) || usage
    loop_file "${@:2}"
    ;;
  loop-socat)
    (($# == 4 || $# == 5)) || usage
    loop_socat "${@:2}"
    ;;
  mount)
    [[ $# == 4 ]] || usage
    mount_all "$2" "$3" "$4"
    ;;
  dd)
    [[ $# == 5 ]] || usage
    dd_file "${@:2}"
    ;;
  dd-endless)
    [[ $# == 5 ]] || usage
    dd_file "${@:2}" count=$(($4 / $5))
    ;;
  dd-tcp)
    [[ $# == 7 ]] || usage
    dd_tcp "${@:2}"
    ;;
  dd-pipe)
    [[ $# == 3 ]] || usage
    dd_pipe "${@:2}"
    ;;
  tar)
    [[ $# == 4 ]] || usage
    tar_file "${@:2}"
    ;;
  tar-socat)
    [[ $# == 6 ]] || usage
    tar_socat "${@:2}"
    ;;
  *) usage ;;
esac
