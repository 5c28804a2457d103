# Our own programs are compiled with -O2 and assertions, unless the builder says otherwise; warnings are errors where that is
# asked for.
#
#   cmake -DCAMBIUM=<sources> -DWORK=<folder> -P optimisation.cmake
include(${CMAKE_CURRENT_LIST_DIR}/step.cmake)
unset(ENV{CUDAFLAGS})
unset(ENV{CMAKE_BUILD_TYPE})

# compiled(<words the compiler is told> <settings...>): all that it is told about optimisation, assertions and errors.
function(compiled expected)
  file(REMOVE_RECURSE ${WORK})
  step(${CMAKE_COMMAND} -S ${CAMBIUM} -B ${WORK} ${TOOLS} -DCAMBIUM_TESTS=OFF -DCAMBIUM_BENCH=OFF -DCAMBIUM_CUDA=OFF ${ARGN})
  file(READ ${WORK}/compile_commands.json commands)
  string(JSON command GET "${commands}" 0 command)
  string(REGEX MATCHALL " -(O[^ ]*|DNDEBUG|Werror|fmodules[^ ]*)" words "${command}")
  string(STRIP "${words}" words)
  if(NOT words STREQUAL expected)
    message(FATAL_ERROR "'${expected}' was expected with '${ARGN}': ${command}")
  endif()
endfunction()

compiled("-O2")
compiled("-O2" -DCMAKE_BUILD_TYPE=Release)
compiled("-O3; -DNDEBUG" "-DCMAKE_CXX_FLAGS_RELEASE=-O3 -DNDEBUG")
compiled("-O0" -DCMAKE_CXX_FLAGS=-O0)
compiled("" -DCMAKE_BUILD_TYPE=Debug)
compiled("-O2; -Werror" -DCAMBIUM_WERROR=ON)
set(ENV{CXXFLAGS} "-g -Os")
compiled("-Os")
