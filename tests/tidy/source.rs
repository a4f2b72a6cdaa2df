//! Reads one Rust file into the facts the rules ask about: its paths (with `use` aliases, `self`
//! and `super` resolved), its functions, its attributes and its macro calls, each with its line
//! and whether only tests compile it. It looks at tokens, not at a syntax tree, so that code
//! inside macros (`select!`, `proptest!`) is seen as well; strings and comments are not code.

use std::collections::HashMap;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A path as written, already resolved as far as one file allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathUse {
    /// `["crate", "engine", "Engine"]`, or a library's name first.
    pub segments: Vec<String>,
    /// First line, from 1.
    pub line: usize,
    /// Only compiled for tests.
    pub in_test: bool,
}

/// A function with a name, from its `fn` to its closing brace.
#[derive(Debug)]
pub struct Function {
    pub name: String,
    pub line: usize,
    /// Lines including the first and the last.
    pub lines: usize,
    /// `pub` in any form, or declared by a trait.
    pub public: bool,
    /// What stands between the name and the body.
    pub signature: String,
    pub in_test: bool,
}

/// Something with a text and a line: an attribute's inside, or a macro's name.
#[derive(Debug)]
pub struct Named {
    pub text: String,
    pub line: usize,
}

/// One file of the project.
#[derive(Debug)]
pub struct Source {
    /// Relative to the project, with `/`.
    pub file: String,
    pub text: String,
    pub paths: Vec<PathUse>,
    pub functions: Vec<Function>,
    pub attributes: Vec<Named>,
    pub macros: Vec<Named>,
    /// Modules in files of their own that only tests compile.
    pub test_modules: Vec<Vec<String>>,
    /// Why the file could not be read as Rust, if so.
    pub fault: Option<String>,
}

impl Source {
    /// Reads `text` as the file `file`; a file that is no Rust has `fault` set.
    pub fn read(file: &str, text: &str) -> Source {
        let mut source = Source {
            file: file.to_owned(),
            text: text.to_owned(),
            paths: Vec::new(),
            functions: Vec::new(),
            attributes: Vec::new(),
            macros: Vec::new(),
            test_modules: Vec::new(),
            fault: None,
        };
        match text.parse::<TokenStream>() {
            Ok(tokens) => {
                let mut walker = Walker { source: &mut source, aliases: HashMap::new() };
                let start =
                    Place { module: module_of(file), test: false, in_trait: false, path: None };
                walker.walk(&tokens.into_iter().collect::<Vec<_>>(), start);
                let aliases = walker.aliases;
                resolve(&mut source.paths, &aliases);
            }
            Err(fault) => source.fault = Some(fault.to_string()),
        }
        source
    }

    /// The module the file holds: `src/broker/publish.rs` is `["broker", "publish"]`.
    pub fn module(&self) -> Vec<String> {
        module_of(&self.file)
    }
}

fn module_of(file: &str) -> Vec<String> {
    let inside = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs");
    let mut parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    let root = parts.len() == 1 && (inside == "lib" || inside == "main");
    if root || parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The file that `path` names as seen from the folder of `file`.
fn beside(file: &str, path: &str) -> String {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{path}")
}

/// Replaces a path's first name by what a `use` or `mod` of the same file made it mean.
fn resolve(paths: &mut [PathUse], aliases: &HashMap<String, Vec<String>>) {
    for path in paths {
        // A chain of aliases is short; the bound ends one that turns in a circle.
        for _ in 0..4 {
            let Some(full) = path.segments.first().and_then(|first| aliases.get(first)) else {
                break;
            };
            if path.segments.starts_with(full) {
                break;
            }
            path.segments.splice(..1, full.iter().cloned());
        }
    }
}

/// Where in the file the walk stands.
#[derive(Clone)]
struct Place {
    module: Vec<String>,
    test: bool,
    in_trait: bool,
    /// The file that a `#[path = "…"]` before the next `mod` names.
    path: Option<String>,
}

struct Walker<'a> {
    source: &'a mut Source,
    aliases: HashMap<String, Vec<String>>,
}

impl Walker<'_> {
    fn walk(&mut self, tokens: &[TokenTree], mut here: Place) {
        let mut outer = here.clone();
        let mut at = 0;
        while at < tokens.len() {
            let next = at + 1;
            match &tokens[at] {
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    // An inner attribute, `#![…]`, speaks for all that follows it.
                    let inner = is_punct(tokens.get(next), '!');
                    at = self.attribute(tokens, at, &mut here);
                    outer.test |= inner && here.test;
                    continue;
                }
                // The item that a `#[cfg(test)]` stood before ends here.
                TokenTree::Punct(mark) if mark.as_char() == ';' => here = outer.clone(),
                TokenTree::Group(group) => {
                    let inside: Vec<_> = group.stream().into_iter().collect();
                    let braces = is_braces(&tokens[at]);
                    let in_trait = here.in_trait && braces;
                    self.walk(&inside, Place { in_trait, ..here.clone() });
                    if braces {
                        here = outer.clone();
                    }
                }
                TokenTree::Ident(_) => {
                    at = self.word(tokens, at, &mut here);
                    if is_braces(&tokens[at - 1]) {
                        here = outer.clone();
                    }
                    continue;
                }
                _ => {}
            }
            at = next;
        }
    }

    /// `#[…]` or `#![…]`; a `cfg(test)` holds until the item it stands before has ended.
    fn attribute(&mut self, tokens: &[TokenTree], at: usize, here: &mut Place) -> usize {
        let inner = is_punct(tokens.get(at + 1), '!');
        let group_at = at + 1 + usize::from(inner);
        let Some(TokenTree::Group(group)) = tokens.get(group_at) else {
            return at + 1;
        };
        let text = group.stream().to_string();
        let compact: String = text.split_whitespace().collect();
        if compact.starts_with("cfg(") && names_test(&compact) {
            here.test = true;
        }
        let named = compact.strip_prefix("path=\"");
        here.path = named.map(|rest| rest.trim_end_matches('"').to_owned()).or(here.path.take());
        self.source.attributes.push(Named { text: compact, line: line_of(&tokens[at]) });
        let inside: Vec<_> = group.stream().into_iter().collect();
        self.walk(&inside, here.clone());
        group_at + 1
    }

    /// A word that begins a module, function, trait, import, macro call or path.
    fn word(&mut self, tokens: &[TokenTree], at: usize, here: &mut Place) -> usize {
        let word = tokens[at].to_string();
        let line = line_of(&tokens[at]);
        let name = tokens.get(at + 1).filter(|token| matches!(token, TokenTree::Ident(_)));
        match (word.as_str(), name) {
            ("mod", Some(name)) => return self.module(tokens, at, name.to_string(), here),
            ("fn", Some(name)) => self.function(tokens, at, name.to_string(), here),
            ("trait", Some(_)) => here.in_trait = true,
            ("use", _) if !is_punct(tokens.get(at + 1), '<') => {
                return self.import(tokens, at + 1, &[], here);
            }
            _ if is_punct(tokens.get(at + 1), '!') && !is_punct(tokens.get(at + 2), '=') => {
                self.source.macros.push(Named { text: word.clone(), line });
            }
            _ => {}
        }
        let after_dot = at > 0 && is_punct(tokens.get(at - 1), '.');
        let (segments, next) = path_at(tokens, at);
        if segments.len() > 1 && !after_dot {
            self.found(segments, line, here);
        }
        next
    }

    fn module(&mut self, tokens: &[TokenTree], at: usize, name: String, here: &Place) -> usize {
        let mut module = here.module.clone();
        module.push(name.clone());
        let mut full = vec!["crate".to_owned()];
        full.extend(module.iter().cloned());
        self.aliases.entry(name).or_insert(full);
        match tokens.get(at + 2) {
            Some(TokenTree::Group(body)) => {
                let inside: Vec<_> = body.stream().into_iter().collect();
                self.walk(&inside, Place { module, test: here.test, in_trait: false, path: None });
                at + 3
            }
            _ => {
                if here.test {
                    let file = here.path.as_ref().map(|path| beside(&self.source.file, path));
                    let elsewhere = file.map(|file| module_of(&file));
                    self.source.test_modules.push(elsewhere.unwrap_or(module));
                }
                at + 2
            }
        }
    }

    fn function(&mut self, tokens: &[TokenTree], at: usize, name: String, here: &Place) {
        let rest = &tokens[at + 2..];
        let end = rest.iter().position(|token| is_braces(token) || is_punct(Some(token), ';'));
        let Some(end) = end else { return };
        let line = line_of(&tokens[at]);
        let signature: TokenStream = rest[..end].iter().cloned().collect();
        self.source.functions.push(Function {
            name,
            line,
            lines: rest[end].span().end().line + 1 - line,
            public: here.in_trait || is_public(&tokens[..at]),
            signature: signature.to_string().split_whitespace().collect(),
            in_test: here.test,
        });
    }

    /// A `use` tree from `at` on, below `prefix`; answers where it ends.
    fn import(
        &mut self,
        tokens: &[TokenTree],
        at: usize,
        prefix: &[String],
        here: &Place,
    ) -> usize {
        let mut at = at;
        while is_punct(tokens.get(at), ':') {
            at += 1;
        }
        let Some(token) = tokens.get(at) else {
            return at;
        };
        let line = line_of(token);
        let (more, mut next) = if matches!(token, TokenTree::Ident(_)) {
            path_at(tokens, at)
        } else {
            (Vec::new(), at)
        };
        let mut segments = [prefix, &more].concat();
        match tokens.get(next) {
            Some(TokenTree::Group(group)) => {
                let inside: Vec<_> = group.stream().into_iter().collect();
                for branch in inside.split(|token| is_punct(Some(token), ',')) {
                    self.import(branch, 0, &segments, here);
                }
                next += 1;
            }
            mark => {
                if is_punct(mark, '*') {
                    segments.push("*".to_owned());
                    next += 1;
                } else if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
                    segments.pop();
                }
                let renamed = is_word(tokens.get(next), "as").then(|| tokens[next + 1].to_string());
                next += if renamed.is_some() { 2 } else { 0 };
                self.imported(segments, renamed, line, here);
            }
        }
        next
    }

    fn imported(
        &mut self,
        segments: Vec<String>,
        renamed: Option<String>,
        line: usize,
        here: &Place,
    ) {
        let full = absolute(segments, &here.module);
        if let Some(name) = renamed.or_else(|| full.last().cloned())
            && name != "*"
        {
            self.aliases.entry(name).or_insert_with(|| full.clone());
        }
        self.found(full, line, here);
    }

    fn found(&mut self, segments: Vec<String>, line: usize, here: &Place) {
        let segments = absolute(segments, &here.module);
        self.source.paths.push(PathUse { segments, line, in_test: here.test });
    }
}

/// The names joined by `::` from `at` on, and where they end (after a last `::`, if any).
fn path_at(tokens: &[TokenTree], at: usize) -> (Vec<String>, usize) {
    let mut segments = vec![tokens[at].to_string()];
    let mut next = at + 1;
    while is_colons(tokens, next) {
        next += 2;
        match tokens.get(next) {
            Some(TokenTree::Ident(name)) => segments.push(name.to_string()),
            _ => break,
        }
        next += 1;
    }
    (segments, next)
}

/// `self::`, `super::` and the library's own name as a path from `crate`.
fn absolute(mut segments: Vec<String>, module: &[String]) -> Vec<String> {
    let mut base = module.to_vec();
    let mut skip = 0;
    match segments[0].as_str() {
        "self" => skip = 1,
        "super" => {
            skip = segments.iter().take_while(|name| *name == "super").count();
            base.truncate(base.len().saturating_sub(skip));
        }
        "tidegate" => segments[0] = "crate".to_owned(),
        _ => {}
    }
    if skip == 0 {
        return segments;
    }
    let mut full = vec!["crate".to_owned()];
    full.append(&mut base);
    full.extend(segments.drain(skip..));
    full
}

/// `cfg(test)`, `cfg(any(test, …))`, but not `cfg(not(test))`.
fn names_test(attribute: &str) -> bool {
    let word = |c: char| !(c.is_alphanumeric() || c == '_');
    attribute.split(word).any(|part| part == "test") && !attribute.contains("not(test)")
}

/// Whether what stands before a `fn` makes it visible outside its module.
fn is_public(before: &[TokenTree]) -> bool {
    let qualifier = |token: &TokenTree| match token {
        TokenTree::Ident(word) => ["const", "async", "unsafe", "extern"].iter().any(|q| word == q),
        TokenTree::Literal(_) => true,
        TokenTree::Group(group) => group.delimiter() == Delimiter::Parenthesis,
        TokenTree::Punct(_) => false,
    };
    before
        .iter()
        .rev()
        .find(|token| !qualifier(token))
        .is_some_and(|token| is_word(Some(token), "pub"))
}

fn is_punct(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}

fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':' && punct.spacing() == Spacing::Joint)
        && is_punct(tokens.get(at + 1), ':')
}

fn line_of(token: &TokenTree) -> usize {
    token.span().start().line
}
