#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run-allowed.sh: commands that another VM may run here, and no others.  A service for sivc-serve(1).
#
#	sivc-serve /sivc/streams/run -- examples/run-allowed.sh
#	echo uptime | sivc-call /sivc/streams/run web
#
# The other VM chooses one of these words; nothing that it sends gets to a shell.
set -eu
read -r word
case $word in
  uptime) exec uptime ;;
  disk) exec df -h ;;
  who) exec who ;;
  *)
    echo "run-allowed.sh: ${SIVC_NAME:-$SIVC_DOMID} asked for something that is not allowed" >&2
    exit 1
    ;;
esac
