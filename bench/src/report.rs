//! All that is printed: the machine, tables as they come, and at the end which bars hold.

use serde_json::{Value, json};

use crate::machine;
use crate::spread::{Spread, short};
use crate::table::Table;
use crate::targets::Tool;

/// What was measured, printed as it comes and kept for `--json`.
#[derive(Debug)]
pub(crate) struct Report {
    machine: String,
    tables: Vec<Table>,
    bars: Vec<Bar>,
}

/// A promise with its number.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) what: String,
    pub(crate) limit: Limit,
    pub(crate) unit: &'static str,
    pub(crate) found: Option<Spread>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    AtLeast(f64),
    Below(f64),
}

impl Bar {
    fn verdict(&self) -> (&'static str, String) {
        let wanted = match self.limit {
            Limit::AtLeast(limit) => format!("at least {}", short(limit)),
            Limit::Below(limit) => format!("below {}", short(limit)),
        };
        let Some(found) = self.found else {
            return ("not measured", wanted);
        };
        let holds = match self.limit {
            Limit::AtLeast(limit) => found.median >= limit,
            Limit::Below(limit) => found.median < limit,
        };
        (if holds { "holds" } else { "FAILS" }, wanted)
    }
}

impl Report {
    pub(crate) fn start(tool: &Tool) -> Report {
        let machine = machine::describe();
        println!("{machine}");
        println!("plimsoll: {}", tool.path.display());
        println!("Figures are medians (least–greatest); ratios are taken round by round.");
        Report {
            machine,
            tables: Vec::new(),
            bars: Vec::new(),
        }
    }

    pub(crate) fn table(&mut self, table: Table) {
        print!("{}", table.text());
        self.tables.push(table);
    }

    pub(crate) fn bar(&mut self, bar: Bar) {
        self.bars.push(bar);
    }

    /// Bars are judged by the median.
    pub(crate) fn finish(&self) {
        if self.bars.is_empty() {
            return;
        }
        let mut table = Table::new("Bars", &["promise", "wanted", "found", "", "verdict"]);
        for bar in &self.bars {
            let (verdict, wanted) = bar.verdict();
            table.row(vec![
                bar.what.clone(),
                wanted,
                bar.found.map_or("-".to_owned(), |found| found.text()),
                bar.unit.to_owned(),
                verdict.to_owned(),
            ]);
        }
        print!("{}", table.text());
        println!("\n{}", machine::describe());
    }

    pub(crate) fn to_json(&self) -> String {
        let bars: Vec<Value> = self
            .bars
            .iter()
            .map(|bar| {
                let (verdict, wanted) = bar.verdict();
                json!({
                    "promise": bar.what,
                    "wanted": wanted,
                    "unit": bar.unit,
                    "median": bar.found.map(|found| found.median),
                    "min": bar.found.map(|found| found.min),
                    "max": bar.found.map(|found| found.max),
                    "verdict": verdict,
                })
            })
            .collect();
        let tables: Vec<Value> = self.tables.iter().map(Table::to_json).collect();
        let report = json!({ "machine": self.machine, "tables": tables, "bars": bars });
        format!("{report:#}\n")
    }
}
