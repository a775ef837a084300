#!/usr/bin/env bats
# What happens, seen: stats, Prometheus, top.sh.

load ../fs/helpers

# Prometheus' own checker.  The package would start a server here, so it is only taken apart.
setup_file() {
  promtool=$(command -v promtool) && export promtool && return
  cd "$BATS_FILE_TMPDIR" || return
  timeout 100 apt-get --quiet=2 download -o APT::Sandbox::User=root prometheus
  dpkg-deb --fsys-tarfile prometheus_*.deb | tar x ./usr/bin/promtool
  export promtool=$BATS_FILE_TMPDIR/usr/bin/promtool
}

busy_pair() {
  start_domain 1
  start_domain 7 name=web
  permit 1 7
  mkdir 1/endpoints/clip 7/endpoints/clip
  echo "allow 7" > 1/endpoints/clip/acl
  eventually test -L 1/peers/web
}

@test "stats of an endpoint that has sent, received and refused is right to promtool" {
  busy_pair
  echo hello > 7/peers/1
  same "$(op 1/inbox r read)" 'read 6 hello\x0a'
  fails sh -c 'echo no > 1/peers/7'
  for file in 1/stats 7/stats 1/endpoints/clip/stats; do
    run limit "$promtool" check metrics < "$file"
    same "$status $output" "0 "
  done
}

@test "what is queued is a gauge of each peer and of the endpoint, and goes when it is read" {
  start_domain 1
  start_domain 2
  start_domain 3
  permit 1 2 3
  for id in 2 3; do
    same "$(op "$id/peers/1" w write=hello)" "write 5"
    same "$(grep -c "^sivc_queued_bytes{.*peer=\"$id\"} [1-9]" 1/stats)" 1
  done
  same "$(awk '/^sivc_queued_bytes.*peer=/ { n += $2 } END { print n }' 1/stats)" \
    "$(awk '/^sivc_endpoint_queued_bytes{/ { print $2 }' 1/stats)"
  same "$(op 1/inbox r read read)" $'read 5 hello\nread 5 hello'
  same "$(awk '/^sivc_(endpoint_)?queued_bytes/ { print $2 }' 1/stats | xargs)" "0 0 0"
}

@test "collect.sh makes a file an endpoint, each right to promtool, and again" {
  busy_pair
  mkdir prom
  for round in 1 2; do
    limit "$repo/examples/prometheus/collect.sh" 1 prom
    same "$(echo prom/*)" "prom/sivc-endpoints-clip.prom prom/sivc.prom"
  done
  for file in prom/*; do
    limit "$promtool" check metrics < "$file"
  done
  same "$(stat -c %a prom/sivc.prom)" 644
}

@test "the alerts and the queries are right to promtool, and about counters that there are" {
  limit "$promtool" check rules "$repo/examples/prometheus/alerts.yml"
  {
    echo 'groups: [{name: queries, rules: ['
    grep -v '^#' "$repo/examples/prometheus/queries.txt" | grep . \
      | sed "s/.*/{record: a, labels: {n: \"&\"}, expr: '&'},/; s/labels: {n: \".*\"}, //" | nl -ba -s ' ' -w1 \
      | sed 's/^\([0-9]*\) {record: a/{record: query\1/'
    echo ']}]'
  } > queries.yml
  limit "$promtool" check rules queries.yml
  grep -ohE 'sivc_[a-z_]+' "$repo"/examples/prometheus/{alerts.yml,queries.txt} | sort -u > used
  (($(wc -l < used) >= 8))
  while read -r name; do
    grep -qF "\"${name#sivc_}\"" "$repo/src/core/stats.c" || { echo "there is no $name"; return 1; }
  done < used
}

@test "an alert is raised when a protocol is broken, when nobody reads, when we are refused, and not otherwise" {
  cat > alerts_test.yml << END
rule_files: [$repo/examples/prometheus/alerts.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'sivc_breaches_total{endpoint="default",instance="web"}', values: '0x10 1x20'}
      - {series: 'sivc_endpoint_queued_bytes{endpoint="default",instance="web"}', values: '0x10 7x20'}
      - {series: 'sivc_queued_bytes{endpoint="default",peer="7",instance="web"}', values: '0x10 7x20'}
      - {series: 'sivc_waiting_readers{endpoint="default",instance="web"}', values: '0x30'}
      - {series: 'sivc_refused_sends_total{endpoint="default",peer="7",instance="web"}', values: '3x12 3+5x20'}
      - {series: 'sivc_permitted_peers{endpoint="default",instance="web"}', values: '1x30'}
    alert_rule_test:
      - {eval_time: 9m, alertname: SivcProtocolBroken}
      - {eval_time: 9m, alertname: SivcNobodyReads}
      - {eval_time: 9m, alertname: SivcRefused}
      - {eval_time: 9m, alertname: SivcGone}
      - eval_time: 25m
        alertname: SivcRefused
        exp_alerts: [{exp_labels: {severity: warning, endpoint: default, peer: 7, instance: web}, exp_annotations: {
          summary: "web sends to domain 7, which does not permit it"}}]
      - eval_time: 12m
        alertname: SivcProtocolBroken
        exp_alerts: [{exp_labels: {severity: critical, endpoint: default, instance: web}, exp_annotations: {
          summary: "A domain broke the protocol of endpoint default on web",
          description: "It is hostile or broken; journalctl -t sivcfs says which one."}}]
      - eval_time: 25m
        alertname: SivcNobodyReads
        exp_alerts: [{exp_labels: {severity: warning, endpoint: default, instance: web}, exp_annotations: {
          summary: "Messages of endpoint default on web wait, and nobody reads"}}]
      - eval_time: 50m
        alertname: SivcGone
        exp_alerts: [{exp_labels: {severity: warning}, exp_annotations: {
          summary: "Nobody has said anything about sivcfs for 15 minutes"}}]
END
  limit "$promtool" test rules alerts_test.yml
}

@test "top.sh says who has sent what since it looked last, by name" {
  busy_pair
  (($(wc -l < "$repo/examples/top.sh") <= 40))
  start top timeout 60 "$repo/examples/top.sh" 1 1
  eventually grep -qE "^clip +web +0\.0 +0\.0" top.out
  like "$(head -n 1 top.out)" "^ENDPOINT +PEER +IN/s"
  echo hello > 7/peers/1
  same "$(op 1/inbox r read)" 'read 6 hello\x0a'
  eventually grep -qE "^default +web +1\.0 +6\.0 +0\.0 +0\.0" top.out
  kill -TERM "${job_pid[top]}"
  finish top
}
