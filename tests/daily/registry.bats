#!/usr/bin/env bats
# sivc-registry, as far as there need be no Xen: --check.

load ../fs/helpers

registry=$build/src/sivc-registry

@test "--check says that a policy is right, and how many rules it has, to anybody" {
  printf '# all of it\nshow db to web\n\nshow * to monitor # for the graphs\n' > policy
  run as_user "$registry" --check policy
  same "$status $output" "0 sivc-registry: policy $PWD/policy: 2 rules"
}

@test "--check names the line that is wrong, and why, and fails" {
  printf 'show db to web\nshow db for web\n' > policy
  run limit "$registry" --check policy
  same "$status" 1
  like "$output" "policy .*/policy, line 2: a rule is "
  printf 'show 7 to web\n' > policy
  run limit "$registry" --check policy
  same "$status" 1
  like "$output" "line 1: neither a name nor"
  run limit "$registry" --check nothing
  same "$status" 1
  like "$output" "nothing: No such file"
  run limit "$registry" --check
  same "$status" 1
  like "$output" "usage"
}

@test "a policy in a pipe can be checked, too" {
  run limit bash -c "echo 'show * to *' | '$registry' --check /dev/stdin"
  same "$status" 0
}
