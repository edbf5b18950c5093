// Package vdso gives the processes of one node a wrong time, and nobody else.
//
// Linux has no clock of a container's own: time namespaces move the monotonic
// clock only, and not the wall clock. But programs hardly ever ask the kernel for
// the time. They call clock_gettime, gettimeofday or time in the vDSO, a small
// library that the kernel maps into every process, and this holds for C, the JVM
// and static Go programs alike. The mapping is private: a debugger, who may write
// to it, gets a copy of the page for that process alone. So the agent writes a jump
// over the first instruction of each of these functions, to a hook that asks the
// kernel and then adds what the clock is wrong by. The host and its other processes
// keep the pages, and the time, that they have.
//
// # What is installed
//
//	vDSO  ┌──────────────────────────────┐
//	      │ ELF header, symbols          │
//	      │ clock_gettime:  jmp ─────────┼──┐  five bytes each; the rest of
//	      │ gettimeofday:   jmp ─────────┼──┤  these functions stays
//	      │ time:           jmp ─────────┼──┤
//	      │ section headers              │  │
//	area  ├──────────────────────────────┤  │  here the page is empty
//	   +0 │ mark      tells a hook       │  │
//	   +8 │ turn      which slot is used │  │  one byte, counts up
//	  +16 │ slot 0                       │  │
//	 +144 │ slot 1                       │  │
//	 +272 │ hookClockGettime             │◄─┤  hook_linux_amd64.s
//	      │ hookGettimeofday             │◄─┤
//	      │ hookTime                     │◄─┘
//	      └──────────────────────────────┘
//
//	slot: +0 offset, +8 rate, +16 strobe, +32 since[12], what each clock showed
//	when it was set
//
// All of it is some 640 bytes. The hook asks the kernel by a system call and not by
// the vDSO's own code: that costs a quarter of a microsecond instead of a fortieth,
// and needs no knowledge of the instructions that the jump has replaced. It computes
//
//	elapsed = now - since[clock]
//	shown   = now + elapsed × rate + (offset, unless elapsed / strobe is odd)
//
// and so drifts and strobes by itself, alike in all processes and over restarts.
// One reading of one clock goes in: a clock whose drift is above -1 never goes
// back.
//
// # Why it is safe
//
// The jumps are written while no thread of the node runs, and none is at an
// instruction inside these bytes; otherwise all go on, and are stopped again. A
// thread has stopped if ptrace says so, or if it sleeps uninterruptibly, as a parent
// in vfork or a container that docker pause has frozen: it has been told to
// stop, and does so before its next instruction. (Of a signal handler that has
// interrupted one of these first instructions nobody knows. It is a window of some
// five bytes.) After that a clock is set without stopping anybody: the agent writes
// the slot that is not in use, and then the turn, a single byte, so that no
// processor sees half of it. A hook that finds another turn after reading than
// before begins again.
//
// All 64-bit processes have the same vDSO at different addresses. The agent looks up
// functions and free space in its own, and touches only processes whose vDSO is
// equal byte for byte. A 32-bit program is refused with an error.
//
// # Children, exec and restarts
//
// A fork inherits the patched pages. An exec drops them: the patch must be made
// again before the new program's first instruction. Only ptrace stops a program
// there. Looking at /proc for new programs is too late by milliseconds, and an image
// whose entrypoint is a script goes through several execs within these; the kernel's
// process events need capabilities outside the container. So while the clock is wrong,
// and only then, all threads of the node stay traced: a fork, a new thread and an
// exec stop there for some ten microseconds. The price is that signals take as long,
// that a blocking system call may end with EINTR when the clock is first set, as
// after SIGSTOP and SIGCONT, and that no debugger can be attached.
//
// A container's first process is nobody's child. Where clocks may be wrong, a target
// is started through Gate: it asks the agent, which traces it, and then becomes the
// target. What docker exec starts is neither a child nor comes through a gate: its clock
// is right until the next Set.
//
// If the agent is killed, the kernel lets all threads go; their clocks stay as they
// are. Undo puts the vDSO's instructions back. The hook stays in the empty space,
// unused, because a thread may still be inside it.
//
// # What stays right
//
// Programs that make the system call themselves, 32-bit programs, file times, CPU
// clocks, and whatever the kernel does at an absolute time: timers of the wall clock,
// such as sem_timedwait's, fire when the right clock says so. If the monotonic clock is
// wrong as well, absolute deadlines on it are, and C programs and JVMs may sleep too
// long or not at all; Go's timers follow the wrong clock.
package vdso
