//! Where settings come from, which count, and what is refused.

use super::*;

fn parse(more: &[&str]) -> RunArguments {
    let base = [
        "mirror",
        "run",
        "--s3-endpoint=http://s:9000/",
        "--s3-bucket=b",
        "--s3-access-key=k",
        "--s3-secret-key=topsecret",
        "--ftp-host=h",
        "--ftp-username=u",
    ];
    let arguments = base.iter().chain(more);
    match Arguments::try_parse_from(arguments).unwrap().command {
        Command::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_pair_has_no_secrets_and_no_double_slash() {
    let pair = parse(&[
        "--ftp-base-path=/a/b/",
        "--s3-prefix=p/",
        "--ftp-password=hidden",
    ])
    .pair();
    assert_eq!(pair.source, "http://s:9000/b/p/");
    assert_eq!(pair.destination, "ftp://h:21/a/b/");
}

#[test]
fn flags_of_the_original_may_have_a_value() {
    assert!(parse(&["--dry-run"]).dry_run);
    assert!(parse(&["--dry-run=true"]).dry_run);
    assert!(!parse(&["--dry-run=false"]).dry_run);
    assert!(parse(&["--ftp-use-tls"]).ftp_use_tls);
    assert_eq!(parse(&["--max-rps=5", "--timeout=7"]).source_max_rps, 5);
}

#[test]
fn strategies_have_the_names_of_the_original() {
    let strategy = |more: &[&str]| parse(more).listing().map(|options| options.strategy);
    assert_eq!(strategy(&[]).unwrap(), Strategy::Recursive);
    assert_eq!(
        strategy(&["--listing-strategy=flat"]).unwrap(),
        Strategy::Flat
    );
    for name in ["by_level", "by-level"] {
        let named = format!("--listing-strategy={name}");
        let level = strategy(&[&named, "--listing-level=2"]);
        assert_eq!(level.unwrap(), Strategy::ByLevel(2));
        let error = strategy(&[&named]).unwrap_err().to_string();
        assert!(error.contains("needs --listing-level"), "{error}");
    }
    let options = |more: &[&str]| parse(more).listing().unwrap();
    assert_eq!(options(&[]).pages_ahead(), 10);
    assert_eq!(options(&["--worker-count=20"]).pages_ahead(), 40);
    assert_eq!(options(&["--source-max-queue-size=1001"]).pages_ahead(), 2);
    assert_eq!(options(&["--listing-strategy=flat"]).pages_ahead(), 2);
}

#[test]
fn deletions_are_held_back_above_both_limits() {
    let arguments = parse(&[]);
    assert_eq!(arguments.deletions_max(0), 10);
    assert_eq!(arguments.deletions_max(99), 10);
    assert_eq!(arguments.deletions_max(1000), 100);
    assert_eq!(
        parse(&["--max-delete=0", "--max-delete-percent=0"]).deletions_max(1 << 40),
        0
    );
}

#[test]
fn what_ftp_can_not_be_told_is_refused() {
    let error = parse(&["--ftp-base-path=/a\r\nDELE x"])
        .destination()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("--ftp-base-path has a control character")
    );
    let mut arguments = parse(&[]);
    arguments.s3_bucket = "a/b".to_owned();
    let error = arguments.source().map(drop).unwrap_err();
    assert!(
        error.to_string().contains("is no name of a bucket"),
        "{error}"
    );
}

fn layered(more: &[&str], environment: &[(&str, &str)]) -> Result<RunArguments, Refused> {
    let required = [
        ("s3_endpoint", "http://s"),
        ("s3_bucket", "b"),
        ("s3_access_key", "k"),
        ("s3_secret_key", "topsecret"),
        ("ftp_host", "h"),
        ("ftp_username", "u"),
    ];
    let given = ["mirror".to_owned(), "run".to_owned()].into_iter();
    // Flags that are required come first: what is given by any layer of a test overrides them only
    // where the test gives it as a flag, so those are left out there.
    let is_given = |name: &str| {
        let command = <Arguments as clap::CommandFactory>::command();
        let run = command.find_subcommand("run").unwrap();
        let arg = run
            .get_arguments()
            .find(|arg| arg.get_id() == name)
            .unwrap();
        let variable = arg.get_env().unwrap();
        environment.iter().any(|(name, _)| *name == variable)
            || more.iter().any(|one| one.starts_with("--config"))
    };
    let flags = required
        .iter()
        .filter(|(name, _)| !is_given(name))
        .map(|(name, value)| format!("--{}={value}", name.replace('_', "-")));
    let all = given
        .chain(flags)
        .chain(more.iter().map(|&one| one.to_owned()));
    let look = |name: &str| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.into())
    };
    match read(all.map(Into::into).collect(), &look)?.command {
        Command::Run(run) => Ok(run),
        other => panic!("{other:?}"),
    }
}

fn refused(ended: Result<RunArguments, Refused>) -> String {
    match ended.map(|run| format!("{run:?}")) {
        Err(Refused::Settings(error)) => format!("{error:#}"),
        Err(Refused::Flags(error)) => error.to_string(),
        Ok(run) => panic!("{run}"),
    }
}

/// Every setting with a variable: the variable, a key of a file where it has one, and two values
/// that are not the default, as `Debug` shows them.
const SETTINGS: [(&str, &str, &str, &str); 33] = [
    ("DRY_RUN", "dry_run", "true", "false"),
    ("LOG_LEVEL", "log_level", "debug", "verbose"),
    ("CACHE_TYPE", "cache_type", "bbolt", "bbolt"),
    ("CACHE_BBOLT_PATH", "state", "/one", "/two"),
    ("CACHE_BBOLT_BUCKET", "cache_bucket", "one", "two"),
    ("CACHE_BBOLT_NO_SYNC", "cache_no_sync", "true", "false"),
    ("SOURCE_TYPE", "source_type", "s3", "s3"),
    ("SOURCE_WORKER_COUNT", "source_workers", "3", "4"),
    (
        "SOURCE_MAX_QUEUE_SIZE",
        "source_max_queue_size",
        "2000",
        "3000",
    ),
    ("SOURCE_TIMEOUT_SECONDS", "source_timeout", "31", "32"),
    ("SOURCE_MAX_RETRIES", "source_max_retries", "4", "5"),
    ("SOURCE_MAX_RPS", "source_max_rps", "5", "6"),
    (
        "SOURCE_LISTING_STRATEGY",
        "listing_strategy",
        "flat",
        "by_level",
    ),
    ("SOURCE_LISTING_LEVEL", "listing_level", "1", "2"),
    ("S3_REGION", "s3_region", "one", "two"),
    ("S3_BUCKET", "s3_bucket", "one", "two"),
    ("S3_PREFIX", "s3_prefix", "one", "two"),
    ("S3_ACCESS_KEY_ID", "s3_access_key", "one", "two"),
    ("S3_ENDPOINT", "s3_endpoint", "http://one", "http://two"),
    ("DESTINATION_TYPE", "dest_type", "ftp", "ftp"),
    ("DESTINATION_WORKER_COUNT", "dest_workers", "3", "4"),
    ("DESTINATION_TIMEOUT_SECONDS", "dest_timeout", "31", "32"),
    ("DESTINATION_MAX_RETRIES", "dest_max_retries", "4", "5"),
    ("FTP_HOST", "ftp_host", "one", "two"),
    ("FTP_PORT", "ftp_port", "22", "23"),
    ("FTP_USERNAME", "ftp_username", "one", "two"),
    ("FTP_BASE_PATH", "ftp_base_path", "/one", "/two"),
    ("FTP_USE_TLS", "ftp_use_tls", "true", "false"),
    ("STATE_CACHE", "state_cache", "/one", "/two"),
    ("STATE_LEASE", "state_lease", "31", "32"),
    ("STATE_S3_ENDPOINT", "state_s3_endpoint", "one", "two"),
    ("STATE_S3_REGION", "state_s3_region", "one", "two"),
    (
        "STATE_S3_ACCESS_KEY_ID",
        "state_s3_access_key",
        "one",
        "two",
    ),
];

/// B7: the original ignored SOURCE_MAX_RPS, as the default of the flag overrode it.
#[test]
fn a_variable_counts_where_no_flag_is_given_and_a_flag_before_it() {
    let shown = |run: &RunArguments, field: &str| {
        let text = format!("{run:?}");
        let (_, rest) = text.rsplit_once(&format!(" {field}: ")).unwrap();
        let end = rest.find([',', '}']).unwrap();
        rest[..end]
            .trim()
            .trim_start_matches("Some(")
            .trim_end_matches(')')
            .trim_matches('"')
            .replace("ByLevel", "by_level")
            .to_lowercase()
    };
    let command = <Arguments as clap::CommandFactory>::command();
    let run = command.find_subcommand("run").unwrap();
    let folder = std::env::temp_dir().join(format!("mirror-layers-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("mirror.yaml");
    let config = format!("--config={}", path.display());
    let base = [
        "source.s3.endpoint",
        "source.s3.bucket",
        "source.s3.access_key_id",
        "source.s3.secret_access_key",
        "destination.ftp.host",
        "destination.ftp.username",
    ];
    for (variable, field, one, two) in SETTINGS {
        let arg = run
            .get_arguments()
            .find(|arg| arg.get_id() == field)
            .unwrap();
        assert_eq!(arg.get_env().unwrap(), variable);
        let by_variable = layered(&[], &[(variable, one)]).unwrap();
        assert_eq!(shown(&by_variable, field), one, "{variable}");
        let flag = format!("--{}={two}", arg.get_long().unwrap());
        let by_flag = layered(&[&flag], &[(variable, one)]).unwrap();
        assert_eq!(shown(&by_flag, field), two, "{flag}");
        let empty = layered(&[], &[(variable, "")]);
        if !arg.is_required_set() {
            empty.unwrap();
        }
        // The file is below both.
        let (key, _) = file::KEYS
            .iter()
            .find(|(_, meaning)| *meaning == file::Meaning::Flag(field))
            .unwrap();
        let line = |key: &str, value: &str| {
            let parts: Vec<&str> = key.split('.').collect();
            let mut value = serde_json::Value::from(value);
            for part in parts.iter().rev() {
                value = serde_json::json!({ *part: value });
            }
            value
        };
        let mut all = serde_json::json!({});
        for required in base {
            merge(&mut all, line(required, "http://given"));
        }
        merge(&mut all, line("source.s3.bucket", "given"));
        merge(&mut all, line(key, two));
        fs::write(&path, all.to_string()).unwrap();
        let by_file = layered(&[&config], &[]).unwrap();
        assert_eq!(shown(&by_file, field), two, "{key}");
        let above = layered(&[&config], &[(variable, one)]).unwrap();
        assert_eq!(shown(&above, field), one, "{variable} above {key}");
    }
    // None was forgotten; secrets are not shown, and that of the configuration is below no other.
    let named = |name: &str| SETTINGS.iter().any(|(known, ..)| *known == name);
    for arg in run.get_arguments() {
        if let Some(name) = arg.get_env().and_then(|name| name.to_str())
            && ![
                "S3_SECRET_ACCESS_KEY",
                "FTP_PASSWORD",
                "STATE_S3_SECRET_ACCESS_KEY",
                "MIRROR_CONFIG",
            ]
            .contains(&name)
        {
            assert!(named(name), "{name}");
        }
    }
    for (variable, flag) in [
        ("S3_SECRET_ACCESS_KEY", "s3-secret-key"),
        ("FTP_PASSWORD", "ftp-password"),
        ("STATE_S3_SECRET_ACCESS_KEY", "state-s3-secret-key"),
    ] {
        let run = layered(&[], &[(variable, "marked")]).unwrap();
        let of_state = run.state.state_s3_secret_key.as_ref();
        let all = [
            run.s3_secret_key.expose(),
            run.ftp_password.expose(),
            of_state.map_or("", |key| key.expose()),
        ];
        assert!(all.contains(&"marked"), "{variable}");
        assert!(!format!("{run:?}").contains("marked"), "{variable}");
        let run = layered(&[&format!("--{flag}=above")], &[(variable, "marked")]).unwrap();
        let of_state = run.state.state_s3_secret_key.as_ref();
        let all = [
            run.s3_secret_key.expose(),
            run.ftp_password.expose(),
            of_state.map_or("", |key| key.expose()),
        ];
        assert!(all.contains(&"above"), "{variable}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

fn merge(to: &mut serde_json::Value, from: serde_json::Value) {
    match (to, from) {
        (serde_json::Value::Object(to), serde_json::Value::Object(from)) => {
            for (key, value) in from {
                merge(to.entry(key).or_insert(serde_json::json!({})), value);
            }
        }
        (to, from) => *to = from,
    }
}

#[test]
fn a_wrong_value_is_told_with_where_it_stands_and_what_is_allowed() {
    let text = refused(layered(&[], &[("LOG_LEVEL", "loud")]));
    assert!(text.contains("environment variable LOG_LEVEL: "), "{text}");
    assert!(
        text.contains("[possible values: silent, error, info, debug, verbose]"),
        "{text}"
    );
    let text = refused(layered(&[], &[("FTP_PORT", "x")]));
    assert!(text.contains("environment variable FTP_PORT: "), "{text}");
    let text = refused(layered(&["--memory-budget=4M"], &[]));
    assert!(
        text.contains("--memory-budget 4.0 MiB is too small"),
        "{text}"
    );
    let text = refused(layered(&["--source-type=gcs"], &[]));
    assert!(text.contains("[possible values: s3]"), "{text}");
    let run = layered(&["--bwlimit=1k"], &[]).unwrap();
    let text = run.source().unwrap_err().to_string();
    assert!(
        text.contains("give 21845 bytes a second at least"),
        "{text}"
    );
    let text = refused(layered(&["--config=/nonexistent.yaml"], &[]));
    assert!(
        text.contains("read the settings in /nonexistent.yaml"),
        "{text}"
    );
}

#[test]
fn the_example_is_valid_and_what_means_nothing_is_said() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mirror.yaml");
    let config = format!("--config={}", path.display());
    let run = layered(&[&config, "--s3-secret-key=x"], &[]).unwrap();
    assert_eq!(run.notices, Vec::<String>::new());
    assert_eq!(run.memory_budget, 32 << 20);
    run.source().unwrap();
    let run = layered(&["--cache-type=bbolt", "--cache-no-sync"], &[]).unwrap();
    assert_eq!(run.notices.len(), 2, "{:?}", run.notices);
    assert_eq!(layered(&[], &[]).unwrap().notices, Vec::<String>::new());
}

/// The page of settings has every flag, every variable and every key.
#[test]
fn every_setting_is_in_the_docs() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let page = fs::read_to_string(page).unwrap();
    let command = <Arguments as clap::CommandFactory>::command();
    for verb in command.get_subcommands() {
        for arg in verb.get_arguments() {
            if let Some(long) = arg.get_long().filter(|long| *long != "help") {
                assert!(page.contains(&format!("`--{long}`")), "--{long}");
            }
            if let Some(name) = arg.get_env().and_then(|name| name.to_str()) {
                assert!(page.contains(&format!("`{name}`")), "{name}");
            }
        }
    }
    for (key, meaning) in file::KEYS {
        let is_leaf = meaning != file::Meaning::Gone("");
        assert!(!is_leaf || page.contains(&format!("`{key}`")), "{key}");
    }
}
