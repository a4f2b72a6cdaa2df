//! The settings file: TOML, taken apart into `key = text` with its line. What
//! the keys mean is not known here.

use super::fault::{Fault, Origin};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// One value of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The dotted key.
    pub key: String,
    /// The value as a flag would give it.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

/// A file's path and text, read by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsFile {
    /// Where it lies, for messages.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl SettingsFile {
    /// Reads the file at `path`. The fault says why it could not be.
    pub fn read(path: &Path) -> Result<SettingsFile, Fault> {
        let text = std::fs::read_to_string(path).map_err(|error| Fault {
            origin: Origin::Flag("config".to_owned()),
            key: String::new(),
            what: format!("{} cannot be read: {error}", path.display()),
        })?;
        Ok(SettingsFile { path: path.to_owned(), text })
    }

    /// Every value in the order of the lines, and every fault of the syntax.
    #[must_use]
    pub fn entries(&self) -> (Vec<Entry>, Vec<Fault>) {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        let mut walk = Walk { file: self, entries: vec![], faults: vec![] };
        walk.table("", table.get_ref());
        for error in errors {
            let line = self.line(error.span().map_or(0, |span| span.start));
            walk.fault(line, "", format!("not TOML: {}", error.message()));
        }
        walk.entries.sort_by_key(|entry| entry.line);
        (walk.entries, walk.faults)
    }

    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        before.filter(|byte| **byte == b'\n').count() + 1
    }
}

struct Walk<'a> {
    file: &'a SettingsFile,
    entries: Vec<Entry>,
    faults: Vec<Fault>,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = match prefix {
                "" => name.get_ref().to_string(),
                _ => format!("{prefix}.{}", name.get_ref()),
            };
            let line = self.file.line(name.span().start);
            match value.get_ref() {
                DeValue::Table(inner) => self.table(&key, inner),
                other => match text_of(other) {
                    Ok(text) => self.entries.push(Entry { key, text, line }),
                    Err(what) => self.fault(line, &key, what),
                },
            }
        }
    }

    fn fault(&mut self, line: usize, key: &str, what: String) {
        let origin = Origin::File(self.file.path.clone(), line);
        self.faults.push(Fault { origin, key: key.to_owned(), what });
    }
}

fn text_of(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(on) => Ok(on.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().replace('_', "")),
        DeValue::Integer(_) => Err("write the number in decimal".to_owned()),
        DeValue::Array(items) => {
            let texts: Result<Vec<_>, _> =
                items.iter().map(|item| text_of(item.get_ref())).collect();
            Ok(texts?.join(","))
        }
        DeValue::Float(_) => Err("no setting is a number with a point".to_owned()),
        DeValue::Datetime(_) => Err("no setting is a date".to_owned()),
        DeValue::Table(_) => Err("no setting is a list of tables".to_owned()),
    }
}
