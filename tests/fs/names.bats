#!/usr/bin/env bats
# Names of domains, which the local backend's option name= gives.

load helpers

@test "a name is a link in peers/, and messages go where it points" {
  start_domain 1
  start_domain 7 name=web
  permit 7 1
  eventually test -L 1/peers/web
  same "$(readlink 1/peers/web)" 7
  echo hello > 1/peers/web
  same "$(op 7/inbox r+nonblock read)" 'read 6 hello\x0a'
}

@test "allow NAME permits the domain of that name, and acl shows the rule as it was written" {
  start_domain 1
  start_domain 7 name=web
  echo "allow web" > 1/acl
  same "$(op 7/peers/1 w write=x)" "write 1"
  same "$(cat 1/acl)" "allow web"
}

@test "a rule by name follows the name to its next domain id, and the old id loses it" {
  start_domain 1
  start_domain 7 name=web
  echo "allow web" > 1/acl
  same "$(op 7/peers/1 w write=x)" "write 1"
  stop_domain 7
  start_domain 8 name=web
  start_domain 7
  eventually same_now 8 "write 1"
  same "$(op 7/peers/1 w write=x)" "write EACCES"
  eventually linked_to 8
}

same_now() {
  [[ $(op "$1/peers/1" w write=x) == "$2" ]]
}

linked_to() {
  [[ $(readlink 1/peers/web) == "$1" ]]
}

@test "a rule may be written before its name exists: it permits who comes with it, and nobody until then" {
  echo "allow web" > rules
  start_domain 1 "acl=$PWD/rules"
  mkdir 1/endpoints/other
  printf 'deny web\nallow *\n' > 1/endpoints/other/acl
  grep -F 'acl of endpoint default: no domain is named "web" now' log/1
  start_domain 7
  same "$(op 7/peers/1 w write=x)" "write EACCES"
  start_domain 8 name=web
  eventually same_now 8 "write 1"
  same "$(op 7/peers/1 w write=x)" "write EACCES"
  mkdir 7/endpoints/other 8/endpoints/other
  eventually same_now 7/endpoints/other "write 1"
  same "$(op 8/endpoints/other/peers/1 w write=x)" "write EACCES"
}

# Neither what a restart reads nor what somebody has saved may fail for a domain that is down.
@test "rules by name are read again while their domain is down" {
  start_domain 7 name=web
  start_domain 1
  echo "allow web" > 1/acl
  cat 1/acl > rules
  stop_domain 7
  cat rules > 1/acl
  stop_domain 1
  start_domain 1 "acl=$PWD/rules"
  same "$(cat 1/acl)" "allow web"
  start_domain 9 name=web
  eventually same_now 9 "write 1"
}

@test "a name that is gone is gone from peers/" {
  start_domain 1
  for end in stop_domain kill_domain; do
    start_domain 7 name=web
    eventually test -L 1/peers/web
    $end 7
    eventually test ! -L 1/peers/web
  done
}

@test "names that cannot be read are an error, and not names that nobody has" {
  start_domain 1
  start_domain 7 name=web
  eventually test -L 1/peers/web
  prlimit --pid="${domain_pid[1]}" --nofile=3:
  eventually is_error "Too many open files" readlink -v 1/peers/web
  eventually is_error "Too many open files" ls 1/peers
  prlimit --pid="${domain_pid[1]}" --nofile="$(ulimit -Sn):"
  eventually linked_to 7
  eventually listed web
}

is_error() {
  local text=$1
  shift
  run limit "$@"
  [[ $output == *"$text"* ]] && ((status))
}

listed() {
  [[ " $(limit ls 1/peers | xargs) " == *" $1 "* ]]
}

@test "deny by number or by name: either refuses" {
  start_domain 1
  start_domain 7 name=web
  printf 'allow web\ndeny 7\n' > 1/acl
  same "$(op 7/peers/1 w write=x)" "write EACCES"
  printf 'deny web\nallow 7\n' > 1/acl
  same "$(op 7/peers/1 w write=x)" "write EACCES"
}

@test "self and the domain's own peers/ know the name" {
  start_domain 7 name=web
  like "$(cat 7/self)" "web"
}

@test "a name that cannot be one is an error that says so" {
  for name in 7 .hidden -x 'a/b' 'a b' '' "$(printf 'x%.0s' {1..64})"; do
    mkdir -p 7
    run limit "$sivcfs" local 7 -f -o "dir=hv,domid=7,name=$name"
    same "$status" 1
    like "$output" "name"
  done
}
