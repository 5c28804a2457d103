# Configure cambium by itself, install it, and move the installation elsewhere.
#
#   cmake -DCAMBIUM=<sources> -DWORK=<folder> -DSETTINGS=<-D...> -P install.cmake
include(${CMAKE_CURRENT_LIST_DIR}/step.cmake)
file(REMOVE_RECURSE ${WORK})
step(${CMAKE_COMMAND} -S ${CAMBIUM} -B ${WORK}/build ${TOOLS} -DCAMBIUM_TESTS=OFF -DCAMBIUM_EXAMPLES=OFF
     -DCAMBIUM_BENCH=OFF ${SETTINGS})
step(${CMAKE_COMMAND} --install ${WORK}/build --prefix ${WORK}/installed)
file(RENAME ${WORK}/installed "${WORK}/moved since")  # an installation that knows its own place would break here
file(REMOVE_RECURSE ${WORK}/build)

file(GLOB_RECURSE sources RELATIVE ${CAMBIUM}/include ${CAMBIUM}/include/*)
file(GLOB_RECURSE headers RELATIVE "${WORK}/moved since/include" "${WORK}/moved since/include/*")
if(NOT sources STREQUAL headers)
  message(FATAL_ERROR "these headers were installed: ${headers}\nthese are there: ${sources}")
endif()
file(GLOB_RECURSE others RELATIVE "${WORK}/moved since" "${WORK}/moved since/*")
list(FILTER others EXCLUDE REGEX "^include/cambium/|/cmake/cambium/cambium-[a-z-]+\\.cmake$")
if(others)
  message(FATAL_ERROR "these were installed besides headers and CMake's files: ${others}")
endif()
