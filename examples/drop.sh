#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# drop.sh: a place to drop files: what other VMs send is put into a directory, if it came whole.
#
#	mkdir /sivc/streams/drop && echo "allow web" > /sivc/streams/drop/acl
#	examples/drop.sh /sivc/streams/drop /srv/drop
#
#	tar c report.pdf pictures > /sivc/streams/drop/peers/7           # in the other VM
#
# Each is a directory of its own, DIRECTORY/NAME-OF-VM.DATE.  A transfer that was cut leaves nothing.
set -euo pipefail

(($# == 2)) || { echo "usage: drop.sh ENDPOINT DIRECTORY" >&2; exit 2; }
mkdir -p "$2"
while exec 3< "$1/inbox.from" && read -r domain _ name <&3; do
  [[ $name != - ]] || name=$domain
  part=$(mktemp -d "$2/.part.XXXXXX")
  # Neither owners nor modes of others, and nothing outside of the directory.
  if cat <&3 | tar x --no-same-owner --no-same-permissions -C "$part"; then
    whole=$2/$name.$(date +%Y-%m-%dT%H:%M:%S.%N)
    mv "$part" "$whole"
    echo "$whole"
  else
    echo "drop.sh: what $name sent was cut, or is no tar" >&2
    rm -rf "$part"
  fi
done
