//! `protos/` against the crate bazel-remote-apis, whose messages the code uses: both are boiled down to lines that
//! say what is on the wire, and the lines must be the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use super::*;
use crate::waiting::InTime;

const PACKAGES: [&str; 6] = [
    "build.bazel.remote.execution.v2",
    "build.bazel.remote.logstream.v1",
    "build.bazel.semver",
    "google.bytestream",
    "google.longrunning",
    "google.rpc",
];

#[test]
fn our_protos_and_the_messages_in_use_agree() {
    let generated = generated_by_the_crate();
    let set = FileDescriptorSet::decode(SERVICES).unwrap();
    for package in PACKAGES {
        let file = set.file.iter().find(|file| file.package() == package).unwrap();
        let source = fs_err::read_to_string(generated.join(format!("{package}.rs"))).unwrap();
        let (ours, theirs) = (in_descriptor(file), in_source(package, &source));
        assert!(theirs.len() > 2, "nothing to compare in {package}");
        assert_eq!(ours, theirs, "{package}");
    }
}

#[test]
fn what_is_compared_shows_every_difference() {
    let source = r#"
        /// A comment.
        pub struct Some {
            #[prost(string, tag = "1")]
            pub name: ::prost::alloc::string::String,
        }
        "#;
    let facts = |source: &str| in_source("a.b", source);
    assert_eq!(facts(source), BTreeSet::from(["some.name = 1: string".to_owned()]));
    for (from, to) in
        [("\"1\"", "\"2\""), ("string, tag", "bytes, tag"), ("name", "title"), ("Some", "Other")]
    {
        assert_ne!(facts(source), facts(&source.replace(from, to)), "{from} -> {to}");
    }
}

/// Where cargo keeps the source of the crate.
fn generated_by_the_crate() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output_in_time();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "bazel-remote-apis").unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().join("src/generated")
}

/// `ExecutionStage` is a module `execution_stage` in Rust.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (index, character) in name.char_indices() {
        if character.is_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

/// The last two parts of a name, in the same spelling for both sides.
fn short(parts: &[&str]) -> String {
    parts[parts.len().saturating_sub(2)..].iter().map(|part| snake(part)).collect::<Vec<_>>().join(".")
}

// What the descriptors say.

fn in_descriptor(file: &FileDescriptorProto) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for message in &file.message_type {
        message_facts(message, &snake(message.name()), &mut facts);
    }
    for service in &file.service {
        for method in &service.method {
            let stream = |streaming| if streaming { "stream " } else { "" };
            let short = |name: &str| short(&name.split('.').collect::<Vec<_>>());
            facts.insert(format!(
                "/{}.{}/{}({}{}) -> {}{}",
                file.package(),
                service.name(),
                method.name(),
                stream(method.client_streaming()),
                short(method.input_type()),
                stream(method.server_streaming()),
                short(method.output_type()),
            ));
        }
    }
    facts
}

fn message_facts(message: &DescriptorProto, path: &str, facts: &mut BTreeSet<String>) {
    if message.field.is_empty() && message.nested_type.is_empty() && message.enum_type.is_empty() {
        facts.insert(format!("{path} is empty"));
    }
    for field in &message.field {
        let oneof = field.oneof_index.map(|index| {
            let index = usize::try_from(index).unwrap();
            format!(" of {}", message.oneof_decl[index].name())
        });
        let deprecated = if field.options.as_ref().is_some_and(|options| options.deprecated()) {
            " deprecated"
        } else {
            ""
        };
        let (name, number, oneof) = (field.name(), field.number(), oneof.unwrap_or_default());
        facts.insert(format!("{path}.{name} = {number}: {}{oneof}{deprecated}", field_type(field, message)));
    }
    for nested in &message.nested_type {
        let is_map = nested.options.as_ref().is_some_and(|options| options.map_entry());
        if !is_map {
            message_facts(nested, &format!("{path}.{}", snake(nested.name())), facts);
        }
    }
    for values in &message.enum_type {
        enum_facts(values, path, facts);
    }
}

fn enum_facts(values: &EnumDescriptorProto, path: &str, facts: &mut BTreeSet<String>) {
    for value in &values.value {
        facts.insert(format!("{path}.{}: {} = {}", snake(values.name()), value.name(), value.number()));
    }
}

fn field_type(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let type_name = field.type_name();
    let parts: Vec<&str> = type_name.split('.').filter(|part| !part.is_empty()).collect();
    let entry = message.nested_type.iter().find(|nested| {
        nested.options.as_ref().is_some_and(|options| options.map_entry())
            && parts.last() == Some(&nested.name())
    });
    if let Some(entry) = entry {
        let [key, value] = [0, 1].map(|index| field_type(&entry.field[index], entry));
        return format!("map {key} {value}");
    }
    let kind = match field.r#type() {
        Type::Message | Type::Enum => short(&parts),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    if field.label() == Label::Repeated { format!("repeated {kind}") } else { kind }
}

// What the generated source says.

fn in_source(package: &str, source: &str) -> BTreeSet<String> {
    let (messages, services) = match source.find("/// Generated client implementations.") {
        Some(end) => source.split_at(end),
        None => (source, ""),
    };
    let package_end = package.rsplit('.').next().unwrap();
    let mut facts = BTreeSet::new();
    let mut modules: Vec<(usize, String)> = Vec::new();
    let mut current = String::new();
    let mut oneofs: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut variants: BTreeMap<String, String> = BTreeMap::new();
    let mut attribute = None;
    let mut deprecated = "";
    let mut lines = messages.lines();
    while let Some(line) = lines.next() {
        let (code, indent) = (line.trim(), line.len() - line.trim_start().len());
        let path = |name: &str, modules: &[(usize, String)]| {
            let modules = modules.iter().map(|(_, module)| module.clone());
            modules.chain([snake(name)]).collect::<Vec<_>>().join(".")
        };
        if code == "}" && modules.last().is_some_and(|(module, _)| *module == indent) {
            modules.pop();
        } else if let Some(name) = code.strip_prefix("pub mod ") {
            modules.push((indent, name.trim_end_matches(" {").to_owned()));
        } else if let Some(name) = code.strip_prefix("pub struct ") {
            current = path(name.trim_end_matches("{}").trim_end_matches('{').trim(), &modules);
            // A message that only holds an enum has no fields either, but the enum is shown.
            if code.ends_with("{}") && !messages.contains(&format!("pub mod {current} {{")) {
                facts.insert(format!("{current} is empty"));
            }
        } else if let Some(name) = code.strip_prefix("pub enum ") {
            current = path(name.trim_end_matches(" {"), &modules);
            variants.clear();
        } else if code.starts_with("#[deprecated") {
            deprecated = " deprecated";
        } else if let Some(given) = code.strip_prefix("#[prost(") {
            attribute = Some(given.trim_end_matches(")]").to_owned());
        } else if let Some((name, number)) = code.trim_end_matches(',').split_once(" = ")
            && number.parse::<u32>().is_ok()
        {
            variants.insert(name.to_owned(), number.to_owned());
        } else if let Some((variant, wire)) =
            code.strip_prefix("Self::").and_then(|code| code.split_once(" => \""))
        {
            let wire = wire.trim_end_matches("\",");
            facts.insert(format!("{current}: {wire} = {}", variants[variant]));
        } else if let Some(attribute) = attribute.take() {
            let mut declaration = code.to_owned();
            while declaration.matches('<').count() != declaration.matches('>').count() {
                declaration += lines.next().unwrap().trim();
            }
            if let Some((oneof, _)) =
                attribute.strip_prefix("oneof = \"").and_then(|rest| rest.split_once('"'))
            {
                let oneof = oneof.split("::").map(snake).collect::<Vec<_>>().join(".");
                let name = declaration.trim_start_matches("pub ").split(':').next().unwrap().to_owned();
                oneofs.insert(oneof, (current.clone(), name));
            } else if let Some((message, oneof)) = oneofs.get(&current) {
                let (variant, holds) = declaration.split_once('(').unwrap();
                let kind = kind(&attribute, holds.trim_end_matches("),"), package_end);
                facts.insert(format!(
                    "{message}.{} = {}: {kind} of {oneof}",
                    snake(variant),
                    tag(&attribute)
                ));
            } else {
                let (name, holds) = declaration
                    .trim_start_matches("pub ")
                    .split_once(": ")
                    .or_else(|| declaration.trim_start_matches("pub ").split_once(':'))
                    .unwrap();
                let kind = kind(&attribute, holds, package_end);
                let name = name.trim_start_matches("r#");
                facts.insert(format!("{current}.{name} = {}: {kind}{deprecated}", tag(&attribute)));
            }
            deprecated = "";
        }
    }
    facts.extend(methods(services, package_end));
    facts
}

fn tag(attribute: &str) -> &str {
    attribute.split_once("tag = \"").unwrap().1.trim_end_matches('"')
}

/// The type in a prost attribute; `holds` is the Rust type, which names the message.
fn kind(attribute: &str, holds: &str, package_end: &str) -> String {
    let message = || {
        let inner = holds.rsplit('<').next().unwrap().trim_end_matches([',', '>', ' ']);
        rust_name(inner.rsplit([',', ' ']).next().unwrap(), package_end)
    };
    let scalar = |attribute: &str| attribute.split([',', ' ', '"']).next().unwrap().to_owned();
    if let Some((entry, _)) = attribute.strip_prefix("map = \"").and_then(|rest| rest.split_once('"')) {
        let (key, value) = entry.split_once(", ").unwrap();
        let value = if value == "message" { message() } else { value.to_owned() };
        return format!("map {key} {value}");
    }
    let kind = match attribute.strip_prefix("enumeration = \"") {
        Some(rest) => rust_name(rest.split('"').next().unwrap(), package_end),
        None if attribute.starts_with("message") => message(),
        None => scalar(attribute),
    };
    if attribute.contains(", repeated") { format!("repeated {kind}") } else { kind }
}

fn rust_name(path: &str, package_end: &str) -> String {
    let parts = path.split("::").filter(|part| !part.is_empty() && *part != "super");
    let parts: Vec<&str> = [package_end].into_iter().chain(parts).collect();
    short(&parts)
}

/// From the server's side: the trait has the types, the dispatcher the paths.
fn methods(services: &str, package_end: &str) -> BTreeSet<String> {
    let code = services.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect::<String>();
    let mut facts = BTreeSet::new();
    for server in code.split("_server {").skip(1) {
        let streams: BTreeMap<&str, &str> = server
            .split("type ")
            .skip(1)
            .filter_map(|rest| {
                let (name, rest) = rest.split_once(": tonic::codegen::tokio_stream::Stream<")?;
                let item = rest.split_once("Result<")?.1.split(',').next()?;
                Some((name, item))
            })
            .collect();
        let paths: BTreeMap<String, &str> = server
            .split('"')
            .filter(|text| text.starts_with('/'))
            .map(|path| (snake(path.rsplit('/').next().unwrap()), path))
            .collect();
        let name = |path: &str| rust_name(path, package_end);
        for method in server.split("async fn ").skip(1) {
            let Some((function, rest)) = method.split_once("(&self,request: tonic::Request<") else {
                continue;
            };
            let (request, rest) = rest.split_once(">,) -> ").unwrap();
            let response = rest.split_once("tonic::Response<").unwrap().1.split(['>', ',']).next().unwrap();
            let request = match request.strip_prefix("tonic::Streaming<") {
                Some(request) => format!("stream {}", name(request.trim_end_matches('>'))),
                None => name(request),
            };
            let response = match response.strip_prefix("Self::") {
                Some(stream) => format!("stream {}", name(streams[stream])),
                None => name(response),
            };
            facts.insert(format!("{}({request}) -> {response}", paths[function]));
        }
    }
    facts
}
