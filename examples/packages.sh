# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# packages.sh: the Debian packages that sivcfs needs, and how to get those that are missing.
# Sourced by quickstart.sh and the tests.

# To build and mount it.
# shellcheck disable=SC2034 # used by those who source this
build_packages=(gcc libc6-dev meson ninja-build pkgconf fuse3 libfuse3-dev libseccomp-dev
  libxen-dev uthash-dev)

missing_packages() {
  local package
  for package; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2> /dev/null) == installed ]] \
      || echo "$package"
  done
}

# need_packages PACKAGE...: installs those that are not there, by apt-get, with sudo if need be.
need_packages() {
  local missing as_root=()
  if ! command -v apt-get > /dev/null; then
    echo "There is no apt-get here; these must be there under the names they have here: $*" >&2
    return 0
  fi
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  ((EUID == 0)) || as_root=(sudo)
  echo "Installing ${missing[*]}" >&2
  "${as_root[@]}" apt-get update --quiet=2 >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}" >&2
}

# need_fuse: a message that says what to do if this machine cannot mount.
need_fuse() {
  [[ -c /dev/fuse ]] || modprobe fuse 2> /dev/null || ((EUID == 0)) \
    || sudo modprobe fuse 2> /dev/null || :
  if [[ ! -c /dev/fuse ]]; then
    echo "There is no /dev/fuse, so nothing can be mounted here.  Load the kernel's module with" >&2
    echo "\`modprobe fuse\`; in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN." >&2
    return 1
  fi
  if [[ ! -r /dev/fuse || ! -w /dev/fuse ]]; then
    echo "/dev/fuse may not be opened by $(id -un); as root: chmod 666 /dev/fuse" >&2
    return 1
  fi
}
