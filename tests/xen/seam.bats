#!/usr/bin/env bats
# The seam (src/hv/hv.h) on Xen, without what is above it (../hv/hv_check.c).

load helpers

@test "between two domains the seam keeps its promises" {
  start owner in_domain 1 "hv_check owner $(id 2)"
  in_domain 2 "hv_check user $(id 1)"
  finish owner
  echo "$output"
  same "$status" 0
}

@test "so it does between a PV and a PVH domain" {
  start owner in_domain 3 "hv_check owner $(id 1)"
  in_domain 1 "hv_check user $(id 3)"
  finish owner
  echo "$output"
  same "$status" 0
}

@test "so it does in one domain that is both" {
  in_domain 2 'hv_check self'
}

@test "grants, nodes and watches run out with an error, and are given back" {
  in_domain 2 'hv_check limits'
}
