/* Preloaded, puts all clocks of a process forward by the seconds in the file that OXA_CLOCK names, at any time. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("OXA_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    /* A test by a clock that does not obey would prove nothing. */
    if (map == MAP_FAILED)
        abort();
    close(file);
    ahead = map;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    int failed = (int) syscall(SYS_clock_gettime, id, now);
    if (!failed && id != CLOCK_PROCESS_CPUTIME_ID && id != CLOCK_THREAD_CPUTIME_ID)
        now->tv_sec += (time_t) *ahead;
    return failed;
}
