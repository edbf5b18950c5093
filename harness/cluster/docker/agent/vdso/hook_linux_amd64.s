#include "textflag.h"

// What is installed in a process: hookData to hookEnd, in one piece. All
// references in it are relative to the program counter, so that a copy works at
// any address. Offsets are those of the map in the package comment.
//
// The functions obey the C calling convention and touch only registers that
// belong to the callee: AX, CX, DX, SI, DI, R8 to R11.

#define ZERO4 QUAD $0; QUAD $0; QUAD $0; QUAD $0
#define SLOT  ZERO4; ZERO4; ZERO4; ZERO4

TEXT ·hookData(SB), NOSPLIT|NOFRAME, $0
	QUAD $0x6e6f6d6f68736172       //   0: mark
	QUAD $0                        //   8: turn, one byte
	SLOT                           //  16: slot 0
	SLOT                           // 144: slot 1

// int clock_gettime(clockid_t clock /* DI */, struct timespec *ts /* SI */)
TEXT ·hookClockGettime(SB), NOSPLIT|NOFRAME, $0
	MOVL    $228, AX               // SYS_clock_gettime
	SYSCALL                        // the right time, into *ts
	TESTQ   AX, AX
	JNE     done                   // the kernel's error is the answer
	CMPL    DI, $12
	JCC     done                   // a clock we know nothing of: 12 up, or negative
	MOVL    DI, DI                 // the upper half may be anything
	LEAQ    ·hookData(SB), R8

again:
	MOVBLZX 8(R8), R10             // turn
	MOVL    R10, R11
	ANDL    $1, R11
	SHLL    $7, R11                // slots are 128 bytes
	LEAQ    16(R8)(R11*1), R11     // the slot of this turn
	MOVQ    0(R11), R9             // offset
	MOVQ    8(R11), CX             // rate
	MOVQ    32(R11)(DI*8), AX      // since[clock]
	MOVQ    16(R11), R11           // strobe
	CMPB    8(R8), R10
	JNE     again                  // another turn: the slot may have been rewritten

	TESTQ   AX, AX
	JEQ     done                   // this clock is right; AX is 0, success
	MOVQ    (SI), R8
	IMULQ   $1000000000, R8
	ADDQ    8(SI), R8              // R8: now, in nanoseconds
	MOVQ    R8, R10
	SUBQ    AX, R10                // R10: elapsed since the clock was set

	TESTQ   R11, R11
	JEQ     drift
	MOVQ    R10, AX
	CQO
	IDIVQ   R11
	TESTL   $1, AX                 // even: the offset applies
	JEQ     drift
	XORL    R9, R9                 // odd: it is taken back

drift:
	MOVQ    R10, AX
	IMULQ   CX                     // DX:AX = elapsed × rate, in 1/2³² ns
	SHRQ    $32, DX, AX            // AX = (DX:AX) >> 32
	ADDQ    R9, AX
	ADDQ    R8, AX                 // now + drift + offset

	MOVQ    $1000000000, CX
	CQO
	IDIVQ   CX                     // AX seconds, DX nanoseconds
	TESTQ   DX, DX
	JGE     store
	ADDQ    CX, DX                 // before 1970: nanoseconds count up all the same
	DECQ    AX

store:
	MOVQ    AX, (SI)
	MOVQ    DX, 8(SI)
	XORL    AX, AX

done:
	RET

// int gettimeofday(struct timeval *tv /* DI */, struct timezone *tz /* SI */)
TEXT ·hookGettimeofday(SB), NOSPLIT|NOFRAME, $0
	PUSHQ   DI
	PUSHQ   SI
	SUBQ    $16, SP                // a timespec
	XORL    DI, DI                 // CLOCK_REALTIME
	MOVQ    SP, SI
	CALL    ·hookClockGettime(SB)
	MOVQ    0(SP), R8              // seconds
	MOVQ    8(SP), AX              // nanoseconds
	ADDQ    $16, SP
	POPQ    SI
	POPQ    DI
	TESTQ   DI, DI
	JEQ     zone
	MOVQ    R8, (DI)
	XORL    DX, DX
	MOVL    $1000, CX
	DIVQ    CX
	MOVQ    AX, 8(DI)              // microseconds

zone:
	TESTQ   SI, SI
	JEQ     ok
	MOVQ    $0, (SI)               // UTC, as everywhere in containers

ok:
	XORL    AX, AX
	RET

// time_t time(time_t *t /* DI */)
TEXT ·hookTime(SB), NOSPLIT|NOFRAME, $0
	PUSHQ   DI
	SUBQ    $16, SP                // a timespec
	XORL    DI, DI                 // CLOCK_REALTIME
	MOVQ    SP, SI
	CALL    ·hookClockGettime(SB)
	MOVQ    0(SP), AX              // seconds
	ADDQ    $16, SP
	POPQ    DI
	TESTQ   DI, DI
	JEQ     out
	MOVQ    AX, (DI)

out:
	RET

TEXT ·hookEnd(SB), NOSPLIT|NOFRAME, $0
	RET

// func hookSymbols() (data, clockGettime, gettimeofday, time, end *byte)
TEXT ·hookSymbols(SB), NOSPLIT, $0-40
	LEAQ    ·hookData(SB), AX
	MOVQ    AX, data+0(FP)
	LEAQ    ·hookClockGettime(SB), AX
	MOVQ    AX, clockGettime+8(FP)
	LEAQ    ·hookGettimeofday(SB), AX
	MOVQ    AX, gettimeofday+16(FP)
	LEAQ    ·hookTime(SB), AX
	MOVQ    AX, time+24(FP)
	LEAQ    ·hookEnd(SB), AX
	MOVQ    AX, end+32(FP)
	RET
