//! docs/API.md says what the protos say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod described;

use std::fmt::Write as _;
use std::path::Path;

use described::{
    Comments, OF_ENUM_VALUE, OF_FILE_ENUM, OF_FILE_MESSAGE, OF_FILE_SERVICE, OF_FILE_SYNTAX,
    OF_MESSAGE_FIELD, OF_SERVICE_METHOD, files, index,
};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto,
};

/// Set, it has the file written instead of compared.
const WRITE: &str = "WRITE_API_REFERENCE";
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/API.md");
const HEAD: &str = "\
# API reference

Written by `make docs` from the comments in [proto/sslmanager/v1](../proto/sslmanager/v1): change them, not this file.
The reflection service says the same to programs.
";

fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut files = files();
    // Services first: that is what is looked for.
    files.sort_by_key(|file| file.service.is_empty());
    for file in &files {
        describe_file(&mut text, file).unwrap();
    }
    text
}

fn describe_file(text: &mut String, file: &FileDescriptorProto) -> std::fmt::Result {
    let comments = Comments::of(file);
    let name = file.name().rsplit('/').next().unwrap_or_default();
    writeln!(text, "\n## {name}\n\n{}", comments.at(&[OF_FILE_SYNTAX]))?;
    for (position, service) in file.service.iter().enumerate() {
        let path = [OF_FILE_SERVICE, index(position)];
        let full_name = format!("{}.{}", file.package(), service.name());
        writeln!(text, "\n### Service {}\n", service.name())?;
        writeln!(text, "`{full_name}`: {}", comments.at(&path))?;
        for (position, method) in service.method.iter().enumerate() {
            let path = [&path[..], &[OF_SERVICE_METHOD, index(position)]].concat();
            describe_method(text, method, comments.at(&path))?;
        }
    }
    for (position, message) in file.message_type.iter().enumerate() {
        describe_message(text, message, &[OF_FILE_MESSAGE, index(position)], &comments)?;
    }
    for (position, of_enum) in file.enum_type.iter().enumerate() {
        describe_enum(text, of_enum, &[OF_FILE_ENUM, index(position)], &comments)?;
    }
    Ok(())
}

fn describe_method(text: &mut String, method: &MethodDescriptorProto, comment: &str) -> std::fmt::Result {
    let stream = |streams| if streams { "stream of " } else { "" };
    writeln!(text, "\n#### {}\n\n{comment}\n", method.name())?;
    writeln!(
        text,
        "Takes {}{}, gives {}{}.",
        stream(method.client_streaming()),
        link(method.input_type()),
        stream(method.server_streaming()),
        link(method.output_type())
    )
}

fn describe_message(
    text: &mut String,
    message: &DescriptorProto,
    path: &[i32],
    comments: &Comments,
) -> std::fmt::Result {
    writeln!(text, "\n### {}\n\n{}", message.name(), comments.at(path))?;
    if message.field.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n| field | number | type | |\n|---|---|---|---|")?;
    for (position, field) in message.field.iter().enumerate() {
        let path = [path, &[OF_MESSAGE_FIELD, index(position)]].concat();
        let (name, number) = (field.name(), field.number());
        let (of_type, meaning) = (type_of(message, field), in_cell(comments.at(&path)));
        writeln!(text, "| `{name}` | {number} | {of_type} | {meaning} |")?;
    }
    Ok(())
}

fn describe_enum(
    text: &mut String,
    of_enum: &EnumDescriptorProto,
    path: &[i32],
    comments: &Comments,
) -> std::fmt::Result {
    writeln!(text, "\n### {}\n\n{}", of_enum.name(), comments.at(path))?;
    writeln!(text, "\n| value | number | |\n|---|---|---|")?;
    for (position, value) in of_enum.value.iter().enumerate() {
        let path = [path, &[OF_ENUM_VALUE, index(position)]].concat();
        let (name, number) = (value.name(), value.number());
        writeln!(text, "| `{name}` | {number} | {} |", in_cell(comments.at(&path)))?;
    }
    Ok(())
}

fn type_of(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let of_type = match field.r#type() {
        Type::Message | Type::Enum => link(field.type_name()),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    if field.label() == Label::Repeated {
        return format!("repeated {of_type}");
    }
    if field.proto3_optional() {
        return format!("optional {of_type}");
    }
    let oneof = field.oneof_index.and_then(|at| message.oneof_decl.get(usize::try_from(at).ok()?));
    oneof.map_or(of_type.clone(), |oneof| format!("{of_type}, one of `{}`", oneof.name()))
}

/// A type of ours as a link to its heading, another by its full name.
fn link(full_name: &str) -> String {
    let full_name = full_name.trim_start_matches('.');
    match full_name.strip_prefix("sslmanager.v1.") {
        Some(name) => format!("[{name}](#{})", name.to_lowercase()),
        None => format!("`{full_name}`"),
    }
}

fn in_cell(comment: &str) -> String {
    comment.replace('\n', " ").replace('|', "\\|")
}

#[test]
fn the_reference_is_what_the_protos_say() {
    let (path, current) = (Path::new(REFERENCE), reference());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, &current).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let difference = kept.lines().zip(current.lines()).find(|(kept, current)| kept != current);
    assert!(kept == current, "docs/API.md is stale: `make docs`; first: {difference:?}");
}

/// Two headings of one name would have one link lead to the other.
#[test]
fn every_heading_is_there_once() {
    let text = reference();
    let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    let mut unique =
        headings.iter().map(|line| line.trim_start_matches('#').to_lowercase()).collect::<Vec<_>>();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), headings.len());
    for link in text.split("](#").skip(1) {
        let name = link.split(')').next().unwrap_or_default();
        assert!(unique.iter().any(|heading| heading.trim() == name), "#{name} leads nowhere");
    }
}
