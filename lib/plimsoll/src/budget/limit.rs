//! Where the limit of a budget comes from: a number, or the tightest memory cgroup.

use crate::cgroup;
use crate::error::{Error, ErrorKind};

/// The limit of a budget, and how to read it again. 24 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    bytes: u64,
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Given,
    Cgroup { headroom: u64 },
    System { headroom: u64 },
}

impl From<u64> for Limit {
    fn from(bytes: u64) -> Limit {
        Limit {
            bytes,
            source: Source::Given,
        }
    }
}

impl Limit {
    /// The tightest limit of the process's memory cgroup and all groups above it, cgroup v1 or v2
    /// (there `memory.high` too, beyond which a process is slowed down), less `headroom_bytes` for
    /// what nobody reserves: code, stacks, small objects, page cache that is charged to the group.
    ///
    /// The limit is the group's: other processes in it need their part of it too. What a cgroup
    /// namespace hides on v2 is not seen.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where no group limits memory or none can be read,
    /// [`ErrorKind::Invalid`] where the headroom leaves nothing.
    pub fn from_cgroup(headroom_bytes: u64) -> Result<Limit, Error> {
        Limit::from_source(Source::Cgroup {
            headroom: headroom_bytes,
        })
    }

    /// The same, or all of the machine's RAM where that is less or no group has a limit.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where /proc/meminfo can't be read, [`ErrorKind::Invalid`] where the headroom
    /// leaves nothing.
    pub fn from_system(headroom_bytes: u64) -> Result<Limit, Error> {
        Limit::from_source(Source::System {
            headroom: headroom_bytes,
        })
    }

    /// The limit when it was read, headroom taken off.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn from_source(source: Source) -> Result<Limit, Error> {
        let limit = Limit { bytes: 0, source };
        let bytes = limit.read()?.unwrap_or_default();
        Ok(Limit { bytes, source })
    }

    /// The limit of now; `None` for a given one.
    pub(super) fn read(&self) -> Result<Option<u64>, Error> {
        let (whole, headroom) = match self.source {
            Source::Given => return Ok(None),
            Source::Cgroup { headroom } => {
                let tightest = cgroup::read().and_then(|group| group.limit_bytes);
                let error = || {
                    let text = "read the memory limit of the cgroup: no visible group has one; \
                                give a number, or use Limit::from_system";
                    Error::new(ErrorKind::Unsupported, text)
                };
                (tightest.ok_or_else(error)?, headroom)
            }
            Source::System { headroom } => {
                let ram = cgroup::read_ram()?;
                let tightest = cgroup::read().and_then(|group| group.limit_bytes);
                (tightest.map_or(ram, |limit| limit.min(ram)), headroom)
            }
        };
        match whole.checked_sub(headroom) {
            Some(bytes) if bytes > 0 => Ok(Some(bytes)),
            _ => {
                let text = format!(
                    "take a headroom of {headroom} bytes off a limit of {whole}: nothing is left; \
                     ask for less headroom"
                );
                Err(Error::new(ErrorKind::Invalid, text))
            }
        }
    }
}
