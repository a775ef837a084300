#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# drop.sh: a place to drop files and directories: what other VMs send is put into a directory, if it came whole.
#
#	mkdir /sivc/streams/drop && echo "allow web" > /sivc/streams/drop/acl        # in the VM that receives
#	examples/drop.sh receive /sivc/streams/drop /srv/drop
#
#	mkdir /sivc/streams/drop                                                     # in the VM web, to db
#	examples/drop.sh send /sivc/streams/drop db report.pdf pictures              # names below this directory
#
# Each is a directory of its own, DIRECTORY/NAME-OF-VM.DATE, with the checksums of its files in SHA256SUMS,
# which were made before they were sent, and compared.  A transfer that was cut leaves nothing.
set -euo pipefail

usage() {
  echo "usage: drop.sh receive ENDPOINT DIRECTORY | send ENDPOINT PEER FILE..." >&2
  exit 2
}

# sums < NAMES: the checksum of each, in one order.
sums() {
  sed -z 's|^\(\./\)*||' | LC_ALL=C sort -z | xargs -0 -r sha256sum --
}

# Files and directories alone, each as its sender has summed it, and none besides.
right() {
  [[ -z $(find "$1" ! -type f ! -type d) ]] || return 1
  (cd "$1" && find . -type f ! -path ./SHA256SUMS -print0 | sums | cmp - SHA256SUMS)
}

receive() {
  local name domain part whole
  mkdir -p "$2"
  while exec 3< "$1/inbox.from" && read -r domain _ name <&3; do
    [[ $name != - ]] || name=$domain
    part=$(mktemp -d "$2/.part.XXXXXX")
    # Neither owners nor modes of others, and nothing outside of the directory.
    if cat <&3 | tar x --no-same-owner --no-same-permissions -C "$part" && right "$part"; then
      whole=$2/$name.$(date +%Y-%m-%dT%H:%M:%S.%N)
      mv "$part" "$whole"
      echo "$whole"
    else
      echo "drop.sh: what $name sent was cut, or is not what it was there" >&2
      rm -rf "$part"
    fi
  done
}

# What links point to is sent, and not links.  Ends when the other side has read all of it.
send() {
  local peer=$1/peers/$2 work
  shift 2
  work=$(mktemp -d)
  find -L "$@" -type f -print0 | sums > "$work/SHA256SUMS"
  tar ch "$@" -C "$work" SHA256SUMS > "$peer"
  rm -r "$work"
  sync "$peer"
}

case $#${1-} in
  3receive) receive "$2" "$3" ;;
  [0123]send) usage ;;
  *send) send "${@:2}" ;;
  *) usage ;;
esac
