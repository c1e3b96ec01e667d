//! The SDK of AWS, on one thread.

use anyhow::{Result, bail};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Credentials, Region};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

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

fn client(endpoint: &str) -> Client {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let config = Builder::new()
        .behavior_version_latest()
        .http_client(http)
        .endpoint_url(endpoint)
        .force_path_style(true)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "given"))
        .build();
    Client::from_conf(config)
}

async fn list(endpoint: &str, bucket: &str) -> Result<()> {
    let client = client(endpoint);
    let mut pages = client
        .list_objects_v2()
        .bucket(bucket)
        .into_paginator()
        .send();
    let (mut objects, mut bytes) = (0_u64, 0_u64);
    while let Some(page) = pages.next().await {
        for object in page?.contents() {
            objects += u64::from(object.key().is_some() && object.e_tag().is_some());
            bytes += object.size().unwrap_or_default() as u64;
        }
    }
    println!("{objects} {bytes}");
    Ok(())
}

async fn get(endpoint: &str, bucket: &str, count: usize) -> Result<()> {
    let client = client(endpoint);
    let mut pages = client
        .list_objects_v2()
        .bucket(bucket)
        .into_paginator()
        .send();
    let mut wanted = Vec::new();
    while wanted.len() < count
        && let Some(page) = pages.next().await
    {
        for object in page?.contents() {
            wanted.extend(object.key().map(str::to_owned));
        }
    }
    wanted.truncate(count);
    let mut bytes = 0;
    for key in &wanted {
        let object = client.get_object().bucket(bucket).key(key).send().await?;
        let mut body = object.body;
        while let Some(chunk) = body.next().await {
            bytes += chunk?.len();
        }
    }
    println!("{} {bytes}", wanted.len());
    Ok(())
}
