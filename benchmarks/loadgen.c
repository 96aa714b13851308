/* A small HTTP/1.1 load generator: keeps N connections busy with prepared requests, and measures each operation.
 *
 * Why not wrk: a refresh token is good once, so each request needs the token of the answer before it, and a code flow
 * is two requests. wrk's scripts do not know which connection an answer came from, and Lua would be slower than this.
 *
 * One thread and epoll: it takes a few microseconds per request, far less than any server that it measures. It refuses
 * to guess: a status that is not the expected one, or an answer without the text to carry on, is an error and counted.
 *
 *   loadgen PORT CONNECTIONS SECONDS PLAN [once]
 *
 * PLAN is a file of operations; each is `operation STEPS\n`, and for each step
 * `step LENGTH STATUS HOLE HOLE_LENGTH CAPTURE\n` and LENGTH bytes of request. The text that follows CAPTURE in the
 * answer ("-": none) is written into the hole of the operation's next step; after the last step that is the first one,
 * at the operation's next turn. Operations are used in turn, each on one connection at a time; with `once` each is used
 * at most once. Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { MAX_STEPS = 8, BUFFER = 1 << 21, DRAIN_SECONDS = 30 };

struct step {
    char *request;
    size_t length, hole, hole_length;
    int status;
    char capture[64];
};

struct operation {
    struct step steps[MAX_STEPS];
    int count;
};

struct connection {
    int fd;
    struct operation *operation;
    int step;
    int64_t began;
    size_t filled;
    char *buffer;
};

static struct operation *operations;
static size_t operation_count, *queue, queue_head, queue_length;
static struct sockaddr_in server;
static int64_t *latencies;
static size_t done, latency_room, errors, reconnects;
static char first_error[512];

static void die(const char *what) {
    fprintf(stderr, "loadgen: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return moment.tv_sec * 1000000000LL + moment.tv_nsec;
}

static void read_plan(const char *path) {
    FILE *file = fopen(path, "rb");
    size_t room = 0;
    int steps;
    if (!file) die(path);
    while (fscanf(file, "operation %d\n", &steps) == 1) {
        if (steps < 1 || steps > MAX_STEPS) die("bad number of steps");
        if (operation_count == room) {
            room = room ? 2 * room : 1024;
            if (!(operations = realloc(operations, room * sizeof *operations))) die("memory");
        }
        struct operation *operation = &operations[operation_count++];
        operation->count = steps;
        for (int place = 0; place < steps; place++) {
            struct step *step = &operation->steps[place];
            if (fscanf(file, "step %zu %d %zu %zu %63[^\n]", &step->length, &step->status, &step->hole,
                       &step->hole_length, step->capture) != 5)
                die("bad step");
            if (step->hole + step->hole_length > step->length) die("hole outside the request");
            if (fgetc(file) != '\n' || !(step->request = malloc(step->length))) die("bad step");
            if (fread(step->request, 1, step->length, file) != step->length) die("plan too short");
            fgetc(file);
        }
    }
    if (!operation_count) die("empty plan");
    fclose(file);
    if (!(queue = malloc(operation_count * sizeof *queue))) die("memory");
    for (size_t place = 0; place < operation_count; place++) queue[place] = place;
    queue_length = operation_count;
}

static void note_error(const char *what, const char *answer, size_t length) {
    if (!errors++) {
        size_t used = (size_t)snprintf(first_error, sizeof first_error, "%s: ", what);
        for (size_t place = 0; place < length && used + 1 < sizeof first_error; place++) {
            char letter = answer[place];
            first_error[used++] = letter < ' ' || letter > '~' || letter == '"' || letter == '\\' ? ' ' : letter;
        }
        first_error[used] = 0;
    }
}

static void open_connection(struct connection *connection, int poll) {
    int yes = 1;
    if ((connection->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) die("socket");
    if (connect(connection->fd, (struct sockaddr *)&server, sizeof server) < 0) die("connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(connection->fd, F_SETFL, fcntl(connection->fd, F_GETFL) | O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, connection->fd, &event) < 0) die("epoll_ctl");
}

static void reopen(struct connection *connection, int poll) {
    close(connection->fd);
    reconnects++;
    open_connection(connection, poll);
}

static void send_step(struct connection *connection) {
    struct step *step = &connection->operation->steps[connection->step];
    connection->filled = 0;
    for (size_t sent = 0; sent < step->length;) {
        ssize_t part = send(connection->fd, step->request + sent, step->length - sent, MSG_NOSIGNAL);
        if (part < 0 && errno == EAGAIN) continue;
        if (part < 0) return; /* closed by the server: the read that follows finds out and repeats */
        sent += (size_t)part;
    }
}

/* The next operation of the queue on this connection; false when there is none. */
static bool begin(struct connection *connection) {
    connection->operation = NULL;
    if (!queue_length) return false;
    connection->operation = &operations[queue[queue_head]];
    queue_head = (queue_head + 1) % operation_count;
    queue_length--;
    connection->step = 0;
    connection->began = now_ns();
    send_step(connection);
    return true;
}

static void finish(struct connection *connection, bool once) {
    if (done == latency_room) {
        latency_room = latency_room ? 2 * latency_room : 65536;
        if (!(latencies = realloc(latencies, latency_room * sizeof *latencies))) die("memory");
    }
    latencies[done++] = now_ns() - connection->began;
    if (!once) {
        queue[(queue_head + queue_length) % operation_count] = (size_t)(connection->operation - operations);
        queue_length++;
    }
}

/* The value of a header in the head that ends at `end`, or NULL. */
static const char *find_header(const char *head, const char *end, const char *name) {
    size_t length = strlen(name);
    for (const char *line = head; line && line < end; line = memchr(line, '\n', (size_t)(end - line)), line += !!line)
        if ((size_t)(end - line) > length && !strncasecmp(line, name, length) && line[length] == ':') {
            for (line += length + 1; *line == ' '; line++)
                ;
            return line;
        }
    return NULL;
}

/* Length of the whole answer when it is complete, else 0. */
static size_t complete(const struct connection *connection, bool *closes) {
    const char *start = connection->buffer, *end = memmem(start, connection->filled, "\r\n\r\n", 4);
    if (!end) return 0;
    const char *length = find_header(start, end, "content-length"), *last = find_header(start, end, "connection");
    size_t head = (size_t)(end - start) + 4;
    *closes = last && !strncasecmp(last, "close", 5);
    if (length) {
        size_t whole = head + strtoul(length, NULL, 10);
        return connection->filled >= whole ? whole : 0;
    }
    if (find_header(start, end, "transfer-encoding")) {
        bool is_over = connection->filled >= head + 5 && !memcmp(start + connection->filled - 5, "0\r\n\r\n", 5);
        return is_over ? connection->filled : 0;
    }
    return head;
}

/* Check one answer and carry its text on. False: an error, after which the operation is given up. */
static bool accept_answer(struct connection *connection, size_t length) {
    struct operation *operation = connection->operation;
    struct step *step = &operation->steps[connection->step];
    struct step *next = &operation->steps[(connection->step + 1) % operation->count];
    connection->buffer[length] = 0;
    if (atoi(connection->buffer + 9) != step->status) {
        note_error("unexpected status", connection->buffer, length);
        return false;
    }
    if (strcmp(step->capture, "-")) {
        const char *found = memmem(connection->buffer, length, step->capture, strlen(step->capture));
        if (!found || (size_t)(connection->buffer + length - found) < strlen(step->capture) + next->hole_length) {
            note_error("nothing to carry on", connection->buffer, length);
            return false;
        }
        memcpy(next->request + next->hole, found + strlen(step->capture), next->hole_length);
    }
    return true;
}

static int compare(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

static double percentile(double part) {
    return done ? latencies[(size_t)(part * (double)(done - 1))] / 1e3 : 0;
}

int main(int argc, char **argv) {
    if (argc < 5) die("usage: loadgen PORT CONNECTIONS SECONDS PLAN [once]");
    int count = atoi(argv[2]), poll = epoll_create1(0), busy = 0;
    bool once = argc > 5 && !strcmp(argv[5], "once");
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    struct epoll_event events[64];
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    read_plan(argv[4]);
    for (int place = 0; place < count; place++) {
        if (!(connections[place].buffer = malloc(BUFFER))) die("memory");
        open_connection(&connections[place], poll);
    }
    int64_t start = now_ns(), stop = start + (int64_t)(atof(argv[3]) * 1e9), last = start;
    for (int place = 0; place < count; place++) busy += begin(&connections[place]);
    while (busy) {
        int ready = epoll_wait(poll, events, 64, 1000);
        if (now_ns() > stop + DRAIN_SECONDS * 1000000000LL) {
            note_error("no answer", "", 0);
            break;
        }
        for (int place = 0; place < ready; place++) {
            struct connection *connection = events[place].data.ptr;
            ssize_t got = read(connection->fd, connection->buffer + connection->filled,
                               BUFFER - 1 - connection->filled);
            if (got < 0 && errno == EAGAIN) continue;
            if (!connection->operation) { /* idle, and closed by the server */
                epoll_ctl(poll, EPOLL_CTL_DEL, connection->fd, NULL);
                continue;
            }
            bool closes = false, is_good;
            if (got <= 0) {
                /* Closed while our request was on its way; with bytes of an answer already here it is an error. */
                if (connection->filled) note_error("cut off", connection->buffer, connection->filled);
                reopen(connection, poll);
                send_step(connection);
                continue;
            }
            connection->filled += (size_t)got;
            size_t length = complete(connection, &closes);
            if (!length) {
                if (connection->filled == BUFFER - 1) die("answer too long");
                continue;
            }
            is_good = accept_answer(connection, length);
            if (closes) reopen(connection, poll);
            if (is_good && ++connection->step < connection->operation->count) {
                send_step(connection);
                continue;
            }
            last = now_ns();
            if (is_good) finish(connection, once); /* one that failed is not used again */
            if (last >= stop || !begin(connection)) {
                connection->operation = NULL;
                busy--;
            }
        }
    }
    qsort(latencies, done, sizeof *latencies, compare);
    printf("{\"operations\": %zu, \"seconds\": %.6f, \"errors\": %zu, \"reconnects\": %zu, \"p50\": %.1f, "
           "\"p95\": %.1f, \"p99\": %.1f, \"first_error\": \"%s\"}\n",
           done, (last - start) / 1e9, errors, reconnects, percentile(.5), percentile(.95), percentile(.99),
           first_error);
    return 0;
}
