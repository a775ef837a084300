#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh: fuzzing of everything that a peer or a user controls, in TAP.
#
#   fuzz/run.sh [TARGET...]    all targets, or those that are named: sender, receiver, ...
#
# First each target replays its corpus (corpus/TARGET), then it looks for something new, for
# FUZZ_SECONDS (60; 0: only the replay), as many targets at a time as there are processors.  An input
# that does harm is kept as corpus/TARGET/found-...; all else that is new is thrown away, unless
# FUZZ_KEEP=1 says to add what reaches new code, as little of it as does.
#
# FUZZ_ENGINE=afl: by AFL++, which mutates in other ways, instead of libFuzzer; without the replay.
set -euo pipefail

fuzz=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
repo=${fuzz%/tests/fuzz}
core=$repo/src/core
seconds=${FUZZ_SECONDS:-60}
engine=${FUZZ_ENGINE:-libfuzzer}

# shellcheck source=examples/packages.sh
. "$repo/examples/packages.sh"

need_packages clang libclang-rt-dev libc6-dev pkgconf libfuse3-dev uthash-dev
compiler=(clang)
if [[ $engine == afl ]]; then
  need_packages afl++
  compiler=(env AFL_QUIET=1 afl-clang-fast)
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

read -ra fuse <<< "$(pkg-config --cflags fuse3)"
flags=(-g -O1 -std=gnu11 -Werror=implicit -D_GNU_SOURCE -DSIVC_HAVE_XEN=0 '-fsanitize=fuzzer,address,undefined'
  -fno-sanitize-recover=all -I "$repo/include" -I "$repo/src/common" -I "$core" -I "$repo/src/hv" -I "$repo/src/fs"
  -I "$repo/tests/lib")
# A target that includes one .c file calls little of what that file calls.
part=(-ffunction-sections -no-pie '-Wl,--gc-sections,-z,lazy'
  '-Wl,--unresolved-symbols=ignore-all')
hook=(-include "$repo/tests/lib/shared_hook.h")

# All of libsivc but its backends.
build_core() {
  [[ ! -d $dir/core ]] || return 0
  mkdir "$dir/core"
  (cd "$dir/core" && "${compiler[@]}" "${flags[@]}" "${hook[@]}" -c "$core"/*.c "$repo"/src/hv/{hv,fork}.c "$repo/src/common/number.c")
}

build() { # target
  local out=(-o "$dir/$1") seen=()
  case $1 in
    stream_sender) seen=('-Wl,--wrap=ring_rx_frame,--wrap=inbound_taken') ;;
    stream_receiver) seen=('-Wl,--wrap=ring_tx_put') ;;
  esac
  case $1 in
    sender | receiver | stream_sender | stream_receiver)
      build_core
      "${compiler[@]}" "${flags[@]}" "${hook[@]}" "$fuzz/fuzz_$1.c" "$dir"/core/*.o "${seen[@]}" "${out[@]}"
      ;;
    acl) "${compiler[@]}" "${flags[@]}" "${part[@]}" "$fuzz/fuzz_acl.c" "$core/acl.c" "$repo/src/hv/hv.c" "$repo/src/common/number.c" "${out[@]}" ;;
    node) "${compiler[@]}" "${flags[@]}" "${part[@]}" "$fuzz/fuzz_node.c" "${out[@]}" ;;
    ioctl) "${compiler[@]}" "${flags[@]}" "${fuse[@]}" "${part[@]}" "$fuzz/fuzz_ioctl.c" "${out[@]}" ;;
    frames) "${compiler[@]}" "${flags[@]}" "${fuse[@]}" "${part[@]}" "$fuzz/fuzz_frames.c" "${out[@]}" ;;
    options)
      "${compiler[@]}" "${flags[@]}" "${fuse[@]}" "$fuzz/fuzz_options.c" "$repo"/src/common/{daemon,log,number}.c -lfuse3 "${out[@]}"
      ;;
    *)
      echo "no such target: $1" >&2
      return 1
      ;;
  esac
}

# Keeps the input that did harm.
keep() { # target
  local found name
  for found in "$dir/$1".found/*; do
    [[ -e $found ]] || continue
    name=found-$(sha256sum "$found" | cut -c1-16)
    cp "$found" "$fuzz/corpus/$1/$name"
    echo "# it is kept as tests/fuzz/corpus/$1/$name"
  done
}

report() { # target
  local status=$?
  [[ $status -eq 0 ]] && return
  grep -E '^SUMMARY|ERROR: |^    #[0-9]+ .*/src/' "$dir/$1.log" | head -12 | sed 's/^ */# /'
  keep "$1"
  return "$status"
}

run() { # target, options of libFuzzer and corpora
  local target=$1
  shift
  mkdir -p "$dir/$target.found"
  "$dir/$target" -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$dir/$target.found/" "$@" \
    > "$dir/$target.log" 2>&1 || report "$target"
}

replay() { # target
  local inputs=("$fuzz/corpus/$1"/*)
  run "$1" "${inputs[@]}" || return 1
  echo "# ${#inputs[@]} inputs"
}

look_afl() { # target
  local harm
  AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 \
    ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0 \
    afl-fuzz -i "$fuzz/corpus/$1" -o "$dir/$1.afl" -m none -t 20000 -V "$seconds" -- "$dir/$1" \
    > "$dir/$1.log" 2>&1 || { tail -n 20 "$dir/$1.log"; return 1; }
  grep -E '^(execs_done|edges_found|corpus_found|saved_)' "$dir/$1.afl/default/fuzzer_stats" | sed 's/^/# /'
  mkdir -p "$dir/$1.found"
  for harm in "$dir/$1.afl"/default/{crashes,hangs}/id:*; do
    [[ ! -e $harm ]] || cp "$harm" "$dir/$1.found/"
  done
  keep "$1"
  [[ -z $(ls "$dir/$1.found") ]]
}

look() { # target
  if [[ $engine == afl ]]; then
    look_afl "$1"
    return
  fi
  mkdir -p "$dir/$1.new"
  run "$1" -max_total_time="$seconds" "$dir/$1.new" "$fuzz/corpus/$1" || return 1
  grep -E '^(Done|stat::)' "$dir/$1.log" | sed 's/^/# /'
  [[ ${FUZZ_KEEP:-0} == 1 ]] || return 0
  "$dir/$1" -merge=1 "$fuzz/corpus/$1" "$dir/$1.new" > "$dir/$1.log" 2>&1
}

count=0

check() { # sentence, command...
  local sentence=$1 n=$((++count)) out status=0
  shift
  while [[ $(jobs -rp | wc -l) -ge $(nproc) ]]; do
    wait -n || true
  done
  (
    out=$("$@" 2>&1) || status=$?
    [[ $status -eq 0 ]] || printf 'not '
    printf 'ok %d - %s\n' "$n" "$sentence"
    [[ -z $out ]] || printf '%s\n' "$out"
  ) > "$dir/result.$(printf '%03d' "$n")" &
}

targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(sender receiver stream_sender stream_receiver acl node frames ioctl options)
for target in "${targets[@]}"; do
  build "$target"
done
for target in "${targets[@]}"; do
  [[ $engine == libfuzzer ]] || break
  check "fuzz: $target: what was found before does no harm any more" replay "$target"
done
if [[ $seconds -gt 0 ]]; then
  for target in "${targets[@]}"; do
    check "fuzz: $target: nothing new is found in $seconds seconds" look "$target"
  done
fi
wait
cat "$dir"/result.*
echo "1..$count"
! grep -q '^not ok' "$dir"/result.*
