/*
 * Loaded into a process by LD_PRELOAD, it answers each write to the database file FULL_DISK_FILE, and to its log, as a full disk
 * does, as long as there is a file FULL_DISK_WHILE. A real full disk needs a file system of its own, which not every machine lets
 * a test mount.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int is_open_at(const struct stat *open, const char *path) {
    struct stat file;
    return stat(path, &file) == 0 && file.st_ino == open->st_ino && file.st_dev == open->st_dev;
}

static int is_full(int descriptor) {
    const char *until_removed = getenv("FULL_DISK_WHILE"), *database = getenv("FULL_DISK_FILE");
    if (!until_removed || !database || access(until_removed, F_OK) != 0) return 0;
    struct stat open;
    if (fstat(descriptor, &open) != 0) return 0;
    char log[4096];
    snprintf(log, sizeof log, "%s-wal", database);
    return is_open_at(&open, database) || is_open_at(&open, log);
}

#define UNLESS_FULL(name, result, parameters, arguments)                       \
    result name parameters {                                                   \
        static result(*real) parameters;                                       \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name);       \
        if (is_full(descriptor)) {                                             \
            errno = ENOSPC;                                                    \
            return -1;                                                         \
        }                                                                      \
        return real arguments;                                                 \
    }

UNLESS_FULL(write, ssize_t, (int descriptor, const void *bytes, size_t count), (descriptor, bytes, count))
UNLESS_FULL(pwrite, ssize_t, (int descriptor, const void *bytes, size_t count, off_t at), (descriptor, bytes, count, at))
UNLESS_FULL(pwrite64, ssize_t, (int descriptor, const void *bytes, size_t count, off64_t at), (descriptor, bytes, count, at))
