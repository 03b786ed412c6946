//! The graph of a plan: who waits for whom, inferred from the bindings.

use super::Part;

/// The first cycle there is, as the names on it: `a → b → a`.
pub(super) fn cycle(parts: &[Part]) -> Option<String> {
    let mut states = vec![State::Unseen; parts.len()];
    let mut way = Vec::new();
    (0..parts.len()).find_map(|part| visit(parts, part, &mut states, &mut way))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unseen,
    OnTheWay,
    Done,
}

fn visit(
    parts: &[Part],
    part: usize,
    states: &mut [State],
    way: &mut Vec<usize>,
) -> Option<String> {
    match states.get(part)? {
        State::Done => return None,
        State::OnTheWay => {
            let circle = way.iter().skip_while(|&&known| known != part).chain([&part]);
            let names = circle.filter_map(|&part| parts.get(part)).map(|part| &*part.name);
            return Some(names.collect::<Vec<_>>().join(" → "));
        }
        State::Unseen => {}
    }
    *states.get_mut(part)? = State::OnTheWay;
    way.push(part);
    // As deep as there are parts, which are capped.
    for &next in &parts.get(part)?.waits_for {
        if let Some(cycle) = visit(parts, next, states, way) {
            return Some(cycle);
        }
    }
    way.pop();
    *states.get_mut(part)? = State::Done;
    None
}

/// The parts that `wanted` ones wait for are wanted too, and so on. All on no cycle.
pub(in crate::aggregation) fn close(parts: &[Part], wanted: &mut [bool]) {
    let mut open: Vec<usize> =
        wanted.iter().enumerate().filter(|(_, wanted)| **wanted).map(|(part, _)| part).collect();
    while let Some(part) = open.pop() {
        for &next in parts.get(part).iter().flat_map(|part| &part.waits_for) {
            if let Some(wanted) = wanted.get_mut(next).filter(|wanted| !**wanted) {
                *wanted = true;
                open.push(next);
            }
        }
    }
}
