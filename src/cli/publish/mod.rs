//! `tidegate publish`: records from arguments, NDJSON, or a file as it is.

mod lines;

use super::{CliError, ServerArg, output, topic::parse_topic};
use crate::client::{Client, ClientError, PublishOptions};
use crate::domain::TopicName;
use crate::wire::PublishAnswer;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures_util::Stream;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lines::{LineForm, LineReader};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use std::{
    collections::BTreeMap,
    io::{IsTerminal, stderr, stdin},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncReadExt};

const EXAMPLES: &str = "\
Examples:
  tidegate publish orders '{\"id\":1}' '{\"id\":2}' --key customer-7
  tidegate publish notes --text 'plain words'
  tidegate publish quakes --file quakes.ndjson --key-field net --time-field time
  tidegate publish orders --file - --lines records < records.ndjson
  tidegate publish images --raw cat.png --content-type image/png --key cat

What comes from arguments is published as a whole or not at all. NDJSON is published in
turn, in any length: an error says how many lines are stored.";

/// How often the progress bar moves.
const REDRAW: Duration = Duration::from_millis(100);

/// Publish records: from arguments, NDJSON, or a file as it is.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PublishArgs {
    /// The topic.
    #[arg(value_parser = parse_topic)]
    topic: TopicName,
    /// One record each: JSON if it is JSON, else text.
    #[arg(conflicts_with_all = ["file", "raw"])]
    values: Vec<String>,
    /// NDJSON, a record a line; `-` reads standard input, as does a pipe without this.
    #[arg(long, value_name = "FILE", conflicts_with = "raw")]
    file: Option<PathBuf>,
    /// One file as one value; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    raw: Option<PathBuf>,
    /// What the lines of NDJSON are.
    #[arg(long, value_enum, default_value = "values")]
    lines: LineKind,
    /// The key of every record.
    #[arg(long, conflicts_with = "key_field")]
    key: Option<String>,
    /// Where in each value the key stands, such as customer.id.
    #[arg(long, value_name = "PATH")]
    key_field: Option<String>,
    /// Where in each value the time stands, as milliseconds since 1970.
    #[arg(long, value_name = "PATH")]
    time_field: Option<String>,
    /// The partition of every record; else it follows from the key.
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,
    /// A header of every record given as an argument; may be given again.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// Take arguments as text even if they are JSON.
    #[arg(long)]
    text: bool,
    /// What a --raw file is.
    #[arg(long, value_name = "TYPE", default_value = "application/octet-stream")]
    content_type: String,
    /// When to be answered, if not as the topic says.
    #[arg(long, value_parser = ["synced", "buffered"])]
    durability: Option<String>,
    /// Names this publish, so that a repeat of it does nothing; not for NDJSON.
    #[arg(long, value_name = "KEY", conflicts_with = "file")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    server: ServerArg,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// What a line of NDJSON is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LineKind {
    /// A record's value.
    Values,
    /// A whole record as the interface takes it, or as `read --format json` writes it.
    Records,
    /// Any text.
    Text,
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Publishes, and says where the records went.
pub async fn run(args: PublishArgs) -> Result<(), CliError> {
    let client = args.server.client()?;
    let options = PublishOptions {
        durability: args.durability.clone(),
        idempotency_key: args.idempotency_key.clone(),
    };
    if let Some(path) = &args.raw {
        return raw(&client, &args, path, &options).await;
    }
    let piped = args.file.is_none() && args.values.is_empty();
    if piped && stdin().is_terminal() {
        let asked = "name values, or --file, or --raw, or send NDJSON through a pipe".to_owned();
        return Err(CliError::Usage(asked));
    }
    if piped || args.file.is_some() {
        return stream(&client, &args, &options).await;
    }
    let body = body_of(&args)?;
    told(args.json, &client.publish(&args.topic, body, &options).await?)
}

fn body_of(args: &PublishArgs) -> Result<Vec<u8>, CliError> {
    if args.key_field.is_some() || args.time_field.is_some() {
        let asked = "--key-field and --time-field are for NDJSON; say --key".to_owned();
        return Err(CliError::Usage(asked));
    }
    let records: Result<Vec<_>, _> = args.values.iter().map(|text| record_of(args, text)).collect();
    let body =
        records.and_then(|records| serde_json::to_vec(&BTreeMap::from([("records", records)])));
    body.map_err(|error| CliError::io("writing JSON")(error.into()))
}

/// A record's fields as JSON text, so that values keep their digits.
type Record<'a> = BTreeMap<&'a str, Box<RawValue>>;

fn record_of(args: &PublishArgs, text: &str) -> serde_json::Result<Record<'static>> {
    let mut record = Record::new();
    let mut put = |name, value: Value| {
        record.insert(name, to_raw_value(&value)?);
        serde_json::Result::Ok(())
    };
    if let Some(key) = &args.key {
        put("key", json!(key))?;
    }
    if let Some(partition) = args.partition {
        put("partition", json!(partition))?;
    }
    if !args.headers.is_empty() {
        let list: Vec<_> = args
            .headers
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        put("headers", json!(list))?;
    }
    match RawValue::from_string(text.to_owned()) {
        Ok(value) if !args.text => {
            record.insert("value", value);
        }
        _ => put("text", json!(text))?,
    }
    Ok(record)
}

fn told(json: bool, answer: &PublishAnswer) -> Result<(), CliError> {
    if json {
        return output::json(answer);
    }
    let rows: Vec<_> = answer
        .records
        .iter()
        .map(|record| vec![record.partition.to_string(), record.offset.to_string()])
        .collect();
    output::table(&["PARTITION", "OFFSET"], &rows)?;
    if answer.repeated {
        output::line("published before, under the same idempotency key: nothing was done now")?;
    }
    Ok(())
}

async fn raw(
    client: &Client,
    args: &PublishArgs,
    path: &Path,
    options: &PublishOptions,
) -> Result<(), CliError> {
    let (mut source, _) = open(path).await?;
    let mut body = vec![];
    let read = source.read_to_end(&mut body).await;
    read.map_err(CliError::io(format!("reading {}", path.display())))?;
    let partition = args.partition.map(|number| number.to_string());
    let optional = [("key", &args.key), ("partition", &partition)];
    let query: Vec<_> =
        optional.iter().filter_map(|(name, text)| Some((*name, text.as_deref()?))).collect();
    let answer =
        client.publish_value(&args.topic, &args.content_type, &query, body, options).await?;
    told(args.json, &answer)
}

async fn stream(
    client: &Client,
    args: &PublishArgs,
    options: &PublishOptions,
) -> Result<(), CliError> {
    if args.idempotency_key.is_some() || !args.headers.is_empty() {
        let asked = "--idempotency-key and --header are not for NDJSON".to_owned();
        return Err(CliError::Usage(asked));
    }
    let path = args.file.clone().unwrap_or_else(|| "-".into());
    let (source, size) = open(&path).await?;
    let form = LineForm {
        kind: args.lines,
        key: args.key.clone(),
        key_field: args.key_field.clone(),
        time_field: args.time_field.clone(),
        partition: args.partition,
    };
    form.check().map_err(CliError::Usage)?;
    let bar = progress(size, "publishing");
    let begun = Instant::now();
    let body = chunks(LineReader::new(source, form, path.display().to_string()), bar.clone());
    let result = client.publish_stream(&args.topic, body, options).await;
    bar.finish_and_clear();
    let answer = result?;
    if args.json {
        return output::json(&answer);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rate = (answer.published as f64 / seconds.max(0.001)) as u64;
    output::line(&format!(
        "published {} records in {seconds:.1} s ({} a second)",
        HumanCount(answer.published),
        HumanCount(rate)
    ))
}

/// The body as it is sent, moving the bar as it is read.
fn chunks(
    reader: LineReader<Source>,
    bar: ProgressBar,
) -> impl Stream<Item = Result<Bytes, ClientError>> + Send + 'static {
    futures_util::stream::try_unfold(reader, move |mut reader| {
        let bar = bar.clone();
        async move {
            let chunk = reader.next().await.map_err(ClientError::Input)?;
            bar.set_position(reader.bytes_read());
            bar.set_message(format!("{} records", HumanCount(reader.lines_read())));
            Ok(chunk.map(|chunk| (chunk, reader)))
        }
    })
}

type Source = Box<dyn AsyncRead + Send + Unpin>;

/// Opens a file, or standard input for `-`; with its size if that is known.
async fn open(path: &Path) -> Result<(Source, Option<u64>), CliError> {
    if path == Path::new("-") {
        return Ok((Box::new(tokio::io::stdin()), None));
    }
    let failed = || CliError::io(format!("opening {}", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(failed())?;
    let about = file.metadata().await.map_err(failed())?;
    Ok((Box::new(file), about.is_file().then_some(about.len())))
}

/// A bar over bytes on a terminal; nothing in a pipe.
fn progress(size: Option<u64>, word: &'static str) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match size {
        Some(size) => (
            ProgressBar::new(size),
            "{prefix} {wide_bar} {bytes}/{total_bytes}  {msg}  {bytes_per_sec}  {eta}",
        ),
        None => (ProgressBar::no_length(), "{prefix} {spinner} {bytes}  {msg}  {bytes_per_sec}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_prefix(word);
    bar.enable_steady_tick(REDRAW);
    bar
}
