//! Who is connected. Pure.

use std::collections::BTreeMap;

/// Sessions by number; numbers grow, so the first without a hello is the oldest.
#[derive(Debug)]
pub(super) struct SessionTable<T> {
    max: usize,
    sessions: BTreeMap<u64, Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    known: bool,
    peer: T,
}

/// What to do with a new connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission<T> {
    /// There is room.
    Admit,
    /// There is room when this one, which never said hello, is closed.
    Evict(T),
    /// Every place is taken by a prover that is known.
    Busy,
}

impl<T> SessionTable<T> {
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), sessions: BTreeMap::new() }
    }

    /// Makes room for one more, if possible.
    pub(super) fn admit(&mut self) -> Admission<T> {
        if self.sessions.len() < self.max {
            return Admission::Admit;
        }
        let oldest = self.sessions.iter().find(|(_, e)| !e.known).map(|(id, _)| *id);
        match oldest.and_then(|id| self.sessions.remove(&id)) {
            Some(entry) => Admission::Evict(entry.peer),
            None => Admission::Busy,
        }
    }

    pub(super) fn insert(&mut self, id: u64, peer: T) {
        self.sessions.insert(id, Entry { known: false, peer });
    }

    /// A session has said a good hello.
    pub(super) fn known(&mut self, id: u64) {
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.known = true;
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.sessions.remove(&id);
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = &T> {
        self.sessions.values().map(|e| &e.peer)
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sockets that say nothing do not keep a good prover out.
    #[test]
    fn silent_connections_make_room() {
        let mut table = SessionTable::new(3);
        for id in 0..3 {
            assert_eq!(table.admit(), Admission::Admit);
            table.insert(id, id);
        }
        table.known(0);
        assert_eq!(table.admit(), Admission::Evict(1), "the oldest that is not known");
        table.insert(3, 3);
        table.known(2);
        table.known(3);
        assert_eq!(table.admit(), Admission::Busy);
        table.remove(2);
        assert_eq!((table.admit(), table.len()), (Admission::Admit, 2));
    }
}
