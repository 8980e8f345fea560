//! The Merkle tree of RFC 6962, section 2.1, grown from its frontier: the roots of its perfect subtrees.

use sha2::{Digest, Sha256};

/// The bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// A SHA-256 hash.
pub type Hash = [u8; HASH_BYTES];

/// Returns the hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// Returns the hash of a node with two children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A tree of which only the roots of its perfect subtrees are kept, largest first: as many as its size has bits set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// Reads what [`Frontier::to_bytes`] wrote; `None` when it does not fit the size.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (roots, rest) = bytes.as_chunks::<HASH_BYTES>();
        let fits = rest.is_empty() && u32::try_from(roots.len()).ok()? == size.count_ones();
        fits.then(|| Self { size, roots: roots.to_vec() })
    }

    /// Writes the roots down, one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.roots.concat()
    }

    /// Returns the number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut root = leaf;
        // Each bit set at the low end is a perfect subtree as large as what was added so far.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                root = node_hash(&left, &root);
            }
        }
        self.roots.push(root);
        self.size = self.size.saturating_add(1);
    }

    /// Returns the root when it is wanted; making it costs a hash for each part of the tree.
    pub(crate) fn root_if(&self, wanted: bool) -> Option<Hash> {
        wanted.then(|| self.root())
    }

    /// Returns the root of the whole tree; that of the empty tree is the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        match roots.next() {
            Some(last) => roots.fold(*last, |root, left| node_hash(left, &root)),
            None => Sha256::digest([]).into(),
        }
    }
}

/// The way from a leaf to the root: the siblings, from the leaf upwards (RFC 6962, section 2.1.1).
///
/// Made while the leaves go by once; only one hash for each level is kept.
#[derive(Clone, Debug)]
pub struct PathBuilder {
    index: u64,
    tree: Vec<Node>,
    size: u64,
    leaf: Option<Hash>,
}

#[derive(Clone, Debug)]
struct Node {
    hash: Hash,
    level: u32,
    /// The siblings below, when the leaf is inside.
    path: Option<Vec<Hash>>,
}

impl PathBuilder {
    /// Begins the way of the leaf at an index.
    pub fn new(index: u64) -> Self {
        Self { index, tree: Vec::new(), size: 0, leaf: None }
    }

    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let path = (self.size == self.index).then(Vec::new);
        self.leaf = if path.is_some() { Some(leaf) } else { self.leaf };
        self.size = self.size.saturating_add(1);
        let mut node = Node { hash: leaf, level: 0, path };
        while let Some(left) = self.tree.pop_if(|left| left.level == node.level) {
            node = join(left, node);
        }
        self.tree.push(node);
    }

    /// Returns the leaf's hash and its siblings; `None` when the tree has not grown as far.
    pub fn finish(mut self) -> Option<(Hash, Vec<Hash>)> {
        let leaf = self.leaf?;
        let mut node = self.tree.pop()?;
        while let Some(left) = self.tree.pop() {
            node = join(left, node);
        }
        node.path.map(|path| (leaf, path))
    }
}

fn join(left: Node, right: Node) -> Node {
    let hash = node_hash(&left.hash, &right.hash);
    let with = |mut path: Vec<Hash>, sibling: Hash| {
        path.push(sibling);
        path
    };
    let path = match (left.path, right.path) {
        (Some(path), _) => Some(with(path, right.hash)),
        (None, Some(path)) => Some(with(path, left.hash)),
        (None, None) => None,
    };
    Node { hash, level: left.level.max(right.level).saturating_add(1), path }
}

/// Computes the root that a way leads to (RFC 9162, section 2.1.3.2); `None` when the way does not fit the size.
pub fn root_of_path(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut index, mut last, mut root) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if index & 1 == 1 || index == last {
            root = node_hash(sibling, &root);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    /// The definition of RFC 6962, word for word.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(&mth(&leaves[..split]), &mth(&leaves[split..]))
            }
        }
    }

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_vectors_of_certificate_transparency_come_out() {
        // The leaves and roots of the reference implementation's tests.
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut tree = Frontier::default();
        assert_eq!(hex(tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let mut roots = Vec::new();
        for input in inputs {
            tree.push(leaf_hash(input));
            roots.push(hex(tree.root()));
        }
        assert_eq!(roots[0], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(roots[1], "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
        assert_eq!(roots[7], "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    #[test]
    fn a_frontier_has_the_root_of_the_definition_at_every_size_and_after_every_rest() {
        let all = leaves(70);
        let mut tree = Frontier::default();
        for (size, leaf) in (0_u64..).zip(&all) {
            assert_eq!(tree.root(), mth(&all[..usize::try_from(size).unwrap()]), "{size}");
            tree = Frontier::from_bytes(size, &tree.to_bytes()).unwrap();
            tree.push(*leaf);
        }
        assert_eq!(Frontier::from_bytes(3, &tree.to_bytes()), None);
        assert_eq!(Frontier::from_bytes(70, &tree.to_bytes()[1..]), None);
    }

    #[test]
    fn every_way_leads_to_the_root_and_no_other_does() {
        for size in 1..=40_u64 {
            let all = leaves(size);
            let root = mth(&all);
            for index in 0..size {
                let mut builder = PathBuilder::new(index);
                all.iter().for_each(|leaf| builder.push(*leaf));
                let (leaf, path) = builder.finish().unwrap();
                assert_eq!(leaf, all[usize::try_from(index).unwrap()]);
                assert_eq!(root_of_path(index, size, leaf, &path), Some(root), "{index} of {size}");
                assert_ne!(root_of_path(index, size, leaf_hash(b"x"), &path), Some(root));
                assert_ne!(root_of_path(index, size + size.next_power_of_two(), leaf, &path), Some(root));
                if size > 1 {
                    assert_ne!(root_of_path((index + 1) % size, size, leaf, &path), Some(root));
                    assert_ne!(root_of_path(index, size, leaf, &path[1..]), Some(root));
                }
            }
            assert!(PathBuilder::new(size).finish().is_none());
        }
    }
}
