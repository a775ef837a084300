#!/bin/sh
# SPDX-License-Identifier: MIT
#
# sign.sh: a VM that signs for others, and never gives the key away.  A service for sivc-serve(1).
#
#	openssl genpkey -algorithm ed25519 -out /etc/sivc/key.pem      # in the VM that keeps the key
#	sivc-serve /sivc/streams/sign -- examples/sign.sh /etc/sivc/key.pem
#
#	sivc-call /sivc/streams/sign keys < letter > letter.sig        # in a VM that may have things signed
#	openssl pkeyutl -verify -pubin -inkey key.pub -rawin -in letter -sigfile letter.sig
set -eu
letter=$(mktemp)
trap 'rm -f "$letter"' EXIT
cat > "$letter" # what is cut is not signed: cat fails
openssl pkeyutl -sign -inkey "$1" -rawin -in "$letter"
echo "signed $(wc -c < "$letter") bytes for ${SIVC_NAME:-$SIVC_DOMID}" >&2
