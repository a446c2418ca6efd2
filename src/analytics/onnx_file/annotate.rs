//! Writes metadata into an ONNX file and leaves every other byte as it is: the graph is copied, not understood.

use std::collections::BTreeMap;

use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key};

use super::{OnnxFileError, StringStringEntryProto};

/// `ModelProto.metadata_props`.
const METADATA_PROPS: u32 = 14;

/// The file with these entries in place of all whose key begins with `prefix`.
///
/// # Errors
/// Where the bytes are no protobuf.
pub fn with_metadata(bytes: &[u8], prefix: &str, entries: &BTreeMap<String, String>) -> Result<Vec<u8>, OnnxFileError> {
    let mut out = Vec::with_capacity(bytes.len() + 4_096);
    let mut rest = bytes;
    while !rest.is_empty() {
        let field = rest;
        let (tag, wire_type) = decode_key(&mut rest)?;
        let content = take_content(&mut rest, wire_type)?;
        let is_replaced = tag == METADATA_PROPS
            && wire_type == WireType::LengthDelimited
            && StringStringEntryProto::decode(content)?.key.starts_with(prefix);
        if !is_replaced {
            out.extend_from_slice(&field[..field.len() - rest.len()]);
        }
    }
    for (key, value) in entries {
        let entry = StringStringEntryProto { key: key.clone(), value: value.clone() };
        encode_key(METADATA_PROPS, WireType::LengthDelimited, &mut out);
        entry.encode_length_delimited(&mut out).expect("a vector has room");
    }
    Ok(out)
}

/// Of one field; of a length-delimited one without its length.
fn take_content<'a>(rest: &mut &'a [u8], wire_type: WireType) -> Result<&'a [u8], OnnxFileError> {
    let length = match wire_type {
        WireType::Varint => {
            let mut after = *rest;
            decode_varint(&mut after)?;
            rest.len() - after.len()
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(rest)?).unwrap_or(usize::MAX),
        WireType::StartGroup | WireType::EndGroup => return Err(OnnxFileError::Damaged),
    };
    let (content, after) = rest.split_at_checked(length).ok_or(OnnxFileError::Damaged)?;
    *rest = after;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics::fixtures::model_file;
    use crate::analytics::onnx_file::metadata_of;

    #[test]
    fn entries_of_the_prefix_are_replaced_and_all_other_bytes_are_kept() {
        let file = model_file("autoencoder");
        let before = metadata_of(&file).unwrap();
        let entries = BTreeMap::from([("odograph.name".to_owned(), "other".to_owned())]);
        let annotated = with_metadata(&file, "odograph.", &entries).unwrap();
        assert_eq!(metadata_of(&annotated).unwrap(), entries);
        assert_eq!(with_metadata(&annotated, "odograph.", &before).unwrap().len(), file.len());
        let bare = with_metadata(&file, "odograph.", &BTreeMap::new()).unwrap();
        assert!(annotated.starts_with(&bare), "the graph stands where it stood");
    }

    #[test]
    fn metadata_of_other_tools_stay() {
        let entries = BTreeMap::from([("producer".to_owned(), "me".to_owned())]);
        let file = with_metadata(&model_file("no_contract"), "odograph.", &entries).unwrap();
        let annotated = with_metadata(&file, "odograph.", &BTreeMap::new()).unwrap();
        assert_eq!(metadata_of(&annotated).unwrap(), entries);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let file = model_file("score");
        let refused = (1..file.len()).filter(|length| with_metadata(&file[..*length], "", &BTreeMap::new()).is_err()).count();
        assert!(refused > file.len() / 2, "{refused} of {}; a cut between two fields cannot be seen here", file.len());
        assert!(with_metadata(b"\x0b", "", &BTreeMap::new()).is_err(), "a group");
    }
}
