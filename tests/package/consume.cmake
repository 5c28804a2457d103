# Configure one of the projects here; then build and run it, or expect it to fail with certain words.
#
#   cmake -DPROJECT=<folder> -DWORK=<folder> -DSETTINGS=<-D...> [-DSAYS=<what the program prints>]
#         [-DREFUSED=<what CMake ends with>] -P consume.cmake
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
if(NOT SAYS)
  return()
endif()

# The compiler sees a search path, a language level and, on some systems, that there are threads.
file(READ ${WORK}/compile_commands.json commands)
string(JSON command GET "${commands}" 0 command)
separate_arguments(words UNIX_COMMAND "${command}")
list(POP_FRONT words)
while(words)
  list(POP_FRONT words word)
  if(word MATCHES "^(-isystem|-o|-c|-MF|-MT)$")
    list(POP_FRONT words)
  elseif(NOT word MATCHES "^(-I.*|-MD|-std=(gnu|c)\\+\\+20|-pthread)$")
    message(FATAL_ERROR "the compiler was told ${word}: ${command}")
  endif()
endwhile()

step(${CMAKE_COMMAND} --build ${WORK})
execute_process(COMMAND ${WORK}/program OUTPUT_VARIABLE text RESULT_VARIABLE code)
if(NOT code EQUAL 0 OR NOT text MATCHES "${SAYS}")
  message(FATAL_ERROR "the program ended with ${code} and said: ${text}")
endif()
