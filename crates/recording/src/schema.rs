//! What marks a SQLite file as a recording, and the words that enums have in it.
//!
//! `schema.sql` beside this file is the single source of the tables.

use plimsoll_model::{
    CapMechanism, EventKind, Exactness, GapReason, Kind, PackageManager, Scope, StageSource,
};

/// All tables of the current version, with comments.
pub(crate) const TABLES: &str = include_str!("schema.sql");

/// "PLSL", in the header of the file (`PRAGMA application_id`).
pub(crate) const APPLICATION_ID: i64 = 0x504C_534C;

/// The newest schema that this program reads, and the one that it writes (`PRAGMA user_version`).
pub(crate) const VERSION: i64 = 2;

/// The first version that has the tables `stage` and `pressure`.
pub(crate) const VERSION_WITH_STAGES: i64 = 2;

/// How deep components may nest. Attribution makes at most four levels; a file that says more is
/// damaged, and a bound keeps it from exhausting the stack.
pub(crate) const COMPONENT_DEPTH_LIMIT: usize = 32;

/// A word of the format for each variant of an enum.
pub(crate) trait Word: Copy + Eq + Sized + 'static {
    const WORDS: &'static [(Self, &'static str)];

    /// The word for `self`; every variant has one (checked by a test).
    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(variant, _)| *variant == self)
            .map_or("", |(_, word)| word)
    }

    fn from_word(text: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(_, word)| *word == text)
            .map(|(variant, _)| *variant)
    }
}

impl Word for Kind {
    const WORDS: &'static [(Kind, &'static str)] = &[
        (Kind::Heap, Kind::Heap.name()),
        (Kind::Runtime, Kind::Runtime.name()),
        (Kind::Stack, Kind::Stack.name()),
        (Kind::Code, Kind::Code.name()),
        (Kind::Jit, Kind::Jit.name()),
        (Kind::File, Kind::File.name()),
        (Kind::Shared, Kind::Shared.name()),
        (Kind::Hugetlb, Kind::Hugetlb.name()),
        (Kind::Device, Kind::Device.name()),
        (Kind::Kernel, Kind::Kernel.name()),
        (Kind::Named, Kind::Named.name()),
        (Kind::Unattributed, Kind::Unattributed.name()),
    ];
}

impl Word for PackageManager {
    const WORDS: &'static [(PackageManager, &'static str)] = &[
        (PackageManager::Python, PackageManager::Python.name()),
        (PackageManager::Debian, PackageManager::Debian.name()),
        (PackageManager::Rpm, PackageManager::Rpm.name()),
        (PackageManager::Npm, PackageManager::Npm.name()),
        (PackageManager::Alpine, PackageManager::Alpine.name()),
        (PackageManager::Folder, PackageManager::Folder.name()),
    ];
}

impl Word for Exactness {
    const WORDS: &'static [(Exactness, &'static str)] = &[
        (Exactness::Exact, "exact"),
        (Exactness::Estimated, "estimated"),
        (Exactness::AtMost, "at_most"),
    ];
}

impl Word for Scope {
    const WORDS: &'static [(Scope, &'static str)] =
        &[(Scope::Process, "process"), (Scope::Tree, "tree")];
}

impl Word for EventKind {
    const WORDS: &'static [(EventKind, &'static str)] = &[
        (EventKind::Started, "started"),
        (EventKind::ProcessStarted, "process_started"),
        (EventKind::ProcessEnded, "process_ended"),
        (EventKind::Interrupted, "interrupted"),
        (EventKind::Ended, "ended"),
    ];
}

impl Word for GapReason {
    const WORDS: &'static [(GapReason, &'static str)] = &[
        (GapReason::Denied, "denied"),
        (GapReason::Vanished, "vanished"),
        (GapReason::Unsupported, "unsupported"),
        (GapReason::Malformed, "malformed"),
        (GapReason::Changed, "changed"),
        (GapReason::Bounded, "bounded"),
        (GapReason::Absent, "absent"),
    ];
}

impl Word for StageSource {
    const WORDS: &'static [(StageSource, &'static str)] = &[
        (StageSource::Start, StageSource::Start.name()),
        (StageSource::Mark, StageSource::Mark.name()),
        (StageSource::Log, StageSource::Log.name()),
    ];
}

impl Word for CapMechanism {
    const WORDS: &'static [(CapMechanism, &'static str)] = &[
        (CapMechanism::CgroupV2, "cgroup_v2"),
        (CapMechanism::CgroupV1, "cgroup_v1"),
        (CapMechanism::DataLimit, "data_limit"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are a copy of what each comment of the schema promises to a reader of the file.
    #[test]
    fn every_word_is_documented_in_the_schema() {
        fn check<W: Word + std::fmt::Debug>() {
            for (variant, word) in W::WORDS {
                assert_eq!(W::from_word(word), Some(*variant));
                assert_eq!(variant.word(), *word);
                let documented = TABLES
                    .lines()
                    .filter_map(|line| line.split_once("--"))
                    .flat_map(|(_, comment)| comment.split([' ', '|', ';', ',', ':']))
                    .any(|documented| documented == *word);
                assert!(documented, "{word} of {variant:?} is not in schema.sql");
            }
        }
        check::<Kind>();
        check::<PackageManager>();
        check::<Exactness>();
        check::<Scope>();
        check::<EventKind>();
        check::<GapReason>();
        check::<StageSource>();
        check::<CapMechanism>();
    }
}
