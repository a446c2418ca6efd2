//! Whether what others have built on still means the same: `proto/services.binpb` and, for the time of an upgrade, `proto/links.binpb`, the
//! committed descriptors, against those of this build.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};

const COMMITTED: &[u8] = include_bytes!("../../proto/services.binpb");
const COMMITTED_LINKS: &[u8] = include_bytes!("../../proto/links.binpb");
const LINKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/links.binpb"));

/// `message.number` or `service.method`, and what it is.
type Names = BTreeMap<String, String>;

fn names_of(descriptors: &[u8]) -> Names {
    let mut names = Names::new();
    for file in FileDescriptorSet::decode(descriptors).unwrap().file {
        let package = file.package().to_owned();
        file.message_type.iter().for_each(|message| add_message(&package, message, &mut names));
        for service in &file.service {
            for method in &service.method {
                let forms = (method.input_type(), method.client_streaming(), method.output_type(), method.server_streaming());
                names.insert(format!("{package}.{}.{}", service.name(), method.name()), format!("{forms:?}"));
            }
        }
        for each in &file.enum_type {
            for value in &each.value {
                names.insert(format!("{package}.{}.{}", each.name(), value.number()), value.name().to_owned());
            }
        }
    }
    names
}

fn add_message(prefix: &str, message: &DescriptorProto, names: &mut Names) {
    let path = format!("{prefix}.{}", message.name());
    for field in &message.field {
        let what = format!("{} {:?} {:?} {}", field.name(), field.r#type(), field.label(), field.type_name());
        names.insert(format!("{path}.{}", field.number()), what);
    }
    for range in &message.reserved_range {
        for number in range.start()..range.end() {
            names.insert(format!("{path}.{number}"), "reserved".to_owned());
        }
    }
    message.nested_type.iter().for_each(|nested| add_message(&path, nested, names));
    for each in &message.enum_type {
        for value in &each.value {
            names.insert(format!("{path}.{}.{}", each.name(), value.number()), value.name().to_owned());
        }
    }
}

#[test]
fn no_number_of_the_services_is_used_for_something_else() {
    compare("services", COMMITTED, super::DESCRIPTORS);
}

#[test]
fn no_number_of_the_links_is_used_for_something_else() {
    compare("links", COMMITTED_LINKS, LINKS);
}

fn compare(file: &str, committed: &[u8], ours: &[u8]) {
    let (committed, ours) = (names_of(committed), names_of(ours));
    for (name, what) in &committed {
        let now = ours.get(name).map(String::as_str);
        assert!(
            now == Some(what) || now == Some("reserved"),
            "{name} was `{what}` and is {now:?}: others read it; take a new number and reserve this one"
        );
    }
    assert!(
        committed.len() == ours.len(),
        "there are new fields or methods: cp $(ls -t target/*/build/odograph-*/out/{file}.binpb | head -1) proto/{file}.binpb"
    );
}
