//! boto3 finds in the simulator what the model has: somebody else's client.

use std::fmt::Write;
use std::process::Command;

use plimsoll_s3_simulator::{Bucket, Layout, Server};

/// Prints each object and each prefix that boto3 lists, and whether bodies have their hashes.
const SCRIPT: &str = r#"
import hashlib, sys
import boto3
from botocore.exceptions import ClientError
client = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="k", aws_secret_access_key="s",
                      region_name="us-east-1")
pages = client.get_paginator("list_objects_v2")
for page in pages.paginate(Bucket="bucket", PaginationConfig={"PageSize": 70}):
    for one in page.get("Contents", []):
        print("key", one["Key"], one["Size"], one["ETag"].strip('"'), int(one["LastModified"].timestamp()))
for page in pages.paginate(Bucket="bucket", Delimiter="/", PaginationConfig={"PageSize": 7}):
    for one in page.get("CommonPrefixes", []):
        print("prefix", one["Prefix"])
first = client.list_objects_v2(Bucket="bucket", MaxKeys=3)["Contents"]
after = client.list_objects_v2(Bucket="bucket", MaxKeys=1, StartAfter=first[1]["Key"])["Contents"]
assert after[0]["Key"] == first[2]["Key"]
for one in first:
    answer = client.get_object(Bucket="bucket", Key=one["Key"], IfMatch=one["ETag"])
    body = answer["Body"].read()
    assert '"' + hashlib.md5(body).hexdigest() + '"' == one["ETag"] == answer["ETag"]
    assert client.head_object(Bucket="bucket", Key=one["Key"])["ContentLength"] == one["Size"] == len(body)
for key, etag, code in [(first[0]["Key"], '"0"', "PreconditionFailed"), ("none", None, "NoSuchKey")]:
    try:
        client.get_object(Bucket="bucket", Key=key, **({"IfMatch": etag} if etag else {}))
        raise SystemExit("no failure")
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
"#;

#[test]
fn boto3_finds_what_the_model_has() {
    let has = Command::new("python3")
        .args(["-c", "import boto3"])
        .output();
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: python3 has no boto3");
        return;
    }
    for layout in [Layout::Albums, Layout::Tiny, Layout::Unicode] {
        let bucket = Bucket {
            layout,
            ..Bucket::new(11, 250)
        };
        let bucket = bucket.in_generation(7);
        let mut expected = String::new();
        let mut prefixes = Vec::new();
        bucket.for_each(|key, object| {
            let key = str::from_utf8(key).unwrap();
            let etag: String = object
                .etag
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let (size, modified) = (object.size_bytes, object.modified);
            writeln!(expected, "key {key} {size} {etag} {modified}").unwrap();
            prefixes.push(key.split_once('/').unwrap().0.to_owned());
        });
        prefixes.dedup();
        for prefix in prefixes {
            writeln!(expected, "prefix {prefix}/").unwrap();
        }
        let server = Server::start("bucket", bucket, 0).unwrap();
        let output = Command::new("python3")
            .args(["-c", SCRIPT, &server.endpoint()])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "{layout:?}"
        );
    }
}
