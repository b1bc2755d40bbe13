/* Callers that send an exact number of requests, and count what comes back.
 *
 *     load --port 9000 --request FILE --count 1000 --connections 32 [--rate 50] [--limit 60]
 *
 * FILE is one whole HTTP request. Without --rate each connection sends its next request as soon as
 * the last one was answered (closed loop). With it, requests are due at that rate whatever became of
 * the others (open loop), and latencies are counted from when they were due. An answer is good if
 * its status is 200, its body is whole and, where it is a stream of events, its last event is the
 * `[DONE]` of OpenAI's format. After --limit seconds all that is not answered has failed. Prints one
 * JSON object; times are in milliseconds. Only loopback.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, HEAD = 16384, READ = 262144 };
enum framing { BY_LENGTH, BY_CHUNKS, BY_END };
enum chunk { SIZE, DATA, DATA_END, TRAILER };

struct connection {
    int fd, busy, watched, used;
    size_t sent;
    uint64_t due_ns, first_ns;
    /* The answer: its head until that is whole, then where its body is. */
    char head[HEAD];
    size_t head_used;
    int in_body, status, is_stream, done, closes;
    enum framing framing;
    enum chunk state;
    uint64_t left;
    /* Events: how much of `data:` was seen since the line began, and what follows it. */
    int column, matched;
};

static const char DATA_FIELD[] = "data: [";
static char *request, buffer[READ];
static size_t request_length;
static int port, epoll_fd, timer_fd, open_loop, connections_max = 1;
static uint64_t count = 1, begun, answered, failed, event_count, byte_count, started_ns, limit_ns;
static double rate;
static int last_status;
static double *latencies, *firsts;
static uint64_t first_count;
static struct connection **idle;
static int idle_count, opened;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void join(struct connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) fail("socket");
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll_ctl");
    c->watched = c->used = 0;
}

static struct connection *new_connection(void) {
    struct connection *c = calloc(1, sizeof *c);
    if (!c) fail("calloc");
    join(c);
    opened++;
    return c;
}

static void watch(struct connection *c, int writable) {
    if (c->watched == writable) return;
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event)) fail("epoll_ctl");
    c->watched = writable;
}

static void push(struct connection *c) {
    while (c->sent < request_length) {
        ssize_t sent = send(c->fd, request + c->sent, request_length - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            /* Of a broken connection the end is read next, and the request fails then. */
            watch(c, errno == EAGAIN);
            return;
        }
        c->sent += (size_t)sent;
    }
    watch(c, 0);
}

static void ask(struct connection *c, uint64_t due_ns) {
    begun++;
    c->busy = 1;
    c->sent = c->head_used = 0;
    c->in_body = c->status = c->is_stream = c->done = c->closes = c->column = c->matched = 0;
    c->first_ns = 0;
    c->due_ns = due_ns;
    push(c);
}

static uint64_t due_of(uint64_t number) { return started_ns + (uint64_t)((double)number / rate * 1e9); }

static void next(struct connection *c) {
    if (!open_loop) {
        if (begun < count) ask(c, now_ns());
        else idle[idle_count++] = c;
    } else if (begun < count && due_of(begun) <= now_ns()) {
        ask(c, due_of(begun));
    } else {
        idle[idle_count++] = c;
    }
}

/* The answer is whole, or will never be. `broken`: the connection is of no more use. */
static void over(struct connection *c, int good, int broken) {
    uint64_t now = now_ns();
    c->busy = 0;
    c->used = 1;
    if (good && c->status == 200 && (!c->is_stream || c->done)) {
        latencies[answered++] = (double)(now - c->due_ns) / 1e6;
        if (c->first_ns) firsts[first_count++] = (double)(c->first_ns - c->due_ns) / 1e6;
    } else {
        failed++;
    }
    last_status = c->status;
    if (broken || c->closes) {
        close(c->fd);
        if (answered + failed == count) return;
        join(c);
    }
    next(c);
}

static const char *header(const struct connection *c, const char *name) {
    const char *end = c->head + c->head_used;
    for (const char *line = c->head; (line = memmem(line, (size_t)(end - line), "\r\n", 2)) != NULL;) {
        line += 2;
        if (!strncasecmp(line, name, strlen(name))) {
            for (line += strlen(name); *line == ' ';) line++;
            return line;
        }
    }
    return NULL;
}

static void read_head(struct connection *c) {
    const char *value;
    c->status = atoi(c->head + 9);
    value = header(c, "content-type:");
    c->is_stream = value && !strncasecmp(value, "text/event-stream", 17);
    value = header(c, "connection:");
    c->closes = value && !strncasecmp(value, "close", 5);
    if (header(c, "transfer-encoding:")) {
        c->framing = BY_CHUNKS;
        c->state = SIZE;
        c->left = 0;
    } else if ((value = header(c, "content-length:"))) {
        c->framing = BY_LENGTH;
        c->left = strtoull(value, NULL, 10);
    } else {
        c->framing = BY_END;
    }
    c->in_body = 1;
}

/* Count lines that begin with `data:`, however they were cut. */
static void count_events(struct connection *c, const char *bytes, size_t length) {
    byte_count += length;
    if (!c->is_stream) return;
    const char *end = bytes + length;
    while (bytes < end) {
        if (c->column < (int)sizeof DATA_FIELD - 1) {
            if (*bytes == '\n') {
                c->column = c->matched = 0;
            } else {
                if (*bytes == DATA_FIELD[c->column] && c->matched == c->column) c->matched++;
                c->column++;
                if (c->matched == 5 && c->column == 5) {
                    event_count++;
                    if (!c->first_ns) c->first_ns = now_ns();
                }
                if (c->matched == (int)sizeof DATA_FIELD - 1) c->done = 1;
            }
            bytes++;
        } else {
            bytes = memchr(bytes, '\n', (size_t)(end - bytes));
            if (!bytes) return;
            bytes++;
            c->column = c->matched = 0;
        }
    }
}

/* Take what came of a body. Returns 1 when it is whole. */
static int take_body(struct connection *c, const char *bytes, size_t length) {
    const char *end = bytes + length;
    if (c->framing != BY_CHUNKS) {
        count_events(c, bytes, length);
        if (c->framing == BY_END) return 0;
        c->left -= length < c->left ? length : c->left;
        return !c->left;
    }
    while (bytes < end) {
        if (c->state == DATA) {
            size_t part = (size_t)(end - bytes) < c->left ? (size_t)(end - bytes) : c->left;
            count_events(c, bytes, part);
            bytes += part;
            c->left -= part;
            if (!c->left) c->state = DATA_END;
            continue;
        }
        char byte = *bytes++;
        if (c->state == DATA_END) {
            if (byte == '\n') c->state = SIZE;
        } else if (c->state == SIZE) {
            if (byte >= '0' && byte <= '9') c->left = c->left * 16 + (uint64_t)(byte - '0');
            else if ((byte | 32) >= 'a' && (byte | 32) <= 'f') c->left = c->left * 16 + (uint64_t)((byte | 32) - 'a' + 10);
            else if (byte == '\n') c->state = c->left ? DATA : TRAILER;
        } else if (byte == '\n') {
            return 1;
        }
    }
    return 0;
}

static void take(struct connection *c) {
    for (;;) {
        ssize_t got = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            if (c->busy && c->used && !c->head_used) {
                /* It was given up while idle. As any client does, send once more, on a new one. */
                close(c->fd);
                join(c);
                c->sent = 0;
                push(c);
            } else if (c->busy) {
                over(c, c->in_body && c->framing == BY_END && got == 0, 1);
            } else {
                /* An idle connection that the other side has given up. */
                for (int at = 0; at < idle_count; at++)
                    if (idle[at] == c) idle[at] = idle[--idle_count];
                close(c->fd);
                free(c);
                opened--;
            }
            return;
        }
        if (!c->busy) continue;
        const char *bytes = buffer;
        size_t length = (size_t)got;
        if (!c->in_body) {
            size_t part = length < HEAD - 1 - c->head_used ? length : HEAD - 1 - c->head_used;
            size_t had = c->head_used;
            memcpy(c->head + had, bytes, part);
            c->head[had + part] = 0;
            c->head_used += part;
            const char *end = memmem(c->head, c->head_used, "\r\n\r\n", 4);
            if (!end) {
                if (c->head_used == HEAD - 1) over(c, 0, 1);
                continue;
            }
            size_t body_at = (size_t)(end - c->head) + 4 - had;
            c->head_used = (size_t)(end - c->head) + 2;
            read_head(c);
            bytes += body_at;
            length -= body_at;
        }
        if (take_body(c, bytes, length)) {
            over(c, 1, 0);
            return;
        }
        if (c->framing == BY_LENGTH && !c->left) {
            over(c, 1, 0);
            return;
        }
    }
}

static void arrivals(void) {
    uint64_t ticks;
    if (read(timer_fd, &ticks, sizeof ticks) < 0 && errno != EAGAIN) fail("timer");
    while (begun < count && due_of(begun) <= now_ns()) {
        if (idle_count) ask(idle[--idle_count], due_of(begun));
        else if (opened < connections_max) ask(new_connection(), due_of(begun));
        else return;
    }
    if (begun == count) return;
    uint64_t at = due_of(begun);
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Nearest rank. */
static double percentile(const double *sorted, uint64_t length, double share) {
    if (!length) return 0;
    uint64_t rank = (uint64_t)(share * (double)length + 0.999999);
    return sorted[(rank ? rank : 1) - 1];
}

static void tell(double took_s) {
    qsort(latencies, answered, sizeof *latencies, by_value);
    qsort(firsts, first_count, sizeof *firsts, by_value);
    printf("{\"answered\":%llu,\"failed\":%llu,\"status\":%d,\"took_s\":%.6f,\"events\":%llu,\"bytes\":%llu,"
           "\"p50_ms\":%.4f,\"p90_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f,\"first_p50_ms\":%.4f}\n",
           (unsigned long long)answered, (unsigned long long)(count - answered), last_status, took_s,
           (unsigned long long)event_count, (unsigned long long)byte_count, percentile(latencies, answered, 0.5),
           percentile(latencies, answered, 0.9), percentile(latencies, answered, 0.99),
           percentile(latencies, answered, 1.0), percentile(firsts, first_count, 0.5));
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    fseek(file, 0, SEEK_END);
    request_length = (size_t)ftell(file);
    rewind(file);
    request = malloc(request_length + 1);
    if (!request || fread(request, 1, request_length, file) != request_length) fail(path);
    fclose(file);
}

int main(int words, char **word) {
    double limit_s = 60;
    for (int at = 1; at + 1 < words; at += 2) {
        const char *value = word[at + 1];
        if (!strcmp(word[at], "--port")) port = atoi(value);
        else if (!strcmp(word[at], "--request")) read_request(value);
        else if (!strcmp(word[at], "--count")) count = strtoull(value, NULL, 10);
        else if (!strcmp(word[at], "--connections")) connections_max = atoi(value);
        else if (!strcmp(word[at], "--rate")) rate = atof(value);
        else if (!strcmp(word[at], "--limit")) limit_s = atof(value);
    }
    if (!port || !request || !count || count > 10000000 || connections_max < 1 || connections_max > 4096) {
        fprintf(stderr, "usage: load --port PORT --request FILE --count N --connections N [--rate R] [--limit S]\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    open_loop = rate > 0;
    latencies = calloc(count, sizeof *latencies);
    firsts = calloc(count, sizeof *firsts);
    idle = calloc((size_t)connections_max, sizeof *idle);
    if (!latencies || !firsts || !idle) fail("calloc");
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &timer_fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);
    int first = connections_max;
    if ((uint64_t)first > count) first = (int)count;
    if (open_loop && first > 8) first = 8;
    for (int at = 0; at < first; at++) idle[idle_count++] = new_connection();
    started_ns = now_ns();
    limit_ns = started_ns + (uint64_t)(limit_s * 1e9);
    if (open_loop) arrivals();
    else while (idle_count && begun < count) ask(idle[--idle_count], now_ns());
    while (answered + failed < count) {
        uint64_t now = now_ns();
        if (now >= limit_ns) break;
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll_fd, events, EVENTS, (int)((limit_ns - now) / 1000000) + 1);
        int timed = 0;
        for (int at = 0; at < ready; at++) {
            if (events[at].data.ptr == &timer_fd) {
                timed = 1;
                continue;
            }
            struct connection *c = events[at].data.ptr;
            if (events[at].events & EPOLLOUT) push(c);
            if (events[at].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) take(c);
        }
        if (open_loop && (timed || idle_count)) arrivals();
    }
    tell((double)(now_ns() - started_ns) / 1e9);
    return 0;
}
