//! Stable addresses.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::dev::channel::{AddressReceiver, AddressSender, channel};
use actix::prelude::{Actor, Addr, Context, Handler, Message, SendError};
use arc_swap::ArcSwap;
use ensemble_error::{Classify, Severity};
use tokio::sync::{Notify, oneshot, watch};

use crate::Outlet;
use crate::outlet::OutletTarget;
use crate::shared::lock;

/// Messages a mailbox holds unless the spec says otherwise.
pub(crate) const DEFAULT_CAPACITY: usize = 256;

/// Why a call has no answer.
///
/// The first three mean that the message was not taken: nothing happened, it can be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Not taken: the component has ended or is stopping, and will not start by itself.
    #[error("`{component}` does not run any more; `{message}` was not delivered")]
    NotRunning {
        /// The component called.
        component: String,
        /// Type of the message.
        message: &'static str,
    },
    /// Not taken: the component was not up, and there was no room in its mailbox in time.
    #[error("`{component}` was not up for {after:?} and its mailbox was full; `{message}` was not delivered")]
    Restarting {
        /// The component called.
        component: String,
        /// Type of the message.
        message: &'static str,
        /// The time allowed.
        after: Duration,
    },
    /// Not taken: the component is up, but there was no room in its mailbox in time.
    #[error("the mailbox of `{component}` was full for {after:?}; `{message}` was not delivered")]
    Full {
        /// The component called.
        component: String,
        /// Type of the message.
        message: &'static str,
        /// The time allowed.
        after: Duration,
    },
    /// Taken, but there is no answer: the message may have taken effect, or may still.
    #[error("`{component}` {lost}; whether `{message}` took effect is unknown")]
    OutcomeUnknown {
        /// The component called.
        component: String,
        /// Type of the message.
        message: &'static str,
        /// What became of the answer.
        lost: Lost,
    },
}

/// What became of the answer to a message that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The instance failed, was restarted or stopped before it answered.
    Ended,
    /// No answer within the time allowed.
    Late(Duration),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("ended before it answered"),
            Self::Late(after) => write!(f, "did not answer within {after:?}"),
        }
    }
}

impl CallError {
    /// The component called.
    pub fn component(&self) -> &str {
        match self {
            Self::NotRunning { component, .. }
            | Self::Restarting { component, .. }
            | Self::Full { component, .. }
            | Self::OutcomeUnknown { component, .. } => component,
        }
    }

    /// Type of the message, without its module.
    pub fn message(&self) -> &'static str {
        match self {
            Self::NotRunning { message, .. }
            | Self::Restarting { message, .. }
            | Self::Full { message, .. }
            | Self::OutcomeUnknown { message, .. } => message,
        }
    }

    /// Whether the message may have taken effect all the same. When not, it is safe to repeat it.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::OutcomeUnknown { .. } => true,
            Self::NotRunning { .. } | Self::Restarting { .. } | Self::Full { .. } => false,
        }
    }
}

impl Classify for CallError {
    fn severity(&self) -> Severity {
        match self {
            Self::NotRunning { .. } => Severity::Recoverable,
            Self::Restarting { .. } | Self::Full { .. } | Self::OutcomeUnknown { .. } => Severity::Transient,
        }
    }
}

/// Name of a message's type, without its module.
pub(crate) fn message_name<M>() -> &'static str {
    let full = std::any::type_name::<M>();
    let path = full.find('<').map_or(full, |generics| &full[..generics]);
    &full[path.rfind("::").map_or(0, |at| at + 2)..]
}

/// Why a message was not taken; it is given back.
pub enum TellError<M> {
    /// The component is up, but its mailbox is full.
    Full(M),
    /// The component is not up, and its mailbox is full or still to come: with a new thread.
    Restarting(M),
    /// The component has ended or is stopping, and will not start by itself.
    NotRunning(M),
}

impl<M> TellError<M> {
    /// The message.
    pub fn into_inner(self) -> M {
        match self {
            Self::Full(m) | Self::Restarting(m) | Self::NotRunning(m) => m,
        }
    }
}

impl<M> fmt::Debug for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Restarting(_) => "Restarting(..)",
            Self::NotRunning(_) => "NotRunning(..)",
        })
    }
}

impl<M> fmt::Display for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = message_name::<M>();
        match self {
            Self::Full(_) => write!(f, "the mailbox is full; `{message}` was not delivered"),
            Self::Restarting(_) => {
                write!(f, "the component is not up and has no room; `{message}` was not delivered")
            }
            Self::NotRunning(_) => {
                write!(f, "the component does not run any more; `{message}` was not delivered")
            }
        }
    }
}

impl<M> std::error::Error for TellError<M> {}

impl<M> Classify for TellError<M> {
    fn severity(&self) -> Severity {
        match self {
            Self::Full(_) | Self::Restarting(_) => Severity::Transient,
            Self::NotRunning(_) => Severity::Recoverable,
        }
    }
}

/// One mailbox. A new one is made only when a thread took the old one with it.
struct Link<A: Actor> {
    // One sender for all handles: actix grants every clone of a sender a slot beyond the capacity.
    tx: AddressSender<A>,
    rx: Mutex<Option<AddressReceiver<A>>>,
    /// True once its component has left it to a thread that may never look at it again.
    lost: watch::Sender<bool>,
}

impl<A: Actor> Link<A> {
    fn new(capacity: usize) -> Self {
        let (tx, rx) = channel(capacity.max(1));
        Self { tx, rx: Mutex::new(Some(rx)), lost: watch::Sender::new(false) }
    }
}

/// An answer under way.
struct Answer<R> {
    answer: oneshot::Receiver<R>,
    lost: watch::Receiver<bool>,
}

struct Core<A: Actor> {
    name: String,
    link: ArcSwap<Link<A>>,
    /// No message is taken any more.
    closed: AtomicBool,
    /// An instance has done its start and has not ended since.
    up: AtomicBool,
    /// Woken when there may be room, a new mailbox, or the end.
    changed: Notify,
}

/// A component's stable address: valid over restarts and over the replacement of its thread.
///
/// It can be made before the component exists; messages then wait in the mailbox for the start. A handle
/// whose component is never started keeps its callers waiting.
pub struct Handle<A: Actor>(Arc<Core<A>>);

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Actor> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("name", &self.0.name)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<A: Actor> Handle<A> {
    /// A handle for a component that will be started later, see
    /// [`ChildSpec::with_handle`](crate::ChildSpec::with_handle).
    pub fn new(name: impl Into<String>) -> Self {
        Self(Arc::new(Core {
            name: name.into(),
            link: ArcSwap::from_pointee(Link::new(DEFAULT_CAPACITY)),
            closed: AtomicBool::new(false),
            up: AtomicBool::new(false),
            changed: Notify::new(),
        }))
    }

    /// The component's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether messages are refused: the component has stopped, is stopping, or has failed for good.
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(SeqCst)
    }

    /// The receiving end for a start. The mailbox made with the handle serves the first start, and so do
    /// the messages in it; later starts get a new one.
    pub(crate) fn open(&self, capacity: usize) -> Option<AddressReceiver<A>> {
        let mut rx = lock(&self.0.link.load().rx).take();
        if rx.is_none() {
            self.0.link.store(Arc::new(Link::new(capacity)));
            rx = lock(&self.0.link.load().rx).take();
        }
        if let Some(rx) = &mut rx {
            rx.set_capacity(capacity.max(1));
        }
        self.0.closed.store(false, SeqCst);
        self.wake();
        rx
    }

    /// Gives up the present mailbox: whoever waits for an answer from it learns that none will come.
    pub(crate) fn abandon(&self) {
        self.0.link.load().lost.send_replace(true);
        self.wake();
    }

    /// Tells the senders whether the component is up.
    pub(crate) fn set_up(&self, up: bool) {
        self.0.up.store(up, SeqCst);
    }

    /// Whether both are the address of the same component.
    pub(crate) fn is_same(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| Arc::ptr_eq(&self.0, &other.0))
    }

    /// Takes no more messages; those in the mailbox stay there.
    pub(crate) fn close(&self) {
        self.0.closed.store(true, SeqCst);
        self.wake();
    }

    /// Lets the waiting senders try again.
    pub(crate) fn wake(&self) {
        self.0.changed.notify_waiters();
    }

    /// There was no room for a message in time.
    fn no_room<M>(&self, after: Duration) -> CallError {
        let (component, message) = (self.0.name.clone(), message_name::<M>());
        if self.is_closed() {
            CallError::NotRunning { component, message }
        } else if self.0.up.load(SeqCst) {
            CallError::Full { component, message, after }
        } else {
            CallError::Restarting { component, message, after }
        }
    }

    /// A message was taken, but its answer will not come.
    fn lost<M>(&self, lost: Lost) -> CallError {
        CallError::OutcomeUnknown { component: self.0.name.clone(), message: message_name::<M>(), lost }
    }

    /// Repeats `attempt` until it succeeds or the component is closed.
    async fn deliver<M, T>(
        &self,
        mut message: M,
        attempt: impl Fn(&Link<A>, M) -> Result<T, SendError<M>>,
    ) -> Result<T, CallError> {
        let attempt = |message: M| {
            let link = self.0.link.load();
            if *link.lost.borrow() { Err(SendError::Closed(message)) } else { attempt(&link, message) }
        };
        // Mostly there is room, and nothing to wait for.
        if !self.is_closed() {
            match attempt(message) {
                Ok(done) => return Ok(done),
                Err(SendError::Full(m) | SendError::Closed(m)) => message = m,
            }
        }
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_closed() {
                let (component, message) = (self.0.name.clone(), message_name::<M>());
                return Err(CallError::NotRunning { component, message });
            }
            match attempt(message) {
                Ok(done) => return Ok(done),
                // A closed mailbox behind an open handle is about to be replaced, or the handle closed.
                Err(SendError::Full(m) | SendError::Closed(m)) => message = m,
            }
            changed.await;
        }
    }
}

impl<A: Actor<Context = Context<A>>> Handle<A> {
    async fn send<M>(&self, message: M) -> Result<Answer<M::Result>, CallError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
    {
        let send = |link: &Link<A>, m| {
            let lost = link.lost.subscribe();
            link.tx.send(m).map(|answer| Answer { answer, lost })
        };
        self.deliver(message, send).await
    }

    async fn answer<M: Message>(
        &self,
        Answer { answer, mut lost }: Answer<M::Result>,
    ) -> Result<M::Result, CallError> {
        let answer = tokio::select! {
            biased;
            answer = answer => answer.ok(),
            Ok(_) = lost.wait_for(|lost| *lost) => None,
        };
        answer.ok_or_else(|| self.lost::<M>(Lost::Ended))
    }

    /// Sends a message, waiting for room, and waits for its result without a time limit.
    ///
    /// # Errors
    /// [`CallError::NotRunning`] or [`CallError::OutcomeUnknown`].
    pub async fn call<M>(&self, message: M) -> Result<M::Result, CallError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
    {
        let answer = self.send(message).await?;
        self.answer::<M>(answer).await
    }

    /// As [`call`](Self::call), with a limit to the whole time. A message that is still in the mailbox when
    /// the time is over will not be handled.
    ///
    /// # Errors
    /// Any [`CallError`].
    pub async fn call_timeout<M>(&self, message: M, limit: Duration) -> Result<M::Result, CallError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
    {
        let over = tokio::time::sleep(limit);
        tokio::pin!(over);
        let answer = tokio::select! {
            sent = self.send(message) => sent?,
            () = &mut over => return Err(self.no_room::<M>(limit)),
        };
        tokio::select! {
            answer = self.answer::<M>(answer) => answer,
            () = &mut over => Err(self.lost::<M>(Lost::Late(limit))),
        }
    }

    /// Sends a message, waiting for room but not for its result.
    ///
    /// # Errors
    /// [`CallError::NotRunning`].
    pub async fn tell<M>(&self, message: M) -> Result<(), CallError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
    {
        self.deliver(message, |link, m| link.tx.try_send(m, true)).await
    }

    /// Sends a message if there is room at once; does not wait for its result.
    ///
    /// # Errors
    /// The message, in a [`TellError`].
    pub fn try_tell<M>(&self, message: M) -> Result<(), TellError<M>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
    {
        if self.is_closed() {
            return Err(TellError::NotRunning(message));
        }
        let link = self.0.link.load();
        if *link.lost.borrow() {
            return Err(TellError::Restarting(message));
        }
        link.tx.try_send(message, true).map_err(|e| match e {
            SendError::Full(m) if self.0.up.load(SeqCst) => TellError::Full(m),
            SendError::Closed(m) if self.is_closed() => TellError::NotRunning(m),
            SendError::Full(m) | SendError::Closed(m) => TellError::Restarting(m),
        })
    }

    /// The same address, known only by one message.
    pub fn outlet<M>(&self) -> Outlet<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
    {
        Outlet::new(self.clone())
    }

    /// actix's own address of the present mailbox. It does not survive the loss of a thread, and its
    /// `do_send` ignores the capacity: prefer the handle.
    pub fn addr(&self) -> Addr<A> {
        Addr::new(self.0.link.load().tx.clone())
    }
}

#[async_trait::async_trait]
impl<A, M> OutletTarget<M> for Handle<A>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn name(&self) -> &str {
        Self::name(self)
    }

    async fn call(&self, message: M) -> Result<M::Result, CallError> {
        Self::call(self, message).await
    }

    async fn call_timeout(&self, message: M, limit: Duration) -> Result<M::Result, CallError> {
        Self::call_timeout(self, message, limit).await
    }

    async fn tell(&self, message: M) -> Result<(), CallError> {
        Self::tell(self, message).await
    }

    fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        Self::try_tell(self, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;
    struct Generic<T>(#[allow(dead_code)] T);

    #[test]
    fn a_message_goes_by_its_last_name() {
        assert_eq!(message_name::<Plain>(), "Plain");
        assert!(message_name::<Generic<Plain>>().starts_with("Generic<"));
        assert_eq!(message_name::<u64>(), "u64");
    }
}
