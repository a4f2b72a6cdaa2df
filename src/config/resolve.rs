//! Settings as written → settings as used: defaults, then the file, then the
//! environment, then flags. A pure function of these; every fault is found
//! before anything is opened or bound.

use super::fault::{Fault, Faults, Origin};
use super::file::SettingsFile;
use super::setting::Setting;
use super::table::SETTINGS;
use super::{Config, NOT_SETTINGS, VARIABLES, value};
use std::{collections::BTreeMap, path::PathBuf};

/// Everything that was written, by source.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The settings file, if there is one.
    pub file: Option<SettingsFile>,
    /// The process's environment: all of it.
    pub environment: Vec<(String, String)>,
    /// Flags: the setting's key and the text.
    pub flags: Vec<(&'static str, String)>,
}

/// Settings as used, and where each came from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The settings.
    pub config: Config,
    /// By key; one that is not there is a default.
    pub origins: BTreeMap<&'static str, Origin>,
}

impl Resolved {
    /// Where the setting `key` came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Whether anybody set `key`.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.origins.contains_key(key)
    }
}

/// Lays the sources over each other. Errors with all faults of all sources.
pub fn resolve(written: &Written) -> Result<Resolved, Faults> {
    let mut work = Work {
        resolved: Resolved { config: Config::default(), origins: BTreeMap::new() },
        faults: vec![],
    };
    if let Some(file) = &written.file {
        work.file(file);
    }
    work.environment(&written.environment);
    for (key, text) in &written.flags {
        work.flag(key, text);
    }
    let mut resolved = work.resolved;
    resolved.config.finish();
    let mut faults = work.faults;
    faults.extend(resolved.config.contradictions().into_iter().map(|(key, what)| {
        let origin = resolved.origin(key);
        Fault { origin, key: key.to_owned(), what }
    }));
    if faults.is_empty() { Ok(resolved) } else { Err(Faults(faults)) }
}

struct Work {
    resolved: Resolved,
    faults: Vec<Fault>,
}

impl Work {
    fn file(&mut self, file: &SettingsFile) {
        let (entries, faults) = file.entries();
        self.faults.extend(faults);
        for entry in entries {
            let origin = Origin::File(file.path.clone(), entry.line);
            match SETTINGS.iter().find(|setting| setting.key == entry.key) {
                Some(setting) => self.take(setting, origin, &entry.text),
                None => {
                    let what = format!("is not a setting{}", nearest(&entry.key, |s| s.key.into()));
                    self.fault(origin, &entry.key, what);
                }
            }
        }
    }

    fn environment(&mut self, variables: &[(String, String)]) {
        for (name, text) in variables {
            if !name.starts_with(VARIABLES) || NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            let origin = Origin::Environment(name.clone());
            match SETTINGS.iter().find(|setting| setting.variable() == *name) {
                Some(setting) => self.take(setting, origin, text),
                None => {
                    let what = format!("names no setting{}", nearest(name, Setting::variable));
                    self.fault(origin, "", what);
                }
            }
        }
    }

    fn flag(&mut self, key: &'static str, text: &str) {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
            self.put(setting, Origin::Flag(setting.flag()), text);
        }
    }

    fn take(&mut self, setting: &'static Setting, origin: Origin, text: &str) {
        if setting.flag_only {
            let what =
                format!("only the flag --{} may set it, so that it does not stay", setting.flag());
            return self.fault(origin, setting.key, what);
        }
        self.put(setting, origin, text);
    }

    fn put(&mut self, setting: &'static Setting, origin: Origin, text: &str) {
        if setting.is_secret() && !matches!(origin, Origin::Environment(_)) {
            let what = format!(
                "a password stands in {} or in a file of its own, never in a flag or here",
                setting.variable()
            );
            return self.fault(origin, setting.key, what);
        }
        match setting.set(&mut self.resolved.config, text) {
            Ok(()) => {
                self.resolved.origins.insert(setting.key, origin);
            }
            Err(what) => self.fault(origin, setting.key, what),
        }
    }

    fn fault(&mut self, origin: Origin, key: &str, what: String) {
        self.faults.push(Fault { origin, key: key.to_owned(), what });
    }
}

/// `; did you mean …?`, or nothing when no name is near.
fn nearest(name: &str, called: fn(&Setting) -> String) -> String {
    let names = SETTINGS.iter().map(called);
    let near = names.map(|known| (value::distance(name, &known), known)).min();
    match near {
        Some((edits, known)) if edits <= 1 + name.len() / 4 => format!("; did you mean `{known}`?"),
        _ => "; --print-config shows those there are".to_owned(),
    }
}

/// Which file is to be read: the flag's, else the environment's.
#[must_use]
pub fn file_named(flag: Option<PathBuf>, environment: &[(String, String)]) -> Option<PathBuf> {
    let variable = || environment.iter().find(|(name, _)| name == super::CONFIG_VARIABLE);
    flag.or_else(|| variable().map(|(_, path)| PathBuf::from(path)))
}
