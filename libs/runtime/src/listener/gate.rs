//! Assigns the connection slots of a port.
//!
//! A connection is silent until it has sent a whole request; TLS that was not agreed on is silent, too. If slots are
//! scarce, a new connection takes the slot of the oldest silent one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::task::AtomicWaker;
use ipnet::IpNet;

use crate::seldom::Seldom;
use crate::{Health, Source};

/// The maximum number of connections, in all and per source.
#[derive(Clone, Debug)]
pub struct Places {
    /// Most of the port.
    pub connections: usize,
    /// Most of one source once the port is half full.
    pub per_source: usize,
    /// Sources that stand for many clients: the total counts alone.
    pub shared_sources: Vec<IpNet>,
}

pub(super) struct Gate {
    port: &'static str,
    places: Places,
    health: Health,
    refusals: Seldom,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Source>,
    /// Ids rise, so the first one is the oldest.
    silent: BTreeMap<u64, Arc<Seat>>,
    by_source: HashMap<Source, OfSource>,
}

#[derive(Default)]
struct OfSource {
    open: usize,
    silent: BTreeSet<u64>,
}

/// The state that a connection shares with the gate.
#[derive(Default)]
pub(super) struct Seat {
    pub(super) has_spoken: AtomicBool,
    pub(super) is_dropped: AtomicBool,
    pub(super) waker: AtomicWaker,
}

/// A place; dropped, it is free.
pub(crate) struct Place {
    gate: Arc<Gate>,
    id: u64,
    pub(super) seat: Arc<Seat>,
}

impl Place {
    /// The connection has sent a request: from now on it keeps its slot.
    pub(super) fn speaks(&self) {
        if !self.seat.has_spoken.swap(true, Ordering::Relaxed) {
            self.gate.table().no_longer_silent(self.id);
        }
    }

    pub(super) fn refuse(&self, reason: &'static str) {
        self.gate.refused(reason);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let open = {
            let mut table = self.gate.table();
            table.remove(self.id);
            table.open.len()
        };
        self.gate.show(open);
    }
}

impl Gate {
    pub(super) fn new(port: &'static str, places: Places, health: Health) -> Arc<Self> {
        Arc::new(Self { port, places, health, refusals: Seldom::default(), table: Mutex::default() })
    }

    /// A place for a client; none if it gets none.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let source = Source::of(client);
        let mut table = self.table();
        let mut reason = None;
        if table.open.len() * 2 >= self.places.connections
            && table.of_source(source) >= self.places.per_source
            && !self.is_shared(client)
        {
            reason = Some(("source", table.drop_oldest_silent(Some(source))));
        } else if table.open.len() >= self.places.connections {
            reason = Some(("full", table.drop_oldest_silent(None)));
        }
        let place = match reason {
            Some((_, false)) => None,
            _ => Some(table.add(source)),
        };
        let open = table.open.len();
        drop(table);
        if let Some((reason, _)) = reason {
            self.refused(reason);
        }
        self.show(open);
        place.map(|(id, seat)| Place { gate: self.clone(), id, seat })
    }

    fn is_shared(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.places.shared_sources.iter().any(|net| net.contains(&client))
    }

    /// Counts a connection that was refused or dropped, and says so.
    pub(super) fn refused(&self, reason: &'static str) {
        metrics::counter!("ssl_manager_connections_refused_total", "port" => self.port, "reason" => reason)
            .increment(1);
        if reason == "full" {
            let most = self.places.connections;
            self.health.full(self.port, format!("all {most} connections are taken (connections.max)"));
        }
        if let Some(withheld) = self.refusals.pass() {
            tracing::warn!(port = self.port, reason, withheld, "connections are refused");
        }
    }

    fn show(&self, open: usize) {
        metrics::gauge!("ssl_manager_connections", "port" => self.port).set(open as f64);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn of_source(&self, source: Source) -> usize {
        self.by_source.get(&source).map_or(0, |of_source| of_source.open)
    }

    fn add(&mut self, source: Source) -> (u64, Arc<Seat>) {
        let id = self.next;
        self.next += 1;
        let seat = Arc::new(Seat::default());
        self.open.insert(id, source);
        self.silent.insert(id, seat.clone());
        let of_source = self.by_source.entry(source).or_default();
        of_source.open += 1;
        of_source.silent.insert(id);
        (id, seat)
    }

    /// False if no connection, or none of that source, is silent.
    fn drop_oldest_silent(&mut self, source: Option<Source>) -> bool {
        let oldest = match source {
            None => self.silent.keys().next().copied(),
            Some(source) => {
                self.by_source.get(&source).and_then(|of_source| of_source.silent.first().copied())
            }
        };
        let Some(id) = oldest else { return false };
        if let Some(seat) = self.silent.get(&id) {
            seat.is_dropped.store(true, Ordering::Relaxed);
            seat.waker.wake();
        }
        self.remove(id);
        true
    }

    fn no_longer_silent(&mut self, id: u64) {
        self.silent.remove(&id);
        let of_source = self.open.get(&id).and_then(|source| self.by_source.get_mut(source));
        if let Some(of_source) = of_source {
            of_source.silent.remove(&id);
        }
    }

    fn remove(&mut self, id: u64) {
        self.no_longer_silent(id);
        let Some(source) = self.open.remove(&id) else { return };
        if let Some(of_source) = self.by_source.get_mut(&source) {
            of_source.open -= 1;
            if of_source.open == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(connections: usize, per_source: usize, shared: &[&str]) -> Arc<Gate> {
        let shared_sources = shared.iter().map(|net| net.parse().expect("a net")).collect();
        Gate::new("test", Places { connections, per_source, shared_sources }, Health::default())
    }

    fn client(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    fn is_dropped(place: &Place) -> bool {
        place.seat.is_dropped.load(Ordering::Relaxed)
    }

    #[test]
    fn a_source_has_its_share_once_the_port_is_half_full() {
        let gate = gate(8, 2, &["198.51.100.0/24"]);
        let greedy: Vec<_> = (0..4).map(|_| gate.enter(client(1)).expect("half is free")).collect();
        greedy.iter().for_each(Place::speaks);
        assert!(gate.enter(client(1)).is_none());
        let others: Vec<_> = (0..2).map(|_| gate.enter(client(2)).expect("their share")).collect();
        others.iter().for_each(Place::speaks);
        assert!(gate.enter(client(2)).is_none());
        let shared = IpAddr::from([198, 51, 100, 7]);
        let edges: Vec<_> = (0..2).map(|_| gate.enter(shared).expect("no share")).collect();
        edges.iter().for_each(Place::speaks);
        assert!(gate.enter(shared).is_none(), "full");
        drop(greedy);
        assert!(gate.enter(client(1)).is_some());
    }

    #[test]
    fn who_comes_takes_the_place_of_the_oldest_silent_connection() {
        let gate = gate(4, 4, &[]);
        let places: Vec<_> = (1..=4).map(|number| gate.enter(client(number)).expect("a place")).collect();
        places[0].speaks();
        let late = gate.enter(client(5)).expect("of the silent one");
        assert_eq!(places.iter().map(is_dropped).collect::<Vec<_>>(), [false, true, false, false]);
        drop(places);
        assert_eq!(gate.table().open.len(), 1);
        drop(late);
        assert!(gate.table().by_source.is_empty() && gate.table().silent.is_empty());
    }

    #[test]
    fn over_its_share_a_source_loses_its_own_silent_connections_only() {
        let gate = gate(4, 1, &[]);
        let theirs = gate.enter(client(1)).expect("a place");
        let ours = gate.enter(client(2)).expect("a place");
        let again = gate.enter(client(2)).expect("its own");
        assert!(is_dropped(&ours) && !is_dropped(&theirs));
        again.speaks();
        assert!(gate.enter(client(2)).is_none(), "none of its own is silent");
    }
}
