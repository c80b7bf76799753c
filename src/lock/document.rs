//! A TOML file whose values know where they stand, so that whoever finds something wrong with one can say the line and
//! the key. Knows no key by name.

use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use pep508_rs::PackageName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::LockError;

/// A value, and where it stands.
pub(super) type Item<'i> = Spanned<DeValue<'i>>;

/// What is wrong with the value at a place of a document.
#[derive(Debug)]
pub(super) struct Defect {
    /// In bytes.
    at: Range<usize>,
    /// A key that is missing there.
    missing: Option<&'static str>,
    reason: String,
}

impl Defect {
    pub(super) fn new(item: &Item<'_>, reason: impl Into<String>) -> Self {
        Self { at: item.span(), missing: None, reason: reason.into() }
    }
}

/// The text of a file of at most `limit` bytes.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String, LockError> {
    let unreadable = |source| LockError::Unreadable { path: path.to_owned(), source };
    let size = fs_err::metadata(path).map_err(unreadable)?.len();
    if size > limit {
        return Err(LockError::TooLarge { path: path.to_owned(), size, limit });
    }
    fs_err::read_to_string(path).map_err(unreadable)
}

/// A TOML file.
pub(super) struct Document<'i> {
    file: &'i Path,
    text: &'i str,
    root: Spanned<DeTable<'i>>,
}

impl<'i> Document<'i> {
    /// Parses `text`, which `file` holds. Tables deeper than 80 are refused by the parser.
    pub(super) fn parse(file: &'i Path, text: &'i str) -> Result<Self, LockError> {
        let root = DeTable::parse(text).map_err(|error| LockError::Syntax {
            file: file.to_owned(),
            line: line_of(text, error.span().unwrap_or_default().start),
            reason: error.message().to_owned(),
        })?;
        Ok(Self { file, text, root })
    }

    pub(super) fn root(&self) -> Table<'_> {
        Table { entries: self.root.get_ref(), at: self.root.span() }
    }

    /// Says where `defect` is.
    pub(super) fn error(&self, defect: Defect) -> LockError {
        let mut key = self.key_of(&defect.at);
        if let Some(missing) = defect.missing {
            key = if key.is_empty() { missing.to_owned() } else { format!("{key}.{missing}") };
        }
        LockError::Malformed {
            file: self.file.to_owned(),
            line: line_of(self.text, defect.at.start),
            key,
            reason: defect.reason,
        }
    }

    /// The key of the value at exactly that place. An array of tables is where its first table is, which is meant then.
    fn key_of(&self, at: &Range<usize>) -> String {
        let below = |prefix: &str, name: &str| match prefix {
            "" => name.to_owned(),
            prefix => format!("{prefix}.{name}"),
        };
        let mut ahead: Vec<(String, &Item<'_>)> =
            self.root.get_ref().iter().map(|(name, item)| (name.get_ref().to_string(), item)).collect();
        let mut found = String::new();
        while let Some((key, item)) = ahead.pop() {
            if item.span() == *at && key.len() > found.len() {
                found.clone_from(&key);
            }
            match item.get_ref() {
                DeValue::Table(table) => {
                    ahead.extend(table.iter().map(|(name, item)| (below(&key, name.get_ref()), item)));
                }
                DeValue::Array(array) => {
                    ahead.extend(array.iter().enumerate().map(|(at, item)| (format!("{key}[{at}]"), item)));
                }
                _ => {}
            }
        }
        found
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// A table, and where it stands.
#[derive(Clone)]
pub(super) struct Table<'a> {
    entries: &'a DeTable<'a>,
    at: Range<usize>,
}

impl<'a> Table<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Item<'a>> {
        self.entries.get(key)
    }

    /// Something wrong with the table as a whole.
    pub(super) fn defect(&self, reason: impl Into<String>) -> Defect {
        Defect { at: self.at.clone(), missing: None, reason: reason.into() }
    }

    pub(super) fn need(&self, key: &'static str) -> Result<&'a Item<'a>, Defect> {
        self.get(key).ok_or_else(|| Defect {
            at: self.at.clone(),
            missing: Some(key),
            reason: "is missing".to_owned(),
        })
    }

    /// The keys and their values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Item<'a>)> + use<'a> {
        self.entries.iter().map(|(name, item)| (&**name.get_ref(), item))
    }

    /// The text of `key`, if it is there.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Defect> {
        self.get(key).map(text).transpose()
    }

    /// What the text of `key` says, if it is there.
    pub(super) fn parsed<T: FromStr<Err: ToString>>(&self, key: &str) -> Result<Option<T>, Defect> {
        self.get(key).map(parsed).transpose()
    }

    /// The table of `key`; an empty one if it is not there.
    pub(super) fn table(&self, key: &str) -> Result<Option<Table<'a>>, Defect> {
        self.get(key).map(table).transpose()
    }

    /// The entries of the table `key`; none if it is not there.
    pub(super) fn entries_of(&self, key: &str) -> Result<Vec<(&'a str, &'a Item<'a>)>, Defect> {
        Ok(self.table(key)?.map(|table| table.entries().collect()).unwrap_or_default())
    }

    /// The boolean of `key`, if it is there.
    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, Defect> {
        let boolean = |item: &Item<'_>| item.get_ref().as_bool().ok_or_else(|| expected("a boolean", item));
        self.get(key).map(boolean).transpose()
    }

    /// The values of the array `key`; none if it is not there.
    pub(super) fn array(&self, key: &str) -> Result<impl Iterator<Item = &'a Item<'a>> + use<'a>, Defect> {
        Ok(self.get(key).map(array).transpose()?.into_iter().flatten())
    }

    /// What the texts of the array `key` say.
    pub(super) fn parsed_list<T: FromStr<Err: ToString>>(&self, key: &str) -> Result<Vec<T>, Defect> {
        self.array(key)?.map(parsed).collect()
    }
}

pub(super) fn text<'a>(item: &'a Item<'_>) -> Result<&'a str, Defect> {
    item.get_ref().as_str().ok_or_else(|| expected("a string", item))
}

pub(super) fn parsed<T: FromStr<Err: ToString>>(item: &Item<'_>) -> Result<T, Defect> {
    let text = text(item)?;
    text.parse().map_err(|error: T::Err| Defect::new(item, error.to_string()))
}

/// A name; `pep508_rs` takes the empty text for one.
pub(super) fn package_name(item: &Item<'_>) -> Result<PackageName, Defect> {
    if text(item)?.is_empty() { Err(Defect::new(item, "a name cannot be empty")) } else { parsed(item) }
}

/// What the key of a table says.
pub(super) fn name_of_key<T: FromStr<Err: ToString>>(key: &str, item: &Item<'_>) -> Result<T, Defect> {
    key.parse().map_err(|error: T::Err| Defect::new(item, error.to_string()))
}

pub(super) fn integer(item: &Item<'_>) -> Result<i64, Defect> {
    let number = item.get_ref().as_integer();
    let number = number.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
    number.ok_or_else(|| expected("an integer", item))
}

pub(super) fn table<'a>(item: &'a Item<'a>) -> Result<Table<'a>, Defect> {
    let entries = item.get_ref().as_table().ok_or_else(|| expected("a table", item))?;
    Ok(Table { entries, at: item.span() })
}

pub(super) fn array<'a>(item: &'a Item<'a>) -> Result<impl Iterator<Item = &'a Item<'a>> + use<'a>, Defect> {
    Ok(item.get_ref().as_array().ok_or_else(|| expected("an array", item))?.iter())
}

fn expected(what: &str, item: &Item<'_>) -> Defect {
    Defect::new(item, format!("{what} is expected, not {}", described(item.get_ref())))
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
