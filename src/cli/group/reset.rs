//! `tidegate group reset`: where a group is moved to, what that does, and the
//! question before it.

use super::parse_group;
use crate::cli::{CliError, output, topic};
use crate::client::Client;
use crate::domain::{GroupName, StartAt, TopicName};
use crate::wire::{
    CommitEntry, GroupDetails, GroupPartitionInfo, ResetAnswer, ResetBody, ResetPartition,
    ResetWord, TimeText, parse_start,
};
use clap::Args;

/// Move a group without members to another place: what lies behind it comes again.
#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    /// The group.
    #[arg(value_parser = parse_group)]
    group: GroupName,
    /// earliest, latest, time:T (RFC 3339, or milliseconds since 1970), or offset:N
    #[arg(long, value_name = "PLACE", value_parser = parse_place)]
    to: Place,
    /// Only in this topic, also if the group has committed nothing there; may be given again
    /// [default: where it has committed]
    #[arg(long = "topic", value_name = "TOPIC", value_parser = topic::parse_topic)]
    topics: Vec<TopicName>,
    /// Only this partition, of one --topic; may be given again.
    #[arg(long = "partition", value_name = "NUMBER", requires = "topics")]
    partitions: Vec<u32>,
    /// Show what it would do, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Earliest,
    Latest,
    Time(u64),
    Offset(u64),
}

fn parse_place(text: &str) -> Result<Place, String> {
    match parse_start(text).map_err(|problem| problem.detail)? {
        StartAt::Earliest => Ok(Place::Earliest),
        StartAt::Latest => Ok(Place::Latest),
        StartAt::Time(time) => u64::try_from(time.millis())
            .map(Place::Time)
            .map_err(|_| "there are no records before 1970".to_owned()),
        StartAt::Offset(offset) => Ok(Place::Offset(offset.0)),
        StartAt::Last(_) => Err("write earliest, latest, time:T or offset:N".to_owned()),
    }
}

impl ResetArgs {
    fn check(&self) -> Result<(), CliError> {
        let usage = |text: &str| Err(CliError::Usage(text.to_owned()));
        if !self.partitions.is_empty() && self.topics.len() != 1 {
            return usage("--partition goes with one --topic");
        }
        if matches!(self.to, Place::Offset(_)) && self.partitions.is_empty() {
            return usage("an offset is one of a partition: name it with --topic and --partition");
        }
        Ok(())
    }

    /// The request that moves whole topics, or only tells.
    fn body(&self, dry_run: bool) -> ResetBody {
        let (to, time) = match self.to {
            Place::Latest => (ResetWord::Latest, None),
            Place::Time(millis) => (ResetWord::Time, Some(TimeText::Millis(millis))),
            Place::Earliest | Place::Offset(_) => (ResetWord::Earliest, None),
        };
        let topics = self.topics.iter().map(TopicName::to_string).collect::<Vec<_>>();
        let topics = Some(topics).filter(|topics| !topics.is_empty());
        ResetBody { to, time, offsets: None, topics, dry_run }
    }

    /// The request that moves these partitions alone.
    fn places(&self, entries: Vec<CommitEntry>, dry_run: bool) -> ResetBody {
        let (to, offsets) = (ResetWord::Offsets, Some(entries));
        ResetBody { to, time: None, offsets, topics: None, dry_run }
    }

    /// The requests to ask what would be: the one that is made in the end.
    async fn request(&self, client: &Client) -> Result<ResetBody, CliError> {
        let Some(topic) = self.topics.first().filter(|_| !self.partitions.is_empty()) else {
            return Ok(self.body(true));
        };
        let entry = |partition: u32, offset: u64, epoch: Option<u32>| CommitEntry {
            topic: topic.to_string(),
            partition,
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            epoch,
            metadata: None,
        };
        if let Place::Offset(offset) = self.to {
            let entries = self.partitions.iter().map(|id| entry(*id, offset, None));
            return Ok(self.places(entries.collect(), true));
        }
        // Where the place lies in these partitions, the gateway knows.
        let all = client.reset_group(&self.group, &self.body(true)).await?;
        let mut entries = vec![];
        for id in &self.partitions {
            let place = all.partitions.iter().find(|place| place.partition == *id);
            let place = place
                .ok_or_else(|| CliError::Usage(format!("topic {topic} has no partition {id}")))?;
            entries.push(entry(*id, place.to, Some(place.epoch)));
        }
        Ok(self.places(entries, true))
    }
}

/// Shows what the move does; asks, and makes it.
pub(super) async fn run(client: &Client, args: &ResetArgs, json: bool) -> Result<(), CliError> {
    args.check()?;
    let mut body = args.request(client).await?;
    let would = client.reset_group(&args.group, &body).await?;
    // Of a group that has committed nothing nothing can be told.
    let group = client.group(&args.group).await.ok();
    if args.dry_run || would.partitions.is_empty() {
        return output::told(json, &would, || show(&would, group.as_ref()));
    }
    if !args.yes {
        show(&would, group.as_ref())?;
    }
    let question =
        format!("Move group {} in {} partitions, as shown?", args.group, would.partitions.len());
    output::confirm(&question, args.yes)?;
    body.dry_run = false;
    let did = client.reset_group(&args.group, &body).await?;
    output::told(json, &did, || show(&did, group.as_ref()))
}

fn show(answer: &ResetAnswer, group: Option<&GroupDetails>) -> Result<(), CliError> {
    if answer.partitions.is_empty() {
        return output::line("nothing to move: the group has committed nothing; name a --topic");
    }
    let rows: Vec<_> = answer.partitions.iter().map(|moved| row(moved, group)).collect();
    output::table(&["TOPIC", "PARTITION", "FROM", "TO", "EFFECT"], &rows)
}

fn row(moved: &ResetPartition, group: Option<&GroupDetails>) -> Vec<String> {
    let known = group.and_then(|group| {
        let same =
            |p: &&GroupPartitionInfo| p.topic == moved.topic && p.partition == moved.partition;
        group.partitions.iter().find(same)
    });
    let from = moved.from.map_or("-".to_owned(), |from| from.to_string());
    let effect = effect(moved.from, moved.to, known.map(|p| p.start));
    vec![moved.topic.clone(), moved.partition.to_string(), from, moved.to.to_string(), effect]
}

/// What a move means for records. Those before the earliest that is kept do not
/// come again.
fn effect(from: Option<u64>, to: u64, start: Option<u64>) -> String {
    match from {
        None => "first commit".to_owned(),
        Some(from) if to > from => {
            format!("{} are passed over", to - from.max(start.unwrap_or(0)).min(to))
        }
        Some(from) if to < from => format!("{} come again", from - to),
        Some(_) => "stays".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ResetArgs,
    }

    fn parsed(words: &str) -> ResetArgs {
        Line::try_parse_from(["x"].into_iter().chain(words.split(' '))).ok().unwrap().args
    }

    #[test]
    fn a_reset_is_written_as_the_interface_takes_it() {
        let args = parsed("g --to time:2018-02-01T00:00:00Z --topic a --topic b");
        let expected = json!({
            "to": "time", "time": 1_517_443_200_000u64, "topics": ["a", "b"], "dry_run": true
        });
        assert_eq!(serde_json::to_value(args.body(true)).unwrap(), expected);
        let args = parsed("g --to latest --yes");
        let expected = json!({"to": "latest", "dry_run": false});
        assert_eq!(serde_json::to_value(args.body(false)).unwrap(), expected);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for words in ["g --to offset:3", "g --to offset:3 --topic a"] {
            assert!(matches!(parsed(words).check(), Err(CliError::Usage(_))), "{words}");
        }
        let words = "g --to earliest --topic a --topic b --partition 0";
        assert!(matches!(parsed(words).check(), Err(CliError::Usage(_))));
        assert!(parsed("g --to offset:3 --topic a --partition 0").check().is_ok());
        for place in ["last:3", "7", "offset:x"] {
            assert!(parse_place(place).is_err(), "{place}");
        }
    }

    #[test]
    fn the_effect_is_counted_in_records() {
        assert_eq!(effect(Some(10), 0, Some(0)), "10 come again");
        assert_eq!(effect(Some(10), 30, Some(0)), "20 are passed over");
        assert_eq!(effect(Some(10), 30, Some(25)), "5 are passed over");
        assert_eq!(effect(Some(10), 10, None), "stays");
        assert_eq!(effect(None, 10, None), "first commit");
    }
}
