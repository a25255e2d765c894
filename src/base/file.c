#define _GNU_SOURCE
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static dlqat_status fail_io(dlqat_error *error, const char *verb, const char *path) {
    return dq_fail(error, DLQAT_ERROR_IO, "%s: cannot %s: %s", path, verb, strerror(errno));
}

dlqat_status dq_map_open(dq_map *map, const char *path, dlqat_error *error) {
    memset(map, 0, sizeof *map);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to wait for the writer of a pipe */
    if (fd < 0) return fail_io(error, "open", path);
    struct stat info;
    dlqat_status status = DLQAT_OK;
    if (fstat(fd, &info) != 0)
        status = fail_io(error, "read", path);
    else if (!S_ISREG(info.st_mode))
        status = dq_fail(error, DLQAT_ERROR_INPUT, "%s: expected a regular file", path);
    else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            status = fail_io(error, "map", path);
        else {
            map->data = data;
            map->size = (size_t)info.st_size;
        }
    } else
        map->data = (const unsigned char *)""; /* nothing can be mapped, and arithmetic on NULL is not defined */
    close(fd);
    return status;
}

void dq_map_close(dq_map *map) {
    if (map->size) munmap((void *)(uintptr_t)map->data, map->size);
    memset(map, 0, sizeof *map);
}

void dq_map_forget(const dq_map *map) {
    if (map->data)
        madvise((void *)(uintptr_t)map->data, map->size, MADV_DONTNEED); /* a hint; nobody can have written */
}

dlqat_status dq_read_file(const char *path, char **text, size_t *size, dlqat_error *error) {
    *text = NULL;
    FILE *stream = fopen(path, "rbe");
    if (!stream) return fail_io(error, "open", path);
    char *buffer = NULL;
    size_t used = 0, capacity = 0;
    for (;;) {
        if (capacity - used < 2) {
            size_t grown = capacity ? capacity * 2 : 1 << 16;
            char *larger = realloc(buffer, grown);
            if (!larger) {
                free(buffer);
                fclose(stream);
                return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory to read it", path);
            }
            buffer = larger;
            capacity = grown;
        }
        size_t got = fread(buffer + used, 1, capacity - used - 1, stream);
        used += got;
        if (got == 0) break;
    }
    if (ferror(stream)) {
        dlqat_status status = fail_io(error, "read", path);
        free(buffer);
        fclose(stream);
        return status;
    }
    fclose(stream);
    buffer[used] = '\0';
    *text = buffer;
    if (size) *size = used;
    return DLQAT_OK;
}

char *dq_path_join(const char *directory, const char *name) {
    size_t length = strlen(directory);
    const char *slash = length && directory[length - 1] == '/' ? "" : "/";
    size_t bytes = length + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path) snprintf(path, bytes, "%s%s%s", directory, slash, name);
    return path;
}

bool dq_is_directory(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool dq_file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

dlqat_status dq_make_directories(const char *path, dlqat_error *error) {
    if (!*path) return dq_fail(error, DLQAT_ERROR_IO, "the name of a directory is empty");
    char *copy = strdup(path);
    if (!copy) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", path);
    dlqat_status status = DLQAT_OK;
    for (char *c = copy + 1; status == DLQAT_OK; c++) {
        if (*c != '/' && *c != '\0') continue;
        char kept = *c;
        *c = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            status = fail_io(error, "create the directory", copy);
        else if (!dq_is_directory(copy))
            status = dq_fail(error, DLQAT_ERROR_IO, "%s: expected a directory", copy);
        *c = kept;
        if (kept == '\0') break;
    }
    free(copy);
    return status;
}

dlqat_status dq_remove_tree(const char *path, dlqat_error *error) {
    struct stat info;
    if (lstat(path, &info) != 0) return errno == ENOENT ? DLQAT_OK : fail_io(error, "remove", path);
    if (!S_ISDIR(info.st_mode)) return unlink(path) == 0 ? DLQAT_OK : fail_io(error, "remove", path);
    DIR *directory = opendir(path);
    if (!directory) return fail_io(error, "remove", path);
    dlqat_status status = DLQAT_OK;
    struct dirent *entry;
    while (status == DLQAT_OK && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char *inner = dq_path_join(path, entry->d_name);
        status = inner ? dq_remove_tree(inner, error) : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", path);
        free(inner);
    }
    closedir(directory);
    if (status == DLQAT_OK && rmdir(path) != 0) status = fail_io(error, "remove", path);
    return status;
}

/* path + ".tmp-PID-N": beside its place, so that the rename stays within one file system. */
static char *temporary_name(const char *path) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    size_t bytes = length + 40;
    char *name = malloc(bytes);
    for (int n = 0; name && n < 10000; n++) {
        snprintf(name, bytes, "%.*s.tmp-%ld-%d", (int)length, path, (long)getpid(), n);
        if (access(name, F_OK) != 0) return name;
    }
    free(name);
    return NULL;
}

/* Whether a name ends as temporary_name's do. */
static bool is_temporary(const char *name) {
    static const char digits[] = "0123456789";
    const char *mark = NULL;
    for (const char *at = name; (at = strstr(at, ".tmp-")); at++) mark = at;
    if (!mark) return false;
    mark += strlen(".tmp-");
    size_t pid = strspn(mark, digits);
    if (pid == 0 || mark[pid] != '-') return false;
    mark += pid + 1;
    size_t number = strspn(mark, digits);
    return number > 0 && mark[number] == '\0';
}

dlqat_status dq_sweep_temporaries(const char *path, dlqat_error *error) {
    DIR *directory = opendir(path);
    if (!directory) return fail_io(error, "list", path);
    dlqat_status status = DLQAT_OK;
    struct dirent *entry;
    while (status == DLQAT_OK && (entry = readdir(directory))) {
        if (!is_temporary(entry->d_name)) continue;
        char *inner = dq_path_join(path, entry->d_name);
        status = inner ? dq_remove_tree(inner, error) : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", path);
        free(inner);
    }
    closedir(directory);
    return status;
}

/* Makes a rename durable. Some file systems refuse to sync a directory; that is not an error of ours. */
static void sync_parent(const char *path) {
    char *copy = strdup(path);
    if (!copy) return;
    size_t length = strlen(copy);
    while (length > 1 && copy[length - 1] == '/') copy[--length] = '\0';
    char *slash = strrchr(copy, '/');
    if (slash && slash != copy) *slash = '\0';
    int fd = open(slash ? (slash == copy ? "/" : copy) : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(copy);
}

/* Where path leads: a link's target, so that the link stays a link. */
static char *follow_link(const char *path) {
    struct stat info;
    char *target = lstat(path, &info) == 0 && S_ISLNK(info.st_mode) ? realpath(path, NULL) : NULL;
    return target ? target : strdup(path);
}

dlqat_status dq_writer_open(dq_writer *writer, const char *path, dlqat_error *error) {
    memset(writer, 0, sizeof *writer);
    struct stat info;
    const bool exists = stat(path, &info) == 0;
    if (exists && S_ISDIR(info.st_mode))
        return dq_fail(error, DLQAT_ERROR_IO, "%s: expected a file or nothing there; it is a directory", path);
    /* A device or a pipe is written to as it is: a rename would put a file in its place. */
    const bool direct = exists && !S_ISREG(info.st_mode);
    writer->path = direct ? strdup(path) : follow_link(path);
    char *temporary = direct || !writer->path ? NULL : temporary_name(writer->path);
    if (!writer->path || (!direct && !temporary)) {
        dq_writer_discard(writer);
        return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its name", path);
    }
    writer->stream = fopen(direct ? path : temporary, direct ? "wbe" : "wbxe");
    if (!writer->stream) {
        dlqat_status status = fail_io(error, "create", path);
        free(temporary); /* not ours to remove */
        dq_writer_discard(writer);
        return status;
    }
    writer->temporary = temporary;
    return DLQAT_OK;
}

dlqat_status dq_writer_put(dq_writer *writer, const void *bytes, size_t size, dlqat_error *error) {
    if (size && fwrite(bytes, 1, size, writer->stream) != size) return fail_io(error, "write", writer->path);
    writer->written += size;
    return DLQAT_OK;
}

dlqat_status dq_writer_pad(dq_writer *writer, size_t count, dlqat_error *error) {
    static const char zeros[256];
    while (count) {
        size_t n = count < sizeof zeros ? count : sizeof zeros;
        DQ_TRY(dq_writer_put(writer, zeros, n, error));
        count -= n;
    }
    return DLQAT_OK;
}

/* Hands everything to the system, and to the disk where there is one; closes. */
static bool flush_and_close(FILE *stream, bool sync) {
    const bool earlier = ferror(stream) != 0; /* a put failed and its caller went on */
    bool good = fflush(stream) == 0 && (!sync || fsync(fileno(stream)) == 0);
    int saved = errno;
    if (fclose(stream) != 0 && good) {
        good = false;
        saved = errno;
    }
    errno = earlier && good ? EIO : saved;
    return good && !earlier;
}

dlqat_status dq_writer_commit(dq_writer *writer, dlqat_error *error) {
    if (!writer->stream) return dq_fail(error, DLQAT_ERROR_IO, "no file is open to be committed");
    FILE *stream = writer->stream;
    writer->stream = NULL;
    const bool direct = !writer->temporary;
    if (!flush_and_close(stream, !direct) || (!direct && rename(writer->temporary, writer->path) != 0)) {
        dlqat_status status = fail_io(error, "write", writer->path);
        dq_writer_discard(writer);
        return status;
    }
    if (!direct) sync_parent(writer->path);
    free(writer->temporary);
    free(writer->path);
    memset(writer, 0, sizeof *writer);
    return DLQAT_OK;
}

void dq_writer_discard(dq_writer *writer) {
    if (writer->stream) fclose(writer->stream);
    if (writer->temporary) unlink(writer->temporary);
    free(writer->temporary);
    free(writer->path);
    memset(writer, 0, sizeof *writer);
}

dlqat_status dq_write_file(const char *path, const void *bytes, size_t size, dlqat_error *error) {
    dq_writer writer;
    DQ_TRY(dq_writer_open(&writer, path, error));
    dlqat_status status = dq_writer_put(&writer, bytes, size, error);
    if (status == DLQAT_OK) return dq_writer_commit(&writer, error);
    dq_writer_discard(&writer);
    return status;
}

dlqat_status dq_copy_file(const char *from, const char *to, dlqat_error *error) {
    dq_map map;
    DQ_TRY(dq_map_open(&map, from, error));
    dlqat_status status = dq_write_file(to, map.data, map.size, error);
    dq_map_close(&map);
    return status;
}

dlqat_status dq_rename_file(const char *from, const char *to, dlqat_error *error) {
    if (rename(from, to) != 0) return fail_io(error, "rename into place", to);
    sync_parent(to);
    return DLQAT_OK;
}

dlqat_status dq_staging_open(dq_staging *staging, const char *path, dlqat_error *error) {
    memset(staging, 0, sizeof *staging);
    staging->path = strdup(path);
    staging->temporary = temporary_name(path);
    if (!staging->path || !staging->temporary) {
        dq_staging_discard(staging);
        return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its name", path);
    }
    size_t length = strlen(staging->path);
    while (length > 1 && staging->path[length - 1] == '/') staging->path[--length] = '\0';
    if (dq_file_exists(staging->path)) {
        free(staging->temporary);
        staging->temporary = NULL;
        dq_staging_discard(staging);
        return dq_fail(error, DLQAT_ERROR_IO, "%s: expected a directory or nothing there; it is a file", path);
    }
    dlqat_status status = dq_make_directories(staging->temporary, error);
    if (status != DLQAT_OK) dq_staging_discard(staging);
    return status;
}

dlqat_status dq_staging_commit(dq_staging *staging, dlqat_error *error) {
    if (!staging->temporary) return dq_fail(error, DLQAT_ERROR_IO, "no directory is open to be committed");
    dlqat_status status = DLQAT_OK;
    if (dq_is_directory(staging->path)) {
        /* One system call swaps old and new, so that at no moment there is nothing under the name. */
        if (renameat2(AT_FDCWD, staging->temporary, AT_FDCWD, staging->path, RENAME_EXCHANGE) == 0) {
            sync_parent(staging->path);
            dq_remove_tree(staging->temporary, NULL);
        } else if (errno != EINVAL && errno != ENOSYS)
            status = fail_io(error, "replace", staging->path);
        else { /* a file system that cannot swap */
            char *aside = temporary_name(staging->path);
            if (!aside || rename(staging->path, aside) != 0)
                status = fail_io(error, "replace", staging->path);
            else if (rename(staging->temporary, staging->path) != 0) {
                status = fail_io(error, "rename into place", staging->path);
                (void)rename(aside, staging->path);
            } else {
                sync_parent(staging->path);
                dq_remove_tree(aside, NULL);
            }
            free(aside);
        }
    } else if (rename(staging->temporary, staging->path) != 0)
        status = fail_io(error, "rename into place", staging->path);
    else
        sync_parent(staging->path);
    if (status == DLQAT_OK) {
        free(staging->temporary);
        staging->temporary = NULL;
    }
    dq_staging_discard(staging);
    return status;
}

void dq_staging_discard(dq_staging *staging) {
    if (staging->temporary) dq_remove_tree(staging->temporary, NULL);
    free(staging->temporary);
    free(staging->path);
    memset(staging, 0, sizeof *staging);
}

uint64_t dq_peak_rss_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

uint64_t dq_anonymous_bytes(void) {
    FILE *stream = fopen("/proc/self/statm", "re");
    if (!stream) return 0;
    unsigned long long size, resident, shared; /* pages */
    bool known = fscanf(stream, "%llu %llu %llu", &size, &resident, &shared) == 3 && resident >= shared;
    fclose(stream);
    return known ? (uint64_t)(resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

uint64_t dq_available_memory_bytes(void) {
    FILE *stream = fopen("/proc/meminfo", "re");
    if (!stream) return 0;
    char line[256];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, stream))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) break;
    fclose(stream);
    return (uint64_t)kib * 1024;
}

double dq_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
