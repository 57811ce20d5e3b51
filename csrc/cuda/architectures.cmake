# Which GPUs the kernels are compiled for: those asked for by CMAKE_CUDA_ARCHITECTURES or CUDAARCHS,
# else those of this machine, else every generation in use.
#
# Compiling to PTX, once for each `arch=` below, takes longer than from there to the machine code of
# one generation, each `sm_`, and the kernels use nothing newer than 8.0. The machine code of that
# runs on 8.6 and 8.9, too, and the PTX on those to come. 7.5 would need PTX of its own, and has it
# where such a GPU is, or is asked for.

# The compute capabilities of the GPUs here, as 90 for 9.0; empty where there are none, or where
# this nvcc does not know one of them.
function(vaekern_own_gpus result)
  set(${result} "" PARENT_SCOPE)
  find_program(VAEKERN_NVIDIA_SMI nvidia-smi)
  if(NOT VAEKERN_NVIDIA_SMI)
    return()
  endif()
  execute_process(COMMAND ${VAEKERN_NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader
                  OUTPUT_VARIABLE found RESULT_VARIABLE failed ERROR_QUIET TIMEOUT 20)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code OUTPUT_VARIABLE known ERROR_QUIET)
  if(failed)
    return()
  endif()
  string(REGEX MATCHALL "[0-9]+\\.[0-9]" found "${found}")
  string(REPLACE "." "" found "${found}")
  list(REMOVE_DUPLICATES found)
  string(REGEX MATCHALL "[0-9a-z_]+" known "${known}")
  foreach(capability ${found})
    if(capability LESS 75 OR NOT "sm_${capability}" IN_LIST known)
      return()
    endif()
  endforeach()
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# Sets what to call them, and the options of nvcc that CMake does not give itself.
function(vaekern_choose_architectures names options asked_for)
  set(${options} "" PARENT_SCOPE)
  if(asked_for)
    string(REPLACE ";" " " asked_for "${asked_for}")
    set(${names} "${asked_for}" PARENT_SCOPE)
    return()
  endif()
  vaekern_own_gpus(own)
  if(own)
    foreach(capability ${own})
      list(APPEND found
           --generate-code=arch=compute_${capability},code=[compute_${capability},sm_${capability}])
    endforeach()
  else()
    set(own 80 90-real)
    set(machine_code sm_80,sm_90)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
      list(APPEND own 100-real 120-real)
      string(APPEND machine_code ,sm_100,sm_120)
    endif()
    set(found --generate-code=arch=compute_80,code=[compute_80,${machine_code}])
    # A sixth of the size, for seconds. Not before 13: drivers for 12 cannot all read it.
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
      list(APPEND found --compress-mode=size)
    endif()
  endif()
  string(REPLACE ";" " " own "${own}")
  set(${names} "${own}" PARENT_SCOPE)
  set(${options} ${found} PARENT_SCOPE)
endfunction()
