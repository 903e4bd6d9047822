/* The target of the comparison: three fixed answers, one thread, as little work as HTTP allows.
 *
 * It must cost less than any client, or it would be what is measured: epoll, a buffer for each
 * connection, answers prepared at start. It reads no more of a request than its first line, the
 * end of its head and its content-length. It ends by itself after five minutes.
 *
 * Prints its port, then serves on 127.0.0.1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 8192, MOST_REQUEST = 4096 };

struct answer {
    char text[1024];
    size_t size;
};

struct connection {
    size_t size;
    char text[MOST_REQUEST + 1];
};

static struct answer login, profile, chat;
static struct connection *connections[MOST_CONNECTIONS];

static void prepare(struct answer *answer, const char *body) {
    answer->size = (size_t)snprintf(answer->text, sizeof answer->text,
                                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                                    strlen(body), body);
}

/* The length of the request at the front of `text`, 0 where it is not whole. */
static size_t whole(const char *text) {
    const char *end = strstr(text, "\r\n\r\n");
    if (!end) return 0;
    size_t length = 0;
    if (text[0] == 'P') {
        const char *field = strcasestr(text, "\r\ncontent-length:");
        if (field && field < end) length = strtoul(field + 17, NULL, 10);
    }
    return (size_t)(end - text) + 4 + length;
}

static const struct answer *choose(const char *text) {
    if (!strncmp(text, "POST /auth", 10)) return &login;
    if (!strncmp(text, "POST /api/llm", 13)) return &chat;
    return &profile;
}

/* Answers all that is there; 0 where the connection is to be closed. */
static int serve(int fd, struct connection *connection) {
    ssize_t got = recv(fd, connection->text + connection->size, MOST_REQUEST - connection->size, 0);
    if (got <= 0) return 0;
    connection->size += (size_t)got;
    connection->text[connection->size] = 0;
    size_t done = 0, length;
    while ((length = whole(connection->text + done)) && done + length <= connection->size) {
        const struct answer *answer = choose(connection->text + done);
        if (send(fd, answer->text, answer->size, MSG_NOSIGNAL) != (ssize_t)answer->size) return 0;
        done += length;
    }
    memmove(connection->text, connection->text + done, connection->size - done + 1);
    connection->size -= done;
    return connection->size < MOST_REQUEST;
}

static void forget(int fd) {
    free(connections[fd]);
    connections[fd] = NULL;
    close(fd);
}

int main(void) {
    alarm(300);
    prepare(&login, "{\"access_token\":\"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ0ZXN0LTEtMSIsInRlbmFudCI6MX0."
                    "3yJt1Yk1cW3Ff0m1o6dSx0m5bP2o8y7QmQ\",\"token_type\":\"bearer\",\"expires_in\":3600}");
    prepare(&profile, "{\"id\":\"test-1-1\",\"tenant\":1,\"name\":\"Test User\",\"plan\":\"team\",\"locale\":\"en\"}");
    prepare(&chat, "{\"id\":\"chat-1\",\"answer\":\"A short answer to a short question.\","
                   "\"usage\":{\"total_tokens\":300},\"cost\":0.002,\"cached\":true}");

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &size)) {
        perror("server");
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    int poll = epoll_create1(0), on = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[512];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poll, ready, 512, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd != listener) {
                if (!serve(fd, connections[fd])) forget(fd);
                continue;
            }
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                if (fd >= MOST_CONNECTIONS || !(connections[fd] = calloc(1, sizeof(struct connection)))) {
                    close(fd);
                    continue;
                }
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                event.data.fd = fd;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
