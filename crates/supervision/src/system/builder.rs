//! Putting a system together.

use std::collections::HashSet;

use actix::prelude::{Arbiter, Context, System};
use ensemble_error::{Classify, Severity};
use tokio::sync::watch;

use super::actor::{Root, SystemActor};
use super::handle::SystemHandle;
use super::table::{Row, Table};
use crate::spec::Child;
use crate::{ChildSpec, Component, Handle, LifecycleEvent, Outlet, install_panic_hook};

/// Name of the supervisor itself, which no component may have.
pub(crate) const SYSTEM: &str = "system";

/// Why a system could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two components have the same name.
    #[error("two components are called `{name}`: give every component a name of its own")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The name is empty or the supervisor's own.
    #[error("`{name}` cannot be the name of a component")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// A component was given the handle of another.
    #[error("component `{name}` was given the handle made for `{handle}`")]
    ForeignHandle {
        /// The component.
        name: String,
        /// The handle's name.
        handle: String,
    },
    /// A component depends on one that there is not, or on the handle of another component of this name.
    #[error("component `{name}` depends on `{dependency}`, and there is no such component")]
    UnknownDependency {
        /// The component.
        name: String,
        /// What it depends on.
        dependency: String,
    },
    /// Components depend on each other in a circle.
    #[error("components depend on each other in a circle: {}", cycle.join(" on "))]
    DependencyCycle {
        /// The circle: each depends on the next one, and the last is the first again.
        cycle: Vec<String>,
    },
    /// A component is added before one that it depends on.
    #[error("component `{name}` depends on `{dependency}`: add `{dependency}` first")]
    LateDependency {
        /// The component.
        name: String,
        /// What it depends on.
        dependency: String,
    },
    /// Called outside of actix.
    #[error("no actix system runs on this thread: start the supervisor inside `actix::System::block_on`")]
    NoActixSystem,
    /// The supervisor's thread could not be started.
    #[error("cannot start the supervisor's thread")]
    Thread(#[source] std::io::Error),
}

impl Classify for StartError {
    fn severity(&self) -> Severity {
        match self {
            Self::DuplicateName { .. }
            | Self::ReservedName { .. }
            | Self::ForeignHandle { .. }
            | Self::UnknownDependency { .. }
            | Self::DependencyCycle { .. }
            | Self::LateDependency { .. }
            | Self::NoActixSystem => Severity::Fatal,
            Self::Thread(_) => Severity::Transient,
        }
    }
}

/// Entry point: [`Supervisor::builder`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Supervisor;

impl Supervisor {
    /// A system without components.
    pub fn builder() -> SupervisorBuilder {
        SupervisorBuilder {
            root: Handle::new(SYSTEM),
            children: Vec::new(),
            subscribers: Vec::new(),
            seed: None,
        }
    }
}

/// Makes a component once the seed is known.
type MakeChild = Box<dyn FnOnce(u64) -> Box<dyn Child>>;

/// Components in the order in which they start; they stop in the reverse order.
#[must_use = "a system does nothing before `start`"]
pub struct SupervisorBuilder {
    root: Handle<SystemActor>,
    children: Vec<MakeChild>,
    subscribers: Vec<Outlet<LifecycleEvent>>,
    seed: Option<u64>,
}

impl std::fmt::Debug for SupervisorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SupervisorBuilder")
            .field("children", &self.children.len())
            .field("subscribers", &self.subscribers)
            .field("seed", &self.seed)
            .finish()
    }
}

impl SupervisorBuilder {
    /// Adds a component. It starts when those added before have started, or have failed to.
    pub fn child<A: Component>(mut self, spec: ChildSpec<A>) -> Self {
        self.children.push(Box::new(move |seed| Box::new(spec.into_child(seed))));
        self
    }

    /// Sends every event there, the first ones included. See [`SystemHandle::subscribe`].
    pub fn subscribe(mut self, outlet: Outlet<LifecycleEvent>) -> Self {
        self.subscribers.push(outlet);
        self
    }

    /// The address that the root will have: for components that send to it. It answers once the system runs.
    pub fn root(&self) -> Handle<SystemActor> {
        self.root.clone()
    }

    /// Makes the jitter of all delays reproducible.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the supervisor on a thread of its own, and the components after it. Returns at once:
    /// [`SystemHandle::ready`] waits for the components. Installs the panic hook, see
    /// [`install_panic_hook`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(self) -> Result<SystemHandle, StartError> {
        if System::try_current().is_none() {
            return Err(StartError::NoActixSystem);
        }
        let seed = self.seed.unwrap_or_else(rand::random);
        let children: Vec<_> = self.children.into_iter().map(|make| make(seed)).collect();
        check_names(&children)?;
        let dependents = dependents(&children)?;
        install_panic_hook();

        let arbiter = Arbiter::try_new().map_err(StartError::Thread)?;
        let table = Table::new(children.iter().map(|c| Row::new(c.shared().clone())).collect());
        let (ended_tx, ended) = watch::channel(None);
        let (ready_tx, ready) = watch::channel(false);
        let root = self.root;
        let mailbox = root.open(crate::handle::DEFAULT_CAPACITY);
        let handle = SystemHandle::new(root.clone(), table.clone(), ended, ready);
        let subscribers = self.subscribers;
        arbiter.spawn_fn(move || {
            if let Some(mailbox) = mailbox {
                let children = children.into_iter().zip(dependents);
                let actor = SystemActor::new(root, children, table, subscribers, ended_tx, ready_tx);
                let ended = actor.ended_sender();
                actix::spawn(Root::new(Context::with_receiver(mailbox).into_future(actor), ended));
            }
        });
        Ok(handle)
    }
}

fn check_names(children: &[Box<dyn Child>]) -> Result<(), StartError> {
    let mut seen = HashSet::new();
    for child in children {
        let name = child.shared().name.to_string();
        if name.is_empty() || name == SYSTEM {
            return Err(StartError::ReservedName { name });
        }
        if child.handle_name() != name {
            return Err(StartError::ForeignHandle { name, handle: child.handle_name().to_owned() });
        }
        if !seen.insert(name.clone()) {
            return Err(StartError::DuplicateName { name });
        }
    }
    Ok(())
}

/// For each component those that depend on it.
fn dependents(children: &[Box<dyn Child>]) -> Result<Vec<Vec<usize>>, StartError> {
    let name = |index: usize| children.get(index).map_or_else(String::new, |c| c.shared().name.to_string());
    let mut needs = Vec::with_capacity(children.len());
    for (index, child) in children.iter().enumerate() {
        let mut needed = Vec::new();
        for dependency in child.dependencies() {
            let known = children.iter().position(|c| &*c.shared().name == dependency.name());
            let known = known.filter(|at| children.get(*at).is_some_and(|c| dependency.is(&**c)));
            needed.push(known.ok_or_else(|| StartError::UnknownDependency {
                name: name(index),
                dependency: dependency.name().to_owned(),
            })?);
        }
        needs.push(needed);
    }
    if let Some(cycle) = find_cycle(&needs) {
        return Err(StartError::DependencyCycle { cycle: cycle.into_iter().map(name).collect() });
    }
    let mut dependents = vec![Vec::new(); children.len()];
    for (index, needed) in needs.into_iter().enumerate() {
        for on in needed {
            if on > index {
                return Err(StartError::LateDependency { name: name(index), dependency: name(on) });
            }
            if let Some(dependents) = dependents.get_mut(on) {
                dependents.push(index);
            }
        }
    }
    Ok(dependents)
}

/// A circle, if there is one; its last is its first.
fn find_cycle(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    fn visit(at: usize, needs: &[Vec<usize>], done: &mut [bool], path: &mut Vec<usize>) -> bool {
        if let Some(first) = path.iter().position(|on| *on == at) {
            path.drain(..first);
            path.push(at);
            return true;
        }
        if done.get(at).copied().unwrap_or(true) {
            return false;
        }
        path.push(at);
        let mut needed = needs.get(at).into_iter().flatten();
        if needed.any(|on| visit(*on, needs, done, path)) {
            return true;
        }
        path.pop();
        if let Some(done) = done.get_mut(at) {
            *done = true;
        }
        false
    }
    let (mut done, mut path) = (vec![false; needs.len()], Vec::new());
    (0..needs.len()).any(|at| visit(at, needs, &mut done, &mut path)).then_some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_circle_is_named() {
        assert_eq!(find_cycle(&[vec![], vec![0], vec![0, 1]]), None);
        assert_eq!(find_cycle(&[vec![0]]), Some(vec![0, 0]));
        assert_eq!(find_cycle(&[vec![], vec![3], vec![1], vec![0, 2]]), Some(vec![1, 3, 2, 1]));
    }

    proptest! {
        /// There is a circle if and only if not all components can be put in an order; what is found is one.
        #[test]
        fn circles_are_found(needs in proptest::collection::vec(proptest::collection::vec(0_usize..8, 0..3), 8)) {
            let mut left: HashSet<usize> = (0..8).collect();
            while let Some(free) = left.iter().copied().find(|at| needs[*at].iter().all(|on| !left.contains(on))) {
                left.remove(&free);
            }
            match find_cycle(&needs) {
                None => prop_assert!(left.is_empty()),
                Some(cycle) => {
                    prop_assert!(!left.is_empty());
                    prop_assert!(cycle.len() > 1 && cycle.first() == cycle.last());
                    prop_assert!(cycle.windows(2).all(|w| needs[w[0]].contains(&w[1])));
                }
            }
        }
    }
}
