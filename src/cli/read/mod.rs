//! `tidegate read`: records from anywhere, to the newest or on as they come.

mod format;
mod shown;

use super::{CliError, ServerArg, topic::parse_topic};
use crate::client::{ReadRequest, RecordStream, StreamItem};
use crate::domain::TopicName;
use clap::Args;
pub(super) use format::Format;
pub(super) use shown::Shown;

const EXAMPLES: &str = "\
Examples:
  tidegate read orders                                 all there is
  tidegate read orders --from last:10 --follow         the last ten of each partition, then as they come
  tidegate read orders --from time:2026-01-31T00:00:00Z
  tidegate read orders --from offset:42 --partition 0 --limit 5 --format value
  tidegate read orders --key customer-7                of one customer
  tidegate read orders --cursor AQEG…                  on from where an earlier read ended

Where the read ended is told on standard error, as a cursor for the next one.";

/// Read records: from anywhere, to the newest or on as they come.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReadArgs {
    /// The topics.
    #[arg(required = true, value_parser = parse_topic)]
    topics: Vec<TopicName>,
    /// Where to start: earliest, latest, last:N, offset:N (with one --partition), or
    /// time:T (RFC 3339, or milliseconds since 1970) [default: earliest, with --follow latest]
    #[arg(long, conflicts_with = "cursor")]
    from: Option<String>,
    /// Start where an earlier read ended.
    #[arg(long)]
    cursor: Option<String>,
    /// Only records with this key; may be given again.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Only this partition; may be given again.
    #[arg(long = "partition", value_name = "NUMBER")]
    partitions: Vec<u32>,
    /// At most so many records.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Go on at the newest record, until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// How records are shown [default: text on a terminal, else json]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Do not say where the read ended.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    server: ServerArg,
}

impl ReadArgs {
    fn request(&self) -> ReadRequest {
        let from = match (&self.from, &self.cursor) {
            (None, None) if self.follow => Some("latest".to_owned()),
            (from, _) => from.clone(),
        };
        ReadRequest {
            topics: self.topics.clone(),
            from,
            cursor: self.cursor.clone(),
            partitions: self.partitions.clone(),
            keys: self.keys.clone(),
            limit: self.limit,
            follow: self.follow,
            form: None,
        }
    }
}

/// Reads until the end, an error, Ctrl-C, or the output is closed.
pub async fn run(args: ReadArgs) -> Result<(), CliError> {
    let client = args.server.client()?;
    let mut cursor = None;
    let work = async {
        let mut stream = client.read(&args.request()).await?;
        let mut shown = Shown::new(args.format, args.topics.len() > 1);
        let result = follow(&mut stream, &mut shown, &mut cursor).await;
        // What came before an error is shown before it is told.
        shown.flush()?;
        result
    };
    let result = super::interruptible(work).await;
    if let (Some(cursor), false) = (cursor, args.quiet) {
        eprintln!("# the next read goes on with --cursor {cursor}");
    }
    result
}

async fn follow(
    stream: &mut RecordStream,
    shown: &mut Shown<'_>,
    cursor: &mut Option<String>,
) -> Result<(), CliError> {
    loop {
        let item = match stream.next_ready() {
            Some(item) => Some(item?),
            None => {
                // Nothing waits: what was written is for the reader to see.
                shown.flush()?;
                stream.next().await?
            }
        };
        match item {
            None => return Ok(()),
            Some(StreamItem::Record(line)) => shown.record(&line)?,
            Some(StreamItem::Cursor(at)) => *cursor = Some(at),
            Some(StreamItem::End(at)) => {
                if at.is_some() {
                    *cursor = at;
                }
            }
            Some(StreamItem::Lost(what)) => {
                shown.flush()?;
                eprintln!("# lost: {what}");
            }
        }
    }
}
