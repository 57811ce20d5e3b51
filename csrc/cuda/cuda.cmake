# The CUDA kernels, as part of the module _core: where there is an nvcc, unless VAEKERN_CUDA says
# otherwise. They need neither torch's headers nor a driver to build; cudart is linked in.

if(VAEKERN_CUDA STREQUAL "OFF")
  message(STATUS "vaekern: no CUDA kernels (VAEKERN_CUDA=OFF)")
  return()
endif()

# check_language looks at CUDACXX and PATH alone.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(VAEKERN_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda
               PATH_SUFFIXES bin)
  if(VAEKERN_NVCC)
    set(CMAKE_CUDA_COMPILER ${VAEKERN_NVCC})
  endif()
endif()

# OFF: CMake would fill in a default of its own. What kernels are compiled for stands below.
set(asked_for ${CMAKE_CUDA_ARCHITECTURES})
if(NOT asked_for AND DEFINED ENV{CUDAARCHS})
  set(asked_for $ENV{CUDAARCHS})
endif()
if(NOT asked_for)
  set(CMAKE_CUDA_ARCHITECTURES OFF)
endif()
check_language(CUDA)
set(missing "")
if(NOT CMAKE_CUDA_COMPILER)
  set(missing "no working nvcc was found (looked at CUDACXX, PATH, CUDA_HOME, CUDA_PATH)")
else()
  enable_language(CUDA)
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # older versions of CMake do not know it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  endif()
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12)
    set(missing "nvcc ${CMAKE_CUDA_COMPILER_VERSION} does not know C++20, 12.0 does")
  endif()
endif()
if(missing AND VAEKERN_CUDA STREQUAL "ON")
  message(FATAL_ERROR "VAEKERN_CUDA=ON: ${missing}")
elseif(missing)
  message(STATUS "vaekern: no CUDA kernels: ${missing}")
  return()
endif()

include(cuda/architectures.cmake)
vaekern_choose_architectures(architectures code_options "${asked_for}")
message(STATUS "vaekern: CUDA kernels for ${architectures}")

# The list of operations, in parts that compile side by side.
# --fmad=false: fused multiply-adds are written out, as for the CPU.
set(parts 2)
function(vaekern_add_cuda_objects name source)
  vaekern_add_objects(${name} ${source})
  target_compile_definitions(${name} PRIVATE VK_TARGET=gpu VK_CUDA_PARTS=${parts} ${ARGN})
  target_compile_options(${name} PRIVATE --fmad=false ${code_options})
  set_target_properties(${name} PROPERTIES CUDA_STANDARD 20 CUDA_EXTENSIONS OFF
                        CUDA_VISIBILITY_PRESET hidden)
endfunction()

math(EXPR last_part "${parts} - 1")
foreach(part RANGE ${last_part})
  vaekern_add_cuda_objects(cuda_kernels_${part} cuda/kernels.cu VK_CUDA_PART=${part})
endforeach()
vaekern_add_cuda_objects(cuda_double_kernels cuda/double_kernels.cu)
vaekern_add_cuda_objects(cuda_mixture cuda/mixture.cu)
vaekern_add_cuda_objects(cuda_softmax cuda/softmax.cu)
vaekern_add_cuda_objects(cuda_backend cuda/backend.cu
                         "VK_CUDA_ARCHITECTURES=\"${architectures}\"")
target_compile_definitions(_core PRIVATE VK_CUDA)
