/* A disk with faults, for tests: preloaded into the node, it lets calls on files below PE_FAULT_FOLDER fail, or wait, as the
   first byte of the file PE_FAULT_CONTROL says: 0 none, F full, E cannot write, R cannot read, O read-only, S slow, H hangs. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile char *control;
static const char *folder;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("PE_FAULT_CONTROL");
    folder = getenv("PE_FAULT_FOLDER");
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0 || !folder) return;
    void *mapped = mmap(NULL, 1, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) control = mapped;
    syscall(SYS_close, file);
}

static int inside(const char *path) { return strncmp(path, folder, strlen(folder)) == 0; }

static int holds(int file) {
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, name, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return inside(path);
}

static int waited(void) {
    if (*control == 'S') usleep(20000);
    while (*control == 'H') usleep(10000);
    return 0;
}

/* The error of a call that changes something, 0 if it goes on. */
static int changing(void) {
    switch (*control) {
    case 'F': return ENOSPC;
    case 'E': return EIO;
    case 'O': return EROFS;
    default: return waited();
    }
}

static int reading(void) { return *control == 'R' ? EIO : waited(); }

#define ACTIVE (control && *control && *control != '0')
#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define STOP(condition, error) do { int code_ = (ACTIVE && (condition)) ? (error) : 0; if (code_) { errno = code_; return -1; } } while (0)

ssize_t write(int f, const void *b, size_t n) { REAL(write); STOP(holds(f), changing()); return real(f, b, n); }
ssize_t writev(int f, const struct iovec *v, int n) { REAL(writev); STOP(holds(f), changing()); return real(f, v, n); }
ssize_t pwrite(int f, const void *b, size_t n, off_t o) { REAL(pwrite); STOP(holds(f), changing()); return real(f, b, n, o); }
ssize_t pwrite64(int f, const void *b, size_t n, off64_t o) { REAL(pwrite64); STOP(holds(f), changing()); return real(f, b, n, o); }
ssize_t read(int f, void *b, size_t n) { REAL(read); STOP(holds(f), reading()); return real(f, b, n); }
ssize_t pread(int f, void *b, size_t n, off_t o) { REAL(pread); STOP(holds(f), reading()); return real(f, b, n, o); }
ssize_t pread64(int f, void *b, size_t n, off64_t o) { REAL(pread64); STOP(holds(f), reading()); return real(f, b, n, o); }
int fsync(int f) { REAL(fsync); STOP(holds(f), changing()); return real(f); }
int fdatasync(int f) { REAL(fdatasync); STOP(holds(f), changing()); return real(f); }
int ftruncate64(int f, off64_t n) { REAL(ftruncate64); STOP(holds(f), changing()); return real(f, n); }
int rename(const char *from, const char *to) { REAL(rename); STOP(inside(to), changing()); return real(from, to); }

#define OPEN(name) \
int name(const char *path, int flags, ...) { \
    REAL(name); \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    STOP((flags & (O_CREAT | O_TRUNC)) && inside(path), changing()); \
    return real(path, flags, mode); \
}
OPEN(open)
OPEN(open64)
