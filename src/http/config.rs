//! What bounds a connection: how many, how long, how large.

use std::time::Duration;

/// The settings of the HTTP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Names that clients may call the gateway by (the `Host` header, without
    /// a port), besides loopback and the address that it listens on.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may call the gateway, besides its own: such as
    /// `https://app.example`.
    pub cors_origins: Vec<String>,
    /// Connections at once. One more is answered 503 and closed.
    pub max_connections: usize,
    /// How long a request's headers may take, from their first byte or the
    /// opening of the connection.
    pub header_timeout: Duration,
    /// How long a request's body may stand still.
    pub body_idle_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub keep_alive_timeout: Duration,
    /// How long a client may leave an answer unread before it is cut.
    pub write_timeout: Duration,
    /// How long a stop may take to finish what is in flight.
    pub shutdown_deadline: Duration,
}

impl HttpConfig {
    /// The first of `cors_origins` that is no origin as browsers send it: a
    /// scheme, a host, perhaps a port, and no path.
    #[must_use]
    pub fn no_origin(&self) -> Option<&str> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        let is_origin = |text: &str| {
            let site = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            site.is_some_and(|site| !site.is_empty() && site.bytes().all(allowed))
        };
        self.cors_origins.iter().map(String::as_str).find(|text| !is_origin(text))
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            allowed_hosts: vec![],
            cors_origins: vec![],
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(30),
            // Longer than the idle time of the usual balancers (60 s), so that
            // they, and not we, close first.
            keep_alive_timeout: Duration::from_secs(75),
            // Long enough for a paused `less`, short enough to free the place.
            write_timeout: Duration::from_secs(300),
            shutdown_deadline: Duration::from_secs(15),
        }
    }
}
