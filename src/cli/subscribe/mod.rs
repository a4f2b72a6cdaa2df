//! `tidegate subscribe`: records as they come, over WebSocket; alone, or as a
//! member of a group.

mod member;

use super::{
    CliError, ServerArg,
    group::{parse_group, parse_member},
    read::{Format, Shown},
    topic::parse_topic,
};
use crate::client::{LiveItem, LiveReader, SubscribeRequest};
use crate::config::value;
use crate::domain::{Cursor, GroupName, MemberId, StartAt, TopicName};
use crate::wire::parse_start;
use clap::Args;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  tidegate subscribe orders                            what comes from now on
  tidegate subscribe orders invoices --from last:10    the last ten of each partition, then as they come
  tidegate subscribe orders --key customer-7 --from earliest
  tidegate subscribe orders --count 5 --format value   the next five values
  tidegate subscribe orders --cursor AQEG…             on from where an earlier reader was
  tidegate subscribe orders --group billing            a share of it, and commits what was shown
  tidegate subscribe orders --group billing --member-id worker-1

A connection that is lost is made again, and goes on where it was: no record is missing and none
comes twice. Where the subscription ended is told on standard error, as a cursor for the next one,
which `tidegate read` takes as well.

With --group the partitions are shared with the group's other members, and what was shown is
committed: each record is shown at least once, by one of them. A member that comes back with the
same --member-id within its session's time keeps its partitions. Ctrl-C commits and leaves.";

/// Subscribe over WebSocket, through lost connections.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SubscribeArgs {
    /// The topics.
    #[arg(required = true, value_parser = parse_topic)]
    topics: Vec<TopicName>,
    /// Where to start: earliest, latest, last:N, offset:N (with one --partition), or
    /// time:T (RFC 3339, or milliseconds since 1970) [default: latest]. With --group only
    /// earliest or latest, where the group has no commit [default: earliest]
    #[arg(long, conflicts_with = "cursor", value_parser = parse_from)]
    from: Option<StartAt>,
    /// Start where an earlier reader was.
    #[arg(long, value_parser = parse_cursor)]
    cursor: Option<Cursor>,
    /// Only records with this key; may be given again.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Only this partition; may be given again.
    #[arg(long = "partition", value_name = "NUMBER")]
    partitions: Vec<u32>,
    /// Share the topics with the other members of this group, and commit what was shown.
    #[arg(long, value_name = "NAME", value_parser = parse_group,
        conflicts_with_all = ["cursor", "keys", "partitions"])]
    group: Option<GroupName>,
    /// Who this is, to come back as the same member; one is made up otherwise.
    #[arg(long, value_name = "ID", value_parser = parse_member, requires = "group")]
    member_id: Option<MemberId>,
    /// How long it may be away before others take over, such as 30s.
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "group")]
    session_timeout: Option<Duration>,
    /// End after so many records.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How records are shown [default: text on a terminal, else json]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Say nothing of connections and cursors.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    server: ServerArg,
}

fn parse_from(text: &str) -> Result<StartAt, String> {
    parse_start(text).map_err(|problem| problem.detail)
}

fn parse_time(text: &str) -> Result<Duration, String> {
    value::parse_duration(text).ok_or_else(|| format!("write {}", value::TIME_FORMS))
}

fn parse_cursor(text: &str) -> Result<Cursor, String> {
    Cursor::decode(text).map_err(|error| error.to_string())
}

/// Shows records until there are enough, an error, Ctrl-C, or the output is
/// closed.
pub async fn run(args: SubscribeArgs) -> Result<(), CliError> {
    if let Some(group) = &args.group {
        return member::run(&args, group).await;
    }
    let mut reader = args.server.client()?.subscribe(SubscribeRequest {
        topics: args.topics.clone(),
        start: args.from,
        cursor: args.cursor.clone(),
        partitions: args.partitions.clone(),
        keys: args.keys.clone(),
    });
    let work = async {
        let mut shown = Shown::new(args.format, args.topics.len() > 1);
        let result = follow(&mut reader, &mut shown, &args).await;
        // What came before an error is shown before it is told.
        shown.flush()?;
        result
    };
    let result = super::interruptible(work).await;
    if let (Some(cursor), false) = (reader.cursor(), args.quiet || args.count.is_some()) {
        eprintln!("# the next one goes on with --cursor {}", cursor.encode());
    }
    result
}

async fn follow(
    reader: &mut LiveReader,
    shown: &mut Shown<'_>,
    args: &SubscribeArgs,
) -> Result<(), CliError> {
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let item = match reader.next_ready() {
            Some(item) => item,
            None => {
                // Nothing waits: what was written is for the reader to see.
                shown.flush()?;
                reader.next().await?
            }
        };
        if let LiveItem::Record(line) = item {
            shown.record(&line)?;
            left -= 1;
            continue;
        }
        if let Some(told) = told(item).filter(|_| !args.quiet) {
            shown.flush()?;
            eprintln!("# {told}");
        }
    }
    Ok(())
}

/// What is said of an item that is no record.
fn told(item: LiveItem) -> Option<String> {
    match item {
        LiveItem::Record(_) => None,
        LiveItem::Lost(what) => Some(format!("lost: {what}")),
        LiveItem::Lagging(behind) => Some(format!("{behind} records behind")),
        LiveItem::Reconnecting(why) => {
            Some(format!("the connection was lost: {why}; trying again"))
        }
        LiveItem::Resumed => Some("connected again".to_owned()),
    }
}
