#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# mqtt.sh: an MQTT bridge: VMs without a network publish at this VM's broker, and get what is for them.
#
#	mkdir /sivc/endpoints/mqtt && echo "allow *" > /sivc/endpoints/mqtt/acl
#	examples/mqtt.sh /sivc/endpoints/mqtt -h 127.0.0.1 -p 1883    # options of mosquitto_pub and mosquitto_sub
#
# A message is a line with a topic, and behind it the payload.  A VM named lamp, where this VM is named home:
#
#	{ echo state; echo on; } | dd of=/sivc/endpoints/mqtt/peers/home bs=64K iflag=fullblock
#	dd if=/sivc/endpoints/mqtt/inbox bs=512K count=1
#
# The first is published as from/lamp/state: nobody else can publish below from/lamp, since sivcfs says who
# has sent.  The second gives what is published to/lamp/...  What finds no room there is dropped.
set -euo pipefail

(($# >= 1)) || { echo "usage: mqtt.sh ENDPOINT [OPTION...]" >&2; exit 2; }
endpoint=$1
shift

from_domains() {
  local domain length name topic
  exec 3< "$endpoint/inbox.from"
  while read -r domain length name <&3; do
    [[ $name != - ]] || name=$domain
    head -c "$length" <&3 > "$work/in"
    { read -r topic && mosquitto_pub "$@" -t "from/$name/$topic" -s; } < "$work/in" \
      || echo "mqtt.sh: a message of $name was not published" >&2
  done
}

# The payload comes in hexadecimal, so that it can be any bytes.
to_domains() {
  local topic hex
  mosquitto_sub "$@" -t 'to/+/#' -F ':%x %t' | while read -r hex topic; do
    [[ $topic =~ ^to/([A-Za-z0-9_][A-Za-z0-9._-]*)/(.+)$ && $hex =~ ^:([0-9a-f]*)$ ]] || continue
    # shellcheck disable=SC2001 # & is what sed has found
    printf '%s\n%b' "${topic#to/*/}" "$(sed 's/../\\x&/g' <<< "${hex#:}")" > "$work/out"
    dd if="$work/out" of="$endpoint/peers/$(cut -d / -f 2 <<< "$topic")" bs=1M oflag=nonblock status=none || :
  done
}

work=$(mktemp -d)
trap 'rm -rf "$work"; kill $(jobs -p)' EXIT
from_domains "$@" &
to_domains "$@"
