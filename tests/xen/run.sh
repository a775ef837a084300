#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh: sivcfs between virtual machines on a real Xen hypervisor, in TAP.
#
#   run.sh [--here] [--all] [--full] [-o DIR] [PART...]
#
# The parts, in this order; without a name all of them but pvh, which takes three minutes:
#   fs        the tests of ../fs: each domain that they start is a guest (far.c)
#   messages  between guests, and between a guest and dom0
#   hostile   programs that ignore the page's "no"
#   flood     what a refused guest costs the receiver, beside TCP and UDP
#   transfer  1 KB messages and bulk, beside libvchan and TCP
#   limits    more senders than there are grants
#   endings   domains that are destroyed
#   restart   domains that are rebooted, or saved and restored
#   pvh       messages and hostile again, with PVH guests
#   kernels   no domain's kernel has complained
#
#   --here   this machine is a dom0 of Xen: its hypervisor, not an emulated one
#   --all    of ../fs all that a guest can do, not a choice of it
#   --full   measure as long as the original did
#   -o DIR   keep the tables and plots of the measurements, and the consoles' logs, in DIR
#
# SIVC_BUILD names a build of the project; without it, it is built.
set -euo pipefail

xen=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
repo=${xen%/tests/xen}
# shellcheck source=examples/packages.sh
. "$repo/examples/packages.sh"

parts=(fs messages hostile flood transfer limits endings restart kernels)
guests=3 lab_options=() all=0 keep=''
chosen=()
export FLOOD_SECONDS=4 TRANSFER_MESSAGES=4000
while (($#)); do
  case $1 in
    --here) lab_options+=(-x) ;;
    --all) all=1 ;;
    --full) FLOOD_SECONDS=20 TRANSFER_MESSAGES=20000 ;;
    -o) keep=$(realpath -m "${2:?-o: a directory is missing}"); shift ;;
    *)
      [[ " ${parts[*]} pvh " == *" $1 "* ]] || { sed -n '3,/^set/p' "$0" | grep '^#' >&2; exit 2; }
      chosen+=("$1")
      ;;
  esac
  shift
done
((!${#chosen[@]})) || parts=("${chosen[@]}")

# --- In the lab -----------------------------------------------------------------------------------

# Of ../fs, what says most about two domains; the rest is about files and is the same there and here.
choice='not permitted|allow N permits|comes later|deny takes|larger than the ring|keep their order'
choice+='|takes turns|own domain|EPIPE|never delivered|every order|kill -9|poll says|max_msg bytes'

bats_files() { # OPTION... FILE...
  bats --tap "$@" </dev/null
}

run_fs() {
  local files=(acl endpoints framed ioctl kill poll receive restart send) options=()
  # The names of domains are the registry's here, and promise.bats counts the work of a process that
  # is in a guest: flood.bats does that.
  ((all)) && files+=(permission tools) || options=(--filter "$choice")
  mkdir -p "$lab_work/far/src"
  ln -s "$SIVC_BUILD/tests/xen/far" "$lab_work/far/src/sivcfs"
  ln -s "$SIVC_BUILD/tests" "$lab_work/far/tests"
  files=("${files[@]/#/$repo/tests/fs/}")
  SIVC_BUILD=$lab_work/far bats_files "${options[@]}" "${files[@]/%/.bats}"
}

# Linux cannot suspend a guest in which a process waits for the answer to a FUSE request: seen with
# 6.1, "1 tasks refusing to freeze".  The test that needs it is not run.
run_restart() {
  bats_files --filter 'rebooted|without sivcfs' "$xen/restart.bats"
}

run_pvh() {
  # shellcheck disable=SC2016 # for dom0's shell
  "$xen/on" 0 'for i in 1 2 3; do xl destroy sivc-u$i; domain_create $i pvh; done
    for i in 1 2 3; do domain_wait $i; done' || return
  GUEST_TYPE=pvh bats_files "$xen/messages.bats" "$xen/hostile.bats"
}

run_part() {
  local start=$SECONDS status=0
  case $1 in
    fs | restart | pvh) "run_$1" || status=$? ;;
    *) bats_files "$xen/$1.bats" || status=$? ;;
  esac
  echo "# $1 took $((SECONDS - start)) s"
  return "$status"
}

if [[ ${lab_parts:-} ]]; then # lab has started us
  status=0
  for part in $lab_parts; do run_part "$part" || status=1; done
  exit "$status"
fi

# --- Around the lab -------------------------------------------------------------------------------

need_packages "${build_packages[@]}" bats util-linux
work=$(mktemp -d "${TMPDIR:-/tmp}/sivcfs-xen.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [[ ! ${SIVC_BUILD:-} ]]; then
  export SIVC_BUILD=$work/build
  if ! { meson setup "$SIVC_BUILD" "$repo" --werror && ninja -C "$SIVC_BUILD"; } >"$work/build.log"; then
    cat "$work/build.log"
    exit 1
  fi
fi
programs=("$SIVC_BUILD"/src/sivcfs "$SIVC_BUILD"/tests/xen/{hostile,pingpong,flood}
  "$SIVC_BUILD"/tests/{await,fileop})
export lab_work=$work lab_results=${keep:-$work/results} lab_parts="${parts[*]}" all
mkdir -p "$lab_results"
[[ ! $keep ]] || lab_options+=(-o "$keep/consoles")
status=0
"$xen/lab" -n "$guests" -t 1700 "${lab_options[@]}" "${programs[@]/#/-b}" \
  "-f$SIVC_BUILD/tests/xen/far_fuse.so:/usr/lib/x86_64-linux-gnu/far_fuse.so" \
  bash "$xen/run.sh" || status=$?
"$xen/report.sh" "$lab_results" | sed 's/^/# /'
exit "$status"
