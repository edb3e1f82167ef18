//! How the protos are written: the rules of buf's STANDARD and COMMENTS categories that matter to us. One is left out on
//! purpose: services are `Domains`, `Jobs`, `Sessions`, `Administration` and `Notifications`, without the suffix "Service".

mod described;

use std::collections::HashMap;

use described::{
    Comments, OF_ENUM_VALUE, OF_FILE_ENUM, OF_FILE_MESSAGE, OF_FILE_SERVICE, OF_FILE_SYNTAX,
    OF_MESSAGE_FIELD, OF_MESSAGE_ONEOF, OF_SERVICE_METHOD, files, index,
};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, ServiceDescriptorProto};

/// What is wrong in a file, a line each.
struct Review<'a> {
    comments: &'a Comments,
    complaints: Vec<String>,
}

impl Review<'_> {
    fn must(&mut self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            self.complaints.push(complaint());
        }
    }

    fn is_commented(&mut self, what: &str, path: &[i32]) {
        let is_sentence = self.comments.at(path).trim_end_matches(')').ends_with('.');
        self.must(is_sentence, || format!("{what} has no sentence before it"));
    }
}

fn is_lower_snake(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('_')
        && !text.contains("__")
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_pascal(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// `ListOrder` as `LIST_ORDER`.
fn upper_snake(pascal: &str) -> String {
    let mut name = String::new();
    for letter in pascal.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}

fn review(file: &FileDescriptorProto, comments: &Comments) -> Vec<String> {
    let mut review = Review { comments, complaints: Vec::new() };
    review_file(&mut review, file);
    for (position, service) in file.service.iter().enumerate() {
        review_service(&mut review, service, &[OF_FILE_SERVICE, index(position)]);
    }
    for (position, message) in file.message_type.iter().enumerate() {
        review_message(&mut review, message, &[OF_FILE_MESSAGE, index(position)]);
    }
    for (position, of_enum) in file.enum_type.iter().enumerate() {
        review_enum(&mut review, of_enum, &[OF_FILE_ENUM, index(position)]);
    }
    review.complaints
}

fn review_file(review: &mut Review<'_>, file: &FileDescriptorProto) {
    let name = file.name();
    review.must(file.syntax() == "proto3", || format!("{name} is not proto3"));
    let (folder, own_name) = name.rsplit_once('/').unwrap_or(("", name));
    review.must(folder == file.package().replace('.', "/"), || {
        format!("{name} stands in another folder than its package {}", file.package())
    });
    review.must(is_lower_snake(own_name.trim_end_matches(".proto")), || {
        format!("{name} is not in lower snake case")
    });
    let version = file.package().rsplit('.').next().unwrap_or_default();
    let is_version = version.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok());
    review.must(is_version, || format!("the package of {name} has no version"));
    review.must(file.public_dependency.is_empty() && file.weak_dependency.is_empty(), || {
        format!("{name} has public or weak imports")
    });
    review.is_commented(name, &[OF_FILE_SYNTAX]);
}

fn review_service(review: &mut Review<'_>, service: &ServiceDescriptorProto, path: &[i32]) {
    let name = service.name();
    review.must(is_pascal(name), || format!("service {name} is not in Pascal case"));
    review.is_commented(name, path);
    for (position, method) in service.method.iter().enumerate() {
        let method_name = method.name();
        let path = [path, &[OF_SERVICE_METHOD, index(position)]].concat();
        review.is_commented(method_name, &path);
        review.must(is_pascal(method_name), || format!("{method_name} is not in Pascal case"));
        for (of_method, suffix) in [(method.input_type(), "Request"), (method.output_type(), "Response")] {
            let standard = of_method.rsplit('.').next() == Some(&format!("{method_name}{suffix}"));
            review.must(standard, || {
                format!("{method_name} has {of_method} where {method_name}{suffix} is usual")
            });
        }
    }
}

fn review_message(review: &mut Review<'_>, message: &DescriptorProto, path: &[i32]) {
    let name = message.name();
    review.must(is_pascal(name), || format!("message {name} is not in Pascal case"));
    review.must(message.nested_type.is_empty() && message.enum_type.is_empty(), || {
        format!("{name} has types within, which the reference does not show")
    });
    review.is_commented(name, path);
    for (position, field) in message.field.iter().enumerate() {
        let what = format!("{name}.{}", field.name());
        review.must(is_lower_snake(field.name()), || format!("{what} is not in lower snake case"));
        review.is_commented(&what, &[path, &[OF_MESSAGE_FIELD, index(position)]].concat());
    }
    for (position, oneof) in message.oneof_decl.iter().enumerate() {
        let what = format!("{name}.{}", oneof.name());
        // What `optional` is made of has no place in the file.
        let is_synthetic = message
            .field
            .iter()
            .any(|field| field.proto3_optional() && field.oneof_index == Some(index(position)));
        if !is_synthetic {
            review.must(is_lower_snake(oneof.name()), || format!("{what} is not in lower snake case"));
            review.is_commented(&what, &[path, &[OF_MESSAGE_ONEOF, index(position)]].concat());
        }
    }
}

fn review_enum(review: &mut Review<'_>, of_enum: &EnumDescriptorProto, path: &[i32]) {
    let name = of_enum.name();
    review.must(is_pascal(name), || format!("enum {name} is not in Pascal case"));
    review.is_commented(name, path);
    let prefix = format!("{}_", upper_snake(name));
    let aliases = of_enum.options.as_ref().is_some_and(prost_types::EnumOptions::allow_alias);
    review.must(!aliases, || format!("{name} has two names for one number"));
    for (position, value) in of_enum.value.iter().enumerate() {
        let value_name = value.name();
        review.must(value_name.starts_with(&prefix), || format!("{value_name} does not begin with {prefix}"));
        review.must(
            is_lower_snake(&value_name.to_lowercase()) && value_name == value_name.to_uppercase(),
            || format!("{value_name} is not in upper snake case"),
        );
        if position == 0 {
            review.must(value.number() == 0 && value_name == format!("{prefix}UNSPECIFIED"), || {
                format!("{value_name} comes first and is not {prefix}UNSPECIFIED = 0")
            });
        } else {
            review.is_commented(value_name, &[path, &[OF_ENUM_VALUE, index(position)]].concat());
        }
    }
}

/// Types that more than one method takes or gives.
fn shared_by_methods(files: &[FileDescriptorProto]) -> Vec<String> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    let methods = files.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
    for method in methods {
        *uses.entry(method.input_type()).or_default() += 1;
        *uses.entry(method.output_type()).or_default() += 1;
    }
    let shared = uses.into_iter().filter(|(_, count)| *count > 1);
    shared.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_protos_keep_to_the_usual_style() {
    let files = files();
    assert!(files.len() >= 4, "these are all files");
    let complaints: Vec<String> = files.iter().flat_map(|file| review(file, &Comments::of(file))).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert_eq!(shared_by_methods(&files), Vec::<String>::new());
}

type Change = dyn Fn(&mut FileDescriptorProto, &mut Comments);

/// Each thing that is not as usual is found, and nothing else is said.
#[test]
fn what_is_not_as_usual_is_found() {
    let good = files().into_iter().find(|file| !file.service.is_empty()).unwrap();
    let said = |change: &Change| {
        let mut changed = good.clone();
        let mut comments = Comments::of(&changed);
        change(&mut changed, &mut comments);
        review(&changed, &comments).join("\n")
    };
    assert_eq!(said(&|_, _| {}), "");
    let changes: [(&Change, &str); 10] = [
        (&|file, _| file.package = Some("sslmanager.v2".into()), "another folder"),
        (&|file, _| file.syntax = None, "not proto3"),
        (&|file, _| file.public_dependency.push(0), "public or weak"),
        (
            &|file, _| file.service[0].method[0].name = Some("addDomain".into()),
            "addDomain is not in Pascal case",
        ),
        (
            &|file, _| file.service[0].method[0].output_type = Some(".sslmanager.v1.Domain".into()),
            "AddDomainResponse is usual",
        ),
        (
            &|file, _| file.message_type[0].field[0].name = Some("Name".into()),
            "Name is not in lower snake case",
        ),
        (&|file, _| file.enum_type[0].value[0].number = Some(7), "comes first"),
        (
            &|file, _| file.enum_type[0].value[1].name = Some("FINE".into()),
            "FINE does not begin with CHECK_OUTCOME_",
        ),
        (
            &|_, comments| comments.remove(&[OF_FILE_SERVICE, 0, OF_SERVICE_METHOD, 1]),
            "BatchAddDomains has no sentence",
        ),
        (&|_, comments| comments.remove(&[OF_FILE_MESSAGE, 0, OF_MESSAGE_FIELD, 0]), "name has no sentence"),
    ];
    for (change, complaint) in changes {
        let said = said(change);
        assert!(said.contains(complaint), "{complaint:?} in {said:?}");
    }
    let mut twice = good.clone();
    let method = twice.service[0].method[0].clone();
    twice.service[0].method.push(method);
    assert_eq!(shared_by_methods(&[twice]).len(), 2);
}
