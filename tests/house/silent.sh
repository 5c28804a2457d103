#!/usr/bin/env bash
# Are the headers silent in a strict project?
#
#   tests/house/silent.sh [-q] COMPILER [FLAG...]      # tests/house/silent.sh g++-14 -isystem /usr/include/eigen3
#
# One source holds every header, and every example, so that templates are instantiated. Headers come by -I: by -isystem
# they would be silent whatever they do. C++20, 23 and 26, -O2 and -O3; -q: the newest standard alone, without
# optimisation.
set -euo pipefail
quick=no
if [ "${1-}" = -q ]; then quick=yes; shift; fi
[ $# -ge 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
compiler=$1; shift
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

{
  cd "$root/include"
  find cambium -name '*.hpp' ! -name gpu.hpp ! -name device.hpp ! -name 'torch*.hpp' ! -name nanobind.hpp | LC_ALL=C sort | sed 's/.*/#include <&>/'  # theirs are elsewhere
  cd "$root/examples"
  grep -h '^#include <' ./*.cpp | LC_ALL=C sort -u
  for example in [0-9]*.cpp; do
    number=${example%%_*}
    printf 'namespace example_%s {\n' "$number"
    sed -e '/^#include/d' -e 's/^int main(/int example(/' -e '$s/^}$/  return 0;\n}/' "$example"
    echo '}'
  done
  echo 'int main() {}'
} > "$work/all.cpp"

# The newest standard has the name that the compiler knows.
newest=c++26
"$compiler" -std=c++26 -fsyntax-only -x c++ /dev/null 2> /dev/null || newest=c++2c
"$compiler" -std=$newest -fsyntax-only -x c++ /dev/null 2> /dev/null || newest=c++2b
if [ $quick = yes ]; then
  modes=("-std=$newest")
else
  modes=("-std=c++20 -O2" "-std=c++20 -O3" "-std=c++2b -O2" "-std=$newest -O2")
fi

failed=0
for mode in "${modes[@]}"; do
  read -ra flags <<< "$mode"
  if "$compiler" "${flags[@]}" -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror \
      -I "$root/include" "$@" -S -o /dev/null "$work/all.cpp"; then
    echo "$compiler $mode: silent"
  else
    echo "$compiler $mode: NOT silent"
    failed=1
  fi
done
exit $failed
