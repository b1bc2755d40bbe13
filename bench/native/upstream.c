/* A model server that thinks of nothing: one thread, epoll, canned bytes. It is never what a run waits for.
 *
 *     upstream --port 9001 --canned DIR
 *
 * DIR holds, for each format F of openai, ollama, anthropic and bedrock, `F.answer`, a whole HTTP
 * answer, and `F.stream`, its pieces: 4 bytes of length (little-endian), 1 byte of kind, and the
 * bytes. Pieces of kind 0 are sent once; those of kind 1 stand together and are sent in turn, as many
 * as the request says. Each piece is a write of its own.
 * The path decides over the format. A model's name that holds `burst-N` or `spaced-N` decides over
 * the stream: N pieces of text, as fast as they are taken or 5 ms apart. All else is answered `{}`,
 * so that it does as a collector of spans and for health checks too. Only loopback; ends by a signal.
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

enum { FORMATS = 4, EVENTS = 256, LOOK = 4096 };
static const uint64_t GAP_NS = 5000000;
static const char *const NAMES[FORMATS] = {"openai", "ollama", "anthropic", "bedrock"};
static const char *const PATHS[FORMATS] = {"/chat/completions", "/api/", "/v1/messages", "/converse"};
static const char NOTHING[] =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

struct piece {
    const char *bytes;
    size_t length;
    int repeats;
};

struct format {
    char *answer;
    size_t answer_length;
    struct piece *pieces;
    size_t count;
    size_t texts_at, texts; /* where those of kind 1 are */
};

struct connection {
    int fd;
    char *in;
    size_t used, room;
    /* What is being written: a whole answer, or piece `at`; of texts it is number `turn` of `turns`. */
    const struct format *stream;
    size_t at, turn, turns;
    const char *out;
    size_t left;
    uint64_t due_ns; /* of the next piece of a spaced stream, 0 for one that is not spaced */
    struct connection *before, *after; /* among those that wait for their time */
    int waiting, watched;
};

static struct format formats[FORMATS];
static struct connection waiting = {.before = &waiting, .after = &waiting};
static int epoll_fd, timer_fd;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static char *slurp(const char *folder, const char *name, const char *suffix, size_t *length) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.%s", folder, name, suffix);
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*length + 1);
    if (!bytes || fread(bytes, 1, *length, file) != *length) fail(path);
    fclose(file);
    return bytes;
}

static void load(const char *folder) {
    for (int f = 0; f < FORMATS; f++) {
        struct format *format = &formats[f];
        format->answer = slurp(folder, NAMES[f], "answer", &format->answer_length);
        size_t length;
        char *bytes = slurp(folder, NAMES[f], "stream", &length);
        for (size_t at = 0; at + 5 <= length;) {
            uint32_t size;
            memcpy(&size, bytes + at, 4);
            format->pieces = realloc(format->pieces, (format->count + 1) * sizeof *format->pieces);
            if (!format->pieces || at + 5 + size > length) fail("stream");
            if (bytes[at + 4] && !format->texts++) format->texts_at = format->count;
            format->pieces[format->count++] =
                (struct piece){.bytes = bytes + at + 5, .length = size, .repeats = bytes[at + 4]};
            at += 5 + size;
        }
    }
}

static void watch(struct connection *c, int writable) {
    if (c->watched == writable) return;
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event)) fail("epoll_ctl");
    c->watched = writable;
}

static void unlink_waiting(struct connection *c) {
    if (!c->waiting) return;
    c->before->after = c->after;
    c->after->before = c->before;
    c->waiting = 0;
}

static void drop(struct connection *c) {
    unlink_waiting(c);
    close(c->fd);
    free(c->in);
    free(c);
}

static void set_timer(void) {
    if (waiting.after == &waiting) return;
    uint64_t first = 0;
    for (struct connection *c = waiting.after; c != &waiting; c = c->after)
        if (!first || c->due_ns < first) first = c->due_ns;
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(first / 1000000000u),
                                           .tv_nsec = (long)(first % 1000000000u)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Write what there is to write. Returns -1 if the peer is gone, 0 if it goes on later, 1 when done. */
static int push(struct connection *c) {
    for (;;) {
        while (c->left) {
            ssize_t sent = send(c->fd, c->out, c->left, MSG_NOSIGNAL);
            if (sent < 0) {
                if (errno != EAGAIN) return -1;
                watch(c, 1);
                return 0;
            }
            c->out += sent;
            c->left -= (size_t)sent;
        }
        watch(c, 0);
        if (!c->stream) return 1;
        const struct piece *piece = &c->stream->pieces[c->at];
        if (!piece->repeats) c->at++;
        else if (++c->turn < c->turns) c->at = c->stream->texts_at + c->turn % c->stream->texts;
        else c->at = c->stream->texts_at + c->stream->texts;
        if (c->at == c->stream->count) {
            c->stream = NULL;
            return 1;
        }
        piece = &c->stream->pieces[c->at];
        c->out = piece->bytes;
        c->left = piece->length;
        if (c->due_ns && piece->repeats) {
            c->due_ns += GAP_NS;
            c->waiting = 1;
            c->after = waiting.after;
            c->before = &waiting;
            c->after->before = waiting.after = c;
            return 0;
        }
    }
}

static const char *find(const char *bytes, size_t length, const char *word) {
    return memmem(bytes, length, word, strlen(word));
}

/* Look for a word in the request's first and last bytes: callers differ in where they put fields. */
static const char *look(const char *bytes, size_t length, const char *word) {
    const char *found = find(bytes, length < LOOK ? length : LOOK, word);
    if (!found && length > LOOK) found = find(bytes + length - LOOK, LOOK, word);
    return found;
}

static void answer(struct connection *c, const char *request, size_t length, size_t head) {
    const char *line = memchr(request, '\r', head);
    size_t line_length = (size_t)(line - request);
    c->stream = NULL;
    c->due_ns = 0;
    for (int f = 0; f < FORMATS; f++) {
        if (!find(request, line_length, PATHS[f])) continue;
        int streams;
        if (f == 3) streams = find(request, line_length, "-stream") != NULL;
        else if (f == 1) streams = !look(request, length, "\"stream\":false") && !look(request, length, "\"stream\": false");
        else streams = look(request, length, "\"stream\":true") || look(request, length, "\"stream\": true");
        if (!streams) {
            c->out = formats[f].answer;
            c->left = formats[f].answer_length;
            return;
        }
        const char *burst = look(request, length, "burst-"), *spaced = look(request, length, "spaced-");
        c->turns = burst ? strtoul(burst + 6, NULL, 10) : spaced ? strtoul(spaced + 7, NULL, 10) : 200;
        c->due_ns = spaced ? now_ns() : 0;
        c->stream = &formats[f];
        c->at = c->turn = 0;
        c->out = c->stream->pieces[0].bytes;
        c->left = c->stream->pieces[0].length;
        return;
    }
    c->out = NOTHING;
    c->left = sizeof NOTHING - 1;
}

/* Length of the first message in the buffer, 0 while it is not whole; `head` becomes its head's. */
static size_t message(struct connection *c, size_t *head) {
    const char *end = find(c->in, c->used, "\r\n\r\n");
    if (!end) return 0;
    *head = (size_t)(end - c->in) + 4;
    for (const char *line = c->in; line < end;) {
        line = memmem(line, (size_t)(end - line) + 2, "\r\n", 2);
        if (!line || line >= end) break;
        line += 2;
        if (!strncasecmp(line, "content-length:", 15)) {
            size_t whole = *head + strtoul(line + 15, NULL, 10);
            return c->used >= whole ? whole : 0;
        }
        if (!strncasecmp(line, "transfer-encoding:", 18)) {
            const char *last = find(end, c->used - (size_t)(end - c->in), "\r\n0\r\n\r\n");
            return last ? (size_t)(last - c->in) + 7 : 0;
        }
    }
    return *head;
}

/* Answer whole requests. Returns -1 if the connection is over. */
static int serve(struct connection *c) {
    size_t head, length;
    while (!c->left && !c->stream && (length = message(c, &head))) {
        answer(c, c->in, length, head);
        c->used -= length;
        memmove(c->in, c->in + length, c->used);
        if (push(c) < 0) return -1;
    }
    return 0;
}

static int take(struct connection *c) {
    for (;;) {
        if (c->room - c->used < 16384) {
            c->room = c->room ? c->room * 2 : 32768;
            c->in = realloc(c->in, c->room);
            if (!c->in) fail("realloc");
        }
        ssize_t got = recv(c->fd, c->in + c->used, c->room - c->used, 0);
        if (got == 0) return -1;
        if (got < 0) return errno == EAGAIN ? serve(c) : -1;
        c->used += (size_t)got;
        if (c->used < c->room) return serve(c);
    }
}

static void wake(void) {
    uint64_t ticks;
    if (read(timer_fd, &ticks, sizeof ticks) < 0) return;
    uint64_t now = now_ns();
    for (struct connection *c = waiting.after, *next; c != &waiting; c = next) {
        next = c->after;
        if (c->due_ns > now) continue;
        unlink_waiting(c);
        if (push(c) < 0) drop(c);
    }
}

int main(int count, char **words) {
    int port = 0;
    for (int at = 1; at + 1 < count; at += 2) {
        if (!strcmp(words[at], "--port")) port = atoi(words[at + 1]);
        if (!strcmp(words[at], "--canned")) load(words[at + 1]);
    }
    if (!port || !formats[0].answer) {
        fprintf(stderr, "usage: upstream --port PORT --canned DIR\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    int on = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 4096))
        fail("listen");
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listening};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listening, &event);
    event.data.ptr = &timer_fd;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
        int timed = 0;
        for (int at = 0; at < ready; at++) {
            if (events[at].data.ptr == &timer_fd) {
                timed = 1;
                continue;
            }
            if (events[at].data.ptr == &listening) {
                int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0) continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                struct connection *c = calloc(1, sizeof *c);
                if (!c) fail("calloc");
                c->fd = fd;
                event = (struct epoll_event){.events = EPOLLIN, .data.ptr = c};
                if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
                continue;
            }
            struct connection *c = events[at].data.ptr;
            int over = 0;
            if (events[at].events & EPOLLOUT) over = push(c) < 0;
            if (!over) over = events[at].events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? take(c) < 0 : serve(c) < 0;
            if (over) drop(c);
        }
        /* Last, since it may drop connections that other events of this turn speak of. */
        if (timed) wake();
        set_timer();
    }
}
