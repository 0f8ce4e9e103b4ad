/* A USB camera that isn't there: /dev/video63 for one process, by LD_PRELOAD.
 *
 * It gives YUYV at 30 frames a second, 640x480 or 320x240, as most webcams do; frame n has luma 16 + n % 200. Every
 * picture is stamped 15 ms before it is handed over (CLOCK_MONOTONIC). The file that FAKE_V4L2 names says what it does:
 * "unplugged" fails every call with ENODEV, "silent" shows nothing more.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define DEVICE "/dev/video63"
#define BUFFERS 4

static int camera = -1;
static int width = 640, height = 480;
static uint8_t *memory[BUFFERS];
static int queue[BUFFERS], queued;
static unsigned number;

static int says(const char *word)
{
    char text[32] = "";
    const char *path = getenv("FAKE_V4L2");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file) {
        if (!fgets(text, sizeof text, file)) text[0] = 0;
        fclose(file);
    }
    return strncmp(text, word, strlen(word)) == 0;
}

static size_t size(void) { return (size_t)width * height * 2; }

static int plug_in(void)
{
    struct itimerspec rate = {{0, 33333333}, {0, 33333333}};
    camera = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(camera, 0, &rate, NULL);
    queued = 0;
    return camera;
}

static int opened(const char *name, int flags, mode_t mode)
{
    static int (*real)(const char *, int, ...);
    if (!real) real = dlsym(RTLD_NEXT, "open");
    return strcmp(name, DEVICE) ? real(name, flags, mode) : plug_in();
}

int open(const char *name, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened(name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened(name, flags, mode);
}

int close(int fd)
{
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "close");
    if (fd == camera) camera = -1;
    return real(fd);
}

static void *mapped(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "mmap");
    if (fd != camera || fd < 0) return real(at, length, protection, flags, fd, offset);
    void *place = real(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (offset / 0x1000000 < BUFFERS) memory[offset / 0x1000000] = place;
    return place;
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    return mapped(at, length, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    return mapped(at, length, protection, flags, fd, offset);
}

static int refuse(int why)
{
    errno = why;
    return -1;
}

static void describe(struct v4l2_format *format)
{
    format->fmt.pix.width = width;
    format->fmt.pix.height = height;
    format->fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
    format->fmt.pix.field = V4L2_FIELD_NONE;
    format->fmt.pix.bytesperline = width * 2;
    format->fmt.pix.sizeimage = size();
}

static int take(struct v4l2_buffer *buffer)
{
    uint64_t ticks;
    struct timespec now;
    if (!queued) return refuse(EAGAIN);
    if (read(camera, &ticks, sizeof ticks) != sizeof ticks) return refuse(EAGAIN);
    buffer->index = queue[0];
    memmove(queue, queue + 1, --queued * sizeof *queue);
    for (size_t at = 0; at < size(); at += 2) {
        memory[buffer->index][at] = 16 + number % 200;
        memory[buffer->index][at + 1] = 128;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long us = now.tv_sec * 1000000LL + now.tv_nsec / 1000 - 15000;
    buffer->timestamp.tv_sec = us / 1000000;
    buffer->timestamp.tv_usec = us % 1000000;
    buffer->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->bytesused = buffer->length = size();
    buffer->sequence = number++;
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, ...);
    va_list rest;
    va_start(rest, request);
    void *what = va_arg(rest, void *);
    va_end(rest);
    if (!real) real = dlsym(RTLD_NEXT, "ioctl");
    if (fd != camera || fd < 0) return real(fd, request, what);
    if (says("unplugged")) return refuse(ENODEV);
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *it = what;
        memset(it, 0, sizeof *it);
        strcpy((char *)it->driver, "fake");
        it->capabilities = it->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    }
    case VIDIOC_G_FMT:
        describe(what);
        return 0;
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT: {
        struct v4l2_format *it = what;
        width = it->fmt.pix.width <= 320 ? 320 : 640;
        height = width * 3 / 4;
        describe(it);
        return 0;
    }
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: {
        struct v4l2_streamparm *it = what;
        it->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        it->parm.capture.timeperframe.numerator = 1;
        it->parm.capture.timeperframe.denominator = 30;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *it = what;
        if (it->count > BUFFERS) it->count = BUFFERS;
        queued = 0;
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *it = what;
        it->length = size();
        it->m.offset = it->index * 0x1000000;
        return 0;
    }
    case VIDIOC_QBUF:
        if (says("silent")) {
            struct itimerspec never = {{0, 0}, {0, 0}};
            timerfd_settime(camera, 0, &never, NULL);
        }
        if (queued < BUFFERS) queue[queued++] = ((struct v4l2_buffer *)what)->index;
        return 0;
    case VIDIOC_DQBUF:
        return take(what);
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        return 0;
    case VIDIOC_G_INPUT:
        *(int *)what = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return 0;
    default:
        return refuse(EINVAL);
    }
}
