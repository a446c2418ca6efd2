//! Which road leads on: the fastest way between every two nodes (Dijkstra backwards from each destination).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Edge;

/// By `from * node_count + to`: the edge to take.
pub fn next_edges(node_count: usize, edges: &[Edge]) -> Vec<u16> {
    let mut into: Vec<Vec<u16>> = vec![Vec::new(); node_count];
    let mut next = vec![u16::MAX; node_count * node_count];
    for (index, edge) in (0_u16..).zip(edges) {
        into[usize::from(edge.to)].push(index);
        // A vehicle that is where it wants to be takes any road: it goes round the block.
        next[usize::from(edge.from) * node_count + usize::from(edge.from)] = index;
    }
    for destination in 0..node_count {
        let mut best_ms = vec![u64::MAX; node_count];
        best_ms[destination] = 0;
        let mut open = BinaryHeap::from([(Reverse(0_u64), destination)]);
        while let Some((Reverse(so_far_ms), node)) = open.pop() {
            if so_far_ms > best_ms[node] {
                continue;
            }
            for &index in &into[node] {
                let edge = &edges[usize::from(index)];
                let from = usize::from(edge.from);
                let total_ms = so_far_ms + travel_ms(edge);
                if total_ms < best_ms[from] {
                    best_ms[from] = total_ms;
                    next[from * node_count + destination] = index;
                    open.push((Reverse(total_ms), from));
                }
            }
        }
    }
    next
}

/// At 85 % of the limit, and 10 s for the junction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some minutes in milliseconds")]
fn travel_ms(edge: &Edge) -> u64 {
    (edge.length_m / (0.85 * edge.limit_m_per_s) * 1_000.0) as u64 + 10_000
}
