/* Files: read-only maps, whole-file reads, and writes that either happen wholly or leave what was there. */
#ifndef DQ_BASE_FILE_H
#define DQ_BASE_FILE_H

#include "base/error.h"

/* A file mapped read-only and shared; data is never NULL while it is open. */
typedef struct dq_map {
    const unsigned char *data;
    size_t size;
} dq_map;

dlqat_status dq_map_open(dq_map *map, const char *path, dlqat_error *error);
void dq_map_close(dq_map *map);
/* Takes the file's pages out of this process's memory; whoever reads them again gets them from the system's cache, or the disk. */
void dq_map_forget(const dq_map *map);

/* The whole file, NUL-terminated (the NUL is not counted in *size); freed with free(). size may be NULL. */
dlqat_status dq_read_file(const char *path, char **text, size_t *size, dlqat_error *error);

/* "a/b" in memory from malloc, or NULL without memory. */
char *dq_path_join(const char *directory, const char *name);
bool dq_is_directory(const char *path);
bool dq_file_exists(const char *path);
/* mkdir -p */
dlqat_status dq_make_directories(const char *path, dlqat_error *error);
/* Removes a file or a whole directory tree; nothing there is no error. Links are removed, never followed. */
dlqat_status dq_remove_tree(const char *path, dlqat_error *error);

/* A file under a temporary name beside its place. commit syncs it, renames it over path and syncs the directory;
 * discard removes it. Exactly one of the two ends it; on a zeroed or ended one discard does nothing and commit fails.
 * A link is followed first. A device or a pipe is written to directly: there is no "what was there" to keep. */
typedef struct dq_writer {
    void *stream;           /* FILE * */
    char *path, *temporary; /* temporary: NULL for a device */
    uint64_t written;
} dq_writer;

dlqat_status dq_writer_open(dq_writer *writer, const char *path, dlqat_error *error);
dlqat_status dq_writer_put(dq_writer *writer, const void *bytes, size_t size, dlqat_error *error);
/* count zero bytes */
dlqat_status dq_writer_pad(dq_writer *writer, size_t count, dlqat_error *error);
dlqat_status dq_writer_commit(dq_writer *writer, dlqat_error *error);
void dq_writer_discard(dq_writer *writer);

/* dq_writer_open, put, commit in one. */
dlqat_status dq_write_file(const char *path, const void *bytes, size_t size, dlqat_error *error);
dlqat_status dq_copy_file(const char *from, const char *to, dlqat_error *error);
/* Puts a finished file in its place, over what lies there, and syncs the directory. */
dlqat_status dq_rename_file(const char *from, const char *to, dlqat_error *error);

/* A directory built under a temporary name beside its place (staging), then put there in one rename; a directory
 * that was there is moved aside first and removed after. */
typedef struct dq_staging {
    char *path, *temporary;
} dq_staging;

dlqat_status dq_staging_open(dq_staging *staging, const char *path, dlqat_error *error);
dlqat_status dq_staging_commit(dq_staging *staging, dlqat_error *error);
void dq_staging_discard(dq_staging *staging);

/* Removes what writers and stagings of a process that was killed left in a directory: NAME.tmp-PID-N. Only for a directory that no
 * other process writes to. */
dlqat_status dq_sweep_temporaries(const char *directory, dlqat_error *error);

/* Peak resident memory of this process in bytes; 0 where the system does not say. */
uint64_t dq_peak_rss_bytes(void);
/* What is resident now and no part of a file: heap and stacks. 0 where the system does not say. */
uint64_t dq_anonymous_bytes(void);
/* Memory that the system has, and that it could give now, in bytes; 0 where the system does not say. */
uint64_t dq_available_memory_bytes(void);
/* Monotonic clock in seconds. */
double dq_seconds(void);

#endif
