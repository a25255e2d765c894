# Decoding runs over whole models at start; at -O2 gcc leaves these loops scalar.
set_source_files_properties(src/formats/blocks.c src/formats/tensor.c src/formats/affine.c PROPERTIES COMPILE_OPTIONS "-O3")
