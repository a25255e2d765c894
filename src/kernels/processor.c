#define _GNU_SOURCE /* syscall */
#include "kernels/processor.h"

#if defined(__x86_64__)

#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Not every compiler's test knows it: leaf 1 of CPUID. */
static bool have_f16c(void) {
    enum { F16C = 1 << 29 };
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & F16C) != 0;
}

/* The compiler's tests cover the system too, which must save the wide registers. */
bool dq_have_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && have_f16c();
}

bool dq_have_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && dq_have_avx2();
}

bool dq_have_avx512bf16(void) {
    return dq_have_avx512() && __builtin_cpu_supports("avx512bf16");
}

bool dq_have_amx(void) {
    /* Leaf 7 of CPUID. */
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d;
    if (!dq_have_avx512bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if ((d & AMX_BF16) == 0 || (d & AMX_TILE) == 0) return false;
#if defined(__linux__) && defined(SYS_arch_prctl)
    /* ARCH_REQ_XCOMP_PERM of XTILEDATA. Fails where the kernel does not know it, and then does not save the tiles. */
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

#else

bool dq_have_avx2(void) {
    return false;
}
bool dq_have_avx512(void) {
    return false;
}
bool dq_have_avx512bf16(void) {
    return false;
}
bool dq_have_amx(void) {
    return false;
}

#endif
