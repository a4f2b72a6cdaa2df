//! The v1 shapes: what bodies, queries, answers and errors look like. Pure:
//! no transport, no clock, no runtime. What a client sends is parsed here
//! once, into `domain` types, and records go out from here.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `code`, `code_table`, `problem`, `group_problem` | every error: its status, the three answers, its help; problem+json |
//! | `media` | which form a body has and an answer shall have |
//! | `params`, `read_query`, `queries` | queries and path parameters |
//! | `json` | JSON as text: depth, white space, escapes |
//! | `fields`, `record_json`, `publish`, `cloudevents` | bodies → record drafts, borrowed |
//! | `ndjson` | a stream of bytes → lines, in bounded memory |
//! | `answer` | what a publish is answered |
//! | `frames/` | what a streaming client sends and is sent |
//! | `encode`, `page` | record batches → lines, pages and control lines |
//! | `batch` | a batch as live transports send it, once for all readers |
//! | `events` | server-sent events |
//! | `topics` | bodies about topics |
//! | `group_bodies`, `commit_bodies`, `group_shapes` | bodies about groups, and what they are answered |
//! | `shapes` | what is written by hand, as types for the OpenAPI document and for clients |

mod answer;
mod batch;
mod cloudevents;
mod code;
mod code_table;
mod commit_bodies;
mod encode;
mod events;
mod fields;
mod frames;
mod group_bodies;
mod group_problem;
mod group_shapes;
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

pub use answer::{PublishAnswer, PublishedRecord, StreamAnswer, StreamRange, publish_answer_into};
pub use batch::BatchEncoder;
pub use cloudevents::{binary_event, event, events};
pub use code::{ErrorCode, Help};
pub use commit_bodies::{
    CommitBody, CommitEntry, Commits, ResetBody, ResetPlace, ResetWord, drafts,
};
pub use encode::{As, RecordEncoder};
pub use events::{
    Closing, EVENT_STREAM, closing_event, hello_event, lost_event, position_event, records_event,
};
pub use frames::{
    ClientFrame, CloseCode, ClosingNotice, CommitFrame, Encoding, FrameFault, FrameLimits,
    HEARTBEAT_FRAME, Hello, JoinFrame, LeaseNotice, MAX_FRAME_NUMBER, MAX_HEAD_BYTES, PROTOCOL,
    Parts, Publish, ReleaseFrame, RequestId, SubId, Subscribe, assigned_frame, caught_up_frame,
    closing_frame, committed_frame, error_frame, hello_frame, joined_frame, lagging_frame,
    lost_frame, ok_frame, pack, packed_head, parse_frame, pong_frame, position_frame,
    published_frame, records_head, revoked_frame, revoking_frame, subscribed_frame,
    unsubscribed_frame,
};
pub use group_bodies::{
    Join, JoinBody, Partitions, Poll, PollBody, ReleaseBody, StartPolicyName, path_group,
    path_member,
};
pub use group_shapes::{
    CommitList, CommittedOffset, GroupDetails, GroupInfo, GroupLostNotice, GroupPage,
    GroupPartitionInfo, GroupStateName, MemberInfo, MemberLease, PollPage, PollTold, ResetAnswer,
    ResetPartition, partitions,
};
pub use media::{BodyKind, CLOUDEVENT, CLOUDEVENTS_BATCH, JSON, NDJSON, ReadForm, require_json};
pub use ndjson::{NdjsonSplitter, is_blank};
pub use page::{
    LostNotice, LostReasonName, PageWriter, cursor_line, end_line, error_line, lost_line,
};
pub use params::parse_time;
pub use problem::{PROBLEM_JSON, Problem};
pub use publish::{for_each_of, for_each_record, parse_line, raw_record};
pub use queries::{
    GroupListQuery, OffsetsQuery, PublishQuery, TopicListQuery, no_query, path_partition,
    path_topic,
};
pub use read_query::{ReadQuery, ReadRoute, ReadStart, parse_start};
pub use shapes::{
    ControlLine, NewHeader, NewHeaders, NewRecord, ProblemBody, PublishBody, ReadPage, ReadRecord,
    RecordHeader,
};
pub use topics::{
    DurabilityName, OffsetAnswer, PartitionDescription, TimeText, TopicBody, TopicDescription,
    TopicPage, TopicPatchBody, TopicSettings, TopicSummary, Trim, TrimAnswer, TrimBefore,
    TrimBeforeShape, TrimBody, TrimmedPartition,
};
