#!/usr/bin/env bash
# ./run on machines that lack something: a copy of it among stand-ins for apt, sudo, dpkg, cmake and the rest.
#
#   check_run.sh <run> <empty folder>
set -euo pipefail
work="$2/with blanks"
rm -rf "$work"
mkdir -p "$work/tools" "$work/home"
cp "$1" "$work/home/run"
cd "$work"
for tool in bash sed grep head tail cut fold paste seq wc mkdir dirname cat env tr touch chmod rm; do
  ln -s "$(command -v $tool)" tools/
done
[ -z "$(type -P flock)" ] || ln -s "$(type -P flock)" tools/
ln -s "$(type -P sleep)" tools/really_sleep
stand_in() { # NAME, its text
  printf '#!/usr/bin/env bash\n%s\n' "$2" >"tools/$1"
  chmod +x "tools/$1"
}
stand_in sleep :
stand_in nproc 'echo 2'
stand_in id 'echo ${WHO:-0}'
stand_in ctest 'echo "ctest $*"'
stand_in dpkg-query '[ -e "$STATE/installed" ] && [ "${!#}" != "${WITHOUT:-}" ] && echo "install ok installed"'
stand_in apt-get 'echo "apt-get $*" >>"$STATE/calls"
case "$* $APT" in
  *update*no_network) echo "Err:1 http://deb.debian.org/debian bookworm InRelease"
                      echo "  Temporary failure resolving '"'deb.debian.org'"'" ;;
  *update*locked) [ -e "$STATE/waited" ] || { touch "$STATE/waited"; echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt)"; exit 100; } ;;
  *assume-no*absent) echo "E: Unable to locate package libspecial-dev"; exit 100 ;;
  *assume-no*cached) echo "0 upgraded, 2 newly installed, 0 to remove."; echo "Need to get 0 B/5,120 kB of archives."; echo "After this operation, 9 MB of additional disk space will be used." ;;
  *assume-no*) echo "0 upgraded, 2 newly installed, 0 to remove."; echo "Need to get 5,120 kB of archives."; echo "After this operation, 9 MB of additional disk space will be used."; exit 1 ;;
  *install*broken) echo "E: You don'"'"'t have enough free space in /var/cache/apt/archives/."; exit 100 ;;
  *install*) echo "Get:1 http://deb.debian.org/debian g++"; echo "Unpacking g++"; echo "Setting up g++"; touch "$STATE/installed" ;;
esac'
stand_in cmake 'echo "cmake $*"
[ "$1" != --build ] || {
  [ -z "${BROKEN:-}" ] || { echo "[1/2] Building CXX object a/b.cpp.o"; echo "b.cpp:3: error: no"; echo "FAILED: a/b.cpp.o"; exit 1; }
  [ -z "${SLOW:-}" ] || {
    [ ! -e "$STATE/building" ] || touch "$STATE/clash"
    touch "$STATE/building" && really_sleep 1 && rm -f "$STATE/building"
  }
  [ -e "$2/build.ninja" ] || { echo "[1/2] Building CXX object a/b.cpp.o"; echo "[2/2] Linking CXX executable points"; }
  mkdir -p "$2/examples/label"
  touch "$2/build.ninja"
  for program in points label; do
    echo "#!/usr/bin/env bash" >"$2/examples/label/$program"
    echo "echo $program: \"\$*\"" >>"$2/examples/label/$program"
    chmod +x "$2/examples/label/$program"
  done
}'
stand_in mpirun 'echo "mpirun: $1 $2"; while [ -n "$1" ] && [ "${1##*/}" != label ]; do shift; done; "$@"'

# ran STATUS [SETTING=VALUE...]: ./run points, from another folder, must end with STATUS; what it says is in $said.
ran() {
  local expected=$1 status=0
  shift
  rm -rf home/build
  again "$@" || status=$?
  [ $status -eq "$expected" ] || wrong "status $status instead of $expected"
}
again() { other points "$@"; }
other() { # COMMAND [SETTING=VALUE...]
  local words=($1)
  [ "$1" = test ] || words+=(--x 'a b')
  shift
  said=$(cd tools && env -i PATH="$work/tools" STATE="$work/state" TERM=xterm "$@" ../home/run "${words[@]}" 2>&1 </dev/null)
}
wrong() {
  printf '%s with %s; it said:\n%s\n' "$1" "$case_" "$said"
  exit 1
}
says() { [[ "$said" = *"$1"* ]] || wrong "'$1' is missing"; }
silent() { [[ "$said" != *"$1"* ]] || wrong "'$1' is said"; }
fresh() {
  case_=$1
  rm -rf state
  mkdir state
}

fresh 'nobody who may install'
ran 75 WHO=1000
says 'These packages are missing, and only root may install them; you are not root, and there is no sudo.'
says 'apt-get install g++ cmake'
silent 'installing'
[ ! -e state/calls ] || wrong 'apt-get was called'

fresh 'sudo that refuses'
stand_in sudo 'exit 1'
ran 75 WHO=1000
says 'sudo did not let you'
silent 'installing'

fresh 'sudo that lets'
stand_in sudo '[ "$1" != -n ] || shift; exec "$@"'
ln -s "$(type -P true)" tools/
ran 0 WHO=1000
says 'points: --x a b'

fresh 'no network'
ran 75 APT=no_network
says 'They cannot be fetched: there is no network, or it does not reach deb.debian.org. The whole log is '
[ "$(wc -l <<<"$said")" -le 5 ] || wrong 'it says too much'

fresh 'a package that is not there'
ran 75 APT=absent
says 'The package archives of this system do not have: libspecial-dev.'

fresh 'a full disk'
ran 1 APT=broken
says "apt-get could not install the packages: You don't have enough free space in /var/cache/apt/archives/. The whole log is "

fresh 'another apt at work'
ran 0 APT=locked
says 'another program is installing packages; waiting for it'
says 'points: --x a b'

fresh 'a failing build'
ran 1 BROKEN=yes
says 'b.cpp:3: error: no'
says 'the build failed; the whole log is '

fresh 'everything'
ran 0
says '[1/3] installing packages'
says '2 packages, 5,120 kB to fetch, 9 MB on disk'
says "[2/3] building 'points'"
says "[3/3] running 'points'"
says 'points: --x a b'
silent $'\033'
silent 'Unpacking'
grep -q 'Unpacking g++' home/build/packages.log || wrong 'the log of apt is not in its file'
grep -q 'Building CXX' home/build/programs/build.log || wrong 'the log of the build is not in its file'

case_='several processes'
other 'label --mpi 3'
says 'mpirun: -n 3'
says 'label: --mpi --x a b'
other 'label --mpi=3'
says 'mpirun: -n 3'
says 'label: --mpi --x a b'
other 'label --mpi'
says 'mpirun: -n 2'
other 'label --mpi 3' OMPI_COMM_WORLD_SIZE=3
[ "$said" = 'label: --mpi --x a b' ] || wrong 'mpirun was started inside mpirun'
other 'label --threads 3'
[ "$said" = 'label: --threads 3 --x a b' ] || wrong 'something else was started'

fresh 'several processes, without their packages'
other 'label --mpi 3'
says ' libopenmpi-dev openmpi-bin'
says 'label: --mpi --x a b'

fresh 'tar shards, without their package'
other 'label --images set.tar'
says ' libarchive-dev'

fresh 'a package that can be done without'
touch state/installed
other test WITHOUT=iproute2 APT=no_network
says 'These packages are missing: iproute2.'
says 'going on without: libopenmpi-dev openmpi-bin iproute2'
says 'ctest --output-on-failure'

case_='nothing to do'
again
[ "$said" = 'points: --x a b' ] || wrong 'something else was said'

if [ -e tools/flock ]; then
  fresh 'two commands at once'
  rm -rf home/build
  touch state/installed
  { again SLOW=yes && printf '%s\n' "$said" >first; } &
  again SLOW=yes
  wait $! || wrong 'the first one failed'
  [ ! -e state/clash ] || wrong 'both were building'
  said+=$(<first)
  says 'another command is building this; waiting for it'
  [ "$(grep -o 'points: --x a b' <<<"$said" | wc -l)" = 2 ] || wrong 'not both ran'
fi

fresh 'no network, and all packages fetched'
sed -i 's/\*assume-no\*cached/*assume-no*no_network/' tools/apt-get
ran 0 APT=no_network
says '2 packages, 0 B to fetch'
echo "./run says what it should"
