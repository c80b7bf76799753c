//! Starlark as buildifier formats it: strings, lists, dicts, calls. Knows nothing of what is called.

use std::fmt::Write;

/// An argument's value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// In the order given.
    List(Vec<String>),
    Dict(Vec<(String, String)>),
}

/// A call with named arguments, such as a target in a BUILD file.
#[derive(Debug, Clone)]
pub(super) struct Call {
    function: &'static str,
    arguments: Vec<(&'static str, Value)>,
}

impl Call {
    /// A call of `function` that makes the target `name`.
    pub fn target(function: &'static str, name: &str) -> Self {
        Self { function, arguments: Vec::new() }.text("name", name)
    }

    /// A call without arguments.
    pub fn new(function: &'static str) -> Self {
        Self { function, arguments: Vec::new() }
    }

    pub fn text(mut self, argument: &'static str, value: impl Into<String>) -> Self {
        self.arguments.push((argument, Value::Text(value.into())));
        self
    }

    pub fn list<T: Into<String>>(
        mut self,
        argument: &'static str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        self.arguments.push((argument, Value::List(values.into_iter().map(Into::into).collect())));
        self
    }

    pub fn dict(mut self, argument: &'static str, entries: &[(String, String)]) -> Self {
        self.arguments.push((argument, Value::Dict(entries.to_vec())));
        self
    }

    /// The call, its first line at column `indent`; without a line break at its end.
    pub fn print(&self, indent: usize) -> String {
        let pad = " ".repeat(indent);
        let mut text = format!("{pad}{}(", self.function);
        if let [(argument, value @ Value::Text(_))] = self.arguments.as_slice() {
            let _ = write!(text, "{argument} = {})", print_value(value, indent));
            return text;
        }
        text.push('\n');
        for (argument, value) in &self.arguments {
            let _ = writeln!(text, "{pad}    {argument} = {},", print_value(value, indent + 4));
        }
        text + &pad + ")"
    }
}

/// Prints `value`, of which the first line begins somewhere on a line indented by `indent`.
fn print_value(value: &Value, indent: usize) -> String {
    match value {
        Value::Text(text) => quote(text),
        Value::List(items) => {
            print_items('[', ']', &items.iter().map(|item| quote(item)).collect::<Vec<_>>(), indent)
        }
        Value::Dict(entries) => {
            let entry = |(key, value): &(String, String)| format!("{}: {}", quote(key), quote(value));
            print_items('{', '}', &entries.iter().map(entry).collect::<Vec<_>>(), indent)
        }
    }
}

/// One on a line, unless there is but one.
pub(super) fn print_items(open: char, close: char, items: &[String], indent: usize) -> String {
    match items {
        [] => format!("{open}{close}"),
        [item] if !item.contains('\n') => format!("{open}{item}{close}"),
        items => {
            let pad = " ".repeat(indent);
            let lines: String = items.iter().map(|item| format!("{pad}    {item},\n")).collect();
            format!("{open}\n{lines}{pad}{close}")
        }
    }
}

/// A string literal. `text` has no control characters but tabs and line breaks, for which
/// [`ModelError`](super::model::ModelError) sees: no other escape means the same in all Starlarks.
pub(super) fn quote(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for character in text.chars() {
        match character {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\t' => literal.push_str("\\t"),
            other => literal.push(other),
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_look_as_buildifier_leaves_them() {
        let one = Call::target("toolchain_type", "t");
        assert_eq!(one.print(0), r#"toolchain_type(name = "t")"#);
        let several = Call::target("f", "a\"\\\n")
            .list("none", Vec::<String>::new())
            .list("single", ["x"])
            .list("more", ["x", "y"])
            .dict("dict", &[("k".into(), "v".into())]);
        assert_eq!(
            several.print(4),
            "    f(\n        name = \"a\\\"\\\\\\n\",\n        none = [],\n        single = [\"x\"],\n        \
             more = [\n            \"x\",\n            \"y\",\n        ],\n        dict = {\"k\": \"v\"},\n    )"
        );
    }
}
