//! The queries of the calls that do not read records.

use super::{
    Problem,
    group_bodies::path_group,
    params::{Params, parse_time, topic},
};
use crate::domain::{Durability, GroupName, PartitionId, Timestamp, TopicName, limits};

/// The query of a publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishQuery {
    /// When to answer, if not as the topic says.
    pub durability: Option<Durability>,
    /// The key of a raw body.
    pub key: Option<String>,
    /// The partition of a raw body.
    pub partition: Option<PartitionId>,
    /// The time of a raw body.
    pub timestamp: Option<Timestamp>,
}

impl PublishQuery {
    /// Parses a query. `raw` says that the body is one value: otherwise its
    /// records carry keys, partitions and times, and the query may not.
    pub fn parse(
        pairs: impl IntoIterator<Item = (String, String)>,
        raw: bool,
    ) -> Result<PublishQuery, Problem> {
        let mut params = Params::new(pairs);
        let durability = params.one("durability")?.map(|text| durability(&text)).transpose()?;
        let key = params.one("key")?;
        let partition = params.number("partition", 0, limits::MAX_PARTITIONS - 1)?;
        let timestamp = params.one("timestamp")?;
        params.finish(&["durability", "key", "partition", "timestamp"])?;
        for (name, there) in [
            ("key", key.is_some()),
            ("partition", partition.is_some()),
            ("timestamp", timestamp.is_some()),
        ] {
            if there && !raw {
                let detail = format!("'{name}' is for a raw body; these records carry their own");
                return Err(Problem::conflict(&[name], detail));
            }
        }
        let timestamp = timestamp
            .map(|text| parse_time(&text).map_err(|p| p.with("parameter", "timestamp")))
            .transpose()?;
        Ok(PublishQuery { durability, key, partition: partition.map(PartitionId), timestamp })
    }
}

fn durability(text: &str) -> Result<Durability, Problem> {
    match text {
        "synced" => Ok(Durability::Synced),
        "buffered" => Ok(Durability::Buffered),
        other => {
            let detail = format!("'{other}' is neither synced nor buffered");
            Err(Problem::parameter("durability", detail))
        }
    }
}

/// The query of the list of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicListQuery {
    /// Only names that begin so.
    pub prefix: String,
    /// Only names after this one: `next` of the page before.
    pub after: Option<TopicName>,
    /// At most so many.
    pub limit: u32,
}

impl TopicListQuery {
    /// Topics on a page when the request does not say.
    pub const DEFAULT_LIMIT: u32 = 100;

    /// Parses a query.
    pub fn parse(
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<TopicListQuery, Problem> {
        let mut params = Params::new(pairs);
        let prefix = params.one("prefix")?.unwrap_or_default();
        let after = params.one("after")?.map(|text| topic(&text)).transpose()?;
        let limit = params.number("limit", 1, limits::MAX_TOPIC_PAGE)?;
        params.finish(&["prefix", "after", "limit"])?;
        // A prefix that no name can have would find nothing: a slip, not a
        // question. Whatever begins a name is a name with a letter behind it.
        TopicName::new(format!("{prefix}x")).map_err(|e| Problem::parameter("prefix", e))?;
        Ok(TopicListQuery { prefix, after, limit: limit.unwrap_or(Self::DEFAULT_LIMIT) })
    }
}

/// The query of the list of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListQuery {
    /// Only names that begin so.
    pub prefix: String,
    /// Only names after this one: `next` of the page before.
    pub after: Option<GroupName>,
    /// At most so many.
    pub limit: u32,
}

impl GroupListQuery {
    /// Parses a query, as that of the list of topics.
    pub fn parse(
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<GroupListQuery, Problem> {
        let mut params = Params::new(pairs);
        let prefix = params.one("prefix")?.unwrap_or_default();
        let after = params.one("after")?.map(|text| path_group(&text)).transpose()?;
        let limit = params.number("limit", 1, limits::MAX_TOPIC_PAGE)?;
        params.finish(&["prefix", "after", "limit"])?;
        GroupName::new(format!("{prefix}x")).map_err(|e| Problem::parameter("prefix", e))?;
        Ok(GroupListQuery { prefix, after, limit: limit.unwrap_or(TopicListQuery::DEFAULT_LIMIT) })
    }
}

/// The query of `…/partitions/{p}/offsets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetsQuery {
    /// The first offset at or after this is asked for.
    pub time: Timestamp,
}

impl OffsetsQuery {
    /// Parses a query; `time` must be there.
    pub fn parse(
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<OffsetsQuery, Problem> {
        let mut params = Params::new(pairs);
        let time = params.one("time")?;
        params.finish(&["time"])?;
        let text = time.ok_or_else(|| Problem::parameter("time", "is missing"))?;
        Ok(OffsetsQuery { time: parse_time(&text).map_err(|p| p.with("parameter", "time"))? })
    }
}

/// For the calls without a query: refuses any parameter.
pub fn no_query(pairs: impl IntoIterator<Item = (String, String)>) -> Result<(), Problem> {
    Params::new(pairs).finish(&[])
}

/// A topic's name in a path.
pub fn path_topic(text: &str) -> Result<TopicName, Problem> {
    topic(text)
}

/// A partition in a path.
pub fn path_partition(text: &str) -> Result<PartitionId, Problem> {
    super::params::number("partition", text, 0, limits::MAX_PARTITIONS - 1).map(PartitionId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ErrorCode;

    fn pairs(query: &str) -> Vec<(String, String)> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_key_in_the_query_is_for_a_raw_body_alone() {
        let query = "durability=buffered&key=k&partition=3&timestamp=5";
        let raw = PublishQuery::parse(pairs(query), true).unwrap();
        assert_eq!(
            (raw.durability, raw.partition),
            (Some(Durability::Buffered), Some(PartitionId(3)))
        );
        assert_eq!(
            (raw.key.as_deref(), raw.timestamp.map(Timestamp::millis)),
            (Some("k"), Some(5))
        );
        let refused = PublishQuery::parse(pairs("key=k"), false).unwrap_err();
        assert_eq!(refused.code, ErrorCode::ParametersConflict);
        assert!(PublishQuery::parse(pairs("durability=never"), false).is_err());
        assert!(PublishQuery::parse(pairs("durabilty=synced"), false).is_err());
    }

    #[test]
    fn the_list_takes_a_prefix_and_a_bound() {
        let query = TopicListQuery::parse(pairs("prefix=..&limit=5&after=a")).unwrap();
        assert_eq!((query.prefix.as_str(), query.limit), ("..", 5));
        assert!(TopicListQuery::parse(pairs("prefix=a b")).is_err());
        assert!(TopicListQuery::parse(pairs("limit=0")).is_err());
        assert!(OffsetsQuery::parse(pairs("")).is_err());
        assert!(OffsetsQuery::parse(pairs("time=5")).is_ok());
        assert!(no_query(pairs("a=b")).is_err());
    }
}
