#!/usr/bin/env bats
# Completion of bash and zsh.

load ../fs/helpers

# completes LINE: what bash would offer at the end of it, one a line.  Words are cut as bash does.
completes() {
  local word
  COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=()
  while read -r word; do
    COMP_WORDS+=("$word")
  done < <(grep -oE '[^ =]+|=' <<< "$1")
  [[ $1 != *' ' ]] || COMP_WORDS+=('')
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  "$2" "$sivcfs"
  printf '%s\n' "${COMPREPLY[@]}"
}

# The completion is for interactive shells, which do not stop at a test that is not so.
load_completion() {
  set +eu
  # shellcheck source=mountscripts/sivcfs.bash
  . "$repo/mountscripts/sivcfs.bash"
}

options_of_program() {
  grep -oP '^\t\{"\K[a-z_]+(?=", ("[A-Z]+"|NULL), take_(?!refused))' "$repo/src/fs/options.c"
}

offers() {
  local got
  got=$(load_completion; completes "$1" "${3:-_sivcfs}" | sort | paste -sd ' ')
  same "$got" "$2"
}

@test "bash: the source, a directory, and options" {
  mkdir mnt
  offers "sivcfs " "auto local xen"
  offers "sivcfs l" "local"
  offers "sivcfs local m" "mnt"
  offers "sivcfs local mnt --h" "--help"
}

@test "bash: every mount option is offered behind -o, and behind a comma" {
  local option
  for option in $(options_of_program); do
    (load_completion; completes "sivcfs local mnt -o $option" _sivcfs) | grep -qxE "$option=?"
  done
  (($(options_of_program | wc -l) >= 14))
  offers "sivcfs local mnt -o ring=4K,ma" "4K,max_msg="
}

@test "bash: values are files, users, and sizes" {
  touch rules.acl
  offers "sivcfs xen mnt -o acl=rul" "rules.acl"
  offers "sivcfs xen mnt -o ring=2" "256K 2M"
  offers "sivcfs xen mnt -o acl=x,user=nobod" "nobody"
  offers "sivcfs xen mnt -o acl=" "$(printf '%s\n' * | sort | xargs)"
  offers "sivc-registry --check rul" "rules.acl" _sivc_registry
}

@test "bash: a rule is offered its words, and the peers of the mounts here" {
  start_domain 1
  start_domain 7 name=web
  eventually test -L 1/peers/web
  offers "echo al" "allow" _sivc_rule
  (load_completion; completes "echo allow w" _sivc_rule) | grep -qx web
  offers "echo hello w" "" _sivc_rule
}

@test "zsh: every mount option is there" {
  local option
  for option in $(options_of_program); do
    grep -qE "^ *[\"']$option\[" "$repo/mountscripts/_sivcfs"
  done
}

# typed LINE SHOULD_BE: a user of zsh types that, and what is called then.
typed() {
  local got
  got=$(TERM=xterm limit zsh -f -c '
    zmodload zsh/zpty
    zpty shell zsh -f -i
    zpty -w shell "PS1= RPS1= PS2=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D
      sivcfs() { print -r -- D\"\"ONE\"<\$*>\"; }; sivc-registry() { sivcfs \"\$@\"; }; say() { sivcfs \"\$@\"; }
      compdef _sivc_rule say"
    zpty -w shell "$2"
    zpty -r shell out "*DONE<*>*"
    print -r -- "${${out##*DONE<}%%>*}"' zsh "$repo/mountscripts" "$1")
  same "$got" "$2"
}

@test "zsh: what is typed is completed: source, mount point, options, values, rules" {
  mkdir mnt
  touch rules.acl
  typed $'sivcfs lo\t m\t' "local mnt"
  typed $'sivcfs local mnt -o acl_m\t0640' "local mnt -o acl_mode=0640"
  typed $'sivcfs local mnt -o ring=4K,ma\t9' "local mnt -o ring=4K,max_msg=9"
  typed $'sivcfs xen mnt -o acl=ru\t' "xen mnt -o acl=rules.acl"
  typed $'sivcfs xen mnt -o acl=x,user=nobo\t' "xen mnt -o acl=x,user=nobody"
  typed $'sivc-registry --ch\tru\t' "--check rules.acl"
  start_domain 1
  start_domain 7 name=webserver
  eventually test -L 1/peers/webserver
  typed $'say al\twebs\t' "allow webserver"
  typed $'say hello ru\t' "hello rules.acl"
}

@test "sivcfs --help fits a screen of 24 lines and 80 columns" {
  "$sivcfs" --help > help
  (($(wc -l < help) <= 24))
  (($(wc -L < help) <= 80))
}
