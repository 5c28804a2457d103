# LibTorch for the CPU: TORCH_LIBRARIES, TORCH_INCLUDE_DIRS, TORCH_CXX_FLAGS.
#
# find_package(Torch) finds them where LibTorch was built for the CPU alone, as Debian's is. PyPI's is built with CUDA: its
# package wants nvcc and the toolkit that it was built with, for libraries that the CPU does not need. Of such a LibTorch
# only the CPU's libraries are linked, without its package.
find_package(Torch 9999 QUIET CONFIG)  # no version is as high: CMake says what it found and loads nothing
if(NOT Torch_CONSIDERED_CONFIGS)
  message(FATAL_ERROR "LibTorch was not found. Install Debian's or Ubuntu's libtorch-dev, or say where PyTorch lies: "
                      "-DCMAKE_PREFIX_PATH=\"WHERE_CAMBIUM_LIES;"
                      "$(python3 -c 'import torch; print(torch.utils.cmake_prefix_path)')\"")
endif()
list(GET Torch_CONSIDERED_CONFIGS 0 libtorch_config)
list(GET Torch_CONSIDERED_VERSIONS 0 libtorch_version)
get_filename_component(Torch_DIR "${libtorch_config}" DIRECTORY)
set(Torch_DIR "${Torch_DIR}" CACHE PATH "The folder of TorchConfig.cmake" FORCE)
get_filename_component(libtorch_root "${Torch_DIR}/../../.." ABSOLUTE)
if(EXISTS "${libtorch_root}/lib/libtorch_cuda.so")
  # The libraries that lie beside LibTorch serve the trainer, too. CMake would warn of it for every program, if it were to make
  # the run path.
  set(CMAKE_SKIP_BUILD_RPATH ON)
  add_link_options("LINKER:-rpath,${libtorch_root}/lib")
  set(TORCH_INCLUDE_DIRS "${libtorch_root}/include" "${libtorch_root}/include/torch/csrc/api/include")
  set(TORCH_LIBRARIES "${libtorch_root}/lib/libtorch_cpu.so" "${libtorch_root}/lib/libc10.so")
  # Its strings may have the layout of before 2015.
  file(STRINGS "${libtorch_config}" TORCH_CXX_FLAGS REGEX "_GLIBCXX_USE_CXX11_ABI=[01]")
  string(REGEX MATCH "-D_GLIBCXX_USE_CXX11_ABI=[01]" TORCH_CXX_FLAGS "${TORCH_CXX_FLAGS}")
  message(STATUS "Found Torch: ${libtorch_root}/lib/libtorch_cpu.so (${libtorch_version}, its CPU's half)")
else()
  find_package(Torch REQUIRED)
endif()
