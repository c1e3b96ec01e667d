//! Where a request comes from: which host it is sent to, and which page sent it.
//!
//! A page of somebody else can have a browser send requests here, and by a name that first led
//! elsewhere it can even read the answers (DNS rebinding). So where no login is needed, only hosts
//! that nobody else can give the board are answered: addresses, `localhost`, and what `--public-url`
//! says. And what changes something has to come from a page of the board.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Uri};

use super::error::Failure;
use super::settings::PublicUrl;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The host that a request is sent to, in lower case.
///
/// # Errors
/// None, several, or one that is not that of its address.
pub(super) fn host(headers: &HeaderMap, uri: &Uri) -> Result<String, Failure> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Failure::invalid(
            "a request says to which host it is sent, once",
        ));
    };
    let host = host.to_str().unwrap_or("").to_ascii_lowercase();
    let is_other = |of_uri: &str| !of_uri.eq_ignore_ascii_case(&host);
    if host.is_empty()
        || uri
            .authority()
            .is_some_and(|of_uri| is_other(of_uri.as_str()))
    {
        return Err(Failure::invalid(
            "the host of a request is that of its address",
        ));
    }
    Ok(host)
}

/// Whether nobody else can have a browser take this host for one of theirs.
pub(super) fn is_own(host: &str, public_url: Option<&PublicUrl>) -> bool {
    if public_url.is_some_and(|url| url.authority == host) {
        return true;
    }
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

/// Whether what changes something comes from a page of the board, or from no page at all.
///
/// # Errors
/// It does not.
pub(super) fn check(
    headers: &HeaderMap,
    host: &str,
    public_url: Option<&PublicUrl>,
) -> Result<(), Failure> {
    let is_from_here = |site: &str| matches!(site, "same-origin" | "none");
    let is_here = |origin: &str| {
        let authority = origin
            .split_once("://")
            .map_or("", |(_, authority)| authority);
        authority.eq_ignore_ascii_case(host)
            || public_url.is_some_and(|url| url.authority.eq_ignore_ascii_case(authority))
    };
    let all = |name: HeaderName, is_right: &dyn Fn(&str) -> bool| {
        let mut values = headers.get_all(name).iter();
        values.all(|value| value.to_str().is_ok_and(is_right))
    };
    match all(FETCH_SITE, &is_from_here) && all(ORIGIN, &is_here) {
        true => Ok(()),
        false => Err(Failure::forbidden(
            "another page sent this; open the board and do it there",
        )),
    }
}

/// Who is at the other end: where a proxy of one's own is in between, as it says.
pub(super) fn client(headers: &HeaderMap, peer: IpAddr, behind_proxy: bool) -> IpAddr {
    if !behind_proxy {
        return peer;
    }
    // What stands before the last one was sent by the client, who may say anything.
    let last = headers.get_all(FORWARDED_FOR).iter().next_back();
    let last = last.and_then(|value| value.to_str().ok());
    let last = last.and_then(|value| value.rsplit(',').next());
    last.and_then(|address| address.trim().parse().ok())
        .unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    fn url(authority: &str) -> PublicUrl {
        PublicUrl {
            is_https: true,
            authority: authority.to_owned(),
        }
    }

    #[test]
    fn a_host_is_own_that_no_name_server_of_others_can_tell() {
        let public = url("booru.example.org");
        for (host, expected) in [
            ("127.0.0.1:5000", true),
            ("127.0.0.1", true),
            ("localhost:5000", true),
            ("[::1]:5000", true),
            ("192.168.1.7:5000", true),
            ("booru.example.org", true),
            ("booru.example.org:81", false),
            ("evil.example.org:5000", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("[::1", false),
            ("", false),
        ] {
            assert_eq!(is_own(host, Some(&public)), expected, "{host}");
        }
        assert!(!is_own("booru.example.org", None));
    }

    #[test]
    fn a_change_comes_from_a_page_of_the_board_or_from_none() {
        let public = url("booru.example.org");
        for (sent, expected) in [
            (&[][..], true),
            (&[("origin", "http://h:5000")], true),
            (&[("origin", "https://booru.example.org")], true),
            (&[("origin", "http://h:5001")], false),
            (&[("origin", "http://h")], false),
            (&[("origin", "null")], false),
            (
                &[("origin", "http://h:5000"), ("origin", "http://evil")],
                false,
            ),
            (
                &[
                    ("sec-fetch-site", "same-origin"),
                    ("origin", "http://h:5000"),
                ],
                true,
            ),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://h:5000"),
                ],
                false,
            ),
        ] {
            let done = check(&headers(sent), "h:5000", Some(&public));
            assert_eq!(done.is_ok(), expected, "{sent:?}");
        }
    }

    #[test]
    fn the_host_is_said_once() {
        let of_uri: Uri = "http://a:1/x".parse().unwrap();
        let path: Uri = "/x".parse().unwrap();
        for (sent, uri, expected) in [
            (&[("host", "A:1")][..], &path, Some("a:1")),
            (&[("host", "a:1")], &of_uri, Some("a:1")),
            (&[("host", "b")], &of_uri, None),
            (&[], &path, None),
            (&[("host", "")], &path, None),
            (&[("host", "a"), ("host", "b")], &path, None),
        ] {
            assert_eq!(
                host(&headers(sent), uri).ok().as_deref(),
                expected,
                "{sent:?}"
            );
        }
    }

    #[test]
    fn the_address_that_ones_own_proxy_says_is_the_last() {
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        let sent = headers(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7, 8.8.8.8"),
        ]);
        assert_eq!(
            client(&sent, peer, true),
            "8.8.8.8".parse::<IpAddr>().unwrap()
        );
        assert_eq!(client(&sent, peer, false), peer);
        assert_eq!(
            client(&headers(&[("x-forwarded-for", "x")]), peer, true),
            peer
        );
        assert_eq!(client(&headers(&[]), peer, true), peer);
    }
}
