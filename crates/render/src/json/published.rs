//! What a process says of its own memory, as JSON.

use plimsoll_model::{
    Counted, Published, PublishedBudget, PublishedConsumer, PublishedStage, PublishedTag,
};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct PublishedJson<'a> {
    pid: u32,
    age_seconds: f64,
    total: Option<CountedJson>,
    heap_bytes: u64,
    beyond_live_bytes: Option<u64>,
    tags: Vec<TagJson<'a>>,
    stages: Vec<OpenStageJson<'a>>,
    budgets: Vec<BudgetJson<'a>>,
    left_out_records: u64,
}

#[derive(Serialize)]
struct CountedJson {
    live_bytes: u64,
    live_blocks: u64,
    peak_bytes: u64,
    requested_bytes: u64,
    requested_blocks: u64,
}

#[derive(Serialize)]
struct TagJson<'a> {
    name: &'a str,
    #[serde(flatten)]
    counted: CountedJson,
}

#[derive(Serialize)]
struct OpenStageJson<'a> {
    path: &'a str,
    open_seconds: f64,
    begin_live_bytes: Option<u64>,
    peak_live_bytes: Option<u64>,
}

#[derive(Serialize)]
struct BudgetJson<'a> {
    name: &'a str,
    limit_bytes: u64,
    withheld_bytes: u64,
    held_bytes: u64,
    held_peak_bytes: u64,
    left_bytes: u64,
    drift_bytes: i64,
    waiting: u64,
    waiting_bytes: u64,
    consumers: Vec<ConsumerJson<'a>>,
}

#[derive(Serialize)]
struct ConsumerJson<'a> {
    name: &'a str,
    held_bytes: u64,
    held_peak_bytes: u64,
    refused: u64,
}

impl<'a> PublishedJson<'a> {
    pub(super) fn all(published: &'a [Published]) -> Vec<PublishedJson<'a>> {
        published.iter().map(PublishedJson::of).collect()
    }

    fn of(published: &'a Published) -> PublishedJson<'a> {
        PublishedJson {
            pid: published.process.pid,
            age_seconds: published.age.as_secs_f64(),
            total: published.total.as_ref().map(CountedJson::of),
            heap_bytes: published.heap.0,
            beyond_live_bytes: published.beyond_live().map(|bytes| bytes.0),
            tags: published.tags.iter().map(TagJson::of).collect(),
            stages: published.stages.iter().map(OpenStageJson::of).collect(),
            budgets: published.budgets.iter().map(BudgetJson::of).collect(),
            left_out_records: published.left_out,
        }
    }
}

impl CountedJson {
    fn of(counted: &Counted) -> CountedJson {
        CountedJson {
            live_bytes: counted.live.0,
            live_blocks: counted.live_blocks,
            peak_bytes: counted.peak.0,
            requested_bytes: counted.requested.0,
            requested_blocks: counted.requested_blocks,
        }
    }
}

impl<'a> TagJson<'a> {
    fn of(tag: &'a PublishedTag) -> TagJson<'a> {
        TagJson {
            name: &tag.name,
            counted: CountedJson::of(&tag.counted),
        }
    }
}

impl<'a> OpenStageJson<'a> {
    fn of(stage: &'a PublishedStage) -> OpenStageJson<'a> {
        OpenStageJson {
            path: &stage.path,
            open_seconds: stage.open_for.as_secs_f64(),
            begin_live_bytes: stage.begin_live.map(|bytes| bytes.0),
            peak_live_bytes: stage.peak_live.map(|bytes| bytes.0),
        }
    }
}

impl<'a> BudgetJson<'a> {
    fn of(budget: &'a PublishedBudget) -> BudgetJson<'a> {
        BudgetJson {
            name: &budget.name,
            limit_bytes: budget.limit.0,
            withheld_bytes: budget.withheld.0,
            held_bytes: budget.held.0,
            held_peak_bytes: budget.held_peak.0,
            left_bytes: budget.left.0,
            drift_bytes: budget.drift,
            waiting: budget.waiting,
            waiting_bytes: budget.waiting_for.0,
            consumers: budget.consumers.iter().map(ConsumerJson::of).collect(),
        }
    }
}

impl<'a> ConsumerJson<'a> {
    fn of(consumer: &'a PublishedConsumer) -> ConsumerJson<'a> {
        ConsumerJson {
            name: &consumer.name,
            held_bytes: consumer.held.0,
            held_peak_bytes: consumer.held_peak.0,
            refused: consumer.refused,
        }
    }
}
