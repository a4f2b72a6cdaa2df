//! What a read asks for: the query of `GET /v1/topics/{topic}/records` and of
//! `GET /v1/records`, parsed once into what excludes what.

use super::{
    As, Problem, ReadForm,
    params::{Params, number, parse_time, topic},
};
use crate::domain::{Cursor, Offset, PartitionId, StartAt, TopicName, limits};
use bytes::Bytes;

/// Which of the two addresses is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadRoute {
    /// The path names the topic.
    OneTopic,
    /// The query does, 1 to 100 of them.
    ManyTopics,
}

/// Where a read begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadStart {
    /// As `from` says; the earliest record when it says nothing.
    At(StartAt),
    /// Where an earlier read ended.
    Cursor(Cursor),
}

/// A read, checked in itself; whether topics and partitions exist is for the
/// broker to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadQuery {
    /// The topics named in the query, each once; empty on [`ReadRoute::OneTopic`].
    pub topics: Vec<TopicName>,
    /// Where to begin.
    pub start: ReadStart,
    /// The partitions to read of each topic, each once; `None` = all.
    pub partitions: Option<Vec<PartitionId>>,
    /// Only records with one of these keys, each once; empty = all.
    pub keys: Vec<Bytes>,
    /// Records: of a page at most [`limits::MAX_PAGE_RECORDS`], its default
    /// filled in; of a stream any number, `None` = all.
    pub limit: Option<u64>,
    /// Bytes of records that a page may hold.
    pub max_bytes: u32,
    /// How long a page waits for a first record, milliseconds.
    pub wait_ms: u32,
    /// Whether a stream goes on at the tail.
    pub follow: bool,
    /// The form of values.
    pub as_: As,
}

const ONE_TOPIC: &[&str] =
    &["from", "cursor", "partition", "key", "limit", "max_bytes", "wait_ms", "follow", "as"];
const MANY_TOPICS: &[&str] = &[
    "topic",
    "from",
    "cursor",
    "partition",
    "key",
    "limit",
    "max_bytes",
    "wait_ms",
    "follow",
    "as",
];

impl ReadQuery {
    /// Parses the decoded pairs of a query. `last_event` is the header
    /// `Last-Event-ID`, by which a browser goes on with a stream of events: it
    /// beats `cursor`, which then beats `from`. Refuses unknown and repeated
    /// parameters, values out of bounds and what excludes each other.
    pub fn parse(
        pairs: impl IntoIterator<Item = (String, String)>,
        route: ReadRoute,
        form: ReadForm,
        last_event: Option<&str>,
    ) -> Result<ReadQuery, Problem> {
        let mut params = Params::new(pairs);
        let (topics, known) = match route {
            ReadRoute::OneTopic => (vec![], ONE_TOPIC),
            ReadRoute::ManyTopics => (topics(&mut params)?, MANY_TOPICS),
        };
        let (from, cursor) = (params.one("from")?, params.one("cursor")?);
        let partitions = partitions(&mut params)?;
        let keys = keys(&mut params)?;
        let limit = match form {
            ReadForm::Page => params.number("limit", 1, limits::MAX_PAGE_RECORDS.into())?,
            ReadForm::Stream | ReadForm::Events => params.number("limit", 1, u64::MAX)?,
        };
        let max_bytes = params.number("max_bytes", 1, limits::MAX_PAGE_BYTES)?;
        let wait_ms = params.number("wait_ms", 0, limits::MAX_WAIT_MS)?;
        let follow = params.flag("follow")?;
        let as_ = params.one("as")?.map_or(Ok(As::Auto), |text| As::parse(&text))?;
        params.finish(known)?;

        only_for_the_form(form, (follow, limit), max_bytes, wait_ms)?;
        let start = match (form, last_event.filter(|id| !id.is_empty()), cursor) {
            (ReadForm::Events, Some(id), _) => start(None, Some(id.to_owned()))?,
            (ReadForm::Events, None, Some(cursor)) => start(None, Some(cursor))?,
            (_, _, cursor) => start(from, cursor)?,
        };
        if let ReadStart::At(StartAt::Offset(_)) = start {
            one_partition(&topics, partitions.as_deref())?;
        }
        Ok(ReadQuery {
            topics,
            start,
            partitions,
            keys,
            limit: match form {
                ReadForm::Page => Some(limit.unwrap_or(limits::DEFAULT_PAGE_RECORDS.into())),
                ReadForm::Stream | ReadForm::Events => limit,
            },
            max_bytes: max_bytes.unwrap_or(limits::DEFAULT_PAGE_BYTES),
            wait_ms: wait_ms.unwrap_or(0),
            follow: follow || form == ReadForm::Events,
            as_,
        })
    }
}

fn topics(params: &mut Params) -> Result<Vec<TopicName>, Problem> {
    let texts = params.all("topic");
    if texts.is_empty() || texts.len() > limits::MAX_READ_TOPICS {
        let max = limits::MAX_READ_TOPICS;
        let detail = format!("given {} times, must come 1 to {max} times", texts.len());
        return Err(Problem::parameter("topic", detail));
    }
    let mut names: Vec<TopicName> = Vec::with_capacity(texts.len());
    for text in &texts {
        let name = topic(text)?;
        if names.contains(&name) {
            return Err(Problem::parameter("topic", format_args!("'{name}' is named twice")));
        }
        names.push(name);
    }
    Ok(names)
}

fn partitions(params: &mut Params) -> Result<Option<Vec<PartitionId>>, Problem> {
    let texts = params.all("partition");
    if texts.len() > limits::MAX_NAMED_PARTITIONS {
        let (got, max) = (texts.len(), limits::MAX_NAMED_PARTITIONS);
        let detail = format!("given {got} times, may come {max} times");
        return Err(Problem::parameter("partition", detail));
    }
    let mut ids: Vec<PartitionId> = Vec::with_capacity(texts.len());
    for text in &texts {
        let id = PartitionId(number("partition", text, 0, limits::MAX_PARTITIONS - 1)?);
        if ids.contains(&id) {
            return Err(Problem::parameter("partition", format_args!("{id} is named twice")));
        }
        ids.push(id);
    }
    Ok((!ids.is_empty()).then_some(ids))
}

/// The keys are texts; their bytes are the keys. One may be empty.
fn keys(params: &mut Params) -> Result<Vec<Bytes>, Problem> {
    let texts = params.all("key");
    if texts.len() > limits::MAX_READ_KEYS {
        let (got, max) = (texts.len(), limits::MAX_READ_KEYS);
        let detail = format!("given {got} times, may come {max} times");
        return Err(Problem::parameter("key", detail));
    }
    let mut keys: Vec<Bytes> = Vec::with_capacity(texts.len());
    for text in texts {
        if text.len() > limits::MAX_KEY_BYTES {
            let (got, max) = (text.len(), limits::MAX_KEY_BYTES);
            let detail = format!("a key of {got} bytes; none has more than {max}");
            return Err(Problem::parameter("key", detail));
        }
        let key = Bytes::from(text);
        if keys.contains(&key) {
            return Err(Problem::parameter("key", "one key is named twice"));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// A stream has no end to wait for and is not cut by bytes; a page ends.
fn only_for_the_form(
    form: ReadForm,
    (follow, limit): (bool, Option<u64>),
    max_bytes: Option<u32>,
    wait_ms: Option<u32>,
) -> Result<(), Problem> {
    match form {
        ReadForm::Page if follow => {
            let detail =
                "follow=true needs a stream: Accept: application/x-ndjson or text/event-stream";
            Err(Problem::conflict(&["follow"], detail))
        }
        // A browser would come back for more by itself.
        ReadForm::Events if limit.is_some() => {
            let detail = "limit is for pages and NDJSON; events come on and on";
            Err(Problem::conflict(&["limit"], detail))
        }
        ReadForm::Stream | ReadForm::Events if max_bytes.is_some() => {
            let detail = "max_bytes is for pages; a stream comes as fast as it is read";
            Err(Problem::conflict(&["max_bytes"], detail))
        }
        ReadForm::Stream | ReadForm::Events if wait_ms.is_some() => {
            let detail = "wait_ms is for pages; a stream goes on with follow=true";
            Err(Problem::conflict(&["wait_ms"], detail))
        }
        ReadForm::Page | ReadForm::Stream | ReadForm::Events => Ok(()),
    }
}

fn start(from: Option<String>, cursor: Option<String>) -> Result<ReadStart, Problem> {
    match (from, cursor) {
        (Some(_), Some(_)) => {
            let detail = "a cursor says where to start; leave 'from' out";
            Err(Problem::conflict(&["from", "cursor"], detail))
        }
        (Some(text), None) => parse_start(&text).map(ReadStart::At),
        (None, Some(text)) => Ok(ReadStart::Cursor(Cursor::decode(&text)?)),
        (None, None) => Ok(ReadStart::At(StartAt::Earliest)),
    }
}

/// `earliest`, `latest`, `last:N`, `offset:N` or `time:<RFC 3339 or ms>`.
pub fn parse_start(text: &str) -> Result<StartAt, Problem> {
    match text.split_once(':') {
        None if text == "earliest" => Ok(StartAt::Earliest),
        None if text == "latest" => Ok(StartAt::Latest),
        Some(("last", n)) => Ok(StartAt::Last(number("from", n, 1, u64::MAX)?)),
        Some(("offset", n)) => Ok(StartAt::Offset(Offset(number("from", n, 0, u64::MAX)?))),
        Some(("time", time)) => {
            Ok(StartAt::Time(parse_time(time).map_err(|p| p.with("parameter", "from"))?))
        }
        _ => {
            let detail = format!(
                "'{text}' is none of earliest, latest, last:N, offset:N, time:<RFC 3339 or ms>"
            );
            Err(Problem::parameter("from", detail))
        }
    }
}

fn one_partition(topics: &[TopicName], partitions: Option<&[PartitionId]>) -> Result<(), Problem> {
    if topics.len() <= 1 && partitions.is_some_and(|p| p.len() == 1) {
        return Ok(());
    }
    let detail = "an offset means one partition of one topic: name it with 'partition'";
    Err(Problem::conflict(&["from", "partition"], detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Timestamp, wire::ErrorCode};

    fn parse(query: &str, route: ReadRoute, form: ReadForm) -> Result<ReadQuery, Problem> {
        let pairs = query.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        });
        ReadQuery::parse(pairs, route, form, None)
    }

    fn page(query: &str) -> Result<ReadQuery, Problem> {
        parse(query, ReadRoute::OneTopic, ReadForm::Page)
    }

    #[test]
    fn nothing_asked_is_a_page_from_the_earliest_record() {
        let query = page("").unwrap();
        assert_eq!(query.start, ReadStart::At(StartAt::Earliest));
        assert_eq!(query.limit, Some(u64::from(limits::DEFAULT_PAGE_RECORDS)));
        assert_eq!((query.wait_ms, query.follow, query.as_), (0, false, As::Auto));
        let stream = parse("", ReadRoute::OneTopic, ReadForm::Stream).unwrap();
        assert_eq!(stream.limit, None);
    }

    #[test]
    fn every_start_is_understood() {
        for (from, start) in [
            ("earliest", StartAt::Earliest),
            ("latest", StartAt::Latest),
            ("last:10", StartAt::Last(10)),
            ("time:1700000000000", StartAt::Time(Timestamp::from_millis(1_700_000_000_000))),
            ("time:2023-11-14T22:13:20Z", StartAt::Time(Timestamp::from_millis(1_700_000_000_000))),
        ] {
            assert_eq!(page(&format!("from={from}")).unwrap().start, ReadStart::At(start));
        }
        let query = page("from=offset:7&partition=2").unwrap();
        assert_eq!(query.start, ReadStart::At(StartAt::Offset(Offset(7))));
        let cursor = Cursor::default();
        let query = page(&format!("cursor={}", cursor.encode())).unwrap();
        assert_eq!(query.start, ReadStart::Cursor(cursor));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_and_named() {
        for (query, parameter) in [
            ("limit=0", "limit"),
            ("limit=10001", "limit"),
            ("limit=-1", "limit"),
            ("limit=+1", "limit"),
            ("limit=", "limit"),
            ("limit=1&limit=2", "limit"),
            ("max_bytes=0", "max_bytes"),
            ("wait_ms=55001", "wait_ms"),
            ("follow=yes", "follow"),
            ("as=xml", "as"),
            ("from=", "from"),
            ("from=last:0", "from"),
            ("from=offset:x&partition=0", "from"),
            ("from=newest", "from"),
            ("partition=1024", "partition"),
            ("partition=1&partition=1", "partition"),
            ("key=a&key=b&key=a", "key"),
        ] {
            let problem = page(query).unwrap_err();
            assert_eq!(problem.code, ErrorCode::ParameterInvalid, "{query}");
            assert_eq!(problem.extras["parameter"], parameter, "{query}");
        }
        assert_eq!(page("from=time:x").unwrap_err().code, ErrorCode::TimestampInvalid);
        assert_eq!(page("cursor=x").unwrap_err().code, ErrorCode::CursorDamaged);
    }

    #[test]
    fn unknown_parameters_are_named() {
        for (query, name) in [("kay=a", "kay"), ("topic=a", "topic"), ("Limit=1", "Limit")] {
            let problem = page(query).unwrap_err();
            assert_eq!(problem.code, ErrorCode::ParameterUnknown, "{query}");
            assert_eq!(problem.extras["parameter"], name);
        }
    }

    #[test]
    fn what_excludes_each_other_is_refused() {
        for query in [
            "from=earliest&cursor=x",
            "from=offset:1",
            "follow=true",
            "from=offset:1&partition=0&partition=1",
        ] {
            assert_eq!(page(query).unwrap_err().code, ErrorCode::ParametersConflict, "{query}");
        }
        for query in ["wait_ms=1", "max_bytes=1"] {
            let refused = parse(query, ReadRoute::OneTopic, ReadForm::Stream);
            assert_eq!(refused.unwrap_err().code, ErrorCode::ParametersConflict, "{query}");
        }
        let many = |query| parse(query, ReadRoute::ManyTopics, ReadForm::Page);
        let refused = many("topic=a&topic=b&from=offset:1&partition=0");
        assert_eq!(refused.unwrap_err().code, ErrorCode::ParametersConflict);
        assert!(many("topic=a&from=offset:1&partition=0").is_ok());
    }

    #[test]
    fn keys_are_texts_and_bounded() {
        let query = page("key=a&key=&key=b").unwrap();
        assert_eq!(query.keys, ["a", "", "b"].map(Bytes::from));
        let many = |n: usize| (0..n).map(|n| format!("key=k{n}&")).collect::<String>();
        assert_eq!(page(&many(limits::MAX_READ_KEYS)).unwrap().keys.len(), limits::MAX_READ_KEYS);
        for query in [many(limits::MAX_READ_KEYS + 1), format!("key={}", "k".repeat(16_385))] {
            assert_eq!(page(&query).unwrap_err().extras["parameter"], "key");
        }
    }

    #[test]
    fn the_last_event_beats_the_cursor_and_that_the_start() {
        let cursor = |name: &str| {
            let mut cursor = Cursor::default();
            let incarnation = crate::domain::Incarnation(7);
            let positions = crate::domain::TopicPositions { incarnation, partitions: [].into() };
            cursor.topics.insert(TopicName::new(name).unwrap(), positions);
            cursor
        };
        let events = |query: &str, last: Option<&str>| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
            ReadQuery::parse(pairs, ReadRoute::OneTopic, ReadForm::Events, last)
        };
        let both = format!("from=latest&cursor={}", cursor("c").encode());
        let of = |name| ReadStart::Cursor(cursor(name));
        assert_eq!(events(&both, Some(&cursor("l").encode())).unwrap().start, of("l"));
        assert_eq!(events(&both, Some("")).unwrap().start, of("c"));
        assert_eq!(events(&both, None).unwrap().start, of("c"));
        let latest = events("from=latest", None).unwrap();
        assert!(latest.follow && latest.start == ReadStart::At(StartAt::Latest));
        assert_eq!(events("", Some("x")).unwrap_err().code, ErrorCode::CursorDamaged);
        for query in ["limit=1", "wait_ms=1", "max_bytes=1"] {
            let refused = events(query, None).unwrap_err().code;
            assert_eq!(refused, ErrorCode::ParametersConflict, "{query}");
        }
    }

    #[test]
    fn topics_are_named_once_each() {
        let many = |query| parse(query, ReadRoute::ManyTopics, ReadForm::Stream);
        assert_eq!(many("topic=b&topic=a&follow=true").unwrap().topics.len(), 2);
        assert_eq!(many("").unwrap_err().extras["parameter"], "topic");
        assert_eq!(many("topic=a&topic=a").unwrap_err().code, ErrorCode::ParameterInvalid);
        assert_eq!(many("topic=a/b").unwrap_err().code, ErrorCode::TopicNameInvalid);
    }
}
