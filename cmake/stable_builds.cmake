# What lets a second build in the same folder find the objects of the first.
#
# pip builds in a temporary environment, another one each time. ninja compiles again what is
# compiled by another command, so no path of that environment may be in one; and it does not see
# that a compiler was replaced at the same place.

# pybind11's headers, copied where they differ from what is there.
set(VAEKERN_PYBIND11_HEADERS ${CMAKE_BINARY_DIR}/include)
file(GLOB_RECURSE headers RELATIVE ${pybind11_INCLUDE_DIR} ${pybind11_INCLUDE_DIR}/pybind11/*.h)
foreach(header ${headers})
  get_filename_component(folder ${VAEKERN_PYBIND11_HEADERS}/${header} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  file(COPY_FILE ${pybind11_INCLUDE_DIR}/${header} ${VAEKERN_PYBIND11_HEADERS}/${header}
       ONLY_IF_DIFFERENT)
endforeach()

# Sources depend on a file that names the compiler, written where that is another one.
function(vaekern_compile_again_with_another_compiler source)
  set(language CXX)
  if(source MATCHES "\\.cu$")
    set(language CUDA)
  endif()
  set(name ${CMAKE_BINARY_DIR}/compiler_${language}.txt)
  set(text "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}\n")  # nvcc's host compiler, too
  if(language STREQUAL "CUDA")
    string(APPEND text "${CMAKE_CUDA_COMPILER_ID} ${CMAKE_CUDA_COMPILER_VERSION}\n")
  endif()
  set(before "")
  if(EXISTS ${name})
    file(READ ${name} before)
  endif()
  if(NOT text STREQUAL before)
    file(WRITE ${name} "${text}")
  endif()
  set_property(SOURCE ${source} APPEND PROPERTY OBJECT_DEPENDS ${name})
endfunction()
