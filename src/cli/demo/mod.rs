//! `tidegate demo`: a gateway of its own, and a recorded week of earthquakes
//! published to it, faster than time.

mod events;
mod publisher;
mod screen;
mod store;

use super::{CliError, logging, output, serve, signals::Signals};
use crate::client::Client;
use crate::config::{Resolved, SettingFlags};
use crate::server::Server;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use events::Week;
use publisher::Speed;
use screen::Screen;
use std::net::TcpListener;
use store::Store;

const EXAMPLES: &str = "\
Examples:
  tidegate demo                            the week in three minutes
  tidegate demo --speed 60                 a minute in a second
  tidegate demo --speed 0 --once           as fast as it goes, and stop
  tidegate demo --data-dir ./quakes        keep the records; the next run goes on after them

Every setting of `tidegate serve` is accepted too.";

/// Start a gateway and publish a recorded week of earthquakes, faster than time.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// How many times faster than time; 0 is as fast as it goes.
    #[arg(long, value_name = "TIMES", default_value = "3600", value_parser = Speed::parse)]
    speed: Speed,
    /// Stop when the week is over, instead of serving on.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    settings: FewSettings,
}

/// All settings, of which help shows those that matter here.
#[derive(Debug)]
struct FewSettings(SettingFlags);

const SHOWN: [&str; 3] = ["listen", "data-dir", "engine"];

impl Args for FewSettings {
    fn augment_args(command: Command) -> Command {
        let all = SettingFlags::augment_args(Command::new(""));
        let hidden = |arg: &Arg| arg.clone().hide(!SHOWN.contains(&arg.get_id().as_str()));
        all.get_arguments().map(hidden).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FewSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        SettingFlags::from_arg_matches(matches).map(FewSettings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Starts, publishes, and serves on until a signal comes.
pub async fn run(args: DemoArgs) -> Result<(), CliError> {
    let mut resolved = args.settings.0.resolve()?;
    if args.settings.0.print {
        return output::line(crate::config::as_toml(&resolved).trim_end());
    }
    quiet_logs(&mut resolved);
    logging::start(&resolved.config.log)?;
    let week = Week::recorded()?;
    let store = Store::prepare(&mut resolved)?;
    find_port(&mut resolved)?;
    let mut signals = Signals::new()?;
    let server = serve::start(resolved.config, &mut signals).await?;
    let result = shown(&server, &week, &store, &args, &mut signals).await;
    let stopped = serve::stop(server, &mut signals).await;
    store.close()?;
    result.and(stopped)
}

/// What happens between the gateway's start and its stop.
async fn shown(
    server: &Server,
    week: &Week,
    store: &Store,
    args: &DemoArgs,
    signals: &mut Signals,
) -> Result<(), CliError> {
    let base = format!("http://{}", server.address());
    let client = Client::new(&base)?;
    screen::welcome(&base, store)?;
    let screen = Screen::new(week);
    let published = tokio::select! {
        result = publisher::publish(&client, week, args.speed, &screen) => Some(result),
        _ = signals.next() => None,
    };
    let Some(published) = published else {
        screen.interrupted();
        return Ok(());
    };
    screen.done(published?, args.once)?;
    if args.once {
        return Ok(());
    }
    tokio::select! {
        _ = signals.next() => Ok(()),
        failed = server.failed() => Err(CliError::Server(failed.to_string())),
    }
}

/// Warnings only, unless somebody asked for more: the screen is the show.
fn quiet_logs(resolved: &mut Resolved) {
    if !resolved.is_set("log.filter") {
        "warn".clone_into(&mut resolved.config.log.filter);
    }
}

/// Takes a free port when the usual one is taken, unless one was asked for.
fn find_port(resolved: &mut Resolved) -> Result<(), CliError> {
    let listen = &mut resolved.config.listen;
    if resolved.origins.contains_key("listen") || TcpListener::bind(*listen).is_ok() {
        return Ok(());
    }
    output::line(&format!("{listen} is taken: a free port is used instead\n"))?;
    listen.set_port(0);
    Ok(())
}
