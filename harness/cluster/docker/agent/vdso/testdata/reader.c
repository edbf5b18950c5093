// Prints readings, as TestMain's reader does, by the vDSO and against the
// kernel's own answers. With the argument fork or vfork, in a child.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

static long long right(clockid_t id) {
	struct timespec t;
	syscall(SYS_clock_gettime, id, &t);
	return ns(t);
}

static long long shown(clockid_t id) {
	struct timespec t;
	clock_gettime(id, &t);
	return ns(t);
}

static long long of_day(clockid_t id) {
	struct timeval t;
	gettimeofday(&t, NULL);
	return t.tv_sec * 1000000000LL + t.tv_usec * 1000LL;
}

static long long seconds(clockid_t id) {
	time_t stored, t = time(&stored);
	return t == stored ? t * 1000000000LL : -1;
}

static void print(const char *name, long long (*clock)(clockid_t), clockid_t id) {
	long long before, now, after;
	do {
		before = right(id), now = clock(id), after = right(id);
	} while (after - before > 100000); // interrupted
	printf(" %s=%lld", name, now - before);
}

int main(int argc, char **argv) {
	if (argc > 1 && (argv[1][0] == 'v' ? vfork() : fork()) != 0) pause();
	while (!ferror(stdout)) {
		printf("%lld", right(CLOCK_REALTIME));
		print("clock_gettime", shown, CLOCK_REALTIME);
		print("coarse", shown, CLOCK_REALTIME_COARSE);
		print("gettimeofday", of_day, CLOCK_REALTIME);
		print("time", seconds, CLOCK_REALTIME);
		print("monotonic", shown, CLOCK_MONOTONIC);
		print("boottime", shown, CLOCK_BOOTTIME);
		print("process", shown, CLOCK_PROCESS_CPUTIME_ID);
		printf("\n");
		fflush(stdout);
		usleep(200);
	}
}
