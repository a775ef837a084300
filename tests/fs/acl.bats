#!/usr/bin/env bats
# The file acl: who may send to this endpoint.

load helpers

# may_send FROM TO / may_not_send FROM TO: tried with one message, which is received again.
may_send() {
  same "$(op "$1/peers/$2" w write=x)" "write 1"
  same "$(op "$2/peers/$1" r+nonblock read)" "read 1 x"
}

may_not_send() {
  same "$(op "$1/peers/$2" w write=x)" "write EACCES"
  same "$(op "$2/peers/$1" r+nonblock read)" "read EAGAIN"
}

# rejects ERRNO TEXT: writing TEXT to 1/acl fails so, replacing and adding, and changes nothing.
rejects() {
  local before
  before=$(cat 1/acl)
  same "$(op 1/acl w+trunc "write=$2")" "write $1"
  same "$(cat 1/acl)" "$before"
  same "$(op 1/acl w+append "write=$2")" "write $1"
  same "$(cat 1/acl)" "$before"
}

@test "at first nobody is permitted" {
  start_domain 1
  start_domain 2
  may_not_send 2 1
  may_not_send 1 2
}

@test "allow N permits N and nobody else" {
  start_domain 1
  start_domain 2
  start_domain 3
  echo "allow 2" > 1/acl
  may_send 2 1
  may_not_send 3 1
  may_not_send 1 2
}

@test "a domain that comes later finds the permission that waits for it" {
  start_domain 1
  echo "allow 2" > 1/acl
  start_domain 2
  may_send 2 1
}

@test ">> adds to the table, > replaces it" {
  start_domain 1
  start_domain 2
  start_domain 3
  echo "allow 2" >> 1/acl
  echo "allow 3" >> 1/acl
  may_send 2 1
  may_send 3 1
  echo "allow 3" > 1/acl
  may_not_send 2 1
  may_send 3 1
}

@test "several writes to one handle replace the table once and then add to it" {
  start_domain 1
  start_domain 2
  start_domain 3
  start_domain 4
  echo "allow 4" > 1/acl
  {
    echo "allow 2"
    echo "allow 3"
  } > 1/acl
  may_send 2 1
  may_send 3 1
  may_not_send 4 1
}

@test "a later rule for the same domain replaces the earlier one" {
  start_domain 1
  start_domain 2
  printf 'allow 2\ndeny 2\n' > 1/acl
  may_not_send 2 1
  printf 'deny 2\nallow 2\n' > 1/acl
  may_send 2 1
}

@test "allow * permits everybody who has no rule, whoever is here and whoever comes" {
  start_domain 1
  start_domain 2
  start_domain 3
  printf 'allow *\ndeny 3\n' > 1/acl
  may_send 2 1
  may_not_send 3 1
  start_domain 4
  eventually may_send 4 1
  echo "deny *" >> 1/acl
  may_not_send 2 1
  may_not_send 4 1
}

@test "deny takes a permission back; what was sent before stays readable" {
  pair
  echo before > 2/peers/1
  echo "deny 2" >> 1/acl
  same "$(op 2/peers/1 w write=after)" "write EACCES"
  same "$(op 1/inbox r+nonblock read read)" $'read 7 before\\x0a\nread EAGAIN'
}

@test "who was refused twice and left unread messages is not permitted again before somebody reads: ENOSPC" {
  local i
  pair
  start_domain 3
  permit 1 3
  echo "left 1" > 2/peers/1
  echo "deny 2" >> 1/acl
  echo "allow 2" >> 1/acl
  echo "left 2" > 2/peers/1
  echo "deny 2" >> 1/acl
  for i in 1 2; do
    same "$(op 1/acl w+append write=$'allow 2\n')" "write ENOSPC"
    like "$(cat 1/acl)" "allow 2"
    same "$(op 2/peers/1 w write=x)" "write EACCES"
  done
  grep -F "domain 2 was refused 2 times, and nobody has read what it had sent" log/1
  may_send 3 1
  same "$(op 1/peers/2 r+nonblock read read)" $'read 7 left 1\\x0a\nread 7 left 2\\x0a'
  echo "allow 2" >> 1/acl
  may_send 2 1
}

@test "permission and denial take effect before the write returns" {
  start_domain 1
  start_domain 2
  for ((i = 0; i < 50; i++)); do
    echo "allow 2" > 1/acl
    may_send 2 1
    echo "deny 2" > 1/acl
    may_not_send 2 1
  done
}

@test "a sender waiting for room is refused when the permission is taken back" {
  pair ring=4096
  fill_ring 2 1
  start_op writer 2/peers/1 w write=late
  blocked writer
  echo "deny 2" > 1/acl
  finish writer
  same "$output" "write EACCES"
  same "$(op 1/inbox r+nonblock drain)" "drain 8 EAGAIN"
}

@test "the old table holds until the first write, or until close if nothing is written" {
  pair
  exec {acl}> 1/acl
  may_send 2 1
  exec {acl}>&-
  may_not_send 2 1
}

@test ": > acl denies everybody" {
  pair
  : > 1/acl
  may_not_send 2 1
}

@test "opening acl for adding and writing nothing changes nothing" {
  pair
  : >> 1/acl
  may_send 2 1
}

@test "comments, blank lines and spaces are allowed, and a last line without its end" {
  start_domain 1
  start_domain 2
  printf '# who may send\n\n  allow\t2  # the web server\n\ndeny 3' > 1/acl
  may_send 2 1
}

@test "a bad line is EINVAL, and then no line of that write takes effect" {
  start_domain 1
  echo "allow 2" > 1/acl
  rejects EINVAL $'allow 3\nallow\n'
  rejects EINVAL $'allow 3\nallow 4 5\n'
  rejects EINVAL $'allow 3\npermit 4\n'
  rejects EINVAL $'allow 3\nallow 99999\n'
  rejects EINVAL $'allow 3\nallow 32752\n'
  rejects EINVAL $'allow 3\nallow -1\n'
  rejects EINVAL $'allow 3\nallow **\n'
  rejects EINVAL $'allow 3\nallow ../4\n'
  rejects EINVAL $'allow 3\nallow 99999999999999999999999999\n'
  rejects EINVAL $'allow 3\nALLOW 4\n'
  rejects EINVAL "allow 3"$'\n'"allow $(printf 'x%.0s' {1..5000})"$'\n'
}

@test "a rule by a name that no domain has is taken, and the log says so, once" {
  start_domain 1
  echo "allow nobody-here" > 1/acl
  echo "allow nobody-here" > 1/acl
  same "$(cat 1/acl)" "allow nobody-here"
  same "$(grep -cF 'acl of endpoint default: no domain is named "nobody-here" now' log/1)" 1
}

@test "a NUL byte in the text is EINVAL" {
  start_domain 1
  echo "allow 2" > 1/acl
  printf 'allow 3\n\0allow 4\n' > rules
  fails dd if=rules of=1/acl oflag=append conv=notrunc status=none 2> /dev/null
  same "$(cat 1/acl)" "allow 2"
}

@test "the log says which line is wrong and why" {
  start_domain 1
  rejects EINVAL $'allow 3\nallow 4\nallwo 5\n'
  grep 'line 3' log/1
}

@test "a shell's echo of a bad rule fails and leaves the table as it was" {
  pair
  run limit bash -c 'echo "allow bogus domain" > 1/acl'
  same "$status" 1
  like "$output" "Invalid argument"
  may_send 2 1
}

@test "what is read from acl gives the same table when written to it" {
  start_domain 1
  start_domain 2
  start_domain 3
  printf 'deny 3\nallow 2\nallow *\nallow 32751\n' > 1/acl
  cat 1/acl > saved
  : > 1/acl
  cat saved > 1/acl
  same "$(cat 1/acl)" "$(cat saved)"
  may_send 2 1
  may_not_send 3 1
  same "$(op 1/acl r permitted=32751 permitted=3 permitted=7)" \
    $'permitted 1\npermitted 0\npermitted 1'
}

@test "acl shows an empty table as a table that, written to it, is empty" {
  start_domain 1
  start_domain 2
  cat 1/acl > saved
  echo "allow 2" > 1/acl
  cat saved > 1/acl
  may_not_send 2 1
}

@test "a table of a thousand rules makes the round trip in one write" {
  start_domain 1
  printf 'allow %d\n' {1000..1999} > rules
  dd if=rules of=1/acl bs=64k status=none
  same "$(sort 1/acl)" "$(sort rules)"
  dd if=1/acl bs=7 status=none > slowly
  cmp slowly <(cat 1/acl)
}

@test "acl's size is that of its text" {
  start_domain 1
  echo "allow 2" > 1/acl
  same "$(stat -c %s 1/acl)" "$(dd if=1/acl status=none | wc -c)"
  same "$(wc -c < 1/acl)" "$(dd if=1/acl status=none | wc -c)"
}

@test "cp copies acl from a file and into a file" {
  start_domain 1
  start_domain 2
  echo "allow 2" > rules
  cp rules 1/acl
  may_send 2 1
  cp 1/acl copy
  same "$(cat copy)" "allow 2"
}

# sends_until_stopped: numbers, from 2 to 1, and says which were acknowledged.
sends_until_stopped() {
  start sender bash -c '
    for ((i = 0; ; i++)); do
      [[ ! -e stop ]] || exit 0
      echo "$i" > 2/peers/1 && echo "$i"
    done 2> errors'
}

# all_were_sent_and_read: none of them failed, and `reader` has what was acknowledged.
all_were_sent_and_read() {
  touch stop
  finish sender
  same "$(cat errors)" ""
  eventually cmp -s sender.out reader.out || diff sender.out reader.out
  ends_by KILL reader
}

@test "a domain that is permitted before and after an update notices nothing" {
  pair
  start_domain 3
  start reader cat 1/inbox
  sends_until_stopped
  for i in {1..10}; do
    for rules in $'allow 2\nallow 3' 'allow 2' $'deny 3\nallow *' $'deny 9\nallow 2'; do
      like "$(op 1/acl w+trunc "write=$rules")" '^write [0-9]+$'
    done
  done
  all_were_sent_and_read
}

@test "while a permission comes and goes, what was acknowledged arrives, and nothing else does" {
  pair
  start reader cat 1/inbox
  sends_until_stopped
  for i in {1..20}; do
    op 1/acl w+trunc "write=deny 2" > /dev/null
    op 1/acl w+trunc "write=allow 2" > /dev/null
  done
  touch stop
  finish sender
  # The only error there may be.
  run grep -v 'Permission denied$' errors
  same "$output" ""
  eventually cmp -s sender.out reader.out || diff sender.out reader.out
  ends_by KILL reader
}

# --- Texts in pieces ---

# permits DOMAIN EXPECTED: does domain 1 permit it now?
permits() {
  same "$(op 1/acl r "permitted=$1")" "permitted $2"
}

# rules and many [END]: rules, and a text of them that is larger than a small buffer.  The beginning of
# no rule is one of them.  Each line that is written by itself changes the table, so those get fewer.
last=1030

rules() {
  seq -f 'allow %.0f' 985 "$last"
}

many() {
  rules | sed "s/$/ # $(printf 'x%.0s' {1..200})/"
  printf '%s' "${1:-}"
}

@test "a line without its end is held until the next write of the handle ends it" {
  start_domain 1
  same "$(op 1/acl w+trunc 'write=allow 1' permitted=1 $'write=3\n' permitted=1 permitted=13)" \
    $'write 7\npermitted 0\nwrite 2\npermitted 0\npermitted 1'
  same "$(op 1/acl w+append 'write=allow 1' permitted=1 $'write=4\nallow 1' permitted=14 permitted=1 $'write=5\n' permitted=15)" \
    $'write 7\npermitted 0\nwrite 9\npermitted 0\npermitted 0\nwrite 2\npermitted 1'
  same "$(cat 1/acl)" $'allow 13\nallow 14\nallow 15'
}

@test "a last line without its end is in force when close returns" {
  start_domain 1
  printf 'allow 7' > 1/acl
  permits 7 1
  printf 'allow 8' >> 1/acl
  same "$(cat 1/acl)" $'allow 7\nallow 8'
}

@test "close returns the error of a last line without its end, and the log says it" {
  start_domain 1
  echo "allow 2" > 1/acl
  cat > try.py << 'END'
import errno, os
for flags in (os.O_TRUNC, os.O_APPEND):
    fd = os.open("1/acl", os.O_WRONLY | flags)
    os.write(fd, b"allow 3\nallow")
    try:
        os.close(fd)
        print("closed")
    except OSError as e:
        print(errno.errorcode[e.errno])
END
  same "$(limit python3 try.py)" $'EINVAL\nEINVAL'
  same "$(cat 1/acl)" "allow 2"
  same "$(grep -c 'the end of what was written to acl: Invalid argument' log/1)" 2
  # Nobody looks at the error of a shell's printf; what it would have done was not done.
  printf 'allow 3\nallow' > 1/acl || :
  same "$(cat 1/acl)" "allow 2"
}

@test "after an error each later write of the handle fails with it, and nothing takes effect" {
  start_domain 1
  echo "allow 2" > 1/acl
  for mode in w+trunc w+append; do
    same "$(op 1/acl $mode $'write=allow\n' $'write=allow 3\n' 'write=allow 4')" \
      $'write EINVAL\nwrite EINVAL\nwrite EINVAL'
    same "$(cat 1/acl)" "allow 2"
  done
}

# writes_pieces COMMAND...: copies its standard input to its standard output, with > and with >>.
writes_pieces() {
  echo "allow 985" > 1/acl
  many | limit "$@" > 1/acl
  same "$(cat 1/acl)" "$(rules)"
  echo "allow 985" > 1/acl
  many | limit "$@" >> 1/acl
  same "$(cat 1/acl)" "$(rules)"
  # With an error at the end it is no update.
  echo "allow 2" > 1/acl
  many $'allow 7 7\n' | limit "$@" 2> /dev/null > 1/acl || :
  same "$(cat 1/acl)" "allow 2"
  many 'allow' | limit "$@" 2> /dev/null > 1/acl || :
  same "$(cat 1/acl)" "allow 2"
}

@test "a text that a program writes in pieces is one update or none" {
  start_domain 1
  writes_pieces cat
  writes_pieces stdbuf -o4096 sed 's/x/x/'
  writes_pieces dd bs=4096 iflag=fullblock status=none
  writes_pieces awk '{ print }'
  writes_pieces python3 -c 'import sys; sys.stdout.write(sys.stdin.read())'
  writes_pieces perl -pe1
  last=995
  writes_pieces dd bs=37 status=none
  writes_pieces dd bs=213 status=none # a line, or less
  writes_pieces sed -u 's/x/x/'
  writes_pieces bash -c 'while IFS= read -r line || [[ $line ]]; do echo "$line"; done'
}

@test "added in pieces that cut lines, a text with an error is no update" {
  start_domain 1
  last=990
  echo "allow 2" > 1/acl
  many $'allow 7 7\n' | fails limit dd bs=37 status=none 2> /dev/null >> 1/acl
  same "$(cat 1/acl)" "allow 2"
}

@test "what others did to the table meanwhile is not taken back" {
  start_domain 1
  echo "allow 2" > 1/acl
  start_op writer 1/acl w+trunc $'write=allow 3\n' pause $'write=allow\n'
  shows writer "write 8"
  echo "allow 4" >> 1/acl
  next writer
  finish writer
  same "$output" $'write 8\npause\nwrite EINVAL'
  same "$(cat 1/acl)" $'allow 2\nallow 3\nallow 4'
}

@test "a rule that a shell writes to a handle that stays open is in force at once" {
  start_domain 1
  echo "allow 2" > 1/acl
  exec {acl}> 1/acl
  permits 2 1
  echo "allow 7" >&$acl
  permits 7 1
  permits 2 0
  echo "allow 9" >> 1/acl
  echo "allow 8" >&$acl
  exec {acl}>&-
  same "$(cat 1/acl)" $'allow 7\nallow 8\nallow 9'
}

@test "several commands that write to one handle write one text" {
  start_domain 1
  echo "allow 2" > 1/acl
  {
    /bin/echo "allow 3"
    permits 2 1
    permits 3 1
    /bin/echo "allow 4"
  } > 1/acl
  same "$(cat 1/acl)" $'allow 3\nallow 4'
}

@test "while a text is written in pieces, nobody is refused whom both tables permit" {
  pair
  last=990
  many 'allow 2' > rules
  start reader cat 1/inbox
  sends_until_stopped
  for i in {1..3}; do
    dd if=rules of=1/acl bs=37 status=none
    dd if=rules of=1/acl bs=213 conv=notrunc status=none
    sed -u 's/x/x/' rules > 1/acl
    { cat rules; echo; echo "deny 77"; } > 1/acl
    printf 'allow 77\nallow 2\n' > 1/acl
  done
  all_were_sent_and_read
}

@test "a text that is too long is EFBIG, and is no update" {
  start_domain 1
  echo "allow 2" > 1/acl
  head -c 1000000 /dev/zero | tr '\0' '#' > rules
  fails dd if=rules of=1/acl bs=100000 status=none 2> error
  like "$(cat error)" "File too large"
  same "$(cat 1/acl)" "allow 2"
}

@test "acl takes the rules to start with from the mount option acl=FILE" {
  printf '# at boot\nallow 2\n' > rules
  start_domain 1 "acl=$PWD/rules"
  start_domain 2
  may_send 2 1
}
