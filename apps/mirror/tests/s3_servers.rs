//! The same promises with the S3 server of others: Ceph's radosgw. moto, which all other tests are with, is the
//! first one.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::collections::BTreeMap;

use servers::Servers;
use servers::radosgw::Radosgw;

#[test]
fn radosgw_is_mirrored() {
    let Some(radosgw) = Radosgw::start(7) else {
        return;
    };
    let Some(mut servers) = Servers::start_before("radosgw", radosgw.port) else {
        return;
    };
    let mut expected = BTreeMap::new();
    let odd = [
        "ä ö/日本語",
        "d e+%20&=",
        "*?[x]",
        "trail ",
        "-rf",
        "empty",
        "quo'te\"<>&amp;",
    ];
    let many = (0..40).map(|n| format!("many/{}/{n:03}", n % 3));
    for key in odd.into_iter().map(str::to_owned).chain(many) {
        let text = if key == "empty" {
            String::new()
        } else {
            key.repeat(300)
        };
        servers.put(&key, &text);
        expected.insert(key, text);
    }
    servers.put("folder/", "");
    assert_eq!(servers.page(), 7, "the listing is to have several pages");
    let run = servers.run(&[]);
    run.expect(0, &["new=47", "1 folder markers", "synced=47, failed=0"]);
    assert_eq!(servers.files(), expected);
    // Nothing is transferred again.
    let run = servers.run(&[]);
    run.expect(0, &["TEMP_DELETED→SYNCED=47, TEMP_DELETED→NEW=0"]);
    // Changed, new, gone.
    servers.put("many/0/000", "changed");
    expected.insert("many/0/000".to_owned(), "changed".to_owned());
    servers.put("new", "new");
    expected.insert("new".to_owned(), "new".to_owned());
    for key in ["trail ", "many/1/001", "ä ö/日本語"] {
        servers.delete(key);
        expected.remove(key);
    }
    let run = servers.run(&[]);
    run.expect(0, &["synced=2, failed=0", "deleted=3, failed=0"]);
    assert_eq!(servers.files(), expected);
    // A wrong secret, a bucket that is not there: told, and nothing is deleted.
    let mut command = servers.command("run");
    command.env("S3_SECRET_ACCESS_KEY", "unseen-secret-of-others");
    let run = servers::Run::of(command.output().unwrap());
    run.expect(1, &["status 403 SignatureDoesNotMatch"]);
    assert_eq!(servers.files(), expected);
}

/// B5: keys that only a real S3 server takes, and that would lead elsewhere or end a command of FTP.
#[test]
fn keys_that_lead_elsewhere_are_refused() {
    let Some(radosgw) = Radosgw::start(7) else {
        return;
    };
    let Some(mut servers) = Servers::start_before("radosgw-keys", radosgw.port) else {
        return;
    };
    std::fs::write(servers.root.join("victim"), "untouched").unwrap();
    for key in [
        "a\r\nDELE victim",
        "a\nDELE victim",
        "../victim",
        "b/../../victim",
    ] {
        servers.put(key, "evil");
    }
    servers.put("x//y", "two");
    servers.put("x/y", "one");
    let run = servers.run(&[]);
    run.expect(
        2,
        &[
            "2 keys are not mirrored: a control character",
            "2 keys are not mirrored: a part that is . or ..",
            "1 keys are not mirrored: an empty part in the path",
            "synced=1, failed=0",
            "refused_keys=5",
        ],
    );
    let expected = servers::files(&[("victim", "untouched"), ("x/y", "one")]);
    assert_eq!(servers.files(), expected);
    // Gone from the source: nothing is to be deleted for them.
    for key in [
        "a\r\nDELE victim",
        "a\nDELE victim",
        "../victim",
        "b/../../victim",
        "x//y",
    ] {
        servers.delete(key);
    }
    servers.run(&[]).expect(0, &["completed successfully"]);
    assert_eq!(servers.files(), expected);
}
