//! The graphs of both forms, from raw features to the output that the contract names. Scaling is inside, so that a lane hands over what
//! it measured.

use crate::mixture::Mixture;
use crate::onnx::{GraphBuilder, GraphProto, as_i64};
use crate::pca::Components;
use crate::rows::as_f32;
use crate::scaling::CUT;

pub(crate) const INPUT: &str = "features";
pub(crate) const RECONSTRUCTION: &str = "reconstruction";
pub(crate) const SCORE: &str = "score";

/// What scales.
pub(crate) struct Constants<'a> {
    pub middle: &'a [f32],
    pub deviation: &'a [f32],
}

/// Scale, project on the components, back, unscale.
pub(crate) fn reconstruction(name: &str, constants: &Constants<'_>, components: &Components) -> GraphProto {
    let width = constants.middle.len();
    let count = components.count();
    let mut graph = scaled(constants);
    graph.constant("projection", &[width, count], components.axes.t().iter().copied().map(as_f32));
    graph.constant("origin", &[count], components.axes.dot(&components.mean).iter().map(|value| as_f32(-value)));
    graph.constant("axes", &[count, width], components.axes.iter().copied().map(as_f32));
    graph.constant("mean", &[width], components.mean.iter().copied().map(as_f32));
    graph.node("Gemm", &["cut", "projection", "origin"], "projected");
    graph.node("Gemm", &["projected", "axes", "mean"], "again");
    graph.node("Mul", &["again", "deviation"], "unscaled");
    graph.node("Add", &["unscaled", "middle"], RECONSTRUCTION);
    graph.finish(name, (INPUT, width), (RECONSTRUCTION, Some(width)))
}

/// Scale, then the negative logarithm of the sum over all components of weight · density. `ReduceLogSumExp` subtracts the largest
/// before it takes exponentials, so that a row far from everything has a score too.
pub(crate) fn score(name: &str, constants: &Constants<'_>, mixture: &Mixture) -> GraphProto {
    let width = constants.middle.len();
    let count = mixture.factors.len();
    // All components in one product: the columns of component k are its factor.
    let factors = (0..width).flat_map(|row| mixture.factors.iter().flat_map(move |factor| factor.row(row).to_vec()));
    let origins = mixture.factors.iter().zip(mixture.means.rows()).flat_map(|(factor, mean)| mean.dot(factor));
    let mut graph = scaled(constants);
    graph.constant("factors", &[width, count * width], factors.map(as_f32));
    graph.constant("origins", &[count * width], origins.map(|value| as_f32(-value)));
    graph.constant("constants", &[count], mixture.constants.iter().copied().map(as_f32));
    graph.constant("minus_half", &[1], [-0.5]);
    graph.integers("by_component", [-1, as_i64(count), as_i64(width)]);
    graph.node("Gemm", &["cut", "factors", "origins"], "whitened");
    graph.node("Reshape", &["whitened", "by_component"], "whitened_by_component");
    graph.reduction("ReduceSumSquare", "whitened_by_component", "distances", 2);
    graph.node("Mul", &["distances", "minus_half"], "exponents");
    graph.node("Add", &["exponents", "constants"], "log_densities");
    graph.reduction("ReduceLogSumExp", "log_densities", "log_likelihood", 1);
    graph.node("Neg", &["log_likelihood"], SCORE);
    graph.finish(name, (INPUT, width), (SCORE, None))
}

fn scaled(constants: &Constants<'_>) -> GraphBuilder {
    let width = constants.middle.len();
    let mut graph = GraphBuilder::default();
    graph.constant("middle", &[width], constants.middle.iter().copied());
    graph.constant("deviation", &[width], constants.deviation.iter().copied());
    graph.constant("low", &[], [-CUT]);
    graph.constant("high", &[], [CUT]);
    graph.node("Sub", &[INPUT, "middle"], "centred");
    graph.node("Div", &["centred", "deviation"], "scaled");
    graph.node("Clip", &["scaled", "low", "high"], "cut");
    graph
}
