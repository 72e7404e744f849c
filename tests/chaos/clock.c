/* Preloaded into the processes of a stack: the wall clock is off by so many seconds as the file that
   CHAOS_CLOCK names says (a long, in the machine's byte order). The monotonic clock stays what it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long *offset_s;

__attribute__((constructor)) static void open_offset(void) {
  const char *path = getenv("CHAOS_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *map = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
  if (map != MAP_FAILED) offset_s = map;
  close(file);
}

int clock_gettime(clockid_t id, struct timespec *at) {
  static int (*genuine)(clockid_t, struct timespec *);
  if (!genuine) genuine = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = genuine(id, at);
  if (!failed && offset_s && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += *offset_s;
  return failed;
}

int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
