//! How long a panic keeps a component from its next message, and what a call costs beside one of plain actix.
//!
//! `cargo bench -p ensemble-supervision`. A harness of its own, because Criterion shows no 99th percentile and
//! a panic is nothing to be called in a closure a million times.

#![expect(clippy::panic, reason = "panics are what is measured")]

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use actix::prelude::*;
use ensemble_supervision::{Backoff, CallError, ChildSpec, Component, Handle, Seat, Supervisor, supervised};
use futures::future::try_join_all;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const PANICS: usize = 5000;
const CALLS: u64 = 200_000;
const IN_FLIGHT: u64 = 64;

struct Echo {
    seat: Option<Seat<Self>>,
}

impl Actor for Echo {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // The same for the plain one.
        ctx.set_mailbox_capacity(256);
    }
}

supervised!(Echo);

impl Component for Echo {
    fn seat(&self) -> &Seat<Self> {
        match &self.seat {
            Some(seat) => seat,
            None => unreachable!("only the supervised one is asked"),
        }
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Ping(u64);

impl Handler<Ping> for Echo {
    type Result = u64;

    fn handle(&mut self, Ping(n): Ping, _: &mut Context<Self>) -> u64 {
        if let Some(seat) = &self.seat {
            seat.enter("Ping");
        }
        n
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Poison;

impl Handler<Poison> for Echo {
    type Result = ();

    fn handle(&mut self, _: Poison, _: &mut Context<Self>) {
        panic!("poison");
    }
}

fn main() -> Outcome {
    System::new().block_on(async {
        let spec = ChildSpec::new("echo", |seat| Echo { seat: Some(seat) })
            .backoff(Backoff::NONE)
            .intensity(u32::MAX, Duration::from_secs(60));
        let echo = spec.handle();
        let system = Supervisor::builder().child(spec).start()?;
        system.ready().await;
        restarts(&echo).await?;

        let arbiter = Arbiter::try_new()?;
        let plain = Echo::start_in_arbiter(&arbiter.handle(), |_| Echo { seat: None });
        let mut report = std::io::stdout();
        for round in 1..=3 {
            for (way, each) in [("one at a time", 1), ("64 in flight", IN_FLIGHT)] {
                let supervised = calls(each, async |n| Ok(echo.call(Ping(n)).await?)).await?;
                let raw = calls(each, async |n| Ok(plain.send(Ping(n)).await?)).await?;
                writeln!(
                    report,
                    "round {round}, {way}: Handle::call {supervised:.0}/s, Addr::send {raw:.0}/s, {:.2} of it",
                    supervised / raw
                )?;
            }
        }
        arbiter.stop();
        system.shutdown().await;
        Ok(())
    })
}

/// From the sending of the poison to the answer of the new instance to the message behind it.
async fn restarts(echo: &Handle<Echo>) -> Outcome {
    let mut times = Vec::with_capacity(PANICS);
    for n in 0..PANICS as u64 {
        let begun = Instant::now();
        let (poison, answer) = futures::join!(echo.call(Poison), echo.call(Ping(n)));
        times.push(begun.elapsed());
        if !matches!(poison, Err(CallError::OutcomeUnknown { .. })) {
            return Err("the poison did not work".into());
        }
        answer?;
    }
    times.sort_unstable();
    let at =
        |share: f64| times.get((share * (PANICS - 1) as f64).round() as usize).copied().unwrap_or_default();
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    writeln!(
        std::io::stdout(),
        "panic to next answer, {PANICS} panics: p50 {p50:?}, p99 {p99:?}, max {max:?}"
    )?;
    Ok(())
}

/// Calls per second.
async fn calls(in_flight: u64, call: impl AsyncFn(u64) -> Outcome<u64>) -> Outcome<f64> {
    let begun = Instant::now();
    let each = CALLS / in_flight;
    let senders = (0..in_flight).map(async |_| {
        for n in 0..each {
            if call(n).await? != n {
                return Err("a wrong answer".into());
            }
        }
        Ok::<_, Box<dyn Error>>(())
    });
    try_join_all(senders).await?;
    Ok((each * in_flight) as f64 / begun.elapsed().as_secs_f64())
}
