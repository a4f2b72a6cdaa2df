//! Browsers against loopback: any page can send requests to a gateway on its
//! user's machine. A `Host` that is not ours (a page's own name, pointed at
//! this machine) and an `Origin` that is not ours are refused.

use super::cors::Cors;
use crate::wire::{ErrorCode, Problem};
use axum::http::{HeaderMap, Method, Uri, header};
use std::net::{IpAddr, SocketAddr};

/// Which hosts are ours.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// Lower case, without a port.
    names: Vec<String>,
    listen: IpAddr,
    /// Pages of these may do what our own may.
    pub(super) cors: Cors,
}

impl Guard {
    /// `names` besides loopback and the address that is listened on; pages of
    /// `origins` may call besides our own.
    pub(super) fn new(listen: SocketAddr, names: &[String], origins: &[String]) -> Guard {
        let names = names.iter().map(|name| plain(host_of(name)).to_ascii_lowercase());
        Guard { names: names.collect(), listen: listen.ip(), cors: Cors::new(origins) }
    }

    /// `host_refused` or `origin_refused`.
    pub(super) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let authority = authority(uri, headers)?;
        if !self.is_ours(plain(host_of(authority))) {
            let detail = format!("this gateway does not answer for '{authority}'");
            return Err(Problem::new(ErrorCode::HostRefused, detail));
        }
        if method.is_safe() { Ok(()) } else { self.check_origin(uri, headers) }
    }

    /// `origin_refused` for a page of another origin. What is not safe is
    /// checked so, and so are upgrades, which no browser keeps pages from.
    pub(super) fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let authority = authority(uri, headers)?;
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or("null");
            if !same_site(origin, authority) && !self.cors.lists(origin) {
                let detail = format!("pages of '{origin}' may not call this gateway");
                return Err(Problem::new(ErrorCode::OriginRefused, detail));
            }
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        if let Ok(ip) = host.parse::<IpAddr>() {
            // A page cannot point an address at another machine, so on a
            // gateway that listens everywhere any address will do.
            return ip.is_loopback() || ip == self.listen || self.listen.is_unspecified();
        }
        host.eq_ignore_ascii_case("localhost")
            || self.names.iter().any(|name| host.eq_ignore_ascii_case(name))
    }
}

/// Whom the client wants to speak to: of the URI, else of the one `Host`.
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Problem> {
    if let Some(authority) = uri.authority() {
        return Ok(authority.as_str());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) {
        (Some(host), None) => Ok(host),
        _ => Err(Problem::new(ErrorCode::HostRefused, "the request needs one Host header")),
    }
}

/// The host of `host:port`, with the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    host.split_once(':').map_or(host, |(host, _)| host)
}

fn port_of(authority: &str) -> Option<&str> {
    let host = host_of(authority);
    let after = &authority[authority.find(host)? + host.len()..];
    after.strip_prefix(':').filter(|port| !port.is_empty())
}

/// Without brackets, and without the dot that ends a full name.
fn plain(host: &str) -> &str {
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host)
}

/// Whether a page of `origin` came from `authority` itself. The scheme is the
/// page's word: in front of the gateway something may speak TLS for it.
fn same_site(origin: &str, authority: &str) -> bool {
    let Some((scheme, site)) = origin.split_once("://") else { return false };
    let default = match scheme {
        "http" => "80",
        "https" => "443",
        _ => return false,
    };
    plain(host_of(site)).eq_ignore_ascii_case(plain(host_of(authority)))
        && port_of(site).unwrap_or(default) == port_of(authority).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, host: Option<&str>, origin: Option<&str>) -> Option<ErrorCode> {
        let listen = SocketAddr::from(([192, 0, 2, 7], 8080));
        let origins = ["https://App.example".to_owned()];
        let guard = Guard::new(listen, &["Gate.example".to_owned()], &origins);
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        let uri = Uri::from_static("/v1/topics");
        guard.check(&method, &uri, &headers).err().map(|problem| problem.code)
    }

    #[test]
    fn loopback_the_listen_address_and_named_hosts_are_ours() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "192.0.2.7",
            "gate.example:80",
            "GATE.example.",
        ] {
            assert_eq!(check(Method::GET, Some(host), None), None, "{host}");
        }
        for host in ["evil.example", "", "192.0.2.8", "localhost.evil.example", "[::2]", "::1.evil"]
        {
            assert_eq!(
                check(Method::GET, Some(host), None),
                Some(ErrorCode::HostRefused),
                "{host}"
            );
        }
        assert_eq!(check(Method::GET, None, None), Some(ErrorCode::HostRefused));
    }

    #[test]
    fn a_foreign_page_may_look_but_not_touch() {
        let ours = Some("127.0.0.1:8080");
        for origin in [
            "http://127.0.0.1",
            "http://localhost:8080",
            "https://evil.example",
            "null",
            "http://127.0.0.1:8081",
            "file://127.0.0.1:8080",
            "http://127.0.0.1.evil:8080",
        ] {
            let refused = Some(ErrorCode::OriginRefused);
            assert_eq!(check(Method::POST, ours, Some(origin)), refused, "{origin}");
            assert_eq!(check(Method::GET, ours, Some(origin)), None, "{origin}");
        }
        assert_eq!(check(Method::DELETE, ours, Some("http://127.0.0.1:8080")), None);
        assert_eq!(check(Method::POST, Some("gate.example"), Some("https://gate.example")), None);
        assert_eq!(check(Method::POST, Some("[::1]:80"), Some("http://[::1]")), None);
        assert_eq!(check(Method::POST, ours, None), None);
        // One that is listed may, and only that very one.
        assert_eq!(check(Method::POST, ours, Some("https://app.example")), None);
        for other in ["http://app.example", "https://app.example:8443", "https://b.app.example"] {
            let refused = Some(ErrorCode::OriginRefused);
            assert_eq!(check(Method::POST, ours, Some(other)), refused, "{other}");
        }
    }
}
