#include "lifecycle/alert.h"

#include <string.h>

static const struct {
    const char *name, *message_id;
    bool passes;
} kinds[] = {
    [ALERT_BUDGET] = {"budget", "5d288506fae54f93943f33db70870ae7", false},
    [ALERT_BURN] = {"burn-rate", "96520aa6b73e49afa2e74b5ff753d6d5", false},
    [ALERT_CAP] = {"cap-changed", "0b5330bc46ad4fc3849d47f0b89af5db", false},
    [ALERT_DRIFT] = {"drift", "ef95db3b92c946dc810f13fe252a8e1b", true},
    [ALERT_STUCK] = {"stuck", "54084a006e664028baf4ad48de87487e", true},
    [ALERT_UNDELIVERED] = {"undelivered", "b66e661763274bf08d3f946231ffbbbf", true},
    [ALERT_POOL] = {"pool-low", "222998eb77db4807a1ee90c0ab246e43", true},
    [ALERT_USAGE] = {"usage-unread", "29f3913ae8ab470f979f5913599f5310", true},
    [ALERT_ADMIN_KEY] = {"admin-key", "788a33ee51204db4bfaf85303cf5feb0", true},
    [ALERT_TEST] = {"test", "cf67c54d19d64bdabdd57b513b2ef505", false},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

const char *alert_kind_name(enum alert_kind kind)
{
    return kinds[kind].name;
}

bool alert_kind_parse(const char *name, enum alert_kind *ret_kind)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            *ret_kind = (enum alert_kind)i;
            return true;
        }
    }
    return false;
}

const char *alert_message_id(enum alert_kind kind)
{
    return kinds[kind].message_id;
}

bool alert_kind_passes(enum alert_kind kind)
{
    return kinds[kind].passes;
}

unsigned alert_threshold(int64_t spent, int64_t limit, const unsigned *thresholds, size_t count)
{
    unsigned highest = 0;
    /* A limit is less than a million dollars, so that nothing here can overflow. */
    for (size_t i = 0; i < count; i++)
        if (thresholds[i] > highest && spent >= limit / 100 * thresholds[i] + limit % 100 * thresholds[i] / 100)
            highest = thresholds[i];
    return highest;
}
