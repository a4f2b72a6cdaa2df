//! One setting: how it is called in the file, the environment and on the
//! command line, how its value is read, and how it is written back. The list
//! of them is in `table`.

use super::value::{self, SIZE_FORMS, TIME_FORMS};
use super::{Config, EngineKind, LogFormat};
use crate::engine::kafka::{SaslMechanismConfig, SecretConfig};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Where a setting lies in [`Config`].
pub type Place<T> = fn(&mut Config) -> &mut T;

/// What a setting's value is, where it lies, and its bounds.
#[derive(Clone, Copy)]
pub enum Kind {
    /// An address and port.
    Address(Place<SocketAddr>),
    /// A directory or file.
    Path(Place<PathBuf>),
    /// Any text.
    Text(Place<String>),
    /// Any text, or none.
    Free(Place<String>),
    /// A file, or none.
    File(Place<PathBuf>),
    /// A password: from the environment alone, and never shown.
    Secret(Place<SecretConfig>),
    /// How to log in to Kafka.
    Sasl(Place<SaslMechanismConfig>),
    /// Texts: an array in the file, separated by commas elsewhere.
    List(Place<Vec<String>>),
    /// On or off.
    Flag(Place<bool>),
    /// Which engine.
    Engine(Place<EngineKind>),
    /// How logs look.
    Format(Place<LogFormat>),
    /// A number of things, with least and most.
    Count(Place<usize>, usize, usize),
    /// Bytes held in memory, with least and most.
    Memory(Place<usize>, u64, u64),
    /// Bytes, with least and most.
    Bytes(Place<u64>, u64, u64),
    /// A duration, with least and most in milliseconds.
    Time(Place<Duration>, u64, u64),
    /// A duration that is kept as milliseconds, with least and most.
    Millis(Place<u64>, u64, u64),
}

/// One setting.
pub struct Setting {
    /// Its name in the file, such as `http.max-connections`; flag and
    /// environment variable follow from it.
    pub key: &'static str,
    /// What it does, in one sentence, for `--help` and the README.
    pub help: &'static str,
    /// Value, place and bounds.
    pub kind: Kind,
    /// Whether only a flag may set it: what must not stay in a file.
    pub flag_only: bool,
}

impl Setting {
    /// The flag without its dashes: `http-max-connections`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key.replace('.', "-")
    }

    /// The environment variable: `TIDEGATE_HTTP_MAX_CONNECTIONS`.
    #[must_use]
    pub fn variable(&self) -> String {
        let name = self.key.replace(['.', '-'], "_").to_ascii_uppercase();
        format!("{}{name}", super::VARIABLES)
    }

    /// Whether its value is never to be seen.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret(_))
    }

    /// The group that it stands under in `--help`: what is before the dot.
    #[must_use]
    pub fn group(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(group, _)| group)
    }

    /// Reads `text` into `config`. The error says what is wrong and what is
    /// allowed; nothing is changed then.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        let bad = |allowed: &str| format!("{text:?} is not {allowed}");
        match self.kind {
            Kind::Address(place) => {
                let allowed = "an IP address and a port such as 127.0.0.1:8080 or [::1]:8080";
                *place(config) = text.parse().map_err(|_| bad(allowed))?;
            }
            Kind::Path(_) | Kind::Text(_) if text.is_empty() => {
                return Err("it is empty".to_owned());
            }
            Kind::Path(place) => *place(config) = PathBuf::from(text),
            Kind::Text(place) | Kind::Free(place) => text.clone_into(place(config)),
            Kind::File(place) => *place(config) = PathBuf::from(text),
            Kind::Secret(place) => *place(config) = SecretConfig(text.to_owned()),
            Kind::Sasl(place) => *place(config) = chosen(text, SASL)?,
            Kind::List(place) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                *place(config) = items.map(str::to_owned).collect();
            }
            Kind::Flag(place) => {
                *place(config) = text.parse().map_err(|_| bad("true or false"))?;
            }
            Kind::Engine(place) => *place(config) = chosen(text, EngineKind::ALL)?,
            Kind::Format(place) => *place(config) = chosen(text, LogFormat::ALL)?,
            Kind::Count(place, least, most) => {
                let got: usize = text.trim().parse().map_err(|_| bad("a whole number"))?;
                within(got, least, most, |n| n.to_string())?;
                *place(config) = got;
            }
            Kind::Memory(place, least, most) => {
                let got = size(text, least, most)?;
                *place(config) = usize::try_from(got).map_err(|_| bad(SIZE_FORMS))?;
            }
            Kind::Bytes(place, least, most) => *place(config) = size(text, least, most)?,
            Kind::Time(place, least, most) => {
                *place(config) = Duration::from_millis(millis(text, least, most)?);
            }
            Kind::Millis(place, least, most) => *place(config) = millis(text, least, most)?,
        }
        Ok(())
    }

    /// The value in `config` as TOML.
    #[must_use]
    pub fn written(&self, config: &Config) -> String {
        // The places hand out what may be changed; a copy has it to give.
        let config = &mut config.clone();
        match self.kind {
            Kind::Address(place) => value::quoted(&place(config).to_string()),
            Kind::Path(place) | Kind::File(place) => {
                value::quoted(&place(config).to_string_lossy())
            }
            Kind::Text(place) | Kind::Free(place) => value::quoted(place(config)),
            Kind::Secret(place) => {
                value::quoted(if place(config).0.is_empty() { "" } else { "***" })
            }
            Kind::Sasl(place) => value::quoted(place(config).name()),
            Kind::List(place) => {
                let items: Vec<_> = place(config).iter().map(|item| value::quoted(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Kind::Flag(place) => place(config).to_string(),
            Kind::Engine(place) => value::quoted(place(config).name()),
            Kind::Format(place) => value::quoted(place(config).name()),
            Kind::Count(place, ..) => place(config).to_string(),
            Kind::Memory(place, ..) => value::quoted(&value::print_size(*place(config) as u64)),
            Kind::Bytes(place, ..) => value::quoted(&value::print_size(*place(config))),
            Kind::Time(place, ..) => value::quoted(&value::print_duration(*place(config))),
            Kind::Millis(place, ..) => {
                value::quoted(&value::print_duration(Duration::from_millis(*place(config))))
            }
        }
    }

    /// What stands for the value in `--help`.
    #[must_use]
    pub fn placeholder(&self) -> &'static str {
        match self.kind {
            Kind::Address(_) => "ADDR",
            Kind::Path(_) => "DIR",
            Kind::Text(_) | Kind::Free(_) | Kind::Secret(_) => "TEXT",
            Kind::File(_) => "FILE",
            Kind::Sasl(_) => "MECHANISM",
            Kind::List(_) => "LIST",
            Kind::Flag(_) => "BOOL",
            Kind::Engine(_) => "ENGINE",
            Kind::Format(_) => "FORMAT",
            Kind::Count(..) => "COUNT",
            Kind::Memory(..) | Kind::Bytes(..) => "SIZE",
            Kind::Time(..) | Kind::Millis(..) => "TIME",
        }
    }
}

/// A value that is one of a few names.
pub trait Choice: Copy {
    /// Its name.
    fn name(&self) -> &'static str;
}

/// The ways to log in to Kafka.
const SASL: &[SaslMechanismConfig] = &[
    SaslMechanismConfig::None,
    SaslMechanismConfig::Plain,
    SaslMechanismConfig::ScramSha256,
    SaslMechanismConfig::ScramSha512,
];

impl Choice for SaslMechanismConfig {
    fn name(&self) -> &'static str {
        match self {
            SaslMechanismConfig::None => "none",
            SaslMechanismConfig::Plain => "plain",
            SaslMechanismConfig::ScramSha256 => "scram-sha-256",
            SaslMechanismConfig::ScramSha512 => "scram-sha-512",
        }
    }
}

fn chosen<T: Choice>(text: &str, all: &[T]) -> Result<T, String> {
    let names: Vec<_> = all.iter().map(Choice::name).collect();
    let found = all.iter().find(|choice| choice.name() == text);
    found.copied().ok_or_else(|| format!("{text:?} is not one of {}", names.join(", ")))
}

fn size(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let got = value::parse_size(text).ok_or_else(|| format!("{text:?} is not {SIZE_FORMS}"))?;
    within(got, least, most, value::print_size)?;
    Ok(got)
}

fn millis(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let got = value::parse_duration(text).ok_or_else(|| format!("{text:?} is not {TIME_FORMS}"))?;
    let got = u64::try_from(got.as_millis()).unwrap_or(u64::MAX);
    within(got, least, most, |ms| value::print_duration(Duration::from_millis(ms)))?;
    Ok(got)
}

fn within<T: PartialOrd>(
    got: T,
    least: T,
    most: T,
    print: impl Fn(T) -> String,
) -> Result<(), String> {
    if got < least || got > most {
        let (got, least, most) = (print(got), print(least), print(most));
        return Err(format!("{got} is out of bounds; allowed is {least} to {most}"));
    }
    Ok(())
}
