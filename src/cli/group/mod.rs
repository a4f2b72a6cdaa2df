//! `tidegate group`: what there is to do with consumer groups as a whole.

mod reset;
mod tables;

use super::{CliError, ServerArg, output};
use crate::client::Client;
use crate::domain::{GroupName, MemberId};
use crate::wire::GroupDetails;
use clap::{Args, Subcommand};
use std::collections::BTreeMap;

const EXAMPLES: &str = "\
Examples:
  tidegate group list
  tidegate group describe billing                      members, what each holds, and how far it is
  tidegate group lag billing --json                    records still to be processed
  tidegate group reset billing --to earliest --topic orders --dry-run
  tidegate group reset billing --to time:2026-01-31T00:00:00Z --yes
  tidegate group reset billing --to offset:42 --topic orders --partition 0 --yes
  tidegate group delete billing

Only a group without members can be moved or deleted. `tidegate subscribe TOPIC --group NAME` is a
member of one.";

/// List, describe, move and delete consumer groups; tell how far behind they are.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct GroupArgs {
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
    /// List groups.
    List {
        /// Only those whose names begin like this.
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Show a group's members, what each holds, and how far it has come.
    Describe {
        /// The group.
        #[arg(value_parser = parse_group)]
        group: GroupName,
    },
    /// Tell how many records a group has still to process, by topic.
    Lag {
        /// The group.
        #[arg(value_parser = parse_group)]
        group: GroupName,
    },
    /// Move a group without members to another place: what lies behind it comes again.
    Reset(reset::ResetArgs),
    /// Delete a group without members, and what it committed.
    Delete {
        /// The group.
        #[arg(value_parser = parse_group)]
        group: GroupName,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

pub(super) fn parse_group(text: &str) -> Result<GroupName, String> {
    GroupName::new(text).map_err(|error| error.to_string())
}

pub(super) fn parse_member(text: &str) -> Result<MemberId, String> {
    MemberId::new(text).map_err(|error| error.to_string())
}

/// Does what was asked.
pub async fn run(args: GroupArgs) -> Result<(), CliError> {
    let client = args.server.client()?;
    match args.action {
        Action::List { prefix } => {
            let groups = client.groups(&prefix).await?;
            output::told(args.json, &groups, || tables::list(&groups))
        }
        Action::Describe { group } => {
            let found = client.group(&group).await?;
            output::told(args.json, &found, || tables::describe(&found))
        }
        Action::Lag { group } => {
            let lag = Lag::of(&client.group(&group).await?);
            output::told(args.json, &lag, || tables::lag(&lag))
        }
        Action::Reset(reset) => reset::run(&client, &reset, args.json).await,
        Action::Delete { group, yes } => delete(&client, &group, yes, args.json).await,
    }
}

async fn delete(client: &Client, group: &GroupName, yes: bool, json: bool) -> Result<(), CliError> {
    let found = client.group(group).await?;
    let commits = found.partitions.iter().filter(|p| p.commit.is_some()).count();
    let question = format!("Delete group {group} with what it committed in {commits} partitions?");
    output::confirm(&question, yes)?;
    client.delete_group(group).await?;
    output::told(json, &found, || output::line(&format!("{group} deleted")))
}

/// How far behind a group is.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Lag {
    group: String,
    /// Records still to be processed, where something was committed.
    lag: u64,
    topics: BTreeMap<String, TopicLag>,
}

/// How far behind it is in one topic.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
struct TopicLag {
    lag: u64,
    /// The largest of one partition.
    largest: u64,
    partitions: u64,
    /// Partitions in which nothing was committed: of these no lag is known.
    without_commit: u64,
}

impl Lag {
    fn of(group: &GroupDetails) -> Lag {
        let mut topics: BTreeMap<String, TopicLag> = BTreeMap::new();
        for partition in &group.partitions {
            let topic = topics.entry(partition.topic.clone()).or_default();
            topic.partitions += 1;
            match partition.lag {
                Some(lag) => {
                    topic.lag += lag;
                    topic.largest = topic.largest.max(lag);
                }
                None => topic.without_commit += 1,
            }
        }
        Lag { group: group.group.clone(), lag: group.lag, topics }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lag_is_summed_by_topic_and_what_is_not_known_is_told() {
        let partition = |topic: &str, partition: u32, lag: Option<u64>| {
            json!({"topic": topic, "partition": partition, "start": 0, "tail": 9, "commit": lag.map(|lag| 9 - lag),
                "epoch": null, "metadata": null, "lag": lag, "member_id": null})
        };
        let details = json!({
            "group": "g", "state": "empty", "generation": 3, "lag": 12, "expires": 1, "members": [],
            "partitions": [partition("a", 0, Some(9)), partition("a", 1, Some(1)), partition("b", 0, None), partition("b", 1, Some(2))]
        });
        let lag = Lag::of(&serde_json::from_value(details).unwrap());
        let a = TopicLag { lag: 10, largest: 9, partitions: 2, without_commit: 0 };
        let b = TopicLag { lag: 2, largest: 2, partitions: 2, without_commit: 1 };
        let topics = BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        assert_eq!(lag, Lag { group: "g".to_owned(), lag: 12, topics });
    }
}
