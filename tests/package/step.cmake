# The tools of the build that runs these tests, and nothing else of its settings.
set(TOOLS -G ${GENERATOR} -DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM} -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_CXX_COMPILER_LAUNCHER=
          --no-warn-unused-cli)
string(REPLACE "|" ";" SETTINGS "${SETTINGS}")  # a list that survives the way through a command line
foreach(variable CXXFLAGS CPPFLAGS LDFLAGS CMAKE_PREFIX_PATH cambium_DIR)
  unset(ENV{${variable}})
endforeach()

# Run a command that must succeed; what it says is in step_said, and shown only if it does not.
function(step)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nended with ${code}:\n${text}")
  endif()
  set(step_said "${text}" PARENT_SCOPE)
endfunction()
