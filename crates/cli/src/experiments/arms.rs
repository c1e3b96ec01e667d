//! The arms of a comparison, as they stand on the command line:
//! `--name A [--env KEY=VALUE]… [--recording FILE]… [-- CMD …] --name B …`.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, bail};

/// One state of the program that is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArmArguments {
    pub(crate) name: String,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) recordings: Vec<PathBuf>,
    pub(crate) command: Vec<OsString>,
}

/// Reads the arms. One without a command takes the next one's; one with recordings has none.
pub(crate) fn parse_arms(words: &[OsString]) -> anyhow::Result<Vec<ArmArguments>> {
    let mut arms = Vec::new();
    let mut rest = words;
    while !rest.is_empty() {
        let (arm, after) = take_arm(rest)?;
        arms.push(arm);
        rest = after;
    }
    if arms.len() < 2 {
        bail!("compare: one arm is nothing to compare; give --name NAME -- CMD twice or more");
    }
    for (index, arm) in arms.iter().enumerate() {
        if arms[..index].iter().any(|other| other.name == arm.name) {
            bail!("compare: two arms are called {:?}", arm.name);
        }
    }
    share_commands(&mut arms)?;
    Ok(arms)
}

fn take_arm(words: &[OsString]) -> anyhow::Result<(ArmArguments, &[OsString])> {
    let mut arm = ArmArguments::default();
    let mut rest = words;
    if !is(rest, "--name") {
        bail!(
            "compare: expected --name, found {:?}; options of compare come before the first arm",
            rest[0].to_string_lossy()
        );
    }
    loop {
        match rest {
            [flag, value, after @ ..] if flag == "--name" && arm.name.is_empty() => {
                arm.name = value.to_string_lossy().into_owned();
                if arm.name.is_empty() || arm.name == "--" {
                    bail!("compare: --name needs a name");
                }
                rest = after;
            }
            [flag, value, after @ ..] if flag == "--env" => {
                arm.environment.push(assignment(value)?);
                rest = after;
            }
            [flag, value, after @ ..] if flag == "--recording" => {
                arm.recordings.push(PathBuf::from(value));
                rest = after;
            }
            [flag, after @ ..] if flag == "--" => {
                let end = (0..after.len())
                    .find(|at| begins_arm(&after[*at..]))
                    .unwrap_or(after.len());
                arm.command = after[..end].to_vec();
                return Ok((arm, &after[end..]));
            }
            [] => return Ok((arm, rest)),
            [flag, _, ..] if flag == "--name" => return Ok((arm, rest)),
            [word, ..] => bail!(
                "compare: arm {:?}: expected --env, --recording, -- or the next --name, found {:?}",
                arm.name,
                word.to_string_lossy()
            ),
        }
    }
}

/// Whether these words can only be an arm and not a part of a command: a name, what may follow it,
/// and then a command, another arm or the end.
fn begins_arm(words: &[OsString]) -> bool {
    if !is(words, "--name") || words.len() < 2 {
        return false;
    }
    let mut rest = &words[2..];
    while rest.len() >= 2 && (is(rest, "--env") || is(rest, "--recording")) {
        rest = &rest[2..];
    }
    rest.is_empty() || is(rest, "--") || is(rest, "--name")
}

fn is(words: &[OsString], flag: &str) -> bool {
    words.first().is_some_and(|word| word == flag)
}

fn assignment(word: &OsString) -> anyhow::Result<(OsString, OsString)> {
    let text = word.to_str().context("--env: give KEY=VALUE in UTF-8")?;
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => bail!("--env {text:?}: give KEY=VALUE"),
    }
}

fn share_commands(arms: &mut [ArmArguments]) -> anyhow::Result<()> {
    let mut next: Vec<OsString> = Vec::new();
    for arm in arms.iter_mut().rev() {
        match (arm.recordings.is_empty(), arm.command.is_empty()) {
            (false, false) => bail!(
                "compare: arm {:?} has both recordings and a command; give one of them",
                arm.name
            ),
            (true, true) => arm.command.clone_from(&next),
            (true, false) => next.clone_from(&arm.command),
            (false, true) => {}
        }
        if arm.recordings.is_empty() && arm.command.is_empty() {
            bail!(
                "compare: arm {:?} has no command; put it after --",
                arm.name
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> anyhow::Result<Vec<ArmArguments>> {
        let words: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
        parse_arms(&words)
    }

    #[test]
    fn arms_are_told_apart() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let arms = parse(text).unwrap();
            let found: Vec<(String, String)> = arms
                .into_iter()
                .map(|arm| (arm.name, arm.command.join(&OsString::from(" "))))
                .map(|(name, command)| (name, command.into_string().unwrap()))
                .collect();
            let expected: Vec<(String, String)> = expected
                .iter()
                .map(|(name, command)| ((*name).to_owned(), (*command).to_owned()))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("--name a -- x 1 --name b -- y", &[("a", "x 1"), ("b", "y")]);
        check("--name a --name b -- y", &[("a", "y"), ("b", "y")]);
        check(
            "--name a --env K=1 --name b --env K=2 -- y -- z",
            &[("a", "y -- z"), ("b", "y -- z")],
        );
        // A flag of the command's own that only looks like an arm.
        check(
            "--name a -- run --name web img --name b -- y",
            &[("a", "run --name web img"), ("b", "y")],
        );
        check(
            "--name a --recording f --name b -- y",
            &[("a", ""), ("b", "y")],
        );
    }

    #[test]
    fn bad_arms_say_so() {
        let check = |text: &str, expected: &str| {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("-- x", "expected --name");
        check("--name a -- x", "one arm");
        check("--name a -- x --name a -- y", "two arms");
        check("--name a -- x --name b", "has no command");
        check("--name a --env K -- x --name b -- y", "KEY=VALUE");
        check("--name a --envy K=V -- x", "expected --env");
        check("--name a --recording f -- x --name b -- y", "both");
        check("--name -- x --name b -- y", "needs a name");
    }

    proptest! {
        #[test]
        fn no_words_panic(words in proptest::collection::vec(
            prop_oneof!["--name", "--env", "--recording", "--", "[a-zA-Z=-]{0,6}", "\\PC{0,5}"], 0..14,
        )) {
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            if let Ok(arms) = parse_arms(&words) {
                prop_assert!(arms.len() >= 2);
                for arm in arms {
                    prop_assert!(arm.command.is_empty() != arm.recordings.is_empty());
                }
            }
        }

        #[test]
        fn commands_come_back(
            one in proptest::collection::vec("[a-z{}=-]{1,6}", 1..5),
            other in proptest::collection::vec("[a-z{}=-]{1,6}", 1..5),
        ) {
            let arm = |name: &str, command: &[String]| {
                let given = ["--name", name, "--"].map(str::to_owned).to_vec();
                [given, command.to_vec()].concat()
            };
            let words = [arm("a", &one), arm("b", &other)].concat();
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            let arms = parse_arms(&words).unwrap();
            prop_assert_eq!(&arms[0].command, &one.into_iter().map(OsString::from).collect::<Vec<_>>());
            prop_assert_eq!(&arms[1].command, &other.into_iter().map(OsString::from).collect::<Vec<_>>());
        }
    }
}
