#!/usr/bin/env bash
# What goes wrong on bare machines, and the sentence that says so: each row in a root of its own, some 20 minutes together.
# ROOTS and OUT as for run.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
failed=0
try() { ./run.sh "$@" || failed=1; }

# README's way to install the headers, then a project that finds them, in the folder `used` beside the clone's sources.
headers='cmake -S . -B build -DCAMBIUM_TESTS=OFF -DCAMBIUM_EXAMPLES=OFF -DCAMBIUM_BENCH=OFF && cmake --install build --prefix there'
project='mkdir used && cp examples/03_random_walk.cpp used && printf "%s\n" "cmake_minimum_required(VERSION 3.22)" "project(used CXX)" \
  "find_package(cambium REQUIRED)" "add_executable(used 03_random_walk.cpp)" "target_link_libraries(used PRIVATE cambium::cambium)" \
  >used/CMakeLists.txt && cmake -S used -B used/build -DCMAKE_PREFIX_PATH="$PWD/there" && cmake --build used/build && used/build/used'

for suite in ${SUITES:-bookworm trixie forky}; do
  # nothing but a compiler and a build program
  try --name 'headers, with make' --suite "$suite" --with 'g++ cmake make' --in '/home/someone/with blanks/cambium' --says 'without cambium::io, since these packages were not found: PNG, JPEG' \
    sh -c "$headers && $project"
  try --name 'headers, with ninja' --suite "$suite" --with 'g++ cmake ninja-build' sh -c "export CMAKE_GENERATOR=Ninja && $headers && $project"
  # clang
  try --name 'headers, clang' --suite "$suite" --with 'clang cmake make' sh -c "export CXX=clang++ && $headers && $project"
  # io is asked for, and not there
  try --name 'io is asked for, and its packages are missing' --suite "$suite" --with 'g++ cmake make' --fails --says 'CAMBIUM_IO is ON, and these packages were not found: PNG, JPEG, nlohmann_json, pugixml' \
    cmake -S . -B build -DCAMBIUM_IO=ON -DCAMBIUM_TESTS=OFF
  # packages cannot be installed
  try --name 'no network' --suite "$suite" --offline --fails --says 'there is no network' ./run demo
  try --name 'neither root nor sudo' --suite "$suite" --as user --fails --says 'you are not root, and there is no sudo' ./run demo
  try --name 'sudo refuses' --suite "$suite" --as user --with sudo --fails --says 'sudo did not let you' ./run demo
  # and can be, in a folder with blanks
  try --name 'sudo, in a folder with blanks' --suite "$suite" --as sudo --in '/home/someone/my work/cambium' --says 'Usage: points' ./run points --help
done
# the second compiler, without the tool that looks for modules
try --name 'clang++ without clang-scan-deps' --suite trixie --with 'clang cmake ninja-build nlohmann-json3-dev libpng-dev libjpeg-dev libpugixml-dev libcli11-dev libssl-dev' \
  sh -c 'cmake -S . -B build -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCAMBIUM_TESTS=OFF -DCAMBIUM_BENCH=OFF && cmake --build build --target example_03_random_walk'
exit $failed
