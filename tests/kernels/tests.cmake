# The table of operations, shared by the tests and the benchmark, and the vector kernels over plain C.
set(kernels_tests ${CMAKE_CURRENT_SOURCE_DIR}/kernels)
dlqat_kernels_variant(dlqat_kernels_plain16 plain16 -O1 -fno-var-tracking)
dlqat_kernels_bf16(dlqat_kernels_plain16dots plain16dots plain16 -O1 -fno-var-tracking)
dlqat_kernels_bf16(dlqat_kernels_plain16tiles plain16tiles plain16 -O1 -fno-var-tracking -DDQ_BF16_TILES)
foreach(test test_kernels test_kernels_bits)
  target_sources(${test} PRIVATE ${kernels_tests}/emulated.c ${kernels_tests}/operations.c
    ${kernels_tests}/operations_attention.c ${kernels_tests}/operations_gemm.c ${kernels_tests}/operations_coded.c
    ${kernels_tests}/operations_rows.c ${kernels_tests}/operations_fakequant.c ${kernels_tests}/operations_tables.c
    ${kernels_tests}/operations_sampled.c
    $<TARGET_OBJECTS:dlqat_kernels_plain16>
    $<TARGET_OBJECTS:dlqat_kernels_plain16dots> $<TARGET_OBJECTS:dlqat_kernels_plain16tiles>)
endforeach()
target_sources(test_pack_coded PRIVATE ${kernels_tests}/emulated.c $<TARGET_OBJECTS:dlqat_kernels_plain16>
  $<TARGET_OBJECTS:dlqat_kernels_plain16dots> $<TARGET_OBJECTS:dlqat_kernels_plain16tiles>)

# The longest tests run before all others, side by side: test_kernels in parts.
foreach(part gemm gemm_packed)
  add_test(NAME test_kernels_${part} COMMAND test_kernels ${part})
  set_tests_properties(test_kernels_${part} PROPERTIES COST 1000 TIMEOUT 600 ENVIRONMENT "${test_environment}")
endforeach()
set_tests_properties(test_kernels_bits PROPERTIES COST 1000)
