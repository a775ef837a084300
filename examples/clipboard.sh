#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# clipboard.sh: a clipboard between VMs, for text and images.
#
#	mkdir /sivc/streams/clipboard && echo "allow laptop" > /sivc/streams/clipboard/acl   # on both sides
#	examples/clipboard.sh receive /sivc/streams/clipboard            # sets this VM's clipboard, for ever
#	examples/clipboard.sh send /sivc/streams/clipboard laptop        # sends this VM's, on a key say
#
# It uses wl-copy (Wayland) or xclip (X11).  Something that came in part is not taken.
set -euo pipefail

usage() {
  echo "usage: clipboard.sh receive ENDPOINT | send ENDPOINT PEER" >&2
  exit 2
}

if [[ -n ${WAYLAND_DISPLAY-} ]]; then
  types=(wl-paste --list-types) paste=(wl-paste --no-newline --type) copy=(wl-copy --type)
else
  types=(xclip -selection clipboard -o -t TARGETS) paste=(xclip -selection clipboard -o -t)
  copy=(xclip -selection clipboard -i -t)
fi

receive() {
  local type
  while :; do
    exec 3< "$1/inbox"
    read -r type <&3 || continue
    # What another VM says is only believed if it is one of these.
    [[ $type == text/plain || $type == image/png ]] || continue
    ! cat <&3 > "$content" || "${copy[@]}" "$type" < "$content"
  done
}

send() {
  local type=text/plain
  ! "${types[@]}" | grep -qx image/png || type=image/png
  "${paste[@]}" "$type" > "$content"
  { echo "$type" && cat "$content"; } > "$1/peers/$2"
}

content=$(mktemp)
trap 'rm -f "$content"' EXIT
case $#${1-} in
  2receive) receive "$2" ;;
  3send) send "$2" "$3" ;;
  *) usage ;;
esac
