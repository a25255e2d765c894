# The kernels: the reference in plain C, and the same operations for instruction sets chosen at run time (dispatch.c).
set(kernels_dir ${CMAKE_CURRENT_SOURCE_DIR}/src/kernels)

file(GLOB kernels_reference CONFIGURE_DEPENDS ${kernels_dir}/reference/*.c)
target_sources(dlqat PRIVATE ${kernels_reference})
set_source_files_properties(${kernels_reference} PROPERTIES COMPILE_OPTIONS "-O3")
