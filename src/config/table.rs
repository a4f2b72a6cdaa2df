//! The table of settings. A row here is all that a setting needs: its key in
//! the file, flag and environment variable follow from its name.

use super::setting::{Kind, Setting};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

const fn setting(key: &'static str, kind: Kind, help: &'static str) -> Setting {
    Setting { key, help, kind, flag_only: false }
}

/// Every setting, in the order of `--help` and `--print-config`; those of a
/// group stand together.
pub static SETTINGS: &[Setting] = &[
    setting("listen", Kind::Address(|c| &mut c.listen), "Where to listen; port 0 takes a free one"),
    setting(
        "insecure-listen-anywhere",
        Kind::Flag(|c| &mut c.listen_anywhere),
        "Allow addresses beyond loopback, though whoever reaches them may publish and read",
    ),
    setting("data-dir", Kind::Path(|c| &mut c.data_dir), "Where the store lies; made if absent"),
    setting(
        "engine",
        Kind::Engine(|c| &mut c.engine),
        "What keeps the records: sled (on disk), memory (gone when the process ends) or kafka (a \
         cluster)",
    ),
    setting(
        "advertise",
        Kind::Free(|c| &mut c.kafka.advertise),
        "Where other gateways of the same cluster reach this one, such as http://10.0.0.7:8080; \
         they pass on to it the calls of members that it serves",
    ),
    setting(
        "allowed-hosts",
        Kind::List(|c| &mut c.http.allowed_hosts),
        "Names that clients may call this gateway by, besides loopback and the address it listens \
         on: names in the Host header, separated by commas",
    ),
    setting(
        "http.cors-origins",
        Kind::List(|c| &mut c.http.cors_origins),
        "Origins whose pages may call this gateway from a browser, besides its own, such as \
         https://app.example, separated by commas",
    ),
    setting(
        "http.max-connections",
        Kind::Count(|c| &mut c.http.max_connections, 1, 1_000_000),
        "Connections at once; one more is answered 503 and closed",
    ),
    setting(
        "http.header-timeout",
        Kind::Time(|c| &mut c.http.header_timeout, 100, HOUR),
        "How long a client may take to send a request's headers",
    ),
    setting(
        "http.body-idle-timeout",
        Kind::Time(|c| &mut c.http.body_idle_timeout, 100, HOUR),
        "How long a request's body may stand still",
    ),
    setting(
        "http.keep-alive-timeout",
        Kind::Time(|c| &mut c.http.keep_alive_timeout, 100, HOUR),
        "How long a connection may be idle between requests",
    ),
    setting(
        "http.shutdown-deadline",
        Kind::Time(|c| &mut c.http.shutdown_deadline, 0, HOUR),
        "How long a stop may take to finish what is in flight",
    ),
    setting(
        "session.max-connections",
        Kind::Count(|c| &mut c.session.max_connections, 1, 1_000_000),
        "WebSockets at once; one more is told so and closed",
    ),
    setting(
        "session.frame-bytes",
        Kind::Memory(|c| &mut c.session.frame_bytes, KIB, 32 * MIB),
        "The largest frame that a client may send over a WebSocket",
    ),
    setting(
        "session.subscriptions",
        Kind::Count(|c| &mut c.session.subscriptions, 1, 10_000),
        "Subscriptions of one connection at once",
    ),
    setting(
        "session.pending-requests",
        Kind::Count(|c| &mut c.session.pending_requests, 1, 10_000),
        "Requests of one connection under way at once; meanwhile no further frame is read",
    ),
    setting(
        "session.heartbeat",
        Kind::Time(|c| &mut c.session.heartbeat, 100, HOUR),
        "After how much silence a heartbeat is sent, and a ping",
    ),
    setting(
        "session.ping-timeout",
        Kind::Time(|c| &mut c.session.ping_timeout, 100, HOUR),
        "How long a client may leave a ping unanswered",
    ),
    setting(
        "limits.body-bytes",
        Kind::Memory(|c| &mut c.limits.body_bytes, KIB, GIB),
        "The largest request body that is read as a whole; NDJSON streams have no bound",
    ),
    setting(
        "limits.inflight-bytes",
        Kind::Memory(|c| &mut c.limits.inflight_bytes, MIB, TIB),
        "Bytes of request bodies in memory, all publishes together",
    ),
    setting(
        "limits.inflight-requests",
        Kind::Count(|c| &mut c.limits.inflight_requests, 1, 1_000_000),
        "Publishes that may wait for the store at once",
    ),
    setting(
        "limits.concurrent-reads",
        Kind::Count(|c| &mut c.limits.concurrent_reads, 1, 10_000),
        "Reads that may work at once; a waiting long poll does not count",
    ),
    setting(
        "limits.topics",
        Kind::Count(|c| &mut c.limits.topics, 1, 100_000),
        "Topics of the gateway",
    ),
    setting(
        "limits.partitions",
        Kind::Count(|c| &mut c.limits.partitions, 1, 1_000_000),
        "Partitions of all topics together",
    ),
    setting(
        "limits.idempotency-ttl",
        Kind::Millis(|c| &mut c.limits.idempotency_ttl_ms, SECOND, 7 * DAY),
        "How long an Idempotency-Key is remembered",
    ),
    setting(
        "group.max-groups",
        Kind::Count(|c| &mut c.group.max_groups, 1, 1_000_000),
        "Consumer groups at once, with those that have no members",
    ),
    setting(
        "group.max-members",
        Kind::Count(|c| &mut c.group.max_members, 1, 100_000),
        "Members of one consumer group",
    ),
    setting(
        "group.revoke-grace",
        Kind::Time(|c| &mut c.group.revoke_grace, 0, HOUR),
        "How long a member may still commit a partition that goes to another, if it does not let \
         go of it before",
    ),
    setting(
        "group.retention",
        Kind::Time(|c| &mut c.group.retention, SECOND, 365 * DAY),
        "How long the commits of a consumer group without members are kept",
    ),
    setting(
        "sled.roll-bytes",
        Kind::Bytes(|c| &mut c.sled.roll_bytes, 4 * MIB, 64 * GIB),
        "The size at which a volume is sealed and the next begun",
    ),
    setting(
        "sled.open-sealed",
        Kind::Count(|c| &mut c.sled.open_sealed, 1, 1_024),
        "Sealed volumes that are kept open for reading",
    ),
    setting(
        "sled.cache-active-bytes",
        Kind::Bytes(|c| &mut c.sled.cache_active, MIB, 64 * GIB),
        "Cache of the volume that is being written",
    ),
    setting(
        "sled.cache-meta-bytes",
        Kind::Bytes(|c| &mut c.sled.cache_meta, MIB, 64 * GIB),
        "Cache of the list of topics and volumes",
    ),
    setting(
        "sled.cache-sealed-bytes",
        Kind::Bytes(|c| &mut c.sled.cache_sealed, MIB, 64 * GIB),
        "Cache of each sealed volume that is open",
    ),
    setting(
        "sled.reserve-bytes",
        Kind::Bytes(|c| &mut c.sled.reserve_bytes, MIB, TIB),
        "Free disk space below which publishes are refused",
    ),
    setting(
        "sled.buffered-sync",
        Kind::Time(|c| &mut c.sled.buffered_sync, 1, 60 * SECOND),
        "How long `buffered` records may stay unsynced",
    ),
    setting(
        "sled.idempotency-max-keys",
        Kind::Count(|c| &mut c.sled.idempotency_max, 1, 100_000_000),
        "Idempotency keys that are remembered at once",
    ),
    Setting {
        key: "accept-loss",
        help: "Open a damaged store without what is lost; a copy is made first, and the loss reported",
        kind: Kind::Flag(|c| &mut c.sled.accept_loss),
        flag_only: true,
    },
    setting(
        "kafka.brokers",
        Kind::List(|c| &mut c.kafka.brokers),
        "Brokers of the cluster to begin with, host:port, separated by commas",
    ),
    setting(
        "kafka.topic-prefix",
        Kind::Free(|c| &mut c.kafka.topic_prefix),
        "What the names of this gateway's topics begin with in the cluster; no others are served",
    ),
    setting(
        "kafka.state-topic",
        Kind::Text(|c| &mut c.kafka.state_topic),
        "The compacted topic for what Kafka has no place for, after the prefix; made if absent",
    ),
    setting(
        "kafka.state-replication",
        Kind::Count(|c| &mut c.kafka.state_replication, 0, 100),
        "Copies of the state topic when it is made; 0 is the cluster's default",
    ),
    setting(
        "kafka.tls",
        Kind::Flag(|c| &mut c.kafka.tls),
        "Encrypt the connections to the cluster",
    ),
    setting(
        "kafka.tls-ca",
        Kind::File(|c| &mut c.kafka.tls_ca),
        "Who signs the brokers' certificates, PEM; those that the system trusts otherwise",
    ),
    setting(
        "kafka.tls-certificate",
        Kind::File(|c| &mut c.kafka.tls_certificate),
        "The gateway's own certificate, PEM, where the cluster asks for one",
    ),
    setting(
        "kafka.tls-key",
        Kind::File(|c| &mut c.kafka.tls_key),
        "The key of that certificate, PEM",
    ),
    setting(
        "kafka.sasl-mechanism",
        Kind::Sasl(|c| &mut c.kafka.sasl),
        "How to log in to the cluster: none, plain, scram-sha-256 or scram-sha-512",
    ),
    setting("kafka.sasl-username", Kind::Free(|c| &mut c.kafka.sasl_username), "As whom to log in"),
    setting(
        "kafka.sasl-password-file",
        Kind::File(|c| &mut c.kafka.sasl_password_file),
        "The file with the password; a line feed at its end does not count",
    ),
    setting(
        "kafka.sasl-password",
        Kind::Secret(|c| &mut c.kafka.sasl_password),
        "The password itself, by the environment alone",
    ),
    setting(
        "kafka.publish-timeout",
        Kind::Time(|c| &mut c.kafka.publish_timeout, SECOND, 10 * 60 * SECOND),
        "How long the cluster may take for a publish before its outcome counts as unknown",
    ),
    setting(
        "kafka.start-timeout",
        Kind::Time(|c| &mut c.kafka.start_timeout, SECOND, HOUR),
        "How long the cluster may be out of reach at the start",
    ),
    setting(
        "kafka.refresh",
        Kind::Time(|c| &mut c.kafka.refresh, 100, 60 * SECOND),
        "How often the cluster is looked at for what others changed",
    ),
    setting(
        "kafka.readers",
        Kind::Count(|c| &mut c.kafka.readers, 1, 64),
        "Consumers for those who read history; those who follow share one more",
    ),
    setting(
        "kafka.transactions",
        Kind::Count(|c| &mut c.kafka.transactions, 1, 64),
        "Publishes over several partitions that are under way at once",
    ),
    setting(
        "kafka.queue-bytes",
        Kind::Memory(|c| &mut c.kafka.queue_bytes, 32 * MIB, 4 * GIB),
        "Bytes that may wait for the cluster; more publishes wait their turn",
    ),
    setting(
        "kafka.idempotency-max-keys",
        Kind::Count(|c| &mut c.kafka.idempotency_max, 1, 100_000_000),
        "Idempotency keys that are remembered at once",
    ),
    setting(
        "kafka.max-members",
        Kind::Count(|c| &mut c.kafka.members_max, 1, 100_000),
        "Members of groups that this gateway serves at once; each is a client of the cluster",
    ),
    setting(
        "kafka.group-session",
        Kind::Time(|c| &mut c.kafka.group_session, SECOND, HOUR / 2),
        "How long the cluster waits for a gateway that is gone before what its members hold goes \
         to others; within the cluster's own bounds",
    ),
    setting(
        "log.filter",
        Kind::Text(|c| &mut c.log.filter),
        "What is logged: a level, or levels by part such as info,tidegate::http=debug",
    ),
    setting(
        "log.format",
        Kind::Format(|c| &mut c.log.format),
        "How logs look: text, json, or auto (text on a terminal)",
    ),
];
