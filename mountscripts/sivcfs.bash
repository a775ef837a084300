# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Completion for bash: sivcfs, sivc-registry, and, for those who want it, rules.
#
# What files are in peers/ needs none: those are files.  Rules that are written by echo do:
#
#	. /usr/share/bash-completion/completions/sivcfs
#	complete -o default -F _sivc_rule echo
#	echo allow <TAB>             # the names and numbers in peers/ of this machine's mounts, and *

# _sivc_reply PREFIX WORDS: those of the words that go on with what is typed.
_sivc_reply() {
  mapfile -t COMPREPLY < <(compgen -P "$1" -W "$2" -- "${cur##*,}")
}

# Files, or with -d directories; their names are quoted where that is needed.
_sivc_files() {
  mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
  compopt -o filenames 2> /dev/null
}

# The value of an -o option; `cur` is what is typed of it.
_sivcfs_value() {
  case $1 in
    acl) _sivc_files -f ;;
    dir) _sivc_files -d ;;
    user | uid) mapfile -t COMPREPLY < <(compgen -u -- "$cur") ;;
    gid) mapfile -t COMPREPLY < <(compgen -g -- "$cur") ;;
    ring) _sivc_reply '' '4K 16K 64K 256K 1M 2M' ;;
    mode | acl_mode) _sivc_reply '' '0600 0640 0660' ;;
    umask) _sivc_reply '' '022 027 077' ;;
    domid | name | endpoint | max_msg | spin) ;; # whatever the user wants
  esac
}

# $1 is the program, which says what options it has; $2 is all that is typed behind -o.
_sivcfs_option() {
  local last=${2##*,} before=
  compopt -o nospace 2> /dev/null
  if [[ $last == *=* ]]; then
    _sivcfs_value "${last%%=*}"
    return
  fi
  [[ $cur != *,* ]] || before=${cur%,*},
  _sivc_reply "$before" "$("$1" --help | sed -n 's/^     \([a-z_]*=\{0,1\}\).*/\1/p')"
}

_sivcfs() {
  local cur=${COMP_WORDS[COMP_CWORD]} line=${COMP_LINE:0:COMP_POINT} words
  # bash makes words of their own of `=`, which are not replaced.
  [[ $cur != = ]] || cur=
  read -ra words <<< "$line"
  [[ $line != *[[:space:]] ]] || words+=('')
  COMPREPLY=()
  if [[ ${words[-2]} == -o ]]; then
    _sivcfs_option "$1" "${words[-1]}"
  elif [[ $cur == -* ]]; then
    _sivc_reply '' '-o -f -d -h --help -V --version'
  elif ((${#words[@]} == 2)); then
    _sivc_reply '' 'xen local auto'
  else
    _sivc_files -d
  fi
}

_sivc_registry() {
  local cur=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  case ${COMP_WORDS[COMP_CWORD - 1]} in
    -p | --check) _sivc_files -f ;;
    *) _sivc_reply '' '-f -p --check -h' ;;
  esac
}

# Names and numbers of all mounts here.
_sivc_peers() {
  local directory
  while read -r _ directory _; do
    ls "$directory/peers" "$directory"/{endpoints,streams}/*/peers
  done < <(grep ' fuse\.sivc ' /proc/self/mounts) 2> /dev/null | grep -v / | sort -u
}

_sivc_rule() {
  local cur=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    [[ -z $cur ]] || _sivc_reply '' 'allow deny'
  elif ((COMP_CWORD == 2)) && [[ ${COMP_WORDS[1]} == @(allow|deny) ]]; then
    _sivc_reply '' "$(_sivc_peers) \\*"
  fi
}

complete -F _sivcfs sivcfs mount.sivc
complete -F _sivc_registry sivc-registry
