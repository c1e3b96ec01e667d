//! object_store, on one thread.

use anyhow::{Result, bail};
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, ObjectStoreExt};

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list", endpoint, bucket] => runtime.block_on(list(endpoint, bucket)),
        ["get", endpoint, bucket, count] => runtime.block_on(get(endpoint, bucket, count.parse()?)),
        _ => bail!("list ENDPOINT BUCKET | get ENDPOINT BUCKET COUNT"),
    }
}

fn store(endpoint: &str, bucket: &str) -> Result<AmazonS3> {
    Ok(AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_bucket_name(bucket)
        .with_region("us-east-1")
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_allow_http(true)
        .build()?)
}

async fn list(endpoint: &str, bucket: &str) -> Result<()> {
    let store = store(endpoint, bucket)?;
    let mut listed = store.list(None);
    let (mut objects, mut bytes) = (0_u64, 0_u64);
    while let Some(object) = listed.next().await {
        let object = object?;
        objects += u64::from(object.e_tag.is_some());
        bytes += object.size;
    }
    println!("{objects} {bytes}");
    Ok(())
}

async fn get(endpoint: &str, bucket: &str, count: usize) -> Result<()> {
    let store = store(endpoint, bucket)?;
    let wanted: Vec<_> = store.list(None).take(count).try_collect().await?;
    let mut bytes = 0;
    for object in &wanted {
        let mut body = store.get(&object.location).await?.into_stream();
        while let Some(chunk) = body.next().await {
            bytes += chunk?.len();
        }
    }
    println!("{} {bytes}", wanted.len());
    Ok(())
}
