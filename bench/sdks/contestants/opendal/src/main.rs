//! OpenDAL, by its blocking calls, which need a runtime of several threads beside them.

use anyhow::{Result, bail};
use opendal::blocking::Operator;
use opendal::options::ListOptions;
use opendal::services::S3;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let _entered = runtime.enter();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list", endpoint, bucket] => list(&operator(endpoint, bucket)?),
        ["get", endpoint, bucket, count] => get(&operator(endpoint, bucket)?, count.parse()?),
        _ => bail!("list ENDPOINT BUCKET | get ENDPOINT BUCKET COUNT"),
    }
}

fn operator(endpoint: &str, bucket: &str) -> Result<Operator> {
    let service = S3::default()
        .endpoint(endpoint)
        .bucket(bucket)
        .region("us-east-1")
        .access_key_id("key")
        .secret_access_key("secret");
    Ok(Operator::new(opendal::Operator::new(service)?)?)
}

fn everything() -> ListOptions {
    ListOptions {
        recursive: true,
        ..ListOptions::default()
    }
}

fn list(operator: &Operator) -> Result<()> {
    let (mut objects, mut bytes) = (0_u64, 0_u64);
    for entry in operator.lister_options("", everything())? {
        let entry = entry?;
        objects += u64::from(entry.metadata().etag().is_some());
        bytes += entry.metadata().content_length();
    }
    println!("{objects} {bytes}");
    Ok(())
}

fn get(operator: &Operator, count: usize) -> Result<()> {
    let mut wanted = Vec::new();
    for entry in operator.lister_options("", everything())?.take(count) {
        wanted.push(entry?.path().to_owned());
    }
    let mut bytes = 0;
    for path in &wanted {
        bytes += operator.read(path)?.len();
    }
    println!("{} {bytes}", wanted.len());
    Ok(())
}
