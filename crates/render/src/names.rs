//! What machines read in place of words: values of JSON and CSV that more than one of them writes.

use plimsoll_model::{CapMechanism, Claim, Exactness, GrowthClass, Measure};

pub(crate) const fn exactness(exactness: Exactness) -> &'static str {
    match exactness {
        Exactness::Exact => "exact",
        Exactness::Estimated => "estimated",
        Exactness::AtMost => "at_most",
    }
}

pub(crate) const fn cap_mechanism(mechanism: CapMechanism) -> &'static str {
    match mechanism {
        CapMechanism::CgroupV2 => "cgroup_v2",
        CapMechanism::CgroupV1 => "cgroup_v1",
        CapMechanism::DataLimit => "data_limit",
    }
}

pub(crate) const fn claim(claim: Claim) -> &'static str {
    match claim {
        Claim::Saved => "saved",
        Claim::Grew => "grew",
        Claim::Indistinguishable => "indistinguishable",
    }
}

pub(crate) const fn growth_class(class: GrowthClass) -> &'static str {
    match class {
        GrowthClass::Growing => "growing",
        GrowthClass::Bounded => "bounded",
        GrowthClass::Flat => "flat",
        GrowthClass::Inconclusive => "inconclusive",
    }
}

pub(crate) const fn measure_kind(measure: &Measure) -> &'static str {
    match measure {
        Measure::RssPeak => "rss_peak",
        Measure::PssPeak => "pss_peak",
        Measure::OwnPeak => "own_peak",
        Measure::RssEnd => "rss_end",
        Measure::PssEnd => "pss_end",
        Measure::Stage(_) => "stage",
        Measure::Owner(_) => "owner",
        Measure::Marginal(_) => "marginal",
    }
}

/// Of measures that there are several of.
pub(crate) fn measure_name(measure: &Measure) -> Option<&str> {
    match measure {
        Measure::Stage(name) | Measure::Owner(name) | Measure::Marginal(name) => Some(name),
        _ => None,
    }
}
