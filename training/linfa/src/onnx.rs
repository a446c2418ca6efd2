//! The messages of ONNX's own schema, and short ways to make the graphs that a baseline needs. Knows no model: `graph`.

use prost::Message;

pub(crate) use generated::GraphProto;
use generated::attribute_proto::AttributeType;
use generated::tensor_proto::DataType;
use generated::tensor_shape_proto::{Dimension, dimension};
use generated::type_proto::{Tensor, Value};
use generated::{
    AttributeProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
};

#[expect(clippy::pedantic, clippy::enum_variant_names, reason = "generated from proto/onnx.proto")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

/// As the other exporters write; every runtime since 2022 reads it.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// Nodes and constants in the order in which they are named.
#[derive(Debug, Default)]
pub(crate) struct GraphBuilder {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl GraphBuilder {
    pub fn constant(&mut self, name: &str, dims: &[usize], values: impl IntoIterator<Item = f32>) {
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.tensor(name, dims, DataType::Float, bytes);
    }

    pub fn integers<const N: usize>(&mut self, name: &str, values: [i64; N]) {
        self.tensor(name, &[N], DataType::Int64, values.into_iter().flat_map(i64::to_le_bytes).collect());
    }

    pub fn node(&mut self, operator: &str, inputs: &[&str], output: &str) {
        self.nodes.push(NodeProto {
            name: Some(output.to_owned()),
            op_type: Some(operator.to_owned()),
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        });
    }

    /// Over one axis, which goes away.
    pub fn reduction(&mut self, operator: &str, input: &str, output: &str, axis: i64) {
        self.node(operator, &[input], output);
        let node = self.nodes.last_mut().expect("it was put there");
        node.attribute.push(AttributeProto {
            name: Some("axes".to_owned()),
            r#type: Some(AttributeType::Ints.into()),
            ints: vec![axis],
            ..AttributeProto::default()
        });
        node.attribute.push(AttributeProto {
            name: Some("keepdims".to_owned()),
            r#type: Some(AttributeType::Int.into()),
            i: Some(0),
            ..AttributeProto::default()
        });
    }

    /// `input`: `[batch, width]`; `output`: the same with a width, else `[batch]`.
    pub fn finish(self, name: &str, input: (&str, usize), output: (&str, Option<usize>)) -> GraphProto {
        GraphProto {
            name: Some(name.to_owned()),
            node: self.nodes,
            initializer: self.constants,
            input: vec![batch_of(input.0, Some(input.1))],
            output: vec![batch_of(output.0, output.1)],
            ..GraphProto::default()
        }
    }

    fn tensor(&mut self, name: &str, dims: &[usize], data_type: DataType, raw_data: Vec<u8>) {
        self.constants.push(TensorProto {
            name: Some(name.to_owned()),
            dims: dims.iter().copied().map(as_i64).collect(),
            data_type: Some(data_type.into()),
            raw_data: Some(raw_data),
            ..TensorProto::default()
        });
    }
}

/// The whole file. `metadata` stands in it in this order.
pub(crate) fn file_of(graph: GraphProto, metadata: &[(String, String)]) -> Vec<u8> {
    let entry = |(key, value): &(String, String)| StringStringEntryProto { key: Some(key.clone()), value: Some(value.clone()) };
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("odograph train".to_owned()),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
        graph: Some(graph),
        metadata_props: metadata.iter().map(entry).collect(),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

pub(crate) fn as_i64(size: usize) -> i64 {
    i64::try_from(size).expect("a size of a model is small")
}

fn batch_of(name: &str, width: Option<usize>) -> ValueInfoProto {
    let batch = dimension::Value::DimParam("batch".to_owned());
    let sizes = std::iter::once(batch).chain(width.map(|width| dimension::Value::DimValue(as_i64(width))));
    let dim = sizes.map(|value| Dimension { value: Some(value), ..Dimension::default() }).collect();
    let tensor = Tensor { elem_type: Some(DataType::Float.into()), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value: Some(Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
