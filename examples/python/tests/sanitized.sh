#!/usr/bin/env bash
# The random calls of fuzz.py under the address and undefined-behaviour sanitizers, which end Python at the first fault:
# sanitized.sh [SECONDS [SEED]]. It builds pycambium with them into build/python-sanitized. It needs what ./run wheel needs.
set -euo pipefail
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=$(cd "$tests/../../.." && pwd)
folder=$home/build/python-sanitized
[ -x "$folder/bin/pip" ] || python3 -m venv "$folder"
"$folder/bin/pip" install -q --disable-pip-version-check scikit-build-core==1.1.2 nanobind==3.1.0 nanobind-backend==1.0.0 numpy
"$folder/bin/pip" install -q --disable-pip-version-check --no-build-isolation -C build-dir="$folder/build" \
  -C cmake.define.CAMBIUM_SANITIZE=address,undefined -C cmake.define.PYCAMBIUM_PROGRAMS=OFF -C cmake.build-type=RelWithDebInfo \
  -C cmake.define.CMAKE_CXX_FLAGS_RELWITHDEBINFO='-O0 -g1' "$home"

# The sanitizer's own operator new ends the process where memory is short. This one throws, as everywhere else.
cat >"$folder/new.cpp" <<'TEXT'
#include <cstdlib>
#include <new>
void* operator new(std::size_t size)
{
  if (void* const p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t at)
{
  void* p = nullptr;
  if (posix_memalign(&p, static_cast<std::size_t>(at), size) == 0) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, std::nothrow_t const&) noexcept { return std::malloc(size); }
void* operator new[](std::size_t size, std::nothrow_t const&) noexcept { return std::malloc(size); }
void operator delete(void* p, std::nothrow_t const&) noexcept { std::free(p); }
void operator delete[](void* p, std::nothrow_t const&) noexcept { std::free(p); }
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new[](std::size_t size, std::align_val_t at) { return operator new(size, at); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
TEXT
g++ -std=c++17 -shared -fPIC -O1 "$folder/new.cpp" -o "$folder/new.so"

cd "$(mktemp -d)"
export ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0:allocator_may_return_null=1:max_allocation_size_mb=4096 UBSAN_OPTIONS=print_stacktrace=1
LD_PRELOAD="$folder/new.so $(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so) $(g++ -print-file-name=libstdc++.so.6)" \
  "$folder/bin/python" -W ignore "$tests/fuzz.py" "${2:-1}" "${1:-60}" call || {
  status=$?
  echo "status $status in $(tr -s ' ' <call)" >&2
  exit $status
}
