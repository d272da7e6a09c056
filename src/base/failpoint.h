/* Failpoints: named places at which a process kills itself when told to, for the crash matrix (tests/crash/).
 *
 * There is one before and one after every durable and every external step. In a normal build FAILPOINT() is nothing at
 * all; `./configure --enable-failpoints` makes it a call. Then the environment decides:
 *
 *   LLMHOOK_FAILPOINT=NAME[:N]     dies by SIGKILL when it passes NAME for the Nth time (default 1)
 *   LLMHOOK_FAILPOINT=@FILE        the same, as the file's first line says; it is read at each pass and may change while
 *                                  the process runs, which starts the counting anew
 *   LLMHOOK_FAILPOINT_TRACE=FILE   appends the name of each one that is passed, and KILL behind the last
 *
 * A name is STEP.MOMENT, a space in either becomes a hyphen: so a ledger's event or a request's kind names its own. */
#ifndef LLMHOOK_BASE_FAILPOINT_H
#define LLMHOOK_BASE_FAILPOINT_H

#ifdef LLMHOOK_FAILPOINTS
/* Any thread. Aborts when the name is not in the list of failpoint.c. */
void failpoint_pass(const char *step, const char *moment);
#define FAILPOINT(step, moment) failpoint_pass((step), (moment))
#else
#define FAILPOINT(step, moment) ((void)0)
#endif

#endif
