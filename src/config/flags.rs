//! The settings as flags of a subcommand, made from the same table as the
//! file's keys and the environment's variables.

use super::fault::Faults;
use super::file::SettingsFile;
use super::resolve::{self, Resolved, Written};
use super::setting::Kind;
use super::table::SETTINGS;
use super::{CONFIG_VARIABLE, Config};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use std::{path::PathBuf, sync::LazyLock};

/// The flags' names, in the order of the table: clap keeps them by reference.
static NAMES: LazyLock<Vec<String>> =
    LazyLock::new(|| SETTINGS.iter().map(|setting| setting.flag()).collect());

/// What of the settings was given as flags.
#[derive(Clone, Debug, Default)]
pub struct SettingFlags {
    /// The settings file.
    pub file: Option<PathBuf>,
    /// Whether to show the settings instead of using them.
    pub print: bool,
    /// The setting's key, and the text.
    pub values: Vec<(&'static str, String)>,
}

impl SettingFlags {
    /// Reads file and environment, and lays these flags over them.
    pub fn resolve(&self) -> Result<Resolved, Faults> {
        let environment: Vec<_> = std::env::vars_os()
            .filter_map(|(name, text)| {
                Some((name.into_string().ok()?, text.to_string_lossy().into()))
            })
            .collect();
        let path = resolve::file_named(self.file.clone(), &environment);
        let file = path.map(|path| SettingsFile::read(&path)).transpose();
        let (file, unread) = match file {
            Ok(file) => (file, None),
            Err(fault) => (None, Some(fault)),
        };
        let written = Written { file, environment, flags: self.values.clone() };
        match (resolve::resolve(&written), unread) {
            (resolved, None) => resolved,
            (Ok(_), Some(fault)) => Err(Faults(vec![fault])),
            (Err(mut faults), Some(fault)) => {
                faults.0.insert(0, fault);
                Err(faults)
            }
        }
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let defaults = Config::default();
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("The settings file, TOML [env: {CONFIG_VARIABLE}]"));
        let print = Arg::new("print-config")
            .long("print-config")
            .action(ArgAction::SetTrue)
            .help("Print the settings as used, as TOML with where each comes from, and stop");
        let own = command.arg(file.help_heading("Settings")).arg(print.help_heading("Settings"));
        SETTINGS.iter().zip(NAMES.iter()).fold(own, |command, (setting, name)| {
            let mut help = setting.help.to_owned();
            if !setting.flag_only {
                help.push_str(&format!(" [env: {}]", setting.variable()));
            }
            let value = setting.written(&defaults);
            if !matches!(value.as_str(), "false" | "[]" | "\"\"") {
                help.push_str(&format!(" [default: {}]", value.trim_matches('"')));
            }
            let arg = Arg::new(setting.key)
                .long(name.as_str())
                .help(help)
                .help_heading(heading(setting.group()))
                .value_name(setting.placeholder());
            command.arg(match setting.kind {
                Kind::Flag(_) => {
                    arg.num_args(0..=1).require_equals(true).default_missing_value("true")
                }
                _ => arg,
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = SettingFlags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one("config").cloned();
        self.print = matches.get_flag("print-config");
        let given = SETTINGS.iter().filter_map(|setting| {
            Some((setting.key, matches.get_one::<String>(setting.key)?.clone()))
        });
        self.values = given.collect();
        Ok(())
    }
}

fn heading(group: &str) -> &'static str {
    match group {
        "http" => "Connections",
        "limits" => "Limits",
        "sled" => "Store",
        "kafka" => "Kafka",
        "log" => "Logs",
        _ => "Settings",
    }
}
