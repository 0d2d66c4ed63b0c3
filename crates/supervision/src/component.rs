//! What a supervised actor is.

use actix::{Actor, Context, Supervised};
use futures::future::LocalBoxFuture;

use crate::Seat;

/// An actor that a [`Supervisor`](crate::Supervisor) can run.
///
/// It keeps the [`Seat`] its factory was given, and [`supervised!`](crate::supervised) implements
/// [`Supervised`] for it. Its factory must be quick and must not take exclusive resources (ports, locks,
/// files): it runs while the previous value still exists. Take them in [`Actor::started`], which runs after
/// the previous value was dropped. What `started` hands to `ctx.wait` belongs to the start: the component
/// counts as started, and the next one is started, when that is done.
pub trait Component: Actor<Context = Context<Self>> + Supervised + Sized {
    /// The seat given by the factory.
    fn seat(&self) -> &Seat<Self>;

    /// Called once before an intended stop or restart, after the messages already in the mailbox were
    /// handled. The future it returns is awaited, within the stop deadline, before the context stops;
    /// until then the actor's own futures go on.
    fn stopping_gracefully(&mut self, ctx: &mut Context<Self>) -> Option<LocalBoxFuture<'static, ()>> {
        let _ = ctx;
        None
    }
}

/// Implements [`actix::Supervised`] for a [`Component`]: a restart replaces the value by a new one from its
/// factory.
#[macro_export]
macro_rules! supervised {
    ($component:ty) => {
        impl ::actix::Supervised for $component {
            fn restarting(&mut self, _: &mut <Self as ::actix::Actor>::Context) {
                let next = $crate::Component::seat(self).rebuild();
                *self = next;
            }
        }
    };
}
