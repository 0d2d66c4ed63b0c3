//! Runs the guest in RISC Zero's executor. Its prover brings the system calls with it and a C++ compiler; here are the
//! few that the guest makes.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::B256;
use anyhow::{Result, bail};
use ensemble_batch::{BatchInput, PublicValues};
use ensemble_program::PackedInput;
use risc0_binfmt::ByteAddr;
use risc0_circuit_rv32im::MAX_INSN_CYCLES;
use risc0_circuit_rv32im::execute::{
    CycleLimit, DEFAULT_SEGMENT_LIMIT_PO2, Executor, REG_A3, REG_A4, REG_A5, Syscall, SyscallContext,
};

use crate::error::Risc0Error;
use crate::guest::Guest;

const STDIN: u32 = 0;
const JOURNAL: u32 = 3;
/// Bytes of the public values.
const VALUES: usize = 64;
/// Longest name of a system call, and most that is kept of a panic's words.
const MAX_NAME: usize = 128;
const MAX_WORDS: u32 = 4 << 10;
/// What the guest's refusal begins with.
const REFUSED: &str = "refused: ";

/// What a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most cycles of the guest.
    pub cycles: u64,
    /// Cycles of a segment, as a power of two: what is proven at once, and between two looks at the stop.
    pub segment_po2: usize,
}

impl Default for Limits {
    /// 2^40 cycles in segments of 2^20.
    fn default() -> Self {
        Self { cycles: 1 << 40, segment_po2: DEFAULT_SEGMENT_LIMIT_PO2 }
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The public values that the guest committed to.
    pub values: PublicValues,
    /// Cycles of the guest.
    pub user_cycles: u64,
    /// Cycles to be proven: with paging, and filled up to powers of two.
    pub total_cycles: u64,
    /// Cycles for moving memory in and out.
    pub paging_cycles: u64,
    /// Number of segments.
    pub segments: u64,
}

impl Guest {
    /// Runs the guest. Blocks; looks at `stop` after each segment.
    ///
    /// # Errors
    /// [`Risc0Error::Refused`] when the program refuses the input, [`Risc0Error::Cycles`], [`Risc0Error::Stopped`],
    /// [`Risc0Error::Executor`].
    pub fn execute(
        &self,
        input: &BatchInput,
        limits: Limits,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Execution, Risc0Error> {
        let refused = |e: &dyn std::fmt::Display| Risc0Error::Refused(e.to_string());
        let input = PackedInput::new(input).and_then(|input| input.to_bytes()).map_err(|e| refused(&e))?;
        self.execute_bytes(&input, limits, stop)
    }

    /// [`execute`](Self::execute) on what the guest is to read.
    ///
    /// # Errors
    /// As there.
    pub fn execute_bytes(
        &self,
        input: &[u8],
        limits: Limits,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Execution, Risc0Error> {
        let calls = Calls::new(input);
        let stopped = AtomicBool::new(false);
        let run = Executor::new(self.image().clone(), &calls, None, Vec::new(), None).run(
            limits.segment_po2,
            MAX_INSN_CYCLES,
            CycleLimit::Hard(limits.cycles),
            |_| {
                if stop() {
                    stopped.store(true, Ordering::Relaxed);
                    bail!("stopped");
                }
                Ok(())
            },
        );
        let result = match run {
            Ok(result) => result,
            Err(_) if stopped.into_inner() => return Err(Risc0Error::Stopped),
            Err(error) => {
                return Err(match calls.panic.into_inner() {
                    Some(words) => match words.split_once(REFUSED) {
                        Some((_, why)) => Risc0Error::Refused(why.to_owned()),
                        None => Risc0Error::Refused(words),
                    },
                    None if error.to_string().starts_with("Session limit exceeded") => {
                        Risc0Error::Cycles(limits.cycles)
                    }
                    None => Risc0Error::Executor(format!("{error:#}")),
                });
            }
        };
        let journal = calls.journal.into_inner();
        let halves = (journal.len() == VALUES).then(|| journal.split_at(VALUES / 2));
        let (from, to) = halves.ok_or(Risc0Error::Journal(journal.len()))?;
        Ok(Execution {
            values: PublicValues { from: B256::from_slice(from), to: B256::from_slice(to) },
            user_cycles: result.user_cycles,
            total_cycles: result.total_cycles,
            paging_cycles: result.paging_cycles,
            segments: result.segments,
        })
    }
}

/// The guest's system calls: it reads its input, writes its journal, and says why it ends early.
struct Calls<'a> {
    input: Cell<&'a [u8]>,
    journal: RefCell<Vec<u8>>,
    panic: RefCell<Option<String>>,
    /// What the last call returned, fetched by a second read.
    returned: Cell<[u32; 2]>,
}

impl<'a> Calls<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self {
            input: Cell::new(input),
            journal: RefCell::default(),
            panic: RefCell::default(),
            returned: Cell::default(),
        }
    }

    /// `to_guest` is what the guest gets, the result the two registers.
    fn call(&self, name: &str, ctx: &mut impl SyscallContext, to_guest: &mut [u8]) -> Result<[u32; 2]> {
        let name = name.rsplit("::").next().unwrap_or(name);
        match name {
            "SYS_READ" => self.read(ctx, to_guest),
            "SYS_WRITE" => self.write(ctx),
            "SYS_PANIC" => {
                let (at, length) = (ctx.peek_register(REG_A3)?, ctx.peek_register(REG_A4)?);
                let words = ctx.peek_region(ByteAddr(at), length.min(MAX_WORDS) as usize)?;
                let words = String::from_utf8_lossy(&words).into_owned();
                self.panic.replace(Some(words));
                bail!("the guest panicked");
            }
            "SYS_CYCLE_COUNT" => {
                let cycle = ctx.get_cycle();
                Ok([(cycle >> 32) as u32, cycle as u32])
            }
            // For the seeds of hash maps. Zeros, so that a run takes the same cycles each time.
            "SYS_RANDOM" => {
                to_guest.fill(0);
                Ok([0, 0])
            }
            // There is no environment.
            "SYS_GETENV" => Ok([u32::MAX, 0]),
            "SYS_ARGC" => Ok([0, 0]),
            "SYS_LOG" => Ok([0, 0]),
            other => bail!("the guest makes the unknown system call {other}"),
        }
    }

    /// Whole words first; the rest of the bytes that were asked for goes into a register.
    fn read(&self, ctx: &mut impl SyscallContext, to_guest: &mut [u8]) -> Result<[u32; 2]> {
        let (fd, asked) = (ctx.peek_register(REG_A3)?, ctx.peek_register(REG_A4)? as usize);
        if fd != STDIN {
            bail!("the guest reads from file {fd}");
        }
        let input = self.input.get();
        let whole = input.len().min(to_guest.len());
        let (now, input) = input.split_at(whole);
        to_guest.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
        let open = asked.saturating_sub(whole);
        let rest = if open <= size_of::<u32>() { input.len().min(open) } else { 0 };
        let (now, input) = input.split_at(rest);
        let mut word = [0; size_of::<u32>()];
        word.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
        self.input.set(input);
        Ok([(whole + rest) as u32, u32::from_le_bytes(word)])
    }

    fn write(&self, ctx: &mut impl SyscallContext) -> Result<[u32; 2]> {
        let (fd, at, length) =
            (ctx.peek_register(REG_A3)?, ctx.peek_register(REG_A4)?, ctx.peek_register(REG_A5)? as usize);
        if fd == JOURNAL {
            let mut journal = self.journal.borrow_mut();
            if journal.len() + length > VALUES {
                bail!("the guest's journal is longer than the public values");
            }
            journal.extend(ctx.peek_region(ByteAddr(at), length)?);
        }
        Ok([0, 0])
    }
}

impl Syscall for Calls<'_> {
    /// A read of file 0 fetches the registers of the call before; any other "file" is the address of a call's name.
    fn host_read(&self, ctx: &mut impl SyscallContext, fd: u32, buf: &mut [u8]) -> Result<u32> {
        if fd == 0 {
            let returned = self.returned.get();
            let bytes: &[u8] = bytemuck::cast_slice(&returned);
            let Some(buf) = buf.get_mut(..bytes.len()) else { bail!("no room for the registers") };
            buf.copy_from_slice(bytes);
            return Ok(bytes.len() as u32);
        }
        let mut name = Vec::new();
        while name.len() < MAX_NAME {
            match ctx.peek_u8(ByteAddr(fd) + name.len() as u32)? {
                0 => break,
                byte => name.push(byte),
            }
        }
        let returned = self.call(&String::from_utf8_lossy(&name), ctx, buf)?;
        self.returned.set(returned);
        Ok(buf.len() as u32)
    }

    /// The kernel's own words.
    fn host_write(&self, _: &mut impl SyscallContext, _: u32, buf: &[u8]) -> Result<u32> {
        Ok(buf.len() as u32)
    }
}
