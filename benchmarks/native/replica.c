/*
 * benchmarks/replica.py in C: replica VERSION [DESCRIPTOR:WORD]. Prints its port, answers every request at once with its
 * version, sends its clients away when its drain word says so, and after SIGTERM lingers a quarter of a second.
 */
#include "wire.h"

#define LINGER_NS 250000000ull

static volatile sig_atomic_t stopping;
static const volatile uint8_t *word;
static uint8_t leaving[1 << 20]; /* by descriptor: its last answer is sent */

static void stop(int number)
{
	stopping = 1;
}

static int answer(int fd, const char *version)
{
	char data[4096], head[256];
	ssize_t size = recv(fd, data, sizeof(data) - 1, 0);
	int leave, length;

	if (size <= 0)
		return size < 0 && errno == EAGAIN;
	if (leaving[fd])
		return 1;
	data[size] = 0;
	if (!strstr(data, "\r\n\r\n")) /* the clients send a request at once */
		exit(3);
	leave = stopping || (word && *word) || strstr(data, "\r\nConnection: close");
	length = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nx-version: %s\r\ncontent-length: 2\r\n%s\r\nok", version,
			  leave ? "connection: close\r\n" : "");
	if (send(fd, head, length, MSG_NOSIGNAL) != length)
		return 0;
	if (leave) {
		leaving[fd] = 1;
		shutdown(fd, SHUT_WR); /* the client closes; a close now could reset what it has yet to read */
	}
	return 1;
}

int main(int count, char **arguments)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), queue = epoll_create1(0), handle, index, fd;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event events[EVENTS];
	socklen_t size = sizeof(address);
	uint64_t until = 0;
	uint8_t *page;

	if (count > 2 && sscanf(arguments[2], "%d:%d", &handle, &index) == 2) {
		page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, handle, index * 8 / 4096 * 4096);
		if (page == MAP_FAILED)
			return 2;
		word = page + index * 8 % 4096;
	}
	signal(SIGTERM, stop);
	if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096))
		return 2;
	getsockname(listener, (struct sockaddr *)&address, &size);
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	watch(queue, listener, EPOLLIN, EPOLL_CTL_ADD);
	while (!until || now_ns() < until) {
		int ready = epoll_wait(queue, events, EVENTS, 20);

		if (stopping && !until)
			until = now_ns() + LINGER_NS;
		for (int n = 0; n < ready; n++) {
			fd = events[n].data.fd;
			if (fd != listener) {
				if (!answer(fd, arguments[1]))
					close(fd);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				at_once(fd);
				leaving[fd] = 0;
				watch(queue, fd, EPOLLIN, EPOLL_CTL_ADD);
			}
		}
	}
	return 0;
}
