// The Linux peer: the first process of the guest, and an echo server on OpenSSL.
//
// Ports: 10007 TLS with an ECDSA certificate, 10008 TLS with an RSA certificate, 10009 plain TCP.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 16384, ROUNDS = 8 };

// A listener, or a connection.
struct peer {
	int fd;
	SSL_CTX *context; // of a listener with TLS
	SSL *ssl;         // of a connection with TLS
	int listens, handshaking;
	unsigned char *buffer; // while there is data
	int length, sent;
};

static int epoll;

static void watch(struct peer *peer, int operation, int events)
{
	struct epoll_event event = { .events = events, .data.ptr = peer };
	epoll_ctl(epoll, operation, peer->fd, &event);
}

static void drop(struct peer *peer)
{
	if (peer->ssl && !peer->handshaking)
		SSL_shutdown(peer->ssl);
	SSL_free(peer->ssl);
	ERR_clear_error();
	close(peer->fd);
	free(peer->buffer);
	free(peer);
}

// What an operation that returned `result` waits for: epoll's event, or 0 if the connection has ended.
static int awaits(struct peer *peer, int result, int plain)
{
	if (!peer->ssl)
		return result < 0 && errno == EAGAIN ? plain : 0;
	switch (SSL_get_error(peer->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return EPOLLIN;
	case SSL_ERROR_WANT_WRITE:
		return EPOLLOUT;
	default:
		return 0;
	}
}

// Whether the connection goes on after `result`; it waits for the next event, or is gone.
static int done(struct peer *peer, int result, int plain)
{
	int events;
	if (result > 0)
		return 0;
	events = awaits(peer, result, plain);
	if (events)
		watch(peer, EPOLL_CTL_MOD, events);
	else
		drop(peer);
	return 1;
}

static void serve(struct peer *peer)
{
	ERR_clear_error();
	if (peer->handshaking) {
		if (done(peer, SSL_accept(peer->ssl), EPOLLIN))
			return;
		peer->handshaking = 0;
	}
	for (int round = 0; round < ROUNDS; round++) {
		int count;
		while (peer->sent < peer->length) {
			unsigned char *data = peer->buffer + peer->sent;
			int left = peer->length - peer->sent;
			count = peer->ssl ? SSL_write(peer->ssl, data, left) : (int)write(peer->fd, data, left);
			if (done(peer, count, EPOLLOUT))
				return;
			peer->sent += count;
		}
		if (!peer->buffer)
			peer->buffer = malloc(BUFFER);
		peer->length = peer->sent = 0;
		count = peer->ssl ? SSL_read(peer->ssl, peer->buffer, BUFFER) : (int)read(peer->fd, peer->buffer, BUFFER);
		if (count <= 0) {
			// An idle connection has no buffer.
			free(peer->buffer);
			peer->buffer = NULL;
			done(peer, count, EPOLLIN);
			return;
		}
		peer->length = count;
	}
	watch(peer, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void accept_all(struct peer *listener)
{
	int fd, one = 1;
	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct peer *peer = calloc(1, sizeof *peer);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		peer->fd = fd;
		if (listener->context) {
			peer->ssl = SSL_new(listener->context);
			SSL_set_fd(peer->ssl, fd);
			peer->handshaking = 1;
		}
		watch(peer, EPOLL_CTL_ADD, EPOLLIN);
	}
}

static void fail(const char *what)
{
	dprintf(2, "peer: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(1);
}

static void listen_on(int port, const char *certificate, const char *key)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct peer *peer = calloc(1, sizeof *peer);
	peer->listens = 1;
	if (certificate) {
		SSL_CTX *context = peer->context = SSL_CTX_new(TLS_server_method());
		SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
		SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
						  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		SSL_CTX_set_num_tickets(context, 1);
		SSL_CTX_set_session_id_context(context, (const unsigned char *)"echo", 4);
		SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
		if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
		    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
			fail(certificate);
	}
	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(peer->fd, (struct sockaddr *)&address, sizeof address) || listen(peer->fd, 1024))
		fail("cannot listen");
	watch(peer, EPOLL_CTL_ADD, EPOLLIN);
}

static void set_address(struct sockaddr *place, const char *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)place;
	in->sin_family = AF_INET;
	inet_aton(address, &in->sin_addr);
}

static void set_up_network(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq request = { .ifr_name = "eth0" };
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	// The driver needs a moment.
	for (int tries = 0; tries < 1000 && access("/sys/class/net/eth0", F_OK); tries++)
		usleep(1000);
	set_address(&request.ifr_addr, "10.0.2.15");
	ioctl(fd, SIOCSIFADDR, &request);
	set_address(&request.ifr_netmask, "255.255.255.0");
	ioctl(fd, SIOCSIFNETMASK, &request);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		fail("eth0");
	set_address(&route.rt_dst, "0.0.0.0");
	set_address(&route.rt_genmask, "0.0.0.0");
	set_address(&route.rt_gateway, "10.0.2.2");
	if (ioctl(fd, SIOCADDRT, &route))
		fail("default route");
	close(fd);
}

static void set(const char *file, const char *value)
{
	int fd = open(file, O_WRONLY);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		fail(file);
	close(fd);
}

int main(void)
{
	struct rlimit files = { 65536, 65536 };
	int console;
	signal(SIGPIPE, SIG_IGN);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	console = open("/dev/console", O_RDWR);
	for (int fd = 0; console >= 0 && fd <= 2; fd++)
		dup2(console, fd);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	set_up_network();
	set("/proc/sys/net/core/somaxconn", "1024");
	set("/proc/sys/net/ipv4/tcp_max_syn_backlog", "1024");
	setrlimit(RLIMIT_NOFILE, &files);
	epoll = epoll_create1(0);
	listen_on(10007, "/ec.crt", "/ec.key");
	listen_on(10008, "/rsa.crt", "/rsa.key");
	listen_on(10009, NULL, NULL);
	dprintf(1, "ready\n");
	for (;;) {
		struct epoll_event events[64];
		int count = epoll_wait(epoll, events, 64, -1);
		for (int n = 0; n < count; n++) {
			struct peer *peer = events[n].data.ptr;
			if (peer->listens)
				accept_all(peer);
			else
				serve(peer);
		}
	}
}
