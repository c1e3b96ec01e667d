//! Rules that one tag implies another, as they are looked at: which there are, what one would do, and
//! which could be made. They are made and applied by [`crate::edit`].

mod list;
mod preview;
mod suggest;

pub use list::{RULE_PAGE_MAX, Rule, RulePage, Rules, Side};
pub use preview::{ChainLink, Preview};
pub use suggest::{
    AUTO_CONFIDENCE, AUTO_IMAGES, Reason, RuleSuggestion, RuleSuggestions, SUGGESTIONS_MAX,
};
pub(crate) use suggest::{Proposal, known_rules, proposal_of, proposals, read_featured};

/// What stands in `tag_implications.status` for a rule that a person does not want.
pub(crate) const REJECTED: &str = "rejected";

/// Whether a rule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Active {
    Yes,
    No,
}
