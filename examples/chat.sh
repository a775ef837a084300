#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# chat.sh: what is typed here appears there, and the reverse; each line is a message.
#
#	mkdir /sivc/endpoints/chat && echo "allow web" > /sivc/endpoints/chat/acl       # on both sides
#	examples/chat.sh /sivc/endpoints/chat web
set -euo pipefail

(($# == 2)) || { echo "usage: chat.sh ENDPOINT PEER" >&2; exit 2; }
endpoint=$1 peer=$2

# Bytes of others that a terminal would obey are left out.
stdbuf -o0 tr -d '\000-\010\013-\037\177' < "$endpoint/peers/$peer" &
trap 'kill %1 2> /dev/null || :' EXIT
while read -r line; do
  echo "$line" > "$endpoint/peers/$peer" || echo "chat.sh: $peer did not get that" >&2
done
