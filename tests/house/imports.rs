//! Which files of a crate name which others. Reads tokens, so that neither comments nor texts count; knows nothing of
//! floors. Of a path it takes as much as is a module; a name that a `mod.rs` re-exports leads to the file that has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Segments below the crate: `["digest", "blob"]`.
type ModulePath = Vec<String>;

/// A file that names something of another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    from: String,
    line: usize,
    to: String,
    /// As it is written.
    path: String,
}

impl Import {
    pub fn importing_room(&self) -> &str {
        room(&self.from)
    }

    pub fn imported_room(&self) -> &str {
        room(&self.to)
    }
}

impl fmt::Display for Import {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "src/{}:{} imports src/{} ({})", self.from, self.line, self.to, self.path)
    }
}

fn room(file: &str) -> &str {
    file.split_once('/').map_or(file, |(room, _)| room).trim_end_matches(".rs")
}

/// The files of a crate, and what they name.
pub struct House {
    imports: Vec<Import>,
    rooms: BTreeSet<String>,
    faces_with_code: Vec<String>,
}

impl House {
    pub fn of_this_crate() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut texts = BTreeMap::new();
        let mut folders = vec![source.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs_err::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
                    texts.insert(name, fs_err::read_to_string(&path).unwrap());
                }
            }
        }
        assert!(texts.len() > 100, "{} files below {}", texts.len(), source.display());
        Self::new(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect())
    }

    /// `texts` by names such as `digest/blob.rs`; with a `lib.rs`.
    pub fn new(texts: BTreeMap<&str, &str>) -> Self {
        let files: BTreeMap<&str, File> =
            texts.iter().map(|(name, text)| (*name, File::read(name, text))).collect();
        let only_tests: BTreeSet<ModulePath> =
            files.values().flat_map(|file| file.test_modules.iter().cloned()).collect();
        let is_test =
            |file: &File| (1..=file.module.len()).any(|length| only_tests.contains(&file.module[..length]));
        let by_module: BTreeMap<&[String], &File> =
            files.values().filter(|file| !is_test(file)).map(|file| (&*file.module, file)).collect();
        let mut imports: Vec<Import> = by_module
            .values()
            .filter(|file| file.name != "lib.rs")
            .flat_map(|file| file.named.iter().flat_map(|named| imports_of(file, named, &by_module)))
            .collect();
        imports.sort();
        imports.dedup();
        let rooms = by_module
            .keys()
            .filter_map(|module| module.first().cloned())
            .filter(|room| room != "main")
            .collect();
        let faces_with_code = by_module.values().filter_map(|file| file.code()).collect();
        Self { imports, rooms, faces_with_code }
    }

    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    pub fn rooms(&self) -> Vec<String> {
        self.rooms.iter().cloned().collect()
    }

    /// The first line of each `mod.rs` that neither declares nor re-exports.
    pub fn faces_with_code(&self) -> Vec<String> {
        self.faces_with_code.clone()
    }

    /// For each circle of files, the imports between them.
    pub fn circles(&self) -> Vec<String> {
        let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for import in &self.imports {
            next.entry(&import.from).or_default().insert(&import.to);
        }
        let reach: BTreeMap<&str, BTreeSet<&str>> =
            next.keys().map(|file| (*file, reachable(file, &next))).collect();
        let circle_of = |file: &str| -> BTreeSet<&str> {
            let back = |other: &&&str| reach.get(**other).is_some_and(|reached| reached.contains(file));
            reach.get(file).map(|reached| reached.iter().filter(back).copied().collect()).unwrap_or_default()
        };
        let circles: BTreeSet<BTreeSet<&str>> =
            next.keys().map(|file| circle_of(file)).filter(|circle| !circle.is_empty()).collect();
        circles.iter().map(|circle| self.ties(circle)).collect()
    }

    fn ties(&self, circle: &BTreeSet<&str>) -> String {
        let inside = |import: &&Import| circle.contains(&*import.from) && circle.contains(&*import.to);
        let lines: Vec<_> = self.imports.iter().filter(inside).map(Import::to_string).collect();
        lines.join("\n")
    }
}

/// All that is reached from `file`, itself only by way of a circle.
fn reachable<'a>(file: &'a str, next: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut ahead = vec![file];
    while let Some(file) = ahead.pop() {
        ahead.extend(next.get(file).into_iter().flatten().copied().filter(|other| reached.insert(*other)));
    }
    reached
}

/// A path that a file names, from the crate down.
struct Named {
    line: usize,
    /// As it is written.
    written: String,
    path: ModulePath,
}

/// A file by itself.
struct File {
    name: String,
    module: ModulePath,
    named: Vec<Named>,
    /// What it makes visible under a name of its own.
    re_exports: BTreeMap<String, ModulePath>,
    /// Modules that exist in tests only.
    test_modules: Vec<ModulePath>,
    /// Where the first item stands that is neither a declaration nor a `use`.
    first_code: Option<usize>,
}

impl File {
    fn read(name: &str, text: &str) -> Self {
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("src/{name}: {error}"));
        let mut file = Self {
            name: name.to_owned(),
            module: module_of(name),
            named: Vec::new(),
            re_exports: BTreeMap::new(),
            test_modules: Vec::new(),
            first_code: None,
        };
        let module = file.module.clone();
        file.walk(&tokens.into_iter().collect::<Vec<_>>(), &module, true);
        file
    }

    /// Where code stands that a face should not have.
    fn code(&self) -> Option<String> {
        self.first_code
            .filter(|_| self.name.ends_with("/mod.rs"))
            .map(|line| format!("src/{}:{line}", self.name))
    }

    fn walk(&mut self, tokens: &[TokenTree], module: &[String], top: bool) {
        let (mut index, mut in_test, mut public) = (0, false, false);
        while let Some(token) = tokens.get(index) {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    let attribute = tokens[index..].iter().find_map(group).unwrap_or_default();
                    in_test |= attribute.to_string().replace(' ', "") == "cfg(test)";
                    // Messages of errors name things, too.
                    self.walk(&attribute.into_iter().collect::<Vec<_>>(), module, false);
                    index += 2 + usize::from(matches!(tokens.get(index + 1), Some(TokenTree::Punct(_))));
                    continue;
                }
                TokenTree::Ident(ident) if ident == "pub" => {
                    public = true;
                    index += 1 + usize::from(matches!(tokens.get(index + 1), Some(TokenTree::Group(_))));
                    continue;
                }
                TokenTree::Ident(ident) if ident == "mod" => {
                    index = self.declaration(tokens, index, module, in_test);
                }
                TokenTree::Ident(ident) if ident == "use" => {
                    index = self.use_line(tokens, index, module, public && top, in_test);
                }
                _ if in_test => index = end_of_item(tokens, index),
                _ => {
                    if top {
                        self.first_code.get_or_insert(token.span().start().line);
                    }
                    index = self.code_at(tokens, index, module);
                    if top && !ends_item(&tokens[..index]) {
                        continue;
                    }
                }
            }
            (in_test, public) = (false, false);
        }
    }

    /// `mod name;` or `mod name { … }`
    fn declaration(&mut self, tokens: &[TokenTree], index: usize, module: &[String], in_test: bool) -> usize {
        let Some(TokenTree::Ident(name)) = tokens.get(index + 1) else { return index + 1 };
        let inner: ModulePath = module.iter().cloned().chain([name.to_string()]).collect();
        if in_test {
            self.test_modules.push(inner);
        } else if let Some(group) = tokens.get(index + 2).and_then(group) {
            self.walk(&group.into_iter().collect::<Vec<_>>(), &inner, false);
        }
        index + 3
    }

    fn use_line(
        &mut self,
        tokens: &[TokenTree],
        index: usize,
        module: &[String],
        public: bool,
        in_test: bool,
    ) -> usize {
        let end = (index..tokens.len()).find(|at| is_punct(&tokens[*at], ';')).unwrap_or(tokens.len());
        if in_test {
            return end + 1;
        }
        for (path, alias, line) in leaves(&tokens[index + 1..end]) {
            if let Some(absolute) = absolute(&path, module, self.name.ends_with("mod.rs")) {
                let name = alias.or_else(|| absolute.last().cloned()).unwrap_or_default();
                if public {
                    self.re_exports.insert(name, absolute.clone());
                }
                self.named.push(Named { line, written: path.join("::"), path: absolute });
            }
        }
        end + 1
    }

    /// A path in the code, or what is in a group, or one token.
    fn code_at(&mut self, tokens: &[TokenTree], index: usize, module: &[String]) -> usize {
        if let Some(group) = group(&tokens[index]) {
            self.walk(&group.into_iter().collect::<Vec<_>>(), module, false);
            return index + 1;
        }
        let path = path_at(&tokens[index..]);
        let starts = path.first().is_some_and(|first| first == "crate" || first == "super");
        if starts && path.len() > 1 {
            let line = tokens[index].span().start().line;
            if let Some(absolute) = absolute(&path, module, true) {
                self.named.push(Named { line, written: path.join("::"), path: absolute });
            }
            return index + 3 * path.len() - 2;
        }
        index + 1
    }
}

/// What `named` leads to: the file of the longest module in it, and behind a re-export the file that has it.
fn imports_of(file: &File, named: &Named, files: &BTreeMap<&[String], &File>) -> Vec<Import> {
    let (mut found, mut path) = (Vec::new(), named.path.clone());
    for _ in 0..8 {
        let Some(length) = (1..=path.len()).rev().find(|length| files.contains_key(&path[..*length])) else {
            break;
        };
        let target = files[&path[..length]];
        let behind = path.get(length).and_then(|name| target.re_exports.get(name));
        if target.name != file.name && behind.is_none_or(|_| is_inside(file, target)) {
            found.push(Import {
                from: file.name.clone(),
                line: named.line,
                to: target.name.clone(),
                path: named.written.clone(),
            });
        }
        match behind {
            Some(behind) => path = behind.iter().chain(&path[length + 1..]).cloned().collect(),
            None => break,
        }
    }
    found
}

/// Whether `file` lies in the folder that `face` is the face of: then it goes round about.
fn is_inside(file: &File, face: &File) -> bool {
    file.module.starts_with(&face.module)
}

fn module_of(name: &str) -> ModulePath {
    let name = name.trim_end_matches(".rs");
    let name = name.strip_suffix("mod").map_or(name, |folder| folder.trim_end_matches('/'));
    name.split('/').filter(|part| !part.is_empty() && *part != "lib").map(str::to_owned).collect()
}

/// `path` from the crate down, seen in `module`; nothing for other crates.
fn absolute(path: &[String], module: &[String], is_face: bool) -> Option<ModulePath> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let rest = |skipped: usize| path[skipped..].iter().filter(|part| *part != "self").cloned();
    match path.first()?.as_str() {
        "crate" => Some(rest(1).collect()),
        "self" => Some(module.iter().cloned().chain(rest(1)).collect()),
        "super" => {
            Some(module[..module.len().checked_sub(supers)?].iter().cloned().chain(rest(supers)).collect())
        }
        // `pub use run::run` in a face: a child; other crates are not among the files.
        _ if is_face => Some(module.iter().cloned().chain(rest(0)).collect()),
        _ => None,
    }
}

/// The paths of a `use`, with what each is renamed to, and the line.
fn leaves(tokens: &[TokenTree]) -> Vec<(ModulePath, Option<String>, usize)> {
    let path = path_at(tokens);
    let line = tokens.first().map_or(0, |token| token.span().start().line);
    let after = &tokens[(3 * path.len()).saturating_sub(2).min(tokens.len())..];
    let after = if after.first().is_some_and(|token| is_punct(token, ':')) { &after[2..] } else { after };
    match after.first() {
        Some(TokenTree::Group(group)) => parts(group.stream())
            .iter()
            .flat_map(|part| leaves(part))
            .map(|(inner, alias, line)| (path.iter().cloned().chain(inner).collect(), alias, line))
            .collect(),
        Some(TokenTree::Ident(_)) => vec![(path, after.get(1).map(ToString::to_string), line)],
        _ => vec![(path, None, line)],
    }
}

/// What stands between the commas of a group.
fn parts(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    tokens.split(|token| is_punct(token, ',')).filter(|part| !part.is_empty()).map(<[_]>::to_vec).collect()
}

/// `a::b::c` at the start of `tokens`.
fn path_at(tokens: &[TokenTree]) -> ModulePath {
    let mut path = Vec::new();
    let mut index = 0;
    while let Some(TokenTree::Ident(ident)) = tokens.get(index) {
        path.push(ident.to_string());
        let colons = tokens.get(index + 1).is_some_and(|token| is_joint(token, ':'))
            && tokens.get(index + 2).is_some_and(|token| is_punct(token, ':'));
        if !colons {
            break;
        }
        index += 3;
    }
    path
}

fn group(token: &TokenTree) -> Option<TokenStream> {
    match token {
        TokenTree::Group(group) => Some(group.stream()),
        _ => None,
    }
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

fn is_joint(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character && punct.spacing() == Spacing::Joint)
}

/// Whether an item ends with the last of `tokens`.
fn ends_item(tokens: &[TokenTree]) -> bool {
    match tokens.last() {
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Brace,
        Some(token) => is_punct(token, ';'),
        None => true,
    }
}

fn end_of_item(tokens: &[TokenTree], index: usize) -> usize {
    let end = (index + 1..=tokens.len()).find(|end| ends_item(&tokens[..*end]));
    end.unwrap_or(tokens.len())
}
