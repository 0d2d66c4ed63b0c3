//! Sends one event to everybody who subscribed to it.

use actix::Message;
use ensemble_supervision::Outlet;

/// The consumers of an event message. Events are hints or for observers, so a consumer whose mailbox is full
/// misses one, with a warning; nobody can hold the producer back.
#[derive(Debug)]
pub struct Fanout<M: Message + Send + Clone + 'static>
where
    M::Result: Send,
{
    outlets: Vec<Outlet<M>>,
}

impl<M: Message + Send + Clone + 'static> Clone for Fanout<M>
where
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { outlets: self.outlets.clone() }
    }
}

impl<M: Message + Send + Clone + 'static> Default for Fanout<M>
where
    M::Result: Send,
{
    fn default() -> Self {
        Self { outlets: Vec::new() }
    }
}

impl<M: Message + Send + Clone + 'static> Fanout<M>
where
    M::Result: Send,
{
    /// Adds a consumer.
    pub fn add(&mut self, outlet: Outlet<M>) {
        self.outlets.push(outlet);
    }

    /// Sends to every consumer, without waiting.
    pub fn send(&self, message: &M) {
        for outlet in &self.outlets {
            if let Err(error) = outlet.try_tell(message.clone()) {
                tracing::warn!(message = std::any::type_name::<M>(), %error, "an event was not delivered");
            }
        }
    }
}
