//! Addresses known only by the message they take.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{MailboxError, Message, Recipient, SendError};

use crate::handle::message_name;
use crate::{CallError, Lost, TellError};

#[async_trait::async_trait]
pub(crate) trait OutletTarget<M>: Send + Sync
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn name(&self) -> &str;
    async fn call(&self, message: M) -> Result<M::Result, CallError>;
    async fn call_timeout(&self, message: M, limit: Duration) -> Result<M::Result, CallError>;
    async fn tell(&self, message: M) -> Result<(), CallError>;
    fn try_tell(&self, message: M) -> Result<(), TellError<M>>;
}

/// Somewhere a message can be sent to: a component, an actix recipient, or a closure.
///
/// A component that talks to others through outlets can be tested without them, and they can be replaced
/// by anything that takes the same messages.
pub struct Outlet<M>(Arc<dyn OutletTarget<M>>)
where
    M: Message + Send + 'static,
    M::Result: Send;

impl<M> Clone for Outlet<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Outlet<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outlet").field(&self.0.name()).finish()
    }
}

impl<M> Outlet<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    pub(crate) fn new(target: impl OutletTarget<M> + 'static) -> Self {
        Self(Arc::new(target))
    }

    /// An outlet to an actix recipient. [`tell`](Self::tell) waits until the message was handled, for actix
    /// does not tell when there is room. It ends with its recipient: no restart is followed.
    pub fn from_recipient(recipient: Recipient<M>) -> Self {
        Self::new(RecipientTarget(recipient))
    }

    /// An outlet to a closure, run in the sender's place: for tests and embedders. It must be quick.
    pub fn from_fn(f: impl Fn(M) -> M::Result + Send + Sync + 'static) -> Self {
        Self::new(FnTarget(f))
    }

    /// Name of the target.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// See [`Handle::call`](crate::Handle::call).
    ///
    /// # Errors
    /// [`CallError::NotRunning`] or [`CallError::OutcomeUnknown`].
    pub async fn call(&self, message: M) -> Result<M::Result, CallError> {
        self.0.call(message).await
    }

    /// See [`Handle::call_timeout`](crate::Handle::call_timeout).
    ///
    /// # Errors
    /// Any [`CallError`].
    pub async fn call_timeout(&self, message: M, limit: Duration) -> Result<M::Result, CallError> {
        self.0.call_timeout(message, limit).await
    }

    /// See [`Handle::tell`](crate::Handle::tell).
    ///
    /// # Errors
    /// [`CallError::NotRunning`]; for a recipient also [`CallError::OutcomeUnknown`].
    pub async fn tell(&self, message: M) -> Result<(), CallError> {
        self.0.tell(message).await
    }

    /// See [`Handle::try_tell`](crate::Handle::try_tell).
    ///
    /// # Errors
    /// The message, in a [`TellError`].
    pub fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        self.0.try_tell(message)
    }
}

struct RecipientTarget<M>(Recipient<M>)
where
    M: Message + Send,
    M::Result: Send;

impl<M> RecipientTarget<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    const NAME: &str = "recipient";

    async fn send(&self, message: M, limit: Option<Duration>) -> Result<M::Result, CallError> {
        let component = Self::NAME.to_owned();
        let name = message_name::<M>();
        if !self.0.connected() {
            return Err(CallError::NotRunning { component, message: name });
        }
        let request = self.0.send(message);
        match limit {
            None => request.await,
            Some(limit) => request.timeout(limit).await,
        }
        .map_err(|e| {
            let lost = match e {
                MailboxError::Closed => Lost::Ended,
                MailboxError::Timeout => Lost::Late(limit.unwrap_or_default()),
            };
            CallError::OutcomeUnknown { component, message: name, lost }
        })
    }
}

#[async_trait::async_trait]
impl<M> OutletTarget<M> for RecipientTarget<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn name(&self) -> &str {
        Self::NAME
    }

    async fn call(&self, message: M) -> Result<M::Result, CallError> {
        self.send(message, None).await
    }

    async fn call_timeout(&self, message: M, limit: Duration) -> Result<M::Result, CallError> {
        self.send(message, Some(limit)).await
    }

    async fn tell(&self, message: M) -> Result<(), CallError> {
        self.send(message, None).await.map(|_| ())
    }

    fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        self.0.try_send(message).map_err(|e| match e {
            SendError::Full(m) => TellError::Full(m),
            SendError::Closed(m) => TellError::NotRunning(m),
        })
    }
}

struct FnTarget<F>(F);

#[async_trait::async_trait]
impl<M, F> OutletTarget<M> for FnTarget<F>
where
    M: Message + Send + 'static,
    M::Result: Send,
    F: Fn(M) -> M::Result + Send + Sync,
{
    fn name(&self) -> &str {
        "closure"
    }

    async fn call(&self, message: M) -> Result<M::Result, CallError> {
        Ok((self.0)(message))
    }

    async fn call_timeout(&self, message: M, _: Duration) -> Result<M::Result, CallError> {
        Ok((self.0)(message))
    }

    async fn tell(&self, message: M) -> Result<(), CallError> {
        (self.0)(message);
        Ok(())
    }

    fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        (self.0)(message);
        Ok(())
    }
}
