//! A job: what is done with which image, and where it stands.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::store::Row;

/// What is done with an image. First those that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Upscale,
    Tag,
    Embed,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Upscale, Kind::Tag, Kind::Embed];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Upscale => "upscale",
            Kind::Tag => "tag",
            Kind::Embed => "embed",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Kind> {
        match Kind::ALL.into_iter().find(|kind| kind.name() == text) {
            Some(kind) => Ok(kind),
            None => bail!("{text:?} is no kind of job; there are upscale, tag and embed"),
        }
    }
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Queued,
    Running,
    Done,
    /// Set aside.
    Failed,
}

impl State {
    const ALL: [State; 4] = [State::Queued, State::Running, State::Done, State::Failed];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Done => "done",
            State::Failed => "failed",
        }
    }

    pub(super) fn of(text: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == text)
    }
}

/// One job.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    pub id: u32,
    pub kind: Kind,
    pub image_id: u32,
    /// Of the image, relative to the folder of images.
    pub path: String,
    pub state: State,
    /// Times that it was taken and not given back.
    pub tries: u32,
    /// Times that the board died meanwhile.
    pub cut_off: u32,
    pub reason: Option<String>,
    pub queued_at: String,
    pub ended_at: Option<String>,
}

pub(super) const COLUMNS: &str = "job.id, job.kind, job.image_id, image.filepath, job.state, job.tries, job.reason, \
                       job.queued_at, job.ended_at, job.cut_off FROM booru_jobs AS job \
                       JOIN images AS image ON image.id = job.image_id";

impl Job {
    pub(super) fn read(row: &Row<'_>) -> Result<Option<Job>> {
        let (Some(id), Some(image_id)) = (row.id(0)?, row.id(2)?) else {
            return Ok(None);
        };
        let text = |column| Ok::<_, anyhow::Error>(row.text(column)?.unwrap_or_default());
        let number = |column| {
            let number = row
                .integer(column)?
                .and_then(|number| u32::try_from(number).ok());
            Ok::<_, anyhow::Error>(number.unwrap_or(0))
        };
        let (Ok(kind), Some(state)) = (text(1)?.parse(), State::of(&text(4)?)) else {
            return Ok(None);
        };
        Ok(Some(Job {
            id,
            kind,
            image_id,
            path: text(3)?,
            state,
            tries: number(5)?,
            cut_off: number(9)?,
            reason: row.text(6)?,
            queued_at: text(7)?,
            ended_at: row.text(8)?,
        }))
    }
}
