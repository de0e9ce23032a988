/* Preloaded into a process under test: makes the disk and the clock fail while it runs.
 *
 * TASKER_SHIM names a file that test and process map together; its layout is `struct control`, and `src/shim.rs` writes it. Only files whose
 * path contains TASKER_SHIM_FILES are touched. Built by the tests: cc -shared -fPIC -O2 -o faults.so faults.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* What `left` counts: how many calls fail from now on; negative means all of them. */
struct fault {
  int32_t error; /* errno; LIE: report success and do nothing */
  int32_t left;
  int64_t injected;
};

enum { LIE = -1 };

struct control {
  struct fault sync;
  struct fault write;
  int64_t clock_offset_ms; /* added to the wall clock; the monotonic clock is left alone */
};

static volatile struct control *control;
static const char *files = "";

static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwrite64)(int, const void *, size_t, off64_t);

__attribute__((constructor)) static void load(void) {
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_write = dlsym(RTLD_NEXT, "write");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite");
  real_pwrite64 = dlsym(RTLD_NEXT, "pwrite64");
  const char *path = getenv("TASKER_SHIM");
  if (!path) return;
  const char *only = getenv("TASKER_SHIM_FILES");
  if (only) files = only;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) {
    /* A fault that is not injected would prove nothing. */
    fprintf(stderr, "the fault shim cannot map %s: %s\n", path, strerror(errno));
    _exit(97);
  }
  close(fd);
  control = mapped;
}

static int is_ours(int fd) {
  char link[32], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return strstr(path, files) != NULL;
}

/* The error with which this call fails; 0 if it does not. */
static int fails(volatile struct fault *fault, int fd) {
  if (!control || !fault->error || !fault->left) return 0;
  int saved = errno;
  int ours = is_ours(fd);
  errno = saved;
  if (!ours) return 0;
  if (fault->left > 0 && __atomic_fetch_sub(&fault->left, 1, __ATOMIC_SEQ_CST) <= 0) {
    fault->left = 0;
    return 0;
  }
  __atomic_add_fetch(&fault->injected, 1, __ATOMIC_SEQ_CST);
  return fault->error;
}

static int sync_with(int (*real)(int), int fd) {
  int error = fails(control ? &control->sync : NULL, fd);
  if (error == LIE) return 0;
  if (error) {
    errno = error;
    return -1;
  }
  return real(fd);
}

int fsync(int fd) { return sync_with(real_fsync, fd); }
int fdatasync(int fd) { return sync_with(real_fdatasync, fd); }

ssize_t write(int fd, const void *from, size_t count) {
  int error = fails(control ? &control->write : NULL, fd);
  if (error) {
    errno = error;
    return -1;
  }
  return real_write ? real_write(fd, from, count) : syscall(SYS_write, fd, from, count);
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t at) {
  int error = fails(control ? &control->write : NULL, fd);
  if (error) {
    errno = error;
    return -1;
  }
  return real_pwrite(fd, from, count, at);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at) {
  int error = fails(control ? &control->write : NULL, fd);
  if (error) {
    errno = error;
    return -1;
  }
  return real_pwrite64(fd, from, count, at);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int outcome = (int)syscall(SYS_clock_gettime, clock, now);
  if (outcome == 0 && control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    int64_t offset = control->clock_offset_ms;
    int64_t nanos = (int64_t)now->tv_nsec + (offset % 1000) * 1000000;
    now->tv_sec += offset / 1000 + (nanos < 0 ? -1 : nanos / 1000000000);
    now->tv_nsec = (nanos + 1000000000) % 1000000000;
  }
  return outcome;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec precise;
  (void)zone;
  int outcome = clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return outcome;
}

time_t time(time_t *into) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (into) *into = precise.tv_sec;
  return precise.tv_sec;
}
