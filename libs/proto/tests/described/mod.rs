//! The descriptors of our own files, with their comments.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::HashMap;

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

// Field numbers in google/protobuf/descriptor.proto, of which the paths to comments are made.
pub(crate) const OF_FILE_MESSAGE: i32 = 4;
pub(crate) const OF_FILE_ENUM: i32 = 5;
pub(crate) const OF_FILE_SERVICE: i32 = 6;
pub(crate) const OF_FILE_SYNTAX: i32 = 12;
pub(crate) const OF_SERVICE_METHOD: i32 = 2;
pub(crate) const OF_MESSAGE_FIELD: i32 = 2;
pub(crate) const OF_MESSAGE_ONEOF: i32 = 8;
pub(crate) const OF_ENUM_VALUE: i32 = 2;

/// Every file that is ours, in the order in which they are compiled.
pub(crate) fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).expect("our own descriptors");
    let ours = set.file.into_iter().filter(|file| !file.package().starts_with("google."));
    ours.collect()
}

/// What stands before each thing in a file, by its path.
pub(crate) struct Comments(HashMap<Vec<i32>, String>);

impl Comments {
    pub(crate) fn of(file: &FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let comments =
            locations.map(|location| (location.path.clone(), trimmed(location.leading_comments())));
        Self(comments.filter(|(_, text)| !text.is_empty()).collect())
    }

    /// Empty if there is none.
    pub(crate) fn at(&self, path: &[i32]) -> &str {
        self.0.get(path).map_or("", String::as_str)
    }

    pub(crate) fn remove(&mut self, path: &[i32]) {
        self.0.remove(path);
    }
}

fn trimmed(comment: &str) -> String {
    let lines: Vec<&str> = comment.lines().map(str::trim).collect();
    lines.join("\n").trim().to_owned()
}

/// A position in a list as a part of a path.
pub(crate) fn index(position: usize) -> i32 {
    i32::try_from(position).expect("a small number")
}
