# What our tests, examples and benches share. Nothing here is seen by a project that uses cambium.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)  # there are none; scanning needs clang-scan-deps and takes sources out of a unity build
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
find_package(Threads REQUIRED)

add_library(cambium_program INTERFACE)
target_compile_options(cambium_program INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion -Wshadow -Wunused-parameter>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${CAMBIUM_WERROR}>>:-Werror>)
if(CAMBIUM_SANITIZE)
  set(sanitize -fsanitize=${CAMBIUM_SANITIZE} -fno-omit-frame-pointer -g)
  if(CAMBIUM_SANITIZE MATCHES undefined)
    list(APPEND sanitize -fno-sanitize-recover=undefined)
  endif()
  target_compile_options(cambium_program INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${sanitize}>)
  target_link_options(cambium_program INTERFACE -fsanitize=${CAMBIUM_SANITIZE})
endif()

# CUDA: compiled wherever nvcc is, run wherever a device is.
set(CAMBIUM_WITH_CUDA OFF)
if(CAMBIUM_CUDA STREQUAL "ON" OR CAMBIUM_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "80;90" CACHE STRING "CUDA architectures")
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    set(CAMBIUM_WITH_CUDA ON)
  elseif(CAMBIUM_CUDA STREQUAL "ON")
    message(FATAL_ERROR "CAMBIUM_CUDA is ON but no nvcc was found")
  endif()
endif()
message(STATUS "cambium: CUDA ${CAMBIUM_WITH_CUDA}")
