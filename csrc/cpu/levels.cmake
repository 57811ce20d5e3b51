# The instruction sets that kernels are compiled for.

set(VAEKERN_FLAGS_OF_x86_64_v2 -march=x86-64-v2)
set(VAEKERN_FLAGS_OF_x86_64_v3 -march=x86-64-v3)
set(VAEKERN_FLAGS_OF_x86_64_v4 -march=x86-64-v4 -mprefer-vector-width=512)

# The best of the machine that compiles and, for a build that moves (a login node may have AVX-512
# where others of its cluster have none), that of every processor since 2015; or all.
function(vaekern_cpu_levels result)
  set(levels x86_64_v2 x86_64_v3 x86_64_v4)
  if(VAEKERN_CPU_LEVELS STREQUAL "AUTO" AND NOT CMAKE_CROSSCOMPILING)
    # Asked each time: the folder may have come from another machine.
    try_run(VAEKERN_LEVEL_FAILED VAEKERN_LEVEL_COMPILES ${CMAKE_BINARY_DIR}/best_level
            ${CMAKE_CURRENT_SOURCE_DIR}/cpu/best_level.cpp RUN_OUTPUT_VARIABLE best)
    if(VAEKERN_LEVEL_COMPILES AND VAEKERN_LEVEL_FAILED EQUAL 0)
      string(STRIP "${best}" best)
      set(levels ${best})
      if(best STREQUAL "x86_64_v4")
        set(levels x86_64_v3 x86_64_v4)
      endif()
    endif()
    unset(VAEKERN_LEVEL_FAILED CACHE)
    unset(VAEKERN_LEVEL_COMPILES CACHE)
  endif()
  message(STATUS "vaekern: CPU kernels for ${levels}")
  set(${result} ${levels} PARENT_SCOPE)
endfunction()
