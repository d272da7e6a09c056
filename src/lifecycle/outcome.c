#include "lifecycle/outcome.h"

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {
        [OUTCOME_OK] = "ok",
        [OUTCOME_GONE] = "gone",
        [OUTCOME_REFUSED] = "refused",
        [OUTCOME_UNAUTHORIZED] = "unauthorized",
        [OUTCOME_UNREACHABLE] = "unreachable",
        [OUTCOME_THROTTLED] = "throttled",
        [OUTCOME_UNSUPPORTED] = "unsupported",
        [OUTCOME_UNKNOWN] = "unknown",
    };
    return (unsigned)outcome < sizeof names / sizeof names[0] ? names[outcome] : "unknown";
}
