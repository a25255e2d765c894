target_link_options(test_steady PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
