//! Disjoint sets with path halving (Tarjan and van Leeuwen 1984).

/// Sets of numbers that are handed out one after the other and joined.
#[derive(Debug, Default)]
pub(super) struct DisjointSets {
    parents: Vec<usize>,
}

impl DisjointSets {
    /// A new number, in a set of its own.
    pub(super) fn add(&mut self) -> usize {
        self.parents.push(self.parents.len());
        self.parents.len() - 1
    }

    /// Adds all numbers of other sets, after its own; returns by how much they grow.
    pub(super) fn append(&mut self, others: &Self) -> usize {
        let offset = self.parents.len();
        self.parents.extend(others.parents.iter().map(|parent| parent + offset));
        offset
    }

    /// The least number of the set that a number is in.
    pub(super) fn root(&mut self, mut number: usize) -> usize {
        while self.parents[number] != number {
            self.parents[number] = self.parents[self.parents[number]];
            number = self.parents[number];
        }
        number
    }

    /// Makes one set of those that two numbers are in.
    pub(super) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    /// Sums values over sets; each sum stands at the root of its set.
    pub(super) fn sums(&mut self, values: impl Iterator<Item = (usize, usize)>) -> Vec<usize> {
        let mut sums = vec![0; self.parents.len()];
        for (number, value) in values {
            sums[self.root(number)] += value;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_numbers_share_a_root_and_a_sum() {
        let mut sets = DisjointSets::default();
        let numbers: Vec<usize> = (0..5).map(|_| sets.add()).collect();
        sets.join(numbers[4], numbers[2]);
        sets.join(numbers[2], numbers[1]);
        assert_eq!(sets.root(4), 1);
        assert_eq!(sets.root(3), 3);
        let mut others = DisjointSets::default();
        assert_eq!((others.append(&sets), others.append(&sets), others.root(5 + 4)), (0, 5, 5 + 1));
        assert_eq!(sets.sums([(0, 1), (1, 10), (2, 20), (3, 5), (4, 30)].into_iter()), vec![1, 60, 0, 5, 0]);
    }
}
