#!/usr/bin/env bats
# What is given to others: the tarball, Debian packages, the library's binary interface.

load ../fs/helpers

BATS_TEST_TIMEOUT=600
library=$build/src/libsivc.so.0


@test "the library's binary interface is the one that programs were compiled for, or more" {
  # A version that is released takes its interface along:
  #	abidw --exported-interfaces-only --drop-private-types --headers-dir include/sivc \
  #	  --no-corpus-path --no-comp-dir-path --no-show-locs build/src/libsivc.so.0 > tests/daily/libsivc.abi
  limit abidiff --no-added-syms --drop-private-types --headers-dir2 "$repo/include/sivc" \
    "$repo/tests/daily/libsivc.abi" "$library"
}

@test "every function of sivc.h is in libsivc.map, every name of the map is in the library, and has a version" {
  local name
  grep -oE 'sivc_[a-z_]+\(' "$repo/include/sivc/sivc.h" | tr -d '(' | grep -v '_fn$' | sort -u > declared
  (($(wc -l < declared) >= 40))
  nm -D --defined-only "$library" | grep -oP ' T \K\S+' | sort > exported
  while read -r name; do
    grep -qxE "$name@@SIVC_[0-9.]+" exported || { echo "$name is not exported"; return 1; }
  done < declared
  while read -r name; do
    grep -qxF "${name%@@*}" declared || { echo "$name is not in sivc.h"; return 1; }
  done < exported
  while read -r name; do
    grep -qF "$name@@" exported || { echo "$name of the map does not exist"; return 1; }
  done < <(grep -oP '^\t\Ksivc_[a-z_]+(?=;)' "$repo/src/libsivc.map")
}

# deb.sh, from the tarball that meson dist makes.
@test "meson dist makes a tarball of every file, which builds and passes; packages built from it are clean to lintian" {
  [[ -e $repo/.git ]] || skip "this is no clone, so there is nothing to make a tarball of"
  local package
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$repo
  # It unpacks what it makes, builds that, runs its unit tests and installs it.
  meson setup dist "$repo" > log/meson
  timeout 400 meson dist -C dist --allow-dirty --formats gztar >> log/meson 2>&1
  mkdir source debs
  tar xf dist/meson-dist/sivcfs-*.tar.gz --strip-components=1 -C source
  same "$(cd source && find . -type f | sort | sed 's|^\./||')" "$(git -C "$repo" ls-tree -r --name-only HEAD | sort)"

  DEBFULLNAME="The sivcfs authors" DEBEMAIL=sivcfs@debian.org timeout 300 source/examples/deb.sh debs
  run timeout 200 lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs debs/*.deb
  echo "$output"
  same "$status" 0

  for package in debs/*.deb; do
    dpkg-deb -x "$package" root
  done
  local multiarch lib
  multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
  lib=root/usr/lib/$multiarch
  same "$(LD_LIBRARY_PATH=$lib root/usr/sbin/sivcfs -V | cut -d, -f1)" "sivcfs $(grep -oP "version: '\K[0-9.]+" "$repo/meson.build" | head -n 1)"
  # What people look for is there.
  test -f root/lib/systemd/system/sivcfs@.service -o -f root/usr/lib/systemd/system/sivcfs@.service
  [[ -f root/usr/share/doc/sivcfs/examples/top.sh && -f root/usr/lib/sysusers.d/sivcfs.conf ]]
  # A program is compiled with it, and with the archive.
  export PKG_CONFIG_SYSROOT_DIR=$PWD/root PKG_CONFIG_LIBDIR=$lib/pkgconfig:/usr/lib/$multiarch/pkgconfig
  # shellcheck disable=SC2046 # words
  gcc -o answer "$repo/examples/answer.c" $(pkg-config --cflags --libs libsivc)
  # shellcheck disable=SC2046 # words
  gcc -o answer-static "$repo/examples/answer.c" $(pkg-config --static --cflags --libs libsivc | sed "s|-lsivc|$lib/libsivc.a|")
  ldd answer-static > libraries
  fails grep libsivc libraries
}

@test "NEWS and the program say the same version" {
  same "$(grep -oP '^\K[0-9]+\.[0-9]+\.[0-9]+' "$repo/doc/NEWS" | head -n 1)" \
    "$("$sivcfs" -V | grep -oP '^sivcfs \K[0-9.]+')"
}
