#!/usr/bin/env bash
# Tries a command on a machine that has nothing: a bare Debian in a folder, with git alone, and a clone of this repository's
# last commit in it. See README.md beside it.
set -euo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

usage() {
  cat <<'TEXT'
usage: tests/roots/run.sh [OPTIONS] [COMMAND...]       as root; the command is run in the clone, ./run demo by default

  --suite NAME      a release of Debian (bookworm, trixie, forky, sid) or Ubuntu (noble); given again for more, one after the other
                    (bookworm, trixie and forky)
  --as WHO          root, sudo (somebody who may use sudo) or user (somebody who may not) (root)
  --in FOLDER       the clone's folder in the root, perhaps with blanks (/home/someone/cambium)
  --with PACKAGES   installed before, as 'g++ cmake make'
  --offline         without a network, once PACKAGES are there
  --says REGEXP     the command's output must contain it (grep -E; a line's end counts as a blank)
  --fails           the command must end with another status than 0
  --name WORDS      what the table and the log call it (the command)
  --keep            the root stays, under the name that is printed
  --list            the machines' names and sizes, and nothing is run

  ROOTS=FOLDER      where bare roots are kept between runs: FOLDER/NAME (/var/tmp/cambium-roots); what is there is copied
                    and never changed
  OUT=FOLDER        logs, and table.md with a line for each command and system, are written here (out/roots)
TEXT
}

suites=()
who=root
folder=/home/someone/cambium
with=
offline=
says=
name=
fails=
keep=
list=
while [[ ${1:-} = --* ]]; do
  case $1 in
    --suite) suites+=("$2") && shift ;;
    --as) who=$2 && shift ;;
    --in) folder=$2 && shift ;;
    --with) with=$2 && shift ;;
    --name) name=$2 && shift ;;
    --says) says=$2 && shift ;;
    --offline) offline=yes ;;
    --fails) fails=yes ;;
    --keep) keep=yes ;;
    --list) list=yes ;;
    --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
  esac
  shift
done
[ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie forky)
[ $# -gt 0 ] || set -- ./run demo
name=${name:-$*}
case $who in root | sudo | user) ;; *) usage >&2 && exit 2 ;; esac
[[ $folder = /* ]] || { echo "--in: $folder is no absolute path" >&2 && exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "only root may make a root" >&2 && exit 2; }

roots=${ROOTS:-/var/tmp/cambium-roots}
out=${OUT:-$home/out/roots}
mkdir -p "$roots" "$out"
scripts=/usr/share/debootstrap/scripts

# A bare root with git: made once.
bare() {
  [ -d "$roots/$1" ] && return
  command -v debootstrap >/dev/null || { echo "debootstrap is not installed" >&2 && exit 2; }
  # An older debootstrap does not know younger suites; they are all made alike.
  local script=sid from=http://deb.debian.org/debian options=()
  case $1 in
    jammy | noble) script=gutsy from=http://archive.ubuntu.com/ubuntu options=(--components=main,universe) ;;
  esac
  [ ! -e "$scripts/$1" ] || script=$1
  if [ $script = gutsy ] && [ ! -e /usr/share/keyrings/ubuntu-archive-keyring.gpg ]; then
    echo "Ubuntu's keys are not installed: who signed its packages is not checked" >&2
    options+=(--no-check-gpg)
  fi
  echo "making $roots/$1" >&2
  rm -rf "$roots/$1.partial"
  debootstrap --variant=minbase --include=git,ca-certificates "${options[@]}" "$1" "$roots/$1.partial" $from "$scripts/$script" \
    >"$out/$1-debootstrap.log" 2>&1 || { tail -5 "$out/$1-debootstrap.log" >&2 && exit 1; }
  mv "$roots/$1.partial" "$roots/$1"
}

# inside ROOT COMMAND...: with its own mounts and processes, which end with it.
inside() {
  local root=$1
  shift
  local apart=(--mount --pid --fork --kill-child)
  [ -z "$network" ] && apart+=(--net)
  unshare "${apart[@]}" bash -c '
    root=$1
    shift
    mount -t proc proc "$root/proc"
    mount -t tmpfs tmpfs "$root/dev/shm"
    exec chroot "$root" "$@"' - "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    LANG=C.UTF-8 TERM=dumb "$@"
}

failed=0
for suite in "${suites[@]}"; do
  bare "$suite"
  if [ -n "$list" ]; then
    du -sh "$roots/$suite"
    continue
  fi
  root=$(mktemp -d "$roots/try-$suite-XXXXXX")
  log=$(tr -cs 'a-zA-Z0-9' '-' <<<"$suite-$who-$name" | cut -c1-80)
  log=$out/${log%-}.log
  echo "== $suite, as $who, in $folder${with:+, with $with}${offline:+, offline}: $name; the log: $log"
  cp -a "$roots/$suite/." "$root"
  cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  network=yes
  packages=$with
  [ "$who" = sudo ] && packages+=" sudo"
  if [ -n "$packages" ]; then
    inside "$root" sh -c "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $packages" \
      >"$log" 2>&1 || { tail -5 "$log" && exit 1; }
  fi
  inside "$root" useradd --create-home --shell /bin/bash someone
  [ "$who" = sudo ] && echo 'someone ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/someone"
  mkdir -p "$root$folder"
  git clone -q --no-hardlinks "$home" "$root$folder"
  git -C "$root$folder" -c advice.detachedHead=false checkout -q "$(git -C "$home" rev-parse HEAD)"
  user=root
  if [ "$who" != root ]; then
    user=someone
    inside "$root" chown -R someone: "$folder" "$(dirname "$folder")"
  fi
  [ -n "$offline" ] && network=
  before=$(du -sxm "$root" | cut -f1)
  began=$SECONDS
  status=0
  TIMEFORMAT='%0U %0S'
  { time inside "$root" runuser -u $user -- sh -c 'cd "$1" && shift && exec "$@"' - "$folder" "$@" >"$log" 2>&1 </dev/null; } \
    2>"$out/time" || status=$?
  read -r in_user in_system <"$out/time"
  time=$((SECONDS - began))
  result=good
  if [ -n "$fails" ]; then
    [ $status -ne 0 ] || result="status 0, which should be another"
  else
    [ $status -eq 0 ] || result="status $status"
  fi
  [ -z "$says" ] || tr -s ' \n' ' ' <"$log" | grep -qE -- "$says" || result="$result; it did not say '$says'"
  versions=$(inside "$root" dpkg-query -W -f='${db:Status-Abbrev} ${Package} ${Version}\n' 'g++' cmake libtorch-dev libxtensor-dev \
    libeigen3-dev libboost-dev catch2 clang 2>/dev/null | sed -n 's/^ii *//p' | sed 's/[-+~][^ ]*$//; s/ [0-9]*:/ /' | paste -sd, | sed 's/,/, /g') || true
  grown=$(($(du -sxm "$root" | cut -f1) - before))
  [ "$result" = good ] || { failed=1 && tail -20 "$log"; }
  echo "   $result after $((time / 60)) min $((time % 60)) s ($((in_user + in_system)) s of processors); $grown MB on disk; ${versions:-no packages}"
  [ -e "$out/table.md" ] || printf '| suite | as | command | result | time | of processors | disk | versions |\n|---|---|---|---|---|---|---|---|\n' >"$out/table.md"
  echo "| $suite | $who${offline:+, offline}${with:+, with $with} | $name | $result | $((time / 60)) min $((time % 60)) s | $((in_user + in_system)) s | $grown MB | $versions |" \
    >>"$out/table.md"
  if [ -n "$keep" ]; then
    echo "   kept: $root"
  else
    rm -rf --one-file-system "$root"
  fi
done
exit $failed
