//! Noticing a chain of pages that leads in a circle.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// The positions (cursors, tokens) that a scan has asked for, by hash: eight bytes for each, however long they are. For one
/// run of the program only; the hashes are no file format.
#[derive(Debug, Clone, Default)]
pub struct Visited(HashSet<u64>);

impl Visited {
    /// Adds a position; `false` if it had been added before.
    pub fn insert(&mut self, position: &str) -> bool {
        self.0.insert(hash(position))
    }

    /// Whether a position has been added.
    pub fn contains(&self, position: &str) -> bool {
        self.0.contains(&hash(position))
    }

    /// Forgets all: the chain begins again.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_new_once_until_all_are_forgotten() {
        let mut visited = Visited::default();
        assert!(visited.insert("a") && !visited.insert("a") && visited.insert("b"));
        assert!(visited.contains("a") && !visited.contains("c"));
        visited.clear();
        assert!(!visited.contains("a"));
    }
}
