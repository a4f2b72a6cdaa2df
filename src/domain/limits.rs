//! Every bound on what a client can make grow, in one place, each with its
//! arithmetic. Fixed ones are constants tied by assertions; those an operator
//! may set are in [`Limits`].

/// Topic and group names, bytes: Kafka's bound.
pub const MAX_NAME_BYTES: usize = 249;
/// `Idempotency-Key`, bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;
/// A record's key, bytes. A key is looked up and compared, not stored away.
pub const MAX_KEY_BYTES: usize = 16 << 10;
/// Headers of one record.
pub const MAX_HEADERS: usize = 64;
/// A header's name, bytes.
pub const MAX_HEADER_NAME_BYTES: usize = 255;
/// All headers of one record together, names and values, bytes.
pub const MAX_HEADER_BYTES: usize = 32 << 10;
/// The most that `max_record_bytes` may be set to.
pub const MAX_RECORD_BYTES: u32 = 16 << 20;
/// `max_record_bytes` of a topic that names none.
pub const DEFAULT_RECORD_BYTES: u32 = 1 << 20;
/// The least that `max_record_bytes` may be set to.
pub const MIN_RECORD_BYTES: u32 = 1 << 10;
/// Nesting of JSON arrays and objects in a value or a body.
pub const MAX_JSON_DEPTH: usize = 64;
/// Records in one atomic publish.
pub const MAX_BATCH_RECORDS: usize = 10_000;
/// NDJSON publishes are committed in chunks of about this many bytes: what the
/// embedded store writes in one go.
pub const NDJSON_CHUNK_BYTES: usize = 448 << 10;
/// Partitions of one topic.
pub const MAX_PARTITIONS: u32 = 1_024;
/// Records that one page may ask for.
pub const MAX_PAGE_RECORDS: u32 = 10_000;
/// Records that a page holds when the request does not say.
pub const DEFAULT_PAGE_RECORDS: u32 = 500;
/// Bytes of records that one page may ask for.
pub const MAX_PAGE_BYTES: u32 = 16 << 20;
/// Bytes of records that a page holds when the request does not say.
pub const DEFAULT_PAGE_BYTES: u32 = 1 << 20;
/// The longest long poll, milliseconds: under nginx' and ALB's 60 s.
pub const MAX_WAIT_MS: u32 = 55_000;
/// Topics that one request may read.
pub const MAX_READ_TOPICS: usize = 100;
/// Keys that one reader may be confined to.
pub const MAX_READ_KEYS: usize = 100;
/// A cursor's text, bytes: every partition of 100 topics of 16 would fit.
pub const MAX_CURSOR_BYTES: usize = 64 << 10;
/// Partitions that one request may name.
pub const MAX_NAMED_PARTITIONS: usize = 100;
/// Topics per page of the list.
pub const MAX_TOPIC_PAGE: u32 = 1_000;
/// The shortest session of a group's member, milliseconds.
pub const MIN_SESSION_MS: u64 = 1_000;
/// The longest session of a group's member, milliseconds: Kafka's bound.
pub const MAX_SESSION_MS: u64 = 1_800_000;
/// The session of a member that does not say, milliseconds: Kafka's default.
pub const DEFAULT_SESSION_MS: u64 = 45_000;
/// What a committer may note beside an offset, bytes: Kafka's bound.
pub const MAX_COMMIT_METADATA_BYTES: usize = 4 << 10;
/// The notes of one call together, bytes: a call is stored in one step, which may
/// not be more than the embedded store can take between two syncs.
pub const MAX_CALL_METADATA_BYTES: usize = 128 << 10;
/// Offsets that one call may commit: every partition of a large topic.
pub const MAX_COMMITS: usize = 1_024;
/// The shortest time retention, milliseconds.
pub const MIN_RETENTION_MS: u64 = 1_000;
/// The smallest size retention, bytes per partition.
pub const MIN_RETENTION_BYTES: u64 = 64 << 10;

const _: () = assert!(DEFAULT_RECORD_BYTES <= MAX_RECORD_BYTES);
const _: () = assert!(MIN_RECORD_BYTES <= DEFAULT_RECORD_BYTES);
const _: () = assert!(MAX_KEY_BYTES + MAX_HEADER_BYTES < DEFAULT_RECORD_BYTES as usize);
const _: () = assert!(MIN_SESSION_MS <= DEFAULT_SESSION_MS && DEFAULT_SESSION_MS <= MAX_SESSION_MS);
const _: () = assert!(MAX_COMMITS >= MAX_PARTITIONS as usize);
const _: () = assert!(MAX_CALL_METADATA_BYTES <= NDJSON_CHUNK_BYTES / 2);
const _: () = assert!(DEFAULT_PAGE_RECORDS <= MAX_PAGE_RECORDS);
const _: () = assert!(DEFAULT_PAGE_BYTES <= MAX_PAGE_BYTES);

/// The bounds an operator may set; the defaults suit one machine of two cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A request body that is parsed as a whole, bytes.
    pub body_bytes: usize,
    /// Bytes of request bodies held in memory by all publishes together.
    pub inflight_bytes: usize,
    /// Publishes that may wait for the engine at once.
    pub inflight_requests: usize,
    /// Reads that may work at once; a waiting long poll does not count.
    pub concurrent_reads: usize,
    /// Topics of the gateway.
    pub topics: usize,
    /// Partitions of all topics together.
    pub partitions: usize,
    /// How long an `Idempotency-Key` is remembered, milliseconds.
    pub idempotency_ttl_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // A record of the largest size, in base64 (4/3) with its envelope.
            body_bytes: 24 << 20,
            inflight_bytes: 96 << 20,
            inflight_requests: 4_096,
            concurrent_reads: 64,
            topics: 1_000,
            partitions: 10_000,
            idempotency_ttl_ms: 3_600_000,
        }
    }
}
