//! Holds the style of the sources: how long files and functions are, that each file says what it
//! is for, which room may know which, and which library belongs to which room. The tables below
//! are the law that `src/ARCHITECTURE.md` explains; change both together.

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/snippets.rs"]
mod snippets;
#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rules::Part::{All, Config, Errors};
use rules::{Finding, Library, Part, Room};
use source::Source;

const MOST_LINES_IN_A_FUNCTION: usize = 70;
const MOST_LINES_IN_A_FILE: usize = 500;

/// From the ground up: a room may use only rows above its own, and of those only what it names.
/// A room's own modules may use each other. The longest name that fits a file is its room.
const ROOMS: &[Room] = &[
    room("domain", &[]),
    room("runtime", &[]),
    room("engine", &[All("domain")]),
    room("engine/memory", &[All("domain"), All("engine")]),
    room("engine/sled", &[All("domain"), All("engine"), All("runtime")]),
    room("engine/kafka", &[All("domain"), All("engine"), All("runtime")]),
    room("auth", &[All("domain"), All("runtime")]),
    room("group", &[All("domain"), All("runtime"), All("engine")]),
    room("broker", &[All("domain"), All("runtime"), All("engine"), All("group"), All("auth")]),
    room(
        "wire",
        &[
            All("domain"),
            Errors("runtime"),
            Errors("engine"),
            Errors("auth"),
            Errors("group"),
            Errors("broker"),
        ],
    ),
    room("session", &[All("domain"), All("runtime"), All("broker"), All("wire")]),
    room(
        "http",
        &[
            All("domain"),
            All("runtime"),
            All("engine"),
            All("auth"),
            All("group"),
            All("broker"),
            All("wire"),
            All("session"),
        ],
    ),
    room("client", &[All("domain"), All("wire")]),
    room(
        "config",
        &[
            All("domain"),
            Config("runtime"),
            Config("engine"),
            Config("engine/memory"),
            Config("engine/sled"),
            Config("engine/kafka"),
            Config("auth"),
            Config("group"),
            Config("broker"),
            Config("session"),
            Config("http"),
            Config("client"),
        ],
    ),
    // The composition: the only place that names the engines.
    room(
        "server",
        &[
            All("domain"),
            All("runtime"),
            All("engine"),
            All("engine/memory"),
            All("engine/sled"),
            All("engine/kafka"),
            All("auth"),
            All("group"),
            All("broker"),
            All("wire"),
            All("session"),
            All("http"),
            All("client"),
            All("config"),
        ],
    ),
    room("cli", CLI),
    // Reads a store's files while no server does, so it knows the engine that wrote them.
    room(
        "cli/check",
        &[
            All("domain"),
            All("runtime"),
            All("engine"),
            All("engine/sled"),
            All("config"),
            All("cli"),
        ],
    ),
    room("lib", &[]),
    room("main", &[All("cli"), All("config"), All("runtime"), All("server")]),
];

/// Everything but the engines' insides.
const CLI: &[Part] = &[
    All("domain"),
    All("runtime"),
    All("engine"),
    All("auth"),
    All("group"),
    All("broker"),
    All("wire"),
    All("session"),
    All("http"),
    All("client"),
    All("config"),
    All("server"),
    All("cli/check"),
];

/// The only look down the table: `cli` calls its own `check`, which has a row of its own.
const OWN_PARTS: &[(&str, &str)] = &[("cli", "cli/check")];

/// Rooms that any code compiled only for tests may use: the reference engine is everyone's double,
/// and the groups over it.
const TESTS_MAY_USE: &[&str] = &["engine/memory", "group"];

/// The only rooms that may name a library or a part of one.
const LIBRARIES: &[Library] = &[
    task("tokio::spawn"),
    task("tokio::task::spawn"),
    task("tokio::task::spawn_local"),
    task("tokio::runtime::Handle::spawn"),
    task("std::thread::spawn"),
    task("std::thread::Builder"),
    library("prometheus", &["runtime"], "count through the metric handles of `runtime`"),
    library("sled", &["engine/sled"], "speak to the engine's traits"),
    library("rdkafka", &["engine/kafka"], "speak to the engine's traits"),
    library("jsonwebtoken", &["auth"], "ask `auth` for the principal"),
    library("axum", &["http"], TRANSPORT),
    library("tower", &["http"], TRANSPORT),
    library("tower_http", &["http"], TRANSPORT),
    library("hyper", &["http"], TRANSPORT),
    library("hyper_util", &["http"], TRANSPORT),
    library("tokio_tungstenite", &["http", "client"], TRANSPORT),
    library("utoipa", &["wire", "http"], "describe shapes in `wire`, paths in `http`"),
    library("utoipa_axum", &["http"], TRANSPORT),
    library("utoipa_swagger_ui", &["http"], TRANSPORT),
    library("reqwest", &["client", "auth"], "call through `client`"),
    library("tokio_tungstenite", &["http", "client"], TRANSPORT),
    library("flate2", &["wire", "session"], "let `wire` pack what is shared"),
    library("clap", &["config", "cli", "main"], SETTINGS),
    library("toml", &["config", "cli", "main"], SETTINGS),
    Library {
        path: "std::env",
        rooms: &["config", "cli", "main"],
        in_tests: false,
        mend: SETTINGS,
    },
];

const TRANSPORT: &str = "answer in the room's own types and let `http` carry them";
const SETTINGS: &str = "take the value in the room's `Config` and let `config` read it";

/// Libraries that a room is kept free of.
const BARRED: &[(&str, &[&str])] = &[("domain", &["tokio", "axum", "sled"])];

/// Written in halves, so that this file does not name them itself.
const NOTES_TO_SELF: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const UNFINISHED: &[&str] = &["dbg", "todo", "unimplemented"];

const fn room(name: &'static str, may_use: &'static [Part]) -> Room {
    Room { name, may_use }
}

const fn library(
    path: &'static str,
    rooms: &'static [&'static str],
    mend: &'static str,
) -> Library {
    Library { path, rooms, in_tests: true, mend }
}

/// Something that starts a task: only `runtime` does, so that each has an owner that joins it.
const fn task(path: &'static str) -> Library {
    let mend = "start it through `runtime`, which names, ends and joins every task";
    Library { path, rooms: &["runtime"], in_tests: false, mend }
}

/// Every Rust file below `folders`, in order.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut open: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project is readable") {
            let path = entry.expect("a folder of the project is readable").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a source is UTF-8");
                let name = path.strip_prefix(root).expect("the file lies in the project");
                found.push(Source::read(&name.to_string_lossy(), &text));
            }
        }
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    mark_test_files(&mut found);
    found
}

/// A file whose `mod` line is under `#[cfg(test)]` is test code, though it does not say so itself.
fn mark_test_files(sources: &mut [Source]) {
    let tests: BTreeSet<_> =
        sources.iter().flat_map(|source| source.test_modules.clone()).collect();
    for source in sources {
        let module = source.module();
        if (1..=module.len()).any(|depth| tests.contains(&module[..depth])) {
            source.paths.iter_mut().for_each(|path| path.in_test = true);
            source.functions.iter_mut().for_each(|function| function.in_test = true);
        }
    }
}

/// Fails with all that `rule` finds in the files of `folders`.
#[track_caller]
fn hold(folders: &[&str], rule: impl Fn(&Source) -> Vec<Finding>) {
    let sources = sources(folders);
    assert!(!sources.is_empty(), "no sources in {folders:?}: the check would pass on nothing");
    let mut found: Vec<_> = sources.iter().flat_map(rule).collect();
    found.sort();
    let told: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} found:\n{}\n", found.len(), told.join("\n"));
}

#[test]
fn every_file_is_readable_as_rust() {
    hold(&["src", "tests"], rules::unreadable);
}

#[test]
fn no_function_is_too_long_to_see_at_once() {
    hold(&["src", "tests"], |source| rules::long_functions(source, MOST_LINES_IN_A_FUNCTION));
}

#[test]
fn no_file_is_too_long_to_know() {
    hold(&["src", "tests"], |source| rules::long_file(source, MOST_LINES_IN_A_FILE));
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    hold(&["src", "tests"], rules::missing_head);
}

#[test]
fn no_note_to_self_is_left_in_the_sources() {
    hold(&["src", "tests"], |source| rules::notes_to_self(source, NOTES_TO_SELF));
    hold(&["src", "tests"], |source| rules::unfinished_macros(source, UNFINISHED));
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    hold(&["src", "tests"], rules::silenced_lints);
}

#[test]
fn what_a_room_shows_names_its_errors() {
    hold(&["src"], rules::boxed_errors);
}

#[test]
fn every_room_uses_only_what_its_row_names() {
    hold(&["src"], |source| rules::strangers(source, ROOMS, TESTS_MAY_USE));
}

#[test]
fn every_library_stays_in_its_rooms() {
    hold(&["src"], |source| rules::stray_libraries(source, ROOMS, LIBRARIES));
    hold(&["src"], |source| rules::barred_libraries(source, ROOMS, BARRED));
}

#[test]
fn the_table_is_ordered_from_the_ground_up() {
    for (at, room) in ROOMS.iter().enumerate() {
        for part in room.may_use {
            let own = OWN_PARTS.contains(&(room.name, part.room()));
            let above = ROOMS[..at].iter().any(|other| other.name == part.room());
            assert!(
                above || own,
                "`{}` may use `{}`, which is no row above it",
                room.name,
                part.room()
            );
        }
    }
    let named = LIBRARIES
        .iter()
        .flat_map(|library| library.rooms)
        .chain(BARRED.iter().map(|(room, _)| room));
    for name in named {
        assert!(
            ROOMS.iter().any(|room| room.name == *name),
            "`{name}` holds a library but is no row of the table"
        );
    }
}

#[test]
fn the_map_of_the_code_names_every_room() {
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ARCHITECTURE.md");
    let text =
        fs::read_to_string(&map).unwrap_or_else(|fault| panic!("{}: {fault}", map.display()));
    let missing: Vec<_> = ROOMS
        .iter()
        .map(|room| room.name)
        .filter(|name| !text.contains(&format!("`{name}")))
        .collect();
    assert!(
        missing.is_empty(),
        "src/ARCHITECTURE.md says nothing of {missing:?}: give each a line, as `room/`"
    );
}
