#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# collect-logs.sh: one file a VM, out of the messages that VMs send.
#
#	mkdir /sivc/endpoints/logs && echo "allow *" > /sivc/endpoints/logs/acl
#	examples/collect-logs.sh /sivc/endpoints/logs /var/log/vms
#
# A VM sends what it likes, by `logger -s`, by a pipe, or by rsyslog:
#
#	action(type="omfile" file="/sivc/endpoints/logs/peers/0")
#
# The file is named by the domain's name, or by its number if it has none.  Nobody else can write to it, since
# sivcfs says who has sent, and not the message.
set -euo pipefail

(($# == 2)) || { echo "usage: collect-logs.sh ENDPOINT DIRECTORY" >&2; exit 2; }
mkdir -p "$2"
exec < "$1/inbox.from"
while read -r domain length name; do
  [[ $name != - ]] || name=$domain
  head -c "$length" >> "$2/$name.log"
done
