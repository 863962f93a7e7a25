/*
 * benchmarks/load.py in C: load PORT KEEP CLOSE SECONDS [REQUESTS]. Closed-loop clients; prints what they saw as JSON.
 * SIGTERM ends them early, with what they saw until then; SIGUSR1 has them print that and go on.
 */
#include "wire.h"

#define CLIENTS 1024
#define BUCKETS 1000000 /* microseconds */

static const char KEEP[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
static const char CLOSE[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

struct client {
	int keeps, size;
	int done; /* its answer is whole, and its connection ends with it */
	uint64_t since;
	char answer[512];
};

static struct client *of[1 << 16]; /* by descriptor */
static uint64_t answered, failed, errors, latencies[BUCKETS];
static char failures[5][96];
static volatile sig_atomic_t stopping, asked;
static struct sockaddr_in service = { .sin_family = AF_INET };
static int queue;

static void stop(int number)
{
	stopping = 1;
}

static void be_asked(int number)
{
	asked = 1;
}

static void fail(struct client *one, const char *when)
{
	if (failed < 5)
		snprintf(failures[failed], sizeof(failures[0]), "%s (%s, %d bytes): %s", when, one->keeps ? "kept" : "closing",
			 one->size, errno ? strerror(errno) : "closed");
	failed++;
}

static int ask(struct client *one, int fd)
{
	const char *text = one->keeps ? KEEP : CLOSE;
	ssize_t length = strlen(text);

	one->size = one->done = 0;
	one->since = now_ns();
	errno = 0;
	if (send(fd, text, length, MSG_NOSIGNAL) == length)
		return 1;
	fail(one, "send");
	return 0;
}

static void open_and_ask(struct client *one)
{
	for (int tries = 0; tries < 100; tries++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (fd < 0 || fd >= 1 << 16)
			exit(2);
		errno = 0;
		if (connect(fd, (struct sockaddr *)&service, sizeof(service))) {
			one->size = 0;
			fail(one, "connect");
			close(fd);
			continue;
		}
		at_once(fd);
		of[fd] = one;
		watch(queue, fd, EPOLLIN, EPOLL_CTL_ADD);
		if (ask(one, fd))
			return;
		close(fd);
	}
	exit(4);
}

static void count(struct client *one)
{
	uint64_t took = (now_ns() - one->since) / 1000;

	answered++;
	errors += memcmp(one->answer + 9, "200", 3) != 0;
	latencies[took < BUCKETS ? took : BUCKETS - 1]++;
}

static void hear(int fd)
{
	struct client *one = of[fd];
	ssize_t size;
	char *body;

	errno = 0;
	size = recv(fd, one->answer + one->size, sizeof(one->answer) - 1 - one->size, MSG_DONTWAIT);
	if (size < 0 && errno == EAGAIN)
		return;
	if (size <= 0) {
		if (!one->done)
			fail(one, "answer");
		close(fd);
		open_and_ask(one);
		return;
	}
	one->size += size;
	one->answer[one->size] = 0;
	body = strstr(one->answer, "\r\n\r\n");
	if (one->done || !body || one->answer + one->size < body + 6)
		return;
	count(one);
	if (strstr(one->answer, "connection: close"))
		one->done = 1; /* the replica closes first, so that no port of ours waits */
	else if (!ask(one, fd)) {
		close(fd);
		open_and_ask(one);
	}
}

static double median_us(void)
{
	uint64_t seen = 0;

	for (int us = 0; us < BUCKETS; us++) {
		seen += latencies[us];
		if (2 * seen >= answered)
			return us;
	}
	return 0;
}

static void tell(void)
{
	printf("{\"answered\": %lu, \"failed\": %lu, \"errors\": %lu, \"p50_us\": %.0f, \"last_ns\": {}, \"failures\": [", answered,
	       failed, errors, median_us());
	for (uint64_t n = 0; n < failed && n < 5; n++)
		printf("%s\"%s\"", n ? ", " : "", failures[n]);
	printf("]}\n");
	fflush(stdout);
}

int main(int count_of, char **arguments)
{
	int keep = atoi(arguments[2]), total = keep + atoi(arguments[3]);
	uint64_t until = now_ns() + (uint64_t)(atof(arguments[4]) * 1e9);
	double most = count_of > 5 ? atof(arguments[5]) : 1e18;
	static struct client clients[CLIENTS];
	struct epoll_event events[EVENTS];

	service.sin_port = htons(atoi(arguments[1]));
	service.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	signal(SIGTERM, stop);
	signal(SIGUSR1, be_asked);
	queue = epoll_create1(0);
	for (int n = 0; n < total && n < CLIENTS; n++) {
		clients[n].keeps = n < keep;
		open_and_ask(&clients[n]);
	}
	while (!stopping && answered < most && now_ns() < until) {
		int ready = epoll_wait(queue, events, EVENTS, 100);

		for (int n = 0; n < ready; n++)
			hear(events[n].data.fd);
		if (asked) {
			asked = 0;
			tell();
		}
	}
	tell();
	return 0;
}
