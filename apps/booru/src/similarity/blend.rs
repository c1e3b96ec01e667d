//! Images alike in several ways at once: 0.6 by embeddings, 0.2 by tags, 0.2 by looks, each from the best
//! [`POOL`] of its kind, as the original has it. What an image is not among counts 0.

use std::collections::BTreeMap;

use serde::Serialize;

use super::options::Match;

/// Images of each kind that are looked at.
pub const POOL: usize = 500;

const SEMANTIC: f64 = 0.6;
const TAGS: f64 = 0.2;
const VISUAL: f64 = 0.2;

/// Embeddings less alike than this say nothing.
const SEMANTIC_SCORE_MIN: f64 = 0.3;

/// An image that is like another, and in what way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Similar {
    pub id: u32,
    pub score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub semantic: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visual: Option<f64>,
}

/// The best of each kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pools {
    pub semantic: Vec<Match>,
    pub tags: Vec<Match>,
    /// Scores from 0 to 1.
    pub visual: Vec<Match>,
}

impl Pools {
    /// The best of all together; equal ones by rising id. O(n log n).
    #[must_use]
    pub fn blend(&self, limit: usize) -> Vec<Similar> {
        let mut all: BTreeMap<u32, Similar> = BTreeMap::new();
        let mut entry = |one: &Match, weight: f64, put: fn(&mut Similar, f64)| {
            let similar = all.entry(one.id).or_default();
            similar.id = one.id;
            similar.score += weight * one.score;
            put(similar, one.score);
        };
        let alike = self
            .semantic
            .iter()
            .filter(|one| one.score >= SEMANTIC_SCORE_MIN);
        alike.for_each(|one| entry(one, SEMANTIC, |of, score| of.semantic = Some(score)));
        for one in &self.tags {
            entry(one, TAGS, |of, score| of.tags = Some(score));
        }
        for one in &self.visual {
            entry(one, VISUAL, |of, score| of.visual = Some(score));
        }
        let mut all: Vec<Similar> = all.into_values().collect();
        all.sort_by(|one, other| other.score.total_cmp(&one.score));
        all.truncate(limit);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_add_up_by_their_weights() {
        let of = |list: &[(u32, f64)]| -> Vec<Match> {
            list.iter()
                .map(|&(id, score)| Match { id, score })
                .collect()
        };
        let pools = Pools {
            semantic: of(&[(1, 0.9), (2, 0.5), (3, 0.29)]),
            tags: of(&[(2, 1.0), (4, 0.2)]),
            visual: of(&[(5, 0.2), (1, 0.5)]),
        };
        let blended = pools.blend(10);
        let ids: Vec<u32> = blended.iter().map(|one| one.id).collect();
        assert_eq!(ids, [1, 2, 4, 5]);
        assert!((blended[0].score - 0.64).abs() < 1e-12 && (blended[1].score - 0.5).abs() < 1e-12);
        let first = blended[0];
        assert_eq!(
            (first.semantic, first.tags, first.visual),
            (Some(0.9), None, Some(0.5))
        );
        assert_eq!(pools.blend(1).len(), 1);
    }
}
