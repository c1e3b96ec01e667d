//! `plimsoll check`: a gate that opens for what keeps its rules, and for nothing else.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{Call, Plimsoll, Scratch, marked_when_ready, subject, text};
use serde_json::Value;

/// A rules file in a folder of its own.
struct Gate {
    folder: Scratch,
}

impl Gate {
    fn new(rules: &str) -> Gate {
        let gate = Gate {
            folder: Scratch::new("check"),
        };
        gate.rewrite(rules);
        gate
    }

    fn rewrite(&self, rules: &str) {
        std::fs::write(self.folder.path().join("plimsoll.toml"), rules).unwrap();
    }

    fn call(&self, flags: &[&str]) -> Call {
        let given = ["check", "--format", "json"];
        let words = given.iter().chain(flags);
        Plimsoll::new(words).in_folder(self.folder.path()).call()
    }
}

/// A check of `sized` that holds 16 MiB and 512 bytes for each of `{n}` items.
fn sized(rules: &str) -> String {
    let path = subject("sized");
    format!(
        "repeat = 3\n[[check]]\nname = \"sized\"\nn = 8000\n\
         command = [{path:?}, \"--n\", \"{{n}}\", \"--base-mib\", \"16\", \"--bytes\", \"512\"]\n{rules}\n"
    )
}

/// A check of `cycles` in one shape.
fn cycles(shape: &str, rule: &str) -> String {
    let path = subject("cycles");
    format!(
        "[[check]]\nname = \"{shape}\"\n\
         command = [{path:?}, \"--count\", \"{{i}}\", \"--shape\", \"{shape}\"]\nleak = {{ {rule} }}\n"
    )
}

/// Each verdict with its rule and what was found.
fn results(json: &Value) -> Vec<(&str, &str, &str)> {
    let results = json["results"].as_array().unwrap().iter();
    let parts = |result| {
        let part = |key| text(result, key);
        (part("/verdict"), part("/rule"), part("/found"))
    };
    results.map(parts).collect()
}

#[test]
fn rules_that_are_kept() {
    let rules = [
        "peak = \"60 MiB\"",
        "own_peak = \"< 50 MiB\"",
        "end = \"60 MiB\"",
        "stages = { load = \"60 MiB\" }",
        "scale = { n = [1000, 8000, 20000, 40000], at_most = \"linear\", per_item = \"1 KiB\" }",
    ];
    let gate = Gate::new(&(sized(&rules.join("\n")) + &cycles("flat", "iterations = 300")));
    let json = gate.call(&["--junit", "junit.xml"]).verdict(0);
    let results = results(&json);
    assert_eq!(results.len(), 7, "{results:#?}");
    assert!(
        results.iter().all(|(verdict, ..)| *verdict == "holds"),
        "{results:#?}"
    );
    assert_eq!(json["verdict"], "holds");
    let (cases, failures) = junit(&gate);
    assert_eq!((cases, failures), (7, 0));
    // Only one of the two.
    let json = gate.call(&["--only", "fla"]).verdict(0);
    assert_eq!(json["results"].as_array().unwrap().len(), 1);
    gate.call(&["--only", "nothing"]).refused(&["nothing"]);
}

/// Every rule made to fail, one after the other: it is named, and the gate shuts.
#[test]
fn each_rule_that_is_broken_is_named() {
    let check = |rules: String, name: &str| {
        let gate = Gate::new(&rules);
        let json = gate.call(&["--junit", "junit.xml"]).verdict(1);
        let results = results(&json);
        let [("fails", rule, found)] = results[..] else {
            panic!("{name}: {results:#?}");
        };
        assert!(rule.contains(name), "{rule}: {found}");
        assert_eq!(junit(&gate), (1, 1));
    };
    check(sized("peak = \"10 MiB\""), "peak RSS < 10.0 MiB");
    check(
        sized("own_peak = \"10 MiB\""),
        "peak of own memory < 10.0 MiB",
    );
    check(sized("end = \"5 MiB\""), "RSS at the end < 5.00 MiB");
    check(
        sized("stages = { work = \"4 MiB\" }"),
        "stage work < 4.00 MiB",
    );
    let sizes = "n = [1000, 8000, 20000, 40000, 60000]";
    let scale = |rule: &str| sized(&format!("scale = {{ {sizes}, {rule} }}"));
    check(scale("at_most = \"constant\""), "at most constant");
    check(scale("per_item = \"200\""), "each item costs < 200 B");
    check(
        cycles("leak", "iterations = 300"),
        "no leak in 300 units of work",
    );
    let tolerated = "iterations = 300, ignore_below = \"1 KiB\"";
    check(cycles("leak", tolerated), "up to 1.00 KiB each ignored");
}

#[test]
fn peak_pss_is_judged_where_it_is_read() {
    let script = marked_when_ready(&format!("{} --mib 24", subject("steady_anonymous")));
    let rules = |limit: &str| {
        format!(
            "repeat = 2\n[[check]]\nname = \"held\"\ncommand = [\"sh\", \"-c\", {script:?}]\n\
             pss_peak = \"{limit}\"\n"
        )
    };
    for (limit, code, verdict) in [("20 MiB", 1, "fails"), ("200 MiB", 0, "holds")] {
        let json = Gate::new(&rules(limit)).call(&[]).verdict(code);
        assert_eq!(results(&json)[0].0, verdict);
        assert_eq!(
            results(&json)[0].1,
            format!("peak PSS < {}", limit.replace("20 M", "20.0 M"))
        );
    }
}

#[test]
fn what_stays_open_is_no_success() {
    // A stage that never comes.
    let json = Gate::new(&sized("stages = { lode = \"4 MiB\" }"))
        .call(&[])
        .verdict(3);
    assert!(
        results(&json)[0].2.contains("\"lode\" was in 0 of 3 runs"),
        "{json:#}"
    );
    // Too few sizes for a law, too few cycles for a leak, no baseline yet.
    let rule = "scale = { n = [1000, 2000, 4000], at_most = \"linear\" }";
    for rules in [sized(rule), cycles("leak", "iterations = 30")] {
        let json = Gate::new(&rules).call(&[]).verdict(3);
        assert_eq!(results(&json)[0].0, "inconclusive");
    }
    let json = Gate::new(&sized("regression = { tolerance = \"5%\" }"))
        .call(&[])
        .verdict(3);
    assert!(
        results(&json)[0].2.contains("--update-baseline"),
        "{json:#}"
    );
    // A rule that fails outweighs one that stays open.
    let both = "stages = { lode = \"4 MiB\" }\npeak = \"5 MiB\"";
    let json = Gate::new(&sized(both)).call(&[]).verdict(1);
    assert_eq!(results(&json).len(), 2);
}

#[test]
fn files_that_are_no_rules() {
    let check = |rules: &str, words: &[&str]| Gate::new(rules).call(&[]).refused(words);
    check("", &["plimsoll.toml", "check"]);
    check("repeat = \n", &["plimsoll.toml"]);
    check("[[check", &["plimsoll.toml"]);
    check("check = []", &["no [[check]]"]);
    check(&sized("peek = \"5 MiB\""), &["peek"]);
    check(&sized("peak = \"-5 MiB\""), &["-5 MiB", "negative"]);
    check(&sized("peak = \"NaN\""), &["NaN"]);
    check(&sized("peak = \"5 MB\""), &["MiB"]);
    check(&sized("peak = 5.5"), &["peak"]);
    check(
        &sized("regression = { tolerance = \"-1%\" }"),
        &["tolerance"],
    );
    check(
        &sized("regression = { tolerance = \"NaN%\" }"),
        &["tolerance"],
    );
    check(
        &sized("scale = { n = [-5], at_most = \"linear\" }"),
        &["-5"],
    );
    check(
        &sized("leak = { iterations = 9, work_from_log = \"(\" }"),
        &["work_from_log"],
    );
    check(&sized(""), &["no rule"]);
    check(
        &cycles("sideways", "iterations = 20"),
        &["sideways", "exit code 1"],
    );
    let failing = sized("peak = \"5 MiB\"").replace("--n", "--no-such");
    check(&failing, &["sized", "the command failed", "no-such"]);
    let empty = Gate::new("");
    empty
        .call(&["other.toml"])
        .refused(&["other.toml", "No such file"]);
    empty.call(&["."]).refused(&["directory"]);
}

/// Five steps of 3 % each pass a tolerance of 5 % alone and are caught together.
#[test]
fn drift_in_steps_that_each_pass() {
    let path = subject("sized");
    let rules = |kib: u32| {
        // One item of so many KiB; the rest is small beside it.
        format!(
            "repeat = 3\n[[check]]\nname = \"drifts\"\n\
             command = [{path:?}, \"--n\", \"1\", \"--base-mib\", \"0\", \"--bytes\", \"{}\"]\n\
             regression = {{ tolerance = \"5%\" }}\n",
            kib * 1024
        )
    };
    let gate = Gate::new(&rules(65_536));
    assert_eq!(gate.call(&["--update-baseline"]).code, Some(3));
    let baseline = gate.folder.path().join("plimsoll-baseline.json");
    assert!(baseline.is_file());
    assert_eq!(gate.call(&[]).code, Some(0));
    let mut codes = Vec::new();
    for step in 1..=5 {
        gate.rewrite(&rules((65_536.0 * 1.03_f64.powi(step)) as u32));
        let call = gate.call(&["--update-baseline"]);
        let json: Value = serde_json::from_str(&call.stdout).unwrap();
        let (_, rule, found) = results(&json)[0];
        assert!(rule.contains("within 5.0% of the baseline"), "{rule}");
        // By itself each step is under the tolerance.
        let (_, last) = found.rsplit_once("), ").unwrap();
        assert!(
            last.starts_with("+2.") || last.starts_with("+3."),
            "{found}"
        );
        codes.push(call.code.unwrap());
    }
    assert_eq!(codes[0], 0, "{codes:?}");
    assert_eq!(codes[2..], [1, 1, 1], "{codes:?}");
    let kept: Value = serde_json::from_slice(&std::fs::read(&baseline).unwrap()).unwrap();
    assert_eq!(kept["checks"]["drifts"].as_array().unwrap().len(), 6);
    // One step that is too large by itself.
    gate.rewrite(&rules(65_536 * 2));
    let json = gate.call(&[]).verdict(1);
    assert!(results(&json)[0].2.contains("since the last"), "{json:#}");
}

#[test]
fn a_baseline_that_is_damaged() {
    let gate = Gate::new(&sized("regression = { tolerance = \"5%\" }"));
    let path = gate.folder.path().join("plimsoll-baseline.json");
    let check = |text: &str, words: &[&str]| {
        std::fs::write(&path, text).unwrap();
        for flags in [&[][..], &["--update-baseline"]] {
            gate.call(flags).refused(words);
            // Nothing of it is lost.
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    };
    let name = "plimsoll-baseline.json";
    check(
        "{\"version\": 1, \"checks\": {\"sized\": [{\"rss",
        &[name, "no baseline"],
    );
    check("", &[name, "no baseline"]);
    check("{\"version\": 9, \"checks\": {}}", &[name, "version 9"]);
    check(
        "{\"version\": 1, \"checks\": {}, \"more\": 1}",
        &[name, "more"],
    );
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    gate.call(&[]).refused(&[name, "directory"]);
}

/// A fault is injected for each rule, and each bites.
#[test]
fn the_gate_tests_itself() {
    let rules = [
        "peak = \"60 MiB\"",
        "own_peak = \"50 MiB\"",
        "end = \"60 MiB\"",
        "stages = { load = \"60 MiB\" }",
        "regression = { tolerance = \"5%\" }",
        "scale = { n = [1000, 4000, 10000, 16000], per_item = \"1 KiB\" }",
    ];
    let text = sized(&rules.join("\n")) + &cycles("flat", "iterations = 200");
    let gate = Gate::new(&text.replace("repeat = 3", "repeat = 2"));
    let call = gate.call(&["--update-baseline", "--only", "sized"]);
    assert!(matches!(call.code, Some(0 | 3)), "{call:?}");
    let json = gate
        .call(&["--self-test", "--junit", "junit.xml"])
        .verdict(0);
    assert_eq!(json["self_test"], true);
    let results = results(&json);
    assert_eq!(results.len(), 7, "{results:#?}");
    for (verdict, rule, found) in results {
        assert_eq!(verdict, "holds", "{rule}: {found}");
        assert!(found.starts_with("it bites on "), "{rule}: {found}");
    }
    assert_eq!(junit(&gate), (7, 0));
    let both = ["--self-test", "--update-baseline"];
    gate.call(&both).refused(&["--self-test"]);
}

/// What no fault can prove is not said to bite.
#[test]
fn rules_that_no_fault_can_reach() {
    // More than is injected on any machine.
    let gate = Gate::new(&sized("peak = \"9 GiB\""));
    let json = gate.call(&["--self-test"]).verdict(3);
    let (verdict, rule, found) = results(&json)[0];
    assert_eq!((verdict, rule), ("inconclusive", "peak RSS"));
    assert!(
        found.contains("9.02 GiB") && found.contains("not tried"),
        "{found}"
    );
    // There is nothing yet that a regression could be told from.
    let rule = "regression = { tolerance = \"5%\" }";
    let json = Gate::new(&sized(rule)).call(&["--self-test"]).verdict(3);
    assert!(
        results(&json)[0].2.contains("--update-baseline"),
        "{json:#}"
    );
    // Units of work never come from the command, so that the fault does not come either.
    let rule = "leak = { iterations = 200, work_from_log = \"no such line\" }";
    Gate::new(&sized(rule))
        .call(&["--self-test"])
        .refused(&["no unit of work"]);
}

/// Cases and failures of the JUnit file, whose tags must match.
fn junit(gate: &Gate) -> (usize, usize) {
    let path = gate.folder.path().join("junit.xml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut open = Vec::new();
    let (mut cases, mut failures) = (0, 0);
    for piece in text.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap_or_else(|| panic!("{text}"));
        assert!(!tag.contains('&') || tag.contains(';'), "{tag}");
        let name = tag.split([' ', '/']).find(|word| !word.is_empty()).unwrap();
        cases += usize::from(name == "testcase" && !tag.starts_with('/'));
        failures += usize::from(name == "failure" && !tag.starts_with('/'));
        if let Some(ended) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(ended), "{text}");
        } else if !tag.ends_with('/') && !tag.starts_with('?') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{text}");
    (cases, failures)
}
