//! The pages of the manual, and what stands in them. Knows nothing of what it means.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// The top directory of the sources.
pub const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

/// A page, by its path in the sources.
pub struct Page {
    pub path: String,
    pub text: String,
}

/// A block between fences.
pub struct Block {
    pub language: String,
    /// Of its first line; the page's first is 1.
    pub line: usize,
    pub lines: Vec<String>,
}

/// What stands after a `$ `, with its continuations.
pub struct Command {
    pub page: String,
    pub line: usize,
    pub text: String,
    /// What the page shows of its output.
    pub shown: Vec<String>,
}

impl Page {
    /// README, ARCHITECTURE, and everything below docs.
    pub fn all() -> Vec<Self> {
        let mut paths = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned()];
        let mut directories = vec![PathBuf::from("docs")];
        while let Some(directory) = directories.pop() {
            for entry in fs_err::read_dir(Path::new(SOURCES).join(&directory)).unwrap() {
                let entry = entry.unwrap();
                let path = directory.join(entry.file_name());
                match entry.file_type().unwrap().is_dir() {
                    true => directories.push(path),
                    false => paths.push(path.to_str().unwrap().to_owned()),
                }
            }
        }
        paths.retain(|path| path.ends_with(".md"));
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    pub fn read(path: &str) -> Self {
        Self { path: path.to_owned(), text: fs_err::read_to_string(Path::new(SOURCES).join(path)).unwrap() }
    }

    pub fn blocks(&self, language: &str) -> Vec<Block> {
        let mut blocks = self.split().1;
        blocks.retain(|block| block.language == language);
        blocks
    }

    /// The page without its blocks: as many lines.
    pub fn prose(&self) -> String {
        self.split().0
    }

    fn split(&self) -> (String, Vec<Block>) {
        let (mut prose, mut blocks, mut open) = (String::new(), Vec::new(), None::<Block>);
        for (index, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    let language = language.to_owned();
                    open = Some(Block { language, line: index + 2, lines: Vec::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.lines.push(line.to_owned()),
                (None, None) => prose.push_str(line),
            }
            prose.push('\n');
        }
        assert!(open.is_none(), "{}: a block has no end", self.path);
        (prose, blocks)
    }

    /// All commands of its `console` blocks, in order.
    pub fn commands(&self) -> Vec<Command> {
        self.blocks("console").iter().flat_map(|block| self.commands_of(block)).collect()
    }

    fn commands_of(&self, block: &Block) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        let mut continues = false;
        for (index, line) in block.lines.iter().enumerate() {
            let place = format!("{}:{}", self.path, block.line + index);
            if let Some(text) = line.strip_prefix("$ ") {
                let (page, line, text) = (self.path.clone(), block.line + index, text.to_owned());
                commands.push(Command { page, line, text, shown: Vec::new() });
            } else {
                let command = commands.last_mut().unwrap_or_else(|| panic!("{place}: output of no command"));
                match continues {
                    true => command.text = format!("{}\n{line}", command.text),
                    false => command.shown.push(line.clone()),
                }
            }
            continues = commands.last().is_some_and(|command| {
                command.shown.is_empty() && command.text.ends_with('\\') && line.ends_with('\\')
            });
        }
        commands
    }

    /// What its headings are called in links, as GitHub makes them.
    pub fn anchors(&self) -> Vec<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
    }

    /// Where its links lead.
    pub fn links(&self) -> Vec<String> {
        static LINK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\]\(([^)\s]+)\)").unwrap());
        let prose = self.prose();
        LINK.captures_iter(&prose).map(|found| found[1].to_owned()).collect()
    }

    /// Everything in its prose that is set as code.
    pub fn inline_code(&self) -> Vec<String> {
        static CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"`([^`]+)`").unwrap());
        let prose = self.prose();
        CODE.captures_iter(&prose).map(|found| found[1].replace('\n', " ")).collect()
    }

    /// The first columns of the table after `<!-- NAME -->`, without their marks.
    pub fn column(&self, name: &str) -> Vec<String> {
        let mark = format!("<!-- {name} -->");
        let (_, rest) = self.text.split_once(&mark).unwrap_or_else(|| panic!("{} has no {mark}", self.path));
        let rows = rest.lines().skip_while(|line| !line.starts_with('|'));
        let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
        rows.map(|row| row.split('|').nth(1).unwrap().trim().trim_matches('`').to_owned()).collect()
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

impl Command {
    /// In one line, without a comment and with one space between words.
    pub fn line(&self) -> String {
        let text = self.text.replace("\\\n", " ");
        let text = text.split(" # ").next().unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Where it stands, for messages.
    pub fn place(&self) -> String {
        format!("{}:{}: {}", self.page, self.line, self.line())
    }

    /// `crosswheel` and what it is told, if this runs it: by sudo or cargo, with variables, in the background.
    pub fn of_crosswheel(&self) -> Option<Vec<String>> {
        let line = self.line().replace("cargo run --release -- ", "crosswheel ");
        let mut words = shlex::split(&line).unwrap_or_else(|| panic!("{}: odd quotes", self.place()));
        if words.first().is_some_and(|word| word == "sudo") {
            words.remove(0);
            if words[0] == "-u" {
                words.drain(..2);
            }
        }
        let is_variable =
            |word: &String| word.split_once('=').is_some_and(|(name, _)| name.to_uppercase() == name);
        let variables = words.iter().take_while(|word| is_variable(word)).count();
        words.drain(..variables);
        let end = words.iter().position(|word| ["|", "&", "&&", ">"].contains(&word.as_str()));
        words.truncate(end.unwrap_or(words.len()));
        words.first().is_some_and(|word| word == "crosswheel").then_some(words)
    }
}
