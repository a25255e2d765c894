/* A .safetensors file: opened, every tensor found and read. */
#include "fuzz.h"

#include "formats/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    dlqat_error error;
    dq_safetensors *file;
    if (dq_safetensors_open(&file, fuzz_file("model.safetensors", data, size), &error) != DLQAT_OK) return 0;
    size_t bytes = 0;
    for (size_t i = 0; i < dq_safetensors_count(file); i++) {
        const dq_tensor *tensor = dq_safetensors_at(file, i);
        FUZZ_REQUIRE(dq_safetensors_find(file, tensor->name) == tensor);
        fuzz_read_tensor(tensor);
        bytes += tensor->bytes;
    }
    FUZZ_REQUIRE(bytes <= size); /* tensors do not overlap */
    (void)dq_safetensors_metadata(file, "format");
    dq_safetensors_close(file);
    return 0;
}

void fuzz_seeds(fuzz_sink *sink) {
    fuzz_seed_fixture(sink, "formats/types.safetensors");
    fuzz_seed_fixture(sink, "families/llama3/expected/values.safetensors");
}
