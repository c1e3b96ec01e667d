//! How often somebody may try passwords: from one address, and all together. Memory: at most
//! [`ADDRESSES_MAX`] addresses, some 60 bytes each.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Attempts are counted over this time from the first one on.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// From one address. Who mistypes a password does so three times, not ten.
pub(super) const ADDRESS_ATTEMPTS_MAX: u32 = 10;
/// From all: an attacker with many addresses tries no more than this.
const ATTEMPTS_MAX: u32 = 200;
/// The one whose first attempt is the longest ago makes room for a new one.
const ADDRESSES_MAX: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    attempts: u32,
}

/// Attempts of the last minutes.
#[derive(Debug)]
pub(super) struct Attempts {
    of_addresses: HashMap<IpAddr, Window>,
    of_all: Window,
}

impl Attempts {
    pub(super) fn new(now: Instant) -> Attempts {
        Attempts {
            of_addresses: HashMap::new(),
            of_all: Window {
                since: now,
                attempts: 0,
            },
        }
    }

    /// Counts an attempt before it is looked at.
    ///
    /// # Errors
    /// One too many: how long to wait.
    pub(super) fn begin(&mut self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let from = network(from);
        if !self.of_addresses.contains_key(&from) && self.of_addresses.len() >= ADDRESSES_MAX {
            let oldest = self.of_addresses.iter().min_by_key(|(_, one)| one.since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.of_addresses.remove(&oldest);
            }
        }
        let window = self.of_addresses.entry(from).or_insert(Window {
            since: now,
            attempts: 0,
        });
        window.count(now, ADDRESS_ATTEMPTS_MAX)?;
        // Those that are not looked at take nothing from others.
        self.of_all.count(now, ATTEMPTS_MAX)
    }

    /// Who knows the password begins anew.
    pub(super) fn succeed(&mut self, from: IpAddr) {
        self.of_addresses.remove(&network(from));
        self.of_all.attempts = self.of_all.attempts.saturating_sub(1);
    }
}

impl Window {
    fn count(&mut self, now: Instant, max: u32) -> Result<(), Duration> {
        let age = now.saturating_duration_since(self.since);
        if age >= WINDOW {
            *self = Window {
                since: now,
                attempts: 0,
            };
        } else if self.attempts >= max {
            return Err(WINDOW - age);
        }
        self.attempts += 1;
        Ok(())
    }
}

/// One customer has a whole network of 64 bits of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_attempt_waits_and_those_of_others_do_not() {
        let start = Instant::now();
        let mut attempts = Attempts::new(start);
        let [a, b, c, d]: [IpAddr; 4] = [
            "10.0.0.1".parse().unwrap(),
            "10.0.0.2".parse().unwrap(),
            "2001:db8::1".parse().unwrap(),
            "2001:db8::ffff".parse().unwrap(),
        ];
        for _ in 0..ADDRESS_ATTEMPTS_MAX {
            attempts.begin(a, start).unwrap();
            attempts.begin(c, start).unwrap();
        }
        let later = start + Duration::from_secs(60);
        assert_eq!(
            attempts.begin(a, later),
            Err(WINDOW - Duration::from_secs(60))
        );
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert!(attempts.begin(mapped, later).is_err());
        assert!(attempts.begin(d, later).is_err(), "the network of c");
        assert!(attempts.begin(b, later).is_ok());
        assert!(attempts.begin(a, start + WINDOW).is_ok());
        attempts.succeed(c);
        assert!(attempts.begin(d, later).is_ok());
    }

    #[test]
    fn one_address_alone_locks_nobody_else_out() {
        let start = Instant::now();
        let mut attempts = Attempts::new(start);
        let [one, other] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
        for _ in 0..2 * ATTEMPTS_MAX {
            let _ = attempts.begin(one, start);
        }
        assert!(attempts.begin(one, start).is_err());
        assert!(attempts.begin(other, start).is_ok());
    }

    #[test]
    fn all_addresses_together_try_so_often_and_take_so_much_room() {
        let start = Instant::now();
        let mut attempts = Attempts::new(start);
        let address = |number: u32| IpAddr::V4((0x0a00_0000 + number).into());
        for number in 0..ATTEMPTS_MAX {
            attempts.begin(address(number), start).unwrap();
        }
        assert!(attempts.begin(address(5000), start).is_err());
        let mut now = start;
        for number in 0..20 * ATTEMPTS_MAX {
            if number % ATTEMPTS_MAX == 0 {
                now += WINDOW;
            }
            attempts.begin(address(number), now).unwrap();
        }
        assert_eq!(attempts.of_addresses.len(), ADDRESSES_MAX);
        assert!(
            attempts
                .of_addresses
                .contains_key(&address(20 * ATTEMPTS_MAX - 1))
        );
    }
}
