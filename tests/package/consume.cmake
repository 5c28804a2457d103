# Configure one of the projects here; then build and run it, or expect it to fail with certain words.
#
#   cmake -DPROJECT=<folder> -DWORK=<folder> -DSETTINGS=<-D...> -DOPENMP=<whether it is used> [-DSAYS=<what the program
#         prints>] [-DTELLS=<what CMake prints>] [-DREFUSED=<what CMake ends with>] -P consume.cmake
include(${CMAKE_CURRENT_LIST_DIR}/step.cmake)
file(REMOVE_RECURSE ${WORK})
set(configure ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/${PROJECT} -B ${WORK} ${TOOLS} ${SETTINGS}
              -DCMAKE_BUILD_TYPE= -DCMAKE_EXPORT_COMPILE_COMMANDS=ON)
if(REFUSED)
  execute_process(COMMAND ${configure} RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE text)
  string(REGEX REPLACE "[ \n]+" " " text "${text}")  # messages are wrapped
  if(code EQUAL 0 OR NOT text MATCHES "${REFUSED}")
    message(FATAL_ERROR "'${REFUSED}' was expected; exit code ${code}:\n${text}")
  endif()
  return()
endif()
step(${configure})
if(NOT step_said MATCHES "${TELLS}")
  message(FATAL_ERROR "'${TELLS}' was expected of CMake, which said:\n${step_said}")
endif()
if(NOT SAYS)
  return()
endif()

# The compiler sees a search path, a language level and OpenMP.
file(READ ${WORK}/compile_commands.json commands)
string(JSON command GET "${commands}" 0 command)
separate_arguments(words UNIX_COMMAND "${command}")
list(POP_FRONT words)
set(parallel FALSE)
while(words)
  list(POP_FRONT words word)
  if(word MATCHES "^(-isystem|-o|-c|-MF|-MT)$")
    list(POP_FRONT words)
  elseif(NOT word MATCHES "^(-I.*|-MD|-std=(gnu|c)\\+\\+20|-fopenmp(=[a-z0-9]+)?)$")
    message(FATAL_ERROR "the compiler was told ${word}: ${command}")
  elseif(word MATCHES "openmp")
    set(parallel TRUE)
  endif()
endwhile()
if((OPENMP AND NOT parallel) OR (parallel AND NOT OPENMP))
  message(FATAL_ERROR "OpenMP should be '${OPENMP}': ${command}")
endif()

step(${CMAKE_COMMAND} --build ${WORK})
execute_process(COMMAND ${WORK}/program OUTPUT_VARIABLE text RESULT_VARIABLE code)
if(NOT code EQUAL 0 OR NOT text MATCHES "${SAYS}")
  message(FATAL_ERROR "the program ended with ${code} and said: ${text}")
endif()
