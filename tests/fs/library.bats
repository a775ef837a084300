#!/usr/bin/env bats
# libsivc: a program is an endpoint without a mount, and is on a par with a mount.

load helpers

@test "the library shows nothing but sivc_*" {
  run bash -c "nm -D --defined-only '$build/src/libsivc.so' | awk '{ print \$3 }' | grep -v '^sivc_\|^SIVC_'"
  same "$output" ""
}

@test "the public headers stand by themselves, in C and in C++" {
  for header in sivc ioctl wire; do
    echo "#include <sivc/$header.h>" > "$header.c"
    cp "$header.c" "$header.cc"
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror -I "$repo/include" -fsyntax-only "$header.c"
    if command -v c++ > /dev/null; then
      c++ -std=c++17 -Wall -Wextra -Werror -I "$repo/include" -fsyntax-only "$header.cc"
    fi
  done
}

@test "the example builds with what pkg-config says of the installed library, and answers a mount" {
  DESTDIR=$PWD/installed meson install -C "$build" --no-rebuild --quiet
  local pkgconfig library flags sanitizer=()
  pkgconfig=$(dirname "$(find "$PWD/installed" -name libsivc.pc)")
  library=$(dirname "$(find "$PWD/installed" -name libsivc.so)")
  read -ra flags < <(PKG_CONFIG_PATH=$pkgconfig PKG_CONFIG_SYSROOT_DIR=$PWD/installed \
    pkg-config --cflags --libs libsivc)
  ((!sanitized)) || sanitizer=('-fsanitize=address,undefined')
  cc -Wall -Werror "${sanitizer[@]}" "$repo/examples/answer.c" "${flags[@]}" -o answer
  # It takes the local backend's own directory, which is one in XDG_RUNTIME_DIR for a user.
  mkdir user user/2
  chown -R "$ordinary_user" user
  export XDG_RUNTIME_DIR=$PWD/user LD_LIBRARY_PATH=$library
  as_user "$sivcfs" local user/2 -o domid=2 3>&-
  as_user bash -c 'echo "allow 1" > user/2/acl'
  start answer setpriv --reuid="$ordinary_user" --clear-groups ./answer local 1 2
  eventually sends hello
  same "$(as_user "$build/tests/fileop" user/2/inbox r read)" "read 5 HELLO"
  # It ends as programs do.
  kill -TERM "${job_pid[answer]}"
  finish answer
  as_user fusermount3 -u user/2
}

sends() {
  [[ $(as_user "$build/tests/fileop" user/2/peers/1 w "write=$1") == "write ${#1}" ]]
}
