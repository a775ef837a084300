#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# deb.sh: builds Debian packages of this source: sivcfs, libsivc0 and libsivc-dev.
#
#	examples/deb.sh [DIRECTORY]          # where the packages go; default: here
#
# Needs what the build needs (README.md), dpkg-dev and file; it need not be root.  DEBFULLNAME and DEBEMAIL say
# who has made them.
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
target=$(realpath "${1:-.}")
architecture=$(dpkg --print-architecture)
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
maintainer="${DEBFULLNAME:-$(id -un)} <${DEBEMAIL:-$(id -un)@$(hostname)}>"
work=$(mktemp -d "${TMPDIR:-/tmp}/sivc-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT

build() {
  local kind
  for kind in C CPP LD; do
    export "${kind}FLAGS=$(DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --get ${kind}FLAGS)"
  done
  CFLAGS+=" -ffile-prefix-map=$source_dir=."
  meson setup "$work/build" "$source_dir" --buildtype=plain --prefix=/usr --sysconfdir=/etc \
    --libdir="lib/$multiarch" --libexecdir=lib --wrap-mode=nodownload -Dtests=false \
    -Db_pie=true -Ddefault_library=both
  ninja -C "$work/build"
  DESTDIR=$work/all meson install -C "$work/build" --no-rebuild --quiet
}

# take PACKAGE PATH...: these files, which are patterns below /, are that package's.
take() {
  local package=$1 path file
  shift
  for path; do
    for file in "$work/all"/$path; do
      mkdir -p "$work/$package/$(dirname "${file#"$work/all/"}")"
      mv "$file" "$work/$package/${file#"$work/all/"}"
    done
  done
}

# Debian has its units in /lib, until the next release.
debian_places() {
  local directory
  mv "$work/all/usr/share/zsh/site-functions" "$work/all/usr/share/zsh/vendor-completions"
  directory=$(pkg-config --variable=systemdsystemunitdir systemd 2> /dev/null) || return 0
  [[ $directory != /usr/lib/systemd/system ]] || return 0
  mkdir -p "$work/all$directory"
  mv "$work/all/usr/lib/systemd/system/"* "$work/all$directory"
  rm -r "$work/all/usr/lib/systemd/system"
}

strip_files() {
  find "$work/all" -name '*.so.*' -type f -exec chmod 0644 {} +
  find "$work/all" -name '*.so.*' -type f -exec strip --strip-unneeded --remove-section=.comment {} +
  find "$work/all" -name '*.a' -type f -exec strip --strip-debug --enable-deterministic-archives {} +
  find "$work/all/usr/sbin" -type f -exec sh -c 'file -b "$1" | grep -q ELF && strip "$1"' - {} \;
}

# What each program of the package needs, as dpkg-shlibdeps says it.
needs() {
  mkdir -p "$work/debian"
  printf 'Source: sivcfs\n\nPackage: sivcfs\nArchitecture: any\n' > "$work/debian/control"
  printf 'libsivc 0 libsivc0 (>= %s)\n' "$version" > "$work/debian/shlibs.local"
  (cd "$work" && find "$1" -type f \( -name '*.so.*' -o -perm -100 \) -exec sh -c 'file -b "$1" | grep -q ELF' - {} \; -print0 \
    | xargs -0 dpkg-shlibdeps -O -l"$work/libsivc0/usr/lib/$multiarch" | sed 's/^shlibs:Depends=//')
}

# documents PACKAGE: the licence, and what is new.
documents() {
  local directory=$work/$1/usr/share/doc/$1
  mkdir -p "$directory"
  {
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n'
    sed -n 's/^Copyright (c)/Copyright:/p' "$source_dir/LICENSE"
    printf 'License: Expat\n'
    sed -n '/^Permission/,$ { s/^$/./; s/^/ /; p }' "$source_dir/LICENSE"
  } > "$directory/copyright"
  {
    printf 'sivcfs (%s) unstable; urgency=medium\n\n' "$version"
    printf '  * Built from source; see NEWS in the package sivcfs.\n\n -- %s  %s\n' \
      "$maintainer" "$(date -R --date="@${SOURCE_DATE_EPOCH:-$(stat -c %Y "$source_dir/doc/NEWS")}")"
  } | gzip -9n > "$directory/changelog.gz"
}

# package NAME SECTION DEPENDS SUMMARY DESCRIPTION: everything else of its control file is made up here.
package() {
  local directory=$work/$1
  documents "$1"
  find "$directory/usr/share/man" -type f -exec gzip -9n {} + 2> /dev/null || :
  if [[ $1 == sivcfs ]]; then
    ln -s mount.sivc.8.gz "$directory/usr/share/man/man8/mount.fuse.sivc.8.gz"
    ln -s sivc-serve.1.gz "$directory/usr/share/man/man1/sivc-call.1.gz"
  fi
  find "$directory" -type d -exec chmod 0755 {} +
  mkdir -p "$directory/DEBIAN"
  (cd "$directory" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) \
    > "$work/md5sums"
  mv "$work/md5sums" "$directory/DEBIAN/"
  cat > "$directory/DEBIAN/control" << END
Package: $1
Source: sivcfs
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -k -s --apparent-size "$directory" | cut -f1)
Depends: $3
Section: $2
Priority: optional
${multi_arch:+Multi-Arch: same
}Description: $4
$(fold -s -w 76 <<< "$5" | sed 's/ *$//; s/^/ /')
END
  chmod 0644 "$directory"/DEBIAN/{control,md5sums}
  dpkg-deb --root-owner-group --build "$directory" "$target" > /dev/null
  echo "$target/$1_${version}_$architecture.deb"
}

build > "$work/log" 2>&1 || { tail -n 30 "$work/log" >&2; exit 1; }
version=$(meson introspect --projectinfo "$work/build" | grep -oP '"version": "\K[^"]+')
strip_files
debian_places
take libsivc0 "usr/lib/$multiarch/libsivc.so.0*"
take libsivc-dev usr/include "usr/lib/$multiarch" 'usr/share/man/man3'
take sivcfs '*'

mkdir -p "$work"/{libsivc0,sivcfs}/DEBIAN
printf 'libsivc 0 libsivc0 (>= %s)\n' "$version" > "$work/libsivc0/DEBIAN/shlibs"
echo 'activate-noawait ldconfig' > "$work/libsivc0/DEBIAN/triggers"
cat > "$work/sivcfs/DEBIAN/postinst" << 'END'
#!/bin/sh
set -e
if [ "$1" = configure ] && command -v systemd-sysusers > /dev/null; then
  systemd-sysusers sivcfs.conf
  systemd-tmpfiles --create sivcfs.conf || :
fi
END
chmod 0755 "$work/sivcfs/DEBIAN/postinst"

about="sivcfs shows each other virtual machine of a Xen host, or each process that shares a directory, as a file: write it to send, read the inbox to receive.  A table says who may send; who may not cannot even wake the receiver."
multi_arch=1 package libsivc0 libs "$(needs libsivc0)" 'messages between virtual machines, the library' "$about  This is the library that programs without a mount use, and sivcfs itself."
multi_arch=1 package libsivc-dev libdevel "libsivc0 (= $version)" 'messages between virtual machines, for programs in C' "$about  This is what programs are compiled with."
multi_arch='' package sivcfs admin "$(needs sivcfs), fuse3" 'messages between virtual machines, as files' "$about"
