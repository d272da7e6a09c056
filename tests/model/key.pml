/* The life of keys: 2 domains, 3 generations each, a daemon that crashes anywhere, a provider that loses requests and
 * answers, is late, and does things twice. Checked exhaustively by run.sh.
 *
 * What is durable: row, unknown, id, last (the ledger). What a crash takes: answer, looked.
 * What is at the provider: live, and late (a request that it will still carry out though nobody waits for it).
 *
 * Left out, because the simulator has them: containers, limits, the gate, the delivery (so minted stands for active),
 * what is believed of a domain and how that comes about. Time is one thing only: a doubt is settled when nothing late can come any more, which is what
 * PLAN_SETTLE_MS is long enough for. Until then a list may be old, and may show nothing of what is there.
 *
 * Each of these breaks it, and must be found out:
 *   NO_WRITE_AHEAD         the request goes out before the ledger says so
 *   NOT_FOUND_IS_NOT_GONE  a 404 to a revocation is a failure like any other
 *   OVERLAP                the next generation does not wait until the one before it is gone
 *   NO_SETTLE              the first list without it ends a doubted key
 *   UNKNOWN_IS_REFUSED     a lost answer counts as "not done"
 *   FOUND_ONCE             a doubted key ends when one of its name was removed
 *   FORGET_AT_CRASH        a minting that was under way begins anew after a crash
 *   DROP_UNASKED           a doubted key of a domain that stopped is dropped
 *   LOOK_FOR_EVER          that a list was empty is not remembered */
#define DOMAINS 2
#define GENERATIONS 3
#define ROWS 6 /* DOMAINS * GENERATIONS */
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef BOOTS
#define BOOTS 2 /* of each domain */
#endif

mtype = { none, planned, minting, minted, revoking, revoked };
mtype = { nothing, done, refused, lost };

mtype row[ROWS] = none;
bit unknown[ROWS], id[ROWS];
byte last[DOMAINS];

bit looked[ROWS]; /* looked: a list without it has been seen since it was last removed */
mtype answer[ROWS] = nothing;

byte live[ROWS];
bit late[ROWS];

bit runs[DOMAINS];
byte boots[DOMAINS];
byte faults = FAULTS, crashes = CRASHES;

#define KNOWN(i) (row[i] == minted || (row[i] == revoking && !unknown[i]))
/* A row that stands in the way of a new generation. */
#define BLOCKS(i) (row[i] != none && row[i] != revoked && !(row[i] == revoking && unknown[i] && looked[i]))
#ifdef OVERLAP
#define CURRENT(i) (row[i] == planned || row[i] == minting || row[i] == minted)
#define FREE(d) (!CURRENT((d) * 3) && !CURRENT((d) * 3 + 1) && !CURRENT((d) * 3 + 2))
#else
#define FREE(d) (!BLOCKS((d) * 3) && !BLOCKS((d) * 3 + 1) && !BLOCKS((d) * 3 + 2))
#endif

inline doubt(i)
{
    row[i] = revoking; unknown[i] = 1; looked[i] = 0
}

inline end_row(i)
{
    row[i] = revoked; unknown[i] = 0; id[i] = 0; looked[i] = 0
}

inline removed(i)
{
    if
    :: unknown[i] ->
#ifdef FOUND_ONCE
        end_row(i)
#else
        id[i] = 0; looked[i] = 0 /* it may have been made more than once: look again */
#endif
    :: else -> end_row(i)
    fi
}

/* What the daemon does about row K of domain D: each option is one step of the engine, with its commit. What a domain's
 * rows have to do with each other is in FREE. */
proctype Row(byte d; byte k)
{
    byte i;
    i = d * GENERATIONS + k;
end:
    do
    :: atomic { runs[d] && last[d] == k && FREE(d) -> row[i] = planned; last[d]++ }
    :: atomic { row[i] == planned && answer[i] == nothing && !runs[d] -> end_row(i) }
    /* The intent is committed and the request goes out. A crash in between is a request that was lost. */
    :: atomic { row[i] == planned && answer[i] == nothing && runs[d] ->
#ifndef NO_WRITE_AHEAD
           row[i] = minting;
#endif
           if
           :: live[i]++; answer[i] = done
           :: faults > 0 -> faults--; answer[i] = refused
           :: faults > 0 -> faults--; answer[i] = lost                                    /* the request is lost */
           :: faults > 0 -> faults--; live[i]++; answer[i] = lost                         /* the answer is lost */
           :: faults > 0 -> faults--; live[i] = live[i] + 2; answer[i] = lost             /* done twice */
           :: faults > 0 -> faults--; late[i] = 1; answer[i] = lost                       /* to be done later */
           :: faults > 0 -> faults--; live[i]++; late[i] = 1; answer[i] = lost            /* and twice */
           fi }
    :: atomic { late[i] -> late[i] = 0; live[i]++ }
    :: atomic { answer[i] == done -> row[i] = minted; id[i] = 1; answer[i] = nothing }
    :: atomic { answer[i] == refused -> row[i] = planned; answer[i] = nothing }
    :: atomic { answer[i] == lost ->
#ifdef UNKNOWN_IS_REFUSED
           row[i] = planned;
#else
           doubt(i);
#endif
           answer[i] = nothing }
    :: atomic { row[i] == minting && answer[i] == nothing -> /* nobody waits for an answer any more */
#ifdef FORGET_AT_CRASH
           row[i] = planned
#else
           doubt(i)
#endif
       }
    :: atomic { row[i] == minted && !runs[d] -> row[i] = revoking }
#ifdef DROP_UNASKED
    :: atomic { row[i] == revoking && unknown[i] && !id[i] && !runs[d] -> end_row(i) }
#endif
    /* The first look for a doubted key by its name: soon, in a list that may be old. */
    :: atomic { row[i] == revoking && !id[i] && !looked[i] ->
           if
           :: live[i] > 0 -> id[i] = 1
#ifdef NO_SETTLE
           :: end_row(i)
#else
#ifdef LOOK_FOR_EVER
           :: true
#else
           :: looked[i] = 1
#endif
#endif
           fi }
    /* The last one: when nothing late can come any more, and lists are what is. */
    :: atomic { row[i] == revoking && !id[i] && looked[i] && !late[i] ->
           if
           :: live[i] > 0 -> id[i] = 1
           :: live[i] == 0 -> end_row(i)
           fi }
    :: atomic { row[i] == revoking && id[i] && live[i] > 0 ->
           live[i]--;
           if
           :: removed(i)
           :: faults > 0 -> faults-- /* done, and the answer is lost */
           fi }
#ifndef NOT_FOUND_IS_NOT_GONE
    :: atomic { row[i] == revoking && id[i] && live[i] == 0 -> removed(i) }
#endif
    od
}

/* Boots, stops and crashes, as many as there may be, at any time; and at some time no more of them. */
active proctype World()
{
    byte i;
    atomic {
        run Row(0, 0); run Row(0, 1); run Row(0, 2);
        run Row(1, 0); run Row(1, 1); run Row(1, 2)
    }
    do
    :: atomic { !runs[0] && boots[0] < BOOTS -> boots[0]++; runs[0] = 1 }
    :: atomic { !runs[1] && boots[1] < BOOTS -> boots[1]++; runs[1] = 1 }
    :: atomic { runs[0] -> runs[0] = 0 }
    :: atomic { runs[1] -> runs[1] = 0 }
    :: atomic { crashes > 0 -> crashes--;
           i = 0;
           do
           :: i < ROWS ->
               answer[i] = nothing; looked[i] = 0; i++
           :: else -> break
           od;
           i = 0 }
    :: break
    od
}

/* I1: what is alive has a row that will lead to its end. Of two under one name the row looks for the name. */
#define I1(i) (live[i] == 0 || row[i] == minting || (live[i] == 1 && row[i] == minted) || \
               (row[i] == revoking && (unknown[i] || live[i] == 1)))
#define I1_ALL (I1(0) && I1(1) && I1(2) && I1(3) && I1(4) && I1(5))
/* I4: at most one alive whose secret we have. */
#define USABLE(i) (KNOWN(i) && live[i] > 0)
#define I4(d) (!(USABLE((d) * 3) && USABLE((d) * 3 + 1)) && !(USABLE((d) * 3) && USABLE((d) * 3 + 2)) && \
               !(USABLE((d) * 3 + 1) && USABLE((d) * 3 + 2)))
/* I8: a domain that is off has nothing; one that runs has one, or has used up its generations. */
#define OVER(i) ((row[i] == none || row[i] == revoked) && live[i] == 0)
#define ALL_OVER(d) (OVER((d) * 3) && OVER((d) * 3 + 1) && OVER((d) * 3 + 2))
#define HAS(i) (row[i] == minted && live[i] == 1)
#define ONE(d) ((HAS((d) * 3) && OVER((d) * 3 + 1) && OVER((d) * 3 + 2)) || \
                (OVER((d) * 3) && HAS((d) * 3 + 1) && OVER((d) * 3 + 2)) || \
                (OVER((d) * 3) && OVER((d) * 3 + 1) && HAS((d) * 3 + 2)))
#define RIGHT(d) ((runs[d] && (ONE(d) || (last[d] == GENERATIONS && ALL_OVER(d)))) || (!runs[d] && ALL_OVER(d)))

active proctype Monitor()
{
    do
    :: atomic { !I1_ALL -> printf("I1: a live key has no row that leads to its end\n"); assert(false) }
    :: atomic { !(I4(0) && I4(1)) -> printf("I4: two usable keys of one grant\n"); assert(false) }
    :: timeout -> printf("I8: at rest, and not as it should be\n"); assert(RIGHT(0) && RIGHT(1)); break
    od
}
