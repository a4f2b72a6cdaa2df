//! The rules: each takes what was read of the sources and the tables of `tests/tidy.rs`, and
//! answers what breaks it, with a word on how to mend it. Rules know no file of the project.

use std::collections::BTreeSet;
use std::fmt;

use crate::source::{PathUse, Source};

/// One row of the room table.
pub struct Room {
    /// The folder or file under `src/`, without `.rs`.
    pub name: &'static str,
    pub may_use: &'static [Part],
}

/// How much of another room a room may use.
#[derive(Clone, Copy)]
pub enum Part {
    /// Everything it shows.
    All(&'static str),
    /// What tells of its failures: `error` modules and types called `…Error…`.
    Errors(&'static str),
    /// Its settings: `config` modules and types called `…Config`.
    Config(&'static str),
}

impl Part {
    pub fn room(self) -> &'static str {
        match self {
            Part::All(room) | Part::Errors(room) | Part::Config(room) => room,
        }
    }

    fn covers(self, rest: &[String]) -> bool {
        match self {
            Part::All(_) => true,
            Part::Errors(_) => rest
                .iter()
                .any(|name| name == "error" || name == "errors" || name.contains("Error")),
            Part::Config(_) => rest.iter().any(|name| name == "config" || name.ends_with("Config")),
        }
    }
}

/// A library, or a part of one, and the only rooms that may name it.
pub struct Library {
    pub path: &'static str,
    pub rooms: &'static [&'static str],
    /// Whether code that only tests compile is held to it too.
    pub in_tests: bool,
    /// Where to turn instead.
    pub mend: &'static str,
}

/// What breaks a rule, where, and how to mend it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub file: String,
    pub line: usize,
    pub what: String,
    pub mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}\n    mend: {}", self.file, self.line, self.what, self.mend)
    }
}

fn finding(source: &Source, line: usize, what: String, mend: &str) -> Finding {
    Finding { file: source.file.clone(), line, what, mend: mend.to_owned() }
}

pub fn unreadable(source: &Source) -> Vec<Finding> {
    let mend = "make it compile first; the other rules read nothing of it";
    source.fault.iter().map(|fault| finding(source, 1, format!("no Rust: {fault}"), mend)).collect()
}

pub fn long_functions(source: &Source, most: usize) -> Vec<Finding> {
    let mend =
        "give a part of it a name: one step, one function; a match over many cases becomes a table";
    let long = source.functions.iter().filter(|function| function.lines > most);
    long.map(|f| {
        let what = format!("`{}` has {} lines, {most} are the most", f.name, f.lines);
        finding(source, f.line, what, mend)
    })
    .collect()
}

pub fn long_file(source: &Source, most: usize) -> Vec<Finding> {
    let mend = "split it by what changes together; the file's `//!` head should need no \"and\"";
    let lines = source.text.lines().count();
    let what = || format!("{lines} lines, {most} are the most");
    (lines > most).then(|| finding(source, most + 1, what(), mend)).into_iter().collect()
}

pub fn missing_head(source: &Source) -> Vec<Finding> {
    let mend = "begin line 1 with `//!` and say what the file is for, and what it does not know";
    let told = source.text.lines().next().and_then(|line| line.strip_prefix("//!"));
    let empty = told.is_none_or(|words| words.trim().len() < 10);
    empty.then(|| finding(source, 1, "no `//!` head".to_owned(), mend)).into_iter().collect()
}

pub fn notes_to_self(source: &Source, words: &[&str]) -> Vec<Finding> {
    let mend = "do it now, or file it where work is planned; the sources tell what is, not what is to come";
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let parts = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        if let Some(word) = parts.into_iter().find(|part| words.contains(part)) {
            found.push(finding(source, index + 1, format!("a stray {word}"), mend));
        }
    }
    found
}

pub fn unfinished_macros(source: &Source, names: &[&str]) -> Vec<Finding> {
    let mend =
        "finish it, or answer with an error that the caller can act on; print through `tracing`";
    let left = source.macros.iter().filter(|call| names.contains(&call.text.as_str()));
    left.map(|call| finding(source, call.line, format!("`{}!` left behind", call.text), mend))
        .collect()
}

/// `allow` in any attribute, and `expect` without its reason.
pub fn silenced_lints(source: &Source) -> Vec<Finding> {
    let mend = "write `#[expect(lint, reason = \"…\")]`: it goes away with its cause, and says why";
    let mut found = Vec::new();
    for attribute in &source.attributes {
        let text = attribute.text.as_str();
        if text.starts_with("doc=") {
            continue;
        }
        let allows = text.starts_with("allow(") || text.contains(",allow(");
        let expects = text.starts_with("expect(") || text.contains(",expect(");
        if allows || (expects && !text.contains("reason=")) {
            found.push(finding(source, attribute.line, format!("a bare `#[{text}]`"), mend));
        }
    }
    found
}

pub fn boxed_errors(source: &Source) -> Vec<Finding> {
    let mend = "name the error: an enum with `thiserror` in this room, a variant for each thing a caller can do";
    let open = source.functions.iter().filter(|f| f.public && !f.in_test);
    let boxed = open.filter(|f| {
        f.signature.split("Box<dyn").skip(1).any(|rest| {
            let named = rest.split(['+', '>', ',']).next().unwrap_or(rest);
            named.ends_with("Error")
        })
    });
    boxed
        .map(|f| finding(source, f.line, format!("`{}` shows a `Box<dyn Error>`", f.name), mend))
        .collect()
}

/// The room a module lies in: the row with the longest name that leads to it.
pub fn room_of<'a>(rooms: &'a [Room], module: &[String]) -> Option<&'a Room> {
    let path = module.join("/");
    let inside = |room: &&Room| {
        path.strip_prefix(room.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    rooms.iter().filter(inside).max_by_key(|room| room.name.len())
}

/// What the file imports from rooms that its own row does not name.
pub fn strangers(source: &Source, rooms: &[Room], tests_may_use: &[&str]) -> Vec<Finding> {
    let Some(home) = home_of(source, rooms) else {
        let mend =
            "put it in a room, or give the room a row in the table, below all it may not know";
        return vec![finding(source, 1, "lies in no room of the table".to_owned(), mend)];
    };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for path in source.paths.iter().filter(|path| path.segments[0] == "crate") {
        let rest = &path.segments[1..];
        let Some(target) = room_of(rooms, rest) else {
            found.extend(roomless(source, path));
            continue;
        };
        let tests = path.in_test && tests_may_use.contains(&target.name);
        if tests
            || target.name == home.name
            || may_use(home, target, rest)
            || !seen.insert(target.name)
        {
            continue;
        }
        let what = format!(
            "`{}` uses `{}`, which its row does not name",
            home.name,
            path.segments.join("::")
        );
        found.push(finding(source, path.line, what, &mend_import(home, target)));
    }
    found
}

fn home_of<'a>(source: &Source, rooms: &'a [Room]) -> Option<&'a Room> {
    match source.file.as_str() {
        "src/main.rs" => rooms.iter().find(|room| room.name == "main"),
        "src/lib.rs" => rooms.iter().find(|room| room.name == "lib"),
        _ => room_of(rooms, &source.module()),
    }
}

fn may_use(home: &Room, target: &Room, rest: &[String]) -> bool {
    home.may_use.iter().any(|part| part.room() == target.name && part.covers(rest))
}

/// A path from `crate` to something that is in no room, such as an item of `lib.rs`.
fn roomless(source: &Source, path: &PathUse) -> Option<Finding> {
    let name = path.segments.get(1)?;
    // `main.rs` and `lib.rs` are the crate's root: what they declare themselves is theirs.
    let root = ["src/main.rs", "src/lib.rs"].contains(&source.file.as_str());
    let what = format!("`crate::{name}` is in no room of the table");
    let mend = "move it into the room whose words it speaks, and import it from there";
    (!root && name != "*").then(|| finding(source, path.line, what, mend))
}

fn mend_import(home: &Room, target: &Room) -> String {
    let partly = home.may_use.iter().find(|part| part.room() == target.name);
    match partly {
        Some(Part::Errors(room)) => {
            format!("only errors of `{room}` may be named here: convert the rest before it comes")
        }
        Some(Part::Config(room)) => format!("only the `Config` of `{room}` may be named here"),
        _ => format!(
            "move the code to a room that may know `{}`, or let a trait of a lower room say what is \
             needed and have `{}` take it as an argument",
            target.name, home.name
        ),
    }
}

/// Names of libraries outside the rooms that own them.
pub fn stray_libraries(source: &Source, rooms: &[Room], libraries: &[Library]) -> Vec<Finding> {
    let Some(home) = home_of(source, rooms) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for library in libraries {
        let at_home =
            |room: &&str| home.name == *room || home.name.starts_with(&format!("{room}/"));
        if library.rooms.iter().any(at_home) {
            continue;
        }
        let held =
            |path: &&PathUse| names(path, library.path) && (library.in_tests || !path.in_test);
        if let Some(path) = source.paths.iter().find(held) {
            let what = format!(
                "`{}` names `{}`, which belongs to {}",
                home.name,
                library.path,
                library.rooms.join(", ")
            );
            found.push(finding(source, path.line, what, library.mend));
        }
    }
    found
}

/// Libraries a room is kept free of, whoever else may use them.
pub fn barred_libraries(
    source: &Source,
    rooms: &[Room],
    barred: &[(&str, &[&str])],
) -> Vec<Finding> {
    let Some(home) = home_of(source, rooms) else {
        return Vec::new();
    };
    let here =
        barred.iter().filter(|(room, _)| *room == home.name).flat_map(|(_, names)| names.iter());
    let mend = "keep the decision here and hand what it needs in as an argument; the caller waits, sends and stores";
    here.filter_map(|library| {
        let path = source.paths.iter().find(|path| !path.in_test && names(path, library))?;
        Some(finding(source, path.line, format!("`{}` must not know `{library}`", home.name), mend))
    })
    .collect()
}

fn names(path: &PathUse, library: &str) -> bool {
    let mut segments = path.segments.iter();
    library.split("::").all(|part| segments.next().is_some_and(|segment| segment == part))
}
