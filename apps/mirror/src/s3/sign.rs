//! Signatures of AWS, version 4, for requests without a body. Pure.
//!
//! Source: docs.aws.amazon.com, "Create a signed AWS API request" and "Authenticating requests".

use std::fmt::Write;

use chrono::DateTime;
use ring::{digest, hmac};

/// SHA-256 of nothing.
pub(super) const EMPTY_SHA256: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs, and for where.
#[derive(Clone)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub region: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// What is signed: a GET.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// With its port unless that is the scheme's own.
    pub(super) host: &'a str,
    /// Encoded, from the first `/`.
    pub(super) path: &'a str,
    /// Encoded, its parameters in order.
    pub(super) query: &'a str,
}

/// What the headers `x-amz-date` and `authorization` are at `now`, in seconds since 1970.
pub(super) fn sign(who: &Credentials, request: Request<'_>, now: i64) -> (String, String) {
    let time = DateTime::from_timestamp(now, 0).unwrap_or_default();
    let stamp = time.format("%Y%m%dT%H%M%SZ").to_string();
    let day = &stamp[..8];
    const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";
    let canonical = format!(
        "GET\n{}\n{}\nhost:{}\nx-amz-content-sha256:{EMPTY_SHA256}\nx-amz-date:{stamp}\n\n{SIGNED}\n\
         {EMPTY_SHA256}",
        request.path, request.query, request.host
    );
    let scope = format!("{day}/{}/s3/aws4_request", who.region);
    let hash = digest::digest(&digest::SHA256, canonical.as_bytes());
    let to_sign = format!("{ALGORITHM}\n{stamp}\n{scope}\n{}", hex(hash.as_ref()));
    let secret = format!("AWS4{}", who.secret_access_key);
    let mut key = mac(secret.as_bytes(), day.as_bytes());
    for part in [&*who.region, "s3", "aws4_request"] {
        key = mac(key.as_ref(), part.as_bytes());
    }
    let signature = hex(mac(key.as_ref(), to_sign.as_bytes()).as_ref());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope},SignedHeaders={SIGNED},Signature={signature}",
        who.access_key_id
    );
    (stamp, authorization)
}

fn mac(key: &[u8], bytes: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Encodes bytes as a parameter, or as a path, which keeps its `/`.
pub(super) fn encode(bytes: &[u8], kept: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Undoes [`encode`], and the `+` that some servers write for a space, where the bytes are; how many are
/// left. None where a `%` is followed by anything but two digits.
pub(super) fn decode_in_place(bytes: &mut [u8]) -> Option<usize> {
    let Some(first) = bytes.iter().position(|byte| matches!(byte, b'%' | b'+')) else {
        return Some(bytes.len());
    };
    let (mut from, mut to) = (first, first);
    while let Some(&byte) = bytes.get(from) {
        let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
        let (decoded, length) = match byte {
            b'+' => (b' ', 1),
            b'%' => ((digit(from + 1)? << 4 | digit(from + 2)?) as u8, 3),
            other => (other, 1),
        };
        bytes[to] = decoded;
        from += length;
        to += 1;
    }
    Some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example "GET Bucket (List Objects)" of AWS's documentation.
    #[test]
    fn the_published_example_is_signed_alike() {
        let who = Credentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let request = Request {
            host: "examplebucket.s3.amazonaws.com",
            path: "/",
            query: "max-keys=2&prefix=J",
        };
        let (stamp, authorization) = sign(&who, request, 1_369_353_600);
        assert_eq!(stamp, "20130524T000000Z");
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;x-amz-content-sha256;x-amz-date,\
             Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
        assert!(
            !format!("{who:?}").contains("wJalr"),
            "secrets are not shown"
        );
    }

    #[test]
    fn encodings() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = String::new();
        encode(&all, b"/", &mut text);
        assert!(text.contains("%20") && text.contains('/') && text.contains("%2B"));
        let decode = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            let length = decode_in_place(&mut bytes)?;
            bytes.truncate(length);
            Some(bytes)
        };
        assert_eq!(decode(&text).unwrap(), all);
        assert_eq!(decode("a+b").unwrap(), b"a b");
        for bad in ["%", "%1", "%zz", "%+1"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
