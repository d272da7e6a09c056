/* A SQLite VFS over the real one in which a chosen step fails, kills the process, or cuts the power.
 *
 * It becomes the default VFS, so that the code under test opens its files through it without knowing. Nothing is
 * really synced: instead every write is remembered until its file is synced, so that a power cut can take it back. */
#ifndef LLMHOOK_TESTS_LEDGER_FAULTY_VFS_H
#define LLMHOOK_TESTS_LEDGER_FAULTY_VFS_H

#include <stdbool.h>

/* Which steps are counted, and meet the fault. */
enum faulty_step {
    FAULTY_READ = 1,
    FAULTY_WRITE = 2, /* truncations too */
    FAULTY_SYNC = 4,
    FAULTY_DELETE = 8,
};

enum faulty_effect {
    FAULTY_NOTHING,
    FAULTY_STATUS,    /* returns the status given; a write has put half of its bytes first */
    FAULTY_KILL,      /* SIGKILL; a write has put half of its bytes first */
    FAULTY_POWER_CUT, /* all that was not synced is lost, or a part of it that the seed chooses; then SIGKILL */
};

struct faulty_plan {
    unsigned steps; /* of enum faulty_step, or-ed */
    unsigned at;    /* the how many-th of them, from 1 */
    bool lasting;   /* and all after it, until disarmed */
    enum faulty_effect effect;
    int status;     /* FAULTY_STATUS: SQLITE_FULL... */
    unsigned seed;  /* FAULTY_POWER_CUT: 0 loses everything */
};

/* Once per process. */
bool faulty_vfs_install(void);
/* Counting starts anew. */
void faulty_vfs_arm(const struct faulty_plan *plan);
/* How often the fault was met since faulty_vfs_arm(). */
unsigned faulty_vfs_disarm(void);

#endif
