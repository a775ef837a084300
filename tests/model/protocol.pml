/* SPDX-License-Identifier: MIT */
/*
 * protocol.pml: the protocol of sivc/wire.h, for spin.
 *
 * One message is one slot of a ring of SLOTS.  S sends MESSAGES messages, R takes them, and may
 * refuse S at any moment, and permit it again once, with a new ring.  Indices count slots and do
 * not wrap; the wrapping is for every.c and interleave.c, which have the real code.
 *
 * Memory: a store goes into its processor's buffer, and from there to memory at any later time, in
 * any order (weaker than x86 and as weak as ARM).  BARRIER waits for the buffer to be empty, and so
 * does a release before its own store.  Loads are done in order unless an acquire is left out; then
 * what it protects may have been loaded before.
 *
 * In every run:
 *	- S and R end, or R sleeps with nothing to take: no wake-up is lost;
 *	- a message went, as S was told, if and only if R took it, once and unharmed;
 *	- nobody takes the other for one who broke the protocol;
 *	- nothing that S began after R had answered "refused" is taken.
 *
 * With -DCRASH, S may be killed between any two steps; another process of its domain goes on with
 * the ring.  With -DHOSTILE_S or -DHOSTILE_R one side writes anything at any time; the other must
 * stay within the ring, and end or sleep.
 *
 * -DBROKEN_... leaves one part of the protocol out.  Each of them must fail; run.sh sees to it.
 */

#define SLOTS 2
#define RINGS 2
#if defined(HOSTILE_S) || defined(HOSTILE_R) || defined(CRASH)
#define MESSAGES 2
#else
#define MESSAGES 4
#endif
#ifdef CRASH
#define RENEWALS 0
#else
#define RENEWALS 1 /* this often R permits S again */
#endif
#define NONE	 255

/* Where things are in memory. */
#define PROD(k)	       (k)			 /* of ring k; its control page is its own */
#define SPACE_EVENT(k) (RINGS + (k))
#define DATA(k, i)     (2 * RINGS + SLOTS * (k) + (i) % SLOTS)
#define PAGE	       (2 * RINGS + SLOTS * RINGS)
#define SEQ	       (PAGE + 0)
#define RING	       (PAGE + 1)		 /* the permitted ring's nonce; NONE: refused */
#define FINAL	       (PAGE + 2)
#define FINAL_RING     (PAGE + 3)
#define CONS	       (PAGE + 4)
#define DATA_EVENT     (PAGE + 5)
#define WORDS	       (PAGE + 6)

byte memory[WORDS];

/* Signals: one is kept; more are one. */
bool to_r, to_s;

/* The buffers.  A word is in a buffer at most once at a time (its writer waits). */
byte waits_s[WORDS] = NONE, waits_r[WORDS] = NONE;
byte in_s, in_r;

#define LOAD(word) memory[word]

inline store_s(word, value)
{
	atomic {
		waits_s[word] == NONE;
		waits_s[word] = value;
		in_s++
	}
}

inline store_r(word, value)
{
	atomic {
		waits_r[word] == NONE;
		waits_r[word] = value;
		in_r++
	}
}

#define BARRIER_S (in_s == 0)
#define BARRIER_R (in_r == 0)

#define TO_MEMORY(waits, in, w)                                                                    \
	atomic { waits[w] != NONE -> memory[w] = waits[w]; waits[w] = NONE; in-- }

proctype Drain()
{
end:
	do
	:: TO_MEMORY(waits_s, in_s, PROD(0))
	:: TO_MEMORY(waits_s, in_s, PROD(1))
	:: TO_MEMORY(waits_s, in_s, SPACE_EVENT(0))
	:: TO_MEMORY(waits_s, in_s, SPACE_EVENT(1))
	:: TO_MEMORY(waits_s, in_s, DATA(0, 0))
	:: TO_MEMORY(waits_s, in_s, DATA(0, 1))
	:: TO_MEMORY(waits_s, in_s, DATA(1, 0))
	:: TO_MEMORY(waits_s, in_s, DATA(1, 1))
	:: TO_MEMORY(waits_r, in_r, SEQ)
	:: TO_MEMORY(waits_r, in_r, RING)
	:: TO_MEMORY(waits_r, in_r, FINAL)
	:: TO_MEMORY(waits_r, in_r, FINAL_RING)
	:: TO_MEMORY(waits_r, in_r, CONS)
	:: TO_MEMORY(waits_r, in_r, DATA_EVENT)
	od
}

/* What happened, for the properties. */
bool went[MESSAGES + 1], taken[MESSAGES + 1], doubtful[MESSAGES + 1];
bool began_refused[MESSAGES + 1]; /* when it was begun, R had answered "refused" */
bool answered;			  /* R has, and permits nothing */
bool forgotten[MESSAGES + 1];	  /* R has revoked another ring before S could ask */
bool s_done, r_done, r_asleep, s_killed, kill_s;
byte r_ring, r_cons;

/* An index that goes from `old` to `new` passes `event`. */
#define PASSES(old, new, event) (event >= old && event < new)

#ifdef HOSTILE_S
#define HONEST_S false
#else
#define HONEST_S true
#endif
#ifdef HOSTILE_R
#define HONEST_R false
#else
#define HONEST_R true
#endif

/*
 * S.  `seq` is the permission that it knows, `ring` its ring; `prod` and `cons` are private.
 */
proctype S(byte message)
{
	byte seq, ring = NONE, prod, cons, seen, event, old;

	{
		skip;
again:
	if
	:: message >= MESSAGES + s_killed -> goto out
	:: else
	fi;
		/* Permission: one load, if it is as it was. */
		atomic { seen = LOAD(SEQ); began_refused[message] = answered };
		if
		:: seen % 2 == 1 -> LOAD(SEQ) != seen; goto again /* R is at it; come again */
		:: seen % 2 == 0 && (seen != seq || ring == NONE) ->
			/* The page under seq, in one step: page_read() and every.c see to that. */
			atomic {
				if
				:: LOAD(SEQ) != seen -> goto again
				:: else
				fi;
				seq = seen;
				if
				:: ring != LOAD(RING) && LOAD(RING) < RINGS ->
					ring = LOAD(RING);
					prod = LOAD(PROD(ring));
					cons = LOAD(CONS);
#ifndef BROKEN_LINK_WITHOUT_SIGNAL
					/* An earlier S may have died before it signalled. */
					if
					:: prod != cons -> to_r = true
					:: else
					fi;
#endif
					if
					:: prod < cons || prod - cons > SLOTS ->
						assert(!HONEST_R || LOAD(SEQ) != seq);
						s_done = true;
						goto out
					:: else
					fi
				:: LOAD(RING) >= RINGS -> ring = NONE
				:: else
				fi
			}
		:: else
		fi;
		if
		:: ring == NONE -> /* EACCES */
			message++;
			goto again
		:: else
		fi;

		/* Room. */
		if
		:: prod - cons == SLOTS ->
			seen = LOAD(CONS);
			if
			:: seen < cons || seen > prod -> goto odd_index
			:: else -> cons = seen
			fi
		:: else
		fi;
		if
		:: prod - cons == SLOTS ->
			store_s(SPACE_EVENT(ring), prod - SLOTS);
#ifndef BROKEN_S_SLEEP_BARRIER
			BARRIER_S;
#endif
#ifndef BROKEN_S_SLEEP_RECHECK
			seen = LOAD(CONS);
			if
			:: seen < cons || seen > prod -> goto odd_index
			:: else -> cons = seen
			fi;
#endif
			if
			:: prod - cons < SLOTS -> goto again
			:: else
			fi;
			if
			:: LOAD(SEQ) != seq -> goto again
			:: else
			fi;
sleep_s:
			atomic { to_s -> to_s = false };
			goto again
		:: else
		fi;

		/* Put and publish. */
		assert(prod - cons < SLOTS);
		doubtful[message] = true;
#ifdef BROKEN_PUBLISH_BEFORE_COPY
		old = prod;
		prod++;
		store_s(PROD(ring), prod);
		BARRIER_S;
		store_s(DATA(ring, old), message + 1);
#else
		store_s(DATA(ring, prod), message + 1);
		old = prod;
		prod++;
#ifndef BROKEN_PROD_RELEASE
		BARRIER_S; /* the release */
#endif
		store_s(PROD(ring), prod);
#endif
#ifndef BROKEN_PUBLISH_BARRIER
		BARRIER_S;
#endif
		event = LOAD(DATA_EVENT);
		if
		:: PASSES(old, prod, event) -> to_r = true
		:: else
		fi;
#ifndef BROKEN_PUBLISH_RECHECK
		seen = LOAD(SEQ);
#else
		seen = seq;
#endif
		if
		:: seen == seq -> went[message] = true
		:: else ->
			/* It was revoked meanwhile, or is: what does R say that it took? */
			atomic {
				LOAD(SEQ) % 2 == 0;
				went[message] = (LOAD(FINAL_RING) == ring && LOAD(FINAL) >= prod) ||
						LOAD(RING) == ring;
				forgotten[message] = LOAD(FINAL_RING) != ring && LOAD(RING) != ring
			}
		fi;
		doubtful[message] = false;
		message++;
		goto again

odd_index:	/* A breach, unless R has begun a new ring with the same page. */
#ifndef BROKEN_BREACH_WITHOUT_SEQ
		if
		:: LOAD(SEQ) != seq -> goto again
		:: else
		fi;
#endif
		assert(!HONEST_R);
out:
		s_done = true
	} unless {
		/* kill -9: the message that was under way may arrive or not. */
		atomic { kill_s && !s_done -> kill_s = false; s_killed = true };
		BARRIER_S; /* the processor finishes what it has begun */
		run S(message + 1)
	}
}

#ifdef CRASH
proctype Killer()
{
end:	atomic { !s_done -> kill_s = true }
}
#endif

/* R has read message `value` out of the ring. */
inline take(value)
{
	if
	:: HONEST_S ->
		assert(value > 0 && value <= MESSAGES + 1 && !taken[value - 1]);
		assert(!began_refused[value - 1]);
		assert(value < 2 || taken[value - 2] || !went[value - 2]);
		taken[value - 1] = true
	:: else
	fi
}

/* R.  `renewals` more rings may come. */
proctype R()
{
	byte prod, released, event, final, value, renewals = RENEWALS;
	byte seq = 2;

look:	/* A local user refuses S, at any time. */
	if
	:: goto refuse
	:: true
	fi;
	/* Take all that is there. */
#ifdef BROKEN_PROD_ACQUIRE
	value = LOAD(DATA(r_ring, r_cons)); /* loaded before what tells that it is there */
#endif
	final = LOAD(PROD(r_ring));
	if
	:: final < prod || final - r_cons > SLOTS -> assert(!HONEST_S); goto close
	:: else -> prod = final
	fi;
	do
	:: r_cons < prod ->
#ifndef BROKEN_PROD_ACQUIRE
		value = LOAD(DATA(r_ring, r_cons));
#endif
		take(value);
		r_cons++;
#ifdef BROKEN_PROD_ACQUIRE
		value = LOAD(DATA(r_ring, r_cons));
#endif
	:: else -> break
	od;
	if
	:: r_cons != released ->
		store_r(CONS, r_cons);
#ifndef BROKEN_RELEASE_BARRIER
		BARRIER_R;
#endif
		event = LOAD(SPACE_EVENT(r_ring));
		if
		:: PASSES(released, r_cons, event) -> to_s = true
		:: else
		fi;
		released = r_cons
	:: else
	fi;
	/* Sleep. */
	store_r(DATA_EVENT, prod);
#ifndef BROKEN_R_SLEEP_BARRIER
	BARRIER_R;
#endif
#ifndef BROKEN_R_SLEEP_RECHECK
	if
	:: LOAD(PROD(r_ring)) != prod -> goto look
	:: else
	fi;
#endif
	BARRIER_R; /* sleeping is a system call */
	r_asleep = true;
end_sleep:
	atomic { to_r -> to_r = false; r_asleep = false };
	goto look;

refuse:
#ifdef BROKEN_LOOK_BEFORE_SEQ
	final = LOAD(PROD(r_ring));
#endif
	seq++;
	store_r(SEQ, seq);
#ifndef BROKEN_REVOKE_BARRIER
	BARRIER_R;
#endif
#ifndef BROKEN_LOOK_BEFORE_SEQ
	final = LOAD(PROD(r_ring));
#endif
	if
	:: final < prod || final - r_cons > SLOTS -> assert(!HONEST_S); final = r_cons
	:: else
	fi;
	store_r(RING, RINGS);
	store_r(FINAL, final);
	store_r(FINAL_RING, r_ring);
#ifndef BROKEN_SEQ_RELEASE
	BARRIER_R; /* the release */
#endif
	seq++;
#ifdef BROKEN_SEQ_RELEASE
	in_r < 4; /* a store to the same word keeps its order */
	waits_r[SEQ] == NONE;
#endif
	store_r(SEQ, seq);
	do
	:: r_cons < final ->
		value = LOAD(DATA(r_ring, r_cons));
		take(value);
		r_cons++
	:: else -> break
	od;
	BARRIER_R; /* the call of the hypervisor that signals */
	answered = true;
	to_s = true;
	if
	:: renewals > 0 ->
		/* Permitted again: a new ring, the same page. */
		renewals--;
		seq++;
		store_r(SEQ, seq);
		BARRIER_R;
		r_ring++;
		prod = 0;
		r_cons = 0;
		released = 0;
		store_r(CONS, 0);
		store_r(DATA_EVENT, 0);
		store_r(RING, r_ring);
		BARRIER_R; /* the release */
		seq++;
		answered = false;
		store_r(SEQ, seq);
		goto look
	:: true
	fi;
close:
	BARRIER_R;
	r_done = true
}

#ifdef HOSTILE_S
/* Anything, at any time; a few times, so that there is an end. */
proctype Hostile_s()
{
	byte n, value;

	do
	:: n < 3 ->
		select(value : 0..3);
		n++;
		if
		:: memory[PROD(0)] = value
		:: memory[PROD(1)] = value
		:: memory[SPACE_EVENT(0)] = value
		:: memory[DATA(0, 0)] = value
		fi;
		if
		:: to_r = true
		:: true
		fi
	:: break
	od;
	s_done = true
}
#endif

#ifdef HOSTILE_R
proctype Hostile_r()
{
	byte n, value;

	do
	:: n < 3 ->
		select(value : 0..3);
		n++;
		if
		:: memory[CONS] = value
		:: memory[DATA_EVENT] = value
		:: memory[SEQ] = value * 2
		:: memory[RING] = value
		:: memory[FINAL] = value
		:: memory[PROD(0)] = value
		fi;
		to_s = true
	:: break
	od;
	/* Last of all it goes: S is told by the hypervisor. */
	atomic { memory[RING] = NONE; memory[SEQ] = 100; to_s = true };
	r_done = true
}
#endif

/* When nothing moves any more. */
proctype Judge()
{
	byte i;

	timeout;
	assert(s_done);		      /* S does not sleep for ever */
	assert(r_done || r_asleep);   /* nor is R stuck, */
	assert(r_done || !HONEST_S || memory[PROD(r_ring)] == r_cons); /* or sleeps at a message */
	if
	:: HONEST_S && HONEST_R ->
		do
		:: i <= MESSAGES ->
			assert(!went[i] || taken[i]); /* it went: it arrived */
			/* It arrived: it went, or S was killed, or asked too late. */
			assert(!taken[i] || went[i] || doubtful[i] || forgotten[i]);
			i++
		:: else -> break
		od
	:: else
	fi
}

init
{
	atomic {
		memory[SEQ] = 2;
		memory[RING] = 0;
		memory[FINAL_RING] = NONE;
		run Drain();
#ifdef HOSTILE_S
		run Hostile_s();
#else
		run S(0);
#endif
#ifdef HOSTILE_R
		run Hostile_r();
#else
		run R();
#endif
#ifdef CRASH
		run Killer();
#endif
		run Judge()
	}
}
