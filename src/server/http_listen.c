/* SPDX-License-Identifier: Apache-2.0 */
/* Where connections come in: TCP by name or address, and a local socket. The first loop accepts and
 * hands the sockets round. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/http_internal.h"

#define BACKLOG     4096
#define ACCEPTS_MAX 64 /* in one turn, so that requests are not kept waiting */

typedef struct handed_socket {
    http_loop *loop;
    int fd;
} handed_socket;

static bool prepare(int fd) {
#ifdef SO_NOSIGPIPE
    const int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    const int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static int bound_port(int fd) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0) return 0;
    if (address.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
    if (address.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port);
    return 0;
}

/* A socket that listens, or -1 with errno set. */
static int listen_at(int family, const struct sockaddr *address, socklen_t len) {
    const int fd = socket(family, SOCK_STREAM, 0);
    if (fd < 0) return -1;
    const int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (prepare(fd) && bind(fd, address, len) == 0 && listen(fd, BACKLOG) == 0) return fd;
    const int why = errno;
    (void)close(fd);
    errno = why;
    return -1;
}

static tandem_status listen_tcp(http_server *server, tandem_error *err) {
    const http_options *options = &server->options;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    const int why = getaddrinfo(options->host, options->port, &hints, &found);
    if (why != 0)
        return TANDEM_FAIL(err, INVALID, "address %s port %s: %s", options->host, options->port,
                           gai_strerror(why));
    int error = 0;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        if (server->listener_count == HTTP_LISTENERS_MAX - 1) break;
        const int fd = listen_at(at->ai_family, at->ai_addr, at->ai_addrlen);
        if (fd < 0) {
            if (error == 0) error = errno;
            continue;
        }
        if (server->port == 0) server->port = bound_port(fd);
        server->listeners[server->listener_count++] = fd;
        if (tandem__str_is(tandem__str(options->port), "0")) break; // one port for all addresses
    }
    freeaddrinfo(found);
    if (server->listener_count > 0) return TANDEM_OK;
    return TANDEM_FAIL(err, IO, "cannot listen on %s port %s: %s%s", options->host, options->port,
                       strerror(error),
                       error == EADDRINUSE ? "; another server has it? Give another --port" : "");
}

/* A socket file that nobody listens on is what a killed server left. */
static void remove_stale(const struct sockaddr_un *address) {
    struct stat info;
    if (lstat(address->sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) return;
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
        errno == ECONNREFUSED)
        (void)unlink(address->sun_path);
    (void)close(fd);
}

static tandem_status listen_local(http_server *server, tandem_error *err) {
    const char *path = server->options.path;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return TANDEM_FAIL(err, INVALID, "path of the local socket has %zu bytes, at most %zu: %s",
                           strlen(path), sizeof address.sun_path - 1, path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    remove_stale(&address);
    const int fd = listen_at(AF_UNIX, (const struct sockaddr *)&address, sizeof address);
    if (fd < 0) return TANDEM_FAIL(err, IO, "cannot listen on %s: %s", path, strerror(errno));
    server->listeners[server->listener_count++] = fd;
    server->has_path = true;
    return TANDEM_OK;
}

tandem_status http_listen_open(http_server *server, tandem_error *err) {
    TANDEM_TRY(listen_tcp(server, err));
    return server->options.path == NULL ? TANDEM_OK : listen_local(server, err);
}

static void take_socket(void *context) {
    handed_socket *handed = context;
    http_conn_open(handed->loop, handed->fd);
    tandem__mem_free(handed);
}

static void refuse_socket(const http_server *server, int fd) {
    http_tell(server, HTTP_EVENT_TURNED_AWAY);
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                                 "Retry-After: 1\r\nConnection: close\r\n\r\n";
    (void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
    (void)close(fd);
}

static void hand_over(http_server *server, int fd) {
    if (atomic_load(&server->connections) >= server->options.connections_max || !prepare(fd)) {
        refuse_socket(server, fd);
        return;
    }
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // no matter on local sockets
    atomic_fetch_add(&server->connections, 1);
    http_loop *loop = &server->loops[server->next_loop];
    server->next_loop = (server->next_loop + 1) % server->loop_count;
    if (loop == &server->loops[0]) {
        http_conn_open(loop, fd);
        return;
    }
    handed_socket *handed = tandem__mem_calloc(1, sizeof *handed);
    if (handed != NULL) {
        *handed = (handed_socket){.loop = loop, .fd = fd};
        if (http_loop_post(loop, take_socket, handed)) return;
        tandem__mem_free(handed);
    }
    atomic_fetch_sub(&server->connections, 1);
    refuse_socket(server, fd);
}

/* Without descriptors the listener would be ready for ever: it rests for a tenth of a second. */
static void on_rested(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    http_server *server = arg;
    for (int32_t i = 0; i < server->listener_count; i++) (void)event_add(server->accepts[i], NULL);
}

static void rest(http_server *server) {
    tandem__log(TANDEM_LOG_WARN, "no connection can be taken for now: %s", strerror(errno));
    for (int32_t i = 0; i < server->listener_count; i++) (void)event_del(server->accepts[i]);
    const struct timeval tenth = {.tv_usec = 100000};
    (void)event_base_once(server->loops[0].base, -1, EV_TIMEOUT, on_rested, server, &tenth);
}

static void on_accept(evutil_socket_t listener, short what, void *arg) {
    (void)what;
    http_server *server = arg;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        const int fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            hand_over(server, fd);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) rest(server);
        return;
    }
}

tandem_status http_listen_start(http_server *server, tandem_error *err) {
    for (int32_t i = 0; i < server->listener_count; i++) {
        server->accepts[i] = event_new(server->loops[0].base, server->listeners[i],
                                       EV_READ | EV_PERSIST, on_accept, server);
        if (server->accepts[i] == NULL || event_add(server->accepts[i], NULL) != 0)
            return TANDEM_FAIL(err, MEMORY, "no memory for a listener");
    }
    return TANDEM_OK;
}

void http_listen_stop(http_server *server) {
    const int32_t count = server->listener_count;
    server->listener_count = 0;
    for (int32_t i = 0; i < count; i++) {
        if (server->accepts[i] != NULL) event_free(server->accepts[i]);
        server->accepts[i] = NULL;
        (void)close(server->listeners[i]);
    }
    if (server->has_path) (void)unlink(server->options.path);
    server->has_path = false;
}
