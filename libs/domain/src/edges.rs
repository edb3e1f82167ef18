//! Edges that do not serve a certificate, as parts of reasons.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::dns::{MAX_NAMED, and_more};

/// Maximum number of edges in a reason; the rest is counted.
const MAX_EDGES: usize = 20;

/// An edge that does not serve the expected certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EdgeBehind {
    /// `host:port`, as configured.
    pub edge: String,
    /// What it serves instead, as a part of a sentence.
    pub shows: String,
}

impl fmt::Display for EdgeBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.edge, self.shows)
    }
}

/// The edges that are behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgesBehind {
    /// The first ones.
    pub edges: Vec<EdgeBehind>,
    /// The number of further edges that are behind.
    pub more: u32,
    /// The number of edges that were asked.
    pub asked: u32,
}

impl EdgesBehind {
    /// `behind`: the edges that are behind, of `asked` edges.
    pub fn new(mut behind: Vec<EdgeBehind>, asked: usize) -> Self {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let more = count(behind.len().saturating_sub(MAX_EDGES));
        behind.truncate(MAX_EDGES);
        Self { edges: behind, more, asked: count(asked) }
    }

    /// As a clause about a certificate: `1 of 6 edges does not serve it`.
    pub fn clause(&self) -> String {
        let behind = self.edges.len() + self.more as usize;
        let edges = if self.asked == 1 { "edge" } else { "edges" };
        let verb = if behind == 1 { "does" } else { "do" };
        format!("{behind} of {} {edges} {verb} not serve it", self.asked)
    }
}

impl fmt::Display for EdgesBehind {
    /// As a part of a sentence: `192.0.2.10:443 (another certificate), 192.0.2.11:443 (no answer)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.edges.iter().take(MAX_NAMED).map(ToString::to_string);
        f.write_str(&and_more(named, self.edges.len() + self.more as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(count: usize, asked: usize) -> EdgesBehind {
        let edge = |number| EdgeBehind { edge: format!("edge{number}:443"), shows: "no answer".to_owned() };
        EdgesBehind::new((0..count).map(edge).collect(), asked)
    }

    #[test]
    fn a_few_are_named_some_are_carried_and_all_are_counted() {
        let many = behind(30, 64);
        assert_eq!((many.edges.len(), many.more, many.asked), (20, 10, 64));
        assert!(many.to_string().starts_with("edge0:443 (no answer), edge1:443 (no answer)"), "{many}");
        assert!(many.to_string().ends_with(" and 24 more"), "{many}");
        assert_eq!(many.clause(), "30 of 64 edges do not serve it");
    }

    #[test]
    fn one_is_told_as_one() {
        assert_eq!(behind(1, 6).clause(), "1 of 6 edges does not serve it");
        assert_eq!(behind(1, 1).clause(), "1 of 1 edge does not serve it");
        assert_eq!(behind(1, 6).to_string(), "edge0:443 (no answer)");
    }
}
