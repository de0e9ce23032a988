//! A sorted map that takes hardly more room than what is in it, for what is kept of a million tasks.
//!
//! The standard B-tree keeps eleven entries per node and leaves its nodes little more than half full when keys come in ascending order, as ids and
//! instants do. Here a node has hundreds, and ascending keys leave it full. What it costs, moving some of a node's entries to make room for one, is
//! less than what a page-in or a commit costs by far.

use std::ops::Bound;

/// Entries of a node at most: a power of two, so that a vector that grew to it has no room left over.
const NODE: usize = 256;

/// A sorted map of small things.
#[derive(Debug, Clone)]
pub(super) struct Dense<K, V> {
    /// None is empty, and all keys of a node come before those of the next.
    nodes: Vec<Vec<(K, V)>>,
    len: usize,
}

impl<K, V> Default for Dense<K, V> {
    fn default() -> Self {
        Self { nodes: Vec::new(), len: 0 }
    }
}

impl<K: Ord + Copy, V: Copy> Dense<K, V> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// The node in which a key is, or would be; none if it comes before all of them.
    fn node_of(&self, key: &K) -> Option<usize> {
        self.nodes.partition_point(|node| node[0].0 <= *key).checked_sub(1)
    }

    fn find(&self, key: &K) -> Option<(usize, usize)> {
        let node = self.node_of(key)?;
        self.nodes[node].binary_search_by(|(known, _)| known.cmp(key)).ok().map(|place| (node, place))
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.find(key).map(|(node, place)| &self.nodes[node][place].1)
    }

    pub fn contains(&self, key: &K) -> bool {
        self.find(key).is_some()
    }

    /// Puts an entry in the place of one with the same key, which it answers with.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.nodes.is_empty() {
            self.nodes.push(vec![(key, value)]);
            self.len = 1;
            return None;
        }
        let node = self.node_of(&key).unwrap_or(0);
        let place = match self.nodes[node].binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(place) => return Some(std::mem::replace(&mut self.nodes[node][place].1, value)),
            Err(place) => place,
        };
        self.len += 1;
        if self.nodes[node].len() < NODE {
            self.nodes[node].insert(place, (key, value));
        } else if place == NODE {
            // Keys that ascend leave full nodes behind.
            self.nodes.insert(node + 1, vec![(key, value)]);
        } else {
            let mut behind = self.nodes[node].split_off(NODE / 2);
            match place.checked_sub(NODE / 2) {
                Some(place) => behind.insert(place, (key, value)),
                None => self.nodes[node].insert(place, (key, value)),
            }
            self.nodes[node].shrink_to(NODE * 3 / 4);
            self.nodes.insert(node + 1, behind);
        }
        None
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (node, place) = self.find(key)?;
        let (_, value) = self.nodes[node].remove(place);
        self.len -= 1;
        self.tidy(node);
        Some(value)
    }

    /// Gives back the room of a node that became small: joins it with the next, if both are.
    fn tidy(&mut self, node: usize) {
        let len = self.nodes[node].len();
        if len == 0 {
            self.nodes.remove(node);
        } else if len < NODE / 4 && self.nodes.get(node + 1).is_some_and(|next| next.len() < NODE / 4) {
            let next = self.nodes.remove(node + 1);
            self.nodes[node].extend(next);
        } else if len < NODE / 4 && self.nodes[node].capacity() > NODE / 2 {
            self.nodes[node].shrink_to(NODE / 2);
        }
        if self.nodes.capacity() > 64 && self.nodes.len() < self.nodes.capacity() / 4 {
            self.nodes.shrink_to(self.nodes.len() * 2);
        }
    }

    pub fn first(&self) -> Option<(K, V)> {
        self.nodes.first().map(|node| node[0])
    }

    /// Every entry, in order.
    pub fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.nodes.iter().flatten().copied()
    }

    /// The entries from a key on, in order.
    pub fn from(&self, from: Bound<K>) -> impl Iterator<Item = (K, V)> {
        let before = move |key: &K| match from {
            Bound::Unbounded => false,
            Bound::Included(from) => *key < from,
            Bound::Excluded(from) => *key <= from,
        };
        let node = self.nodes.partition_point(|node| node.last().is_some_and(|(key, _)| before(key)));
        let place = self.nodes.get(node).map_or(0, |entries| entries.partition_point(|(key, _)| before(key)));
        self.nodes[node..].iter().flatten().copied().skip(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Numbers without order, the same each time.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self, below: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % below
        }
    }

    #[test]
    fn it_holds_what_a_tree_of_the_standard_library_holds() {
        for (seed, keys) in [(1, 50), (2, 3_000), (3, 100_000)] {
            let mut numbers = Numbers(seed);
            let (mut dense, mut tree) = (Dense::default(), BTreeMap::new());
            for turn in 0..20_000_u64 {
                let key = numbers.next(keys);
                match numbers.next(5) {
                    0 | 1 => assert_eq!(dense.insert(key, turn), tree.insert(key, turn)),
                    2 if turn % 4_000 > 3_000 => {
                        let first = dense.first().map(|(key, _)| key);
                        assert_eq!(first, tree.keys().next().copied());
                        first.map(|first| (dense.remove(&first), tree.remove(&first)));
                    }
                    2 | 3 => assert_eq!(dense.remove(&key), tree.remove(&key)),
                    _ => assert_eq!((dense.get(&key), dense.contains(&key)), (tree.get(&key), tree.contains_key(&key))),
                }
                assert_eq!(dense.len(), tree.len());
                if turn % 500 == 0 {
                    assert!(dense.iter().eq(tree.iter().map(|(key, value)| (*key, *value))));
                    for from in [Bound::Unbounded, Bound::Included(key), Bound::Excluded(key)] {
                        assert!(dense.from(from).eq(tree.range((from, Bound::Unbounded)).map(|(key, value)| (*key, *value))));
                    }
                }
            }
            while let Some((key, _)) = dense.first() {
                assert!(dense.remove(&key).is_some());
            }
            assert!(dense.nodes.is_empty() && dense.len() == 0);
        }
    }

    #[test]
    fn ascending_keys_take_no_room_beyond_their_own() {
        let mut dense = Dense::default();
        for key in 0..100_000_u64 {
            dense.insert(key, ());
        }
        let room: usize = dense.nodes.iter().map(Vec::capacity).sum();
        assert!(room < 100_000 + NODE, "room for {room}");
        for key in 0..99_000 {
            dense.remove(&key);
        }
        let room: usize = dense.nodes.iter().map(Vec::capacity).sum();
        assert!(room <= 1_000 + 2 * NODE, "room for {room}");
    }

    #[test]
    fn keys_without_order_take_at_most_twice_their_room() {
        let (mut dense, mut numbers) = (Dense::default(), Numbers(7));
        for _ in 0..100_000 {
            dense.insert(numbers.next(u64::MAX), ());
        }
        let room: usize = dense.nodes.iter().map(Vec::capacity).sum();
        assert!(room < 2 * dense.len(), "room for {room} of {}", dense.len());
    }
}
