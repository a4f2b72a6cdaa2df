//! `tidegate topic`: what there is to do with topics as a whole.

use super::{CliError, ServerArg, output};
use crate::client::Client;
use crate::config::value;
use crate::domain::TopicName;
use crate::wire::{
    DurabilityName, TimeText, TopicBody, TopicDescription, TopicPatchBody, TopicSummary,
    TrimBefore, TrimBody,
};
use clap::{Args, Subcommand};
use std::time::Duration;

/// Create, list, describe, alter, trim and delete topics.
#[derive(Debug, Args)]
pub struct TopicArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArg,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a topic, or ensure that it is there with just these settings.
    Create {
        /// Letters, digits, '.', '_' and '-'; 249 at most.
        #[arg(value_parser = parse_topic)]
        topic: TopicName,
        /// How many partitions; this never changes.
        #[arg(long, default_value_t = 1, value_name = "COUNT")]
        partitions: u32,
        /// Make the partition always follow from the key.
        #[arg(long)]
        keyed: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// List topics.
    List {
        /// Only those whose names begin like this.
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Show a topic's settings and partitions.
    Describe {
        /// The topic.
        #[arg(value_parser = parse_topic)]
        topic: TopicName,
    },
    /// Change settings; those not named stay.
    Alter {
        /// The topic.
        #[arg(value_parser = parse_topic)]
        topic: TopicName,
        #[command(flatten)]
        settings: Settings,
    },
    /// Drop old records: all before an offset or a time.
    Trim {
        /// The topic.
        #[arg(value_parser = parse_topic)]
        topic: TopicName,
        /// Only this partition.
        #[arg(long, value_name = "NUMBER")]
        partition: Option<u32>,
        /// Drop records before this offset; needs --partition.
        #[arg(
            long,
            value_name = "OFFSET",
            required_unless_present = "before_time",
            requires = "partition"
        )]
        before_offset: Option<u64>,
        /// Drop records before this time: RFC 3339, or milliseconds since 1970.
        #[arg(long, value_name = "TIME", conflicts_with = "before_offset")]
        before_time: Option<String>,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Delete a topic and all its records.
    Delete {
        /// The topic.
        #[arg(value_parser = parse_topic)]
        topic: TopicName,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Settings that may change in a topic's life.
#[derive(Debug, Args)]
struct Settings {
    /// How long records are kept, such as 7d; `none` = for ever.
    #[arg(long, value_name = "TIME", value_parser = parse_retention)]
    retention: Option<Bound>,
    /// How much each partition keeps, such as 10GiB; `none` = all.
    #[arg(long, value_name = "SIZE", value_parser = parse_retention_bytes)]
    retention_bytes: Option<Bound>,
    /// The largest record: key, headers and value.
    #[arg(long, value_name = "SIZE", value_parser = parse_record_size)]
    max_record_bytes: Option<u32>,
    /// When a publish is answered: once it survives a power cut, or at once.
    #[arg(long, value_parser = parse_durability, value_name = "synced|buffered")]
    durability: Option<DurabilityName>,
}

/// A bound, or that there is to be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound(Option<u64>);

pub(super) fn parse_topic(text: &str) -> Result<TopicName, String> {
    TopicName::new(text).map_err(|error| error.to_string())
}

fn parse_size(text: &str) -> Result<u64, String> {
    value::parse_size(text).ok_or_else(|| format!("write {}", value::SIZE_FORMS))
}

fn parse_record_size(text: &str) -> Result<u32, String> {
    u32::try_from(parse_size(text)?).map_err(|_| "that is more than any record may be".to_owned())
}

fn parse_durability(text: &str) -> Result<DurabilityName, String> {
    match text {
        "synced" => Ok(DurabilityName::Synced),
        "buffered" => Ok(DurabilityName::Buffered),
        _ => Err("write synced or buffered".to_owned()),
    }
}

fn parse_retention_bytes(text: &str) -> Result<Bound, String> {
    match text {
        "none" => Ok(Bound(None)),
        _ => parse_size(text).map(|bytes| Bound(Some(bytes))),
    }
}

fn parse_retention(text: &str) -> Result<Bound, String> {
    if text == "none" {
        return Ok(Bound(None));
    }
    let duration =
        value::parse_duration(text).ok_or_else(|| format!("write {}", value::TIME_FORMS))?;
    u64::try_from(duration.as_millis()).map(|ms| Bound(Some(ms))).map_err(|error| error.to_string())
}

impl Settings {
    fn body(&self, partitions: u32, keyed: bool) -> TopicBody {
        TopicBody {
            partitions: Some(partitions),
            retention_ms: self.retention.and_then(|bound| bound.0),
            retention_bytes: self.retention_bytes.and_then(|bound| bound.0),
            max_record_bytes: self.max_record_bytes,
            durability: self.durability,
            keyed,
            ..TopicBody::default()
        }
    }

    fn patch(&self) -> TopicPatchBody {
        TopicPatchBody {
            retention_ms: self.retention.map(|bound| bound.0),
            retention_bytes: self.retention_bytes.map(|bound| bound.0),
            max_record_bytes: self.max_record_bytes,
            durability: self.durability,
        }
    }
}

/// Does what was asked.
pub async fn run(args: TopicArgs) -> Result<(), CliError> {
    let client = args.server.client()?;
    match args.action {
        Action::Create { topic, partitions, keyed, settings } => {
            let body = settings.body(partitions, keyed);
            let (created, made) = client.put_topic(&topic, &body).await?;
            let said = if created { "created" } else { "was there already, with these settings" };
            output::told(args.json, &made, || output::line(&format!("{topic} {said}")))
        }
        Action::List { prefix } => {
            let topics = client.topics(&prefix).await?;
            output::told(args.json, &topics, || list(&topics))
        }
        Action::Describe { topic } => {
            let found = client.topic(&topic).await?;
            output::told(args.json, &found, || describe(&found))
        }
        Action::Alter { topic, settings } => {
            let patch = settings.patch();
            if patch == TopicPatchBody::default() {
                let asked = "name a setting to change, such as --retention 7d".to_owned();
                return Err(CliError::Usage(asked));
            }
            let altered = client.alter_topic(&topic, &patch).await?;
            output::told(args.json, &altered, || output::line(&summary(&altered)))
        }
        Action::Trim { topic, partition, before_offset, before_time, yes } => {
            let before = match before_offset {
                Some(offset) => TrimBefore::Offset(offset),
                None => TrimBefore::Time(time_text(before_time.unwrap_or_default())),
            };
            trim(&client, &topic, &TrimBody { partition, before }, yes, args.json).await
        }
        Action::Delete { topic, yes } => {
            let found = client.topic(&topic).await?;
            let kept: u64 = found.partition_list.iter().map(|p| p.records).sum();
            output::confirm(&format!("Delete topic {topic} with its {kept} records?"), yes)?;
            client.delete_topic(&topic).await?;
            output::told(args.json, &found, || output::line(&format!("{topic} deleted")))
        }
    }
}

async fn trim(
    client: &Client,
    topic: &TopicName,
    body: &TrimBody,
    yes: bool,
    json: bool,
) -> Result<(), CliError> {
    let place = body.partition.map_or(String::new(), |number| format!(" in partition {number}"));
    let before = match &body.before {
        TrimBefore::Offset(offset) => format!("offset {offset}"),
        TrimBefore::Time(TimeText::Millis(millis)) => millis.to_string(),
        TrimBefore::Time(TimeText::Text(text)) => text.clone(),
    };
    output::confirm(&format!("Drop all records of {topic}{place} before {before}?"), yes)?;
    let answer = client.trim(topic, body).await?;
    let rows: Vec<_> = answer
        .partitions
        .iter()
        .map(|trimmed| vec![trimmed.partition.to_string(), trimmed.start.to_string()])
        .collect();
    output::told(json, &answer, || output::table(&["PARTITION", "START"], &rows))
}

/// A time as the interface takes it: a number if it is one.
fn time_text(text: String) -> TimeText {
    text.parse().map_or(TimeText::Text(text), TimeText::Millis)
}

fn list(topics: &[TopicSummary]) -> Result<(), CliError> {
    let rows: Vec<_> = topics
        .iter()
        .map(|topic| {
            let mut row = vec![topic.name.clone(), topic.settings.partitions.to_string()];
            row.extend(settings_shown(topic));
            row
        })
        .collect();
    output::table(&["NAME", "PARTITIONS", "DURABILITY", "RETENTION", "RETENTION SIZE"], &rows)
}

fn settings_shown(topic: &TopicSummary) -> [String; 3] {
    let settings = &topic.settings;
    let durability = match settings.durability {
        DurabilityName::Synced => "synced",
        DurabilityName::Buffered => "buffered",
    };
    let time = settings.retention_ms.map(Duration::from_millis);
    [
        durability.to_owned(),
        time.map_or("for ever".to_owned(), value::print_duration),
        settings.retention_bytes.map_or("all".to_owned(), value::print_size),
    ]
}

fn summary(topic: &TopicSummary) -> String {
    let [durability, time, size] = settings_shown(topic);
    let keyed = if topic.settings.keyed { ", keyed" } else { "" };
    let largest = value::print_size(topic.settings.max_record_bytes.into());
    format!("{}: {durability}{keyed}, keeps {size} {time}, records up to {largest}", topic.name)
}

fn describe(description: &TopicDescription) -> Result<(), CliError> {
    output::line(&summary(&description.topic))?;
    let rows: Vec<_> = description
        .partition_list
        .iter()
        .map(|p| {
            let numbers = [p.partition.into(), p.start, p.tail, p.records, p.bytes, p.epoch.into()];
            numbers.iter().map(u64::to_string).collect()
        })
        .collect();
    output::table(&["PARTITION", "START", "TAIL", "RECORDS", "BYTES", "EPOCH"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_named_stays_and_none_takes_a_bound_away() {
        let settings = Settings {
            retention: Some(parse_retention("7d").unwrap()),
            retention_bytes: Some(parse_retention_bytes("none").unwrap()),
            max_record_bytes: None,
            durability: Some(DurabilityName::Buffered),
        };
        let expected = json!({
            "retention_ms": 604_800_000u64, "retention_bytes": null, "durability": "buffered"
        });
        assert_eq!(serde_json::to_value(settings.patch()).unwrap(), expected);
        assert!(parse_retention("7").is_err());
    }

    #[test]
    fn a_time_is_a_number_or_a_text() {
        let number = time_text("1517363399650".to_owned());
        assert_eq!(number, TimeText::Millis(1_517_363_399_650));
        let text = "2018-02-01T00:00:00Z".to_owned();
        assert_eq!(time_text(text.clone()), TimeText::Text(text));
    }
}
