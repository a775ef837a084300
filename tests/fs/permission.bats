#!/usr/bin/env bats
# File modes and owners: which user of this machine may send to which domain.

load helpers

user_op() {
  as_user "$build/tests/fileop" "$@"
}

@test "a user without permission on a file cannot open it" {
  pair
  for file in acl inbox peers/2; do
    same "$(user_op 1/$file r)" "open EACCES"
  done
  same "$(user_op 1/peers/2 w write=x)" "open EACCES"
  as_user cat 1/self 1/stats > /dev/null
}

@test "chmod gives a user the right to send to one domain, and to no other" {
  pair
  start_domain 3
  permit 3 2
  chmod 0622 2/peers/1
  same "$(user_op 2/peers/1 w write=x)" "write 1"
  same "$(user_op 2/peers/1 r)" "open EACCES"
  same "$(user_op 2/peers/3 w write=x)" "open EACCES"
  chmod 0600 2/peers/1
  same "$(user_op 2/peers/1 w write=x)" "open EACCES"
}

@test "chown and chgrp are kept, and count" {
  pair
  chown "$ordinary_user" 2/peers/1
  chgrp "$(id -g "$ordinary_user")" 2/inbox
  chmod 0640 2/inbox
  same "$(stat -c '%U %G %a' 2/peers/1 2/inbox)" \
    "$ordinary_user root 600"$'\n'"root $(id -gn "$ordinary_user") 640"
  same "$(user_op 2/peers/1 w write=x)" "write 1"
  same "$(user_op 2/inbox r+nonblock read)" "read EAGAIN"
}

@test "the owner of a file may change its mode, others may not" {
  start_domain 1
  fails as_user chmod 0666 1/acl 2> error
  like "$(cat error)" "Operation not permitted"
  fails as_user chown "$ordinary_user" 1/acl 2> error
  like "$(cat error)" "Operation not permitted"
  chown "$ordinary_user" 1/acl
  as_user chmod 0640 1/acl
  same "$(stat -c %a 1/acl)" 640
}

@test "modes stay when the file is closed, and when everybody has forgotten it" {
  pair
  chmod 0666 2/peers/1 2/acl 2/peers/77
  echo 2 > /proc/sys/vm/drop_caches
  same "$(stat -c %a 2/peers/1 2/acl 2/peers/77)" $'666\n666\n666'
}

@test "modes hold also while writers wait, for each who opens the file" {
  pair ring=4096
  fill_ring 2 1
  for i in 1 2; do
    start_op "writer$i" 2/peers/1 w fill=1000
    blocked "writer$i"
  done
  same "$(user_op 2/peers/1 w write=x)" "open EACCES"
  chmod 0606 2/peers/1
  same "$(stat -c %a 2/peers/1)" 606
  same "$(user_op 2/peers/1 w+nonblock fill=1000)" "fill EAGAIN"
  op 1/inbox r+nonblock drain
  finish writer1
  finish writer2
  same "$(stat -c %a 2/peers/1)" 606
}

@test "a mode of a directory counts" {
  pair
  chmod 0666 2/peers/1
  chmod 0700 2/peers
  same "$(user_op 2/peers/1 w write=x)" "open EACCES"
  chmod 0711 2/peers
  same "$(user_op 2/peers/1 w write=x)" "write 1"
}

@test "mounted by root it is open to all users, whose rights are the files'" {
  start_domain 1
  as_user ls 1 > /dev/null
  grep -F " $PWD/1 " /proc/self/mountinfo | grep allow_other | grep default_permissions
}

@test "the options uid= and gid= say who owns the files" {
  start_domain 1 "uid=$(id -u "$ordinary_user")" "gid=$(id -g "$ordinary_user")"
  same "$(stat -c '%u %g' 1/acl 1/inbox 1 1/peers/7 | sort -u)" \
    "$(id -u "$ordinary_user") $(id -g "$ordinary_user")"
  same "$(user_op 1/inbox r+nonblock read)" "read EAGAIN"
  echo "allow 2" | as_user tee 1/acl > /dev/null
  same "$(cat 1/acl)" "allow 2"
}

@test "times can be set, and are kept or not, but it is no error" {
  start_domain 1
  limit touch 1/acl 1/peers/7
}
