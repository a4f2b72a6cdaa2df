//! Tests of the rules themselves: each is shown a small bad file that it must find, and a good
//! one that it must let pass, so that a rule which has gone blind fails here.

use crate::rules::{self, Finding, Library, Part, Room};
use crate::source::Source;

const ROOMS: &[Room] = &[
    Room { name: "domain", may_use: &[] },
    Room { name: "engine", may_use: &[Part::All("domain")] },
    Room { name: "engine/sled", may_use: &[Part::All("engine")] },
    Room { name: "engine/memory", may_use: &[Part::All("engine")] },
    Room { name: "wire", may_use: &[Part::Errors("engine")] },
    Room { name: "config", may_use: &[Part::Config("engine/sled")] },
    Room { name: "lib", may_use: &[] },
];

const LIBRARIES: &[Library] = &[
    Library { path: "sled", rooms: &["engine/sled"], in_tests: true, mend: "ask the engine" },
    Library { path: "tokio::spawn", rooms: &["runtime"], in_tests: false, mend: "ask runtime" },
    Library { path: "std::env", rooms: &["config"], in_tests: true, mend: "ask config" },
];

fn strangers(file: &str, text: &str) -> Vec<usize> {
    lines(rules::strangers(&Source::read(file, text), ROOMS, &["engine/memory"]))
}

fn libraries(file: &str, text: &str) -> Vec<usize> {
    lines(rules::stray_libraries(&Source::read(file, text), ROOMS, LIBRARIES))
}

fn lines(found: Vec<Finding>) -> Vec<usize> {
    found.iter().for_each(|finding| assert!(!finding.mend.is_empty(), "{finding} says no mend"));
    found.iter().map(|finding| finding.line).collect()
}

fn src(text: &str) -> Source {
    Source::read("src/domain/x.rs", text)
}

#[test]
fn an_import_of_a_room_outside_the_row_is_found_however_it_is_written() {
    for text in [
        "use crate::engine::Engine;",
        "use crate::{engine::{Engine, Log}};",
        "use crate::engine as e;",
        "use super::super::engine::Engine;",
        "fn f() { crate::engine::open() }",
        "fn f() { select! { x = crate::engine::open() => x } }",
        "#[derive(crate::engine::Shape)] struct S;",
        "pub use tidegate::engine;",
        "mod inner { use super::super::super::engine::Engine; }",
    ] {
        assert_eq!(strangers("src/domain/x.rs", text), [1], "{text}");
    }
}

#[test]
fn imports_that_the_row_names_pass() {
    assert!(strangers("src/engine/x.rs", "use crate::domain::Offset;\nuse super::Log;").is_empty());
    assert!(
        strangers("src/engine/mod.rs", "use crate::engine::log::Log;\npub mod sled;").is_empty()
    );
    assert!(strangers("src/engine/sled/x.rs", "use super::super::Engine;").is_empty());
    assert!(strangers("src/lib.rs", "pub mod domain;\npub mod engine;").is_empty());
    let words =
        "//! crate::engine\nconst A: &str = \"crate::engine::Engine\"; // crate::engine::X\n";
    assert!(strangers("src/domain/x.rs", words).is_empty());
}

#[test]
fn an_engines_inside_is_a_room_of_its_own() {
    assert_eq!(strangers("src/engine/mod.rs", "pub mod sled;\npub use self::sled::Store;"), [2]);
    assert_eq!(strangers("src/engine/mod.rs", "pub mod sled;\npub use sled::Store;"), [2]);
    assert_eq!(strangers("src/engine/memory/x.rs", "use crate::engine::sled::Store;"), [1]);
}

#[test]
fn an_alias_does_not_hide_a_room_or_a_library() {
    let text = "use crate::engine;\nfn f() { engine::sled::open() }";
    assert_eq!(strangers("src/engine/memory/x.rs", text), [2]);
    assert_eq!(libraries("src/domain/x.rs", "use tokio as t;\nfn f() { t::spawn(g()) }"), [2]);
    assert_eq!(libraries("src/domain/x.rs", "use std::{env};\nfn f() { env::var(\"A\") }"), [1]);
}

#[test]
fn a_part_of_a_room_is_only_that_part() {
    assert!(strangers("src/wire/x.rs", "use crate::engine::AppendError;").is_empty());
    assert!(strangers("src/wire/x.rs", "use crate::engine::error::Kind;").is_empty());
    assert_eq!(strangers("src/wire/x.rs", "use crate::engine::{AppendError, Engine};"), [1]);
    assert!(strangers("src/config/x.rs", "use crate::engine::sled::SledConfig;").is_empty());
    assert_eq!(strangers("src/config/x.rs", "\nuse crate::engine::sled::Store;"), [2]);
}

#[test]
fn the_reference_engine_is_for_tests_only() {
    let hidden = "#[cfg(test)]\nmod tests {\n use crate::engine::memory::Memory;\n}";
    assert!(strangers("src/domain/x.rs", hidden).is_empty());
    let after = "#[cfg(test)]\nmod tests {}\nuse crate::engine::memory::Memory;";
    assert_eq!(strangers("src/domain/x.rs", after), [3]);
    let shown = "#[cfg(not(test))]\nmod tests {\n use crate::engine::memory::Memory;\n}";
    assert_eq!(strangers("src/domain/x.rs", shown), [3]);
}

#[test]
fn a_file_or_item_in_no_room_is_found() {
    assert_eq!(strangers("src/utils.rs", ""), [1]);
    assert_eq!(strangers("src/domain/x.rs", "use crate::VERSION;"), [1]);
}

#[test]
fn a_library_outside_its_room_is_found() {
    assert_eq!(libraries("src/domain/x.rs", "\nuse sled::Db;"), [2]);
    assert_eq!(libraries("src/engine/x.rs", "type T = ::sled::Tree;"), [1]);
    assert_eq!(libraries("src/domain/x.rs", "use tokio::{select, spawn};"), [1]);
    assert!(libraries("src/engine/sled/deep/x.rs", "use sled::Db;").is_empty());
    assert!(libraries("src/engine/mod.rs", "pub mod sled;\npub use self::sled::Store;").is_empty());
    assert!(libraries("src/domain/x.rs", "fn f() { tokio::spawn_blocking(g) }").is_empty());
    assert!(libraries("src/domain/x.rs", "#[cfg(test)]\nfn f() { tokio::spawn(g()); }").is_empty());
}

#[test]
fn a_barred_library_is_found() {
    let barred: &[(&str, &[&str])] = &[("domain", &["tokio"])];
    let found = rules::barred_libraries(&src("use tokio::sync::Notify;"), ROOMS, barred);
    assert_eq!(lines(found), [1]);
    let free = rules::barred_libraries(&src("use std::sync::Mutex;"), ROOMS, barred);
    assert!(free.is_empty());
}

#[test]
fn a_long_function_is_found_at_its_first_line() {
    let body = "    step();\n".repeat(9);
    let text =
        format!("//! Head.\n\nimpl A {{\n/// Doc.\n#[must_use]\npub fn f() {{\n{body}}}\n}}\n");
    assert_eq!(lines(rules::long_functions(&src(&text), 10)), [6]);
    assert!(rules::long_functions(&src(&text), 11).is_empty());
    let in_macro = format!("proptest! {{ fn f(a in 0..9) {{\n{body}}} }}");
    assert_eq!(lines(rules::long_functions(&src(&in_macro), 10)), [1]);
    let declared = format!("trait T {{ fn f(); {} }}", "\n".repeat(20));
    assert!(rules::long_functions(&src(&declared), 10).is_empty());
}

#[test]
fn a_long_file_and_a_missing_head_are_found() {
    assert_eq!(lines(rules::long_file(&src("//! Six\n\n\n\n\n\n"), 5)), [6]);
    assert!(rules::long_file(&src("//! Five\n\n\n\n\n"), 5).is_empty());
    assert_eq!(lines(rules::missing_head(&src("use std::fmt;\n//! Late\n"))), [1]);
    assert_eq!(lines(rules::missing_head(&src("//! x\n"))), [1]);
    assert_eq!(lines(rules::missing_head(&src(""))), [1]);
    assert!(rules::missing_head(&src("//! Says what it is for.\n")).is_empty());
}

#[test]
fn notes_to_self_and_unfinished_macros_are_found() {
    let word = concat!("FIX", "ME");
    let text = format!("fn f() {{}}\n// {word}: later\n");
    assert_eq!(lines(rules::notes_to_self(&src(&text), &[word])), [2]);
    assert!(rules::notes_to_self(&src("// PREFIXMEANT"), &[word]).is_empty());
    assert_eq!(lines(rules::unfinished_macros(&src("fn f() {\n dbg!(1)\n}"), &["dbg"])), [2]);
    assert!(rules::unfinished_macros(&src("fn f() { dbg != 1 }"), &["dbg"]).is_empty());
}

#[test]
fn a_silenced_lint_is_found() {
    assert_eq!(lines(rules::silenced_lints(&src("#[allow(dead_code)]\nfn f() {}"))), [1]);
    assert_eq!(lines(rules::silenced_lints(&src("#![allow(dead_code)]"))), [1]);
    assert_eq!(
        lines(rules::silenced_lints(&src("\n#[cfg_attr(test, allow(dead_code))]\nfn f() {}"))),
        [2]
    );
    assert_eq!(lines(rules::silenced_lints(&src("#[expect(dead_code)]\nfn f() {}"))), [1]);
    let reasoned = "#[expect(dead_code, reason = \"the suite calls it\")]\nfn f() {}";
    assert!(rules::silenced_lints(&src(reasoned)).is_empty());
    assert!(rules::silenced_lints(&src("/// Do not write `#[allow(x)]`.\nfn f() {}")).is_empty());
}

#[test]
fn a_boxed_error_in_what_a_room_shows_is_found() {
    for text in [
        "pub fn f() -> Result<(), Box<dyn Error>> { g() }",
        "pub(crate) async fn f() -> Result<(), Box<dyn std::error::Error + Send>> { g() }",
        "pub trait T { fn f(&self) -> Result<(), Box<dyn Error>>; }",
    ] {
        assert_eq!(lines(rules::boxed_errors(&src(text))), [1], "{text}");
    }
    for text in [
        "fn f() -> Result<(), Box<dyn Error>> { g() }",
        "pub fn f(a: Box<dyn Engine>) -> Result<(), AppendError> { g() }",
        "#[cfg(test)] pub fn f() -> Result<(), Box<dyn Error>> { g() }",
    ] {
        assert!(rules::boxed_errors(&src(text)).is_empty(), "{text}");
    }
}

#[test]
fn a_file_that_is_no_rust_is_found() {
    assert_eq!(lines(rules::unreadable(&src("fn f( {"))), [1]);
}

#[test]
fn a_module_file_declared_for_tests_is_known() {
    let declared = "#[cfg(test)]\nmod doubles;\nmod names;";
    let source = Source::read("src/domain/mod.rs", declared);
    assert_eq!(source.test_modules, [["domain", "doubles"].map(str::to_owned)]);
    let named = "#[cfg(test)]\n#[path = \"batch_tests.rs\"]\nmod tests;\nmod names;";
    let source = Source::read("src/domain/batch.rs", named);
    assert_eq!(source.test_modules, [["domain", "batch_tests"].map(str::to_owned)]);
}
