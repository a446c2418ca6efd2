//! What an ONNX file says about itself, and whether it is safe to hand to the runtime. Runs nothing and knows no contract.
//!
//! A model comes from outside. Refused here, before the runtime sees a byte: files that name other files (external data of any kind),
//! operators beyond the two domains of the ONNX standard, other formats that the runtime would recognise, and files that are too large.

mod annotate;

use std::collections::BTreeMap;

use prost::Message;

pub use annotate::with_metadata;

/// A model that needs more is none for a lane: the largest that FACTS measured has 4 MB.
pub const MAX_FILE_BYTES: usize = 64 << 20;

/// The standard's own. Everything else is a custom operator, the runtime's `com.microsoft` included.
const ALLOWED_DOMAINS: [&str; 3] = ["", "ai.onnx", "ai.onnx.ml"];

/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum OnnxFileError {
    #[error("the file has {bytes} bytes; at most {MAX_FILE_BYTES} are accepted")]
    TooLarge { bytes: usize },
    #[error("the file is no ONNX model: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error("the file is in ONNX Runtime's own format; only ONNX is accepted, since only ONNX can be checked")]
    OtherFormat,
    #[error("the file has no graph")]
    NoGraph,
    #[error("the file is no ONNX model: it is cut short or damaged")]
    Damaged,
    #[error("{place} keeps its data in another file; save the model with all data inside")]
    ExternalData { place: String },
    #[error(
        "{place} is operator {operator:?} of domain {domain:?}; only the standard domains ai.onnx and ai.onnx.ml are accepted"
    )]
    CustomDomain { place: String, operator: String, domain: String },
    #[error("metadata key {key:?} is there twice")]
    DuplicateKey { key: String },
}

/// The `metadata_props` of a file that is safe to load.
///
/// # Errors
/// [`OnnxFileError`] with what is wrong and where.
pub fn metadata_of(bytes: &[u8]) -> Result<BTreeMap<String, String>, OnnxFileError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(OnnxFileError::TooLarge { bytes: bytes.len() });
    }
    // The identifier of a flatbuffer stands at byte 4; a file could be both, and the runtime would take it for this one.
    if bytes.get(4..8) == Some(b"ORTM") {
        return Err(OnnxFileError::OtherFormat);
    }
    let model = ModelProto::decode(bytes)?;
    check_graph(model.graph.as_ref().ok_or(OnnxFileError::NoGraph)?, &model)?;
    for training in &model.training_info {
        training.initialization.iter().chain(&training.algorithm).try_for_each(|graph| check_graph(graph, &model))?;
    }
    for function in &model.functions {
        check_nodes(&function.node, &model)?;
        check_attributes(&function.attribute_proto, &function.name, &model)?;
    }
    let mut metadata = BTreeMap::new();
    for entry in model.metadata_props {
        if metadata.insert(entry.key.clone(), entry.value).is_some() {
            return Err(OnnxFileError::DuplicateKey { key: entry.key });
        }
    }
    Ok(metadata)
}

fn check_graph(graph: &GraphProto, model: &ModelProto) -> Result<(), OnnxFileError> {
    for tensor in &graph.initializer {
        check_tensor(tensor, "initializer")?;
    }
    for sparse in &graph.sparse_initializer {
        check_sparse(sparse, "sparse initializer")?;
    }
    check_nodes(&graph.node, model)
}

fn check_nodes(nodes: &[NodeProto], model: &ModelProto) -> Result<(), OnnxFileError> {
    for node in nodes {
        let place = format!("node {:?}", node.name);
        // A function of the file itself is no custom operator: its body is checked like the graph.
        // One that takes the name of an operator that the runtime brings along could end up as that operator.
        let is_function = !node.domain.starts_with("com.microsoft")
            && model.functions.iter().any(|function| function.domain == node.domain && function.name == node.op_type);
        if !ALLOWED_DOMAINS.contains(&node.domain.as_str()) && !is_function {
            let (operator, domain) = (node.op_type.clone(), node.domain.clone());
            return Err(OnnxFileError::CustomDomain { place, operator, domain });
        }
        check_attributes(&node.attribute, &place, model)?;
    }
    Ok(())
}

/// Attributes hold constants and the bodies of loops and branches. The decoder's own limit of nesting bounds the recursion.
fn check_attributes(attributes: &[AttributeProto], place: &str, model: &ModelProto) -> Result<(), OnnxFileError> {
    for attribute in attributes {
        attribute.t.as_deref().into_iter().chain(&attribute.tensors).try_for_each(|tensor| check_tensor(tensor, place))?;
        attribute
            .sparse_tensor
            .as_deref()
            .into_iter()
            .chain(&attribute.sparse_tensors)
            .try_for_each(|sparse| check_sparse(sparse, place))?;
        attribute.g.as_deref().into_iter().chain(&attribute.graphs).try_for_each(|graph| check_graph(graph, model))?;
    }
    Ok(())
}

fn check_sparse(sparse: &SparseTensorProto, place: &str) -> Result<(), OnnxFileError> {
    sparse.values.iter().chain(&sparse.indices).try_for_each(|tensor| check_tensor(tensor, place))
}

fn check_tensor(tensor: &TensorProto, place: &str) -> Result<(), OnnxFileError> {
    if tensor.data_location == EXTERNAL || !tensor.external_data.is_empty() {
        return Err(OnnxFileError::ExternalData { place: format!("{place} {:?}", tensor.name) });
    }
    Ok(())
}

// The part of onnx.proto (ONNX 1.19, IR version 11) that this check reads; everything else, the weights among it, is skipped over.

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, boxed, tag = "7")]
    graph: Option<Box<GraphProto>>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringStringEntryProto>,
    #[prost(message, repeated, tag = "20")]
    training_info: Vec<TrainingInfoProto>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionProto>,
}

#[derive(Clone, PartialEq, Message)]
struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct TrainingInfoProto {
    #[prost(message, optional, boxed, tag = "1")]
    initialization: Option<Box<GraphProto>>,
    #[prost(message, optional, boxed, tag = "2")]
    algorithm: Option<Box<GraphProto>>,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "7")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "10")]
    domain: String,
    #[prost(message, repeated, tag = "11")]
    attribute_proto: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializer: Vec<SparseTensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(message, optional, boxed, tag = "5")]
    t: Option<Box<TensorProto>>,
    #[prost(message, optional, boxed, tag = "6")]
    g: Option<Box<GraphProto>>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<GraphProto>,
    #[prost(message, optional, boxed, tag = "22")]
    sparse_tensor: Option<Box<SparseTensorProto>>,
    #[prost(message, repeated, tag = "23")]
    sparse_tensors: Vec<SparseTensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct SparseTensorProto {
    #[prost(message, optional, boxed, tag = "1")]
    values: Option<Box<TensorProto>>,
    #[prost(message, optional, boxed, tag = "2")]
    indices: Option<Box<TensorProto>>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(string, tag = "8")]
    name: String,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<StringStringEntryProto>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn external() -> TensorProto {
        TensorProto { name: "weights".to_owned(), data_location: EXTERNAL, ..TensorProto::default() }
    }

    fn refusal(model: &ModelProto) -> String {
        metadata_of(&model.encode_to_vec()).unwrap_err().to_string()
    }

    fn with_graph(graph: GraphProto) -> ModelProto {
        ModelProto { graph: Some(Box::new(graph)), ..ModelProto::default() }
    }

    fn with_attribute(attribute: AttributeProto) -> GraphProto {
        let node = NodeProto {
            name: "n".to_owned(),
            op_type: "Constant".to_owned(),
            attribute: vec![attribute],
            ..NodeProto::default()
        };
        GraphProto { node: vec![node], ..GraphProto::default() }
    }

    #[test]
    fn external_data_is_refused_wherever_it_hides() {
        let sparse = || SparseTensorProto { values: None, indices: Some(Box::new(external())) };
        let in_attribute = |attribute| with_graph(with_attribute(attribute));
        let inner_graph = || with_attribute(AttributeProto { tensors: vec![external()], ..AttributeProto::default() });
        let only_its_name = TensorProto {
            external_data: vec![StringStringEntryProto { key: "location".to_owned(), value: "/etc/passwd".to_owned() }],
            ..TensorProto::default()
        };
        let function = FunctionProto { node: inner_graph().node, ..FunctionProto::default() };
        let training = TrainingInfoProto { initialization: None, algorithm: Some(Box::new(inner_graph())) };
        let models = [
            with_graph(GraphProto { initializer: vec![external()], ..GraphProto::default() }),
            with_graph(GraphProto { initializer: vec![only_its_name], ..GraphProto::default() }),
            with_graph(GraphProto { sparse_initializer: vec![sparse()], ..GraphProto::default() }),
            in_attribute(AttributeProto { t: Some(Box::new(external())), ..AttributeProto::default() }),
            in_attribute(AttributeProto { sparse_tensor: Some(Box::new(sparse())), ..AttributeProto::default() }),
            in_attribute(AttributeProto { sparse_tensors: vec![sparse()], ..AttributeProto::default() }),
            in_attribute(AttributeProto { g: Some(Box::new(inner_graph())), ..AttributeProto::default() }),
            in_attribute(AttributeProto { graphs: vec![inner_graph()], ..AttributeProto::default() }),
            ModelProto { functions: vec![function], ..with_graph(GraphProto::default()) },
            ModelProto { training_info: vec![training], ..with_graph(GraphProto::default()) },
        ];
        for model in &models {
            assert!(refusal(model).contains("keeps its data in another file"), "{model:?}");
        }
    }

    #[test]
    fn custom_operators_are_refused_and_functions_of_the_file_are_not() {
        let node = NodeProto { op_type: "Run".to_owned(), domain: "com.evil".to_owned(), ..NodeProto::default() };
        let mut model = with_graph(GraphProto { node: vec![node], ..GraphProto::default() });
        assert!(refusal(&model).contains(r#"operator "Run" of domain "com.evil""#));
        model.functions.push(FunctionProto { name: "Run".to_owned(), domain: "com.evil".to_owned(), ..FunctionProto::default() });
        assert!(metadata_of(&model.encode_to_vec()).is_ok());
        let node = NodeProto { op_type: "Run".to_owned(), domain: "com.microsoft".to_owned(), ..NodeProto::default() };
        let mut model = with_graph(GraphProto { node: vec![node], ..GraphProto::default() });
        model.functions.push(FunctionProto {
            name: "Run".to_owned(),
            domain: "com.microsoft".to_owned(),
            ..FunctionProto::default()
        });
        assert!(refusal(&model).contains("com.microsoft"));
    }

    #[test]
    fn other_formats_and_rubbish_are_refused() {
        assert!(matches!(metadata_of(b"\0\0\0\0ORTM and so on"), Err(OnnxFileError::OtherFormat)));
        assert!(matches!(metadata_of(b"GIF89a"), Err(OnnxFileError::Protobuf(_))));
        assert!(matches!(metadata_of(b""), Err(OnnxFileError::NoGraph)));
        assert!(matches!(metadata_of(&vec![0; MAX_FILE_BYTES + 1]), Err(OnnxFileError::TooLarge { .. })));
    }

    #[test]
    fn a_graph_nested_beyond_reason_is_refused() {
        let mut graph = GraphProto::default();
        for _ in 0..200 {
            graph = with_attribute(AttributeProto { g: Some(Box::new(graph)), ..AttributeProto::default() });
        }
        assert!(matches!(metadata_of(&with_graph(graph).encode_to_vec()), Err(OnnxFileError::Protobuf(_))));
    }
}
