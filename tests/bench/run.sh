#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh: measures sivcfs and what people use instead, in one run on one machine, and says which of
# the project's bars are reached.
#
#   run.sh [--build DIR] [--results DIR] [--runs N] [--ms TIME] [--quick]
#
#   --build DIR     where sivcfs is built, or is to be built (build-bench in the project)
#   --results DIR   where the data, the machine's description, the table and the plots go
#                   (tests/bench/results)
#   --runs N        how often each measurement is made; medians are compared (5)
#   --ms TIME       how long a measurement takes, in milliseconds (200)
#   --quick         does everything run at all?  One short run of few sizes, whose numbers are noise
#                   and are not kept unless --results is given
#
# Needs root: for network namespaces, and to count system calls.  All of it happens in namespaces of
# its own (mounts, processes, network, message queues), so that whatever fails, nothing is left.
# One limit of the machine is raised meanwhile: fs.inotify.max_user_instances.
#
# Measurements are interleaved: each run goes over all of them, so that what disturbs the machine
# for a while disturbs all alike.  System calls are counted in a run of its own, because the count
# makes them slower.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

declare -r not_possible=77
declare -r port_socat=7001 port_nc=7002 port_stream=7003 port_loop=7004
declare -r address_a=10.83.0.1 address_b=10.83.0.2
declare -r inotify_needed=2048
declare -r ring_many=65536 ring_large=2097152 control_page=4096 spin_us=1000

# Defaults: the full run.
build=$root/build-bench
results=
runs=5
quick=0
ms=200
sizes=(64 1024 4096 32768 131072 524288)
senders=(1 10 100 1000)
endpoints=(1 10 100)
echoes=100 loops=1000
mounts=20
stream_mb=1024 tree_files=5000

usage() {
  sed -n '/^#   run.sh/,/^# Needs/s/^#   //p' "$0" >&2
  exit 2
}

die() {
  echo "run.sh: $*" >&2
  exit 1
}

need() {
  command -v "$1" > /dev/null || die "$1 is missing: apt-get install $2"
}

parse() {
  while (($#)); do
    case $1 in
      --build | --results | --runs | --ms)
        (($# >= 2)) || usage
        printf -v "${1#--}" %s "$2"
        shift
        ;;
      --quick)
        quick=1 runs=1 ms=20 sizes=(64 1024 524288) senders=(1 10) endpoints=(1 10) echoes=5 loops=20 mounts=2
        stream_mb=16 tree_files=50
        ;;
      *) usage ;;
    esac
    shift
  done
  [[ $runs =~ ^[1-9][0-9]*$ ]] || die "--runs $runs: not a number"
  [[ $ms =~ ^[1-9][0-9]*$ ]] || die "--ms $ms: not a number"
}

# --- outside: what is needed, and a world of our own ---

check_tools() {
  ((EUID == 0)) ||
    die "needs root: TCP is measured between two network namespaces, system calls are counted" \
      "by the kernel"
  need ip iproute2
  need gnuplot gnuplot-nox
  need setpriv util-linux
  need taskset util-linux
  need pgrep procps
  need socat socat
  [[ -c /dev/fuse ]] || die "/dev/fuse is missing: modprobe fuse"
}

ensure_built() {
  [[ -d $build ]] || meson setup --buildtype=debugoptimized "$build" "$root" > /dev/null
  ninja -C "$build" > /dev/null || die "the build in $build has failed: ninja -C $build"
}

# Each process of the local backend has an inotify instance, and 500 senders have one user.
raise_inotify() {
  local limit=/proc/sys/fs/inotify/max_user_instances

  inotify_before=$(< "$limit")
  if ((inotify_before < inotify_needed)); then
    echo "$inotify_needed" > "$limit"
  fi
}

clean_up() {
  echo "$inotify_before" > /proc/sys/fs/inotify/max_user_instances
  rm -rf "$scratch"
}

warn_if_busy() {
  awk '$1 > 0.5 { exit 1 }' /proc/loadavg ||
    echo "run.sh: the machine is busy (load $(cut -d ' ' -f 1 /proc/loadavg)): expect noise" >&2
}

enter_namespaces() {
  local status=0

  check_tools
  ensure_built
  warn_if_busy
  scratch=$(mktemp -d)
  raise_inotify
  trap clean_up EXIT
  if [[ -z $results ]]; then
    results=$here/results
    ((!quick)) || results=$scratch/results
  fi
  mkdir -p "$results"
  build=$(cd "$build" && pwd)
  results=$(cd "$results" && pwd)
  setpriv --pdeathsig KILL \
    unshare --mount --net --ipc --pid --fork --kill-child --mount-proc --propagation private \
    "$0" --inside "$scratch" "$build" "$results" "$@" || status=$?
  exit "$status"
}

# --- inside: the transports ---

set_up_network() {
  ip link set lo up
  mount -t tmpfs tmpfs /run # ip netns keeps its names there: ours are nobody else's
  ip netns add a
  ip netns add b
  ip link add veth-a netns a type veth peer name veth-b netns b
  ip -n a addr add "$address_a/24" dev veth-a
  ip -n b addr add "$address_b/24" dev veth-b
  ip -n a link set veth-a up
  ip -n b link set veth-b up
}

# The limits of this namespace alone; where they may not be raised, the measurement says so.
set_up_queues() {
  echo 1048576 2> /dev/null > /proc/sys/fs/mqueue/msgsize_max || true
  echo 64 2> /dev/null > /proc/sys/fs/mqueue/msg_max || true
}

pid_of() {
  pgrep -n -f -x -- "$*" || die "does not run: $*"
}

# mount_floor LABEL [COMMAND...]: the command starts it.
mount_floor() {
  local label=$1
  shift

  mkdir -p "$work/$label"
  "$@" "$build/tests/bench/floorfs" "${label%%-*}" "$work/$label"
}

# server_of MOUNTPOINT: the sivcfs that answers there.  The process that will unmount it has the same
# arguments, and another name.
server_of() {
  local pid

  for pid in $(pgrep -x sivcfs); do
    if grep -qszxF -- "$1" "/proc/$pid/cmdline"; then
      echo "$pid"
      return
    fi
  done
  die "no sivcfs serves $1"
}

# mount_pair NAME [OPTIONS [apart]]: two mounts that permit each other, in $work/NAME/1 and
# $work/NAME/2; apart: each on a processor of its own.
mount_pair() {
  local name=$1 options=${2:+,$2} i start

  mkdir -p "$work/$name/hv" "$work/$name/1" "$work/$name/2"
  for i in 1 2; do
    echo "allow $((3 - i))" > "$work/$name/rules$i"
    start=()
    [[ ${3:-} != apart ]] || start=(taskset -c "$((i - 1))")
    "${start[@]}" "$sivcfs" local "$work/$name/$i" \
      -o "dir=$work/$name/hv,domid=$i,acl=$work/$name/rules$i$options"
  done
}

has_option() {
  "$sivcfs" --help 2>&1 | grep -q -- "$1="
}

set_up_files() {
  mount_floor null
  mount_floor relay
  mount_pair file
  mount_pair large "ring=$ring_large"
  labels=(null relay file cat framed file-large-ring libsivc libsivc-nospin batched memcpy futex pipe
    seqpacket tcp veth mqueue)
  if has_option spin; then
    mount_pair spin "spin=$spin_us"
    labels+=(file-spin framed-spin)
  fi
  # What the scheduler does with four processes on two processors is another matter than what they
  # have to do: the same once more with a processor for each side and all that serves it, as virtual
  # machines have.
  if ((apart)); then
    mount_floor null-apart taskset -c 0
    mount_floor relay-apart taskset -c 0
    mount_pair apart '' apart
    labels+=(null-apart relay-apart file-apart cat-apart framed-apart libsivc-apart seqpacket-apart
      veth-apart)
    if has_option spin; then
      mount_pair spin-apart "spin=$spin_us" apart
      labels+=(file-spin-apart)
    fi
  fi
}

# Arguments of transfer for files of sivcfs in two mounts.
pair_arguments() {
  local at=$work/$1 i

  arguments+=(--send-a "$at/1/peers/2" --receive-a "$at/1/inbox"
    --send-b "$at/2/peers/1" --receive-b "$at/2/inbox")
  for i in 1 2; do
    arguments+=(--server "$(server_of "$at/$i")")
  done
}

floor_arguments() {
  local at=$work/$1 name

  arguments+=(--server "$(pid_of "$build/tests/bench/floorfs" "${1%%-*}" "$at")")
  for name in a b; do
    arguments+=("--send-$name" "$at/${2:-$name}" "--receive-$name" "$at/${2:-$name}")
  done
}

# A label is a transport and how it is set up.
set_arguments() {
  arguments=(--transport "${1%%-*}")
  case $1 in
    null | null-apart) floor_arguments "$1" null ;;
    relay | relay-apart) floor_arguments "$1" ;;
    file | cat | framed) pair_arguments file ;;
    file-apart | cat-apart | framed-apart) pair_arguments apart ;;
    file-large-ring) pair_arguments large ;;
    file-spin | framed-spin) pair_arguments spin ;;
    file-endpoints-*) pair_arguments "${1#file-}" && arguments+=(--cpu-a 0 --cpu-b 1) ;;
    file-spin-apart) pair_arguments spin-apart ;;
    libsivc | libsivc-apart | batched) arguments+=(--dir "$work/libsivc") ;;
    libsivc-nospin) arguments+=(--dir "$work/libsivc" --spin none) ;;
    veth | veth-apart) arguments+=(--netns-a a --netns-b b --address-b "$address_b") ;;
  esac
  [[ $1 != *-apart ]] || arguments+=(--cpu-a 0 --cpu-b 1)
}

# transfer RUN LABEL SIZE MODE [ARGUMENT...]
transfer() {
  local run=$1 label=$2 size=$3 mode=$4 status=0 line arguments
  shift 4

  set_arguments "$label"
  line=$("$build/tests/bench/transfer" "${arguments[@]}" --size "$size" --mode "$mode" \
    --ms "$ms" "$@") || status=$?
  if ((status == not_possible)); then
    ((run > 1)) || echo "not possible here: $label, $size bytes, $mode" >&2
  elif ((status)); then
    die "$label, $size bytes, $mode: see above"
  else
    printf '%s\t%s\t%s\n' "$run" "$label" "${line#*$'\t'}" >> "$results/transfer.tsv"
  fi
}

measure_transfers() {
  local run=$1 size mode label
  shift

  for size in "${sizes[@]}"; do
    for mode in oneway roundtrip; do
      for label in "${labels[@]}"; do
        transfer "$run" "$label" "$size" "$mode" "$@"
      done
    done
  done
}

# --- inside: many endpoints, many senders, and the shell ---

# Of which one has messages.
set_up_endpoints() {
  local count i made

  for count in "${endpoints[@]}"; do
    mount_pair "endpoints-$count" '' apart
    for i in 1 2; do
      for ((made = 1; made < count; made++)); do
        mkdir "$work/endpoints-$count/$i/endpoints/$made"
        echo "allow $((3 - i))" > "$work/endpoints-$count/$i/endpoints/$made/acl"
      done
    done
  done
}

measure_endpoints() {
  local run=$1 count mode

  for count in "${endpoints[@]}"; do
    for mode in oneway roundtrip; do
      transfer "$run" "file-endpoints-$count" 1024 "$mode"
    done
  done
}

# senders_once RUN PLACE COUNT ARGUMENT...: with a mount of its own, because memory is measured.
# PLACE: anywhere, or apart: the receiver and its reader on one processor, the senders on another.
senders_once() {
  local run=$1 place=$2 count=$3 at=$work/senders line server start=() arguments=()
  shift 3

  if [[ $place == apart ]]; then
    start=(taskset -c 0)
    arguments=(--cpu-reader 0 --cpu-senders 1)
  fi
  mkdir -p "$at/hv" "$at/mount"
  "${start[@]}" "$sivcfs" local "$at/mount" -o "dir=$at/hv,domid=1,ring=$ring_many"
  server=$(server_of "$at/mount")
  line=$("$build/tests/bench/senders" --mount "$at/mount" --dir "$at/hv" --domid 1 --ms "$ms" \
    --receiver "$server" --senders "$count" "${arguments[@]}" "$@") ||
    die "$count senders: see above"
  printf '%s\t%s\n' "$run" "$line" >> "$results/senders.tsv"
  umount "$at/mount"
  tail --pid="$server" -s 0.1 -f /dev/null # what it has to take away is nobody else's time
  rm -rf "$at"
}

# crowd_once RUN PLACE COUNT: what as many processes take, and as many rings, in memory alone.
crowd_once() {
  local line arguments=()
  [[ $2 != apart ]] || arguments=(--cpu-reader 0 --cpu-senders 1)
  line=$("$build/tests/bench/senders" --null --senders "$3" --all --ms "$ms" "${arguments[@]}")
  printf '%s\t%s\n' "$1" "$line" >> "$results/senders.tsv"
}

measure_senders() {
  local run=$1 count form place places=(anywhere)

  if ((apart)); then places+=(apart); fi
  for place in "${places[@]}"; do
    for form in '' --framed; do
      for count in "${senders[@]}"; do
        senders_once "$run" "$place" "$count" ${form:+"$form"}
      done
      senders_once "$run" "$place" "${senders[-1]}" --all ${form:+"$form"}
    done
    crowd_once "$run" "$place" 1
    crowd_once "$run" "$place" "${senders[-1]}"
  done
}

# shell RUN LABEL ARGUMENT...: of shell.sh.
shell() {
  local run=$1 label=$2 us switches
  shift 2

  "$here/shell.sh" "$@" > "$work/shell" || die "shell.sh $*: see above"
  while read -r us switches; do
    printf '%s\t%s\t%s\t%s\n' "$run" "$label" "$us" "${switches:--}"
  done < "$work/shell" >> "$results/shell.tsv"
}

# Endpoints of streams in the mounts that are apart, and a second null file system, for the reader.
set_up_streams() {
  local i

  for i in 1 2; do mkdir "$work/apart/$i/streams/bulk"; done
  echo 'allow 1' > "$work/apart/2/streams/bulk/acl"
  mount_floor null-reader taskset -c 1
  mkdir "$work/tree"
  for ((i = 0; i < tree_files; i++)); do
    ((i % 100)) || mkdir "$work/tree/$((i / 100))"
    head -c "$((i * 7 % 8192))" /dev/zero > "$work/tree/$((i / 100))/$i"
  done
}

measure_streams() {
  local run=$1 block bytes

  for block in 1024 65536 131072; do
    bytes=$((stream_mb * 1048576))
    ((block > 1024)) || bytes=$((bytes / 16))
    shell "$run" "dd-stream-$block" dd "$work/apart/1/streams/bulk/peers/2" \
      "$work/apart/2/streams/bulk/inbox" "$bytes" "$block"
    shell "$run" "dd-null-$block" dd-endless "$work/null-apart/null" "$work/null-reader/null" \
      "$bytes" "$block"
    shell "$run" "dd-pipe-$block" dd-pipe "$bytes" "$block"
    shell "$run" "dd-veth-$block" dd-tcp a b "$address_b" "$port_stream" "$bytes" "$block"
  done
  shell "$run" tar-stream tar "$work/apart/1/streams/bulk/peers/2" \
    "$work/apart/2/streams/bulk/inbox" "$work/tree"
  shell "$run" tar-socat tar-socat a b "$address_b" "$port_stream" "$work/tree"
}

measure_shell() {
  local run=$1 listen

  shell "$run" echo-file echo-file "$work/file/1/peers/2" "$work/file/2/inbox" "$echoes"
  shell "$run" echo-socat echo-socat "$port_socat" "$echoes"
  if nc -h 2>&1 | grep -q OpenBSD; then
    shell "$run" echo-nc echo-nc "$port_nc" "$echoes"
  fi
  head -c 100000 /dev/zero > "$work/text"
  shell "$run" loop-file loop-file "$work/file/1/peers/2" "$work/file/2/inbox" "$loops"
  shell "$run" cats-file loop-file "$work/file/1/peers/2" "$work/file/2/inbox" "$loops" "$work/text"
  listen=TCP-LISTEN:$port_loop,bind=127.0.0.1,reuseaddr
  shell "$run" loop-tcp loop-socat "TCP:127.0.0.1:$port_loop" "$listen" "$loops"
  shell "$run" cats-tcp loop-socat "TCP:127.0.0.1:$port_loop" "$listen" "$loops" "$work/text"
  shell "$run" loop-unix loop-socat "UNIX:$work/socket" "UNIX-LISTEN:$work/socket,unlink-early" "$loops"
  shell "$run" cats-unix loop-socat "UNIX:$work/socket" "UNIX-LISTEN:$work/socket,unlink-early" "$loops" \
    "$work/text"
  shell "$run" mount mount "$sivcfs" "$work/mount" "$mounts"
  rm -rf "$work/mount"
}

# --- inside: all of it ---

describe_machine() {
  echo "date: $(date -u +%F)"
  echo "processor: $(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo), $(nproc) cores"
  echo "memory: $(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"
  echo "virtual machine: $(grep -qw hypervisor /proc/cpuinfo && echo yes || echo no)"
  echo "load before: $(cut -d ' ' -f 1-3 /proc/loadavg)"
  echo "kernel: $(uname -sr)"
  echo "mitigations: $(cat /sys/devices/system/cpu/vulnerabilities/{meltdown,spectre_v2} |
    paste -sd '|')"
  echo "libfuse: $(pkg-config --modversion fuse3)"
  echo "compiler: $(cc --version | head -n 1)"
  echo "version: $(git -C "$root" describe --always --dirty 2> /dev/null || echo unknown)"
  echo "runs: $runs of $ms ms a measurement"
}

write_headers() {
  local programs=$build/tests/bench

  printf 'run\t%s\n' "$("$programs/transfer" --header)" > "$results/transfer.tsv"
  printf 'run\t%s\n' "$("$programs/senders" --header)" > "$results/senders.tsv"
  printf 'run\twhat\tus\tswitches\n' > "$results/shell.tsv"
}

report() {
  awk -f "$here/quantile.awk" -f "$here/report.awk" "$@"
}

draw() {
  local settings

  report -v what=medians "$results/transfer.tsv" > "$work/medians"
  report -v what=growth "$results/transfer.tsv" "$results/senders.tsv" > "$work/growth"
  settings="medians='$work/medians'; growth='$work/growth'; directory='$results'"
  if ((apart)); then settings+="; apart='-apart'"; else settings+="; apart=''"; fi
  (cd "$work" && gnuplot -e "$settings" "$here/plot.gp")
}

inside() {
  local run what

  work=$1/work sivcfs=$build/src/sivcfs apart=$(($(nproc) > 1))
  mkdir -p "$work"
  mount -t tmpfs tmpfs "$work"
  mkdir "$work/libsivc"
  [[ -d /sys/kernel/tracing/events ]] || mount -t tracefs tracefs /sys/kernel/tracing
  describe_machine > "$results/machine.txt"
  write_headers
  set_up_network
  set_up_queues
  set_up_files
  if ((apart)); then
    set_up_endpoints
    set_up_streams
  fi
  for ((run = 1; run <= runs; run++)); do
    echo "run $run of $runs" >&2
    measure_transfers "$run"
    measure_shell "$run"
    if ((apart)); then
      measure_endpoints "$run"
      measure_streams "$run"
    fi
    measure_senders "$run"
  done
  echo "counting system calls" >&2
  measure_transfers 0 --count-syscalls
  draw
  report -v what=table -v spin="$spin_us" "$results/transfer.tsv" > "$results/table.md"
  for what in shell streams; do
    report -v what="$what" -v stream_mb="$stream_mb" "$results/shell.tsv" >> "$results/table.md"
  done
  report -v what=bars -v ring="$((ring_many + control_page))" \
    "$results/transfer.tsv" "$results/senders.tsv" "$results/shell.tsv" |
    tee "$results/bars.md"
}

if [[ ${1:-} == --inside ]]; then
  scratch=$2 build=$3 results=$4
  shift 4
  saved=("$build" "$results")
  parse "$@"
  build=${saved[0]} results=${saved[1]}
  inside "$scratch"
else
  parse "$@"
  enter_namespaces "$@"
fi
