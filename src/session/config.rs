//! What bounds a streaming connection: how large its frames, how many its
//! subscriptions, how long its silence.

use std::time::Duration;

/// The settings of streaming connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// WebSockets at once. One more is told so and closed.
    pub max_connections: usize,
    /// A frame of a client, bytes.
    pub frame_bytes: usize,
    /// Subscriptions of one connection at once.
    pub subscriptions: usize,
    /// Requests of one connection under way at once. While there are as many,
    /// no further frame of it is read.
    pub pending_requests: usize,
    /// After how much silence a heartbeat is sent, and a ping.
    pub heartbeat: Duration,
    /// How long a client may leave a ping unanswered, once it was written.
    pub ping_timeout: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig {
            max_connections: 10_000,
            // A record of the default bound, in base64 (4/3) with its envelope.
            frame_bytes: 2 << 20,
            subscriptions: 256,
            pending_requests: 256,
            // Proxies cut what is silent for 30 s and more.
            heartbeat: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(60),
        }
    }
}
