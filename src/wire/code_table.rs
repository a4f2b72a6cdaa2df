//! The table of error codes: one row each, with the HTTP status, whether to
//! send the request again, whether it may have had an effect, and its help.

use super::code::{Again, Effect, error_codes};

/// What 503 asks of clients when nothing better is known, seconds.
const SOON: Again = Again::After(1);
/// When space or a store has to come back first, seconds.
const LATER: Again = Again::After(5);
const YES: Again = Again::Yes;
const NO: Again = Again::No;
const NONE: Effect = Effect::None;
const MAYBE: Effect = Effect::Maybe;

error_codes! {
    TopicUnknown = "topic_unknown", 404, NO, NONE, "Topic unknown",
        "There is no topic of this name. Topics are never made by publishing or reading, and no request waits for one to appear.",
        "Check the spelling against GET /v1/topics. To make the topic, send PUT /v1/topics/{topic}; it can be used as soon as that answers.";
    TopicExists = "topic_exists", 409, NO, NONE, "Topic exists already",
        "The name of the new topic is taken by a topic that someone else made at the same moment.",
        "Send the PUT again to learn whether the topic is set as you want it: 200 says so, topic_differs names what is not.";
    TopicDiffers = "topic_differs", 409, NO, NONE, "Topic exists with other settings",
        "PUT asks for a topic with exactly these settings, and the topic of this name has others. 'differences' names each setting with what it is and what was asked. Nothing was changed.",
        "Change what may be changed with PATCH /v1/topics/{topic}. The partition count and 'keyed' are fixed for a topic's life, because keys must stay where they are: for other values, make a topic of another name.";
    TopicNameInvalid = "topic_name_invalid", 400, NO, NONE, "Topic name not allowed",
        "A topic's name has 1 to 249 of the characters a-z A-Z 0-9 . _ - and is neither '.' nor '..'. This is the rule of Kafka, kept on every engine.",
        "Choose a name within the rule. Dots and dashes serve well to make names speak, as in orders.eu-1.";
    TopicConfigInvalid = "topic_config_invalid", 400, NO, NONE, "Topic setting out of bounds",
        "One or more settings of the topic lie outside what is allowed. 'faults' lists each of them with what was asked and what is allowed.",
        "Correct the settings that are named and send the request again. null takes a retention bound away.";
    TopicsFull = "topics_full", 409, NO, NONE, "No more topics allowed",
        "The gateway holds as many topics as it is set to allow.",
        "Delete topics that nobody needs, or have the operator raise the bound on topics.";
    PartitionsFull = "partitions_full", 409, NO, NONE, "No more partitions allowed",
        "All topics together would have more partitions than the gateway is set to allow.",
        "Ask for fewer partitions, delete topics that nobody needs, or have the operator raise the bound on partitions.";
    PartitionUnknown = "partition_unknown", 404, NO, NONE, "Partition unknown",
        "The topic has no partition of this number. Partitions count from 0, so a topic of 4 has 0 to 3.",
        "GET /v1/topics/{topic} lists the partitions. Leave 'partition' out of a publish and the gateway chooses one by the key.";
    OffsetOutOfRange = "offset_out_of_range", 416, NO, NONE, "Offset out of range",
        "The offset lies before the earliest record that is kept, or beyond the place of the next record. 'start' and 'tail' say what can be asked for.",
        "Read from an offset between start and tail (both included), or from earliest or latest. A reader that goes on by its cursor never meets this: it is told what it missed.";
    RecordsLost = "records_lost", 410, NO, NONE, "Records were lost",
        "The records asked for were in a part of the store that is gone, and the operator accepted the loss. 'next' is the first offset that can be read again.",
        "Go on reading at 'next', and restore the lost records from where they came from if they matter.";
    CursorDamaged = "cursor_damaged", 400, NO, NONE, "Cursor damaged",
        "The text is not a cursor of this gateway: it was cut short, altered, or encoded once more on its way. A cursor carries a checksum.",
        "Give cursors back exactly as they came, URL-encoded once where they go into a query. Without a good one, start with from=earliest, a time, or an offset.";
    CursorForeign = "cursor_foreign", 400, NO, NONE, "Cursor belongs elsewhere",
        "The cursor is in order, but not for this request: it holds positions of other topics or partitions, or positions that never were, or was made by a later version or another gateway.",
        "Use a cursor with the topics and partitions it was received for. To read others, start without a cursor.";
    CursorTopicGone = "cursor_topic_gone", 410, NO, NONE, "Topic of the cursor is gone",
        "The topic that the cursor speaks of was deleted. If there is a topic of that name now, it was made later, and the old positions mean nothing in it.",
        "Decide what the change means for the reader, then start without the cursor, as with from=earliest.";
    GroupNameInvalid = "group_name_invalid", 400, NO, NONE, "Group name not allowed",
        "A group's name has 1 to 249 of the characters a-z A-Z 0-9 . _ - and is neither '.' nor '..', as a topic's.",
        "Choose a name within the rule, such as billing or reports.eu-1. All who use the same name share the work.";
    GroupUnknown = "group_unknown", 404, NO, NONE, "Group unknown",
        "There is no group of this name. A group is made by its first member, or by a commit or a reset, and is forgotten when it had no members for long enough.",
        "Check the spelling against GET /v1/groups. To make the group, join it with POST /v1/groups/{group}/members.";
    GroupNotEmpty = "group_not_empty", 409, NO, NONE, "Group has members",
        "The group has members. What they hold cannot be moved under them: a group is reset, deleted, or committed for by somebody else only while it is empty.",
        "Stop the members, or have them leave, and send the request again. A member that died counts until its session timeout is over; GET /v1/groups/{group} shows them.";
    GroupsFull = "groups_full", 503, LATER, NONE, "No more groups allowed",
        "There are as many groups as the gateway is set to allow. Groups without members are forgotten after a time, so room may come back.",
        "Delete groups that nobody needs, try again later, or have the operator raise the bound on groups.";
    MemberIdInvalid = "member_id_invalid", 400, NO, NONE, "Member id not allowed",
        "A member's id has 1 to 249 of the characters a-z A-Z 0-9 . _ - and is neither '.' nor '..'.",
        "Leave 'member_id' out of the join and the gateway chooses one, or choose one within the rule, such as worker-7.";
    MemberUnknown = "member_unknown", 404, NO, NONE, "Member unknown",
        "The group has no member of this id: it never joined, has left, or the gateway that served it is gone.",
        "Join with POST /v1/groups/{group}/members, and go on with the member_id of that answer. What was committed stands.";
    MemberExpired = "member_expired", 410, NO, NONE, "Member's session has expired",
        "The member sent no request for longer than its session timeout. What it held is, or will be, another member's, and its commits are refused.",
        "Join again, and go on from what is committed: drop the last cursor and the records that were not committed yet. Send a heartbeat while long work is done, or join with a longer session_timeout_ms.";
    MemberTaken = "member_taken", 409, NO, NONE, "Member id is another's",
        "The group has a member of this id that joined with other credentials.",
        "Use another member_id, or leave it out and take the one that the gateway chooses.";
    MemberReplaced = "member_replaced", 409, NO, NONE, "Member replaced by a newer connection",
        "The member has joined again over a newer connection, which holds its partitions now. The older one is ended, so that no two do the work of one.",
        "If the newer connection is not your own, give each process a member_id of its own. Do not reconnect with the same id.";
    MembersFull = "members_full", 503, LATER, NONE, "No more members allowed",
        "The group, or this gateway, has as many members as it is set to allow.",
        "Run fewer members: those beyond the number of partitions have nothing to do. The operator can raise the bound.";
    Fenced = "fenced", 409, NO, NONE, "Commit fenced",
        "The member does not hold one of these partitions, or got it in a later generation than the one it commits under. Another member goes on from what is committed; nothing of this call was stored.",
        "Poll, or send a heartbeat, to learn what the member holds and under which generation. Drop what was read of other partitions: whoever holds them reads it again.";
    CommitInvalid = "commit_invalid", 400, NO, NONE, "Commit not allowed",
        "A commit says what none can say: an offset that is no whole number from 0, the same partition twice, metadata of more than 4 KiB, no commits at all or more than 1,024. 'commit' is its index, from 0. Nothing of the call was stored.",
        "Commit for each partition the offset after the last record that was processed, each partition once in a call.";
    CommitOutOfRange = "commit_out_of_range", 422, NO, NONE, "Commit beyond what was written",
        "The offset lies beyond the place of the next record, or in an epoch that has not been: nobody can have read up to there. 'tail' says what can be committed. Nothing of the call was stored.",
        "Commit the offset after the last record that was processed; the tail itself is the most there is.";
    SessionTimeoutInvalid = "session_timeout_invalid", 400, NO, NONE, "Session timeout out of bounds",
        "A session timeout is from 1,000 to 1,800,000 milliseconds.",
        "Leave session_timeout_ms out for the default of 45,000, or choose about three times what lies between two requests of the member.";
    JsonInvalid = "json_invalid", 400, NO, NONE, "Not JSON",
        "The body or the line is not well-formed JSON in UTF-8. The detail names the place.",
        "Have a JSON library write the body, and mind that a shell may have eaten quotes: curl --data-binary @file sends a file as it is.";
    JsonTooDeep = "json_too_deep", 400, NO, NONE, "JSON nested too deep",
        "Arrays and objects are nested deeper than 64 levels, which readers in other languages may not survive.",
        "Flatten the value, or send it as 'text' or 'value_base64', which are not looked into.";
    BodyInvalid = "body_invalid", 400, NO, NONE, "Body not of the expected shape",
        "The body is JSON, but not what this call takes: a field is missing, unknown, doubled, or of another type. The detail names it. Unknown fields are refused so that a slip of the pen is not silently ignored.",
        "Compare the body with the example of this call in the API reference under /docs/api.";
    FrameInvalid = "frame_invalid", 400, NO, NONE, "Frame not of the expected shape",
        "A frame of a streaming connection is no JSON object, or has a member that is missing, unknown, doubled, or of another type. The detail names it. Nothing of the frame had an effect.",
        "Compare the frame with the examples in /asyncapi.yaml. What is no object with an 'op' ends the connection with code 4500; any other slip is answered with the frame's id, and the connection goes on.";
    FrameTooLarge = "frame_too_large", 413, NO, NONE, "Frame too large",
        "The frame is larger than 'frame_bytes' in the limits that 'hello' told. The connection ends with code 4500, because what follows in it cannot be told apart any more.",
        "Send fewer records in one frame, or publish them over POST /v1/topics/{topic}/records, which takes larger bodies and streams.";
    OpUnknown = "op_unknown", 400, NO, NONE, "Operation unknown",
        "No frame of tidegate.v1 has this 'op'. It may belong to a later version.",
        "Check the spelling against /asyncapi.yaml. The frame had no effect, and the connection goes on.";
    NotSupported = "not_supported", 501, NO, NONE, "Not supported yet",
        "The operation belongs to the interface and this version of the gateway does not serve it.",
        "Do without it, or use a gateway of a later version. Reading without a group is done with 'subscribe'.";
    SubscriptionExists = "subscription_exists", 409, NO, NONE, "Subscription number taken",
        "There is a subscription of this number in the connection already. It goes on unchanged.",
        "Choose another number, or send 'unsubscribe' first.";
    SubscriptionUnknown = "subscription_unknown", 404, NO, NONE, "Subscription unknown",
        "The connection has no subscription of this number, or it has ended.",
        "Send 'subscribe' with that number first. After 'unsubscribed' a number is free again.";
    SubscriptionsFull = "subscriptions_full", 409, NO, NONE, "No more subscriptions allowed",
        "The connection has as many subscriptions as it may. The others go on.",
        "End subscriptions that are no longer needed, read several topics by one subscription, or open another connection. 'hello' tells the bound.";
    UpgradeRequired = "upgrade_required", 426, NO, NONE, "Not a WebSocket handshake",
        "This address speaks the WebSocket protocol, version 13, and the request does not ask for it, or came over HTTP/2.",
        "Connect with a WebSocket client, over HTTP/1.1. To read or publish without WebSocket, use /v1/topics/{topic}/records.";
    SubprotocolUnsupported = "subprotocol_unsupported", 400, NO, NONE, "Subprotocol not supported",
        "The WebSocket handshake does not offer the subprotocol tidegate.v1, so the two sides would not understand each other.",
        "Open the connection with it, as in new WebSocket(url, ['tidegate.v1']).";
    ContentTypeMissing = "content_type_missing", 415, NO, NONE, "Content-Type missing",
        "The request has a body and does not say what it is. A guess could store bytes as something they are not.",
        "Send Content-Type: application/json for {\"records\":[...]}, application/x-ndjson for a stream, or the type of the body to publish it as one value.";
    ContentTypeUnsupported = "content_type_unsupported", 415, NO, NONE, "Content-Type not supported",
        "This call does not take bodies of this type, or the header cannot be read as a media type, or names a character set other than UTF-8 where text is parsed.",
        "See the API reference under /docs/api for the types that this call takes.";
    NotAcceptable = "not_acceptable", 406, NO, NONE, "No acceptable form",
        "The Accept header allows none of the forms in which this call can answer.",
        "Accept application/json for a page, application/x-ndjson for a stream, or text/event-stream for server-sent events. Without an Accept header a page is sent.";
    BodyTooLarge = "body_too_large", 413, NO, NONE, "Body too large",
        "The body is larger than the gateway takes in one piece. Nothing of it was stored.",
        "Send fewer records at a time, or stream them as application/x-ndjson, which may be of any length.";
    RecordTooLarge = "record_too_large", 413, NO, NONE, "Record too large",
        "A record's key, headers and value together are larger than the topic's max_record_bytes, or its key is larger than 16 KiB, or a line is longer than any record can be.",
        "Keep large things elsewhere and publish where they are; or raise max_record_bytes with PATCH /v1/topics/{topic}, up to 16 MiB.";
    RecordInvalid = "record_invalid", 400, NO, NONE, "Record not of the expected shape",
        "A record has a field that is unknown, doubled or of the wrong type, bytes that are not base64, or not exactly one of 'value', 'text' and 'value_base64'. 'record' is its index, from 0.",
        "Correct the record that is named. A record without a value says \"value\": null, which tells readers that its key is gone.";
    BatchTooLarge = "batch_too_large", 413, NO, NONE, "Too many records at once",
        "The request holds more than 10,000 records. It would be stored as a whole or not at all, and so is bounded.",
        "Send several requests, or stream the records as application/x-ndjson, where they are stored in turn.";
    BatchEmpty = "batch_empty", 400, NO, NONE, "No records",
        "The request holds no record, so there is nothing to publish.",
        "Send at least one record, or leave the request out.";
    HeaderInvalid = "header_invalid", 400, NO, NONE, "Record headers not allowed",
        "A record's headers are an object of strings or an array of {name, value} or {name, value_base64}; at most 64 of them, names of 1 to 255 bytes, 32 KiB in all. 'record' is the index of the record.",
        "Correct the headers, or move what is large into the value.";
    KeyedTopicPartition = "keyed_topic_partition", 400, NO, NONE, "Partition not free to choose",
        "The topic is 'keyed': the partition follows from the key, so that a key lives in one partition. A record named a partition of its own.",
        "Leave 'partition' out, or publish to a topic that is not keyed.";
    TimestampInvalid = "timestamp_invalid", 400, NO, NONE, "Timestamp out of range",
        "A timestamp is a whole number of milliseconds since 1970, from 1970 to the end of 9999; where times are written out they follow RFC 3339 with an offset.",
        "Check the unit: seconds are too small by a thousand, nanoseconds too large by a million. A '+' in a URL is written %2B.";
    ParameterInvalid = "parameter_invalid", 400, NO, NONE, "Parameter not allowed",
        "A parameter of the path or the query has a value that is not allowed, or is given twice. 'parameter' names it. Values beyond a limit are refused, never silently cut down.",
        "Give the parameter a value within the bounds that the detail names.";
    ParameterUnknown = "parameter_unknown", 400, NO, NONE, "Parameter unknown",
        "The query holds a parameter that this call does not know. It is refused, because ignoring a misspelt filter would answer with the wrong records.",
        "Correct or remove the parameter; the API reference under /docs/api lists those of each call.";
    ParametersConflict = "parameters_conflict", 400, NO, NONE, "Parameters exclude each other",
        "Two parameters that cannot hold at once were given, or one that needs another which is not there. 'parameters' names them.",
        "Leave one of them out. A cursor already says where to start; an offset means one partition of one topic.";
    IdempotencyKeyInvalid = "idempotency_key_invalid", 400, NO, NONE, "Idempotency-Key not allowed",
        "An Idempotency-Key has 1 to 255 printable ASCII characters and is given once.",
        "Use a UUID, or what your own system calls the thing that is published.";
    IdempotencyConflict = "idempotency_conflict", 422, NO, NONE, "Idempotency-Key used for another request",
        "This Idempotency-Key was used for a publish to this topic with another body. What that one published stands; this one was not published.",
        "Use a new key for every new request, and the old one only to send the very same bytes again.";
    IdempotencyInProgress = "idempotency_in_progress", 409, SOON, MAYBE, "Same request in progress",
        "A request with the same Idempotency-Key is being worked on, and its outcome is not known yet.",
        "Send the request again in a moment: it then answers what the first one did.";
    IdempotencyFull = "idempotency_full", 503, LATER, NONE, "Too many Idempotency-Keys remembered",
        "As many Idempotency-Keys are remembered as fit. Each is kept for a set time, so room returns by itself. Nothing was published.",
        "Try again later, or publish without a key where a repeat does no harm. The operator can shorten how long keys are kept.";
    IdempotencyNotForStream = "idempotency_not_for_stream", 400, NO, NONE, "Idempotency-Key on a stream",
        "A stream is stored in chunks as it comes, so no single key can stand for all of it.",
        "Leave the key out, and on an error go on after the lines that 'durable_lines' counts; or send bounded JSON bodies, each with a key of its own.";
    CloudeventInvalid = "cloudevent_invalid", 400, NO, NONE, "Not a CloudEvent",
        "The event is not a CloudEvent 1.0: id, source, specversion (1.0) and type are required, names of attributes are lower-case letters and digits, and data comes once.",
        "Have a CloudEvents SDK write the event, or compare it with the specification. The detail names the attribute.";
    OriginRefused = "origin_refused", 403, NO, NONE, "Origin not allowed",
        "A browser sent this request for a page of an origin that the gateway does not trust. Without this check any web page could publish to a gateway on your own machine.",
        "Call the gateway from a page that it serves itself, or from a program that is no browser: those send no Origin header. The operator can let in pages of other origins with the setting http.cors-origins.";
    HostRefused = "host_refused", 403, NO, NONE, "Host not allowed",
        "The Host header names a host that this gateway does not answer for. This stops pages that point a name of their own at your machine.",
        "Call the gateway by its address, or have the operator add the name to the allowed hosts.";
    RouteUnknown = "route_unknown", 404, NO, NONE, "No such address",
        "Nothing is served under the path of this request, whatever the method.",
        "See /docs/api for every call. All of them begin with /v1, and paths do not end with a slash.";
    MethodNotAllowed = "method_not_allowed", 405, NO, NONE, "Method not allowed",
        "The path exists, and does not take this method. The Allow header lists those it takes.",
        "See /docs/api for what each path can do.";
    BodyTimeout = "body_timeout", 408, YES, NONE, "Body came too slowly",
        "The body stopped coming, or came more slowly than the gateway waits for. What a stream had delivered before is counted by 'durable_lines'.",
        "Send the request again, over a better connection or in smaller pieces. A stream goes on after the lines that are durable.";
    BodyIncomplete = "body_incomplete", 400, YES, NONE, "Body ended early",
        "The connection ended, or the body was cut, before all of it had come. What a stream had delivered before is counted by 'durable_lines'.",
        "Send the request again. A stream goes on after the lines that are durable.";
    HeadersTooLarge = "headers_too_large", 431, NO, NONE, "Request headers too large",
        "The request's headers, or its address, are larger than the gateway reads.",
        "Shorten them. Large keys belong into a JSON body, not into the query.";
    TooBusy = "too_busy", 503, SOON, NONE, "Too busy",
        "As many requests, or as many bytes of them, are being worked on as the gateway is set to hold. This one was turned away before any work on it.",
        "Wait as long as Retry-After says, then send it again; back off further when it is refused again.";
    StorageFull = "storage_full", 503, LATER, NONE, "Storage full",
        "The disk has less free space than the reserve. Publishing is refused, reading goes on. Nothing of this request was stored.",
        "The operator should make room: shorten retention, trim or delete topics, or add disk. Publishing resumes by itself.";
    StateFull = "state_full", 503, LATER, NONE, "State table full",
        "The gateway's small table of lasting state holds as many entries as fit. Nothing was changed.",
        "Remove entries that are no longer needed, or wait for those that expire.";
    StorageDamaged = "storage_damaged", 500, NO, NONE, "Storage damaged",
        "What is stored does not match its checksum or its format. It was not passed on, and nothing was changed.",
        "The operator should run `tidegate check` on the data directory, and restore it or accept the loss as the documents describe.";
    EngineRefused = "engine_refused", 422, NO, NONE, "Refused by the cluster",
        "What keeps the records behind the gateway, such as a Kafka cluster, refuses the request by rules of its own: a record larger than it takes, a time too far from its clock, a right that the gateway lacks there, a topic with more partitions than can be served. The detail says which.",
        "Change what the detail names, or have the operator change the rule in the cluster. The same request would be refused again.";
    Unavailable = "unavailable", 503, SOON, NONE, "Not available",
        "The gateway cannot serve this now, as when it is starting or its engine is out of reach. The request had no effect.",
        "Wait as long as Retry-After says, then send it again. /readyz tells when the gateway can serve.";
    OutcomeUnknown = "outcome_unknown", 504, YES, MAYBE, "Outcome unknown",
        "The request was handed on, and the answer to it was lost or did not come in time. It may or may not have had its effect.",
        "Send it again with the same Idempotency-Key, which makes a repeat harmless; without one, look whether the records are there first.";
    Closing = "closing", 503, SOON, NONE, "Shutting down",
        "The gateway is stopping and takes no new requests. This one had no effect.",
        "Send it again, to this gateway once it is back or to another.";
    Internal = "internal", 500, NO, MAYBE, "Internal error",
        "Something went wrong in the gateway that should not have. The log of the gateway has the reason, under the request's id.",
        "Tell the operator the value of the x-request-id header. Check whether the request had its effect before it is sent again.";
}
