#include "faulty-vfs.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* A write or a truncation that was not synced yet. */
struct change {
    struct change *next; /* the one before it */
    sqlite3_int64 old_size;
    sqlite3_int64 offset;
    int length;          /* -1: truncated to OFFSET */
    int old_length;      /* what was at OFFSET before, fewer bytes at the end of the file */
    unsigned char *bytes; /* the new ones, then the old ones */
};

struct file {
    sqlite3_file base;
    struct file *next;
    struct change *changes; /* newest first */
    sqlite3_file *real;
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs faulty_vfs;
static struct file *files;
static struct faulty_plan plan;
static unsigned counted, met;

static void forget_changes(struct file *file)
{
    while (file->changes) {
        struct change *change = file->changes;
        file->changes = change->next;
        free(change->bytes);
        free(change);
    }
}

static int size_of(struct file *file, sqlite3_int64 *ret_size)
{
    return file->real->pMethods->xFileSize(file->real, ret_size);
}

/* SQLite's own files take less than 128 KiB at a time, and cut what is longer without a word. */
enum { PIECE = 64 * 1024 };

static void read_whole(struct file *file, unsigned char *bytes, int length, sqlite3_int64 offset)
{
    for (int at = 0; at < length; at += PIECE)
        if (file->real->pMethods->xRead(file->real, bytes + at, length - at < PIECE ? length - at : PIECE, offset + at) !=
            SQLITE_OK)
            abort();
}

static void write_whole(struct file *file, const unsigned char *bytes, int length, sqlite3_int64 offset)
{
    for (int at = 0; at < length; at += PIECE)
        if (file->real->pMethods->xWrite(file->real, bytes + at, length - at < PIECE ? length - at : PIECE, offset + at) !=
            SQLITE_OK)
            abort();
}

static void remember(struct file *file, sqlite3_int64 offset, const void *bytes, int length)
{
    struct change *change = calloc(1, sizeof *change);
    if (!change || size_of(file, &change->old_size) != SQLITE_OK)
        abort();
    change->offset = offset;
    change->length = length;
    /* A truncation loses the whole tail. */
    sqlite3_int64 behind = change->old_size - offset;
    change->old_length = behind < 0 ? 0 : length < 0 || behind < length ? (int)behind : length;
    int kept = length < 0 ? 0 : length;
    change->bytes = malloc((size_t)kept + (size_t)change->old_length + 1);
    if (!change->bytes)
        abort();
    if (kept)
        memcpy(change->bytes, bytes, (size_t)kept);
    read_whole(file, change->bytes + kept, change->old_length, offset);
    change->next = file->changes;
    file->changes = change;
}

static void redo(struct file *file, const struct change *change)
{
    if (change->length < 0)
        file->real->pMethods->xTruncate(file->real, change->offset);
    else
        file->real->pMethods->xWrite(file->real, change->bytes, change->length, change->offset);
}

/* Back to what was synced; then, oldest first, those changes that the drive happened to have written. */
static void lose_unsynced(struct file *file)
{
    struct change *oldest_first = NULL;
    while (file->changes) {
        struct change *change = file->changes;
        int kept = change->length < 0 ? 0 : change->length;
        write_whole(file, change->bytes + kept, change->old_length, change->offset);
        file->real->pMethods->xTruncate(file->real, change->old_size);
        file->changes = change->next;
        change->next = oldest_first;
        oldest_first = change;
    }
    for (; plan.seed && oldest_first; oldest_first = oldest_first->next) {
        plan.seed = plan.seed * 1103515245U + 12345U;
        if (plan.seed >> 16 & 1)
            redo(file, oldest_first);
    }
}

/* True: this step is the one. */
static bool struck(enum faulty_step step)
{
    if (plan.effect == FAULTY_NOTHING || !(plan.steps & step))
        return false;
    counted++;
    bool now = plan.lasting ? counted >= plan.at : counted == plan.at;
    met += now;
    return now;
}

static int strike(void)
{
    if (plan.effect == FAULTY_POWER_CUT) {
        for (struct file *file = files; file; file = file->next)
            lose_unsynced(file);
    }
    if (plan.effect != FAULTY_STATUS)
        raise(SIGKILL);
    return plan.status;
}

static int faulty_close(sqlite3_file *base)
{
    struct file *file = (struct file *)base, **link = &files;
    while (*link && *link != file)
        link = &(*link)->next;
    if (*link)
        *link = file->next;
    forget_changes(file);
    return file->real->pMethods->xClose(file->real);
}

static int faulty_read(sqlite3_file *base, void *bytes, int length, sqlite3_int64 offset)
{
    struct file *file = (struct file *)base;
    return struck(FAULTY_READ) ? strike() : file->real->pMethods->xRead(file->real, bytes, length, offset);
}

static int faulty_write(sqlite3_file *base, const void *bytes, int length, sqlite3_int64 offset)
{
    struct file *file = (struct file *)base;
    bool now = struck(FAULTY_WRITE);
    if (now)
        length /= 2; /* torn */
    remember(file, offset, bytes, length);
    int status = length ? file->real->pMethods->xWrite(file->real, bytes, length, offset) : SQLITE_OK;
    return now ? strike() : status;
}

static int faulty_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct file *file = (struct file *)base;
    if (struck(FAULTY_WRITE))
        return strike();
    remember(file, size, NULL, -1);
    return file->real->pMethods->xTruncate(file->real, size);
}

static int faulty_sync(sqlite3_file *base, int flags)
{
    struct file *file = (struct file *)base;
    (void)flags;
    if (struck(FAULTY_SYNC))
        return strike();
    forget_changes(file);
    return SQLITE_OK;
}

static int faulty_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
    return size_of((struct file *)base, ret_size);
}

static int faulty_lock(sqlite3_file *base, int level)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xLock(file->real, level);
}

static int faulty_unlock(sqlite3_file *base, int level)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xUnlock(file->real, level);
}

static int faulty_check_lock(sqlite3_file *base, int *ret_locked)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xCheckReservedLock(file->real, ret_locked);
}

static int faulty_control(sqlite3_file *base, int operation, void *argument)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xFileControl(file->real, operation, argument);
}

static int faulty_sector(sqlite3_file *base)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xSectorSize(file->real);
}

static int faulty_device(sqlite3_file *base)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xDeviceCharacteristics(file->real);
}

static int faulty_shm_map(sqlite3_file *base, int page, int size, int extend, void volatile **ret_map)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xShmMap(file->real, page, size, extend, ret_map);
}

static int faulty_shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xShmLock(file->real, offset, count, flags);
}

static void faulty_shm_barrier(sqlite3_file *base)
{
    struct file *file = (struct file *)base;
    file->real->pMethods->xShmBarrier(file->real);
}

static int faulty_shm_unmap(sqlite3_file *base, int delete)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xShmUnmap(file->real, delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* no mapped pages: every read and write passes here */
    .xClose = faulty_close,
    .xRead = faulty_read,
    .xWrite = faulty_write,
    .xTruncate = faulty_truncate,
    .xSync = faulty_sync,
    .xFileSize = faulty_size,
    .xLock = faulty_lock,
    .xUnlock = faulty_unlock,
    .xCheckReservedLock = faulty_check_lock,
    .xFileControl = faulty_control,
    .xSectorSize = faulty_sector,
    .xDeviceCharacteristics = faulty_device,
    .xShmMap = faulty_shm_map,
    .xShmLock = faulty_shm_lock,
    .xShmBarrier = faulty_shm_barrier,
    .xShmUnmap = faulty_shm_unmap,
};

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *ret_flags)
{
    struct file *file = (struct file *)base;
    (void)vfs;
    memset(file, 0, sizeof *file);
    file->real = (sqlite3_file *)(file + 1);
    int status = real_vfs->xOpen(real_vfs, name, file->real, flags, ret_flags);
    if (status != SQLITE_OK)
        return status;
    file->base.pMethods = &methods;
    file->next = files;
    files = file;
    return SQLITE_OK;
}

static int faulty_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    return struck(FAULTY_DELETE) ? strike() : real_vfs->xDelete(real_vfs, name, sync);
}

bool faulty_vfs_install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    if (!real_vfs)
        return false;
    faulty_vfs = *real_vfs;
    faulty_vfs.pNext = NULL;
    faulty_vfs.zName = "faulty";
    faulty_vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    faulty_vfs.xOpen = faulty_open;
    faulty_vfs.xDelete = faulty_delete;
    return sqlite3_vfs_register(&faulty_vfs, 1) == SQLITE_OK;
}

void faulty_vfs_arm(const struct faulty_plan *new_plan)
{
    plan = *new_plan;
    counted = met = 0;
}

unsigned faulty_vfs_disarm(void)
{
    plan.effect = FAULTY_NOTHING;
    return met;
}
