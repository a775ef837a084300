#!/usr/bin/env bats
# README.md, typed as it is printed.

load ../fs/helpers

BATS_TEST_TIMEOUT=300

# blocks HEADING: what stands between ``` in that section.
blocks() {
  awk -v heading="## $1" '
    /^## / { here = $0 == heading }
    here && /^```/ { inside = !inside; next }
    here && inside' "$repo/README.md"
}

# What has come, as README.md has it: a shell that is not interactive says where an error was.
came() {
  sed 's/^bash: line [0-9]*: /bash: /; /Terminated/d' session.out
}

as_printed() {
  [[ $(came) == "$(cat ../expected)" ]]
}

# play < BLOCKS: types what stands behind $, and waits until all has come that is printed there, and nothing else.
play() {
  local line
  mkfifo ../keys
  : > ../expected
  start_input=../keys start session setpriv --reuid="$ordinary_user" --clear-groups bash
  exec {keys}> ../keys
  while read -r line; do
    if [[ $line == '$ '* ]]; then
      eventually as_printed || { diff <(came) ../expected; return 1; }
      echo "${line#* }" >&"$keys"
    else
      echo "$line" >> ../expected
    fi
  done
  eventually as_printed || { diff <(came) ../expected; return 1; }
  exec {keys}>&-
  finish session
}

@test "a first session by hand: messages, a rule by name, a file, a service" {
  export PATH=$build/src:$repo/mountscripts:$PATH
  mkdir home
  chown "$ordinary_user" home
  # What ls would print side by side on a terminal.
  blocks "A first session by hand" | sed '/^acl  endpoints/ s/  */\n/g' > script
  (($(grep -c '^\$' script) >= 25))
  cd home
  play < ../script
  same "$(mounts_here)" ""
}

@test "the program without a mount is one that compiles" {
  blocks "A program without a mount" | sed -n '/^#include/,/^}/p' > answer.c
  (($(wc -l < answer.c) >= 15))
  cc -Wall -Wextra -Werror -I "$repo/include" answer.c -L "$build/src" -lsivc -o answer
}
