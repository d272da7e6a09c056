/* The life of keys: 2 domains, 3 generations each, a daemon that crashes anywhere, a provider that loses requests and
 * answers, is late, does things twice and shows old lists, guests that lose what they were given. Searched exhaustively
 * by test-model.sh, which also says how far.
 *
 * What is where
 *   the ledger    row, unknown, id, successor. It survives everything.
 *   the daemon    answer, looked, believed, proven. A crash takes them.
 *   the provider  live: how many keys of that name there are; late: a request that it will still carry out though
 *                 nobody waits for it.
 *   the host      dom; guest: the generation that the guest's memory holds.
 *   held          for the properties alone: this generation has been in the guest.
 * DOMAINS * GENERATIONS rows; row D * GENERATIONS + K is generation K + 1 of domain D.
 *
 * Which line is which function. Left: the comment that begins a step below. Right: where the code decides it
 * (plan.c), and what it does to the row (transition.c).
 *   P1 new          plan_wanted(): PLAN_NEW_KEY              transition_key_new(); number: rows_new_key()
 *   P2 rotate       rotation_is_due(): PLAN_NEW_KEY          transition_key_new(), with a predecessor
 *   P3 drop         plan_keys(): PLAN_DROP_KEY               transition_key_drop()
 *   M1 intend       plan_container(): PLAN_MINT_KEY          transition_key_mint(), before it is asked for
 *   M2 send         (requests.c)                             every outcome.h a minting can have
 *   M3 answered     (requests.c)                             transition_key_minted(): ok, refused..., unknown
 *   M4 nobody waits plan_keys(): PLAN_DOUBT_KEY              transition_key_doubt()
 *   D1 deliver      plan_delivery(): PLAN_DELIVER            (deliveries.c)
 *   D2 prove        plan_current(): PLAN_PROVE_KEY           transition_key_proven()
 *   R1 retire       plan_earlier(): PLAN_RETIRE_KEY          transition_key_retire()
 *   R2 overlap over plan_earlier(): PLAN_END_KEY             transition_key_end()
 *   E1 end          plan_keys(): must_end(), PLAN_END_KEY    transition_key_end()
 *   F1 first look   plan_revocation(): PLAN_FIND_KEY         transition_key_found(), looked_at
 *   F2 last look    plan_revocation(): PLAN_KEY_GONE         transition_key_gone(), PLAN_SETTLE_MS
 *   V1 remove       plan_revocation(): PLAN_REVOKE_KEY       (requests.c)
 *   V2 removed      (requests.c)                             transition_key_revoked(): ok and gone
 *   S1 suspend      plan_suspension(): PLAN_SUSPEND_KEY      transition_key_suspend(), before it is asked for
 *   S2 S3           (requests.c)                             transition_key_suspended(), CERTAIN
 *   U1 resume       plan_resumption(), plan_current()        transition_key_resume(), before it is asked for
 *   U2 U3           (requests.c)                             transition_key_resumed()
 *   L1 look         domain_conclude()                        sooner or later the daemon sees what is
 *
 * With SUSPENDS a key is suspended when its domain is off, and ends when it is undefined; SURE is suspended_at.
 *
 * Left out, because the simulator has them: containers and limits, the provider's gate, policy and operator, how it
 * comes about what is believed of a domain. Time is one thing only: a doubt is settled when nothing late can come any
 * more, which is what PLAN_SETTLE_MS is long enough for. Until then a list may show nothing of what is there. When an
 * overlap ends, and when a rotation is due, is left open.
 *
 * Each of the macros that test-model.sh lists as a mutation breaks one step, and must be found out. */
#define DOMAINS 2
#define GENERATIONS 3
#define ROWS 6 /* DOMAINS * GENERATIONS */
/* How much may happen in one run, over both domains. USED of the domains are ever started. */
#ifndef USED
#define USED 2
#endif
#ifndef FAULTS
#define FAULTS 2 /* of the provider and of deliveries */
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef MOVES
#define MOVES 4 /* starts, stops, saves, restores, reboots, undefines and defines */
#endif
#ifndef ROTATIONS
#define ROTATIONS 1
#endif

mtype = { none, planned, minting, minted, active_, suspended, retiring, revoking, revoked };
mtype = { nothing, todo, done, refused, lost, suspends, was_suspended, resumes, was_resumed };
mtype = { unheard, off, on, saved, undefined };

mtype row[ROWS] = none;
bit unknown[ROWS], id[ROWS], successor[ROWS];

mtype answer[ROWS] = nothing;
bit looked[ROWS]; /* a list without it has been seen since it was last removed */
mtype believed[DOMAINS] = unheard;
byte proven[DOMAINS]; /* the generation that the guest has proven since its agent last connected; 0: none */

byte live[ROWS];
bit late[ROWS];
#ifdef SUSPENDS
bit sure[ROWS];                           /* of a suspended row: the provider certainly refuses the key */
bit certain[ROWS];                        /* nothing else could come any more when its suspension was asked for */
bit refuses[ROWS];                        /* the provider does */
bit late_suspend[ROWS], late_resume[ROWS]; /* what it will carry out though nobody waits for it */
#endif

mtype dom[DOMAINS] = off;
byte guest[DOMAINS];

bit held[ROWS];
byte faults = FAULTS, crashes = CRASHES, moves = MOVES, rotations = ROTATIONS;

/* --- what the daemon decides by --- */

#define FIRST(d) ((d) * GENERATIONS)
#define DELIVERABLE(i) (row[i] == minted || row[i] == active_)
#define CURRENT(i) (row[i] == planned || row[i] == minting || row[i] == suspended || DELIVERABLE(i))
/* There is a newer one to go on with. */
#define GOES_ON(i) (DELIVERABLE(i) || row[i] == suspended)
#define REPLACED(i, k) ((k < 2 && GOES_ON(i + 1)) || (k < 1 && GOES_ON(i + 2)))
/* The newest that a guest may be given, as its generation; 0: none. */
#define GIVE(d) (DELIVERABLE(FIRST(d) + 2) -> 3 : (DELIVERABLE(FIRST(d) + 1) -> 2 : (DELIVERABLE(FIRST(d)) -> 1 : 0)))
/* A row that stands in the way of a new generation. Nobody has the secret of a doubted one; and beside a retiring one,
 * should its successor have ended, there is room for another. */
#ifdef RETIRING_BLOCKS
#define MAKES_ROOM(i) (row[i] == revoking && unknown[i] && looked[i])
#else
#define MAKES_ROOM(i) (row[i] == retiring || (row[i] == revoking && unknown[i] && looked[i]))
#endif
#define BLOCKS(i) (row[i] != none && row[i] != revoked && !MAKES_ROOM(i))
#ifdef NO_WAITING
#define FREE(d) (!CURRENT(FIRST(d)) && !CURRENT(FIRST(d) + 1) && !CURRENT(FIRST(d) + 2))
#else
#define FREE(d) (!BLOCKS(FIRST(d)) && !BLOCKS(FIRST(d) + 1) && !BLOCKS(FIRST(d) + 2))
#endif
/* The one that is to be replaced is all there is, and its guest has it. */
#define HISTORY(i) (row[i] == none || row[i] == revoked)
#define IN_GUEST(d, i) (row[i] == active_ && proven[d] == (i) - FIRST(d) + 1)
#ifdef ROTATES_AT_ONCE
#define MAY_ROTATE(d) (IN_GUEST(d, FIRST(d)) || IN_GUEST(d, FIRST(d) + 1))
#else
#define MAY_ROTATE(d) (HISTORY(FIRST(d) + 2) && ((IN_GUEST(d, FIRST(d)) && HISTORY(FIRST(d) + 1)) || \
                                                 (HISTORY(FIRST(d)) && IN_GUEST(d, FIRST(d) + 1))))
#endif
#define LAST(d) ((row[FIRST(d)] != none) + (row[FIRST(d) + 1] != none) + (row[FIRST(d) + 2] != none))

#define RUNS(d) (believed[d] == on)
#ifdef UNKNOWN_IS_OFF
#define ENDED(d) (believed[d] == off || believed[d] == undefined || believed[d] == unheard)
#else
#ifdef SAVED_IS_OFF
#define ENDED(d) (believed[d] == off || believed[d] == undefined || believed[d] == saved)
#else
#ifdef UNDEFINED_IS_FORGOTTEN
#define ENDED(d) (believed[d] == off)
#else
#define ENDED(d) (believed[d] == off || believed[d] == undefined)
#endif
#endif
#endif
#define IN_USE(d) (dom[d] == on || dom[d] == saved)

inline doubt(i)
{
    row[i] = revoking; unknown[i] = 1; looked[i] = 0
}

inline end_row(i)
{
    row[i] = revoked; unknown[i] = 0; id[i] = 0; looked[i] = 0; successor[i] = 0; held[i] = 0;
#ifdef SUSPENDS
    sure[i] = 0; certain[i] = 0
#endif
}

/* The provider removes one: I3, not what a guest holds that runs or will go on. */
inline remove(one, domain, generation)
{
    if
    :: IN_USE(domain) && guest[domain] == generation -> printf("I3: what a guest is using is removed\n"); assert(false)
    :: else
    fi;
    live[one]--
}

/* What the daemon does about row I = K of domain D: each option is one step of the engine, with its commit. */
proctype Row(byte d; byte k; byte i)
{
end:
    do
    /* P1 new */
    :: atomic { row[i] == none && LAST(d) == k && RUNS(d) && FREE(d) ->
           row[i] = planned;
           successor[i] = row[FIRST(d)] == retiring || row[FIRST(d) + 1] == retiring }
#ifdef NAME_REUSED
    :: atomic { row[i] == revoking && unknown[i] && looked[i] && !id[i] && RUNS(d) && FREE(d) ->
           row[i] = planned; unknown[i] = 0; looked[i] = 0 }
#endif
    /* P2 rotate */
    :: atomic { row[i] == none && LAST(d) == k && rotations > 0 && RUNS(d) && MAY_ROTATE(d) ->
           rotations--; row[i] = planned; successor[i] = 1 }
    /* P3 drop */
    :: atomic { row[i] == planned && answer[i] == nothing && ENDED(d) -> end_row(i) }

    /* M1 intend */
    :: atomic { row[i] == planned && answer[i] == nothing && RUNS(d) ->
#ifndef NO_WRITE_AHEAD
           row[i] = minting;
#endif
           answer[i] = todo }
    /* M2 send */
    :: atomic { answer[i] == todo ->
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
    /* M3 answered */
    :: atomic { answer[i] == done && row[i] != revoking -> row[i] = minted; id[i] = 1; answer[i] = nothing }
    :: atomic { answer[i] == refused -> row[i] = planned; answer[i] = nothing }
    :: atomic { answer[i] == lost ->
#ifdef UNKNOWN_IS_REFUSED
           row[i] = planned;
#else
           doubt(i);
#endif
           answer[i] = nothing }
    /* M4 nobody waits */
    :: atomic { row[i] == minting && answer[i] == nothing ->
#ifdef FORGET_AT_CRASH
           row[i] = planned
#else
           doubt(i)
#endif
       }

    /* D1 deliver */
    :: atomic { dom[d] == on && RUNS(d) && GIVE(d) == k + 1 && (guest[d] != k + 1 || proven[d] != k + 1) ->
           if
           :: guest[d] = k + 1; held[i] = 1; proven[d] = k + 1
           :: faults > 0 -> faults--; guest[d] = k + 1; held[i] = 1; proven[d] = 0        /* its answer is lost */
#ifdef DELIVERED_IS_PROVEN
           :: proven[d] = k + 1
#endif
           fi }
    /* D2 prove */
    :: atomic { row[i] == minted && proven[d] == k + 1 -> row[i] = active_ }
    /* R1 retire */
#ifdef RETIRES_UNPROVEN
    :: atomic { DELIVERABLE(i) && (k < 2 && DELIVERABLE(i + 1) || k < 1 && DELIVERABLE(i + 2)) ->
#else
    :: atomic { DELIVERABLE(i) && (k < 2 && row[i + 1] == active_ || k < 1 && row[i + 2] == active_) ->
#endif
           /* I5 */
           if
           :: k < 2 && DELIVERABLE(i + 1) && held[i + 1]
           :: k < 1 && DELIVERABLE(i + 2) && held[i + 2]
           :: else -> printf("I5: an overlap begins, and the guest never had the new key\n"); assert(false)
           fi;
           row[i] = retiring }
#ifndef OVERLAP_FOR_EVER
    /* R2 overlap over */
    :: atomic { row[i] == retiring && RUNS(d) && proven[d] == GIVE(d) && GIVE(d) > 0 -> row[i] = revoking }
#endif
#ifdef OLD_ENDS_WHEN_NEW_IS_MINTED
    :: atomic { row[i] == active_ && k < 2 && row[i + 1] == minted -> row[i] = revoking }
#endif
    /* E1 end */
#ifdef SUSPENDS
    :: atomic { (GOES_ON(i) || row[i] == retiring) && answer[i] == nothing &&
                (believed[d] == undefined || (believed[d] == off && (row[i] == retiring || REPLACED(i, k)))) -> row[i] = revoking }
    /* S1 suspend */
    :: atomic { (DELIVERABLE(i) || (row[i] == suspended && !sure[i] && !late_suspend[i] && !late_resume[i])) &&
                answer[i] == nothing && believed[d] == off && !REPLACED(i, k) ->
#ifndef SUSPENSION_UNWRITTEN
           row[i] = suspended; sure[i] = 0;
#endif
#ifdef SUSPENDED_AT_ONCE
           certain[i] = 1;
#else
           certain[i] = !late_suspend[i] && !late_resume[i];
#endif
           answer[i] = suspends }
    /* S2 */
    :: atomic { answer[i] == suspends ->
           if
           :: live[i] > 0 -> refuses[i] = 1; answer[i] = was_suspended
           :: live[i] == 0 -> answer[i] = nothing; end_row(i)                                /* 404 */
           :: faults > 0 -> faults--; answer[i] = nothing                                 /* the request is lost */
           :: faults > 0 -> faults--; refuses[i] = 1; answer[i] = nothing                 /* the answer is lost */
           :: faults > 0 -> faults--; late_suspend[i] = 1; answer[i] = nothing            /* to be done later */
           fi }
    :: atomic { late_suspend[i] -> late_suspend[i] = 0; refuses[i] = 1 }
    /* S3 answered */
    :: atomic { answer[i] == was_suspended -> answer[i] = nothing;
           if
           :: row[i] == suspended -> sure[i] = certain[i]
#ifdef SUSPENSION_UNWRITTEN
           :: DELIVERABLE(i) -> row[i] = suspended; sure[i] = 1
#endif
           :: else
           fi }
#ifndef STAYS_SUSPENDED
    /* U1 resume */
#ifdef RESUMED_AT_ONCE
    :: atomic { row[i] == suspended && answer[i] == nothing && RUNS(d) ->
#else
    :: atomic { row[i] == suspended && answer[i] == nothing && RUNS(d) && !late_suspend[i] ->
#endif
#ifndef RESUMPTION_UNWRITTEN
           sure[i] = 0;
#endif
           answer[i] = resumes }
#endif
    /* U2 */
    :: atomic { answer[i] == resumes ->
           if
           :: live[i] > 0 -> refuses[i] = 0; answer[i] = was_resumed
           :: live[i] == 0 -> answer[i] = nothing; end_row(i)
           :: faults > 0 -> faults--; answer[i] = nothing
           :: faults > 0 -> faults--; refuses[i] = 0; answer[i] = nothing
           :: faults > 0 -> faults--; late_resume[i] = 1; answer[i] = nothing
           fi }
    :: atomic { late_resume[i] -> late_resume[i] = 0; refuses[i] = 0 }
    /* U3 answered: the guest has to prove it again */
    :: atomic { answer[i] == was_resumed -> answer[i] = nothing;
           if
           :: row[i] == suspended -> row[i] = minted; sure[i] = 0
           :: else
           fi }
#else
    :: atomic { (DELIVERABLE(i) || row[i] == retiring) && ENDED(d) -> row[i] = revoking }
#endif
#ifdef DROP_UNASKED
    :: atomic { row[i] == revoking && unknown[i] && !id[i] && ENDED(d) -> end_row(i) }
#endif

    /* F1 first look: soon, in a list that may be old */
    :: atomic { row[i] == revoking && !id[i] && !looked[i] ->
           if
           :: live[i] > 0 -> id[i] = 1
           :: live[i] == 0 && faults > 0 -> faults--; id[i] = 1 /* it shows one that is gone */
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
#ifdef NAMED_WITHOUT_DOMAIN
    :: atomic { row[i] == revoking && !id[i] && live[(i + 3) % 6] > 0 -> remove((i + 3) % 6, 1 - d, k + 1) }
#endif
    /* F2 last look: when nothing late can come any more, and lists are what is */
    :: atomic { row[i] == revoking && !id[i] && looked[i] && !late[i] ->
           if
           :: live[i] > 0 -> id[i] = 1
           :: live[i] == 0 -> end_row(i)
           fi }
    /* V1 remove */
    :: atomic { row[i] == revoking && id[i] && answer[i] == nothing ->
           if
           :: live[i] > 0 -> remove(i, d, k + 1); answer[i] = done
           :: live[i] > 0 && faults > 0 -> faults--; remove(i, d, k + 1)                      /* the answer is lost */
#ifdef NOT_FOUND_IS_NOT_GONE
           :: live[i] == 0 && false
#else
           :: live[i] == 0 -> answer[i] = done                                            /* 404 */
#endif
           fi
       }
#ifdef FORGET_BEFORE_REVOKED
    /* The row ends when the request goes out, and it may be lost. */
    :: atomic { row[i] == revoking && id[i] && answer[i] == nothing && faults > 0 -> faults--; end_row(i) }
#endif
    /* V2 removed */
    :: atomic { row[i] == revoking && answer[i] == done ->
           answer[i] = nothing;
           if
#ifndef FOUND_ONCE
           :: unknown[i] -> id[i] = 0; looked[i] = 0 /* it may have been made more than once: look again */
           :: else -> end_row(i)
#else
           :: end_row(i)
#endif
           fi }
    od
}

/* L1 look. What the daemon believes follows, sooner or later, and skips what was in between. */
proctype Watch(byte d)
{
end:
    do
    :: atomic { believed[d] != dom[d] -> believed[d] = dom[d] }
    od
}

/* Whatever may happen to domains and daemon, at any time; and at some time no more of it. By symmetry it is domain 0
 * that is started first. */
active proctype World()
{
    byte i;
    atomic {
        run Row(0, 0, 0); run Row(0, 1, 1); run Row(0, 2, 2); run Watch(0);
#if USED == 2
        run Row(1, 0, 3); run Row(1, 1, 4); run Row(1, 2, 5); run Watch(1);
#endif
        i = 0
    }
    do
    :: atomic { moves > 0 ->
           if
#if USED == 2
           :: moves < MOVES -> i = 1
#endif
           :: true
           fi;
           moves--;
           if
           :: dom[i] == off -> dom[i] = on                                       /* start */
           :: dom[i] == off -> dom[i] = undefined
           :: dom[i] == undefined -> dom[i] = off                                /* defined again, with its UUID */
           :: dom[i] == on -> dom[i] = off; guest[i] = 0; proven[i] = 0          /* stopped, destroyed, crashed */
           :: dom[i] == on -> guest[i] = 0; proven[i] = 0                        /* it reboots, or loses its files */
           :: dom[i] == on -> dom[i] = saved; proven[i] = 0
           :: dom[i] == saved -> dom[i] = on                                     /* restored: the guest goes on */
           :: dom[i] == saved -> dom[i] = off; guest[i] = 0                      /* the saved file is removed */
           fi;
           i = 0 }
    :: atomic { crashes > 0 -> crashes--;
           i = 0;
           do
           :: i < ROWS ->
#ifdef SUSPENDS
               if
               :: answer[i] == suspends -> late_suspend[i] = 1
               :: answer[i] == resumes -> late_resume[i] = 1
               :: else
               fi;
#endif
               answer[i] = nothing; looked[i] = 0; i++
           :: else -> break
           od;
           believed[0] = unheard; believed[1] = unheard; proven[0] = 0; proven[1] = 0;
           i = 0 }
    :: break
    od
}

/* --- what must hold --- */

/* I1: what is alive has a row that will lead to its end. Of two under one name the row looks for the name. */
#define I1(i) (live[i] == 0 || row[i] == minting || row[i] == revoked || \
               (live[i] == 1 && (row[i] == minted || row[i] == active_ || row[i] == suspended || row[i] == retiring)) || \
               (row[i] == revoking && (unknown[i] || live[i] == 1)))
#define I1_ALL (I1(0) && I1(1) && I1(2) && I1(3) && I1(4) && I1(5))
/* I2: a row that has ended is gone at the provider. */
#define I2(i) (row[i] != revoked || live[i] == 0)
#define I2_ALL (I2(0) && I2(1) && I2(2) && I2(3) && I2(4) && I2(5))
/* I4: at most two alive whose secret we have; and two only when the newer one is the older one's successor. */
#define KNOWN(i) (GOES_ON(i) || row[i] == retiring || (row[i] == revoking && !unknown[i]))
#define USABLE(i) (KNOWN(i) && live[i] > 0)
#define PAIR(i, j) (!USABLE(i) || !USABLE(j) || successor[j])
#define I4(d) (PAIR(FIRST(d), FIRST(d) + 1) && PAIR(FIRST(d), FIRST(d) + 2) && PAIR(FIRST(d) + 1, FIRST(d) + 2) && \
               !(USABLE(FIRST(d)) && USABLE(FIRST(d) + 1) && USABLE(FIRST(d) + 2)))
/* I8, where nothing is left to be done: a domain that is off has nothing; one that runs has one, and its guest too, or
 * has used up its generations; one that is saved has what its guest will go on with, and no doubts. */
#define OVER(i) ((row[i] == none || row[i] == revoked) && live[i] == 0)
#define ALL_OVER(d) (OVER(FIRST(d)) && OVER(FIRST(d) + 1) && OVER(FIRST(d) + 2))
#define HAS(d, i) (row[i] == active_ && live[i] == 1 && guest[d] == i - FIRST(d) + 1)
#define ONE(d) ((HAS(d, FIRST(d)) && OVER(FIRST(d) + 1) && OVER(FIRST(d) + 2)) || \
                (OVER(FIRST(d)) && HAS(d, FIRST(d) + 1) && OVER(FIRST(d) + 2)) || \
                (OVER(FIRST(d)) && OVER(FIRST(d) + 1) && HAS(d, FIRST(d) + 2)))
#define KEPT(d) (row[FIRST(d)] != revoking && row[FIRST(d) + 1] != revoking && row[FIRST(d) + 2] != revoking && \
                 (guest[d] == 0 || live[FIRST(d) + guest[d] - 1] == 1))
#define USED_UP(i) (OVER(i) || (row[i] == retiring && live[i] == 1))
#define ALL_USED_UP(d) (LAST(d) == GENERATIONS && USED_UP(FIRST(d)) && USED_UP(FIRST(d) + 1) && OVER(FIRST(d) + 2))
#ifdef SUSPENDS
/* What counts as suspended is refused, and what does not is not. */
#define TAKEN(i) (!(DELIVERABLE(i) || row[i] == retiring) || live[i] == 0 || !refuses[i])
#define REFUSED(i) (row[i] != suspended || !sure[i] || live[i] == 0 || refuses[i])
#define KEEPS(i) (row[i] == suspended && sure[i] && live[i] == 1 && refuses[i])
#define AT_REST(d) (ALL_OVER(d) || (KEEPS(FIRST(d)) && OVER(FIRST(d) + 1) && OVER(FIRST(d) + 2)) || \
                    (OVER(FIRST(d)) && KEEPS(FIRST(d) + 1) && OVER(FIRST(d) + 2)) || \
                    (OVER(FIRST(d)) && OVER(FIRST(d) + 1) && KEEPS(FIRST(d) + 2)))
#else
#define AT_REST(d) ALL_OVER(d)
#endif
#define RIGHT(d) ((dom[d] == on && (ONE(d) || ALL_USED_UP(d))) || \
                  (dom[d] == saved && KEPT(d)) || (dom[d] == off && AT_REST(d)) || (dom[d] == undefined && ALL_OVER(d)))

/* That the search comes as far as this is seen by claiming that it does not. */
#ifdef SEES_TWO_OVERLAPS
#define WITNESS (row[0] == retiring && row[3] == retiring)
#endif
#ifdef SEES_THIRD_GENERATION
#define WITNESS (row[0] == revoked && row[1] == revoked && row[2] == active_ && guest[0] == 3)
#endif
#ifdef SEES_DOUBTED_SUCCESSOR
#define WITNESS (row[0] == active_ && guest[0] == 1 && row[1] == revoking && unknown[1] && live[1] == 2)
#endif
#ifdef SEES_SAVED_BETWEEN_TWO
#define WITNESS (dom[0] == saved && believed[0] == saved && row[0] == active_ && row[1] == minted && guest[0] == 1)
#endif
#ifdef SEES_CRASH_IN_OVERLAP
#define WITNESS (crashes < CRASHES && believed[0] == unheard && row[0] == retiring && guest[0] == 2)
#endif
#ifdef SEES_RESUMED
#define WITNESS (row[0] == active_ && guest[0] == 1 && certain[0])
#endif
#ifdef SEES_OLD_LIST
#define WITNESS (row[0] == revoking && unknown[0] && id[0] && live[0] == 0)
#endif

active proctype Monitor()
{
    do
    :: atomic { !I1_ALL -> printf("I1: a live key has no row that leads to its end\n"); assert(false) }
    :: atomic { !I2_ALL -> printf("I2: a row has ended, and its key is alive\n"); assert(false) }
    :: atomic { !(I4(0) && I4(1)) -> printf("I4: more usable keys of one grant than there may be\n"); assert(false) }
#ifdef SUSPENDS
    :: atomic { !(TAKEN(0) && TAKEN(1) && TAKEN(2) && TAKEN(3) && TAKEN(4) && TAKEN(5)) ->
           printf("I3: what is to work is refused\n"); assert(false) }
    :: atomic { !(REFUSED(0) && REFUSED(1) && REFUSED(2) && REFUSED(3) && REFUSED(4) && REFUSED(5)) ->
           printf("I1: what counts as suspended works\n"); assert(false) }
#endif
#ifdef WITNESS
    :: atomic { WITNESS -> printf("seen\n"); assert(false) }
#endif
    :: timeout -> printf("I8: at rest, and not as it should be\n"); assert(RIGHT(0) && RIGHT(1)); break
    od
}
