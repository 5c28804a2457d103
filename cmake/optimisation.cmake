# How our own programs are optimised; included before project(). CMake's own Release is -O3 -DNDEBUG; ours is -O2 with
# assertions left in, since a release build of ours that breaks should say so. What the builder says goes first: an -O in
# CXXFLAGS, CUDAFLAGS or CMAKE_<language>_FLAGS, or CMAKE_<language>_FLAGS_RELEASE.
foreach(language CXX CUDA)
  set(release -O2)
  if("$ENV{${language}FLAGS} ${CMAKE_${language}_FLAGS}" MATCHES "(^| )-O")
    set(release "")
  endif()
  set(CMAKE_${language}_FLAGS_RELEASE "${release}" CACHE STRING "Flags of Release for ${language}")
endforeach()
