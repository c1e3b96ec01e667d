//! How many connections one address may have: the others are for others. Memory: an entry for each address
//! that has one, of which there are no more than connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A browser opens six; a household may stand behind one address.
const CONNECTIONS_OF_ONE_MAX: usize = 64;

/// Addresses that have connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection of an address, until it is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// `None` where the address has as many as it may. This machine's own may have all: a proxy is one.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Visit> {
        let address = address.to_canonical();
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= CONNECTIONS_OF_ONE_MAX && !address.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Visit {
            peers: self.clone(),
            address,
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut counts = self.peers.counts();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_leaves_nothing() {
        let peers = Peers::default();
        let [one, other, own] = [[10, 0, 0, 1], [10, 0, 0, 2], [127, 0, 0, 1]].map(IpAddr::from);
        let mut visits: Vec<Visit> = (0..CONNECTIONS_OF_ONE_MAX)
            .map(|_| peers.enter(one).unwrap())
            .collect();
        assert!(peers.enter(one).is_none());
        assert!(peers.enter("::ffff:10.0.0.1".parse().unwrap()).is_none());
        visits.push(peers.enter(other).unwrap());
        visits.extend((0..256).map(|_| peers.enter(own).unwrap()));
        drop(visits.remove(0));
        visits.push(peers.enter(one).unwrap());
        drop(visits);
        assert!(peers.counts().is_empty());
    }
}
