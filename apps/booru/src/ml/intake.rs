//! What images that come in are queued for, in the transaction that takes them in: no kill leaves one without its
//! jobs, and none is there of an image that was not taken in.

use anyhow::Result;

use super::queue::{self, Kind};
use super::settings::Settings;
use crate::store::Store;

/// The kinds of work that new images are for. Of [`Intake::default`], none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intake {
    /// Tags for images that no site gave some.
    tags_unknown: bool,
    /// Tags for those that have some: `LOCAL_TAGGER_ALWAYS_RUN`.
    tags_known: bool,
    embeds: bool,
}

impl Intake {
    /// By what is switched on, and whose model's file is there at this moment.
    #[must_use]
    pub(crate) fn of(settings: &Settings) -> Intake {
        let tags = settings.is_set_up(Kind::Tag);
        Intake {
            tags_unknown: tags,
            tags_known: tags && settings.tagger.always_run,
            embeds: settings.is_set_up(Kind::Embed),
        }
    }

    /// What is done with an image, which has tags of a site or not.
    #[must_use]
    pub(crate) fn kinds(self, has_source: bool) -> Vec<Kind> {
        let kinds = Kind::ALL.into_iter();
        kinds.filter(|kind| self.takes(*kind, has_source)).collect()
    }

    fn takes(self, kind: Kind, has_source: bool) -> bool {
        match kind {
            Kind::Tag if has_source => self.tags_known,
            Kind::Tag => self.tags_unknown,
            Kind::Embed => self.embeds,
            // Only where somebody asks for it.
            Kind::Upscale => false,
        }
    }

    /// Queues new images, by id and whether they have tags of a site, within a transaction of the caller's.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) fn submit(self, store: &Store, images: &[(u32, bool)]) -> Result<()> {
        for kind in Kind::ALL {
            let wanted = images.iter().filter(|(_, has)| self.takes(kind, *has));
            let wanted: Vec<u32> = wanted.map(|(id, _)| *id).collect();
            if !wanted.is_empty() {
                queue::submit_within(store, kind, &wanted)?;
            }
        }
        Ok(())
    }
}
