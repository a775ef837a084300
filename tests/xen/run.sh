#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh: sivcfs between virtual machines on a real Xen hypervisor, in TAP.
#
#   run.sh [--here] [--pvh] [--all] [--full] [-o DIR] [PART...]
#
# The parts, in this order; without a name all of them but `seam`, `names` and `freeze`:
#   hostile   programs that ignore the page's "no"
#   fs        the tests of ../fs: each domain that they start is a guest (far.c)
#   seam      src/hv/hv.h, without what is above it
#   messages  between guests, and between a guest and dom0
#   flood     what a refused guest costs the receiver, beside TCP and UDP
#   transfer  1 KB messages and bulk, beside libvchan and TCP
#   streams   between the same; what cuts them; what they cost; dd into one, beside TCP
#   limits    more senders than there are grants
#   restart   domains that are rebooted, or saved and restored
#   names     sivc-registry: names across guests, rules that follow them
#   freeze    a process in a request of FUSE keeps Linux from being saved, with sivcfs or without
#   endings   domains that are destroyed
#   kernels   no domain's kernel has complained
#   xenstored  dom0's xenstored is stopped, and killed
#
# Guests 1 and 2 are PV, guest 3 is PVH.  `flood` and `transfer` do without the third, and it is not
# started for them alone.
#
#   --here   this machine is a dom0 of Xen: its hypervisor, not an emulated one
#   --pvh    all guests are PVH
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

# What a guest could map in an earlier part, Linux takes back at ten pages a second (drivers/xen/grant-table.c,
# free_per_iteration): `hostile`, which tries to map all, comes first.
all_parts=(hostile fs seam messages flood transfer streams limits restart names freeze endings kernels xenstored)
guests=2 lab_options=() all=0 keep='' types=pv:pv:pvh
chosen=()
# What the part beside the lab was told, the one in it is told by the environment.
export FLOOD_SECONDS=${FLOOD_SECONDS:-4} TRANSFER_MESSAGES=${TRANSFER_MESSAGES:-4000}
export TRANSFER_ROUNDS=${TRANSFER_ROUNDS:-1}
export BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-300}
while (($#)); do
  case $1 in
    --here) lab_options+=(-x) ;;
    --pvh) types=pvh ;;
    --all) all=1 ;;
    --full) FLOOD_SECONDS=20 TRANSFER_MESSAGES=20000 TRANSFER_ROUNDS=5 BATS_TEST_TIMEOUT=900 ;;
    -o) keep=$(realpath -m "${2:?-o: a directory is missing}"); shift ;;
    *)
      [[ " ${all_parts[*]} " == *" $1 "* ]] || { sed -n '3,/^set/p' "$0" | grep '^#' >&2; exit 2; }
      chosen+=("$1")
      ;;
  esac
  shift
done
((${#chosen[@]})) || chosen=(fs messages hostile flood transfer streams limits restart endings kernels xenstored)
parts=()
for part in "${all_parts[@]}"; do
  [[ " ${chosen[*]} " != *" $part "* ]] || parts+=("$part")
done
for part in "${parts[@]}"; do
  [[ $part == flood || $part == transfer ]] || guests=3
done

# --- In the lab -----------------------------------------------------------------------------------

# Of ../fs, what says most about two domains: a test of each kind.
choice='not permitted gets EACCES|deny takes a permission back|go through it whole|inbox takes turns'
choice+='|rmdir closes an endpoint|a reader that waits ends|the sender sent a part|framed handle carries'

bats_files() { # OPTION... FILE...
  bats --tap --timing "$@" </dev/null
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

run_part() {
  local start=$SECONDS status=0
  case $1 in
    fs) run_fs || status=$? ;;
    *) bats_files "$xen/$1.bats" || status=$? ;;
  esac
  echo "# $1 took $((SECONDS - start)) s"
  return "$status"
}

if [[ ${lab_parts:-} ]]; then # lab has started us
  echo "# the lab was up after $(($(date +%s) - lab_since)) s"
  status=0
  for part in $lab_parts; do run_part "$part" || status=1; done
  exit "$status"
fi

# --- Around the lab -------------------------------------------------------------------------------

packages=("${build_packages[@]}" bats util-linux)
[[ ! $keep ]] || packages+=(gnuplot-nox)
need_packages "${packages[@]}"
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
programs=("$SIVC_BUILD"/src/{sivcfs,sivc-registry} "$SIVC_BUILD"/tests/xen/{hostile,pingpong,flood,hv_check,stream}
  "$SIVC_BUILD"/tests/{await,fileop,bench/floorfs})
export lab_work=$work lab_results=${keep:-$work/results} lab_parts="${parts[*]}" lab_types=$types all
lab_since=$(date +%s)
export lab_since
mkdir -p "$lab_results"
[[ ! $keep ]] || lab_options+=(-o "$keep/consoles")
status=0
"$xen/lab" -n "$guests" -g "$types" -t 1700 "${lab_options[@]}" "${programs[@]/#/-b}" \
  "-f$SIVC_BUILD/tests/xen/far_fuse.so:/usr/lib/x86_64-linux-gnu/far_fuse.so" \
  bash "$xen/run.sh" || status=$?
"$xen/report.sh" "$lab_results" | tee "$lab_results/report.md" | sed 's/^/# /'
exit "$status"
