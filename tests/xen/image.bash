# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# image.bash: the initramfs that every domain of the lab runs from.  To be sourced.
#
# It is a small Debian, unpacked from its packages and never installed.  That part does not change
# and is kept; behind it comes what a run adds: the kernel reads several cpio archives in a row as
# one.  image_build DIR OPTION... makes DIR/guest.img and sets image_kernel and image_xen.

image_here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
image_partial=''

# What the domains' scripts and Xen need; apt adds what these depend on.
image_packages=(
  base-passwd bash coreutils dash findutils fuse3 grep hostname iproute2 kmod libc-bin
  linux-image-amd64 mawk mount nftables procps sed socat tar util-linux xen-system-amd64
)
# What of it no domain needs: two thirds.
image_prune=(
  boot etc/grub.d usr/bin/{perl,python}\* usr/games usr/include usr/lib/{debug,modules,python3\*,udev}
  usr/lib/x86_64-linux-gnu/{gconv,perl\*,libperl.\*,libdb-\*} usr/lib/xen-\*/boot usr/share usr/src
)
image_modules=(
  bridge fuse nf_tables virtio-net virtio-pci xen-evtchn xen-gntalloc xen-gntdev xen-netback xen-netfront xen-privcmd
  xenfs
)

image_say() {
  echo "lab: $*" >&2
}

# The programs that run on this machine are installed.
image_install() { # PROGRAM:PACKAGE...
  local pair missing=()
  for pair in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  ((${#missing[@]})) || return 0
  image_say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Downloads the packages with all that they depend on, as apt would for an empty machine.  Needs
# no root, and does not touch this machine's own lists and packages.
image_download() { # DIR
  mkdir -p "$1"/{lists,archives}/partial
  local apt=(
    apt-get -qq -y -o Debug::NoLocking=1 -o APT::Sandbox::User= -o APT::Install-Recommends=false
    -o Dir::State::status=/dev/null -o Dir::State::Lists="$1/lists"
    -o Dir::Cache::archives="$1/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
  )
  "${apt[@]}" update
  "${apt[@]}" --download-only install "${image_packages[@]}" >/dev/null
}

# Debian's programs live in /usr, and their packages still name /bin and /lib: the links come first.
image_unpack() { # ARCHIVES ROOT
  local package name
  mkdir -p "$2"
  for name in bin sbin lib lib64; do
    mkdir -p "$2/usr/$name"
    ln -s "usr/$name" "$2/$name"
  done
  for package in "$1"/*.deb; do
    dpkg-deb --fsys-tarfile "$package" |
      tar -x --keep-directory-symlink --no-same-owner -C "$2" --exclude './usr/share/doc' \
        --exclude './usr/share/locale' --exclude './usr/share/man'
  done
}

image_copy_modules() { # UNPACKED ROOT KERNEL
  local module file
  depmod -b "$1" "$3"
  for module in "${image_modules[@]}"; do
    modprobe -d "$1" -S "$3" --show-depends "$module" | awk '$1 == "insmod" {print $2}'
  done | sort -u | while read -r file; do
    install -D -m 0644 "$file" "$2${file#"$1"}"
  done
  cp "$1/lib/modules/$3"/modules.{builtin,builtin.modinfo,order} "$2/lib/modules/$3/"
  depmod -b "$2" "$3"
}

image_pack() { # ROOT: a cpio archive of it
  (cd "$1" && find . -print0 | cpio --null -o -H newc --quiet -R 0:0)
}

# The part that does not change: in a directory whose name is that of this file's contents.
image_base() { # DIR: leaves vmlinuz, xen and base.img there
  local key temporary kernel path
  key=$(sha256sum <"$image_here/image.bash")
  image_cache=${XDG_CACHE_HOME:-/var/cache}/sivcfs-lab/${key:0:12}
  [[ ! -e $image_cache ]] || return 0
  image_say "unpacking Debian's Xen, kernel and tools to $image_cache, once"
  mkdir -p "${image_cache%/*}"
  temporary=$(mktemp -d "$image_cache.XXXXXX")
  image_partial=$temporary # for image_clean
  chmod 0755 "$temporary"
  image_download "$temporary"
  image_unpack "$temporary/archives" "$temporary/root"
  kernel=$(basename "$temporary"/root/boot/vmlinuz-*)
  mv "$temporary/root/boot/$kernel" "$temporary/vmlinuz"
  zcat "$temporary"/root/boot/xen-*-amd64.gz >"$temporary/xen"
  cp -al "$temporary/root" "$temporary/base"
  for path in passwd group; do
    cp "$temporary/root/usr/share/base-passwd/$path.master" "$temporary/base/etc/$path"
  done
  for path in "${image_prune[@]}"; do
    # shellcheck disable=SC2086 # these are patterns
    rm -rf "$temporary"/base/$path
  done
  ln -s mawk "$temporary/base/usr/bin/awk"
  mkdir -p "$temporary/base"/{dev,proc,sys,run,tmp,mnt,sivc}
  image_copy_modules "$temporary/root" "$temporary/base" "${kernel#vmlinuz-}"
  image_pack "$temporary/base" >"$temporary/base.img"
  (cd "$temporary/base" && find . -type f -o -type l) >"$temporary/files"
  find "$temporary" -mindepth 1 -maxdepth 1 ! -name vmlinuz ! -name xen ! -name base.img \
    ! -name files -exec rm -rf {} +
  mv -T "$temporary" "$image_cache" 2>/dev/null || [[ -e $image_cache/base.img ]] # another lab's
}

image_clean() { # what an interrupted image_base leaves
  [[ ! $image_partial ]] || rm -rf "$image_partial"
}

# A program, and the libraries that it loads unless Debian's packages have brought them.
image_add_binary() { # SOURCE ROOT
  local library
  install -D "$1" "$2/usr/bin/$(basename "$1")"
  ldd "$1" | grep -oE '/[^ ]+' | while read -r library; do
    grep -qx ".*/$(basename "$library")" "$image_cache/files" ||
      install -D "$library" "$2/usr/lib/x86_64-linux-gnu/$(basename "$library")"
  done
}

# -b BINARY and -f SRC:DST as lab has them.
image_build() { # DIR OPTION...
  local dir=$1 root=$1/guest argument
  shift
  image_base
  image_remote=$dir/remote
  gcc -std=gnu11 -D_GNU_SOURCE -O2 -o "$image_remote" "$image_here/remote.c"
  mkdir -p "$root/lab"
  cp "$image_here"/image/* "$root/lab/"
  cp "$image_here/guests.bash" "$root/lab/"
  ln -s lab/init "$root/init"
  for argument in "-b$image_remote" "$@"; do
    case $argument in
      -b*) image_add_binary "${argument#-b}" "$root" ;;
      -f*)
        argument=${argument#-f}
        mkdir -p "$root$(dirname "${argument#*:}")"
        cp -RL "${argument%%:*}" "$root${argument#*:}"
        ;;
    esac
  done
  { cat "$image_cache/base.img"; image_pack "$root"; } >"$dir/guest.img"
  # shellcheck disable=SC2034 # for who sources this
  image_kernel=$image_cache/vmlinuz image_xen=$image_cache/xen
}
