//! The v1 shapes: what bodies, queries, answers and errors look like. Pure:
//! no transport, no clock, no runtime. What a client sends is parsed here
//! once, into `domain` types, and records go out from here.
//!
//! ```text
//! code        ErrorCode: ALL, as_str, parse, status, retryable, may_have_happened,
//!             retry_after_secs, title, meaning, remedy, help
//! problem     Problem { code, detail, instance, extras }: new(code, detail), .with(name, value),
//!             .at_record(i), .at(instance), .happened(), to_json() -> Vec<u8>
//!             From<EngineError | PackError | CursorError | CorruptRecord>, ::topic_name(NameError) …
//! media       BodyKind::of(content_type, is_binary_cloudevent) -> Result<BodyKind, Problem>
//!             ReadForm::of(accept) -> Result<ReadForm { Page, Stream }, Problem>
//! read_query  ReadQuery::parse(pairs, ReadRoute { OneTopic, ManyTopics }, ReadForm)
//! queries     PublishQuery, TopicListQuery, OffsetsQuery ::parse(pairs)
//! publish     for_each_record(body, f) -> Result<usize, Problem>
//!             parse_line(line, f) -> Result<R, Problem>   raw_record(…)
//! ndjson      NdjsonSplitter::new(max_line).push(Bytes), .next_line(), .finish()
//! answer      publish_answer_into(out, &[PublishedRecord], repeated), StreamAnswer (merges ranges)
//! cloudevents structured(body, f), batch(body, f), binary(headers, content_type, body, f)
//! encode      RecordEncoder::new(As): record_into, lines_into, list_into
//! page        PageWriter: batch, finish; cursor_line, lost_line, error_line, end_line
//! topics      TopicBody, TopicPatchBody, TopicDescription, TopicPage, TrimBody, …
//! ```

mod answer;
mod cloudevents;
mod code;
mod code_table;
mod encode;
mod fields;
mod json;
mod media;
mod ndjson;
mod page;
mod params;
mod problem;
mod publish;
mod queries;
mod read_query;
mod record_json;
mod shapes;
mod topics;

pub use answer::{
    PublishAnswer, PublishedRecord, StreamAnswer, StreamRange, publish_answer_into,
};
pub use cloudevents::{binary_event, event, events};
pub use code::{ErrorCode, Help};
pub use encode::{As, RecordEncoder};
pub use media::{BodyKind, CLOUDEVENT, CLOUDEVENTS_BATCH, JSON, NDJSON, ReadForm, require_json};
pub use ndjson::{NdjsonSplitter, is_blank};
pub use page::{
    LostNotice, LostReasonName, PageWriter, cursor_line, end_line, error_line, lost_line,
};
pub use params::parse_time;
pub use problem::{PROBLEM_JSON, Problem};
pub use publish::{for_each_record, parse_line, raw_record};
pub use queries::{
    OffsetsQuery, PublishQuery, TopicListQuery, no_query, path_partition, path_topic,
};
pub use read_query::{ReadQuery, ReadRoute, ReadStart, parse_start};
pub use shapes::{
    ControlLine, NewHeaders, NewRecord, ProblemBody, PublishBody, ReadPage, ReadRecord,
    RecordHeader,
};
pub use topics::{
    DurabilityName, OffsetAnswer, PartitionDescription, TimeText, TopicBody, TopicDescription,
    TopicPage, TopicPatchBody, TopicSettings, TopicSummary, Trim, TrimAnswer, TrimBefore,
    TrimBody, TrimmedPartition,
};
